// Package site turns a configuration into a running host: it opens the listeners,
// finds for each request the site, the route and the script or file, bounds how
// much runs at once, writes the access log, and stops everything in order.
package site

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/config"
	"gatehouse/process"
)

// Options are what a configuration does not say.
type Options struct {
	// Development shows the cause of an error to whoever made the request.
	Development bool

	// Software is SERVER_SOFTWARE and the Server field.
	Software string

	// Log gets what goes wrong; nil means slog.Default.
	Log *slog.Logger

	// AccessLog gets a line for each request; nil means none.
	AccessLog io.Writer

	// WarmPatience is how long a request waits for its warm interpreter before it is
	// run cold; zero means the two seconds of process.Warm.
	WarmPatience time.Duration
}

// Host serves what a configuration says, and another one after Reload. It is an
// http.Handler, and a cgi.Responder for other fronts.
type Host struct {
	options Options
	log     *slog.Logger
	spawner *process.Exec
	shim    shimFolder
	access  *accessLog
	toFront bool // what programs write to their standard error goes to FastCGI fronts as well

	reloading sync.Mutex // held by who makes an assembly or ends one

	mu      sync.Mutex
	current *assembly              // never nil
	alive   map[*assembly]struct{} // it, and those that still have requests
	fronts  *fronts                // nil unless Serve runs
	closed  bool
	ending  sync.WaitGroup // of those that are no longer the current one
	failed  []error        // of their ends, when closed
}

// New prepares everything that cfg names, and starts nothing. What the machine
// lacks is reported all together. Close the Host when done.
func New(cfg *config.Config, o Options) (*Host, error) {
	h := &Host{options: o, log: o.Log}
	if h.log == nil {
		h.log = slog.Default()
	}
	h.spawner = &process.Exec{Tag: "UNIQUE_ID", Cgroup: cfg.Cgroup, Log: h.log, Starts: runtime.NumCPU()}
	h.access = newAccessLog(o.AccessLog)
	a, err := h.assemble(cfg)
	if err != nil {
		h.access.close()
		return nil, errors.Join(err, h.shim.remove())
	}
	h.current, h.alive = a, map[*assembly]struct{}{a: {}}
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.enter()
	if a == nil { // Serve has cut its connection meanwhile
		panic(http.ErrAbortHandler)
	}
	defer h.leave(a)
	a.handler.ServeHTTP(w, r)
}

// enter counts a request that Close waits for, and returns what answers it; nil when
// it is too late for that. leave has to be called.
func (h *Host) enter() *assembly {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.current.requests++
	return h.current
}

func (h *Host) leave(a *assembly) {
	h.mu.Lock()
	a.requests--
	last := a.requests == 0 && a.unused != nil
	h.mu.Unlock()
	if last {
		close(a.unused)
	}
}

// Respond implements cgi.Responder; errors come back as pages.
func (h *Host) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	a := h.enter()
	if a == nil {
		return nil, &cgi.Error{Kind: cgi.Busy, Reason: "the host is being closed"}
	}
	resp, err := a.outer.Respond(ctx, req)
	if err != nil {
		h.leave(a)
		return nil, err
	}
	resp.OnClose(func() { h.leave(a) })
	return resp, nil
}

// Config is the configuration in force, which is not to be changed.
func (h *Host) Config() *config.Config { return h.inForce().config }

func (h *Host) inForce() *assembly {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// Close ends every process that is left, waits for the requests, which then end,
// and lets go of the sites' folders. ServeHTTP then aborts its connection.
func (h *Host) Close() error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.retire(h.current)
	var work []func() error
	for a := range h.alive {
		work = append(work, a.ends()...)
	}
	h.mu.Unlock()
	err := errors.Join(sideBySide(work), h.spawner.Close())
	h.ending.Wait()
	h.access.close()
	return errors.Join(err, errors.Join(h.failed...), h.shim.remove())
}
