package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gatehouse/process"
)

// Replace lets exchanges finish, and what is asked after it is answered by others.
func TestWorkersReplace(t *testing.T) {
	g := workers(t, &process.Workers{Min: 2, Max: 2, Ready: answers})
	busy := g.dial()
	g.serve("pid")
	g.settles(2)
	before := g.Live()
	if len(before) != 2 {
		t.Fatalf("got the workers %v", before)
	}
	g.Replace()
	for range 4 {
		if pid := g.serve("pid"); slices.Contains(before, pid) {
			t.Errorf("worker %d, which was replaced, is given a connection", pid)
		}
	}
	if got := g.ask(busy, "pid"); got != strconv.Itoa(busy.Pid()) {
		t.Errorf("the exchange that ran: got %s", got)
	}
	if busy.Done() {
		t.Error("the connection to a worker that was replaced may be used again")
	}
	busy.Close()
	g.settles(2)
	for _, pid := range before {
		if slices.Contains(g.Live(), pid) {
			t.Errorf("worker %d lives on", pid)
		}
	}
	if s := g.Status(); s.Failures != 0 || s.Started != 4 {
		t.Errorf("got %d failures of %d started, want none of 4", s.Failures, s.Started)
	}
	if lines := g.log.lines("level=ERROR"); len(lines) > 0 {
		t.Errorf("got %q", lines)
	}
}

// One that is starting is replaced as well: it may have read half a source.
func TestWorkersReplaceStarting(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1, Max: 1, Command: *sh("sleep 1000"), Ready: answers})
	g.Start()
	until(t, "a worker that starts", func() bool { return len(g.Live()) == 1 })
	pid := g.Live()[0]
	waits := make(chan error, 1)
	go func() {
		_, err := g.Dial(t.Context())
		waits <- err
	}()
	until(t, "one that waits", func() bool { return g.Status().Waiting == 1 })
	g.Replace()
	until(t, "another worker", func() bool {
		live := g.Live()
		return len(live) == 1 && live[0] != pid
	})
	if s := g.Status(); s.Waiting != 1 || s.Failures != 0 {
		t.Errorf("got %+v, want one that waits still and no failure", s)
	}
	g.Close()
	if err := <-waits; !errors.Is(err, process.ErrWorkersClosed) {
		t.Errorf("got %v", err)
	}
}

// A crash loop ends with Replace: the next worker is tried at once.
func TestWorkersReplaceBroken(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := *sh(`test -e $0 && { echo broken >&2; exit 3; }; exec -a fake:worker $1`)
	c.Path, c.Args = "/bin/bash", []string{"bash", "-c", c.Args[2], broken, self()}
	g := workers(t, &process.Workers{Min: 1, Max: 1, Command: c, Ready: answers})
	g.Start()
	g.log.wants(t, "workers do not stay alive")
	until(t, "a pause of some length", func() bool { return g.Status().Down > 0 })
	g.Replace()
	until(t, "another crash loop", func() bool { return len(g.log.lines("workers do not stay alive")) == 2 })
	if got := g.log.lines("line=broken"); len(got) != 2 {
		t.Errorf("got %q, want it once for each loop", got)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	g.Replace()
	g.serve("pid")
	if s := g.Status(); s.Last != "" {
		t.Errorf("got %q, want no failure", s.Last)
	}
}

// Workers that cannot end, because of connections that last, do not keep others from
// starting, and do not become more and more.
func TestWorkersReplaceAgainAndAgain(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1, Max: 1})
	var all []workerConn
	for range 5 {
		c := g.dial()
		g.ask(c, "pid")
		all = append(all, c)
		g.Replace()
	}
	g.serve("pid")
	until(t, "three workers", func() bool { return len(g.Live()) == 3 })
	for n, c := range all {
		if ended := c.End(time.Millisecond) != ""; n < 3 && !ended || n >= 3 && ended {
			t.Errorf("worker %d: ended %v", n, ended)
		}
		c.Close()
	}
	g.settles(1)
}

// C37: under load nothing is lost, whenever it happens.
func TestWorkersReplaceUnderLoad(t *testing.T) {
	g := workers(t, &process.Workers{Min: 2, Max: 2, Concurrency: 2, Ready: answers})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := g.Dial(t.Context())
				if err != nil {
					t.Errorf("Dial: %v", err)
					return
				}
				if _, err := ask(c, "pid"); err != nil {
					t.Errorf("asked: %v", err)
				}
				if c.(workerConn).Done() {
					_ = c.(workerConn).Release()
				} else {
					_ = c.Close()
				}
			}
		})
	}
	for range 10 {
		// The oldest of more than four that cannot end would be stopped.
		until(t, "the workers before the last are gone", func() bool {
			ending := 0
			for _, wk := range g.Status().Workers {
				if wk.State == "ending" {
					ending++
				}
			}
			return ending <= 2
		})
		g.Replace()
		g.serve("pid")
	}
	stop()
	wg.Wait()
	g.settles(2)
}

func TestWorkersReplaceClosed(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1})
	g.Start()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g.Replace()
	if n := len(g.Live()); n != 0 {
		t.Errorf("%d workers live", n)
	}
}
