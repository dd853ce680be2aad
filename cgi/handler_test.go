package cgi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
	"gatehouse/process"
)

// serve serves r over HTTP/1 until the test ends, as the host does, and returns the address.
func serve(t testing.TB, h *cgi.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(cgi.StrictListener(ln, cgi.StrictLimits{RequestLine: 16 << 10, Fields: 200}))
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return ln.Addr().String()
}

// printing is a Responder that answers with text as a CGI program prints it.
func printing(text string) cgi.ResponderFunc {
	return func(context.Context, *cgi.Request) (*cgi.Response, error) {
		return cgi.ReadResponse(strings.NewReader(text), cgi.ParseLimits{}, nil)
	}
}

// connect returns a connection with a deadline, closed at the test's end.
func connect(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exchange sends raw and returns all that comes back until the server closes.
func exchange(t testing.TB, addr, raw string) string {
	t.Helper()
	conn := connect(t, addr)
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%v after %q", err, text)
	}
	return string(text)
}

const closeHead = "Host: a\r\nConnection: close\r\n\r\n"

// withoutDate takes the one line away that is never the same.
func withoutDate(text string) string {
	before, after, ok := strings.Cut(text, "Date: ")
	if !ok {
		return text
	}
	_, after, _ = strings.Cut(after, "\r\n")
	return before + after
}

// TestHandlerBytes is the response on the wire, whole.
func TestHandlerBytes(t *testing.T) {
	rows := []struct{ name, line, printed, want string }{
		{"no sniffing (A78), Server and Date", "GET / HTTP/1.1", "Status: 200\nContent-Length: 6\n\n<html>",
			"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nServer: gatehouse\r\nConnection: close\r\n\r\n<html>"},
		{"its own Server (A83)", "GET / HTTP/1.1", "Server: mine\n" + ct + "Content-Length: 1\n\nx",
			"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: a/b\r\nServer: mine\r\nConnection: close\r\n\r\nx"},
		{"fields in order (A73)", "GET / HTTP/1.1", ct + "Set-Cookie: b=1\nSet-Cookie: a=2\nset-cookie: b=1\nContent-Length: 0\n\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: a/b\r\nServer: gatehouse\r\nSet-Cookie: b=1\r\nSet-Cookie: a=2\r\nSet-Cookie: b=1\r\nConnection: close\r\n\r\n"},
		{"X-Sendfile is not for us (A84)", "GET / HTTP/1.1", ct + "X-Sendfile: /etc/passwd\nX-Accel-Redirect: /x\nContent-Length: 0\n\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: a/b\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"more than declared (A80)", "GET / HTTP/1.1", ct + "Content-Length: 8\n\nSEE-THIS-BUT-NOT-THIS",
			"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Type: a/b\r\nServer: gatehouse\r\nConnection: close\r\n\r\nSEE-THIS"},
		{"HEAD with a body (A85)", "HEAD / HTTP/1.1", ct + "\nbody",
			"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"HEAD with a length and no body (A85)", "HEAD / HTTP/1.1", ct + "Content-Length: 9\n\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: a/b\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"204 (A87)", "GET / HTTP/1.1", "Status: 204\nContent-Length: 4\n\nbody",
			"HTTP/1.1 204 No Content\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"304 (A87)", "GET / HTTP/1.1", "Status: 304\nETag: \"x\"\nContent-Length: 400\n\n",
			"HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"304 with a body (A87)", "GET / HTTP/1.1", "Status: 304\nETag: \"x\"\n\nbody",
			"HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"205 (A87)", "GET / HTTP/1.1", "Status: 205\n\nbody",
			"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\nServer: gatehouse\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.0", "GET / HTTP/1.0", ct + "\nbody",
			"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\nServer: gatehouse\r\nContent-Length: 4\r\n\r\nbody"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := withoutDate(exchange(t, serve(t, &cgi.Handler{Responder: printing(row.printed)}), row.line+"\r\n"+closeHead))
			if unclosed(got) != unclosed(row.want) {
				t.Errorf("got\n%q\nwant\n%q", got, row.want)
			}
		})
	}
}

