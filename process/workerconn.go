package process

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// workerConn is a connection that holds a place of a worker.
type workerConn struct {
	net.Conn
	wk   *worker
	over atomic.Bool // the place has been given back
}

// Done says that an exchange has ended well. It reports whether another may
// follow; if not, the connection is to be closed: the worker is being replaced.
func (c *workerConn) Done() (again bool) {
	return c.wk.w.served(c.wk)
}

// Release closes the connection and keeps the worker behind it, for the next Dial.
func (c *workerConn) Release() error {
	if c.over.Swap(true) {
		return nil
	}
	err := c.Conn.Close()
	c.wk.w.putBack(c.wk)
	return err
}

// Close closes the connection and has the worker behind it end, once no other
// connection to it is in use. After Release it does nothing.
func (c *workerConn) Close() error {
	if c.over.Swap(true) {
		return nil
	}
	dying := atEnd(c.Conn)
	err := c.Conn.Close()
	c.wk.w.abandon(c.wk, dying)
	return err
}

// SyscallConn implements syscall.Conn: a pool looks whether the worker has closed an
// unused connection.
func (c *workerConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Pid is that of the worker.
func (c *workerConn) Pid() int { return c.wk.p.Pid }

// Stderr keeps the end of what the worker has written to its standard error, for this
// request and those before it.
func (c *workerConn) Stderr() *Stderr { return &c.wk.errs }

// End waits for the end of the worker, at most d, or 5 s more where that has begun, and
// tells how it came about, as Exit.String does; "" while the worker lives.
func (c *workerConn) End(d time.Duration) string {
	if !awaitEnd(c.wk.p, d, nil) {
		return ""
	}
	e, _ := c.wk.p.Exit()
	return e.String()
}

// atEnd reports whether the other side has closed the connection.
func atEnd(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = n == 0 && err == nil || err == unix.ECONNRESET
	})
	return ended
}
