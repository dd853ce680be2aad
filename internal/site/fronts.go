package site

import (
	"context"
	"log/slog"
	"net"
	"net/http"
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
	places  places
	http    *http.Server
	failed  chan error // of a listener that has not been closed
	serving sync.WaitGroup

	mu  sync.Mutex
	all []*front
}

// front is a listener and its server.
type front struct {
	opened
	server  server
	gateway atomic.Pointer[cgi.Gateway] // of the configuration in force; HTTP has no need of it
	closing atomic.Bool
}

func newFronts(h *Host, base context.Context) *fronts {
	f := &fronts{host: h, places: make(places, h.current.config.Connections), failed: make(chan error, 1)}
	f.http = &http.Server{ // E30, E31
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    48 << 10, // the strict listener's limits are tighter
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
		ConnState:         f.places.connState,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	return f
}

// add begins to serve on a listener: what stands in front of it bounds the connections.
func (f *fronts) add(o opened, a *assembly) {
	one := &front{opened: o}
	one.use(a)
	most := cap(f.places)
	ln := f.places.counted(o.ln)
	switch h := f.host; o.Protocol {
	case "fastcgi":
		one.server = &fastcgi.Server{Gateway: one, Log: h.log, MaxConns: most, MaxReqs: most, Stderr: h.toFront}
	case "scgi":
		one.server = &scgi.Server{Gateway: one, Log: h.log, MaxConns: most}
	default:
		one.server = f.http
		ln = cgi.StrictListener(f.places.bound(o.ln), cgi.StrictLimits{Refused: h.access.refused})
	}
	one.ln = ln
	f.mu.Lock()
	f.all = append(f.all, one)
	f.mu.Unlock()
	f.serving.Go(func() {
		if err := one.server.Serve(ln); !one.closing.Load() {
			select {
			case f.failed <- err:
			default:
			}
		}
	})
}

// Serve answers a request by the configuration in force.
func (o *front) Serve(ctx context.Context, in *cgi.Incoming) (status int, whole bool) {
	return o.gateway.Load().Serve(ctx, in)
}

// use has all requests from now on answered by the assembly.
func (f *fronts) use(a *assembly) {
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
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.all {
		if sameAddress(o.Listen, l) && o.Protocol == l.Protocol {
			return true
		}
	}
	return false
}

func sameAddress(a, b config.Listen) bool { return a.Network == b.Network && a.Address == b.Address }

// keep closes the listeners that the configuration does not name. Their connections end
// with the requests on them; those of HTTP go on.
func (f *fronts) keep(list []config.Listen) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var kept []*front
	for _, o := range f.all {
		named := false
		for _, l := range list {
			named = named || sameAddress(o.Listen, l) && o.Protocol == l.Protocol
		}
		if named {
			kept = append(kept, o)
			continue
		}
		o.closing.Store(true)
		_ = o.ln.Close()
		if o.server != f.http {
			f.serving.Go(func() { f.drain(o.server) })
		}
	}
	f.all = kept
}

// drain ends a server of its own whose listener is closed.
func (f *fronts) drain(s server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(f.host.Config().ShutdownTimeout))
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
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
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []server{f.http}
	for _, o := range f.all {
		o.closing.Store(true)
		if o.server != f.http {
			all = append(all, o.server)
		}
	}
	return all
}
