package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"gatehouse/cgi"
	"gatehouse/environ"
)

// Found is what a path leads to, before anything was done with it.
type Found struct {
	Site     string
	Route    *route // nil: the files of the site's root
	Redirect string // a client redirect, with Status
	Status   int

	// A script, or a file to send.
	Script   environ.Script
	IsScript bool
	File     string // its path in the file system

	static   *static
	rel      string // of a file: its path beneath the static's root
	site     *site
	template bool   // Redirect has placeholders, which expand replaces
	rest     string // for them: what of the path follows that of the route
	from     *terms // of the path that was asked for, when the fallback answers
}

// RouteName is the pattern of the route, "(files)" for the site's root.
func (f *Found) RouteName() string {
	if f.Route == nil {
		return filesRoute
	}
	return f.Route.config.Path
}

func (f *Found) respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	switch {
	case f.Redirect != "":
		return redirectTo(f.Status, f.Redirect), nil
	case !f.IsScript:
		return f.static.respond(req, f)
	}
	run := *req
	run.Env = req.Env.Clone()
	f.setScript(&run.Env)
	return f.Route.program.Respond(ctx, &run)
}

// setScript sets the variables of the script; no PATH_TRANSLATED where there are no files.
func (f *Found) setScript(env *environ.Env) {
	env.SetScript(f.Script)
	if f.Script.PathTranslated == "" {
		env.Del("PATH_TRANSLATED")
	}
}

// Find says what a path, decoded and normalised (A37), leads to: the one place
// where that is decided. An error is a *cgi.Error.
func (s *site) Find(urlPath, query string) (*Found, error) {
	f, err := s.find(urlPath, query)
	var e *cgi.Error
	if errors.As(err, &e) && e.Kind == cgi.NotFound && s.config.Fallback != "" && urlPath != s.config.Fallback {
		// A missing script stays missing, and what is guarded stays behind its guard.
		if r, _ := s.routes.find(urlPath); r == nil || r.program == nil && r.authorizer == nil {
			if f, err = s.find(s.config.Fallback, query); err == nil {
				f.from = s.termsOf(urlPath)
			}
			return f, err
		}
	}
	return f, err
}

func (s *site) find(urlPath, query string) (*Found, error) {
	r, matched := s.routes.find(urlPath)
	f := &Found{Site: s.name, Route: r, site: s}
	rest := strings.TrimPrefix(urlPath, matched)
	switch {
	case r == nil:
		return s.findFile(f, s.static, "/", urlPath[1:], query)
	case r.config.Redirect != "":
		return f.redirect(rest), nil
	case r.static != nil && !strings.HasSuffix(r.config.Static, "/"): // a single file
		if rest != "" {
			return nil, notFound(urlPath)
		}
		return f.file(r.static, filepath.Base(r.config.Static))
	case r.static != nil:
		return s.findFile(f, r.static, matched, rest, query)
	case r.backend != nil && r.root != nil:
		return s.findForFilter(f, matched, rest, query)
	case r.root != nil:
		return s.findScript(f, matched, rest, query)
	}
	// A single script, or an application: what follows its path is PATH_INFO, and the
	// slash at the end of the route's own path is as well, but asks for nothing more.
	name := strings.TrimSuffix(matched, "/")
	if rest == "" {
		return f.complete(r.config.CGI, name, urlPath[len(name):])
	}
	return f.script(r.config.CGI, name, urlPath[len(name):])
}

func notFound(urlPath string) error {
	return &cgi.Error{Kind: cgi.NotFound, Reason: fmt.Sprintf("nothing is found at %q", urlPath)}
}

// script completes f for a script at filename that answers for the path name, if it
// may have that info.
func (f *Found) script(filename, name, info string) (*Found, error) {
	if info != "" && !f.Route.config.AcceptPathInfo { // A48
		return nil, notFound(name + info)
	}
	return f.complete(filename, name, info)
}

