package fastcgi

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"gatehouse/cgi"
)

// pool gives out places: one is the right to use one connection to one endpoint.
// Requests that find none wait in the order in which they came. Nothing of the pool
// runs beside the requests but two timers: one while requests wait, which looks every
// tick for those that have waited too long or have lost their client (cheaper than a
// timer and a watch for each), and one while connections are unused.
type pool struct {
	t *Transport

	mu          sync.Mutex
	endpoints   []*endpoint
	first, last *waiter
	waiting     int
	ticking     bool // the timer for the waiting is set
	expiring    bool // the one for unused connections
	closed      bool
	unresolved  error  // why there are no endpoints
	epoch       uint64 // how often Renew was called
}

const tick = 20 * time.Millisecond

// poolConn is a connection with what its pool knows of it. It is its user's alone,
// or the pool's.
type poolConn struct {
	net.Conn
	ep   *endpoint
	uses int       // exchanges begun on it
	born uint64    // the pool's epoch when it was asked for
	most int       // as many there may be; 0: no limit
	last bool      // the application was told not to keep it
	idle time.Time // since when it is unused

	deadline time.Time // the read deadline that is set

	// Abilities of a worker's connection; nil where it has none.
	done    func() bool
	release func() error
	end     func(time.Duration) string
	pid     int
	stderr  *cgi.LogLines // of the worker; nil where it is none of ours
}

// newPoolConn looks for the abilities of a connection (see Transport.Dial).
func (p *pool) newPoolConn(ep *endpoint, conn net.Conn, born uint64) *poolConn {
	c := &poolConn{Conn: conn, ep: ep, born: born}
	if w, ok := conn.(interface{ Done() bool }); ok {
		c.done = w.Done
	}
	if w, ok := conn.(interface{ Release() error }); ok {
		c.release = w.Release
	}
	if w, ok := conn.(interface{ End(time.Duration) string }); ok {
		c.end = w.End
	}
	if w, ok := conn.(interface{ Pid() int }); ok {
		c.pid = w.Pid()
		if s, ok := conn.(interface{ Stderr() *cgi.LogLines }); ok {
			c.stderr = s.Stderr()
		}
	}
	if n := p.t.MaxUses; n > 0 {
		c.most = max(1, n+int((rand.Float64()-0.5)*0.2*float64(n))) // else all would end at once
	}
	return c
}

// keep reports whether the application is to keep the connection open after the
// exchange that begins.
func (c *poolConn) keep(t *Transport) bool {
	return !t.NoKeepAlive && (c.most == 0 || c.uses+1 < c.most)
}

// closeWhole closes the connection after a complete exchange: a worker lives on.
func (c *poolConn) closeWhole() {
	if c.release != nil {
		_ = c.release()
		return
	}
	_ = c.Close()
}

// waiter is a request in the queue. Only the pool takes it out; then ready is told.
type waiter struct {
	x          *exchange
	avoid      *endpoint
	since      time.Time
	ready      chan struct{}
	prev, next *waiter

	ep  *endpoint
	c   *poolConn
	err error
}

var waiters = sync.Pool{New: func() any { return &waiter{ready: make(chan struct{}, 1)} }}

// acquire waits for a place for x, at any endpoint but avoid. c is nil where a
// connection must be made. On a connection that comes from another request's hands x
// may have been sent already; x.c says so.
func (p *pool) acquire(x *exchange, avoid *endpoint) (ep *endpoint, c *poolConn, err error) {
	now := time.Now()
	p.mu.Lock()
	switch {
	case p.closed:
		err = p.shuttingDown()
	case len(p.endpoints) == 0:
		err = &cgi.Error{Kind: cgi.Busy, RetryAfter: time.Second, Err: p.unresolved,
			Reason: "no address is known of " + p.t.name() + ": " + p.unresolved.Error()}
	case p.first == nil:
		if ep = p.choose(avoid, now); ep != nil {
			c = ep.take()
		}
	}
	if err != nil || ep != nil {
		p.mu.Unlock()
		return ep, c, err
	}
	if p.waiting >= p.t.queue() {
		n := p.waiting
		p.mu.Unlock()
		return nil, nil, p.t.busy("%d connections are in use and %d requests wait (connections, queue)", p.places(), n)
	}
	w := waiters.Get().(*waiter)
	w.x, w.avoid, w.since = x, avoid, now
	p.push(w)
	p.mu.Unlock()
	x.account.Progress.Now(cgi.Queued)
	<-w.ready
	ep, c, err = w.ep, w.c, w.err
	x.account.Queued += time.Since(w.since)
	*w = waiter{ready: w.ready}
	waiters.Put(w)
	return ep, c, err
}

func (p *pool) shuttingDown() error {
	return &cgi.Error{Kind: cgi.Busy, Reason: p.t.name() + " is shutting down", RetryAfter: time.Second}
}

// places is how many connections there may be in all.
func (p *pool) places() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.endpoints) * p.t.connections()
}

// push puts w at the end of the queue.
func (p *pool) push(w *waiter) {
	w.prev = p.last
	if p.last != nil {
		p.last.next = w
	} else {
		p.first = w
	}
	p.last = w
	p.waiting++
	if !p.ticking {
		p.ticking = true
		time.AfterFunc(tick, p.tick)
	}
}

// remove takes w out of the queue.
func (p *pool) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		p.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		p.last = w.prev
	}
	p.waiting--
}

// refuse takes w out of the queue and tells it why.
func (p *pool) refuse(w *waiter, err error) {
	p.remove(w)
	w.err = err
	w.ready <- struct{}{}
}

