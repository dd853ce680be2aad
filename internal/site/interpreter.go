package site

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/process"
)

// compileTime bounds how long an interpreter may take to compile the shim.
const compileTime = 20 * time.Second

// interpreter is a Spawner of Python processes that run the shim for one request each.
// Python keeps no compiled form of a main program, and would compile the shim for every
// request: it is compiled once, and again when the interpreter has become another.
type interpreter struct {
	process.Spawner
	args     []string // the interpreter, the shim's source, the rest
	dir      string
	user     *process.User
	compiled string // where the compiled shim is to be
	log      *slog.Logger

	mu   sync.Mutex
	of   os.FileInfo // the interpreter that shim is for; nil: none yet
	shim string
}

func (i *interpreter) Spawn(ctx context.Context, c *process.Command) (*process.Process, error) {
	own := *c
	own.Args, own.Dir, own.User = append([]string(nil), i.args...), i.dir, i.user
	own.Args[1] = i.program(ctx, c)
	return i.Spawner.Spawn(ctx, &own)
}

// program returns the shim in the form to run.
func (i *interpreter) program(ctx context.Context, c *process.Command) string {
	now, err := os.Stat(c.Path)
	if err != nil {
		return i.args[1] // the start will tell
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.of != nil && os.SameFile(i.of, now) && i.of.ModTime().Equal(now.ModTime()) {
		return i.shim
	}
	i.of, i.shim = now, i.compiled
	if err := i.compile(ctx, c); err != nil {
		i.shim = i.args[1]
		i.log.Warn("the shim is not compiled; each request does it", "interpreter", c.Path, "err", err)
	}
	return i.shim
}

// compile has the interpreter write the compiled shim, as the application's user.
func (i *interpreter) compile(ctx context.Context, c *process.Command) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), compileTime)
	defer cancel()
	env := slices.Clone(c.Env) // without what says whose process it is
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "UNIQUE_ID=") })
	p, err := i.Spawner.Spawn(ctx, &process.Command{
		Path: c.Path, Args: []string{i.args[0], i.args[1], "--compile", i.compiled}, Env: env, User: i.user,
	})
	if err != nil {
		return err
	}
	defer p.End()
	select {
	case <-p.Exited():
	case <-ctx.Done():
		return fmt.Errorf("site: it takes longer than %v", compileTime)
	}
	if e, _ := p.Exit(); !e.Success() {
		return fmt.Errorf("site: %v", e)
	}
	return nil
}
