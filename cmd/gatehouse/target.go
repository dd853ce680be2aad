package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
	"gatehouse/scripts"
)

// served is what a command is to work on: a configuration, from a file or made
// for what the user named.
type served struct {
	config  *config.Config
	what    string // for the user
	program string // the one program for every path; "" when it is not that
	missing string // why a part of it cannot work; "" when all is there
	made    bool   // not from a file
	python  bool   // it is one Python application
	remove  string // a folder to remove at the end; "" none
}

func (s *served) close() error {
	if s.remove == "" {
		return nil
	}
	return os.RemoveAll(s.remove)
}

// open finds out what is to be served: the file of -c, or the target, or without
// both the demonstration site.
func open(file, target, root string) (*served, error) {
	switch {
	case file != "" && target != "":
		return nil, misused("-c and %q together: a configuration says itself what is served", target)
	case file != "":
		return openFile(file, root)
	case target == "":
		return openDemo()
	}
	if protocol, address, ok := application(target); ok {
		return openApplication(target, protocol, address, root)
	}
	m, ok, err := module(target)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return openModule(m, root)
	}
	return openTarget(target, root)
}

// listenOn puts what the flags say about listeners in place of what the configuration
// says.
func (s *served) listenOn(c *cli.Context) error {
	list := c.StringSlice("listen")
	if len(list) > 0 {
		s.config.Listen = nil
	}
	for _, text := range list {
		l, err := config.ParseListen(text)
		if err != nil {
			return flagError("listen", text, err)
		}
		s.config.Listen = append(s.config.Listen, l)
	}
	for _, text := range c.StringSlice("trust") {
		if text == "unix" {
			s.config.TrustUnix = true
			continue
		}
		p, err := config.ParsePrefix(text)
		if err != nil {
			return flagError("trust", text, err)
		}
		s.config.Trusted = append(s.config.Trusted, p)
	}
	if text := c.String("listen-mode"); c.IsSet("listen-mode") {
		mode, err := config.ParseMode(text)
		if err != nil {
			return flagError("listen-mode", text, err)
		}
		s.config.ListenMode = mode
	}
	if err := s.controlAt(c); err != nil {
		return err
	}
	s.config.ListenOwner = cmp.Or(c.String("listen-owner"), s.config.ListenOwner)
	s.config.ListenGroup = cmp.Or(c.String("listen-group"), s.config.ListenGroup)
	return s.secureBy(c)
}

func flagError(name, text string, err error) error {
	return misused("--%s %q: %s", name, text, strings.TrimPrefix(err.Error(), "config: "))
}

func openFile(file, root string) (*served, error) {
	if root != "" {
		return nil, misused("--root goes with a program or a folder, not with -c")
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	if len(cfg.Sites) == 0 {
		return nil, fmt.Errorf("%s: no [[site]] in it: there is nothing to serve", file)
	}
	return &served{config: cfg, what: fmt.Sprintf("%s (%s)", file, count(len(cfg.Sites), "site"))}, nil
}

// openDemo writes the demonstration site to a temporary folder: scripts have to
// be files to be run.
func openDemo() (*served, error) {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		return nil, err
	}
	s := &served{config: config.Default(), what: "the demonstration site", made: true, remove: dir}
	if err := scripts.InstallDemo(dir, nil); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(err, s.close())
	}
	site := s.config.NewSite()
	site.Root = filepath.Join(dir, "htdocs")
	cgi := site.NewRoute()
	cgi.Path, cgi.CGI = "/cgi-bin/", filepath.Join(dir, "cgi-bin")+"/"
	site.Routes = append(site.Routes, cgi)
	if st, err := os.Stat(scripts.DemoPython); err == nil && st.Mode().IsRegular() {
		site.Routes = append(site.Routes, demoWSGI(&site, filepath.Join(dir, "wsgi")))
	}
	s.config.Sites = append(s.config.Sites, site)
	return s, nil
}

// demoWSGI is the route of the Python applications in a folder, which are loaded when
// the first request comes.
func demoWSGI(site *config.Site, dir string) config.Route {
	app := config.NewWSGI()
	app.Module = config.Module{File: filepath.Join(dir, "mount.py"), Object: "application"}
	app.Python, app.Dir, app.Reload = scripts.DemoPython, dir, true
	app.Workers, app.MinWorkers, app.Concurrency = 1, 0, 4
	route := site.NewRoute()
	route.Path, route.WSGI, route.PassAuthorization = "/wsgi/", app, true // A33
	return route
}

// openTarget makes a configuration for a folder or a program.
func openTarget(target, root string) (*served, error) {
	path, err := filepath.Abs(target)
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hinted{misused("%q does not exist", target), "expected a folder, a program, app.py:NAME, package.module:NAME, fcgi://HOST:PORT, scgi://HOST:PORT or unix:/PATH"}
	case err != nil:
		return nil, err
	}
	s := &served{config: config.Default(), made: true}
	site := s.config.NewSite()
	if st.IsDir() {
		if root != "" {
			return nil, misused("--root goes with a program; %q is a folder itself", target)
		}
		s.what = "the folder " + path
		s.missing = folder(&site, path)
	} else {
		s.what, s.program = "the program "+path+", for every path", path
		script := site.NewRoute()
		script.Path, script.CGI = "/", path
		site.Routes = append(site.Routes, script)
		if root != "" {
			if site.Root, err = filepath.Abs(root); err != nil {
				return nil, err
			}
		}
	}
	s.config.Sites = append(s.config.Sites, site)
	return s, nil
}

// folder sets a site up for a folder: its files, and as programs those in cgi-bin
// and those whose names end in .cgi or .php. It returns what is missing for the latter.
func folder(site *config.Site, path string) (missing string) {
	site.Root, site.Listing = path, true
	if st, err := os.Stat(filepath.Join(path, "cgi-bin")); err == nil && st.IsDir() {
		bin := site.NewRoute()
		bin.Path, bin.CGI = "/cgi-bin/", filepath.Join(path, "cgi-bin")+"/"
		site.Routes = append(site.Routes, bin)
	}
	files := site.NewRoute()
	files.Path, files.Kind, files.CGISelf = "*.cgi", config.Suffix, true
	site.Routes = append(site.Routes, files)
	return php(site, path)
}

// notEmpty refuses "" as a target, which an unset variable of a shell leaves: it is
// not the same as none.
func notEmpty(c *cli.Context, n int) error {
	if c.NArg() > n && c.Args().Get(n) == "" {
		return hinted{misused("the name of the folder or program is empty"), "is a variable of the shell unset?"}
	}
	return nil
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
