package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// workerState is what a worker is doing, in the order of its life.
type workerState int

const (
	starting workerState = iota
	ready                // it takes connections
	retired              // it takes no more, and ends when it has none
	dead                 // the process has ended, its descendants perhaps have not
)

func (s workerState) String() string {
	return [...]string{"starting", "ready", "ending", "ended"}[s]
}

// worker is one process of Workers. Its fields up to p are set before it is shared,
// the others are under Workers.mu.
type worker struct {
	w       *Workers
	number  int
	started time.Time
	most    int      // exchanges it serves; 0 means any number
	at      endpoint // where it listens
	errs    Stderr
	stderr  *os.File      // our end of its standard error; readStderr closes it
	read    chan struct{} // closed when its standard error has been read to the end
	weighed atomic.Int64  // when its memory was looked at, in ticks; 0 for never

	held   heldLines
	cancel context.CancelFunc // gives up its start

	p *Process // nil until it is started

	state    workerState
	conns    int
	requests int
	stamp    uint64    // of the last place that became free
	since    time.Time // without a connection
	cause    string    // why it is retired
	deaf     bool      // it has refused a connection
	dying    bool      // it will be dead in a moment, or is to be stopped then
	replaced bool      // by Replace
}

// hasEnded reports whether the process has, which run may not know yet. mu is held.
func (wk *worker) hasEnded() bool {
	if wk.p == nil {
		return false
	}
	_, ended := wk.p.Exit()
	return ended
}

// begin makes a worker and starts it behind the caller's back. mu is held.
func (w *Workers) begin(now time.Time) {
	w.number++
	wk := &worker{w: w, number: w.number, started: now, most: w.most(), read: make(chan struct{})}
	wk.held.on = w.Ready != nil
	wk.errs.Line = func(line string) { wk.logLines(wk.held.add(line)) }
	ctx, cancel := context.WithCancel(w.life)
	wk.cancel = cancel
	w.all = append(w.all, wk)
	w.wg.Go(func() {
		defer cancel()
		wk.run(ctx)
	})
}

// most is MaxRequests for one worker, with its jitter.
func (w *Workers) most() int {
	n := w.MaxRequests
	if n <= 0 {
		return 0
	}
	return n - n/10 + mrand.IntN(2*(n/10)+1)
}

// run is the whole life of a worker, whose start ends with ctx.
func (wk *worker) run(ctx context.Context) {
	w := wk.w
	conn, err := wk.start(ctx)
	if err == nil {
		wk.logLines(wk.held.end())
	}
	w.mu.Lock()
	if err == nil {
		conn = wk.ready(conn)
	}
	w.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
	if wk.p == nil { // it was never there
		wk.over(err)
		w.remove(wk)
		return
	}
	if _, ended := wk.p.Exit(); err != nil && !ended {
		wk.p.Stop("it did not start: " + err.Error())
	}
	<-wk.p.Exited()
	wk.over(err)
	<-wk.p.Gone()
	_ = wk.stderr.SetReadDeadline(time.Now().Add(stderrLinger)) // one that got away may hold it
	w.remove(wk)
}

// ready opens a worker to those who wait, of whom the first gets conn; it is
// returned when nobody wants it. mu is held.
func (wk *worker) ready(conn net.Conn) net.Conn {
	w := wk.w
	if w.closed || wk.replaced {
		if !wk.replaced {
			wk.cause = "the server stops"
		}
		wk.state = retired
		wk.stop()
		return conn
	}
	w.stamp++
	w.shown = ""
	wk.state, wk.stamp, wk.since = ready, w.stamp, time.Now()
	conn = w.offer(wk, conn)
	w.lookBy(wk.since.Add(min(w.idle(), settled)))
	return conn
}

