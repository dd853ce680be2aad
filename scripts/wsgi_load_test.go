package scripts_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree writes files beneath a new folder: a name, a text and so on.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(files[i+1]), 0o644))
	}
	return dir
}

// says is an application that answers with the value of an expression.
func says(name, expression string) string {
	return "def " + name + `(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(` + expression + `).encode()]
`
}

func TestWSGISpec(t *testing.T) {
	dir := tree(t,
		"app.py", "import helper\n"+says("application", "helper.here + ' ' + __name__")+says("other", "'other'")+`
class Site:
    def wsgi(self, environ, start_response):
        return other(environ, start_response)
    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"instance"]
site = Site()
class Classic:
    def __init__(self, environ, start_response):
        self.start = start_response
    def __iter__(self):
        self.start("200 OK", [])
        yield b"class"
def create_app(*args, **kwargs):
    `+strings.ReplaceAll(says("made", "(args, sorted(kwargs.items()))"), "\n", "\n    ")+`
    return made
`, "helper.py", "here = 'helped'\n",
		"odd-name.wsgi", says("application", "__name__"),
		"sys.py", says("application", "__name__"),
		"pkg/__init__.py", "", "pkg/wsgi.py", "from . import inner\n"+says("application", "inner.here + ' ' + __name__"), "pkg/inner.py", "here = 'in the package'\n",
		"pkg/sub/__init__.py", says("application", "__name__"),
		"a b:c/app.py", says("application", "'odd folder'"),
	)
	tests := []struct{ spec, want string }{
		{"app.py", "helped app"},
		{dir + "/app.py", "helped app"},
		{"app.py:other", "other"},
		{"app.py:site", "instance"},
		{"app.py:site.wsgi", "other"},
		{"app.py:Classic", "class"},
		{"app.py:create_app()", "((), [])"},
		{`app.py:create_app("a:b.py:c", [1, None], key={"x": -1})`, "(('a:b.py:c', [1, None]), [('key', {'x': -1})])"},
		{"app", "helped app"},
		{"app:other", "other"},
		{"app:create_app(1)", "((1,), [])"},
		{"odd-name.wsgi", "wsgi_application"},
		{"./odd-name.wsgi:application", "wsgi_application"},
		{"sys.py", "wsgi_application"},
		{"pkg.wsgi", "in the package pkg.wsgi"},
		{"pkg.wsgi:application", "in the package pkg.wsgi"},
		{"pkg/wsgi.py", "in the package pkg.wsgi"},
		{"pkg/sub/__init__.py", "pkg.sub"},
		{"a b:c/app.py", "odd folder"},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			if a := askCGI(t, wsgiRequest{}, "--chdir", dir, tt.spec); a.body != tt.want || a.stderr != "" {
				t.Errorf("got %q, %q, want %q", a.body, a.stderr, tt.want)
			}
		})
	}
}

// C36: an application that cannot be loaded is one traceback, without the frames of
// what loads it; a responder ends before it accepts anything.
func TestWSGILoadFailures(t *testing.T) {
	dir := tree(t,
		"syntax.py", "def application(environ, start_response):\n    return [\n",
		"imports.py", "import helper\n", "helper.py", "import not_there\n",
		"exits.py", "import sys\nsys.exit('no database')\n",
		"other.py", "app = None\ndef create_app(): raise ValueError('no settings')\n",
		"number.py", "application = 5\n")
	tests := []struct {
		spec, last string
		traced     string // the first line of the traceback has
	}{
		{"syntax.py", "SyntaxError: '[' was never closed", "syntax.py"},
		{"imports.py", "ModuleNotFoundError: No module named 'not_there'", "imports.py"},
		{"exits.py", "SystemExit: no database", "exits.py"},
		{"other.py", `SpecError: other has no 'application', but app, create_app`, ""},
		{"other.py:create_app()", "ValueError: no settings", "other.py"},
		{"other.py:create_app(", "SpecError: 'create_app(' is neither a name nor a call with literal arguments", ""},
		{"other.py:create_app(x)", "SpecError: 'create_app(x)' is neither", ""},
		{"other.py:create_app(**{})", "SpecError: 'create_app(**{})' is neither", ""},
		{"other.py:1 + 1", "SpecError: '1 + 1' is neither", ""},
		{"number.py", "SpecError: number.py: application is a int, which cannot be called", ""},
		{"absent.py", "SpecError: there is no file ", ""},
		{"absent.module", "ModuleNotFoundError: No module named 'absent'", ""},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			check := func(stderr string) {
				t.Helper()
				lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
				last := lines[len(lines)-1]
				if tt.spec == "syntax.py" && strings.HasPrefix(last, "SyntaxError: ") { // versions differ
					last = tt.last
				}
				if !strings.Contains(last, tt.last) || strings.Contains(stderr, "importlib") || strings.Contains(stderr, "run_wsgi.py") {
					t.Errorf("got %q, want %q at its end and nothing of the loading", stderr, tt.last)
				}
				if strings.Count(stderr, "Traceback")+strings.Count(stderr, "SyntaxError") > 1 || !strings.Contains(stderr, tt.traced) {
					t.Errorf("got %q, want one traceback from %q", stderr, tt.traced)
				}
			}
			a := askCGI(t, wsgiRequest{}, "--chdir", dir, tt.spec)
			if a.status != failed || !a.whole {
				t.Errorf("CGI: got %+v", a)
			}
			check(a.stderr)

			w := startWSGI(t, "--chdir", dir, tt.spec)
			if got := w.wait(t); got != 3 {
				t.Errorf("FastCGI: got status %d, want 3", got)
			}
			check(w.stderr.String())
			if !strings.HasPrefix(w.stderr.String(), "run_wsgi: cannot load the application ") {
				t.Errorf("got %q", w.stderr)
			}
		})
	}
}

