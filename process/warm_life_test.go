package process_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/process"
)

// answer runs a script and returns its output, and which way it went.
func answer(t testing.TB, s process.Spawner, c *process.Command) (text, how string) {
	t.Helper()
	p, out := spawnOut(t, s, c)
	text = out.rest()
	out.f.Close()
	if exit := exitOf(t, p); !exit.Success() {
		t.Errorf("%s: %v, %q", p.How, exit, text)
	}
	p.End()
	await(t, "gone", p.Gone())
	return text, p.How
}

// filesOpen counts the descriptors but for sockets, of which each spare has one.
func filesOpen() int {
	return len(slices.DeleteFunc(descriptors(), func(d string) bool { return strings.Contains(d, "=socket:") }))
}

func isWarm(how string) bool { return strings.HasPrefix(how, "warm: ") }

// becomesWarm asks until the answer is warm.
func becomesWarm(t testing.TB, s process.Spawner, c *process.Command) (text string) {
	t.Helper()
	until(t, "warm", func() bool {
		got, how := answer(t, s, c)
		text = got
		return isWarm(how)
	})
	return text
}

// onlyHelper is the status where one is expected.
func onlyHelper(t testing.TB, w *process.Warm) process.HelperStatus {
	t.Helper()
	all := w.Status()
	if len(all) != 1 {
		t.Fatalf("there are %d helpers, want one: %+v", len(all), all)
	}
	return all[0]
}

// pythonScript is a command for a Python script.
func pythonScript(t testing.TB, text string, env ...string) *process.Command {
	t.Helper()
	return &process.Command{Path: newScript(t, "#!"+python+"\n"+text), Env: append([]string{"ID=one"}, env...)}
}

// The helper is started at first use; the first request does not wait for it, unless
// it is asked to.
func TestWarmFirstUse(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")})
	c := pythonScript(t, "import os, sys\nprint(os.getppid(), __name__, sys.argv[1:], os.environ['A'])\n", "A=b")
	c.Args = []string{"any", "x", "y z"}
	want := fmt.Sprintf("%d __main__ ['x', 'y z'] b\n", os.Getpid())
	got, how := answer(t, w, c)
	if got != want || how != "cold: its helper is starting" {
		t.Errorf("the first request: got %q, %q, want %q, cold", got, how, want)
	}
	if got := becomesWarm(t, w, c); got != want {
		t.Errorf("warm: got %q, want %q", got, want)
	}
	for range 50 {
		if got, how := answer(t, w, c); got != want || how != "warm: "+python {
			t.Fatalf("got %q, %q, want %q, warm", got, how, want)
		}
	}
	if st := onlyHelper(t, w); st.Generation != 1 || !st.Ready || st.Forks < 50 || st.Requests < 52 || st.Failure != "" {
		t.Errorf("got %+v", st)
	}
	if got, how := answer(t, w.With(process.WarmOptions{Mode: process.WarmOff}), c); got != want || how != "cold: it is turned off" {
		t.Errorf("turned off: got %q, %q", got, how)
	}
	on := w.With(process.WarmOptions{Mode: process.WarmOn})
	c = pythonScript(t, "import sys\nprint(sys.flags.dont_write_bytecode)\n")
	c.Env = append(c.Env, "PYTHONDONTWRITEBYTECODE=1") // another helper
	if got, how := answer(t, on, c); got != "1\n" || !isWarm(how) {
		t.Errorf("WarmOn: got %q, %q", got, how)
	}
	if n := len(w.Status()); n != 2 {
		t.Errorf("there are %d helpers, want 2", n)
	}
}

