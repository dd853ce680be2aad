package process_test

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/process"
)

func TestExit(t *testing.T) { eachWay(t, "", testExit) }

func testExit(t *testing.T, w way) {
	tests := []struct {
		name, script string
		code         int
		signal       syscall.Signal
		text         string
	}{
		{"success", "exit 0", 0, 0, "exit status 0"},
		{"failure", "exit 3", 3, 0, "exit status 3"},
		{"largest", "exit 255", 255, 0, "exit status 255"},
		{"SEGV", "kill -SEGV $$", -1, syscall.SIGSEGV, "killed by signal 11 (segmentation fault)"},
		{"KILL", "kill -KILL $$", -1, syscall.SIGKILL, "killed by signal 9 (killed)"},
		{"PIPE", "kill -PIPE $$", -1, syscall.SIGPIPE, "killed by signal 13 (broken pipe)"},
		{"ABRT", "kill -ABRT $$", -1, syscall.SIGABRT, "killed by signal 6 (aborted)"},
		{"TERM", "kill -TERM $$", -1, syscall.SIGTERM, "killed by signal 15 (terminated)"},
		{"HUP", "kill -HUP $$", -1, syscall.SIGHUP, "killed by signal 1 (hangup)"},
		{"real time", "kill -40 $$", -1, 40, "killed by signal 40 (signal 40)"},
		{"CHLD is nothing", "kill -CHLD $$; exit 4", 4, 0, "exit status 4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, exit := run(t, w, w.sh(t, "ulimit -c 0; "+test.script))
			if exit.Code != test.code || exit.Signal != test.signal || exit.Core {
				t.Errorf("%q: got %+v, want code %d, signal %d, no core", test.script, exit, test.code, test.signal)
			}
			if got := exit.String(); got != test.text {
				t.Errorf("%q: got %q, want %q", test.script, got, test.text)
			}
			if got, want := exit.Success(), test.name == "success"; got != want {
				t.Errorf("%q: Success is %v, want %v", test.script, got, want)
			}
		})
	}
}

func TestExitCore(t *testing.T) {
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil || strings.HasPrefix(string(pattern), "|") || strings.Contains(string(pattern), "/") {
		t.Skipf("NOT TESTED: cores go to %q", pattern)
	}
	e := open(t, &process.Exec{})
	c := sh("ulimit -c unlimited || { echo refused; exit; }; kill -ABRT $$")
	c.Dir = t.TempDir()
	text, exit := run(t, e, c)
	if text != "" {
		t.Skip("NOT TESTED: cores are not allowed")
	}
	if !exit.Core || exit.Signal != syscall.SIGABRT {
		t.Errorf("got %+v, want signal 6 and a core", exit)
	}
	if got, want := exit.String(), "killed by signal 6 (aborted), core dumped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExitUsage(t *testing.T) { eachWay(t, "", testExitUsage) }

func testExitUsage(t *testing.T, w way) {
	const size = 128 << 20
	began := time.Now()
	_, exit := run(t, w, w.sh(t, "x=aaaaaaaa; while [ ${#x} -lt 134217728 ]; do x=$x$x; done"))
	wall := time.Since(began)
	if !exit.Success() {
		t.Fatalf("got %v, want success", exit)
	}
	used := exit.User + exit.System
	if used < 10*time.Millisecond || used > wall+100*time.Millisecond {
		t.Errorf("used %v of processor time in %v", used, wall)
	}
	if exit.Elapsed <= 0 || exit.Elapsed > wall {
		t.Errorf("Elapsed is %v, of %v", exit.Elapsed, wall)
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	if exit.MaxRSS < size && (exit.MaxRSS != 0 || own.Maxrss<<10 < size) {
		t.Errorf("MaxRSS is %d, want at least %d", exit.MaxRSS, size)
	}
	_, exit = run(t, w, w.sh(t, "exit 0"))
	switch { // a forked process has a figure of its own, always
	case w.warm && (exit.MaxRSS < 1<<20 || exit.MaxRSS > size):
		t.Errorf("MaxRSS of a small program is %d", exit.MaxRSS)
	case !w.warm && exit.MaxRSS != 0:
		t.Errorf("MaxRSS of a small program is %d, which is our own", exit.MaxRSS)
	}
}

// The ladder of A101: SIGTERM, the grace, SIGKILL.
func TestStop(t *testing.T) { eachWay(t, "", testStop) }

func testStop(t *testing.T, w way) {
	tests := []struct {
		name, script string
		grace        time.Duration
		code         int
		signal       syscall.Signal
	}{
		{"TERM ends it", "echo ready; while :; do sleep 1; done", time.Hour, -1, syscall.SIGTERM},
		{"TERM is honoured", `trap "exit 7" TERM; echo ready; while :; do sleep 1; done`, time.Hour, 7, 0},
		{"TERM is ignored", `trap "" TERM; echo ready; while :; do sleep 1; done`, 100 * time.Millisecond, -1, syscall.SIGKILL},
		{"stopped", "echo ready; kill -STOP $$; sleep 1000", time.Hour, -1, syscall.SIGTERM},
		{"stopped, TERM is ignored", `trap "" TERM; echo ready; while :; do kill -STOP $$; done`, 100 * time.Millisecond, -1, syscall.SIGKILL},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.sh(t, test.script)
			c.Grace = test.grace
			p, out := spawnOut(t, w, c)
			out.line()
			if strings.Contains(test.name, "stopped") {
				until(t, "stopped", func() bool { return state(p.Pid) == 'T' })
			}
			began := time.Now()
			p.Stop("first")
			p.Stop("second")
			if exit := exitOf(t, p); exit.Code != test.code || exit.Signal != test.signal {
				t.Errorf("got %v, want code %d, signal %d", exit, test.code, test.signal)
			}
			if took := time.Since(began); test.signal == syscall.SIGKILL && took < test.grace {
				t.Errorf("killed after %v, the grace is %v", took, test.grace)
			}
			if got := p.Cause(); got != "first" {
				t.Errorf("Cause is %q, want %q", got, "first")
			}
			p.End()
			await(t, "gone", p.Gone())
			out.rest()
		})
	}
}

