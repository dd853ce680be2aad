package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
	"gatehouse/process"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "write a commented configuration to begin with",
		ArgsUsage: "[DIR | SCRIPT-DIR/ | SCRIPT | app.py[:NAME] | MODULE:NAME]",
		Description: "It looks at what is there: a folder of files, with a cgi-bin/, *.cgi or *.php in it or without; a folder of CGI scripts; one script; a Python application.\n" +
			"Without an argument it is the folder that you are in. What is written can be served at once, and has comments on what is most often changed.\n" +
			"It never replaces a file.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: defaultFile, Usage: "write it to `FILE`, or to standard output if that is -"},
			&cli.StringSliceFlag{Name: "listen", Usage: "it listens on `ADDRESS`, as with serve, in place of 127.0.0.1:8080; may be repeated"},
			&cli.BoolFlag{Name: "php", Usage: "run *.php in the folder, although there are none yet; a missing file goes to index.php"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return hinted{misused("init takes one folder or program, not %d", c.NArg()), "as in: gatehouse init ./public"}
			}
			if err := notEmpty(c, 0); err != nil {
				return err
			}
			target := c.Args().First()
			if c.NArg() == 0 {
				target = "."
			}
			return initialise(c, target, c.String("output"))
		},
	}
}

// initialise writes the configuration for a target to a file, "-" for standard output.
func initialise(c *cli.Context, target, output string) error {
	at, err := filepath.Abs(output)
	if err != nil {
		return err
	}
	b := &beginning{base: filepath.Dir(at), file: filepath.Base(at), php: c.Bool("php"), listen: c.StringSlice("listen")}
	for _, text := range b.listen {
		if _, err := config.ParseListen(text); err != nil {
			return flagError("listen", text, err)
		}
	}
	if output == "-" {
		b.file = defaultFile
		if b.base, err = os.Getwd(); err != nil {
			return err
		}
	}
	if err := b.lookAt(target); err != nil {
		return err
	}
	if output == "-" {
		_, err := io.WriteString(c.App.Writer, b.text())
		return err
	}
	f, err := os.OpenFile(output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return hinted{fmt.Errorf("%s is there already, and stays as it is", output), "-o FILE writes another one, -o - to standard output"}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(b.text())
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(output))
	}
	fmt.Fprintf(c.App.ErrWriter, "gatehouse: wrote %s, for %s\n", output, b.what)
	cfg, err := config.Load(output)
	if err == nil {
		err = check(cfg)
	}
	if err != nil { // such as a port that is taken
		fmt.Fprintf(c.App.ErrWriter, "gatehouse: before it can be served there is something to do:\n%v\n", err)
		return nil
	}
	fmt.Fprintf(c.App.ErrWriter, "gatehouse: serve it with: gatehouse serve -c %s\n", shellWord(output))
	return nil
}

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,=") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// beginning is a configuration to begin with.
type beginning struct {
	base, file string   // the folder that the file is in, and its name there
	listen     []string // none: as serve does
	php        bool     // asked for
	what       string   // for the user

	root    string  // "" for a site without files
	inRoot  string  // the URL path of the file itself, "" if visitors cannot get it
	front   bool    // an index.php answers for what is no file
	handler []route // in order
}

// route is one that is written.
type route struct {
	comment string
	lines   []string // as TOML
}

// lookAt finds out what the target is.
func (b *beginning) lookAt(target string) error {
	if m, ok, err := module(target); ok || err != nil {
		return b.wsgi(m, err)
	}
	path, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	if !utf8.ValidString(path) {
		return fmt.Errorf("%q is not UTF-8: a configuration cannot name it", path)
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hinted{misused("%q does not exist", target), "expected a folder, a script, app.py:NAME or package.module:NAME"}
	case err != nil:
		return err
	case b.php && !st.IsDir():
		return misused("--php is for a folder; %q is a file", target)
	case !st.IsDir():
		return b.script(path)
	}
	if app, ok := applicationIn(path); ok && !b.php {
		return b.wsgi(app, nil)
	}
	if !b.php && isScriptFolder(path) {
		b.what = "the folder of CGI scripts " + path
		b.cgiFolder(path, "/cgi-bin/")
		return nil
	}
	return b.folder(path)
}