// unclosed leaves Connection out, which HTTP/1.0 may have or not.
func unclosed(text string) string {
	text = strings.Replace(text, "Connection: close\r\n", "", 1)
	return text
}

// TestHandlerKeepsConnection: bytes that were not to be sent do no harm to what
// follows on the connection (A85, A87), nor do request bodies.
func TestHandlerKeepsConnection(t *testing.T) {
	for _, printed := range []string{"Status: 204\n\nbody", "Status: 304\nContent-Length: 7\n\n", "Status: 205\n\nbody", ct + "\nbody", ct + "Content-Length: 4\n\nbody"} {
		first := true
		addr := serve(t, &cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			if first {
				first = false
				return printing(printed)(ctx, req)
			}
			return printing(ct+"Content-Length: 4\n\nnext")(ctx, req)
		})})
		conn := connect(t, addr)
		br := bufio.NewReader(conn)
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := response(br); err != nil {
			t.Errorf("%q: %v", printed, err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n"+closeHead)
		if got, err := response(br); err != nil || got != "200 next" {
			t.Errorf("%q, then: %q, %v", printed, got, err)
		}
	}
}

// response reads one response: its status and its body.
func response(br *bufio.Reader) (string, error) {
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp.Status[:3] + " " + string(body), err
}

// TestHandlerManyPosts: the end of one request's body must not be taken for the
// end of the connection by the next.
func TestHandlerManyPosts(t *testing.T) {
	addr := serve(t, &cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		select { // a request that is cancelled is so at once
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
		return printing(ct+"Content-Length: 2\n\nok")(ctx, req)
	})})
	conn := connect(t, addr)
	br := bufio.NewReader(conn)
	for n := range 100 {
		framing := "Content-Length: 4\r\n\r\nbody"
		if n%2 == 1 {
			framing = "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
		}
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\n"+framing)
		if got, err := response(br); err != nil || got != "200 ok" {
			t.Fatalf("request %d: %q, %v", n, got, err)
		}
	}
}

// TestHandlerCutShort: a response that ends too early is seen to do so.
func TestHandlerCutShort(t *testing.T) {
	failing := func(header string) cgi.ResponderFunc {
		return func(context.Context, *cgi.Request) (*cgi.Response, error) {
			return cgi.ReadResponse(io.MultiReader(strings.NewReader(header+"\npart"), failure{}), cgi.ParseLimits{}, nil)
		}
	}
	for name, r := range map[string]cgi.Responder{
		"declared, less (A80)":     printing(ct + "Content-Length: 9\n\npart"),
		"declared, fails":          failing(ct + "Content-Length: 9\n"),
		"not declared, fails(A98)": failing(ct),
	} {
		conn := connect(t, serve(t, &cgi.Handler{Responder: r}))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if got, err := response(bufio.NewReader(conn)); got != "200 part" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q, %v; want the part and %v", name, got, err, io.ErrUnexpectedEOF)
		}
	}
}

type failure struct{}

func (failure) Read([]byte) (int, error) { return 0, errors.New("cut") }

