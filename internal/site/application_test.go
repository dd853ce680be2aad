package site_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/fastcgi"
	"gatehouse/internal/site"
)

// appVariable makes this test binary a FastCGI application on its standard input.
const appVariable = "SITE_TEST_APP"

func serveStdin() {
	ln, err := net.FileListener(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	serveFastCGI(ln, echoApp)
}

// asked is what an application got.
type asked struct {
	vars       []string
	role       fastcgi.Role
	body, data []byte
}

func (a *asked) get(name string) string {
	for _, v := range a.vars {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// echoApp shows what it got, one variable a line. An authorizer's yes depends on the
// client's Authorization.
func echoApp(a *asked) string {
	if a.role == fastcgi.RoleAuthorizer {
		if a.get("HTTP_AUTHORIZATION") != "yes" {
			return "Status: 403 No\r\nContent-Type: text/plain\r\n\r\nno, says the authorizer\n"
		}
		return "Status: 200 Yes\r\nVariable-REMOTE_USER: erika\r\n\r\n"
	}
	text := "Content-Type: text/plain\r\n\r\n" + strings.Join(a.vars, "\n") + "\n"
	text += fmt.Sprintf("ROLE=%v\nBODY=%s\nDATA=%s\nPID=%d\n", a.role, a.body, a.data, os.Getpid())
	return text + "APP_COLOUR=" + os.Getenv("APP_COLOUR") + "\nMAX=" + os.Getenv("PHP_FCGI_MAX_REQUESTS") + "\n"
}

// application serves at a Unix socket until the test is over, and returns its address.
func application(t testing.TB, serve func(net.Listener)) string {
	t.Helper()
	name := filepath.Join(tree(t, nil), "app.sock")
	ln, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { serve(ln); close(done) }()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return "unix:" + name
}

func echoFastCGI(ln net.Listener) { serveFastCGI(ln, echoApp) }

// serveFastCGI answers one request after the other on each connection.
func serveFastCGI(ln net.Listener, app func(*asked) string) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { // ends with the connection, which the Transport closes
			defer conn.Close()
			for r := fastcgi.NewReader(conn); exchange(r, conn, app); {
			}
		}()
	}
}

// exchange answers one request and reports whether another may follow.
func exchange(r *fastcgi.Reader, w io.Writer, app func(*asked) string) bool {
	var a asked
	var params []byte
	keep := false
	for {
		h, err := r.Next()
		if err != nil {
			return false
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return false
		}
		last := fastcgi.TypeStdin
		if a.role == fastcgi.RoleFilter {
			last = fastcgi.TypeData
		}
		switch h.Type {
		case fastcgi.TypeBeginRequest:
			a.role, keep, _ = fastcgi.ParseBeginRequest(content)
		case fastcgi.TypeParams:
			params = append(params, content...)
		case fastcgi.TypeStdin:
			a.body = append(a.body, content...)
		case fastcgi.TypeData:
			a.data = append(a.data, content...)
		}
		if h.Type != last || len(content) > 0 {
			continue
		}
		a.vars, _ = fastcgi.ParsePairs(params, 1<<20)
		b := fastcgi.AppendStream(nil, fastcgi.TypeStdout, h.ID, []byte(app(&a)))
		b = fastcgi.AppendStreamEnd(b, fastcgi.TypeStdout, h.ID)
		_, err = w.Write(fastcgi.AppendEndRequest(b, h.ID, 0, fastcgi.StatusRequestComplete))
		return err == nil && keep
	}
}

// echoSCGI is such an application for SCGI: one netstring of variables and a body.
func echoSCGI(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		length, _ := r.ReadString(':')
		n, _ := strconv.Atoi(strings.TrimSuffix(length, ":"))
		head := make([]byte, n+1)
		_, _ = io.ReadFull(r, head)
		words := bytes.Split(bytes.TrimSuffix(head, []byte("\x00,")), []byte{0})
		var a asked
		for n := 0; n+1 < len(words); n += 2 {
			a.vars = append(a.vars, string(words[n])+"="+string(words[n+1]))
		}
		n, _ = strconv.Atoi(a.get("CONTENT_LENGTH"))
		a.body = make([]byte, n)
		_, _ = io.ReadFull(r, a.body)
		_, _ = io.WriteString(conn, echoApp(&a))
		_ = conn.Close()
	}
}

// told returns the value that an echoing application printed for a variable, and
// "(none)" without one.
func (a *answer) told(name string) string {
	for line := range strings.Lines(a.body) {
		if value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); ok {
			return value
		}
	}
	return "(none)"
}

