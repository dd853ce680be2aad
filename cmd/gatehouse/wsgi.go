package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
	"gatehouse/scripts"
)

// module reads a target that is a Python application: "app.py:NAME", "pkg.mod:NAME",
// and without a name what is one by its text. For all others ok is false.
func module(target string) (m config.Module, ok bool, err error) {
	if st, err := os.Stat(target); err == nil {
		if st.IsDir() || !strings.HasSuffix(target, ".py") {
			return m, false, nil
		}
		return fileModule(target, st.Mode().Perm()&0o111 != 0)
	}
	m, err = config.ParseModule(target)
	named := strings.HasSuffix(target, ":"+m.Object)
	switch {
	case err != nil:
		return m, false, nil // it is said that there is no such file
	case m.File != "":
		if _, err := os.Stat(m.File); err != nil && named {
			return m, false, misused("%q does not exist", m.File)
		}
		return m, named, nil
	case named: // it may be installed
		return m, true, nil
	}
	path := filepath.Join(strings.Split(m.Name, ".")...)
	for _, file := range []string{path + ".py", filepath.Join(path, "__init__.py")} {
		if _, err := os.Stat(file); err == nil {
			return m, true, nil
		}
	}
	return m, false, nil
}

var (
	// bound finds names that a Python text gives to what it defines, has imported or
	// has made, as far as that stands at the beginning of a line.
	bound = regexp.MustCompile(`(?m)^(?:(?:def|class)[ \t]+(\w+)|(\w+)[ \t]*(?::[^=\n]+)?=[^=]|(?:from[ \t]+\S+[ \t]+)?import[ \t]*(?:\(([^)]*)\)|([^#\n]*)))`)
	// runsItself finds what makes a CGI program of an application.
	runsItself = regexp.MustCompile(`\b(?:CGIHandler|IISCGIHandler|run_with_cgi)[ \t]*\(`)
)

// fileModule tells an application in a file from a CGI program, which may be
// executed and has no "application", or runs that itself.
func fileModule(name string, executable bool) (m config.Module, ok bool, err error) {
	text, err := readStart(name)
	if err != nil {
		return m, false, err
	}
	names := boundIn(text)
	m = config.Module{File: name, Object: "application"}
	program := executable && strings.HasPrefix(text, "#!")
	switch has := slices.Contains(names, m.Object); {
	case has && !(program && runsItself.MatchString(text)):
		return m, true, nil
	case program:
		return m, false, nil
	}
	for _, other := range []string{"app", "create_app", "make_app"} {
		if slices.Contains(names, other) {
			if strings.HasSuffix(other, "_app") {
				other += "()"
			}
			return m, false, hinted{misused("%q is no program that can be run, and has nothing named %q", name, m.Object),
				fmt.Sprintf("is it this? gatehouse serve %s:%s", name, other)}
		}
	}
	return m, false, nil
}

// boundIn returns the names that a Python text defines.
func boundIn(text string) (names []string) {
	for _, found := range bound.FindAllStringSubmatch(text, -1) {
		names = append(names, strings.FieldsFunc(found[1]+found[2]+found[3]+found[4], notInName)...)
	}
	return names
}

func notInName(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// readStart reads a file, or of a large one the beginning.
func readStart(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(text), err
}

// openModule makes a configuration for a Python application, as its author runs it: one
// process that may answer several requests at a time, in the folder and with the
// environment of the command, replaced when a source changes.
func openModule(m config.Module, root string) (*served, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	s := &served{config: config.Default(), what: m.String(), made: true, python: true}
	if m.File != "" {
		if m.File, err = filepath.Abs(m.File); err != nil {
			return nil, err
		}
	}
	site := s.config.NewSite()
	if root != "" {
		if site.Root, err = filepath.Abs(root); err != nil {
			return nil, err
		}
	}
	app := config.NewWSGI()
	app.Module, app.Dir, app.Reload = m, dir, true
	app.Workers, app.MinWorkers, app.Concurrency = 1, 1, 4
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); name != "" && !slices.Contains(ours, name) {
			app.Env = append(app.Env, config.Var{Name: name, Value: value})
		}
	}
	route := site.NewRoute()
	route.Path, route.WSGI, route.PassAuthorization = "/", app, true // A33
	site.Routes = append(site.Routes, route)
	s.config.Sites = append(s.config.Sites, site)
	return s, nil
}

// ours are the variables that were meant for this process alone.
var ours = []string{"GATEHOUSE_UNBLOCKED", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET"}

// once has each request of a Python application answered by a process of its own: there
// will be only one.
func (s *served) once() {
	if s.python {
		app := s.config.Sites[0].Routes[0].WSGI
		app.Mode, app.Reload = "cgi", false
	}
}

func shimCommand() *cli.Command {
	return &cli.Command{
		Name:      "wsgi-shim",
		Usage:     "write the Python program that runs WSGI applications to standard output",
		ArgsUsage: " ",
		Description: "It needs Python 3.8 and nothing else, and runs without this program as well: as a CGI program under any web server, and as a FastCGI application\n" +
			"under what gives it a listening socket, such as spawn-fcgi. Its own --help says how.",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return hinted{misused("wsgi-shim takes no arguments, not %s", count(c.NArg(), "argument")), "gatehouse wsgi-shim > run_wsgi.py"}
			}
			_, err := c.App.Writer.Write(scripts.WSGIShim())
			return err
		},
	}
}
