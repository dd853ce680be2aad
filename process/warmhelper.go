package process

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// helper is one interpreter that forks. One goroutine starts it, reads what it says
// and cleans up after it; others send it orders, with the pool's mu held.
type helper struct {
	p      *pool
	number int
	names  []string // to preload
	begun  time.Time
	cancel context.CancelFunc // ends a start that is under way

	// The goroutine's own.
	errs   Stderr
	stderr *os.File      // our end of its standard error
	silent chan struct{} // closed when nothing more comes to errs
	early  []*spare      // of a batch whose parent is not gone yet
	paths  []string      // to watch

	// With the pool's mu.
	control   *os.File
	learn     *os.File
	proc      *Process
	watch     *watcher // nil until it is ready
	ready     bool
	stopped   bool // it was asked to end
	deaf      bool // it took no message
	preloaded map[string]bool
	batch     int // the last that was ordered
	asked     int // how many were
	missing   int // of them, spares that have not said anything yet
	ordered   time.Time
	done      int // the last whose parent is gone
	forks     int
	hinted    map[string]identity
}

const (
	startTime  = 10 * time.Second // from the start to READY
	answerTime = 5 * time.Second  // from an order to the first spare, from one to the next, and to the end
	maxPaths   = 4096             // that a helper has watched

	helperMark = "GATEHOUSE" // names the variable that marks a helper where there is no Tag
)

// newHelper starts one. The pool's mu is held.
func (p *pool) newHelper() *helper {
	p.starts++
	ctx, cancel := context.WithCancel(context.Background())
	h := &helper{
		p: p, number: p.starts, names: p.names(), begun: time.Now(), cancel: cancel,
		preloaded: make(map[string]bool), hinted: make(map[string]identity),
	}
	p.w.running.Add(1)
	go h.run(ctx)
	return h
}

// run ends when the helper does, or after stop.
func (h *helper) run(ctx context.Context) {
	defer h.p.w.running.Done()
	defer h.cancel()
	stderr, err := h.start(ctx)
	h.stderr = stderr
	if err != nil {
		h.p.failed(h, err.Error())
		return
	}
	var beside sync.WaitGroup
	h.silent = make(chan struct{})
	beside.Go(func() {
		_, _ = io.Copy(&h.errs, stderr)
		close(h.silent)
	})
	if h.learn != nil {
		beside.Go(h.listen)
	}
	why := h.reason(h.converse())
	h.p.failed(h, why)
	h.p.mu.Lock()
	h.stop()
	h.p.mu.Unlock()
	for _, sp := range h.early {
		_ = unix.Close(sp.fd)
	}
	h.proc.End()
	<-h.proc.Gone()
	if h.learn != nil {
		_ = h.learn.Close()
	}
	_ = stderr.Close()
	beside.Wait()
	_ = h.errs.Close()
	h.watch.close()
}

// start starts the interpreter and tells it what to load. It returns what the helper
// writes to its standard error.
func (h *helper) start(ctx context.Context) (stderr *os.File, err error) {
	var opened []*os.File
	defer func() {
		if err != nil {
			for _, f := range opened {
				_ = f.Close()
			}
		}
	}()
	text, err := textFile(h.p.server)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	opened = append(opened, ours)
	address := ""
	if h.p.learns {
		learn, name, err := learnSocket()
		if err != nil {
			return nil, err
		}
		opened = append(opened, learn)
		h.learn, address = learn, name
	}
	pipe, err := NewPipe(true)
	if err != nil {
		return nil, err
	}
	defer pipe.Theirs.Close()
	stderr = File(pipe.Ours)
	opened = append(opened, stderr)
	proc, err := h.spawn(ctx, pipe.Theirs, theirs, text)
	if err != nil {
		return nil, err
	}
	_ = ours.SetReadDeadline(time.Now().Add(startTime))
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	h.control, h.proc = ours, proc
	h.say(append([]string{"S", warmVersion, address}, h.names...)...)
	if h.stopped {
		_ = ours.Close() // which converse finds
	}
	return stderr, nil
}

