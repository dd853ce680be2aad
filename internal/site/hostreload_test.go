package site_test

import (
	"bufio"
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
	"testing"
	"time"

	"gatehouse/internal/site"
)

// reload puts a text in force.
func (s *server) reload(t *testing.T, dir, text string) {
	t.Helper()
	if err := s.host.Reload(parse(t, dir, text)); err != nil {
		t.Fatal(err)
	}
}

// at asks a Unix socket for a path, by HTTP.
func at(t *testing.T, socket, path string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "no connection"
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return "no connection"
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "no HTTP"
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// Listeners come, go and change, each by itself; those that stay keep their connections.
func TestReloadListeners(t *testing.T) {
	dir := tree(t, files{"htdocs/x.txt": "text"})
	const rest = "\n[[site]]\nroot = 'DIR/htdocs'\n"
	s := start(t, dir, "listen = ['unix:DIR/a.sock']"+rest)
	a, b := filepath.Join(dir, "a.sock"), filepath.Join(dir, "b.sock")
	kept := s.dial(t) // on a.sock
	in := bufio.NewReader(kept)
	steps := []struct {
		name, listen string
		a, b         string // what asking the two gives
		mode         os.FileMode
		log          string
	}{
		{"nothing", "listen = ['unix:DIR/a.sock']", "text", "no connection", 0o660, "listeners_opened=0 listeners_changed=0 listeners_closed=0"},
		{"another", "listen = ['unix:DIR/a.sock', 'unix:DIR/b.sock']", "text", "text", 0o660, "listeners_opened=1 listeners_changed=0 listeners_closed=0"},
		{"the mode", "listen_mode = '0600'\nlisten = ['unix:DIR/a.sock', 'unix:DIR/b.sock']", "text", "text", 0o600, "listeners_opened=0 listeners_changed=0 listeners_closed=0"},
		{"a protocol", "listen = ['unix:DIR/a.sock', 'fastcgi:unix:DIR/b.sock']", "text", "no HTTP", 0o660, "listeners_opened=0 listeners_changed=1 listeners_closed=0"},
		{"how many", "connections = 50\nlisten = ['unix:DIR/a.sock', 'fastcgi:unix:DIR/b.sock']", "text", "no HTTP", 0o660, "listeners_opened=0 listeners_changed=1 listeners_closed=0"},
		{"and back", "listen = ['unix:DIR/a.sock', 'unix:DIR/b.sock']", "text", "text", 0o660, "listeners_opened=0 listeners_changed=1 listeners_closed=0"},
		{"one less", "listen = ['unix:DIR/a.sock']", "text", "no connection", 0o660, "listeners_opened=0 listeners_changed=0 listeners_closed=1"},
	}
	for _, tt := range steps {
		before := len(s.log.String())
		s.reload(t, dir, tt.listen+rest)
		if got := at(t, a, "/x.txt"); got != tt.a {
			t.Errorf("%s: a: got %q, want %q", tt.name, got, tt.a)
		}
		if got := at(t, b, "/x.txt"); got != tt.b {
			t.Errorf("%s: b: got %q, want %q", tt.name, got, tt.b)
		}
		if st, err := os.Stat(a); err != nil || st.Mode().Perm() != tt.mode {
			t.Errorf("%s: mode: got %v, %v, want %v", tt.name, st, err, tt.mode)
		}
		if exists(b) != (tt.b != "no connection") {
			t.Errorf("%s: b.sock: there is %v", tt.name, exists(b))
		}
		if log := s.log.String()[before:]; !strings.Contains(log, tt.log) {
			t.Errorf("%s: no %q in the log: %s", tt.name, tt.log, log)
		}
		if _, err := io.WriteString(kept, "GET /x.txt HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: the connection that was open: %v, %v", tt.name, resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}

// A socket whose file has gone is made anew.
func TestReloadSocketGone(t *testing.T) {
	dir := tree(t, files{"htdocs/x.txt": "text"})
	const text = "listen = ['unix:DIR/a.sock']\n[[site]]\nroot = 'DIR/htdocs'\n"
	s := start(t, dir, text)
	name := filepath.Join(dir, "a.sock")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	s.reload(t, dir, text)
	if got := at(t, name, "/x.txt"); got != "text" {
		t.Errorf("got %q", got)
	}
}

// A configuration that cannot be put in force changes nothing: not the sites, not the
// listeners, not the permissions of those.
func TestReloadRefused(t *testing.T) {
	taken, err := net.Listen("tcp", ownLoopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct{ name, listen, rest, want string }{
		{"a folder is missing", "listen = ['unix:DIR/a.sock', 'unix:DIR/b.sock']", "root = 'DIR/none'", "none"},
		{"an address is taken", "listen_mode = '0600'\nlisten = ['unix:DIR/a.sock', 'unix:DIR/b.sock', '" + taken.Addr().String() + "']", "root = 'DIR/new'", "address already in use"},
		{"a socket's folder is missing", "listen = ['unix:DIR/b.sock', 'unix:DIR/none/c.sock']", "root = 'DIR/new'", "no such file or directory"},
		{"nothing from systemd", "listen = ['unix:DIR/b.sock', 'systemd:']", "root = 'DIR/new'", "systemd has passed no sockets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, files{"old/x.txt": "old", "new/x.txt": "new"})
			s := start(t, dir, "listen = ['unix:DIR/a.sock']\n[[site]]\nroot = 'DIR/old'\n")
			err := s.host.Reload(parse(t, dir, tt.listen+"\n[[site]]\n"+tt.rest+"\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if got := at(t, filepath.Join(dir, "a.sock"), "/x.txt"); got != "old" {
				t.Errorf("got %q", got)
			}
			if st, err := os.Stat(filepath.Join(dir, "a.sock")); err != nil || st.Mode().Perm() != 0o660 {
				t.Errorf("a.sock: got %v, %v", st, err)
			}
			if exists(filepath.Join(dir, "b.sock")) {
				t.Error("b.sock is there")
			}
			if got, want := len(s.host.Config().Listen), 1; got != want {
				t.Errorf("%d listeners in force", got)
			}
			s.reload(t, dir, "listen = ['unix:DIR/a.sock']\n[[site]]\nroot = 'DIR/new'\n")
			if got := at(t, filepath.Join(dir, "a.sock"), "/x.txt"); got != "new" {
				t.Errorf("afterwards: got %q", got)
			}
		})
	}
}

// Applications that are the same live on, wherever in the file they stand; others end with
// the last request on them.
func TestReloadApplications(t *testing.T) {
	needPython(t)
	dir := tree(t, files{"app.py": "import os, time\nhere = os.path.dirname(__file__) + '/'\ndef application(environ, start_response):\n" +
		"    if environ['PATH_INFO'] == '/held':\n        open(here + 'held', 'w').close()\n        while not os.path.exists(here + 'gate'):\n            time.sleep(0.01)\n" +
		"    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n"})
	app := func(path, keys string) string {
		return fmt.Sprintf("[[site.route]]\npath = '%s'\nwsgi = { module = 'app.py', python = '%s', workers = 1, threads = 2 }\n%s\n", path, python3, keys)
	}
	s := start(t, dir, "[[site]]\n"+app("/a/", "")+app("/b/", ""))
	a, b := s.get(t, "/a/").body, s.get(t, "/b/").body
	open := gate(t, filepath.Join(dir, "gate"))
	held := make(chan *answer, 1)
	go func() { held <- s.get(t, "/b/held") }()
	eventually(t, "a request under way", func() bool { return exists(filepath.Join(dir, "held")) })
	// /a/ has moved down and is the same; /b/ has not, and is not.
	s.reload(t, dir, "# a comment\n\n[[site]]\n"+app("/b/", "env = { NEW = '1' }")+app("/a/", ""))
	if got := s.get(t, "/a/").body; got != a {
		t.Errorf("/a/: process %s, it was %s", got, a)
	}
	if got := s.get(t, "/b/").body; got == b || got == "" {
		t.Errorf("/b/: process %q, it was %s", got, b)
	}
	open()
	if got := <-held; got.StatusCode != 200 || got.body != b {
		t.Errorf("the request under way: got %d %q, want process %s", got.StatusCode, got.body, b)
	}
	eventually(t, "the end of the old worker", func() bool { return !exists("/proc/" + b) })
	if log := s.log.String(); !strings.Contains(log, "applications=2 applications_kept=1") {
		t.Errorf("got %s", log)
	}
	s.reload(t, dir, "[[site]]\nroot = 'DIR'\n")
	eventually(t, "the end of the other", func() bool { return !exists("/proc/" + a) })
	if got := s.get(t, "/a/").StatusCode; got != 404 {
		t.Errorf("got %d", got)
	}
}

// connections changes: those that wait are let in, those that are open stay.
func TestReloadConnections(t *testing.T) {
	dir := tree(t, files{"cgi-bin/held": script("touch ../held", "while [ ! -e ../gate ]; do sleep 0.01; done", okHeader, "echo done"), "x.txt": "text"})
	text := func(n int) string {
		return fmt.Sprintf("connections = %d\n[[site]]\nroot = 'DIR'\n[[site.route]]\npath = '/cgi-bin/'\ncgi = 'DIR/cgi-bin/'\n", n)
	}
	s := start(t, dir, text(1))
	open := gate(t, filepath.Join(dir, "gate"))
	_, first := s.begin(t, "/cgi-bin/held")
	eventually(t, "the first request", func() bool { return exists(filepath.Join(dir, "held")) })
	conn, second := s.begin(t, "/x.txt")
	_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // it has no end before the gate opens
	if _, err := second.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("two connections at once: %v", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	s.reload(t, dir, text(2))
	for n, in := range []*bufio.Reader{second, first} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%d: got %v, %v", n, resp, err)
		}
		open()
	}
}

// cgroup cannot change by a reload, and that is said.
func TestReloadSaysWhatItCannot(t *testing.T) {
	dir := tree(t, files{"x.txt": "text"})
	const text = "[[site]]\nroot = 'DIR'\n"
	const told = "cgroup has changed, which a reload does not bring about"
	log := new(buffer)
	// On trial nobody looks whether the folder will do, which not every machine has.
	h, err := site.New(parse(t, dir, text), site.Options{Trial: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	for _, cgroup := range []string{"", dir} {
		cfg := parse(t, dir, text)
		cfg.Cgroup = cgroup
		if err := h.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), told); got != (cgroup != "") {
			t.Errorf("cgroup %q: told is %v:\n%s", cgroup, got, log)
		}
	}
	if !strings.Contains(log.String(), fmt.Sprintf(`cgroup=%s in_force=""`, dir)) {
		t.Errorf("got %s", log)
	}
}

// Many reloads at once come one after the other; with requests meanwhile none is lost, and
// after Close there are no more.
func TestReloadsAtOnce(t *testing.T) {
	dir := tree(t, files{"0/x.txt": "text", "1/x.txt": "text"})
	text := func(n int) string { return fmt.Sprintf("[[site]]\nroot = 'DIR/%d'\n", n%2) }
	s := start(t, dir, text(0))
	var reloads, requests sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		requests.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if a := s.get(t, "/x.txt"); a.StatusCode != 200 {
					t.Errorf("got %d %s", a.StatusCode, a.body)
				}
			}
		})
	}
	for n := range 20 {
		reloads.Go(func() {
			if err := s.host.Reload(parse(t, dir, text(n))); err != nil {
				t.Error(err)
			}
		})
	}
	reloads.Wait()
	close(over)
	requests.Wait()
	s.stop()
	<-s.done
	if err := s.host.Close(); err != nil {
		t.Error(err)
	}
	if err := s.host.Reload(parse(t, dir, text(0))); err != site.ErrClosed {
		t.Errorf("after Close: got %v", err)
	}
}

