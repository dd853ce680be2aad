package process

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Warm is the Spawner that has Perl and Python scripts run by interpreters which are
// there already: a helper, an interpreter with the modules loaded that its scripts
// use, forks for each request. Every script gets a process of its own as from Cold, a
// child of this process with the same limits, signals and account. What cannot be
// warm is started by Cold, and so is everything while a helper is not ready.
//
// The fields are not to be changed once it is in use. Close it when done, before Cold.
type Warm struct {
	// Cold starts the helpers, and what is not warm. Nothing is warm unless it is
	// an *Exec.
	Cold Spawner

	// Servers are the programs that helpers run, in the language of the interpreter:
	// "python" and "perl". A kind that is missing runs cold.
	Servers map[string][]byte

	// Constant names variables that have one value in all commands, or few. Helpers have
	// them from their start, so that modules can be loaded ahead which look at them when they
	// are loaded. (Each set of values has helpers of its own.)
	Constant []string

	// IdleTimeout is how long a helper stays that nobody needs. Zero means five
	// minutes.
	IdleTimeout time.Duration

	// MaxForks is how many processes a helper forks before another takes its place.
	// Zero means 20,000. Under load it may be more: such a change comes once a minute
	// at most.
	MaxForks int

	// MaxMemory is the resident memory in bytes of a helper beyond which another takes
	// its place. Zero means 256 MiB.
	MaxMemory int64

	// MaxHelpers bounds the kinds of helper at a time: there is one for each
	// interpreter, set of options, of preloaded modules and of variables that an
	// interpreter reads at its start, and user. While one takes another's place there
	// are both. Zero means 16.
	MaxHelpers int

	// Spares is how many processes each helper keeps forked ahead when few are
	// needed. Zero means two for each processor. Up to MaxSpares are kept where
	// requests come quickly.
	Spares int

	// Patience is how long a request waits for a process of a helper that has always
	// had one so far, and with WarmOn for a helper to become ready. Then it runs cold,
	// as others do until the helper answers. Zero means two seconds.
	Patience time.Duration

	// Log is told of helpers that fail, once until they work again; nil means
	// slog.Default.
	Log *slog.Logger

	plans plans
	down  atomic.Bool // closed

	mu      sync.Mutex
	pools   map[string]*pool
	learned map[string][]string // by pools that have ended
	ticking chan struct{}       // closed to end the goroutine of tick; nil when there is none
	running sync.WaitGroup
}

// MaxSpares bounds how many processes a helper keeps forked ahead.
const MaxSpares = 32

// WarmMode says whether scripts are to be warm.
type WarmMode int

const (
	WarmAuto WarmMode = iota // what can be warm is, unless its helper has yet to start
	WarmOn                   // the same, and the first request waits for the helper
	WarmOff                  // nothing is warm
)

// WarmOptions are one route's.
type WarmOptions struct {
	Mode    WarmMode
	Preload []string // modules to load ahead, beside those that are learnt: "json", "CGI/Util.pm"

	// NoLearn keeps helpers from loading ahead what scripts were seen to load.
	NoLearn bool
}

// With returns a Spawner with a route's options. It is closed with w.
func (w *Warm) With(o WarmOptions) *WarmSpawner { return &WarmSpawner{w: w, o: o} }

// Spawn implements Spawner with the zero WarmOptions.
func (w *Warm) Spawn(ctx context.Context, c *Command) (*Process, error) {
	return (&WarmSpawner{w: w}).Spawn(ctx, c)
}

// WarmSpawner is a Warm with options.
type WarmSpawner struct {
	w *Warm
	o WarmOptions
}

// Spawn implements Spawner. The How of the process tells which way it went.
func (s *WarmSpawner) Spawn(ctx context.Context, c *Command) (*Process, error) {
	p, why := s.warm(ctx, c)
	if p != nil {
		return p, nil
	}
	p, err := s.w.Cold.Spawn(ctx, c)
	if err != nil {
		return nil, err
	}
	p.How = why
	return p, nil
}

// Explain tells which way c would go, as Process.How does, once its helper runs. It
// starts nothing.
func (s *WarmSpawner) Explain(c *Command) string {
	j := job{c: c}
	if why := s.plan(&j); why != "" {
		return coldFor(why)
	}
	return j.how()
}

