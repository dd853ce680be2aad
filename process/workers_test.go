package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/process"
)

// B20, B21: descriptor 0 is a listening socket that blocks, 1 is /dev/null, 2 a
// pipe, nothing else is open, and argv is the last part of the path.
func TestWorkersDescriptors(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	c := g.dial()
	want := fmt.Sprintf(`peer=true one=/dev/null two=pipe uid=%d gid=%d argv=["fake:worker"]`, os.Getuid(), os.Getgid())
	if got := g.ask(c, "look"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := g.ask(c, "env UNIQUE_ID"); !strings.HasPrefix(got, "worker-") {
		t.Errorf("UNIQUE_ID is %q, want a worker's", got)
	}
	c.Release()

	script := workers(t, &process.Workers{Max: 1, Spawner: g.Spawner, Command: *sh(
		`echo $0 >&2; ` + findFDs + `; flags=$(sed -n 2p /proc/$$/fdinfo/0); echo $open $flags >&2; sleep 1000`)})
	script.dial().Release()
	script.log.wants(t, "msg=stderr", "worker=app", "pid=", `line="0 1 2 flags: 02"`)

	bare := workers(t, &process.Workers{Max: 1, Spawner: g.Spawner, Command: process.Command{Path: "/bin/sleep"}})
	if c, err := bare.Dial(t.Context()); err == nil { // it may have ended already
		defer c.Close()
	}
	until(t, "argv[0] without its folder", func() bool { return len(bare.log.lines(`line="sleep: missing operand"`)) > 0 })
}

func TestWorkersCheck(t *testing.T) {
	e := open(t, &process.Exec{})
	tests := []struct {
		name string
		w    *process.Workers
		want string
	}{
		{"no spawner", &process.Workers{Command: *sh("")}, "no spawner"},
		{"relative path", &process.Workers{Spawner: e, Command: process.Command{Path: "x/y"}}, `"x/y" is not absolute`},
		{"minimum above maximum", &process.Workers{Spawner: e, Command: *sh(""), Min: 3, Max: 2}, "minimum of 3 is above the maximum of 2"},
		{"negative minimum", &process.Workers{Spawner: e, Command: *sh(""), Min: -1}, "minimum of -1"},
		{"two ways to listen", &process.Workers{Spawner: e, Command: *fake("worker", "{port}", "{socket}")}, `both "{port}" and "{socket}"`},
		{"no folder", &process.Workers{Spawner: e, Command: *sh(""), Dir: "/proc/nonexistent"}, "/proc/nonexistent"},
		{"long folder", &process.Workers{Spawner: e, Command: *sh(""), Dir: longFolder(t)}, "a socket's may have 107"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.w.Start()
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "process: workers of ") {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, again := test.w.Dial(context.Background()); again != err {
				t.Errorf("Dial: got %v, want %v", again, err)
			}
			if err := test.w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func longFolder(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The folder of the sockets is private (F48), and a retired worker's socket is gone.
func TestWorkersFolder(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	c := g.dial()
	list := func() []string {
		names, _ := filepath.Glob(g.dir + "/*/*")
		return names
	}
	names := list()
	if len(names) != 1 {
		t.Fatalf("got %q, want one socket", names)
	}
	if st, err := os.Stat(filepath.Dir(names[0])); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want mode 0700", st.Mode(), err)
	}
	c.Close()
	if names := list(); len(names) > 0 {
		t.Errorf("sockets are left: %q", names)
	}
}

// A fixed number of workers is there before anyone dials, and stays.
func TestWorkersStatic(t *testing.T) {
	g := workers(t, &process.Workers{Min: 2, Max: 2, IdleTimeout: 20 * time.Millisecond})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	g.settles(2)
	before := g.Live()
	a, b := g.dial(), g.dial()
	if a.Pid() == b.Pid() {
		t.Errorf("both connections are to process %d", a.Pid())
	}
	a.Release()
	b.Release()
	time.Sleep(100 * time.Millisecond) // for longer than IdleTimeout
	if after := g.Live(); !slices.Equal(before, after) {
		t.Errorf("got workers %d, at first %d", after, before)
	}
}

// On demand: none at first, one that is used again and again, and none at last.
func TestWorkersOnDemand(t *testing.T) {
	g := workers(t, &process.Workers{Max: 3})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	if live := g.Live(); len(live) != 0 {
		t.Errorf("got workers %d before there is a connection", live)
	}
	first := g.serve("pid")
	for range 5 {
		if pid := g.serve("pid"); pid != first {
			t.Errorf("got process %d, want %d again", pid, first)
		}
	}

	g = workers(t, &process.Workers{Max: 3, IdleTimeout: 300 * time.Millisecond, Spawner: g.Spawner})
	a, b := g.dial(), g.dial()
	if a.Pid() == b.Pid() {
		t.Error("two connections at once to one worker")
	}
	a.Release()
	b.Release()
	g.settles(0)
	if got := g.log.lines("worker ended", "idle for 300ms", "level=INFO"); len(got) != 2 {
		t.Errorf("got %q, want two workers that were idle", got)
	}
	g.serve("pid") // and again
}

// Between Min and Max the worker that was used last is used first, so that the
// others become idle and end.
func TestWorkersDynamic(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1, Max: 3, IdleTimeout: 500 * time.Millisecond})
	conns := []workerConn{g.dial(), g.dial(), g.dial()}
	for _, c := range conns {
		c.Release()
	}
	last := conns[2].Pid()
	until(t, "one worker is left", func() bool {
		if pid := g.serve("pid"); pid != last {
			t.Fatalf("got process %d, want %d, which was used last", pid, last)
		}
		time.Sleep(10 * time.Millisecond)
		return len(g.Live()) == 1
	})
}

// Those that wait for a place get it in their order, and one that gives up is not
// counted any more.
func TestWorkersWait(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	c := g.dial()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	if _, err := g.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
	cancel()
	order := make(chan int, 3)
	for n := range 3 {
		go func() {
			c := g.dial()
			order <- n
			c.Release()
		}()
		until(t, "it waits", func() bool { return g.Status().Waiting == n+1 })
	}
	c.Release()
	for want := range 3 {
		if got := <-order; got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	g.settles(1)
	until(t, "the last connection is given back", func() bool { return g.Status().Workers[0].Conns == 0 })
	if s := g.Status(); s.Started != 1 || s.Waiting != 0 {
		t.Errorf("got %+v, want one process, without connections", s)
	}
}

// A Dial whose context ends just as it gets its place gives it back.
func TestWorkersWaitRace(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	for range 200 {
		c := g.dial()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := g.Dial(ctx); err == nil {
				c.(workerConn).Release()
			}
		}()
		until(t, "it waits", func() bool { return g.Status().Waiting == 1 })
		go cancel()
		c.Release()
		<-done
		cancel()
	}
	g.settles(1)
	if s := g.Status(); s.Workers[0].Conns != 0 {
		t.Errorf("got %+v, want no connections", s)
	}
}

func TestWorkersConcurrency(t *testing.T) {
	t.Run("fixed number, least busy first", func(t *testing.T) {
		g := workers(t, &process.Workers{Min: 2, Max: 2, Concurrency: 2})
		g.Start()
		g.settles(2)
		count := map[int]int{}
		var conns []workerConn
		for n := range 4 {
			c := g.dial()
			count[c.Pid()]++
			if n == 1 && len(count) != 2 {
				t.Errorf("the second connection is to %v, want the other worker", count)
			}
			conns = append(conns, c)
		}
		for pid, n := range count {
			if n != 2 {
				t.Errorf("process %d has %d connections, want 2", pid, n)
			}
		}
		for _, c := range conns {
			g.ask(c, "pid")
			c.Release()
		}
	})
	t.Run("varying number, full first", func(t *testing.T) {
		g := workers(t, &process.Workers{Max: 2, Concurrency: 3})
		a, b, c, d := g.dial(), g.dial(), g.dial(), g.dial()
		if a.Pid() != b.Pid() || b.Pid() != c.Pid() || c.Pid() == d.Pid() {
			t.Errorf("got processes %d %d %d %d, want three the same and one more", a.Pid(), b.Pid(), c.Pid(), d.Pid())
		}
		// A connection that is closed retires its worker, but not before the
		// others have done.
		a.Close()
		if got := g.ask(b, "pid"); got == "" || b.Done() {
			t.Errorf("got %q; Done says that it may be used again", got)
		}
		b.Close()
		g.ask(c, "pid")
		if end := c.End(0); end != "" {
			t.Errorf("it has ended (%s) while it has a connection", end)
		}
		c.Release()
		if end := c.End(patience); end != "killed by signal 15 (terminated)" {
			t.Errorf("got %q, want SIGTERM", end)
		}
		d.Release()
	})
}

// Close ends everything at once, whoever waits or is connected, and is final.
func TestWorkersClose(t *testing.T) {
	before := descriptors()
	g := workers(t, &process.Workers{Min: 1, Max: 2})
	a, b := g.dial(), g.dial()
	failed := make(chan error, 1)
	go func() {
		_, err := g.Dial(context.Background())
		failed <- err
	}()
	until(t, "it waits", func() bool { return g.Status().Waiting == 1 })
	if err := g.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-failed; !errors.Is(err, process.ErrWorkersClosed) {
		t.Errorf("got %v, want ErrWorkersClosed", err)
	}
	if live := g.Live(); len(live) != 0 {
		t.Errorf("processes %d are left", live)
	}
	if _, err := a.Read(make([]byte, 1)); err == nil {
		t.Error("the connection has no end")
	}
	a.Close()
	b.Release()
	if _, err := g.Dial(context.Background()); !errors.Is(err, process.ErrWorkersClosed) {
		t.Errorf("got %v, want ErrWorkersClosed", err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := g.Spawner.(*process.Exec).Close(); err != nil {
		t.Error(err)
	}
	sameDescriptors(t, before)

	var never process.Workers
	if err := never.Close(); err != nil {
		t.Errorf("Close of what was not started: %v", err)
	}
}

// BenchmarkWorkersDial is a connection from Dial to Release, with one line and its answer.
func BenchmarkWorkersDial(b *testing.B) {
	g := workers(b, &process.Workers{Max: 1})
	g.serve("pid")
	b.ReportAllocs()
	for b.Loop() {
		c, err := g.Dial(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ask(c, "env"); err != nil {
			b.Fatal(err)
		}
		c.(workerConn).Release()
	}
}

// BenchmarkWorkersDone is what an exchange on a kept connection costs.
func BenchmarkWorkersDone(b *testing.B) {
	g := workers(b, &process.Workers{Max: 1, MaxMemory: 1 << 40})
	c := g.dial()
	defer c.Release()
	b.ReportAllocs()
	for b.Loop() {
		if !c.Done() {
			b.Fatal("the worker is to be replaced")
		}
	}
}
