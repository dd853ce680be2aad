package fastcgi_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// libfcgi's cgi-fcgi, a front, gets the answers that a browser would.
func TestServerCgiFcgi(t *testing.T) {
	path, err := exec.LookPath("cgi-fcgi")
	if err != nil {
		t.Skip("cgi-fcgi is not installed: package libfcgi-bin")
	}
	s := serve(t, nil)
	large := strings.Repeat("0123456789", 20000)
	tests := []struct{ name, uri, body, want, errors string }{
		{"GET", "/hello", "", "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", ""},
		{"POST", "/echo", large, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n" + large, ""},
		{"unread POST", "/ignore", large, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nignored", ""},
		{"large", "/big", "", "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("0123456789abcdef", 1<<16), ""},
		{"an error", "/fail", "", "", "gatehouse: cgi: no such luck\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(path, "-bind", "-connect", s.addr)
			cmd.Env = []string{"REQUEST_METHOD=GET", "REQUEST_URI=" + tt.uri, "SERVER_PROTOCOL=HTTP/1.1", "HTTP_HOST=example.org"}
			if tt.body != "" {
				cmd.Env = []string{"REQUEST_METHOD=POST", "REQUEST_URI=" + tt.uri, "CONTENT_LENGTH=200000", "SERVER_PROTOCOL=HTTP/1.1", "HTTP_HOST=example.org"}
			}
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(tt.body), &out, &errs
			if err := cmd.Run(); err != nil {
				t.Fatal(err, errs.String())
			}
			if tt.want != "" && out.String() != tt.want || errs.String() != tt.errors {
				t.Errorf("got %.300q (%d bytes), stderr %q", out.String(), out.Len(), errs.String())
			}
		})
	}
}
