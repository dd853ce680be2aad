package fastcgi

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// feeder writes what of a request does not fit into the first write, beside the
// reading of its response: neither side waits for the other (B26). It ends when all
// was written, when the application does not read or the connection is closed (B27),
// and at stop.
type feeder struct {
	x      *exchange
	c      *poolConn
	head   []byte // of the request, where that was too long for one write
	body   io.Reader
	length int64

	last    atomic.Bool // the last write is under way
	stopped atomic.Bool
	whole   bool          // all was written; may be read once done is closed
	done    chan struct{} // closed when it has ended
}

// feedBlock is a record of the greatest length with the end of its stream.
const feedBlock = HeaderLen + maxSent + HeaderLen

var feedBlocks = sync.Pool{New: func() any { b := make([]byte, feedBlock); return &b }}

func startFeeder(x *exchange) *feeder {
	f := &feeder{x: x, c: x.c, body: x.body, length: x.req.ContentLength, done: make(chan struct{})}
	if !x.short() {
		f.head = x.request
	}
	go f.run()
	return f
}

// run may still be in body.Read when the exchange is over; whoever gave the body makes
// that Read return.
func (f *feeder) run() {
	defer close(f.done)
	buf := feedBlocks.Get().(*[]byte)
	defer feedBlocks.Put(buf)
	limited := f.x.t.Times.Stdin > 0
	f.last.Store(f.body == nil && f.x.data == nil)
	if f.head != nil && !f.write(f.head) {
		return
	}
	if f.body != nil && !f.stream(TypeStdin, *buf, f.body, f.length, f.x.data == nil) {
		return
	}
	if f.x.data != nil && !f.stream(TypeData, *buf, f.x.data, f.x.dataLen, true) {
		return
	}
	if limited {
		_ = f.c.SetWriteDeadline(time.Time{})
	}
	f.whole = true
}

// stream writes length bytes of r as a stream of type t, with its end. It ends early,
// and the exchange with it, when r does (A60, B47).
func (f *feeder) stream(t Type, buf []byte, r io.Reader, length int64, last bool) bool {
	if length == 0 {
		f.last.Store(last)
		return f.write(AppendStreamEnd(buf[:0], t, requestID))
	}
	for length > 0 {
		n, err := r.Read(buf[HeaderLen : HeaderLen+min(length, maxSent)])
		length -= int64(n)
		if n > 0 {
			record := buf[:HeaderLen+n]
			AppendRecordHeader(buf[:0], t, requestID, n, padding(n))
			record = append(record, zeros[:padding(n)]...)
			if length == 0 {
				record = AppendStreamEnd(record, t, requestID)
				f.last.Store(last)
			}
			if !f.write(record) {
				return false
			}
		}
		if err != nil && length > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			f.fail(t, err)
			return false
		}
	}
	return true
}

// write reports whether p was written. It is not when the application does not read;
// then its answer decides, or its silence.
func (f *feeder) write(p []byte) bool {
	for {
		if stall := f.x.t.Times.Stdin; stall > 0 {
			_ = f.c.SetWriteDeadline(time.Now().Add(stall))
		}
		if f.stopped.Load() { // stop's deadline may have been overwritten
			return false
		}
		n, err := f.c.Write(p)
		if n > 0 {
			f.x.fed.Store(int64(time.Since(f.x.start)))
		}
		if err == nil {
			return true
		}
		if n == 0 || f.stopped.Load() || !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		p = p[n:] // slow, but it reads
	}
}

func (f *feeder) fail(t Type, err error) {
	if f.stopped.Load() {
		return
	}
	f.x.interrupt(streamError(t, err))
}

// stop ends the writing. What fails after it is of no interest.
func (f *feeder) stop() {
	f.stopped.Store(true)
	_ = f.c.SetWriteDeadline(time.Unix(0, 1))
}

// ended reports whether the feeder's goroutine has ended.
func (f *feeder) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// finished reports whether all was written; then the connection may be used again. The
// last write may be about to return: the application can answer what it has read before
// that.
func (f *feeder) finished() bool {
	if !f.ended() {
		if !f.last.Load() {
			return false
		}
		t := time.NewTimer(20 * time.Millisecond)
		defer t.Stop()
		select {
		case <-f.done:
		case <-t.C:
			return false
		}
	}
	if f.whole && f.stopped.Load() { // too late
		_ = f.c.SetWriteDeadline(time.Time{})
	}
	return f.whole
}
