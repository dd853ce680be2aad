package site

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
	"gatehouse/scgi"
)

// server is one of *http.Server, *fastcgi.Server and *scgi.Server.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// Serve opens the listeners, starts the workers that are to be ready, calls ready with
// what it listens on, and serves until ctx is done. Then it takes no more connections,
// waits for the requests that run, at most as long as the configuration says or until
// hurry is done, and ends what is left. Close has still to be called.
func (h *Host) Serve(ctx, hurry context.Context, ready func([]Listening)) error {
	listeners, err := h.listen()
	if err != nil {
		return err
	}
	h.startBackends()
	base, cut := context.WithCancel(context.Background()) // for what the server cannot close: hijacked connections
	defer cut()
	var running sync.WaitGroup
	fronts := h.fronts(base, &running)
	failed := make(chan error, len(listeners))
	var wg sync.WaitGroup
	var list []Listening
	for _, o := range listeners {
		list = append(list, o.Listening)
		s, ln := fronts.of(&o)
		wg.Go(func() { failed <- s.Serve(ln) })
	}
	if ready != nil {
		ready(list)
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-failed:
	}
	err = h.shutdown(fronts.all, &running, hurry)
	wg.Wait()
	return errors.Join(failure, err)
}

// fronts are the servers of one Serve, made as listeners need them.
type fronts struct {
	host   *Host
	places places
	http   *http.Server
	all    []server
}

func (h *Host) fronts(base context.Context, running *sync.WaitGroup) *fronts {
	f := &fronts{host: h, places: make(places, h.config.Connections), http: h.server(running)}
	f.http.ConnState = f.places.connState
	f.http.BaseContext = func(net.Listener) context.Context { return base }
	f.all = []server{f.http}
	return f
}

// of returns the server for a listener, and what that is to accept from: what stands
// in front of it bounds the connections.
func (f *fronts) of(o *opened) (server, net.Listener) {
	var s server
	switch o.Protocol {
	case "fastcgi":
		most := f.host.config.Connections
		s = &fastcgi.Server{Gateway: f.host.gateway(o.Believed), Log: f.host.log, MaxConns: most, MaxReqs: most, Stderr: f.host.toFront}
	case "scgi":
		s = &scgi.Server{Gateway: f.host.gateway(o.Believed), Log: f.host.log, MaxConns: f.host.config.Connections}
	default:
		return f.http, cgi.StrictListener(f.places.bound(o.ln), cgi.StrictLimits{Refused: f.host.access.refused})
	}
	f.all = append(f.all, s)
	return s, f.places.counted(o.ln)
}

// server is the HTTP server in front (E30, E31). Its requests are counted in running.
func (h *Host) server(running *sync.WaitGroup) *http.Server {
	counted := func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		h.ServeHTTP(w, r)
	}
	return &http.Server{
		Handler:           http.HandlerFunc(counted),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    48 << 10, // the strict listener's limits are tighter
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
}

// gateway is the front half of a FastCGI or SCGI server. believed says whether peers on
// its Unix sockets may tell who the client is; those on TCP may by their addresses.
func (h *Host) gateway(believed bool) *cgi.Gateway {
	return &cgi.Gateway{
		Responder: cgi.ResponderFunc(h.counted),
		Server: &environ.Server{
			Software: h.options.Software, Name: h.sites.name(),
			Trusted: h.config.Trusted, TrustUnix: believed,
		},
		Refuse: h.refuse,
		Log:    h.log,
	}
}

// counted answers a request that Close waits for.
func (h *Host) counted(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	if !h.enter() {
		return nil, &cgi.Error{Kind: cgi.Busy, Reason: "the host is being closed"}
	}
	resp, err := h.outer.Respond(ctx, req)
	if err != nil {
		h.running.Done()
		return nil, err
	}
	resp.OnClose(h.running.Done)
	return resp, nil
}

// shutdown drains all servers at once, then cuts what has not ended.
func (h *Host) shutdown(servers []server, running *sync.WaitGroup, hurry context.Context) error {
	ctx, cancel := context.WithTimeout(hurry, time.Duration(h.config.ShutdownTimeout))
	defer cancel()
	errs := make(chan error, len(servers))
	for _, s := range servers {
		go func() { errs <- s.Shutdown(ctx) }() // returns when ctx is done at the latest
	}
	var err error
	for range servers {
		if e := <-errs; e != nil {
			err = e
		}
	}
	if err == nil { // the HTTP server does not wait for connections that were hijacked (A95)
		err = waitFor(ctx, running)
	}
	if err == nil {
		return nil
	}
	h.log.Warn("not all requests have ended in time", "processes", h.spawner.Live())
	if hurry.Err() != nil {
		h.spawner.Kill()
	}
	var closed []error
	for _, s := range servers {
		closed = append(closed, s.Close())
	}
	return errors.Join(closed...)
}

// waitFor waits until nothing runs any more, or ctx is done.
func waitFor(ctx context.Context, running *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { // ends when the last request does, which Host.Close sees to
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
