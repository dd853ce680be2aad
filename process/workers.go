package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Workers keeps processes that serve connections, such as FastCGI and SCGI
// applications, and makes each of them a connection that is dialled: Dial returns
// one to a worker with a free place and starts workers as they are needed. They
// end when they have been idle for long, have served their number of requests, use
// too much memory, or when a connection to them is closed in the midst of an
// exchange; those that die are replaced. The fields are not to be changed after
// Start. Its methods may be called by several goroutines at once. Close it when
// done.
type Workers struct {
	// Command is what each worker runs. Its Stdin, Stdout and Stderr are not
	// used: descriptor 0 is a listening Unix socket of the worker's own
	// (FastCGI 1.0 section 2.2), 1 is /dev/null, and what is written to 2 goes
	// to Log, line by line. Without Args argv is the last part of Path.
	//
	// Where Args hold "{socket}" or "{port}", in any place, descriptor 0 is
	// /dev/null and the program listens by itself: at the path of a Unix socket
	// that does not exist yet, or at a port of 127.0.0.1 that was free just now.
	Command Command

	Spawner Spawner      // starts the workers; it is not closed by Close
	Name    string       // in the log and in errors; "" means the last part of Command.Path
	Log     *slog.Logger // nil means slog.Default

	// Min workers are kept ready, at most Max take connections. With Min equal
	// to Max their number is fixed, with Min zero they are started on demand.
	// Max zero means Min, at least 1. While workers that were told to end are
	// ending there may be up to twice Max processes.
	Min, Max int

	// IdleTimeout is how long a worker above Min may be without a connection;
	// zero means DefaultWorkerIdle.
	IdleTimeout time.Duration

	Concurrency int // connections to one worker at a time; zero means 1

	// MaxRequests is how many exchanges a worker serves before it is replaced,
	// up to a tenth more or less so that not all go at once. Zero means any
	// number.
	MaxRequests int

	// MaxMemory is the resident memory in bytes, of the worker and the
	// descendants that are children of main threads, each counted in full,
	// above which it is replaced after its exchange. It is looked at after an
	// exchange, at most every 100 ms, and every 5 s besides. Zero means any.
	MaxMemory int64

	// StartTimeout is how long a program may take until it listens by itself, and
	// until Ready is content; zero means DefaultStartTimeout.
	StartTimeout time.Duration

	// Ready, if not nil, says when a worker has begun to serve. It is given the
	// first connection to it, on which it may ask something, and gets no deadline
	// but ctx, which is done when the program ends as well: reads and writes then
	// fail. Until it returns nil the worker is given nothing to do, and what it
	// writes to its standard error is held back, up to 64 KiB; of workers that fail
	// one after the other with the same words, the log has the first one's.
	Ready func(ctx context.Context, conn net.Conn) error

	// Dir is the folder in which a private folder for the sockets is made,
	// which Close removes; "" means that of temporary files.
	Dir string

	once     sync.Once
	startErr error
	life     context.Context // ended by Close
	cancel   context.CancelFunc
	folder   string        // what Close removes; "" where ports are used
	sockets  string        // the folder of the sockets, in it or the same
	wake     chan struct{} // asks the keeper for a look
	wg       sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	all     []*worker // that are not gone
	waiting []*waiter // Dials without a place, first come first; then no place is free
	back    backoff
	last    string // how the last failure came about
	exit    *Exit  // of that worker; nil where it was not started
	tail    string // the last lines that it wrote to its standard error
	shown   string // all that it did, as the log has it
	number  int    // of the worker begun last
	stamp   uint64 // of the place freed last
	look    time.Time
	counts  WorkersStatus
}

const (
	// DefaultWorkerIdle is the IdleTimeout of Workers where nothing else is said.
	DefaultWorkerIdle = time.Minute
	// DefaultStartTimeout is the StartTimeout of Workers where nothing else is said.
	DefaultStartTimeout = 10 * time.Second
)

// ErrWorkersClosed is the error of Workers that have been closed.
var ErrWorkersClosed = errors.New("process: workers are closed")

// DownError is the error of Dial while a crash loop is on: no worker runs, and
// none is started for some time.
type DownError struct {
	Name  string
	How   string        // how the last worker ended, with the last line of its standard error
	After time.Duration // until the next start
	Exit  *Exit         // of the last worker; nil where it was not started
	// Stderr is the end of the last worker's standard error, 4 KiB at most.
	Stderr string
}

func (e *DownError) Error() string {
	return fmt.Sprintf("process: workers of %q do not stay alive, the last one %s; next start in %s",
		e.Name, e.How, e.After.Round(100*time.Millisecond))
}

// RetryAfter is how long another Dial will fail in the same way.
func (e *DownError) RetryAfter() time.Duration { return e.After }

func (w *Workers) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}

func (w *Workers) name() string { return cmp.Or(w.Name, filepath.Base(w.Command.Path)) }
func (w *Workers) max() int     { return max(w.Max, w.Min, 1) }
func (w *Workers) places() int  { return max(w.Concurrency, 1) }
func (w *Workers) idle() time.Duration {
	return cmp.Or(w.IdleTimeout, DefaultWorkerIdle)
}

