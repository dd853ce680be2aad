package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	suffix map[string]*route // "*.cgi", by what follows the "*"
	all    []*route
}

func (rs *routes) add(r *route) {
	into := func(m *map[string]*route) { // of most sites one of the two stays empty
		if *m == nil {
			*m = make(map[string]*route)
		}
		(*m)[r.config.Path] = r
	}
	rs.all = append(rs.all, r)
	switch r.config.Kind {
	case config.Exact:
		into(&rs.exact)
	case config.Prefix:
		into(&rs.prefix)
	case config.Suffix:
		if rs.suffix == nil {
			rs.suffix = make(map[string]*route)
		}
		rs.suffix[r.config.Path[1:]] = r
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

// bySuffix returns the route for a file's name, of several that for the longest end of
// it. Bytes are compared as they are (A43).
func (rs *routes) bySuffix(name string) *route {
	if len(rs.suffix) == 0 {
		return nil
	}
	for n := range len(name) {
		if name[n] == '.' {
			if r := rs.suffix[name[n:]]; r != nil {
				return r
			}
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
	root       *folder       // of a folder of scripts or files; nil for a single one
	dir        string        // its path
	static     *static
	tally      *tally
	slow       *slowWatch   // of a limit, and slowLog is told; nil without one
	slowLog    *slog.Logger // nil: nobody is
	terms      terms
}

func (a *assembly) newRoute(s *site, c *config.Route) (*route, error) {
	r := &route{config: c, site: s, tally: a.tallyOf(s.name, c.Path)}
	if c.Limits.Slow > 0 {
		r.slow, r.slowLog = &a.slow, a.errorLogs.late
	}
	var err error
	switch {
	case c.Static != "":
		err = a.openStatic(r)
	case c.CGI != "", c.CGISelf:
		err = a.openProgram(r)
	case c.FastCGI != nil:
		err = a.openBackend(r, c.FastCGI, "fastcgi")
	case c.SCGI != nil:
		err = a.openBackend(r, c.SCGI, "scgi")
	case c.WSGI != nil:
		err = below("wsgi", a.openWSGI(r))
	}
	if c.Authorize != nil {
		var refused error
		r.authorizer, refused = a.newAuthorizer(r)
		err = errors.Join(err, below("authorize", refused))
	}
	if r.program != nil || err != nil && c.Static == "" {
		err = errors.Join(err, a.spoolLack(c.Limits.SpoolDir), a.openSendfile(r))
	}
	var refused error
	r.terms, refused = a.newTerms(s, &c.Policy, &c.Guard)
	err = errors.Join(err, refused)
	return r, err
}

// openBackend prepares a route of an application.
func (a *assembly) openBackend(r *route, c *config.Backend, protocol string) (err error) {
	if root := r.config.Root; root != "" {
		r.dir = filepath.Clean(root)
		if r.root, err = a.folders.folder(r.dir); err != nil {
			err = folderLack("root", root, err)
		}
	}
	var refused error
	if r.backend, refused = a.newBackend(r, c, protocol, identify(r, protocol, c, nil)); refused != nil {
		return errors.Join(err, below(protocol, refused))
	}
	r.program = r.around(r.backend.ask) // whose queue is its own
	return err
}

// around puts in front of what answers what every program has: bodies of known length
// (A56), and responses read ahead of slow clients (A104).
func (r *route) around(next cgi.Responder) cgi.Responder {
	l := &r.config.Limits
	buffer := &cgi.Buffer{Next: next, Memory: int(max(l.OutputMemory, 1)), Max: int64(l.OutputFile), Dir: l.SpoolDir}
	return &cgi.Spool{Next: buffer, Memory: int64(l.SpoolMemory), Max: int64(l.MaxBody), Dir: l.SpoolDir}
}

// openStatic prepares a route of files. They are never run (A47).
func (a *assembly) openStatic(r *route) (err error) {
	dir := r.config.Static
	if !strings.HasSuffix(dir, "/") {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return &lack{key: "static", reason: fmt.Sprintf("%q is a folder", dir), hint: `end it with a "/" if it holds files`}
		} else if err != nil {
			return fileLack("static", dir)
		}
		dir = filepath.Dir(dir)
	}
	if r.root, err = a.folders.folder(dir); err != nil {
		return folderLack("static", dir, err)
	}
	listing := r.site.config.Listing
	if r.config.Listing != nil {
		listing = *r.config.Listing
	}
	r.static = &static{site: r.site, root: r.root, listing: listing, plain: true, precompressed: r.config.Precompressed}
	return nil
}

// openProgram prepares a route of CGI programs.
func (a *assembly) openProgram(r *route) (err error) {
	c := r.config
	switch {
	case c.CGISelf:
		r.root, r.dir = nil, r.site.config.Root
	case strings.HasSuffix(c.CGI, "/"):
		r.dir = filepath.Clean(c.CGI)
		if r.root, err = a.folders.folder(r.dir); err != nil {
			return folderLack("cgi", r.dir, err)
		}
		r.site.unseen = append(r.site.unseen, strings.TrimSuffix(r.root.real, "/")+"/")
	default:
		if err := a.scriptLack(c.CGI); err != nil {
			return err
		}
		real, err := filepath.EvalSymlinks(c.CGI)
		if err != nil {
			return folderLack("cgi", c.CGI, err)
		}
		r.site.unseen = append(r.site.unseen, real)
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
	req, refused := s.admit(ctx, req, found)
	if refused != nil {
		track(ctx, s.tallyOf(found), nil)
		return nil, refused
	}
	if r := s.guarded(found, req.Path); r != nil {
		return s.authorize(ctx, req, r, found, err)
	}
	return s.answer(ctx, req, found, err)
}

func (s *site) answer(ctx context.Context, req *cgi.Request, found *Found, err error) (*cgi.Response, error) {
	if err != nil {
		track(ctx, s.tally, nil)
		return nil, err
	}
	if req.Account != nil {
		req.Account.Site, req.Account.Route = s.name, found.RouteName()
		req.Account.Script = found.File
		if user := req.Env.Get("REMOTE_USER"); user != "" { // an authorizer may have found out
			req.Account.User = user
		}
	}
	if err := found.expand(req); err != nil {
		return nil, err
	}
	track(ctx, s.tallyOf(found), &found.File)
	resp, err := s.watched(ctx, req, found)
	if err != nil {
		return nil, err
	}
	return compressed(found.coding(), req, resp), nil
}

// tallyOf is where a request for what was found, if anything was, is counted.
func (s *site) tallyOf(found *Found) *tally {
	if found != nil && found.Route != nil {
		return found.Route.tally
	}
	return s.tally
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
	track(ctx, r.tally, nil)
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
