package scgi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
	"gatehouse/scgi"
)

// head is a request with a body of that length.
func head(method string, length int64, more ...string) string {
	vars := append([]string{"REQUEST_METHOD=" + method, "REQUEST_URI=/x?y", "SERVER_PROTOCOL=HTTP/1.1", "HTTP_HOST=example.org", "REMOTE_ADDR=192.0.2.7"}, more...)
	b, err := scgi.AppendRequest(nil, vars, length)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// text is a response without a Content-Length.
func text(s string) *cgi.Response {
	return &cgi.Response{Status: 200, ContentLength: -1, Header: cgi.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: io.NopCloser(strings.NewReader(s))}
}

// tell answers with the method, the client, the body's announced length and the body.
var tell = cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, &cgi.Error{Kind: cgi.BodyFailed, Reason: err.Error()}
		}
	}
	return text(strings.Join([]string{req.Method(), req.Env.Get("REMOTE_ADDR"), req.Env.Get("CONTENT_LENGTH"), string(body)}, " ")), nil
})

const okHead = "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n"

func TestServer(t *testing.T) {
	large := strings.Repeat("0123456789", 1<<20/10)
	for _, network := range []string{"unix", "tcp"} {
		ln := listen(t, network)
		_, log := serving(t, ln, tell, nil)
		client := map[string]string{"unix": "192.0.2.7", "tcp": "127.0.0.1"}[network] // B73
		for _, test := range []struct{ name, sent, want string }{
			{"no body", head("GET", 0), okHead + "GET " + client + "  "},
			{"body, D04", head("POST", 5) + "hello", okHead + "POST " + client + " 5 hello"},
			{"more than announced, B75", head("POST", 5) + "hello world", okHead + "POST " + client + " 5 hello"},
			{"large body", head("POST", int64(len(large))) + large, okHead + "POST " + client + " 1048570 " + large},
			{"example, D05", exampleHead + exampleBody, okHead + "POST " + map[string]string{"unix": "0.0.0.0", "tcp": "127.0.0.1"}[network] + " 27 " + exampleBody},
			{"no request of ours", head("TRACE", 0), "Status: 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n" +
				"X-Content-Type-Options: nosniff\r\nContent-Length: 23\r\n\r\n405 Method Not Allowed\n"},
			{"no SCGI at all", "GET / HTTP/1.0\r\n\r\n", "Status: 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n" +
				"X-Content-Type-Options: nosniff\r\nContent-Length: 16\r\n\r\n400 Bad Request\n"},
		} {
			got, err := exchange(t, ln, test.sent)
			if got != test.want || err != nil {
				t.Errorf("%s, %s: %.300q, %v, want %.300q", network, test.name, got, err, test.want)
			}
		}
		if !strings.Contains(log.String(), "longer than announced") {
			t.Errorf("%s: the longer body is not in the log: %s", network, log)
		}
	}
}

func TestServerMaxParams(t *testing.T) {
	ln := listen(t, "tcp")
	serving(t, ln, tell, func(s *scgi.Server) { s.MaxParams = 200 })
	if got, err := exchange(t, ln, head("GET", 0, "HTTP_A="+strings.Repeat("a", 200))); !strings.HasPrefix(got, "Status: 431 ") {
		t.Errorf("%q, %v, want status 431", got, err)
	}
}

// A front that goes away ends the work, before the response and within it.
func TestServerClientGone(t *testing.T) {
	for name, sent := range map[string]string{"no body": head("GET", 0), "body": head("POST", 5) + "hello", "part of a body": head("POST", 50) + "hello"} {
		ln := listen(t, "unix")
		begun, ended := make(chan struct{}), make(chan struct{})
		serving(t, ln, cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
			close(begun)
			if req.Body != nil {
				_, _ = io.ReadAll(req.Body)
			}
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}), nil)
		nc := dial(t, ln)
		_, _ = io.WriteString(nc, sent)
		within(t, begun, name+": the request")
		_ = nc.Close()
		within(t, ended, name+": the end of the work")
	}
}

// A response that was cut short and has no length must not look like a whole one.
func TestServerCutShort(t *testing.T) {
	ln := listen(t, "tcp")
	serving(t, ln, cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
		resp := text("")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("begun"), failing{}))
		return resp, nil
	}), nil)
	if got, err := exchange(t, ln, head("GET", 0)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v, want a reset", got, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("failure") }

// A panic ends one request, not the server.
func TestServerPanic(t *testing.T) {
	ln := listen(t, "tcp")
	var count atomic.Int32
	_, log := serving(t, ln, cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		if count.Add(1) == 1 {
			panic("on purpose")
		}
		return tell(ctx, req)
	}), nil)
	if _, err := exchange(t, ln, head("GET", 0)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a panic: %v, want a reset", err)
	}
	if !strings.Contains(log.String(), "on purpose") {
		t.Errorf("log %q", log)
	}
	if got, err := exchange(t, ln, head("GET", 0)); got != okHead+"GET 127.0.0.1  " {
		t.Errorf("%q, %v", got, err)
	}
}

// An application that answers without reading the body: the front gets the answer,
// though it still sends (A59).
func TestServerEarlyAnswer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		ln := listen(t, network)
		serving(t, ln, cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) { return text("early"), nil }), nil)
		nc := dial(t, ln)
		const length = 4 << 20
		_, _ = io.WriteString(nc, head("POST", length))
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = nc.Write(make([]byte, length))
			_ = nc.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(nc)
		<-written
		if string(got) != okHead+"early" || err != nil {
			t.Errorf("%s: %q, %v", network, got, err)
		}
	}
}

