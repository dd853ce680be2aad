package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
	"gatehouse/internal/config"
	"gatehouse/process"
	"gatehouse/scripts"
)

// openWSGI prepares a route of a Python application: workers that are asked with
// FastCGI, or a process for each request.
func (a *assembly) openWSGI(r *route) error {
	c := r.config.WSGI
	python, err := a.findPython(c)
	if file := c.Module.File; file != "" {
		err = errors.Join(err, fileLack("module", file))
	}
	_, refused := a.account(c.User)
	if err = errors.Join(err, checkDir(c.Dir), tell("user", refused)); err != nil {
		return err
	}
	identity := identify(r, "wsgi", &c.Backend, []any{c.Module, python, c.Mode, c.Reload})
	if b := a.kept(identity); b != nil {
		r.backend, r.program = b, r.around(b.ask)
		return nil
	}
	shim, err := a.shim.path()
	if err != nil {
		return err
	}
	run := *c // with what this host adds
	run.Env = append(pythonEnv(c), c.Env...)
	run.Command = []string{python, shim, c.Module.String()}
	if a.options.Development {
		run.Command = append(run.Command, "--show-errors")
	}
	if c.Mode == "cgi" {
		return a.openInterpreted(r, &run)
	}
	return a.openWSGIWorkers(r, &run, identity)
}

func (a *assembly) openWSGIWorkers(r *route, run *config.WSGI, identity string) (err error) {
	run.Command = append(run.Command, "--threads", strconv.Itoa(run.Concurrency))
	if run.Workers > 1 { // C07
		run.Command = append(run.Command, "--multiprocess")
	}
	sources := ""
	if run.Reload {
		who, err := a.account(run.User)
		if err != nil {
			return tell("user", err)
		}
		if sources, err = a.shim.private(who.who, "sources"); err != nil {
			return err
		}
		run.Command = append(run.Command, "--sources", sources)
	}
	b, err := a.newBackend(r, &run.Backend, "fastcgi", identity)
	if err != nil {
		return errors.Join(err, removeFolderOf(sources))
	}
	r.backend, b.wsgi = b, run
	b.shim = sources
	b.workers.Ready = servesFastCGI
	b.fastcgi.Abort = true
	if run.Reload {
		b.watch = newWatch(b, sources, a.log)
	}
	b.ask = &wsgiApp{next: b.ask, name: run.Module.String(), watch: b.watch}
	r.program = r.around(b.ask)
	return nil
}

// findPython returns the interpreter. A symbolic link is not followed: a virtual
// environment is known by where its link is.
func (a *assembly) findPython(c *config.WSGI) (string, error) {
	if c.Venv == "" {
		found, err := remember(&a.known.programs, c.Python, func() (string, error) { return findProgram("python", c.Python) })
		return found, tell("python", err)
	}
	path := filepath.Join(c.Venv, "bin", "python")
	if _, err := os.Stat(path); err != nil {
		return "", &lack{key: "venv", reason: fmt.Sprintf("%q is no virtual environment", c.Venv), hint: "there is no bin/python in it", cause: err}
	}
	return findProgram("venv", path)
}

// pythonEnv is what the environment of the processes needs besides the usual.
func pythonEnv(c *config.WSGI) (env []config.Var) {
	if c.Venv != "" {
		env = append(env, config.Var{Name: "VIRTUAL_ENV", Value: c.Venv},
			config.Var{Name: "PATH", Value: filepath.Join(c.Venv, "bin") + ":" + environ.DefaultPath})
	}
	if c.Reload {
		// Compiled files are taken for current when the time of the source, in whole
		// seconds, and its size are the same: not when it is written twice in a second.
		env = append(env, config.Var{Name: "PYTHONDONTWRITEBYTECODE", Value: "1"})
	}
	return env
}

// servesFastCGI asks a new worker for a value: it answers when it has loaded the
// application.
func servesFastCGI(_ context.Context, conn net.Conn) error {
	if _, err := conn.Write(fastcgi.AppendGetValues(nil, fastcgi.MaxConns)); err != nil {
		return err
	}
	var head [fastcgi.HeaderLen]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	h, err := fastcgi.ParseHeader(head[:])
	if err != nil {
		return err
	}
	if h.Type != fastcgi.TypeGetValuesResult {
		return fmt.Errorf("site: GET_VALUES was answered by %v", h.Type)
	}
	_, err = io.CopyN(io.Discard, conn, int64(h.ContentLength)+int64(h.PaddingLength))
	return err
}

// wsgiApp asks the workers of an application, and says what it means for a request
// that there are none.
type wsgiApp struct {
	next  cgi.Responder
	name  string
	cold  bool   // there are no workers: each request has a process
	watch *watch // nil without reload
}

