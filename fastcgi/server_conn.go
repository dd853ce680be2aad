package fastcgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serverConn is one connection from a web server. One goroutine, serve, reads all of
// it and waits for no request; each request has one of its own, from the end of its
// variables on.
type serverConn struct {
	srv  *Server
	conn net.Conn
	raw  syscall.RawConn // nil where conn has none
	r    *Reader

	// Of the reader.
	armed     time.Time // the deadline for reading
	shared    bool      // the front multiplexes, or may
	lingering int       // bytes that may still be discarded, once ending is set

	mu        sync.Mutex
	active    []*serverRequest // from BEGIN_REQUEST until END_REQUEST is about to be written
	busy      int              // those, and those whose END_REQUEST is not written yet
	fresh     bool             // no request has begun yet
	gone      bool             // the connection is of no more use
	unread    bool             // STDIN of a request that has ended may still come
	cut       bool             // the only request left gets no END_REQUEST: the connection is to end
	ending    bool             // nothing more is sent; what the front sends is discarded
	idleSince time.Time

	wake   sync.Mutex // held where a read deadline is set
	woken  bool       // the deadline was set by wakeReader
	signal chan struct{}

	out serverWriter
}

// Discarded of what a front still sends when its connection ends (B68): else a
// reset might destroy the response on its way.
const lingerBytes = 1 << 20

var lingerTime = 2 * time.Second // not a constant: tests are to have more than they need

// pauseLimit is how long a connection waits for an application that does not read.
const pauseLimit = time.Second

// aLongTimeAgo, as a deadline, ends a read that is under way.
var aLongTimeAgo = time.Unix(1, 0)

func newServerConn(s *Server, conn net.Conn) *serverConn {
	c := &serverConn{srv: s, conn: conn, fresh: true, idleSince: time.Now(), signal: make(chan struct{}, 1)}
	c.out.c = c
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.r = NewReader(c.source())
	return c
}

func (c *serverConn) source() io.Reader {
	if c.raw == nil {
		return c.conn
	}
	return (*rawSource)(c)
}

// serve reads the connection until it ends.
func (c *serverConn) serve() {
	defer c.close()
	c.arm(time.Now().Add(c.srv.idleTimeout()))
	for {
		c.r.Release()
		h, err := c.next()
		if err == nil {
			err = c.record(h)
		}
		if err != nil {
			c.report(err)
			return
		}
	}
}

// report logs what a front did wrong. That it closes the connection is not wrong.
func (c *serverConn) report(err error) {
	var pe *ProtocolError
	if errors.As(err, &pe) {
		c.srv.log().Warn("fastcgi: connection closed", "peer", c.peerName(), "err", err)
	}
}

func (c *serverConn) peerName() string {
	if a := c.conn.RemoteAddr(); a != nil && a.String() != "" {
		return a.String()
	}
	return "unix"
}

// close ends the connection with everything on it (B67).
func (c *serverConn) close() {
	c.mu.Lock()
	c.gone = true
	active := slices.Clone(c.active)
	c.mu.Unlock()
	_ = c.conn.Close()
	for _, q := range active {
		c.abort(q, errFrontClosed)
	}
	c.r.Release()
	c.srv.forget(c)
}

var errFrontClosed = errors.New("fastcgi: the web server in front has closed the connection")

// next and content read as the Reader's Next and Read do, and see to the deadlines.
func (c *serverConn) next() (Header, error) {
	for {
		h, err := c.r.Next()
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return h, err
		}
		if err := c.tick(); err != nil {
			return Header{}, err
		}
	}
}

func (c *serverConn) content(p []byte) (int, error) {
	for {
		n, err := c.r.Read(p)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if err := c.tick(); err != nil {
			return 0, err
		}
	}
}

// errTimeout ends a connection that was idle, or lingered, for too long.
var errTimeout = errors.New("fastcgi: time is over")

