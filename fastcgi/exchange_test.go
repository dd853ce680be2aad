package fastcgi_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// once answers the first request of each connection with those bytes and closes it.
func once(bytes string) func(p *peer) {
	return func(p *peer) {
		if p.next() != nil {
			p.say(bytes)
		}
	}
}

// stay is the same, but leaves the connection open.
func stay(bytes string) func(p *peer) {
	return func(p *peer) {
		for p.next() != nil {
			p.say(bytes)
		}
	}
}

// What is read as a good answer, and whether its connection is used again.
func TestAnswers(t *testing.T) {
	const head = "Content-Type: text/plain\r\n\r\n"
	padded := func(typ byte, content string, pad int) string {
		r := []byte(rec(typ, content))
		r[6] = byte(pad)
		return string(r) + strings.Repeat("x", pad)
	}
	long := strings.Repeat("0123456789abcde\n", 4096)[:65535]
	for _, c := range []struct {
		name, bytes, want string
		kept              bool
	}{
		{"libfcgi's", stdout(head+"hello") + endStdout + endOK, "hello", true},
		{"php's: no empty STDOUT (B28)", stdout(head+"hello") + endOK, "hello", true},
		{"no body", stdout(head) + endOK, "", true},
		{"in records of one byte", func() (s string) {
			for _, c := range head + "hello" {
				s += padded(6, string(c), 3)
			}
			return s + endStdout + endOK
		}(), "hello", true},
		{"65535 bytes and 255 of padding (B03)", stdout(head) + padded(6, long, 255) + padded(6, long, 255) + endOK, long + long, true},
		{"padding behind empty records (B05)", padded(7, "", 9) + stdout(head) + padded(6, "", 255) + "\x01\x03\x00\x01\x00\x08\x07\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "1234567", "", true},
		{"STDERR in between, and empty (B10, B30)", stderr("a") + stdout(head[:5]) + stderr("") + stderr("b\n") + stdout(head[5:]+"x") + stderr("c") + stdout("y") + endOK, "xy", true},
		{"STDOUT after its end (B29)", stdout(head+"x") + endStdout + stdout("y") + endOK, "x", true},
		{"records of another request (B29)", "\x01\x06\x00\x02\x00\x03\x00\x00abc" + stdout(head+"x") + "\x01\x03\x00\x02\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + stdout("y") + endOK, "xy", true},
		{"unknown type", rec(77, "?") + stdout(head+"x") + rec(77, "") + endOK, "x", true},
		{"management records nobody asked for", "\x01\x0a\x00\x00\x00\x03\x00\x00\x01\x00X" + stdout(head+"x") + endOK, "x", true},
		{"bytes behind END_REQUEST", stdout(head+"x") + endOK + "z", "x", false},
		{"app status (B32)", stdout(head+"x") + "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00", "x", true},
		{"a Content-Length", stdout("Content-Length: 3\n"+head+"abc") + endOK, "abc", true},
		{"more than its Content-Length (A80)", stdout("Content-Length: 3\n"+head+"abcdef") + endOK, "abc", true},
	} {
		for _, split := range []bool{false, true} {
			name := c.name
			if split {
				if len(c.bytes) > 2000 || !c.kept { // what comes later is found later
					continue
				}
				name += ", byte by byte"
			}
			t.Run(name, func(t *testing.T) {
				a := application(t, func(p *peer) {
					for p.next() != nil {
						if !split {
							p.say(c.bytes)
							continue
						}
						for i := range len(c.bytes) {
							p.say(c.bytes[i : i+1])
							runtime.Gosched()
						}
					}
				})
				tr, _ := transport(t, nil, a.address)
				for range 2 {
					wantPage(t, tr, ask("GET", ""), c.want)
				}
				if !soon(func() bool { return tr.Status().Endpoints[0].Busy == 0 }) {
					t.Fatalf("places not given back: %+v", tr.Status())
				}
				if kept := a.accepts.Load() == 1; kept != c.kept && !split {
					t.Errorf("connection kept: %v, want %v", kept, c.kept)
				}
			})
		}
	}
}

// What is no answer: its kind, and the sentence for whoever runs the application.
func TestBadAnswers(t *testing.T) {
	const head = "Content-Type: text/plain\r\n\r\n"
	for _, c := range []struct {
		name  string
		serve func(p *peer)
		kind  cgi.Kind
		words string
	}{
		{"closes at once", func(*peer) {}, cgi.NoOutput, "it closed the connection without an answer"},
		{"closes after the request", once(""), cgi.NoOutput, "it closed the connection without an answer"},
		{"closes in a header", once(stdout(head)[:5]), cgi.Truncated, "in the middle of a record"},
		{"closes in a record", once(stdout(head + "hello")[:12]), cgi.Truncated, "in the middle of a record"},
		{"closes in the response's header", once(stdout(head[:9])), cgi.Truncated, "before the end of its answer"},
		{"version 2", stay("\x02" + endOK[1:]), cgi.BadOutput, "it does not speak FastCGI: record of version 2"},
		{"HTTP", stay("HTTP/1.1 400 Bad Request\r\n\r\n"), cgi.BadOutput, "it does not speak FastCGI: record of version 72"},
		{"request id 0 (B11)", stay("\x01\x06\x00\x00\x00\x00\x00\x00"), cgi.BadOutput, "STDOUT record with request id 0"},
		{"END_REQUEST of 9 bytes", stay("\x01\x03\x00\x01\x00\x09\x00\x00123456789"), cgi.BadOutput, "END_REQUEST record with 9 bytes"},
		{"END_REQUEST of 65535 bytes", stay("\x01\x03\x00\x01\xff\xff\x00\x00" + strings.Repeat("x", 65535)), cgi.BadOutput, "END_REQUEST record with 65535"},
		{"no output", stay(endStdout + endOK), cgi.NoOutput, "it printed nothing"},
		{"no output, app status", stay(stderr("cannot open\n") + "\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00"), cgi.NoOutput, "it printed nothing; app status 3: cannot open"},
		{"no header", stay(stdout("hello\n") + endOK), cgi.BadOutput, "a line without a colon"},
		{"NPH (B38)", stay(stdout("HTTP/1.1 200 OK\r\n\r\n") + endOK), cgi.BadOutput, "status line"},
		{"unknown role (B31)", stay(unknown), cgi.Internal, "it does not know the role RESPONDER"},
		{"overloaded (B31)", stay(overloaded), cgi.Busy, "it refused the request (OVERLOADED)"},
		{"cannot multiplex (B31)", stay(cantMpx), cgi.Busy, "it refused the request (CANT_MPX_CONN)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := application(t, c.serve)
			tr, log := transport(t, nil, a.address)
			req := ask("POST", "x")
			_, _, err := answer(t, tr, req)
			e := wantError(t, err, c.kind, c.words)
			if e.Script != "/srv/x.fcgi" || req.Account.Failure != e {
				t.Errorf("script %q, failure in the account %v", e.Script, req.Account.Failure)
			}
			if text := log.String(); !strings.Contains(text, "request="+req.ID) || !strings.Contains(text, "kind="+c.kind.String()) {
				t.Errorf("log %q", text)
			}
			if !soon(func() bool { return tr.Status().Endpoints[0].Busy == 0 }) {
				t.Errorf("place not given back: %+v", tr.Status())
			}
		})
	}
}

// A response that is cut short after its header fails its reader.
func TestCutShort(t *testing.T) {
	const head = "Content-Type: text/plain\r\n\r\n"
	for _, c := range []struct {
		name, bytes string
		words       string // "": the end is a good one
		change      func(*fastcgi.Transport)
	}{
		{"no END_REQUEST", stdout(head + "abc"), "before the end of its answer", nil},
		{"in a record", stdout(head) + stdout("abcdef")[:11], "in the middle of a record", nil},
		{"no END_REQUEST, not kept (B28)", stdout(head + "abc"), "", func(tr *fastcgi.Transport) { tr.NoKeepAlive = true }},
		{"no END_REQUEST after empty STDOUT", stdout(head+"abc") + endStdout, "", nil},
		{"not kept, in a record", stdout(head) + stdout("abcdef")[:11], "in the middle of a record", func(tr *fastcgi.Transport) { tr.NoKeepAlive = true }},
		{"less than its Content-Length (A80)", stdout("Content-Length: 9\n"+head+"abc") + endOK, "6 bytes before the Content-Length", nil},
		{"closed after its Content-Length", stdout("Content-Length: 3\n" + head + "abc"), "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := application(t, once(c.bytes))
			tr, log := transport(t, c.change, a.address)
			req := ask("GET", "")
			status, body, err := answer(t, tr, req)
			if c.words == "" {
				if status != 200 || body != "abc" || err != nil || req.Account.Failure != nil {
					t.Errorf("status %d, %q, %v, failure %v", status, body, err, req.Account.Failure)
				}
				return
			}
			wantError(t, err, cgi.Truncated, c.words)
			if req.Account.Failure == nil || !strings.Contains(log.String(), "response cut short") {
				t.Errorf("failure %v, log %q", req.Account.Failure, log)
			}
		})
	}
}

