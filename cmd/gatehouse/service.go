package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// service is a host that serves, with what an administrator may ask of it.
type service struct {
	host    *site.Host
	log     *slog.Logger
	read    func() (*served, error) // the configuration once more; nil where there is no file
	status  *admin.Server
	control *admin.Socket
	systemd *notifier
	end     *stopping

	upgrades   sync.Mutex // held by an upgrade
	work       sync.Mutex // held by a reload or an upgrade
	paused     *os.File   // the control socket, while an upgrade runs
	pausedName string     // by which that is handed on

	mu      sync.Mutex
	waiting *reload // the next, which nobody has begun
	busy    bool    // a goroutine reloads
	over    bool    // no more of them
	reloads sync.WaitGroup
}

// reload is one that several may wait for.
type reload struct {
	done chan struct{}
	err  error // read it after done
}

// newService makes one that listens nowhere yet.
func newService(h *site.Host, log *slog.Logger, read func() (*served, error)) *service {
	d := &service{host: h, log: log, read: read, systemd: newNotifier(log)}
	d.status = admin.New(h, admin.Options{Software: software(), Log: log})
	a := admin.Actions{Upgrade: d.upgrade, Reopen: d.reopen, Stop: func() { d.end.stop() }, Status: d.status.Handler()}
	a.Reload = d.reload
	d.control = admin.NewSocket(admin.Control(a))
	return d
}

func (d *service) openAdmin(cfg *config.Config) func(config.Listen) (net.Listener, error) {
	return func(l config.Listen) (net.Listener, error) { return site.OpenFor(cfg, "admin", l) }
}

// openControl opens the control socket where that is to be, or returns a nil listener
// where there is to be none: the default place may be another host's already. A site that was made for a folder has one only if asked:
// commands without --control are for the host with a configuration.
func (d *service) openControl(s *served) (path string, ln net.Listener, err error) {
	path = s.config.Control
	if path == "" && !s.made {
		path = admin.DefaultSocket()
	}
	if path == "" || path == config.NoControl {
		return "", nil, nil
	}
	if ln, err := site.TakeListener(controlName(path)); ln != nil || err != nil {
		return path, ln, err
	}
	unix, err := admin.ListenControl(path)
	switch {
	case err == nil:
		return path, unix, nil
	case s.config.Control == "":
		d.log.Warn("there is no control socket; control in the configuration sets another place for it", "error", err)
		return "", nil, nil
	}
	return "", nil, err
}

// controlName is the name by which an upgrade hands the control socket on.
func controlName(path string) string { return "control " + path }

