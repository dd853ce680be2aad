package config

import (
	"fmt"
	"slices"
	"strings"
)

// routes reads the [[site.route]] tables of a site, whose other keys have been
// read already.
func (d *decoder) routes(s *Site, v value) {
	lines := map[string]int{}
	for _, t := range d.tables(v) {
		r := s.NewRoute()
		r.Line = t.at.line
		routeTable.decode(d, t.node, t.path, &r)
		if p := t.get("path"); p == nil {
			d.fail(t.at, t.path, "path is missing", `expected one as in "/x/", "/x" or "*.cgi"`)
		} else if first, ok := lines[r.Path]; ok && r.Path != "" {
			d.fail(p.at, keyPath(t.path, "path"), "path "+quote(r.Path)+" has two routes", fmt.Sprintf("the first is at line %d", first))
		} else {
			lines[r.Path] = r.Line
		}
		d.handler(&r, t)
		s.Routes = append(s.Routes, r)
	}
}

// handlers are the keys of which a route has exactly one.
var handlers = []string{"cgi", "fastcgi", "scgi", "wsgi", "static", "redirect"}

const handlerNames = "cgi, fastcgi, scgi, wsgi, static and redirect"

// handler checks that the route at t has one handler, and that its other keys
// have something to say about that one.
func (d *decoder) handler(r *Route, t value) {
	var found []entry
	for _, e := range t.entries {
		if slices.Contains(handlers, e.name) {
			found = append(found, e)
		}
	}
	switch {
	case len(found) == 0:
		// A misspelt one has been reported.
		for _, e := range t.entries {
			if routeTable.find(e.name) == nil && nearest(e.name, handlers) != "" {
				return
			}
		}
		d.fail(t.at, t.path, "none of "+handlerNames, "expected exactly one")
		return
	case len(found) > 1:
		for _, e := range found[1:] {
			d.fail(e.at, keyPath(t.path, e.name), "a second handler beside "+found[0].name, "expected exactly one of "+handlerNames)
		}
		return
	}
	name := found[0].name
	d.idle(r, t, name)
	d.checkPolicy(&r.Policy, &r.Guard, t)
	if t.get("pass_authorization") == nil { // A33
		r.PassAuthorization = name == "fastcgi" || name == "scgi" || name == "wsgi"
	}
	v := value{found[0].value, keyPath(t.path, name)}
	if r.Path == "" {
		return // reported: the path is missing or bad
	}
	d.filter(r, t)
	if r.Kind == Suffix {
		d.suffix(r, t, v, name)
		return
	}
	switch name {
	case "cgi":
		d.folder(r, v, r.CGI, "scripts")
	case "static":
		d.folder(r, v, r.Static, "files")
	}
}

// The handlers, and what stands beside them, for which the keys of a route have
// something to say. Those that are not here are for all.
var keysFor = map[string][]string{
	"status": {"redirect"}, "precompressed": {"static"}, "compress": {"cgi", "fastcgi", "scgi", "wsgi", "static"}, "listing": {"static"}, "root": {"fastcgi"}, "warm": {"cgi"}, "preload": {"cgi"},
	"processes": {"cgi", wsgiCGI}, "linger": {"cgi", wsgiCGI}, "cpu": {"cgi", wsgiCGI}, "nph": {"cgi"},
	"finish_anyway": {"cgi", wsgiCGI}, "keep_children": {"cgi", wsgiCGI}, "interim": {"cgi", "fastcgi"},
	"memory": {"cgi", "wsgi", "a command"}, "kill_grace": {"cgi", "wsgi", "a command"},
	"sendfile": programs, "sendfile_prefix": programs,
	"accept_path_info": programs, "pass_authorization": programs, "stdin_timeout": programs,
	"max_body": programs, "spool_memory": programs, "spool_dir": programs,
	"output_memory": programs, "output_file": programs,
	"slow": programs,
	"env":  programsAndAuthorizers, "queue": programsAndAuthorizers, "queue_timeout": programsAndAuthorizers,
	"timeout": programsAndAuthorizers, "header_timeout": programsAndAuthorizers, "idle_timeout": programsAndAuthorizers,
}

var (
	programs               = []string{"cgi", "fastcgi", "scgi", "wsgi"}
	programsAndAuthorizers = []string{"cgi", "fastcgi", "scgi", "wsgi", "authorize"}
)

// wsgiCGI is a handler that starts a program for each request, as cgi does.
const wsgiCGI = `wsgi with mode = "cgi"`

// idle reports the keys that would do nothing in the route.
func (d *decoder) idle(r *Route, t value, handler string) {
	has := r.has(handler)
	for _, e := range t.entries {
		wants := keysFor[e.name]
		if len(wants) == 0 || slices.ContainsFunc(wants, func(w string) bool { return slices.Contains(has, w) }) {
			continue
		}
		with := handler
		if wants[len(wants)-1] == "a command" && (handler == "fastcgi" || handler == "scgi") {
			with += " to an address"
		}
		d.fail(e.at, keyPath(t.path, e.name), "does nothing in a route with "+with, "it is for "+words(wants))
	}
}

