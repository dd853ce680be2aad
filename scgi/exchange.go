package scgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"gatehouse/cgi"
)

// exchange is one request to an application and its response. It is the stream that
// cgi.ReadResponse reads.
type exchange struct {
	t       *Transport
	req     *cgi.Request
	account *cgi.Account
	head    []byte

	nc       net.Conn
	endpoint *endpoint
	detach   func() bool // undoes the watch over ctx

	mu       sync.Mutex
	begun    time.Time
	progress time.Time  // of the input or the output
	waiting  bool       // for the client's body: the application is not to blame
	untimed  bool       // a Read is under way that began while waiting
	heading  bool       // the header has not come yet
	got      bool       // a byte of the response
	failure  *cgi.Error // why the exchange was ended
	ended    bool       // by the application, which has closed the connection
	closed   bool
}

func (x *exchange) connect(ctx context.Context) (err error) {
	begun := time.Now()
	x.account.Progress.Now(cgi.Starting)
	x.nc, x.endpoint, err = x.t.connect(ctx)
	x.account.Spawn = time.Since(begun)
	if err != nil {
		return err
	}
	if w, ok := x.nc.(interface{ Pid() int }); ok {
		x.account.Pid = w.Pid()
	}
	if w, ok := x.nc.(interface{ Stderr() *cgi.LogLines }); ok {
		x.account.Progress.Says(w.Stderr())
	}
	x.account.Progress.Has(x.account.Pid)
	return nil
}

// respond sends the request, beside the reading (A58), and reads the header.
func (x *exchange) respond(ctx context.Context) (*cgi.Response, error) {
	x.begun = time.Now()
	x.progress, x.heading = x.begun, true
	x.detach = context.AfterFunc(ctx, func() { x.abort(cgi.AsError(gone(ctx))) })
	const small = 16 << 10 // fits into the socket's buffer
	if x.req.Body == nil && len(x.head) <= small {
		x.send()
	} else {
		go x.send() // ends with the connection, or with the Read of the body
	}
	resp, err := cgi.ReadResponse(x, x.t.Parse, nil)
	if err != nil {
		return nil, x.giveUp(err)
	}
	x.mu.Lock()
	x.heading = false
	x.mu.Unlock()
	resp.Body = &body{x: x, inner: resp.Body}
	return resp, nil
}

var sendBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// send writes the head and the body. An application may answer without reading all of
// it: that it takes no more decides nothing (A59).
func (x *exchange) send() {
	if !x.write(x.head) || x.req.Body == nil {
		return
	}
	buf := sendBuffers.Get().(*[]byte)
	defer sendBuffers.Put(buf)
	for left := x.req.ContentLength; left > 0; {
		x.await(true)
		n, err := x.req.Body.Read((*buf)[:min(left, int64(len(*buf)))])
		x.await(false)
		left -= int64(n)
		if n > 0 && !x.write((*buf)[:n]) {
			return
		}
		if err != nil && left > 0 {
			x.abort(bodyError(err))
			return
		}
	}
}

// await says whether the application has to wait for the client.
func (x *exchange) await(waiting bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting, x.progress = waiting, time.Now()
	if !waiting && x.untimed {
		_ = x.nc.SetReadDeadline(longAgo) // it begins anew, with the limits
	}
}

// bodyError says what it means that the client's body could not be read.
func bodyError(err error) *cgi.Error {
	var e *cgi.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &cgi.Error{Kind: cgi.BodyTimeout, Reason: "the client did not send the request's body in time", Err: err}
	}
	return &cgi.Error{Kind: cgi.BodyFailed, Reason: fmt.Sprintf("the request's body ended early: %v", err), Err: err}
}

// write sends p; false when the application takes no more.
func (x *exchange) write(p []byte) bool {
	for {
		if !x.armWrite() {
			return false
		}
		n, err := x.nc.Write(p)
		if n > 0 {
			x.mu.Lock()
			x.progress = time.Now()
			x.mu.Unlock()
		}
		if err == nil {
			return true
		}
		if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		p = p[n:] // slow, but it reads
	}
}

func (x *exchange) armWrite() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failure != nil || x.closed {
		return false
	}
	if stall := x.t.Times.Stdin; stall > 0 {
		_ = x.nc.SetWriteDeadline(time.Now().Add(stall))
	}
	return true
}

// abort ends the exchange.
func (x *exchange) abort(e *cgi.Error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.abortLocked(e)
}

func (x *exchange) abortLocked(e *cgi.Error) {
	if x.failure == nil && !x.ended && !x.closed {
		x.failure = e
		_ = x.nc.SetDeadline(longAgo) // Read and Write return, and the connection is closed
	}
}

// Read reads the response, within the time limits.
func (x *exchange) Read(p []byte) (int, error) { return x.read(p, time.Time{}) }

// ReadWithin implements cgi.Waiter.
func (x *exchange) ReadWithin(p []byte, d time.Duration) (int, error) {
	return x.read(p, time.Now().Add(d))
}

// read waits until the given time, if there is one.
func (x *exchange) read(p []byte, until time.Time) (int, error) {
	for {
		if err := x.armRead(until); err != nil {
			return 0, err
		}
		n, err := x.nc.Read(p)
		if err = x.took(n, err, until); n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			return 0, err
		}
	}
}

// armRead sets the deadline for the next Read.
func (x *exchange) armRead(until time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.failure != nil:
		return x.failure
	case x.ended:
		return io.EOF
	}
	at, _ := x.limitLocked()
	if at.IsZero() || !until.IsZero() && until.Before(at) {
		at = until
	}
	x.untimed = x.waiting
	_ = x.nc.SetReadDeadline(at)
	return nil
}