func coldFor(why string) string { return "cold: " + why }

// job is a command on its way to a helper.
type job struct {
	c       *Command
	script  *planned
	interp  interpreter
	start   []string // environment of the helper
	adopter adopter
}

func (j *job) how() string {
	text := "warm: " + j.interp.path
	if options := j.script.args[1:]; len(options) > 0 {
		text += " " + strings.Join(options, " ")
	}
	return text
}

// plan fills in j, or says why the command is to run cold.
func (s *WarmSpawner) plan(j *job) (cold string) {
	ok := false
	switch j.adopter, ok = s.w.Cold.(adopter); {
	case s.o.Mode == WarmOff:
		return "it is turned off"
	case !ok:
		return "its spawner cannot adopt processes"
	case len(j.c.Files) > 0:
		return "it gets other files than the standard ones"
	}
	if j.script = s.w.plans.of(j.c.Path); j.script.cold != "" {
		return j.script.cold
	}
	switch {
	case s.w.Servers[j.script.kind] == nil:
		return fmt.Sprintf("there is no helper for %s", j.script.kind)
	case !j.script.mayRun(j.c.User):
		return "its user may not execute it"
	}
	var why string
	if j.interp, why = j.script.find(j.c.Env); why != "" {
		return why
	}
	if dir := j.c.Dir; dir != "" && dir != filepath.Dir(j.c.Path) && dirTrouble(dir) != "" {
		return "its working directory cannot be entered"
	}
	j.start, why = startEnv(j.start, j.script.kind, s.w.Constant, j.c.Env)
	return why
}

// warm starts c from a helper, or says why not in How's words.
func (s *WarmSpawner) warm(ctx context.Context, c *Command) (*Process, string) {
	begun := time.Now()
	var room [16]string
	j := job{c: c, start: room[:0]}
	if why := s.plan(&j); why != "" {
		return nil, coldFor(why)
	}
	pl, why := s.w.pool(s, &j)
	if pl == nil {
		return nil, coldFor(why)
	}
	defer pl.leave()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	var err error
	if *buf, err = appendRequest((*buf)[:0], c, j.script.comm(c.Path), j.adopter.tagName()); err != nil {
		return nil, coldFor(strings.TrimPrefix(err.Error(), "process: "))
	}
	p, why := pl.start(ctx, &j, *buf, begun, s.o.Mode == WarmOn)
	if p == nil {
		return nil, coldFor(why)
	}
	return p, ""
}

var buffers = sync.Pool{New: func() any {
	buf := make([]byte, 0, 8<<10)
	return &buf
}}

// pool finds or makes the pool for a job, which is to leave it.
func (w *Warm) pool(s *WarmSpawner, j *job) (*pool, string) {
	var room [1024]byte
	key := poolKey(room[:0], s, j)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down.Load() {
		return nil, "the server stops"
	}
	if p := w.pools[string(key)]; p != nil {
		p.enter()
		return p, ""
	}
	if !j.interp.isProgram() {
		return nil, "its interpreter is not a program"
	}
	if !w.makeRoom() {
		return nil, "there are as many helpers as may be"
	}
	if w.pools == nil {
		w.pools = make(map[string]*pool)
	}
	p := newPool(w, s, j, string(key))
	p.enter()
	w.pools[string(key)] = p
	if w.ticking == nil {
		w.ticking = make(chan struct{})
		w.running.Add(1)
		go w.tick(w.ticking)
	}
	return p, ""
}

// poolKey appends what two jobs must have in common to share a helper.
func poolKey(key []byte, s *WarmSpawner, j *job) []byte {
	text := func(list ...string) {
		key = binary.AppendUvarint(key, uint64(len(list)))
		for _, s := range list {
			key = append(append(key, s...), 0)
		}
	}
	text(j.interp.path)
	text(j.script.args...)
	text(j.start...)
	text(s.o.Preload...)
	is := &j.interp.is
	for _, n := range [...]int64{is.dev, is.ino, is.size, is.mtime, is.ctime} {
		key = binary.AppendVarint(key, n)
	}
	if s.o.NoLearn {
		key = append(key, 'n')
	}
	if u := j.c.User; u != nil {
		key = binary.AppendUvarint(append(key, 'u'), uint64(u.UID))
		key = binary.AppendUvarint(key, uint64(u.GID))
		for _, g := range u.Groups {
			key = binary.AppendUvarint(key, uint64(g))
		}
	}
	return key
}

