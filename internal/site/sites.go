package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	ownLogs  bool // some do not have the server's
}

// defaultSite is the name of a site that has none.
const defaultSite = "default"

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

// name is the SERVER_NAME of a request that names no host. Where a site is for every
// host, it is that site's, by whatever name: never another one's (E26).
func (ss *sites) name() string {
	if ss.others != nil {
		return ""
	}
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
	scopeOf(ctx).enter(s, &s.terms)
	if req.Account != nil {
		req.Account.Site = s.name
	}
	if s.toHTTPS != nil {
		if resp := s.toHTTPS(req); resp != nil {
			return s.elsewhere(ctx, req, resp), nil
		}
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
	root    *folder // nil when it has none
	routes  routes
	unseen  []string                         // real paths of scripts, folders of them with "/" at their end, and files of passwords
	static  *static                          // the files of root
	toHTTPS func(*cgi.Request) *cgi.Response // answers what did not come over TLS; nil: nothing does
	tally   *tally                           // of what no route answers
	terms   terms                            // of the same
	log     *siteLog

	sending map[string]*folder // for sendfile, by name
}

// newSite prepares a site, and reports what it lacks.
func (a *assembly) newSite(c *config.Site) *site {
	s := &site{config: c, name: defaultSite}
	if len(c.Hosts) > 0 {
		s.name = c.Hosts[0]
	}
	s.tally = a.tallyOf(s.name, filesRoute)
	if c.Root != "" {
		root, err := a.folders.folder(c.Root)
		if err != nil {
			a.report(c, nil, folderLack("root", c.Root, err))
		}
		s.root = root
	}
	s.static = &static{site: s, root: s.root, listing: c.Listing, precompressed: c.Precompressed}
	if c.RedirectToHTTPS {
		s.toHTTPS = a.Host.toHTTPS
	}
	var refused error
	if s.terms, refused = a.newTerms(s, &c.Policy, &c.Guard); refused != nil {
		a.report(c, nil, refused)
	}
	for n := range c.Routes {
		rc := &c.Routes[n]
		r, err := a.newRoute(s, rc)
		if err != nil {
			a.report(c, rc, err)
		}
		s.routes.add(r)
	}
	a.checkPages(s)
	return s
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
	for _, f := range s.sending {
		errs = append(errs, f.Close())
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
