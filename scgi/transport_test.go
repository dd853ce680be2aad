package scgi_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/scgi"
)

// application runs a fake application on ln until the test ends: f gets each
// connection, which is closed afterwards.
func application(t testing.TB, ln net.Listener, f func(nc net.Conn)) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			_ = nc.SetDeadline(time.Now().Add(patience))
			f(nc)
			_ = nc.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
}

// prints is an application that reads the request and answers with text.
func prints(text string) func(net.Conn) {
	return func(nc net.Conn) {
		r := bufio.NewReader(nc)
		_, length, err := scgi.ReadRequest(r, scgi.DefaultMaxParams)
		if err == nil {
			_, _ = io.CopyN(io.Discard, r, length)
			_, _ = io.WriteString(nc, text)
		}
	}
}

func request(method, body string) *cgi.Request {
	req := &cgi.Request{ID: "test-1", Path: "/", Account: new(cgi.Account)}
	req.Env.Set("REQUEST_METHOD", method)
	req.Env.Set("REQUEST_URI", "/x?y")
	req.Env.Set("HTTP_HOST", "example.org")
	req.Env.Set("HTTP_AUTHORIZATION", "Basic x")
	req.Env.Set("REMOTE_ADDR", "192.0.2.7")
	if body != "" {
		req.Body, req.ContentLength = strings.NewReader(body), int64(len(body))
	}
	return req
}

// transport is one to ln, and its log.
func transport(ln net.Listener) (*scgi.Transport, *logged) {
	log := new(logged)
	return &scgi.Transport{Addresses: []string{addressOf(ln)}, Log: log.logger()}, log
}

// answer asks r and reads the response to its end.
func answer(r cgi.Responder, req *cgi.Request) (resp *cgi.Response, body string, err error) {
	resp, err = r.Respond(context.Background(), req)
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(resp.Body)
	if cerr := resp.Close(); err == nil {
		err = cerr
	}
	return resp, string(text), err
}

// isError checks an error's kind and the words of its reason.
func isError(t testing.TB, name string, err error, kind cgi.Kind, words ...string) *cgi.Error {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %v", name, kind)
		return new(cgi.Error)
	}
	e := cgi.AsError(err)
	if e.Kind != kind {
		t.Errorf("%s: kind %v (%q), want %v", name, e.Kind, e.Reason, kind)
	}
	for _, w := range words {
		if !strings.Contains(e.Reason, w) {
			t.Errorf("%s: reason %q, want %q in it", name, e.Reason, w)
		}
	}
	return e
}

// What the application gets (D03): length and version first, the request's variables
// in order, those of the configuration, credentials unless they are dropped (A33).
func TestTransportSends(t *testing.T) {
	ln := listen(t, "unix")
	got := make(chan []string, 1)
	application(t, ln, func(nc net.Conn) {
		vars, _, _ := scgi.ReadRequest(bufio.NewReader(nc), scgi.DefaultMaxParams)
		got <- vars
		_, _ = io.WriteString(nc, "Status: 204\n\n")
	})
	tr, _ := transport(ln)
	tr.Env.Set("APP", "1")
	tr.Env.Set("REQUEST_URI", "/other")
	for _, drop := range []bool{false, true} {
		tr.DropAuthorization = drop
		if resp, _, err := answer(tr, request("GET", "")); err != nil || resp.Status != 204 {
			t.Fatalf("%v, %v", resp, err)
		}
		want := []string{"CONTENT_LENGTH=0", "SCGI=1", "REQUEST_METHOD=GET", "REQUEST_URI=/x?y", "HTTP_HOST=example.org",
			"HTTP_AUTHORIZATION=Basic x", "REMOTE_ADDR=192.0.2.7", "APP=1", "UNIQUE_ID=test-1"}
		if drop {
			want = slices.Delete(want, 5, 6)
		}
		if vars := <-got; !slices.Equal(vars, want) {
			t.Errorf("sent %q, want %q", vars, want)
		}
	}
}

// Both ends together, with bodies of all sizes, over both kinds of socket.
func TestTransportToServer(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		ln := listen(t, network)
		serving(t, ln, tell, nil)
		tr, _ := transport(ln)
		for _, size := range []int{0, 1, 65535, 65536, 65537, 10 << 20} {
			body := strings.Repeat("x", size)
			req := request("PUT", body)
			resp, got, err := answer(tr, req)
			if err != nil || resp.Status != 200 || !strings.HasSuffix(got, " "+body) {
				t.Errorf("%s, %d bytes: %.100q, %v", network, size, got, err)
			}
			if req.Account.FirstByte <= 0 || req.Account.Failure != nil {
				t.Errorf("%s, %d bytes: account %+v", network, size, req.Account)
			}
		}
	}
}

