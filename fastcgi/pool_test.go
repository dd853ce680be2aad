package fastcgi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// gate is an application that does not answer requests without a number until free is
// called.
type gate struct {
	app  *app
	open chan struct{}
	mu   sync.Mutex
	all  string // the numbers in the order in which the requests came
}

func (g *gate) seen() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all
}

func gated(t testing.TB) *gate {
	g := &gate{open: make(chan struct{})}
	g.app = application(t, answering(func(p *peer, a *asked) string {
		g.mu.Lock()
		g.all += a.get("N") + " "
		g.mu.Unlock()
		if a.get("N") == "(none)" {
			<-g.open
		}
		return page(a.get("N"))
	}))
	t.Cleanup(g.free)
	return g
}

func (g *gate) free() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func numbered(n int) *cgi.Request {
	req := ask("GET", "")
	req.Env.Set("N", strconv.Itoa(n))
	return req
}

// hold occupies one connection until the gate opens.
func (g *gate) hold(t testing.TB, tr *fastcgi.Transport) (done chan error) {
	t.Helper()
	done = make(chan error, 1)
	before := tr.Status().Endpoints[0].Busy
	go func() { _, _, err := answer(t, tr, ask("GET", "")); done <- err }()
	if !soon(func() bool { return tr.Status().Endpoints[0].Busy == before+1 }) {
		t.Fatal("the request did not get a place")
	}
	return done
}

// Those who wait are served in the order in which they came.
func TestQueueOrder(t *testing.T) {
	g := gated(t)
	tr, _ := transport(t, nil, g.app.address)
	held := g.hold(t, tr)
	var all sync.WaitGroup
	for n := range 5 {
		all.Go(func() { wantPage(t, tr, numbered(n), strconv.Itoa(n)) })
		if !soon(func() bool { return tr.Status().Waiting == n+1 }) {
			t.Fatal("not in the queue")
		}
	}
	g.free()
	all.Wait()
	if err := <-held; err != nil {
		t.Error(err)
	}
	if got := g.seen(); got != "(none) 0 1 2 3 4 " || g.app.accepts.Load() != 1 {
		t.Errorf("%d connections, order %q", g.app.accepts.Load(), got)
	}
}

// The queue is bounded, as is the time in it, and a client may leave it.
func TestQueueLimits(t *testing.T) {
	g := gated(t)
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Queue, tr.QueueTimeout = 1, time.Minute }, g.app.address)
	held := g.hold(t, tr)
	waiting := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _, err := tr.Respond(ctx, numbered(1)); waiting <- err }()
	if !soon(func() bool { return tr.Status().Waiting == 1 }) {
		t.Fatal("not in the queue")
	}
	_, _, err := answer(t, tr, numbered(2))
	e := wantError(t, err, cgi.Busy, "app is busy: 1 connections are in use and 1 requests wait (connections, queue)")
	if e.RetryAfter != time.Second {
		t.Errorf("retry after %v", e.RetryAfter)
	}
	cancel()
	wantError(t, <-waiting, cgi.ClientGone, "while it waited for a connection")

	short, _ := transport(t, func(tr *fastcgi.Transport) { tr.Queue, tr.QueueTimeout = 1, 100*time.Millisecond }, g.app.address)
	heldToo := g.hold(t, short)
	begun := time.Now()
	_, _, err = answer(t, short, numbered(3))
	wantError(t, err, cgi.Busy, "none of 1 connections became free within 100ms (connections, queue_timeout)")
	if took := time.Since(begun); took < 100*time.Millisecond {
		t.Errorf("refused after %v", took)
	}
	g.free()
	for _, held := range []chan error{held, heldToo} {
		if err := <-held; err != nil {
			t.Error(err)
		}
	}
}

// A negative Queue is none.
func TestNoQueue(t *testing.T) {
	g := gated(t)
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Queue = -1 }, g.app.address)
	held := g.hold(t, tr)
	_, _, err := answer(t, tr, numbered(2))
	wantError(t, err, cgi.Busy, "0 requests wait")
	g.free()
	<-held
	wantPage(t, tr, numbered(3), "3")
}

