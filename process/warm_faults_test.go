package process_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/process"
)

// warmLog is a log that counts.
type warmLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *warmLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// errors is how many lines say that a helper fails.
func (l *warmLog) errors() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), "level=ERROR")
}

func (l *warmLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *warmLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Helpers that do not keep to the protocol: every request runs, cold; the log says so
// once; nothing is left.
func TestWarmBadHelpers(t *testing.T) {
	const (
		setUp = "import os, socket, sys, time\nc = socket.socket(fileno=3)\nnames = c.recv(65536).split(b'\\0')[3:]\n"
		ready = setUp + "c.send(b'R\\0001')\n"
		order = ready + "f, batch, count = c.recv(65536).split(b'\\0')\n"
	)
	tests := []struct{ name, text, reason string }{
		{"ends", "", "it has ended: exit status 0"},
		{"fails", "import sys\nsys.exit('no such thing')\n", "it has ended: exit status 1: no such thing"},
		{"cannot be compiled", "x y\n", "SyntaxError: invalid syntax"},
		{"is killed", "import os\nos.kill(os.getpid(), 9)\n", "it has ended: killed by signal 9 (killed)"},
		{"closes the connection", setUp + "c.close()\ntime.sleep(1000)\n", "it does not listen any more"},
		{"ends when it is ready", ready + "sys.exit(3)\n", "it has ended: exit status 3"},
		{"makes no sense", setUp + "c.send(b'hello \\xff\\0there')\ntime.sleep(1000)\n", `its message "hello \xff there" makes no sense`},
		{"another version", setUp + "c.send(b'R\\0002')\ntime.sleep(1000)\n", `its message "R 2" makes no sense`},
		{"is ready twice", ready + "c.send(b'R\\0001')\ntime.sleep(1000)\n", `its message "R 1" makes no sense`},
		{"too long a message", setUp + "c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)\nc.send(b'W\\0' + b'x' * 70000)\ntime.sleep(1000)\n", "a message is longer than 65536 bytes"},
		{"watches too much", setUp + "for n in range(9): c.send(b'W' + b'\\0/' * 1000)\ntime.sleep(1000)\n", "makes no sense"},
		{"watches what is not absolute", setUp + "c.send(b'W\\0x')\nc.send(b'R\\0001')\ntime.sleep(1000)\n", `its modules cannot be watched: inotify of "x"`},
		{"forks unasked", order + "c.send(b'F\\0' + b'7\\0001\\0')\ntime.sleep(1000)\n", `it has forked batch "7", which nobody asked for`},
		{"cannot fork", order + "c.send(b'F\\0' + batch + b'\\0000\\0no memory')\ntime.sleep(1000)\n", "it cannot fork: no memory"},
		{"a spare without a descriptor", order + "c.send(b'P\\0' + batch)\ntime.sleep(1000)\n", `its message "P 1" makes no sense`},
		{"a spare that is none", order + "a, b = socket.socketpair()\nsocket.send_fds(c, [b'P\\0' + batch], [a.fileno()])\nc.send(b'F\\0' + batch + b'\\0' + count + b'\\0')\ntime.sleep(1000)\n", "cannot be adopted"},
		{"a spare without a session", order + "a, b = socket.socketpair()\nif not os.fork():\n  socket.send_fds(c, [b'P\\0' + batch], [a.fileno()])\n  time.sleep(1000)\ntime.sleep(0.2)\nc.send(b'F\\0' + batch + b'\\0' + count + b'\\0')\ntime.sleep(1000)\n", "leads no session"},
		{"a spare that is not our child", order + "a, b = socket.socketpair()\nif not os.fork():\n  os.setsid()\n  socket.send_fds(c, [b'P\\0' + batch], [a.fileno()])\n  time.sleep(1000)\ntime.sleep(0.2)\nc.send(b'F\\0' + batch + b'\\0' + count + b'\\0')\ntime.sleep(1000)\n", "is no child of this process"},
		{"another speaks in its name", order + "if not os.fork():\n  c.send(b'F\\0' + batch + b'\\0' + count + b'\\0')\ntime.sleep(1000)\n", "in its name"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := os.Stat(python); err != nil {
				t.Skip("NOT TESTED: no " + python)
			}
			e := open(t, &process.Exec{Tag: "ID"})
			run(t, e, sh("exit 0"))
			before := descriptors()
			var log warmLog
			w := &process.Warm{Cold: e, Servers: map[string][]byte{"python": []byte(test.text)}, Patience: patience, Log: log.logger()}
			s := w.With(process.WarmOptions{Mode: process.WarmOn})
			c := pythonScript(t, "print('fine')\n")
			var third time.Time // after whose failure there is a pause of 0.9 s at least
			for n := range 4 {
				if n == 2 {
					third = time.Now()
				}
				if got, how := answer(t, s, c); got != "fine\n" || isWarm(how) {
					t.Errorf("got %q, %q, want it cold", got, how)
				}
			}
			paused := time.Since(third) < 900*time.Millisecond
			st := onlyHelper(t, w)
			if !strings.Contains(st.Failure, test.reason) || st.Generation > 3 && paused {
				t.Errorf("got %q after %d starts, want %q after at most 3", st.Failure, st.Generation, test.reason)
			}
			if n := log.errors(); n != 1 {
				t.Errorf("%d errors are logged, want one: %s", n, log.String())
			}
			if err := w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			sameDescriptors(t, before)
			until(t, "no processes", func() bool { return len(children(os.Getpid())) == 0 })
		})
	}
}

