package site_test

import (
	"bufio"
	"bytes"
	"context"
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

	"go.uber.org/goleak"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// long is when a test gives up on what should have happened at once.
const long = 60 * time.Second

func TestMain(m *testing.M) {
	if addr := os.Getenv(loadVariable); addr != "" {
		loadCGI(addr)
		return
	}
	if os.Getenv(appVariable) != "" {
		serveStdin()
		return
	}
	if os.Getenv(takeVariable) != "" {
		takeOver()
		return
	}
	// There are programs that run as other users.
	syscall.Umask(0o022)
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // opens what the poller keeps
		_ = ln.Close()
	}
	before := descriptors()
	code := m.Run()
	if err := leaks(before); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "left behind:", err)
		code = 1
	}
	os.Exit(code)
}

// leaks tells what all the tests together have left.
func leaks(before int) error {
	var err error
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		err = goleak.Find()
		if now := descriptors(); now > before {
			err = fmt.Errorf("%d descriptors, %d before the tests", now, before)
		}
		if pids := children(); pids != "" {
			err = fmt.Errorf("children %s", pids)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

func children() string {
	var all []string
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, name := range files {
		text, _ := os.ReadFile(name)
		all = append(all, strings.Fields(string(text))...)
	}
	return strings.Join(all, " ")
}

// eventually polls until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", long, what)
		}
	}
}

// files are a folder's content by name: a name with a slash at its end is a folder,
// text that begins with "-> " a symbolic link, with "#!" a script.
type files map[string]string

// sourceMark is in the text of every script, and so in no answer.
const sourceMark = "SOURCE-OF-A-SCRIPT"

// script is a shell script that does what lines say.
func script(lines ...string) string {
	return "#!/bin/sh\n# " + sourceMark + "\n" + strings.Join(lines, "\n") + "\n"
}

const okHeader = `printf 'Content-Type: text/plain\n\n'`

// envScript prints its environment.
var envScript = script(okHeader, "env")