// TestHandlerRefuses is what no application gets to see.
func TestHandlerRefuses(t *testing.T) {
	asked := false
	addr := serve(t, &cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		asked = true
		return printing(ct+"\n"+req.Path)(ctx, req)
	})})
	rows := []struct {
		name, head string
		status     string
	}{
		{"good", "GET /a/./b//c/../d?x HTTP/1.1\r\n", "200"}, // A37
		{"above the root (A38)", "GET /../etc/passwd HTTP/1.1\r\n", "400"},
		{"above the root, encoded (A38)", "GET /a/%2e%2e/%2e%2e/x HTTP/1.1\r\n", "400"},
		{"encoded slash (A39)", "GET /a%2Fb HTTP/1.1\r\n", "404"},
		{"NUL (A40)", "GET /a%00 HTTP/1.1\r\n", "400"},
		{"line end (A40)", "GET /a%0a HTTP/1.1\r\n", "400"},
		{"CONNECT (E07)", "CONNECT a:443 HTTP/1.1\r\n", "405"},
		{"TRACE (E08)", "TRACE / HTTP/1.1\r\n", "405"},
		{"target at its limit (E30)", "GET /" + strings.Repeat("x", 8191) + " HTTP/1.1\r\n", "200"},
		{"target over its limit (E30)", "GET /" + strings.Repeat("x", 8192) + " HTTP/1.1\r\n", "414"},
		{"fields over their limit (E30)", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 101), "431"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			asked = false
			got := exchange(t, addr, row.head+closeHead)
			if !strings.HasPrefix(got, "HTTP/1.1 "+row.status+" ") || asked != (row.status == "200") {
				t.Errorf("%.60q, asked %v; want %s", got, asked, row.status)
			}
			if row.name == "good" && !strings.Contains(got, "\r\n\r\n/a/b/d") {
				t.Errorf("%q, want the path /a/b/d", got)
			}
		})
	}
}

// TestHandlerFlushes: what was written is seen while the source waits (A103).
func TestHandlerFlushes(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`echo first; cat; echo last`))
	ours, theirs := net.Pipe()
	addr := serve(t, &cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		req.Body, req.ContentLength = theirs, 2
		return p.Respond(ctx, req)
	})})
	conn := connect(t, addr)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n"+closeHead)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(resp.Body)
	if line, err := br.ReadString('\n'); line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = io.WriteString(ours, "x\n")
	if rest, err := io.ReadAll(br); string(rest) != "x\nlast\n" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	idle(t)
}

// TestHandlerClientGone: who hangs up ends the program (A102), and who takes nothing
// is given up.
func TestHandlerClientGone(t *testing.T) {
	for _, row := range []struct{ name, script string }{
		{"waiting for the header", `sleep 60`},
		{"in the body", okHeader + `echo x; sleep 60`},
		{"takes nothing", okHeader + `exec cat /dev/zero`},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, _ := program(t, shell(t, row.script))
			started := make(chan *process.Process, 1)
			p.Spawner = &telling{Spawner: spawner, started: started}
			addr := serve(t, &cgi.Handler{Responder: p, SendTimeout: 300 * time.Millisecond})
			conn := connect(t, addr)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			select {
			case <-started:
			case <-time.After(patience):
				t.Fatal("it was not started")
			}
			if row.name != "takes nothing" {
				_ = conn.Close()
			}
			idle(t)
		})
	}
}

// TestHandlerBody is how a request's body comes.
func TestHandlerBody(t *testing.T) {
	p, _ := program(t, shell(t, okHeader+`echo "$REQUEST_METHOD $CONTENT_LENGTH"; cat`))
	addr := serve(t, &cgi.Handler{Responder: &cgi.Spool{Next: p}, BodyTimeout: 300 * time.Millisecond})
	rows := []struct{ name, raw, want string }{ // A56, A57
		{"none", "POST / HTTP/1.1\r\n" + closeHead, "200 POST \n"},
		{"some", "POST / HTTP/1.1\r\nContent-Length: 6\r\n" + closeHead + "foobar", "200 POST 6\nfoobar"},
		{"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + closeHead + "6\r\nfoobar\r\n0\r\n\r\n", "200 POST 6\nfoobar"},
		{"chunked, empty", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + closeHead + "0\r\n\r\n", "200 POST 0\n"},
		{"does not come", "POST / HTTP/1.1\r\nContent-Length: 6\r\n" + closeHead + "foo", "408 408 Request Timeout\n"},
		{"does not come, chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + closeHead + "6\r\nfoo", "408 408 Request Timeout\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			script := p.Path
			defer func() { p.Path = script }()
			if strings.Contains(row.name, "does not come") { // it is not to have its header out before
				p.Path = shell(t, `cat >/dev/null; `+okHeader)
			}
			conn := connect(t, addr)
			_, _ = io.WriteString(conn, row.raw)
			if got, err := response(bufio.NewReader(conn)); err != nil || got != row.want {
				t.Errorf("%q, %v; want %q", got, err, row.want)
			}
			idle(t)
		})
	}
}

