package process_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/process"
)

// answers is a Ready that asks a fake worker something.
func answers(_ context.Context, c net.Conn) error {
	_, err := ask(c, "pid")
	return err
}

// C36: nothing is sent to a worker before it serves; who waits meanwhile is served then.
func TestWorkersReady(t *testing.T) {
	held := t.TempDir() + "/held"
	if err := os.WriteFile(held, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := *sh(`echo loading >&2; while test -e $0; do sleep 0.01; done; exec -a fake:worker $1`)
	c.Path, c.Args = "/bin/bash", []string{"bash", "-c", c.Args[2], held, self()}
	g := workers(t, &process.Workers{Min: 1, Max: 1, Command: c, Ready: answers})
	got := make(chan string, 2)
	for range 2 {
		go func() {
			c, err := g.Dial(t.Context())
			if err != nil {
				got <- err.Error()
				return
			}
			_, err = ask(c, "pid")
			c.(workerConn).Done()
			c.(workerConn).Release()
			if err != nil {
				got <- err.Error()
				return
			}
			got <- "served"
		}()
	}
	until(t, "two that wait", func() bool { return g.Status().Waiting == 2 && len(g.Live()) == 1 })
	if s := g.Status().Workers[0].State; s != "starting" {
		t.Errorf("the worker is %q, want starting", s)
	}
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s := <-got; s != "served" {
			t.Error(s)
		}
	}
	g.log.wants(t, "level=WARN", "line=loading")
}

// A worker that ends before it is ready fails who waits, with its last words; the log
// has them once, however often it is tried.
func TestWorkersNotReady(t *testing.T) {
	for _, test := range []struct {
		name, script string
		timeout      time.Duration
		how          string
	}{
		{"exit", "echo first >&2; echo 'no module' >&2; exit 3", 0, `exit status 3, before it was ready, its last line on standard error was "no module"`},
		{"deaf child holds the socket", "sleep 1000 & echo first >&2; echo 'no module' >&2; exit 3", 0, `exit status 3, before it was ready`},
		{"never", "echo first >&2; echo 'no module' >&2; sleep 1000", 100 * time.Millisecond, `is not ready after 100ms`},
		{"closes the connection", "echo first >&2; echo 'no module' >&2; exec </dev/null; sleep 1000", 100 * time.Millisecond, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := open(t, &process.Exec{Tag: "UNIQUE_ID"}) // one for all, as more are each other's orphans
			wrong := notReady(t, e, test.script, test.how, test.timeout)
			// It may be the machine that is slower than the time-out.
			for d := test.timeout; wrong != "" && d > 0 && d < patience; d *= 4 {
				how := strings.ReplaceAll(test.how, test.timeout.String(), (4 * d).String())
				wrong = notReady(t, e, test.script, how, 4*d)
			}
			if wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// notReady has a script be tried until there is a crash loop, and says what is wrong
// with what is told of it.
func notReady(t *testing.T, e *process.Exec, script, how string, timeout time.Duration) string {
	t.Helper()
	const words = "first\nno module"
	g := workers(t, &process.Workers{Min: 2, Max: 2, Command: *sh(script), Spawner: e, Ready: answers, StartTimeout: timeout})
	defer g.Close()
	_, err := g.Dial(t.Context())
	var se *process.StartError
	var down *process.DownError
	switch {
	case errors.As(err, &se) && se.Stderr != words:
		return fmt.Sprintf("got the standard error %q", se.Stderr)
	case se == nil && !errors.As(err, &down):
		return fmt.Sprintf("got %v, want a StartError or a DownError", err)
	case !strings.Contains(err.Error(), how):
		return fmt.Sprintf("got %v, want %q", err, how)
	}
	g.log.wants(t, "workers do not stay alive")
	until(t, "a DownError", func() bool { // the pause may be over, and others be tried
		_, err = g.Dial(t.Context())
		return errors.As(err, &down)
	})
	if down.Stderr != words {
		return fmt.Sprintf("got %v with the standard error %q, want %q", err, down.Stderr, words)
	}
	for _, line := range []string{"line=first", `line="no module"`} {
		if got := g.log.lines(line); len(got) != 1 {
			return fmt.Sprintf("got %q, want one %s", got, line)
		}
	}
	return ""
}

// What a worker writes is held back for as long as it is not too much.
func TestWorkersHeldLines(t *testing.T) {
	g := workers(t, &process.Workers{Min: 1, Command: *sh("for n in 1 2 3 4 5 6 7 8 9 a b c d e f g h i; do printf %05000d 0; echo; done >&2; sleep 1000"), Ready: answers})
	g.Start()
	until(t, "lines of one that is not ready", func() bool { return len(g.log.lines("msg=stderr", "000 [cut]")) > 0 })
	if s := g.Status().Workers[0].State; s != "starting" {
		t.Errorf("the worker is %q, want starting", s)
	}
}
