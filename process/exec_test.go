package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/process"
)

func TestEnvironmentDirArgs(t *testing.T) {
	e := open(t, &process.Exec{})
	t.Setenv("OURS", "not for children")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := func(list []string) string { return strings.Join(list, "\x00") }
	tests := []struct {
		name    string
		command process.Command
		want    string
	}{
		{"no environment", process.Command{Path: "/bin/cat", Args: []string{"cat", "/proc/self/environ"}}, ""},
		{"empty environment", process.Command{Path: "/bin/cat", Args: []string{"cat", "/proc/self/environ"}, Env: []string{}}, ""},
		{
			"exact environment",
			process.Command{Path: "/bin/cat", Args: []string{"cat", "/proc/self/environ"}, Env: []string{"A=1", "B=", "A=2", "C=x=y\nz"}},
			env([]string{"A=1", "B=", "A=2", "C=x=y\nz", ""}),
		},
		{
			"args", process.Command{Path: "/bin/cat", Args: []string{"any name", "/proc/self/cmdline", "/dev/null"}},
			"any name\x00/proc/self/cmdline\x00/dev/null\x00",
		},
		{"args nil", process.Command{Path: write(t, 0o755, "#!/bin/sh\necho $# \"$0\"\n")}, "0 "},
		{"dir", process.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "pwd -P"}, Dir: dir}, dir + "\n"},
		{"no dir", process.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "pwd -P"}}, "/\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			if test.name == "args nil" {
				want += test.command.Path + "\n"
			}
			if got, exit := run(t, e, &test.command); got != want || !exit.Success() {
				t.Errorf("got %q, %v, want %q", got, exit, want)
			}
		})
	}
}

// F33: /dev/null for what is not given, and no terminal. The session and the
// group are the process's own.
func TestFilesAndSession(t *testing.T) { eachWay(t, "", testFilesAndSession) }

func testFilesAndSession(t *testing.T, w way) {
	p, out := spawnOut(t, w, w.sh(t, `for n in 0 2; do readlink /proc/$$/fd/$n; done
		echo x >&2 && read x; echo "read $?"
		cut -d ' ' -f 5-8 /proc/$$/stat
		(: </dev/tty) 2>/dev/null; echo "tty $?"`))
	got := out.rest()
	want := fmt.Sprintf("/dev/null\n/dev/null\nread 1\n%d %d 0 -1\ntty ", p.Pid, p.Pid)
	if !strings.HasPrefix(got, want) || strings.HasSuffix(got, "tty 0\n") {
		t.Errorf("got %q, want %q and a failure", got, want)
	}
	p.End()
	await(t, "gone", p.Gone())

	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := w.sh(t, "echo oops >&2; for n in 0 1; do x=$(readlink /proc/$$/fd/$n); echo $x >&2; done")
	c.Stdin, c.Stdout, c.Stderr = null, null, wr
	spawn(t, w, c)
	null.Close() // at any time after Spawn has returned
	wr.Close()
	if got := (output{t, r}).rest(); got != "oops\n/dev/null\n/dev/null\n" {
		t.Errorf("got %q", got)
	}
}

func TestStartAndTook(t *testing.T) {
	e := open(t, &process.Exec{})
	before := time.Now()
	p := spawn(t, e, sh("exit 0"))
	if p.Start.Before(before) || p.Took <= 0 || p.Start.Add(p.Took).After(time.Now()) {
		t.Errorf("Start %v, Took %v, began at %v", p.Start, p.Took, before)
	}
	if p.Pid <= 1 {
		t.Errorf("Pid is %d", p.Pid)
	}
}

func TestClose(t *testing.T) {
	var e process.Exec
	var outs []output
	var ps []*process.Process
	for range 8 {
		p, out := spawnOut(t, &e, sh("echo ready; sleep 1000 & wait"))
		out.line()
		ps, outs = append(ps, p), append(outs, out)
	}
	if n := e.Live(); n != len(ps) {
		t.Errorf("Live is %d, want %d", n, len(ps))
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := e.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			for _, p := range ps {
				select {
				case <-p.Gone():
				default:
					t.Errorf("%d is not gone when Close returns", p.Pid)
				}
			}
		})
	}
	both.Wait()
	for n, p := range ps {
		outs[n].rest()
		if got := p.Cause(); got != "the server stops" {
			t.Errorf("Cause is %q", got)
		}
	}
	if _, err := e.Spawn(context.Background(), sh("exit 0")); !errors.Is(err, process.ErrClosed) {
		t.Errorf("Spawn after Close: got %v, want %v", err, process.ErrClosed)
	}
	if err := e.Close(); err != nil {
		t.Errorf("third Close: %v", err)
	}
}

