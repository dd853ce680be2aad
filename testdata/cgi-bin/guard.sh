#!/bin/sh
# Decides for a web server in front (FastCGI's Authorizer role) who may come in.
case "$FCGI_ROLE,$CONTENT_LENGTH,$HTTP_X_KEY,$REMOTE_USER,$REMOTE_PASSWD" in
AUTHORIZER,,open,* | AUTHORIZER,,,joe,secret)
	printf 'Status: 200 OK\nVariable-WHO: joe\n\n' ;;
*)
	printf 'Status: 403 Forbidden\nContent-Type: text/plain\n\nnot you\n' ;;
esac
