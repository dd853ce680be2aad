package fastcgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
)

// requestID is the id of every request: there is one at a time on a connection, and
// some applications know no other (B65).
const requestID = 1

const (
	shortBody    = 16 << 10 // a request's body that is sent with its parameters
	shortRequest = 32 << 10 // what is written at once, by whoever has the connection
	freely       = 4 << 10  // what any socket takes without waiting
)

// exchange is one request and its response. It is one goroutine's, but for what mu
// guards and for what its feeder does.
type exchange struct {
	t       *Transport
	ctx     context.Context
	req     *cgi.Request
	account *cgi.Account
	script  string

	out              *outgoing
	request          []byte    // BEGIN_REQUEST, PARAMS, and STDIN if that is short
	body             io.Reader // the rest of STDIN, nil if request has all
	seek             int64     // where body began, if it can be read again; else -1
	data             *os.File  // sent as DATA (RoleFilter)
	dataLen, dataMod int64

	// The connection in use. Another exchange's goroutine may set these, before
	// this one is told of its place (pool.put).
	c       *poolConn // under mu when it is let go
	ep      *endpoint
	pid     int
	reused  bool  // it had carried requests before
	sent    int   // of request
	sendErr error // of that write
	start   time.Time
	feed    *feeder
	retries int

	in      incoming
	errs    *cgi.LogLines
	caught  string // of CatchStderr
	carry   []byte // the end of what was searched for it
	header  bool   // the response has begun
	inner   io.ReadCloser
	want    int64 // of the declared length; -1: none was declared
	cut     error // what its reader was told in place of the end
	closed  bool
	unwatch func() bool // of the context; nil until it is watched

	asked time.Time    // when the read under way began
	first atomic.Int64 // nanoseconds from start to the first output
	fed   atomic.Int64 // nanoseconds from start to the last write of the feeder

	mu          sync.Mutex
	interrupted error // ends the read under way and those to come
}

// outgoing is what encoding a request takes.
type outgoing struct {
	buf  []byte
	vars []string
}

var outgoings = sync.Pool{New: func() any { return &outgoing{buf: make([]byte, 0, 4096), vars: make([]string, 0, 64)} }}

func newExchange(t *Transport, ctx context.Context, req *cgi.Request) *exchange {
	x := &exchange{t: t, ctx: ctx, req: req, account: req.Account, want: -1}
	if x.account == nil {
		x.account = new(cgi.Account)
	}
	x.script = req.Env.Get("SCRIPT_FILENAME")
	x.account.Script = x.script
	return x
}

// respond sends the request and reads the response's header, a second time where that
// is safe.
func (x *exchange) respond() (*cgi.Response, error) {
	if err := x.prepare(); err != nil {
		return nil, err
	}
	err := x.connect(nil)
	for err == nil {
		var resp *cgi.Response
		if resp, err = x.answer(); err == nil {
			return resp, nil
		}
		err = x.again(err)
	}
	return nil, err
}

// prepare encodes the request. A short body is read here, so that a slow client
// occupies no connection.
func (x *exchange) prepare() error {
	x.out = outgoings.Get().(*outgoing)
	if x.t.role() == RoleFilter {
		if err := x.openData(); err != nil {
			return err
		}
	}
	b := AppendBeginRequest(x.out.buf[:0], requestID, x.t.role(), true)
	b = AppendParams(b, requestID, x.variables())
	x.seek = -1
	switch n := x.req.ContentLength; {
	case x.req.Body == nil || n == 0:
		b = AppendStreamEnd(b, TypeStdin, requestID) // B24: an empty STDIN as well
	case n <= shortBody:
		start := len(b)
		b = AppendRecordHeader(b, TypeStdin, requestID, int(n), padding(int(n)))
		b = append(b, make([]byte, n)...)
		if _, err := io.ReadFull(x.req.Body, b[start+HeaderLen:]); err != nil {
			x.out.buf = b
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return cgi.BodyError(err)
		}
		b = append(b, zeros[:padding(int(n))]...)
		b = AppendStreamEnd(b, TypeStdin, requestID)
	default:
		x.body = x.req.Body
		if s, ok := x.body.(io.Seeker); ok {
			if at, err := s.Seek(0, io.SeekCurrent); err == nil {
				x.seek = at
			}
		}
	}
	x.out.buf, x.request = b, b
	return nil
}

