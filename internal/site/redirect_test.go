package site_test

import (
	"strings"
	"testing"
)

const redirectConfig = `
trusted_proxies = ["127.0.0.1"]
[[site]]
root = "DIR/htdocs"
[[site.route]]
path = "/plain"
redirect = "https://example.org/new?a=b"
status = 308
[[site.route]]
path = "/path/"
redirect = "{path}?{query}&old=1"
[[site.route]]
path = "/rest/"
redirect = "/new/{rest}?{query}"
[[site.route]]
path = "/bare/"
redirect = "/{rest}"
[[site.route]]
path = "/joined/"
redirect = "/{path}"
[[site.route]]
path = "/host/"
redirect = "https://{host}{path}?{query}"
status = 301
[[site.route]]
path = "/www/"
redirect = "{scheme}://www.{host}:8443/{rest}"
[[site.route]]
path = "/login/"
redirect = "/sign-in?next={path}&host={host}"
[[site.route]]
path = "*.php"
redirect = "/legacy{path}"
`

// What a client says is escaped where it stands in a Location: it ends no field, and
// leads to no other host.
func TestRedirectPlaceholders(t *testing.T) {
	dir := tree(t, files{"htdocs/old/a b.php": "x"})
	s := start(t, dir, redirectConfig)
	for _, test := range []struct {
		name, target string
		lines        []string
		status       int
		location     string
	}{
		{"none", "/plain", nil, 308, "https://example.org/new?a=b"},
		{"path", "/path/a/b", nil, 302, "/path/a/b?old=1"},
		{"path and query", "/path/a/b?x=%20y&z", nil, 302, "/path/a/b?x=%20y&z&old=1"},
		{"rest", "/rest/a/b/", nil, 302, "/new/a/b/"},
		{"rest and query", "/rest/a?b=c?d", nil, 302, "/new/a?b=c?d"},
		{"no rest", "/rest/", nil, 302, "/new/"},
		{"escaped", "/rest/%25%3F%23%20%22%C3%BC%3B=", nil, 302, "/new/%25%3F%23%20%22%C3%BC;="},
		{"a placeholder is no template", "/rest/%7Bhost%7D?{host}", nil, 302, "/new/%7Bhost%7D?%7Bhost%7D"},
		{"marks in the query", `/rest/a?"<>^` + "`|{}", nil, 302, "/new/a?%22%3C%3E%5E%60%7C%7B%7D"},
		{"another host", "/bare//evil.example/x", nil, 302, "/evil.example/x"},
		{"another host, with dots", "/bare/.//evil.example", nil, 302, "/evil.example"},
		{"another host, from the root", "//bare//evil.example", nil, 302, "/evil.example"},
		{"a slash before the path", "/joined/x", nil, 302, "/joined/x"},
		{"host", "/host/x?y", nil, 301, "https://localhost/host/x?y"},
		{"host in upper case with a port", "/host/x", []string{"Host: WWW.Example.ORG:8080"}, 301, "https://www.example.org/host/x"},
		{"host that is an address", "/host/x", []string{"Host: [0:0::1]:80"}, 301, "https://[::1]/host/x"},
		{"scheme", "/www/a", []string{"Host: example.org"}, 302, "http://www.example.org:8443/a"},
		{"scheme of a proxy", "/www/a", []string{"Host: example.org", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.1"}, 302, "https://www.example.org:8443/a"},
		{"no URL comes of it", "/www/a", []string{"Host: [::1]"}, 404, ""},
		{"in a query", "/login/a&b=c/%C3%BC", nil, 302, "/sign-in?next=%2Flogin%2Fa%26b%3Dc%2F%C3%BC&host=localhost"},
		{"by the end of a name", "/old/a%20b.php", nil, 302, "/legacy/old/a%20b.php"},
		{"a line end", "/rest/a%0d%0aX:%20y", nil, 400, ""},
		{"a backslash", `/bare/\evil.example`, nil, 400, ""},
		{"an escaped backslash", "/bare/%5Cevil.example", nil, 302, "/%5Cevil.example"},
		{"an escaped slash", "/bare/%2Fevil.example", nil, 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.get(t, test.target, test.lines...)
			if got := a.Header.Get("Location"); a.StatusCode != test.status || got != test.location {
				t.Errorf("got %d %q, want %d %q", a.StatusCode, got, test.status, test.location)
			}
			if test.location != "" && !strings.HasSuffix(a.body, ": "+test.location+"\n") {
				t.Errorf("got %q", a.body)
			}
		})
	}
}