// Start checks the fields, makes the folder and begins to start the first Min
// workers. It does not wait for them: what keeps one from starting is logged, and
// told by Dial. Calls after the first return what the first did; Dial calls it.
func (w *Workers) Start() error {
	w.once.Do(func() { w.startErr = w.start() })
	return w.startErr
}

func (w *Workers) start() error {
	if err := w.check(); err != nil {
		return err
	}
	if !w.has("{port}") {
		var user *User
		if w.has("{socket}") { // the program makes it
			user = w.Command.User
		}
		var err error
		if w.folder, w.sockets, err = makeFolder(w.Dir, user); err != nil {
			return fmt.Errorf("process: workers of %q: %w", w.name(), err)
		}
	}
	w.wake = make(chan struct{}, 1)
	w.life, w.cancel = context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fill(time.Now())
	w.wg.Go(w.keep)
	return nil
}

func (w *Workers) check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("process: workers of %q: %s", w.name(), fmt.Sprintf(format, args...))
	}
	switch {
	case w.Spawner == nil:
		return fail("no spawner")
	case !filepath.IsAbs(w.Command.Path):
		return fail("path %q is not absolute", w.Command.Path)
	case w.Min < 0:
		return fail("a minimum of %d", w.Min)
	case w.Max != 0 && w.Max < w.Min:
		return fail("a minimum of %d is above the maximum of %d", w.Min, w.Max)
	case w.has("{port}") && w.has("{socket}"):
		return fail(`both "{port}" and "{socket}" in %q`, w.Command.Args)
	}
	return nil
}

// has reports whether an argument holds the place of an address.
func (w *Workers) has(place string) bool {
	for _, arg := range w.Command.Args {
		if strings.Contains(arg, place) {
			return true
		}
	}
	return false
}

// Dial returns a connection to a worker, which holds one of its places until it is
// closed or released. Where no place is free a worker is started, unless there are
// Max, and Dial waits for a place, first come first served, until ctx is done. The
// number of those that wait is the callers' to bound.
//
// What keeps a worker from starting is told by a *StartError where no other runs.
// After several failures in a row Dial fails at once with a *DownError.
//
// The connection has four methods more: Done, Release, Pid and End. Its Close ends
// the worker.
func (w *Workers) Dial(ctx context.Context) (net.Conn, error) {
	if err := w.Start(); err != nil {
		return nil, err
	}
	tries := w.max() + 2 // all may have died at once
	for try := 1; ; try++ {
		g, err := w.place(ctx)
		if err != nil {
			return nil, err
		}
		if g.conn == nil {
			g.conn, err = g.wk.connect(ctx)
		}
		if err == nil {
			return &workerConn{Conn: g.conn, wk: g.wk}, nil
		}
		if isRefused(err) {
			w.refused(g.wk)
			if try < tries {
				continue
			}
		} else {
			w.putBack(g.wk)
		}
		return nil, fmt.Errorf("process: worker %q, pid %d: %w", w.name(), g.wk.p.Pid, err)
	}
}

// Close stops every worker and waits until all are gone, for as long as the grace
// of the Command. Dial fails from then on; connections find their end.
func (w *Workers) Close() error {
	w.once.Do(func() { w.startErr = ErrWorkersClosed })
	if w.life == nil { // it was not started
		return nil
	}
	w.mu.Lock()
	w.closed = true
	w.fail(ErrWorkersClosed)
	for _, wk := range w.all {
		if wk.state != starting { // run sees to those
			w.retire(wk, "the server stops")
			wk.stop()
		}
	}
	w.mu.Unlock()
	w.cancel()
	w.wg.Wait()
	return removeFolder(w.folder)
}

// Live lists the pids of the processes that are not gone, those that are ending
// included.
func (w *Workers) Live() []int {
	var pids []int
	for _, wk := range w.Status().Workers {
		if wk.Pid != 0 {
			pids = append(pids, wk.Pid)
		}
	}
	return pids
}

// WorkersStatus is what Workers do at one moment.
type WorkersStatus struct {
	Workers []WorkerStatus
	Waiting int // Dials that wait for a place

	// Since Start:
	Started  int // processes that were started
	Failures int // of them, those that did not start or died before their first request was over

	// Down is how long no worker will be started, Last how the last failure came
	// about, and Stderr the end of what that worker wrote to its standard error:
	// "" when all is well.
	Down         time.Duration
	Last, Stderr string
}

// WorkerStatus is one worker.
type WorkerStatus struct {
	Pid      int // 0 when it is not started yet
	State    string
	Started  time.Time
	Conns    int // that it has
	Requests int // that it has served
}

// Status returns a snapshot.
func (w *Workers) Status() WorkersStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.counts
	s.Waiting = len(w.waiting)
	s.Down = max(0, w.back.wait(time.Now()))
	if w.back.failures > 0 {
		s.Last, s.Stderr = w.last, w.tail
	}
	for _, wk := range w.all {
		one := WorkerStatus{State: wk.state.String(), Started: wk.started, Conns: wk.conns, Requests: wk.requests}
		if wk.p != nil {
			one.Pid = wk.p.Pid
		}
		s.Workers = append(s.Workers, one)
	}
	return s
}