// complete is for a script at filename, "" for an application: there SCRIPT_FILENAME is
// what a file of that name would be (B40), and nothing where the site has no files or
// the application is a Python one, for which neither means anything.
func (f *Found) complete(filename, name, info string) (*Found, error) {
	f.IsScript, f.File = true, filename
	f.Script = environ.Script{Name: name, Filename: filename, PathInfo: info, DocumentRoot: f.site.config.Root}
	switch root := f.Script.DocumentRoot; {
	case filename == "" && (root == "" || f.Route.config.WSGI != nil):
		return f, nil
	case filename == "":
		f.Script.Filename = filepath.Join(root, name)
	case root == "":
		f.Script.DocumentRoot = filepath.Dir(filename)
	}
	if info != "" {
		f.Script.PathTranslated = f.site.translate(info, f.Script.DocumentRoot)
	}
	return f, nil
}

// translate maps a path to a file through the same routes, whether it exists or
// not (A06).
func (s *site) translate(urlPath, docRoot string) string {
	r, matched := s.routes.find(urlPath)
	dir, rest := docRoot, urlPath
	switch {
	case r == nil || r.config.Redirect != "":
	case r.static != nil && strings.HasSuffix(r.config.Static, "/"):
		dir, rest = r.config.Static, strings.TrimPrefix(urlPath, matched)
	case r.static != nil && urlPath == matched:
		return r.config.Static
	case r.static == nil && r.root != nil:
		dir, rest = r.dir, strings.TrimPrefix(urlPath, matched)
	}
	// Join cleans what is clean, but for the end: keep "/dir/" a folder.
	joined := filepath.Join(dir, rest)
	if strings.HasSuffix(urlPath, "/") && joined != "/" {
		joined += "/"
	}
	return joined
}

// findScript looks for the script in a folder of scripts.
func (s *site) findScript(f *Found, matched, rest, query string) (*Found, error) {
	r := f.Route
	file, info, st, err := walk(r.root, rest)
	if err != nil {
		return nil, s.walkError(err, r.root, matched+rest)
	}
	if st.IsDir() {
		if to := slashed(matched, rest, query); to != "" {
			f.Redirect, f.Status = to, 301
			return f, nil
		}
		index, ok, err := s.index(r.root, file)
		if err != nil {
			return nil, s.walkError(err, r.root, matched+rest)
		}
		if !ok {
			return nil, &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q is a folder of scripts and has no index", matched+rest)} // A41
		}
		file, info = index, ""
	}
	return f.script(filepath.Join(r.dir, file), matched+file, info)
}

// findForFilter looks for the file that a filter gets (B47). Its SCRIPT_NAME is the
// path of the file, which nothing follows.
func (s *site) findForFilter(f *Found, matched, rest, query string) (*Found, error) {
	r := f.Route
	files := &static{site: s, root: r.root, plain: true}
	f, err := s.findFile(f, files, matched, rest, query)
	if err != nil || f.Redirect != "" {
		return f, err
	}
	rel := f.rel
	f.static, f.rel = nil, ""
	if f, err = f.complete(filepath.Join(r.dir, rel), matched+rel, ""); err == nil {
		f.Script.DocumentRoot = r.dir
	}
	return f, err
}

// findFile looks for a file beneath st's root, which is a script where a suffix
// route says so, unless the files are plain.
func (s *site) findFile(f *Found, st *static, matched, rest, query string) (*Found, error) {
	if st.root == nil {
		return nil, notFound(matched + rest)
	}
	file, info, fi, err := walk(st.root, rest)
	if hidden(file) || err != nil && hidden(rest) { // what follows a script is no file
		return nil, notFound(matched + rest)
	}
	if err != nil {
		return nil, s.walkError(err, st.root, matched+rest)
	}
	if fi.IsDir() {
		if to := slashed(matched, rest, query); to != "" {
			f.Redirect, f.Status = to, 301
			return f, nil
		}
		index, ok, err := s.index(st.root, file)
		switch {
		case err != nil:
			return nil, s.walkError(err, st.root, matched+rest)
		case !ok && st.listing:
			return f.file(st, path.Join(".", file)+"/")
		case !ok:
			return nil, &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q is a folder without an index", matched+rest)}
		}
		file, info = index, ""
	}
	if r := s.routes.bySuffix(path.Base(file)); r != nil && !st.plain {
		if f.Route = r; r.config.Redirect != "" {
			return f.redirect(""), nil
		}
		return f.script(filepath.Join(s.config.Root, file), matched+file, info)
	}
	if info != "" { // A42: what follows a file that is no script leads nowhere
		return nil, notFound(matched + rest)
	}
	return f.file(st, file)
}