// took says what a Read means; nil when the next one is to be tried.
func (x *exchange) took(n int, err error, until time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.untimed = false
	now := time.Now()
	switch {
	case n > 0:
		x.progress = now
		if !x.got {
			x.got, x.account.FirstByte = true, now.Sub(x.begun)
		}
		return nil
	case x.failure != nil:
		return x.failure
	case err == nil:
		return nil
	case err == io.EOF:
		x.ended = true
		return io.EOF
	case !errors.Is(err, os.ErrDeadlineExceeded):
		x.failure = &cgi.Error{Kind: cgi.Truncated, Reason: fmt.Sprintf("the connection to the application failed: %v", err), Err: err}
		return x.failure
	}
	if at, what := x.limitLocked(); !at.IsZero() && !now.Before(at) {
		x.abortLocked(&cgi.Error{Kind: cgi.Timeout, Reason: what})
		return x.failure
	}
	if !until.IsZero() && !now.Before(until) {
		return cgi.ErrNothingYet
	}
	return nil
}

// limitLocked returns until when the application has to say something, and what it
// is if it does not; the zero Time for no limit.
func (x *exchange) limitLocked() (at time.Time, what string) {
	times := &x.t.Times
	silence, what := times.Idle, "silent for %v in the middle of its output"
	if x.heading {
		silence, what = times.Header, "no complete header within %v"
	}
	if silence > 0 && !x.waiting {
		at, what = x.progress.Add(silence), fmt.Sprintf(what, silence)
	}
	if total := x.begun.Add(times.Total); times.Total > 0 && (at.IsZero() || total.Before(at)) {
		at, what = total, fmt.Sprintf("not finished within %v", times.Total)
	}
	return at, what
}

// giveUp ends an exchange that has no response.
func (x *exchange) giveUp(err error) *cgi.Error {
	e := *cgi.AsError(err)
	switch x.mu.Lock(); {
	case e.Kind == cgi.NoOutput:
		e.Reason = "the application closed the connection without an answer"
	case e.Kind == cgi.Truncated && !x.got:
		e.Kind = cgi.NoOutput
	}
	x.mu.Unlock()
	x.blame(&e)
	x.finish(false)
	return x.failed(&e)
}

// blame adds how the process behind the connection has ended, where it is known.
func (x *exchange) blame(e *cgi.Error) {
	w, ok := x.nc.(interface{ End(time.Duration) string })
	if !ok || e.Kind != cgi.NoOutput && e.Kind != cgi.BadOutput && e.Kind != cgi.Truncated {
		return
	}
	if how := w.End(200 * time.Millisecond); how != "" {
		e.Reason += "; it was " + how
	}
}

// failed completes an error and reports it.
func (x *exchange) failed(err error) *cgi.Error {
	e := *cgi.AsError(err)
	e.Script, e.Pid = x.name(), x.account.Pid
	x.account.Failure = &e
	if !byClient(&e) && e.Kind != cgi.Busy {
		x.t.log().Error("SCGI application failed", "kind", e.Kind.String(), "reason", e.Reason,
			"application", e.Script, "pid", e.Pid, "request", x.req.ID)
	}
	return &e
}

func (x *exchange) name() string { return x.t.name(x.endpoint) }

func byClient(e *cgi.Error) bool {
	return e.Kind == cgi.ClientGone || e.Kind == cgi.BodyFailed || e.Kind == cgi.BodyTimeout
}

// finish closes the connection and frees its place. A worker's connection is spent,
// but the worker is not when all went well.
func (x *exchange) finish(whole bool) {
	x.detach()
	worker, isWorker := x.nc.(interface {
		Done() (again bool)
		Release() error
	})
	if isWorker && whole {
		x.settle()
	}
	x.mu.Lock()
	x.closed = true
	well := whole && x.ended && x.failure == nil
	x.mu.Unlock()
	if isWorker && well && worker.Done() {
		_ = worker.Release()
	} else {
		_ = x.nc.Close()
	}
	x.t.endpoints.giveBack(x.endpoint)
	x.t.release()
}

// settle waits a little for the end of a response that is longer than it says, or
// whose end has not come yet.
func (x *exchange) settle() {
	const most, patience = 64 << 10, 100 * time.Millisecond
	until := time.Now().Add(patience)
	var buf [4096]byte
	for n := 0; n < most; {
		k, err := x.read(buf[:], until)
		if err != nil {
			return
		}
		n += k
	}
}

// body is the response's body; it ends the exchange.
type body struct {
	x     *exchange
	inner io.ReadCloser
	whole bool
	err   error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	return n, b.note(err)
}

// ReadWithin implements cgi.Waiter.
func (b *body) ReadWithin(p []byte, d time.Duration) (int, error) {
	w, ok := b.inner.(cgi.Waiter)
	if !ok {
		return b.Read(p)
	}
	n, err := w.ReadWithin(p, d)
	return n, b.note(err)
}

func (b *body) note(err error) error {
	switch {
	case err == io.EOF:
		b.whole = true
	case err != nil && err != cgi.ErrNothingYet:
		b.err = err
	}
	return err
}

func (b *body) Close() error {
	if b.err != nil {
		e := *cgi.AsError(b.err)
		b.x.blame(&e)
		_ = b.x.failed(&e)
	}
	b.x.finish(b.whole)
	return nil
}
