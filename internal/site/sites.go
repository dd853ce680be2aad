package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

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

func (a *assembly) newSite(c *config.Site) (*site, error) {
	s := &site{config: c, name: "default"}
	if len(c.Hosts) > 0 {
		s.name = c.Hosts[0]
	}
	var errs []error
	if c.Root != "" {
		root, err := os.OpenRoot(c.Root)
		if err != nil {
			errs = append(errs, a.trouble(c, c.Line, "root", err))
		}
		s.root = root
	}
	s.static = &static{site: s, root: s.root, listing: c.Listing}
	for n := range c.Routes {
		rc := &c.Routes[n]
		r, err := a.newRoute(s, rc)
		if err != nil {
			errs = append(errs, a.trouble(c, rc.Line, "route "+rc.Path, err))
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
func (a *assembly) trouble(c *config.Site, line int, what string, err error) error {
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