// Spares are orphans until the helper has said that their parent is gone. However long
// that takes they are not ended, with a Tag and without.
func TestWarmSlowHelper(t *testing.T) {
	for _, tag := range []string{"", "ID"} {
		t.Run("tag "+tag, func(t *testing.T) {
			e := open(t, &process.Exec{Tag: tag})
			text := servers(t, "run")
			text["python"] = bytes.Replace(text["python"], []byte("os.waitpid(pid, 0)"), []byte("os.waitpid(pid, 0); import time; time.sleep(1)"), 1)
			s := warm(t, &process.Warm{Cold: e, Servers: text, Spares: 4}).With(process.WarmOptions{Mode: process.WarmOn})
			c := pythonScript(t, "print('fine')\n")
			run(t, e, sh("exit 0")) // its end is followed by looks
			for range 3 {
				if got, how := answer(t, s, c); got != "fine\n" || !isWarm(how) {
					t.Errorf("got %q, %q", got, how)
				}
			}
		})
	}
}

// What Exec cannot start has the same error.
func TestWarmRefused(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")}).With(process.WarmOptions{Mode: process.WarmOn})
	good := pythonScript(t, "print('fine')\n")
	answer(t, s, good)
	before := filesOpen()
	plain := newScript(t, "#!"+python+"\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, test := range []struct {
		name string
		c    process.Command
	}{
		{"missing", process.Command{Path: missing}},
		{"not executable", process.Command{Path: plain}},
		{"NUL", process.Command{Path: good.Path, Env: []string{"A=\x00"}}},
		{"too long", process.Command{Path: good.Path, Env: []string{"A=" + strings.Repeat("x", 200<<10)}}},
		{"no folder", process.Command{Path: good.Path, Dir: missing}},
	} {
		_, want := e.Spawn(context.Background(), &test.c)
		p, err := s.Spawn(context.Background(), &test.c)
		if err == nil || want == nil || err.Error() != want.Error() {
			t.Errorf("%s: got %v, %v, want %v", test.name, p, err, want)
		}
	}
	long := *good
	long.Env = []string{"ID=one", "A=" + strings.Repeat("x", 100<<10)} // execve takes it, a message does not
	if got, how := answer(t, s, &long); got != "fine\n" || how != "cold: its arguments and environment are more than a message takes" {
		t.Errorf("long: got %q, %q", got, how)
	}
	until(t, "files are closed", func() bool { return filesOpen() <= before })
	if got, how := answer(t, s, good); got != "fine\n" || !isWarm(how) {
		t.Errorf("after it: got %q, %q", got, how)
	}
}

func TestWarmIdle(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), IdleTimeout: 50 * time.Millisecond})
	s := w.With(process.WarmOptions{Mode: process.WarmOn})
	run(t, e, sh("exit 0")) // e has all that it keeps
	before := descriptors()
	for range 2 { // it starts again
		if got, how := answer(t, s, pythonScript(t, "print('fine')\n")); got != "fine\n" || !isWarm(how) {
			t.Errorf("got %q, %q", got, how)
		}
		until(t, "the helper is forgotten", func() bool { return len(w.Status()) == 0 })
		until(t, "no processes", func() bool { return len(children(os.Getpid())) == 0 })
	}
	sameDescriptors(t, before)
}

// Another helper takes the place of one that has forked often, or has grown. No
// request is cold for it.
func TestWarmReplaced(t *testing.T) {
	for _, test := range []struct {
		name string
		w    *process.Warm
	}{
		{"forks", &process.Warm{MaxForks: 10}},
		{"memory", &process.Warm{MaxMemory: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := open(t, &process.Exec{Tag: "ID"})
			test.w.Cold, test.w.Servers = e, servers(t, "run")
			w := warm(t, test.w)
			s := w.With(process.WarmOptions{Mode: process.WarmOn})
			c := pythonScript(t, "print('fine')\n")
			pids := make(map[int]bool)
			until(t, "three helpers", func() bool {
				if got, how := answer(t, s, c); got != "fine\n" || !isWarm(how) {
					t.Errorf("got %q, %q", got, how)
				}
				pids[onlyHelper(t, w).Pid] = true
				return len(pids) >= 3
			})
		})
	}
}

