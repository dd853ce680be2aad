package cgi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/cgi"
)

// A nph- script that does not read its request's body: the client, which still sends
// that, gets the whole response all the same (E33, A59).
func TestNPHUnreadBody(t *testing.T) {
	const length = 400_000
	sent := filepath.Join(t.TempDir(), "sent")
	h, _ := nph(t, `while [ ! -e `+sent+` ]; do sleep 0.01; done; printf 'HTTP/1.0 200 OK\r\n\r\n'; head -c 400000 /dev/zero`)
	conn := connect(t, serve(t, h))
	// More than the program's pipe and the feeder hold; the rest lies in sockets.
	_ = conn.(*net.TCPConn).SetWriteBuffer(1 << 20)
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"+strings.Repeat("x", 300_000)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // so that the response lies in the socket when the server is done
	got, err := io.ReadAll(conn)
	if err != nil || len(got) < length {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The header of a response without a body does not wait for the program's end (A85).
func TestHeadDoesNotWait(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`sleep 60`))
	p.Times.Idle = 2 * time.Second // that ends it
	conn := connect(t, serve(t, &cgi.Handler{Responder: p}))
	_, _ = io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
}

// A program that reads its own output back keeps nobody waiting beyond its limits.
func TestProgramReadsItsOutput(t *testing.T) {
	p, _ := program(t, shell(t, `exec 3</proc/self/fd/1 4</proc/self/fd/2; printf x; printf y >&2; cat <&3 >/dev/null & cat <&4 >/dev/null`))
	p.Times.Header, p.Times.Grace, p.Times.Linger = 500*time.Millisecond, time.Second, 300*time.Millisecond
	begun := time.Now()
	_, _, err := answer(t, p, request("GET", ""))
	var e *cgi.Error
	if !errors.As(err, &e) {
		t.Errorf("no error: %v", err)
	}
	if took := time.Since(begun); took > 2*patience {
		t.Errorf("it took %v", took)
	}
}

// A child that goes on to write when its program has ended is ended with its client
// (A102).
func TestChattyChildEndsWithItsClient(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`echo bg; (while :; do echo more; sleep 0.1; done) & sleep 0.1`))
	p.Times.Linger = time.Minute // it is not its silence that ends it
	conn := connect(t, serve(t, &cgi.Handler{Responder: p}))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	for seen := 0; seen < 5; { // the program itself has ended by then
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "more") {
			seen++
		}
	}
	_ = conn.Close()
	idle(t)
}

// What lacks of a declared length is told in the log, and the status of a nph- script.
func TestAccountOfOddResponses(t *testing.T) {
	p, _ := program(t, shell(t, `printf 'Content-Type: text/plain\nContent-Length: 99\n\nshort'`))
	req := request("GET", "")
	req.Account = new(cgi.Account)
	if _, body, err := answer(t, p, req); body != "short" || err == nil {
		t.Errorf("%q, %v", body, err)
	}
	if f := req.Account.Failure; f == nil || f.Kind != cgi.Truncated || !strings.Contains(f.Reason, "94 bytes") {
		t.Errorf("failure %v", f)
	}

	h, _ := nph(t, `printf 'HTTP/1.1 207 x\r\n\r\n'`)
	status := make(chan int, 1)
	inner := h.Responder
	h.Responder = cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		resp, err := inner.Respond(ctx, req)
		if err == nil {
			resp.OnClose(func() { status <- resp.Status })
		}
		return resp, err
	})
	_ = exchange(t, serve(t, h), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := <-status; got != 207 {
		t.Errorf("status %d, want 207", got)
	}
	idle(t)
}