func TestStopAfterExit(t *testing.T) { eachWay(t, "", testStopAfterExit) }

func testStopAfterExit(t *testing.T, w way) {
	p := spawn(t, w, w.sh(t, "exit 5"))
	exitOf(t, p)
	p.Stop("too late")
	p.Kill()
	if got := p.Cause(); got != "" {
		t.Errorf("Cause is %q, want none", got)
	}
	p.End()
	await(t, "gone", p.Gone())
	p.Stop("far too late")
	p.Kill()
	p.End()
	if exit, ok := p.Exit(); !ok || exit.Code != 5 {
		t.Errorf("got %v, %v, want exit status 5", exit, ok)
	}
}

func TestEndWithoutStop(t *testing.T) { eachWay(t, "", testEndWithoutStop) }

func testEndWithoutStop(t *testing.T, w way) {
	p, out := spawnOut(t, w, w.sh(t, "echo ready; sleep 1000"))
	out.line()
	p.End()
	p.End()
	await(t, "gone", p.Gone())
	if exit, ok := p.Exit(); !ok || exit.Signal != syscall.SIGTERM {
		t.Errorf("got %v, %v, want SIGTERM", exit, ok)
	}
	if got := p.Cause(); got != "no longer needed" {
		t.Errorf("Cause is %q", got)
	}
	if n := w.e.Live(); n != 0 {
		t.Errorf("Live is %d, want 0", n)
	}
	if got := state(p.Pid); got != 'X' {
		t.Errorf("its state is %c, want none", got)
	}
}

func TestKill(t *testing.T) { eachWay(t, "", testKill) }

func testKill(t *testing.T, w way) {
	for _, by := range []string{"Process", "Exec"} {
		c := w.sh(t, `trap "" TERM; echo ready; sleep 1000 & wait`)
		c.Grace = time.Hour
		p, out := spawnOut(t, w, c)
		out.line()
		if _, ok := p.Exit(); ok {
			t.Error("Exit is known while it runs")
		}
		if by == "Exec" {
			w.e.Kill()
		} else {
			p.Kill()
		}
		if exit := exitOf(t, p); exit.Signal != syscall.SIGKILL {
			t.Errorf("%s.Kill: got %v, want SIGKILL", by, exit)
		}
		out.rest() // its child is gone as well
		if got := p.Cause(); got != "" {
			t.Errorf("%s.Kill: Cause is %q, want none", by, got)
		}
	}
}

func TestAwait(t *testing.T) { eachWay(t, "", testAwait) }

func testAwait(t *testing.T, w way) {
	p, out := spawnOut(t, w, w.sh(t, "echo ready; read x; exit 6"))
	out.rest() // read finds /dev/null
	if !p.Await(patience) {
		t.Fatal("Await: it has not ended")
	}
	if exit, ok := p.Exit(); !ok || exit.Code != 6 {
		t.Errorf("got %v, %v, want exit status 6", exit, ok)
	}
	if !p.Await(0) {
		t.Error("Await of an ended process is false")
	}
	p = spawn(t, w, w.sh(t, "sleep 1000"))
	began := time.Now()
	if p.Await(30 * time.Millisecond) {
		t.Error("Await of a running process is true")
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("Await returned after %v, want 30ms", took)
	}
}

func TestAfterExit(t *testing.T) { eachWay(t, "", testAfterExit) }

func testAfterExit(t *testing.T, w way) {
	p, out := spawnOut(t, w, w.sh(t, "echo ready; sleep 1000"))
	out.line()
	var calls atomic.Int32
	var wg sync.WaitGroup
	wg.Add(2)
	for range 2 {
		p.AfterExit(func() {
			if _, ok := p.Exit(); !ok {
				t.Error("called before the exit is known")
			}
			calls.Add(1)
			wg.Done()
		})
	}
	if n := calls.Load(); n != 0 {
		t.Fatalf("%d calls while it runs", n)
	}
	p.Kill()
	exitOf(t, p)
	wg.Wait()
	p.AfterExit(func() { calls.Add(1) })
	if n := calls.Load(); n != 3 {
		t.Errorf("%d calls, want 3, the last at once", n)
	}
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) { eachWay(t, "ID", testConcurrentUse) }

func testConcurrentUse(t *testing.T, w way) {
	var all sync.WaitGroup
	for n := range 24 {
		c := w.sh(t, "sleep 1000")
		if n%2 == 0 {
			c = w.sh(t, "exit 9")
		}
		p := spawn(t, w, c)
		var afters atomic.Int32
		for _, use := range []func(){
			func() { p.Stop("one") }, func() { p.Stop("two") }, p.Kill, p.End, p.End,
			func() { p.Await(time.Millisecond) }, func() { <-p.Exited() }, func() { p.Cause() },
			func() { p.AfterExit(func() { afters.Add(1) }) }, func() { w.e.Live() },
		} {
			all.Go(use)
		}
		all.Go(func() {
			<-p.Gone()
			exit, ok := p.Exit()
			if natural := n%2 == 0 && exit.Code == 9; !ok || !natural && exit.Signal != syscall.SIGTERM && exit.Signal != syscall.SIGKILL {
				t.Errorf("got %v, %v", exit, ok)
			}
		})
	}
	all.Wait()
	if n := w.e.Live(); n != 0 {
		t.Errorf("Live is %d, want 0", n)
	}
}
