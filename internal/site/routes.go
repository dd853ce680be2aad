package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/fastcgi"
	"gatehouse/internal/config"
	"gatehouse/process"
)

// routes finds the route of a path in as many steps as the path has segments.
type routes struct {
	exact  map[string]*route // "/x"
	prefix map[string]*route // "/x/"
	suffix []*route          // "*.cgi", longest first
	all    []*route
}

func (rs *routes) add(r *route) {
	if rs.exact == nil {
		rs.exact, rs.prefix = make(map[string]*route), make(map[string]*route)
	}
	rs.all = append(rs.all, r)
	switch r.config.Kind {
	case config.Exact:
		rs.exact[r.config.Path] = r
	case config.Prefix:
		rs.prefix[r.config.Path] = r
	case config.Suffix:
		n := 0
		for n < len(rs.suffix) && len(rs.suffix[n].config.Path) >= len(r.config.Path) {
			n++
		}
		rs.suffix = append(rs.suffix[:n], append([]*route{r}, rs.suffix[n:]...)...)
	}
}

// find returns the route that matches the longest part of path, and that part; nil
// when none does. Of "/x" and "/x/" the first is for "/x" itself, and the second
// for what lies below.
func (rs *routes) find(path string) (r *route, matched string) {
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		part := path[:end]
		if end < len(path) {
			if r := rs.prefix[path[:end+1]]; r != nil {
				return r, path[:end+1]
			}
		}
		if r := rs.exact[part]; r != nil && (end == len(path) || r.program != nil) {
			return r, part
		}
	}
	if r := rs.prefix["/"]; r != nil {
		return r, "/"
	}
	return nil, ""
}

// bySuffix returns the route for a file's name. Bytes are compared as they are
// (A43).
func (rs *routes) bySuffix(name string) *route {
	for _, r := range rs.suffix {
		if strings.HasSuffix(name, r.config.Path[1:]) {
			return r
		}
	}
	return nil
}

// route is one [[site.route]] at work. One of program, static and redirect is set.
type route struct {
	config     *config.Route
	site       *site
	cgi        *cgi.Program  // nil where none is run
	backend    *backend      // an application in place of a program; nil where there is none
	program    cgi.Responder // runs SCRIPT_FILENAME or asks the application, with the route's limits around it
	limiter    *limiter      // of programs
	authorizer *backend      // asked first; nil for none
	root       *os.Root      // of a folder of scripts or files; nil for a single one
	dir        string        // its path
	static     *static
}

func (a *assembly) newRoute(s *site, c *config.Route) (*route, error) {
	r := &route{config: c, site: s}
	var err error
	switch {
	case c.Static != "":
		err = r.openStatic()
	case c.CGI != "", c.CGISelf:
		err = a.openProgram(r)
	case c.FastCGI != nil:
		err = a.openBackend(r, c.FastCGI, "fastcgi")
	case c.SCGI != nil:
		err = a.openBackend(r, c.SCGI, "scgi")
	case c.WSGI != nil:
		err = a.openWSGI(r)
	}
	if err == nil && c.Authorize != nil {
		r.authorizer, err = a.newAuthorizer(r)
	}
	if err != nil && r.root != nil {
		err = errors.Join(err, r.root.Close())
	}
	return r, err
}

// openBackend prepares a route of an application.
func (a *assembly) openBackend(r *route, c *config.Backend, protocol string) (err error) {
	if root := r.config.Root; root != "" {
		r.dir = filepath.Clean(root)
		if r.root, err = os.OpenRoot(r.dir); err != nil {
			return err
		}
	}
	if r.backend, err = a.newBackend(r, c, protocol, identify(r, protocol, c, nil)); err != nil {
		return err
	}
	r.program = r.around(r.backend.ask) // whose queue is its own
	return nil
}

// around puts in front of what answers what every program has: bodies of known length
// (A56), and responses read ahead of slow clients (A104).
func (r *route) around(next cgi.Responder) cgi.Responder {
	l := &r.config.Limits
	buffer := &cgi.Buffer{Next: next, Memory: int(max(l.OutputMemory, 1)), Max: int64(l.OutputFile), Dir: l.SpoolDir}
	return &cgi.Spool{Next: buffer, Memory: int64(l.SpoolMemory), Max: int64(l.MaxBody), Dir: l.SpoolDir}
}

// openStatic prepares a route of files. They are never run (A47).
func (r *route) openStatic() (err error) {
	dir := r.config.Static
	if !strings.HasSuffix(dir, "/") {
		if err := checkSingle(dir, "files"); err != nil {
			return err
		}
		dir = filepath.Dir(dir)
	}
	if r.root, err = os.OpenRoot(dir); err != nil {
		return err
	}
	listing := r.site.config.Listing
	if r.config.Listing != nil {
		listing = *r.config.Listing
	}
	r.static = &static{site: r.site, root: r.root, listing: listing, plain: true}
	return nil
}

