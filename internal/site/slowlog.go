package site

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gatehouse/cgi"
)

// slowWatch reports requests that run for longer than they should, each once. One timer
// serves all of them: it is set for the one that is due first, and looks again then; what
// ends in time costs two short waits for a lock.
type slowWatch struct {
	looks lookouts

	mu     sync.Mutex
	lists  map[time.Duration]*lateList // by the limit: in each, who came first is due first
	timer  *time.Timer
	armed  bool // the timer is set, or reports
	at     time.Time
	closed bool
	idle   sync.Cond // armed became false
}

// late is a request that may become slow. Its links are for slowWatch.mu.
type late struct {
	*tracked
	route  *route
	script string
	limit  time.Duration
	due    time.Time
	to     *slog.Logger // nil: it is only marked

	list       *lateList // nil: it is in none any more
	prev, next *late
	reported   bool
}

type lateList struct{ first, last *late }

// begin watches over a request from now on.
func (w *slowWatch) begin(l *late) {
	l.due = time.Now().Add(l.limit)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	list := w.lists[l.limit]
	if list == nil {
		if w.lists == nil {
			w.lists = make(map[time.Duration]*lateList)
		}
		list = new(lateList)
		w.lists[l.limit] = list
	}
	l.list, l.prev = list, list.last
	if list.last != nil {
		list.last.next = l
	} else {
		list.first = l
	}
	list.last = l
	if !w.armed || l.due.Before(w.at) {
		w.schedule()
	}
}

// end returns whether it was reported.
func (w *slowWatch) end(l *late) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(l)
	return l.reported
}

func (w *slowWatch) remove(l *late) {
	list := l.list
	if list == nil {
		return
	}
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		list.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		list.last = l.prev
	}
	l.list, l.prev, l.next = nil, nil, nil
	if list.first == nil {
		delete(w.lists, l.limit)
	}
}

// earliest is who is due first, nil where nobody is watched over. There are as many lists
// as limits in the configuration.
func (w *slowWatch) earliest() *late {
	var l *late
	for _, list := range w.lists {
		if l == nil || list.first.due.Before(l.due) {
			l = list.first
		}
	}
	return l
}

// schedule sets the timer, unless it reports just now and will look itself.
func (w *slowWatch) schedule() {
	if w.armed && !w.timer.Stop() {
		return
	}
	l := w.earliest()
	if l == nil {
		w.armed = false
		w.idle.Broadcast()
		return
	}
	w.armed, w.at = true, l.due
	wait := max(0, time.Until(l.due))
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.report)
	} else {
		w.timer.Reset(wait)
	}
}

// report is the timer's: it reports those that are due, one after another.
func (w *slowWatch) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for l := w.earliest(); l != nil && !w.closed && !l.due.After(time.Now()); l = w.earliest() {
		w.remove(l)
		l.reported = true
		w.mu.Unlock()
		l.tell(&w.looks)
		w.mu.Lock()
	}
	w.armed = false
	if w.closed {
		w.idle.Broadcast()
		return
	}
	w.schedule()
}

// close waits for a report under way. Nothing is reported after it.
func (w *slowWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle.L = &w.mu
	w.closed = true
	if w.armed && w.timer.Stop() {
		w.armed = false
	}
	for w.armed {
		w.idle.Wait()
	}
}

// tell writes the report.
func (l *late) tell(looks *lookouts) {
	if l.to == nil {
		return
	}
	pid := l.Pid()
	attrs := []any{
		"request", l.id, "after", time.Since(l.begun).Round(time.Millisecond).String(), "slow", l.limit.String(), "phase", l.Phase().String(),
		"site", l.route.site.name, "route", l.route.config.Path, "script", l.script,
		"client", l.env.Get("REMOTE_ADDR"), "method", l.env.Get("REQUEST_METHOD"), "uri", l.env.Get("REQUEST_URI"),
		"bytes", l.Sent(),
	}
	if pid != 0 {
		attrs = append(attrs, "pid", pid, "process", looks.look(pid))
	}
	if text := lastLines(l.Stderr()); text != "" {
		attrs = append(attrs, "stderr", text)
	}
	for n, a := range attrs {
		if text, ok := a.(string); ok {
			attrs[n] = shown(cgi.Printable(text))
		}
	}
	l.to.Warn("slow request", attrs...)
}

// lastLines are a few of the end of a text.
func lastLines(text string) string {
	const most = 5
	text = strings.TrimRight(text, "\n")
	at := len(text)
	for n := 0; n < most && at >= 0; n++ {
		at = strings.LastIndexByte(text[:at], '\n')
	}
	return strings.ReplaceAll(text[at+1:], "\n", " | ")
}

// watched answers a request, which is reported when it takes longer than its route's limit.
func (s *site) watched(ctx context.Context, req *cgi.Request, found *Found) (*cgi.Response, error) {
	r := found.Route
	if r == nil || r.slow == nil || !found.IsScript {
		return found.respond(ctx, req)
	}
	t, ok := ctx.Value(trackedKey{}).(*tracked)
	if !ok {
		return found.respond(ctx, req)
	}
	l := &late{tracked: t, route: r, script: found.File, limit: time.Duration(r.config.Limits.Slow), to: r.slowLog}
	if l.script == "" {
		l.script = found.Script.Filename
	}
	r.slow.begin(l)
	over := func() {
		if r.slow.end(l) && req.Account != nil {
			req.Account.Slow = true
		}
	}
	resp, err := found.respond(ctx, req)
	if err != nil {
		over()
		return nil, err
	}
	resp.OnClose(over)
	return resp, nil
}
