package scripts_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/fastcgi"
)

// next is the next record.
func (c *wsgiConn) next(t *testing.T) (fastcgi.Header, string) {
	t.Helper()
	h, err := c.r.Next()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(c.r)
	if err != nil {
		t.Fatal(err)
	}
	return h, string(content)
}

// closed reports whether the shim has closed the connection, without another record.
func (c *wsgiConn) closed() bool {
	_, err := c.r.Next()
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

func (c *wsgiConn) expect(t *testing.T, want fastcgi.Type, id uint16, content string) {
	t.Helper()
	if h, got := c.next(t); h.Type != want || h.ID != id || got != content {
		t.Errorf("got %v for %d with %q, want %v for %d with %q", h.Type, h.ID, got, want, id, content)
	}
}

// B01, B60 to B64, B67: what may come between requests, and what the answer is. After
// each the connection carries a request.
func TestWSGIRecords(t *testing.T) {
	type expected struct {
		kind    fastcgi.Type
		id      uint16
		content string
	}
	tests := []struct {
		name string
		send []byte
		want []expected
	}{
		{"values", fastcgi.AppendGetValues(nil, "FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "OTHER"),
			[]expected{{fastcgi.TypeGetValuesResult, 0, "\x0e\x01FCGI_MAX_CONNS1\x0d\x01FCGI_MAX_REQS1\x0f\x01FCGI_MPXS_CONNS0"}}},
		{"no values", fastcgi.AppendGetValues(nil), []expected{{fastcgi.TypeGetValuesResult, 0, ""}}},
		{"unknown management type", []byte("\x01\x63\x00\x00\x00\x05\x03\x00helloxxx"), []expected{{fastcgi.TypeUnknownType, 0, "\x63\x00\x00\x00\x00\x00\x00\x00"}}},
		{"unknown application type", []byte("\x01\x63\x00\x01\x00\x05\x03\x00helloxxx"), nil},
		{"records of no request", slices.Concat(fastcgi.AppendStream(nil, fastcgi.TypeParams, 5, []byte("x")), fastcgi.AppendStream(nil, fastcgi.TypeStdin, 5, []byte("x")), fastcgi.AppendAbortRequest(nil, 5)), nil},
		{"authorizer", fastcgi.AppendBeginRequest(nil, 3, fastcgi.RoleAuthorizer, true), []expected{{fastcgi.TypeEndRequest, 3, "\x00\x00\x00\x00\x03\x00\x00\x00"}}},
		{"short BEGIN_REQUEST", fastcgi.AppendRecord(nil, fastcgi.TypeBeginRequest, 3, []byte("\x00\x01")), []expected{{fastcgi.TypeEndRequest, 3, "\x00\x00\x00\x00\x03\x00\x00\x00"}}},
		{"aborted before its variables", fastcgi.AppendAbortRequest(fastcgi.AppendBeginRequest(nil, 7, fastcgi.RoleResponder, true), 7), []expected{{fastcgi.TypeEndRequest, 7, "\x00\x00\x00\x00\x00\x00\x00\x00"}}},
		{"another at the same time", fastcgi.AppendAbortRequest(fastcgi.AppendBeginRequest(fastcgi.AppendBeginRequest(nil, 7, fastcgi.RoleResponder, true), 8, fastcgi.RoleResponder, true), 7),
			[]expected{{fastcgi.TypeEndRequest, 8, "\x00\x00\x00\x00\x01\x00\x00\x00"}, {fastcgi.TypeEndRequest, 7, "\x00\x00\x00\x00\x00\x00\x00\x00"}}},
	}
	w := startWSGI(t, torture(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 1 << 20} {
				c := w.dial(t)
				defer c.Close()
				for b := range slices.Chunk(tt.send, piece) {
					c.send(t, b)
				}
				for _, want := range tt.want {
					c.expect(t, want.kind, want.id, want.content)
				}
				for range 2 {
					c.send(t, whole(wsgiRequest{path: "/ignore"}, true))
					if a := c.answer(t); a.body != "ignored" || !a.whole {
						t.Errorf("got %+v", a)
					}
				}
			}
		})
	}
}

