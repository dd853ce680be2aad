#!/usr/bin/mawk -f
# Answers with the request's body in capitals, and its query.
BEGIN { printf "Content-Type: text/plain\r\n\r\n"; print ENVIRON["QUERY_STRING"] }
{ print toupper($0) }
