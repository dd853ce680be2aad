package process_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

// gate makes every exec of the file at path wait until it is let through.
type gate struct {
	t *testing.T
	f *os.File
}

func newGate(t *testing.T, path string) gate {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		t.Skipf("NOT TESTED: fanotify_init: %v", err)
	}
	f := os.NewFile(uintptr(fd), "fanotify")
	t.Cleanup(func() { f.Close() }) // which lets everything through
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, path); err != nil {
		t.Skipf("NOT TESTED: fanotify_mark: %v", err)
	}
	return gate{t, f}
}

// arrival waits for an exec and returns what lets it through.
func (g gate) arrival() (open func()) {
	g.t.Helper()
	var event unix.FanotifyEventMetadata
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&event)), unsafe.Sizeof(event))
	_ = g.f.SetReadDeadline(time.Now().Add(patience))
	if n, err := g.f.Read(buf); n != len(buf) || err != nil {
		g.t.Fatalf("fanotify: %d bytes, %v", n, err)
	}
	return func() {
		answer := unix.FanotifyResponse{Fd: event.Fd, Response: unix.FAN_ALLOW}
		_, err := g.f.Write(unsafe.Slice((*byte)(unsafe.Pointer(&answer)), unsafe.Sizeof(answer)))
		if err != nil {
			g.t.Errorf("fanotify: %v", err)
		}
		_ = unix.Close(int(event.Fd))
	}
}

// A process whose exec takes long is not taken for an orphan, though it is in a
// session of its own, has no tag yet, and nothing else runs.
func TestSlowExec(t *testing.T) {
	path := t.TempDir() + "/program"
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	g := newGate(t, path)
	var out bytes.Buffer
	c := exec.Cmd{Path: self(), Args: []string{"fake:slow", path}, Stdout: &out, Stderr: &out}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	let := g.arrival()
	stdin.Close()                      // now it looks for orphans
	time.Sleep(500 * time.Millisecond) // some looks, of which nothing tells
	let()
	if err := c.Wait(); err != nil || out.String() != "exit status 0\n" {
		t.Errorf("got %v, %q", err, out.String())
	}
}

func init() {
	fakes["slow"] = fakeSlow
	if strings.HasPrefix(os.Args[0], "fake:") {
		runtime.LockOSThread() // orphans are the main thread's children: fork there
	}
}

// fakeSlow starts a process, has an earlier one over when its input ends, and
// tells how the other ended.
func fakeSlow(args []string) int {
	e := process.Exec{Tag: "ID"}
	defer e.Close()
	before, err := e.Spawn(context.Background(), sh("exit 0"))
	if err != nil {
		return complain(err)
	}
	<-before.Exited()
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		before.End()
	}()
	p, err := e.Spawn(context.Background(), &process.Command{Path: args[0], Env: []string{"ID=slow"}})
	if err != nil {
		return complain(err)
	}
	<-p.Exited()
	exit, _ := p.Exit()
	p.End()
	fmt.Println(exit)
	return 0
}
