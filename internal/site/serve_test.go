package site_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/site"
)

// serveTree has a program that tells by the file "runs" that it runs, and takes a
// second; and one that ends by SIGKILL only, and tells its process in "pid".
func serveTree(t *testing.T) string {
	return tree(t, files{
		"htdocs/hello.txt":   "hello",
		"cgi-bin/second":     script("touch ../runs", "sleep 1", okHeader, "echo finished"),
		"cgi-bin/nph-second": script("printf 'HTTP/1.0 200 OK\\n\\nbegun '", "touch ../runs", "sleep 1", "echo finished"),
		"cgi-bin/endless":    script("trap '' TERM", "echo $$ > ../pid.new; mv ../pid.new ../pid", "while :; do sleep 0.05; done"),
	})
}

const serveConfig = `
[[site]]
root = "DIR/htdocs"

  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
`

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// begin sends a request, and returns where its response will be.
func (s *server) begin(t *testing.T, target string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := s.dial(t)
	if _, err := io.WriteString(conn, request("GET", target)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func TestServeOnSeveral(t *testing.T) {
	dir := serveTree(t)
	socket := filepath.Join(dir, "http.sock")
	own := "'" + ownLoopback() + ":0'"
	s := start(t, dir, "listen = ["+own+", "+own+", 'unix:DIR/http.sock']"+serveConfig)
	if len(s.addrs) != 3 {
		t.Fatalf("%d addresses", len(s.addrs))
	}
	for _, s.addr = range s.addrs {
		if got := s.get(t, "/hello.txt"); got.StatusCode != 200 || got.body != "hello" {
			t.Errorf("%s: %d %q", s.addr, got.StatusCode, got.body)
		}
	}
	s.stop()
	<-s.done
	if s.err != nil {
		t.Errorf("Serve: %v", s.err)
	}
	if exists(socket) {
		t.Error("the socket is still there")
	}
	for _, a := range s.addrs {
		if conn, err := net.Dial(a.Network(), a.String()); err == nil {
			_ = conn.Close()
			t.Errorf("%s still accepts", a)
		}
	}
}

// tryToServe serves until the host is ready, and returns Serve's error.
func tryToServe(t *testing.T, dir, config string) error {
	t.Helper()
	h, err := site.New(parse(t, dir, config), site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return errors.Join(h.Serve(ctx, ctx, func([]site.Listening) { cancel() }), h.Close())
}

// Only a socket that nobody listens on is replaced.
func TestServeUnixSocket(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, name string)
		ok      bool
	}{
		{"nothing", func(*testing.T, string) {}, true},
		{"stale socket", func(t *testing.T, name string) {
			ln, err := net.Listen("unix", name)
			if err != nil {
				t.Fatal(err)
			}
			ln.(*net.UnixListener).SetUnlinkOnClose(false)
			_ = ln.Close()
		}, true},
		{"live socket", func(t *testing.T, name string) {
			ln, err := net.Listen("unix", name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
		}, false},
		{"live socket of datagrams", func(t *testing.T, name string) {
			conn, err := net.ListenPacket("unixgram", name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
		}, false},
		{"a file with something in it", func(t *testing.T, name string) {
			if err := os.WriteFile(name, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a folder", func(t *testing.T, name string) {
			if err := os.Mkdir(name, 0o755); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a link to a file", func(t *testing.T, name string) {
			if err := os.Symlink("htdocs/hello.txt", name); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := serveTree(t)
			name := filepath.Join(dir, "s")
			tt.prepare(t, name)
			before, _ := os.Lstat(name)
			err := tryToServe(t, dir, "listen = ['127.0.0.1:0', 'unix:DIR/s']"+serveConfig)
			if (err == nil) != tt.ok {
				t.Fatalf("Serve: %v, want success: %v", err, tt.ok)
			}
			after, statErr := os.Lstat(name)
			switch {
			case tt.ok && !errors.Is(statErr, fs.ErrNotExist):
				t.Errorf("the socket is still there: %v", statErr)
			case !tt.ok && (statErr != nil || !os.SameFile(before, after)):
				t.Errorf("what was there is gone: %v", statErr)
			case !tt.ok && !strings.Contains(err.Error(), "unix:"+name):
				t.Errorf("error does not name the address: %v", err)
			}
		})
	}
}

func TestServeAddressInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := serveTree(t)
	before := descriptors()
	err = tryToServe(t, dir, "listen = ['127.0.0.1:0', 'unix:DIR/s', '"+ln.Addr().String()+"']"+serveConfig)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("error %v, want one that the address is in use", err)
	}
	if exists(filepath.Join(dir, "s")) {
		t.Error("the socket that was opened first is still there")
	}
	if now := descriptors(); now > before { // fewer: an earlier test has let go of one
		t.Errorf("%d descriptors, %d before", now, before)
	}
}

// A stop takes no more connections and lets the running script finish.
func TestServeDrains(t *testing.T) {
	dir := serveTree(t)
	s := start(t, dir, serveConfig)
	conn, r := s.begin(t, "/cgi-bin/second")
	defer conn.Close()
	idle := s.dial(t) // holds nothing up
	defer idle.Close()
	eventually(t, "the script runs", func() bool { return exists(filepath.Join(dir, "runs")) })
	s.stop()
	if got := read(t, r, "GET"); got.StatusCode != 200 || got.body != "finished\n" || got.err != nil {
		t.Errorf("%d %q %v", got.StatusCode, got.body, got.err)
	}
	select {
	case <-s.done:
	case <-time.After(long):
		t.Fatal("Serve does not return")
	}
	if s.err != nil {
		t.Errorf("Serve: %v", s.err)
	}
}

// A script that writes its whole response itself may finish as well (A95).
func TestServeDrainsNPH(t *testing.T) {
	dir := serveTree(t)
	s := start(t, dir, serveConfig+"  nph = true\n")
	conn, r := s.begin(t, "/cgi-bin/nph-second")
	defer conn.Close()
	eventually(t, "the script runs", func() bool { return exists(filepath.Join(dir, "runs")) })
	s.stop()
	<-s.done
	if s.err != nil {
		t.Errorf("Serve: %v", s.err)
	}
	if err := s.host.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := read(t, r, "GET"); got.body != "begun finished\n" || got.err != nil {
		t.Errorf("%d %q %v", got.StatusCode, got.body, got.err)
	}
}

// endless starts the program that ignores SIGTERM and returns its process.
func endless(t *testing.T, s *server, dir string) (conn net.Conn, pid string) {
	t.Helper()
	conn, _ = s.begin(t, "/cgi-bin/endless")
	eventually(t, "the program runs", func() bool { return exists(filepath.Join(dir, "pid")) })
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	return conn, strings.TrimSpace(string(text))
}

// Hurry ends at once what does not want to end.
func TestServeHurry(t *testing.T) {
	dir := serveTree(t)
	s := start(t, dir, "shutdown_timeout = '1h'\n"+strings.Replace(serveConfig, "[[site]]", "kill_grace = '1h'\n[[site]]", 1))
	conn, pid := endless(t, s, dir)
	defer conn.Close()
	s.stop()
	select {
	case <-s.done:
		t.Fatal("Serve did not wait for the request")
	case <-time.After(200 * time.Millisecond):
	}
	s.hurry()
	select {
	case <-s.done:
	case <-time.After(long):
		t.Fatal("Serve does not return")
	}
	eventually(t, "the process is gone", func() bool { return !exists("/proc/" + pid) })
}

// What has not ended when shutdown_timeout is over is ended.
func TestServeShutdownTimeout(t *testing.T) {
	for _, limit := range []string{"300ms", "0s"} {
		t.Run(limit, func(t *testing.T) {
			dir := serveTree(t)
			s := start(t, dir, "shutdown_timeout = '"+limit+"'\nkill_grace = '200ms'\n"+serveConfig)
			conn, pid := endless(t, s, dir)
			defer conn.Close()
			s.stop()
			select {
			case <-s.done:
			case <-time.After(long):
				t.Fatal("Serve does not return")
			}
			if err := s.host.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if exists("/proc/" + pid) {
				t.Errorf("process %s has outlived Close", pid)
			}
			if !strings.Contains(s.log.String(), "not all requests have ended in time") {
				t.Errorf("the log is silent about it: %s", s.log)
			}
		})
	}
}

// What still comes when the host was closed is cut off.
func TestServeHTTPAfterClose(t *testing.T) {
	h, err := site.New(parse(t, serveTree(t), serveConfig), site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Errorf("Close, twice: %v", err)
	}
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("recovered %v, want %v", got, http.ErrAbortHandler)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/hello.txt", nil))
}

// E32: the last place is for whichever listener has a client, and is given back.
func TestConnectionsAreBounded(t *testing.T) {
	dir := serveTree(t)
	s := start(t, dir, "listen = ['127.0.0.1:0', '127.0.0.1:0']\nconnections = 1\n"+serveConfig)
	for range 2 {
		for _, s.addr = range s.addrs {
			if got := s.get(t, "/hello.txt"); got.StatusCode != 200 {
				t.Errorf("%s: %d", s.addr, got.StatusCode)
			}
		}
	}
	first := s.dial(t)
	defer first.Close()
	r := bufio.NewReader(first)
	_, _ = io.WriteString(first, "GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
	read(t, r, "GET") // and holds its place
	second, r2 := s.begin(t, "/hello.txt")
	defer second.Close()
	_ = second.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := r2.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second connection is served: %v", err)
	}
	_ = first.Close()
	_ = second.SetReadDeadline(time.Now().Add(long))
	if got := read(t, r2, "GET"); got.StatusCode != 200 {
		t.Errorf("then it is %d", got.StatusCode)
	}
}
