package site

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// mostLogs is how many log files a host keeps open; of others the idlest is closed
	// until its next line.
	mostLogs = 256
	// pipeLine is how much a pipe takes as a whole (PIPE_BUF of pipe(7)).
	pipeLine = 4096
	// reopenTime is how long a log may be busy writing before Reopen gives it up.
	reopenTime = 10 * time.Second
)

// logs are the files that a host writes lines to, each once, whoever names it. They
// outlive configurations: a file that two of them name stays open.
type logs struct {
	waiting atomic.Int64 // bytes, in all buffers
	lost    atomic.Int64 // lines, since the start
	log     *slog.Logger // is told what is wrong with them

	mu    sync.Mutex
	files map[string]*logFile
	open  list.List // of *logFile, the idlest last
}

// logFile is a file of lines, or "stderr".
type logFile struct {
	*lineBuffer
	logs  *logs
	name  string
	users int // with logs.mu held
	place *list.Element

	turn  chan struct{}           // held while it is written to, opened or closed
	given io.Writer               // in place of a file: nobody's to close
	waits bool                    // its writes may wait for a reader
	f     atomic.Pointer[os.File] // nil: not open now; changed with the turn
	gone  atomic.Bool             // it has no users any more
}

// use returns the file of that name, which is opened with its first line; drop has to be
// called. given is what is written to in place of a file, or nil.
func (ls *logs) use(name string, given io.Writer) *logFile {
	if name == "stderr" && given == nil {
		return nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	key := name
	if given != nil { // a file of the name "stderr" has a path
		key = fmt.Sprintf("%T %p", given, given)
	}
	f := ls.files[key]
	if f == nil {
		f = ls.newFile(name, given)
		f.name = name
		if ls.files == nil {
			ls.files = make(map[string]*logFile)
		}
		ls.files[key] = f
	}
	f.users++
	return f
}

func (ls *logs) newFile(name string, given io.Writer) *logFile {
	f := &logFile{logs: ls, name: name, given: given, turn: make(chan struct{}, 1)}
	f.lineBuffer = newLineBuffer(lineWriter{f})
	f.lineBuffer.waiting = &ls.waiting
	f.lineBuffer.failed = func(err error) {
		ls.log.Error("log cannot be written to; its lines are kept while there is room", "file", name, "error", err)
	}
	f.lineBuffer.works = func(lost int) {
		if lost > 0 {
			ls.lost.Add(int64(lost))
			ls.log.Warn("lines of a log were lost", "file", name, "lost", lost)
		} else {
			ls.log.Info("log can be written to again", "file", name)
		}
	}
	if file, ok := given.(*os.File); ok {
		f.waits = waits(file)
	}
	return f
}

// drop gives a file back. With its last user it is closed, when what waits was written.
func (f *logFile) drop() {
	if f == nil {
		return
	}
	ls := f.logs
	ls.mu.Lock()
	f.users--
	last := f.users == 0
	if last {
		for key, other := range ls.files {
			if other == f {
				delete(ls.files, key)
			}
		}
	}
	ls.mu.Unlock()
	if !last {
		return
	}
	if !f.close() {
		ls.log.Error("log was closed before all of it could be written", "file", f.name)
	}
	ls.mu.Lock()
	f.unlist()
	ls.mu.Unlock()
	f.gone.Store(true)
	if file := f.f.Load(); file != nil {
		_ = file.Close() // a write that hangs ends with this
	}
}

// unlist takes it out of those that are open. logs.mu is held.
func (f *logFile) unlist() {
	if f.place != nil {
		f.logs.open.Remove(f.place)
		f.place = nil
	}
}

// lineWriter is where the lines of a logFile go.
type lineWriter struct{ *logFile }

// Write writes whole lines. It opens the file if that is not open.
func (w lineWriter) Write(p []byte) (int, error) {
	w.turn <- struct{}{} // held for no longer than a write or an opening takes
	defer func() { <-w.turn }()
	return w.write(p)
}

// write is Write with the turn.
func (w lineWriter) write(p []byte) (int, error) {
	if w.given == nil {
		if err := w.opened(); err != nil {
			return 0, err
		}
	}
	to := w.given
	if to == nil {
		to = w.f.Load()
	}
	if !w.waits {
		return to.Write(p)
	}
	sent := 0 // others may write to the same pipe: what it takes as a whole is not torn
	for sent < len(p) {
		n, err := to.Write(p[sent : sent+wholeLines(p[sent:])])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// wholeLines is how much of p to write at once to a pipe: lines of at most pipeLine bytes
// in all, or one longer one.
func wholeLines(p []byte) int {
	if len(p) <= pipeLine {
		return len(p)
	}
	if n := bytes.LastIndexByte(p[:pipeLine], '\n'); n >= 0 {
		return n + 1
	}
	if n := bytes.IndexByte(p, '\n'); n >= 0 {
		return n + 1
	}
	return len(p)
}

// opened opens the file if it is closed, and closes the idlest where too many are open.
// The turn is held.
func (f *logFile) opened() error {
	ls := f.logs
	if f.f.Load() != nil {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if f.place != nil {
			ls.open.MoveToFront(f.place)
		}
		return nil
	}
	if f.gone.Load() {
		return os.ErrClosed
	}
	file, err := openLog(f.name)
	if err != nil {
		return err
	}
	f.f.Store(file)
	f.waits = waits(file)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	f.place = ls.open.PushFront(f)
	for e := ls.open.Back(); e != nil && ls.open.Len() > mostLogs; {
		idle, before := e.Value.(*logFile), e.Prev()
		if idle != f && idle.rest() {
			idle.unlist()
		}
		e = before
	}
	return nil
}

// rest closes the file until its next line, unless it is in use.
func (f *logFile) rest() bool {
	select {
	case f.turn <- struct{}{}:
	default:
		return false
	}
	defer func() { <-f.turn }()
	_ = f.f.Swap(nil).Close()
	return true
}

// quick reports whether n bytes can be written at once: to a file, or where there is room
// in a pipe for all of them.
func (f *logFile) quick(n int) bool {
	select {
	case f.turn <- struct{}{}:
	default:
		return false
	}
	defer func() { <-f.turn }()
	file, isFile := f.given.(*os.File)
	switch {
	case f.given == nil:
		if file = f.f.Load(); file == nil {
			return false
		}
		if f.logs.mu.TryLock() {
			f.logs.open.MoveToFront(f.place)
			f.logs.mu.Unlock()
		}
	case !isFile: // whoever gives one takes what is written
		return true
	}
	return !f.waits || n <= pipeLine && hasRoom(file)
}

// hasRoom asks without waiting.
func hasRoom(file *os.File) (room bool) {
	c, err := file.SyscallConn()
	if err != nil {
		return false
	}
	err = c.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		room = err == nil && n == 1 && p[0].Revents&unix.POLLOUT != 0
	})
	return room && err == nil
}

// waits reports whether a write to it may wait for a reader.
func waits(file *os.File) bool {
	st, err := file.Stat()
	return err != nil || !st.Mode().IsRegular()
}

// openLog opens a log file to append to. A FIFO is opened without waiting for a reader,
// and stays open when one goes.
func openLog(name string) (*os.File, error) {
	if fd, ok := standard(name); ok { // a socket of systemd's cannot be opened by name
		second, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(second), name), nil
	}
	flags := os.O_APPEND | os.O_CREATE | os.O_WRONLY
	if st, err := os.Stat(name); err == nil && st.Mode()&fs.ModeNamedPipe != 0 {
		flags = os.O_RDWR
	}
	return os.OpenFile(name, flags|syscall.O_NONBLOCK, 0o640)
}

