package cgi

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// strictTLSConfigs returns those of a server and of its client.
func strictTLSConfigs(t *testing.T, protocols ...string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protocols},
		&tls.Config{RootCAs: roots, ServerName: "a", NextProtos: protocols}
}

// overTLS hands out connections whose handshake is complete, or has failed.
func overTLS(config *tls.Config, pieces func(net.Conn) net.Conn) func(net.Conn) net.Conn {
	return func(conn net.Conn) net.Conn {
		if pieces != nil {
			conn = pieces(conn)
		}
		c := tls.Server(conn, config)
		_ = c.SetDeadline(time.Now().Add(strictPatience))
		_ = c.Handshake()
		_ = c.SetDeadline(time.Time{})
		return c
	}
}

func always() bool { return true }

// TestStrictCorpusElsewhere holds the whole corpus above TLS, and where a client may
// begin with HTTP/2.
func TestStrictCorpusElsewhere(t *testing.T) {
	server, client := strictTLSConfigs(t, "http/1.1")
	bytewise := func(c net.Conn) net.Conn { return strictOneByte{c.(*net.TCPConn)} }
	for _, mode := range []struct {
		name   string
		limits StrictLimits
		pieces func(net.Conn) net.Conn
		tls    bool
	}{
		{"tls", StrictLimits{}, overTLS(server, nil), true},
		{"prior knowledge", StrictLimits{PriorKnowledge: always}, nil, false},
		{"prior knowledge in bytes", StrictLimits{PriorKnowledge: always}, bytewise, false},
	} {
		for _, test := range strictCorpus {
			if !mode.tls && test.name == "E09 preface of HTTP/2" {
				continue
			}
			t.Run(mode.name+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				s := strictStart(t, mode.limits, mode.pieces, nil)
				conn := s.dial(t)
				if mode.tls {
					conn = tls.Client(conn, client)
				}
				keep, seen := 0, test.seen
				if last := test.codes[len(test.codes)-1]; last < 400 {
					keep = len(test.codes)
					seen = append(slices.Clone(seen), `GET /probe ""`)
				}
				if codes := strictExchange(t, conn, test.raw, keep); !slices.Equal(codes, test.codes) {
					t.Errorf("got status %v, want %v for %q", codes, test.codes, test.raw)
				}
				if got := s.requests(); !slices.Equal(got, seen) {
					t.Errorf("the application saw %q, want %q for %q", got, seen, test.raw)
				}
			})
		}
	}
}

// TestStrictOpenings holds beginnings that are nearly those of HTTP/2 (E09).
func TestStrictOpenings(t *testing.T) {
	s := strictStart(t, StrictLimits{PriorKnowledge: always}, nil, nil)
	for n := 1; n <= len(strictPreface); n++ {
		raw := strictPreface[:n-1] + "!" + strictPreface[n:] + strictGood
		want := []int{400}
		if n <= len("PRI") { // another method
			want = []int{505}
		}
		if codes := strictExchange(t, s.dial(t), raw, 0); !slices.Equal(codes, want) {
			t.Errorf("%q: got %v, want %v", raw, codes, want)
		}
	}
	if got := s.requests(); got != nil {
		t.Errorf("the application saw %q", got)
	}
	for _, raw := range []string{"", "P", "PRI * HTTP/2.0\r\n\r\n"} { // and nothing more
		conn := s.dial(t)
		io.WriteString(conn, raw)
		conn.(*net.TCPConn).CloseWrite()
		if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), " 200 ") {
			t.Errorf("%q: got %q, %v", raw, answer, err)
		}
	}
}

// TestStrictHTTP2 asks over HTTP/2, which is passed on: by prior knowledge in pieces of
// every kind, and above TLS. Request.TLS tells of TLS, with HTTP/1 as well.
func TestStrictHTTP2(t *testing.T) {
	server, client := strictTLSConfigs(t, "h2", "http/1.1")
	oneServer, oneClient := strictTLSConfigs(t, "http/1.1")
	rows := []struct {
		name     string
		pieces   func(net.Conn) net.Conn
		client   *tls.Config
		want     string
		protocol func(*http.Protocols)
	}{
		{"h2c", nil, nil, "HTTP/2.0 plain hello", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"h2c in bytes", func(c net.Conn) net.Conn { return strictOneByte{c.(*net.TCPConn)} }, nil, "HTTP/2.0 plain hello", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"h1 where h2c may be", nil, nil, "HTTP/1.1 plain hello", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"h2 above TLS", overTLS(server, nil), client, "HTTP/2.0 tls hello", func(p *http.Protocols) { p.SetHTTP2(true) }},
		{"h1 above TLS", overTLS(oneServer, nil), oneClient, "HTTP/1.1 tls hello", func(p *http.Protocols) { p.SetHTTP1(true) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := strictStart(t, StrictLimits{PriorKnowledge: always}, row.pieces, func(w http.ResponseWriter, r *http.Request) {
				over := "plain "
				if r.TLS != nil {
					over = "tls "
				}
				body, _ := io.ReadAll(r.Body)
				io.WriteString(w, r.Proto+" "+over+string(body))
			})
			protocols := new(http.Protocols)
			row.protocol(protocols)
			scheme := "http"
			if row.client != nil {
				scheme = "https"
			}
			transport := &http.Transport{Protocols: protocols, TLSClientConfig: row.client}
			defer transport.CloseIdleConnections()
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), strictPatience)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, "POST", scheme+"://"+s.addr+"/x", strings.NewReader("hello"))
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(body) != row.want || err != nil {
					t.Errorf("got %q, %v, want %q", body, err, row.want)
				}
			}
		})
	}
}

// TestStrictAbove says that what TLS brings with it is kept: the client sees the end of
// the response to a fault, not a broken connection (E33).
func TestStrictAbove(t *testing.T) {
	server, client := strictTLSConfigs(t, "http/1.1")
	s := strictStart(t, StrictLimits{}, overTLS(server, nil), nil)
	conn := tls.Client(s.dial(t), client)
	io.WriteString(conn, strictGood+"GET / HTTP/1.1\nHost: a\r\n\r\n")
	br := bufio.NewReader(conn)
	for _, want := range []int{200, 400} {
		if code, err := strictResponse(br); code != want || err != nil {
			t.Errorf("got %d, %v, want %d", code, err, want)
		}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("got %v at the end, want EOF", err)
	}
}