// Times: each limit ends the request with its sentence, and closes the connection.
func TestTimeLimits(t *testing.T) {
	const head = "Content-Type: text/plain\r\n\r\n"
	const limit = 80 * time.Millisecond
	for _, c := range []struct {
		name  string
		times cgi.Times
		bytes string
		words string
	}{
		{"never answers", cgi.Times{Header: limit}, "", "it did not send a complete header within 80ms (header_timeout)"},
		{"never answers, short limit", cgi.Times{Header: 10 * time.Millisecond}, "", "within 10ms (header_timeout)"},
		{"half a header", cgi.Times{Header: limit}, stdout(head[:5]), "(header_timeout)"},
		{"stops", cgi.Times{Idle: limit}, stdout(head + "abc"), "it sent nothing more for 80ms (idle_timeout)"},
		{"never ends", cgi.Times{Total: limit, Idle: time.Minute}, stdout(head + "abc"), "it did not finish within 80ms (timeout)"},
		{"nothing at all within the whole time", cgi.Times{Total: limit}, "", "it did not finish within 80ms (timeout)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			closed := make(chan struct{})
			a := application(t, func(p *peer) {
				p.next()
				p.say(c.bytes)
				p.next() // the connection's end
				close(closed)
			})
			tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Times = c.times }, a.address)
			_, _, err := answer(t, tr, ask("GET", ""))
			wantError(t, err, cgi.Timeout, c.words)
			await(t, closed, "the connection to be closed")
		})
	}
}