// A host that has yielded ends each connection with its next response and none before.
func TestYield(t *testing.T) {
	dir := tree(t, files{"x.txt": "text"})
	s := start(t, dir, "listen = ['unix:DIR/a.sock']\nshutdown_timeout = '5m'\n[[site]]\nroot = 'DIR'\n")
	conn := s.dial(t)
	in := bufio.NewReader(conn)
	ask := func() *http.Response {
		t.Helper()
		if _, err := io.WriteString(conn, "GET /x.txt HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp
	}
	if ask().Close {
		t.Fatal("the connection is not kept")
	}
	s.host.Yield()
	if err := s.host.Reload(s.host.Config()); err != site.ErrYielded {
		t.Errorf("Reload: got %v", err)
	}
	s.stop()
	eventually(t, "the end of the listener", func() bool { return at(t, filepath.Join(dir, "a.sock"), "/x.txt") == "no connection" })
	if !ask().Close {
		t.Error("the connection is kept")
	}
	<-s.done
	if s.err != nil {
		t.Error(s.err)
	}
	if !exists(filepath.Join(dir, "a.sock")) {
		t.Error("the socket's file has gone, which is another's")
	}
}

// Alive is answered as long as the host serves, also when it is full.
func TestAlive(t *testing.T) {
	dir := tree(t, files{"x.txt": "text"})
	s := start(t, dir, "connections = 1\n[[site]]\nroot = 'DIR'\n")
	conn := s.dial(t)
	defer conn.Close()
	eventually(t, "a full host", func() bool {
		_, err := io.WriteString(conn, "GET /x.txt HTTP/1.1\r\nHost: x\r\n\r\n")
		return err == nil
	})
	for range 3 {
		if err := s.host.Alive(context.Background()); err != nil {
			t.Error(err)
		}
	}
	s.stop()
	s.hurry()
	<-s.done
	if err := s.host.Alive(context.Background()); err == nil {
		t.Error("it is alive after its end")
	}
	if log := s.access.String(); strings.Contains(log, "inside") {
		t.Errorf("got %s", log)
	}
}
