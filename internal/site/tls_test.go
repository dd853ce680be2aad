package site_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/site"
)

// issuer signs certificates for tests.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-365 * 24 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, pool: x509.NewCertPool()}
	if i.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	i.pool.AddCert(i.cert)
	return i
}

// wantedCert is a certificate to be made. Its kind is "rsa" or, by default, "ecdsa".
type wantedCert struct {
	kind   string
	serial int64
	hosts  []string
	until  time.Time // by default in a hundred days
}

// issue returns a certificate and its key in PEM.
func (i *issuer) issue(t testing.TB, w wantedCert) (cert, key string) {
	t.Helper()
	var signer crypto.Signer
	var err error
	if w.kind == "rsa" {
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.until.IsZero() {
		w.until = time.Now().Add(100 * 24 * time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(w.serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-30 * 24 * time.Hour), NotAfter: w.until, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, host := range w.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, signer.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// install issues a certificate into NAME.pem and NAME.key of the folder.
func (i *issuer) install(t testing.TB, dir, name string, w wantedCert) {
	t.Helper()
	cert, key := i.issue(t, w)
	put(t, filepath.Join(dir, name+".pem"), cert)
	put(t, filepath.Join(dir, name+".key"), key)
}

// https is where the server listens for https.
func (s *server) https(t testing.TB) string {
	t.Helper()
	for _, l := range s.on {
		if l.Protocol == "https" {
			return l.Addr.String()
		}
	}
	t.Fatal("no https listener")
	return ""
}

// handshake connects to the https listener.
func (s *server) handshake(t testing.TB, c *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := s.tryHandshake(t, c)
	if err != nil {
		t.Fatalf("handshake for %q: %v", c.ServerName, err)
	}
	return conn
}

func (s *server) tryHandshake(t testing.TB, c *tls.Config) (*tls.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", s.https(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(2 * long))
	conn := tls.Client(raw, c)
	return conn, conn.Handshake()
}

// overHTTP2 asks by HTTP/2: with c, over TLS.
func overHTTP2(t testing.TB, addr string, c *tls.Config, r *http.Request) (*http.Response, string) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP2(c != nil)
	protocols.SetUnencryptedHTTP2(c == nil)
	tr := &http.Transport{
		Protocols: protocols, TLSClientConfig: c, DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 2*long)
	defer cancel()
	resp, err := tr.RoundTrip(r.WithContext(ctx))
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return resp, string(body)
}

func newRequest(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const tlsConfig = `
listen = ["http:127.0.0.1:0", "https:127.0.0.1:0"]
tls = { certificate = "DIR/server.pem", key = "DIR/server.key" }
`

const tlsEnvSite = `
[[site]]
  [[site.route]]
  path = "/env"
  cgi = "DIR/env"
`

// A client gets the certificate of the site that it names, of the kind that it takes.
func TestTLSByName(t *testing.T) {
	dir := tree(t, files{"a/who": "a"})
	ca := newIssuer(t)
	for name, w := range map[string]wantedCert{
		"server": {serial: 10, hosts: []string{"127.0.0.1", "other.example"}},
		"a":      {serial: 11, hosts: []string{"a.example"}},
		"a-rsa":  {serial: 12, hosts: []string{"a.example"}, kind: "rsa"},
		"wild":   {serial: 13, hosts: []string{"*.wild.example"}},
	} {
		ca.install(t, dir, name, w)
	}
	s := start(t, dir, tlsConfig+`
[[site]]
hosts = ["a.example"]
root = "DIR/a"
tls = [{ certificate = "DIR/a.pem", key = "DIR/a.key" }, { certificate = "DIR/a-rsa.pem", key = "DIR/a-rsa.key" }]
[[site]]
hosts = ["*.wild.example"]
root = "DIR/a"
tls = { certificate = "DIR/wild.pem", key = "DIR/wild.key" }
[[site]]
hosts = ["other.example"]
root = "DIR/a"
`)
	rsaOnly := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for _, row := range []struct {
		name, ask string
		suites    []uint16
		serial    int64
	}{
		{"exact", "a.example", nil, 11},
		{"upper case", "A.Example", nil, 11},
		{"exact, RSA", "a.example", rsaOnly, 12},
		{"wildcard", "x.wild.example", nil, 13},
		{"inherited", "other.example", nil, 10},
		{"unknown", "unknown.example", nil, 10},
		{"none", "", nil, 10},
	} {
		c := &tls.Config{ServerName: row.ask, RootCAs: ca.pool, InsecureSkipVerify: row.ask == "" || row.ask == "unknown.example"}
		if row.suites != nil {
			c.CipherSuites, c.MaxVersion = row.suites, tls.VersionTLS12
		}
		got := s.handshake(t, c).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
		if got != row.serial {
			t.Errorf("%s: certificate %d, want %d", row.name, got, row.serial)
		}
	}
	if conn, err := s.tryHandshake(t, &tls.Config{ServerName: "a.example", RootCAs: ca.pool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Errorf("TLS 1.1 was spoken: %x", conn.ConnectionState().Version)
	}
}

// What programs are told (A19, A21), over HTTP/1 and HTTP/2.
func TestTLSVariables(t *testing.T) {
	dir := tree(t, files{"env": envScript})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	s := start(t, dir, tlsConfig+tlsEnvSite)
	_, port, _ := net.SplitHostPort(s.https(t))
	common := []string{"HTTPS=on", "REQUEST_SCHEME=https", "SERVER_NAME=a.example", "SERVER_PORT=" + port, "SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=TLS_", "REMOTE_ADDR=127.0.0.1"}
	client := &tls.Config{ServerName: "a.example", RootCAs: ca.pool}

	conn := s.handshake(t, client.Clone())
	for range 2 { // on one connection
		fmt.Fprintf(conn, "GET /env HTTP/1.1\r\nHost: a.example\r\n\r\n")
	}
	in := bufio.NewReader(conn)
	for range 2 {
		got := read(t, in, "GET ")
		for _, want := range append(common, "SERVER_PROTOCOL=HTTP/1.1") {
			if !strings.Contains(got.body, want) {
				t.Errorf("HTTP/1: no %s in\n%s", want, got.body)
			}
		}
	}
	r := newRequest(t, "POST", "https://a.example/env?x=y", "hello")
	r.ContentLength = -1 // A56
	r.Header.Set("Te", "trailers")
	resp, body := overHTTP2(t, s.https(t), client, r)
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Fatalf("got %s %s", resp.Proto, resp.Status)
	}
	for _, want := range append(common, "SERVER_PROTOCOL=HTTP/2.0", "CONTENT_LENGTH=5", "HTTP_HOST=a.example", "REQUEST_URI=/env?x=y", "QUERY_STRING=x=y") {
		if !strings.Contains(body, want) {
			t.Errorf("HTTP/2: no %s in\n%s", want, body)
		}
	}
	if line := s.accessOf(t, "/env?x=y"); !strings.Contains(line, "status=200") {
		t.Errorf("access log: %s", line)
	}
}

// Which protocols are spoken where: http2 and h2c say so, also after a reload.
func TestTLSProtocols(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x"})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	const rest = tlsConfig + "[[site]]\nroot = 'DIR/htdocs'\n"
	s := start(t, dir, rest)
	alpn := func() string {
		c := &tls.Config{ServerName: "a.example", RootCAs: ca.pool, NextProtos: []string{"h2", "http/1.1"}}
		return s.handshake(t, c).ConnectionState().NegotiatedProtocol
	}
	if got := alpn(); got != "h2" {
		t.Errorf("by default: %q", got)
	}
	preface := func() string {
		return fmt.Sprint(s.do(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").StatusCode)
	}
	if got := preface(); got != "400" { // E09, E44
		t.Errorf("HTTP/2 on http: %s", got)
	}
	if err := s.host.Reload(parse(t, dir, "http2 = false\nh2c = true\n"+rest)); err != nil {
		t.Fatal(err)
	}
	if got := alpn(); got != "http/1.1" {
		t.Errorf("with http2 = false: %q", got)
	}
	resp, body := overHTTP2(t, s.addr.String(), nil, newRequest(t, "GET", "http://localhost/x", ""))
	if resp.ProtoMajor != 2 || body != "x" {
		t.Errorf("h2c: %s %q", resp.Proto, body)
	}
	if got := s.get(t, "/x"); got.StatusCode != 200 || got.ProtoMajor != 1 {
		t.Errorf("HTTP/1 beside h2c: %s", got.Status)
	}
}

// What is no TLS, and what is no proper HTTP over TLS (E01, E09).
func TestTLSRefuses(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x"})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	s := start(t, dir, tlsConfig+"[[site]]\nroot = 'DIR/htdocs'\n")
	conn, err := net.Dial("tcp", s.https(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * long))
	fmt.Fprint(conn, request("GET", "/x"))
	if got := read(t, bufio.NewReader(conn), "GET "); got.StatusCode != 400 || got.err != nil || !strings.HasSuffix(got.body, "not plain HTTP.\n") {
		t.Errorf("plain HTTP: %s %q %v", got.Status, got.body, got.err)
	}
	client := &tls.Config{ServerName: "a.example", RootCAs: ca.pool}
	for _, raw := range []string{
		"GET /x HTTP/1.1\nHost: a.example\n\n",
		"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		conn := s.handshake(t, client.Clone())
		fmt.Fprint(conn, raw)
		if got := read(t, bufio.NewReader(conn), "GET "); got.StatusCode != 400 {
			t.Errorf("%q: %s", raw, got.Status)
		}
	}
}

// A certificate that has changed is taken up; a broken one leaves the old in use.
func TestTLSFilesChange(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x"})
	ca := newIssuer(t)
	install := func(serial int64) {
		ca.install(t, dir, "server", wantedCert{serial: serial, hosts: []string{"a.example"}})
	}
	install(1)
	s := start(t, dir, tlsConfig+"[[site]]\nroot = 'DIR/htdocs'\n")
	serial := func() int64 {
		c := &tls.Config{ServerName: "a.example", RootCAs: ca.pool}
		return s.handshake(t, c).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("certificate %d", got)
	}
	install(2)
	eventually(t, "the second certificate", func() bool { return serial() == 2 })
	put(t, dir+"/server.key", "no key")
	eventually(t, "the complaint", func() bool { return strings.Contains(s.log.String(), "cannot be loaded; the old one stays in use") })
	if got := serial(); got != 2 {
		t.Errorf("certificate %d beside a broken key", got)
	}
	if err := s.host.Reload(parse(t, dir, tlsConfig+"[[site]]\nroot = 'DIR/htdocs'\n")); err == nil {
		t.Error("a reload takes a broken key")
	}
	install(3)
	eventually(t, "the third certificate", func() bool { return serial() == 3 })
	if n := strings.Count(s.log.String(), "stays in use"); n > 3 { // once for each change of a file that leaves no pair
		t.Errorf("%d complaints in\n%s", n, s.log)
	}
}

// Certificates that no client will like are warned of.
func TestTLSWarnings(t *testing.T) {
	for _, row := range []struct {
		name string
		cert wantedCert
		want string
	}{
		{"good", wantedCert{hosts: []string{"a.example", "*.b.example"}}, ""},
		{"expired", wantedCert{hosts: []string{"a.example", "*.b.example"}, until: time.Now().Add(-time.Hour)}, "it has expired on "},
		{"about to expire", wantedCert{hosts: []string{"a.example", "*.b.example"}, until: time.Now().Add(48 * time.Hour)}, "it expires on "},
		{"for another", wantedCert{hosts: []string{"c.example"}}, "it is not for a.example, *.b.example"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := tree(t, files{"htdocs/x": "x"})
			row.cert.serial = 1
			newIssuer(t).install(t, dir, "server", row.cert)
			s := start(t, dir, tlsConfig+"[[site]]\nhosts = ['a.example', '*.b.example']\nroot = 'DIR/htdocs'\n")
			if row.want == "" {
				if log := s.log.String(); strings.Contains(log, "level=WARN") {
					t.Errorf("log: %s", log)
				}
				return
			}
			eventually(t, "the warning", func() bool { return strings.Contains(s.log.String(), row.want) })
		})
	}
}

// What is wrong with certificates keeps the server from starting.
func TestTLSErrors(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x", "empty.pem": "", "folder.pem/": ""})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	ca.install(t, dir, "other", wantedCert{serial: 1, hosts: []string{"a.example"}})
	if err := os.Chmod(dir+"/htdocs", 0o755); err != nil {
		t.Fatal(err)
	}
	const listen = "listen = ['https:127.0.0.1:0']\n"
	const sites = "[[site]]\nhosts = ['a.example']\nroot = 'DIR/htdocs'\n"
	for _, row := range []struct{ name, text, want string }{
		{"none", listen + sites, `gatehouse.toml:1:11: listen: no certificate for https:127.0.0.1:0 (tls names one)`},
		{"missing", listen + "tls = { certificate = 'none.pem' }\n" + sites, `gatehouse.toml:2:7: tls: file "DIR/none.pem" cannot be read: no such file or directory`},
		{"empty", listen + sites + "tls = { certificate = 'empty.pem' }\n", `gatehouse.toml:5:7: site.tls: certificate "DIR/empty.pem", key "DIR/empty.pem": failed to find any PEM data in certificate input`},
		{"folder", listen + sites + "tls = { certificate = 'folder.pem' }\n", `gatehouse.toml:5:7: site.tls: file "DIR/folder.pem" cannot be read: not a regular file`},
		{"another's key", listen + sites + "tls = { certificate = 'server.pem', key = 'other.key' }\n", `private key does not match public key`},
		{"open storage", listen + "acme = { accept_terms = true, storage = 'htdocs' }\n" + sites + "tls = { acme = true }\n", `acme.storage: folder "DIR/htdocs", which is for private keys, is open to others (mode 0755) (chmod 0700 closes it)`},
		{"no CA", listen + "acme = { accept_terms = true, ca = 'empty.pem' }\n" + sites + "tls = { acme = true }\n", `acme.ca: file "DIR/empty.pem" has no certificate in it (expected PEM)`},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, err := site.New(parse(t, dir, row.text), site.Options{})
			if err == nil {
				_ = h.Close()
			}
			if want := strings.ReplaceAll(row.want, "DIR", dir); !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
}

// A client that says nothing holds up neither others nor the end.
func TestTLSSilence(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x"})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	s := start(t, dir, "connections = 2\n"+tlsConfig+"[[site]]\nroot = 'DIR/htdocs'\n")
	silent, err := net.Dial("tcp", s.https(t))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := &tls.Config{ServerName: "a.example", RootCAs: ca.pool}
	for range 3 { // more than there are places: those of the others are given back
		conn := s.handshake(t, client.Clone())
		fmt.Fprint(conn, request("GET", "/x"))
		if got := read(t, bufio.NewReader(conn), "GET "); got.body != "x" {
			t.Errorf("got %s %q", got.Status, got.body)
		}
		_ = conn.Close()
	}
	for range 3 { // and those of clients that fail
		conn, err := s.tryHandshake(t, &tls.Config{ServerName: "a.example", RootCAs: x509.NewCertPool()})
		if err == nil {
			t.Error("a certificate was verified by nobody")
		}
		_ = conn.Close()
	}
	s.stop()
	<-s.done
	if s.err != nil {
		t.Errorf("Serve: %v", s.err)
	}
}

// The rules of HTTP/2 that net/http leaves to us.
func TestHTTP2Refuses(t *testing.T) {
	dir := tree(t, files{"env": envScript})
	s := start(t, dir, "h2c = true\n"+tlsEnvSite)
	many, large := http.Header{}, http.Header{"X-Large": {strings.Repeat("x", 33<<10)}}
	for n := range 101 {
		many.Set(fmt.Sprintf("X-%d", n), "x")
	}
	for _, row := range []struct {
		name   string
		method string
		header http.Header
		want   int
	}{
		{"good", "GET", http.Header{"X-A": {"b"}}, 200},
		{"E07 TRACE", "TRACE", nil, 405},
		{"E30 fields", "GET", many, 431},
		{"E47 size", "GET", large, 431},
	} {
		r := newRequest(t, row.method, "http://localhost/env", "")
		if row.header != nil {
			r.Header = row.header
		}
		if resp, _ := overHTTP2(t, s.addr.String(), nil, r); resp.StatusCode != row.want {
			t.Errorf("%s: %s, want %d", row.name, resp.Status, row.want)
		}
	}
}

// pem is the issuer's own certificate.
func (i *issuer) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}
