package fastcgi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
)

// Records that a front sends, spelled out. A request's variables are told by its path:
// what the test application does.
const (
	begin1     = "\x01\x01\x00\x01\x00\x08\x00\x00" + "\x00\x01\x01\x00\x00\x00\x00\x00" // kept
	begin1Once = "\x01\x01\x00\x01\x00\x08\x00\x00" + "\x00\x01\x00\x00\x00\x00\x00\x00"
	params1End = "\x01\x04\x00\x01\x00\x00\x00\x00"
	stdin1End  = "\x01\x05\x00\x01\x00\x00\x00\x00"
	abort1     = "\x01\x02\x00\x01\x00\x00\x00\x00"
)

// renumbered is records of request 1 as records of another.
func renumbered(id byte, records string) string {
	b := []byte(records)
	for n := 0; n+8 <= len(b); n += 8 + int(b[n+4])<<8 + int(b[n+5]) + int(b[n+6]) {
		b[n+3] = id
	}
	return string(b)
}

// params1 is the variables of a GET, or with a length those of a POST.
func params1(path, length string) string {
	pair := func(name, value string) string {
		return string([]byte{byte(len(name)), byte(len(value))}) + name + value
	}
	text := pair("REQUEST_URI", path) + pair("SERVER_PROTOCOL", "HTTP/1.1") + pair("HTTP_HOST", "example.org")
	if length == "" {
		text += pair("REQUEST_METHOD", "GET")
	} else {
		text += pair("REQUEST_METHOD", "POST") + pair("CONTENT_LENGTH", length)
	}
	return rec(4, text)
}

// get1 is a whole request without a body.
func get1(path string) string { return begin1 + params1(path, "") + params1End + stdin1End }

// responder is an application that does what the path says. Requests that wait do so until
// they are cancelled, or released by the test.
type responder struct {
	mu        sync.Mutex
	running   int
	cancelled int
	released  chan struct{}
	began     atomic.Int64 // requests, in all
}

func (r *responder) count(running, cancelled int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running += running
	r.cancelled += cancelled
}

func (r *responder) counts() (running, cancelled int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running, r.cancelled
}

func (r *responder) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	r.count(1, 0)
	r.began.Add(1)
	resp := &cgi.Response{Status: 200, Header: cgi.Header{{Name: "Content-Type", Value: "text/plain"}}, ContentLength: -1}
	resp.OnClose(func() { r.count(-1, 0) })
	body := func(src io.Reader) (*cgi.Response, error) {
		resp.Body = io.NopCloser(src)
		return resp, nil
	}
	fail := func(reason string) (*cgi.Response, error) {
		r.count(-1, 0)
		return nil, &cgi.Error{Kind: cgi.Internal, Reason: reason}
	}
	switch req.Path {
	case "/hello":
		return body(strings.NewReader("hello"))
	case "/role":
		return body(strings.NewReader(req.Env.Get("FCGI_ROLE") + " " + req.Env.Get("REMOTE_PASSWD")))
	case "/echo":
		if req.Body == nil {
			return body(strings.NewReader("no body"))
		}
		return body(req.Body)
	case "/count": // reads all before it answers
		n, err := io.Copy(io.Discard, req.Body)
		return body(strings.NewReader(fmt.Sprint(n, " ", err)))
	case "/ignore":
		return body(strings.NewReader("ignored"))
	case "/wait": // for its release, or to be cancelled
		select {
		case <-ctx.Done():
			r.count(0, 1)
			return fail("cancelled")
		case <-r.released:
			return body(strings.NewReader("released"))
		}
	case "/late": // reads its body once it is released
		select {
		case <-ctx.Done():
			r.count(0, 1)
			return fail("cancelled")
		case <-r.released:
			n, err := io.Copy(io.Discard, req.Body)
			return body(strings.NewReader(fmt.Sprint(n, " ", err)))
		}
	case "/forever": // output until it is cancelled
		return body(readerFunc(func(p []byte) (int, error) {
			if ctx.Err() != nil {
				r.count(0, 1)
				return 0, ctx.Err()
			}
			return len(p), nil
		}))
	case "/cut": // a response that fails in its middle
		resp.ContentLength = 100
		return body(io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, errors.New("broken") })))
	case "/panic":
		r.count(-1, 0)
		panic("on purpose")
	case "/fail":
		return fail("no such luck")
	case "/stderr": // both streams, and long lines
		for n := range 200 {
			_, _ = fmt.Fprintf(req.Stderr, "line %d %s\n", n, strings.Repeat("e", 500))
		}
		return body(strings.NewReader("hello"))
	case "/trickle": // a piece, and another when it is released
		resp.Body = &trickle{done: r.released}
		return resp, nil
	case "/big":
		return body(io.LimitReader(&endless{b: []byte("0123456789abcdef")}, 1<<20))
	}
	return fail("path " + req.Path)
}

