package fastcgi

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// serverWriter is the way back on one connection. Requests write whole records, at most
// 64 KiB at a time, and take turns; the reader never writes itself, because a front may
// not read before all that it sends was read.
type serverWriter struct {
	c *serverConn

	mu       sync.Mutex // held while writing
	deadline time.Time
	parts    [3][]byte
	vec      net.Buffers
	err      error // sticky

	queueMu sync.Mutex
	queue   []byte           // what the reader has to say
	ends    []*serverRequest // whose END_REQUEST is in queue
	sending bool             // a goroutine sends queue
}

// maxQueue bounds the answers that a front does not read.
const maxQueue = 64 << 10

// write sends a, and b and c if b is not empty. An error ends the connection.
func (w *serverWriter) write(a, b, c []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	// The deadline is set anew when half of what it may be has gone, not for each write.
	limit := w.c.srv.writeTimeout()
	if now := time.Now(); w.deadline.Sub(now) < limit {
		w.deadline = now.Add(limit + limit/2)
		_ = w.c.conn.SetWriteDeadline(w.deadline)
	}
	if len(b) == 0 {
		_, w.err = w.c.conn.Write(a)
	} else {
		w.parts = [3][]byte{a, b, c}
		w.vec = w.parts[:]
		_, w.err = w.vec.WriteTo(w.c.conn)
		w.parts = [3][]byte{}
	}
	if w.err != nil {
		_ = w.c.conn.Close() // the reader does the rest
	}
	return w.err
}

// control sends what the reader has to say, without waiting.
func (w *serverWriter) control(b []byte) error { return w.controlEnd(nil, b) }

// controlEnd does as well, and tells the connection when q's END_REQUEST, in b, is sent.
func (w *serverWriter) controlEnd(q *serverRequest, b []byte) error {
	w.queueMu.Lock()
	if len(b) > maxQueue-len(w.queue) {
		w.queueMu.Unlock()
		if q != nil {
			w.c.ended(q)
		}
		return &ProtocolError{fmt.Sprintf("%d bytes of answers are not read", maxQueue)}
	}
	w.queue = append(w.queue, b...)
	if q != nil {
		w.ends = append(w.ends, q)
	}
	start := !w.sending
	w.sending = true
	w.queueMu.Unlock()
	if start {
		go w.sendQueue() // ends when all is sent, or the connection fails
	}
	return nil
}

func (w *serverWriter) sendQueue() {
	for {
		w.queueMu.Lock()
		b, ends := w.queue, w.ends
		w.queue, w.ends = nil, nil
		if len(b) == 0 {
			w.sending = false
			w.queueMu.Unlock()
			return
		}
		w.queueMu.Unlock()
		_ = w.write(b, nil, nil)
		for _, q := range ends {
			w.c.ended(q)
		}
	}
}

const (
	outputSize  = 32 << 10
	outputLarge = 16 << 10 // what is written at once and at least that long is not copied

	// HAProxy 2.6 (Debian 12) dies of a STDERR record whose content is all that it has to read:
	// there is always padding behind it, and it fits with that into a small buffer.
	mostStderr = 4 << 10

	// outputTail is what end adds: an empty STDOUT and STDERR record, END_REQUEST, padding.
	outputTail = HeaderLen + HeaderLen + 2*HeaderLen + 8
)

var outputs = sync.Pool{New: func() any { return new([outputSize]byte) }}

// serverOutput makes records of what one request writes. It has a buffer only while
// that holds something. Methods may be called by several goroutines.
type serverOutput struct {
	q *serverRequest

	mu     sync.Mutex
	buf    *[outputSize]byte
	n      int  // buf[:n] is records
	open   int  // where the header of the last one is plus 1, if it is STDOUT and may grow; or 0
	errors bool // STDERR was sent
	over   bool
}

// Write adds to the STDOUT stream.
func (o *serverOutput) Write(p []byte) (int, error) { return o.stream(TypeStdout, p) }

// errorStream is the STDERR stream as a writer.
type errorStream struct{ *serverOutput }

// Write adds to the STDERR stream.
func (e errorStream) Write(p []byte) (int, error) { return e.stream(TypeStderr, p) }

