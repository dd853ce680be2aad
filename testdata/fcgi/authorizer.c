/* A FastCGI authorizer: lets in who has the right key and tells who that is. */
#include <fcgiapp.h>
#include <stdlib.h>
#include <string.h>

static const char *var(FCGX_Request *r, const char *name)
{
	const char *value = FCGX_GetParam(name, r->envp);
	return value ? value : "";
}

/* The host must not tell an authorizer of these (FastCGI 1.0, 6.3). */
static int toldTooMuch(FCGX_Request *r)
{
	return *var(r, "CONTENT_LENGTH") || *var(r, "PATH_INFO") || *var(r, "PATH_TRANSLATED") || *var(r, "SCRIPT_NAME");
}

int main(void)
{
	FCGX_Request r;

	FCGX_Init();
	FCGX_InitRequest(&r, 0, 0);
	while (FCGX_Accept_r(&r) >= 0) {
		const char *key = var(&r, "HTTP_X_KEY");

		if (strcmp(var(&r, "FCGI_ROLE"), "AUTHORIZER") || toldTooMuch(&r))
			FCGX_PutS("Status: 500 Not An Authorizer's Request\r\nContent-Type: text/plain\r\n\r\n", r.out);
		else if (!strcmp(key, "crash"))
			exit(1);
		else if (!strcmp(key, "open"))
			FCGX_PutS("Status: 200 OK\r\nVariable-REMOTE_USER: joe\r\nVariable-AUTH_TYPE: key\r\n"
				"Variable-LD_PRELOAD: /evil.so\r\nVariable-GREETING: hi\r\nSet-Cookie: a=b\r\n\r\nnot for the client", r.out);
		else
			FCGX_PutS("Status: 403 Forbidden\r\nContent-Type: text/plain\r\nX-Why: key\r\n\r\nno key\n", r.out);
		FCGX_Finish_r(&r);
	}
	return 0;
}
