package site

import (
	"io"
	"strconv"
	"sync"
	"time"
)

const (
	// lineDelay is how long a line of a busy log may wait for others to be written
	// with. The first after a pause does not wait.
	lineDelay = 20 * time.Millisecond
	// lineBufferMax bounds what waits for a log that takes nothing, in bytes.
	lineBufferMax = 1 << 20
	// lineCloseTime bounds the last write when the host stops.
	lineCloseTime = 5 * time.Second
)

// A lineBuffer writes a log beside whoever has something to say in it: no request waits
// for a disk or for the reader of a pipe, and a busy host writes many lines at once. Lines
// that find a full buffer are lost; a line says how many.
type lineBuffer struct {
	w io.Writer

	mu    sync.Mutex
	buf   []byte
	spare []byte // the other buffer, while none is written from it
	lost  int
	last  time.Time // of the last write
	armed bool      // a flush is due or runs
	timer *time.Timer
	idle  sync.Cond // armed became false
}

func newLineBuffer(w io.Writer) *lineBuffer {
	l := &lineBuffer{w: w}
	l.idle.L = &l.mu
	return l
}

// begin returns what is in the buffer, for the caller to append whole lines to; end, which
// must follow, takes the result.
func (l *lineBuffer) begin() []byte {
	l.mu.Lock()
	return l.buf
}

func (l *lineBuffer) end(b []byte, now time.Time) {
	defer l.mu.Unlock()
	if len(b) > lineBufferMax {
		l.lost++
		return
	}
	l.buf = b
	if l.armed {
		return
	}
	l.armed = true
	delay := lineDelay
	if now.Sub(l.last) > lineDelay {
		delay = 0
	}
	l.schedule(delay)
}

func (l *lineBuffer) schedule(delay time.Duration) {
	if l.timer == nil {
		l.timer = time.AfterFunc(delay, l.flush)
	} else {
		l.timer.Reset(delay)
	}
}

func (l *lineBuffer) flush() {
	l.mu.Lock()
	b, lost := l.buf, l.lost
	l.buf, l.spare, l.lost = l.spare[:0], nil, 0
	l.mu.Unlock()

	if lost > 0 {
		b = time.Now().UTC().AppendFormat(append(b, "time="...), timeFormat)
		b = append(strconv.AppendInt(append(b, " lost="...), int64(lost), 10), '\n')
	}
	_, _ = l.w.Write(b) // there is nowhere to complain of it

	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.spare = time.Now(), b[:0]
	if len(l.buf) > 0 || l.lost > 0 {
		l.schedule(lineDelay)
		return
	}
	l.armed = false
	l.idle.Broadcast()
}

// close writes what is left, if the log takes it within lineCloseTime. Nothing may be
// added afterwards.
func (l *lineBuffer) close() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.armed && l.timer.Stop() {
			l.timer.Reset(0)
		}
		for l.armed {
			l.idle.Wait()
		}
	}()
	select {
	case <-written:
	case <-time.After(lineCloseTime):
	}
}
