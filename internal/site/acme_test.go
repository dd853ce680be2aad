package site_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// pebble is an authority for tests, which really asks for its challenges.
type pebble struct {
	directory string
	cmd       *exec.Cmd
	said      *buffer
}

// names answers every question for an address with one, and others with nothing.
func names(t *testing.T, address string) (server string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
				}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

// freePort is one of an address that nobody else uses.
func freePort(t *testing.T, address string) int {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// startPebble starts one that asks for challenges at these ports.
func startPebble(t *testing.T, dir, address string, ca *issuer, httpPort, tlsPort int) *pebble {
	t.Helper()
	path, err := exec.LookPath("pebble")
	if err != nil {
		t.Skip("pebble is not installed")
	}
	ca.install(t, dir, "pebble", wantedCert{serial: 99, hosts: []string{address}})
	listen := net.JoinHostPort(address, fmt.Sprint(freePort(t, address)))
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": net.JoinHostPort(address, "0"),
		"certificate": filepath.Join(dir, "pebble.pem"), "privateKey": filepath.Join(dir, "pebble.key"),
		"httpPort": httpPort, "tlsPort": tlsPort, "ocspResponderURL": "", "externalAccountBindingRequired": false,
	}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "pebble.json"), string(text))
	p := &pebble{directory: "https://" + listen + "/dir", said: new(buffer)}
	p.cmd = exec.Command(path, "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", names(t, address), "-strict")
	p.cmd.Env = []string{"PEBBLE_VA_NOSLEEP=1"}
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool}}
	defer tr.CloseIdleConnections()
	eventually(t, "pebble's directory", func() bool {
		resp, err := (&http.Client{Transport: tr, Timeout: long}).Get(p.directory)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == 200
	})
	return p
}

func (p *pebble) stop() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// by is who has signed the certificate that a client gets for a host; "" for none.
func (s *server) by(t *testing.T, host string) string {
	t.Helper()
	conn, err := s.tryHandshake(t, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err != nil {
		return ""
	}
	defer conn.Close()
	cert := conn.ConnectionState().PeerCertificates[0]
	if cert.VerifyHostname(host) != nil {
		return "for another host"
	}
	return cert.Issuer.CommonName
}

// fetched waits for a certificate of pebble's. On a machine that is held up pebble may not
// get its answer in time; what it refuses is asked for again after 90 seconds.
func (s *server) fetched(t *testing.T, host string) {
	t.Helper()
	for end := time.Now().Add(8 * time.Minute); !strings.HasPrefix(s.by(t, host), "Pebble"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no certificate for %s; log:\n%s", host, s.log)
		}
	}
}

// acmeLoopback is an address of which no other test takes a port.
func acmeLoopback() string { return strings.TrimSuffix(ownLoopback(), "8") + "9" }

// Certificates are fetched when the server starts, by either kind of challenge, and kept.
func TestACME(t *testing.T) {
	for _, kind := range []string{"tls-alpn-01", "http-01"} {
		t.Run(kind, func(t *testing.T) {
			dir := tree(t, files{"htdocs/x": "x", "htdocs/.well-known/acme-challenge/mine": "mine"})
			address := acmeLoopback()
			ca := newIssuer(t)
			put(t, dir+"/ca.pem", ca.pem())
			plain, secure := freePort(t, address), freePort(t, address)
			ports := map[string]int{"http-01": plain, "tls-alpn-01": secure}
			for other := range ports {
				if other != kind { // there nobody listens: it cannot have been that one
					ports[other] = freePort(t, address)
				}
			}
			p := startPebble(t, dir, address, ca, ports["http-01"], ports["tls-alpn-01"])
			text := func(hosts string) string {
				return fmt.Sprintf(`
listen = ["http:%[1]s:%[2]d", "https:%[1]s:%[3]d"]
acme = { accept_terms = true, directory = %[4]q, ca = "DIR/ca.pem", storage = "DIR/state/acme", email = "admin@a.example" }
tls = { acme = true }
redirect_to_https = true
[[site]]
hosts = [%[5]s]
root = "DIR/htdocs"
`, address, plain, secure, p.directory, hosts)
			}
			s := start(t, dir, text(`"a.example"`))
			s.fetched(t, "a.example")
			if st, err := os.Stat(dir + "/state/acme"); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("storage: %v, %v", st.Mode(), err)
			}
			if err := s.host.Reload(parse(t, dir, text(`"a.example", "b.example"`))); err != nil {
				t.Fatal(err)
			}
			s.fetched(t, "b.example") // the new host
			if got := s.by(t, "c.example"); strings.HasPrefix(got, "Pebble") {
				t.Errorf("one for a host that is none: %q", got)
			}
			if got := s.get(t, "/.well-known/acme-challenge/unknown", "Host: a.example"); got.StatusCode != 404 {
				t.Errorf("an unknown challenge: %s", got.Status)
			}
			if got := s.get(t, "/x", "Host: a.example"); got.StatusCode != 308 {
				t.Errorf("anything else: %s", got.Status)
			}
			s.stop()
			<-s.done
			if err := s.host.Close(); err != nil {
				t.Error(err)
			}
			p.stop() // what was fetched is there again without it
			s = start(t, dir, text(`"a.example", "b.example"`))
			eventually(t, "the certificate that was kept", func() bool { return strings.HasPrefix(s.by(t, "a.example"), "Pebble") })
		})
	}
}

// A failure is said, and nobody waits for it; a stop does not either.
func TestACMEFails(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "x"})
	address := acmeLoopback()
	hung, err := net.Listen("tcp", net.JoinHostPort(address, "0")) // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	for name, directory := range map[string]string{
		"refused": fmt.Sprintf("https://%s:%d/dir", address, freePort(t, address)),
		"hung":    "https://" + hung.Addr().String() + "/dir",
	} {
		t.Run(name, func(t *testing.T) {
			ca := newIssuer(t)
			put(t, dir+"/ca.pem", ca.pem())
			s := start(t, dir, fmt.Sprintf(`
listen = ["http:127.0.0.1:0", "https:127.0.0.1:0"]
acme = { accept_terms = true, directory = %q, ca = "DIR/ca.pem", storage = "DIR/state" }
[[site]]
hosts = ["a.example"]
root = "DIR/htdocs"
tls = { acme = true }
`, directory))
			if name == "refused" {
				eventually(t, "the failure in the log", func() bool {
					return strings.Contains(s.log.String(), "could not be fetched") && strings.Contains(s.log.String(), "host=a.example") && strings.Contains(s.log.String(), "1m30s")
				})
			}
			if got := s.by(t, "a.example"); got != "" {
				t.Errorf("a certificate by %q", got)
			}
			if got := s.get(t, "/x", "Host: a.example"); got.body != "x" {
				t.Errorf("got %s", got.Status)
			}
			s.stop() // nobody waits for the minutes of ACME's own times
			<-s.done
			if err := s.host.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
