// Package process starts, watches and ends operating system processes: each in
// a session of its own, with a clean set of descriptors and signals, with its
// whole tree of descendants ended when its work is over, and with an exact
// account of how it ended and what it used. It knows nothing of CGI.
//
// A Spawner starts processes. Exec is the one that uses fork and exec from this
// process; others (a jailed helper, a warm interpreter) stand behind the same
// interface.
package process

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Command says what to start. It is not modified, and may be used again.
type Command struct {
	Path string   // file to execute, absolute
	Args []string // argv with argv[0]; nil means Path alone
	Env  []string // the whole environment, "NAME=value"; nothing is inherited
	Dir  string   // working directory; "" means "/"

	// The three standard files. They are the caller's to close, at any time
	// after Spawn has returned; nil means /dev/null. No other descriptor
	// reaches the process, but for Files.
	Stdin, Stdout, Stderr *os.File

	// Files become the descriptors from 3 on. They are for helpers that speak
	// with this process; a *Warm starts such a command cold.
	Files []*os.File

	Limits Limits

	// Grace is how long the process has between SIGTERM and SIGKILL; zero
	// means DefaultGrace.
	Grace time.Duration

	// User is whom the process runs as; nil means this process's own user,
	// with its groups. Another needs root's rights.
	User *User

	// KeepChildren lets descendants live on after the process has ended;
	// otherwise Process.End ends them. An Exec knows the kept by its Tag:
	// it spares those that have it in their environment still.
	KeepChildren bool

	// aside marks a helper that runs beside the requests and is no orphan's
	// parent.
	aside bool
}

// User is the identity of a process, by numbers.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups, all of them
}

// DefaultGrace is the time between SIGTERM and SIGKILL where nothing else is
// said.
const DefaultGrace = 3 * time.Second

// Limits are the resource limits of one process. Zero means no limit.
type Limits struct {
	Memory int64         // address space in bytes (RLIMIT_AS)
	CPU    time.Duration // processor time (RLIMIT_CPU), rounded up to seconds
}

// A Spawner starts processes. It may be used by several goroutines at once.
type Spawner interface {
	// Spawn starts c and returns once it runs, or says with a *StartError
	// why it cannot. ctx bounds the wait for a turn to start, not the life
	// of the process: whoever asked must call Process.End.
	Spawn(ctx context.Context, c *Command) (*Process, error)
}

// Process is one started process, until End has been called and Gone is closed.
// Its methods may be called by several goroutines at once.
type Process struct {
	Pid   int
	Start time.Time     // when it was asked for
	Took  time.Duration // how long the start took, waiting for a turn included

	// How tells how a *Warm has started it: "warm: " and the interpreter, or
	// "cold: " and why. Elsewhere it is "". It is not to be changed once Spawn
	// has returned.
	How string

	host   host
	grace  time.Duration
	exited chan struct{} // closed when exit is known; use Exited
	gone   chan struct{} // closed when nothing of it is left

	exit   Exit
	ending atomic.Bool

	mu       sync.Mutex
	stopping bool   // a ladder has begun
	cause    string // why, as the first caller of Stop put it
	after    []func()
}

// host is what a Spawner does for a process that it started.
type host interface {
	// watch sees to it that setExit is called when the process has ended,
	// however often it is called itself. Without it or await setExit need not
	// be called.
	watch(p *Process)
	// await calls setExit if the process ends within d. It may hold a thread.
	await(p *Process, d time.Duration)
	// signal sends sig to the process and its descendants, as far as they
	// can be reached at once.
	signal(p *Process, sig syscall.Signal)
	// release is called once, after exit is known: it ends the descendants
	// and gives back what the spawner holds, then closes p.gone. It does
	// not wait.
	release(p *Process)
}

func newProcess(h host, pid int, start time.Time, grace time.Duration) *Process {
	if grace <= 0 {
		grace = DefaultGrace
	}
	return &Process{
		Pid: pid, Start: start, Took: time.Since(start),
		host: h, grace: grace,
		exited: make(chan struct{}), gone: make(chan struct{}),
	}
}

