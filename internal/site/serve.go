package site

import (
	"context"
	"errors"
	"time"

	"gatehouse/cgi"
)

// Serve opens the listeners, starts the workers that are to be ready, calls ready with
// what it listens on, and serves until ctx is done. Then it takes no more connections,
// waits for the requests that run, at most as long as the configuration says or until
// hurry is done, and ends what is left. Close has still to be called.
func (h *Host) Serve(ctx, hurry context.Context, ready func([]Listening)) error {
	base, cut := context.WithCancel(context.Background()) // for what the server cannot close: hijacked connections
	defer cut()
	f, err := h.open(base)
	if err != nil {
		return err
	}
	if ready != nil {
		ready(f.listening())
	}
	var failure error
	select {
	case <-ctx.Done():
	case failure = <-f.failed:
	}
	h.reloading.Lock() // one that runs is waited for, and there is none after it
	h.mu.Lock()
	h.fronts = nil
	h.mu.Unlock()
	h.reloading.Unlock()
	limit, stop := context.WithTimeout(hurry, time.Duration(h.Config().ShutdownTimeout))
	defer stop()
	if h.yielded.Load() && failure == nil {
		f.yield(limit)
	}
	err = h.shutdown(f, limit, hurry)
	f.serving.Wait()
	f.reserve.Close()
	return errors.Join(failure, err)
}

// open opens the listeners and begins to serve.
func (h *Host) open(base context.Context) (*fronts, error) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	f := newFronts(h, base)
	listeners, err := h.current.openAll()
	if err != nil {
		err = errors.Join(err, f.http.Close())
		f.serving.Wait()
		f.reserve.Close()
		return nil, err
	}
	h.current.startBackends()
	for _, o := range listeners {
		f.add(o, h.current)
	}
	h.mu.Lock()
	h.fronts = f
	h.mu.Unlock()
	return f, nil
}

// shutdown drains all servers at once until ctx is done, then cuts what has not ended.
func (h *Host) shutdown(f *fronts, ctx, hurry context.Context) error {
	servers := f.servers()
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
		err = h.idle(ctx)
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

// idle waits until no request runs any more, or ctx is done.
func (h *Host) idle(ctx context.Context) error {
	return until(ctx, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		n := 0
		for a := range h.alive {
			n += a.requests
		}
		return n == 0
	})
}

// gateway is the front half of a FastCGI or SCGI server.
func (a *assembly) gateway(believed bool) *cgi.Gateway {
	return &cgi.Gateway{Responder: a.Host, Server: a.server(believed), Refuse: a.refuse, Log: a.log}
}