// There are not more helpers than may be: one that is not used ends for another, one
// that is does not.
func TestWarmMaxHelpers(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), MaxHelpers: 1})
	s := w.With(process.WarmOptions{Mode: process.WarmOn})
	first, second := pythonScript(t, "print(1)\n"), pythonScript(t, "print(2)\n", "TZ=UTC")
	until(t, "the second as soon as it has to be", func() bool {
		begun := time.Now()
		if got, how := answer(t, s, first); got != "1\n" || !isWarm(how) {
			t.Errorf("got %q, %q", got, how)
		}
		got, how := answer(t, s, second)
		if got != "2\n" || !isWarm(how) && how != "cold: there are as many helpers as may be" {
			t.Errorf("got %q, %q", got, how)
		}
		if !isWarm(how) {
			return true
		}
		if time.Since(begun) < 5*time.Second {
			t.Fatal("the first helper ended for the second at once")
		}
		time.Sleep(5100 * time.Millisecond) // the machine has slept: once more
		return false
	})
	pid := onlyHelper(t, w).Pid
	time.Sleep(5100 * time.Millisecond) // it counts as unused then; only time tells
	if got, how := answer(t, s, second); got != "2\n" || !isWarm(how) {
		t.Errorf("got %q, %q", got, how)
	}
	if st := onlyHelper(t, w); st.Pid == pid {
		t.Errorf("the helper is the same: %+v", st)
	}
}

// A constant variable is there when a helper starts: each value has a helper.
func TestWarmConstant(t *testing.T) {
	w := warm(t, &process.Warm{Cold: open(t, &process.Exec{Tag: "ID"}), Servers: servers(t, "run"), Constant: []string{"SOFTWARE"}})
	for n, env := range []string{"SOFTWARE=a", "SOFTWARE=a", "OTHER=b", "SOFTWARE=c"} {
		c := pythonScript(t, "import os; print(os.environ.get('SOFTWARE'))\n", env)
		want := map[string]string{"SOFTWARE=a": "a", "OTHER=b": "None", "SOFTWARE=c": "c"}[env]
		if got := becomesWarm(t, w.With(process.WarmOptions{Mode: process.WarmOn}), c); strings.TrimSpace(got) != want {
			t.Errorf("%s: got %q", env, got)
		}
		if got, want := len(w.Status()), []int{1, 1, 2, 3}[n]; got != want {
			t.Errorf("%s: %d helpers, want %d", env, got, want)
		}
	}
}

// What scripts load is loaded ahead by the next helper.
func TestWarmLearns(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run"), IdleTimeout: 3 * time.Second})
	s := w.With(process.WarmOptions{Mode: process.WarmOn})
	c := pythonScript(t, "import sys\nprint('json.decoder' in sys.modules)\nimport json\n")
	if got, how := answer(t, s, c); got != "False\n" || !isWarm(how) {
		t.Errorf("at first: got %q, %q", got, how)
	}
	learnt := false
	until(t, "json is loaded ahead", func() bool {
		if got, how := answer(t, s, c); !isWarm(how) { // so that the helper is not idle
			t.Errorf("got %q, %q", got, how)
		}
		all := w.Status()
		if len(all) == 1 && all[0].Generation > 2 {
			t.Fatalf("one generation is enough: %+v", all)
		}
		learnt = learnt || len(all) == 1 && (all[0].Due || all[0].Generation == 2)
		if len(all) != 1 || !slices.Contains(all[0].Preloaded, "json.decoder") {
			return false
		}
		if all[0].Due || !learnt {
			t.Errorf("due: %t, and was before: %t", all[0].Due, learnt)
		}
		return true
	})
	if got, how := answer(t, s, c); got != "True\n" || !isWarm(how) {
		t.Errorf("then: got %q, %q", got, how)
	}
	until(t, "the helper is idle", func() bool { return len(w.Status()) == 0 })
	if got, how := answer(t, s, c); got != "True\n" || !isWarm(how) {
		t.Errorf("the first request to another helper: got %q, %q", got, how)
	}
}

