package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"gatehouse/cgi"
)

// incoming is the state of what an exchange reads: records, in a buffer of its own. It
// looks ahead: when all up to END_REQUEST is in the buffer, the connection goes back
// although the response was not given out yet.
type incoming struct {
	block *[]byte
	r, w  int // what is in the buffer and not given out
	scan  int // where the next record begins that was not looked at; may be beyond w
	got   int64

	kind       Type // of the record at r: STDOUT, STDERR, or 0 for what is ignored
	left, skip int  // of its content and its padding
	stdoutOver bool
	over       bool // all was given out
	odd        bool // a record that is ignored was logged

	ended   bool // END_REQUEST was seen
	app     uint32
	status  ProtocolStatus
	endErr  error
	broken  bool   // nothing more can be read from the connection
	dropped bool   // it was closed before any answer
	ending  string // how the worker ended

	settled bool  // time limits and context are watched closely
	err     error // what every further read says
}

// A response is read into a small block, one that goes on into a large one.
const (
	smallBlock = 16 << 10
	largeBlock = 128 << 10
	enlarge    = 64 << 10 // bytes after which a response counts as large
)

var (
	smallBlocks = sync.Pool{New: func() any { b := make([]byte, smallBlock); return &b }}
	largeBlocks = sync.Pool{New: func() any { b := make([]byte, largeBlock); return &b }}
)

// reset prepares for a response from its beginning.
func (in *incoming) reset() {
	block := in.block
	if block == nil {
		block = smallBlocks.Get().(*[]byte)
	}
	*in = incoming{block: block}
}

func (in *incoming) release() {
	switch {
	case in.block == nil:
	case len(*in.block) == largeBlock:
		largeBlocks.Put(in.block)
	default:
		smallBlocks.Put(in.block)
	}
	in.block = nil
}

// room makes room for another read.
func (in *incoming) room() []byte {
	if in.r == in.w {
		in.scan -= in.r
		in.r, in.w = 0, 0
		if in.got > enlarge && len(*in.block) == smallBlock {
			smallBlocks.Put(in.block)
			in.block = largeBlocks.Get().(*[]byte)
		}
	} else if in.w == len(*in.block) { // a part of a header or of END_REQUEST
		copy(*in.block, (*in.block)[in.r:in.w])
		in.scan -= in.r
		in.r, in.w = 0, in.w-in.r
	}
	return (*in.block)[in.w:]
}

// Read gives out the application's STDOUT.
func (x *exchange) Read(p []byte) (int, error) { return x.read(p, -1) }

// ReadWithin implements cgi.Waiter.
func (x *exchange) ReadWithin(p []byte, d time.Duration) (int, error) { return x.read(p, d) }

func (x *exchange) read(p []byte, within time.Duration) (int, error) {
	in := &x.in
	x.asked = time.Time{}
	for {
		have := in.w - in.r
		switch {
		case in.err != nil:
			return 0, in.err
		case in.left > 0 && have > 0:
			n := min(in.left, have)
			content := (*in.block)[in.r : in.r+n]
			if in.kind == TypeStdout {
				n = copy(p, content)
			} else if in.kind == TypeStderr {
				x.stderr(content)
			}
			in.r += n
			in.left -= n
			if in.kind == TypeStdout {
				return n, nil
			}
			continue
		case in.left == 0 && in.skip > 0 && have > 0:
			n := min(in.skip, have)
			in.r += n
			in.skip -= n
			continue
		case in.over:
			return 0, io.EOF
		case in.left == 0 && in.skip == 0 && have >= HeaderLen:
			if more, err := x.nextRecord(); err != nil {
				x.in.broken, in.err = true, err
				continue
			} else if !more {
				continue
			}
		}
		switch err := x.fill(within); {
		case err == cgi.ErrNothingYet:
			return 0, err
		case err != nil:
			in.err = err
		}
	}
}