// B01, B08, B11: the connection is closed, nothing is answered, and the shim goes on.
func TestWSGIProtocolErrors(t *testing.T) {
	start := fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, true)
	cut := fastcgi.AppendStreamEnd(fastcgi.AppendRecord(start[:len(start):len(start)], fastcgi.TypeParams, 1, []byte("\x05\x05NAMEx")), fastcgi.TypeParams, 1)
	tests := []struct {
		name string
		send []byte
		want string
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "version 71"},
		{"request id 0", fastcgi.AppendRecordHeader(nil, fastcgi.TypeParams, 0, 0, 0), "request id 0"},
		{"management with a request id", fastcgi.AppendRecordHeader(nil, fastcgi.TypeGetValues, 1, 0, 0), "request id 1"},
		{"begins twice", append(slices.Clone(start), start...), "request 1 that runs"},
		{"STDIN before the end of PARAMS", fastcgi.AppendStreamEnd(slices.Clone(start), fastcgi.TypeStdin, 1), "before the end of PARAMS"},
		{"a pair cut short", append(cut, "\x01\x05\x00\x01\x00\x00\x00\x00"...), "cut short"},
		{"a length cut short", fastcgi.AppendStreamEnd(fastcgi.AppendRecord(slices.Clone(start), fastcgi.TypeParams, 1, []byte("\x05")), fastcgi.TypeParams, 1), "cut short"},
		{"a long length", fastcgi.AppendStreamEnd(fastcgi.AppendRecord(slices.Clone(start), fastcgi.TypeParams, 1, []byte("\xff\xff\xff\xff\xff\xff\xff\xffx")), fastcgi.TypeParams, 1), "cut short"},
		{"a long length cut short", fastcgi.AppendStreamEnd(fastcgi.AppendRecord(slices.Clone(start), fastcgi.TypeParams, 1, []byte("\x80\x00")), fastcgi.TypeParams, 1), "cut short"},
	}
	for _, bad := range []string{"\x00\x01x", "\x01\x03aa\x00b", "\x03\x01a\x00bc", "\x03\x01a=bc"} { // B09
		b := fastcgi.AppendRecord(slices.Clone(start), fastcgi.TypeParams, 1, []byte(bad))
		b = fastcgi.AppendStreamEnd(fastcgi.AppendStreamEnd(b, fastcgi.TypeParams, 1), fastcgi.TypeStdin, 1)
		tests = append(tests, struct {
			name string
			send []byte
			want string
		}{fmt.Sprintf("%q", bad), b, "there is a variable"})
	}
	w := startWSGI(t, torture(t))
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := w.dial(t)
			defer c.Close()
			c.send(t, tt.send)
			if !c.closed() {
				t.Error("there was an answer")
			}
			shimEventually(t, "it is told", func() bool { return strings.Count(w.stderr.String(), "not FastCGI") == i+1 })
			if !strings.Contains(w.stderr.String(), tt.want) {
				t.Errorf("got %q, want %q", w.stderr, tt.want)
			}
		})
	}
	c := w.dial(t)
	defer c.Close()
	if a := c.ask(t, wsgiRequest{path: "/ignore"}); a.body != "ignored" {
		t.Errorf("got %+v", a)
	}
}

// B08: variables are what PARAMS say, however they are cut: within a pair, within a
// length, into records of one byte, and into segments of any size.
func TestWSGIParams(t *testing.T) {
	w := startWSGI(t, torture(t))
	r := wsgiRequest{path: "/environ", vars: []string{"HTTP_LONG=" + strings.Repeat("l", 300)}}
	var pairs []byte
	for _, v := range r.variables() {
		name, value, _ := strings.Cut(v, "=")
		pairs = fastcgi.AppendPair(pairs, name, value)
	}
	for _, size := range []int{1, 3, 50, 65535} {
		for _, id := range []uint16{1, 513} {
			t.Run(fmt.Sprint(size, id), func(t *testing.T) {
				b := fastcgi.AppendBeginRequest(nil, id, fastcgi.RoleResponder, true)
				for piece := range slices.Chunk(pairs, size) {
					b = fastcgi.AppendRecordHeader(b, fastcgi.TypeParams, id, len(piece), size%256)
					b = append(append(b, piece...), make([]byte, size%256)...)
				}
				b = fastcgi.AppendStreamEnd(fastcgi.AppendStreamEnd(b, fastcgi.TypeParams, id), fastcgi.TypeStdin, id)
				c := w.dial(t)
				defer c.Close()
				go func() {
					for segment := range slices.Chunk(b, size+1) {
						c.Write(segment)
					}
				}()
				h, got := c.next(t)
				if h.Type != fastcgi.TypeStdout || h.ID != id || !strings.Contains(got, "HTTP_LONG='"+strings.Repeat("l", 300)+"'\n") {
					t.Errorf("got %v for %d with %q", h.Type, h.ID, got)
				}
				c.expect(t, fastcgi.TypeStdout, id, "") // B69
				c.expect(t, fastcgi.TypeEndRequest, id, "\x00\x00\x00\x00\x00\x00\x00\x00")
			})
		}
	}
}