// reload puts the configuration in force as it is now. Those who ask while one runs share
// the next.
func (d *service) reload(ctx context.Context) error {
	d.mu.Lock()
	if d.over {
		d.mu.Unlock()
		return errors.New("the server is stopping")
	}
	if d.waiting == nil {
		d.waiting = &reload{done: make(chan struct{})}
	}
	r := d.waiting
	if !d.busy {
		d.busy = true
		d.reloads.Go(d.reloadAll)
	}
	d.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reloadAll reloads until nobody waits.
func (d *service) reloadAll() {
	for {
		d.mu.Lock()
		r := d.waiting
		d.waiting = nil
		if r == nil {
			d.busy = false
		}
		d.mu.Unlock()
		if r == nil {
			return
		}
		r.err = d.reloadOnce()
		close(r.done)
	}
}

func (d *service) reloadOnce() error {
	d.work.Lock()
	defer d.work.Unlock()
	if d.read == nil {
		return errors.New("this gatehouse was started without -c: there is no configuration to read again")
	}
	d.systemd.reloading()
	s, err := d.read()
	if err == nil {
		err = d.apply(s)
	}
	tuneHeap(d.host.Config())
	if err != nil {
		d.log.Error("the configuration was not reloaded; all stays as it was")
		for line := range strings.SplitSeq(err.Error(), "\n") {
			d.log.Error("reload", "error", line)
		}
		d.systemd.ready("the last reload failed: " + firstLine(err))
		return err
	}
	d.systemd.ready(stateOf(s))
	return nil
}

// apply puts another configuration in force, all of it or nothing.
func (d *service) apply(s *served) error {
	path, ln := d.control.Path(), net.Listener(nil)
	moves := !sameControl(s, path)
	var refused error
	if moves {
		path, ln, refused = d.openControl(s)
	}
	swap, undo, err := d.status.Prepare(s.config.Admin, d.openAdmin(s.config))
	if refused != nil || err != nil {
		err = d.allWrong(s.config, refused, err)
	} else {
		if err = d.host.Reload(s.config); err == nil {
			swap()
			if moves {
				d.control.Move(path, ln)
			}
			return nil
		}
	}
	undo()
	return errors.Join(err, closed(ln))
}

// allWrong returns everything that is wrong with a configuration whose control socket or
// status page cannot be listened on: what was tried first is not the only mistake.
func (d *service) allWrong(cfg *config.Config, control, status error) error {
	err := d.host.Examine(cfg)
	var told config.Errors
	errors.As(err, &told)
	about := func(key string) bool {
		return slices.ContainsFunc(told, func(e *config.Error) bool { return e.Key == key })
	}
	if !about("control") {
		err = errors.Join(err, control)
	}
	if !about("admin") {
		err = errors.Join(err, status)
	}
	return err
}

// sameControl reports whether the control socket stays where it is.
func sameControl(s *served, path string) bool {
	want := s.config.Control
	switch {
	case want == "" && !s.made:
		want = admin.DefaultSocket()
	case want == config.NoControl:
		want = ""
	}
	return want == path
}

func (d *service) reopen(context.Context) error { return d.host.Reopen() }

// finish closes what stands beside the host. Nothing of the service runs afterwards.
func (d *service) finish() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.reloads.Wait()
	d.work.Lock() // an upgrade that runs ends with end.first
	defer d.work.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // who asked may not read the answer
	defer cancel()
	if err := errors.Join(d.status.Close(ctx), d.control.Shutdown(ctx)); err != nil {
		d.log.Warn("not all requests of the administrator have ended", "error", err)
	}
	d.systemd.end()
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// stateOf says in a line what is served, for systemctl status.
func stateOf(s *served) string {
	var on []string
	for _, l := range s.config.Listen {
		on = append(on, l.String())
	}
	return fmt.Sprintf("serving %s on %s", s.what, strings.Join(on, ", "))
}

// run serves until a signal, an order or ctx ends it.
func (d *service) run(ctx context.Context, s *served, stderr io.Writer, up *readiness) error {
	do := actions{syscall.SIGUSR1: d.reopen, syscall.SIGUSR2: d.upgrade}
	if d.read != nil {
		do[syscall.SIGHUP] = d.reload
	}
	d.end = signals(ctx, stderr, do)
	defer d.end.finish()
	path, ln, refused := d.openControl(s)
	defer d.finish()
	err := d.status.Listen(s.config.Admin, d.openAdmin(s.config))
	if refused != nil || err != nil {
		return errors.Join(d.allWrong(s.config, refused, err), closed(ln))
	}
	err = d.host.Serve(d.end.first, d.end.second, func(on []site.Listening) {
		d.control.Move(path, ln) // not before: until then orders are for who serves already
		ln = nil
		d.own()
		announce(stderr, s, on, d.pages())
		d.systemd.begin(d.end.first, stateOf(s), d.host.Alive)
		s.config = nil // the host has it as long as it is in force
		up.ready()
	})
	return errors.Join(err, closed(ln))
}

// closed closes a listener that is not used, if there is one.
func closed(ln net.Listener) error {
	if ln == nil {
		return nil
	}
	return ln.Close()
}

// own makes the sockets ours that were another process's: their files go with them.
func (d *service) own() {
	d.host.OwnSockets()
	site.DropSockets()
	site.UnlinkOnClose(d.control.Listener(), true)
	d.status.Each(func(_ config.Listen, ln net.Listener) { site.UnlinkOnClose(ln, true) })
}

// controlAt puts what --control says in place of what the configuration says.
func (s *served) controlAt(c *cli.Context) error {
	path := c.String("control")
	switch {
	case !c.IsSet("control"):
		return nil
	case path == "":
		return misused("--control is empty: it is the path of a socket, or off")
	case path != config.NoControl:
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		path = abs
	}
	s.config.Control = path
	return nil
}