// nextRecord takes the header of a record. more: it must be read to the end first.
func (x *exchange) nextRecord() (more bool, err error) {
	in := &x.in
	h, err := ParseHeader((*in.block)[in.r:in.w])
	if err != nil {
		return false, x.notFastCGI(err)
	}
	if h.ID == requestID && h.Type == TypeEndRequest && !in.ended {
		if in.endErr != nil {
			return false, x.notFastCGI(in.endErr)
		}
		return true, nil
	}
	in.r += HeaderLen
	in.kind, in.left, in.skip = 0, h.ContentLength, h.PaddingLength
	switch {
	case h.ID != requestID: // of a finished request, or a management record (B29)
	case h.Type == TypeStdout && h.ContentLength == 0:
		in.stdoutOver = true
	case h.Type == TypeStdout && !in.stdoutOver, h.Type == TypeStderr:
		in.kind = h.Type
	case h.Type == TypeEndRequest:
		in.over = true
	case !h.Type.known() && !in.odd:
		in.odd = true
		x.t.log().Warn("application sent a record of unknown type", x.about("type", uint8(h.Type))...)
	}
	return false, nil
}

// notFastCGI is for an application that does not keep to the protocol.
func (x *exchange) notFastCGI(err error) error {
	in := &x.in
	e := &cgi.Error{Kind: cgi.BadOutput, Reason: "it does not speak FastCGI: " + strings.TrimPrefix(err.Error(), "fastcgi: "), Err: err}
	e.Output = bytes.Clone((*in.block)[in.r:min(in.w, in.r+64)])
	return e
}

// fill reads once from the connection.
func (x *exchange) fill(within time.Duration) error {
	in := &x.in
	if x.c == nil { // cannot be: END_REQUEST is in the buffer
		return io.ErrUnexpectedEOF
	}
	n, err := x.readConn(in.room(), within)
	if n == 0 {
		var known *cgi.Error
		if err == cgi.ErrNothingYet || errors.As(err, &known) {
			return err
		}
		return x.connectionEnded(err)
	}
	if in.got == 0 {
		x.first.Store(int64(time.Since(x.start)))
	}
	in.got += int64(n)
	in.w += n
	x.lookAhead()
	return nil
}

// lookAhead looks for END_REQUEST in the buffer, and gives the connection back when it
// is there: with what follows it, if anything does, the connection is of no more use.
func (x *exchange) lookAhead() {
	in := &x.in
	for !in.ended && in.w-in.scan >= HeaderLen {
		h, err := ParseHeader((*in.block)[in.scan:in.w])
		if err != nil {
			return // nextRecord will say it
		}
		next := in.scan + HeaderLen + h.ContentLength + h.PaddingLength
		if h.Type == TypeEndRequest && h.ID == requestID {
			content := in.scan + HeaderLen
			if h.ContentLength != 8 {
				_, _, in.endErr = ParseEndRequest(make([]byte, h.ContentLength))
				return
			}
			if next > in.w {
				return
			}
			in.app, in.status, _ = ParseEndRequest((*in.block)[content : content+8])
			in.ended = true
			x.letGo(next == in.w)
			return
		}
		in.scan = next
	}
}

// letGo gives up the connection after END_REQUEST. It may be used again only when the
// application has taken the whole request and nothing is left over.
func (x *exchange) letGo(clean bool) {
	if x.unwatch != nil {
		x.unwatch()
		x.unwatch = nil
	}
	c := x.takeConn()
	whole := x.sent == len(x.request) && x.sendErr == nil
	if x.feed != nil {
		whole = x.feed.finished()
	}
	switch {
	case clean && whole && x.in.status == StatusRequestComplete:
		x.t.pool.put(c)
	default: // the worker is not to blame if it did not read all (B27)
		x.t.pool.discard(c, clean)
	}
}

// connectionEnded says what it means that the connection was closed, or broke, before
// END_REQUEST.
func (x *exchange) connectionEnded(err error) error {
	in := &x.in
	in.broken = true
	if x.c.end != nil && (in.got > 0 || !x.reused || !idempotent(x.req.Method())) { // else it is sent again at once
		in.ending = x.c.end(200 * time.Millisecond)
	}
	between := in.left == 0 && in.skip == 0 && in.r == in.w
	switch {
	case in.got == 0:
		in.dropped = true
		return &cgi.Error{Kind: cgi.NoOutput, Reason: "it closed the connection without an answer" + x.hint(err), Err: err}
	case between && x.header && (x.c.last || in.stdoutOver) && !strings.Contains(in.ending, "signal"): // B28
		in.over = true
		x.t.log().Warn("application closed the connection without END_REQUEST", x.about()...)
		return nil
	case !between:
		return &cgi.Error{Kind: cgi.Truncated, Reason: "it closed the connection in the middle of a record" + x.hint(err), Err: err}
	}
	return &cgi.Error{Kind: cgi.Truncated, Reason: "it closed the connection before the end of its answer" + x.hint(err), Err: err}
}

