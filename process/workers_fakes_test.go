package process_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

func init() { fakes["worker"] = fakeWorker }

// fakeWorker serves connections, each of which may send lines and gets a line for
// each. It listens on descriptor 0, or at a path or an address in its arguments.
func fakeWorker(args []string) int {
	ln, err := workerListener(args)
	if err != nil {
		return complain(err)
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			if deaf.Load() {
				time.Sleep(time.Hour)
			}
			return complain(err)
		}
		go serveLines(c)
	}
}

func workerListener(args []string) (net.Listener, error) {
	switch {
	case len(args) < 2:
		return net.FileListener(os.NewFile(0, "listener"))
	case len(args) == 3: // it takes its time
		d, _ := time.ParseDuration(args[2])
		time.Sleep(d)
	}
	return net.Listen(args[0], args[1])
}

var (
	ballast []byte
	deaf    atomic.Bool
)

func serveLines(c net.Conn) {
	defer c.Close()
	for in := bufio.NewScanner(c); in.Scan(); {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		n, _ := strconv.Atoi(arg)
		answer := "ok"
		switch verb {
		case "pid":
			answer = strconv.Itoa(os.Getpid())
		case "env":
			answer = os.Getenv(arg)
		case "say":
			fmt.Fprintln(os.Stderr, arg)
		case "close":
			return
		case "exit":
			syscall.Exit(n)
		case "signal":
			_ = syscall.Kill(os.Getpid(), syscall.Signal(n))
			select {}
		case "grow":
			ballast = bytes.Repeat([]byte{1}, n)
		case "deaf": // nothing listens at the socket any more
			deaf.Store(true)
			_ = unix.Shutdown(0, unix.SHUT_RDWR)
		case "look":
			answer = lookAround()
		case "fork":
			answer = forkChild(arg)
		}
		fmt.Fprintln(c, answer)
	}
}

// lookAround tells what a FastCGI application would see of its descriptors.
func lookAround() string {
	_, err := unix.Getpeername(0)
	one, _ := os.Readlink("/proc/self/fd/1")
	two, _ := os.Readlink("/proc/self/fd/2")
	two, _, _ = strings.Cut(two, ":")
	return fmt.Sprintf("peer=%v one=%s two=%s uid=%d gid=%d argv=%q",
		err == unix.ENOTCONN, one, two, os.Getuid(), os.Getgid(), os.Args)
}

// forkChild leaves a process that lives on, with UNIQUE_ID as of a request, in our
// group or in a session of its own with our environment; it has descriptor 0.
func forkChild(how string) string {
	c := exec.Cmd{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Stdin: os.Stdin}
	c.Env = []string{"UNIQUE_ID=of-a-request"}
	if how == "session" {
		c.Env, c.SysProcAttr = os.Environ(), &syscall.SysProcAttr{Setsid: true}
	}
	if err := c.Start(); err != nil {
		return err.Error()
	}
	return strconv.Itoa(c.Process.Pid)
}

// journal is a log that a test can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lines returns those that hold all of the parts.
func (j *journal) lines(parts ...string) (found []string) {
next:
	for line := range strings.Lines(j.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, strings.TrimSpace(line))
	}
	return found
}

// wants waits for exactly one line with all of the parts.
func (j *journal) wants(t testing.TB, parts ...string) string {
	t.Helper()
	until(t, fmt.Sprintf("a line with %q in the log", parts), func() bool { return len(j.lines(parts...)) > 0 })
	got := j.lines(parts...)
	if len(got) != 1 {
		t.Errorf("%d lines with %q in the log, want 1: %q", len(got), parts, got)
	}
	return got[0]
}

// group is Workers under test, with a spawner and a log of their own.
type group struct {
	*process.Workers
	t   testing.TB
	log *journal
	dir string
}

// workers completes w, and closes it when the test is over: nothing is left then.
func workers(t testing.TB, w *process.Workers) group {
	t.Helper()
	g := group{w, t, &journal{}, t.TempDir()}
	if w.Command.Path == "" {
		w.Command = *fake("worker")
	}
	if w.Command.Grace == 0 {
		w.Command.Grace = time.Second
	}
	if w.StartTimeout == 0 {
		w.StartTimeout = patience
	}
	if w.Name == "" {
		w.Name = "app"
	}
	w.Log, w.Dir = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})), g.dir
	e := &process.Exec{Tag: "UNIQUE_ID"}
	if w.Spawner == nil {
		w.Spawner = open(t, e)
	}
	if err := os.Chmod(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := e.Live(); n != 0 {
			t.Errorf("%d processes are left", n)
		}
		if left, _ := filepath.Glob(g.dir + "/*"); len(left) > 0 {
			t.Errorf("files are left: %q", left)
		}
		if t.Failed() {
			t.Logf("the log:\n%s", g.log)
		}
	})
	return g
}

// workerConn is what the connections of Workers are besides net.Conns.
type workerConn interface {
	net.Conn
	Done() bool
	Release() error
	Pid() int
	End(time.Duration) string
}

func (g group) dial() workerConn {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := g.Dial(ctx)
	if err != nil {
		g.t.Fatalf("Dial: %v\n%s", err, g.log)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(workerConn)
}

// ask sends one line and returns the answer; it reads not a byte more.
func ask(c net.Conn, line string) (string, error) {
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	var answer []byte
	for b := make([]byte, 1); ; answer = append(answer, b[0]) {
		if _, err := io.ReadFull(c, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(answer), nil
		}
	}
}

func (g group) ask(c net.Conn, line string) string {
	g.t.Helper()
	answer, err := ask(c, line)
	if err != nil {
		g.t.Fatalf("%q: %v\n%s", line, err, g.log)
	}
	return answer
}

// serve is a whole exchange on a connection of its own; it returns the pid.
func (g group) serve(line string) int {
	g.t.Helper()
	c := g.dial()
	g.ask(c, line)
	pid := c.Pid()
	if c.Done() {
		_ = c.Release()
	} else {
		_ = c.Close()
	}
	return pid
}

// settles waits until n workers are ready and nothing else is left.
func (g group) settles(n int) {
	g.t.Helper()
	until(g.t, fmt.Sprintf("%d ready workers, now %+v", n, g.Status()), func() bool {
		s := g.Status()
		for _, wk := range s.Workers {
			if wk.State != "ready" {
				return false
			}
		}
		return len(s.Workers) == n
	})
}