// --sources names what a reload depends on, more when there is more, and after a failure
// what it came from.
func TestWSGISources(t *testing.T) {
	dir := tree(t,
		"app.py", "import helper, json\n"+says("application", "__import__('later').x"), "helper.py", "", "later.py", "x = 1\n",
		"broken.py", "import helper, syntax\n", "syntax.py", "(\n")
	sources := filepath.Join(t.TempDir(), "sources")
	named := func(names ...string) bool {
		t.Helper()
		data, err := os.ReadFile(sources)
		if err != nil {
			return false
		}
		var want []string
		for _, name := range names {
			want = append(want, filepath.Join(dir, name)+"\n")
		}
		return slices.Equal(slices.Collect(strings.Lines(string(data))), want)
	}
	w := startWSGI(t, "--sources", sources, "--chdir", dir, "app.py")
	shimEventually(t, "the files are named", func() bool { return named("app.py", "helper.py") })
	c := w.dial(t)
	defer c.Close()
	if a := c.ask(t, wsgiRequest{}); a.body != "1" {
		t.Errorf("got %+v", a)
	}
	shimEventually(t, "one more is named", func() bool { return named("app.py", "helper.py", "later.py") })

	if got := startWSGI(t, "--sources", sources, "--chdir", dir, "broken.py").wait(t); got != 3 {
		t.Errorf("got status %d", got)
	}
	if !named("broken.py", "helper.py", "syntax.py") {
		t.Errorf("got %q", read(t, sources))
	}
	entries, err := os.ReadDir(filepath.Dir(sources))
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want no temporary file", entries, err)
	}
}

// --compile makes what Python starts sooner, and is otherwise the same.
func TestWSGICompile(t *testing.T) {
	compiled := filepath.Join(t.TempDir(), "shim.pyc")
	if out, err := shimCommand(t, "--compile", compiled).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("got %q, %v", out, err)
	}
	dir := tree(t, "app.py", says("application", "__import__('sys').path[0]")+"def fails(environ, start_response): 1/0\n")
	run := func(spec string) wsgiAnswer {
		cmd := shimCommand(t, "--chdir", dir, spec)
		cmd.Args[slices.Index(cmd.Args, shim())] = compiled
		c := startWSGICommand(t, cmd).dial(t)
		defer c.Close()
		return c.ask(t, wsgiRequest{})
	}
	if a := run("app.py"); a.body != dir {
		t.Errorf("got %+v", a)
	}
	if a := run("app.py:fails"); a.status != failed || strings.Contains(a.stderr, "run_wsgi") || !strings.Contains(a.stderr, "app.py") {
		t.Errorf("got %+v", a)
	}
}

func TestWSGIArguments(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string // on standard error
	}{
		{"none", nil, "want one application"},
		{"two", []string{"a.py", "b.py"}, "want one application"},
		{"unknown", []string{"--worker", "2", "a.py"}, "unknown option --worker"},
		{"no value", []string{"a.py", "--threads"}, "option --threads needs a value"},
		{"a value too many", []string{"--multiprocess=1", "a.py"}, "option --multiprocess takes no value"},
		{"no number", []string{"--threads", "many", "a.py"}, "option --threads is 'many', want a number"},
		{"no threads", []string{"--threads", "0", "a.py"}, "option --threads is '0', want a number"},
		{"negative", []string{"--timeout=-1", "a.py"}, "option --timeout is '-1', want a number"},
		{"no folder", []string{"--chdir", "/absent", "a.py"}, "/absent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := shimCommand(t, tt.args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.Output()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 || len(stdout) > 0 {
				t.Errorf("got %v, %q", err, stdout)
			}
			if got := stderr.String(); !strings.HasPrefix(got, "run_wsgi: ") || !strings.Contains(got, tt.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	out, err := shimCommand(t, "--help").Output()
	if err != nil || !strings.Contains(string(out), "usage: run_wsgi.py") {
		t.Errorf("--help: got %q, %v", out, err)
	}
}
