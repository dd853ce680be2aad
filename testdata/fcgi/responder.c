/* A FastCGI responder by libfcgi. What it does is the last part of its path; the programs
 * in other languages beside it do the same. */
#include <fcgiapp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *var(FCGX_Request *r, const char *name)
{
	const char *value = FCGX_GetParam(name, r->envp);
	return value ? value : "(none)";
}

static void echo(FCGX_Request *r)
{
	static char buf[65536];
	int n;

	FCGX_FPrintF(r->out, "Content-Type: application/octet-stream\r\nX-Method: %s\r\nX-Length: %s\r\n\r\n",
		var(r, "REQUEST_METHOD"), var(r, "CONTENT_LENGTH"));
	while ((n = FCGX_GetStr(buf, sizeof buf, r->in)) > 0)
		FCGX_PutStr(buf, n, r->out);
}

static void environment(FCGX_Request *r)
{
	char **v;

	FCGX_PutS("Content-Type: text/plain\r\n\r\n", r->out);
	for (v = r->envp; *v; v++)
		FCGX_FPrintF(r->out, "%s\n", *v);
}

static void fill(FCGX_Stream *to, char c, int n)
{
	while (n-- > 0)
		FCGX_PutChar(c, to);
}

static void longheader(FCGX_Request *r)
{
	char name;

	FCGX_PutS("Content-Type: text/plain\r\n", r->out);
	for (name = 'A'; name <= 'D'; name++) {
		FCGX_FPrintF(r->out, "X-%c: ", name);
		fill(r->out, 'x', 15000);
		FCGX_PutS("\r\n", r->out);
	}
	FCGX_PutS("\r\nlong\n", r->out);
}

static void stream(FCGX_Request *r)
{
	char path[4096];
	struct stat st;
	int n;

	FCGX_PutS("Content-Type: text/plain\r\n\r\n", r->out);
	for (n = 1; n <= 5; n++) {
		FCGX_FPrintF(r->out, "line %d\n", n);
		FCGX_FFlush(r->out);
		snprintf(path, sizeof path, "%s/%d", var(r, "QUERY_STRING"), n);
		while (stat(path, &st) && getppid() > 1)
			usleep(20000);
	}
}

static void answer(FCGX_Request *r)
{
	const char *uri = var(r, "REQUEST_URI"), *end = uri + strcspn(uri, "?"), *what = end;
	size_t len;

	while (what > uri && what[-1] != '/')
		what--;
	len = end - what;

#define IS(name) (len == strlen(name) && !strncmp(what, name, len))
	if (IS("echo"))
		return echo(r);
	if (IS("env"))
		return environment(r);
	if (IS("long"))
		return longheader(r);
	if (IS("stream"))
		return stream(r);
	if (IS("304")) {
		FCGX_PutS("Status: 304 Not Modified\r\nETag: \"abc\"\r\n\r\n", r->out);
		return;
	}
	if (IS("stderr"))
		fill(r->err, 'e', 1 << 20);
	if (IS("die"))
		exit(3);
	FCGX_PutS("Content-Type: text/plain\r\n\r\n", r->out);
	if (IS("cut")) {
		FCGX_PutS("the first half\n", r->out);
		FCGX_FFlush(r->out);
		raise(SIGKILL);
	}
	if (IS("pid"))
		FCGX_FPrintF(r->out, "%d\n", getpid());
	else
		FCGX_PutS("hello\n", r->out);
}

int main(void)
{
	FCGX_Request r;

	FCGX_Init();
	FCGX_InitRequest(&r, 0, 0);
	while (FCGX_Accept_r(&r) >= 0) {
		answer(&r);
		FCGX_Finish_r(&r);
	}
	return 0;
}
