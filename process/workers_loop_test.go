package process_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/process"
)

// brokenSpawner starts nothing, and notes when it was asked to.
type brokenSpawner struct {
	mu    sync.Mutex
	asked []time.Time
}

func (s *brokenSpawner) Spawn(context.Context, *process.Command) (*process.Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	return nil, &process.StartError{Path: "/srv/app", Reason: "its interpreter is missing", Err: os.ErrNotExist}
}

// times returns the pauses between the starts.
func (s *brokenSpawner) pauses() (list []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := 1; n < len(s.asked); n++ {
		list = append(list, s.asked[n].Sub(s.asked[n-1]))
	}
	return list
}

// A fixed number of workers that cannot be started: two starts more at once, then
// pauses of n squared seconds, 30 at most (B22, F49); by time that is not real.
func TestWorkersBackoff(t *testing.T) {
	for _, n := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			s := &brokenSpawner{}
			var log journal
			w := &process.Workers{
				Spawner: s, Command: process.Command{Path: "/srv/app"}, Name: "app", Min: n, Max: n,
				Log: slog.New(slog.NewTextHandler(&log, nil)),
			}
			if err := w.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(150 * time.Second)
			synctest.Wait()
			if err := w.Close(); err != nil {
				t.Error(err)
			}
			pauses := s.pauses()
			var long []time.Duration
			for _, p := range pauses {
				if p > 0 {
					long = append(long, p)
				}
			}
			want := []time.Duration{1, 4, 9, 16, 25, 30, 30}
			if at := len(pauses) - len(long); at < 2 || at > 3*n {
				t.Errorf("of %d: %d starts more at once, want 2 to %d", n, at, 3*n)
			}
			if len(long) < len(want)-1 {
				t.Fatalf("of %d: got pauses %v, want %d s", n, long, want)
			}
			for i, p := range long {
				if i < len(want) && (p < want[i]*9*time.Second/10 || p > want[i]*11*time.Second/10) {
					t.Errorf("of %d: pause %d is %v, want about %d s", n, i, p, want[i])
				}
			}
			if got := log.lines("workers do not stay alive", "level=ERROR"); len(got) != 1 ||
				!strings.Contains(got[0], "its interpreter is missing") {
				t.Errorf("of %d: got %q, want one line with the reason", n, got)
			}
		})
	}
}

// Dial tells why a worker cannot be started; in a crash loop it fails at once.
func TestWorkersStartError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &brokenSpawner{}
		w := &process.Workers{Spawner: s, Command: process.Command{Path: "/srv/app"}, Log: slog.New(slog.DiscardHandler)}
		defer w.Close()
		for n := range 2 {
			var se *process.StartError
			if _, err := w.Dial(t.Context()); !errors.As(err, &se) || !strings.Contains(err.Error(), "its interpreter is missing") {
				t.Errorf("Dial %d: got %v, want the StartError", n, err)
			}
		}
		var down *process.DownError
		for n := range 3 {
			begun := time.Now()
			_, err := w.Dial(t.Context())
			if !errors.As(err, &down) || !strings.Contains(err.Error(), "its interpreter is missing") {
				t.Fatalf("Dial %d in the loop: got %v, want a DownError with the reason", n, err)
			}
			if after := down.RetryAfter(); after <= 0 || after > 1100*time.Millisecond {
				t.Errorf("RetryAfter is %v, want about a second", after)
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("it took %v", took)
			}
		}
		if n := len(s.asked); n != 3 {
			t.Errorf("%d starts, want 3", n)
		}
		time.Sleep(down.RetryAfter())
		_, _ = w.Dial(t.Context())
		if n := len(s.asked); n != 4 {
			t.Errorf("%d starts after the pause, want 4", n)
		}
		if st := w.Status(); st.Failures != 4 || st.Down < 3*time.Second || st.Last == "" {
			t.Errorf("got %+v, want four failures and a pause of about 4 s", st)
		}
	})
}

// Failures that are far apart are no crash loop.
func TestWorkersBackoffForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &brokenSpawner{}
		w := &process.Workers{Spawner: s, Command: process.Command{Path: "/srv/app"}, Log: slog.New(slog.DiscardHandler)}
		defer w.Close()
		for range 6 {
			_, err := w.Dial(t.Context())
			if se := (*process.StartError)(nil); !errors.As(err, &se) {
				t.Errorf("got %v, want a StartError", err)
			}
			time.Sleep(61 * time.Second)
		}
	})
}

