package cgi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

const (
	cpuSignal  = syscall.SIGXCPU
	killSignal = syscall.SIGKILL
	termSignal = syscall.SIGTERM
)

// output is what one process writes: its standard output as a reader, which keeps
// the time limits and knows when the response is over, and beside that its
// standard error. The response ends
//
//   - when the pipe does, and the process has ended or linger is over; or
//   - when the process has ended and the pipe, held open by a descendant, was
//     silent for linger (A99); or
//   - with an error, when a time limit is reached or a signal has ended the
//     process.
//
// Most processes are over in a few milliseconds. For that long the reader waits in
// poll(2), for both pipes at once: no goroutine, no timer, no wake-up but its own.
// When the process has lived for quick, or when a reader of its standard error is
// missed, both pipes go to the runtime's poller (settle); and at once when too many
// wait in poll(2) already, each of which may keep a processor from other goroutines.
//
// Read and ReadWithin are for one goroutine.
type output struct {
	fd    int      // of standard output, until settled
	held  bool     // one of pollers, until settled
	f     *os.File // the same once settled
	errs  stderr
	proc  *process.Process
	times *Times
	close func() error // ends the run, once there is a response
	freed func()       // the client may go from now on; set with close
	whole bool         // the response is complete: what follows is nobody's

	header atomic.Bool  // the header is complete
	first  atomic.Int64 // nanoseconds from start to the first output
	fed    atomic.Int64 // nanoseconds from start to the last write to its input
	asked  time.Time    // when the read under way began
	over   atomic.Bool  // the end was reached

	mu     sync.Mutex // held where a deadline is set
	exited bool       // the process has ended; known only once settled
	err    error      // sticky: what cut the response short
}

// quick is how long a process may hold a thread that waits for it.
const quick = 50 * time.Millisecond

// pollers are those that wait in poll(2): at most a quarter of the runtime's processors.
var pollers struct {
	now atomic.Int32
	max func() int32
}

func init() {
	pollers.max = sync.OnceValue(func() int32 { return int32(max(1, runtime.GOMAXPROCS(0)/4)) })
}

func newOutput(stdout, stderr int, sink io.Writer, proc *process.Process, times *Times) *output {
	o := &output{fd: stdout, held: true, errs: stderrOf(stderr, sink), proc: proc, times: times}
	if pollers.now.Add(1) > pollers.max() {
		o.settle()
	}
	return o
}

// letGo gives the place among pollers back.
func (o *output) letGo() {
	if o.held {
		o.held = false
		pollers.now.Add(-1)
	}
}

// settle gives both pipes to the runtime's poller, and has the end of the process
// watched for.
func (o *output) settle() {
	o.letGo()
	o.errs.settle()
	f := process.File(o.fd)
	o.f, o.fd = f, -1
	o.proc.AfterExit(func() { // a Read under way is to find its deadline anew
		o.mu.Lock()
		defer o.mu.Unlock()
		o.exited = true
		_ = f.SetReadDeadline(time.Unix(0, 1))
	})
}

func (o *output) headerDone() { o.header.Store(true) }

// ended reports whether Read has come to an end.
func (o *output) ended() bool { return o.over.Load() }

func (o *output) firstByte() time.Duration { return time.Duration(o.first.Load()) }

// failure is what cut the response short, if anything did.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// fail makes the reads to come fail. The first error is the one that counts.
func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func (o *output) Read(p []byte) (int, error) { return o.read(p, -1) }

// ReadWithin implements Waiter.
func (o *output) ReadWithin(p []byte, d time.Duration) (int, error) { return o.read(p, d) }

