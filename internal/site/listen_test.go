package site_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
	"gatehouse/internal/site"
	"gatehouse/scgi"
)

// webServer is a web server that hands requests over, with what it says of them.
type webServer struct {
	responder cgi.Responder
	close     func()
}

func newWebServer(l site.Listening) *webServer {
	address := l.Addr.String()
	if l.Addr.Network() == "unix" {
		address = "unix:" + address
	}
	if l.Protocol == "scgi" {
		return &webServer{&scgi.Transport{Addresses: []string{address}}, func() {}}
	}
	t := &fastcgi.Transport{Addresses: []string{address}, Connections: 64}
	return &webServer{t, func() { _ = t.Close() }}
}

// ask hands a request over as nginx would and returns the answer's body.
func (f *webServer) ask(target, body string) (string, error) {
	var env environ.Env
	for _, v := range [][2]string{
		{"REQUEST_METHOD", "POST"}, {"REQUEST_URI", target}, {"SERVER_PROTOCOL", "HTTP/1.1"}, {"QUERY_STRING", ""},
		{"SERVER_NAME", "front.example"}, {"SERVER_PORT", "443"}, {"HTTPS", "on"}, {"REMOTE_ADDR", "192.0.2.7"}, {"REMOTE_PORT", "99"},
		{"HTTP_HOST", "front.example"}, {"CONTENT_LENGTH", strconv.Itoa(len(body))}, {"SCRIPT_FILENAME", "/etc/passwd"},
	} {
		env.Set(v[0], v[1])
	}
	req := &cgi.Request{Env: env, Body: strings.NewReader(body), ContentLength: int64(len(body))}
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	resp, err := f.responder.Respond(ctx, req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Close()
	return string(text), err
}

const frontSite = `
[[site]]
root = "DIR"
  [[site.route]]
  path = "/cgi/"
  cgi = "DIR/cgi/"
`

func frontTree(t testing.TB) string {
	return tree(t, files{"cgi/env": script(okHeader, "env", "echo BODY=$(cat)"), "a.txt": "text",
		"cgi/held": script(okHeader, "echo begun", "echo >> ../runs", "while [ ! -e ../gate ]; do sleep 0.01; done", "echo done")})
}

func value(body, name string) string { return (&answer{body: body}).told(name) }

// B73: on each kind of listener, what a front says of its client is taken from those
// who may say it, and from nobody else.
func TestFronts(t *testing.T) {
	for _, tt := range []struct {
		name, listen, more string
		believed           bool
	}{
		{"fastcgi, TCP", "fastcgi:127.0.0.1:0", "", false},
		{"scgi, TCP", "scgi:127.0.0.1:0", "", false},
		{"fastcgi, trusted", "fastcgi:127.0.0.1:0", "trusted_proxies = ['127.0.0.0/8']", true},
		{"scgi, trusted", "scgi:127.0.0.1:0", "trusted_proxies = ['127.0.0.1']", true},
		{"fastcgi, Unix socket", "fastcgi:unix:DIR/s", "", true},
		{"scgi, Unix socket", "scgi:unix:DIR/s", "", true},
		{"a socket for all", "fastcgi:unix:DIR/s", "listen_mode = '0666'", false},
		{"a socket for all, trusted", "scgi:unix:DIR/s", "listen_mode = '0666'\ntrusted_proxies = ['unix']", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, frontTree(t), "listen = ['"+tt.listen+"']\n"+tt.more+frontSite)
			if got := s.on[0].Believed; got != tt.believed {
				t.Errorf("Believed: got %v", got)
			}
			f := newWebServer(s.on[0])
			defer f.close()
			body, err := f.ask("/cgi/env/x", "hello")
			if err != nil {
				t.Fatal(err)
			}
			if got := value(body, "REMOTE_ADDR") == "192.0.2.7"; got != tt.believed {
				t.Errorf("the client is %s", value(body, "REMOTE_ADDR"))
			}
			if got := value(body, "HTTPS") == "on"; got != tt.believed {
				t.Errorf("HTTPS is %s", value(body, "HTTPS"))
			}
			// B72: what runs is what the path leads to.
			if value(body, "SCRIPT_NAME") != "/cgi/env" || !strings.HasSuffix(value(body, "SCRIPT_FILENAME"), "/cgi/env") || value(body, "PATH_INFO") != "/x" || value(body, "BODY") != "hello" {
				t.Errorf("got %s", body)
			}
			if line := s.lastAccess(t, 1); !strings.Contains(line, " uri=/cgi/env/x status=200 ") {
				t.Errorf("got %s", line)
			}
		})
	}
}

