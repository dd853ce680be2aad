package process_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/process"
)

// patience is the limit of everything that is expected to happen; nothing is
// expected to come near it.
const patience = time.Minute

// TestMain becomes a fake when argv[0] names one; otherwise it runs the tests and
// then looks for goroutines, descriptors and children that they have left.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(os.Args[0], "fake:"); ok {
		syscall.Exit(fakes[name](os.Args[1:])) // os.Exit has the race detector sleep for a second
	}
	if name := filepath.Base(os.Args[0]); name == "python3" || name == "perl" {
		syscall.Exit(fakeInterpreter())
	}
	flag.Parse()
	r, w, err := os.Pipe() // has the runtime open its poller
	if err != nil {
		panic(err)
	}
	r.Close()
	w.Close()
	before := descriptors()
	code := m.Run()
	if code == 0 && !fuzzing() {
		code = leaks(before)
	}
	os.Exit(code)
}

func fuzzing() bool {
	f := flag.Lookup("test.fuzz")
	return f != nil && f.Value.String() != ""
}

// leaks waits, as what ends may take a moment on a busy machine.
func leaks(before []string) (code int) {
	var report string
	for end := time.Now().Add(patience / 4); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if report = left(before); report == "" {
			return 0
		}
	}
	fmt.Println(report)
	return 1
}

func left(before []string) string {
	if err := goleak.Find(); err != nil {
		return fmt.Sprint("goroutines are left: ", err)
	}
	if after := descriptors(); len(after) > len(before) {
		return fmt.Sprintf("descriptors are left: %q, at first %q", after, before)
	}
	if pids := children(os.Getpid()); len(pids) > 0 {
		return fmt.Sprint("children are left: ", pids)
	}
	return ""
}

func descriptors() (list []string) {
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil {
			list = append(list, filepath.Base(name)+"="+to)
		}
	}
	return list
}

// sameDescriptors waits, as a look at the orphans or a pidfd may be open just now.
func sameDescriptors(t *testing.T, before []string) {
	t.Helper()
	until(t, "descriptors are closed", func() bool { return len(descriptors()) <= len(before) })
}

// children lists the children of every thread of pid, zombies included.
func children(pid int) (pids []int) {
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range names {
		text, _ := os.ReadFile(name)
		for field := range strings.FieldsSeq(string(text)) {
			n, _ := strconv.Atoi(field)
			pids = append(pids, n)
		}
	}
	return pids
}

// zombies lists the children that nobody has reaped.
func zombies() []int {
	return slices.DeleteFunc(children(os.Getpid()), func(pid int) bool { return state(pid) != 'Z' })
}

// state is the letter of proc(5) for the state of a process, 'X' when it is gone.
func state(pid int) byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndex(text, []byte(") "))
	if err != nil || at < 0 {
		return 'X'
	}
	return text[at+2]
}

// lives reports whether a process runs, or would if it had a processor: which of the
// two, and what it waits for, depends on the machine.
func lives(pid int) bool { return !strings.ContainsRune("ZX", rune(state(pid))) }

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// fake is a command for this binary as the fake that is called name.
func fake(name string, args ...string) *process.Command {
	return &process.Command{Path: self(), Args: append([]string{"fake:" + name}, args...)}
}

func sh(script string) *process.Command {
	return &process.Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
	}
}

// open closes e when the test is over.
func open(t testing.TB, e *process.Exec) *process.Exec {
	t.Helper()
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// spawn starts c and ends it when the test is over.
func spawn(t testing.TB, e process.Spawner, c *process.Command) *process.Process {
	t.Helper()
	p, err := e.Spawn(context.Background(), c)
	if err != nil {
		t.Fatalf("Spawn(%q, %q): %v", c.Path, c.Args, err)
	}
	t.Cleanup(p.End)
	return p
}

// output is the reading end of what a process and its descendants write.
type output struct {
	t testing.TB
	f *os.File
}

// spawnOut is spawn with a pipe at the process's standard output. Its end is
// reached when the last that holds it is gone.
func spawnOut(t testing.TB, e process.Spawner, c *process.Command) (*process.Process, output) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	defer w.Close()
	with := *c
	with.Stdout = w
	return spawn(t, e, &with), output{t, r}
}

// line reads one line without reading beyond it.
func (o output) line() string {
	o.t.Helper()
	o.f.SetReadDeadline(time.Now().Add(patience))
	var text []byte
	for b := make([]byte, 1); ; text = append(text, b[0]) {
		if _, err := o.f.Read(b); err != nil {
			o.t.Fatalf("reading a line, after %q: %v", text, err)
		}
		if b[0] == '\n' {
			return string(text)
		}
	}
}

func (o output) number() int {
	o.t.Helper()
	text := o.line()
	n, err := strconv.Atoi(text)
	if err != nil {
		o.t.Fatalf("got %q, want a number", text)
	}
	return n
}

// rest reads to the end.
func (o output) rest() string {
	o.t.Helper()
	o.f.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(o.f)
	if err != nil {
		o.t.Fatalf("the output has no end, after %q: %v", text, err)
	}
	return string(text)
}

func await(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("not in time: %s", what)
	}
}

// exitOf waits for the end of p.
func exitOf(t testing.TB, p *process.Process) process.Exit {
	t.Helper()
	await(t, "exit", p.Exited())
	exit, ok := p.Exit()
	if !ok {
		t.Fatal("Exit is not known although Exited is closed")
	}
	return exit
}

// run starts c, and returns its output and how it ended.
func run(t testing.TB, e process.Spawner, c *process.Command) (string, process.Exit) {
	t.Helper()
	p, out := spawnOut(t, e, c)
	text := out.rest()
	exit := exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())
	return text, exit
}

// until polls for what has no event.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// write puts a file into a temporary folder.
func write(t testing.TB, mode os.FileMode, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// killKept ends a process that was spared, and reaps it.
func killKept(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("kill %d: %v", pid, err)
		return
	}
	until(t, "the kept one is gone", func() bool {
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // unless Exec has come first
		return state(pid) == 'X'
	})
}
