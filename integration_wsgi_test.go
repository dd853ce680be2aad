package gatehouse_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func init() {
	maps.Copy(whereIs, map[string]string{
		"python3-flask":   "/usr/lib/python3/dist-packages/flask/app.py",
		"python3-django":  "/usr/lib/python3/dist-packages/django/contrib/admin/static/admin/css/base.css",
		"python3-httpbin": "/usr/lib/python3/dist-packages/httpbin/core.py",
		"python3-pyramid": "/usr/lib/python3/dist-packages/pyramid/config/__init__.py",
		"python3-bottle":  "/usr/lib/python3/dist-packages/bottle.py",
	})
}

// wsgiModes are the two lives of an application: many requests in one process, or one.
var wsgiModes = []string{"fastcgi", "cgi"}

// wsgiFronts are the ways to reach it. Applications make URLs of HTTP_HOST, which Debian's
// configuration of nginx tells without the port.
var wsgiFronts = []front{
	fronts[0],
	{name: "nginx", needs: []string{"nginx"}, listen: "fastcgi:" + onTCP, kept: 8,
		server: nginx("keepalive 8;", nginxFastCGI+"fastcgi_param HTTP_HOST $host:$server_port;\nfastcgi_keep_conn on; fastcgi_request_buffering off; fastcgi_buffering off;")},
	{name: "apache", needs: []string{"apache2-bin"}, listen: "fastcgi:" + onTCP, kept: 64,
		server: apache("ProxyFCGIBackendType GENERIC\nProxyPass / fcgi://{backend}/ enablereuse=on flushpackets=on")},
}

// A wsgiHost is a host that runs WSGI applications.
type wsgiHost struct {
	*host
	front, mode string
}

// A wsgiApp is an application with what is asked of it.
type wsgiApp struct {
	name   string
	needs  []string
	module string // of testdata/wsgi, or of a package
	keys   string // of its wsgi table besides; {dir} is the host's folder
	spare  bool   // one process is enough at first; it takes seconds to start all
	routes string // beside its own
	setUp  func(t *testing.T, h *host)
	run    func(t *testing.T, h *wsgiHost)
}

var wsgiApps = []wsgiApp{
	{name: "torture", module: "{dir}/wsgi/torture.py", run: torture},
	{name: "flask", needs: []string{"python3-flask"}, module: "{dir}/wsgi/flask_app.py:create_app()", run: flask},
	{name: "bottle", spare: true, needs: []string{"python3-bottle"}, module: "{dir}/wsgi/bottle_app.py", run: bottle},
	{name: "pyramid", spare: true, needs: []string{"python3-pyramid"}, module: "{dir}/wsgi/pyramid_app.py:create_app('Pyramid', {})", run: pyramid},
	{name: "httpbin", spare: true, needs: []string{"python3-httpbin"}, module: "httpbin:app", run: httpbin},
	{name: "django", spare: true, needs: []string{"python3-django"}, module: "board.wsgi", keys: `dir = "{dir}/wsgi/board", env = { BOARD_FOLDER = "{dir}/board" }`,
		routes: aRoute("/static/", `static = "/usr/lib/python3/dist-packages/django/contrib/admin/static/"`), setUp: installBoard, run: django},
}

// TestWSGI asks every application the same in both modes and by every front.
func TestWSGI(t *testing.T) {
	for _, f := range wsgiFronts {
		for _, mode := range wsgiModes {
			t.Run(f.name+" "+mode, func(t *testing.T) {
				t.Parallel()
				need(t, append([]string{"python3"}, f.needs...)...)
				h := startWSGI(t, f, mode)
				for _, app := range wsgiApps {
					t.Run(app.name, func(t *testing.T) {
						need(t, app.needs...)
						app.run(t, h)
					})
				}
			})
		}
	}
}

// startWSGI starts a host with all applications that this machine has the packages for.
func startWSGI(t *testing.T, f front, mode string) *wsgiHost {
	t.Helper()
	h := newHost(t, f)
	h.installWSGI(t)
	var routes strings.Builder
	for _, app := range wsgiApps {
		if _, ok := installed(app.needs...); !ok {
			continue
		}
		if app.setUp != nil {
			app.setUp(t, h)
		}
		routes.WriteString(h.wsgiRoute("/"+app.name+"/", app.module, wsgiMode(mode, app.spare), app.keys) + app.routes)
	}
	if !h.fronted {
		routes.WriteString(h.tortureRoutes(mode))
	}
	h.up(t, f, routes.String())
	return &wsgiHost{h, f.name, mode}
}

// installWSGI copies the applications: a folder of the repository is no place for the
// bytecode that Python writes.
func (h *host) installWSGI(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("cp", "-r", "testdata/wsgi", h.path("wsgi")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// wsgiRoute is the text of a route with an application.
func (h *host) wsgiRoute(path, module string, keys ...string) string {
	return fill(aRoute(path, wsgiTable(module, keys...)), "{dir}", h.dir)
}

// wsgiTable is a route's handler. The python3 on PATH need not be the one that Debian's
// packages are for.
func wsgiTable(module string, keys ...string) string {
	keys = append([]string{fmt.Sprintf("module = %q, python = %q", module, whereIs["python3"])}, keys...)
	return "wsgi = { " + strings.Join(slices.DeleteFunc(keys, func(k string) bool { return k == "" }), ", ") + " }"
}

// wsgiMode are the keys that make a mode. What is said of workers is refused where there
// are none.
func wsgiMode(mode string, spare bool) string {
	switch {
	case mode == "cgi":
		return `mode = "cgi"`
	case spare:
		return "workers = 2, min_workers = 1"
	}
	return "workers = 2"
}

// brief is whether most is left out: what is between an application and its client was
// tried with the same application, and a process for each request takes its time.
func (h *wsgiHost) brief() bool { return h.mode == "cgi" && h.fronted }

// A browser is a client with cookies that follows redirects.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

func (h *host) browser(t *testing.T, path string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, h.url(path), &http.Client{Jar: jar, Timeout: h.client.Timeout, Transport: h.client.Transport}}
}

// get returns a page, whose address has to be at in the end ("" for the same).
func (b *browser) get(path, at string) string {
	b.t.Helper()
	resp, err := b.client.Get(b.base + path)
	if at == "" {
		at = path
	}
	return b.page(resp, err, at)
}

func (b *browser) post(path string, values url.Values, at string) string {
	b.t.Helper()
	resp, err := b.client.PostForm(b.base+path, values)
	return b.page(resp, err, at)
}

func (b *browser) page(resp *http.Response, err error, at string) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	text := bodyOf(b.t, resp)
	if got := resp.Request.URL.String(); resp.StatusCode != 200 || got != b.base+at {
		b.t.Fatalf("%s: status %d, want 200 at %s; body %q", got, resp.StatusCode, b.base+at, clip(text))
	}
	return text
}

// bodyOf reads an answer to its end.
func bodyOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v after %q", resp.Request.URL, err, clip(string(text)))
	}
	return string(text)
}

// sees fails the test unless all parts are in a text.
func sees(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Fatalf("no %q in %d bytes: %s", clip(part), len(text), text[max(0, len(text)-3000):])
		}
	}
}