func tree(t testing.TB, content files) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range content {
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(full, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(full), 0o755); err == nil {
			err = write(full, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(name, text string) error {
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		return os.Symlink(target, name)
	}
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	syscall.ForkLock.RLock() // a child that has a script open for writing would keep it from being run (ETXTBSY)
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, []byte(text), mode)
}

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

// server is a Host that serves.
type server struct {
	host   *site.Host
	addr   net.Addr
	addrs  []net.Addr
	on     []site.Listening
	access *buffer
	log    *buffer

	stop  context.CancelFunc // lets the requests end
	hurry context.CancelFunc
	done  chan struct{}
	err   error // of Serve; read it after done
}

// parse reads a configuration in which DIR stands for dir.
func parse(t testing.TB, dir, text string) *config.Config {
	t.Helper()
	text = strings.ReplaceAll(text, "DIR", dir)
	if !strings.Contains(text, "listen =") {
		text = "listen = ['127.0.0.1:0']\n" + text
	}
	cfg, err := config.Parse(filepath.Join(dir, "gatehouse.toml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start serves the configuration until the test is over.
func start(t testing.TB, dir, text string, change ...func(*site.Options)) *server {
	t.Helper()
	s := &server{access: new(buffer), log: new(buffer), done: make(chan struct{})}
	o := site.Options{Software: "gatehouse/test", Log: slog.New(slog.NewTextHandler(s.log, nil)), AccessLog: s.access}
	for _, f := range change {
		f(&o)
	}
	h, err := site.New(parse(t, dir, text), o)
	if err != nil {
		t.Fatal(err)
	}
	s.host = h
	var ctx, hurry context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	hurry, s.hurry = context.WithCancel(context.Background())
	ready := make(chan []site.Listening, 1)
	go func() {
		defer close(s.done)
		s.err = h.Serve(ctx, hurry, func(on []site.Listening) { ready <- on })
	}()
	t.Cleanup(func() {
		s.stop()
		s.hurry()
		<-s.done
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	select {
	case s.on = <-ready:
		for _, l := range s.on {
			s.addrs = append(s.addrs, l.Addr)
		}
		s.addr = s.addrs[0]
	case <-s.done:
		t.Fatal(s.err)
	}
	return s
}

// development shows errors' causes.
func development(o *site.Options) { o.Development = true }

// answer is a response, read to its end.
type answer struct {
	*http.Response
	body string
	err  error // of the body: it was cut short
}

// dial connects to the server.
func (s *server) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(2 * long))
	return conn
}

// do sends a request, its bytes as they are, on a connection of its own.
func (s *server) do(t testing.TB, request string) *answer {
	t.Helper()
	conn := s.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return read(t, bufio.NewReader(conn), request)
}

// read reads the response to a request.
func read(t testing.TB, r *bufio.Reader, request string) *answer {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no response to %.100q: %v", request, err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return &answer{resp, string(body), err}
}

// request is a request's bytes. lines are more header fields.
func request(method, target string, lines ...string) string {
	host := "Host: localhost\r\n"
	for _, line := range lines {
		if strings.HasPrefix(line, "Host:") {
			host = ""
		}
	}
	return method + " " + target + " HTTP/1.1\r\n" + host + "Connection: close\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

func (s *server) get(t testing.TB, target string, lines ...string) *answer {
	t.Helper()
	return s.do(t, request("GET", target, lines...))
}

// lastAccess waits for n lines of the access log and returns the last.
func (s *server) lastAccess(t testing.TB, n int) string {
	t.Helper()
	eventually(t, fmt.Sprintf("%d lines in the access log", n), func() bool { return strings.Count(s.access.String(), "\n") >= n })
	lines := strings.Split(strings.TrimSuffix(s.access.String(), "\n"), "\n")
	if len(lines) != n {
		t.Fatalf("%d lines in the access log, want %d:\n%s", len(lines), n, s.access)
	}
	return lines[n-1]
}

// accessOf waits for the line of the access log that has what in it, and returns it.
func (s *server) accessOf(t testing.TB, what string) (line string) {
	t.Helper()
	eventually(t, what+" in the access log", func() bool {
		for line = range strings.Lines(s.access.String()) {
			if strings.Contains(line, what) {
				return true
			}
		}
		return false
	})
	return line
}

// ownLoopback is an address of this machine on which no other process listens, so that
// a port of it that is free stays free.
func ownLoopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.8", 64+pid>>8&127, pid&255)
}

// E26: an unknown host is no site's, and never silently the first one's.
func TestHosts(t *testing.T) {
	dir := tree(t, files{"a/who": "exact", "b/who": "wildcard", "c/who": "deep", "d/who": "default", "e/who": "six"})
	named := `
[[site]]
hosts = ["example.org", "other.example"]
root = "DIR/a"
[[site]]
hosts = ["*.example.org"]
root = "DIR/b"
[[site]]
hosts = ["*.deep.example.org"]
root = "DIR/c"
[[site]]
hosts = ["[::1]"]
root = "DIR/e"
`
	without := start(t, dir, named)
	with := start(t, dir, named+"[[site]]\nroot = \"DIR/d\"\n")
	for _, tt := range []struct{ name, host, want string }{
		{"exact", "example.org", "exact"},
		{"second name", "other.example", "exact"},
		{"case", "EXAMPLE.Org", "exact"},
		{"trailing dot", "example.org.", "exact"},
		{"port", "example.org:8080", "exact"},
		{"wildcard", "www.example.org", "wildcard"},
		{"wildcard for several labels", "a.b.example.org", "wildcard"},
		{"longest wildcard", "x.deep.example.org", "deep"},
		{"wildcard is not for its own name", "deep.example.org", "wildcard"},
		{"IPv6", "[0:0::1]:80", "six"},
		{"end of another name", "notexample.org", ""},
		{"unknown", "example.net", ""},
		{"number", "127.0.0.1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, want, status := without.get(t, "/who", "Host: "+tt.host), tt.want, 200
			if want == "" {
				status = http.StatusMisdirectedRequest
			}
			if got.StatusCode != status || (want != "" && got.body != want) {
				t.Errorf("without a default: %q is %d %q, want %d %q", tt.host, got.StatusCode, got.body, status, want)
			}
			if want == "" {
				want = "default"
			}
			if got := with.get(t, "/who", "Host: "+tt.host); got.StatusCode != 200 || got.body != want {
				t.Errorf("with a default: %q is %d %q, want 200 %q", tt.host, got.StatusCode, got.body, want)
			}
		})
	}
}

// What the machine lacks is told all together, each with its place.
func TestNewReportsEverything(t *testing.T) {
	dir := tree(t, files{"file": "x", "folder/": ""})
	before := descriptors()
	_, err := site.New(parse(t, dir, `listen = ["127.0.0.1:0"]
[[site]]
hosts = ["one"]
root = "DIR/none"
[[site.route]]
path = "/ok/"
static = "DIR/folder/"
[[site.route]]
path = "/a/"
cgi = "DIR/nothing/"
[[site.route]]
path = "/b"
cgi = "DIR/folder"
[[site.route]]
path = "/c"
static = "DIR/missing.txt"
[[site]]
root = "DIR/file"
`), site.Options{})
	if err == nil {
		t.Fatal("no error")
	}
	want := strings.ReplaceAll(`FILE:4:8: site.root: folder "DIR/none" does not exist
FILE:10:7: site.route.cgi: folder "DIR/nothing" does not exist
FILE:13:7: site.route.cgi: "DIR/folder" is a folder (end it with a "/" if it holds scripts)
FILE:16:10: site.route.static: file "DIR/missing.txt" does not exist
FILE:18:8: site.root: "DIR/file" is not a folder`, "FILE", "DIR/gatehouse.toml")
	if want = strings.ReplaceAll(want, "DIR", dir); err.Error() != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
	if now := descriptors(); now > before { // fewer: an earlier test has let go of one
		t.Errorf("%d descriptors after the failure, %d before", now, before)
	}
}
