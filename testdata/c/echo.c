/* Answers with the request's body, and tells in fields what it was told of it. */
#include <stdio.h>
#include <stdlib.h>

static const char *var(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "(none)";
}

int main(void)
{
	static char buf[65536];
	size_t n;

	printf("Content-Type: application/octet-stream\n");
	printf("X-Method: %s\nX-Length: %s\n\n", var("REQUEST_METHOD"), var("CONTENT_LENGTH"));
	while ((n = fread(buf, 1, sizeof buf, stdin)) > 0)
		if (fwrite(buf, 1, n, stdout) != n)
			return 1;
	return 0;
}
