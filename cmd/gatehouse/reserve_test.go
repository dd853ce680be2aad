package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/fastcgi"
)

// writeCertificate makes a certificate for no name, and its key.
func writeCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

const noDescriptor = "no descriptor is left for this connection\n"

// crowd is what uses up the descriptors of a host: programs that run have many of them,
// connections that are kept the rest.
type crowd struct {
	dir, addr string
	programs  []net.Conn
	kept      []net.Conn
}

const programs = 14

func newCrowd(t *testing.T, dir, addr string) *crowd {
	t.Helper()
	c := &crowd{dir: dir, addr: addr}
	for range programs {
		conn := dialHost(t, addr)
		ask(t, conn, "/cgi-bin/held")
		c.programs = append(c.programs, conn)
	}
	has(t, "programs under way", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "held"))
		return len(text) == programs
	})
	return c
}

// fill adds connections until one is refused: a program may have closed something since it
// was the last time.
func (c *crowd) fill(t *testing.T) {
	t.Helper()
	for {
		conn := dialHost(t, c.addr)
		c.kept = append(c.kept, conn)
		if _, err := io.WriteString(conn, "GET /away HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		status, text := response(t, conn)
		if text == noDescriptor {
			return
		}
		if status != 308 {
			t.Errorf("got %d %q", status, text)
		}
		if len(c.kept) == 200 {
			t.Fatal("descriptors are not used up")
		}
	}
}

// refused calls try with all used up until it reports that it was refused.
func (c *crowd) refused(t *testing.T, what string, try func() bool) {
	t.Helper()
	has(t, what, func() bool { c.fill(t); return try() })
}

// leave frees all that there is.
func (c *crowd) leave(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, "gate"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, conn := range c.programs {
		answered(t, conn, 200)
		_ = conn.Close()
	}
	for _, conn := range c.kept {
		_ = conn.Close()
	}
	for _, name := range []string{"gate", "held"} {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func response(t *testing.T, conn net.Conn) (status int, text string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Without a descriptor every connection is told so, the administrator is served all the
// same, and all is well when there are descriptors again.
func TestDescriptorsReserved(t *testing.T) {
	cert, key := writeCertificate(t)
	cmd, log, dir, addr := scarce(t, "ulimit -n 240", fmt.Sprintf(
		"listen = ['HOST:0', 'https:HOST:0', 'fastcgi:unix:f.sock', 'scgi:unix:s.sock']\nadmin = ['unix:a.sock']\ntls = { certificate = '%s', key = '%s' }\nprocesses = 64\n", cert, key))
	m := regexp.MustCompile(`on https://(\S+)/\n`).FindStringSubmatch(log())
	if m == nil {
		t.Fatalf("no address for TLS in %s", log())
	}
	limit(t, cmd, unix.RLIMIT_NOFILE, 120) // now, so that connections may take all of these
	for range 2 {                          // the reserve is there again
		c := newCrowd(t, dir, addr)
		c.overHTTP(t)
		c.overTLS(t, m[1])
		c.overSCGI(t)
		c.overFastCGI(t)
		c.fill(t)
		administered(t, dir)
		c.leave(t)
		has(t, "answer as before", func() bool {
			conn := dialHost(t, addr)
			defer conn.Close()
			ask(t, conn, "/cgi-bin/count")
			status, _ := response(t, conn)
			return status == 200
		})
	}
	if !strings.Contains(log(), "no descriptor is left: new connections are refused") {
		t.Errorf("the log does not say it:\n%s", log())
	}
}

// overHTTP asks by more at a time than there are descriptors in the reserve.
func (c *crowd) overHTTP(t *testing.T) {
	t.Helper()
	c.refused(t, "refusal of many", func() bool {
		var conns []net.Conn
		for range 20 {
			conn := dialHost(t, c.addr)
			ask(t, conn, "/away")
			conns = append(conns, conn)
		}
		refused := 0
		for _, conn := range conns { // each has an answer
			if status, text := response(t, conn); text == noDescriptor {
				refused++
			} else if status != 308 {
				t.Errorf("got %d %q", status, text)
			}
			_ = conn.Close()
		}
		return refused == len(conns)
	})
	for request, want := range map[string]string{"": noDescriptor, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n": ""} {
		c.refused(t, "refusal of "+request, func() bool {
			text := overTCP(t, c.addr, request)
			head, body, _ := strings.Cut(string(text), "\r\n\r\n")
			return strings.HasPrefix(head, "HTTP/1.1 503 ") && strings.Contains(head, "Retry-After: 1") && body == want
		})
	}
}

func (c *crowd) overTLS(t *testing.T, addr string) {
	t.Helper()
	c.refused(t, "refusal over TLS", func() bool { // a handshake may not be over in time
		raw := dialHost(t, addr)
		defer raw.Close()
		_ = raw.SetDeadline(time.Now().Add(2 * patience))
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		text, _ := io.ReadAll(conn)
		return strings.HasPrefix(string(text), "HTTP/1.1 503 ") && strings.HasSuffix(string(text), noDescriptor)
	})
}

func (c *crowd) overSCGI(t *testing.T) {
	t.Helper()
	c.refused(t, "refusal over SCGI", func() bool {
		got := string(overUnix(t, filepath.Join(c.dir, "s.sock"), "24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,"))
		return strings.HasPrefix(got, "Status: 503 ") && strings.HasSuffix(got, noDescriptor)
	})
}

// Section 5.5: a server that is out of some resource says OVERLOADED. One that has what it
// needs would wait for the rest of the request.
func (c *crowd) overFastCGI(t *testing.T) {
	t.Helper()
	want := fastcgi.AppendEndRequest(nil, 7, 1, fastcgi.StatusOverloaded)
	c.refused(t, "refusal over FastCGI", func() bool {
		begin := fastcgi.AppendBeginRequest(nil, 7, fastcgi.RoleResponder, false)
		return bytes.Equal(overUnix(t, filepath.Join(c.dir, "f.sock"), string(fastcgi.AppendParams(begin, 7, nil))), want)
	})
}

func overTCP(t *testing.T, addr, send string) []byte {
	t.Helper()
	return over(t, dialHost(t, addr), send)
}

func overUnix(t *testing.T, path, send string) []byte {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, conn, send)
}

// over sends something on a connection and returns all that comes back.
func over(t *testing.T, conn net.Conn, send string) []byte {
	t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(conn)
	return text
}

// administered asks the control socket and the status page.
func administered(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "gatehouse", "status", "--control", filepath.Join(dir, "c.sock"))
	cmd.Env = append(os.Environ(), "GORACE="+noSleep)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("status: %v: %s", err, out)
	}
	for range 2 * 4 { // more than there are in its reserve: they are given back
		got := overUnix(t, filepath.Join(dir, "a.sock"), "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if !bytes.HasPrefix(got, []byte("HTTP/1.1 200 ")) {
			t.Errorf("the status page answers %q", got)
		}
	}
}
