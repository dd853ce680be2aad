package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// serverRequest is one request on a connection.
type serverRequest struct {
	c    *serverConn
	id   uint16
	keep bool // the connection is to be kept after it
	role Role

	// Of the connection's reader.
	vars    []byte    // PARAMS so far; what they became counts as memory until the request ends
	charged int64     // of the server's memory for them
	dropped bool      // it ended before it ran
	due     time.Time // when more of it must have come; zero when all did. Under c.mu where others look
	running bool      // from the end of PARAMS on
	last    bool      // STDIN is complete. Under c.mu where others look
	lost    bool      // what comes of STDIN is discarded

	stdin  stdin
	out    serverOutput
	ctx    context.Context
	cancel context.CancelCauseFunc

	aborted    atomic.Bool // by the front: nobody waits for output
	overloaded atomic.Bool // it ends with that
}

// maxPairs bounds the variables of one request.
const maxPairs = 1024

// begin takes a BEGIN_REQUEST record.
func (c *serverConn) begin(h Header) error {
	if h.ContentLength != 8 {
		return &ProtocolError{fmt.Sprintf("BEGIN_REQUEST record with %d bytes instead of 8", h.ContentLength)} // B60
	}
	var body [8]byte
	for n := 0; n < len(body); {
		k, err := c.content(body[n:])
		if err != nil {
			return err
		}
		n += k
	}
	role, keep, err := ParseBeginRequest(body[:])
	if err != nil {
		return err
	}
	if c.over() {
		return nil // the connection is about to end
	}
	if c.find(h.ID) != nil {
		return &ProtocolError{fmt.Sprintf("BEGIN_REQUEST record for request %d, which is active", h.ID)} // B60
	}
	q := &serverRequest{c: c, id: h.ID, keep: keep, role: role, due: time.Now().Add(c.srv.readTimeout())}
	status, err := c.admit(q)
	if err != nil {
		return err
	}
	if status != StatusRequestComplete {
		return c.refuse(q, 0, status, nil)
	}
	c.armBy(q.due)
	return nil
}

// admit enters q among the active requests; if it is not to be served, status says so.
func (c *serverConn) admit(q *serverRequest) (status ProtocolStatus, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return 0, io.EOF
	}
	total := c.srv.requests.Add(1)
	c.busy++ // until its END_REQUEST is written, whatever that says
	c.active = append(c.active, q)
	c.shared = c.shared || c.busy > 1
	late := c.srv.draining.Load() && !c.fresh
	c.fresh = false
	switch {
	case c.busy > 2*c.srv.maxRequests():
		return 0, &ProtocolError{fmt.Sprintf("%d requests at once, and the refusals are not read", c.busy)}
	case q.role != RoleResponder && q.role != RoleAuthorizer:
		return StatusUnknownRole, nil
	case late, len(c.active) > c.srv.maxRequests(), total > int64(c.srv.maxReqs()):
		return StatusOverloaded, nil
	}
	return StatusRequestComplete, nil
}

// aborted takes an ABORT_REQUEST record (section 5.4, B67).
func (c *serverConn) aborted(q *serverRequest) error {
	q.aborted.Store(true)
	if !q.running {
		return c.refuse(q, 1, StatusRequestComplete, nil)
	}
	c.abort(q, context.Canceled)
	return nil
}

// abort ends the work for q.
func (c *serverConn) abort(q *serverRequest, why error) {
	if q.cancel != nil {
		q.cancel(why)
		q.stdin.fail(why)
		return
	}
	c.drop(q) // only the reader knows it
	c.ended(q)
}

// refuse ends a request that does not run. page, if any, is its STDOUT.
func (c *serverConn) refuse(q *serverRequest, appStatus uint32, status ProtocolStatus, page []byte) error {
	c.drop(q)
	b := AppendStream(nil, TypeStdout, q.id, page)
	b = AppendStreamEnd(b, TypeStdout, q.id) // B69
	return c.out.controlEnd(q, AppendEndRequest(b, q.id, appStatus, status))
}

// drop removes q from the active requests, and frees its variables.
func (c *serverConn) drop(q *serverRequest) {
	c.uncharge(q)
	q.vars, q.dropped = nil, true
	c.mu.Lock()
	c.active = slices.DeleteFunc(c.active, func(o *serverRequest) bool { return o == q })
	c.unread = true
	c.mu.Unlock()
}