// tick looks after the queue while there is one.
func (p *pool) tick() {
	places := p.places()
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for w, next := p.first, (*waiter)(nil); w != nil; w = next {
		next = w.next
		switch limit := p.t.QueueTimeout; {
		case w.x.ctx.Err() != nil:
			p.refuse(w, goneError(w.x.ctx, "while it waited for a connection"))
		case limit > 0 && now.Sub(w.since) >= limit:
			p.refuse(w, p.t.busy("none of %d connections became free within %v (connections, queue_timeout)", places, limit))
		}
	}
	p.grant(now) // the time of an endpoint that was left alone may be over
	if p.ticking = p.first != nil; p.ticking {
		time.AfterFunc(tick, p.tick)
	}
}

// grant gives free places to those who wait.
func (p *pool) grant(now time.Time) {
	for p.first != nil {
		w := p.first
		ep := p.choose(w.avoid, now)
		if ep == nil {
			return
		}
		p.remove(w)
		w.ep, w.c = ep, ep.take()
		w.ready <- struct{}{}
	}
}

// put gives back a connection on which an exchange ended well, with its place. If a
// request waits, put sends it: the application goes to work at once, and does not wait
// until the request's goroutine has been woken.
func (p *pool) put(c *poolConn) {
	if c.done != nil && !c.done() {
		p.discard(c, false)
		return
	}
	p.mu.Lock()
	if p.closed || c.ep.removed || c.last || c.born != p.epoch {
		p.mu.Unlock()
		p.discard(c, true)
		return
	}
	c.ep.wellAgain()
	w := p.first
	for w != nil && w.avoid == c.ep {
		w = w.next
	}
	if w == nil {
		p.rest(c)
		p.mu.Unlock()
		return
	}
	p.remove(w)
	c.ep.served++
	p.mu.Unlock()
	w.ep, w.c = c.ep, c
	if !w.x.replayable() {
		c.idle = time.Now() // for lasting, here and in usable
	}
	if w.x.ctx.Err() == nil && w.x.short() && (w.x.replayable() || c.lasting() == nil) {
		w.x.send(c)
	}
	w.ready <- struct{}{}
}

// rest puts c among the unused.
func (p *pool) rest(c *poolConn) {
	c.idle = time.Now()
	c.ep.busy--
	c.ep.idle = append(c.ep.idle, c)
	if !p.expiring && len(c.ep.idle) > p.t.MinIdle {
		p.expiring = true
		time.AfterFunc(p.t.idleTimeout(), p.expire)
	}
}

// discard closes a connection and gives its place back. whole: no exchange is under
// way on it.
func (p *pool) discard(c *poolConn, whole bool) {
	if whole {
		c.closeWhole()
	} else {
		_ = c.Close()
	}
	p.free(c.ep)
}

// free gives a place back that has no connection.
func (p *pool) free(ep *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ep.busy--
	p.grant(time.Now())
}

// expire closes connections that were unused for too long, the longest unused first.
func (p *pool) expire() {
	var old []*poolConn
	limit := p.t.idleTimeout()
	now := time.Now()
	wait := time.Duration(0)
	p.mu.Lock()
	for _, ep := range p.endpoints {
		n := 0
		for n < len(ep.idle)-p.t.MinIdle && now.Sub(ep.idle[n].idle) >= limit {
			n++
		}
		old = append(old, ep.idle[:n]...)
		ep.idle = slices.Delete(ep.idle, 0, n)
		if len(ep.idle) > p.t.MinIdle {
			left := limit - now.Sub(ep.idle[0].idle)
			if wait == 0 || left < wait {
				wait = max(left, time.Millisecond)
			}
		}
	}
	if p.expiring = wait > 0 && !p.closed; p.expiring {
		time.AfterFunc(wait, p.expire)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.closeWhole()
	}
}

// close refuses what waits and what comes, and closes what is unused.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for p.first != nil {
		p.refuse(p.first, p.shuttingDown())
	}
	idle := p.takeIdle()
	p.mu.Unlock()
	for _, c := range idle {
		c.closeWhole()
	}
}

// renew closes what is unused, and has what is in use closed after that.
func (p *pool) renew() {
	p.mu.Lock()
	p.epoch++
	idle := p.takeIdle()
	p.mu.Unlock()
	for _, c := range idle {
		c.closeWhole()
	}
}

// takeIdle takes all unused connections out of the pool. mu is held.
func (p *pool) takeIdle() (idle []*poolConn) {
	for _, ep := range p.endpoints {
		idle = append(idle, ep.idle...)
		ep.idle = nil
	}
	return idle
}

// now is the epoch.
func (p *pool) now() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epoch
}

func (p *pool) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Name: p.t.name(), Waiting: p.waiting}
	now := time.Now()
	for _, ep := range p.endpoints {
		s.Endpoints = append(s.Endpoints, EndpointStatus{
			Address: ep.address, Busy: ep.busy, Idle: len(ep.idle), Served: ep.served,
			Failures: ep.failures, Ejected: max(0, ep.until.Sub(now)), Sick: ep.sick,
		})
	}
	return s
}

// goneError says that nobody waits for the answer any more, or that the time for it
// is over.
func goneError(ctx context.Context, when string) *cgi.Error {
	if ctx.Err() == context.DeadlineExceeded {
		return &cgi.Error{Kind: cgi.Timeout, Reason: "the request's time was over " + when, Err: ctx.Err()}
	}
	return &cgi.Error{Kind: cgi.ClientGone, Reason: "the client went away " + when, Err: context.Cause(ctx)}
}
