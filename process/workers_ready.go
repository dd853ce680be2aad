package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

var errEndedEarly = errors.New("the program ended before it served")

// awaitServing waits, at most StartTimeout, until a worker listens and Ready is
// content. What it returns is the connection that showed it.
func (wk *worker) awaitServing(ctx context.Context) (net.Conn, error) {
	w := wk.w
	most := w.StartTimeout
	if most <= 0 {
		most = DefaultStartTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	c, err := wk.awaitListening(ctx, most)
	if err != nil || w.Ready == nil {
		return c, err
	}
	if err := wk.awaitReady(ctx, c); err != nil {
		_ = c.Close()
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = fmt.Errorf("is not ready after %s", most)
		}
		return nil, err
	}
	return c, nil
}

// awaitReady calls Ready and interrupts it when the program ends or ctx is done.
func (wk *worker) awaitReady(ctx context.Context, c net.Conn) error {
	ctx, end := context.WithCancelCause(ctx)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.SetDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	wk.p.AfterExit(func() { end(errEndedEarly) })
	err := wk.w.Ready(ctx, c)
	if err != nil && atEnd(c) && wk.awaitEnd(ctx) {
		err = errEndedEarly
	}
	if !stop() {
		<-interrupted
		err = context.Cause(ctx)
	}
	end(nil)
	return err
}

// awaitEnd gives a program that has closed its only connection the time to end by
// itself: how it does says more than that it was killed.
func (wk *worker) awaitEnd(ctx context.Context) (ended bool) {
	const moment = 5 * time.Second
	t := time.NewTimer(moment)
	defer t.Stop()
	select {
	case <-wk.p.Exited():
	case <-ctx.Done():
	case <-t.C:
	}
	_, ended = wk.p.Exit()
	return ended
}

// mostHeld is how many bytes of a worker's standard error are held back.
const mostHeld = 64 << 10

// heldLines are what a worker has written to its standard error before it is ready.
type heldLines struct {
	mu    sync.Mutex
	on    bool
	lines []string
	size  int
}

// add keeps a line, or tells that it is to be logged.
func (h *heldLines) add(line string) (log []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.on {
		return []string{line}
	}
	h.lines = append(h.lines, line)
	if h.size += len(line) + 1; h.size > mostHeld {
		return h.endLocked()
	}
	return nil
}

// end returns the lines. Those that follow are not held.
func (h *heldLines) end() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.endLocked()
}

func (h *heldLines) endLocked() []string {
	lines := h.lines
	h.on, h.lines = false, nil
	return lines
}

// logLines logs what a worker has written to its standard error.
func (wk *worker) logLines(lines []string) {
	for _, line := range lines {
		wk.w.log().Warn("stderr", "worker", wk.w.name(), "pid", wk.p.Pid, "line", line)
	}
}

// showFailure logs what a worker that did not become ready has said, unless the one
// before it has said the same: of a crash loop one traceback is enough.
func (wk *worker) showFailure() {
	lines := wk.held.end()
	if len(lines) == 0 {
		return
	}
	text := strings.Join(lines, "\n")
	w := wk.w
	w.mu.Lock()
	again := w.shown == text
	w.shown = text
	w.mu.Unlock()
	if !again {
		wk.logLines(lines)
	}
}