// params takes a PARAMS record.
func (c *serverConn) params(q *serverRequest, h Header) error {
	c.touch(q)
	if q.running {
		return nil
	}
	if h.ContentLength == 0 {
		return c.run(q)
	}
	if h.ContentLength > c.srv.maxParams()-len(q.vars) { // B71
		return c.refuse(q, 1, StatusOverloaded, refusalPage(431, "the request's variables are too long"))
	}
	if !c.grow(q, h.ContentLength) {
		return c.refuse(q, 1, StatusOverloaded, nil)
	}
	for left := h.ContentLength; left > 0; {
		p := q.vars[len(q.vars) : len(q.vars)+left]
		n, err := c.content(p)
		if err != nil || q.dropped { // meanwhile, because it took too long
			return err
		}
		q.vars = q.vars[:len(q.vars)+n]
		left -= n
	}
	return nil
}

// grow makes room for n more bytes of variables, within the server's memory.
func (c *serverConn) grow(q *serverRequest, n int) bool {
	if n <= cap(q.vars)-len(q.vars) {
		return true
	}
	old := cap(q.vars)
	size := max(len(q.vars)+n, min(2*old, c.srv.maxParams()))
	if c.srv.full(int64(size - old)) {
		c.srv.memory.Add(int64(old - size))
		return false
	}
	q.charged += int64(size - old)
	bigger := make([]byte, len(q.vars), size)
	copy(bigger, q.vars)
	q.vars = bigger
	return true
}

func (c *serverConn) uncharge(q *serverRequest) {
	c.srv.memory.Add(-q.charged)
	q.charged = 0
}

// touch notes that something came for q.
func (c *serverConn) touch(q *serverRequest) {
	if q.last {
		return
	}
	due := time.Now().Add(c.srv.readTimeout())
	c.mu.Lock()
	q.due = due
	c.mu.Unlock()
	c.armBy(due)
}

// untouch means that nothing need come for q at present; settled, that all has come.
func (c *serverConn) untouch(q *serverRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q.due = time.Time{}
}

func (c *serverConn) settled(q *serverRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q.due = time.Time{}
	q.last = true
}

func refusalPage(status int, why string) []byte {
	text := map[int]string{400: "Bad Request", 431: "Request Header Fields Too Large"}[status]
	return fmt.Appendf(nil, "Status: %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\n", status, text, why)
}

// run starts q, all of whose variables have come.
func (c *serverConn) run(q *serverRequest) error {
	vars, err := ParsePairs(q.vars, maxPairs)
	if err != nil { // of this request; the records are in order (B08, B09)
		c.srv.log().Warn("fastcgi: request refused", "peer", c.peerName(), "id", q.id, "err", err)
		return c.refuse(q, 1, StatusRequestComplete, refusalPage(400, "the request's variables are malformed"))
	}
	q.vars = nil
	q.running = true
	q.stdin.srv, q.stdin.room = c.srv, c.wakeReader
	q.stdin.more.L = &q.stdin.mu
	q.out.q = q
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	var body io.Reader = &q.stdin
	if q.role == RoleAuthorizer { // no STDIN belongs to it, not even its end (section 6.3)
		if !slices.ContainsFunc(vars, func(v string) bool { return strings.HasPrefix(v, "FCGI_ROLE=") }) {
			vars = append(vars, "FCGI_ROLE="+q.role.String()) // B42
		}
		vars = slices.DeleteFunc(vars, func(v string) bool { return strings.HasPrefix(v, "CONTENT_LENGTH=") })
	}
	if h, ok := c.r.peek(); q.role == RoleAuthorizer || ok && h.Type == TypeStdin && h.ID == q.id && h.ContentLength == 0 {
		body = nil // as almost always, the end of STDIN came with the variables
		q.stdin.finish()
		c.settled(q)
	}
	go q.serve(vars, body) // ends when the gateway returns, which ctx makes it do
	return nil
}

// serve answers the request.
func (q *serverRequest) serve(vars []string, body io.Reader) {
	whole := false
	defer func() {
		if v := recover(); v != nil {
			q.c.srv.log().Error("fastcgi: panic", "err", v, "stack", string(debug.Stack()))
			whole = false
		}
		q.end(whole)
	}()
	in := &cgi.Incoming{
		Vars: vars, Peer: environ.Peer{Remote: q.c.conn.RemoteAddr(), Local: q.c.conn.LocalAddr()},
		Out: &q.out, Flush: q.out.flush, Errors: errorStream{&q.out},
	}
	if body != nil {
		in.Body = body
	}
	if q.c.srv.Stderr {
		in.Stderr = in.Errors
	}
	_, whole = q.c.srv.Gateway.Serve(q.ctx, in)
}