// script is one program for every path.
func (b *beginning) script(path string) error {
	if wrong := process.Check(path); wrong != nil {
		return hinted{fmt.Errorf("%s cannot be run: %s", path, wrong.Reason), "init is for what works; gatehouse run " + shellWord(path) + " says more"}
	}
	b.what = "the script " + path
	b.add("This program answers every request; the path is in PATH_INFO.",
		`path = "/"`, "cgi  = "+b.path(path, false))
	return nil
}

// folder is one of files, with what there is to run in it.
func (b *beginning) folder(path string) error {
	b.what, b.root = "the folder "+path, path
	if rel, err := filepath.Rel(path, filepath.Join(b.base, b.file)); err == nil && filepath.IsLocal(rel) && !strings.HasPrefix(rel, ".") {
		b.inRoot = "/" + filepath.ToSlash(rel)
	}
	if st, err := os.Stat(filepath.Join(path, "cgi-bin")); err == nil && st.IsDir() {
		b.cgiFolder(filepath.Join(path, "cgi-bin"), "/cgi-bin/")
	}
	if hasFile(path, ".cgi") {
		b.add("Files of the folder with this end are scripts.", `path = "*.cgi"`, "cgi  = true")
	}
	if !b.php && !hasFile(path, ".php") {
		return nil
	}
	app, err := phpApplication()
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(path, "index.php"))
	b.front = err == nil || b.php
	b.add("PHP runs the files with this end.", `path    = "*.php"`, "fastcgi = "+app)
	return nil
}

func (b *beginning) cgiFolder(path, url string) {
	b.add("The programs in this folder are run, each request by a process of its own.",
		"path = "+config.Quote(url), "cgi  = "+b.path(path, true),
		`# env     = { NAME = "value" }      # variables for them`,
		`# timeout = "60s"                   # how long one may take`)
}

// wsgi is a Python application; err is what keeps its module from being told.
func (b *beginning) wsgi(m config.Module, err error) error {
	if err != nil {
		return err
	}
	if b.php {
		return misused("--php is for a folder; %q is a Python application", m.String())
	}
	b.what = "the WSGI application " + m.String()
	lines := []string{`path = "/"`}
	name, dir := m.String(), ""
	if m.File != "" {
		path, err := filepath.Abs(m.File)
		if err != nil {
			return err
		}
		name = b.rel(path) + ":" + m.Object
		if !strings.Contains(b.rel(path), "/") && !strings.HasSuffix(path, ".py") {
			name = "./" + name
		}
		dir = filepath.Dir(path)
	} else if dir, err = os.Getwd(); err != nil {
		return err
	}
	parts := []string{"module = " + config.Quote(name)}
	if m.File == "" && dir != b.base {
		parts = append(parts, "dir = "+b.path(dir, false))
	}
	if venv := venvOf(dir); venv != "" {
		parts = append(parts, "venv = "+b.path(venv, false))
	} else if _, err := exec.LookPath("python3"); err != nil {
		return errors.New("there is no python3 on the PATH to run it")
	}
	lines = append(lines, "wsgi = { "+strings.Join(parts, ", ")+" }",
		"# Beside the module: workers = 4, threads = 1, reload = true while you write it.")
	b.add("This Python application answers every request.", lines...)
	return nil
}

func (b *beginning) add(comment string, lines ...string) {
	b.handler = append(b.handler, route{comment, lines})
}