// variables are the request's parameters.
func (x *exchange) variables() []string {
	vars := x.out.vars[:0]
	for _, v := range x.req.Env.Strings() {
		if x.t.DropAuthorization && (strings.HasPrefix(v, "HTTP_AUTHORIZATION=") || strings.HasPrefix(v, "HTTP_PROXY_AUTHORIZATION=")) {
			continue
		}
		if x.req.ID != "" && strings.HasPrefix(v, "UNIQUE_ID=") {
			continue
		}
		vars = append(vars, v)
	}
	for name, value := range x.t.Env.All() {
		if _, taken := x.req.Env.Lookup(name); !taken { // A25
			vars = append(vars, name+"="+value)
		}
	}
	if x.req.ID != "" {
		vars = append(vars, "UNIQUE_ID="+x.req.ID)
	}
	if role := x.t.role(); role != RoleResponder {
		vars = append(vars, "FCGI_ROLE="+role.String()) // B42
	}
	vars = append(vars, x.dataVariables()...)
	x.out.vars = vars
	return vars
}

// short reports whether the request may be written at once by a goroutine that has
// other things to do.
func (x *exchange) short() bool { return len(x.request) <= shortRequest }

// connect finds a place and a connection and sends the request, if the one who gave
// the connection has not sent it.
func (x *exchange) connect(avoid *endpoint) error {
	p := &x.t.pool
	for tries := 1; ; tries++ {
		ep, c, err := p.acquire(x, avoid)
		if err != nil || x.c != nil {
			return err
		}
		if x.ctx.Err() != nil {
			if c != nil {
				p.put(c)
			} else {
				p.free(ep)
			}
			return goneError(x.ctx, "before its request was sent")
		}
		if c, err = x.usable(ep, c); err == nil {
			x.send(c)
			return nil
		}
		if !x.dialFailed(ep, err) || tries == 4 {
			return err
		}
		avoid = ep
	}
}

// dialFailed gives the place of a connection that could not be made back, and reports
// whether another endpoint may do.
func (x *exchange) dialFailed(ep *endpoint, err error) (others bool) {
	p := &x.t.pool
	kind := cgi.AsError(err).Kind
	if kind == cgi.StartFailed || kind == cgi.Timeout {
		p.failed(ep)
	}
	p.free(ep)
	return kind != cgi.ClientGone && x.ctx.Err() == nil && p.others(ep)
}

// usable returns c if it is fit for use, or another kept connection that is, or a new
// one. An application may close a kept connection at any time. Where that can be made
// up for by sending the request again, a connection that was just used is not looked at.
func (x *exchange) usable(ep *endpoint, c *poolConn) (*poolConn, error) {
	const fresh = 100 * time.Millisecond
	for ; c != nil; c = x.t.pool.next(ep) {
		if x.replayable() && time.Since(c.idle) < fresh {
			return c, nil
		}
		err := c.lasting()
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, errDropped):
			_ = c.Close()
		default:
			c.closeWhole()
		}
	}
	begun := time.Now()
	c, err := x.t.pool.connect(x.ctx, ep)
	x.account.Spawn += time.Since(begun)
	return c, err
}

// send begins the exchange on c and writes the request if it is short. A write of at
// most freely bytes does not wait; a longer one is given some time.
func (x *exchange) send(c *poolConn) {
	x.mu.Lock()
	x.c = c
	x.mu.Unlock()
	x.ep, x.reused = c.ep, c.uses > 0
	x.sent, x.sendErr = 0, nil
	c.last = !c.keep(x.t)
	x.request[HeaderLen+2] = 0
	if !c.last {
		x.request[HeaderLen+2] = keepConn // B23
	}
	c.uses++
	x.start = time.Now()
	switch n := len(x.request); {
	case n <= freely:
		x.sent, x.sendErr = c.Write(x.request)
	case n <= shortRequest:
		_ = c.SetWriteDeadline(x.start.Add(stuck))
		x.sent, x.sendErr = c.Write(x.request)
		_ = c.SetWriteDeadline(time.Time{})
	}
}

// stuck is after how long a peer that takes not even a short request is given up.
const stuck = 5 * time.Second

// answer reads the header of the response, and feeds what was not yet sent meanwhile.
func (x *exchange) answer() (*cgi.Response, error) {
	x.pid = x.c.pid
	x.account.Pid = x.pid
	x.account.Progress.Has(x.pid)
	if x.c.stderr != nil {
		x.account.Progress.Says(x.c.stderr)
	}
	x.in.reset()
	x.in.settled = x.unwatch != nil
	x.first.Store(0)
	x.fed.Store(0)
	if x.sendErr == nil && (x.body != nil || x.data != nil || !x.short()) {
		x.feed = startFeeder(x)
	}
	if errors.Is(x.sendErr, os.ErrDeadlineExceeded) {
		x.in.broken = true
		return nil, &cgi.Error{Kind: cgi.Timeout, Reason: fmt.Sprintf("it did not take the request within %v", stuck), Err: x.sendErr}
	}
	resp, err := x.readHeader()
	if err != nil {
		return nil, err
	}
	if x.caught != "" {
		_ = resp.Body.Close()
		return nil, &cgi.Error{Kind: cgi.BadOutput, Reason: fmt.Sprintf("it wrote %q to its standard error (catch_stderr)", x.caught)}
	}
	x.header = true
	x.inner, x.want = resp.Body, resp.ContentLength
	resp.Body = (*exchangeBody)(x)
	return resp, nil
}

