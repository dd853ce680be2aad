package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	weighEvery   = 5 * time.Second        // all workers
	weighAtLeast = 100 * time.Millisecond // between two looks at one
)

// keep looks after what happens by the passing of time: idle workers, pauses that
// are over, memory. It ends with Close.
func (w *Workers) keep() {
	t := time.NewTimer(0)
	defer t.Stop()
	weigh := time.Now().Add(weighEvery)
	for {
		select {
		case <-w.life.Done():
			return
		case <-w.wake:
		case <-t.C:
		}
		if now := time.Now(); w.MaxMemory > 0 && !now.Before(weigh) {
			w.weighAll()
			weigh = time.Now().Add(weighEvery)
		}
		t.Reset(time.Until(w.tend(weigh)))
	}
}

// lookBy asks for a look not later than at t; the zero time asks for nothing. mu
// is held.
func (w *Workers) lookBy(t time.Time) {
	if t.IsZero() || !w.look.IsZero() && !t.Before(w.look) {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// tend does what is due and tells when the next look is.
func (w *Workers) tend(weigh time.Time) time.Time {
	w.mu.Lock()
	now := time.Now()
	next := now.Add(time.Hour)
	if w.MaxMemory > 0 {
		next = weigh
	}
	due, settled := w.settle(now)
	next = earlier(next, due)
	next = earlier(next, w.endIdle(now))
	w.fill(now)
	if wait := w.back.wait(now); wait > 0 {
		next = earlier(next, now.Add(wait))
	}
	w.look = next
	w.mu.Unlock()
	if settled != nil {
		w.log().Info("workers stay alive again", "worker", w.name(), "pid", settled.p.Pid)
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// settle forgets the failures when a worker begun since lives long enough, and tells
// when one will have. It returns the worker that ended a crash loop by it.
func (w *Workers) settle(now time.Time) (next time.Time, by *worker) {
	if w.back.failures == 0 {
		return next, nil
	}
	for _, wk := range w.all {
		switch {
		case wk.state != ready || wk.number <= w.back.first:
		case now.Sub(wk.started) < settled:
			next = wk.started.Add(settled)
		default:
			if w.back.works(wk.number) {
				by = wk
			}
			return time.Time{}, by
		}
	}
	return next, nil
}

// endIdle retires the workers above Min that were idle for long, and tells when
// the next will have been.
func (w *Workers) endIdle(now time.Time) (next time.Time) {
	for surplus := w.active() - w.Min; surplus > 0; surplus-- {
		var oldest *worker
		for _, wk := range w.all {
			if wk.state == ready && wk.conns == 0 && (oldest == nil || wk.since.Before(oldest.since)) {
				oldest = wk
			}
		}
		switch {
		case oldest == nil:
			return next
		case now.Sub(oldest.since) < w.idle():
			return oldest.since.Add(w.idle())
		}
		w.retire(oldest, fmt.Sprintf("it was idle for %s", w.idle()))
	}
	return next
}

// weighAll looks at the memory of every worker.
func (w *Workers) weighAll() {
	w.mu.Lock()
	var list []*worker
	for _, wk := range w.all {
		if wk.state == ready {
			list = append(list, wk)
		}
	}
	w.mu.Unlock()
	for _, wk := range list {
		w.weigh(wk)
	}
}

// mayWeigh reports whether it is time for another look at the worker's memory.
func (wk *worker) mayWeigh(now time.Time) bool {
	last, at := wk.weighed.Load(), ticks(now)
	return (last == 0 || at-last >= int64(weighAtLeast)) && wk.weighed.CompareAndSwap(last, at)
}

// weigh retires a worker that uses too much memory; it reports whether it does not.
func (w *Workers) weigh(wk *worker) bool {
	size := residentTree(wk.p.Pid)
	if size <= w.MaxMemory {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retire(wk, fmt.Sprintf("it uses %d bytes of memory, more than %d", size, w.MaxMemory))
	return false
}

// Resident is the resident memory in bytes of a process and its descendants, of which at
// most a hundred are looked at; 0 when it is gone.
func Resident(pid int) int64 { return residentTree(pid) }

// residentTree adds up the resident memory of a process and its descendants, at
// most a hundred of them.
func residentTree(pid int) (sum int64) {
	tree := []int{pid}
	for n := 0; n < len(tree) && n < 100; n++ {
		sum += resident(tree[n])
		more, _ := childrenOf(tree[n])
		tree = append(tree, more...)
	}
	return sum
}

// resident is the resident memory of one process in bytes, 0 when it is gone
// (proc(5), statm).
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