// trickle is a body that gives "first", and "second" when done is closed.
type trickle struct {
	done  chan struct{}
	given int
}

func (b *trickle) Read(p []byte) (int, error) { return b.ReadWithin(p, longEnough) }

func (b *trickle) ReadWithin(p []byte, d time.Duration) (int, error) {
	switch b.given {
	case 0:
		b.given++
		return copy(p, "first"), nil
	case 1:
		select {
		case <-b.done:
			b.given++
			return copy(p, "second"), nil
		case <-time.After(d):
			return 0, cgi.ErrNothingYet
		}
	}
	return 0, io.EOF
}

func (b *trickle) Close() error { return nil }

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// served is a Server on a Unix socket, its application and its log.
type served struct {
	*fastcgi.Server
	addr string
	app  *responder
	log  *journal
}

func serve(t testing.TB, change func(*fastcgi.Server)) *served {
	t.Helper()
	s := &served{app: &responder{released: make(chan struct{})}, log: new(journal), addr: filepath.Join(t.TempDir(), "s")}
	s.Server = &fastcgi.Server{
		Gateway: &cgi.Gateway{Responder: s.app, Server: &environ.Server{TrustUnix: true}, Log: slog.New(slog.NewTextHandler(s.log, nil))},
		Log:     slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(s.Server)
	}
	ln, err := net.Listen("unix", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != fastcgi.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		if !soon(func() bool { running, _ := s.app.counts(); return running == 0 }) {
			t.Error("requests are left")
		}
	})
	return s
}

// front is a web server's end of one connection.
type front struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (s *served) dial(t testing.TB) *front {
	t.Helper()
	conn, err := net.Dial("unix", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(longEnough))
	return newFront(t, conn)
}

func newFront(t testing.TB, conn net.Conn) *front { return &front{conn, t, bufio.NewReader(conn)} }

func (f *front) say(s string) {
	f.t.Helper()
	if _, err := io.WriteString(f.Conn, s); err != nil {
		f.t.Fatalf("write: %v", err)
	}
}

// errSpoiled stands for what is sent behind a response that was cut short.
var errSpoiled = errors.New("no record, on purpose")

// record reads one record.
func (f *front) record() (h fastcgi.Header, content string, err error) {
	var head [8]byte
	if _, err = io.ReadFull(f.r, head[:]); err != nil {
		return h, "", err
	}
	if h, err = fastcgi.ParseHeader(head[:]); err != nil {
		if head == [8]byte{} {
			return h, "", errSpoiled
		}
		f.t.Fatalf("record %q: %v", head, err)
	}
	if (h.ContentLength+h.PaddingLength)%8 != 0 || h.ContentLength > 65528 {
		f.t.Fatalf("record of %d bytes with padding of %d", h.ContentLength, h.PaddingLength) // B69
	}
	if h.Type == fastcgi.TypeStderr && h.ContentLength > 0 && (h.PaddingLength == 0 || h.ContentLength > 4096) {
		f.t.Fatalf("STDERR record of %d bytes with padding of %d, of which HAProxy 2.6 dies", h.ContentLength, h.PaddingLength)
	}
	all := make([]byte, h.ContentLength+h.PaddingLength)
	_, err = io.ReadFull(f.r, all)
	return h, string(all[:h.ContentLength]), err
}

// heard is what a front was told for one request.
type heard struct {
	stdout, stderr string
	streamEnd      bool // the empty STDOUT record came
	ended          bool // END_REQUEST came
	app            uint32
	status         fastcgi.ProtocolStatus
	err            error // why nothing more came
}

// String is everything, but of the header only the status.
func (h heard) String() string {
	head, body, _ := strings.Cut(h.stdout, "\r\n\r\n")
	head, _, _ = strings.Cut(head, "\r\n")
	s := fmt.Sprintf("%s|%s", head, body)
	if h.stderr != "" {
		s += "|" + h.stderr
	}
	switch {
	case h.ended:
		s += fmt.Sprintf("|%d %v", h.app, h.status)
	case h.err != nil:
		s += "|" + h.err.Error()
	}
	return s
}

