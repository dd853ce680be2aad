package site

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"gatehouse/internal/config"
)

// ErrClosed is what Reload returns once the host is being closed.
var ErrClosed = errors.New("site: the host is closed")

// Reload puts another configuration in force: everything that it needs is made first, and
// when something cannot be, nothing has changed. Applications, interpreters, queues and
// listeners that are the same in both live on; requests that run end as they began. Of
// reloads at the same time one waits for the other. cfg is not to be changed afterwards.
func (h *Host) Reload(cfg *config.Config) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.mu.Lock()
	closed, f, old := h.closed, h.fronts, h.current
	h.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case h.yielded.Load():
		return ErrYielded
	}
	a, err := h.assemble(cfg)
	if err != nil {
		return err
	}
	if f == nil {
		h.replace(old, a)
		h.tellReload(old, a, change{})
		return nil
	}
	c, err := f.prepare(old, a)
	if err != nil {
		return errors.Join(err, a.release())
	}
	a.startBackends()
	h.replace(old, a)
	f.use(a)
	for _, o := range c.open {
		f.add(o, a)
	}
	f.retire(c.retire)
	h.tellReload(old, a, c)
	return nil
}

// change is what a reload does to the listeners.
type change struct {
	open   []opened // that are to be served
	retire []*front // that are not named any more, or whose socket is in open
	moved  int      // of those in open, the sockets that were there
}

// prepare opens what the assembly needs and is not there, and has changed nothing when it
// fails.
func (f *fronts) prepare(old, a *assembly) (c change, err error) {
	all, err := a.wanted()
	if err != nil {
		return c, err
	}
	defer func() {
		if err != nil {
			closeAll(c.open)
			c = change{}
		}
	}()
	have := f.list()
	var missing []wanted
	var kept []*front
	for _, w := range all {
		n := slices.IndexFunc(have, func(o *front) bool { return o.is(w) })
		if n < 0 {
			missing = append(missing, w)
			continue
		}
		o := have[n]
		have = slices.Delete(have, n, n+1)
		kept = append(kept, o)
		if o.fits(w, old, a) {
			continue
		}
		ln, err := copied(o.ln)
		if err != nil {
			return c, fmt.Errorf("cannot go on listening on %s: %w", w.Listen, err)
		}
		c.moved++
		c.open = append(c.open, opened{ln, o.key, Listening{Listen: w.Listen, Addr: ln.Addr()}})
		c.retire = append(c.retire, o)
	}
	fresh, err := a.listen(missing)
	if err != nil {
		return c, f.inTheWay(err, have)
	}
	c.open = append(c.open, fresh...)
	if err := reown(old, a, kept); err != nil {
		return c, err
	}
	// From here on nothing fails.
	for _, o := range c.retire {
		UnlinkOnClose(o.ln, false)
	}
	for _, o := range c.open[:c.moved] {
		UnlinkOnClose(o.ln, o.Network == "unix")
	}
	for _, o := range have { // whose file has gone: there is a new one in its place
		if slices.ContainsFunc(c.open, func(n opened) bool { return n.key == o.key }) {
			UnlinkOnClose(o.ln, false)
		}
	}
	c.retire = append(c.retire, have...)
	return c, nil
}

// is reports whether it is the socket that is wanted. A Unix socket whose file is gone is
// not: nobody can connect to it any more.
func (o *front) is(w wanted) bool {
	if o.key != w.key {
		return false
	}
	if w.Network == "unix" {
		if _, err := os.Lstat(w.Address); errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

// fits reports whether it can stay as it is. How many connections a FastCGI server says it
// takes cannot be changed while it runs.
func (o *front) fits(w wanted, old, a *assembly) bool {
	return o.Protocol == w.Protocol && (strings.HasPrefix(w.Protocol, "http") || old.config.Connections == a.config.Connections)
}

// copied is another listener on the same socket, and so on the same queue of connections.
// A Unix socket's file stays when it is closed.
func copied(ln net.Listener) (net.Listener, error) {
	f, err := CopyListener(ln)
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileListener has a copy
	return net.FileListener(f)
}

// reown gives Unix sockets that stay the owner and the permissions of the new
// configuration.
func reown(old, a *assembly, kept []*front) error {
	o, n := old.config, a.config
	if o.ListenMode == n.ListenMode && o.ListenOwner == n.ListenOwner && o.ListenGroup == n.ListenGroup {
		return nil
	}
	for i, one := range kept {
		if one.Network != "unix" {
			continue
		}
		if err := a.handOver(one.Address); err != nil {
			for _, done := range kept[:i] {
				if done.Network == "unix" {
					_ = old.handOver(done.Address)
				}
			}
			return fmt.Errorf("%s: %w", one.Listen, err)
		}
	}
	return nil
}

// inTheWay adds to the error of an address that is taken that it is so by a listener of
// our own which is to go: both cannot be open at a time.
func (f *fronts) inTheWay(err error, going []*front) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	for _, o := range going {
		if o.Network == "tcp" {
			return fmt.Errorf("%w; if it is %s that is in the way, which this configuration does not name any more: take that away in a reload of its own, before this one", err, o.Listen)
		}
	}
	return err
}

// tellReload says what the reload came to, and what of it only a restart brings about.
func (h *Host) tellReload(old, a *assembly, c change) {
	kept := 0
	h.mu.Lock()
	for _, b := range a.backends {
		if b.users > 1 {
			kept++
		}
	}
	applications := len(a.backends)
	h.mu.Unlock()
	h.log.Info("the configuration was reloaded", "sites", len(a.config.Sites),
		"applications", applications, "applications_kept", kept, "helpers_kept", a.warm == old.warm,
		"listeners_opened", len(c.open)-c.moved, "listeners_changed", c.moved, "listeners_closed", len(c.retire)-c.moved)
	if a.config.Cgroup != h.spawner.Cgroup {
		h.log.Warn("cgroup has changed, which a reload does not bring about: restart or upgrade for it", "cgroup", a.config.Cgroup, "in_force", h.spawner.Cgroup)
	}
}

// replace makes the assembly the current one.
func (h *Host) replace(old, a *assembly) {
	h.mu.Lock()
	h.current = a
	h.alive[a] = struct{}{}
	h.retire(old)
	h.mu.Unlock()
	h.traffic.keep(a)
	h.takeLog(a)
}