// setExit publishes how the process ended. Calls after the first do nothing.
func (p *Process) setExit(e Exit) {
	p.mu.Lock()
	if _, known := p.Exit(); known {
		p.mu.Unlock()
		return
	}
	p.exit = e
	close(p.exited)
	after := p.after
	p.after = nil
	p.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// Await waits for the end of the process, at most d, and reports whether it has
// ended. It holds a thread meanwhile and little else: the way to wait for a process
// whose end is expected within milliseconds.
func (p *Process) Await(d time.Duration) bool {
	_, ended := p.Exit()
	if !ended {
		p.host.await(p, d)
		_, ended = p.Exit()
	}
	return ended
}

// AfterExit has f called when the process has ended: at once if it has already,
// else by the goroutine that waits for it. f must not block.
func (p *Process) AfterExit(f func()) {
	p.host.watch(p)
	p.mu.Lock()
	if _, ended := p.Exit(); !ended {
		p.after = append(p.after, f)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	f()
}

// Exited is closed when the process itself has ended, descendants or not.
func (p *Process) Exited() <-chan struct{} {
	if _, known := p.Exit(); !known {
		p.host.watch(p)
	}
	return p.exited
}

// Gone is closed after End, when neither the process nor a descendant that End
// was to end is left.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Exit tells how the process ended; ok is false while it runs.
func (p *Process) Exit() (e Exit, ok bool) {
	select {
	case <-p.exited:
		return p.exit, true
	default:
		return Exit{}, false
	}
}

// Stop ends the process and its descendants: SIGTERM now, SIGKILL when the
// grace is over. It returns at once; the first call's cause is the one that
// Cause tells, later calls change nothing.
func (p *Process) Stop(cause string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return
	}
	select {
	case <-p.exited:
		return
	default:
	}
	p.stopping, p.cause = true, cause
	p.host.signal(p, syscall.SIGTERM)
	p.host.signal(p, syscall.SIGCONT) // a stopped process takes SIGTERM only then
	go p.kill()
}

// kill is the second rung of the ladder. It returns when the process has ended.
func (p *Process) kill() {
	t := time.NewTimer(p.grace)
	defer t.Stop()
	exited := p.Exited()
	select {
	case <-exited:
	case <-t.C:
		p.Kill()
		<-exited
	}
}

// Kill sends SIGKILL to the process and its descendants without a grace.
func (p *Process) Kill() {
	select {
	case <-p.exited:
	default:
		p.host.signal(p, syscall.SIGKILL)
	}
}

// Cause tells why Stop was called, "" when it was not.
func (p *Process) Cause() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// End says that nobody needs the process any more: it is stopped if it still
// runs, and once it has ended its descendants are ended as well, unless
// KeepChildren was set. Every started process must be given to End, once or
// more often. It returns at once: Gone tells when all is over.
func (p *Process) End() {
	if p.ending.Swap(true) {
		return
	}
	select {
	case <-p.exited:
		p.host.release(p)
		return
	default:
	}
	p.Stop("no longer needed")
	go func() { // ends when the ladder has done its work
		<-p.Exited()
		p.host.release(p)
	}()
}

// Exit is how a process ended, and what it and the descendants that it waited
// for have used.
type Exit struct {
	Code   int            // exit status; -1 when Signal ended it
	Signal syscall.Signal // 0 when it exited by itself
	Core   bool           // a core was dumped

	User, System time.Duration // processor time

	// MaxRSS is the largest resident set in bytes. Linux counts the starting
	// process's own as well (the child of a vfork shares its memory until
	// exec), so it is 0, unknown, where it was not larger than that.
	MaxRSS int64

	Elapsed time.Duration // from start to exit
}

// Success reports whether the process exited with status 0.
func (e Exit) Success() bool { return e.Code == 0 && e.Signal == 0 }

// String says it as a sentence continues: "exit status 3", "killed by signal 11
// (segmentation fault)".
func (e Exit) String() string {
	if e.Signal == 0 {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	s := fmt.Sprintf("killed by signal %d (%s)", int(e.Signal), e.Signal)
	if e.Core {
		s += ", core dumped"
	}
	return s
}