// hear reads until END_REQUEST for each of the ids, or the end.
func (f *front) hear(ids ...uint16) []heard {
	f.t.Helper()
	all := make([]heard, len(ids))
	for left := len(ids); left > 0; {
		h, content, err := f.record()
		if err != nil {
			for n := range all {
				if !all[n].ended {
					all[n].err = err
				}
			}
			return all
		}
		of := -1
		for n, id := range ids {
			if id == h.ID {
				of = n
			}
		}
		if of < 0 || all[of].ended { // never after END_REQUEST
			f.t.Fatalf("%v record for request %d: %q", h.Type, h.ID, content)
		}
		a := &all[of]
		switch h.Type {
		case fastcgi.TypeStdout:
			if a.streamEnd {
				f.t.Fatalf("STDOUT behind its end: %q", content)
			}
			a.stdout += content
			a.streamEnd = content == ""
		case fastcgi.TypeStderr:
			a.stderr += content
		case fastcgi.TypeEndRequest:
			if a.app, a.status, err = fastcgi.ParseEndRequest([]byte(content)); err != nil {
				f.t.Fatal(err)
			}
			a.ended = true
			left--
			if a.status == 0 && a.app == 0 && !a.streamEnd { // B69
				f.t.Fatal("END_REQUEST without the end of STDOUT")
			}
		default:
			f.t.Fatalf("%v record: %q", h.Type, content) // B63
		}
	}
	return all
}

// want hears request 1 out.
func (f *front) want(want string) {
	f.t.Helper()
	if got := f.hear(1)[0].String(); got != want {
		f.t.Errorf("got  %q\nwant %q", got, want)
	}
}

// wantEnd expects the end of the connection.
func (f *front) wantEnd() {
	f.t.Helper()
	if h, content, err := f.record(); err == nil {
		f.t.Fatalf("got a %v record for %d: %q, want the connection's end", h.Type, h.ID, content)
	} else if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		f.t.Fatalf("the connection is not closed: %v", err)
	}
}

const helloWorld = "Status: 200 OK|hello|0 REQUEST_COMPLETE"

func TestServer(t *testing.T) {
	body := strings.Repeat("body of some length ", 1000)
	odd := rec(5, body[:3])
	odd = odd[:6] + "\xff\x00" + odd[8:] + strings.Repeat("\xaa", 255) // padding of 255
	long := string([]byte{1, 5, 0, 1, 0xff, 0xff, 255, 0}) + strings.Repeat("x", 65535) + strings.Repeat("\x01", 255)
	tests := []struct{ name, say, want string }{
		{"GET", get1("/hello"), helloWorld},
		{"no STDIN at all for a GET, yet", begin1 + params1("/hello", "0") + params1End, helloWorld},
		{"empty body", begin1 + params1("/echo", "0") + params1End + stdin1End, "Status: 200 OK|no body|0 REQUEST_COMPLETE"},
		{"POST", begin1 + params1("/echo", "20000") + params1End + rec(5, body) + stdin1End, "Status: 200 OK|" + body + "|0 REQUEST_COMPLETE"},
		{"without a length", begin1 + params1("/echo", "") + params1End + rec(5, "abc") + rec(5, "def") + stdin1End, "Status: 200 OK|abcdef|0 REQUEST_COMPLETE"}, // B75
		{"padding of 255", begin1 + params1("/echo", "6") + params1End + odd + odd + stdin1End, "Status: 200 OK|bodbod|0 REQUEST_COMPLETE"},                      // B05
		{"the longest record", begin1 + params1("/count", "131070") + params1End + long + long + stdin1End, "Status: 200 OK|131070 <nil>|0 REQUEST_COMPLETE"},    // B03
		{"unread STDIN", begin1 + params1("/ignore", "20000") + params1End + rec(5, body) + stdin1End, "Status: 200 OK|ignored|0 REQUEST_COMPLETE"},
		{"records for others", rec(5, "early") + "\x01\x05\x00\x09\x00\x01\x00\x00x" + "\x01\x02\x00\x09\x00\x00\x00\x00" + get1("/hello"), helloWorld},              // B64
		{"records that only we send", begin1 + rec(6, "out") + rec(7, "err") + rec(8, "data") + rec(3, "12345678") + rec(99, "?") + get1("/hello")[16:], helloWorld}, // B62
		{"STDIN before the end of PARAMS", begin1 + rec(5, "early") + get1("/hello")[16:], helloWorld},
		{"PARAMS behind their end", begin1 + params1("/late", "") + params1End + rec(4, "\x01") + abort1, "|" + "|1 REQUEST_COMPLETE"},
		{"a failure", get1("/fail"), "Status: 500 Internal Server Error|500 Internal Server Error\n|gatehouse: cgi: no such luck\n|0 REQUEST_COMPLETE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, nil)
			f := s.dial(t)
			f.say(tt.say)
			f.want(tt.want)
			f.say(get1("/hello")) // the connection is kept, the id is free again
			f.want(helloWorld)
			f = s.dial(t)
			for n := range min(len(tt.say), 3000) { // cut anywhere
				f.say(tt.say[n : n+1])
			}
			f.say(tt.say[min(len(tt.say), 3000):])
			f.want(tt.want)
		})
	}
}