// Real programs that end at once, with whatever status.
func TestWorkersCrashLoop(t *testing.T) {
	tests := []struct{ name, script, how string }{
		{"crash", "echo first >&2; echo no such table: users >&2; exit 3", `exit status 3, its last line on standard error was "no such table: users"`},
		{"on purpose, again and again", "exit 0", "exit status 0"},
		{"signal", "kill -9 $$", "killed by signal 9 (killed)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := workers(t, &process.Workers{Min: 1, Max: 2, Command: *sh(test.script)})
			g.Start()
			line := g.log.wants(t, "level=ERROR", "workers do not stay alive", "worker=app", "failures=3")
			if plain := strings.ReplaceAll(line, `\`, ""); !strings.Contains(plain, test.how) {
				t.Errorf("got %s, want %q", line, test.how)
			}
			const ended = `msg="worker ended" worker=app pid=`
			until(t, "three ends", func() bool { return len(g.log.lines(ended)) >= 3 })
			pids := make(map[string]bool)
			for _, line := range g.log.lines(ended) {
				_, rest, _ := strings.Cut(line, ended)
				pid, _, _ := strings.Cut(rest, " ")
				if pids[pid] {
					t.Errorf("the end of %s is told twice", pid)
				}
				pids[pid] = true
			}
			// Where the machine is slow the pause may be over, and another tried.
			until(t, "a DownError with its reason", func() bool {
				c, err := g.Dial(t.Context())
				if err == nil {
					return c.(workerConn).Release() != nil
				}
				if down := (*process.DownError)(nil); !errors.As(err, &down) {
					t.Fatalf("got %v, want a DownError", err)
				}
				return strings.Contains(err.Error(), test.how)
			})
		})
	}
}

// Each Dial either fails in words or gives a connection that has an end; none gets
// a worker that is known to be dead.
func TestWorkersDiesBeforeItAccepts(t *testing.T) {
	dir := t.TempDir()
	c := *sh("while ! test -e $0/$$; do sleep 0.01; done; exit 1")
	c.Args = append(c.Args, dir)
	g := workers(t, &process.Workers{Max: 1, Command: c})
	die := func(c workerConn) {
		t.Helper()
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, c.Pid()), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ask(c, "pid"); err == nil {
			t.Error("it answers")
		}
		if got := c.End(patience); got != "exit status 1" {
			t.Errorf("got %q, want exit status 1", got)
		}
		c.Close()
	}
	for range 3 {
		die(g.dial())
	}
	until(t, "a DownError", func() bool {
		c, err := g.Dial(t.Context())
		if err == nil { // the pause was over
			_ = c.SetDeadline(time.Now().Add(patience))
			die(c.(workerConn))
			return false
		}
		if down := (*process.DownError)(nil); !errors.As(err, &down) {
			t.Fatalf("got %v, want a DownError", err)
		}
		return true
	})
}

// A program that closes its socket takes no connections: it is replaced, and Dial
// does not go on for ever.
func TestWorkersDeaf(t *testing.T) {
	g := workers(t, &process.Workers{Max: 1})
	c := g.dial()
	g.ask(c, "deaf")
	c.Done()
	c.Release()
	if pid := g.serve("pid"); pid == c.Pid() {
		t.Error("it is served by a worker that listens no more")
	}

	mute := workers(t, &process.Workers{Max: 1, Spawner: g.Spawner, Command: *sh("exec </dev/null; sleep 1000")})
	until(t, "a DownError", func() bool {
		c, err := mute.Dial(context.Background())
		if err != nil {
			down := (*process.DownError)(nil)
			return errors.As(err, &down) && strings.Contains(err.Error(), "takes no connections")
		}
		time.Sleep(20 * time.Millisecond)
		c.(workerConn).Release()
		return false
	})
}

// When the program is repaired a crash loop ends, by the first exchange or by
// staying alive, with one line in the log.
func TestWorkersRepaired(t *testing.T) {
	tests := []struct {
		name, message string
		asked         bool
	}{
		{"by an exchange", `msg="workers work again"`, true},
		{"by staying alive", `msg="workers stay alive again"`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !test.asked && testing.Short() {
				t.Skip("NOT TESTED: it takes 6 s")
			}
			broken := t.TempDir() + "/broken"
			if err := os.WriteFile(broken, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			c := *sh(`test -e $0 && exit 1; exec -a fake:worker $1`)
			c.Path, c.Args = "/bin/bash", []string{"bash", "-c", c.Args[2], broken, self()}
			g := workers(t, &process.Workers{Min: 2, Max: 2, Command: c})
			g.Start()
			g.log.wants(t, "workers do not stay alive")
			g.settles(0)
			if err := os.Remove(broken); err != nil {
				t.Fatal(err)
			}
			removed := time.Now() // one that was begun before may have seen it
			until(t, "a worker lives", func() bool {
				s := g.Status()
				return s.Down == 0 && len(s.Workers) > 0 && s.Workers[0].Pid != 0 && s.Workers[0].Started.After(removed)
			})
			if test.asked {
				if n := len(g.Live()); n != 1 {
					t.Errorf("%d workers are tried, want 1", n)
				}
				g.serve("pid")
			}
			g.log.wants(t, "level=INFO", test.message)
			g.settles(2)
			if s := g.Status(); s.Last != "" {
				t.Errorf("got %q, want no failure", s.Last)
			}
		})
	}
}
