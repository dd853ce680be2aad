package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pool is what there is for one kind of helper: the helper, the processes that it has
// forked ahead, and what is known of the scripts that they run.
type pool struct {
	w       *Warm
	adopter adopter
	how     string
	server  []byte   // text of the helper's program
	path    string   // of the interpreter
	args    []string // its argv[0] and options
	env     []string
	user    *User
	preload []string
	learns  bool
	asking  atomic.Int32 // requests that look for a spare
	used    atomic.Int64 // when the last of them left, in ticks

	mu       sync.Mutex
	closed   bool
	cur      *helper // the one that forks; nil while there is none
	next     *helper // the one that is to take its place
	spares   []*spare
	waiting  []chan *spare // requests without a spare, the first to come first
	want     int           // how many spares to keep
	least    int           // how many there were since the last look
	stuck    bool          // a request has waited in vain
	starts   int           // helpers started
	requests int

	back    backoff
	failure string // what the log was told, until it works again

	learned   []string  // sorted
	bare      bool      // helpers with learnt modules do not start
	rounds    int       // generations for the sake of modules, forks or memory
	nextRound time.Time // not before
	scripts   map[string]*script
	changes   int // of watched folders, not far apart
	changed   time.Time
	settled   time.Time // no helper before; the zero time: at once
}

// spare is a process that waits for a request.
type spare struct {
	ch  *child
	of  *helper
	pid int
	fd  int // our end of its socket
}

// script is one that a pool runs.
type script struct {
	is       identity
	requests int
}

const (
	maxBatch   = 16  // spares that are ordered at a time
	maxLearned = 512 // modules
	maxScripts = 64  // that a helper is told to compile
	attempts   = 3   // spares tried for a request: one that was killed shows only when it is given work
)

// newPool makes the pool of a key. The Warm's mu is held.
func newPool(w *Warm, s *WarmSpawner, j *job, key string) *pool {
	p := &pool{
		w: w, adopter: j.adopter, how: j.how(), server: w.Servers[j.script.kind],
		path: j.interp.path, args: j.script.args, env: slices.Clone(j.start), user: j.c.User,
		learns: !s.o.NoLearn, want: w.spares(), scripts: make(map[string]*script),
	}
	p.preload = validNames(s.o.Preload)
	p.learned = w.learned[key]
	return p
}

// enter and leave enclose what a request asks of the pool: so long it is not idle,
// however long its helper takes to start. enter is called with the Warm's mu, without
// which no pool is ended.
func (p *pool) enter() { p.asking.Add(1) }

func (p *pool) leave() {
	p.used.Store(ticks(time.Now()))
	p.asking.Add(-1)
}

// start has a spare run the request in message, or says why none does.
func (p *pool) start(ctx context.Context, j *job, message []byte, begun time.Time, on bool) (*Process, string) {
	for range attempts {
		sp, why := p.take(ctx, j, on)
		if sp == nil {
			return nil, why
		}
		proc, err := sp.begin(j.c, begun, message)
		if err == nil {
			proc.How = p.how
			return proc, ""
		}
		sp.drop()
		if limit := new(limitError); errors.As(err, &limit) {
			return nil, limit.Error()
		}
	}
	return nil, "the processes of its helper do not last"
}

// begin gives the spare its work.
func (sp *spare) begin(c *Command, begun time.Time, message []byte) (*Process, error) {
	e := sp.ch.e
	in, out, errs := int(e.file(c.Stdin)), int(e.file(c.Stdout)), int(e.file(c.Stderr))
	proc, err := sp.ch.begin(sp.pid, c, begun, func() error { return sendTo(sp.fd, message, in, out, errs) })
	runtime.KeepAlive(c)
	if err == nil {
		_ = unix.Close(sp.fd)
	}
	return proc, err
}

// drop ends a spare that has no work.
func (sp *spare) drop() {
	_ = unix.Close(sp.fd)
	sp.ch.disown(sp.pid)
}

// take gives out a spare. It waits for one only where the helper works, or on is set.
func (p *pool) take(ctx context.Context, j *job, on bool) (*spare, string) {
	p.mu.Lock()
	p.look()
	p.count(j)
	if n := len(p.spares); n > 0 {
		sp := p.spares[n-1]
		p.spares = p.spares[:n-1]
		p.least = min(p.least, n-1)
		p.order()
		p.mu.Unlock()
		return sp, ""
	}
	p.least = 0
	if why := p.mayWait(on); why != "" {
		p.mu.Unlock()
		return nil, why
	}
	turn := make(chan *spare, 1)
	p.waiting = append(p.waiting, turn)
	if p.cur.ready {
		p.want = min(2*p.want, MaxSpares)
	}
	p.order()
	p.mu.Unlock()
	return p.wait(ctx, turn)
}