// A field that a web server gives twice is one value (RFC 3875 section 4.1.18); of any
// other variable the last counts (B71).
func TestWSGIParamsTwice(t *testing.T) {
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	b := fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, true)
	b = fastcgi.AppendParams(b, 1, append(wsgiRequest{path: "/environ"}.variables(),
		"HTTP_COOKIE=a=b", "HTTP_X=1", "CONTENT_TYPE=first", "HTTP_COOKIE=c=d", "HTTP_X=2", "CONTENT_TYPE=last"))
	b = fastcgi.AppendStreamEnd(b, fastcgi.TypeStdin, 1)
	for range 40 { // remembered or not
		c.send(t, b)
		environ := environOf(t, c.answer(t))
		if environ["HTTP_COOKIE"] != "'a=b; c=d'" || environ["HTTP_X"] != "'1, 2'" || environ["CONTENT_TYPE"] != "'last'" {
			t.Fatalf("got %q", environ)
		}
	}
}

// B07, B71: variables without bound do not fill the memory.
func TestWSGIParamsWithoutEnd(t *testing.T) {
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	b := fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, true)
	pair := fastcgi.AppendPair(nil, "HTTP_X", strings.Repeat("x", 65000))
	for range 20 {
		b = fastcgi.AppendRecord(b, fastcgi.TypeParams, 1, pair)
	}
	go c.Write(b)
	c.expect(t, fastcgi.TypeEndRequest, 1, "\x00\x00\x00\x00\x02\x00\x00\x00") // FCGI_OVERLOADED
	if !c.closed() {
		t.Error("the connection was not closed")
	}
}

// The connection is kept if that is wanted, and closed by the shim if not; B68: what is
// left of the body does not destroy the response.
func TestWSGIKeep(t *testing.T) {
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	for range 50 {
		c.send(t, whole(wsgiRequest{path: "/ignore", body: "body"}, true))
		if a := c.answer(t); a.body != "ignored" {
			t.Fatalf("got %+v", a)
		}
	}
	for !sendsRest(t, w) {
	}
}

// sendsRest sends the rest of a body after the answer, for which the shim waits two seconds.
// It reports whether the trial took less: otherwise it says nothing of the shim.
func sendsRest(t *testing.T, w *wsgiWorker) bool {
	t.Helper()
	c := w.dial(t)
	defer c.Close()
	begun := time.Now()
	c.send(t, begin(wsgiRequest{path: "/ignore", vars: []string{"CONTENT_LENGTH=1000000"}}, false))
	if a := c.answer(t); a.body != "ignored" || !a.whole {
		t.Errorf("got %+v", a)
	}
	rest := fastcgi.AppendStream(nil, fastcgi.TypeStdin, 1, make([]byte, 1000000))
	if _, err := c.Write(rest); err != nil {
		if time.Since(begun) >= 2*time.Second {
			return false
		}
		t.Errorf("the rest of the body was refused: %v", err)
	}
	if !c.closed() {
		t.Error("there was more")
	}
	return true
}

// Many connections share the threads: one that is kept, or that is in the middle of its
// variables, keeps no other waiting.
func TestWSGIManyConnections(t *testing.T) {
	w := startWSGI(t, torture(t))
	var conns []*wsgiConn
	for i := range 100 {
		c := w.dial(t)
		defer c.Close()
		switch i % 4 {
		case 0: // nothing comes
		case 1:
			c.send(t, begin(wsgiRequest{path: "/ignore"}, true)[:40])
		default:
			conns = append(conns, c)
		}
	}
	for range 3 {
		for _, c := range conns {
			c.send(t, whole(wsgiRequest{path: "/ignore"}, true))
		}
		for _, c := range conns {
			if a := c.answer(t); a.body != "ignored" {
				t.Fatalf("got %+v", a)
			}
		}
	}
}

