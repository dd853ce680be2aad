package process_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/process"
)

// The end of a worker is noticed at once, logged once with how it came about, and
// it is replaced.
func TestWorkersDeath(t *testing.T) {
	tests := []struct {
		name, line, how, level string
	}{
		{"exit on purpose", "exit 0", "exit status 0", "INFO"}, // B22
		{"exit", "exit 3", "exit status 3", "ERROR"},
		{"signal", "signal 9", "killed by signal 9 (killed)", "ERROR"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := workers(t, &process.Workers{Min: 1, Max: 1})
			g.serve("pid")
			c := g.dial()
			if got := c.End(0); got != "" {
				t.Errorf("got %q, but it lives", got)
			}
			if answer, err := ask(c, test.line); err == nil {
				t.Errorf("got the answer %q, want the end of the connection", answer)
			}
			if got := c.End(patience); got != test.how {
				t.Errorf("got %q, want %q", got, test.how)
			}
			c.Close()
			line := g.log.wants(t, `msg="worker ended"`, "worker=app", fmt.Sprintf("pid=%d ", c.Pid()))
			for _, want := range []string{"level=" + test.level, test.how, "after=", "requests=1"} {
				if !strings.Contains(line, want) {
					t.Errorf("got %s, want %q", line, want)
				}
			}
			if pid := g.serve("pid"); pid == c.Pid() {
				t.Error("the dead worker was not replaced")
			}
			if s := g.Status(); s.Failures != 0 {
				t.Errorf("got %d failures; it had served", s.Failures)
			}
		})
	}
}

// One that is found dead by its connection's end is not said to have been ended by us.
func TestWorkersDeathThenClose(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	c := g.dial()
	_, _ = ask(c, "signal 9")
	c.Close()
	line := g.log.wants(t, `msg="worker ended"`)
	if !strings.Contains(line, "killed by signal 9") || strings.Contains(line, "cause=") {
		t.Errorf("got %s, want SIGKILL, but not ours", line)
	}
	if s := g.Status(); s.Failures != 1 {
		t.Errorf("got %d failures, want 1", s.Failures)
	}
}

// A worker that closes a connection but lives on is ended all the same.
func TestWorkersCloseOfALivingPeer(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	c := g.dial()
	if answer, err := ask(c, "close"); err == nil {
		t.Fatalf("got %q, want the end of the connection", answer)
	}
	c.Close()
	if got := c.End(patience); got != "killed by signal 15 (terminated)" {
		t.Errorf("got %q, want SIGTERM", got)
	}
}

// Close of a connection ends the worker, by SIGKILL if need be, and the next Dial
// has another at once. After Release it does nothing.
func TestWorkersAbandoned(t *testing.T) {
	c := fake("sleeper", "stubborn")
	c.Grace = 300 * time.Millisecond
	g := workers(t, &process.Workers{Max: 1, Command: *c})
	a := g.dial()
	until(t, "it ignores SIGTERM", func() bool { return ignoresTerm(a.Pid()) })
	a.Close()
	b := g.dial()
	if a.Pid() == b.Pid() {
		t.Error("the same worker again")
	}
	if got := a.End(patience); got != "killed by signal 9 (killed)" {
		t.Errorf("got %q, want SIGKILL", got)
	}
	g.log.wants(t, `msg="worker ended"`, "level=INFO", `cause="its connection was closed"`)
	b.Release()
	b.Close()
	if got := b.End(100 * time.Millisecond); got != "" {
		t.Errorf("it has ended: %s", got)
	}
}

// ignoresTerm reports whether a process ignores SIGTERM (proc(5), status).
func ignoresTerm(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\nSigIgn:\t")
	mask, _ := strconv.ParseUint(strings.SplitN(rest, "\n", 2)[0], 16, 64)
	return mask&(1<<(syscall.SIGTERM-1)) != 0
}

