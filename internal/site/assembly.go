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
	secure  *secure
	before  *assembly // while it is made: the one that it follows; nil for the first

	faults config.Errors   // what the machine lacks, while it is made
	spools map[string]bool // the folders for temporary files that have been looked at
	known  known

	lists     map[*config.Access]*access
	auths     map[config.BasicAuth]*basicAuth
	passwords map[string]*passwords // by file

	backends   []*backend
	byIdentity map[string]*backend
	tallies    map[place]*tally
	errorLogs  errorLogs
	accesses   accessLogs
	starting   sync.WaitGroup // what startBackends has begun

	// With Host.mu held:
	requests int           // that it answers
	unused   chan struct{} // made when another has taken its place, closed when no request is left
}

// assemble makes an assembly that follows the current one, and starts nothing.
func (h *Host) assemble(cfg *config.Config) (*assembly, error) {
	a := &assembly{Host: h, config: cfg, turns: make(map[string]*turns), byIdentity: make(map[string]*backend), tallies: make(map[place]*tally), before: h.current}
	a.useHelpers()
	a.openErrorLogs()
	for n := range cfg.Sites {
		a.sites.add(a.newSite(&cfg.Sites[n]))
	}
	if !h.options.Trial {
		a.useTLS()
		a.checkServer()
	}
	if h.options.also != nil {
		h.options.also(a)
	}
	a.before = nil
	if len(a.faults) > 0 {
		a.checkListen()
		return nil, errors.Join(a.faults.Sorted(), a.release())
	}
	a.spools, a.known = nil, known{}
	a.openAccessLogs()
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

// wrap puts around next what every request passes: the access log, what counts and ends
// requests, the header fields that all answers have, and the pages for errors.
func (a *assembly) wrap(next cgi.Responder) cgi.Responder {
	return a.logged(a.traffic.wrap(a.finish(&errorPages{next: ending(next), development: a.options.Development})))
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
		h.retired(a, a.release())
		if h.options.Retired != nil {
			h.ending.Go(h.options.Retired) // not here, where the assembly may count as used
		}
	})
}

// retired forgets an assembly that has ended.
func (h *Host) retired(a *assembly, err error) {
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
	if g := a.secure.fetcher(); g != nil {
		if g.users--; g.users == 0 {
			work = append(work, g.end)
		}
	}
	work = append(work, a.secure.stop)
	a.mu.Unlock()
	err := sideBySide(work)
	a.starting.Wait()
	a.accesses.drop()
	a.errorLogs.drop()
	return errors.Join(err, a.sites.close())
}

// ends are what ends all that the assembly uses, whoever else does.
func (a *assembly) ends() (work []func() error) {
	for _, b := range a.backends {
		work = append(work, b.shared.end)
	}
	if g := a.secure.fetcher(); g != nil {
		work = append(work, g.end)
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