// standard returns the descriptor that a name stands for.
func standard(name string) (fd int, ok bool) {
	switch name {
	case "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1":
		return 1, true
	case "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2":
		return 2, true
	}
	return 0, false
}

// Reopen opens every log file anew, as whoever has renamed them wants it: when it returns
// nothing is written to the old ones any more. One that cannot be opened keeps the old
// file; the error tells of all of those.
func (h *Host) Reopen() error {
	ls := &h.logs
	ls.mu.Lock()
	var all []*logFile
	for _, f := range ls.files {
		all = append(all, f)
	}
	ls.mu.Unlock()
	late := make(chan struct{})
	t := time.AfterFunc(reopenTime, func() { close(late) })
	defer t.Stop()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	places := make(chan struct{}, 16)
	for n, f := range all {
		places <- struct{}{}
		wg.Go(func() {
			errs[n] = f.reopen(late)
			<-places
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			h.log.Error("log could not be opened anew, and is written on as it was", "error", line)
		}
		return err
	}
	h.log.Info("logs were opened anew", "files", len(all))
	return nil
}

func (f *logFile) reopen(late <-chan struct{}) error {
	if f.given != nil {
		return nil
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-late:
		return fmt.Errorf("site: log %q: nothing takes what is being written to it", f.name)
	}
	old := f.f.Load()
	if old == nil { // with its next line
		return nil
	}
	file, err := openLog(f.name)
	if err != nil {
		return fmt.Errorf("site: log %q: %w", f.name, errors.Unwrap(err))
	}
	f.f.Store(file)
	f.waits = waits(file)
	if err := old.Close(); err != nil { // some file systems tell only now that they are full
		f.logs.log.Error("the end of a log may not have been written", "file", f.name, "error", err)
	}
	return nil
}
