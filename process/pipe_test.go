package process_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

func pipe(t *testing.T, childWrites bool) process.Pipe {
	t.Helper()
	p, err := process.NewPipe(childWrites)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPipe(t *testing.T) {
	e := open(t, &process.Exec{})
	in, out := pipe(t, false), pipe(t, true)
	c := sh("tr a-z A-Z")
	c.Stdin, c.Stdout = in.Theirs, out.Theirs
	spawn(t, e, c)
	in.Theirs.Close()
	out.Theirs.Close()
	w, r := process.File(in.Ours), process.File(out.Ours)
	defer r.Close()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Errorf("SetReadDeadline: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if _, err := io.WriteString(w, "hello\n"); err != nil {
		t.Error(err)
	}
	w.Close()
	if got := (output{t, r}).rest(); got != "HELLO\n" {
		t.Errorf("got %q", got)
	}
}

// Close is for a child that could not be started.
func TestPipeClose(t *testing.T) {
	e := open(t, &process.Exec{})
	run(t, e, sh("exit 0"))
	before := descriptors()
	p := pipe(t, true)
	if _, err := e.Spawn(context.Background(), &process.Command{Path: "/proc/nonexistent", Stdout: p.Theirs}); err == nil {
		t.Error("a missing file was started")
	}
	p.Close()
	sameDescriptors(t, before)
}

func TestPoll(t *testing.T) {
	a, b := pipe(t, true), pipe(t, true)
	defer unix.Close(a.Ours)
	defer unix.Close(b.Ours)
	defer a.Theirs.Close()
	poll := func(d time.Duration, want [2]bool, fds ...int) {
		t.Helper()
		began := time.Now()
		got, err := process.Poll(d, fds...)
		if err != nil || got != want {
			t.Errorf("Poll(%v, %v): got %v, %v, want %v", d, fds, got, err, want)
		}
		if took := time.Since(began); want == [2]bool{} && took < d {
			t.Errorf("Poll(%v, %v) returned after %v", d, fds, took)
		}
	}
	poll(0, [2]bool{}, a.Ours, b.Ours)
	poll(20*time.Millisecond, [2]bool{}, a.Ours, b.Ours)
	b.Theirs.WriteString("x")
	poll(-1, [2]bool{false, true}, a.Ours, b.Ours)
	poll(10*time.Millisecond, [2]bool{}, a.Ours, -1)
	poll(-1, [2]bool{true}, b.Ours)
	a.Theirs.WriteString("x")
	poll(patience, [2]bool{true, true}, a.Ours, b.Ours)
	_, _ = unix.Read(b.Ours, make([]byte, 1))
	poll(10*time.Millisecond, [2]bool{}, -1, b.Ours)
	b.Theirs.Close()
	poll(-1, [2]bool{false, true}, -1, b.Ours) // its end
}