// There is a limit to connections; at it, the one that is idle longest makes room.
func TestWSGIMostConnections(t *testing.T) {
	w := startWSGI(t, torture(t))
	first := w.dial(t)
	defer first.Close()
	first.send(t, whole(wsgiRequest{path: "/ignore"}, true))
	if a := first.answer(t); a.body != "ignored" {
		t.Fatalf("got %+v", a)
	}
	for i := range 600 {
		c := w.dial(t)
		defer c.Close()
		if i%50 == 49 { // all before were accepted
			c.send(t, whole(wsgiRequest{path: "/ignore"}, true))
			if a := c.answer(t); a.body != "ignored" {
				t.Fatalf("connection %d: got %+v", i, a)
			}
		}
	}
	if !first.closed() {
		t.Error("the first connection was kept")
	}
}

// A web server that stops in the middle of a request, or does not read its answer, is
// given up.
func TestWSGITimeout(t *testing.T) {
	w := startWSGI(t, "--timeout", "1", torture(t))
	stalled := w.dial(t)
	defer stalled.Close()
	stalled.send(t, begin(wsgiRequest{path: "/short", vars: []string{"CONTENT_LENGTH=9"}}, true))
	if a := stalled.answer(t); a.body != "raised" {
		t.Errorf("got %+v", a)
	}
	deaf := w.dial(t)
	defer deaf.Close()
	deaf.send(t, whole(wsgiRequest{path: "/big?10000000,gen"}, true))
	deaf.awaitEnd(t)
	c := w.dial(t)
	defer c.Close()
	if a := c.ask(t, wsgiRequest{path: "/ignore"}); a.body != "ignored" {
		t.Errorf("got %+v", a)
	}
	// What it did not read is there, and then the end.
	if a := deaf.answer(t); a.whole || len(a.body) >= 10000000 {
		t.Errorf("got %d bytes, whole %t", len(a.body), a.whole)
	}
}

// awaitEnd waits until the shim has closed the connection, and reads nothing.
func (c *wsgiConn) awaitEnd(t *testing.T) {
	t.Helper()
	raw, err := c.Conn.(*net.UnixConn).SyscallConn()
	must(t, err)
	shimEventually(t, "the connection is given up", func() bool {
		var state []unix.PollFd
		must(t, raw.Control(func(fd uintptr) {
			state = []unix.PollFd{{Fd: int32(fd)}} // POLLHUP is told in any case
			_, err = unix.Poll(state, 0)
		}))
		return err == nil && state[0].Revents&unix.POLLHUP != 0
	})
}

// A request's deadline is its own: while another is served, many wait.
func TestWSGIThreads(t *testing.T) {
	w := startWSGI(t, "--threads", "4", torture(t))
	var conns []*wsgiConn
	for range 4 {
		c := w.dial(t)
		defer c.Close()
		c.send(t, whole(wsgiRequest{path: "/together"}, true))
		conns = append(conns, c)
	}
	names := make(map[string]bool)
	for _, c := range conns {
		names[c.answer(t).body] = true
	}
	for i := 1; i <= 4; i++ {
		if name := fmt.Sprint("wsgi-", i); !names[name] {
			t.Errorf("got %v, want %s among them", names, name)
		}
	}
	c := w.dial(t)
	defer c.Close()
	c.send(t, fastcgi.AppendGetValues(nil, "FCGI_MAX_CONNS"))
	c.expect(t, fastcgi.TypeGetValuesResult, 0, "\x0e\x01FCGI_MAX_CONNS4")
}

// N threads and many connections at once: each answer is that of its request.
func TestWSGIThreadsLoad(t *testing.T) {
	w := startWSGI(t, "--threads", "3", torture(t))
	done := make(chan error)
	for i := range 8 {
		c := w.dial(t)
		go func() {
			defer c.Close()
			for j := range 100 {
				_ = c.SetDeadline(time.Now().Add(shimPatience)) // of each request
				body := strings.Repeat("x", i*j*50%100000)
				if _, err := c.Write(whole(wsgiRequest{path: fmt.Sprintf("/read?read,%d;read", i+j), body: body}, true)); err != nil {
					done <- err
					return
				}
				n := min(i+j, len(body))
				if a := c.answer(t); a.body != fmt.Sprintf("[b'%s', b'%s']", body[:n], body[n:]) {
					done <- fmt.Errorf("got %.100q", a.body)
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * shimPatience):
			t.Fatal("no end")
		}
	}
}
