package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/cgi"
)

// endpoint is one place that connections go to.
type endpoint struct {
	address          string // for messages, and what tells it from others
	named            bool   // a name led to it: it may lead elsewhere
	priority, weight int    // of an SRV record (RFC 2782); zero otherwise. pool.mu
	dial             func(ctx context.Context) (net.Conn, error)

	keeps atomic.Bool // it was seen to leave connections open after an exchange

	// pool.mu
	idle     []*poolConn // the one used last is at the end
	busy     int         // places given out
	served   uint64
	failures int       // in a row
	until    time.Time // it is left alone until then
	sick     string    // what its health check found
	removed  bool      // its name leads elsewhere now
}

func (t *Transport) endpointAt(network, target string) *endpoint {
	text := target
	if network == "unix" {
		text = "unix:" + target
	}
	return &endpoint{address: text, dial: func(ctx context.Context) (net.Conn, error) {
		return connect(ctx, network, target)
	}}
}

// connect makes one connection. A Unix socket says EAGAIN where the queue of its
// listener is full; a TCP one would wait, so this waits as well.
func connect(ctx context.Context, network, target string) (net.Conn, error) {
	var d net.Dialer
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		conn, err := d.DialContext(ctx, network, target)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		}
	}
}

// add adds an endpoint. It takes part in the work as if it had done its share so far.
func (p *pool) add(ep *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, other := range p.endpoints {
		if n == 0 || other.served < ep.served {
			ep.served = other.served
		}
	}
	p.endpoints = append(p.endpoints, ep)
}

// choose returns the endpoint for the next request, nil if each one that would do is
// fully used: the least busy of the lowest priority (RFC 2782), without those that are
// left alone; if all are, then of all, because one that may have come back is better
// than none.
func (p *pool) choose(avoid *endpoint, now time.Time) *endpoint {
	if len(p.endpoints) == 1 { // most often
		if ep := p.endpoints[0]; ep.busy < p.t.connections() { // even if it is to be avoided
			return ep
		}
		return nil
	}
	for _, desperate := range [...]bool{false, true} {
		var best *endpoint
		group := -1
		for _, ep := range p.endpoints {
			if ep == avoid || !desperate && (ep.sick != "" || ep.until.After(now)) {
				continue
			}
			if group < 0 || ep.priority < group {
				group, best = ep.priority, nil
			}
			if ep.priority == group && ep.busy < p.t.connections() && (best == nil || ep.before(best)) {
				best = ep
			}
		}
		if group >= 0 {
			return best
		}
	}
	return nil
}

// before reports whether ep is to get the next request rather than other.
func (ep *endpoint) before(other *endpoint) bool {
	w, v := max(1, ep.weight), max(1, other.weight)
	if a, b := ep.busy*v, other.busy*w; a != b {
		return a < b
	}
	return ep.served*uint64(v) < other.served*uint64(w)
}

// take takes a place, and a connection if one is unused.
func (ep *endpoint) take() *poolConn {
	ep.busy++
	ep.served++
	return ep.pop()
}

// pop returns the connection that was used last, or nil: the others may grow old.
func (ep *endpoint) pop() *poolConn {
	n := len(ep.idle) - 1
	if n < 0 {
		return nil
	}
	c := ep.idle[n]
	ep.idle[n] = nil
	ep.idle = ep.idle[:n]
	return c
}

// next is pop for the holder of a place whose connection was of no use.
func (p *pool) next(ep *endpoint) *poolConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ep.pop()
}

const (
	backoffStep = 250 * time.Millisecond
	backoffMost = 30 * time.Second
)

// failed notes that a connection could not be made or died without a word. After n
// times in a row the endpoint is left alone for about n² quarters of a second; the
// jitter keeps several servers from coming back together.
func (p *pool) failed(ep *endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ep.failures++
	n := time.Duration(min(ep.failures, 100))
	d := min(n*n*backoffStep, backoffMost)
	ep.until = time.Now().Add(d*3/4 + rand.N(d/2))
}

// wellAgain is called with pool.mu held.
func (ep *endpoint) wellAgain() {
	if ep.failures > 0 {
		ep.failures, ep.until = 0, time.Time{}
	}
}

// others reports whether there is another endpoint than ep to try.
func (p *pool) others(ep *endpoint) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.endpoints) > 1 || len(p.endpoints) == 1 && p.endpoints[0] != ep
}