func TestTransportResponses(t *testing.T) {
	for _, test := range []struct {
		name, printed, want string
		status              int
	}{
		{"page", "Content-Type: a/b\n\nhello", "hello", 200},
		{"status", "Status: 404 No\r\nContent-Type: a/b\r\n\r\n", "", 404},
		{"length", "Content-Type: a/b\nContent-Length: 2\n\nhello", "he", 200},
		{"long", "Content-Type: a/b\n\n" + strings.Repeat("x", 300_000), strings.Repeat("x", 300_000), 200},
	} {
		ln := listen(t, "tcp")
		application(t, ln, prints(test.printed))
		tr, _ := transport(ln)
		resp, got, err := answer(tr, request("GET", ""))
		if err != nil || resp.Status != test.status || got != test.want {
			t.Errorf("%s: %v, %.100q, %v", test.name, resp, got, err)
		}
	}
}

// D06: what is no response is 502, and says why.
func TestTransportErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		app  func(net.Conn)
		kind cgi.Kind
		word string
	}{
		{"nothing", prints(""), cgi.NoOutput, "closed the connection without an answer"},
		{"nothing read", func(nc net.Conn) {}, cgi.NoOutput, ""},
		{"end in the header", prints("Content-Type: a"), cgi.BadOutput, "ends inside the header"},
		{"status line", prints("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n"), cgi.BadOutput, ""},
		{"no colon", prints("hello\n\nworld"), cgi.BadOutput, ""},
		{"short", prints("\n"), cgi.BadOutput, ""},
		{"long header", prints("A: " + strings.Repeat("a", 100_000) + "\n\n"), cgi.BadOutput, ""},
		{"less than announced, A80", prints("Content-Type: a/b\nContent-Length: 9\n\nhello"), cgi.Truncated, "4 bytes before"},
		{"reset in the body", func(nc net.Conn) {
			prints("Content-Type: a/b\n\nhello")(nc)
			time.Sleep(50 * time.Millisecond) // for the bytes to be read: a reset takes them with it
			_ = nc.(*net.TCPConn).SetLinger(0)
		}, cgi.Truncated, "reset"},
		{"silence", func(nc net.Conn) { prints("")(nc); _, _ = io.Copy(io.Discard, nc) }, cgi.Timeout, "no complete header within"},
		{"silence in the body", func(nc net.Conn) {
			prints("Content-Type: a/b\n\nhello")(nc)
			_, _ = io.Copy(io.Discard, nc)
		}, cgi.Timeout, "in the middle of its output"},
		{"no end", func(nc net.Conn) {
			prints("Content-Type: a/b\n\n")(nc)
			for {
				if _, err := io.WriteString(nc, "x"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}, cgi.Timeout, "not finished within"},
	} {
		ln := listen(t, "tcp")
		application(t, ln, test.app)
		tr, log := transport(ln)
		switch test.name {
		case "silence":
			tr.Times.Header = 200 * time.Millisecond
		case "silence in the body":
			tr.Times.Idle = 300 * time.Millisecond
		case "no end":
			tr.Times.Total = time.Second
		}
		req := request("GET", "")
		_, _, err := answer(tr, req)
		isError(t, test.name, err, test.kind, test.word)
		if f := req.Account.Failure; f == nil || f.Kind != test.kind || f.Script != addressOf(ln) {
			t.Errorf("%s: account's failure %+v", test.name, f)
		}
		if !strings.Contains(log.String(), "SCGI application failed") {
			t.Errorf("%s: not in the log: %q", test.name, log)
		}
	}
}

func TestTransportUnknownLength(t *testing.T) {
	tr, _ := transport(listen(t, "tcp"))
	req := request("POST", "x")
	req.ContentLength = -1
	_, err := tr.Respond(context.Background(), req)
	if e := isError(t, "unknown length, D09", err, cgi.Internal); e.StatusCode() != 411 {
		t.Errorf("status %d, want 411", e.StatusCode())
	}
}

// The time limits are the application's, not a slow client's; its own silence counts
// again when the body has come.
func TestTransportSlowClient(t *testing.T) {
	for name, silent := range map[string]time.Duration{"answers": 100 * time.Millisecond, "too late": 200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ln := listenPipes()
			application(t, ln, func(nc net.Conn) {
				r := bufio.NewReader(nc)
				_, length, _ := scgi.ReadRequest(r, scgi.DefaultMaxParams)
				_, _ = io.CopyN(io.Discard, r, length)
				time.Sleep(silent)
				_, _ = io.WriteString(nc, "Content-Type: a/b\n\nok")
			})
			tr := &scgi.Transport{Name: "app", Log: new(logged).logger(), Dial: func(context.Context) (net.Conn, error) { return ln.dial(t), nil }}
			tr.Times.Header = 150 * time.Millisecond
			r, w := io.Pipe()
			go func() {
				time.Sleep(400 * time.Millisecond)
				_, _ = w.Write([]byte("hello"))
			}()
			req := request("POST", "hello")
			req.Body = r
			_, got, err := answer(tr, req)
			if name == "too late" {
				isError(t, name, err, cgi.Timeout, "no complete header within")
			} else if got != "ok" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Body and answer at the same time (A58), and an answer without reading (A59).
func TestTransportDuplex(t *testing.T) {
	body := strings.Repeat("0123456789", 1<<20)
	for name, app := range map[string]func(net.Conn){
		"echo": func(nc net.Conn) {
			r := bufio.NewReader(nc)
			_, length, _ := scgi.ReadRequest(r, scgi.DefaultMaxParams)
			_, _ = io.WriteString(nc, "Content-Type: a/b\n\n")
			_, _ = io.CopyN(nc, r, length)
		},
		"answer first": func(nc net.Conn) {
			_, _ = io.WriteString(nc, "Content-Type: a/b\n\n"+body)
			_ = nc.(*net.UnixConn).CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
		},
	} {
		ln := listen(t, "unix")
		application(t, ln, app)
		tr, _ := transport(ln)
		if _, got, err := answer(tr, request("POST", body)); got != body || err != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// A body that ends early or fails is the client's fault (A60), and the application's
// connection is closed.
func TestTransportBodyFails(t *testing.T) {
	for name, test := range map[string]struct {
		body io.Reader
		kind cgi.Kind
	}{
		"short":    {strings.NewReader("he"), cgi.BodyFailed},
		"time-out": {iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("hello"))), cgi.BodyFailed},
		"own":      {iotest.ErrReader(&cgi.Error{Kind: cgi.BodyTimeout}), cgi.BodyTimeout},
	} {
		ln := listen(t, "unix")
		closed := make(chan struct{})
		application(t, ln, func(nc net.Conn) {
			_, _ = io.Copy(io.Discard, nc)
			close(closed)
		})
		tr, log := transport(ln)
		req := request("POST", "hello")
		req.Body = test.body
		_, _, err := answer(tr, req)
		isError(t, name, err, test.kind)
		within(t, closed, "the connection to be closed")
		if strings.Contains(log.String(), "failed") {
			t.Errorf("%s: a client fills the log: %q", name, log)
		}
	}
}

// Cancelling ends the exchange, before the header and after it.
func TestTransportCancelled(t *testing.T) {
	for name, printed := range map[string]string{"before the header": "", "in the body": "Content-Type: a/b\n\nx"} {
		ln := listen(t, "unix")
		closed := make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		application(t, ln, func(nc net.Conn) {
			prints(printed)(nc)
			time.AfterFunc(50*time.Millisecond, cancel)
			_, _ = io.Copy(io.Discard, nc)
			close(closed)
		})
		tr, _ := transport(ln)
		resp, err := tr.Respond(ctx, request("GET", ""))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Close()
		}
		isError(t, name, err, cgi.ClientGone)
		within(t, closed, "the connection to be closed")
		cancel()
	}
}

// ReadWithin gives back what there is, and says when there is nothing (A103).
func TestTransportReadWithin(t *testing.T) {
	ln := listen(t, "unix")
	more := make(chan struct{})
	application(t, ln, func(nc net.Conn) {
		prints("Content-Type: a/b\n\nfirst")(nc)
		<-more
		_, _ = io.WriteString(nc, "second")
	})
	tr, _ := transport(ln)
	resp, err := tr.Respond(context.Background(), request("GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	w := resp.Body.(cgi.Waiter)
	buf := make([]byte, 100)
	if n, err := io.ReadAtLeast(resp.Body, buf, 5); string(buf[:n]) != "first" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if n, err := w.ReadWithin(buf, 10*time.Millisecond); n != 0 || err != cgi.ErrNothingYet {
		t.Errorf("%q, %v, want %v", buf[:n], err, cgi.ErrNothingYet)
	}
	close(more)
	if rest, err := io.ReadAll(resp.Body); string(rest) != "second" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// The same Env through both ends: what one Gatehouse sends, another takes from it when
// it trusts it (A23).
func TestThroughBothEnds(t *testing.T) {
	ln := listen(t, "unix")
	got := make(chan environ.Env, 1)
	serving(t, ln, cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		got <- req.Env
		return text(""), nil
	}), nil)
	vars := []string{"GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=gatehouse", "REDIRECT_STATUS=200", "SERVER_NAME=example.org",
		"SERVER_ADDR=192.0.2.80", "SERVER_PORT=443", "REMOTE_ADDR=2001:db8::1", "REMOTE_HOST=2001:db8::1", "REMOTE_PORT=5",
		"SERVER_PROTOCOL=HTTP/2.0", "REQUEST_METHOD=GET", "REQUEST_SCHEME=https", "REQUEST_URI=/a%20b?c", "QUERY_STRING=c", "HTTPS=on",
		"HTTP_ACCEPT=a, b", "HTTP_HOST=example.org"}
	req := new(cgi.Request)
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		req.Env.Set(name, value)
	}
	req.Env.SetScript(environ.Script{Name: "/a b", Filename: "/srv/a b", DocumentRoot: "/srv"})
	tr, _ := transport(ln)
	if _, _, err := answer(tr, req); err != nil {
		t.Fatal(err)
	}
	if env := <-got; !slices.Equal(env.Strings(), vars) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(env.Strings(), "\n"), strings.Join(vars, "\n"))
	}
}