func (o *serverOutput) stream(t Type, p []byte) (written int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for written < len(p) {
		if o.over || o.q.aborted.Load() || o.q.overloaded.Load() {
			return written, errEnded
		}
		n, err := o.addLocked(t, p[written:])
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// addLocked takes some of p, into the buffer or to the connection.
func (o *serverOutput) addLocked(t Type, p []byte) (int, error) {
	if o.buf == nil {
		o.buf = outputs.Get().(*[outputSize]byte)
	}
	grow := o.open > 0 && t == TypeStdout
	room := outputSize - o.n - outputTail
	if !grow {
		room -= HeaderLen + 8
	}
	if room <= 0 {
		o.q.stdin.waitSettled()
		return 0, o.flushLocked()
	}
	if t == TypeStderr {
		o.errors = true
	}
	if t == TypeStdout && len(p) >= outputLarge && !o.q.stdin.holds() {
		return o.sendLocked(p[:min(len(p), maxSent)])
	}
	n := min(len(p), room)
	if t == TypeStderr {
		n = min(n, mostStderr)
	}
	if !grow {
		o.closeLocked()
		if t == TypeStdout {
			o.open = o.n + 1
		}
		o.n = len(AppendRecordHeader(o.buf[:o.n], t, o.q.id, 0, 0))
	}
	o.n += copy(o.buf[o.n:], p[:n])
	if t == TypeStderr { // the whole of its record
		o.n = len(padRecord(o.buf[:o.n], o.n-n-HeaderLen, 8-n%8))
	}
	return n, nil
}

// sendLocked sends what is buffered and a record of STDOUT with p, which is not copied.
func (o *serverOutput) sendLocked(p []byte) (int, error) {
	o.closeLocked()
	pad := padding(len(p))
	b := AppendRecordHeader(o.buf[:o.n], TypeStdout, o.q.id, len(p), pad)
	err := o.q.c.out.write(b, p, zeros[:pad])
	o.freeLocked()
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// closeLocked completes the record that may grow.
func (o *serverOutput) closeLocked() {
	if o.open > 0 {
		o.n = len(closeRecord(o.buf[:o.n], o.open-1))
		o.open = 0
	}
}

// flush sends what is buffered, now or when all of STDIN has come.
func (o *serverOutput) flush() error {
	if o.q.stdin.whenSettled(o.cut) {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flushLocked()
}

// cut sends what is buffered in any case.
func (o *serverOutput) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.over {
		_ = o.flushLocked() // the connection knows
	}
}

// spoil ends the output so that the front cannot take it for a whole response: nginx
// does, with fastcgi_buffering off, when the connection just ends. What follows is of
// version 0, so it is no record to anybody.
func (o *serverOutput) spoil() {
	o.cut()
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.q.c.out.write(zeros[:], nil, nil)
	o.over = true
}

func (o *serverOutput) flushLocked() error {
	o.closeLocked()
	var err error
	if o.n > 0 {
		err = o.q.c.out.write(o.buf[:o.n], nil, nil)
	}
	o.freeLocked()
	return err
}

func (o *serverOutput) freeLocked() {
	if o.buf != nil {
		outputs.Put(o.buf)
	}
	o.buf, o.n, o.open = nil, 0, 0
}

// end sends END_REQUEST, and before it what is buffered and the end of STDOUT (B69) if
// the response is whole; otherwise what is buffered is dropped. Nothing can be written
// after it.
func (o *serverOutput) end(whole bool, appStatus uint32, status ProtocolStatus) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !whole {
		o.freeLocked()
	}
	if o.buf == nil {
		o.buf = outputs.Get().(*[outputSize]byte)
	}
	o.closeLocked()
	b := o.buf[:o.n]
	if whole {
		b = AppendStreamEnd(b, TypeStdout, o.q.id)
	}
	if o.errors {
		b = AppendStreamEnd(b, TypeStderr, o.q.id)
	}
	b = AppendEndRequest(b, o.q.id, appStatus, status)
	_ = o.q.c.out.write(b, nil, nil) // the connection knows
	o.freeLocked()
	o.over = true
}
