package process_test

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/process"
)

// spawnErr is spawnOut for the standard error.
func spawnErr(t testing.TB, e process.Spawner, c *process.Command) (*process.Process, output) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	defer w.Close()
	with := *c
	with.Stderr = w
	return spawn(t, e, &with), output{t, r}
}

func TestGrandchildren(t *testing.T) { eachWay(t, "", testGrandchildren) }

func testGrandchildren(t *testing.T, w way) {
	tests := []struct {
		name, script string
		grace        time.Duration
	}{
		{"fifty", "for n in 1 2 3 4 5 6 7 8 9 10; do for m in 1 2 3 4 5; do sleep 1000 & done; done; echo ready", time.Hour},
		{"orphaned", "(sleep 1000 & sleep 1000 &); echo ready", time.Hour},
		{"ignores TERM", `(trap "" TERM; echo ready; while :; do sleep 1; done) & read x`, 100 * time.Millisecond},
		{"of a killed process", "sleep 1000 & echo ready; kill -KILL $$", time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.sh(t, test.script)
			c.Grace = test.grace
			p, out := spawnOut(t, w, c)
			out.line()
			exitOf(t, p)
			p.End()
			await(t, "gone", p.Gone())
			out.rest()
		})
	}
}

// A daemon has left the session and its parent (F37, F39).
func TestDaemonEnded(t *testing.T) {
	tests := []struct {
		name, tag string
		args      []string
	}{
		{"by its tag", "ID", []string{"same"}},
		{"its tag lost", "ID", []string{"none"}},
		{"no tag is used", "", []string{"none"}},
		{"ignores TERM", "ID", []string{"same", "stubborn"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := host(t, nil, "ender", append([]string{test.tag}, test.args...)...)
			if got != "ended\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func init() { fakes["ender"] = fakeEnder }

// fakeEnder runs a daemon and says when that has been ended by the orphans' rule,
// not by Close.
func fakeEnder(args []string) int {
	e := process.Exec{Tag: args[0]}
	defer e.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return complain(err)
	}
	c := fake("daemon", args[1:]...)
	c.Env, c.Stderr = []string{"ID=one"}, w
	p, err := e.Spawn(context.Background(), c)
	if err != nil {
		return complain(err)
	}
	w.Close()
	if !p.Await(patience) {
		return complain(context.DeadlineExceeded)
	}
	p.End()
	<-p.Gone()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	for buf := make([]byte, 16); err == nil; {
		_, err = r.Read(buf)
	}
	if os.IsTimeout(err) {
		return complain(err)
	}
	os.Stdout.WriteString("ended\n")
	return 0
}

// One with a tag is ended although other processes run on; one without is spared
// until those have ended, for it may be theirs.
func TestDaemonBesideOthers(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	daemon := func(id, env string) (*process.Process, output, int) {
		c := fake("daemon", env)
		c.Env = []string{"ID=" + id}
		p, out := spawnErr(t, e, c)
		pid := out.number()
		exitOf(t, p)
		return p, out, pid
	}
	other := sh("sleep 1000")
	other.Env = append(other.Env, "ID=other")
	beside := spawn(t, e, other)
	lost, lostOut, lostPid := daemon("lost", "none")
	lost.End()
	await(t, "gone", lost.Gone())
	for _, id := range []string{"first", "second"} {
		tagged, out, _ := daemon(id, "same")
		tagged.End()
		await(t, "gone", tagged.Gone())
		out.rest()
	}
	if !lives(lostPid) {
		t.Error("the one that may be another's has ended")
	}
	beside.End()
	lostOut.rest()
}

// Daemons are ended only when their own process is.
func TestDaemonWhileProcessRuns(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	// The shell cannot choose argv[0]; a link with the fake's name can.
	link := t.TempDir() + "/fake:daemon"
	if err := os.Symlink(self(), link); err != nil {
		t.Fatal(err)
	}
	c := &process.Command{
		Path: "/bin/sh", Env: []string{"ID=running"},
		Args: []string{"sh", "-c", `cd "${1%/*}" && PATH=. && fake:daemon same; exec /bin/sleep 1000`, "sh", link},
	}
	p, out := spawnErr(t, e, c)
	pid := out.number()
	for _, id := range []string{"a", "b"} { // two looks at least
		victim := fake("daemon", "same")
		victim.Env = []string{"ID=" + id}
		q, gone := spawnErr(t, e, victim)
		exitOf(t, q)
		q.End()
		gone.rest()
	}
	if !lives(pid) {
		t.Error("the daemon has ended")
	}
	p.End()
	out.rest()
}

// KeepChildren spares what leaves the session and what does not (F39).
func TestKeepChildren(t *testing.T) {
	var e process.Exec
	e.Tag = "ID"
	c := fake("daemon", "same")
	c.Env, c.KeepChildren = []string{"ID=kept"}, true
	p, out := spawnErr(t, &e, c)
	kept := out.number()
	exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())

	c = sh("sleep 1000 & echo $!")
	c.Env, c.KeepChildren = append(c.Env, "ID=kept too"), true
	p, out2 := spawnOut(t, &e, c)
	kept2 := out2.number()
	exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())

	for _, id := range []string{"a", "b", "c"} { // several looks
		victim := fake("daemon", "same")
		victim.Env = []string{"ID=" + id}
		q, gone := spawnErr(t, &e, victim)
		exitOf(t, q)
		q.End()
		gone.rest()
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, pid := range []int{kept, kept2} {
		if !lives(pid) {
			t.Errorf("%d has ended", pid)
		} else {
			killKept(t, pid)
		}
	}
	out.rest()
	out2.rest()
}

// What was kept lives on when for a while no descriptor is left to look with.
func TestKeepChildrenWithoutDescriptors(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	c := fake("daemon", "same")
	c.Env, c.KeepChildren = []string{"ID=kept"}, true
	p, out := spawnErr(t, e, c)
	kept := out.number()
	exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())
	var others []*process.Process
	for range 8 {
		others = append(others, spawn(t, e, sh("exit 0")))
	}
	t.Run("exhausted", func(t *testing.T) {
		exhaust(t)
		for _, q := range others { // each end is followed by a look
			exitOf(t, q)
			q.End()
			await(t, "gone", q.Gone())
			time.Sleep(110 * time.Millisecond)
		}
	})
	for range 4 {
		q := spawn(t, e, sh("exit 0"))
		exitOf(t, q)
		q.End()
		await(t, "gone", q.Gone())
		time.Sleep(110 * time.Millisecond)
	}
	if !lives(kept) {
		t.Errorf("%d has ended", kept)
	} else {
		killKept(t, kept)
	}
	out.rest()
}

// A zombie in the group whose parent has left the group does not delay the end.
func TestZombieOfDaemon(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	c := fake("hoarder")
	c.Env, c.Grace = []string{"ID=one"}, time.Hour // nothing is to wait for the grace
	p, out := spawnErr(t, e, c)
	out.number()
	exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())
	out.rest()
}

