package site_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// version2 is a PROXY header of version 2: a command, a family and the addresses.
func version2(command, family byte, addresses ...byte) string {
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family, 0, byte(len(addresses)))
	return string(append(head, addresses...))
}

// clientAddresses are 192.0.2.7:4000 to 198.51.100.1:443.
var clientAddresses = []byte{192, 0, 2, 7, 198, 51, 100, 1, 4000 >> 8, 4000 & 255, 443 >> 8, 443 & 255}

const proxyEnv = `
[[site]]
  [[site.route]]
  path = "/env"
  cgi = "DIR/env"
`

// toTheEnd sends bytes as they are, and returns what comes until the end.
func toTheEnd(t *testing.T, conn net.Conn, raw string) string {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(2 * long))
	go func() { _, _ = io.WriteString(conn, raw) }()
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Logf("%.60q: %v", raw, err) // a reset is an end as well
	}
	return string(text)
}

// The PROXY header of a trusted proxy names the client (E25); nobody else's is taken.
func TestProxyProtocol(t *testing.T) {
	dir := tree(t, files{"env": envScript})
	trusting := start(t, dir, "proxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n"+proxyEnv)
	wary := start(t, dir, "proxy_protocol = true\ntrusted_proxies = ['192.0.2.0/24']\n"+proxyEnv)
	off := start(t, dir, "trusted_proxies = ['127.0.0.1']\n"+proxyEnv)
	get := request("GET", "/env")
	forged := request("GET", "/env", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
	const v1 = "PROXY TCP4 192.0.2.7 198.51.100.1 4000 443\r\n"
	for _, row := range []struct {
		name string
		s    *server
		raw  string
		want []string // "!" in front: it must not be there
	}{
		{"version 1", trusting, v1 + get, []string{" 200 ", "REMOTE_ADDR=192.0.2.7\n", "REMOTE_PORT=4000\n", "SERVER_ADDR=198.51.100.1\n", "SERVER_PORT=443\n"}},
		{"version 1, IPv6", trusting, "PROXY TCP6 2001:db8::7 2001:db8::1 4000 443\r\n" + get, []string{" 200 ", "REMOTE_ADDR=2001:db8::7\n"}},
		{"version 2", trusting, version2(1, 0x11, clientAddresses...) + get, []string{" 200 ", "REMOTE_ADDR=192.0.2.7\n", "SERVER_PORT=443\n"}},
		{"version 2, LOCAL", trusting, version2(0, 0) + get, []string{" 200 ", "REMOTE_ADDR=127.0.0.1\n"}},
		{"the client's fields are not the proxy's", trusting, v1 + forged, []string{" 200 ", "REMOTE_ADDR=192.0.2.7\n", "!HTTPS=on", "!203.0.113.9"}},
		{"version 1, UNKNOWN", trusting, "PROXY UNKNOWN\r\n" + forged, []string{" 200 ", "!REMOTE_ADDR=127.0.0.1", "!HTTPS=on", "!203.0.113.9"}},
		{"version 2, UNSPEC", trusting, version2(1, 0) + forged, []string{"!REMOTE_ADDR=127.0.0.1", "!HTTPS=on", "!203.0.113.9"}},
		{"version 2, Unix", trusting, version2(1, 0x31, make([]byte, 216)...) + forged, []string{"!REMOTE_ADDR=127.0.0.1", "!HTTPS=on", "!203.0.113.9"}},
		{"none", trusting, get, []string{"!REMOTE_ADDR"}},
		{"garbage", trusting, "PROXY TCP4 x y z\r\n" + get, []string{"!REMOTE_ADDR"}},
		{"two", trusting, v1 + v1 + get, []string{"! 200 "}},
		{"not trusted", wary, v1 + get, []string{" 400 ", "!REMOTE_ADDR"}},
		{"not trusted, without", wary, get, []string{" 200 ", "REMOTE_ADDR=127.0.0.1\n"}},
		{"off", off, v1 + get, []string{" 400 ", "!REMOTE_ADDR"}},
		{"off, without", off, get, []string{" 200 ", "REMOTE_ADDR=127.0.0.1\n"}},
	} {
		got := toTheEnd(t, row.s.dial(t), row.raw)
		for _, want := range row.want {
			text, not := strings.CutPrefix(want, "!")
			if strings.Contains(got, text) == not {
				t.Errorf("%s: got %q, want %q", row.name, got, want)
			}
		}
	}
	// The peer is told nothing of why, so the log is, once for many.
	const refused = "did not begin with a PROXY header"
	eventually(t, "the refusal in the log", func() bool { return strings.Contains(trusting.log.String(), refused) })
	if n := strings.Count(trusting.log.String(), refused); n != 1 {
		t.Errorf("the log says it %d times: %s", n, trusting.log)
	}
	if text := wary.log.String() + off.log.String(); strings.Contains(text, refused) {
		t.Errorf("the log says of who need not: %s", text)
	}
}

// A PROXY header stands before TLS, and on a Unix socket.
func TestProxyProtocolElsewhere(t *testing.T) {
	dir := tree(t, files{"env": envScript})
	ca := newIssuer(t)
	ca.install(t, dir, "server", wantedCert{serial: 1, hosts: []string{"a.example"}})
	s := start(t, dir, `
listen = ["https:127.0.0.1:0", "unix:DIR/http.sock"]
tls = { certificate = "DIR/server.pem", key = "DIR/server.key" }
proxy_protocol = true
trusted_proxies = ["127.0.0.1", "unix"]
`+proxyEnv)
	for _, protocol := range []string{"http/1.1", "h2"} {
		raw, err := net.Dial("tcp", s.https(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(2 * long))
		fmt.Fprint(raw, version2(1, 0x11, clientAddresses...))
		conn := tls.Client(raw, &tls.Config{ServerName: "a.example", RootCAs: ca.pool, NextProtos: []string{protocol}})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
			t.Errorf("got %q", got)
		}
		if protocol == "http/1.1" {
			fmt.Fprint(conn, request("GET", "/env", "Host: a.example"))
			got := read(t, bufio.NewReader(conn), "GET ")
			if !strings.Contains(got.body, "REMOTE_ADDR=192.0.2.7\n") || !strings.Contains(got.body, "HTTPS=on\n") {
				t.Errorf("got %q", got.body)
			}
		}
		_ = conn.Close()
	}
	raw, err := net.Dial("tcp", s.https(t)) // without a header
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(2 * long))
	if tls.Client(raw, &tls.Config{ServerName: "a.example", RootCAs: ca.pool}).Handshake() == nil {
		t.Error("TLS was spoken without a PROXY header")
	}
	conn, err := net.Dial("unix", filepath.Join(dir, "http.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := toTheEnd(t, conn, "PROXY TCP4 192.0.2.7 198.51.100.1 4000 443\r\n"+request("GET", "/env", "X-Forwarded-For: 203.0.113.9"))
	if !strings.Contains(got, "REMOTE_ADDR=192.0.2.7\n") {
		t.Errorf("Unix socket: %q", got)
	}
}

// Bytes that come behind the header in one piece, or cut anywhere, are the request. A
// header of version 1 has to come in one piece (section 2.1 of the protocol lets a receiver
// say so).
func TestProxyProtocolInPieces(t *testing.T) {
	dir := tree(t, files{"echo": script(okHeader, "cat")})
	s := start(t, dir, "proxy_protocol = true\ntrusted_proxies = ['127.0.0.1']\n[[site]]\n[[site.route]]\npath = '/echo'\ncgi = 'DIR/echo'\n")
	body := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	const v1 = "PROXY TCP4 192.0.2.7 198.51.100.1 4000 443\r\n"
	v2 := version2(1, 0x11, clientAddresses...)
	for _, row := range []struct {
		header string
		cuts   []int
	}{{v1, []int{0, len(v1), len(v1) + 1, 300}}, {v2, []int{0, 1, 5, 12, 13, 16, 20, len(v2), len(v2) + 1, 300}}} {
		raw := row.header + request("POST", "/echo", fmt.Sprintf("Content-Length: %d", len(body))) + string(body)
		for _, cut := range row.cuts {
			conn := s.dial(t)
			_, _ = io.WriteString(conn, raw[:cut])
			go func() { _, _ = io.WriteString(conn, raw[cut:]) }()
			if got := read(t, bufio.NewReader(conn), "POST "); got.body != string(body) {
				t.Errorf("%.10q cut at %d: %s, %d bytes", raw, cut, got.Status, len(got.body))
			}
			_ = conn.Close()
		}
	}
}