// Clients that leave at any moment take nobody's answer and lose no place.
func TestLeaving(t *testing.T) {
	a := application(t, answering(func(p *peer, a *asked) string { return page(a.get("N")) }))
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Connections = 2 }, a.address)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for n := range 60 {
				ctx, cancel := context.WithCancel(context.Background())
				if n%3 == 0 {
					time.AfterFunc(time.Duration(n)*time.Microsecond*10, cancel)
				}
				want := g*1000 + n
				resp, err := tr.Respond(ctx, numbered(want))
				if err == nil {
					if text, err := io.ReadAll(resp.Body); err == nil && string(text) != strconv.Itoa(want) {
						t.Errorf("%q, want %d", text, want)
					}
					_ = resp.Close()
				} else if k := cgi.AsError(err).Kind; k != cgi.ClientGone {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if !soon(func() bool { return tr.Status().Endpoints[0].Busy == 0 }) {
		t.Errorf("%+v", tr.Status())
	}
}

// Unused connections are closed after their time, but for MinIdle of them, and the
// one used last is used first.
func TestIdle(t *testing.T) {
	var closed, began atomic.Int64
	a := application(t, func(p *peer) {
		answering(func(p *peer, a *asked) string {
			began.Add(1)
			soon(func() bool { return began.Load()%3 == 0 || began.Load() > 6 }) // three at once
			return page("")
		})(p)
		closed.Add(1)
	})
	three := func(timeout time.Duration) *fastcgi.Transport {
		tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Connections, tr.IdleTimeout, tr.MinIdle = 3, timeout, 1 }, a.address)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { wantPage(t, tr, ask("GET", ""), "") })
		}
		all.Wait()
		return tr
	}
	tr := three(time.Minute)
	if n := tr.Status().Endpoints[0].Idle; n != 3 {
		t.Fatalf("%d idle connections, want 3", n)
	}
	_ = tr.Close()
	if !soon(func() bool { return closed.Load() == 3 }) {
		t.Fatalf("%d connections closed", closed.Load())
	}
	closed.Store(0)
	tr = three(100 * time.Millisecond)
	if !soon(func() bool { return closed.Load() == 2 }) {
		t.Fatalf("%d connections closed", closed.Load())
	}
	time.Sleep(250 * time.Millisecond)
	if ep := tr.Status().Endpoints[0]; ep.Idle != 1 || closed.Load() != 2 {
		t.Errorf("%d kept, %d closed, want 1 and 2", ep.Idle, closed.Load())
	}
	wantPage(t, tr, ask("GET", ""), "")
	if n := a.accepts.Load(); n != 6 {
		t.Errorf("%d connections made, want 3 each time", n)
	}
}

// Close refuses those who wait and those who come.
func TestClose(t *testing.T) {
	g := gated(t)
	tr, _ := transport(t, nil, g.app.address)
	held := g.hold(t, tr)
	waiting := make(chan error, 1)
	go func() { _, _, err := answer(t, tr, numbered(1)); waiting <- err }()
	if !soon(func() bool { return tr.Status().Waiting == 1 }) {
		t.Fatal("not in the queue")
	}
	_ = tr.Close()
	wantError(t, <-waiting, cgi.Busy, "shutting down")
	_, _, err := answer(t, tr, numbered(2))
	wantError(t, err, cgi.Busy, "shutting down")
	g.free() // what is under way is answered
	if err := <-held; err != nil {
		t.Error(err)
	}
	if ep := tr.Status().Endpoints[0]; ep.Busy != 0 || ep.Idle != 0 {
		t.Errorf("%+v", ep)
	}
}

// worker is a connection with what a worker's has.
type worker struct {
	net.Conn
	log  func(string)
	left *atomic.Int64
}

func (w *worker) Done() bool { w.log("done"); return w.left.Add(-1) > 0 }
func (w *worker) Release() error {
	w.log("release")
	return w.Conn.Close()
}
func (w *worker) Close() error {
	w.log("close")
	return w.Conn.Close()
}
func (w *worker) Pid() int                 { return 4711 }
func (w *worker) End(time.Duration) string { return "killed by signal 9 (killed)" }

// tooMany is how a Dial says that it has no worker at the moment.
type tooMany struct{}

func (tooMany) Error() string             { return "the last worker ended at once: exit status 3" }
func (tooMany) RetryAfter() time.Duration { return 7 * time.Second }