func (o *output) read(p []byte, within time.Duration) (int, error) {
	o.asked = time.Now()
	for {
		if err := o.failure(); err != nil {
			return 0, err
		}
		if o.ended() {
			return 0, io.EOF
		}
		if o.f == nil && time.Since(o.proc.Start) > quick {
			o.settle()
		}
		var n int
		var limit limit
		var err error
		if o.f == nil {
			n, limit, err = o.readQuick(p, within)
		} else {
			n, limit, err = o.readSettled(p, within)
		}
		switch {
		case n > 0:
			if o.first.Load() == 0 {
				o.first.Store(int64(time.Since(o.proc.Start)))
			}
			return n, nil
		case err == io.EOF:
			return 0, o.finish(o.times.linger())
		case limit == lingerLimit: // it was waited for long enough
			return 0, o.finish(0)
		case err != nil:
			o.fail(fmt.Errorf("cgi: reading its output: %w", err))
		case limit == withinLimit:
			return 0, ErrNothingYet
		case limit != noLimit && !o.extended(limit):
			o.timeout(limit)
		}
	}
}

// readQuick reads in the first phase. It tells the limit that was reached; no
// bytes, no limit and no error mean that it is to be called again.
func (o *output) readQuick(p []byte, within time.Duration) (int, limit, error) {
	at, limit := o.deadline(within, false)
	wait := quick - time.Since(o.proc.Start)
	if left := time.Until(at); limit != noLimit && left < wait {
		wait = left
	} else {
		limit = noLimit
	}
	ready, err := process.Poll(max(wait, 0), o.fd, o.errs.fd)
	if err != nil {
		return 0, noLimit, err
	}
	if ready[1] {
		o.errs.readOnce()
	}
	switch {
	case ready[0]:
		n, err := unix.Read(o.fd, p)
		switch {
		case n > 0:
			return n, noLimit, nil
		case n == 0 && err == nil:
			return 0, noLimit, io.EOF
		case err == unix.EINTR, err == unix.EAGAIN: // a child has read it back
			return 0, noLimit, nil
		}
		return 0, noLimit, err
	case ready[1]:
		return 0, noLimit, nil
	}
	return 0, limit, nil
}

// readSettled is the same for the second phase.
func (o *output) readSettled(p []byte, within time.Duration) (int, limit, error) {
	limit, exited := o.setDeadline(within)
	n, err := o.f.Read(p)
	switch {
	case n > 0:
		return n, noLimit, nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return 0, noLimit, err
	case o.hasExited() != exited: // it was the exit that woke us
		return 0, noLimit, nil
	case limit != withinLimit && limit != totalLimit: // it may be that we came late, not the output
		if n, err = readNow(o.f, p); n > 0 || err == io.EOF {
			return n, noLimit, err
		}
	}
	return 0, limit, nil
}

// readNow reads what is there, whatever the deadline of f is: a read that comes after its
// deadline does not look.
func readNow(f *os.File, p []byte) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := conn.Control(func(fd uintptr) { n, err = unix.Read(int(fd), p) }); e != nil {
		return 0, e
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

// A limit is what ends a Read that finds nothing.
type limit int

const (
	noLimit limit = iota
	withinLimit
	lingerLimit
	headerLimit
	idleLimit
	totalLimit
)

// abort ends the response although the process has ended, which Stop cannot: a
// descendant may write on and on.
func (o *output) abort(err error) {
	o.fail(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.exited {
		_ = o.f.SetReadDeadline(time.Unix(0, 1))
	}
}

// setDeadline prepares the next read. exited is whether the process had ended.
func (o *output) setDeadline(within time.Duration) (which limit, exited bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, which := o.deadline(within, o.exited)
	_ = o.f.SetReadDeadline(at)
	return which, o.exited
}

func (o *output) hasExited() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.exited
}

// deadline is until when the next read may wait, and which limit that is.
func (o *output) deadline(within time.Duration, exited bool) (at time.Time, which limit) {
	consider := func(t time.Time, l limit) {
		if at.IsZero() || t.Before(at) {
			at, which = t, l
		}
	}
	t, now := o.times, time.Now()
	fed := o.proc.Start.Add(time.Duration(o.fed.Load()))
	if within >= 0 {
		consider(now.Add(within), withinLimit)
	}
	if exited {
		consider(now.Add(t.linger()), lingerLimit)
	}
	switch {
	case !o.header.Load() && t.Header > 0:
		consider(fed.Add(t.Header), headerLimit)
	case o.header.Load() && t.Idle > 0 && !exited: // then linger is the limit
		since := o.asked // not the last output: a slow front asks late
		if fed.After(since) {
			since = fed
		}
		consider(since.Add(t.Idle), idleLimit)
	}
	if t.Total > 0 {
		consider(o.proc.Start.Add(t.Total), totalLimit)
	}
	return at, which
}

// extended reports whether a limit that was reached has moved on meanwhile: the
// process is still being fed.
func (o *output) extended(which limit) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, now := o.deadline(-1, o.exited)
	return now == which && time.Now().Before(at)
}

