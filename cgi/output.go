package cgi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gatehouse/process"
)

const (
	cpuSignal  = syscall.SIGXCPU
	killSignal = syscall.SIGKILL
)

// output is the standard output of one process: a reader that keeps the time
// limits and knows when the response is over. It ends
//
//   - when the pipe does, and the process has ended or linger is over; or
//   - when the process has ended and the pipe, held open by a descendant, was
//     silent for linger (A99); or
//   - with an error, when a time limit is reached or a signal has ended the
//     process.
//
// Read and ReadWithin are for one goroutine.
type output struct {
	f     *os.File
	proc  *process.Process
	times *Times
	close func() error // ends the run, once there is a response

	header atomic.Bool // the header is complete
	exited atomic.Bool
	first  atomic.Int64 // nanoseconds from start to the first output
	over   atomic.Bool  // the end was reached

	mu  sync.Mutex
	err error // sticky: what cut the response short
}

func newOutput(f *os.File, proc *process.Process, times *Times) *output {
	o := &output{f: f, proc: proc, times: times}
	proc.AfterExit(func() {
		// A Read under way is to find its deadline anew. Read sets its own
		// first and looks at exited then: one of us two sees the other.
		o.exited.Store(true)
		_ = f.SetReadDeadline(time.Unix(0, 1))
	})
	return o
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
	for {
		if err := o.failure(); err != nil {
			return 0, err
		}
		if o.ended() {
			return 0, io.EOF
		}
		exited := o.exited.Load()
		at, limit := o.deadline(within, exited)
		_ = o.f.SetReadDeadline(at)
		if o.exited.Load() != exited {
			continue
		}
		n, err := o.f.Read(p)
		if n > 0 {
			if o.first.Load() == 0 {
				o.first.Store(int64(time.Since(o.proc.Start)))
			}
			return n, nil
		}
		switch {
		case err == io.EOF:
			return 0, o.finish()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			o.fail(fmt.Errorf("cgi: reading its output: %w", err))
		case o.exited.Load() != exited:
		case limit == withinLimit:
			return 0, ErrNothingYet
		case limit == lingerLimit:
			return 0, o.finish()
		default:
			o.timeout(limit)
		}
	}
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

// deadline is until when the next read may wait, and which limit that is.
func (o *output) deadline(within time.Duration, exited bool) (at time.Time, which limit) {
	consider := func(t time.Time, l limit) {
		if at.IsZero() || t.Before(at) {
			at, which = t, l
		}
	}
	t, now := o.times, time.Now()
	if within >= 0 {
		consider(now.Add(within), withinLimit)
	}
	if exited {
		consider(now.Add(t.linger()), lingerLimit)
	}
	switch {
	case !o.header.Load() && t.Header > 0:
		consider(o.proc.Start.Add(t.Header), headerLimit)
	case o.header.Load() && t.Idle > 0:
		consider(now.Add(t.Idle), idleLimit)
	}
	if t.Total > 0 {
		consider(o.proc.Start.Add(t.Total), totalLimit)
	}
	return at, which
}

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
func (o *output) finish() error {
	t := time.NewTimer(o.times.linger())
	defer t.Stop()
	select {
	case <-o.proc.Exited():
	case <-t.C: // it has closed its output and lives on: that was the response
	}
	o.over.Store(true)
	exit, known := o.proc.Exit()
	if err := o.failure(); err != nil {
		return err
	}
	if cause := o.proc.Cause(); cause != "" {
		o.fail(&Error{Kind: ClientGone, Reason: cause})
		return o.failure()
	}
	if known && exit.Signal != 0 && o.header.Load() { // A98
		o.fail(&Error{Kind: Truncated, Reason: "its output was cut short"})
		return o.failure()
	}
	return io.EOF
}

// Close implements io.Closer for the Response.
func (o *output) Close() error {
	if o.close == nil { // there is no response yet: fail will end the run
		return nil
	}
	return o.close()
}