// A helper that does not start with modules is started without.
func TestWarmBadModule(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	text := servers(t, "run")
	text["python"] = bytes.Replace(text["python"], []byte("for name in filter"), []byte("if b'antigravity' in names: sys.exit('bad module')\nfor name in filter"), 1)
	w := warm(t, &process.Warm{Cold: e, Servers: text})
	s := w.With(process.WarmOptions{Mode: process.WarmOn, Preload: []string{"antigravity"}})
	c := pythonScript(t, "print('fine')\n")
	if got, how := answer(t, s, c); got != "fine\n" || isWarm(how) {
		t.Errorf("got %q, %q, want it cold", got, how)
	}
	becomesWarm(t, s, c)
}

// A helper that is stopped is waited for once, and not for long; when it goes on, or
// another is there, requests are warm again.
func TestWarmHelperStopped(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	var log warmLog
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), Spares: 1, Patience: 300 * time.Millisecond, Log: log.logger()})
	s := w.With(process.WarmOptions{Mode: process.WarmAuto})
	c := pythonScript(t, "print('fine')\n")
	for _, goesOn := range []bool{true, false} {
		becomesWarm(t, s, c)
		pid := onlyHelper(t, w).Pid
		stopped := time.Now()
		inTime := func() bool { return time.Since(stopped) < 5*time.Second } // it is not given up yet
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		until(t, "cold", func() bool {
			got, how := answer(t, s, c)
			if got != "fine\n" || !isWarm(how) && how != "cold: its helper does not answer" && inTime() {
				t.Errorf("got %q, %q", got, how)
			}
			return !isWarm(how)
		})
		if goesOn {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && inTime() {
				t.Fatal(err)
			}
		}
		becomesWarm(t, s, c)
		if same := onlyHelper(t, w).Pid == pid; same && !goesOn || !same && goesOn && inTime() {
			t.Errorf("the same helper: %v, want %v", same, goesOn)
		}
	}
	if n := log.errors(); n == 0 || n > 4 {
		t.Errorf("%d errors are logged: %s", n, log.String())
	}
}

// A spare that is killed before it has work costs the request nothing; nor do all.
func TestWarmSparesKilled(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), Spares: 2})
	s := w.With(process.WarmOptions{Mode: process.WarmOn})
	c := pythonScript(t, "print('fine')\n")
	for range 5 {
		answer(t, s, c)
		helper := onlyHelper(t, w).Pid
		for _, pid := range children(os.Getpid()) {
			if pid != helper {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				until(t, "it is dead", func() bool { return !lives(pid) })
			}
		}
		for range 3 {
			if got, _ := answer(t, s, c); got != "fine\n" {
				t.Errorf("got %q", got)
			}
		}
	}
	becomesWarm(t, s, c)
	until(t, "no zombies", func() bool { return len(zombies()) == 0 })
}

