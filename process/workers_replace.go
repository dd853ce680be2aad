package process

import "time"

// Replace has every worker end and starts others in their place: those that are
// starting are stopped, the others take no new connections and end when the ones they
// have are closed or released. Done tells the holder of such a connection not to use
// it again; who keeps connections that are not in use is to release them. A crash loop
// is forgotten: the next worker is started at once.
//
// Exchanges that run on their connections have the time they need. Workers that still
// have some when Replace is called again do not count among those that may run, but
// they are no more than twice Max; of more, the oldest are stopped.
func (w *Workers) Replace() {
	if w.Start() != nil {
		return // Dial says why
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	const cause = "it is being replaced"
	w.back = backoff{mark: w.number}
	w.shown = ""
	var left []*worker
	for _, wk := range w.all {
		switch wk.state {
		case starting:
			wk.state, wk.cause, wk.replaced = retired, cause, true
			wk.cancel()
			wk.stop()
		case ready:
			wk.state, wk.cause, wk.replaced = retired, cause, true
			if wk.conns == 0 { // else somebody may be about to connect
				wk.unlink()
				wk.stop()
			}
		}
		if wk.isLeft() {
			left = append(left, wk)
		}
	}
	for n := 0; n < len(left)-2*w.max(); n++ {
		left[n].stop()
	}
	w.fill(time.Now())
}

// isLeft reports whether the worker has been replaced, but has connections still. mu
// is held.
func (wk *worker) isLeft() bool { return wk.replaced && wk.state == retired && wk.conns > 0 }

// left counts those workers. mu is held.
func (w *Workers) left() (n int) {
	for _, wk := range w.all {
		if wk.isLeft() {
			n++
		}
	}
	return n
}
