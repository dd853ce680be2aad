package cgi

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// parseRaw reads the HTTP/1 response that a non-parsed-header script wrote, for a
// client to whom it cannot be relayed as it is (A95). Interim responses in front
// of it are left out.
func parseRaw(raw *Response) (*Response, error) {
	r := &lineReader{restBody{r: raw.Body}}
	const mostInterim, mostLines = 64, 200
	for range mostInterim {
		line, err := r.line(1024)
		if err != nil {
			return nil, err
		}
		version, status, ok := strings.Cut(line, " ")
		if !ok || !strings.HasPrefix(version, "HTTP/") {
			return nil, &Error{Kind: BadOutput, Reason: fmt.Sprintf("no status line: %q", shorten([]byte(line), 30)), Output: []byte(line)}
		}
		if !strings.HasPrefix(status, "1") {
			r.rest = append([]byte("Status: "+status+"\r\n"), r.rest...)
			return ReadResponse(&r.restBody, ParseLimits{}, nil)
		}
		for n := 0; line != ""; n++ { // to the end of the interim response
			if n > mostLines {
				return nil, &Error{Kind: BadOutput, Reason: fmt.Sprintf("an interim response of more than %d lines", mostLines)}
			}
			if line, err = r.line(64 << 10); err != nil {
				return nil, err
			}
		}
	}
	return nil, &Error{Kind: BadOutput, Reason: fmt.Sprintf("more than %d interim responses", mostInterim)}
}

// lineReader reads a first line, then the rest.
type lineReader struct{ restBody }

// line reads up to a line feed, at most most bytes.
func (l *lineReader) line(most int) (string, error) {
	for {
		if n := bytes.IndexByte(l.rest, '\n'); n >= 0 {
			line := strings.TrimRight(string(l.rest[:n]), "\r")
			l.rest = l.rest[n+1:]
			return line, nil
		}
		if len(l.rest) > most {
			return "", &Error{Kind: BadOutput, Reason: "no status line", Output: l.rest[:min(len(l.rest), firstBytes)]}
		}
		buf := make([]byte, 512)
		n, err := l.r.Read(buf)
		l.rest = append(l.rest, buf[:n]...)
		if err == io.EOF && n == 0 {
			return "", &Error{Kind: BadOutput, Reason: "its output ends inside the status line", Output: l.rest}
		}
		if err != nil && err != io.EOF {
			return "", err
		}
	}
}
