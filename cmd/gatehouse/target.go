package main

import (
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
	made    bool   // not from a file
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
func open(file, target, root string, listen []string) (*served, error) {
	var s *served
	var err error
	switch {
	case file != "" && target != "":
		return nil, misused("-c and %q together: a configuration says itself what is served", target)
	case file != "":
		s, err = openFile(file, root)
	case target == "":
		s, err = openDemo()
	default:
		s, err = openTarget(target, root)
	}
	if err != nil {
		return nil, err
	}
	if len(listen) > 0 {
		s.config.Listen = nil
	}
	for _, text := range listen {
		l, err := config.ParseListen(text)
		if err != nil {
			return nil, errors.Join(misused("--listen %q: %s", text, strings.TrimPrefix(err.Error(), "config: ")), s.close())
		}
		s.config.Listen = append(s.config.Listen, l)
	}
	return s, nil
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
	s.config.Sites = append(s.config.Sites, site)
	return s, nil
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
		return nil, hinted{misused("%q does not exist", target), "expected a folder or a program"}
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
		folder(&site, path)
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
// and those whose names end in .cgi.
func folder(site *config.Site, path string) {
	site.Root, site.Listing = path, true
	if st, err := os.Stat(filepath.Join(path, "cgi-bin")); err == nil && st.IsDir() {
		bin := site.NewRoute()
		bin.Path, bin.CGI = "/cgi-bin/", filepath.Join(path, "cgi-bin")+"/"
		site.Routes = append(site.Routes, bin)
	}
	files := site.NewRoute()
	files.Path, files.Kind, files.CGISelf = "*.cgi", config.Suffix, true
	site.Routes = append(site.Routes, files)
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
