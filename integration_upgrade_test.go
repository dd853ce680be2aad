package gatehouse_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
)

const (
	steadyRequests = 20_000 // at least, during all of what follows
	steadyReloads  = 20
	steadyUpgrades = 5
)

// steadyApp answers with the version of its route and what it was sent.
const steadyApp = `def application(environ, start_response):
    body = environ['wsgi.input'].read()
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [environ['VERSION'].encode() + b':' + body]
`

// steadyConfig is the configuration of a version: routes, pools and listeners come, change
// and go, but for what the clients ask.
func steadyConfig(version int) string {
	listen := `"127.0.0.1:0", "unix:http.sock", "fastcgi:unix:fastcgi.sock", "scgi:unix:scgi.sock"`
	switch version % 3 {
	case 1:
		listen += `, "unix:other.sock"`
	case 2:
		listen = `"fastcgi:unix:other.sock", ` + listen
	}
	text := fill(`
listen = [{listen}]
listen_mode = "{mode}"
control = "control.sock"
admin = ["unix:admin.sock"]
access_log = "off"
connections = {connections}
shutdown_timeout = "10m"
queue_timeout = "2m"
timeout = "2m"
queue = 10000
[[site]]
root = "htdocs"
[[site.route]]
path = "/cgi-bin/"
cgi = "cgi-bin/"
[[site.route]]
path = "/app/"
wsgi = { module = "app.py", workers = {workers}, max_requests = 200 }
env = { VERSION = "{version}" }
[[site.route]]
path = "/kept/"
wsgi = { module = "app.py", workers = 1, threads = 2, max_requests = 50 }
env = { VERSION = "kept" }
`, "{listen}", listen, "{mode}", []string{"0660", "0600"}[version%2], "{connections}", fmt.Sprint(1000+version%5),
		"{workers}", fmt.Sprint(1+version%2), "{version}", fmt.Sprint(version))
	if version%4 > 0 {
		text += fmt.Sprintf("[[site.route]]\npath = \"/v%d/\"\nredirect = \"/app/\"\n", version)
	}
	return text
}

// steady is a gatehouse that clients ask all the time.
type steady struct {
	dir  string
	tcp  string // the address of its HTTP listener
	pids []int  // the processes that have served, in turn

	asked  atomic.Int64
	failed atomic.Int64
	over   atomic.Bool
	mu     sync.Mutex
	why    []string // the first failures
}

// TestNothingLost holds that no request fails while a gatehouse that is asked all the time
// by many clients is reloaded and replaced, and its workers are.
func TestNothingLost(t *testing.T) {
	t.Parallel()
	need(t, "python3", "nginx")
	s := startSteady(t)
	var clients sync.WaitGroup
	for n, c := range s.clients(t) {
		clients.Go(func() {
			defer c.close()
			for !s.over.Load() {
				s.count(n, c.ask())
			}
		})
	}
	defer clients.Wait()
	defer s.over.Store(true)
	const changes = steadyReloads + steadyUpgrades
	for n := 1; n <= changes && !t.Failed(); n++ {
		due := int64(n * steadyRequests / (changes + 1))
		s.wait(t, fmt.Sprintf("%d requests", due), func() bool { return s.asked.Load() >= due })
		if n%(changes/steadyUpgrades) == 0 {
			s.upgrade(t)
		} else {
			s.reload(t, n)
		}
	}
	s.wait(t, "all requests", func() bool { return s.asked.Load() >= steadyRequests })
	s.over.Store(true)
	clients.Wait()
	if n := s.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed:\n%s", n, s.asked.Load(), strings.Join(s.why, "\n"))
	}
	t.Logf("%d requests, processes %v", s.asked.Load(), s.pids)
	s.end(t)
}