// feeding notes that the process has taken a part of its input.
func (o *output) feeding() { o.fed.Store(int64(time.Since(o.proc.Start))) }

// timeout ends a process that has used up its time.
func (o *output) timeout(which limit) {
	var why string
	switch which {
	case headerLimit:
		why = fmt.Sprintf("it did not send a complete header within %v (header_timeout)", o.times.Header)
	case idleLimit:
		why = fmt.Sprintf("it sent nothing more for %v (idle_timeout)", o.times.Idle)
	default:
		why = fmt.Sprintf("it did not finish within %v (timeout)", o.times.Total)
	}
	o.fail(&Error{Kind: Timeout, Reason: why})
	o.proc.Stop(why)
}

// finish is called at the end of the output and decides whether it is a good one.
// A process that has closed its output and lives on has given its response. Its end and
// its last words are waited for, at most for d.
func (o *output) finish(d time.Duration) error {
	o.awaitExit(d)
	o.over.Store(true)
	exit, known := o.proc.Exit()
	if err := o.failure(); err != nil {
		return err
	}
	if o.whole {
		return io.EOF
	}
	if cause := o.proc.Cause(); cause != "" {
		o.fail(&Error{Kind: o.stoppedKind(cause), Reason: cause})
		return o.failure()
	}
	if known && exit.Signal != 0 && o.header.Load() { // A98
		o.fail(&Error{Kind: Truncated, Reason: "its output was cut short"})
		return o.failure()
	}
	return io.EOF
}

// stoppedKind is the kind of a failure for which somebody else stopped the process:
// its client, or whoever closed the Spawner.
func (o *output) stoppedKind(cause string) Kind {
	switch {
	case cause == clientGone:
		return ClientGone
	case cause == ErrEnded.Error():
		return Ended
	case o.header.Load():
		return Truncated
	}
	return Busy
}

// fulfil implements fulfilled: a client that leaves now, with all it was promised, does
// not end the process, which may have more to do.
func (o *output) fulfil() {
	if o.freed != nil {
		o.freed()
	}
}

// closeWhole is Close when the response was given in full, by its own account: then
// the process may go on within its limits, with nobody to wait for it.
func (o *output) closeWhole() error {
	o.whole = true
	return o.Close()
}

// discard reads on until the output ends, or at most for d.
func (o *output) discard(d time.Duration) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for until := time.Now().Add(d); ; {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		if _, err := o.ReadWithin(*buf, left); err != nil {
			return
		}
	}
}

// Close implements io.Closer for the Response.
func (o *output) Close() error {
	if o.close == nil { // there is no response yet: fail will end the run
		return nil
	}
	return o.close()
}

// awaitExit waits for the process to end and for its last words, at most d: an end
// of output usually is the end of the process.
func (o *output) awaitExit(d time.Duration) {
	if o.f == nil {
		o.errs.drain(quick)
		if o.proc.Await(min(d, quick)) {
			return
		}
		o.settle()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-o.proc.Exited():
	case <-t.C:
		return
	}
	select {
	case <-o.errs.done:
	case <-t.C:
	}
}

// release closes both pipes.
func (o *output) release() {
	o.letGo()
	if o.f != nil {
		_ = o.f.Close()
	} else if o.fd >= 0 {
		_ = unix.Close(o.fd)
		o.fd = -1
	}
	o.errs.release()
}
