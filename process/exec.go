package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exec is the Spawner that starts processes from this one by fork and exec. The
// zero value is ready. Close it when done: it ends what it started.
//
// Each process leads a session and a process group of its own (no terminal can
// reach it), has descriptors 0, 1 and 2 and no other, all signals unblocked and
// at their defaults. This process becomes a child subreaper (prctl(2)), so that
// the orphans which a process leaves are found, reaped and, unless they were to
// be kept, ended. Children in other sessions than this process's own are
// therefore taken to be such orphans: a program that uses Exec must not start
// children with Setsid by other means, and has one Exec at a time. SIGCHLD is set
// to its default, so that the end of a child interrupts nobody: signal.Notify of it
// has no effect any more.
type Exec struct {
	// Starts is how many processes may be between fork and exec at once.
	// Each such start holds one of the runtime's GOMAXPROCS processors
	// until the new program is loaded. Zero means GOMAXPROCS.
	Starts int

	// Tag names an environment variable that has a different value for each
	// started process. It tells whose an orphan is, even after it has left
	// the session. "" means there is none: then an orphan is ended when
	// every process that ran beside it has ended.
	Tag string

	// Cgroup is the folder of a delegated cgroup v2 in which each process
	// gets a group of its own, ended by cgroup.kill; nothing escapes it.
	// "" means none is used.
	Cgroup string

	// Log is told of what goes wrong behind the callers' backs; nil means
	// slog.Default.
	Log *slog.Logger

	once    sync.Once
	last    sync.Once // the last of Close
	initErr error
	null    *os.File
	starts  chan struct{}
	orphans orphans
	leaves  leaves

	// forks is held for reading from the look at closed until the child is in
	// live. It is taken before mu.
	forks sync.RWMutex

	mu      sync.Mutex
	live    map[int]*child
	adopted map[int]*child // see adopt
	seq     uint64         // of the child started last
	closed  bool
	begun   uint64          // forks
	forking map[uint64]bool // those under way, by number
	wg      sync.WaitGroup  // one for each process until it is gone
}

// child is what Exec holds for one process.
type child struct {
	p    *Process
	e    *Exec
	keep bool
	tag  string
	leaf *leaf

	aside bool  // see Command
	rss0  int64 // our own largest resident set when it had been started
	seq   uint64

	watched  atomic.Bool
	released atomic.Bool // nothing it leaves behind is to live on, but for keep

	sig    sync.Mutex
	reaped bool // the pid may be another's
}

// ErrClosed is the error of a Spawner that has been closed.
var ErrClosed = errors.New("process: spawner is closed")

func (e *Exec) init() error {
	e.once.Do(func() {
		e.mu.Lock() // Live may be asked already
		e.live = make(map[int]*child)
		e.adopted = make(map[int]*child)
		e.forking = make(map[uint64]bool)
		e.mu.Unlock()
		n := e.Starts
		if n <= 0 {
			n = runtime.GOMAXPROCS(0)
		}
		e.starts = make(chan struct{}, n)
		if e.null, e.initErr = os.OpenFile(os.DevNull, os.O_RDWR, 0); e.initErr != nil {
			return
		}
		if e.initErr = e.setUp(); e.initErr != nil {
			_ = e.null.Close()
		}
	})
	return e.initErr
}

func (e *Exec) setUp() error {
	if err := cleanInheritance(); err != nil {
		return err
	}
	if err := e.leaves.init(e.Cgroup); err != nil {
		return err
	}
	return e.orphans.start(e)
}

func (e *Exec) log() *slog.Logger {
	if e.Log != nil {
		return e.Log
	}
	return slog.Default()
}

// Spawn implements Spawner.
func (e *Exec) Spawn(ctx context.Context, c *Command) (*Process, error) {
	begun := time.Now()
	if err := e.init(); err != nil {
		return nil, err
	}
	select {
	case e.starts <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-e.starts }()

	ch := &child{e: e, keep: c.KeepChildren, tag: tagOf(c.Env, e.mark()), aside: c.aside}
	if err := ch.start(c, begun); err != nil {
		return nil, err
	}
	return ch.p, nil
}

// start starts the process unless Exec is closed, which it cannot become meanwhile.
func (ch *child) start(c *Command, begun time.Time) error {
	e := ch.e
	e.forks.RLock()
	defer e.forks.RUnlock()
	n, err := e.beginFork()
	if err != nil {
		return err
	}
	defer e.endFork(n)
	if ch.leaf, err = e.leaves.get(); err != nil {
		return &StartError{Path: c.Path, Reason: "no cgroup for it: " + err.Error(), Err: err}
	}
	if err = ch.fork(c, begun); err != nil {
		e.leaves.put(ch.leaf)
	}
	return err
}

