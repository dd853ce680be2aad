package scgi_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
	"gatehouse/scgi"
)

// A97: one address that refuses is 502, several are 503; one of several is gone round,
// and then left alone.
func TestTransportEndpoints(t *testing.T) {
	synctest.Test(t, testTransportEndpoints) // no time passes while somebody listens on a real socket
}

func testTransportEndpoints(t *testing.T) {
	dead1, dead2, live := bound(t), listen(t, "unix"), listen(t, "tcp")
	_ = dead2.Close()
	application(t, live, prints("Content-Type: a/b\n\nok"))
	tr := &scgi.Transport{Addresses: []string{dead1}, Log: new(logged).logger()}
	_, _, err := answer(tr, request("GET", ""))
	if e := isError(t, "one", err, cgi.StartFailed, "cannot connect", "refused"); e.StatusCode() != 502 {
		t.Errorf("one: status %d, want 502", e.StatusCode())
	}
	tr = &scgi.Transport{Addresses: []string{dead1, addressOf(dead2)}, Log: new(logged).logger()}
	_, _, err = answer(tr, request("GET", ""))
	isError(t, "two", err, cgi.Busy, "cannot connect to any", "refused", "no such file")

	log := new(logged)
	tr = &scgi.Transport{Addresses: []string{dead1, addressOf(live)}, Log: log.logger()}
	for range 5 {
		if _, got, err := answer(tr, request("POST", "hello")); got != "ok" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if n := strings.Count(log.String(), "cannot connect"); n != 1 {
		t.Errorf("the dead address was tried %d times, want once: %s", n, log)
	}
	_, err = new(scgi.Transport).Respond(context.Background(), request("GET", ""))
	isError(t, "none", err, cgi.Internal, "no address")
}

// bound returns an address of TCP at which nobody listens, and nobody can meanwhile.
func bound(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(at.(*syscall.SockaddrInet4).Port)
}

// The endpoint with the fewest requests is asked.
func TestTransportLeastBusy(t *testing.T) {
	a, b := listen(t, "tcp"), listen(t, "tcp")
	release := make(chan struct{})
	var askedA, askedB atomic.Int32
	application(t, a, func(nc net.Conn) { askedA.Add(1); <-release; prints("Content-Type: a/b\n\n")(nc) })
	application(t, b, func(nc net.Conn) { askedB.Add(1); prints("Content-Type: a/b\n\n")(nc) })
	tr, _ := transport(a)
	tr.Addresses = append(tr.Addresses, addressOf(b))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = answer(tr, request("GET", ""))
	}()
	if !eventually(func() bool { return askedA.Load() == 1 }) {
		t.Fatal("the first address was not asked first")
	}
	for range 3 {
		if _, _, err := answer(tr, request("GET", "")); err != nil {
			t.Error(err)
		}
	}
	close(release)
	<-done
	if askedA.Load() != 1 || askedB.Load() != 3 {
		t.Errorf("asked %d and %d times, want 1 and 3", askedA.Load(), askedB.Load())
	}
}

// Connections are bounded, and so are those who wait.
func TestTransportQueue(t *testing.T) {
	ln := listen(t, "unix")
	release := make(chan struct{})
	application(t, ln, func(nc net.Conn) { <-release; prints("Content-Type: a/b\n\nok")(nc) })
	tr, _ := transport(ln)
	tr.Connections, tr.Queue, tr.QueueTimeout = 1, 1, time.Minute
	results := make(chan error, 3)
	for range 3 {
		go func() {
			_, _, err := answer(tr, request("GET", ""))
			results <- err
		}()
	}
	isError(t, "third", <-results, cgi.Busy, "all 1 connections are in use and 1 requests wait")
	close(release)
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestTransportQueueTimeout(t *testing.T) {
	ln := listen(t, "unix")
	application(t, ln, prints("Content-Type: a/b\n\nok"))
	tr, _ := transport(ln)
	tr.Connections, tr.QueueTimeout = 1, 20*time.Millisecond
	first, err := tr.Respond(context.Background(), request("GET", ""))
	if err != nil {
		t.Fatal(err)
	}
	req := request("GET", "")
	_, err = tr.Respond(context.Background(), req)
	isError(t, "waiting", err, cgi.Busy, "no connection became free within 20ms")
	if req.Account.Queued < 20*time.Millisecond {
		t.Errorf("Queued %v", req.Account.Queued)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tr.QueueTimeout = time.Minute
	_, err = tr.Respond(ctx, request("GET", ""))
	isError(t, "gone while waiting", err, cgi.ClientGone)
	_ = first.Close()
	if _, got, err := answer(tr, request("GET", "")); got != "ok" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// worker is a connection as process.Workers gives it.
type worker struct {
	net.Conn
	answered               chan struct{} // closed when the application has said everything
	again                  bool
	done, released, closed atomic.Int32
	how                    string
}

func (w *worker) Read(p []byte) (int, error) { <-w.answered; return w.Conn.Read(p) }

func (w *worker) Done() bool               { w.done.Add(1); return w.again }
func (w *worker) Release() error           { w.released.Add(1); return w.Conn.Close() }
func (w *worker) Close() error             { w.closed.Add(1); return w.Conn.Close() }
func (w *worker) Pid() int                 { return 4711 }
func (w *worker) End(time.Duration) string { return w.how }

// The worker is kept after a good exchange, and retired after any other.
func TestTransportWorkers(t *testing.T) {
	for _, test := range []struct {
		name, printed string
		again         bool
		released      bool
		word          string
	}{
		{"good", "Content-Type: a/b\n\nok", true, true, ""},
		{"good, with length", "Content-Type: a/b\nContent-Length: 2\n\nok", true, true, ""},
		{"good, its last", "Content-Type: a/b\n\nok", false, false, ""},
		{"dead", "", true, false, "without an answer; it was killed by signal 9 (killed)"},
		{"cut short", "Content-Type: a/b\nContent-Length: 9\n\nok", true, false, "bytes before"},
	} {
		ln := listen(t, "unix")
		answered := make(chan struct{})
		application(t, ln, func(nc net.Conn) {
			prints(test.printed)(nc)
			_ = nc.Close()
			close(answered)
		})
		var w *worker
		tr := &scgi.Transport{Name: "app", Log: new(logged).logger(), Dial: func(context.Context) (net.Conn, error) {
			nc, err := net.Dial("unix", ln.Addr().String())
			w = &worker{Conn: nc, answered: answered, again: test.again, how: "killed by signal 9 (killed)"}
			return w, err
		}}
		req := request("GET", "")
		_, _, err := answer(tr, req)
		if test.word != "" {
			isError(t, test.name, err, cgi.AsError(err).Kind, test.word)
		} else if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		released, closed := w.released.Load() == 1, w.closed.Load() == 1
		if released != test.released || closed == released || req.Account.Pid != 4711 {
			t.Errorf("%s: released %d, closed %d times, pid %d", test.name, w.released.Load(), w.closed.Load(), req.Account.Pid)
		}
	}
}

// later is the error of a Dial that knows when to come again.
type later struct{ error }

func (later) RetryAfter() time.Duration { return 7 * time.Second }

func TestTransportRetryAfter(t *testing.T) {
	tr := &scgi.Transport{Name: "app", Log: new(logged).logger(), Dial: func(context.Context) (net.Conn, error) {
		return nil, later{errors.New("workers crash")}
	}}
	_, err := tr.Respond(context.Background(), request("GET", ""))
	if e := isError(t, "back-off", err, cgi.Busy, "workers crash"); e.RetryAfter != 7*time.Second {
		t.Errorf("RetryAfter %v", e.RetryAfter)
	}
}
