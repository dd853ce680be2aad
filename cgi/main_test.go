package cgi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatehouse/cgi"
	"gatehouse/process"
)

// spawner is one for all tests: an Exec takes every orphan for its own.
var spawner = &process.Exec{Tag: "UNIQUE_ID"}

// through is what programs are started by: spawner, or in a test that is run both
// ways a Warm in front of it.
var through process.Spawner = spawner

// warm has the shell run what says that it is Python's. It is closed with spawner.
var warm = sync.OnceValues(func() (*process.Warm, error) {
	text, err := os.ReadFile("../process/testdata/forkserver.py")
	server := strings.Replace(string(text), "run(*work", "shell(*work", 1)
	return &process.Warm{Cold: spawner, Servers: map[string][]byte{"python": []byte(server)}, Patience: patience}, err
})

const python = "/usr/bin/python3"

// eachWay runs f with processes that are executed, and with processes that are forked
// by a helper.
func eachWay(t *testing.T, f func(t *testing.T)) {
	t.Run("exec", f)
	t.Run("warm", func(t *testing.T) {
		if _, err := os.Stat(python); err != nil {
			t.Skip("NOT TESTED: no " + python)
		}
		w, err := warm()
		if err != nil {
			t.Fatal(err)
		}
		through = always{w.With(process.WarmOptions{Mode: process.WarmOn})}
		defer func() { through = spawner }()
		f(t)
	})
}

// always fails where a process is not warm.
type always struct{ process.Spawner }

func (a always) Spawn(ctx context.Context, c *process.Command) (*process.Process, error) {
	p, err := a.Spawner.Spawn(ctx, c)
	if err == nil && !strings.HasPrefix(p.How, "warm: ") {
		p.End()
		return nil, &process.StartError{Path: c.Path, Reason: p.How}
	}
	return p, err
}

// patience bounds every wait for what must happen; no test measures it.
const patience = 20 * time.Second

// TestMain runs the fake that the binary was started as, or the tests and after
// them a check that no process, descriptor or goroutine is left.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "fake-"); ok {
		fake(name)
		os.Exit(0)
	}
	os.Stdin.Close() // whatever it is, no test reads it; and its number is taken again
	if f, err := os.Open(os.DevNull); err == nil {
		defer f.Close()
	}
	ignore := goleak.IgnoreCurrent()
	before := descriptors()
	code := m.Run()
	if w, _ := warm(); w != nil {
		_ = w.Close()
	}
	if err := spawner.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "spawner:", err)
		code = 1
	}
	if !eventually(func() bool { return goleak.Find(ignore) == nil }) {
		fmt.Fprintln(os.Stderr, goleak.Find(ignore))
		code = 1
	}
	if !eventually(func() bool { return children() == "" }) {
		fmt.Fprintln(os.Stderr, "children left:", children())
		code = 1
	}
	const ours = 2 // the runtime's epoll and its eventfd, opened by the first use
	if !eventually(func() bool { return len(descriptors()) <= len(before)+ours }) {
		fmt.Fprintln(os.Stderr, "descriptors left:", descriptors(), "before:", before)
		code = 1
	}
	os.Exit(code)
}

// fake is what this binary does under another name.
func fake(name string) {
	switch name {
	case "env": // what a program sees of its start
		fmt.Print("Content-Type: text/plain\n\n")
		fmt.Printf("argv %q\n", os.Args)
		cwd, _ := os.Getwd()
		fmt.Printf("cwd %q\n", cwd)
		for _, v := range os.Environ() {
			fmt.Printf("env %q\n", v)
		}
	case "stdin": // what standard input is, and how much it gives
		what, _ := os.Readlink("/proc/self/fd/0")
		n, err := io.Copy(io.Discard, os.Stdin)
		fmt.Printf("Content-Type: text/plain\n\n%s %d %v", what, n, err)
	}
}

// fakeNamed returns the path of a program that is the fake of that name.
func fakeNamed(t testing.TB, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fake-"+name)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func descriptors() []string {
	var all []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			all = append(all, e.Name()+"="+to)
		}
	}
	return all
}

func children() string {
	var all strings.Builder
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		all.Write(text)
	}
	return strings.TrimSpace(all.String())
}

// eventually reports whether the condition comes true in time.
func eventually(cond func() bool) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	return cond()
}

// shell writes a shell script and returns its path.
func shell(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.cgi")
	interpreter := "/bin/sh"
	if through != spawner {
		interpreter = python
	}
	if err := os.WriteFile(path, []byte("#!"+interpreter+"\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// program is a Program with a short grace, and its log. Its linger is longer than any
// pause that a busy machine makes; tests of the linger have their own.
func program(t testing.TB, path string) (*cgi.Program, *logged) {
	t.Helper()
	log := new(logged)
	return &cgi.Program{
		Path: path, Spawner: through, Log: slog.New(slog.NewTextHandler(log, nil)),
		Times: cgi.Times{Linger: patience / 2, Grace: 300 * time.Millisecond, Total: time.Minute},
	}, log
}

var requests atomic.Int64

// request is a request as a front makes it; body "" is none.
func request(method, body string) *cgi.Request {
	req := &cgi.Request{ID: "test-" + strconv.FormatInt(requests.Add(1), 10), Path: "/", Account: new(cgi.Account)}
	req.Env.Set("REQUEST_METHOD", method)
	if body != "" {
		req.Env.Set("CONTENT_LENGTH", strconv.Itoa(len(body)))
		req.Body, req.ContentLength = strings.NewReader(body), int64(len(body))
	}
	return req
}

// answer asks r, reads the body to its end and closes. It fails the test when the
// work is not gone soon after.
func answer(t testing.TB, r cgi.Responder, req *cgi.Request) (resp *cgi.Response, body string, err error) {
	t.Helper()
	resp, err = r.Respond(context.Background(), req)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(resp.Body)
		body = string(text)
		_ = resp.Close()
		if resp.Gone != nil {
			within(t, resp.Gone, "the process and its descendants to be gone")
		}
	}
	idle(t)
	return resp, body, err
}

// idle waits until the spawner has nothing more.
func idle(t testing.TB) {
	t.Helper()
	if !eventually(func() bool { return spawner.Live() == 0 }) {
		t.Fatalf("%d processes are left", spawner.Live())
	}
}

func within(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// isError checks an error's kind and the words of its reason.
func isError(t testing.TB, err error, kind cgi.Kind, words ...string) *cgi.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", kind)
	}
	e := cgi.AsError(err)
	if e.Kind != kind {
		t.Errorf("kind %v (%q), want %v", e.Kind, e.Reason, kind)
	}
	for _, w := range words {
		if !strings.Contains(e.Reason, w) {
			t.Errorf("reason %q, want %q in it", e.Reason, w)
		}
	}
	return e
}
