package site

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
	"gatehouse/internal/config"
	"gatehouse/process"
	"gatehouse/scgi"
)

// backend is an application at work: what asks it, and, where it is a command, its
// processes.
type backend struct {
	config  *config.Backend
	name    string // of the route, for logs and errors
	ask     cgi.Responder
	fastcgi *fastcgi.Transport // nil with SCGI, and for a command that is missing
	workers *process.Workers   // nil where it is an address
	program string             // of the workers, absolute
	wsgi    *config.WSGI       // nil where it is no Python application
	watch   *watch             // of its sources; nil without reload
	shim    string             // a file of the shim's in a folder of its own; "" for none

	shared
	at       place
	identity string // what all of it is made of: one of the same identity does the same
	started  atomic.Bool
}

// identify says what an application is made of, wherever in a file that is written: a
// reload leaves alone what stays the same. A filter opens files of its route, which do
// not outlive that: it has none.
func identify(r *route, kind string, c *config.Backend, app any) string {
	if c.Role == "filter" {
		return ""
	}
	whole := *c
	whole.Line = 0
	limits := r.config.Limits
	limits.Slow = 0 // is nothing of the application's
	text, err := json.Marshal([]any{kind, r.site.name, r.config.Path, whole, app, limits, r.config.Env, r.config.Interim, r.config.PassAuthorization})
	if err != nil { // there is nothing in it that JSON does not know
		return ""
	}
	sum := sha256.Sum256(text) // thousands of sites keep one each
	return string(sum[:])
}

// newBackend prepares an application for a route, and starts nothing.
func (a *assembly) newBackend(r *route, c *config.Backend, protocol, identity string) (*backend, error) {
	var run command
	if len(c.Command) > 0 && c.Missing == "" {
		var err error
		if run, err = a.lookUp(c); err != nil {
			return nil, err
		}
	}
	if b := a.kept(identity); b != nil {
		return b, nil
	}
	b := &backend{config: c, name: "route " + r.config.Path, at: r.tally.place, identity: identity}
	b.shared.end = sync.OnceValue(b.stop)
	if c.Missing != "" {
		b.ask = cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
			return nil, &cgi.Error{Kind: cgi.StartFailed, Reason: c.Missing}
		})
		return b, nil
	}
	if len(c.Command) > 0 {
		a.openWorkers(b, run, &r.config.Limits)
	}
	if protocol == "scgi" {
		b.ask = a.scgiTransport(b, r)
	} else {
		b.fastcgi = a.fastcgiTransport(b, r)
		b.ask = b.fastcgi
	}
	a.use(b)
	return b, nil
}

// newAuthorizer prepares the authorizer of a route (B42). It gets Authorization,
// without which there would be little to decide.
func (a *assembly) newAuthorizer(r *route) (*backend, error) {
	b, err := a.newBackend(r, r.config.Authorize, "fastcgi", identify(r, "authorizer", r.config.Authorize, nil))
	if err != nil || a.before != nil && a.before.byIdentity[b.identity] == b { // one that is kept has all of it
		return b, err
	}
	b.name = "authorizer of " + b.name
	if b.fastcgi == nil {
		return b, nil
	}
	b.fastcgi.Name, b.fastcgi.Role, b.fastcgi.DropAuthorization = b.name, fastcgi.RoleAuthorizer, false
	if b.workers != nil {
		b.workers.Name = b.name
	}
	return b, nil
}

// noQueue and atOnce say 0 to a field whose zero means a default.
func noQueue(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func atOnce(d config.Duration) time.Duration { return max(time.Duration(d), time.Nanosecond) }

func (a *assembly) fastcgiTransport(b *backend, r *route) *fastcgi.Transport {
	c, l := b.config, &r.config.Limits
	t := &fastcgi.Transport{
		Addresses: c.Addresses, Name: b.name,
		Connections: c.Connections, Queue: noQueue(l.Queue), QueueTimeout: time.Duration(l.QueueTimeout),
		ConnectTimeout: time.Duration(c.ConnectTimeout), NoKeepAlive: !c.KeepAlive,
		IdleTimeout: time.Duration(c.ConnectionIdleTimeout), AbortGrace: atOnce(c.AbortGrace),
		Times: times(l), Interim: r.config.Interim, Env: a.variables(r.config.Env),
		DropAuthorization: !r.config.PassAuthorization,
		CatchStderr:       c.CatchStderr, Log: a.log,
		Health: fastcgi.Health{Interval: time.Duration(c.HealthInterval), Timeout: time.Duration(c.HealthTimeout), Path: c.HealthPath},
	}
	if b.workers != nil {
		t.Dial, t.ConnectTimeout, t.Connections = b.workers.Dial, 0, c.Workers*c.Concurrency
	}
	if c.Role == "filter" {
		t.Role, t.Open = fastcgi.RoleFilter, r.openForFilter
	}
	return t
}

// scgiTransport returns a Transport behind a limiter, since its own queue is never none
// and never without a time limit.
func (a *assembly) scgiTransport(b *backend, r *route) cgi.Responder {
	c, l := b.config, &r.config.Limits
	slots, key := c.Connections, "connections"
	t := &scgi.Transport{
		Addresses: c.Addresses, Name: b.name, ConnectTimeout: time.Duration(c.ConnectTimeout),
		Times: times(l), Env: a.variables(r.config.Env), DropAuthorization: !r.config.PassAuthorization, Log: a.log,
	}
	if b.workers != nil {
		t.Dial, t.ConnectTimeout = b.workers.Dial, 0
		slots, key = c.Workers*c.Concurrency, "workers"
	}
	t.Connections = slots
	return newLimiter(t, b.name, key, newTurns(slots, l.Queue, time.Duration(l.QueueTimeout)))
}

// openForFilter opens a file for a filter (B47), of those that Find may name only.
func (r *route) openForFilter(name string) (*os.File, error) {
	root, dir := r.root, r.dir
	if r.config.Kind == config.Suffix {
		root, dir = r.site.root, r.site.config.Root
	}
	rel, err := filepath.Rel(dir, name)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	f, err := open(root, rel)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: errIrregular}, f.Close())
	}
	return f, nil
}

