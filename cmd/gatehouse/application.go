package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gatehouse/internal/config"
)

// application reads a target that is an application's address and not a file's name.
func application(target string) (protocol, address string, ok bool) {
	for _, form := range []struct{ prefix, protocol string }{
		{"fcgi://", "fastcgi"}, {"scgi://", "scgi"}, {"fastcgi:", "fastcgi"}, {"scgi:", "scgi"},
	} {
		if rest, found := strings.CutPrefix(target, form.prefix); found {
			return form.protocol, rest, true
		}
	}
	return "fastcgi", target, strings.HasPrefix(target, "unix:")
}

// openApplication makes a configuration for an application at an address. It answers
// for every path, or, where the folder root holds PHP files, for those.
func openApplication(target, protocol, address, root string) (*served, error) {
	address, err := config.ParseAddress(address)
	if err != nil {
		return nil, misused("%q: %s", target, strings.TrimPrefix(err.Error(), "config: "))
	}
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		address = "unix:" + path
	}
	s := &served{config: config.Default(), made: true}
	site := s.config.NewSite()
	if root != "" {
		if site.Root, err = filepath.Abs(root); err != nil {
			return nil, err
		}
	}
	app := config.NewBackend()
	app.Addresses, app.KeepAlive = []string{address}, false
	route := site.NewRoute()
	route.PassAuthorization = true // A33
	if protocol == "scgi" {
		route.SCGI = app
	} else {
		route.FastCGI = app
	}
	name := applications[protocol] + " at " + address
	if site.Root != "" && hasPHP(site.Root) {
		route.Path, route.Kind = "*.php", config.Suffix
		site.Index = append(site.Index, "index.php")
		if _, err := os.Stat(filepath.Join(site.Root, "index.php")); err == nil {
			site.Fallback = "/index.php"
		}
		s.what = "the folder " + site.Root + ", with *.php by " + name
	} else {
		route.Path = "/"
		s.what = name + ", for every path"
	}
	site.Routes = append(site.Routes, route)
	s.config.Sites = append(s.config.Sites, site)
	return s, nil
}

// php adds to a folder's site what runs its PHP files: workers that are started when
// they are needed. Where that cannot be, and there are such files, it returns why.
func php(site *config.Site, path string) (missing string) {
	app := config.NewBackend()
	app.Command, app.Dir, app.Workers, app.MinWorkers = []string{"php-cgi"}, path, 4, 0
	if _, err := exec.LookPath(app.Command[0]); err != nil {
		if !hasPHP(path) {
			return ""
		}
		missing = "PHP files are not run: there is no php-cgi on the PATH (Debian has it in the package php-cgi)"
		app.Missing = missing
	}
	route := site.NewRoute()
	route.Path, route.Kind, route.FastCGI, route.PassAuthorization = "*.php", config.Suffix, app, true
	site.Routes = append(site.Routes, route)
	site.Index = append(site.Index, "index.php")
	return missing
}

func hasPHP(dir string) bool { return hasFile(dir, ".php") }

// hasFile reports whether there is a file with that end in a folder, or below it among
// as many names as can be looked at without a wait.
func hasFile(dir, end string) bool {
	const most = 20000
	found, seen := errors.New("found"), 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch seen++; {
		case seen > most:
			return fs.SkipAll
		case err != nil: // what cannot be read is not served either
			return nil
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(d.Name(), end):
			return found
		}
		return nil
	})
	return err == found
}