// end sends what ends the request. A response that was cut short must not look whole: if the
// connection carries nothing else it ends without END_REQUEST; else STDOUT has no end,
// and appStatus is not zero. nginx, Apache, lighttpd and HAProxy cut their client's
// response in the first case, HAProxy does as well in the second.
func (q *serverRequest) end(whole bool) {
	c := q.c
	q.stdin.release()
	q.cancel(nil)
	c.uncharge(q)
	c.mu.Lock()
	c.active = slices.DeleteFunc(c.active, func(o *serverRequest) bool { return o == q })
	c.unread = c.unread || !q.last
	cut := !whole && !q.aborted.Load() && !q.overloaded.Load()
	c.cut = c.cut || cut && c.busy == 1 // no other request begins from here on
	alone := c.cut
	c.mu.Unlock()
	switch {
	case cut && alone:
		q.out.spoil()
		q.keep = false
	case cut:
		q.out.cut()
		q.out.end(false, 1, StatusRequestComplete)
	case q.overloaded.Load():
		q.out.end(false, 1, StatusOverloaded)
	case q.aborted.Load():
		q.out.end(false, 1, StatusRequestComplete)
	default:
		q.out.end(true, 0, StatusRequestComplete)
	}
	c.ended(q)
}

// ended is called when q's END_REQUEST is written: its place is free, and the
// connection ends if the front does not want it kept.
func (c *serverConn) ended(q *serverRequest) {
	c.srv.requests.Add(-1)
	c.mu.Lock()
	c.busy--
	c.idleSince = time.Now()
	over := !q.keep || c.srv.draining.Load()
	hangUp := over && c.busy == 0 && !c.gone && !c.ending
	if hangUp {
		c.ending = true
	}
	c.mu.Unlock()
	if hangUp {
		c.hangUp()
	}
}

// hangUp ends the connection from our side. What the front still sends is discarded
// for a while (B68).
func (c *serverConn) hangUp() {
	c.mu.Lock()
	unread := c.unread
	c.mu.Unlock()
	if !unread {
		_ = c.conn.Close() // the reader ends by that
		return
	}
	if half, ok := c.conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		_ = c.conn.Close()
		return
	}
	c.wakeReader()
}

var errOverflow = errors.New("fastcgi: too much of STDIN is not read")

// stdin takes a STDIN record.
func (c *serverConn) stdin(q *serverRequest, h Header) error {
	c.touch(q)
	if !q.running || q.last {
		return nil // before the end of PARAMS, or behind its own: not allowed, and of no use
	}
	if h.ContentLength == 0 {
		q.stdin.finish()
		c.settled(q)
		return nil
	}
	for left := h.ContentLength; left > 0 && !q.lost; {
		p, over := q.stdin.space()
		switch {
		case over:
			c.overload(q)
		case p == nil:
			n, err := c.overflow(q, left)
			if err != nil {
				return err
			}
			left -= n
		default:
			n, err := c.content(p[:min(len(p), left)])
			q.stdin.commit(n)
			if err != nil {
				return err
			}
			left -= n
		}
	}
	return nil
}

// overflow is called when q's memory for STDIN is full. It waits for room, or writes some of
// the record, of which left bytes have not been read, to q's file: how much, it returns.
func (c *serverConn) overflow(q *serverRequest, left int) (int, error) {
	if q.stdin.ended() {
		q.lost = true
		return 0, nil
	}
	if c.alone() && !c.shared && !q.stdin.blocksOutput() {
		room, err := c.pause(q, pauseLimit)
		c.shared = c.shared || !room // who knows; and on TCP its closing may be behind what is unread
		c.touch(q)
		return 0, err
	}
	block := stdinBlocks.Get().(*[stdinBlock]byte)
	defer stdinBlocks.Put(block)
	n := min(left, stdinBlock)
	if !q.stdin.fits(n) {
		if !c.alone() {
			c.overload(q)
			return 0, nil
		}
		q.stdin.stall()
		_, err := c.pause(q, 0)
		c.touch(q)
		return 0, err
	}
	n, err := c.content(block[:n])
	if err != nil {
		return 0, err
	}
	if err := q.stdin.spool(block[:n]); err != nil {
		c.srv.log().Error("fastcgi: cannot keep a request's body", "err", err)
		c.overload(q)
	}
	return n, nil
}

// overload gives q up, because it does not read while others want to.
func (c *serverConn) overload(q *serverRequest) {
	q.lost = true
	q.overloaded.Store(true)
	c.srv.log().Warn("fastcgi: request refused", "peer", c.peerName(), "id", q.id, "err", errOverflow)
	c.abort(q, errOverflow)
}
