package site_test

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Every answer has them, whatever gives it.
func TestHeaders(t *testing.T) {
	dir := tree(t, files{
		"htdocs/x": "file", "htdocs/dir/": "", "users": userLines,
		"cgi-bin/ok":       script(`printf 'Content-Type: text/plain\nX-Powered-By: shell\nX-FRAME-options: ALLOW\nSet-Cookie: a=b\nVary: Cookie\nCache-Control: private\n\nok'`),
		"cgi-bin/bad":      script("echo nothing that could be a header"),
		"cgi-bin/location": script(`printf 'Location: /x\n\n'`),
	})
	s := start(t, dir, `
headers = { X-Frame-Options = "DENY", X-Powered-By = "", X-Level = "top", Server = "mine", X-Text = "grün" }
[[site]]
hosts = ["localhost"]
root = "DIR/htdocs"
headers = { x-level = "site", Set-Cookie = "c=d", Vary = "Accept", Link = "</s.css>; rel=preload" }
[[site.route]]
path = "/cgi-bin/"
cgi = "DIR/cgi-bin/"
headers = { X-LEVEL = "route", Cache-Control = "no-cache" }
[[site.route]]
path = "/moved"
redirect = "/x"
[[site.route]]
path = "/guarded/"
static = "DIR/htdocs/"
basic_auth = { file = "DIR/users" }
headers = { X-Level = "guarded" }
[[site.route]]
path = "/plain/"
static = "DIR/htdocs/"
headers = { X-Level = "" }
[[site]]
hosts = ["secure.test"]
root = "DIR/htdocs"
redirect_to_https = true
headers = { X-Level = "secure" }
`)
	for _, test := range []struct {
		name, method, target string
		lines                []string
		status               int
		level                string
	}{
		{"file", "GET", "/x", nil, 200, "site"},
		{"HEAD", "HEAD", "/x", nil, 200, "site"},
		{"part of a file", "GET", "/x", []string{"Range: bytes=0-1"}, 206, "site"},
		{"unchanged file", "GET", "/x", []string{"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"}, 304, "site"},
		{"script", "GET", "/cgi-bin/ok", nil, 200, "route"},
		{"failed script", "GET", "/cgi-bin/bad", nil, 502, "route"},
		{"local redirect: those of its target", "GET", "/cgi-bin/location", nil, 200, "site"},
		{"missing script", "GET", "/cgi-bin/none", nil, 404, "route"},
		{"missing file", "GET", "/none", nil, 404, "site"},
		{"forbidden", "GET", "/dir/", nil, 403, "site"},
		{"folder without its slash", "GET", "/dir", nil, 301, "site"},
		{"redirect", "GET", "/moved", nil, 302, "site"},
		{"no password", "GET", "/guarded/x", nil, 401, "guarded"},
		{"another method", "DELETE", "/x", nil, 405, "site"},
		{"taken away", "GET", "/plain/x", nil, 200, ""},
		{"redirect to https", "GET", "/x", []string{"Host: secure.test"}, 308, "secure"},
		{"no site", "GET", "/x", []string{"Host: other.test"}, 421, "top"},
		{"no request", "GET", "/%00", nil, 400, "top"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.do(t, request(test.method, test.target, test.lines...))
			if a.StatusCode != test.status {
				t.Fatalf("got %d %q, want %d", a.StatusCode, a.body, test.status)
			}
			for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Powered-By": "", "Server": "mine", "X-Level": test.level, "X-Text": "grün"} {
				if got := strings.Join(a.Header.Values(name), "|"); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
	a := s.get(t, "/cgi-bin/ok")
	for name, want := range map[string][]string{
		"Set-Cookie": {"a=b", "c=d"}, "Vary": {"Cookie", "Accept"}, "Link": {"</s.css>; rel=preload"}, "Cache-Control": {"no-cache"},
	} {
		if got := a.Header.Values(name); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := s.do(t, request("DELETE", "/x")).Header.Get("Allow"); got != "GET, HEAD" {
		t.Errorf("Allow: got %q", got)
	}
}

// The fields stand where the framing is not touched: a connection goes on after them.
func TestHeadersKeepTheConnection(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "file"})
	s := start(t, dir, "headers = { X-A = 'b' }\n[[site]]\nroot = 'DIR/htdocs'\n")
	conn := s.dial(t)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 3 {
		if _, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "file" || resp.Header.Get("X-A") != "b" || resp.ContentLength != 4 {
			t.Errorf("got %v %q, %v", resp.Header, body, err)
		}
	}
}