// A socket has its permissions before anybody can connect to it, whatever the umask
// is, and whoever may not connect never could.
func TestSocketPermissions(t *testing.T) {
	for mode, want := range map[string]os.FileMode{"": 0o660, "listen_mode = '0600'": 0o600, "listen_mode = '777'": 0o777} {
		dir := frontTree(t)
		old := syscall.Umask(0o077)
		s := start(t, dir, "listen = ['unix:DIR/http', 'fastcgi:unix:DIR/fcgi']\nlisten_owner = '"+strconv.Itoa(os.Getuid())+"'\n"+mode+frontSite)
		syscall.Umask(old)
		for _, name := range []string{"http", "fcgi"} {
			if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != want || st.Mode().Type() != os.ModeSocket {
				t.Errorf("%q: got %v, %v, want %v", mode, st.Mode(), err, want)
			}
		}
		if a := s.get(t, "/a.txt"); a.body != "text" {
			t.Errorf("got %q", a.body)
		}
	}
	if err := tryToServe(t, frontTree(t), "listen = ['unix:DIR/s']\nlisten_group = 'no-such-group'"+frontSite); err == nil ||
		!strings.Contains(err.Error(), `listen_group: there is no group "no-such-group"`) {
		t.Errorf("got %v", err)
	}
}

func TestSocketOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a socket away")
	}
	dir := frontTree(t)
	start(t, dir, "listen = ['fastcgi:unix:DIR/s']\nlisten_owner = 'nobody'\nlisten_group = '12345'"+frontSite)
	var st syscall.Stat_t
	if err := syscall.Stat(dir+"/s", &st); err != nil || st.Uid == 0 || st.Gid != 12345 {
		t.Errorf("got %d %d, %v", st.Uid, st.Gid, err)
	}
}

// A socket that was inherited is served, and left as it was.
func TestInheritedSocket(t *testing.T) {
	dir := frontTree(t)
	ln, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Chmod(dir+"/s", 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, fmt.Sprintf("listen = ['fastcgi:fd:%d']", f.Fd())+frontSite)
	front := newWebServer(s.on[0])
	if body, err := front.ask("/cgi/env", ""); err != nil || value(body, "REMOTE_ADDR") != "192.0.2.7" {
		t.Errorf("got %q, %v", body, err)
	}
	front.close()
	s.stop()
	<-s.done
	if conn, err := net.Dial("unix", dir+"/s"); err != nil {
		t.Errorf("the socket is gone: %v", err)
	} else {
		_ = conn.Close()
	}

	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	want := fmt.Sprintf(dir+"/gatehouse.toml:1:11: listen: cannot listen on fd:%d: descriptor %d is no listening socket", null.Fd(), null.Fd())
	if err := tryToServe(t, dir, fmt.Sprintf("listen = ['fd:%d']", null.Fd())+frontSite); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := tryToServe(t, dir, "listen = ['systemd:x']"+frontSite); err == nil || !strings.Contains(err.Error(), "systemd has passed no sockets") {
		t.Errorf("got %v", err)
	}
}

// A stop waits for the requests of all kinds of front, at once.
func TestFrontsDrain(t *testing.T) {
	dir := frontTree(t)
	s := start(t, dir, "listen = ['127.0.0.1:0', 'fastcgi:127.0.0.1:0', 'scgi:127.0.0.1:0']"+frontSite)
	open := gate(t, filepath.Join(dir, "gate"))
	results := make(chan string, 3)
	go func() { results <- s.get(t, "/cgi/held").body }()
	for _, l := range s.on[1:] {
		go func() {
			f := newWebServer(l)
			defer f.close()
			body, err := f.ask("/cgi/held", "")
			results <- body + fmt.Sprint(err)
		}()
	}
	eventually(t, "three programs", func() bool { text, _ := os.ReadFile(filepath.Join(dir, "runs")); return string(text) == "\n\n\n" })
	s.stop()
	select {
	case <-s.done:
		t.Error("Serve did not wait for the requests")
	case <-time.After(50 * time.Millisecond):
	}
	open()
	<-s.done
	for range 3 {
		if got := strings.TrimSuffix(<-results, "<nil>"); got != "begun\ndone\n" {
			t.Errorf("got %q", got)
		}
	}
	if s.err != nil {
		t.Error(s.err)
	}
}

// E32: the connections of all listeners together are bounded, and each that ends makes
// room.
func TestConnectionsOfFronts(t *testing.T) {
	s := start(t, frontTree(t), "connections = 3\nlisten = ['127.0.0.1:0', 'fastcgi:127.0.0.1:0', 'scgi:unix:DIR/s', 'fastcgi:unix:DIR/f']"+frontSite)
	var idle []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", s.addrs[1].String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
		_ = conn.SetDeadline(time.Now().Add(long))
		if _, err := conn.Write(fastcgi.AppendGetValues(nil, fastcgi.MaxConns)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, fastcgi.HeaderLen)); err != nil { // the answer shows that it is taken
			t.Fatal(err)
		}
	}
	var answered atomic.Int32
	done := make(chan error, 3)
	for _, l := range []site.Listening{s.on[1], s.on[2], s.on[3]} {
		go func() {
			f := newWebServer(l)
			defer f.close()
			_, err := f.ask("/cgi/env", "")
			answered.Add(1)
			done <- err
		}()
	}
	time.Sleep(100 * time.Millisecond)
	if n := answered.Load(); n != 0 {
		t.Errorf("%d requests were answered beyond the bound", n)
	}
	for _, conn := range idle {
		_ = conn.Close()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for range 20 { // a place that was lost would be missed now
		if a := s.get(t, "/a.txt"); a.body != "text" {
			t.Fatalf("got %q", a.body)
		}
	}
}
