package site

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reserve is a few descriptors that are held open for nothing. When no other is left one
// is given up, so that a connection can be accepted all the same, and taken back when that
// is closed: nobody is left in a listener's queue without an answer. Its methods may be
// called at the same time. Close it when done.
type Reserve struct {
	short atomic.Bool // there are fewer than there are to be

	mu     sync.Mutex
	size   int
	held   []int
	lent   int // to connections
	closed bool

	refusals sync.WaitGroup
}

// NewReserve takes n descriptors. What it cannot have now it takes later.
func NewReserve(n int) *Reserve {
	r := &Reserve{size: n}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fillLocked()
	return r
}

func (r *Reserve) fillLocked() {
	for !r.closed && len(r.held) < r.size-r.lent {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		r.held = append(r.held, fd)
	}
	r.short.Store(len(r.held) < r.size-r.lent)
}

// lend gives up a descriptor, or reports that there is none. back is to be called when
// what took its place is closed.
func (r *Reserve) lend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.held)
	if n == 0 {
		return false
	}
	_ = unix.Close(r.held[n-1])
	r.held = r.held[:n-1]
	r.lent++
	return true
}

func (r *Reserve) back() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lent--
	r.fillLocked()
}

// refill takes what was lost: a descriptor that is given up may become a program's before
// the connection's.
func (r *Reserve) refill() {
	if !r.short.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fillLocked()
}

// Close lets go of the descriptors, once the listeners are closed. Connections that have
// some go on; those that are being refused are waited for.
func (r *Reserve) Close() {
	r.refusals.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, fd := range r.held {
		_ = unix.Close(fd)
	}
	r.held = nil
	r.short.Store(false)
}

// Listener is ln, which accepts by the reserve when there is no other descriptor.
func (r *Reserve) Listener(ln net.Listener) net.Listener {
	return &reservedListener{Listener: ln, reserve: r, closed: make(chan struct{})}
}

// refusing is ln, whose connections are answered by refuse, and not handed out, while there
// is no descriptor but those of the reserve. refuse has to come to an end.
func (r *Reserve) refusing(ln net.Listener, refuse func(net.Conn), log *slog.Logger) net.Listener {
	return &reservedListener{Listener: ln, reserve: r, refuse: refuse, log: log, closed: make(chan struct{})}
}

type reservedListener struct {
	net.Listener
	reserve *Reserve
	refuse  func(net.Conn) // nil: its connections are handed out
	log     *slog.Logger
	refused int // since the log was told; it and told are Accept's alone
	told    time.Time

	once   sync.Once
	closed chan struct{}
}

// How long Accept pauses while no descriptor is left and nobody is there, or nothing of
// the reserve; and how often the log is told.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = 100 * time.Millisecond
	tellEvery    = 10 * time.Second
)

// Accept is called by one goroutine at a time. Without a descriptor accept4(2) fails at
// once, even where nobody is there to be accepted.
func (l *reservedListener) Accept() (net.Conn, error) {
	for pause := firstPause; ; {
		conn, err := l.Listener.Accept()
		if !usedUp(err) {
			l.reserve.refill()
			return conn, err
		}
		l.tell(err)
		switch conn := l.accept(); {
		case conn == nil:
		case l.refuse == nil:
			return &reservedConn{Conn: conn, back: sync.OnceFunc(l.reserve.back)}, nil
		default:
			l.refused++
			l.reserve.refusals.Go(func() { // refuse ends by itself
				defer l.reserve.back()
				defer conn.Close()
				l.refuse(conn)
			})
			pause = firstPause
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-l.closed:
			t.Stop()
		}
		pause = min(2*pause, longestPause)
	}
}

// usedUp reports whether err is for want of a descriptor, in this process or on the machine.
func usedUp(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// tell says what is the matter, and how many have been refused since it did so last.
func (l *reservedListener) tell(err error) {
	if l.log == nil || !l.told.IsZero() && time.Since(l.told) < tellEvery {
		return
	}
	l.told = time.Now()
	l.log.Error("no descriptor is left: new connections are refused until there is one (RLIMIT_NOFILE)",
		"listen", l.Addr().String(), "error", err, "refused", l.refused)
	l.refused = 0
}

// waiting reports whether a connection waits to be accepted.
func (l *reservedListener) waiting() bool {
	sc, ok := l.Listener.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	there := false
	_ = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		there = err == nil && n > 0
	})
	return there
}

// accept takes a connection that waits, in the place of a descriptor of the reserve, which
// is to be given back; nil when none waits, or another had the descriptor first.
func (l *reservedListener) accept() net.Conn {
	if !l.waiting() || !l.reserve.lend() {
		return nil
	}
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(time.Now().Add(firstPause))
		defer d.SetDeadline(time.Time{})
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		l.reserve.back()
		return nil
	}
	return conn
}

// Close takes no more connections.
func (l *reservedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// reservedConn has a descriptor of the reserve until it is closed.
type reservedConn struct {
	net.Conn
	back func()
}

func (c *reservedConn) Close() error {
	defer c.back()
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn, so that it can be asked who is at the other end.
func (c *reservedConn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