// has lists what there is in the route that keysFor speaks of.
func (r *Route) has(handler string) []string {
	has := []string{handler}
	for _, b := range []*Backend{r.FastCGI, r.SCGI, r.Authorize} {
		if b != nil && len(b.Command) > 0 {
			has = append(has, "a command")
		}
	}
	if r.WSGI != nil && r.WSGI.Mode == "cgi" {
		has = append(has, wsgiCGI)
	}
	if r.Authorize != nil {
		has = append(has, "authorize")
	}
	return has
}

// words joins names with commas and an "and".
func words(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// filter checks that a filter has files, and that nothing else has a root.
func (d *decoder) filter(r *Route, t value) {
	root := t.get("root")
	switch filters := r.FastCGI != nil && r.FastCGI.Role == "filter"; {
	case !filters && root != nil && r.FastCGI != nil:
		d.fail(root.at, keyPath(t.path, "root"), "does nothing in this route", `it is for fastcgi with role = "filter"`)
	case !filters:
	case r.Kind == Exact:
		d.fail(t.get("path").at, keyPath(t.path, "path"), "a filter does not go with the path "+quote(r.Path), "write the path as "+quote(r.Path+"/"))
	case r.Kind == Prefix && root == nil:
		d.fail(t.at, t.path, "root is missing", "expected the folder of the files that the filter gets")
	case r.Kind == Suffix && root != nil:
		d.fail(root.at, keyPath(t.path, "root"), "does nothing with the path "+quote(r.Path), "the filter gets files of the site's root")
	}
}

// suffix checks a route by the end of a file's name, which is a file of the
// site's root: it runs or it moved, but is not another one.
func (d *decoder) suffix(r *Route, t, v value, handler string) {
	if p := t.get("path"); d.site.get("root") == nil {
		d.fail(p.at, keyPath(t.path, "path"), "suffix "+quote(r.Path)+" needs a root", "it matches files of the site's root")
	}
	if handler == "redirect" && strings.Contains(v.text, "{rest}") {
		d.fail(v.at, v.path, "nothing of a path is behind the suffix "+quote(r.Path), "expected {path} in place of {rest}")
	}
	if handler == "static" || handler == "wsgi" || handler == "cgi" && r.CGI != "" {
		d.fail(v.at, v.path, "does not go with the suffix "+quote(r.Path), "expected cgi = true, fastcgi, scgi or a redirect")
	}
}

// folder checks that a folder is at a path that has something below it, and
// that a static file is not where the "/" was forgotten. A script may answer
// for everything below its path.
func (d *decoder) folder(r *Route, v value, name, of string) {
	switch isFolder := strings.HasSuffix(name, "/"); {
	case r.CGISelf:
		d.fail(v.at, v.path, "true is for a path as in \"*.cgi\"", "expected a folder of scripts or one script")
	case name == "": // reported: not a path
	case isFolder && r.Kind == Exact:
		d.fail(v.at, v.path, "a folder of "+of+" does not go with the path "+quote(r.Path), "write the path as "+quote(r.Path+"/"))
	case !isFolder && r.Kind == Prefix && of == "files":
		d.fail(v.at, v.path, "one file does not go with the path "+quote(r.Path), `a folder is written with a "/" at its end`)
	}
}

func (d *decoder) routePath(r *Route, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	k, err := parseRoutePath(v.text)
	if err != nil {
		d.bad(v, err)
		return
	}
	r.Path, r.Kind = v.text, k
}

func (d *decoder) cgi(r *Route, v value) {
	switch {
	case v.kind == booleanKind && v.text == "true":
		r.CGISelf = true
	case v.kind == stringKind:
		if p, ok := d.path(v, true); ok {
			r.CGI = p
		}
	case v.kind == booleanKind:
		d.fail(v.at, v.path, "expected a string or true, got false", "leave it out")
	default:
		d.fail(v.at, v.path, "expected a string or true, got "+v.kind.String(), "")
	}
}

func (d *decoder) redirect(r *Route, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	if err := checkTemplate(v.text); err != nil {
		d.bad(v, err)
		return
	}
	r.Redirect = v.text
	if r.RedirectStatus == 0 {
		r.RedirectStatus = 302
	}
}

func (d *decoder) status(r *Route, v value) {
	n, ok := d.integer(v)
	if !ok {
		return
	}
	if !slices.Contains([]int64{301, 302, 303, 307, 308}, n) {
		d.fail(v.at, v.path, fmt.Sprintf("bad status %d", n), "expected 301, 302, 303, 307 or 308")
		return
	}
	r.RedirectStatus = int(n)
}

func (d *decoder) listing(r *Route, v value) {
	if d.is(v, booleanKind, "") {
		on := v.text == "true"
		r.Listing = &on
	}
}