// openWorkers prepares the processes of a command.
func (a *assembly) openWorkers(b *backend, run command, l *config.Limits) {
	c := b.config
	b.program = run.program
	command := process.Command{
		Path: b.program, Args: c.Command, Env: a.workerEnv(b, run.home).Strings(), Dir: c.Dir,
		Limits: process.Limits{Memory: int64(l.Memory)}, Grace: atOnce(l.KillGrace), User: run.who,
	}
	b.workers = &process.Workers{
		Command: command, Spawner: a.spawner, Name: b.name, Log: a.log,
		Min: c.MinWorkers, Max: c.Workers, IdleTimeout: time.Duration(c.WorkerIdleTimeout),
		Concurrency: c.Concurrency, MaxRequests: c.MaxRequests, MaxMemory: int64(c.MaxMemory),
		StartTimeout: time.Duration(c.StartTimeout),
	}
}

// workerEnv is the environment that a command's processes start with (A26). The
// requests' variables are not in it.
func (a *assembly) workerEnv(b *backend, home string) environ.Env {
	env := environ.ProcessEnv("", home, "", os.Getenv("TZ"))
	if strings.HasPrefix(filepath.Base(b.program), "php-cgi") {
		env.Set("PHP_FCGI_MAX_REQUESTS", "0") // it would end after 500; max_requests does that here
	}
	for _, v := range b.config.Env {
		env.Set(v.Name, v.Value)
	}
	return env
}

// lookUpUser returns the home of a user, and what makes a process run as them, nil for
// our own user, "".
func lookUpUser(name string) (home string, who *process.User, err error) {
	if name == "" {
		return os.Getenv("HOME"), nil, nil
	}
	u, err := user.Lookup(name)
	if _, isNumber := strconv.Atoi(name); err != nil && isNumber == nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return "", nil, &lack{reason: fmt.Sprintf("there is no user %q", name), cause: err}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return "", nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return "", nil, err
	}
	who = &process.User{UID: uint32(uid), GID: uint32(gid)}
	ids, err := u.GroupIds()
	if err != nil {
		return "", nil, err
	}
	for _, id := range ids {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return "", nil, fmt.Errorf("group %q: %w", id, err)
		}
		who.Groups = append(who.Groups, uint32(n))
	}
	if int(uid) != os.Geteuid() && os.Geteuid() != 0 {
		return "", nil, &lack{reason: fmt.Sprintf("only root can run processes as %q", name)}
	}
	return u.HomeDir, who, nil
}

// startBackends makes ready what is to be there before the first request: workers, the
// addresses of names, checks of health. What fails is tried again by the requests, which
// then say so. Names are not waited for: a resolver may take its time.
func (a *assembly) startBackends() {
	a.secure.start()
	for _, b := range a.backends {
		if b.started.Swap(true) {
			continue
		}
		if b.workers != nil {
			// Where none is kept ready the first request does it: thousands of sites
			// would have a goroutine and a folder each for nothing.
			if b.config.MinWorkers > 0 {
				if err := b.workers.Start(); err != nil {
					a.log.Error("workers cannot be started", "app", b.name, "error", err)
				}
			}
			if b.watch != nil {
				b.watch.start()
			}
		} else if b.fastcgi != nil {
			a.starting.Go(func() { // ends with the look-up, which Close waits for
				if err := b.fastcgi.Start(); err != nil {
					a.log.Error("application cannot be reached", "app", b.name, "error", err)
				}
			})
		}
	}
}

// stop ends the processes and waits for that.
func (b *backend) stop() error {
	var err error
	if b.watch != nil {
		b.watch.end()
	}
	if b.fastcgi != nil {
		err = b.fastcgi.Close()
	}
	if b.workers != nil {
		err = errors.Join(err, b.workers.Close())
	}
	return errors.Join(err, removeFolderOf(b.shim))
}

// describe says in one line what the application is.
func (b *backend) describe() string {
	if b.wsgi != nil {
		return describeWSGI(b.wsgi)
	}
	if len(b.config.Command) == 0 {
		return strings.Join(b.config.Addresses, ", ")
	}
	s := fmt.Sprintf("command %s, at most %d workers, %d kept ready", quoted(b.config.Command), b.config.Workers, b.config.MinWorkers)
	if b.config.User != "" {
		s += fmt.Sprintf(", as the user %q", b.config.User)
	}
	return s
}

// quoted writes a command as the configuration has it.
func quoted(words []string) string {
	var list []string
	for _, w := range words {
		list = append(list, strconv.Quote(w))
	}
	return "[" + strings.Join(list, ", ") + "]"
}
