package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/internal/config"
	"gatehouse/process"
)

// Wrap says which scripts a host runs that has no sites of its own: the web server
// in front names the script, as it does for fcgiwrap.
type Wrap struct {
	// Roots are folders: every script that really lies beneath one may be run.
	Roots []string

	// Programs are scripts that may be run beside those, named as the web
	// server names them.
	Programs []string

	// PassAuthorization gives the scripts the client's credentials (A33, B76).
	PassAuthorization bool

	// ScriptStderr sends what scripts write to their standard error to the web
	// server as well, which logs it.
	ScriptStderr bool
}

// NewWrap is New for a host that runs what the web server in front names. Of cfg
// it takes everything but the sites. A root that is no folder is an error, and so
// is to allow nothing. Only a trusted peer is answered.
func NewWrap(cfg *config.Config, w Wrap, o Options) (*Host, error) {
	roots, err := w.roots()
	if err != nil {
		return nil, err
	}
	h, err := New(cfg, o)
	if err != nil {
		return nil, err
	}
	h.toFront = w.ScriptStderr
	h.current.respondWith(h.current.newWrapped(w, roots))
	return h, nil
}

// roots checks what may be run, and returns the folders as absolute paths.
func (w *Wrap) roots() (abs []string, err error) {
	if len(w.Roots)+len(w.Programs) == 0 {
		return nil, errors.New("neither folders nor programs are allowed to be run")
	}
	for _, name := range w.Roots {
		dir, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		if st, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("folder of scripts: %w", err)
		} else if !st.IsDir() {
			return nil, fmt.Errorf("folder of scripts: %q is a file", name)
		}
		abs = append(abs, dir)
	}
	return abs, nil
}

// wrapped is the Responder of such a host.
type wrapped struct {
	roots    []string // absolute
	programs map[string]bool
	stderr   bool
	log      *slog.Logger

	program *cgi.Program
	next    *cgi.Spool // runs SCRIPT_FILENAME with the limits around it
}

func (a *assembly) newWrapped(c Wrap, roots []string) *wrapped {
	w := &wrapped{roots: roots, programs: make(map[string]bool), stderr: c.ScriptStderr, log: a.log}
	for _, name := range c.Programs {
		w.programs[filepath.Clean(name)] = true
	}
	l := &a.config.Limits
	w.program = &cgi.Program{
		Spawner: a.starter(&a.config.Warm), Base: a.variables(a.config.Env).Over(a.base()), // the front's word counts more
		PassAuthorization: c.PassAuthorization,
		Times:             times(l),
		Limits:            process.Limits{Memory: int64(l.Memory), CPU: time.Duration(l.CPU)},
		Log:               a.log,
	}
	limited := newLimiter(cgi.ResponderFunc(w.run), "gatehouse wrap", "-c", newTurns(l.Processes, l.Queue, time.Duration(l.QueueTimeout)))
	buffer := &cgi.Buffer{Next: limited, Memory: int(max(l.OutputMemory, 1)), Max: int64(l.OutputFile), Dir: l.SpoolDir}
	w.next = &cgi.Spool{Next: buffer, Memory: int64(l.SpoolMemory), Max: int64(l.MaxBody), Dir: l.SpoolDir}
	return w
}

// Respond runs the script that the web server in front names. A local redirect is
// left to it (RFC 3875 section 6.2.2): it alone knows what another path means.
func (w *wrapped) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	script, err := w.find(req)
	if err != nil { // no access log tells of it, and the front's has only the status
		reason := cgi.AsError(err).Reason
		w.log.Warn("not run", "reason", reason, "request", req.ID)
		if w.stderr && req.Stderr != nil {
			fmt.Fprintf(req.Stderr, "gatehouse: %s\n", process.Printable(reason))
		}
		return nil, err
	}
	if req.Account != nil {
		req.Account.Script = script.Filename
	}
	track(ctx, nil, &script.Filename)
	run := *req
	run.Env = req.Env.Clone()
	run.Env.SetScript(script)
	if uri, ok := req.Received.Lookup("DOCUMENT_URI"); ok {
		run.Env.Set("DOCUMENT_URI", uri)
	}
	if !w.stderr {
		run.Stderr = nil
	}
	return w.next.Respond(ctx, &run)
}

// run is the program, in the folder that FCGI_CHDIR names: "-" is that of this
// process, as fcgiwrap has it; without it the script's own (A96).
func (w *wrapped) run(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	dir := req.Received.Get("FCGI_CHDIR")
	if dir == "" {
		return w.program.Respond(ctx, req)
	}
	if dir == "-" {
		dir = "."
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, forbidden(err, "FCGI_CHDIR %q is not a folder that can be entered", dir)
	}
	there := *w.program
	there.Spawner = inFolder{w.program.Spawner, dir}
	return there.Respond(ctx, req)
}

// inFolder starts every process in one folder.
type inFolder struct {
	process.Spawner
	dir string
}

func (s inFolder) Spawn(ctx context.Context, c *process.Command) (*process.Process, error) {
	there := *c
	there.Dir = s.dir
	return s.Spawner.Spawn(ctx, &there)
}

