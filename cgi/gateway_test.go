package cgi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// frontPeer is a web server on this machine, strangerPeer one that nobody believes.
var (
	frontPeer    = environ.Peer{Remote: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000}}
	strangerPeer = environ.Peer{Remote: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 4000}}
)

// gateway is one before r, and its log.
func gateway(r cgi.Responder) (*cgi.Gateway, *logged) {
	log := new(logged)
	return &cgi.Gateway{Responder: r, Log: slog.New(slog.NewTextHandler(log, nil)), Server: &environ.Server{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}, log
}

// sentBy is what a front sends: the method, and more or other variables.
func sentBy(method string, more ...string) []string {
	return append([]string{"REQUEST_METHOD=" + method, "REQUEST_URI=/a/./b%20c?q", "SERVER_PROTOCOL=HTTP/1.1",
		"HTTP_HOST=example.org", "REMOTE_ADDR=192.0.2.7"}, more...)
}

// served is how a Gateway has answered.
type served struct {
	status      int
	whole       bool
	out, errors bytes.Buffer
	flushes     int
}

func ask(g *cgi.Gateway, peer environ.Peer, vars []string, body io.Reader) *served {
	s := new(served)
	s.status, s.whole = g.Serve(context.Background(), &cgi.Incoming{Vars: vars, Peer: peer, Body: body,
		Out: &s.out, Flush: func() error { s.flushes++; return nil }, Errors: &s.errors})
	return s
}

// echo answers with the body's announced length and the body.
var echo = cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
	text := []byte("none")
	if req.Body != nil {
		var err error
		if text, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	return &cgi.Response{Status: 200, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(text))}, nil
})

// B70, A85, A87.
func TestGatewayResponses(t *testing.T) {
	for _, test := range []struct {
		name, method, prints, want string
		whole                      bool
	}{
		{"page", "GET", "Content-Type: text/plain\n\nhello", "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", true},
		{"length", "GET", "Content-Type: a/b\nContent-Length: 2\n\nhello", "Status: 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nhe", true},
		{"HEAD", "HEAD", "Content-Type: a/b\nContent-Length: 5\n\nhello", "Status: 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n", true},
		{"204", "GET", "Status: 204\n\nhello", "Status: 204 No Content\r\n\r\n", true},
		{"304 with a length", "GET", "Status: 304\nETag: x\nContent-Length: 5\n\nhello", "Status: 304 Not Modified\r\nETag: x\r\n\r\n", true},
		{"205", "GET", "Status: 205\n\nhello", "Status: 205 Reset Content\r\nContent-Length: 0\r\n\r\n", true},
		{"own reason", "GET", "Status: 404 Nothing\nContent-Type: a/b\n\n", "Status: 404 Nothing\r\nContent-Type: a/b\r\n\r\n", true},
		{"too short, A80", "GET", "Content-Type: a/b\nContent-Length: 9\n\nhello", "Status: 200 OK\r\nContent-Type: a/b\r\nContent-Length: 9\r\n\r\nhello", false},
		{"for nginx to send", "GET", "X-Accel-Redirect: /f\nContent-Type: a/b\n\n", "Status: 200 OK\r\nX-Accel-Redirect: /f\r\nContent-Type: a/b\r\n\r\n", true},
	} {
		g, _ := gateway(printing(test.prints))
		s := ask(g, frontPeer, sentBy(test.method), nil)
		if got := s.out.String(); got != test.want || s.whole != test.whole {
			t.Errorf("%s: %q (whole: %t), want %q", test.name, got, s.whole, test.want)
		}
	}
}

// What the Responder gets: the same Env as over HTTP, the path, what a trusted front
// has sent (B72, B73).
func TestGatewayRequest(t *testing.T) {
	for _, test := range []struct {
		name     string
		peer     environ.Peer
		client   string
		received string
	}{
		{"trusted", frontPeer, "192.0.2.7", "/srv/b"},
		{"stranger", strangerPeer, "198.51.100.1", ""},
	} {
		var got *cgi.Request
		g, _ := gateway(cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
			got = req
			return nil, &cgi.Error{Kind: cgi.NotFound}
		}))
		s := ask(g, test.peer, sentBy("GET", "SCRIPT_FILENAME=/srv/a", "SCRIPT_FILENAME=/srv/b"), nil)
		if s.status != 404 || !s.whole || s.errors.Len() > 0 {
			t.Errorf("%s: status %d (whole: %t), errors %q", test.name, s.status, s.whole, &s.errors)
		}
		if got.Path != "/a/b c" || got.Env.Get("REQUEST_URI") != "/a/./b%20c?q" || got.ID == "" || got.Body != nil || got.ContentLength != 0 {
			t.Errorf("%s: request %+v", test.name, got)
		}
		if c, r := got.Env.Get("REMOTE_ADDR"), got.Received.Get("SCRIPT_FILENAME"); c != test.client || r != test.received {
			t.Errorf("%s: REMOTE_ADDR %q, received SCRIPT_FILENAME %q", test.name, c, r)
		}
	}
}