func (x *exchange) readHeader() (*cgi.Response, error) {
	interim := x.req.Interim
	if !x.t.Interim {
		interim = nil
	} else if interim == nil {
		interim = func(int, cgi.Header) {} // the client takes none: leave them out
	}
	if x.t.role() == RoleAuthorizer {
		return readAuthorizer(x, x.t.Parse)
	}
	return cgi.ReadResponse(x, x.t.Parse, interim)
}

// again decides whether a request that has no answer may be sent once more, and does
// it; otherwise it returns the error that the request ends with.
func (x *exchange) again(err error) error {
	const most = 2
	may := x.retries < most && x.ctx.Err() == nil
	p, ep := &x.t.pool, x.ep
	switch status := x.in.status; {
	case x.in.ended && status == StatusUnknownRole: // B31
		return &cgi.Error{Kind: cgi.Internal, Reason: fmt.Sprintf("it does not know the role %v", x.t.role())}
	case x.in.ended && (status == StatusOverloaded || status == StatusCantMpxConn):
		others := p.others(ep)
		if !may || !x.rewind() || status == StatusOverloaded && !others && x.t.Dial == nil {
			return &cgi.Error{Kind: cgi.Busy, Reason: fmt.Sprintf("it refused the request (%v)", status), RetryAfter: time.Second}
		}
		x.retries++
		x.account.Retries = x.retries
		if status == StatusOverloaded && others {
			return x.connect(ep)
		}
		return x.connect(nil)
	case x.in.dropped && may && x.mayRepeat() && x.rewind(): // B36
		x.retries++
		x.account.Retries = x.retries
		return x.reconnect()
	case x.in.dropped && !x.reused:
		p.failed(ep)
	}
	return err
}

// mayRepeat reports whether a request may be sent again after its connection was closed
// without an answer: an application may have carried it out all the same, unless it was
// not sent. On a connection that was not used before, another try makes sense only with
// another process.
func (x *exchange) mayRepeat() bool {
	if (x.sent > 0 || x.feed != nil) && !idempotent(x.req.Method()) {
		return false
	}
	return x.reused || x.c.end != nil || x.t.pool.others(x.ep)
}

// idempotent reports whether a method may be carried out twice (RFC 9110 section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// replayable reports whether the request could be sent again after a try that failed.
func (x *exchange) replayable() bool {
	return idempotent(x.req.Method()) && (x.body == nil || x.seek >= 0)
}

// rewind makes the whole request ready to be sent again, if it can be.
func (x *exchange) rewind() bool {
	if x.feed == nil {
		return true
	}
	if x.body != nil && x.seek < 0 {
		return false
	}
	if !x.feed.ended() {
		x.feed.stop()
		<-x.feed.done // what can be sought in does not wait for a client
	}
	x.feed = nil
	if x.body != nil {
		if _, err := x.body.(io.Seeker).Seek(x.seek, io.SeekStart); err != nil {
			return false
		}
	}
	if x.data != nil {
		if _, err := x.data.Seek(0, io.SeekStart); err != nil {
			return false
		}
	}
	x.mu.Lock()
	x.interrupted = nil
	x.mu.Unlock()
	return true
}

// reconnect sends the request on a new connection in the place of a dead one; not on
// another kept one, which may have died of the same cause.
func (x *exchange) reconnect() error {
	p, ep, dead := &x.t.pool, x.ep, x.takeConn()
	if x.reused { // what closes kept connections is not at fault; what has died refuses the next
		dead.closeWhole()
		ep.keeps.Store(false)
	} else {
		_ = dead.Close()
		p.failed(ep)
	}
	c, err := p.connect(x.ctx, ep)
	if err == nil {
		x.send(c)
		return nil
	}
	if x.dialFailed(ep, err) {
		return x.connect(ep)
	}
	return err
}

// takeConn takes the connection from the exchange: nothing interrupts it any more.
func (x *exchange) takeConn() *poolConn {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.c
	x.c = nil
	return c
}
