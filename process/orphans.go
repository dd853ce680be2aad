package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// orphans finds the descendants of started processes that lost their parent and
// so became children of this process, the subreaper. It reaps those that end,
// and ends those whose own process is gone.
//
// One goroutine looks at the list of children when a process is over, at most
// every scanEvery, and every idleEvery while any runs. Whose an orphan is, the tag
// in its environment tells (Exec.Tag). An orphan without a tag is ended when every
// process that ran when it was first seen has ended: one of those must have
// started it.
type orphans struct {
	e    *Exec
	wake chan struct{}
	quit chan struct{}
	done chan struct{}

	mu   sync.Mutex
	kept map[string]int // tags whose orphans may live on, and the looks that found none

	seen map[int]*orphan // used by the goroutine alone; all children of two looks
}

type orphan struct {
	forks uint64    // that had begun when it was first seen
	known bool      // the rest is filled in
	tag   string    // "" when it has none
	seq   uint64    // the process started last when it was first seen
	blank time.Time // when it was first seen without an environment
	asked time.Time // when SIGTERM was sent; zero: not yet
}

const (
	scanEvery = 100 * time.Millisecond
	idleEvery = time.Second
)

func (o *orphans) start(e *Exec) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("process: cannot become a child subreaper: %w", err)
	}
	o.e = e
	o.wake = make(chan struct{}, 1)
	o.quit = make(chan struct{})
	o.done = make(chan struct{})
	o.kept = make(map[string]int)
	o.seen = make(map[int]*orphan)
	go o.run()
	return nil
}

// poke asks for a look at the children.
func (o *orphans) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// keep lets the orphans with this tag live on.
func (o *orphans) keep(tag string) {
	if tag != "" {
		o.mu.Lock()
		o.kept[tag] = 0
		o.mu.Unlock()
	}
}

// run ends when quit is closed.
func (o *orphans) run() {
	defer close(o.done)
	again := time.NewTimer(idleEvery)
	defer again.Stop()
	for {
		select {
		case <-o.wake:
		case <-again.C:
		case <-o.quit:
			return
		}
		pending := o.scan(false)
		// Under load many processes end between two looks: one look for all.
		pause := time.NewTimer(scanEvery)
		select {
		case <-pause.C:
		case <-o.quit:
			pause.Stop()
			return
		}
		switch {
		case pending:
			o.poke()
		case len(o.seen) > 0 || o.e.busy():
			again.Reset(idleEvery)
		}
	}
}

// stop ends every orphan that is not kept and the goroutine with them.
func (o *orphans) stop() error {
	close(o.quit)
	<-o.done
	const patience = 10 * time.Second
	for end := time.Now().Add(patience); o.scan(true); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("process: %d orphans do not go away, even killed", len(o.seen))
		}
	}
	return nil
}

// scan looks at the children once. It reports whether orphans are being ended,
// so that another look is needed soon. With all set every orphan that is not
// kept is killed at once.
func (o *orphans) scan(all bool) (pending bool) {
	pids, err := strangers()
	if scarce(err) { // nothing is known now, not even that a kept one is gone
		return true
	}
	now := o.living(pids)
	alive := make(map[string]bool)
	unsure := false // whose some are
	for pid := range pids {
		or := o.seen[pid]
		if or == nil { // a later look decides
			or = &orphan{forks: now.begun}
			o.seen[pid] = or
			pending, unsure = true, true
			continue
		}
		if !or.known && now.forking <= or.forks {
			// It may be the one that is being started, not in the table of the
			// living yet.
			pending, unsure = true, true
			continue
		}
		if o.reap(pid) {
			delete(pids, pid)
			pending, unsure = true, true // its children are ours since
			continue
		}
		if !or.known {
			tag, err := o.tagOf(pid, or)
			if scarce(err) || errors.Is(err, errBlank) { // without its tag it would be taken for another's
				pending, unsure = true, true
				continue
			}
			or.known, or.tag, or.seq = true, tag, o.e.lastStarted()
		}
		alive[or.tag] = true
		if o.spared(pid, or, now, all) {
			continue
		}
		pending = true
		o.end(pid, or, all)
	}
	for pid := range o.seen {
		if !pids[pid] {
			delete(o.seen, pid)
		}
	}
	if !unsure {
		o.forget(alive)
	}
	return pending
}

// spared reports whether an orphan may live on for now.
func (o *orphans) spared(pid int, or *orphan, now living, all bool) bool {
	o.mu.Lock()
	_, kept := o.kept[or.tag]
	o.mu.Unlock()
	switch {
	case kept:
		return true
	case all:
		return false
	}
	// While its leader lives the session tells more than the tag: a FastCGI
	// application has its children inherit the variables of a request.
	if sid, err := unix.Getsid(pid); err == nil && now.leaders[sid] != nil {
		return !now.leaders[sid].disowns(pid)
	}
	switch {
	case or.tag != "":
		ch := now.tags[or.tag]
		return ch != nil && !ch.disowns(pid)
	}
	return now.oldest <= or.seq // one that ran beside it runs still
}