// Who sends nothing, or stops in the middle, is not waited for.
func TestServerReadTimeout(t *testing.T) {
	short := func(s *scgi.Server) { s.ReadTimeout = 50 * time.Millisecond }
	ln := listen(t, "tcp")
	serving(t, ln, tell, short)
	if got, err := exchange(t, ln, ""); got != "" || err != nil {
		t.Errorf("silence over TCP: %q, %v", got, err)
	}
	for name, test := range map[string]struct{ sent, want string }{
		"silence":          {"", ""},
		"half of the head": {exampleHead[:30], ""},
		"half of the body": {head("POST", 10) + "hello", "Status: 400 "},
	} {
		synctest.Test(t, func(t *testing.T) { // where nothing that was sent is late
			ln := listenPipes()
			serving(t, ln, tell, short)
			nc, begun := ln.dial(t), time.Now()
			if test.sent != "" {
				_, _ = io.WriteString(nc, test.sent)
			}
			got, err := io.ReadAll(nc)
			if !strings.HasPrefix(string(got), test.want) || test.want == "" && len(got) > 0 || err != nil {
				t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
			}
			if took := time.Since(begun); took != 50*time.Millisecond {
				t.Errorf("%s: it took %v", name, took)
			}
		})
	}
}

// A front that takes nothing of the response is not waited for.
func TestServerWriteTimeout(t *testing.T) {
	ln := listen(t, "unix")
	ended := make(chan struct{})
	serving(t, ln, cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
		resp := text("")
		resp.Body = io.NopCloser(endless{})
		resp.OnClose(func() { close(ended) })
		return resp, nil
	}), func(s *scgi.Server) { s.WriteTimeout = 100 * time.Millisecond })
	nc := dial(t, ln)
	_, _ = io.WriteString(nc, head("GET", 0))
	within(t, ended, "the end of the response")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestServerMaxConns(t *testing.T) {
	ln := listen(t, "unix")
	release := make(chan struct{})
	var running, most atomic.Int32
	serving(t, ln, cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
		most.Store(max(most.Load(), running.Add(1)))
		<-release
		running.Add(-1)
		return text("ok"), nil
	}), func(s *scgi.Server) { s.MaxConns = 2 })
	answers := make(chan string, 5)
	for range cap(answers) {
		nc := dial(t, ln)
		_, _ = io.WriteString(nc, head("GET", 0))
		go func() {
			answer, _ := io.ReadAll(nc)
			answers <- string(answer)
		}()
	}
	if !eventually(func() bool { return running.Load() == 2 }) {
		t.Fatal("two requests do not run")
	}
	close(release)
	for range cap(answers) {
		if got := <-answers; got != okHead+"ok" {
			t.Errorf("%q", got)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d requests at once, want at most 2", most.Load())
	}
}

// Shutdown lets requests end, also one whose variables were still on their way, and
// takes no new ones.
func TestServerShutdown(t *testing.T) {
	synctest.Test(t, testServerShutdown) // half a second there is not over too early
	ln := listen(t, "unix")
	s, _ := serving(t, ln, tell, nil)
	if got, err := exchange(t, ln, head("GET", 0)); !strings.HasPrefix(got, okHead) {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := net.Dial("unix", ln.Addr().String()); err == nil {
		t.Error("a connection after Shutdown")
	}
	if err := s.Serve(listen(t, "tcp")); err != scgi.ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func testServerShutdown(t *testing.T) {
	ln := listenPipes()
	begun, release := make(chan struct{}, 2), make(chan struct{})
	s, _ := serving(t, ln, cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
		begun <- struct{}{}
		<-release
		return text("ok"), nil
	}), nil)
	first, second, silent := ln.dial(t), ln.dial(t), ln.dial(t)
	_, _ = io.WriteString(first, head("GET", 0))
	<-begun
	_, _ = io.WriteString(silent, "1")
	_, _ = io.WriteString(second, head("GET", 0)[:20])
	synctest.Wait()
	done := make(chan error, 1)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); err != context.DeadlineExceeded {
		t.Errorf("Shutdown of a busy server: %v", err)
	}
	go func() { done <- s.Shutdown(context.Background()) }()
	_, _ = io.WriteString(second, head("GET", 0)[20:])
	<-begun
	if got, err := io.ReadAll(silent); len(got) > 0 || err != nil {
		t.Errorf("%q, %v on a connection without a request", got, err)
	}
	close(release)
	for _, nc := range []net.Conn{first, second} {
		if got, err := io.ReadAll(nc); string(got) != okHead+"ok" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Close ends requests by their context.
func TestServerClose(t *testing.T) {
	ln := listen(t, "unix")
	begun := make(chan struct{})
	s, _ := serving(t, ln, cgi.ResponderFunc(func(ctx context.Context, _ *cgi.Request) (*cgi.Response, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}), nil)
	nc := dial(t, ln)
	_, _ = io.WriteString(nc, head("GET", 0))
	<-begun
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got, _ := io.ReadAll(nc); len(got) != 0 {
		t.Errorf("%q after Close", got)
	}
}