// tick is called when the deadline for reading has passed, or somebody called
// wakeReader: it fails what is overdue, and sets the next deadline.
func (c *serverConn) tick() error {
	c.wake.Lock()
	c.woken = false
	c.wake.Unlock()
	now := time.Now()
	c.mu.Lock()
	if c.ending {
		first := c.lingering == 0
		c.mu.Unlock()
		if !first {
			return errTimeout
		}
		c.lingering = lingerBytes
		c.arm(now.Add(lingerTime))
		return nil
	}
	next := now.Add(c.srv.idleTimeout())
	var overdue []*serverRequest
	for _, q := range c.active {
		switch {
		case q.due.IsZero():
		case !q.due.After(now):
			overdue = append(overdue, q)
		case q.due.Before(next):
			next = q.due
		}
	}
	if c.busy == 0 {
		limit := c.srv.idleTimeout()
		if c.srv.draining.Load() {
			limit = lateRequest
		}
		if idle := now.Sub(c.idleSince); idle >= limit {
			c.mu.Unlock()
			return errTimeout
		}
		next = c.idleSince.Add(limit)
	}
	c.mu.Unlock()
	for _, q := range overdue {
		if err := c.late(q); err != nil {
			return err
		}
	}
	c.arm(next)
	return nil
}

// late ends a request of which nothing more came for too long. One that runs fails as
// its body does.
func (c *serverConn) late(q *serverRequest) error {
	c.untouch(q)
	c.srv.log().Warn("fastcgi: request was not completed in time", "peer", c.peerName(), "id", q.id,
		"after", c.srv.readTimeout(), "running", q.running)
	if q.running {
		q.stdin.fail(fmt.Errorf("fastcgi: nothing came from the web server in front for %v: %w", c.srv.readTimeout(), os.ErrDeadlineExceeded))
		return nil
	}
	if c.alone() {
		return errTimeout
	}
	return c.refuse(q, 1, StatusRequestComplete, nil)
}

// arm sets the deadline for reading.
func (c *serverConn) arm(t time.Time) {
	c.wake.Lock()
	defer c.wake.Unlock()
	if c.armed = t; !c.woken {
		_ = c.conn.SetReadDeadline(t)
	}
}

// armBy sees to it that the deadline is not after t. It is rarely so: what is set to
// pass later is not set again for each record.
func (c *serverConn) armBy(t time.Time) {
	if c.armed.IsZero() || t.Before(c.armed) {
		c.arm(t)
	}
}

// wakeReader has the reader call tick, or look again whether there is room.
func (c *serverConn) wakeReader() {
	c.wake.Lock()
	defer c.wake.Unlock()
	c.woken = true
	_ = c.conn.SetReadDeadline(aLongTimeAgo)
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// idle reports whether no request is on the connection, and since when.
func (c *serverConn) idle() (since time.Time, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idleSince, c.busy == 0 && !c.gone
}

// closeIdle closes the connection if it is idle.
func (c *serverConn) closeIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy > 0 {
		return false
	}
	c.gone = true
	_ = c.conn.Close() // the reader ends by that
	return true
}

// drain is called once the server takes no more requests. One may be on its way
// on a connection that is new.
func (c *serverConn) drain() {
	if c.isFresh() {
		c.wakeReader()
	} else {
		c.closeIdle()
	}
}

// isFresh reports whether no request has come yet.
func (c *serverConn) isFresh() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fresh
}

// over reports whether no request is to begin any more.
func (c *serverConn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut || c.ending
}

// alone reports whether there is one request at most.
func (c *serverConn) alone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy <= 1
}

// find returns the active request of that id.
func (c *serverConn) find(id uint16) *serverRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.active {
		if q.id == id {
			return q
		}
	}
	return nil
}

