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
var handlers = []string{"cgi", "static", "redirect"}

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
		d.fail(t.at, t.path, "none of cgi, static and redirect", "expected exactly one")
		return
	case len(found) > 1:
		for _, e := range found[1:] {
			d.fail(e.at, keyPath(t.path, e.name), "a second handler beside "+found[0].name, "expected exactly one of cgi, static and redirect")
		}
		return
	}
	d.idle(t, found[0].name)
	v := value{found[0].value, keyPath(t.path, found[0].name)}
	if r.Path == "" {
		return // reported: the path is missing or bad
	}
	if r.Kind == Suffix {
		d.suffix(r, t, v, found[0].name)
		return
	}
	switch found[0].name {
	case "cgi":
		d.folder(r, v, r.CGI, "scripts")
	case "static":
		d.folder(r, v, r.Static, "files")
	}
}

// idle reports the keys that would do nothing with the route's handler.
func (d *decoder) idle(t value, handler string) {
	for _, e := range t.entries {
		wants := ""
		switch {
		case e.name == "path" || e.name == handler || routeTable.find(e.name) == nil:
		case e.name == "status":
			wants = "redirect"
		case e.name == "listing":
			wants = "static"
		default: // env, the limits and the rest are about programs
			wants = "cgi"
		}
		if wants != "" && wants != handler {
			d.fail(e.at, keyPath(t.path, e.name), "does nothing in a route with "+handler, "it is for "+wants)
		}
	}
}

// suffix checks a route by the end of a file's name, which is a file of the
// site's root: it runs or it moved, but is not another one.
func (d *decoder) suffix(r *Route, t, v value, handler string) {
	if p := t.get("path"); d.site.get("root") == nil {
		d.fail(p.at, keyPath(t.path, "path"), "suffix "+quote(r.Path)+" needs a root", "it matches files of the site's root")
	}
	if handler == "static" || handler == "cgi" && r.CGI != "" {
		d.fail(v.at, v.path, "does not go with the suffix "+quote(r.Path), "expected cgi = true, or a redirect")
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
	if err := checkTarget(v.text); err != nil {
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