func startSteady(t *testing.T) *steady {
	t.Helper()
	s := &steady{dir: t.TempDir()}
	for _, d := range []string{"htdocs", "cgi-bin"} {
		if err := os.Mkdir(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.path("app.py"), steadyApp, 0o644)
	write(t, s.path("htdocs/file.txt"), "a file\n", 0o644)
	write(t, s.path("cgi-bin/echo"), "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\ncat\n", 0o755)
	write(t, s.path("gatehouse.toml"), steadyConfig(0), 0o644)
	log, err := os.Create(s.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(binary, "serve", "-c", s.path("gatehouse.toml"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "GORACE=atexit_sleep_ms=0"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // that of its successors too
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	go func() { _ = cmd.Wait(); close(reaped) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nobody is left but after a failure
		<-reaped
		if t.Failed() {
			text, _ := os.ReadFile(s.path("log"))
			t.Logf("log:\n%s", text)
		}
	})
	address := regexp.MustCompile(`on http://(\S+)/\n`)
	s.wait(t, "the first process", func() bool {
		text, _ := os.ReadFile(s.path("log"))
		if m := address.FindSubmatch(text); m != nil {
			s.tcp = string(m[1])
		}
		return bytes.Contains(text, []byte("Ctrl-C stops it\n"))
	})
	s.pids = []int{cmd.Process.Pid}
	return s
}

func (s *steady) path(name string) string { return filepath.Join(s.dir, name) }

// wait waits for a fact, which is given up for a failure only when there has been no
// progress for long, or very much without it.
func (s *steady) wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	last, since, most := int64(-1), time.Now(), s.asked.Load()+10*steadyRequests
	for !cond() {
		if n := s.asked.Load(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > 2*patience || last > most {
			t.Fatalf("no %s; %d requests so far, %d failed: %s", what, last, s.failed.Load(), s.why)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *steady) count(client int, err error) {
	s.asked.Add(1)
	if err == nil {
		return
	}
	s.failed.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.why) < 20 {
		s.why = append(s.why, fmt.Sprintf("client %d: %v", client, err))
	}
}

// run has the program talk to the one that serves.
func (s *steady) run(t *testing.T, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, command, "-c", s.path("gatehouse.toml"), "--timeout", "0s")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gatehouse %s: %v\n%s", command, err, out)
	}
}

// reload puts the next version in force, by command and by signal in turn.
func (s *steady) reload(t *testing.T, version int) {
	t.Helper()
	put := s.path("next.toml")
	write(t, put, steadyConfig(version), 0o644)
	if err := os.Rename(put, s.path("gatehouse.toml")); err != nil {
		t.Fatal(err)
	}
	if version%2 == 0 {
		s.run(t, "reload")
	} else if err := syscall.Kill(s.pids[len(s.pids)-1], syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c := &rawClient{network: "tcp", addr: s.tcp}
	want := fmt.Sprintf("%d:", version)
	s.wait(t, fmt.Sprintf("version %d", version), func() bool {
		text, err := c.do("POST", "/app/", "x")
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(text, want)
	})
}

// upgrade has another process take over, by command and by signal in turn.
func (s *steady) upgrade(t *testing.T) {
	t.Helper()
	old := s.pids[len(s.pids)-1]
	if len(s.pids)%2 == 0 {
		s.run(t, "upgrade")
	} else if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	s.wait(t, "another process", func() bool {
		pid, err := s.pid()
		if err != nil {
			t.Fatal(err)
		}
		if pid == old {
			return false
		}
		s.pids = append(s.pids, pid)
		return true
	})
}

// pid asks which process serves.
func (s *steady) pid() (pid int, err error) {
	c := &rawClient{network: "unix", addr: s.path("control.sock")}
	text, err := c.do("GET", "/pid", "")
	if err == nil {
		_, err = fmt.Sscan(text, &pid)
	}
	return pid, err
}

// end stops the last process, and waits for those before.
func (s *steady) end(t *testing.T) {
	t.Helper()
	s.run(t, "stop")
	for n, pid := range s.pids {
		if !eventually(func() bool { return !alive(pid) }) {
			t.Errorf("process %d, the %d. of %d, has not ended", pid, n+1, len(s.pids))
		}
	}
	for _, name := range []string{"http.sock", "fastcgi.sock", "scgi.sock", "other.sock", "control.sock", "admin.sock"} {
		if _, err := os.Lstat(s.path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", name, err)
		}
	}
}

// alive reports whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

// asker is a client. ask makes one request, never a second for one that failed, and returns
// what was wrong.
type asker struct {
	ask   func() error
	close func()
}

// clients are what asks, each in a goroutine of its own.
func (s *steady) clients(t *testing.T) (all []asker) {
	t.Helper()
	n := 0
	http := func(network, addr string, keep bool) {
		c := &rawClient{network: network, addr: addr, keep: keep}
		seq := n // not all of the same kind at a time
		n++
		all = append(all, asker{close: c.close, ask: func() error {
			seq++
			switch {
			case seq%50 == 0:
				return c.echo("/cgi-bin/echo", "")
			case seq%2 == 0:
				return c.file()
			case seq%3 == 0:
				return c.echo("/kept/", "kept:")
			}
			return c.echo("/app/", "*:")
		}})
	}
	http("tcp", s.tcp, true)
	http("tcp", s.tcp, true)
	http("tcp", s.tcp, false)
	http("unix", s.path("http.sock"), true)
	http("unix", s.path("http.sock"), false)
	http("tcp", s.nginx(t), true)
	for _, keep := range []bool{true, false} {
		front := &fastcgi.Transport{Addresses: []string{"unix:" + s.path("fastcgi.sock")}, NoKeepAlive: !keep, Name: "front"}
		// On a connection that is kept only what may be sent twice: FastCGI cannot say
		// that one is about to be closed (nginx does so as well).
		body := "by FastCGI"
		if keep {
			body = ""
		}
		all = append(all, asker{func() error { return fastcgiEcho(front, body) }, func() { _ = front.Close() }})
	}
	return append(all, asker{func() error { return scgiEcho(s.path("scgi.sock")) }, func() {}})
}

// nginx starts one in front of the FastCGI listener.
func (s *steady) nginx(t *testing.T) string {
	t.Helper()
	listen := freePort(t)
	write(t, s.path("nginx.conf"), fill(fill(nginxConfig, "{upstream}", "", "{location}", "fastcgi_pass gatehouse; include /etc/nginx/fastcgi_params; fastcgi_next_upstream off;"),
		"{dir}", s.dir, "{user}", asRoot("user root;"), "{backend}", "unix:"+s.path("fastcgi.sock"), "{listen}", listen), 0o644)
	startPeer(t, s.dir, listen, exec.Command(whereIs["nginx"], "-p", s.dir, "-e", "stderr", "-c", s.path("nginx.conf")))
	return listen
}

// rawClient is an HTTP client that makes no request twice: an http.Client would.
type rawClient struct {
	network, addr string
	keep          bool
	conn          net.Conn
	in            *bufio.Reader
}

func (c *rawClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// do makes a request and returns its body. An answer with another status than 200 is an
// error.
func (c *rawClient) do(method, path, body string) (string, error) {
	used := c.conn != nil
	text, err := c.once(method, path, body)
	if err != nil {
		c.close()
		return "", fmt.Errorf("%s %s over %s, connection used before: %v: %w", method, path, c.network, used, err)
	}
	if !c.keep {
		c.close()
	}
	return text, nil
}

func (c *rawClient) once(method, path, body string) (string, error) {
	if c.conn == nil {
		conn, err := net.Dial(c.network, c.addr)
		if err != nil {
			return "", err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(4 * patience))
	connection := "close"
	if c.keep {
		connection = "keep-alive"
	}
	if _, err := fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, connection, len(body), body); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("status %s: %s", resp.Status, clip(string(text)))
	case resp.Close:
		c.close()
	}
	return string(text), nil
}

func (c *rawClient) file() error {
	text, err := c.do("GET", "/file.txt", "")
	if err == nil && text != "a file\n" {
		err = fmt.Errorf("got %q", text)
	}
	return err
}

// echo posts a body, which has to come back behind a prefix, of which "*" is any version.
func (c *rawClient) echo(path, prefix string) error {
	body := strings.Repeat("body ", 100)
	text, err := c.do("POST", path, body)
	if err == nil && !echoed(text, prefix, body) {
		err = fmt.Errorf("POST %s: got %q", path, text)
	}
	return err
}

func echoed(text, prefix, body string) bool {
	if tail, any := strings.CutPrefix(prefix, "*"); any {
		_, text, _ = strings.Cut(text, tail)
		prefix = ""
	}
	return text == prefix+body
}

func fastcgiEcho(front *fastcgi.Transport, body string) error {
	req := &cgi.Request{Env: environ.Env{}}
	method := "GET"
	if body != "" {
		method, req.Body, req.ContentLength = "POST", strings.NewReader(body), int64(len(body))
	}
	for _, v := range [][2]string{{"REQUEST_METHOD", method}, {"REQUEST_URI", "/app/"}, {"SERVER_PROTOCOL", "HTTP/1.1"},
		{"SERVER_NAME", "localhost"}, {"SERVER_PORT", "80"}, {"REMOTE_ADDR", "127.0.0.1"}, {"HTTP_HOST", "localhost"}, {"CONTENT_LENGTH", fmt.Sprint(len(body))}} {
		req.Env.Set(v[0], v[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	resp, err := front.Respond(ctx, req)
	if err != nil {
		return fmt.Errorf("FastCGI: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.Status != http.StatusOK || !echoed(string(text), "*:", body) {
		return fmt.Errorf("FastCGI: got %d %q, %v", resp.Status, clip(string(text)), err)
	}
	return nil
}

func scgiEcho(socket string) error {
	const body = "by SCGI"
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(4 * patience))
	head := strings.ReplaceAll(fmt.Sprintf("CONTENT_LENGTH %d SCGI 1 REQUEST_METHOD POST REQUEST_URI /app/ SERVER_PROTOCOL HTTP/1.1 SERVER_NAME localhost SERVER_PORT 80 REMOTE_ADDR 127.0.0.1 HTTP_HOST localhost ", len(body)), " ", "\x00")
	if _, err := fmt.Fprintf(conn, "%d:%s,%s", len(head), head, body); err != nil {
		return err
	}
	text, err := io.ReadAll(conn)
	_, rest, _ := strings.Cut(string(text), "\r\n\r\n")
	if err != nil || !strings.HasPrefix(string(text), "Status: 200") || !echoed(rest, "*:", body) {
		return fmt.Errorf("SCGI: got %q, %v", text, err)
	}
	return nil
}
