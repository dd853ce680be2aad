package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/scripts"
)

// validated calls an application as a server would, between itself and wsgiref's
// validator, twice, and prints the last response (C39).
const validated = `
import importlib, sys
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator
sys.path.insert(0, sys.argv[1])
app = validator(importlib.import_module(sys.argv[2]).application)
for n in range(2):
    environ = {"SCRIPT_NAME": "/x", "PATH_INFO": sys.argv[3], "QUERY_STRING": "", "REQUEST_METHOD": "GET", "X_HOSTILE": "\udce9<"}
    setup_testing_defaults(environ)
    out = []
    def start_response(status, headers, exc_info=None):
        out[:] = [status] + ["%s: %s" % h for h in headers] + [""]
    body = app(environ, start_response)
    text = b"".join(body)
    body.close()
print("\n".join(out))
sys.stdout.flush()
sys.stdout.buffer.write(text)
`

var spent = regexp.MustCompile(`(?m)^(X-Milliseconds: )\d+\.\d{3}$`)

// Each of the applications is one by the letter of PEP 3333, alone and mounted.
func TestDemoApplications(t *testing.T) {
	if _, err := os.Stat(scripts.DemoPython); err != nil {
		t.Skipf("NOT TESTED: there is no %s", scripts.DemoPython)
	}
	dir := filepath.Join(install(t, all), "wsgi")
	const plain = "Content-Type: text/plain; charset=utf-8"
	for _, tt := range []struct {
		name, app, path, status string
		want                    []string
	}{
		{"function", "function", "/", "200 OK", []string{plain, "Hello, said a function."}},
		{"iterable", "iterable", "/", "200 OK", []string{plain, "Line 1 of 5", "Line 5 of 5"}},
		{"instance", "instance", "/", "200 OK", []string{"Visit number 2"}},
		{"router", "router", "", "200 OK", []string{"Choose one.", `href="/x/hello/Zo%C3%AB"`}},
		{"router, another", "router", "/hello/Zo\xc3\xab<&", "200 OK", []string{"Hello, <strong>Zoë&lt;&amp;</strong>!"}},
		{"router, neither", "router", "/\xe9<", "404 Not Found", []string{"<code>/\ufffd&lt;</code>"}},
		{"middleware", "middleware", "/", "200 OK", []string{"X-Milliseconds: some", "Hello, said a function."}},
		{"environ", "environ", "/a", "200 OK", []string{"'SCRIPT_NAME': '/x', 'PATH_INFO': '/a'", "'wsgi.version': (1, 0)", `\udce9`}},
		{"mount", "mount", "", "200 OK", []string{"Here are: function, iterable, instance, router, middleware, environ\n"}},
		{"mount, nothing", "mount", "/nothing/x", "404 Not Found", []string{"Here are:"}},
		{"mounted", "mount", "/environ/a/b", "200 OK", []string{"'SCRIPT_NAME': '/x/environ', 'PATH_INFO': '/a/b'"}},
		{"mounted, without a slash", "mount", "/environ", "200 OK", []string{"'SCRIPT_NAME': '/x/environ', 'PATH_INFO': ''"}},
		{"mounted middleware", "mount", "/middleware/", "200 OK", []string{"X-Milliseconds: some"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The path's bytes are one character each (C01).
			path := []rune(nil)
			for _, b := range []byte(tt.path) {
				path = append(path, rune(b))
			}
			cmd := exec.Command(scripts.DemoPython, "-X", "utf8", "-c", validated, dir, tt.app, string(path))
			cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			status, rest, _ := strings.Cut(spent.ReplaceAllString(string(out), "${1}some"), "\n")
			if status != tt.status {
				t.Errorf("got %q, want %q", status, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(rest, want) {
					t.Errorf("%q is missing:\n%s", want, rest)
				}
			}
		})
	}
	// What mount.py imports is what there is, and the page tells of all.
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".py"); !ok || !slices.Contains(applications, name) {
			t.Errorf("%s is not on the index page", e.Name())
		}
	}
	if len(entries) != len(applications) {
		t.Errorf("%d applications, want %d", len(entries), len(applications))
	}
}