// A13, A35, B40: what an application is told of the path, for each form of a route.
func TestApplicationPaths(t *testing.T) {
	app := application(t, echoFastCGI)
	scgi := application(t, echoSCGI)
	dir := tree(t, files{"root/index.php": "x", "root/a.php": "x", "root/d/index.php": "x", "root/plain.txt": "plain"})
	s := start(t, dir, `
[[site]]
hosts = ["files"]
root = "DIR/root"
fallback = "/index.php"
  [[site.route]]
  path = "*.php"
  fastcgi = "`+app+`"
  [[site.route]]
  path = "/app/"
  fastcgi = "`+app+`"
  [[site.route]]
  path = "/one"
  scgi = "`+scgi+`"
[[site]]
hosts = ["bare"]
  [[site.route]]
  path = "/"
  scgi = "`+scgi+`"
`)
	root := dir + "/root"
	for _, tt := range []struct {
		name, host, target                         string
		script, filename, info, translated, folder string
	}{
		{"file", "files", "/a.php?q=1", "/a.php", root + "/a.php", "(none)", "(none)", root},
		{"path behind a file", "files", "/a.php/x/y", "/a.php", root + "/a.php", "/x/y", root + "/x/y", root},
		{"index", "files", "/d/", "/d/index.php", root + "/d/index.php", "(none)", "(none)", root},
		{"front controller", "files", "/blog/2026/post?p=1", "/index.php", root + "/index.php", "(none)", "(none)", root},
		{"missing php file", "files", "/none.php", "/index.php", root + "/index.php", "(none)", "(none)", root},
		{"prefix", "files", "/app/x/y", "/app", root + "/app", "/x/y", root + "/x/y", root},
		{"prefix alone", "files", "/app/", "/app", root + "/app", "/", root + "/", root},
		{"exact", "files", "/one", "/one", root + "/one", "(none)", "(none)", root},
		{"exact and more", "files", "/one/two", "/one", root + "/one", "/two", root + "/two", root},
		{"no files", "bare", "/x/y", "", "(none)", "/x/y", "(none)", "(none)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.get(t, tt.target, "Host: "+tt.host, "Authorization: Basic eA==")
			for _, v := range [][2]string{
				{"SCRIPT_NAME", tt.script}, {"SCRIPT_FILENAME", tt.filename}, {"PATH_INFO", tt.info},
				{"PATH_TRANSLATED", tt.translated}, {"DOCUMENT_ROOT", tt.folder}, {"REQUEST_URI", tt.target},
				{"REDIRECT_STATUS", "200"}, {"HTTP_AUTHORIZATION", "Basic eA=="}, // A33
			} {
				if got := a.told(v[0]); got != v[1] {
					t.Errorf("%s: got %q, want %q\n%s", v[0], got, v[1], a.body)
				}
			}
		})
	}
	if a := s.get(t, "/plain.txt", "Host: files"); a.body != "plain" {
		t.Errorf("a file beside them: got %q", a.body)
	}
}

func TestApplicationRequests(t *testing.T) {
	for _, protocol := range []string{"fastcgi", "scgi"} {
		t.Run(protocol, func(t *testing.T) {
			serve := echoFastCGI
			if protocol == "scgi" {
				serve = echoSCGI
			}
			s := start(t, t.TempDir(), "[[site]]\n[[site.route]]\npath = '/'\nenv = { COLOUR = 'green', REQUEST_METHOD_ = 'x' }\n"+
				"pass_authorization = false\nmax_body = '1KiB'\n"+protocol+" = '"+application(t, serve)+"'\n")
			a := s.do(t, request("POST", "/x", "Content-Length: 5", "Authorization: x")+"hello")
			if a.told("BODY") != "hello" || a.told("COLOUR") != "green" || a.told("HTTP_AUTHORIZATION") != "(none)" {
				t.Errorf("got %s", a.body)
			}
			a = s.do(t, request("POST", "/x", "Transfer-Encoding: chunked")+"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") // A56
			if a.told("BODY") != "abcde" || a.told("CONTENT_LENGTH") != "5" {
				t.Errorf("got %s", a.body)
			}
			if a = s.do(t, request("POST", "/x", "Content-Length: 2000")); a.StatusCode != 413 {
				t.Errorf("a body above max_body: got %d", a.StatusCode)
			}
			if a = s.do(t, request("HEAD", "/x")); a.StatusCode != 200 || a.body != "" { // A85
				t.Errorf("HEAD: got %d %q", a.StatusCode, a.body)
			}
		})
	}
}