// mayWait says why a request is not to wait for a spare. It starts the helper if there
// is none. mu is held.
func (p *pool) mayWait(on bool) string {
	if p.closed {
		return "its helper has just ended"
	}
	if p.cur == nil {
		now := time.Now()
		switch {
		case p.back.wait(now) > 0:
			return "its helper does not work: " + p.failure
		case now.Before(p.settled):
			return "the folders of its modules change all the time"
		}
		p.cur = p.newHelper()
	}
	switch {
	case !p.cur.ready && !on:
		return "its helper is starting"
	case p.stuck:
		return "its helper does not answer"
	}
	return ""
}

// wait waits for a turn, not for long.
func (p *pool) wait(ctx context.Context, turn chan *spare) (*spare, string) {
	t := time.NewTimer(p.w.patience())
	defer t.Stop()
	late := false
	select {
	case sp := <-turn:
		return given(sp)
	case <-t.C:
		late = true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.waiting, turn)
	if at < 0 { // it came meanwhile
		return given(<-turn)
	}
	p.waiting = slices.Delete(p.waiting, at, at+1)
	if p.cur == nil || !p.cur.ready {
		return nil, "its helper is starting"
	}
	if late && !p.stuck {
		p.stuck = true
		p.complain(fmt.Sprintf("it has not answered for %v", p.w.patience()))
	}
	return nil, "its helper does not answer"
}

// given is the answer to a turn; no spare means that the helper is gone.
func given(sp *spare) (*spare, string) {
	if sp == nil {
		return nil, "its helper has ended"
	}
	return sp, ""
}

// complain logs a failure, unless one was logged since the helper has worked. mu is
// held.
func (p *pool) complain(why string) {
	if p.failure == "" {
		p.w.log().Error("warm helper fails, scripts run cold", "helper", p.how, "reason", why)
	}
	p.failure = why
}

// works says that it does. mu is held.
func (p *pool) works(h *helper) {
	p.back.works(h.number)
	if p.failure != "" && p.back.failures == 0 {
		p.failure = ""
		p.w.log().Info("warm helper works again", "helper", p.how)
	}
}

// order has the helper fork more spares where few are left. mu is held.
func (p *pool) order() {
	h := p.cur
	if h == nil || !h.ready || h.stopped || h.batch > h.done {
		return
	}
	n := len(p.spares) + max(h.missing, 0)
	if len(p.waiting) == 0 && 2*n > p.want {
		return
	}
	if count := min(p.want-n+len(p.waiting), maxBatch); count > 0 {
		h.order(count)
	}
	if h.forks >= p.w.maxForks() {
		p.replace()
	}
}

// deliver takes spares that are ready for work.
func (p *pool) deliver(h *helper, spares []*spare) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == h && len(spares) > 0 {
		p.promote()
	}
	if p.cur != h || p.closed {
		for _, sp := range spares {
			sp.drop()
		}
		return
	}
	if len(spares) > 0 {
		p.stuck = false
	}
	for _, sp := range spares {
		if len(p.waiting) > 0 {
			p.waiting[0] <- sp
			p.waiting = slices.Delete(p.waiting, 0, 1)
			continue
		}
		p.spares = append(p.spares, sp)
	}
	p.order()
}

// promote puts the next helper in the place of the current one. mu is held.
func (p *pool) promote() {
	old := p.cur
	p.cur, p.next = p.next, nil
	p.dropSpares(0)
	if old != nil {
		old.stop()
	}
}

// dropSpares keeps so many. mu is held.
func (p *pool) dropSpares(keep int) {
	for _, sp := range p.spares[min(keep, len(p.spares)):] {
		sp.drop()
	}
	p.spares = p.spares[:min(keep, len(p.spares))]
}

// sendAway has all that wait go cold. mu is held.
func (p *pool) sendAway() {
	for _, turn := range p.waiting {
		turn <- nil
	}
	p.waiting = nil
}

// failed is told by a helper's goroutine that it is over, and why, unless it was asked
// to stop. The processes that have work go on.
func (p *pool) failed(h *helper, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.stopped || p.closed {
		return
	}
	if !h.ready && len(h.names) > 0 && !p.bare {
		p.bare = true // it may be a module; the next one does without
		p.learned = nil
	}
	p.back.failed(h.number, p.starts, time.Now())
	p.complain(why)
	switch h {
	case p.cur:
		p.cur, p.next = p.next, nil
		p.stuck = false
		p.dropSpares(0) // nobody watches what they have loaded
		p.sendAway()
	case p.next:
		p.next = nil
	}
}

