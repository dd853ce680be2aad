package environ_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/environ"
)

// request returns a request as a server has received it: from
// 192.0.2.1:1234 at 192.0.2.80:8080.
func request(method, target string, fields ...string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	r.RequestURI = target
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 80), Port: 8080}
	r = r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local))
	for i := 0; i < len(fields); i += 2 {
		// As they are spelled: the server's canonical form is up to the test.
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	return r
}

func mustEnv(t *testing.T, s *environ.Server, r *http.Request) environ.Env {
	t.Helper()
	e, err := s.FromHTTP(r)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// clientCert returns a certificate that nobody has signed but itself.
func clientCert(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xA0B),
		Subject:      pkix.Name{CommonName: "joe", Organization: []string{"Example"}},
		NotBefore:    time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
		NotAfter:     time.Date(2040, 11, 12, 13, 14, 15, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// fullEnv returns the variables of a request that has as many as possible.
func fullEnv(t *testing.T) environ.Env {
	r := request("POST", "/a?b", "Content-Type", "text/plain", "Cookie", "c")
	r.ContentLength = 1
	r.TLS = &tls.ConnectionState{
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
		PeerCertificates: []*x509.Certificate{clientCert(t).Leaf},
	}
	e := mustEnv(t, new(environ.Server), r)
	e.SetScript(environ.Script{Name: "/a", Filename: "/s/a", PathInfo: "/p", PathTranslated: "/s/p", DocumentRoot: "/s"})
	return e
}

// All variables, their values and their order: A01-A21, A30, A31, A33.
func TestFromHTTP(t *testing.T) {
	r := request("POST", "/cgi-bin/a%20b/c?d=%41",
		"Content-Type", "text/plain; charset=x", "Content-Length", "005",
		"Accept", "a", "Accept", "b", "Cookie", "x=1", "Cookie", "y=2", "X-B", "\xe9\tz", "X-A1", "", "Authorization", "Basic x", "User-Agent", "u")
	r.ContentLength = 5
	r.Host = "Example.ORG:99"
	e := mustEnv(t, &environ.Server{Software: "gatehouse/1"}, r)
	want := []string{
		"GATEWAY_INTERFACE=CGI/1.1",
		"SERVER_SOFTWARE=gatehouse/1",
		"REDIRECT_STATUS=200",
		"SERVER_NAME=example.org",
		"SERVER_ADDR=192.0.2.80",
		"SERVER_PORT=8080", // not the 99 of Host, A15
		"REMOTE_ADDR=192.0.2.1",
		"REMOTE_HOST=192.0.2.1",
		"REMOTE_PORT=1234",
		"SERVER_PROTOCOL=HTTP/1.1",
		"REQUEST_METHOD=POST",
		"REQUEST_SCHEME=http",
		"REQUEST_URI=/cgi-bin/a%20b/c?d=%41",
		"QUERY_STRING=d=%41",
		"CONTENT_TYPE=text/plain; charset=x",
		"CONTENT_LENGTH=5",
		"HTTP_ACCEPT=a, b",
		"HTTP_AUTHORIZATION=Basic x",
		"HTTP_COOKIE=x=1; y=2",
		"HTTP_HOST=Example.ORG:99",
		"HTTP_USER_AGENT=u",
		"HTTP_X_A1=",
		"HTTP_X_B=\xe9\tz",
	}
	if got := strings.Join(e.Strings(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	e.Set("HTTP_PROXY_AUTHORIZATION", "x")
	e.DelAuthorization()
	if got := e.Len(); got != len(want)-1 || e.Get("HTTP_AUTHORIZATION") != "" {
		t.Errorf("after DelAuthorization: %q", e.Strings())
	}
}

func TestFromHTTPVariables(t *testing.T) {
	for _, test := range []struct {
		name   string
		server environ.Server
		change func(r *http.Request)
		want   string // NAME=value, or NAME for one that is absent
	}{
		{"default software, A17", environ.Server{}, func(r *http.Request) {}, "SERVER_SOFTWARE=gatehouse"},
		{"method verbatim, A12", environ.Server{}, func(r *http.Request) { r.Method = "patCH" }, "REQUEST_METHOD=patCH"},
		{"no query, A07", environ.Server{}, func(r *http.Request) {}, "QUERY_STRING="},
		{"absolute-form, A20", environ.Server{}, func(r *http.Request) { r.RequestURI = "http://other.example:81?q" }, "REQUEST_URI=/?q"},
		{"host of absolute-form, A34", environ.Server{}, func(r *http.Request) { r.RequestURI = "http://other.example:81/" }, "HTTP_HOST=other.example:81"},
		{"name of absolute-form", environ.Server{}, func(r *http.Request) { r.RequestURI = "http://other.example:81/" }, "SERVER_NAME=other.example"},
		{"no length, A02", environ.Server{}, func(r *http.Request) {}, "CONTENT_LENGTH"},
		{"length to be found out", environ.Server{}, func(r *http.Request) { r.ContentLength = -1 }, "CONTENT_LENGTH"},
		{"length 0 told", environ.Server{}, func(r *http.Request) { r.Header.Set("Content-Length", "00") }, "CONTENT_LENGTH=0"},
		{"no type, A03", environ.Server{}, func(r *http.Request) {}, "CONTENT_TYPE"},
		{"same type twice", environ.Server{}, func(r *http.Request) { r.Header["Content-Type"] = []string{"a/b", "a/b"} }, "CONTENT_TYPE=a/b"},
		{"v4-mapped peer, A08", environ.Server{}, func(r *http.Request) { r.RemoteAddr = "[::ffff:192.0.2.9]:5" }, "REMOTE_ADDR=192.0.2.9"},
		{"zone, A08", environ.Server{}, func(r *http.Request) { r.RemoteAddr = "[fe80::1%eth0]:5" }, "REMOTE_ADDR=fe80::1"},
		{"Unix peer, A08", environ.Server{}, func(r *http.Request) { r.RemoteAddr = "@" }, "REMOTE_ADDR=0.0.0.0"},
		{"Unix peer, A09", environ.Server{}, func(r *http.Request) { r.RemoteAddr = "@" }, "REMOTE_HOST=0.0.0.0"},
		{"Unix peer has no port", environ.Server{}, func(r *http.Request) { r.RemoteAddr = "@" }, "REMOTE_PORT"},
		{"peer unknown", environ.Server{}, func(r *http.Request) { r.RemoteAddr = "pipe" }, "REMOTE_ADDR=0.0.0.0"},
		{"no Host in HTTP/1.0, A14", environ.Server{Name: "configured"}, http10, "SERVER_NAME=configured"},
		{"no Host, no name", environ.Server{}, http10, "SERVER_NAME=192.0.2.80"},
		{"no Host, no HTTP_HOST", environ.Server{}, http10, "HTTP_HOST"},
		{"no Host, IPv6", environ.Server{}, func(r *http.Request) { http10(r); local(r, &net.TCPAddr{IP: net.IPv6loopback, Port: 80}) }, "SERVER_NAME=[::1]"},
		{"IPv6 Host, A14", environ.Server{}, func(r *http.Request) { r.Host = "[::1]:8" }, "SERVER_NAME=[::1]"},
		{"no local address", environ.Server{}, func(r *http.Request) { local(r, &net.UnixAddr{Name: "/s", Net: "unix"}) }, "SERVER_ADDR"},
		{"no local port, A15", environ.Server{}, func(r *http.Request) { local(r, &net.UnixAddr{Name: "/s", Net: "unix"}) }, "SERVER_PORT=80"},
		{"no local name", environ.Server{}, func(r *http.Request) { http10(r); local(r, &net.UnixAddr{Name: "/s", Net: "unix"}) }, "SERVER_NAME=localhost"},
		{"HTTP/2, A16", environ.Server{}, func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0 }, "SERVER_PROTOCOL=HTTP/2.0"},
		{"no TLS, A19", environ.Server{}, func(r *http.Request) {}, "HTTPS"},
		{"no TLS, A21", environ.Server{}, func(r *http.Request) {}, "SSL_PROTOCOL"},
	} {
		r := request("GET", "/")
		test.change(r)
		e := mustEnv(t, &test.server, r)
		name, value, present := strings.Cut(test.want, "=")
		if got, ok := e.Lookup(name); got != value || ok != present {
			t.Errorf("%s: %s=%q (present: %t), want %s", test.name, name, got, ok, test.want)
		}
	}
}

func http10(r *http.Request) {
	r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host = "HTTP/1.0", 1, 0, ""
}

func local(r *http.Request, addr net.Addr) {
	*r = *r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, addr))
}

func TestFromHTTPRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		server environ.Server
		change func(r *http.Request)
		status int
	}{
		{"method", environ.Server{}, func(r *http.Request) { r.Method = "G T" }, 400},
		{"empty method", environ.Server{}, func(r *http.Request) { r.Method = "" }, 400},
		{"protocol", environ.Server{}, func(r *http.Request) { r.Proto = "HTTP/1.1\n" }, 400},
		{"asterisk, E06", environ.Server{}, func(r *http.Request) { r.RequestURI = "*" }, 400},
		{"fragment, E06", environ.Server{}, func(r *http.Request) { r.RequestURI = "/a#b" }, 400},
		{"NUL in query, A27", environ.Server{}, func(r *http.Request) { r.RequestURI = "/a?\x00" }, 400},
		{"userinfo, E15", environ.Server{}, func(r *http.Request) { r.RequestURI = "http://u:p@h/" }, 400},
		{"bad Host, E10", environ.Server{}, func(r *http.Request) { r.Host = "a_b:99999999" }, 400},
		{"no Host, E10", environ.Server{}, func(r *http.Request) { r.Host = "" }, 400},
		{"two types, A03", environ.Server{}, func(r *http.Request) { r.Header["Content-Type"] = []string{"a/b", "a/c"} }, 400},
		{"NUL in type, A27", environ.Server{}, func(r *http.Request) { r.Header["Content-Type"] = []string{"a\x00"} }, 400},
		{"NUL in a field, A27", environ.Server{}, func(r *http.Request) { r.Header["X"] = []string{"a", "\x00"} }, 400},
		{"newline in a field, A36", environ.Server{}, func(r *http.Request) { r.Header["X"] = []string{"a\nb"} }, 400},
		{"target too long, E30", environ.Server{}, func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", 8192) }, 414},
		{"target over MaxTarget", environ.Server{MaxTarget: 4}, func(r *http.Request) { r.RequestURI = "/abcd" }, 414},
		{"target over MaxVar", environ.Server{MaxTarget: 1 << 20}, func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", environ.MaxVar) }, 414},
		{"field over MaxVar, A28", environ.Server{}, func(r *http.Request) { r.Header.Set("Cookie", strings.Repeat("a", 130<<10)) }, 431},
		{"lines over MaxVar, A28", environ.Server{}, func(r *http.Request) {
			r.Header["X"] = []string{strings.Repeat("a", 64<<10), strings.Repeat("a", 64<<10)}
		}, 431},
		{"101 fields, E30", environ.Server{}, func(r *http.Request) { r.Header["X"] = make([]string, 101) }, 431},
		{"fields over MaxFields", environ.Server{MaxFields: 1}, func(r *http.Request) { r.Header.Set("A", ""); r.Header.Set("B", "") }, 431},
		{"long Connection", environ.Server{}, func(r *http.Request) { r.Header.Set("Connection", strings.Repeat("a,", 2049)) }, 431},
		{"NUL in a certificate, A27", environ.Server{}, func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "a\x00"}}}}
		}, 400},
	} {
		r := request("GET", "/")
		test.change(r)
		e, err := test.server.FromHTTP(r)
		if statusOf(err) != test.status || e.Len() != 0 {
			t.Errorf("%s: %v with %d variables, want status %d", test.name, err, e.Len(), test.status)
		}
	}
}