// fork starts the process and puts it in the table of the living. The caller
// holds e.forks for reading.
func (ch *child) fork(c *Command, begun time.Time) error {
	sys := syscall.SysProcAttr{Setsid: true}
	if ch.leaf != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, ch.leaf.fd()
	}
	if c.User != nil && !c.User.isOurs() { // setgroups, setgid, setuid; each failure is fatal (F60)
		sys.Credential = &syscall.Credential{Uid: c.User.UID, Gid: c.User.GID, Groups: c.User.Groups}
	}
	attr := syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Sys: &sys,
		Files: []uintptr{ch.e.file(c.Stdin), ch.e.file(c.Stdout), ch.e.file(c.Stderr)},
	}
	for _, f := range c.Files {
		attr.Files = append(attr.Files, ch.e.file(f))
	}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if attr.Env == nil {
		attr.Env = []string{} // nil would mean our own
	}
	args := c.Args
	if args == nil {
		args = []string{c.Path}
	}
	pid, err := forkLimited(c.Path, args, &attr, c.Limits, ch.e.log())
	runtime.KeepAlive(c)
	if err != nil {
		return startError(c, err)
	}
	ch.rss0 = ownMaxRSS() // after the exec, until which it may have grown
	ch.p = newProcess(ch, pid, begun, c.Grace)
	ch.e.enlist(ch)
	return nil
}

// isOurs reports whether the user is the one that we are, without root's rights:
// then there is nothing to change, and no right to.
func (u *User) isOurs() bool {
	uid, gid := os.Geteuid(), os.Getegid()
	return uid != 0 && uint32(uid) == u.UID && uint32(gid) == u.GID
}

// forkExec is syscall.ForkExec, tried again for a short while when the file is
// busy: a program that was just written is held open for writing by any child
// which another thread forked meanwhile, until that child execs.
func forkExec(path string, args []string, attr *syscall.ProcAttr) (int, error) {
	for wait := time.Millisecond; ; wait *= 2 {
		pid, err := syscall.ForkExec(path, args, attr)
		if err != syscall.ETXTBSY || wait > 32*time.Millisecond {
			return pid, err
		}
		time.Sleep(wait)
	}
}

func (e *Exec) file(f *os.File) uintptr {
	if f == nil {
		return e.null.Fd()
	}
	return f.Fd()
}

// tagName tells what Workers are to mark their processes with.
func (e *Exec) tagName() string { return e.Tag }

// mark names the variable that tells whose an orphan is. Without a Tag only helpers have
// one: their spares are orphans from their birth until they are adopted.
func (e *Exec) mark() string { return cmp.Or(e.Tag, helperMark) }

// beginFork gives a fork its number, which is to be given to endFork when the
// process is in the table of the living or does not exist.
func (e *Exec) beginFork() (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return 0, ErrClosed
	}
	e.begun++
	e.forking[e.begun] = true
	return e.begun, nil
}

func (e *Exec) endFork(n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.forking, n)
}

func (e *Exec) enlist(ch *child) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.enlistLocked(ch)
}

func (e *Exec) enlistLocked(ch *child) {
	if len(e.live) == 0 {
		e.orphans.poke() // from now on it has to look now and then
	}
	e.seq++
	ch.seq = e.seq
	e.live[ch.p.Pid] = ch
	e.wg.Add(1)
}

func (e *Exec) delist(ch *child) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.live[ch.p.Pid] == ch { // its pid may be another's since it was reaped
		delete(e.live, ch.p.Pid)
	}
}

// watch implements host. It costs a descriptor and a goroutine; see await for the
// process whose end is near.
func (ch *child) watch(p *Process) {
	if ch.collect() || ch.watched.Swap(true) {
		return
	}
	go ch.follow()
}

// await implements host.
func (ch *child) await(p *Process, d time.Duration) {
	if ch.collect() {
		return
	}
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = pollOne(fd, d)
	ch.collect()
}

// follow waits for the end of the process on a pidfd, so that no thread is held.
func (ch *child) follow() {
	fd, err := unix.PidfdOpen(ch.p.Pid, unix.PIDFD_NONBLOCK)
	if err == nil {
		f := os.NewFile(uintptr(fd), "pidfd")
		defer f.Close()
		var conn syscall.RawConn
		if conn, err = f.SyscallConn(); err == nil {
			err = conn.Read(func(uintptr) bool { return ch.collect() })
		}
	}
	if err != nil { // no pidfd to be had: wait in the kernel
		exit, _ := ch.peek(0)
		ch.ended(exit)
	}
}

// collect publishes how the process has ended, if it has. The zombie is kept
// until release, so that neither its pid nor its group's number can become
// another's (F38).
func (ch *child) collect() bool {
	if _, known := ch.p.Exit(); known {
		return true
	}
	exit, ok := ch.peek(unix.WNOHANG)
	if ok {
		ch.ended(exit)
	}
	return ok
}