func TestCloseUnused(t *testing.T) {
	var e process.Exec
	e.Kill()
	if n := e.Live(); n != 0 {
		t.Errorf("Live is %d, want 0", n)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// Spawn beside Close either starts what Close then ends, or is refused.
func TestSpawnBesideClose(t *testing.T) {
	var e process.Exec
	var wg sync.WaitGroup
	started := make(chan struct{}, 1000)
	for range 4 {
		wg.Go(func() {
			for {
				p, err := e.Spawn(context.Background(), sh("sleep 1000"))
				if errors.Is(err, process.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("Spawn: %v", err)
					return
				}
				started <- struct{}{}
				<-p.Gone()
			}
		})
	}
	<-started
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
}

// busy returns a program that is being written until done is called.
func busy(t *testing.T) (path string, done func()) {
	t.Helper()
	path = write(t, 0o755, "#!/bin/sh\nexit 0\n")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return path, func() { f.Close() }
}

// A busy file is tried again for 63 ms at least. Where the machine has taken longer to
// close it that tells nothing, and it is done again.
func TestSpawnBusyFile(t *testing.T) {
	e := open(t, &process.Exec{})
	path, done := busy(t)
	defer done()
	_, err := e.Spawn(context.Background(), &process.Command{Path: path})
	var se *process.StartError
	if !errors.As(err, &se) || !errors.Is(err, syscall.ETXTBSY) || se.Reason != "the file is being written" {
		t.Fatalf("got %v, want ETXTBSY", err)
	}
	until(t, "a file that is closed in time", func() bool {
		path, done := busy(t)
		begun := time.Now()
		closed := make(chan time.Time, 1)
		go func() {
			time.Sleep(2 * time.Millisecond) // within the first tries
			done()
			closed <- time.Now()
		}()
		p, err := e.Spawn(context.Background(), &process.Command{Path: path})
		took := (<-closed).Sub(begun)
		if err != nil {
			if took < 60*time.Millisecond {
				t.Fatalf("got %v, although it was closed after %v", err, took)
			}
			return false
		}
		exit := exitOf(t, p)
		p.End()
		if !exit.Success() {
			t.Errorf("got %v, want success", exit)
		}
		return took < 60*time.Millisecond
	})
}

// A Spawn whose context is over does not wait for its turn. A busy file holds the
// only place for as long as Spawn tries it again.
func TestSpawnContext(t *testing.T) {
	e := open(t, &process.Exec{Starts: 1})
	path, done := busy(t)
	defer done()
	cause := errors.New("it has taken too long")
	for end := time.Now().Add(patience); ; {
		var queue sync.WaitGroup
		for range 4 {
			queue.Go(func() { _, _ = e.Spawn(context.Background(), &process.Command{Path: path}) })
		}
		time.Sleep(5 * time.Millisecond) // so that one of them is likely to be first
		ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Millisecond, cause)
		p, err := e.Spawn(ctx, sh("exit 0"))
		cancel()
		queue.Wait()
		if err != nil {
			if !errors.Is(err, cause) {
				t.Errorf("got %v, want the context's cause", err)
			}
			break
		}
		p.End() // it came first
		if time.Now().After(end) {
			t.Fatal("Spawn always gets a turn, although there is one only")
		}
	}
	run(t, e, sh("exit 0")) // the place is free again
}

// A28, E61: what cannot be started leaves nothing behind.
func TestFailingSpawns(t *testing.T) {
	e := open(t, &process.Exec{})
	run(t, e, sh("exit 0"))
	plain := write(t, 0o644, "#!/bin/sh\n")
	before := descriptors()
	tests := []struct {
		name    string
		command process.Command
		want    syscall.Errno
	}{
		{"ENOENT", process.Command{Path: "/proc/nonexistent/program"}, syscall.ENOENT},
		{"EACCES", process.Command{Path: plain}, syscall.EACCES},
		{"E2BIG", process.Command{Path: "/bin/true", Env: []string{"A=" + strings.Repeat("x", 130<<10)}}, syscall.E2BIG},
		{"EINVAL", process.Command{Path: "/bin/true", Env: []string{"A=\x00"}}, syscall.EINVAL},
	}
	for n := range 1000 {
		test := tests[n%len(tests)]
		p, err := e.Spawn(context.Background(), &test.command)
		var se *process.StartError
		if p != nil || !errors.Is(err, test.want) || !errors.As(err, &se) || se.Path != test.command.Path {
			t.Fatalf("%s: got %v, %v, want it", test.name, p, err)
		}
	}
	sameDescriptors(t, before)
	if n := e.Live(); n != 0 {
		t.Errorf("Live is %d, want 0", n)
	}
	if left := children(os.Getpid()); len(left) != 0 {
		t.Errorf("children are left: %v", left)
	}
}