// spawn starts the interpreter. Descriptor 3 is its end of the connection, 4 the text
// of the program, which it opens by name. What processes are shown to have been
// started with, argv and environment, can only be replaced by what is not longer:
// hence the room.
func (h *helper) spawn(ctx context.Context, stderr, control, text *os.File) (*Process, error) {
	const argRoom, envRoom = 512, 8192
	h.errs.Line = func(line string) {
		h.p.w.log().Warn("warm helper says", "helper", h.p.how, "line", line)
	}
	tag := cmp.Or(h.p.adopter.tagName(), helperMark)
	mark := fmt.Sprintf("%s=helper-%p-%d-", tag, h, h.number)
	proc, err := h.p.adopter.Spawn(ctx, &Command{
		Path:   h.p.path,
		Args:   append(slices.Clone(h.p.args), "/proc/self/fd/4", strings.Repeat(" ", argRoom)),
		Env:    append([]string{mark + strings.Repeat("x", envRoom-len(mark))}, h.p.env...),
		Stderr: stderr,
		Files:  []*os.File{control, text},
		User:   h.p.user,
		Grace:  time.Second,
		aside:  true,
	})
	if err == nil {
		h.p.w.log().Debug("warm helper starts", "helper", h.p.how, "pid", proc.Pid, "modules", len(h.names))
	}
	return proc, err
}

// stop ends the helper: its connection, by which it knows, and then its process. What
// it has forked goes on. The pool's mu is held.
func (h *helper) stop() {
	if h.stopped {
		return
	}
	h.stopped = true
	h.cancel()
	if h.control != nil {
		_ = h.control.Close()
	}
}

// say sends a message. A helper that does not take it is over. The pool's mu is held.
func (h *helper) say(fields ...string) {
	message, err := appendFields(nil, fields...)
	if err == nil {
		var conn syscall.RawConn
		if conn, err = h.control.SyscallConn(); err == nil {
			_ = conn.Write(func(fd uintptr) bool {
				err = sendTo(int(fd), message)
				return true
			})
		}
	}
	if err != nil {
		h.deaf = true
		_ = h.control.SetReadDeadline(time.Unix(1, 0)) // converse ends
	}
}

// order asks for spares. The pool's mu is held.
func (h *helper) order(count int) {
	h.batch++
	h.asked, h.missing = count, count
	h.ordered = time.Now()
	_ = h.control.SetReadDeadline(h.ordered.Add(answerTime))
	h.say("F", strconv.Itoa(h.batch), strconv.Itoa(count))
}

// hint has the helper compile a script ahead. A file that was changed just now is left
// for later: a change in the same tick of the clock would not show. The pool's mu is
// held.
func (h *helper) hint(path string, is identity) {
	if h.hinted[path] == is || time.Since(time.Unix(0, max(is.mtime, is.ctime))) < hintAge {
		return
	}
	if len(h.hinted) >= maxScripts {
		clear(h.hinted)
	}
	h.hinted[path] = is
	h.say("C", path)
}

const hintAge = 3 * time.Second

// converse reads what the helper and its spares say until there is an end.
func (h *helper) converse() error {
	return packets(h.control, h.hear)
}

// packets gives each message that comes on a socket to hear, until one of them fails.
// At the end of the stream its error is io.EOF.
func packets(socket *os.File, hear func(*packet) error) error {
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, maxMessage)
	for {
		var p packet
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			p, failed = receive(int(fd), buf)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return err
		case failed == unix.EINTR:
			continue
		case failed != nil:
			return failed
		case p.fields == nil:
			return io.EOF
		}
		err = hear(&p)
		p.close()
		if err != nil {
			return err
		}
	}
}

