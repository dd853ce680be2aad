package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/process"
)

// delegated returns a fresh folder of a cgroup v2 (F35, F36). The test fails if it
// is not empty in the end.
func delegated(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	reason := "no cgroup v2 is mounted"
	for line := range strings.Lines(string(mounts)) {
		field := strings.Fields(line)
		if len(field) < 3 || field[2] != "cgroup2" {
			continue
		}
		dir, err := os.MkdirTemp(field[1], "process-test-")
		if err == nil {
			if _, err = os.Stat(filepath.Join(dir, "cgroup.kill")); err == nil {
				t.Cleanup(func() {
					if err := os.Remove(dir); err != nil {
						t.Errorf("leaves are left: %v", err)
					}
				})
				return dir
			}
			os.Remove(dir)
		}
		reason = err.Error()
	}
	t.Skip("NOT TESTED: no cgroup to be had: " + reason)
	return ""
}

func leaves(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The daemon has left the session, its parent and its tag; it ignores SIGTERM, and
// another process runs on.
func TestCgroupKillsDaemon(t *testing.T) {
	dir := delegated(t)
	e := open(t, &process.Exec{Tag: "ID", Cgroup: dir})
	beside, ready := spawnOut(t, e, sh("cat /proc/self/cgroup; sleep 1000"))
	where := ready.line()
	for !strings.HasPrefix(where, "0::") {
		where = ready.line()
	}
	if !strings.Contains(where, filepath.Base(dir)+"/") {
		t.Errorf("the process is in %q, want beneath %q", where, dir)
	}
	c := fake("daemon", "none", "stubborn")
	c.Grace = 100 * time.Millisecond
	p, out := spawnErr(t, e, c)
	pid := out.number()
	exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())
	out.rest()
	until(t, "the daemon's end", func() bool { return state(pid) == 'X' })
	if !lives(beside.Pid) {
		t.Error("the other process has ended")
	}
	if got := leaves(t, dir); len(got) != 2 {
		t.Errorf("leaves are %q, want 2", got)
	}
}

func TestCgroupLeavesReused(t *testing.T) {
	dir := delegated(t)
	e := process.Exec{Cgroup: dir}
	for range 10 {
		p := spawn(t, &e, sh("exit 0"))
		exitOf(t, p)
		p.End()
		await(t, "gone", p.Gone())
	}
	_, err := e.Spawn(context.Background(), &process.Command{Path: "/proc/nonexistent"})
	if err == nil {
		t.Error("a missing file was started")
	}
	if got := leaves(t, dir); len(got) != 1 {
		t.Errorf("leaves are %q, want 1", got)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if got := leaves(t, dir); len(got) != 0 {
		t.Errorf("leaves are %q after Close", got)
	}
	before := descriptors()
	if _, err := e.Spawn(context.Background(), sh("exit 0")); !errors.Is(err, process.ErrClosed) {
		t.Errorf("Spawn after Close: %v, want %v", err, process.ErrClosed)
	}
	if got := leaves(t, dir); len(got) != 0 {
		t.Errorf("leaves are %q after a Spawn after Close", got)
	}
	sameDescriptors(t, before)
}

// Leaves of a process that crashed may have the names that ours will have, as
// pids are given again; in one of them something runs still.
func TestCgroupStaleLeaves(t *testing.T) {
	dir := delegated(t)
	var names []string
	for n := range 20 {
		name := filepath.Join(dir, fmt.Sprintf("gatehouse-%d-%d", os.Getpid(), n))
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	e := process.Exec{Cgroup: dir}
	if _, exit := run(t, &e, sh("exit 0")); !exit.Success() {
		t.Errorf("got %v", exit)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, name := range names {
		os.Remove(name)
	}
}

// Close says which groups it must leave because of what is kept in them.
func TestCgroupKept(t *testing.T) {
	dir := delegated(t)
	e := process.Exec{Tag: "ID", Cgroup: dir}
	c := sh("sleep 1000 & echo $!")
	c.Env, c.KeepChildren = append(c.Env, "ID=kept"), true
	p, out := spawnOut(t, &e, c)
	kept := out.number()
	exitOf(t, p)
	p.End()
	await(t, "gone", p.Gone())
	run(t, &e, sh("exit 0")) // which gets another leaf
	if got := leaves(t, dir); len(got) != 2 {
		t.Errorf("leaves are %q, want 2", got)
	}
	if err := e.Close(); err == nil || !strings.Contains(err.Error(), "gatehouse-") {
		t.Errorf("Close: got %v, want the name of a leaf", err)
	}
	if !lives(kept) {
		t.Error("what was kept has ended")
	}
	killKept(t, kept)
	for _, name := range leaves(t, dir) {
		until(t, "removal of a leaf", func() bool { return os.Remove(filepath.Dir(name)) == nil })
	}
}

func TestCgroupUnusable(t *testing.T) {
	for _, dir := range []string{"/proc/nonexistent", t.TempDir()} {
		before := descriptors()
		e := process.Exec{Cgroup: dir}
		for range 2 {
			_, err := e.Spawn(context.Background(), sh("exit 0"))
			if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("process: cgroup %q: ", dir)) {
				t.Errorf("Spawn: got %v", err)
			}
		}
		if err := e.Close(); err == nil {
			t.Error("Close: no error")
		}
		sameDescriptors(t, before)
	}
}