// Processes that ignore SIGTERM do not add up: there are at most twice Max.
func TestWorkersAbandonedMany(t *testing.T) {
	c := fake("sleeper", "stubborn")
	c.Grace = time.Second
	g := workers(t, &process.Workers{Max: 2, Command: *c})
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if c, err := g.Dial(ctx); err == nil {
			time.Sleep(20 * time.Millisecond) // until it ignores SIGTERM
			c.Close()
		}
		cancel()
		if n := len(g.Live()); n > 4 {
			t.Fatalf("%d processes live, want at most 4", n)
		}
	}
}

func TestWorkersMaxRequests(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1, Max: 1, MaxRequests: 20})
	seen := map[int]int{}
	last := 0
	for range 300 { // each served, whichever worker it meets
		last = g.serve("pid")
		seen[last]++
	}
	delete(seen, last) // which has not served all of its own
	counts := map[int]bool{}
	for pid, n := range seen {
		if n < 18 || n > 22 {
			t.Errorf("process %d has served %d, want 18 to 22", pid, n)
		}
		counts[n] = true
	}
	if len(seen) < 12 || len(counts) < 2 {
		t.Errorf("%d workers, %d different numbers of requests, want at least 12 and some jitter", len(seen), len(counts))
	}
	g.settles(1)
	for pid := range seen {
		g.log.wants(t, fmt.Sprintf("pid=%d ", pid), "cause=", "has served its number of requests", "level=INFO")
	}
}

// A replacement is begun before the old worker is ended.
func TestWorkersReplacedFirst(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1, Max: 1, MaxRequests: 1})
	c := g.dial()
	g.ask(c, "pid")
	if c.Done() {
		t.Fatal("Done says that it may be used again")
	}
	other := g.dial()
	if end := c.End(0); end != "" {
		t.Errorf("the old one has ended: %s", end)
	}
	c.Close()
	other.Release()
}

func TestWorkersMaxMemory(t *testing.T) {
	const limit = 200 << 20
	t.Run("after an exchange", func(t *testing.T) {
		g := workers(t, &process.Workers{Max: 1, MaxMemory: limit})
		c := g.dial()
		g.ask(c, "pid")
		if !c.Done() {
			t.Fatal("a small worker is to be replaced")
		}
		time.Sleep(110 * time.Millisecond) // the next look
		g.ask(c, "grow "+strconv.Itoa(limit))
		if c.Done() {
			t.Error("a worker that has grown is to go on")
		}
		c.Close()
		g.log.wants(t, "level=INFO", "bytes of memory, more than 209715200")
	})
	t.Run("by and by", func(t *testing.T) {
		g := workers(t, &process.Workers{Max: 1, MaxMemory: limit})
		c := g.dial()
		g.ask(c, "grow "+strconv.Itoa(limit))
		_ = c.Release() // without Done
		if c.End(patience) == "" {
			t.Error("it lives on")
		}
	})
}

// What a worker has forked ends with it: in its group, although it looks like that
// of a request, or in a session of its own.
func TestWorkersDescendants(t *testing.T) {
	for _, how := range []string{"group", "session"} {
		t.Run(how, func(t *testing.T) {
			g := workers(t, &process.Workers{Max: 1})
			c := g.dial()
			pid, err := strconv.Atoi(g.ask(c, "fork "+how))
			if err != nil {
				t.Fatal(err)
			}
			c.Done()
			if _, err := ask(c, "signal 9"); err == nil {
				t.Error("it answers")
			}
			c.Release()
			until(t, "the child is gone", func() bool { return state(pid) == 'X' })
			g.settles(0)
		})
	}
}

// An orphan in the session of a living process lives, whatever its tag.
func TestOrphanOfALivingSession(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	c := sh(`sh -c 'ID=other sleep 1000 & echo $!'; exec sleep 1000`)
	c.Env = append(c.Env, "ID=one")
	p, out := spawnOut(t, e, c)
	pid := out.number()
	time.Sleep(2500 * time.Millisecond) // some looks, of which nothing tells
	if !lives(pid) {
		t.Error("it has ended")
	}
	p.End()
	until(t, "it is gone", func() bool { return state(pid) == 'X' })
}