// Helpers are killed while requests come: each request has its answer, those that
// run go on, and nothing is left.
func TestWarmHelperKilledUnderLoad(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	var log warmLog
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), Log: log.logger()})
	s := w.With(process.WarmOptions{})
	c := pythonScript(t, "import os, time\ntime.sleep(0.02)\nprint('fine')\n")
	becomesWarm(t, s, c)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				if got, how := answer(t, s, c); got != "fine\n" {
					t.Errorf("got %q, %q", got, how)
				}
			}
		})
	}
	for range 4 {
		time.Sleep(50 * time.Millisecond)
		if pid := onlyHelper(t, w).Pid; pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	all.Wait()
	becomesWarm(t, s, c)
	until(t, "no zombies", func() bool { return len(zombies()) == 0 })
	if n := log.errors(); n > 4 {
		t.Errorf("%d errors are logged: %s", n, log.String())
	}
}

// What scripts do to themselves and to others ends as it does cold.
func TestWarmMischief(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")}).With(process.WarmOptions{Mode: process.WarmOn})
	for _, test := range []struct{ name, text, want, exit string }{
		{"closes all", "import os\nos.write(1, b'x')\nos.closerange(0, 1000)\nos._exit(3)\n", "x", "exit status 3"},
		{"executes", "import os\nos.execv('/bin/echo', ['echo', 'x'])\n", "x\n", "exit status 0"},
		{"kills its group", "import os\nos.kill(0, 9)\n", "", "killed by signal 9 (killed)"},
		{"segfaults", "import os\nos.kill(os.getpid(), 11)\n", "", "killed by signal 11 (segmentation fault)"},
		{"removes itself", "import os, sys\nos.unlink(sys.argv[0])\nprint('x')\n", "x\n", "exit status 0"},
		{"ignores signals", "import signal\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nprint('x')\n", "x\n", "exit status 0"},
		{"waits for any child", "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')\n", "none\n", "exit status 0"},
		{"forks", "import os\nif os.fork() == 0: os._exit(0)\nos.wait()\nprint('x')\n", "x\n", "exit status 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 3 {
				p, out := spawnOut(t, s, pythonScript(t, test.text))
				got := out.rest()
				if exit := exitOf(t, p).String(); got != test.want || exit != test.exit || !isWarm(p.How) {
					t.Errorf("got %q, %s, %s; want %q, %s", got, exit, p.How, test.want, test.exit)
				}
				p.End()
				await(t, "gone", p.Gone())
			}
		})
	}
}

// A daemon is found by its tag although it has left the session: in its environment
// that it was executed with, or in that of the process that it was forked from, which
// a warm one has overwritten.
func TestWarmDaemon(t *testing.T) {
	const daemon = `import os, sys, time
r, w = os.pipe()
if os.fork():
    os.read(r, 1)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.write(2, b'%d\n' % os.getpid())
os.write(w, b'x')
`
	for _, test := range []struct {
		name, text string
		keep       bool
	}{
		{"forked", daemon + "time.sleep(1000)\n", false},
		{"executed", daemon + "os.execv('/bin/sleep', ['sleep', '1000'])\n", false},
		{"forked, kept", daemon + "time.sleep(1000)\n", true},
		{"executed, kept", daemon + "os.execv('/bin/sleep', ['sleep', '1000'])\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := open(t, &process.Exec{Tag: "ID"})
			s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")}).With(process.WarmOptions{Mode: process.WarmOn})
			beside := pythonScript(t, "import time\ntime.sleep(1000)\n")
			beside.Env = []string{"ID=beside"}
			spawn(t, s, beside)
			c := pythonScript(t, test.text)
			c.KeepChildren = test.keep
			p, out := spawnErr(t, s, c)
			pid := out.number()
			exitOf(t, p)
			p.End()
			await(t, "gone", p.Gone())
			if !test.keep {
				out.rest() // it ends although others, and the helper, run on
				return
			}
			for range 3 { // several looks at the orphans
				answer(t, s, pythonScript(t, "print('x')\n"))
				time.Sleep(110 * time.Millisecond)
			}
			if !lives(pid) {
				t.Error("the one that is kept has ended")
				return
			}
			killKept(t, pid)
		})
	}
}

