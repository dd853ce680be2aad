package site

import (
	"context"
	"errors"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/internal/config"
	"gatehouse/process"
)

// assembly is one configuration at work. A reload makes another, which takes over
// the applications and helpers that are the same; the old one lives until its last
// request has ended.
type assembly struct {
	*Host
	config  *config.Config
	warm    *helpers
	sites   sites
	turns   map[string]*turns
	handler *cgi.Handler
	outer   cgi.Responder
	before  *assembly // while it is made: the one that it follows; nil for the first

	backends   []*backend
	byIdentity map[string]*backend
	starting   sync.WaitGroup // what startBackends has begun

	// With Host.mu held:
	requests int           // that it answers
	unused   chan struct{} // made when another has taken its place, closed when no request is left
}

// assemble makes an assembly that follows the current one, and starts nothing.
func (h *Host) assemble(cfg *config.Config) (*assembly, error) {
	a := &assembly{Host: h, config: cfg, turns: make(map[string]*turns), byIdentity: make(map[string]*backend), before: h.current}
	a.useHelpers()
	var errs []error
	for n := range cfg.Sites {
		s, err := a.newSite(&cfg.Sites[n])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.sites.add(s)
	}
	a.before = nil
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, a.release())
	}
	a.outer = a.wrap(cgi.FollowLocal(&a.sites))
	a.handler = &cgi.Handler{Responder: a.outer, Server: a.server(cfg.TrustUnix), Refuse: a.refuse}
	return a, nil
}

// server makes the variables of requests. trustUnix says whether peers on Unix sockets
// may tell who the client is; those on TCP may by their addresses.
func (a *assembly) server(trustUnix bool) *environ.Server {
	return &environ.Server{
		Software: a.options.Software, Name: a.sites.name(),
		Trusted: a.config.Trusted, TrustUnix: trustUnix,
	}
}

// refuse answers a request that never became one.
func (a *assembly) refuse(e *cgi.Error) cgi.Responder {
	return a.wrap(cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) { return nil, e }))
}

// wrap puts around next what every request passes: the access log, and the pages
// for errors.
func (a *assembly) wrap(next cgi.Responder) cgi.Responder {
	return a.access.wrap(&errorPages{next: next, development: a.options.Development})
}

// respondWith has it answer every request by r, in place of its sites.
func (a *assembly) respondWith(r cgi.Responder) {
	a.outer = a.wrap(r)
	a.handler.Responder = a.outer
}

// kept returns the application of that identity, if the assembly before has it.
func (a *assembly) kept(identity string) *backend {
	if a.before == nil || identity == "" {
		return nil
	}
	b := a.before.byIdentity[identity]
	if b != nil {
		a.use(b)
	}
	return b
}

// use adds an application, to be ended when no assembly uses it any more.
func (a *assembly) use(b *backend) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.users++
	a.backends = append(a.backends, b)
	a.byIdentity[b.identity] = b
}

// helpers are the interpreters for warm scripts.
type helpers struct {
	*process.Warm
	shared
}

// shared is what assemblies have in common and ends once: with the last of them, or
// with the Host.
type shared struct {
	users int // assemblies; with Host.mu held
	end   func() error
}

// useHelpers takes over those of the assembly before, unless they are to be others.
func (a *assembly) useHelpers() {
	if b := a.before; b != nil && b.config.Helpers == a.config.Helpers {
		a.warm = b.warm
	} else {
		w := a.newWarm(&a.config.Helpers)
		a.warm = &helpers{Warm: w, shared: shared{end: sync.OnceValue(w.Close)}}
	}
	a.mu.Lock()
	a.warm.users++
	a.mu.Unlock()
}

// turnsOf are the turns of a route. Requests of the assembly before still have theirs:
// where the limits are the same, both wait in one queue.
func (a *assembly) turnsOf(key string, l *config.Limits) *turns {
	t := newTurns(l.Processes, l.Queue, time.Duration(l.QueueTimeout))
	if a.before != nil {
		if old := a.before.turns[key]; old.same(t) {
			t = old
		}
	}
	a.turns[key] = t
	return t
}

// retire has the assembly end with its last request, in a goroutine that Close waits
// for. mu is held.
func (h *Host) retire(a *assembly) {
	a.unused = make(chan struct{})
	if a.requests == 0 {
		close(a.unused)
	}
	h.ending.Go(func() {
		<-a.unused
		err := a.release()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.alive, a)
		switch {
		case err == nil:
		case h.closed:
			h.failed = append(h.failed, err)
		default:
			h.log.Warn("a configuration that is no longer in force did not end properly", "error", err)
		}
	})
}

// release ends what no other assembly uses, and lets go of the sites' folders.
func (a *assembly) release() error {
	var work []func() error
	a.mu.Lock()
	for _, b := range a.backends {
		if b.users--; b.users == 0 {
			work = append(work, b.shared.end)
		}
	}
	if a.warm.users--; a.warm.users == 0 {
		work = append(work, a.warm.end)
	}
	a.mu.Unlock()
	err := sideBySide(work)
	a.starting.Wait()
	return errors.Join(err, a.sites.close())
}

// ends are what ends all that the assembly uses, whoever else does.
func (a *assembly) ends() (work []func() error) {
	for _, b := range a.backends {
		work = append(work, b.shared.end)
	}
	return append(work, a.warm.end)
}

// sideBySide does the work side by side.
func sideBySide(work []func() error) error {
	errs := make([]error, len(work))
	var wg sync.WaitGroup
	for n, do := range work {
		wg.Go(func() { errs[n] = do() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