// record takes one record. Those for requests that are not active are ignored (B64), as
// are those that only an application sends and those of unknown types (B62).
func (c *serverConn) record(h Header) error {
	if c.lingering > 0 {
		if c.lingering -= HeaderLen + h.ContentLength + h.PaddingLength; c.lingering <= 0 {
			return errTimeout
		}
		return nil
	}
	if h.ID == 0 {
		return c.management(h)
	}
	if h.ID > 1 {
		c.shared = true
	}
	if h.Type == TypeBeginRequest {
		return c.begin(h)
	}
	q := c.find(h.ID)
	if q == nil {
		return nil
	}
	switch h.Type {
	case TypeAbortRequest:
		return c.aborted(q)
	case TypeParams:
		return c.params(q, h)
	case TypeStdin:
		return c.stdin(q, h)
	}
	return nil
}

// management answers a management record (section 4, B61, B62).
func (c *serverConn) management(h Header) error {
	switch h.Type {
	case TypeGetValues:
	case TypeGetValuesResult, TypeUnknownType:
		return nil
	default:
		return c.out.control(AppendUnknownType(nil, h.Type))
	}
	c.shared = true
	asked := make([]byte, h.ContentLength)
	for n := 0; n < len(asked); {
		k, err := c.content(asked[n:])
		if err != nil {
			return err
		}
		n += k
	}
	var values [3]string
	var told []string
	for rest := asked; len(rest) > 0; {
		name, _, more, err := NextPair(rest)
		if err != nil {
			return &ProtocolError{"GET_VALUES: " + err.Error()}
		}
		rest = more
		switch string(name) { // each once: the answer is to fit a record
		case MaxConns:
			values[0] = MaxConns + "=" + strconv.Itoa(c.srv.maxConns())
		case MaxReqs:
			values[1] = MaxReqs + "=" + strconv.Itoa(c.srv.maxReqs())
		case MpxsConns:
			values[2] = MpxsConns + "=1"
		}
	}
	for _, v := range values {
		if v != "" {
			told = append(told, v)
		}
	}
	return c.out.control(AppendGetValuesResult(nil, told))
}

// rawSource is a connection that the Reader reads, with no buffer while it waits.
type rawSource serverConn

func (s *rawSource) Read(p []byte) (int, error) { return s.conn.Read(p) }

func (s *rawSource) readLate(r *Reader) error {
	var n int
	var rerr error
	err := s.raw.Read(func(fd uintptr) bool {
		r.buf = buffers.Get().(*[bufferSize]byte)
		for {
			if n, rerr = unix.Read(int(fd), r.buf[:]); rerr != unix.EINTR {
				break
			}
		}
		if rerr == unix.EAGAIN {
			r.Release()
			return false
		}
		return true
	})
	switch {
	case err != nil:
		return err
	case rerr != nil:
		return os.NewSyscallError("read", rerr)
	case n == 0:
		return io.EOF
	}
	r.r, r.w = 0, n
	return nil
}

// pause waits for room in q's memory, at most for limit; zero means no limit. It reports
// whether there may be room, and fails if the connection has ended, which is noticed
// though nothing is read from it.
func (c *serverConn) pause(q *serverRequest, limit time.Duration) (room bool, err error) {
	select {
	case <-c.signal:
	default:
	}
	c.untouch(q) // it is not the front that is slow
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	if !q.stdin.await(func() { c.arm(deadline) }) {
		return true, nil
	}
	if c.raw == nil {
		c.pauseBlind(limit)
	} else {
		closed := false
		err = c.raw.Read(func(fd uintptr) bool {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			n, err := unix.Poll(p, 0)
			closed = n > 0 && err == nil
			return closed
		})
		if closed {
			return false, io.EOF
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return false, err
		}
	}
	c.wake.Lock()
	room = c.woken
	c.wake.Unlock()
	return room, c.tick()
}

// pauseBlind is the waiting of pause where conn is no descriptor.
func (c *serverConn) pauseBlind(limit time.Duration) {
	var over <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-c.signal:
	case <-over:
	}
}