// disowns reports whether an orphan with the child's tag is to be ended although
// the child is not gone: it is over, and ends what is in its group by itself.
func (ch *child) disowns(pid int) bool {
	if ch.keep || !ch.released.Load() {
		return false
	}
	group, err := syscall.Getpgid(pid)
	return err == nil && group != ch.p.Pid
}

// reap reaps an orphan that has ended, and reports whether it had.
func (o *orphans) reap(pid int) bool {
	o.e.mu.Lock()
	defer o.e.mu.Unlock()
	if o.e.hasLocked(pid) {
		return false
	}
	reaped, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return reaped == pid
}

// end climbs one rung of the ladder for one orphan.
func (o *orphans) end(pid int, or *orphan, now bool) {
	o.e.mu.Lock()
	defer o.e.mu.Unlock()
	if o.e.hasLocked(pid) {
		return
	}
	switch {
	case now, !or.asked.IsZero() && time.Since(or.asked) > DefaultGrace:
		_ = syscall.Kill(pid, syscall.SIGKILL)
	case or.asked.IsZero():
		or.asked = time.Now()
		_ = syscall.Kill(pid, syscall.SIGTERM)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// forget drops the kept tags that no orphan has any more. One look is not enough:
// an orphan that ends leaves its own children to a later one.
func (o *orphans) forget(alive map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tag := range o.kept {
		switch o.kept[tag]++; {
		case alive[tag]:
			o.kept[tag] = 0
		case o.kept[tag] > 2:
			delete(o.kept, tag)
		}
	}
}

// scarce reports whether err is for want of descriptors or memory: a later look may
// know more.
func scarce(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// strangers lists the children that are in another session than ours.
func strangers() (map[int]bool, error) {
	pids := make(map[int]bool)
	ours, _ := unix.Getsid(0)
	children, err := childrenOf(os.Getpid())
	for _, pid := range children {
		if sid, err := unix.Getsid(pid); err == nil && sid != ours {
			pids[pid] = true
		}
	}
	return pids, err
}

// living is what Exec has running at one instant.
type living struct {
	tags    map[string]*child
	leaders map[int]*child // by pid
	oldest  uint64         // number of the process started first that may leave orphans, or the next to be given
	begun   uint64         // forks so far
	forking uint64         // the first of those under way, or the next to begin
}

// living looks, and takes from pids those that Exec has started itself.
func (o *orphans) living(pids map[int]bool) living {
	e := o.e
	e.mu.Lock()
	defer e.mu.Unlock()
	l := living{tags: make(map[string]*child, len(e.live)), leaders: maps.Clone(e.live), oldest: e.seq + 1, begun: e.begun, forking: e.begun + 1}
	for pid, ch := range e.live {
		delete(pids, pid)
		l.tags[ch.tag] = ch
		if !ch.aside {
			l.oldest = min(l.oldest, ch.seq)
		}
	}
	for pid := range e.adopted {
		if e.hasLocked(pid) {
			delete(pids, pid)
		}
	}
	for n := range e.forking {
		l.forking = min(l.forking, n)
	}
	return l
}

// hasLocked reports whether a child is no orphan: it was started, or is adopted. That can
// come about in the middle of a look, and what the look knows of it, its tag above all, is
// no longer true. mu is held.
func (e *Exec) hasLocked(pid int) bool {
	return e.live[pid] != nil || e.adopted[pid] != nil && !e.closed
}

func (e *Exec) lastStarted() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seq
}

// childrenOf reads the children of the main thread of pid, which is the one that
// orphans are given to (find_new_reaper in Linux's kernel/exit.c).
func childrenOf(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(field); err == nil {
			pids = append(pids, n)
		}
	}
	return pids, nil
}

// errBlank is the error where an environment seems to be empty just now.
var errBlank = errors.New("process: it has no environment")

// tagOf reads the tag from the environment that a process was started with. In the midst
// of an execve(2) it reads as empty, so that is believed at another look only, and for
// some time not while the kernel does not know its place.
func (o *orphans) tagOf(pid int, or *orphan) (string, error) {
	const most = 256 << 10
	f, err := os.Open(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err == nil && len(text) == 0 {
		const most = 5 * time.Second
		first := or.blank.IsZero()
		if first {
			or.blank = time.Now()
		}
		if first || statField(pid, 51) == 0 && time.Since(or.blank) < most { // env_end
			return "", errBlank
		}
	}
	var vars []string
	for v := range bytes.SplitSeq(text, []byte{0}) {
		vars = append(vars, string(v))
	}
	return tagOf(vars, o.e.mark()), err
}

// tagOf finds the value of the variable name in env; "" where there is none.
func tagOf(env []string, name string) string {
	if name == "" {
		return ""
	}
	for _, v := range env {
		if len(v) > len(name) && v[len(name)] == '=' && v[:len(name)] == name {
			return v[len(name)+1:]
		}
	}
	return ""
}