// start starts the process. A program that listens by itself, or has to be ready, is
// waited for, and the connection that shows it is returned.
func (wk *worker) start(ctx context.Context) (net.Conn, error) {
	w := wk.w
	ln, err := wk.listen()
	if err != nil {
		return nil, err
	}
	pipe, err := NewPipe(true)
	if err != nil {
		closeFile(ln)
		return nil, err
	}
	c := wk.command()
	c.Stdin, c.Stderr = ln, pipe.Theirs
	if c.User != nil { // so that it can open /dev/stderr
		_ = pipe.Theirs.Chown(int(c.User.UID), int(c.User.GID))
	}
	p, err := w.Spawner.Spawn(ctx, &c)
	// From now on the socket is the process's alone: it ends with it, and so does
	// every connection that was not accepted.
	closeFile(ln)
	if err != nil {
		pipe.Close()
		return nil, err
	}
	_ = pipe.Theirs.Close()
	w.mu.Lock()
	wk.p = p
	w.counts.Started++
	w.mu.Unlock()
	w.log().Debug("worker started", "worker", w.name(), "pid", p.Pid)
	wk.stderr = File(pipe.Ours)
	w.wg.Go(wk.readStderr)
	if w.listensItself() || w.Ready != nil {
		return wk.awaitServing(ctx)
	}
	return nil, nil
}

// command is what this worker runs.
func (wk *worker) command() Command {
	w := wk.w
	c := w.Command
	c.Stdout = nil
	if c.Args == nil {
		c.Args = []string{filepath.Base(c.Path)} // B21
	}
	c.Args = slices.Clone(c.Args)
	for n, arg := range c.Args {
		c.Args[n] = strings.NewReplacer("{socket}", wk.at.addr, "{port}", wk.at.port()).Replace(arg)
	}
	c.Env = slices.Clone(c.Env)
	if s, ok := w.Spawner.(interface{ tagName() string }); ok && s.tagName() != "" {
		// The orphans that it leaves are found by that.
		name := s.tagName() + "="
		c.Env = slices.DeleteFunc(c.Env, func(v string) bool { return strings.HasPrefix(v, name) })
		c.Env = append(c.Env, name+"worker-"+rand.Text())
	}
	return c
}