func (ch *child) ended(exit Exit) {
	exit.Elapsed = time.Since(ch.p.Start)
	ch.p.setExit(exit)
}

// peek tells how the process ended without reaping it.
func (ch *child) peek(flags int) (Exit, bool) {
	var info unix.Siginfo
	var ru unix.Rusage
	for {
		err := unix.Waitid(unix.P_PID, ch.p.Pid, &info, unix.WEXITED|unix.WNOWAIT|flags, &ru)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // somebody else has reaped it
			return Exit{Code: -1}, true
		}
		break
	}
	if info.Signo == 0 {
		return Exit{}, false
	}
	return exitOf(&info, &ru, ch.rss0), true
}

// signal implements host. Once the process has been reaped its number may be
// another's, and what is left of its group is endLeftovers' business.
func (ch *child) signal(p *Process, sig syscall.Signal) {
	ch.sig.Lock()
	defer ch.sig.Unlock()
	if !ch.reaped {
		ch.signalGroup(p, sig)
	}
}

func (ch *child) signalGroup(p *Process, sig syscall.Signal) {
	if sig == syscall.SIGKILL && ch.leaf != nil {
		ch.leaf.kill()
	}
	_ = syscall.Kill(-p.Pid, sig)
}

func (ch *child) reap(p *Process) {
	ch.sig.Lock()
	defer ch.sig.Unlock()
	ch.reaped = true
	for {
		if _, err := syscall.Wait4(p.Pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// release implements host.
func (ch *child) release(p *Process) {
	if !ch.keep {
		ch.terminate(p)
	}
	ch.reap(p)
	ch.released.Store(true)
	if !ch.keep && ch.leftovers(p) {
		go ch.endLeftovers(p)
		return
	}
	ch.finish(p)
}

// terminate asks what the process leaves behind to end.
func (ch *child) terminate(p *Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGTERM)
	if ch.leaf != nil {
		ch.leaf.signal(syscall.SIGTERM)
	}
}

// leftovers reports whether anything is left of the process's group or leaf.
func (ch *child) leftovers(p *Process) bool {
	for { // those of the group whose parent is gone are ours to reap
		pid, err := syscall.Wait4(-p.Pid, nil, syscall.WNOHANG, nil)
		if pid <= 0 && err != syscall.EINTR {
			break
		}
	}
	if syscall.Kill(-p.Pid, 0) == nil {
		return true
	}
	return ch.leaf != nil && ch.leaf.populated()
}

// endLeftovers waits for them to go and kills them when the grace is over. The
// kernel announces nothing when a process group becomes empty, so it looks.
func (ch *child) endLeftovers(p *Process) {
	const giveUp = 10 * time.Second // a process in uninterruptible sleep
	deadline := time.Now().Add(p.grace)
	for wait := time.Millisecond; ch.leftovers(p); wait = min(2*wait, 50*time.Millisecond) {
		if late := time.Since(deadline); late > giveUp {
			ch.e.log().Error("descendants do not go away, even killed", "pgid", p.Pid)
			break
		} else if late > 0 {
			ch.signalGroup(p, syscall.SIGKILL)
		}
		time.Sleep(wait)
	}
	ch.finish(p)
}

// finish is the end of a process for Exec.
func (ch *child) finish(p *Process) {
	if ch.keep { // before it is off the table, lest a look falls between
		ch.e.orphans.keep(ch.tag)
	}
	ch.e.delist(ch)
	ch.e.leaves.put(ch.leaf)
	close(p.gone)
	ch.e.orphans.poke()
	ch.e.wg.Done()
}

// Close stops every process, waits until all are gone, ends the orphans and
// returns. Spawn fails from then on. It takes as long as the longest grace.
func (e *Exec) Close() error {
	if err := e.init(); err != nil {
		return err
	}
	e.forks.Lock() // no start is under way
	e.mu.Lock()
	e.closed = true
	var all []*Process
	for _, ch := range e.live {
		all = append(all, ch.p)
	}
	e.mu.Unlock()
	e.forks.Unlock()
	for _, p := range all {
		p.Stop("the server stops")
	}
	for _, p := range all {
		p.End()
	}
	e.wg.Wait()
	var err error
	e.last.Do(func() { // a second Close waits for the first
		err = errors.Join(e.orphans.stop(), e.leaves.close(), e.null.Close())
	})
	return err
}

// Kill sends SIGKILL to every process at once; Close has still to be called.
func (e *Exec) Kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ch := range e.live {
		ch.signalGroup(ch.p, syscall.SIGKILL)
	}
}

// Live tells how many processes Exec has that are not gone, a Warm's helpers left out.
func (e *Exec) Live() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, ch := range e.live {
		if !ch.aside {
			n++
		}
	}
	return n
}

// busy reports whether any process is not gone.
func (e *Exec) busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.live) > 0
}