// makeRoom sees to it that one more pool may be, if need be by ending the one whose
// last request is longest ago, unless that is not long. mu is held.
func (w *Warm) makeRoom() bool {
	most := w.MaxHelpers
	if most <= 0 {
		most = 16
	}
	if len(w.pools) < most {
		return true
	}
	var oldest string
	var since time.Duration
	for key, p := range w.pools {
		if idle := p.idle(); oldest == "" || idle > since {
			oldest, since = key, idle
		}
	}
	if since < restless {
		return false
	}
	w.end(oldest, "another helper needs its place")
	return true
}

// end ends a pool, and remembers what its scripts were seen to load. mu is held.
func (w *Warm) end(key, why string) {
	learned := w.pools[key].close(why)
	delete(w.pools, key)
	if w.learned == nil || len(w.learned) >= maxRemembered {
		w.learned = make(map[string][]string)
	}
	if len(learned) > 0 {
		w.learned[key] = learned
	}
}

// maxRemembered bounds the helpers whose modules are known after their end.
const maxRemembered = 256

// restless is how recently a helper was used that is not ended for another: more kinds
// than there is room for would else start helpers all the time.
const restless = 5 * time.Second

// tick looks after what happens by the passing of time. It ends when there are no
// pools left, or with Close.
func (w *Warm) tick(stop chan struct{}) {
	defer w.running.Done()
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		if !w.tendAll() {
			return
		}
	}
}

const tickEvery = time.Second

// tendAll looks at each pool and forgets those that are idle; false is the end.
func (w *Warm) tendAll() bool {
	timeout := w.IdleTimeout
	if timeout <= 0 {
		timeout = 5 * time.Minute
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, p := range w.pools {
		if p.idle() > timeout {
			w.end(key, "it is idle")
		} else {
			p.tend(time.Now())
		}
	}
	if len(w.pools) == 0 && !w.down.Load() {
		w.ticking = nil
		return false
	}
	return true
}

// Close ends the helpers and waits until they are gone. Processes that they have
// started go on. Everything runs cold from then on.
func (w *Warm) Close() error {
	w.down.Store(true)
	w.mu.Lock()
	if w.ticking != nil {
		close(w.ticking)
		w.ticking = nil
	}
	for key := range w.pools {
		w.end(key, "the server stops")
	}
	w.mu.Unlock()
	w.running.Wait()
	return nil
}

// HelperStatus is what there is to know of one helper.
type HelperStatus struct {
	How        string // as Process.How
	User       *User
	Pid        int // 0 while none runs
	Generation int // how many have run in this place
	Ready      bool
	Due        bool     // another is to take its place, as more has been learnt than it has loaded
	Spares     int      // processes forked ahead
	Forks      int      // processes that this generation has forked
	Requests   int      // started from it and those before it
	Preloaded  []string // modules, as far as the helper has said
	Idle       time.Duration
	Failure    string // why it does not run, as the log has said; "" where it does
}

// Status tells of each helper, in the order of How.
func (w *Warm) Status() []HelperStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []HelperStatus
	for _, p := range w.pools {
		all = append(all, p.status())
	}
	slices.SortFunc(all, func(a, b HelperStatus) int { return strings.Compare(a.How, b.How) })
	return all
}

func (w *Warm) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}

func (w *Warm) spares() int {
	if w.Spares > 0 {
		return min(w.Spares, MaxSpares)
	}
	return min(2*runtime.NumCPU(), MaxSpares)
}

func (w *Warm) patience() time.Duration {
	if w.Patience > 0 {
		return w.Patience
	}
	return 2 * time.Second
}

func (w *Warm) maxForks() int {
	if w.MaxForks > 0 {
		return w.MaxForks
	}
	return 20_000
}

func (w *Warm) maxMemory() int64 {
	if w.MaxMemory > 0 {
		return w.MaxMemory
	}
	return 256 << 20
}