// The workers of a command are started when Serve begins, in a clean environment, and
// are gone after Close.
func TestWorkersOfARoute(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET_OF_THE_SERVER", "x")
	s := start(t, tree(t, nil), `
[[site]]
  [[site.route]]
  path = "/ready/"
  fastcgi = { command = ["`+exe+`"], workers = 2, env = { `+appVariable+` = "1", APP_COLOUR = "blue" } }
  [[site.route]]
  path = "/late/"
  fastcgi = { command = ["`+exe+`"], workers = 1, min_workers = 0, env = { `+appVariable+` = "1" } }
`)
	eventually(t, "two workers", func() bool { return len(strings.Fields(children())) == 2 })
	a := s.get(t, "/ready/x")
	if a.told("APP_COLOUR") != "blue" || a.told("PATH_INFO") != "/x" || a.told("MAX") != "" {
		t.Errorf("got %s", a.body)
	}
	eventually(t, "pid "+a.told("PID")+" among the workers", func() bool { return slices.Contains(strings.Fields(children()), a.told("PID")) })
	if line := s.lastAccess(t, 1); !strings.Contains(line, " pid="+a.told("PID")+" ") {
		t.Errorf("got %s", line)
	}
	if env, err := os.ReadFile("/proc/" + a.told("PID") + "/environ"); err != nil || bytes.Contains(env, []byte("SECRET")) { // A26
		t.Errorf("environment %q, %v", env, err)
	}
	if first, second := s.get(t, "/late/").told("PID"), s.get(t, "/late/").told("PID"); first != second || first == "(none)" {
		t.Errorf("the worker on demand: %s, then %s", first, second)
	}
	eventually(t, "three workers", func() bool { return len(strings.Fields(children())) == 3 })
}

// A worker has its folder, its user, and the limits of the kernel.
func TestWorkerProcess(t *testing.T) {
	t.Run("limits", func(t *testing.T) {
		_, proc := sleeper(t, "memory = '512MiB'\n", "")
		eventually(t, "the limit", func() bool { // the program is held until it has it
			text, _ := os.ReadFile(proc + "/limits")
			return strings.Contains(string(text), "Max address space         536870912 ")
		})
	})
	t.Run("user", func(t *testing.T) {
		user, uid := "", os.Getuid()
		if uid == 0 {
			user, uid = "user = 'nobody', ", 65534
		}
		dir, proc := sleeper(t, "", user+"dir = 'work', ")
		if cwd, err := os.Readlink(proc + "/cwd"); err != nil || cwd != dir+"/work" {
			t.Errorf("its folder: %q, %v", cwd, err)
		}
		if text, err := os.ReadFile(proc + "/status"); err != nil || !strings.Contains(string(text), fmt.Sprintf("\nUid:\t%d\t", uid)) {
			t.Errorf("its user: %s, %v", text, err)
		}
	})
}

// sleeper starts a host whose worker sleeps, and returns the host's folder and the
// worker's in /proc.
func sleeper(t *testing.T, route, backend string) (dir, proc string) {
	t.Helper()
	dir = tree(t, files{"work/": ""})
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // another user has to get there
		t.Fatal(err)
	}
	start(t, dir, "[[site]]\n[[site.route]]\npath = '/'\n"+route+"fastcgi = { "+backend+"command = ['sleep', '60'], workers = 1 }\n")
	self, err := os.Executable() // what it is until its exec
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker", func() bool {
		proc = "/proc/" + children()
		name, err := os.Readlink(proc + "/exe")
		return err == nil && name != self && !strings.Contains(name, " ")
	})
	return dir, proc
}

