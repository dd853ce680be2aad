package process

import (
	"context"
	"net"
	"slices"
	"time"
)

// waiter is a Dial that waits for a place. It is in Workers.waiting until it has
// been granted one.
type waiter struct {
	got chan grant // takes one without blocking
}

// grant is a place of a worker, perhaps with a connection already, or why there
// is none.
type grant struct {
	wk   *worker
	conn net.Conn
	err  error
}

// place returns a place for one connection.
func (w *Workers) place(ctx context.Context) (grant, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return grant{}, ErrWorkersClosed
	}
	if wk := w.free(); wk != nil {
		wk.conns++
		w.mu.Unlock()
		return grant{wk: wk}, nil
	}
	me := &waiter{make(chan grant, 1)}
	w.waiting = append(w.waiting, me)
	w.fill(time.Now())
	w.mu.Unlock()
	select {
	case g := <-me.got:
		return g, g.err
	case <-ctx.Done():
		w.leave(me)
		return grant{}, context.Cause(ctx)
	}
}

// leave is the end of a Dial that waits no longer.
func (w *Workers) leave(me *waiter) {
	w.mu.Lock()
	n := slices.Index(w.waiting, me)
	if n >= 0 {
		w.waiting = slices.Delete(w.waiting, n, n+1)
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	g := <-me.got // it was given a place meanwhile
	if g.conn != nil {
		_ = g.conn.Close()
	}
	if g.wk != nil {
		w.putBack(g.wk)
	}
}

// free finds a worker with a free place, nil where there is none. Of a fixed number
// it takes the least busy; of a varying one that which was used last, so that
// those which are not needed become idle. mu is held, as for all that follows here.
func (w *Workers) free() *worker {
	fixed := w.Min == w.max()
	var best *worker
	for _, wk := range w.all {
		switch {
		case wk.state != ready || wk.conns >= w.places() || wk.hasEnded():
		case best == nil, fixed && wk.conns < best.conns:
			best = wk
		case (!fixed || wk.conns == best.conns) && wk.stamp > best.stamp:
			best = wk
		}
	}
	return best
}

// active counts the workers that take connections, or will.
func (w *Workers) active() (n int) {
	for _, wk := range w.all {
		if wk.state <= ready {
			n++
		}
	}
	return n
}

// fill begins as many workers as there should be, and fails those who wait where
// there will be none for some time.
func (w *Workers) fill(now time.Time) {
	for w.wants(now) {
		w.begin(now)
	}
	if wait := w.back.wait(now); wait > 0 && len(w.waiting) > 0 && w.active() == 0 {
		w.fail(&DownError{Name: w.name(), How: w.last, After: wait, Exit: w.exit, Stderr: w.tail})
	}
}

// wants reports whether another worker is to be started now.
func (w *Workers) wants(now time.Time) bool {
	if w.closed || w.back.wait(now) > 0 || len(w.all)-w.left() >= 2*w.max() {
		return false
	}
	active, begun := 0, 0
	for _, wk := range w.all {
		if wk.state != dead && (wk.dying || wk.hasEnded()) {
			return false // in a moment, when it is known whether that was a failure
		}
		if wk.state > ready {
			continue
		}
		active++
		if wk.state == starting {
			begun++
		}
		if w.back.looping && wk.requests == 0 && wk.number > w.back.mark {
			return false // one that shows whether it works again is enough
		}
	}
	return active < w.Min || active < w.max() && len(w.waiting) > begun*w.places()
}

// fail tells everyone who waits.
func (w *Workers) fail(err error) {
	for _, other := range w.waiting {
		other.got <- grant{err: err}
	}
	w.waiting = nil
}

// offer gives the free places of a ready worker to those who wait. The first
// gets conn, if it is not nil; what is returned was not needed.
func (w *Workers) offer(wk *worker, conn net.Conn) (left net.Conn) {
	for len(w.waiting) > 0 && wk.conns < w.places() {
		first := w.waiting[0]
		w.waiting = slices.Delete(w.waiting, 0, 1)
		wk.conns++
		first.got <- grant{wk: wk, conn: conn}
		conn = nil
	}
	return conn
}

// putBack gives a place back. It takes mu.
func (w *Workers) putBack(wk *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wk.conns--
	w.stamp++
	wk.stamp = w.stamp
	switch {
	case wk.state == ready:
		_ = w.offer(wk, nil)
		if wk.conns == 0 {
			wk.since = time.Now()
			w.lookBy(wk.since.Add(w.idle()))
		}
	case wk.conns == 0:
		wk.stop()
	}
}

// retire has a worker take no more connections and end when it has none. It
// starts another in its place, first.
func (w *Workers) retire(wk *worker, cause string) {
	if wk.state > ready {
		return
	}
	wk.state, wk.cause = retired, cause
	wk.unlink()
	w.fill(time.Now())
	if wk.conns == 0 {
		wk.stop()
	}
}

// abandon gives a place back whose connection was closed, perhaps in the midst of
// an exchange, and retires the worker. One that is dying has a moment to do so by
// itself, so that its end is not taken for ours. It takes mu.
func (w *Workers) abandon(wk *worker, dying bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wk.conns--
	if dying && wk.state == ready && !w.closed {
		wk.state, wk.cause, wk.dying = retired, "it closed its connection", true
		wk.unlink()
		w.wg.Go(func() { w.awaitDeath(wk) })
		return
	}
	w.retire(wk, "its connection was closed")
	if wk.conns == 0 {
		wk.stop()
	}
}

// awaitDeath ends the worker if it does not end by itself, and takes mu.
func (w *Workers) awaitDeath(wk *worker) {
	const moment = 50 * time.Millisecond
	if awaitEnd(wk.p, moment, w.life.Done()) {
		return // run does the rest
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	wk.dying = false
	w.fill(time.Now())
	if wk.conns == 0 {
		wk.stop()
	}
}

// refused gives back the place of a worker that does not take connections, and
// retires it: it has died, or has closed its socket. It takes mu.
func (w *Workers) refused(wk *worker) {
	wk.p.Await(0)
	w.mu.Lock()
	wk.deaf = true
	w.mu.Unlock()
	w.abandon(wk, true)
}

// served counts an exchange and reports whether the worker may have another. It
// takes mu.
func (w *Workers) served(wk *worker) bool {
	w.mu.Lock()
	wk.requests++
	again := w.back.works(wk.number)
	if wk.most > 0 && wk.requests >= wk.most {
		w.retire(wk, "it has served its number of requests")
	}
	fit := wk.state == ready
	if again {
		w.fill(time.Now())
	}
	w.mu.Unlock()
	if again {
		w.log().Info("workers work again", "worker", w.name(), "pid", wk.p.Pid)
	}
	if fit && w.MaxMemory > 0 && wk.mayWeigh(time.Now()) {
		fit = w.weigh(wk)
	}
	return fit
}