// redirect is where the route leads; rest is what of the path is behind its own.
func (f *Found) redirect(rest string) *Found {
	c := f.Route.config
	f.Redirect, f.Status, f.rest = c.Redirect, c.RedirectStatus, strings.TrimLeft(rest, "/")
	f.template = strings.Contains(c.Redirect, "{")
	return f
}

func (f *Found) file(st *static, rel string) (*Found, error) {
	f.static, f.rel, f.File = st, rel, filepath.Join(st.root.Name(), rel)
	return f, nil
}

// slashed is where a folder asked for without its slash really is, "" when it was
// asked for with it.
func slashed(matched, rest, query string) string {
	if rest == "" || strings.HasSuffix(rest, "/") {
		return ""
	}
	to := (&url.URL{Path: matched + rest + "/"}).EscapedPath()
	if query != "" {
		to += "?" + query
	}
	return to
}

// hidden reports whether a path has a segment that begins with a dot, other than
// .well-known (RFC 8615): version control and access files are not for visitors.
func hidden(rel string) bool {
	for segment := range strings.SplitSeq(rel, "/") {
		if strings.HasPrefix(segment, ".") && segment != ".well-known" {
			return true
		}
	}
	return false
}

// index finds the index of a folder. The name it returns has no leading slash. It fails
// only where it cannot be told now whether there is one.
func (s *site) index(root *folder, dir string) (string, bool, error) {
	for _, name := range s.config.Index {
		file := path.Join(dir, name)
		st, err := root.Stat(file)
		if err == nil && st.Mode().IsRegular() {
			return file, true, nil
		}
		if scarce(err) {
			return "", false, err
		}
	}
	return "", false, nil
}

// walk follows rel beneath root, segment by segment, to the first thing that is
// not a folder (A41). What remains of rel is info, with its slash. A symbolic link
// is followed as long as it stays beneath root.
func walk(root *folder, rel string) (file, info string, st fs.FileInfo, err error) {
	rel = strings.TrimPrefix(rel, "/")
	whole := strings.TrimSuffix(rel, "/")
	if whole == "" {
		st, err = root.Stat(".")
		return "", "", st, err
	}
	if st, err = root.Stat(whole); err == nil && (st.IsDir() || whole == rel) { // as most are
		return whole, "", st, checkKind(st)
	}
	for end := 0; ; end++ {
		slash := strings.IndexByte(rel[end:], '/')
		if slash < 0 {
			end = len(rel)
		} else {
			end += slash
		}
		if st, err = root.Stat(rel[:end]); err != nil {
			return "", "", nil, err
		}
		if !st.IsDir() {
			return rel[:end], rel[end:], st, checkKind(st)
		}
		if end >= len(rel)-1 {
			return strings.TrimSuffix(rel, "/"), "", st, nil
		}
	}
}

var errIrregular = errors.New("not a regular file")

func checkKind(st fs.FileInfo) error {
	if st.IsDir() || st.Mode().IsRegular() {
		return nil
	}
	return errIrregular
}

// walkError says what it means that the walk failed.
func (s *site) walkError(err error, root *folder, urlPath string) error {
	switch {
	case scarce(err):
		return noRoomFor(urlPath, err)
	case errors.Is(err, fs.ErrNotExist):
		return notFound(urlPath)
	case errors.Is(err, fs.ErrPermission):
		return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q: %v", urlPath, err), Err: err}
	case errors.Is(err, errIrregular):
		return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q is not a regular file", urlPath), Err: err}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes") {
		return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q is a symbolic link that leads out of %s", urlPath, root.Name()), Err: err}
	}
	return &cgi.Error{Kind: cgi.NotFound, Reason: fmt.Sprintf("%q: %v", urlPath, err), Err: err} // ENAMETOOLONG, ELOOP, ENOTDIR
}
