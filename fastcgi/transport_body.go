package fastcgi

import (
	"io"
	"os"
	"sync"
	"time"

	"gatehouse/cgi"
)

// exchangeBody is an exchange as the body of its response.
type exchangeBody exchange

// Read implements io.Reader.
func (b *exchangeBody) Read(p []byte) (int, error) { return b.read(p, -1) }

// ReadWithin implements cgi.Waiter.
func (b *exchangeBody) ReadWithin(p []byte, d time.Duration) (int, error) { return b.read(p, d) }

func (b *exchangeBody) read(p []byte, within time.Duration) (n int, err error) {
	x := (*exchange)(b)
	if x.closed {
		return 0, os.ErrClosed
	}
	if w, ok := x.inner.(cgi.Waiter); ok && within >= 0 {
		n, err = w.ReadWithin(p, within)
	} else {
		n, err = x.inner.Read(p)
	}
	if x.want >= 0 {
		x.want -= int64(n)
	}
	if err != nil && err != io.EOF && err != cgi.ErrNothingYet {
		x.cut = err
	}
	return n, err
}

// Close implements io.Closer for the Response.
func (b *exchangeBody) Close() error {
	x := (*exchange)(b)
	if x.closed {
		return nil
	}
	x.closed = true
	x.detach()
	switch {
	case x.want == 0 || x.in.over && x.want < 0: // it was given all that there is
		x.cut = nil
	case x.cut == nil && x.ctx.Err() != nil:
		x.cut = goneError(x.ctx, "before the end of the answer")
	}
	if x.cut != nil {
		x.failed("response cut short", x.report(cgi.AsError(x.cut)))
	}
	x.leave()
	return nil
}

// fail ends an exchange that has no response and says why.
func (x *exchange) fail(err error) *cgi.Error {
	x.closed = true
	x.detach()
	e := x.report(cgi.AsError(err))
	x.failed("application failed", e)
	x.leave()
	return e
}

// detach ends the watch over the context.
func (x *exchange) detach() {
	if x.unwatch != nil {
		x.unwatch()
		x.unwatch = nil
	}
	x.account.FirstByte = time.Duration(x.first.Load())
	if x.feed != nil && !x.in.ended && !x.feed.ended() {
		x.feed.stop()
	}
}

// leave parts with the connection and the buffers. Where the application has the whole
// request, but nobody wants the rest of its answer, that is read for a while, by a
// goroutine that AbortGrace bounds: then the connection can be used again. The place in
// the pool is held until then.
func (x *exchange) leave() {
	switch {
	case x.c == nil:
	case x.in.broken || x.sent != len(x.request) && x.feed == nil || x.feed != nil && !x.feed.finished():
		x.t.pool.discard(x.takeConn(), false)
	case x.t.background(x.drain):
		return
	default: // closing
		x.t.pool.discard(x.takeConn(), false)
	}
	x.release()
}

// background runs f beside the requests, unless the Transport is being closed.
func (t *Transport) background(f func()) bool {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	if !t.pool.closed {
		t.running.Go(f)
	}
	return !t.pool.closed
}

var drainBlocks = sync.Pool{New: func() any { b := make([]byte, 8<<10); return &b }}

func (x *exchange) drain() {
	defer x.release()
	x.mu.Lock()
	x.interrupted = nil
	x.mu.Unlock()
	x.in.err = nil
	x.in.settled = true // the context is of no more interest
	buf := drainBlocks.Get().(*[]byte)
	defer drainBlocks.Put(buf)
	until := time.Now().Add(x.t.abortGrace())
	if x.t.Abort && x.c != nil && !x.in.ended {
		_ = x.c.SetWriteDeadline(until)
		_, _ = x.c.Write(AppendAbortRequest(nil, requestID)) // if it fails, so will reading
		_ = x.c.SetWriteDeadline(time.Time{})
	}
	for {
		left := time.Until(until)
		if left <= 0 {
			break
		}
		if _, err := x.ReadWithin(*buf, left); err != nil {
			break
		}
	}
	if c := x.takeConn(); c != nil {
		x.t.pool.discard(c, false)
	}
}

// release gives the buffers back and says what there was to say of the end.
func (x *exchange) release() {
	if x.errs != nil {
		_ = x.errs.Close()
	}
	if x.in.ended && x.in.app != 0 && x.header && x.cut == nil { // the response stands (B32)
		x.t.log().Warn("application ended badly after its response", x.about("app_status", x.in.app)...)
	}
	x.in.release()
	if x.data != nil {
		x.closeData()
	}
	if x.out != nil && (x.feed == nil || x.feed.ended()) {
		x.request = nil
		outgoings.Put(x.out)
	}
	x.out = nil
}

// failed records and logs a failure. What a client has caused stands in the access log.
func (x *exchange) failed(what string, e *cgi.Error) {
	x.account.Failure = e
	switch e.Kind {
	case cgi.ClientGone, cgi.BodyFailed, cgi.BodyTimeout:
		return
	}
	attrs := x.about("kind", e.Kind.String(), "reason", e.Reason)
	if len(e.Output) > 0 {
		attrs = append(attrs, "output", clipped(e.Output))
	}
	if e.Stderr != "" {
		attrs = append(attrs, "stderr", lastLine(e.Stderr))
	}
	x.t.log().Error(what, attrs...)
}