// B75, and D04: no Read waits for the end of what is announced.
func TestGatewayBodies(t *testing.T) {
	never := iotest.ErrReader(errors.New("a read beyond the body"))
	for _, test := range []struct {
		name, method, length string
		body                 io.Reader
		want                 string // the body, or words of the log or error line
		status               int
	}{
		{"none", "GET", "", strings.NewReader(""), "none", 200},
		{"none, no reader", "GET", "", nil, "none", 200},
		{"announced as none", "GET", "0", never, "none", 200},
		{"exact", "POST", "5", io.MultiReader(strings.NewReader("hello"), never), "hello", 200},
		{"in bytes", "POST", "5", iotest.OneByteReader(io.MultiReader(strings.NewReader("hello"), never)), "hello", 200},
		{"octal digits", "POST", "0010", strings.NewReader("0123456789"), "0123456789", 200},
		{"longer", "POST", "5", strings.NewReader("hello world"), "hello", 200},
		{"not announced", "POST", "", strings.NewReader("hello"), "hello", 200},
		{"shorter", "POST", "9", strings.NewReader("hello"), "400 Bad Request\n", 400},
		{"fails at once", "POST", "", iotest.ErrReader(os.ErrDeadlineExceeded), "408 Request Timeout\n", 408},
	} {
		var length int64
		g, log := gateway(cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			length = req.ContentLength
			return echo(ctx, req)
		}))
		s := ask(g, frontPeer, sentBy(test.method, "CONTENT_LENGTH="+test.length), test.body)
		_, got, _ := strings.Cut(s.out.String(), "\r\n\r\n")
		if got != test.want || s.status != test.status {
			t.Errorf("%s: status %d, %q, want %d, %q", test.name, s.status, got, test.status, test.want)
		}
		if longer := strings.Contains(log.String(), "longer than announced"); longer != (test.name == "longer") {
			t.Errorf("%s: log %q", test.name, log)
		}
		if unknown := length == -1; unknown != (test.name == "not announced") {
			t.Errorf("%s: length %d", test.name, length)
		}
	}
}

// buffered is a body of which something is left.
type buffered struct{ *strings.Reader }

func (b buffered) Buffered() int { return b.Len() }

func TestGatewayLongerBody(t *testing.T) {
	g, log := gateway(cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		text := make([]byte, req.ContentLength) // as a Program reads it: never more
		_, err := io.ReadFull(req.Body, text)
		return &cgi.Response{Status: 200, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(text))}, err
	}))
	s := ask(g, frontPeer, sentBy("POST", "CONTENT_LENGTH=5"), buffered{strings.NewReader("hello world")})
	if !strings.HasSuffix(s.out.String(), "\r\n\r\nhello") || !strings.Contains(log.String(), "longer than announced") {
		t.Errorf("%q, log %q", &s.out, log)
	}
}

// A body that comes without a length is counted (A56); CONTENT_LENGTH is then exact.
func TestGatewaySpools(t *testing.T) {
	g, _ := gateway(&cgi.Spool{Next: cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		return nil, &cgi.Error{Kind: cgi.Internal, Reason: "length " + req.Env.Get("CONTENT_LENGTH")}
	})})
	s := ask(g, frontPeer, sentBy("PUT", "HTTP_TRANSFER_ENCODING=chunked"), strings.NewReader(strings.Repeat("x", 100_000)))
	if want := "gatehouse: cgi: length 100000\n"; s.errors.String() != want {
		t.Errorf("%q, want %q", &s.errors, want)
	}
}

func TestGatewayRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		vars   []string
		status int
	}{
		{"CONNECT, E07", sentBy("CONNECT"), 405},
		{"TRACE, E08", sentBy("TRACE"), 405},
		{"no method", sentBy(""), 400},
		{"above the root, A38", sentBy("GET", "REQUEST_URI=/../x"), 400},
		{"escaped slash, A39", sentBy("GET", "REQUEST_URI=/a%2fb"), 404},
		{"control character, A40", sentBy("GET", "REQUEST_URI=/a%0ab"), 400},
		{"long target, E30", sentBy("GET", "REQUEST_URI=/"+strings.Repeat("a", 100)), 414},
		{"many fields, E30", sentBy("GET", "HTTP_A=1", "HTTP_B=1", "HTTP_C=1"), 431},
		{"NUL, B09", sentBy("GET", "A=\x00"), 400},
		{"bad host, E10", sentBy("GET", "HTTP_HOST=a b"), 400},
		{"length", sentBy("GET", "CONTENT_LENGTH=x"), 400},
	} {
		g, _ := gateway(echo)
		g.MaxTarget, g.MaxFields = 100, 3
		var told *cgi.Error
		g.Refuse = func(e *cgi.Error) cgi.Responder {
			return cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
				told = req.Account.Failure
				if req.Env.Get("REMOTE_ADDR") != "192.0.2.7" {
					t.Errorf("%s: REMOTE_ADDR %q", test.name, req.Env.Get("REMOTE_ADDR"))
				}
				return cgi.PlainError(e), nil
			})
		}
		s := ask(g, frontPeer, test.vars, nil)
		if s.status != test.status || !s.whole || told == nil {
			t.Errorf("%s: status %d (whole: %t), want %d; Failure %v", test.name, s.status, s.whole, test.status, told)
		}
		if line := s.errors.String(); !strings.HasPrefix(line, "gatehouse: ") || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: error line %q", test.name, line)
		}
	}
}

// The front's log has one line of what the application did wrong, and no control
// characters (A100, E64).
func TestGatewayErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		e    *cgi.Error
		want string
	}{
		{"application", &cgi.Error{Kind: cgi.BadOutput, Script: "/s", Reason: "bad\n\x1b line"}, "gatehouse: cgi: /s: bad   line\n"},
		{"missing script", &cgi.Error{Kind: cgi.NotFound, Reason: "x"}, ""},
		{"client", &cgi.Error{Kind: cgi.ClientGone, Reason: "x"}, ""},
	} {
		g, _ := gateway(cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) { return nil, test.e }))
		s := ask(g, frontPeer, sentBy("GET"), nil)
		if s.status != test.e.StatusCode() || s.errors.String() != test.want {
			t.Errorf("%s: status %d, %q, want %q", test.name, s.status, &s.errors, test.want)
		}
	}
}

// brokenWriter takes a few bytes.
type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	if w.left -= n; n < len(p) {
		return n, errors.New("broken")
	}
	return n, nil
}

func TestGatewayBrokenFront(t *testing.T) {
	for _, room := range []int{0, 100} {
		g, _ := gateway(printing("Content-Type: a/b\n\n" + strings.Repeat("x", 1000)))
		_, whole := g.Serve(context.Background(), &cgi.Incoming{Vars: sentBy("GET"), Peer: frontPeer, Out: &brokenWriter{room}})
		if whole {
			t.Errorf("whole, though the front took only %d bytes", room)
		}
	}
}

// A real program: output flushed while it runs (A103), its standard error to the
// front where that is wanted, and the body through its pipe.
func TestGatewayProgram(t *testing.T) {
	flushed := filepath.Join(t.TempDir(), "flushed")
	p, _ := program(t, shell(t, `echo oops >&2; printf 'Content-Type: a/b\n\n'; echo first; while [ ! -e `+flushed+` ]; do sleep 0.05; done; cat; echo " $CONTENT_LENGTH $REMOTE_ADDR"`))
	g, _ := gateway(p)
	var stderr logged
	s := new(served)
	firstAt := -1
	s.status, s.whole = g.Serve(context.Background(), &cgi.Incoming{
		Vars: sentBy("POST", "CONTENT_LENGTH=5"), Peer: frontPeer, Body: strings.NewReader("hello"), Stderr: &stderr,
		Out: &s.out, Flush: func() error {
			if firstAt < 0 {
				firstAt = s.out.Len()
			}
			return os.WriteFile(flushed, nil, 0o600)
		}})
	_, body, _ := strings.Cut(s.out.String(), "\r\n\r\n")
	if body != "first\nhello 5 192.0.2.7\n" || !s.whole || s.status != 200 {
		t.Errorf("status %d (whole: %t), %q", s.status, s.whole, body)
	}
	if firstAt < 0 || firstAt >= s.out.Len() {
		t.Errorf("flushed at %d of %d bytes, want some before the end", firstAt, s.out.Len())
	}
	if stderr.String() != "oops\n" {
		t.Errorf("stderr %q", stderr.String())
	}
	idle(t)
}

// A cancelled context ends the work.
func TestGatewayCancelled(t *testing.T) {
	p, _ := program(t, shell(t, `printf 'Content-Type: a/b\n\nbegun\n'; exec sleep 60`))
	g, _ := gateway(p)
	ctx, cancel := context.WithCancel(context.Background())
	begun := time.Now()
	_, whole := g.Serve(ctx, &cgi.Incoming{Vars: sentBy("GET"), Peer: frontPeer, Out: io.Discard, Flush: func() error { cancel(); return nil }})
	if whole || time.Since(begun) > patience {
		t.Errorf("whole: %t after %v", whole, time.Since(begun))
	}
	idle(t)
}
