package scripts_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/fastcgi"
	"gatehouse/scripts"
)

// shimPatience bounds whatever a test waits for.
const shimPatience = time.Minute

// shimPython is the interpreter that the tests run the shim with.
var shimPython = []string{"/usr/bin/python3"}

func init() {
	if p := os.Getenv("TEST_PYTHON"); p != "" {
		shimPython = strings.Fields(p)
	}
}

// shim is the WSGI shim as a file.
var shim = sync.OnceValue(func() string {
	path := filepath.Join(siteDir, "run_wsgi.py")
	if err := os.WriteFile(path, scripts.WSGIShim(), 0o644); err != nil {
		panic(err)
	}
	return path
})

// torture is the application of testdata/wsgi/torture.py, in its folder.
func torture(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("testdata/wsgi/torture.py")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shimCommand is the shim with its arguments, and no environment but that of the tests.
func shimCommand(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(shimPython[0]); err != nil {
		t.Skipf("NOT TESTED: %s is not installed", shimPython[0])
	}
	cmd := exec.Command(shimPython[0], slices.Concat(shimPython[1:], []string{shim()}, args)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"}
	return cmd
}

// A wsgiRequest is a request as both lives get it.
type wsgiRequest struct {
	path string   // PATH_INFO, and after "?" QUERY_STRING
	vars []string // added to the variables, or in their place; a name without "=" removes
	body string   // with CONTENT_LENGTH, unless it is empty
}

func (r wsgiRequest) variables() []string {
	path, query, _ := strings.Cut(r.path, "?")
	vars := []string{
		"GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=test", "SERVER_NAME=example.org", "SERVER_PORT=8080",
		"SERVER_PROTOCOL=HTTP/1.1", "REQUEST_METHOD=GET", "SCRIPT_NAME=/app", "PATH_INFO=" + path, "QUERY_STRING=" + query,
		"REMOTE_ADDR=192.0.2.1", "HTTP_HOST=example.org:8080",
	}
	if r.body != "" {
		vars = append(vars, "CONTENT_LENGTH="+strconv.Itoa(len(r.body)))
	}
	for _, v := range r.vars {
		name, _, set := strings.Cut(v, "=")
		vars = slices.DeleteFunc(vars, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		if set {
			vars = append(vars, v)
		}
	}
	return vars
}

// A wsgiAnswer is what came back.
type wsgiAnswer struct {
	status string   // without "Status: "
	header []string // lines, but for the status
	body   string
	stderr string
	whole  bool // and not cut short
	raw    string
}

func (a *wsgiAnswer) parse(t testing.TB) {
	t.Helper()
	head, body, found := strings.Cut(a.raw, "\r\n\r\n")
	if !found {
		if a.raw != "" {
			t.Errorf("got %q, want a header", a.raw)
		}
		return
	}
	a.body = body
	for i, line := range strings.Split(head, "\r\n") {
		if status, ok := strings.CutPrefix(line, "Status: "); ok && i == 0 {
			a.status = status
			continue
		}
		a.header = append(a.header, line)
	}
}

// has reports whether the header has the line.
func (a wsgiAnswer) has(line string) bool { return slices.Contains(a.header, line) }

// field is the value of a header field, "" if there is none.
func (a wsgiAnswer) field(name string) string {
	for _, line := range a.header {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

// eachLife runs a test with the shim as a CGI program and as a FastCGI responder.
func eachLife(t *testing.T, spec string, args []string, test func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer)) {
	t.Run("CGI", func(t *testing.T) {
		test(t, func(t *testing.T, r wsgiRequest) wsgiAnswer { return askCGI(t, r, append(slices.Clone(args), spec)...) })
	})
	t.Run("FastCGI", func(t *testing.T) {
		w := startWSGI(t, append(slices.Clone(args), spec)...)
		test(t, func(t *testing.T, r wsgiRequest) wsgiAnswer {
			t.Helper()
			c := w.dial(t)
			defer c.Close()
			return c.ask(t, r)
		})
	})
}

// askCGI runs the shim as a CGI program. A response is cut short where the program
// ends by a signal (A98).
func askCGI(t *testing.T, r wsgiRequest, args ...string) wsgiAnswer {
	t.Helper()
	cmd := shimCommand(t, args...)
	cmd.Env = append(cmd.Env, r.variables()...)
	cmd.Stdin = strings.NewReader(r.body)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	a := wsgiAnswer{raw: stdout.String(), stderr: stderr.String(), whole: cmd.ProcessState.Success()}
	a.parse(t)
	return a
}

// A wsgiWorker is the shim as a FastCGI responder.
type wsgiWorker struct {
	cmd    *exec.Cmd
	addr   string
	stderr *shimOutput
	exited chan struct{}
}

// startWSGI starts the shim with a listening socket on descriptor 0, until the test ends.
func startWSGI(t testing.TB, args ...string) *wsgiWorker {
	t.Helper()
	return startWSGICommand(t, shimCommand(t, args...))
}

func startWSGICommand(t testing.TB, cmd *exec.Cmd) *wsgiWorker {
	t.Helper()
	w := &wsgiWorker{cmd: cmd, addr: filepath.Join(t.TempDir(), "s"), stderr: new(shimOutput), exited: make(chan struct{})}
	ln, err := net.Listen("unix", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	listening, err := ln.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	cmd.Stdin = listening
	cmd.Stderr = w.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening.Close()
	go func() {
		_ = cmd.Wait()
		close(w.exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-w.exited
		if t.Failed() {
			t.Logf("the shim said: %s", w.stderr)
		}
	})
	return w
}

// wait returns the exit status.
func (w *wsgiWorker) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-w.exited:
		return w.cmd.ProcessState.ExitCode()
	case <-time.After(shimPatience):
		t.Fatal("the shim does not end")
		return 0
	}
}

func (w *wsgiWorker) dial(t testing.TB) *wsgiConn {
	t.Helper()
	conn, err := net.Dial("unix", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(shimPatience)); err != nil {
		t.Fatal(err)
	}
	return newWSGIConn(conn)
}

// A wsgiConn is a web server's connection to the shim.
type wsgiConn struct {
	net.Conn
	r *fastcgi.Reader
}

func newWSGIConn(conn net.Conn) *wsgiConn { return &wsgiConn{conn, fastcgi.NewReader(conn)} }

// begin is a request up to the end of its variables.
func begin(r wsgiRequest, keep bool) []byte {
	b := fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, keep)
	return fastcgi.AppendParams(b, 1, r.variables())
}

// whole is a request with its body.
func whole(r wsgiRequest, keep bool) []byte {
	b := fastcgi.AppendStream(begin(r, keep), fastcgi.TypeStdin, 1, []byte(r.body))
	return fastcgi.AppendStreamEnd(b, fastcgi.TypeStdin, 1)
}

func (c *wsgiConn) send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func (c *wsgiConn) ask(t testing.TB, r wsgiRequest) wsgiAnswer {
	t.Helper()
	go c.Write(whole(r, false)) // what is not taken ends with the connection
	return c.answer(t)
}

// answer reads up to END_REQUEST for the request 1, or up to the end of the connection.
func (c *wsgiConn) answer(t testing.TB) wsgiAnswer {
	t.Helper()
	a := c.rest(t)
	a.parse(t)
	return a
}

// rest is answer where the header may have been read before.
func (c *wsgiConn) rest(t testing.TB) wsgiAnswer {
	t.Helper()
	var a wsgiAnswer
	var out, stderr bytes.Buffer
	for {
		h, err := c.r.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("got %v after %d bytes", err, out.Len())
			}
			break
		}
		content, err := io.ReadAll(c.r)
		if errors.Is(err, io.ErrUnexpectedEOF) { // the next turn meets it again
			out.Write(content)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ID != 1 {
			t.Fatalf("got a record %v for the request %d", h.Type, h.ID) // B63
		}
		switch h.Type {
		case fastcgi.TypeStdout:
			out.Write(content)
			continue
		case fastcgi.TypeStderr:
			stderr.Write(content)
			continue
		case fastcgi.TypeEndRequest:
			status, protocol, err := fastcgi.ParseEndRequest(content)
			if err != nil || status != 0 || protocol != fastcgi.StatusRequestComplete {
				t.Errorf("got END_REQUEST with %d, %v, %v", status, protocol, err)
			}
			a.whole = true
		default:
			t.Fatalf("got a record of type %v", h.Type)
		}
		break
	}
	a.raw, a.stderr = out.String(), stderr.String()
	return a
}

// skipAnswer reads up to END_REQUEST and looks at nothing.
func (c *wsgiConn) skipAnswer(t testing.TB) {
	for {
		h, err := c.r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Type == fastcgi.TypeEndRequest {
			return
		}
	}
}

// A shimOutput may be written and read at the same time.
type shimOutput struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shimOutput) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shimOutput) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits until the condition holds.
func shimEventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(shimPatience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