// find says which script the request is for, by the rules of fcgiwrap: the file
// SCRIPT_FILENAME with the other variables as they are, else what lies on the way
// from DOCUMENT_ROOT along SCRIPT_NAME, whose rest is PATH_INFO.
func (w *wrapped) find(req *cgi.Request) (environ.Script, error) {
	vars := req.Received
	if vars.Len() == 0 { // B73
		return environ.Script{}, forbidden(nil, "the peer at %s is not trusted to name the script", cmp.Or(req.Env.Get("REMOTE_ADDR"), "an unknown address"))
	}
	s := environ.Script{Name: vars.Get("SCRIPT_NAME"), PathInfo: vars.Get("PATH_INFO"), DocumentRoot: vars.Get("DOCUMENT_ROOT")}
	var err error
	if name := vars.Get("SCRIPT_FILENAME"); name != "" {
		if s.Filename, err = scriptFilename(name); err != nil {
			return s, err
		}
		if _, named := vars.Lookup("SCRIPT_NAME"); !named {
			s.Name = strings.TrimSuffix(req.Path, s.PathInfo)
		}
	} else if err = alongPath(&s); err != nil {
		return s, err
	}
	if s.PathInfo != "" { // the front's own word, where it has one (A06)
		s.PathTranslated = cmp.Or(vars.Get("PATH_TRANSLATED"), s.DocumentRoot+s.PathInfo)
	}
	return s, w.allowed(s.Filename)
}

// scriptFilename takes Apache's prefixes off (B72) and refuses what could mean
// one file to the front and another here.
func scriptFilename(name string) (string, error) {
	path := name
	for _, prefix := range []string{"proxy:fcgi://", "proxy:balancer://"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			slash := strings.IndexByte(rest, '/')
			if slash < 0 {
				return "", forbidden(nil, "SCRIPT_FILENAME %q names no file", name)
			}
			path = "/" + strings.TrimLeft(rest[slash:], "/")
		}
	}
	if n := strings.IndexAny(path, "?%"); n >= 0 {
		return "", forbidden(nil, "SCRIPT_FILENAME %q has a %q in it, which is not taken for a part of a name", name, path[n])
	}
	if !filepath.IsAbs(path) {
		return "", forbidden(nil, "SCRIPT_FILENAME %q is not an absolute path", name)
	}
	return path, nil
}

// alongPath follows DOCUMENT_ROOT and SCRIPT_NAME, written behind one another, to
// the first thing that is not a folder (A41): the script. What remains is PATH_INFO,
// whatever the front said of it.
func alongPath(s *environ.Script) error {
	if s.DocumentRoot == "" || s.Name == "" {
		return forbidden(nil, "neither SCRIPT_FILENAME nor DOCUMENT_ROOT and SCRIPT_NAME say which script to run")
	}
	root := len(s.DocumentRoot)
	whole := s.DocumentRoot + s.Name
	if !filepath.IsAbs(whole) {
		return forbidden(nil, "DOCUMENT_ROOT %q is not an absolute path", s.DocumentRoot)
	}
	for end := 1; ; end++ {
		if slash := strings.IndexByte(whole[end:], '/'); slash >= 0 {
			end += slash
		} else {
			end = len(whole)
		}
		switch st, err := os.Stat(whole[:end]); {
		case err != nil:
			return fileError(whole[:end], err)
		case !st.IsDir():
			s.Filename, s.Name, s.PathInfo = whole[:end], whole[min(root, end):end], whole[end:]
			return nil
		case end >= len(whole)-1:
			return forbidden(nil, "%q (DOCUMENT_ROOT and SCRIPT_NAME) is a folder", whole)
		}
	}
}

// allowed reports why the script may not be run. What the folders really are is
// looked up each time: one may be a symbolic link that is replaced at a deployment.
func (w *wrapped) allowed(file string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fileError(file, err)
	}
	switch st, err := os.Stat(real); {
	case err != nil:
		return fileError(file, err)
	case !st.Mode().IsRegular():
		return forbidden(nil, "%q is not a file", file)
	}
	if w.programs[filepath.Clean(file)] {
		return nil
	}
	for _, dir := range w.roots {
		if root, err := filepath.EvalSymlinks(dir); err == nil && strings.HasPrefix(real, strings.TrimSuffix(root, "/")+"/") {
			return nil
		}
	}
	if real != filepath.Clean(file) {
		return forbidden(nil, "%q is really %q, which lies beneath none of the folders that scripts are run from (%s)", file, real, w.names())
	}
	return forbidden(nil, "%q lies beneath none of the folders that scripts are run from (%s)", file, w.names())
}

// names lists the folders for a message.
func (w *wrapped) names() string {
	if len(w.roots) == 0 {
		return "there are none, but single programs"
	}
	return strings.Join(w.roots, ", ")
}

// fileError is what it means that a script's file cannot be looked at.
func fileError(file string, err error) error {
	cause := err
	var pe *fs.PathError
	if errors.As(err, &pe) { // its path may be one that a symbolic link leads to
		cause = pe.Err
	}
	e := &cgi.Error{Kind: cgi.NotFound, Reason: fmt.Sprintf("the script %q: %v", file, cause), Err: err}
	switch {
	case scarce(err):
		return noRoomFor(file, err)
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = fmt.Sprintf("the script %q does not exist", file)
	case errors.Is(err, syscall.ENOTDIR):
		e.Reason = fmt.Sprintf("the script %q does not exist: a part of it is a file; what follows a script belongs into PATH_INFO (nginx: fastcgi_split_path_info)", file)
	case errors.Is(err, fs.ErrPermission):
		e.Kind = cgi.Forbidden
	}
	return e
}

func forbidden(err error, format string, args ...any) error {
	return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf(format, args...), Err: err}
}