// What a Transport does with the connections of a Dial.
func TestDial(t *testing.T) {
	const head = "Content-Type: text/plain\n\n"
	for _, c := range []struct {
		name     string
		bytes    string
		requests int
		change   func(*fastcgi.Transport)
		want     string // what was called on the connections
		err      string
	}{
		{"kept", page("x"), 2, nil, "dial done done", ""},
		{"not again", page("x"), 4, nil, "dial done done done close dial done", ""},
		{"kept for one request", page("x"), 2, func(tr *fastcgi.Transport) { tr.NoKeepAlive = true }, "dial done release dial done release", ""},
		{"dies", stdout(head)[:10], 1, nil, "dial close", "it was killed by signal 9 (killed)"},
		{"dies after the header, not kept (A98)", stdout(head), 1, func(tr *fastcgi.Transport) { tr.NoKeepAlive = true }, "dial close", "it was killed by signal 9 (killed)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			serve := stay(c.bytes)
			if c.err != "" {
				serve = once(c.bytes)
			}
			a := application(t, serve)
			var mu sync.Mutex
			var calls []string
			log := func(s string) { mu.Lock(); calls = append(calls, s); mu.Unlock() }
			tr, _ := transport(t, func(tr *fastcgi.Transport) {
				tr.Dial = func(ctx context.Context) (net.Conn, error) {
					log("dial")
					conn, err := net.Dial("unix", strings.TrimPrefix(a.address, "unix:"))
					w := &worker{conn, log, new(atomic.Int64)}
					w.left.Store(3)
					return w, err
				}
				if c.change != nil {
					c.change(tr)
				}
			})
			for range c.requests {
				req := ask("POST", "x")
				_, _, err := answer(t, tr, req)
				if req.Account.Pid != 4711 {
					t.Errorf("pid %d", req.Account.Pid)
				}
				if c.err != "" {
					if err == nil {
						t.Error("no error")
					}
					wantError(t, req.Account.Failure, cgi.Truncated, c.err)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(calls, " "); got != c.want {
				t.Errorf("calls %q, want %q", got, c.want)
			}
		})
	}
	t.Run("no worker", func(t *testing.T) {
		tr, _ := transport(t, func(tr *fastcgi.Transport) {
			tr.Dial = func(context.Context) (net.Conn, error) { return nil, tooMany{} }
		})
		_, _, err := answer(t, tr, ask("GET", ""))
		e := wantError(t, err, cgi.Busy, "exit status 3")
		if e.RetryAfter != 7*time.Second || e.StatusCode() != 503 {
			t.Errorf("retry after %v, status %d", e.RetryAfter, e.StatusCode())
		}
	})
	t.Run("killed before a word, again with another", func(t *testing.T) {
		a := application(t, func(p *peer) {
			if p.next(); p.n > 1 {
				p.say(page("second"))
			}
		})
		tr, _ := transport(t, func(tr *fastcgi.Transport) {
			tr.Dial = func(context.Context) (net.Conn, error) {
				conn, err := net.Dial("unix", strings.TrimPrefix(a.address, "unix:"))
				left := new(atomic.Int64)
				left.Store(9)
				return &worker{conn, func(string) {}, left}, err
			}
		})
		wantPage(t, tr, ask("GET", ""), "second")
	})
}

// What a Transport cannot work with.
func TestInvalid(t *testing.T) {
	for _, c := range []struct {
		name string
		tr   *fastcgi.Transport
		want string
	}{
		{"nothing", &fastcgi.Transport{}, "either Addresses or Dial"},
		{"bad address", &fastcgi.Transport{Addresses: []string{"localhost"}}, `bad address "localhost"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.tr.Start(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			_, err := c.tr.Respond(context.Background(), ask("GET", ""))
			wantError(t, err, cgi.Internal, c.want)
			_ = c.tr.Close()
		})
	}
	var none *cgi.Error
	if err := (&fastcgi.Transport{Addresses: []string{"unix:/x"}}).Start(); err != nil || errors.As(err, &none) {
		t.Errorf("%v", err)
	}
}

// After Renew no request is sent on a connection that was there before, whether it was
// in use or not; what runs and what waits is answered.
func TestRenew(t *testing.T) {
	g := gated(t)
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Connections = 2 }, g.app.address)
	held := g.hold(t, tr)
	wantPage(t, tr, numbered(1), "1")
	if s := tr.Status().Endpoints[0]; s.Idle != 1 || g.app.accepts.Load() != 2 {
		t.Fatalf("%d connections, %d unused", g.app.accepts.Load(), s.Idle)
	}
	tr.Renew()
	if s := tr.Status().Endpoints[0]; s.Idle != 0 || s.Busy != 1 {
		t.Errorf("%d connections are unused, %d busy, want none and one", s.Idle, s.Busy)
	}
	wantPage(t, tr, numbered(2), "2")
	if n := g.app.accepts.Load(); n != 3 {
		t.Errorf("%d connections after it, want a third", n)
	}
	g.free()
	if err := <-held; err != nil {
		t.Error(err)
	}
	if s := tr.Status().Endpoints[0]; s.Idle != 1 {
		t.Errorf("%d connections are unused, want the new one", s.Idle)
	}
}
