package gatehouse_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A request is what a client asks, and what the answer has to be.
type request struct {
	method  string // "" means GET
	path    string
	header  map[string]string
	body    string
	chunked bool // the body's length is not told

	status int
	fields map[string]string // header fields; "" for one that must not be there
	want   string            // the whole body
	part   string            // or something in it
}

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// one is a trial's run that consists of a single request.
func one(r request) func(*testing.T, *host) {
	return func(t *testing.T, h *host) { h.ask(t, r) }
}

// do sends a request and reads the answer.
func (h *host) do(r request) (*reply, error) {
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
		if r.chunked {
			body = struct{ io.Reader }{body}
		}
	}
	req, err := http.NewRequest(method, h.url(r.path), body)
	if err != nil {
		return nil, err
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &reply{resp.StatusCode, resp.Header, string(text)}, err
}

// ask sends a request and holds the answer to what it has to be.
func (h *host) ask(t *testing.T, r request) *reply {
	t.Helper()
	got, err := h.do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	if got.status != r.status {
		t.Fatalf("%s %s: status %d, want %d; body %q", r.method, r.path, got.status, r.status, clip(got.body))
	}
	for name := range maps.Keys(r.fields) {
		if value := strings.Join(got.header.Values(name), "; "); value != r.fields[name] {
			t.Errorf("%s %s: %s %q, want %q", r.method, r.path, name, value, r.fields[name])
		}
	}
	if r.want != "" && got.body != r.want {
		t.Errorf("%s %s: body %q (%d bytes), want %q (%d bytes)", r.method, r.path, clip(got.body), len(got.body), clip(r.want), len(r.want))
	}
	if !strings.Contains(got.body, r.part) {
		t.Errorf("%s %s: no %q in body %q", r.method, r.path, r.part, clip(got.body))
	}
	return got
}

// good asks for something that works.
func (h *host) good(t *testing.T) {
	t.Helper()
	h.ask(t, request{path: "/cgi-bin/hello.sh", status: 200, want: "hello\n"})
}

// dial connects to the host; the connection ends with the trial.
func (h *host) dial(t *testing.T) *clientConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", h.server, patience)
	if err != nil {
		t.Fatal(err)
	}
	h.dialed = append(h.dialed, conn)
	return &clientConn{conn.(*net.TCPConn), patience}
}

// dialForClient makes the connections of a host's http.Client.
func dialForClient(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &clientConn{conn.(*net.TCPConn), 0}, nil
}

// A clientConn is a client's end of a connection. A server may answer, and close, before it
// has read the whole request: what is written then is lost, which is no error, and what
// counts is what there is to be read. (An http.Client that can neither write nor has read
// the answer yet would return either.)
type clientConn struct {
	*net.TCPConn
	limit time.Duration // of each read and write, since a busy machine takes its time for all of them; 0: none
}

func (c *clientConn) Read(p []byte) (int, error) {
	if c.limit > 0 {
		_ = c.SetReadDeadline(time.Now().Add(c.limit))
	}
	return c.TCPConn.Read(p)
}

func (c *clientConn) Write(p []byte) (int, error) {
	if c.limit > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(c.limit))
	}
	n, err := c.TCPConn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}

// ReadFrom has io.Copy use Write.
func (c *clientConn) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// WriteTo has io.Copy use Read.
func (c *clientConn) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

func clip(s string) string {
	return s[:min(len(s), 400)]
}

// raw sends bytes on a connection of their own and returns the first answer, and
// whether the server closed the connection behind it.
func (h *host) raw(t *testing.T, method, text string) (got *reply, closed bool) {
	t.Helper()
	conn := h.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatalf("write: %v", err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %q: %v", clip(text), err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("answer to %q: %v", clip(text), err)
	}
	_ = conn.CloseWrite()
	rest, err := io.ReadAll(in)
	if len(rest) > 0 {
		t.Errorf("a second answer to %q: %q", clip(text), clip(string(rest)))
	}
	return &reply{resp.StatusCode, resp.Header, string(body)}, resp.Close && (err == nil || errors.Is(err, syscall.ECONNRESET))
}

// readPid reads the line with its pid that a program begins its answer with.
func readPid(t *testing.T, in *bufio.Reader) int {
	t.Helper()
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatalf("the program's pid: %q, %v", line, err)
	}
	pid := parsePid(t, line)
	if syscall.Kill(pid, 0) != nil {
		t.Fatalf("not the pid of a process: %q", line)
	}
	return pid
}

// parsePid is readPid where the process may have ended meanwhile.
func parsePid(t *testing.T, line string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		t.Fatalf("not a pid: %q", line)
	}
	return pid
}

// gone fails the test unless the process ends soon.
func gone(t *testing.T, pid int) {
	t.Helper()
	if !eventually(func() bool {
		_, err := os.Stat("/proc/" + strconv.Itoa(pid))
		return errors.Is(err, os.ErrNotExist)
	}) {
		t.Errorf("process %d is still there", pid)
	}
}