// The limits themselves are allowed.
func TestFromHTTPAtTheLimits(t *testing.T) {
	r := request("GET", "/"+strings.Repeat("a", 8191), "Connection", strings.Repeat("a,", 2048))
	r.Header["Cookie"] = []string{strings.Repeat("c", environ.MaxVar-len("HTTP_COOKIE="))}
	r.Header["X"] = make([]string, 98)
	e := mustEnv(t, new(environ.Server), r)
	if got := len(e.Get("HTTP_COOKIE")); got != environ.MaxVar-len("HTTP_COOKIE=") {
		t.Errorf("cookie of %d bytes", got)
	}
}

// A19, A21: the client's certificate, and none of it when the TLS is a proxy's.
func TestFromHTTPTLS(t *testing.T) {
	e := fullEnv(t)
	for _, want := range []string{
		"HTTPS=on", "REQUEST_SCHEME=https", "SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=TLS_AES_128_GCM_SHA256",
		"SSL_CLIENT_VERIFY=GENEROUS", "SSL_CLIENT_M_VERSION=3", "SSL_CLIENT_M_SERIAL=0A0B",
		"SSL_CLIENT_S_DN=CN=joe,O=Example", "SSL_CLIENT_S_DN_CN=joe", "SSL_CLIENT_I_DN=CN=joe,O=Example", "SSL_CLIENT_I_DN_CN=joe",
		"SSL_CLIENT_V_START=Jan  2 03:04:05 2020 GMT", "SSL_CLIENT_V_END=Nov 12 13:14:15 2040 GMT",
	} {
		name, value, _ := strings.Cut(want, "=")
		if got := e.Get(name); got != value {
			t.Errorf("%s=%q, want %q", name, got, value)
		}
	}

	r := request("GET", "/", "X-Forwarded-For", "198.51.100.7")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{clientCert(t).Leaf}}
	for name := range mustEnv(t, trusting("192.0.2.1/32"), r).All() {
		if strings.HasPrefix(name, "SSL_") {
			t.Errorf("%s tells about the proxy", name)
		}
	}
}