// TestHandlerEarlyAnswer: an answer need not wait for a body that nobody reads, and
// the connection is not used again with that body before the next request.
func TestHandlerEarlyAnswer(t *testing.T) {
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} { // A62
		addr := serve(t, &cgi.Handler{Responder: printing(ct + "Content-Length: 2\n\nok")})
		got := exchange(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n"+expect+"\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\nok") || strings.Count(got, "HTTP/1.1") != 1 {
			t.Errorf("%q: %q, want one 200 and the end", expect, got)
		}
	}
	addr := serve(t, &cgi.Handler{Responder: cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		return printing(ct+"\n"+string(body))(ctx, req)
	})})
	conn := connect(t, addr)
	br := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"+closeHead)
	if line, err := br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = br.ReadString('\n')
	_, _ = io.WriteString(conn, "body")
	if got, err := response(br); got != "200 body" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHandlerInterim(t *testing.T) { // A86
	r := cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		if req.Interim != nil {
			req.Interim(103, cgi.Header{{"Link", "</a>"}})
		}
		return printing(ct+"Content-Length: 2\n\nok")(ctx, req)
	})
	addr := serve(t, &cgi.Handler{Responder: r})
	got := exchange(t, addr, "GET / HTTP/1.1\r\n"+closeHead)
	head := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"
	if !strings.HasPrefix(got, head) || strings.Count(got, "Link") != 1 {
		t.Errorf("%q, want %q once", got, head)
	}
	if got := exchange(t, addr, "GET / HTTP/1.0\r\n"+closeHead); !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") {
		t.Errorf("HTTP/1.0: %q", got)
	}
}

// silent gives its text, and its end only after a pause.
type silent struct {
	io.Reader
	pause time.Duration
}

func (s *silent) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		time.Sleep(s.pause)
	}
	return n, err
}

func (s *silent) ReadWithin(p []byte, d time.Duration) (int, error) {
	if n, err := s.Reader.Read(p); err == nil {
		return n, nil
	}
	return 0, cgi.ErrNothingYet
}

// TestHandlerSilentProgram: the limit for a client that takes nothing does not run
// while there is nothing for it to take.
func TestHandlerSilentProgram(t *testing.T) {
	h := &cgi.Handler{SendTimeout: 100 * time.Millisecond, Responder: cgi.ResponderFunc(
		func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
			return cgi.ReadResponse(&silent{strings.NewReader("Content-Type: text/plain\n\nbody"), 400 * time.Millisecond}, cgi.ParseLimits{}, nil)
		})}
	for method, end := range map[string]string{"GET": "4\r\nbody\r\n0\r\n\r\n", "HEAD": "\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) { // where only what is slow on purpose is slow
			ours, theirs := net.Pipe()
			_ = ours.SetDeadline(time.Now().Add(patience))
			srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
			go func() { _ = srv.Serve(cgi.StrictListener(&one{conn: theirs}, cgi.StrictLimits{})) }() // one connection long
			_, _ = io.WriteString(ours, method+" / HTTP/1.1\r\n"+closeHead)
			got, err := io.ReadAll(ours)
			if !strings.HasPrefix(string(got), "HTTP/1.1 200 ") || !strings.HasSuffix(string(got), end) || err != nil {
				t.Errorf("%s: got %q, %v, want %q at its end", method, got, err, end)
			}
		})
	}
}

// one is a listener that accepts one connection.
type one struct{ conn net.Conn }

func (l *one) Accept() (conn net.Conn, err error) {
	if conn, l.conn = l.conn, nil; conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *one) Close() error   { return nil }
func (l *one) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
