package site_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
)

// redirect_to_https keeps path and query, and believes a trusted proxy (E25).
func TestRedirectToHTTPS(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x"})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	const sites = `
[[site]]
hosts = ["a.example", "localhost", "[::1]"]
root = "DIR/htdocs"
[[site]]
hosts = ["plain.example"]
root = "DIR/htdocs"
redirect_to_https = false
`
	s := start(t, dir, "redirect_to_https = true\n"+tlsConfig+sites)
	_, port, _ := net.SplitHostPort(s.https(t))
	for _, row := range []struct {
		name, method, target, host string
		status                     int
		location                   string
	}{
		{"path and query", "GET", "/x%20y/?a=b%2Fc", "a.example", 308, "https://a.example:" + port + "/x%20y/?a=b%2Fc"},
		{"another port", "POST", "/x", "a.example:8080", 308, "https://a.example:" + port + "/x"},
		{"address", "GET", "/", "[::1]", 308, "https://[::1]:" + port + "/"},
		{"two slashes", "GET", "//evil.example/x", "a.example", 308, "https://a.example:" + port + "//evil.example/x"},
		{"a site without", "GET", "/x", "plain.example", 200, ""},
		{"no site", "GET", "/x", "unknown.example", 421, ""},
	} {
		got := s.do(t, request(row.method, row.target, "Host: "+row.host))
		if got.StatusCode != row.status || got.Header.Get("Location") != row.location {
			t.Errorf("%s: %s, Location %q, want %d, %q", row.name, got.Status, got.Header.Get("Location"), row.status, row.location)
		}
	}
	if got := s.get(t, "/x", "Host: a.example", "X-Forwarded-Proto: https"); got.StatusCode != 308 {
		t.Errorf("a client's own word: %s", got.Status)
	}
	client := &tls.Config{ServerName: "a.example", RootCAs: ca.pool}
	if resp, body := overHTTP2(t, s.https(t), client, newRequest(t, "GET", "https://a.example/x", "")); resp.StatusCode != 200 || body != "x" {
		t.Errorf("over TLS: %s %q", resp.Status, body)
	}
	if line := s.accessOf(t, `a=b%2Fc`); !strings.Contains(line, "status=308") || !strings.Contains(line, "site=a.example") {
		t.Errorf("access log: %s", line)
	}

	// Behind a proxy that has taken the request over TLS, and with no https of our own.
	s = start(t, dir, "redirect_to_https = true\ntrusted_proxies = ['127.0.0.1']\n"+sites)
	for forwarded, want := range map[string]string{
		"X-Forwarded-Proto: https": "", "X-Forwarded-Proto: http": "https://a.example/x",
		"Forwarded: for=192.0.2.1;proto=https": "", "X-Other: x": "https://a.example/x",
	} {
		got := s.get(t, "/x", "Host: a.example", forwarded)
		if got.Header.Get("Location") != want || (want == "") != (got.StatusCode == 200) {
			t.Errorf("%s: %s, Location %q, want %q", forwarded, got.Status, got.Header.Get("Location"), want)
		}
	}
}