// serve answers with the variables that a real server has led to, and the error.
func serve(s *environ.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, err := s.FromHTTP(r)
		if err != nil {
			http.Error(w, err.Error(), statusOf(err))
			return
		}
		fmt.Fprintln(w, strings.Join(e.Strings(), "\n"))
	})
}

// A16, A19, A21, A34 over a real HTTP/2 connection.
func TestFromHTTPOverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(serve(new(environ.Server)))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	client := server.Client()
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{clientCert(t)}
	res, err := client.Get(server.URL + "/a%20b?c=d")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	addr := server.Listener.Addr().(*net.TCPAddr)
	for _, want := range []string{
		"SERVER_PROTOCOL=HTTP/2.0", "HTTPS=on", "SSL_PROTOCOL=TLSv1.3", "SSL_CLIENT_S_DN_CN=joe",
		"REQUEST_URI=/a%20b?c=d", "QUERY_STRING=c=d", "SERVER_NAME=127.0.0.1",
		fmt.Sprintf("SERVER_PORT=%d", addr.Port), fmt.Sprintf("HTTP_HOST=%s", addr),
	} {
		if !strings.Contains("\n"+string(body), "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}

// What net/http lets through to a handler (section E.1), as raw bytes on a Unix
// socket: A08, E06, E10, E13, E15, E24, E25.
func TestFromHTTPOverUnixSocket(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: serve(&environ.Server{TrustUnix: true})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() { server.Close(); <-done }()

	for _, test := range []struct {
		name, raw string
		status    int
		want      string // a line of the body, or "!" and a prefix that no line has
	}{
		{"no proxy's word", "GET / HTTP/1.1\r\nHost: h\r\n", 200, "REMOTE_ADDR=0.0.0.0"},
		{"a proxy's word", "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.7\r\n", 200, "REMOTE_ADDR=198.51.100.7"},
		{"userinfo", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n", 400, "!GATEWAY"},
		{"other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n", 400, "!GATEWAY"},
		{"asterisk", "GET * HTTP/1.1\r\nHost: h\r\n", 400, "!GATEWAY"},
		{"CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n", 400, "!GATEWAY"},
		{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n", 400, "!GATEWAY"},
		{"target's host wins", "GET http://a/ HTTP/1.1\r\nHost: b\r\n", 200, "HTTP_HOST=a"},
		{"Transfer_Encoding", "GET / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\n", 200, "!HTTP_TRANSFER"},
		{"Proxy", "GET / HTTP/1.1\r\nHost: h\r\npROXY: x\r\n", 200, "!HTTP_PROXY"},
		{"Host on an old request", "GET /?q HTTP/1.0\r\n", 200, "SERVER_NAME=localhost"},
	} {
		conn, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, test.raw+"Connection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		body, _ := io.ReadAll(res.Body)
		conn.Close()
		text := "\n" + string(body)
		found := strings.Contains(text, "\n"+test.want+"\n")
		if prefix, absent := strings.CutPrefix(test.want, "!"); absent {
			found = !strings.Contains(text, "\n"+prefix)
		}
		if res.StatusCode != test.status || !found {
			t.Errorf("%s: status %d, want %d and %s in\n%s", test.name, res.StatusCode, test.status, test.want, body)
		}
	}
}