// With a cgroup each process has its leaf, also the one that was forked ahead.
func TestWarmCgroup(t *testing.T) {
	dir := delegated(t)
	e := open(t, &process.Exec{Tag: "ID", Cgroup: dir})
	s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")}).With(process.WarmOptions{Mode: process.WarmOn})
	seen := make(map[string]bool)
	var ps []*process.Process
	for range 3 {
		p, out := spawnOut(t, s, pythonScript(t, "print(open('/proc/self/cgroup').read(), flush=True)\nimport time\ntime.sleep(1000)\n"))
		where := out.line()
		for !strings.HasPrefix(where, "0::") {
			where = out.line()
		}
		if !isWarm(p.How) || seen[where] || !strings.Contains(where, filepath.Base(dir)+"/") {
			t.Errorf("%s: it is in %q, want one of its own beneath %q", p.How, where, dir)
		}
		seen[where] = true
		ps = append(ps, p)
	}
	for _, p := range ps {
		p.End()
		await(t, "gone", p.Gone())
	}
}

// Everything at once, for the race detector; and the end while requests come.
func TestWarmCloseUnderLoad(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), MaxForks: 5})
	c, other := pythonScript(t, "print('fine')\n"), pythonScript(t, "print('fine')\n", "TZ=UTC")
	becomesWarm(t, w, c)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 20 {
				c := c
				if n%2 == 0 {
					c = other
				}
				if got, how := answer(t, w, c); got != "fine\n" {
					t.Errorf("got %q, %q", got, how)
				}
				w.Status()
			}
		})
	}
	for range 2 {
		all.Go(func() {
			time.Sleep(100 * time.Millisecond)
			if err := w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	all.Wait()
	if got, how := answer(t, w, c); got != "fine\n" || how != "cold: the server stops" {
		t.Errorf("after Close: got %q, %q", got, how)
	}
}

// Many requests at once: 500 of them, or with GATEHOUSE_TEST_LONG 10,000. No zombie is
// left, no descriptor, and the helper does not grow.
func TestWarmLoad(t *testing.T) {
	requests, clients := 500, 64
	if os.Getenv("GATEHOUSE_TEST_LONG") != "" {
		requests = 10_000
	}
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), MaxForks: 1 << 30})
	s := w.With(process.WarmOptions{Mode: process.WarmOn})
	script := pythonScript(t, "import os\nprint(os.environ['N'])\n")
	with := func(n int) *process.Command {
		c := *script
		c.Env = append(slices.Clone(c.Env), "N="+strconv.Itoa(n))
		return &c
	}
	answer(t, s, with(0))
	before, size := filesOpen(), residentSize(t, onlyHelper(t, w).Pid)
	next := make(chan int)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for n := range next {
				if got, how := answer(t, s, with(n)); got != fmt.Sprintln(n) || !isWarm(how) {
					t.Errorf("got %q, %q, want %d", got, how, n)
				}
			}
		})
	}
	for n := range requests {
		next <- n
	}
	close(next)
	all.Wait()
	until(t, "no zombies", func() bool { return len(zombies()) == 0 })
	until(t, "files are closed", func() bool { return filesOpen() <= before })
	if now := residentSize(t, onlyHelper(t, w).Pid); now > size+1<<20 {
		t.Errorf("the helper has grown from %d to %d bytes", size, now)
	}
	if n := e.Live(); n != 0 {
		t.Errorf("Live is %d, want 0", n)
	}
}

// residentSize is the resident set of a process in bytes.
func residentSize(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		t.Fatalf("statm of %d: %q, %v", pid, text, err)
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}
