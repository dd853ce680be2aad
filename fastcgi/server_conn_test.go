package fastcgi_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// Without FCGI_KEEP_CONN the connection ends with the request, and what the front still
// sends does not destroy the response (B68).
func TestServerNotKept(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		s := serve(t, nil)
		f := s.dialOn(t, network)
		f.say(begin1Once + get1("/hello")[16:])
		f.want(helloWorld)
		f.wantEnd()
		for range 20 {
			f := s.dialOn(t, network)
			f.say(begin1Once + params1("/ignore", "500000") + params1End + rec(5, strings.Repeat("x", 1000)))
			time.Sleep(time.Millisecond) // some sooner, some later than the response
			for range 8 {
				f.say(rec(5, strings.Repeat("x", 60000)))
			}
			f.want("Status: 200 OK|ignored|0 REQUEST_COMPLETE")
			f.wantEnd()
			_ = f.Close()
		}
		// Two requests, the first of which wants it kept.
		f = s.dialOn(t, network)
		f.say(renumbered(2, get1("/wait")) + begin1Once + get1("/hello")[16:])
		f.want(helloWorld)
		close(s.app.released)
		if got := f.hear(2)[0].String(); got != "Status: 200 OK|released|0 REQUEST_COMPLETE" {
			t.Errorf("got %q", got)
		}
	}
}

// A response that was cut short does not look whole.
func TestServerCutShort(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/cut", "/panic"} {
		f := s.dial(t)
		f.say(get1(path))
		if got := f.hear(1)[0]; got.ended || got.streamEnd || got.err != errSpoiled {
			t.Errorf("%s alone: %v", path, got)
		}
		f.wantEnd()
		f = s.dial(t)
		f.say(renumbered(2, get1("/wait")))
		s.running(t, 1)
		f.say(get1(path))
		if got := f.hear(1)[0]; !got.ended || got.streamEnd || got.app == 0 {
			t.Errorf("%s beside another: %v", path, got)
		}
		_ = f.Close()
		s.running(t, 0)
	}
}

