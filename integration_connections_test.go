package gatehouse_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// connectionTrials are about clients that keep their connection, and that leave.
var connectionTrials = []trial{
	{"keep-alive", nil, keptAlive},
	{"pipelined (E34)", cPrograms, pipelined},
	{"leaves in the head", nil, func(t *testing.T, h *host) {
		for _, head := range []string{"", "G", "GET /cgi-bin/wait.sh HTTP/1.1\r\nHost: loc", "GET /cgi-bin/wait.sh HTTP/1.1\r\nHost: localhost\r\n"} {
			conn := h.dial(t)
			fmt.Fprint(conn, head)
			conn.Close()
		}
		h.good(t)
	}},
	{"leaves in a body of known length (A60)", nil, func(t *testing.T, h *host) {
		conn := h.dial(t)
		fmt.Fprintf(conn, "POST /cgi-bin/swallow.sh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 300_000))
		pid := readPid(t, answerBody(t, conn))
		conn.Close()
		gone(t, pid)
		h.good(t)
	}},
	{"leaves in a chunked body (A60)", nil, func(t *testing.T, h *host) {
		conn := h.dial(t)
		fmt.Fprintf(conn, "POST /cgi-bin/swallow.sh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n%s", strings.Repeat("x", 200_000))
		if !eventually(func() bool { return strings.Contains(strings.Join(descriptors(h.cmd.Process.Pid), "\n"), h.spool) }) {
			t.Errorf("the body is in no file in %s: %q", h.spool, descriptors(h.cmd.Process.Pid))
		}
		if programs := h.programs(); len(programs) > 0 {
			t.Errorf("started before the body was there: %q", programs)
		}
		conn.Close()
		h.good(t)
	}},
	{"leaves in silence (A102)", nil, func(t *testing.T, h *host) { leavesInResponse(t, h, "wait.sh") }},
	{"leaves in a flood (A102)", nil, func(t *testing.T, h *host) { leavesInResponse(t, h, "flood.sh") }},
	{"leaves before the header (A102)", nil, func(t *testing.T, h *host) {
		conn := h.dial(t)
		fmt.Fprintf(conn, "GET /cgi-bin/mute.sh HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if !eventually(func() bool { return len(h.programs()) > 0 }) {
			t.Fatal("the program does not start")
		}
		conn.Close()
		h.good(t) // settled finds out whether it is gone
	}},
}

// leavesInResponse: a program ends with the client that its answer is for.
func leavesInResponse(t *testing.T, h *host, script string) {
	conn := h.dial(t)
	fmt.Fprintf(conn, "GET /cgi-bin/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", script)
	pid := readPid(t, answerBody(t, conn))
	conn.Close()
	gone(t, pid)
	h.good(t)
}

// answerBody is the body of the answer that comes on a connection.
func answerBody(t *testing.T, conn io.Reader) *bufio.Reader {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(resp.Body)
}

// keptAlive asks fifty times on one connection, with all that may come between:
// bodies, HEAD, errors.
func keptAlive(t *testing.T, h *host) {
	conn := h.dial(t)
	in := bufio.NewReader(conn)
	rounds := []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/cgi-bin/hello.sh", "", 200},
		{"POST", "/cgi-bin/count.sh", strings.Repeat("b", 1000), 200},
		{"HEAD", "/cgi-bin/fields.sh", "", 404},
		{"GET", "/cgi-bin/missing", "", 404},
		{"GET", "/cgi-bin/silent.sh", "", 502},
	}
	for n := range 50 {
		r := rounds[n%len(rounds)]
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: localhost\r\n", r.method, r.path)
		if r.body != "" {
			fmt.Fprintf(conn, "Content-Length: %d\r\n", len(r.body))
		}
		fmt.Fprintf(conn, "\r\n%s", r.body)
		resp, err := http.ReadResponse(in, &http.Request{Method: r.method})
		if err != nil {
			t.Fatalf("request %d, %s: %v", n+1, r.path, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != r.status || resp.Close {
			t.Fatalf("request %d, %s: status %d, closes %v, %v; want %d on a connection that stays", n+1, r.path, resp.StatusCode, resp.Close, err, r.status)
		}
	}
}

// pipelined sends three requests at once; the answers come whole and in order.
func pipelined(t *testing.T, h *host) {
	conn := h.dial(t)
	for n := range 3 {
		fmt.Fprintf(conn, "POST /cgi-bin/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nbody %d", n)
	}
	in := bufio.NewReader(conn)
	for n := range 3 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if want := fmt.Sprintf("body %d", n); string(body) != want || err != nil {
			t.Errorf("answer %d: %q, %v", n, body, err)
		}
	}
}
