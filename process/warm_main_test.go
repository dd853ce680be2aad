package process_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/process"
)

// way is one way of starting processes: a Spawner, and the Exec behind it.
type way struct {
	process.Spawner
	e    *process.Exec
	warm bool
}

// eachWay runs f with an Exec, and with a Warm whose helper has the shell run what it
// is given: the same scripts, the same words for what becomes of them.
func eachWay(t *testing.T, tag string, f func(t *testing.T, w way)) {
	t.Run("exec", func(t *testing.T) {
		e := open(t, &process.Exec{Tag: tag})
		f(t, way{Spawner: e, e: e})
	})
	t.Run("warm", func(t *testing.T) {
		e := open(t, &process.Exec{Tag: tag})
		w := warm(t, &process.Warm{Cold: e, Servers: servers(t, "shell")})
		f(t, way{Spawner: always{w.With(process.WarmOptions{Mode: process.WarmOn})}, e: e, warm: true})
	})
}

// warm closes w when the test is over.
func warm(t testing.TB, w *process.Warm) *process.Warm {
	t.Helper()
	if w.Patience == 0 {
		w.Patience = patience
	}
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return w
}

// servers are fork servers that do with a script what the function of that name in
// testdata/forkserver.py does.
func servers(t testing.TB, function string) map[string][]byte {
	t.Helper()
	if _, err := exec.LookPath(python); err != nil {
		t.Skip("NOT TESTED: no " + python)
	}
	text, err := os.ReadFile("testdata/forkserver.py")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"python": []byte(strings.Replace(string(text), "run(*work", function+"(*work", 1))}
}

const python = "/usr/bin/python3"

// always fails where a process is not warm.
type always struct{ process.Spawner }

func (a always) Spawn(ctx context.Context, c *process.Command) (*process.Process, error) {
	p, err := a.Spawner.Spawn(ctx, c)
	if err == nil && !strings.HasPrefix(p.How, "warm: ") {
		p.End()
		return nil, &process.StartError{Path: c.Path, Reason: p.How}
	}
	return p, err
}

var scripts atomic.Int64

// sh is a command that has the shell run a script.
func (w *way) sh(t testing.TB, script string) *process.Command {
	t.Helper()
	if !w.warm {
		return sh(script)
	}
	return &process.Command{Path: newScript(t, "#!"+python+"\n"+script), Env: []string{"PATH=/usr/bin:/bin"}}
}

// newScript writes a script of its own name.
func newScript(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script"+strconv.FormatInt(scripts.Add(1), 10))
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
