package site

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// tracked is a request that runs, and the context in which it does.
type tracked struct {
	context.Context
	cgi.Progress
	traffic *traffic
	cancel  context.CancelCauseFunc
	begun   time.Time
	account *cgi.Account
	id      string
	env     environ.Env // as the request came

	where  atomic.Pointer[tally]
	script atomic.Pointer[string]

	shard      *shard
	prev, next *tracked // with shard.mu held
}

// runners are the requests that run, in several lists so that requests do not wait for
// one another.
type runners struct {
	turn   atomic.Uint32
	count  atomic.Int64
	shards [16]shard
}

type shard struct {
	mu    sync.Mutex
	first *tracked
	_     [48]byte // a cache line each
}

func (r *runners) add(t *tracked) {
	t.shard = &r.shards[r.turn.Add(1)%uint32(len(r.shards))]
	r.count.Add(1)
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if t.next = t.shard.first; t.next != nil {
		t.next.prev = t
	}
	t.shard.first = t
}

func (r *runners) remove(t *tracked) {
	r.count.Add(-1)
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		t.shard.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
}

// each calls do with every request that runs, which may end meanwhile.
func (r *runners) each(do func(*tracked)) {
	for n := range r.shards {
		s := &r.shards[n]
		s.mu.Lock()
		for t := s.first; t != nil; t = t.next {
			do(t)
		}
		s.mu.Unlock()
	}
}

// wrap puts around next what counts requests and can end them.
func (tr *traffic) wrap(next cgi.Responder) cgi.Responder {
	return cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		if req.Account == nil {
			counted := *req
			counted.Account, req = new(cgi.Account), &counted
		}
		t := tr.begin(ctx, req)
		resp, err := next.Respond(t, req)
		if err != nil {
			e := cgi.AsError(err)
			t.account.Failure = e
			t.end(e.StatusCode(), 0)
			return nil, err
		}
		t.Now(cgi.Sending)
		resp.Progress = &t.Progress
		resp.OnClose(func() { t.end(resp.Status, resp.Sent) })
		return resp, nil
	})
}

func (tr *traffic) begin(ctx context.Context, req *cgi.Request) *tracked {
	t := &tracked{traffic: tr, begun: time.Now(), account: req.Account, id: req.ID, env: req.Env}
	t.Context, t.cancel = context.WithCancelCause(ctx)
	t.account.Progress = &t.Progress
	tr.running.add(t)
	return t
}

type trackedKey struct{}

// Value implements context.Context.
func (t *tracked) Value(key any) any {
	if _, ok := key.(trackedKey); ok {
		return t
	}
	return t.Context.Value(key)
}

// track notes who answers a request, and which file or script that is; nil for unknown.
func track(ctx context.Context, by *tally, script *string) {
	t, ok := ctx.Value(trackedKey{}).(*tracked)
	if !ok {
		return
	}
	if script != nil {
		t.script.Store(script)
	}
	if by == nil {
		return
	}
	if old := t.where.Swap(by); old != by {
		by.running.Add(1)
		if old != nil {
			old.running.Add(-1)
		}
	}
}

// end counts a request that is over.
func (t *tracked) end(status int, sent int64) {
	tr, a := t.traffic, t.account
	tr.running.remove(t)
	if f := a.Failure; f != nil && f.Kind != cgi.Ended && errors.Is(context.Cause(t), cgi.ErrEnded) {
		a.Failure = endedError(f)
	}
	t.cancel(nil)
	now := time.Now()
	by := t.where.Load()
	if by != nil {
		by.running.Add(-1)
	} else {
		by = tr.nowhere
	}
	by.counts().add(tr.minuteOf(now), now.Sub(t.begun), status, a, sent)
	if isError(0, a.Failure) || a.HaveExit && !a.Exit.Success() {
		tr.failures.add(t, by, now, status)
	}
}

// End ends the requests of an ID and returns how many there were. Their clients are told
// so where no response had begun; others are cut off.
func (h *Host) End(id string) (n int) {
	var list []*tracked
	h.traffic.running.each(func(t *tracked) {
		if t.id == id {
			list = append(list, t)
		}
	})
	for _, t := range list {
		t.cancel(cgi.ErrEnded)
	}
	return len(list)
}

// Failure is one request that went wrong.
type Failure struct {
	When    time.Time `json:"when"`
	Request string    `json:"request"`
	Site    string    `json:"site,omitempty"`
	Route   string    `json:"route,omitempty"`
	Script  string    `json:"script,omitempty"`
	Client  string    `json:"client,omitempty"`
	Method  string    `json:"method,omitempty"`
	URI     string    `json:"uri,omitempty"`
	Status  int       `json:"status"`
	Kind    string    `json:"kind"` // of cgi.Kind, or "exit" where only the program's end was bad
	Reason  string    `json:"reason,omitempty"`
	Pid     int       `json:"pid,omitempty"`
	Exit    string    `json:"exit,omitempty"`
	Stderr  string    `json:"stderr,omitempty"`
}

// maxFailures is how many are kept, and maxShown how many bytes of each text that comes
// from elsewhere.
const (
	maxFailures = 100
	maxShown    = 1 << 10
)

// failures keeps the latest.
type failures struct {
	mu   sync.Mutex
	ring [maxFailures]*Failure
	next int
}

func (f *failures) add(t *tracked, by *tally, now time.Time, status int) {
	a := t.account
	one := &Failure{
		When: now, Request: shown(t.id), Site: by.site, Route: by.route, Script: shown(a.Script), Status: status,
		Client: shown(t.env.Get("REMOTE_ADDR")), Method: shown(t.env.Get("REQUEST_METHOD")), URI: shown(t.env.Get("REQUEST_URI")),
		Pid: a.Pid, Kind: "exit", Reason: "it ended badly after its response",
	}
	if e := a.Failure; e != nil {
		one.Kind, one.Reason, one.Stderr = e.Kind.String(), shown(e.Reason), tail(e.Stderr)
	}
	if a.HaveExit {
		one.Exit = a.Exit.String()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring[f.next%maxFailures] = one
	f.next++
}

// latest are those that are kept, the latest first.
func (f *failures) latest() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Failure, 0, min(f.next, maxFailures))
	for n := f.next - 1; n >= 0 && n >= f.next-maxFailures; n-- {
		list = append(list, *f.ring[n%maxFailures])
	}
	return list
}

// refused tells of what a listener has answered: it never became a request.
func (h *Host) refused(client net.Addr, e *cgi.StrictError) {
	h.traffic.refused.Add(1)
	h.inForce().tellRefused(client, e)
}
