package site

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// lineDelay is how long a line of a busy log may wait for others to be written
	// with. The first after a pause does not wait.
	lineDelay = 20 * time.Millisecond
	// lineRetry is the pause after a write that failed.
	lineRetry = time.Second
	// lineBufferMax bounds what waits for a log that takes nothing, and linesMax what
	// waits for all of a host's, in bytes.
	lineBufferMax = 1 << 20
	linesMax      = 64 << 20
	// lineCloseTime bounds the last write when the host stops.
	lineCloseTime = 5 * time.Second
)

// A lineBuffer writes a log beside whoever has something to say in it: no request waits
// for a disk or for the reader of a pipe, and a busy host writes many lines at once. What
// could not be written is tried again. Lines that find a full buffer are lost, and counted.
type lineBuffer struct {
	w io.Writer

	// atOnce, if set, reports whether n bytes can be written without waiting for anybody:
	// then Write does it itself, so that a crash loses nothing.
	atOnce func(n int) bool
	// waiting counts the bytes that wait in all buffers of a host.
	waiting *atomic.Int64
	// lines appends a line that tells of lost ones, nil where the format has none for it.
	lines func(b []byte, now time.Time, lost int) []byte
	// failed is told of the first write that fails, works of the first that succeeds
	// after that or after lines were lost. Both may write to the buffer.
	failed func(error)
	works  func(lost int)

	mu      sync.Mutex
	buf     *[]byte // nil: nothing waits
	text    []byte  // *buf, as far as it goes
	flying  int     // bytes that are being written
	lost    int     // lines that were not told of yet
	telling int     // of them, what is being written tells of so many
	failing bool
	outage  bool // that failed was told of
	closing bool
	last    time.Time // of the last write
	armed   bool      // a flush is due or runs
	writing bool
	timer   *time.Timer
	idle    sync.Cond // armed became false
}

func newLineBuffer(w io.Writer) *lineBuffer {
	l := &lineBuffer{w: w, waiting: new(atomic.Int64), failed: func(error) {}, works: func(int) {}}
	l.idle.L = &l.mu
	return l
}

var lineTexts = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// begin returns what is in the buffer, for the caller to append one whole line to; end,
// which must follow, takes the result.
func (l *lineBuffer) begin() []byte {
	l.mu.Lock()
	if l.buf == nil {
		l.buf = lineTexts.Get().(*[]byte)
		l.text = (*l.buf)[:0]
	}
	return l.text
}

func (l *lineBuffer) end(b []byte, now time.Time) {
	defer l.mu.Unlock()
	l.add(b)
	l.arm(now)
}

// Write takes one line. It never fails, and waits for nobody but who writes without
// waiting.
func (l *lineBuffer) Write(line []byte) (int, error) {
	l.add(append(l.begin(), line...))
	var say func()
	if l.atOnce != nil && !l.writing && !l.failing && l.atOnce(len(l.text)) {
		out, size := l.take()
		say = l.put(out, size, l.write(*out))
	}
	l.arm(time.Now())
	l.mu.Unlock()
	if say != nil { // not here: who logs holds a lock of its handler's, which say needs as well
		time.AfterFunc(0, say)
	}
	return len(line), nil
}

// add takes what begin returned with a line more, if there is room for it. mu is held, as
// in all that follow.
func (l *lineBuffer) add(b []byte) {
	grown := int64(len(b) - len(l.text))
	if l.closing {
		return
	}
	if len(b)+l.flying > lineBufferMax || l.waiting.Load()+grown > linesMax {
		l.lost++
		return
	}
	l.waiting.Add(grown)
	l.text = b
}

// arm sees to a flush, if something is there to be written.
func (l *lineBuffer) arm(now time.Time) {
	if l.armed || len(l.text) == 0 && l.lost == 0 {
		return
	}
	l.armed = true
	switch {
	case (l.failing || len(l.text) == 0) && !l.closing:
		l.schedule(lineRetry)
	case now.Sub(l.last) > lineDelay || l.closing:
		l.schedule(0)
	default:
		l.schedule(lineDelay)
	}
}

func (l *lineBuffer) schedule(delay time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(delay, l.flush)
	} else {
		l.timer.Reset(delay)
	}
}

// take takes out what is to be written; size bytes of it were counted.
func (l *lineBuffer) take() (out *[]byte, size int) {
	out, b := l.buf, l.text
	if out == nil {
		out = lineTexts.Get().(*[]byte)
		b = (*out)[:0]
	}
	size = len(b)
	if l.telling = 0; !l.failing && l.lost > 0 {
		if l.telling = l.lost; l.lines != nil {
			b = l.lines(b, time.Now(), l.lost)
		}
	}
	*out = b
	l.buf, l.text, l.flying = nil, nil, len(b)
	return out, size
}

// written is how a write ended.
type written struct {
	n   int
	err error
}

func (l *lineBuffer) write(b []byte) written {
	n, err := l.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return written{n, err}
}

// put ends what take began: what was not written is put back before what has come since.
// It returns what is to be said of it when mu is not held any more, perhaps in this log; nil
// for nothing.
func (l *lineBuffer) put(out *[]byte, size int, was written) (say func()) {
	l.last, l.flying = time.Now(), 0
	rest := (*out)[was.n:]
	l.waiting.Add(int64(len(rest) - size))
	switch {
	case was.err != nil:
		rest = append(rest, l.text...)
		l.release(l.buf, l.text)
		*out = append((*out)[:0], rest...)
		l.buf, l.text = out, *out
	default:
		l.release(out, *out)
	}
	if l.lines != nil || was.err == nil { // the line that tells of them is in the rest
		l.lost -= l.telling
	}
	lost := l.telling
	l.failing = was.err != nil
	switch {
	case l.failing && !l.outage:
		l.outage = true
		return func() { l.failed(was.err) }
	case !l.failing && (lost > 0 || l.outage && l.lost == 0):
		l.outage = false
		return func() { l.works(lost) }
	}
	return nil
}

func (l *lineBuffer) release(buf *[]byte, text []byte) {
	if buf != nil {
		*buf = text[:0]
		lineTexts.Put(buf)
	}
}

// flush is the timer's: it writes what there is, and comes again while there is more.
func (l *lineBuffer) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	out, size := l.take()
	l.writing = true
	var was written
	if len(*out) > 0 {
		l.mu.Unlock()
		was = l.write(*out)
		l.mu.Lock()
	}
	say := l.put(out, size, was)
	if say != nil {
		l.mu.Unlock()
		say()
		l.mu.Lock()
	}
	l.writing = false
	switch {
	case l.failing && l.closing: // nobody waits any longer
	case l.failing, len(l.text) == 0 && l.lost > 0 && !l.closing:
		l.schedule(lineRetry)
		return
	case len(l.text) > 0 || l.lost > 0:
		l.schedule(lineDelay)
		return
	}
	l.armed = false
	l.idle.Broadcast()
}

// close writes what is left, if the log takes it within lineCloseTime. Nothing may be
// added afterwards. It reports whether everything was written.
func (l *lineBuffer) close() (whole bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.closing = true
		if l.armed && l.timer.Stop() {
			l.timer.Reset(0)
		}
		for l.armed {
			l.idle.Wait()
		}
	}()
	t := time.NewTimer(lineCloseTime)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	whole = len(l.text)+l.flying+l.lost == 0
	l.waiting.Add(-int64(len(l.text)))
	l.release(l.buf, l.text)
	l.buf, l.text = nil, nil
	return whole
}