// hear acts on one message. It takes the descriptor away from p where it keeps it.
func (h *helper) hear(p *packet) error {
	kind, rest := p.fields[0], p.fields[1:]
	if kind != "P" && p.pid != h.proc.Pid {
		return fmt.Errorf("process %d says %q in its name", p.pid, kind)
	}
	switch {
	case kind == "W" && len(h.paths)+len(rest) <= maxPaths:
		h.paths = append(h.paths, rest...)
		return nil
	case kind == "R" && len(rest) > 0 && rest[0] == warmVersion && !h.ready:
		return h.becomeReady(validNames(rest[1:]))
	case kind == "F" && len(rest) == 3:
		return h.forked(rest[0], rest[1], rest[2])
	case kind == "P" && len(rest) == 1 && p.file >= 0 && len(h.early) <= maxBatch:
		sp := &spare{of: h, pid: p.pid, fd: p.file}
		p.file = -1
		return h.announced(rest[0], sp)
	}
	return fmt.Errorf("its message %q makes no sense", shorten(strings.Join(p.fields, " ")))
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// becomeReady begins to watch what the helper has loaded and orders its first spares.
func (h *helper) becomeReady(preloaded []string) error {
	watch, err := newWatcher(h.paths, mappedFiles(h.proc.Pid), h.begun)
	if err != nil {
		return err
	}
	h.paths = nil
	p := h.p
	p.mu.Lock()
	defer p.mu.Unlock()
	h.watch, h.ready = watch, true
	for _, name := range preloaded {
		h.preloaded[name] = true
	}
	_ = h.control.SetReadDeadline(time.Time{})
	for path, s := range p.scripts {
		if s.requests > 1 {
			h.hint(path, s.is)
		}
	}
	p.look()
	switch {
	case h.stopped:
	case h == p.next:
		h.order(min(p.want, maxBatch))
	default:
		p.order()
	}
	return nil
}

// announced takes in a spare that says it is there.
func (h *helper) announced(batch string, sp *spare) error {
	h.p.mu.Lock()
	last, done := strconv.Itoa(h.batch) == batch, h.done == h.batch
	if last {
		h.missing--
	}
	if last && !done && !h.deaf {
		_ = h.control.SetReadDeadline(time.Now().Add(answerTime))
	}
	h.p.mu.Unlock()
	if last && !done {
		h.early = append(h.early, sp) // until its parent is gone it is not our child
		return nil
	}
	return h.adopt([]*spare{sp})
}

// forked is told that the parent of a batch is gone, and how many it has forked.
func (h *helper) forked(batch, count, why string) error {
	h.p.mu.Lock()
	if batch != strconv.Itoa(h.batch) || h.done == h.batch {
		h.p.mu.Unlock()
		return fmt.Errorf("it has forked batch %q, which nobody asked for", shorten(batch))
	}
	h.done = h.batch
	n, err := strconv.Atoi(count)
	if err == nil && 0 <= n && n <= maxBatch {
		h.missing -= h.asked - n
	} else {
		n = h.asked
	}
	h.forks += n
	_ = h.control.SetReadDeadline(time.Time{})
	h.p.mu.Unlock()
	if n == 0 {
		return fmt.Errorf("it cannot fork: %s", why)
	}
	early := h.early
	h.early = nil
	return h.adopt(early)
}

// adopt takes spares in as children of ours and gives them to the pool.
func (h *helper) adopt(spares []*spare) error {
	var bad error
	adopted := spares[:0]
	for _, sp := range spares {
		var err error
		if sp.ch, err = h.p.adopter.adopt(sp.pid); err != nil {
			_ = unix.Close(sp.fd)
			bad = err
			continue
		}
		adopted = append(adopted, sp)
	}
	h.p.deliver(h, adopted)
	return bad
}

// listen hears of modules that scripts have loaded. Any process of the helper's user
// can say so, and could have done worse to the helper.
func (h *helper) listen() {
	uid := uint32(os.Geteuid())
	if h.p.user != nil {
		uid = h.p.user.UID
	}
	_ = packets(h.learn, func(p *packet) error {
		if p.uid == uid && p.fields[0] == "L" {
			h.p.learn(validNames(p.fields[1:]))
		}
		return nil
	})
}

// reason puts the end of the conversation in words.
func (h *helper) reason(err error) string {
	h.p.mu.Lock()
	deaf := h.deaf
	h.p.mu.Unlock()
	var why string
	switch {
	case deaf, errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		why = h.end()
	case errors.Is(err, os.ErrDeadlineExceeded) && !h.ready:
		why = fmt.Sprintf("it is not ready after %v", startTime)
	case errors.Is(err, os.ErrDeadlineExceeded):
		why = fmt.Sprintf("it has not answered for %v", answerTime)
	default:
		why = err.Error()
	}
	if line := lastOf(h.errs.Tail()); line != "" {
		why += ": " + line
	}
	return why
}

// end says how it has ended, if it does soon.
func (h *helper) end() string {
	const soon = 100 * time.Millisecond
	if !awaitEnd(h.proc, soon, nil) {
		return "it does not listen any more"
	}
	awaitRead(h.silent, h.stderr, soon)
	exit, _ := h.proc.Exit()
	return "it has ended: " + exit.String()
}

func lastOf(lines string) string {
	return lines[strings.LastIndexByte(lines, '\n')+1:]
}

// pid is 0 until it runs. The pool's mu is held.
func (h *helper) pid() int {
	if h.proc == nil {
		return 0
	}
	return h.proc.Pid
}

// size is its resident memory in bytes (proc(5), statm).
func (h *helper) size() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", h.pid()))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
