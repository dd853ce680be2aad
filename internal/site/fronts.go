package site

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
	"gatehouse/internal/config"
	"gatehouse/scgi"
)

// server is one of *http.Server, *fastcgi.Server and *scgi.Server.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// fronts are the listeners of one Serve and the servers behind them. They outlive
// configurations: one that does not name a listener any more has it closed.
type fronts struct {
	host    *Host
	places  *places
	reserve *Reserve
	http    *http.Server
	inside  *insideListener
	failed  chan error // of a listener that has not been closed
	serving sync.WaitGroup

	mu  sync.Mutex
	all []*front
}

// front is a listener and its server.
type front struct {
	opened
	server  server
	door    net.Listener                // ln with all that stands in front of the server
	bounded *bounded                    // what in it bounds the connections
	gateway atomic.Pointer[cgi.Gateway] // of the configuration in force; HTTP has no need of it
	closing atomic.Bool
	over    atomic.Bool // nothing is accepted any more
}

func newFronts(h *Host, base context.Context) *fronts {
	f := &fronts{host: h, places: newPlaces(h.most(h.current.config.Connections)), reserve: NewReserve(reserved), failed: make(chan error, 1)}
	f.inside = newInsideListener()
	f.http = &http.Server{ // E30, E31
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    48 << 10, // the strict listener's limits are tighter
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
		ConnState:         f.places.connState,
		ConnContext:       cgi.CountRequests,
		BaseContext: func(ln net.Listener) context.Context {
			if ln == f.inside {
				return context.WithValue(base, insideKey{}, true)
			}
			return f.through(base, ln)
		},
	}
	speakHTTP2(f.http)
	f.serving.Go(func() { _ = f.http.Serve(f.inside) }) // until the server is shut down
	return f
}

// add begins to serve on a listener: what stands in front of it bounds the connections.
func (f *fronts) add(o opened, a *assembly) {
	one := &front{opened: o}
	one.use(a)
	most := f.places.size()
	ln := f.reserve.refusing(o.ln, f.turnAway(o.Protocol), f.host.log)
	one.bounded = f.places.counted(ln)
	one.door = one.bounded
	switch h := f.host; o.Protocol {
	case "fastcgi":
		one.server = &fastcgi.Server{Gateway: one, Log: h.log, MaxConns: most, MaxReqs: most, Stderr: h.toFront}
	case "scgi":
		one.server = &scgi.Server{Gateway: one, Log: h.log, MaxConns: most}
	default:
		one.server = f.http
		one.bounded = f.places.bound(ln)
		one.door = f.speaksHTTP(one.bounded, o.Protocol)
	}
	f.mu.Lock()
	f.all = append(f.all, one)
	f.mu.Unlock()
	f.serving.Go(func() {
		err := one.server.Serve(one.door)
		one.over.Store(true)
		if !one.closing.Load() {
			select {
			case f.failed <- err:
			default:
			}
		}
	})
}

// frontKey finds in the context of a request over HTTP the *front that it came through.
type frontKey struct{}

// through is the context of what comes through a door.
func (f *fronts) through(base context.Context, door net.Listener) context.Context {
	for _, o := range f.list() {
		if o.door == door {
			return context.WithValue(base, frontKey{}, o)
		}
	}
	return base
}

// lastOfItsConnection reports whether no more requests are to come on the connection of
// this one, since its listener is closed.
func lastOfItsConnection(r *http.Request) bool {
	o, ok := r.Context().Value(frontKey{}).(*front)
	return ok && o.closing.Load()
}

// Serve answers a request by the configuration in force.
func (o *front) Serve(ctx context.Context, in *cgi.Incoming) (status int, whole bool) {
	return o.gateway.Load().Serve(ctx, in)
}

// use has all requests from now on answered by the assembly.
func (f *fronts) use(a *assembly) {
	f.places.resize(a.most(a.config.Connections))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.all {
		o.use(a)
	}
}

func (o *front) use(a *assembly) {
	o.Believed = a.believes(o.Addr)
	o.gateway.Store(a.gateway(o.Believed))
}

// has reports whether there is a listener for an address.
func (f *fronts) has(l config.Listen) bool {
	return slices.ContainsFunc(f.list(), func(o *front) bool {
		return o.Network == l.Network && o.Address == l.Address
	})
}

// close takes no more connections; those that are open go on.
func (o *front) close() {
	o.closing.Store(true)
	_ = o.door.Close()
}

// list is what there is now.
func (f *fronts) list() []*front {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

// retire closes listeners. The connections that they have accepted end with the requests
// on them; those of HTTP each with its next response, or when it has been idle for as long
// as it may: who closes an idle one loses the request that is on its way.
func (f *fronts) retire(those []*front) {
	gone := make(map[*front]bool)
	for _, o := range those {
		gone[o] = true
		o.close()
		if o.server != f.http {
			f.serving.Go(func() { f.drain(o) })
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var kept []*front
	for _, o := range f.all {
		if !gone[o] {
			kept = append(kept, o)
		}
	}
	f.all = kept
}

// drain ends a server of its own whose listener is closed. The connections that were
// accepted have their requests answered first, however late these come.
func (f *fronts) drain(o *front) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(f.host.Config().ShutdownTimeout))
	defer cancel()
	_ = until(ctx, func() bool {
		closeIdle(o.server)
		return o.over.Load() && o.bounded.open.Load() == 0
	})
	if o.server.Shutdown(ctx) != nil {
		_ = o.server.Close()
	}
}

// leastIdle is how long a FastCGI connection has brought nothing when it is closed because
// its listener is: that protocol has no word for it, and what is on its way then is lost.
const leastIdle = 250 * time.Millisecond

func closeIdle(s server) {
	if s, ok := s.(*fastcgi.Server); ok {
		s.CloseIdle(leastIdle)
	}
}

// yield closes all listeners, whose sockets another process has as well, and waits until
// the connections have ended: those of HTTP each with its next response, or when it has
// been idle for as long as it may. To close one that is idle would lose a request that is
// on its way.
func (f *fronts) yield(ctx context.Context) {
	all := f.list()
	for _, o := range all {
		o.close()
	}
	_ = until(ctx, func() bool {
		accepts := false
		for _, o := range all {
			closeIdle(o.server)
			accepts = accepts || !o.over.Load()
		}
		return !accepts && f.places.taken() == 0
	})
}

// until waits until done reports true, or ctx is done, whose error it returns then.
func until(ctx context.Context, done func() bool) error {
	for pause := time.Millisecond; !done(); pause = min(2*pause, 50*time.Millisecond) {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// listening tells what there is.
func (f *fronts) listening() (list []Listening) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.all {
		list = append(list, o.Listening)
	}
	return list
}

// servers are all that there are, each once.
func (f *fronts) servers() []server {
	all := []server{f.http}
	for _, o := range f.list() {
		o.closing.Store(true)
		if o.server != f.http {
			all = append(all, o.server)
		}
	}
	return all
}
