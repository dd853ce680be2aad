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
	"sync/atomic"
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

	// Log gets what goes wrong; nil means the error log of the configuration, whose
	// "stderr" is Stderr, or, where that is nil, this process's standard error.
	Log    *slog.Logger
	Stderr io.Writer

	// AccessLog is what "stderr" means for an access log; nil means none is written.
	AccessLog io.Writer

	// WarmPatience is how long a request waits for its warm interpreter before it is
	// run cold; zero means the two seconds of process.Warm.
	WarmPatience time.Duration

	// Trial says that Serve will not be called, but Try or Explain: what only Serve
	// needs is not looked at, and a script that cannot be run is no mistake.
	Trial bool

	// Retired is called when a configuration that another has replaced has ended, and is
	// gone; nil for nobody. Close waits for it.
	Retired func()

	also func(*assembly) // what is to be checked besides
}

// Host serves what a configuration says, and another one after Reload. It is an
// http.Handler, and a cgi.Responder for other fronts.
type Host struct {
	options Options
	log     *slog.Logger
	spawner *process.Exec
	shim    shimFolder
	checks  *limiter // of passwords
	folders folders
	logs    logs
	taken   takenIDs
	slow    slowWatch
	traffic *traffic
	toFront bool // what programs write to their standard error goes to FastCGI fronts as well

	reloading sync.Mutex  // held by who makes an assembly or ends one
	yielded   atomic.Bool // another process serves on the same sockets

	mu      sync.Mutex
	current *assembly              // never nil
	alive   map[*assembly]struct{} // it, and those that still have requests
	fronts  *fronts                // nil unless Serve runs
	closed  bool
	ending  sync.WaitGroup // of those that are no longer the current one
	failed  []error        // of their ends, when closed

	errorLog  *errorLog // nil where Options.Log is used
	errorFile *logFile  // the one that it writes to
}

// New prepares everything that cfg names, and starts nothing. What the machine
// lacks is reported all together. Close the Host when done.
func New(cfg *config.Config, o Options) (*Host, error) {
	h := &Host{options: o, log: o.Log}
	if h.log == nil {
		h.errorLog = newErrorLog()
		h.log = slog.New(h.errorLog)
	}
	h.logs.log = h.log
	h.spawner = &process.Exec{Tag: "UNIQUE_ID", Cgroup: cfg.Cgroup, Log: h.log, Starts: runtime.NumCPU()}
	h.traffic = newTraffic()
	h.checks = newChecks()
	a, err := h.assemble(cfg)
	if err != nil {
		return nil, errors.Join(err, h.shim.remove())
	}
	h.current, h.alive = a, map[*assembly]struct{}{a: {}}
	h.traffic.keep(a)
	h.takeLog(a)
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fromInside(r) {
		h.answerInside(w, r)
		return
	}
	if lastOfItsConnection(r) { // HTTP/2 sends GOAWAY for it
		w.Header().Set("Connection", "close")
	}
	a := h.enter()
	if a == nil { // Serve has cut its connection meanwhile
		panic(http.ErrAbortHandler)
	}
	defer h.leave(a)
	if a.secure.answers(r) {
		a.secure.authority.answer.ServeHTTP(w, r)
		return
	}
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

// Log is where what goes wrong is told: Options.Log, or the error log of whichever
// configuration is in force. What is told after Close goes nowhere.
func (h *Host) Log() *slog.Logger { return h.log }

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
	h.slow.close()
	h.ending.Wait()
	if h.errorLog != nil {
		h.errorLog.set(slog.DiscardHandler)
		h.errorFile.drop()
	}
	return errors.Join(err, errors.Join(h.failed...), h.shim.remove())
}