// connect makes a connection for the holder of a place at ep. The error is an
// *cgi.Error; the place is still held.
func (p *pool) connect(ctx context.Context, ep *endpoint) (*poolConn, error) {
	limit, born := p.t.connectTimeout(), p.now()
	if p.t.Dial == nil || p.t.ConnectTimeout > 0 {
		bounded, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		conn, err := ep.dial(bounded)
		if err == nil {
			return p.newPoolConn(ep, conn, born), nil
		}
		// A socket's deadline may be noticed before the context's, which is the same.
		if until, _ := bounded.Deadline(); ctx.Err() == nil && !time.Now().Before(until) {
			return nil, &cgi.Error{Kind: cgi.Timeout, Err: err,
				Reason: fmt.Sprintf("%s did not accept a connection within %v (connect_timeout)", ep.address, limit)}
		}
		return nil, dialError(ctx, ep, err)
	}
	conn, err := ep.dial(ctx)
	if err != nil {
		return nil, dialError(ctx, ep, err)
	}
	return p.newPoolConn(ep, conn, born), nil
}

// dialError says what it means for the request that no connection could be made.
func dialError(ctx context.Context, ep *endpoint, err error) *cgi.Error {
	if ctx.Err() != nil {
		return goneError(ctx, "before there was a connection")
	}
	var known *cgi.Error
	if errors.As(err, &known) {
		return known
	}
	var busy interface{ RetryAfter() time.Duration }
	if errors.As(err, &busy) {
		return &cgi.Error{Kind: cgi.Busy, Reason: err.Error(), Err: err, RetryAfter: busy.RetryAfter()}
	}
	why := err.Error()
	var op *net.OpError
	if errors.As(err, &op) { // it would name the address once more
		why = op.Err.Error()
		var sys *os.SyscallError
		if errors.As(op.Err, &sys) {
			why = sys.Err.Error()
		}
	}
	return &cgi.Error{Kind: cgi.StartFailed, Status: 502, Err: err, Reason: fmt.Sprintf("cannot connect to %s: %s", ep.address, why)}
}

// errDropped is what alive finds on a connection that has not been closed but holds
// bytes that nobody asked for.
var errDropped = errors.New("fastcgi: unexpected bytes on an unused connection")

// closesWithin is how soon after END_REQUEST an application closes a connection that it
// was asked to keep, if it does not keep them.
const closesWithin = 20 * time.Millisecond

// lasting is alive where a request may be sent only once: it is not sent into a closing that
// is under way. An application that has not been seen to keep connections is given
// closesWithin to close this one; fcgi.rb in pure Ruby closes them all.
func (c *poolConn) lasting() error {
	wait := time.Duration(0)
	if !c.ep.keeps.Load() {
		wait = closesWithin - time.Since(c.idle)
	}
	err := c.alive(wait)
	c.ep.keeps.Store(err == nil)
	return err
}

// alive looks whether the peer of an unused connection has closed it, or sent what is
// no answer to anything, without reading; it waits for that if wait is more than zero. A
// connection that cannot be looked at passes for alive.
func (c *poolConn) alive(wait time.Duration) error {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	c.deadline = time.Time{}
	if wait > 0 {
		c.deadline = time.Now().Add(wait)
	}
	_ = c.SetReadDeadline(c.deadline)
	var found error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		switch n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); {
		case err == unix.EAGAIN:
			return wait <= 0
		case err == unix.EINTR:
		case err != nil:
			found = err
		case n == 0:
			found = io.EOF
		default:
			found = errDropped
		}
		return true
	})
	if wait > 0 {
		c.deadline = time.Time{}
		_ = c.SetReadDeadline(c.deadline)
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return found
}

// How an address may be written.
const (
	schemePlain = ""
	schemeDNS   = "dns"
	schemeSRV   = "srv"
)

type address struct {
	scheme  string
	network string // "tcp" or "unix"
	target  string // as net.Dial takes it, or the name of an SRV record
}

// CheckAddress says what is wrong with one of Transport.Addresses, nil if it is well
// formed.
func CheckAddress(text string) error {
	_, err := parseAddress(text)
	return err
}

func parseAddress(text string) (address, error) {
	bad := func(why string) (address, error) {
		return address{}, fmt.Errorf("fastcgi: bad address %q: %s", text, why)
	}
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme {
	case "unix":
		if rest == "" || strings.IndexByte(rest, 0) >= 0 {
			return bad("no path of a socket")
		}
		if len(rest) > 107 { // sun_path
			return bad("the path of a socket has at most 107 bytes")
		}
		return address{schemePlain, "unix", rest}, nil
	case schemeSRV:
		if !strings.HasPrefix(rest, "_") || strings.Count(rest, ".") < 2 || strings.ContainsAny(rest, ": /") {
			return bad(`not "srv:_service._protocol.name"`)
		}
		return address{schemeSRV, "tcp", rest}, nil
	case schemeDNS:
		text = rest
	default:
		scheme, rest = schemePlain, text
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || host == "" || strings.ContainsAny(host, "/ ") {
		return bad(`neither "host:port" nor "unix:/path"`)
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return bad(fmt.Sprintf("%q is no port", port))
	}
	return address{scheme, "tcp", rest}, nil
}