// replace starts the helper that is to take the place of the current one, unless that
// was done a short time ago. mu is held.
func (p *pool) replace() bool {
	now := time.Now()
	if p.closed || p.next != nil || p.cur == nil || !p.cur.ready || now.Before(p.nextRound) || p.back.wait(now) > 0 {
		return false
	}
	p.nextRound = now.Add(min(time.Second<<min(p.rounds, 10), longestRound))
	p.rounds++
	p.next = p.newHelper()
	return true
}

// longestRound bounds the pause between two generations that are not asked for by a
// change or a failure.
const longestRound = time.Minute

// look ends the helpers whose modules were changed, so that the request which asks
// for it already sees the change. mu is held.
func (p *pool) look() {
	gone := false
	if p.next != nil && p.next.watch.changed() {
		p.next.stop()
		p.next, gone = nil, true
	}
	if p.cur != nil && p.cur.watch.changed() {
		p.dropSpares(0)
		p.sendAway()
		p.cur.stop()
		p.cur, p.next, gone = p.next, nil, true
		p.stuck = false
	}
	if gone {
		p.unsettled()
	}
}

// unsettled spaces the starts where folders change all the time. mu is held.
func (p *pool) unsettled() {
	now := time.Now()
	if now.Sub(p.changed) > time.Minute {
		p.changes = 0
	}
	p.changed = now
	if p.changes++; p.changes > 1 {
		p.settled = now.Add(min(time.Second<<min(p.changes-2, 10), time.Minute))
	}
}

// count notes a request, and has the helper compile the script if it comes often. mu is
// held.
func (p *pool) count(j *job) {
	p.requests++
	s := p.scripts[j.c.Path]
	if s == nil || s.is != j.script.is {
		if s == nil && len(p.scripts) >= maxScripts {
			clear(p.scripts)
		}
		p.scripts[j.c.Path] = &script{is: j.script.is, requests: 1}
		return
	}
	s.requests++
	if s.requests > 1 && p.cur != nil && p.cur.ready {
		p.cur.hint(j.c.Path, s.is)
	}
}

// learn adds modules that a script has loaded.
func (p *pool) learn(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bare {
		return
	}
	for _, name := range names {
		at, known := slices.BinarySearch(p.learned, name)
		if !known && len(p.learned) < maxLearned {
			p.learned = slices.Insert(p.learned, at, name)
		}
	}
}

// names is what a new helper preloads. mu is held.
func (p *pool) names() []string {
	if p.bare {
		return nil
	}
	names := slices.Clone(p.preload)
	for _, name := range p.learned {
		if !slices.Contains(p.preload, name) {
			names = append(names, name)
		}
	}
	return names
}

// dropDead drops the spares that were killed, so that they do not stay as zombies. mu
// is held.
func (p *pool) dropDead() {
	p.spares = slices.DeleteFunc(p.spares, func(sp *spare) bool {
		var buf [1]byte
		_, _, err := unix.Recvfrom(sp.fd, buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if err == unix.EAGAIN || err == unix.EINTR {
			return false
		}
		sp.drop()
		return true
	})
}

// tend does what is due.
func (p *pool) tend(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look()
	p.dropDead()
	if p.least > p.want/2 && p.want > p.w.spares() {
		p.want = max(p.want/2, p.w.spares())
		p.dropSpares(p.want)
	}
	p.least = len(p.spares)
	h := p.cur
	if h == nil || !h.ready {
		return
	}
	if now.Sub(h.begun) > settled {
		p.works(h)
	}
	if h.missing > 0 && now.Sub(h.ordered) > answerTime {
		h.missing = 0 // they have died before they could say anything
	}
	if len(p.names()) > len(h.names) || h.forks >= p.w.maxForks() || h.size() > p.w.maxMemory() {
		p.replace()
	}
}

// idle is how long no request has asked for anything.
func (p *pool) idle() time.Duration {
	if p.asking.Load() > 0 {
		return 0
	}
	return time.Duration(ticks(time.Now()) - p.used.Load())
}

// close ends the helpers and spares, and returns the modules that were learnt.
func (p *pool) close(why string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.dropSpares(0)
	p.sendAway()
	for _, h := range []*helper{p.cur, p.next} {
		if h != nil {
			p.w.log().Debug("warm helper ends", "helper", p.how, "pid", h.pid(), "reason", why)
			h.stop()
		}
	}
	p.cur, p.next = nil, nil
	return p.learned
}

func (p *pool) status() HelperStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := HelperStatus{
		How: p.how, User: p.user, Generation: p.starts, Spares: len(p.spares),
		Requests: p.requests, Idle: p.idle(), Failure: p.failure,
	}
	if h := p.cur; h != nil {
		st.Pid, st.Ready, st.Forks = h.pid(), h.ready, h.forks
		st.Preloaded = slices.Sorted(maps.Keys(h.preloaded))
		st.Due = p.next != nil || len(p.names()) > len(h.names)
	}
	return st
}