func await(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(longEnough):
		t.Fatalf("waited in vain for %s", what)
	}
}

// A101: output keeps a response alive, whatever it takes in all; it arrives when it is
// written.
func TestArrivesWhenWritten(t *testing.T) {
	step := make(chan struct{})
	a := application(t, func(p *peer) {
		p.next()
		p.say(stdout("Content-Type: text/plain\r\n\r\n"))
		for n := range 5 {
			<-step
			p.say(stdout(strconv.Itoa(n)))
		}
		p.say(endOK)
	})
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Times = cgi.Times{Idle: longEnough} }, a.address)
	resp, err := tr.Respond(context.Background(), ask("GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	buf := make([]byte, 100)
	for n := range 5 {
		if _, err := resp.Body.(cgi.Waiter).ReadWithin(buf, 3*time.Millisecond); err != cgi.ErrNothingYet {
			t.Fatalf("piece %d: %v before it was written", n, err)
		}
		step <- struct{}{}
		if k, err := resp.Body.Read(buf); string(buf[:k]) != strconv.Itoa(n) || err != nil {
			t.Fatalf("%q, %v, want %d", buf[:k], err, n)
		}
	}
	if _, err := resp.Body.Read(buf); err != io.EOF {
		t.Errorf("%v, want EOF", err)
	}
}

// B26: 10 MiB go in and out at once, though nobody's buffers hold them.
func TestEcho(t *testing.T) {
	for _, c := range []struct {
		name string
		body func([]byte) io.Reader
	}{
		{"memory", func(b []byte) io.Reader { return bytes.NewReader(b) }},
		{"pieces", func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := application(t, func(p *peer) {
				_ = p.Conn.(*net.UnixConn).SetWriteBuffer(16 << 10)
				for {
					h, err := p.r.Next()
					if err != nil {
						return
					}
					if h.Type != fastcgi.TypeStdin {
						continue
					}
					if h.ContentLength == 0 {
						p.say(endStdout + endOK)
						continue
					}
					content, err := io.ReadAll(p.r)
					if err != nil {
						return
					}
					p.say(stdout(string(content)))
				}
			})
			tr, _ := transport(t, nil, a.address)
			body := append([]byte("Content-Type: text/plain\n\n"), bytes.Repeat([]byte("0123456789abcdef"), 10<<16)...)
			for range 2 { // the second time on the same connection
				req := ask("POST", "")
				req.Body, req.ContentLength = c.body(body), int64(len(body))
				_, got, err := answer(t, tr, req)
				if err != nil || got != string(body[26:]) {
					t.Fatalf("%d bytes, %v, want %d", len(got), err, len(body)-26)
				}
			}
			if n := a.accepts.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// B27: who answers without having read the body has answered. The connection is closed.
func TestAnswersBeforeReading(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(p *peer)
	}{
		{"and closes", func(p *peer) { p.Close() }},
		{"and stays", func(p *peer) { _, _ = p.Read(make([]byte, 1)); time.Sleep(50 * time.Millisecond) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := application(t, func(p *peer) {
				p.say(page("early"))
				c.after(p)
			})
			tr, _ := transport(t, nil, a.address)
			body := strings.Repeat("x", 4<<20)
			for range 2 {
				wantPage(t, tr, ask("POST", body), "early")
			}
			if n := a.accepts.Load(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// A60: a client's body that ends early ends the request; the application never sees it
// as complete.
func TestBodyEndsEarly(t *testing.T) {
	complete := make(chan bool, 2)
	a := application(t, func(p *peer) { complete <- p.next() != nil })
	tr, _ := transport(t, nil, a.address)
	for _, n := range []int{100, 1 << 20} {
		req := ask("POST", "")
		req.Body, req.ContentLength = strings.NewReader(strings.Repeat("x", n-1)), int64(n)
		_, _, err := answer(t, tr, req)
		wantError(t, err, cgi.BodyFailed, "ended early")
	}
	if <-complete { // the short one never got there
		t.Error("the application got a complete body")
	}
	_, err := tr.Respond(context.Background(), &cgi.Request{Body: strings.NewReader(""), ContentLength: -1})
	if e := wantError(t, err, cgi.Internal, "no known length"); e.StatusCode() != 411 {
		t.Errorf("status %d", e.StatusCode())
	}
}

// An application that does not read: the time for its silence ends it, not the write.
func TestDoesNotRead(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	a := application(t, func(p *peer) { <-over })
	tr, _ := transport(t, func(tr *fastcgi.Transport) {
		tr.Times = cgi.Times{Header: 150 * time.Millisecond, Stdin: 50 * time.Millisecond}
	}, a.address)
	_, _, err := answer(t, tr, ask("POST", strings.Repeat("x", 4<<20)))
	wantError(t, err, cgi.Timeout, "(header_timeout)")
	big := ask("GET", "") // parameters of 1 MiB that nobody reads
	for n := range 16 {
		big.Env.Set("V"+strconv.Itoa(n), strings.Repeat("x", 64<<10))
	}
	_, _, err = answer(t, tr, big)
	wantError(t, err, cgi.Timeout, "(header_timeout)")
}

// Parameters of 1 MiB arrive whole.
func TestBigParameters(t *testing.T) {
	a := application(t, answering(func(p *peer, a *asked) string { return page(strconv.Itoa(len(a.get("V7")))) }))
	tr, _ := transport(t, nil, a.address)
	req := ask("GET", "")
	for n := range 16 {
		req.Env.Set("V"+strconv.Itoa(n), strings.Repeat("x", 64<<10))
	}
	for range 2 {
		wantPage(t, tr, req, "65536")
	}
	if n := a.accepts.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A100, B30: a flood of STDERR is not kept, and the response is there behind it.
func TestStderrFlood(t *testing.T) {
	total := 1 << 30
	if testing.Short() || raceEnabled() {
		total = 1 << 26
	}
	// Many lines, and one of them long: more in each piece than may be logged in a second.
	line := strings.Repeat("e", 60000) + strings.Repeat("noise\n", 900) + "!"
	a := application(t, func(p *peer) {
		p.next()
		for n := 0; n < total; n += len(line) {
			p.say(stderr(line))
		}
		p.say(page("at last"))
	})
	tr, log := transport(t, nil, a.address)
	req := ask("GET", "")
	wantPage(t, tr, req, "at last")
	if text := log.String(); !strings.Contains(text, "request="+req.ID) || !strings.Contains(text, "lines dropped") || len(text) > 8<<20 {
		t.Errorf("log of %d bytes: %.300q", len(text), text)
	}
}

// STDERR goes to the request's writer as well, and to the log line by line.
func TestStderr(t *testing.T) {
	a := application(t, stay(stderr("one\ntw")+stdout("Content-Type: text/plain\n\n")+stderr("o\n")+endOK))
	tr, log := transport(t, nil, a.address)
	req := ask("GET", "")
	var also bytes.Buffer
	req.Stderr = &also
	wantPage(t, tr, req, "")
	if also.String() != "one\ntwo\n" || !strings.Contains(log.String(), "line=two") || !strings.Contains(log.String(), "application=app") {
		t.Errorf("%q, log %q", also.String(), log)
	}
}

// B30: words that turn a response into an error.
func TestCatchStderr(t *testing.T) {
	a := application(t, stay(stderr("PHP Fatal er")+stderr("ror: x\n")+page("half a page")))
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.CatchStderr = []string{"", "Fatal error"} }, a.address)
	_, _, err := answer(t, tr, ask("GET", ""))
	wantError(t, err, cgi.BadOutput, `it wrote "Fatal error"`, "catch_stderr")
	tr2, _ := transport(t, func(tr *fastcgi.Transport) { tr.CatchStderr = []string{"Notice"} }, a.address)
	wantPage(t, tr2, ask("GET", ""), "half a page")
}

// B33: a client that goes ends the request: the output is discarded for a while, and
// the connection used again if the application ends in that time.
func TestClientGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		header bool // the client goes after the header
		ends   bool // the application ends in time
	}{
		{"before the header, application ends", false, true},
		{"before the header, application hangs", false, false},
		{"in the body, application ends", true, true},
		{"in the body, application hangs", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			gone := make(chan struct{})
			a := application(t, func(p *peer) {
				if p.next() == nil {
					return
				}
				if c.header {
					p.say(stdout("Content-Type: text/plain\r\n\r\nbegin"))
				} else {
					cancel()
				}
				<-gone
				if c.ends {
					p.say(page("nobody reads this"))
				}
				for p.next() != nil {
					p.say(page("next"))
				}
			})
			tr, log := transport(t, func(tr *fastcgi.Transport) {
				if c.ends {
					tr.AbortGrace = time.Minute
				}
			}, a.address)
			req := ask("GET", "")
			resp, err := tr.Respond(ctx, req)
			if c.header {
				if err != nil {
					t.Fatal(err)
				}
				cancel()
				_, err = io.ReadAll(resp.Body)
				wantError(t, err, cgi.ClientGone, "the client went away")
				_ = resp.Close()
			} else {
				wantError(t, err, cgi.ClientGone, "the client went away")
			}
			if b := tr.Status().Endpoints[0].Busy; c.ends && b != 1 { // else its time may be over
				t.Errorf("%d places held while the application is busy, want 1", b)
			}
			if c.ends {
				close(gone)
				wantPage(t, tr, ask("GET", ""), "next")
			} else {
				defer close(gone)
				if !soon(func() bool { return tr.Status().Endpoints[0].Busy == 0 }) {
					t.Error("the place was not given back")
				}
			}
			if n := tr.Status().Endpoints[0].Idle; c.ends && n != 1 || !c.ends && n != 0 {
				t.Errorf("%d connections kept", n)
			}
			if req.Account.Failure == nil || req.Account.Failure.Kind != cgi.ClientGone || strings.Contains(log.String(), "cut short") {
				t.Errorf("failure %v, log %q", req.Account.Failure, log)
			}
		})
	}
}

// A response whose body nobody reads (HEAD) leaves a connection that can be used, though
// the request's context ends with the request.
func TestUnreadBody(t *testing.T) {
	a := application(t, answering(func(p *peer, a *asked) string {
		p.say(stdout("Content-Type: text/plain\n\n") + strings.Repeat(stdout(strings.Repeat("x", 60000)), 20))
		time.Sleep(70 * time.Millisecond) // beyond the time in which the context is not watched
		return endOK
	}))
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.AbortGrace = time.Minute }, a.address)
	for range 3 {
		req := ask("HEAD", "")
		ctx, cancel := context.WithCancel(context.Background())
		resp, err := tr.Respond(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Close()
		cancel()
		if req.Account.Failure != nil {
			t.Error(req.Account.Failure)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err != os.ErrClosed {
			t.Errorf("a read after Close: %v", err)
		}
	}
	if n := a.accepts.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// The account of a request.
func TestAccount(t *testing.T) {
	open := make(chan struct{})
	tr, _ := transport(t, nil, application(t, answering(func(p *peer, a *asked) string {
		<-open
		time.Sleep(20 * time.Millisecond)
		return page("x")
	})).address)
	first, second := ask("GET", ""), ask("GET", "")
	done := make(chan struct{}, 2)
	for n, req := range []*cgi.Request{first, second} {
		go func() { _, _, _ = answer(t, tr, req); done <- struct{}{} }()
		if !soon(func() bool { return tr.Status().Endpoints[0].Busy == 1 && tr.Status().Waiting == n }) {
			t.Fatal("neither busy nor waiting")
		}
	}
	close(open)
	<-done
	<-done
	if first.Account.Spawn <= 0 || first.Account.FirstByte < 20*time.Millisecond || first.Account.Script != "/srv/x.fcgi" || second.Account.Queued <= 0 {
		t.Errorf("first %+v, second %+v", first.Account, second.Account)
	}
}

// Large output takes bounded memory and comes in order.
func TestLargeOutput(t *testing.T) {
	const pieces = 2000
	piece := strings.Repeat("0123456789abcde\n", 2000)
	a := application(t, func(p *peer) {
		p.next()
		p.say(stdout("Content-Type: text/plain\n\n"))
		for range pieces {
			p.say(stdout(piece))
		}
		p.say(endOK)
	})
	tr, _ := transport(t, nil, a.address)
	resp, err := tr.Respond(context.Background(), ask("GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	buf := make([]byte, len(piece))
	for n := range pieces {
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != piece {
			t.Fatalf("piece %d: %v", n, err)
		}
	}
	if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("%d bytes more, %v", n, err)
	}
}