// php-cgi with children: connections reach any of them, and all end.
func TestWorkersPHP(t *testing.T) {
	path, err := exec.LookPath("php-cgi")
	if err != nil {
		t.Skip("NOT TESTED: no php-cgi")
	}
	g := workers(t, &process.Workers{Max: 1, Concurrency: 3, Command: process.Command{Path: path, Env: []string{"PHP_FCGI_CHILDREN=3"}}})
	a, b := g.dial(), g.dial()
	for _, c := range []workerConn{a, b} {
		// FCGI_GET_VALUES for FCGI_MPXS_CONNS, which php answers.
		name := "FCGI_MPXS_CONNS"
		record := append([]byte{1, 9, 0, 0, 0, byte(2 + len(name)), 0, 0, byte(len(name)), 0}, name...)
		if _, err := c.Write(record); err != nil {
			t.Fatal(err)
		}
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil || head[1] != 10 {
			t.Errorf("got %x, %v, want FCGI_GET_VALUES_RESULT", head, err)
		}
	}
	pid := a.Pid()
	var all []int
	until(t, "it has three children", func() bool { all = children(pid); return len(all) == 3 })
	a.Close()
	b.Close()
	for _, child := range all {
		until(t, "the children are gone", func() bool { return state(child) == 'X' })
	}
}

// Under load, with workers killed all the time: whoever asks is served or sees the
// end of the connection, and what failed without an answer succeeds when tried again.
func TestWorkersKilledUnderLoad(t *testing.T) {
	before := descriptors()
	func() {
		g := workers(t, &process.Workers{Min: 2, Max: 4, MaxRequests: 500, IdleTimeout: 200 * time.Millisecond})
		quit := make(chan struct{})
		var wg sync.WaitGroup
		var served, cut atomic.Int64
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
					}
					if !g.once(&cut) {
						return
					}
					served.Add(1)
				}
			})
		}
		killed := 0
		least := time.Now().Add(4 * time.Second)
		until(t, "a hundred served and twenty killed", func() bool {
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			if pid := g.anyThatServed(); pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
			return time.Now().After(least) && served.Load() >= 100 && killed >= 20 || t.Failed()
		})
		close(quit)
		wg.Wait()
		t.Logf("%d killed, %d served, %d connections cut", killed, served.Load(), cut.Load())
		for _, pid := range g.Live() {
			if s := state(pid); s == 'Z' {
				until(t, "no zombie", func() bool { return state(pid) != 'Z' })
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Spawner.(*process.Exec).Close(); err != nil {
			t.Error(err)
		}
	}()
	sameDescriptors(t, before)
	if left := children(syscall.Getpid()); len(left) != 0 {
		t.Errorf("children %d are left", left)
	}
}

// anyThatServed picks a worker that has served a request, 0 where there is none: some
// that end before that would be a crash loop.
func (g group) anyThatServed() int {
	list := g.Status().Workers
	for _, n := range rand.Perm(len(list)) {
		if wk := list[n]; wk.Requests > 0 && wk.State != "ended" {
			return wk.Pid
		}
	}
	return 0
}

// once has one line answered, by as many connections as it takes.
func (g group) once(cut *atomic.Int64) bool {
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		c, err := g.Dial(ctx)
		cancel()
		if err != nil {
			g.t.Errorf("Dial: %v", err)
			return false
		}
		wc := c.(workerConn)
		_ = c.SetDeadline(time.Now().Add(patience))
		answer, err := ask(c, "pid")
		if err == nil {
			if answer != strconv.Itoa(wc.Pid()) {
				g.t.Errorf("got the answer of %s, want that of %d", answer, wc.Pid())
			}
			if wc.Done() {
				_ = wc.Release()
			} else {
				_ = wc.Close()
			}
			return true
		}
		if ne, ok := err.(interface{ Timeout() bool }); ok && ne.Timeout() {
			g.t.Errorf("no answer: %v", err)
			return false
		}
		cut.Add(1)
		_ = wc.Close()
	}
	g.t.Error("a hundred connections in a row were cut")
	return false
}