// hint is what there is to say of a connection's end but that.
func (x *exchange) hint(err error) string {
	if x.sendErr != nil {
		err = x.sendErr
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return " (" + sys.Err.Error() + ")"
	}
	return ""
}

// quick is for how long an exchange is not watched closely: only the connection's
// deadline is set, not for each read, and it wakes us when the time is over. Most
// responses are complete by then.
const quick = 50 * time.Millisecond

// A limit is what ends a read that finds nothing.
type limit int

const (
	noLimit limit = iota
	quickLimit
	withinLimit
	headerLimit
	idleLimit
	totalLimit
)

// readConn reads from the connection within the limits of time. Its own errors are
// cgi.ErrNothingYet and *cgi.Error.
func (x *exchange) readConn(p []byte, within time.Duration) (int, error) {
	if x.asked.IsZero() {
		x.asked = time.Now()
	}
	for {
		which, err := x.setDeadline(within)
		if err != nil {
			return 0, err
		}
		n, err := x.c.Read(p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case which == withinLimit && time.Since(x.asked) >= within:
			return 0, cgi.ErrNothingYet
		}
		if e := x.timeout(which); e != nil {
			return 0, e
		}
	}
}

// setDeadline prepares a read and says which limit its deadline is.
func (x *exchange) setDeadline(within time.Duration) (limit, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.interrupted != nil {
		return 0, x.interrupted
	}
	now, c := time.Now(), x.c
	at, which := x.deadline(within)
	if !x.in.settled {
		if early := x.start.Add(quick); now.Before(early) {
			if which == noLimit || at.Sub(now) > quick {
				if left := c.deadline.Sub(now); left < quick/2 || left > quick {
					c.deadline = now.Add(quick)
					_ = c.SetReadDeadline(c.deadline)
				}
				return quickLimit, nil
			}
		} else {
			x.settle()
		}
	}
	c.deadline = at
	_ = c.SetReadDeadline(at)
	return which, nil
}

// settle has the context watched from now on.
func (x *exchange) settle() {
	x.in.settled = true
	if x.ctx.Done() != nil && x.unwatch == nil {
		x.unwatch = context.AfterFunc(x.ctx, func() { x.interrupt(goneError(x.ctx, "before the end of the answer")) })
	}
}

// interrupt ends the read under way.
func (x *exchange) interrupt(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.interrupted == nil {
		x.interrupted = err
	}
	if x.c != nil {
		x.c.deadline = time.Unix(0, 1)
		_ = x.c.SetReadDeadline(x.c.deadline)
	}
}

// deadline is until when a read may wait, and which limit that is.
func (x *exchange) deadline(within time.Duration) (at time.Time, which limit) {
	consider := func(t time.Time, l limit) {
		if which == noLimit || t.Before(at) {
			at, which = t, l
		}
	}
	times := &x.t.Times
	fed := x.start.Add(time.Duration(x.fed.Load()))
	if within >= 0 {
		consider(x.asked.Add(within), withinLimit)
	}
	switch {
	case !x.header && times.Header > 0:
		consider(fed.Add(times.Header), headerLimit)
	case x.header && times.Idle > 0:
		since := x.asked // not the last output: a slow front asks late
		if fed.After(since) {
			since = fed
		}
		consider(since.Add(times.Idle), idleLimit)
	}
	if times.Total > 0 {
		consider(x.start.Add(times.Total), totalLimit)
	}
	return at, which
}

// timeout ends an exchange that has used up its time; nil if the limit has moved on.
func (x *exchange) timeout(which limit) error {
	at, now := x.deadline(-1)
	if which < headerLimit || now != which || time.Now().Before(at) {
		return nil
	}
	x.in.broken = true // the connection is closed: the only way to stop it
	times, why := &x.t.Times, ""
	switch which {
	case headerLimit:
		why = fmt.Sprintf("it did not send a complete header within %v (header_timeout)", times.Header)
	case idleLimit:
		why = fmt.Sprintf("it sent nothing more for %v (idle_timeout)", times.Idle)
	default:
		why = fmt.Sprintf("it did not finish within %v (timeout)", times.Total)
	}
	return &cgi.Error{Kind: cgi.Timeout, Reason: why}
}
