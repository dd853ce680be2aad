package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// buffer is a log that many write to and a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// listening is a server of a sample that is closed when the test is over.
func listening(t *testing.T, h admin.Host) (*admin.Server, *buffer) {
	t.Helper()
	log := new(buffer)
	s := admin.New(h, admin.Options{Software: "gatehouse/test", Log: slog.New(slog.NewTextHandler(log, nil))})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), long)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, log
}

func addresses(t *testing.T, texts ...string) (list []config.Listen) {
	t.Helper()
	for _, text := range texts {
		l, err := config.ParseListen(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	return list
}

func open(l config.Listen) (net.Listener, error) { return net.Listen(l.Network, l.Address) }

// places are where a server listens.
func places(s *admin.Server) (list []net.Addr) {
	s.Each(func(_ config.Listen, ln net.Listener) { list = append(list, ln.Addr()) })
	return list
}

// get asks at an address for a name, on a connection of its own.
func get(addr net.Addr, host, path string) (status int, body string, err error) {
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}}
	client := http.Client{Transport: tr, Timeout: long}
	req, err := http.NewRequest("GET", "http://x"+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// A page elsewhere may have its own name lead to this address (DNS rebinding).
func TestHostNames(t *testing.T) {
	s, _ := listening(t, busy())
	sock := filepath.Join(t.TempDir(), "s")
	if err := s.Listen(addresses(t, "127.0.0.1:0", "unix:"+sock), open); err != nil {
		t.Fatal(err)
	}
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tcp, unix := places(s)[0], places(s)[1]
	for _, tt := range []struct {
		name, host, path string
		at               net.Addr
		status           int
	}{
		{"address", "127.0.0.1:9180", "/", tcp, 200},
		{"address of IPv6", "[::1]:9180", "/", tcp, 200},
		{"another address", "192.0.2.1", "/", tcp, 200},
		{"localhost", "LocalHost:9180", "/status.json", tcp, 200},
		{"the machine", own, "/metrics", tcp, 200},
		{"the machine, fully", strings.ToUpper(own) + ".", "/", tcp, 200},
		{"another name", "evil.example:9180", "/", tcp, 421},
		{"another name, the data", "evil.example", "/status.json", tcp, 421},
		{"a name below localhost's", "localhost.evil.example", "/", tcp, 421},
		{"none", "", "/", tcp, 421},
		{"another name, health", "gatehouse.default.svc", "/readyz", tcp, 200},
		{"another name, life", "gatehouse.default.svc", "/livez", tcp, 200},
		{"any name on a Unix socket", "whatever.example", "/", unix, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body, err := getOr10(tt.at, tt.host, tt.path)
			if err != nil || status != tt.status {
				t.Errorf("got %d, %.100q, %v, want %d", status, body, err, tt.status)
			}
		})
	}
}

// getOr10 is get, and for no name at all what only HTTP/1.0 can say.
func getOr10(at net.Addr, host, path string) (status int, body string, err error) {
	if host != "" {
		return get(at, host, path)
	}
	conn, err := net.Dial(at.Network(), at.String())
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(long))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(conn)
	_, _ = fmt.Sscanf(string(text), "HTTP/1.0 %d", &status)
	return status, string(text), err
}

// What stays is not touched, and what cannot be opened changes nothing.
func TestListenAnew(t *testing.T) {
	s, log := listening(t, busy())
	dir := t.TempDir()
	one, two := "unix:"+filepath.Join(dir, "one"), "unix:"+filepath.Join(dir, "two")
	if err := s.Listen(addresses(t, one), open); err != nil {
		t.Fatal(err)
	}
	first := places(s)[0]
	refuse := func(l config.Listen) (net.Listener, error) {
		if strings.HasSuffix(l.Address, "two") {
			return nil, errors.New("no room")
		}
		return open(l)
	}
	err := s.Listen(addresses(t, "127.0.0.1:0", two), refuse)
	if err == nil || !strings.Contains(err.Error(), "cannot listen on "+two+" (admin): no room") {
		t.Errorf("got the error %v", err)
	}
	if status, _, err := get(first, "localhost", "/livez"); status != 200 || len(places(s)) != 1 {
		t.Errorf("%d, %v, at %v", status, err, places(s))
	}
	opened := 0
	count := func(l config.Listen) (net.Listener, error) {
		opened++
		return open(l)
	}
	if err := s.Listen(addresses(t, one, two), count); err != nil || opened != 1 || len(places(s)) != 2 {
		t.Errorf("%v, %d were opened, at %v", err, opened, places(s))
	}
	for _, at := range places(s) {
		if status, _, err := get(at, "localhost", "/livez"); status != 200 {
			t.Errorf("%v: %d, %v", at, status, err)
		}
	}
	if err := s.Listen(nil, count); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(first, "localhost", "/livez"); err == nil {
		t.Errorf("it still listens at %v", first)
	}
	if strings.Contains(log.String(), "can be reached from elsewhere") {
		t.Errorf("a Unix socket is said to be open to all: %s", log)
	}
	if err := s.Listen(addresses(t, "0.0.0.0:0"), open); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "can be reached from elsewhere") {
		t.Errorf("there is no warning: %q", log)
	}
}