// What a command lacks is told when the host is made, with the place.
func TestWorkersThatCannotBe(t *testing.T) {
	dir := tree(t, files{"plain": "text", "app": script("exit 1")})
	for _, tt := range []struct{ name, backend, want string }{
		{"not on the PATH", `command = ["no-such-program"]`, `gatehouse.toml:5:23: site.route.fastcgi.command: program "no-such-program" is not found (the PATH is `},
		{"not there", `command = ["./none"]`, `command: program "DIR/none": the file does not exist`},
		{"not executable", `command = ["./plain"]`, `command: program "DIR/plain": not executable`},
		{"folder", `command = ["./app"], dir = "none"`, `dir: folder "DIR/none" does not exist`},
		{"user", `command = ["./app"], user = "no-such-user"`, `user: there is no user "no-such-user"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := site.New(parse(t, dir, "[[site]]\n[[site.route]]\npath = '/x/'\nfastcgi = { "+tt.backend+" }\n"), site.Options{})
			if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// B42, B43, B45: an authorizer decides before any kind of handler, also about what is
// not there.
func TestAuthorizer(t *testing.T) {
	auth, app := application(t, echoFastCGI), application(t, echoFastCGI)
	dir := tree(t, files{"root/open.txt": "open", "root/index.cgi": script(okHeader, "echo fallback"), "f/a.txt": "secret", "cgi/env": envScript})
	s := start(t, dir, `
[[site]]
root = "DIR/root"
fallback = "/index.cgi"
  [[site.route]]
  path = "*.cgi"
  cgi = true
  [[site.route]]
  path = "/files/"
  static = "DIR/f/"
  authorize = "`+auth+`"
  [[site.route]]
  path = "/cgi/"
  cgi = "DIR/cgi/"
  authorize = "`+auth+`"
  [[site.route]]
  path = "/app/"
  fastcgi = "`+app+`"
  authorize = { address = "`+auth+`", keep_alive = true }
  [[site.route]]
  path = "/moved"
  redirect = "/elsewhere"
  authorize = "`+auth+`"
  [[site.route]]
  path = "/dead/"
  static = "DIR/f/"
  authorize = "unix:DIR/none.sock"
`)
	for _, tt := range []struct {
		target   string
		yes      int
		contains string
	}{
		{"/files/a.txt", 200, "secret"},
		{"/files/none.txt", 404, ""},
		{"/cgi/env", 200, "REMOTE_USER=erika\n"},
		{"/cgi/none", 404, ""},
		{"/app/x", 200, "REMOTE_USER=erika\n"},
		{"/moved", 302, ""},
	} {
		if a := s.get(t, tt.target, "Authorization: yes"); a.StatusCode != tt.yes || !strings.Contains(a.body, tt.contains) {
			t.Errorf("%s: got %d %s, want %d", tt.target, a.StatusCode, a.body, tt.yes)
		}
		a := s.get(t, tt.target, "Authorization: perhaps")
		if a.StatusCode != 403 || a.body != "no, says the authorizer\n" {
			t.Errorf("%s without leave: got %d %s", tt.target, a.StatusCode, a.body)
		}
	}
	if a := s.get(t, "/dead/a.txt", "Authorization: yes"); a.StatusCode < 500 || strings.Contains(a.body, "secret") { // B45
		t.Errorf("no authorizer there: got %d %s", a.StatusCode, a.body)
	}
	if a := s.get(t, "/open.txt"); a.body != "open" {
		t.Errorf("what is not guarded: got %d %s", a.StatusCode, a.body)
	}
	if a := s.get(t, "/nothing"); a.body != "fallback\n" {
		t.Errorf("fallback: got %d %s", a.StatusCode, a.body)
	}
}

// B47: a filter gets the file, and none that lies elsewhere.
func TestFilter(t *testing.T) {
	app := application(t, echoFastCGI)
	dir := tree(t, files{"root/page.shtml": "a page", "docs/a.txt": "the text", "docs/sub/index.html": "an index", "docs/.git": "x",
		"docs/out": "-> ../other", "other": "not for you", "docs/empty/": ""})
	s := start(t, dir, `
[[site]]
root = "DIR/root"
  [[site.route]]
  path = "/docs/"
  root = "DIR/docs"
  fastcgi = { address = "`+app+`", role = "filter" }
  [[site.route]]
  path = "*.shtml"
  fastcgi = { address = "`+app+`", role = "filter" }
`)
	for _, tt := range []struct {
		target string
		status int
		name   string
		data   string
	}{
		{"/docs/a.txt", 200, dir + "/docs/a.txt", "the text"},
		{"/docs/sub/", 200, dir + "/docs/sub/index.html", "an index"},
		{"/page.shtml", 200, dir + "/root/page.shtml", "a page"},
		{"/docs/sub", 301, "(none)", "(none)"},
		{"/docs/a.txt/more", 404, "(none)", "(none)"},
		{"/docs/none", 404, "(none)", "(none)"},
		{"/docs/.git", 404, "(none)", "(none)"},
		{"/docs/out", 403, "(none)", "(none)"},
		{"/docs/empty/", 403, "(none)", "(none)"},
	} {
		a := s.get(t, tt.target)
		if a.StatusCode != tt.status || a.told("SCRIPT_FILENAME") != tt.name || a.told("DATA") != tt.data {
			t.Errorf("%s: got %d %s", tt.target, a.StatusCode, a.body)
		}
		if tt.status == 200 && (a.told("ROLE") != "FILTER" || a.told("FCGI_DATA_LENGTH") != strconv.Itoa(len(tt.data))) {
			t.Errorf("%s: got %s", tt.target, a.body)
		}
	}
}