// rel is a path as it is written: relative to the file where it lies below it.
func (b *beginning) rel(path string) string {
	if rel, err := filepath.Rel(b.base, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

func (b *beginning) path(path string, slash bool) string {
	s := b.rel(path)
	if strings.HasPrefix(s, "~") {
		s = "./" + s
	}
	if slash {
		s += "/"
	}
	return config.Quote(s)
}

// text is the configuration.
func (b *beginning) text() string {
	var t strings.Builder
	listen := slices.Clone(b.listen)
	if len(listen) == 0 {
		listen = []string{"127.0.0.1:8080"}
	}
	for n, text := range listen {
		listen[n] = config.Quote(text)
	}
	fmt.Fprintf(&t, initHead, process.Printable(b.what), strings.Join(listen, ", "))
	t.WriteString("[[site]]\n# hosts = [\"example.org\", \"*.example.org\"]   # without it: every name that has no site of its own\n")
	if b.root != "" {
		fmt.Fprintf(&t, "root = %s\n", b.path(b.root, false))
		index := []string{"index.html"}
		for _, r := range b.handler {
			for _, end := range []string{"cgi", "php"} {
				if strings.HasSuffix(r.lines[0], `"*.`+end+`"`) {
					index = append(index, "index."+end)
				}
			}
		}
		fmt.Fprintf(&t, "index = [\"%s\"]\n# listing = true                            # folders without an index show the names in them\n", strings.Join(index, `", "`))
		if b.front {
			t.WriteString("fallback = \"/index.php\"                     # answers what is no file: a front controller\n")
		} else {
			t.WriteString("# fallback = \"/index.html\"                  # answers what is no file\n")
		}
	}
	for _, r := range b.handler {
		fmt.Fprintf(&t, "\n  # %s\n  [[site.route]]\n", r.comment)
		for _, line := range r.lines {
			fmt.Fprintf(&t, "  %s\n", line)
		}
	}
	if b.inRoot != "" {
		fmt.Fprintf(&t, "\n  # This file is not for visitors.\n  [[site.route]]\n  path   = %s\n  static = %s\n  deny   = [\"all\"]\n", config.Quote(b.inRoot), config.Quote(b.file))
	}
	return t.String()
}

const initHead = `# Gatehouse, for %s.
# "gatehouse config --reference" describes every key, "gatehouse config" shows all values
# that are in force, "gatehouse check" finds mistakes.

listen = [%s]          # ":8080" for everybody, "unix:/run/gatehouse.sock",
                                     # "fastcgi:127.0.0.1:9000" behind a web server
# log        = "/var/log/gatehouse/error.log"
# access_log = "/var/log/gatehouse/access.log"
# trusted_proxies = ["127.0.0.1"]    # the web servers in front that say who the client is
# include = ["sites.d/*.toml"]       # more sites, each in a file of its own

`

// phpApplication is what runs PHP here: php-cgi, or a php-fpm that is there.
func phpApplication() (string, error) {
	if _, err := exec.LookPath("php-cgi"); err == nil {
		return `{ command = ["php-cgi"], workers = 4, min_workers = 0 }   # started when they are needed`, nil
	}
	sockets, err := filepath.Glob("/run/php/php*-fpm.sock")
	if err == nil && len(sockets) > 0 {
		return config.Quote("unix:" + sockets[len(sockets)-1]), nil
	}
	return "", hinted{errors.New("there is nothing to run PHP with: no php-cgi on the PATH and no php-fpm in /run/php"), "Debian has them in the packages php-cgi and php-fpm"}
}

// applicationIn returns the Python application of a folder that has one at its top and
// no page.
func applicationIn(dir string) (m config.Module, ok bool) {
	for _, name := range []string{"index.html", "index.php", "index.cgi"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return m, false
		}
	}
	for _, name := range []string{"wsgi.py", "app.py", "application.py", "main.py"} {
		text, err := readStart(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		names := boundIn(text)
		for _, object := range []string{"application", "app", "create_app", "make_app"} {
			if !slices.Contains(names, object) || runsItself.MatchString(text) {
				continue
			}
			if strings.HasSuffix(object, "_app") {
				object += "()"
			}
			return config.Module{File: filepath.Join(dir, name), Object: object}, true
		}
	}
	return m, false
}

// venvOf returns the virtual environment beside an application, "" if there is none.
func venvOf(dir string) string {
	for _, name := range []string{"venv", ".venv", "env"} {
		if process.Check(filepath.Join(dir, name, "bin", "python")) == nil {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// isScriptFolder reports whether a folder holds programs and little else: it is named
// cgi-bin, or all plain files in it can be run.
func isScriptFolder(dir string) bool {
	if filepath.Base(dir) == "cgi-bin" {
		return true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	programs := 0
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || e.Name() == defaultFile {
			continue
		}
		if process.Check(filepath.Join(dir, e.Name())) != nil || strings.HasSuffix(e.Name(), ".php") {
			return false
		}
		programs++
	}
	return programs > 0
}