// preload adds to it, and is all there is where nothing is learnt.
func TestWarmPreload(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "tell")})
	for _, test := range []struct {
		o    process.WarmOptions
		want string
	}{
		{process.WarmOptions{Mode: process.WarmOn, NoLearn: true}, "(b'', [])"},
		{process.WarmOptions{Mode: process.WarmOn, NoLearn: true, Preload: []string{"json", "a b", "../x", "/x", "", "html.entities"}}, "(b'', [b'json', b'html.entities'])"},
		{process.WarmOptions{Mode: process.WarmOn, Preload: []string{"json"}}, "(b'@…', [b'json'])"},
	} {
		got, how := answer(t, w.With(test.o), pythonScript(t, ""))
		if head, tail, ok := strings.Cut(got, "@"); ok {
			_, tail, _ = strings.Cut(tail, "'")
			got = head + "@…'" + tail
		}
		if got != test.want || !isWarm(how) {
			t.Errorf("%+v: got %s, %q, want %s", test.o, got, how, test.want)
		}
	}
}

// A changed module is seen by the next request, whichever way that goes: changed in
// place, replaced, hidden by another, removed.
func TestWarmModuleChanged(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")})
	s := w.With(process.WarmOptions{Mode: process.WarmOn, Preload: []string{"gatehousemod"}})
	hiding, dir := t.TempDir(), t.TempDir()
	put := func(dir, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "gatehousemod.py"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(dir, "VALUE = 0\n")
	c := pythonScript(t, "try:\n  import gatehousemod as m\n  print(m.VALUE)\nexcept ImportError: print('none')\n",
		"PYTHONPATH="+hiding+":"+dir, "PYTHONDONTWRITEBYTECODE=1") // a .pyc would not show a change within a second
	becomesWarm(t, s, c)
	expect := func(step, want string) {
		t.Helper()
		if got, how := answer(t, s, c); got != want+"\n" {
			t.Errorf("%s: got %q, %q, want %q", step, got, how, want)
		}
	}
	for n := range 5 {
		put(dir, fmt.Sprintf("VALUE = %d\n", n))
		expect("in place", fmt.Sprint(n))
	}
	becomesWarm(t, s, c)
	if !slices.Contains(onlyHelper(t, w).Preloaded, "gatehousemod") {
		t.Error("the module is not loaded ahead")
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("VALUE = 'new'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, filepath.Join(dir, "gatehousemod.py")); err != nil {
		t.Fatal(err)
	}
	expect("replaced", "new")
	becomesWarm(t, s, c)
	put(hiding, "VALUE = 'hidden'\n")
	expect("hidden by another", "hidden")
	for _, d := range []string{hiding, dir} {
		if err := os.Remove(filepath.Join(d, "gatehousemod.py")); err != nil {
			t.Fatal(err)
		}
	}
	expect("removed", "none")
}

// So it is when the folder of modules is another one, by a symbolic link, or appears
// only then.
func TestWarmModuleFolderChanged(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")})
	s := w.With(process.WarmOptions{Mode: process.WarmOn, Preload: []string{"gatehousemod"}})
	top := t.TempDir()
	release := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(top, name, "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name, "lib", "gatehousemod.py"), []byte("VALUE = '"+name+"'\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name string) {
		t.Helper()
		if err := os.Symlink(name, filepath.Join(top, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(top, "new"), filepath.Join(top, "current")); err != nil {
			t.Fatal(err)
		}
	}
	release("one")
	release("two")
	link("one")
	c := pythonScript(t, "import gatehousemod\nprint(gatehousemod.VALUE)\n",
		"PYTHONPATH="+top+"/later/lib:"+top+"/current/lib", "PYTHONDONTWRITEBYTECODE=1")
	for _, step := range []struct {
		do   func()
		want string
	}{{func() {}, "one"}, {func() { link("two") }, "two"}, {func() { release("later") }, "later"}} {
		step.do()
		if got, how := answer(t, s, c); got != step.want+"\n" {
			t.Errorf("got %q, %q, want %q", got, how, step.want)
		}
		if got := becomesWarm(t, s, c); got != step.want+"\n" {
			t.Errorf("warm: got %q, want %q", got, step.want)
		}
	}
}

// A folder that something else is written to does not matter.
func TestWarmFolderBusy(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")})
	dir := t.TempDir()
	c := pythonScript(t, "print('fine')\n", "PYTHONPATH="+dir)
	s := w.With(process.WarmOptions{Mode: process.WarmOn})
	answer(t, s, c)
	pid := onlyHelper(t, w).Pid
	for n := range 20 {
		if err := os.WriteFile(filepath.Join(dir, "data.txt"), []byte(fmt.Sprint(n)), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, how := answer(t, s, c); got != "fine\n" || !isWarm(how) {
			t.Errorf("got %q, %q", got, how)
		}
	}
	if st := onlyHelper(t, w); st.Pid != pid || st.Generation != 1 {
		t.Errorf("the helper was replaced: %+v", st)
	}
}

// A replaced interpreter runs the next script.
func TestWarmInterpreterReplaced(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "shell")}).With(process.WarmOptions{Mode: process.WarmOn})
	interp := filepath.Join(t.TempDir(), "python3")
	if err := os.Symlink(python, interp); err != nil {
		t.Fatal(err)
	}
	c := &process.Command{Path: newScript(t, "#!"+interp+"\necho fine\n"), Env: []string{"ID=one"}}
	if got, how := answer(t, s, c); got != "fine\n" || how != "warm: "+interp {
		t.Errorf("got %q, %q", got, how)
	}
	if err := os.Remove(interp); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/bin/echo", interp); err != nil {
		t.Fatal(err)
	}
	if got, how := answer(t, s, c); got != c.Path+"\n" || isWarm(how) {
		t.Errorf("replaced: got %q, %q, want the script's path, cold", got, how)
	}
}