// Connections that nobody speaks on are bounded, and do not keep those that follow out for
// ever.
func TestConnectionsAreBounded(t *testing.T) {
	s, _ := listening(t, busy())
	if err := s.Listen(addresses(t, "127.0.0.1:0"), open); err != nil {
		t.Fatal(err)
	}
	at := places(s)[0]
	var held []net.Conn
	drop := func() {
		for _, conn := range held {
			_ = conn.Close()
		}
		held = nil
	}
	defer func() { drop() }()
	eventually(t, "one more is refused", func() bool {
		drop() // those of before: the server ends them after ten seconds, which a busy machine may take
		for range 64 {
			conn, err := net.Dial("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
		}
		_, _, err := get(at, "localhost", "/livez")
		return err != nil
	})
	_ = held[0].Close()
	eventually(t, "there is room again", func() bool {
		status, _, _ := get(at, "localhost", "/livez")
		return status == 200
	})
}

// The page answers when every connection, every place and every worker of the host is
// taken, and the one who holds them can be ended there.
func TestAnswersWhenAllIsFull(t *testing.T) {
	dir := t.TempDir()
	const script = "#!/bin/sh\nwhile [ ! -e \"$HERE/go\" ]; do sleep 0.05; done\nprintf 'Content-Type: text/plain\\n\\ndone\\n'\n"
	syscall.ForkLock.RLock() // no child is to have it open for writing
	err := os.WriteFile(filepath.Join(dir, "stuck"), []byte(script), 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(filepath.Join(dir, "gatehouse.toml"), []byte(fmt.Sprintf(`
listen = ["127.0.0.1:0"]
access_log = "off"
connections = 3
kill_grace = "0s"
warm = false
env = { HERE = %q }
[[site]]
  [[site.route]]
  path = "/"
  cgi = "stuck"
  header_timeout = "0s"
  processes = 1
  queue = 5
  queue_timeout = "0s"
`, dir)))
	if err != nil {
		t.Fatal(err)
	}
	host, err := site.New(cfg, site.Options{Software: "gatehouse/test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan net.Addr, 1)
	served := make(chan error, 1)
	go func() {
		served <- host.Serve(ctx, ctx, func(on []site.Listening) { ready <- on[0].Addr })
	}()
	s, _ := listening(t, host)
	var clients sync.WaitGroup
	t.Cleanup(func() {
		stop()
		<-served
		if err := host.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		clients.Wait()
	})
	var at net.Addr
	select {
	case at = <-ready:
	case err := <-served:
		served <- err
		t.Fatal(err)
	}
	if err := s.Listen(addresses(t, "127.0.0.1:0"), open); err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 8)
	for range 4 { // one more than there are connections
		clients.Go(func() {
			status, _, _ := get(at, "localhost", "/")
			got <- status
		})
	}
	id := ""
	eventually(t, "all is taken", func() bool {
		v := host.View()
		for _, r := range v.Running {
			if r.Phase == "answering" {
				id = r.ID
			}
		}
		return v.Conns == 3 && v.RunningAll == 3 && v.Waiting == 2 && id != ""
	})
	page := places(s)[0]
	for _, path := range []string{"/", "/status.json", "/metrics", "/livez", "/readyz"} {
		if status, body, err := get(page, "localhost", path); status != 200 {
			t.Errorf("%s: %d, %.100q, %v", path, status, body, err)
		}
	}
	resp, err := http.Post("http://"+page.String()+"/requests/"+id+"/end", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != 200 {
		t.Errorf("to end it was answered with %d", resp.StatusCode)
	}
	select {
	case status := <-got:
		if status != 503 {
			t.Errorf("the client got %d, want 503", status)
		}
	case <-time.After(long):
		t.Error("nobody was answered")
	}
}