// Deadlines: half a request, half a record, half a body, no request, no reader.
func TestServerDeadlines(t *testing.T) {
	ends := serve(t, func(s *fastcgi.Server) { s.IdleTimeout, s.ReadTimeout = 300*time.Millisecond, 150*time.Millisecond })
	for name, say := range map[string]string{
		"nothing": "", "half a header": begin1[:5], "half a BEGIN": begin1[:12], "only BEGIN": begin1,
		"half the variables": begin1 + params1("/hello", ""), "half a record": begin1 + params1("/hello", "")[:30],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := ends.dial(t)
			_, _ = io.WriteString(f.Conn, say) // which is too late, when this test is held up
			f.wantEnd()
		})
	}
	t.Run("a request before", func(t *testing.T) { synctest.Test(t, testIdleAfterRequest) })
	t.Run("a request that takes long", func(t *testing.T) { synctest.Test(t, testLongRequest) })
	s := serve(t, func(s *fastcgi.Server) { s.ReadTimeout = 150 * time.Millisecond })
	t.Run("half a body", func(t *testing.T) {
		f := s.dial(t)
		f.say(begin1 + params1("/count", "10") + params1End + rec(5, "abc"))
		if got := f.hear(1)[0]; !strings.Contains(got.stdout, "fastcgi: nothing came from the web server in front for 150ms") {
			t.Errorf("got %v", got)
		}
	})
	t.Run("half a request beside another", func(t *testing.T) {
		f := s.dial(t)
		f.say(renumbered(2, get1("/wait")) + begin1 + params1("/hello", ""))
		f.want("||1 REQUEST_COMPLETE")
		f.say(get1("/hello"))
		f.want(helloWorld)
		f.say(renumbered(2, abort1))
		if got := f.hear(2)[0].String(); got != "||1 REQUEST_COMPLETE" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("no reader", func(t *testing.T) {
		s := serve(t, func(s *fastcgi.Server) { s.WriteTimeout = 150 * time.Millisecond })
		s.dial(t).say(get1("/forever"))
		if !soon(func() bool { return s.app.began.Load() == 1 }) {
			t.Fatal("the request did not run")
		}
		s.running(t, 0)
	})
}

// short is a server with short times, in a bubble where no test is too slow for them.
func short(t *testing.T) *front {
	app := &responder{released: make(chan struct{})}
	return servePipes(t, &fastcgi.Server{
		Gateway: &cgi.Gateway{Responder: app}, IdleTimeout: 300 * time.Millisecond, ReadTimeout: 150 * time.Millisecond, WriteTimeout: 150 * time.Millisecond,
	}).dial(t)
}

func testIdleAfterRequest(t *testing.T) {
	f := short(t)
	begun := time.Now()
	time.Sleep(200 * time.Millisecond)
	f.say(get1("/hello"))
	f.want(helloWorld)
	f.wantEnd()
	if took := time.Since(begun); took != 500*time.Millisecond {
		t.Errorf("closed after %v, want 300ms after the request", took)
	}
}

func testLongRequest(t *testing.T) {
	f := short(t)
	f.say(get1("/wait"))
	time.Sleep(700 * time.Millisecond) // longer than any of the server's times
	f.say(abort1)
	f.want("||1 REQUEST_COMPLETE")
}

// Shutdown lets requests end, refuses new ones and ends idle connections.
func TestServerShutdown(t *testing.T) {
	synctest.Test(t, testServerShutdown) // what is new gets half a second, by the clock of the bubble
	s := serve(t, nil)
	idle := s.dial(t)
	idle.say(get1("/hello"))
	idle.want(helloWorld)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	idle.wantEnd()
	if conn, err := net.Dial("unix", s.addr); err == nil {
		_ = conn.Close()
		t.Error("the listener is open")
	}
	if err := s.Serve(anyListener(t)); err != fastcgi.ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func testServerShutdown(t *testing.T) {
	app := &responder{released: make(chan struct{})}
	s := &fastcgi.Server{Gateway: &cgi.Gateway{Responder: app}}
	p := servePipes(t, s)
	idle, busy, fresh, silent := p.dial(t), p.dial(t), p.dial(t), p.dial(t)
	idle.say(get1("/hello"))
	idle.want(helloWorld)
	busy.say(get1("/wait"))
	fresh.say(begin1[:1])
	synctest.Wait()
	early, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(early); err != context.DeadlineExceeded {
		t.Fatalf("Shutdown with a request that runs: %v", err)
	}
	idle.wantEnd()
	fresh.say(get1("/hello")[1:])
	fresh.want(helloWorld)
	fresh.wantEnd()
	busy.say(renumbered(2, get1("/hello")))
	if got := busy.hear(2)[0].String(); got != "||0 OVERLOADED" {
		t.Errorf("got %q", got)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	silent.wantEnd()
	close(app.released)
	busy.want("Status: 200 OK|released|0 REQUEST_COMPLETE")
	busy.wantEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// CloseIdle leaves alone what is new, what is busy, and what was used lately.
func TestServerCloseIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &responder{released: make(chan struct{})}
		s := &fastcgi.Server{Gateway: &cgi.Gateway{Responder: app}}
		p := servePipes(t, s)
		idle, busy, lately, fresh := p.dial(t), p.dial(t), p.dial(t), p.dial(t)
		idle.say(get1("/hello"))
		idle.want(helloWorld)
		busy.say(get1("/wait"))
		time.Sleep(time.Second)
		lately.say(get1("/hello"))
		lately.want(helloWorld)
		synctest.Wait()
		s.CloseIdle(500 * time.Millisecond)
		idle.wantEnd()
		close(app.released)
		busy.want("Status: 200 OK|released|0 REQUEST_COMPLETE")
		for _, f := range []*front{busy, lately, fresh} {
			f.say(get1("/hello"))
			f.want(helloWorld)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, f := range []*front{busy, lately, fresh} {
			f.wantEnd()
		}
	})
}

func anyListener(t *testing.T) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestServerClose(t *testing.T) {
	s := serve(t, nil)
	f := s.dial(t)
	f.say(get1("/wait"))
	s.running(t, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f.wantEnd()
	s.cancelled(t, 1)
}

// Large output of several requests is interleaved: a short one does not wait for the
// end of the long ones.
func TestServerInterleaves(t *testing.T) {
	s := serve(t, nil)
	f := s.dial(t)
	for id := byte(1); id <= 4; id++ {
		f.say(renumbered(id, get1("/forever")))
	}
	s.running(t, 4)
	f.say(renumbered(5, get1("/hello")))
	seen := make(map[uint16]int)
	for { // until the connection's deadline
		h, _, err := f.record()
		if err != nil {
			t.Fatalf("no answer: %v; records by request: %v", err, seen)
		}
		seen[h.ID]++
		if h.ID == 5 && h.Type == fastcgi.TypeEndRequest {
			break
		}
	}
	_ = f.Close()
	s.running(t, 0)
}

// An idle connection holds no buffer.
func TestServerIdleMemory(t *testing.T) {
	const conns = 1000
	s := serve(t, func(s *fastcgi.Server) { s.MaxConns = conns })
	used := func() uint64 {
		runtime.GC()
		runtime.GC() // pools give what they hold back at the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	for range conns {
		conn, err := net.Dial("unix", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, get1("/hello")); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(longEnough))
		if _, err := io.ReadFull(conn, make([]byte, 88)); err != nil { // all of the answer
			t.Fatal(err)
		}
	}
	s.running(t, 0)
	each := (int64(used()) - int64(before)) / conns
	t.Logf("%d bytes for each connection, both ends", each)
	if each > 12<<10 && !raceEnabled() {
		t.Errorf("%d bytes for each connection", each)
	}
}

// What an application prints arrives before it ends (A103).
func TestServerFlushes(t *testing.T) {
	s := serve(t, nil)
	f := s.dial(t)
	f.say(get1("/trickle"))
	if h, content, err := f.record(); err != nil || h.Type != fastcgi.TypeStdout || !strings.HasSuffix(content, "\r\n\r\nfirst") {
		t.Errorf("got %+v %q %v", h, content, err)
	}
	close(s.app.released)
	f.want("second||0 REQUEST_COMPLETE")
}

// Standard error of applications, where it is asked for.
func TestServerStderr(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.Stderr = true })
	f := s.dial(t)
	f.say(get1("/stderr"))
	got := f.hear(1)[0]
	if n := strings.Count(got.stderr, "eee\n"); n != 200 || !strings.HasPrefix(got.stderr, "line 0 eee") || !strings.HasSuffix(got.stdout, "\r\n\r\nhello") || !got.ended {
		t.Errorf("%d lines, %v", n, got)
	}
}

// Half a record of a request that took too long: its rest is skipped.
func TestServerLateRecord(t *testing.T) {
	s := serve(t, func(s *fastcgi.Server) { s.ReadTimeout = 100 * time.Millisecond })
	f := s.dial(t)
	variables := params1("/hello", "")
	f.say(renumbered(2, get1("/wait")) + begin1 + variables[:20])
	f.want("||1 REQUEST_COMPLETE")
	f.say(variables[20:] + params1End + get1("/hello"))
	f.want(helloWorld)
}