// No request sees a script that is neither the old nor the new one.
func TestWarmScriptReplaced(t *testing.T) {
	e := open(t, &process.Exec{Tag: "ID"})
	s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "run")}).With(process.WarmOptions{Mode: process.WarmOn})
	c := pythonScript(t, "print(0)\n")
	for n := range 30 {
		if n%3 == 2 {
			n = -n // by another interpreter
			replace(t, c.Path, fmt.Sprintf("#!/bin/sh\necho %d\n", n))
		} else {
			replace(t, c.Path, fmt.Sprintf("#!%s\nprint(%d)\n", python, n))
		}
		if got, how := answer(t, s, c); got != fmt.Sprintf("%d\n", n) || isWarm(how) != (n >= 0) {
			t.Errorf("got %q, %q, want %d", got, how, n)
		}
	}
}

func replace(t testing.TB, path, text string) {
	t.Helper()
	if err := os.Rename(newScript(t, text), path); err != nil {
		t.Fatal(err)
	}
}

// A helper and what it forks is of the user that the command names.
func TestWarmUser(t *testing.T) {
	needsRoot(t)
	e := open(t, &process.Exec{Tag: "ID"})
	s := warm(t, &process.Warm{Cold: e, Servers: servers(t, "shell")}).With(process.WarmOptions{Mode: process.WarmOn})
	dir, err := os.MkdirTemp("/tmp", "warm")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := pythonScript(t, "id -u; id -g; id -G; grep -h ^CapEff /proc/self/status", "PATH=/usr/bin:/bin")
	if err := os.Rename(c.Path, dir+"/script"); err != nil {
		t.Fatal(err)
	}
	c.Path, c.User = dir+"/script", &nobody
	want := "65534\n65534\n65534 7\nCapEff:\t0000000000000000\n"
	for range 3 {
		if got, how := answer(t, s, c); got != want || !isWarm(how) {
			t.Errorf("got %q, %q, want %q", got, how, want)
		}
	}
	c.User = nil // is another helper
	if got, how := answer(t, s, c); !strings.HasPrefix(got, "0\n0\n") || !isWarm(how) {
		t.Errorf("got %q, %q, want root's", got, how)
	}
}
