// Package site turns a configuration into a running host: it opens the listeners,
// finds for each request the site, the route and the script or file, bounds how
// much runs at once, writes the access log, and stops everything in order.
package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
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

// Host is a configuration at work. It is an http.Handler, and a cgi.Responder for
// other fronts.
type Host struct {
	config  *config.Config
	options Options
	log     *slog.Logger

	spawner  *process.Exec
	warm     *process.Warm // in front of spawner
	sites    sites
	backends []*backend
	shim     shimFolder
	toFront  bool // what programs write to their standard error goes to FastCGI fronts as well
	handler  *cgi.Handler
	outer    cgi.Responder

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // requests; added to with mu held

	starting sync.WaitGroup // what startBackends has begun

	access *accessLog
}

// New prepares everything that cfg names, and starts nothing. What the machine
// lacks is reported all together. Close the Host when done.
func New(cfg *config.Config, o Options) (*Host, error) {
	h := &Host{config: cfg, options: o, log: o.Log}
	if h.log == nil {
		h.log = slog.Default()
	}
	h.spawner = &process.Exec{Tag: "UNIQUE_ID", Cgroup: cfg.Cgroup, Log: h.log, Starts: runtime.NumCPU()}
	h.warm = h.newWarm(&cfg.Helpers)
	var errs []error
	for n := range cfg.Sites {
		s, err := h.newSite(&cfg.Sites[n])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		h.sites.add(s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, h.sites.close(), h.shim.remove())
	}
	h.access = newAccessLog(o.AccessLog)
	h.outer = h.wrap(cgi.FollowLocal(&h.sites))
	h.handler = &cgi.Handler{
		Responder: h.outer,
		Server: &environ.Server{
			Software: o.Software, Name: h.sites.name(),
			Trusted: cfg.Trusted, TrustUnix: cfg.TrustUnix,
		},
		Refuse: h.refuse,
	}
	return h, nil
}

// refuse answers a request that never became one.
func (h *Host) refuse(e *cgi.Error) cgi.Responder {
	return h.wrap(cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) { return nil, e }))
}

// wrap puts around next what every request passes: the access log, and the pages
// for errors.
func (h *Host) wrap(next cgi.Responder) cgi.Responder {
	return h.access.wrap(&errorPages{next: next, development: h.options.Development})
}

// ServeHTTP implements http.Handler.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() { // Serve has cut its connection meanwhile
		panic(http.ErrAbortHandler)
	}
	defer h.running.Done()
	h.handler.ServeHTTP(w, r)
}

// enter counts a request that Close waits for; false when it is too late for that.
func (h *Host) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.running.Add(1)
	return true
}

// Respond implements cgi.Responder; errors come back as pages.
func (h *Host) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	return h.outer.Respond(ctx, req)
}

// Close ends every process that is left, waits for the requests, which then end,
// and lets go of the sites' folders. ServeHTTP then aborts its connection.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	err := errors.Join(h.endBackends(), h.warm.Close(), h.spawner.Close())
	h.running.Wait()
	h.access.close()
	return errors.Join(err, h.sites.close(), h.shim.remove())
}

// endBackends ends the applications all at once.
func (h *Host) endBackends() error {
	errs := make([]error, len(h.backends))
	var wg sync.WaitGroup
	for n, b := range h.backends {
		wg.Go(func() { errs[n] = b.end() })
	}
	wg.Wait()
	h.starting.Wait()
	return errors.Join(errs...)
}

// sites finds a site by its host's name.
type sites struct {
	exact    map[string]*site
	wildcard map[string]*site // by what follows "*"
	others   *site            // for every other name; nil when there is none
	all      []*site
}

func (ss *sites) add(s *site) {
	if ss.exact == nil {
		ss.exact, ss.wildcard = make(map[string]*site), make(map[string]*site)
	}
	ss.all = append(ss.all, s)
	for _, host := range s.config.Hosts {
		if tail, ok := strings.CutPrefix(host, "*"); ok {
			ss.wildcard[tail] = s
		} else {
			ss.exact[host] = s
		}
	}
	if len(s.config.Hosts) == 0 {
		ss.others = s
	}
}

// find returns the site for a host name, which has been validated (E26), or nil.
func (ss *sites) find(host string) *site {
	host = strings.ToLower(host)
	if s := ss.exact[host]; s != nil {
		return s
	}
	for n := range len(host) { // the longest wildcard first
		if host[n] == '.' {
			if s := ss.wildcard[host[n:]]; s != nil {
				return s
			}
		}
	}
	return ss.others
}

// name is the SERVER_NAME of a request that names no host.
func (ss *sites) name() string {
	for _, s := range ss.all {
		for _, host := range s.config.Hosts {
			if !strings.HasPrefix(host, "*") {
				return host
			}
		}
	}
	return ""
}

// Respond hands the request to its site.
func (ss *sites) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	host := req.Env.Get("SERVER_NAME")
	s := ss.find(host)
	if s == nil {
		return nil, noSite(host)
	}
	return s.Respond(ctx, req)
}

func noSite(host string) error {
	return &cgi.Error{Kind: cgi.NotFound, Status: http.StatusMisdirectedRequest, Reason: fmt.Sprintf("no site is configured for the host %q", host)}
}

func (ss *sites) close() error {
	var errs []error
	for _, s := range ss.all {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// site is one [[site]] at work.
type site struct {
	config  *config.Site
	name    string
	root    *os.Root // nil when it has none
	routes  routes
	scripts []string // real paths of scripts, and of folders of them with "/" at their end: never shown
	static  *static  // the files of root
}

func (h *Host) newSite(c *config.Site) (*site, error) {
	s := &site{config: c, name: "default"}
	if len(c.Hosts) > 0 {
		s.name = c.Hosts[0]
	}
	var errs []error
	if c.Root != "" {
		root, err := os.OpenRoot(c.Root)
		if err != nil {
			errs = append(errs, h.trouble(c, c.Line, "root", err))
		}
		s.root = root
	}
	s.static = &static{site: s, root: s.root, listing: c.Listing}
	for n := range c.Routes {
		rc := &c.Routes[n]
		r, err := h.newRoute(s, rc)
		if err != nil {
			errs = append(errs, h.trouble(c, rc.Line, "route "+rc.Path, err))
			continue
		}
		s.routes.add(r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// trouble says where in the configuration something is that the machine refuses.
func (h *Host) trouble(c *config.Site, line int, what string, err error) error {
	if c.File == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s:%d: %s: %w", c.File, line, what, err)
}

func (s *site) close() error {
	var errs []error
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	for _, r := range s.routes.all {
		if r.root != nil {
			errs = append(errs, r.root.Close())
		}
	}
	return errors.Join(errs...)
}

// times are the limits of a program's process.
func times(l *config.Limits) cgi.Times {
	return cgi.Times{
		Header: time.Duration(l.HeaderTimeout), Idle: time.Duration(l.IdleTimeout),
		Total: time.Duration(l.Timeout), Stdin: time.Duration(l.StdinTimeout),
		Linger: atOnce(l.Linger), Grace: atOnce(l.KillGrace),
	}
}
