package config_test

import (
	"reflect"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

func TestTLS(t *testing.T) {
	c := parse(t, `
listen = ["127.0.0.1:80", "https:127.0.0.1:443"]
tls = { certificate = "all.pem" }
acme = { accept_terms = true, email = "a@example.org", directory = "https://localhost:14000/dir", storage = "acme", ca = "/ca.pem" }
http2 = false
h2c = true
proxy_protocol = true
trusted_proxies = ["127.0.0.1"]
redirect_to_https = true

[[site]]
hosts = ["a.example"]
tls = [{ certificate = "a.pem", key = "a.key" }, { certificate = "/b.pem", key = "/b.key" }]

[[site]]
hosts = ["b.example"]
tls = { acme = true }
redirect_to_https = false

[[site]]
`)
	if c.HTTP2 || !c.H2C || !c.ProxyProtocol {
		t.Errorf("http2 %v, h2c %v, proxy_protocol %v", c.HTTP2, c.H2C, c.ProxyProtocol)
	}
	if got := c.Listen[1]; got.Protocol != "https" || got.Network != "tcp" || got.Address != "127.0.0.1:443" {
		t.Errorf("listen: %+v", got)
	}
	want := config.ACME{Email: "a@example.org", Directory: "https://localhost:14000/dir", Storage: "etc/acme", CA: "/ca.pem", AcceptTerms: true}
	if c.ACME != want {
		t.Errorf("acme: got %+v, want %+v", c.ACME, want)
	}
	all := config.Certificate{File: "etc/all.pem", Key: "etc/all.pem"}
	for n, want := range []config.Secure{
		{TLS: config.TLS{Certificates: []config.Certificate{{File: "etc/a.pem", Key: "etc/a.key"}, {File: "/b.pem", Key: "/b.key"}}}, RedirectToHTTPS: true},
		{TLS: config.TLS{ACME: true}},
		{TLS: config.TLS{Certificates: []config.Certificate{all}}, RedirectToHTTPS: true},
	} {
		if got := c.Sites[n].Secure; !reflect.DeepEqual(got, want) {
			t.Errorf("site %d: got %+v, want %+v", n, got, want)
		}
	}
}

func TestCoding(t *testing.T) {
	c := parse(t, `
compress = true

[[site]]
hosts = ["a.example"]
precompressed = true
  [[site.route]]
  path = "/x/"
  static = "/x/"
  compress = ["gzip"]
  [[site.route]]
  path = "/y/"
  static = "/y/"
  precompressed = false

[[site]]
compress = false
`)
	both := []string{"zstd", "gzip"}
	for _, row := range []struct {
		name      string
		got, want config.Coding
	}{
		{"server", c.Coding, config.Coding{Compress: both}},
		{"site", c.Sites[0].Coding, config.Coding{Compress: both, Precompressed: true}},
		{"route of its own", c.Sites[0].Routes[0].Coding, config.Coding{Compress: []string{"gzip"}, Precompressed: true}},
		{"route without", c.Sites[0].Routes[1].Coding, config.Coding{Compress: both}},
		{"off", c.Sites[1].Coding, config.Coding{}},
	} {
		if !reflect.DeepEqual(row.got, row.want) {
			t.Errorf("%s: got %+v, want %+v", row.name, row.got, row.want)
		}
	}
}

func TestTLSErrors(t *testing.T) {
	const terms = "acme = { accept_terms = true }\n"
	for _, row := range []struct{ name, text, want string }{
		{"no table", "tls = true\n", `g:1:7: tls: expected a table, got a boolean`},
		{"no certificate", "tls = []\n", `g:1:7: tls: no certificate (leave it out for none)`},
		{"key alone", "tls = { key = 'a' }\n", `g:1:7: tls: certificate is missing (expected a file, or acme = true)`},
		{"empty path", "tls = { certificate = '' }\n", `g:1:23: tls.certificate: empty path`},
		{"unknown key", "tls = { certificat = 'a', certificate = 'a' }\n", `g:1:9: tls.certificat: unknown key (did you mean "certificate"?)`},
		{"acme and files", terms + "tls = { acme = true, key = 'a' }\n", `g:2:7: tls: certificate or key beside acme = true (expected the one or the other)`},
		{"acme among files", terms + "tls = [{ certificate = 'a' }, { acme = true }]\n", `g:2:31: tls: acme = true beside certificates from files (expected the one or the other)`},
		{"terms", "[[site]]\nhosts = ['a.example']\ntls = { acme = true }\n[[site]]\nhosts = ['b.example']\ntls = { acme = true }\n",
			`g:3:7: site.tls: the terms of service of the authority are not accepted (write acme = { accept_terms = true } at the top of the main file)`},
		{"wildcard", terms + "[[site]]\nhosts = ['*.a.example']\ntls = { acme = true }\n", `g:4:7: site.tls: no certificate can be fetched for "*.a.example" (acme is for whole names of hosts, as in "www.example.org")`},
		{"address", terms + "[[site]]\nhosts = ['::1']\ntls = { acme = true }\n", `g:4:7: site.tls: no certificate can be fetched for "[::1]" (acme is for whole names of hosts, as in "www.example.org")`},
		{"one label", terms + "[[site]]\nhosts = ['localhost']\ntls = { acme = true }\n", `g:4:7: site.tls: no certificate can be fetched for "localhost" (acme is for whole names of hosts, as in "www.example.org")`},
		{"inherited without hosts", terms + "tls = { acme = true }\n[[site]]\n", `g:3:1: site: no certificate can be fetched for a site without hosts (acme is for whole names of hosts, as in "www.example.org")`},
		{"email", "acme = { email = 'a b@c' }\n[[site]]\nhosts = ['a.example']\n", `g:1:18: acme.email: bad address "a b@c" (expected one as in "admin@example.org")`},
		{"directory", "acme = { directory = 'http://localhost/' }\n", `g:1:22: acme.directory: bad URL "http://localhost/" (expected one that begins with https://)`},
		{"acme for nobody", terms + "[[site]]\n", `g:1:1: acme: does nothing: no tls has acme = true`},
		{"proxy protocol from nobody", "proxy_protocol = true\n", `g:1:1: proxy_protocol: does nothing without trusted_proxies (only from them a PROXY header is taken)`},
		{"in a route", "[[site]]\n[[site.route]]\npath = '/'\nstatic = '/'\ntls = { certificate = 'a' }\n", `g:5:1: site.route.tls: not allowed here (it belongs at the top of the main file, before any table)`},
		{"coding", "compress = ['br', 'gzip', 'gzip']\n", "g:1:13: compress: unknown coding \"br\" (expected \"zstd\", \"gzip\")\ng:1:27: compress: coding \"gzip\" is listed twice"},
		{"no coding", "compress = []\n", `g:1:12: compress: no coding (write false for none)`},
		{"coding as a string", "compress = 'gzip'\n", `g:1:12: compress: expected a boolean or an array, got a string`},
		{"precompressed for a program", "[[site]]\n[[site.route]]\npath = '/'\ncgi = '/x'\nprecompressed = true\n", `g:5:1: site.route.precompressed: does nothing in a route with cgi (it is for static)`},
		{"compress for a redirect", "[[site]]\n[[site.route]]\npath = '/'\nredirect = '/x'\ncompress = true\n", `g:5:1: site.route.compress: does nothing in a route with redirect (it is for cgi, fastcgi, scgi, wsgi and static)`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := config.Parse("g", []byte(row.text))
			if err == nil || !strings.Contains(err.Error()+"\n", row.want+"\n") {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
}