// checkSingle refuses what is no single script or file.
func checkSingle(name, of string) error {
	st, err := os.Stat(name)
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%q is a folder: end it with a slash if it holds %s", name, of)
	}
	return err
}

// openProgram prepares a route of CGI programs.
func (a *assembly) openProgram(r *route) (err error) {
	c := r.config
	switch {
	case c.CGISelf:
		r.root, r.dir = nil, r.site.config.Root
	case strings.HasSuffix(c.CGI, "/"):
		r.dir = filepath.Clean(c.CGI)
		if r.root, err = os.OpenRoot(r.dir); err != nil {
			return err
		}
		real, err := filepath.EvalSymlinks(r.dir)
		if err != nil {
			return err
		}
		r.site.scripts = append(r.site.scripts, strings.TrimSuffix(real, "/")+"/")
	default:
		if err := checkSingle(c.CGI, "scripts"); err != nil {
			return err
		}
		real, err := filepath.EvalSymlinks(c.CGI)
		if err != nil {
			return err
		}
		r.site.scripts = append(r.site.scripts, real)
	}
	r.cgi = a.program(c)
	r.limiter = a.limit(r, r.cgi)
	r.program = r.around(r.limiter)
	return nil
}

// program is what runs a process for each request of a route.
func (a *assembly) program(c *config.Route) *cgi.Program {
	l := &c.Limits
	return &cgi.Program{
		Spawner: a.starter(&c.Warm), Base: a.base(), Env: a.variables(c.Env),
		PassAuthorization: c.PassAuthorization, NPH: c.NPH, Interim: c.Interim,
		FinishAnyway: c.FinishAnyway, KeepChildren: c.KeepChildren,
		Times:  times(l),
		Limits: process.Limits{Memory: int64(l.Memory), CPU: time.Duration(l.CPU)},
		Log:    a.log,
	}
}

// limit bounds how many processes of a route there are.
func (a *assembly) limit(r *route, p *cgi.Program) *limiter {
	l := &r.config.Limits
	return newLimiter(p, "route "+r.config.Path, "processes", a.turnsOf(r.site.name+" "+r.config.Path, l))
}

// base is the environment that every program starts from (A26).
func (a *assembly) base() environ.Env {
	return environ.ProcessEnv("", "", "", os.Getenv("TZ"))
}

// variables turns configured variables into an Env. Their names were checked when
// the configuration was read.
func (a *assembly) variables(vars []config.Var) (env environ.Env) {
	for _, v := range vars {
		env.Set(v.Name, v.Value)
	}
	return env
}

// Respond answers a request for this site.
func (s *site) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	found, err := s.Find(req.Path, req.Env.Get("QUERY_STRING"))
	if r := s.guarded(found, req.Path); r != nil {
		return s.authorize(ctx, req, r, found, err)
	}
	return s.answer(ctx, req, found, err)
}

func (s *site) answer(ctx context.Context, req *cgi.Request, found *Found, err error) (*cgi.Response, error) {
	if err != nil {
		return nil, err
	}
	if req.Account != nil {
		req.Account.Site, req.Account.Route = s.name, found.RouteName()
		req.Account.Script = found.File
	}
	return found.respond(ctx, req)
}

// guarded returns the route whose authorizer decides about a request, or nil. It
// decides as well when nothing is found: what there is is not for everyone to know.
func (s *site) guarded(found *Found, urlPath string) *route {
	if found != nil && found.Route != nil {
		if found.Route.authorizer != nil {
			return found.Route
		}
		return nil
	}
	if r, _ := s.routes.find(urlPath); r != nil && r.authorizer != nil {
		return r
	}
	return nil
}

// authorize answers once the route's authorizer has said yes (B43).
func (s *site) authorize(ctx context.Context, req *cgi.Request, r *route, found *Found, err error) (*cgi.Response, error) {
	next := cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		return s.answer(ctx, req, found, err)
	})
	if r.authorizer.fastcgi == nil { // missing
		return r.authorizer.ask.Respond(ctx, req)
	}
	if req.Account != nil {
		req.Account.Site, req.Account.Route = s.name, r.config.Path
	}
	a := &fastcgi.Authorizer{Authorizer: r.authorizer.fastcgi, Next: next}
	asked := *req
	asked.Env = req.Env.Clone()
	if found != nil && found.IsScript {
		found.setScript(&asked.Env)
	}
	return a.Respond(ctx, &asked)
}

// redirectTo answers with a client redirect.
func redirectTo(status int, target string) *cgi.Response {
	e := &cgi.Error{Status: status}
	resp := cgi.ErrorResponse(e, "text/plain; charset=utf-8", http.StatusText(status)+": "+target+"\n")
	resp.Header = cgi.Header{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, {Name: "Location", Value: target}}
	return resp
}
