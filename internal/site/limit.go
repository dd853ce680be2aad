package site

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
)

// turns lets a bounded number of requests be answered at once and a bounded number
// wait for a bounded time, in the order in which they came.
type turns struct {
	slots   chan struct{}
	queue   int64
	timeout time.Duration // 0: as long as the client waits
	waiting atomic.Int64
}

func newTurns(slots, queue int, timeout time.Duration) *turns {
	return &turns{slots: make(chan struct{}, slots), queue: int64(queue), timeout: timeout}
}

// same reports whether two have the same bounds. There may be no t.
func (t *turns) same(o *turns) bool {
	return t != nil && cap(t.slots) == cap(o.slots) && t.queue == o.queue && t.timeout == o.timeout
}

// limiter is a Responder that has requests wait for their turns. Those for which there
// is no room are told at once to come again (A97).
type limiter struct {
	*turns
	next cgi.Responder
	what string
	key  string // of the configuration that says how many at once
}

func newLimiter(next cgi.Responder, what, key string, t *turns) *limiter {
	return &limiter{turns: t, next: next, what: what, key: key}
}

func (l *limiter) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	queued, err := l.acquire(ctx, req.Progress())
	if req.Account != nil {
		req.Account.Queued = queued
	}
	if err != nil {
		return nil, err
	}
	resp, err := l.next.Respond(ctx, req)
	if err != nil {
		l.releaseAfter(cgi.AsError(err).Gone) // it may have been late, and ignore SIGTERM (E67)
		return nil, err
	}
	resp.OnClose(func() { l.releaseAfter(resp.Gone) })
	return resp, nil
}

// acquire waits for a turn and says for how long it has.
func (l *limiter) acquire(ctx context.Context, p *cgi.Progress) (time.Duration, error) {
	select {
	case l.slots <- struct{}{}:
		return 0, nil
	default:
	}
	begun := time.Now()
	if l.waiting.Add(1) > l.queue {
		l.waiting.Add(-1)
		return 0, l.busy(fmt.Sprintf("%d run and %d wait (%s, queue)", cap(l.slots), l.queue, l.key))
	}
	defer l.waiting.Add(-1)
	p.Now(cgi.Queued)
	var late <-chan time.Time
	if l.timeout > 0 {
		t := time.NewTimer(l.timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case l.slots <- struct{}{}:
		return time.Since(begun), nil
	case <-late:
		return time.Since(begun), l.busy(fmt.Sprintf("none of %d became free within %v (%s, queue_timeout)", cap(l.slots), l.timeout, l.key))
	case <-ctx.Done():
		return time.Since(begun), &cgi.Error{Kind: cgi.ClientGone, Reason: "the client went away while it waited for a turn", Err: context.Cause(ctx)}
	}
}

func (l *limiter) busy(why string) error {
	return &cgi.Error{Kind: cgi.Busy, Reason: l.what + " is busy: " + why, RetryAfter: time.Second}
}

func (l *limiter) release() { <-l.slots }

// releaseAfter gives the place back when the process that held it is gone: one
// that ignores SIGTERM makes no room for a second.
func (l *limiter) releaseAfter(gone <-chan struct{}) {
	if gone == nil {
		l.release()
		return
	}
	select {
	case <-gone:
		l.release()
	default:
		go func() { // the process's kill ladder bounds the wait
			<-gone
			l.release()
		}()
	}
}