// readStderr reads to the end, which is when nobody holds the pipe any more, or
// the worker is gone.
func (wk *worker) readStderr() {
	f := wk.stderr
	defer close(wk.read)
	defer f.Close()
	defer wk.errs.Close()
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		_, _ = wk.errs.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// stderrLinger is how long what a worker has written before its end is waited for.
const stderrLinger = 100 * time.Millisecond

// stop ends the process, of whatever state the worker is. mu is held.
func (wk *worker) stop() {
	if wk.p != nil {
		wk.p.Stop(wk.cause)
	}
}

// over does what is to be done when the process has ended, or has not come about
// because of err.
func (wk *worker) over(err error) {
	w := wk.w
	w.mu.Lock()
	wk.state = dead
	wk.unlink()
	failure := wk.failed(err)
	if failure != "" {
		w.counts.Failures++
	}
	begins := failure != "" && w.back.failed(wk.number, w.number, time.Now())
	switch {
	case failure != "":
		w.last = failure
	case wk.requests > 0:
		w.back.hurry()
	}
	if failure == "" || err == nil && !w.back.looping {
		w.fill(time.Now()) // at once; the rest may take a moment
	}
	w.mu.Unlock()

	line := ""
	if wk.p != nil {
		wk.p.End()
		line = wk.lastWords()
		wk.showFailure()
	}
	wk.report(err)
	if failure != "" {
		wk.brake(failure, line, err, begins)
	}
}

// brake has those who wait know of a failure, if there is nobody left who could
// serve them, and starts others as far as that is allowed.
func (wk *worker) brake(failure, line string, err error, begins bool) {
	w := wk.w
	if line != "" {
		failure += fmt.Sprintf(", its last line on standard error was %q", line)
	}
	w.mu.Lock()
	w.last, w.exit, w.tail = failure, wk.exit(), wk.errs.Tail()
	wait, failures := w.back.wait(time.Now()), w.back.failures
	if err != nil && w.active() == 0 && wait <= 0 {
		w.fail(wk.startError(failure, err))
	}
	w.fill(time.Now())
	w.lookBy(w.back.until)
	w.mu.Unlock()
	if begins {
		w.log().Error("workers do not stay alive, starts are delayed", "worker", w.name(),
			"failures", failures, "last", failure, "next", wait.Round(time.Millisecond))
	}
}

// startError is what a Dial is told of a worker that did not start.
func (wk *worker) startError(failure string, err error) error {
	if se := (*StartError)(nil); errors.As(err, &se) || wk.p == nil {
		return err
	}
	return &StartError{Path: wk.w.Command.Path, Reason: failure, Err: err, Exit: wk.exit(), Stderr: wk.errs.Tail()}
}

// exit is how the process ended, nil if there was none.
func (wk *worker) exit() *Exit {
	if wk.p == nil {
		return nil
	}
	exit, _ := wk.p.Exit()
	return &exit
}

// failed says how a worker failed, "" when it did not: when it was told to end, or
// has served a request, however it ended then, for something that serves is no
// crash loop. To exit with status 0 is on purpose (B22), but not as the first thing
// it does. mu is held.
func (wk *worker) failed(err error) string {
	const early = 2 * time.Second
	switch {
	case wk.w.closed, wk.replaced, wk.requests > 0:
		return ""
	case wk.p == nil:
		return "could not be started: " + err.Error()
	}
	exit, _ := wk.p.Exit()
	how := fmt.Sprintf("(pid %d) ended after %s: %s", wk.p.Pid, exit.Elapsed.Round(time.Millisecond), exit)
	switch {
	case err != nil && wk.p.Cause() != "":
		return fmt.Sprintf("(pid %d) %v", wk.p.Pid, err)
	case err != nil:
		if exit.Success() {
			how += " (perhaps to go on in the background, where it cannot be watched)"
		}
		if !wk.w.listensItself() {
			return how + ", before it was ready"
		}
		return how + ", before it listened"
	case wk.deaf && wk.p.Cause() != "":
		return fmt.Sprintf("(pid %d) takes no connections", wk.p.Pid)
	case wk.p.Cause() != "", exit.Success() && exit.Elapsed >= early:
		return ""
	}
	return how
}

// lastWords waits for the end of the standard error and returns its last line.
func (wk *worker) lastWords() string {
	awaitRead(wk.read, wk.stderr, stderrLinger)
	tail := wk.errs.Tail()
	return tail[strings.LastIndexByte(tail, '\n')+1:]
}

// report logs the end of the worker.
func (wk *worker) report(err error) {
	w := wk.w
	w.mu.Lock()
	requests, closed := wk.requests, w.closed || wk.replaced && err != nil
	w.mu.Unlock()
	if wk.p == nil {
		if !closed {
			w.log().Error("cannot start worker", "worker", w.name(), "reason", err.Error())
		}
		return
	}
	exit, _ := wk.p.Exit()
	attrs := []any{"worker", w.name(), "pid", wk.p.Pid, "how", exit.String(),
		"after", exit.Elapsed.Round(time.Millisecond), "requests", requests}
	cause := wk.p.Cause()
	if cause != "" {
		attrs = append(attrs, "cause", cause)
	}
	if err == nil && (cause != "" || exit.Success()) || closed {
		w.log().Info("worker ended", attrs...)
		return
	}
	w.log().Error("worker ended", attrs...)
}

// remove takes a worker of which nothing is left off the list.
func (w *Workers) remove(wk *worker) {
	wk.at.free()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = slices.DeleteFunc(w.all, func(other *worker) bool { return other == wk })
	w.fill(time.Now())
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}

func (wk *worker) unlink() {
	if wk.at.network == "unix" {
		_ = os.Remove(wk.at.addr)
	}
}
