/* A FastCGI filter: the file in capitals, behind what it was told of it and the request's body. */
#include <ctype.h>
#include <fcgiapp.h>
#include <stdio.h>

int main(void)
{
	FCGX_Request r;
	int c;

	FCGX_Init();
	FCGX_InitRequest(&r, 0, 0);
	while (FCGX_Accept_r(&r) >= 0) {
		const char *length = FCGX_GetParam("FCGI_DATA_LENGTH", r.envp);
		const char *modified = FCGX_GetParam("FCGI_DATA_LAST_MOD", r.envp);

		FCGX_FPrintF(r.out, "Content-Type: text/plain\r\nX-Data-Length: %s\r\nX-Data-Last-Mod: %s\r\n\r\n",
			length ? length : "", modified ? modified : "");
		while ((c = FCGX_GetChar(r.in)) != EOF)
			FCGX_PutChar(c, r.out);
		if (FCGX_StartFilterData(r.in) < 0)
			FCGX_PutS("(no data)\n", r.out);
		else
			while ((c = FCGX_GetChar(r.in)) != EOF)
				FCGX_PutChar(toupper(c), r.out);
		FCGX_Finish_r(&r);
	}
	return 0;
}
