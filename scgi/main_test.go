package scgi_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/scgi"
)

// patience bounds every wait for what must happen; no test measures it.
const patience = 20 * time.Second

// TestMain runs the tests, and after them checks that no goroutine and no descriptor
// is left.
func TestMain(m *testing.M) {
	ignore := goleak.IgnoreCurrent()
	before := descriptors()
	code := m.Run()
	if !eventually(func() bool { return goleak.Find(ignore) == nil }) {
		fmt.Fprintln(os.Stderr, goleak.Find(ignore))
		code = 1
	}
	const ours = 2 // the runtime's epoll and its eventfd, opened by the first use
	if !eventually(func() bool { return descriptors() <= before+ours }) {
		fmt.Fprintln(os.Stderr, "descriptors:", descriptors(), "before:", before)
		code = 1
	}
	os.Exit(code)
}

func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// eventually reports whether the condition comes true in time.
func eventually(cond func() bool) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return cond()
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// listen returns a listener on a Unix socket or on 127.0.0.1, closed at the test's end.
func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// pipes is a listener that hands out connections in memory: with them the clock of a
// bubble (testing/synctest) goes on while the server waits.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listenPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.conns:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial returns a connection that was accepted, closed at the test's end.
func (p *pipes) dial(t testing.TB) net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	_ = ours.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = ours.Close() })
	return ours
}

// addressOf is where a Transport finds ln.
func addressOf(ln net.Listener) string {
	if ln.Addr().Network() == "unix" {
		return "unix:" + ln.Addr().String()
	}
	return ln.Addr().String()
}

// serving serves r on ln until the test ends, after change was made to the server.
func serving(t testing.TB, ln net.Listener, r cgi.Responder, change func(*scgi.Server)) (*scgi.Server, *logged) {
	t.Helper()
	log := new(logged)
	s := &scgi.Server{Gateway: &cgi.Gateway{Responder: r, Server: &environ.Server{TrustUnix: true}, Log: log.logger()}, Log: log.logger()}
	if change != nil {
		change(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != scgi.ErrServerClosed {
			t.Errorf("Serve returned %v, want %v", err, scgi.ErrServerClosed)
		}
	})
	return s, log
}

// dial connects to ln; the connection has a deadline and is closed at the test's end.
func dial(t testing.TB, ln net.Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

// exchange sends raw and returns what comes back until the end.
func exchange(t testing.TB, ln net.Listener, raw string) (string, error) {
	t.Helper()
	nc := dial(t, ln)
	if _, err := io.WriteString(nc, raw); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(nc)
	return string(answer), err
}

// within fails the test when done is not closed in time.
func within(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}