func (a *wsgiApp) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	resp, err := a.next.Respond(ctx, req)
	if req.Account != nil {
		req.Account.Script = a.name
	}
	if err != nil {
		if a.cold {
			return nil, err
		}
		return nil, a.explain(err)
	}
	return resp, nil
}

// notLoaded is the exit status of a worker that could not load its application.
const notLoaded = 3

// explain makes of an application that does not start a 503 with its traceback: it
// may be mended at any time.
func (a *wsgiApp) explain(err error) error {
	var start *process.StartError
	var down *process.DownError
	var exit *process.Exit
	e := *cgi.AsError(err)
	switch {
	case errors.As(err, &down):
		e.Stderr, e.RetryAfter, exit = down.Stderr, down.After, down.Exit
	case errors.As(err, &start):
		e.Stderr, e.RetryAfter, exit = start.Stderr, time.Second, start.Exit
	default:
		return err
	}
	e.Kind, e.Status, e.Script, e.Exit = cgi.Busy, 0, a.name, exit
	if exit != nil && exit.Code == notLoaded {
		e.Reason = fmt.Sprintf("the application %q cannot be loaded", a.name)
		if line := exception(e.Stderr); line != "" {
			e.Reason += ": " + line
		}
	}
	if a.watch != nil {
		e.RetryAfter = time.Second // as soon as a source changes
	}
	return &e
}

// exception is the last line of a traceback, which the shim's own may follow.
func exception(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for n := len(lines) - 1; n >= 0; n-- {
		if !strings.HasPrefix(lines[n], "run_wsgi: ") {
			return lines[n]
		}
	}
	return ""
}

// openInterpreted prepares a process for each request.
func (a *assembly) openInterpreted(r *route, run *config.WSGI) error {
	who, err := a.account(run.User)
	if err != nil {
		return tell("user", err)
	}
	b := &backend{config: &run.Backend, wsgi: run, name: "route " + r.config.Path, program: run.Command[0]}
	b.shared.end = sync.OnceValue(b.stop)
	p := a.program(r.config)
	p.Path, p.Base = run.Command[0], a.workerEnv(b, who.home)
	i := &interpreter{Spawner: a.spawner, args: run.Command, dir: run.Dir, user: who.who, log: a.log}
	if i.compiled, err = a.shim.private(who.who, "run_wsgi.pyc"); err != nil {
		return err
	}
	p.Spawner, b.shim = i, i.compiled
	a.use(b)
	r.cgi, r.backend = p, b
	r.limiter = a.limit(r, p)
	b.ask = &wsgiApp{next: r.limiter, name: run.Module.String(), cold: true}
	r.program = r.around(b.ask)
	return nil
}

// describeWSGI says in one line what the application is.
func describeWSGI(c *config.WSGI) string {
	s := fmt.Sprintf("%s by %s", c.Module, c.Command[0])
	if c.Mode == "cgi" {
		s += ", a process for each request"
	} else {
		s += fmt.Sprintf(", at most %s of %s, %d kept ready", plural(c.Workers, "worker"), plural(c.Concurrency, "thread"), c.MinWorkers)
	}
	if c.User != "" {
		s += fmt.Sprintf(", as the user %q", c.User)
	}
	if c.Reload {
		s += ", replaced when a source changes"
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// shimFolder is a folder with the program that runs the applications, made when the
// first route needs it.
type shimFolder struct {
	dir string // "" while there is none
	n   int    // private folders
}

// path returns the program's file, which every user may read.
func (s *shimFolder) path() (string, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "gatehouse-wsgi-")
		if err != nil {
			return "", err
		}
		s.dir = dir
		name := filepath.Join(dir, "run_wsgi.py")
		// Whatever the umask is.
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(name, scripts.WSGIShim(), 0o644), os.Chmod(name, 0o644))
		if err != nil {
			return "", errors.Join(err, s.remove())
		}
	}
	return filepath.Join(s.dir, "run_wsgi.py"), nil
}

// private returns the name of a file in a new folder, in which who, nil for ourselves,
// may write and nobody else.
func (s *shimFolder) private(who *process.User, name string) (string, error) {
	s.n++
	dir := filepath.Join(s.dir, strconv.Itoa(s.n))
	err := os.Mkdir(dir, 0o700)
	if err == nil && who != nil {
		err = os.Chown(dir, int(who.UID), int(who.GID))
	}
	return filepath.Join(dir, name), err
}

// removeFolderOf removes the folder of a file that private has named; "" is none.
func removeFolderOf(file string) error {
	if file == "" {
		return nil
	}
	return os.RemoveAll(filepath.Dir(file))
}

func (s *shimFolder) remove() error {
	if s.dir == "" {
		return nil
	}
	dir := s.dir
	s.dir = ""
	return os.RemoveAll(dir)
}