// F37: no zombie is left of many that fork twice.
func TestZombies(t *testing.T) { eachWay(t, "ID", testZombies) }

func testZombies(t *testing.T, w way) {
	var wg sync.WaitGroup
	next := make(chan int)
	script := w.sh(t, "((:) & (:) &) & exit 0")
	for range 4 {
		wg.Go(func() {
			for n := range next {
				c := *script
				c.Env = append(slices.Clip(c.Env), "ID="+strconv.Itoa(n))
				p, err := w.Spawn(context.Background(), &c)
				if err != nil {
					t.Errorf("Spawn: %v", err)
					continue
				}
				p.Await(patience)
				p.End()
				<-p.Gone()
			}
		})
	}
	for n := range 300 {
		next <- n
	}
	close(next)
	wg.Wait()
	until(t, "no zombies", func() bool { return len(zombies()) == 0 })
}

// Close ends the orphans as well, with SIGKILL.
func TestCloseEndsOrphans(t *testing.T) {
	var e process.Exec
	c := fake("daemon", "same", "stubborn")
	c.Env = []string{}
	p, out := spawnErr(t, &e, c)
	pid := out.number()
	exitOf(t, p)
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := state(pid); got != 'X' {
		t.Errorf("the daemon's state is %c, want none", got)
	}
	out.rest()
}

// A child in our session is not Exec's, and is left alone.
func TestOthersChildren(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	victim := fake("daemon", "same")
	victim.Env = []string{"ID=a"}
	p, out := spawnErr(t, e, victim)
	exitOf(t, p)
	p.End()
	out.rest()
	if !lives(pid) {
		t.Error("a child that is not Exec's has ended")
	}
	killKept(t, pid)
}
