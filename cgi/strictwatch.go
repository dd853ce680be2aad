package cgi

import (
	"sync"
	"time"
)

// strictWatchDelay is how long the watch for a client's going away sleeps before it looks
// at the connection. Most requests are over by then.
const strictWatchDelay = 50 * time.Millisecond

// strictWatch stands in for the read of one byte with which net/http waits, while a handler
// runs, for its client to go away, and which it ends by a read deadline in the past. For the
// first strictWatchDelay that read waits here: a short request then costs no read(2) and
// no turn through the runtime's poller.
type strictWatch struct {
	mu      sync.Mutex
	waiting bool // a read waits here
	past    bool // the deadline that was set is in the past
	below   bool // the connection below has a read deadline
	wake    chan struct{}
	timer   *time.Timer
}

// wait reports whether a deadline ended the read; otherwise it is time to read.
func (w *strictWatch) wait() (ended bool) {
	w.mu.Lock()
	if w.past {
		w.mu.Unlock()
		return true
	}
	w.waiting = true
	if w.timer == nil {
		w.wake, w.timer = make(chan struct{}, 1), time.NewTimer(strictWatchDelay)
	} else {
		w.timer.Reset(strictWatchDelay)
	}
	w.mu.Unlock()
	select {
	case <-w.wake:
		w.timer.Stop()
		return true
	case <-w.timer.C:
	}
	w.mu.Lock()
	ended = !w.waiting
	w.waiting = false
	w.mu.Unlock()
	if ended {
		<-w.wake
	}
	return ended
}

// deadline reports whether a new read deadline was dealt with here.
func (w *strictWatch) deadline(t time.Time) bool {
	past := !t.IsZero() && time.Until(t) <= 0
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.waiting && past:
		w.waiting, w.past = false, true
		w.wake <- struct{}{}
		return true
	case w.past && t.IsZero() && !w.below:
		w.past = false
		return true
	}
	w.past, w.below = past, !t.IsZero()
	return false
}

// SetReadDeadline sets the deadline of Read, as net.Conn has it.
func (c *strictConn) SetReadDeadline(t time.Time) error {
	if c.watch.deadline(t) {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets the deadlines of Read and Write, as net.Conn has it.
func (c *strictConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// watches reports whether a Read into p is net/http's wait for the client to go away: one
// byte, between two requests.
func (c *strictConn) watches(p []byte) bool {
	return len(p) == 1 && c.scanner.state == strictInStart && c.scanner.heads > 0
}
