package site_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// front is a host of NewWrap behind a web server, without the protocol between the two.
type front struct {
	*cgi.Gateway
	host *site.Host
	log  *buffer
	peer environ.Peer
}

// wrap makes such a host, until the test is over.
func wrap(t testing.TB, w site.Wrap, change ...func(*config.Config)) *front {
	t.Helper()
	cfg := config.Default()
	for _, f := range change {
		f(cfg)
	}
	f := &front{log: new(buffer), peer: environ.Peer{Remote: &net.UnixAddr{Net: "unix"}, Local: &net.UnixAddr{Name: "/run/s", Net: "unix"}}}
	h, err := site.NewWrap(cfg, w, site.Options{Software: "gatehouse/test", Log: slog.New(slog.NewTextHandler(f.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.host = h
	f.Gateway = &cgi.Gateway{Responder: h, Server: &environ.Server{Software: "gatehouse/test", TrustUnix: true}}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

// reply is what a front got.
type reply struct {
	status       int
	whole        bool
	head, body   string
	stderr, tell string
}

// gate returns what lets the scripts go on that wait for the file.
func gate(t *testing.T, name string) (open func()) {
	t.Helper()
	t.Cleanup(func() { _ = os.Remove(name) })
	return func() {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// gone waits for the end of the process whose number is in the file.
func gone(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(string(text))
	eventually(t, "the end of process "+pid, func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// written reports whether there is a whole line in each of the files.
func written(names ...string) bool {
	for _, name := range names {
		if text, _ := os.ReadFile(name); !strings.HasSuffix(string(text), "\n") {
			return false
		}
	}
	return true
}

// usual is what nginx's fastcgi_params say of a GET.
var usual = []string{"REQUEST_METHOD=GET", "REQUEST_URI=/cgi-bin/x", "DOCUMENT_URI=/cgi-bin/x", "QUERY_STRING=", "SERVER_PROTOCOL=HTTP/1.1",
	"REMOTE_ADDR=192.0.2.1", "SERVER_NAME=example.org", "HTTP_HOST=example.org", "CONTENT_TYPE=", "CONTENT_LENGTH="}

// ask makes a request; vars with the name of a usual one take its place.
func (f *front) ask(ctx context.Context, body io.Reader, vars ...string) *reply {
	var out, stderr, tell buffer
	r := &reply{}
	r.status, r.whole = f.Serve(ctx, &cgi.Incoming{Vars: append(usual[:len(usual):len(usual)], vars...), Peer: f.peer, Body: body, Out: &out, Errors: &tell, Stderr: &stderr})
	r.head, r.body, _ = strings.Cut(out.String(), "\r\n\r\n")
	r.stderr, r.tell = stderr.String(), tell.String()
	return r
}

func (f *front) get(vars ...string) *reply { return f.ask(context.Background(), nil, vars...) }

// placed prints what a script is told of its place.
var placed = script(okHeader, `for n in SCRIPT_FILENAME SCRIPT_NAME PATH_INFO PATH_TRANSLATED DOCUMENT_ROOT; do`,
	`  eval "v=\${$n-none}"; printf '%s|' "$v"; done`, `printf '%s' "$(pwd)"`)

// fcgiwrap's rules for finding the script, and B72's forms of its name.
func TestWrapFinds(t *testing.T) {
	dir := tree(t, files{
		"root/s.cgi": placed, "root/sub/t.cgi": placed, "root/noexec": "text", "root/100%.cgi": placed,
		"root/link.cgi": "-> sub/t.cgi", "root/out.cgi": "-> ../other/o.cgi", "root/outdir": "-> ../other", "root/loop": "-> loop",
		"other/o.cgi": placed, "rootless/r.cgi": placed,
	})
	f := wrap(t, site.Wrap{Roots: []string{dir + "/root"}})
	for _, tt := range []struct{ name, vars, want string }{
		{"SCRIPT_FILENAME", "SCRIPT_FILENAME=DIR/root/s.cgi SCRIPT_NAME=/cgi/s.cgi DOCUMENT_ROOT=/srv", "DIR/root/s.cgi|/cgi/s.cgi|none|none|/srv|DIR/root"},
		{"its PATH_INFO is kept", "SCRIPT_FILENAME=DIR/root/s.cgi SCRIPT_NAME=/s DOCUMENT_ROOT=/srv PATH_INFO=/p/q", "DIR/root/s.cgi|/s|/p/q|/srv/p/q|/srv|DIR/root"},
		{"even if it has no slash", "SCRIPT_FILENAME=DIR/root/s.cgi SCRIPT_NAME=/s PATH_INFO=p PATH_TRANSLATED=/t/p", "DIR/root/s.cgi|/s|p|/t/p|none|DIR/root"},
		{"empty means none", "SCRIPT_FILENAME=DIR/root/s.cgi SCRIPT_NAME=/s PATH_INFO= DOCUMENT_ROOT=", "DIR/root/s.cgi|/s|none|none|none|DIR/root"},
		{"last value wins", "SCRIPT_FILENAME=/srv/html/s.cgi SCRIPT_NAME=/s SCRIPT_FILENAME=DIR/root/s.cgi", "DIR/root/s.cgi|/s|none|none|none|DIR/root"},
		{"without SCRIPT_NAME", "SCRIPT_FILENAME=DIR/root/s.cgi REQUEST_URI=/git/p/q PATH_INFO=/p/q", "DIR/root/s.cgi|/git|/p/q|/p/q|none|DIR/root"},
		{"script in a folder", "SCRIPT_FILENAME=DIR/root/sub/t.cgi SCRIPT_NAME=/t", "DIR/root/sub/t.cgi|/t|none|none|none|DIR/root/sub"},
		{"dots and slashes", "SCRIPT_FILENAME=DIR/root//sub/../s.cgi SCRIPT_NAME=/s", "DIR/root//sub/../s.cgi|/s|none|none|none|DIR/root"},
		{"link inside", "SCRIPT_FILENAME=DIR/root/link.cgi SCRIPT_NAME=/l", "DIR/root/link.cgi|/l|none|none|none|DIR/root"},
		{"Apache", "SCRIPT_FILENAME=proxy:fcgi://localhost:9000/DIR/root/s.cgi SCRIPT_NAME=/s", "DIR/root/s.cgi|/s|none|none|none|DIR/root"},
		{"Apache without a port", "SCRIPT_FILENAME=proxy:fcgi://localhostDIR/root/s.cgi SCRIPT_NAME=/s", "DIR/root/s.cgi|/s|none|none|none|DIR/root"},
		{"Apache's balancer", "SCRIPT_FILENAME=proxy:balancer://poolDIR/root/s.cgi SCRIPT_NAME=/s", "DIR/root/s.cgi|/s|none|none|none|DIR/root"},
		{"Apache, nothing behind the host", "SCRIPT_FILENAME=proxy:fcgi://localhost", "403 names no file"},
		{"query", "SCRIPT_FILENAME=DIR/root/s.cgi?a=b", "403 '?'"},
		{"escape", "SCRIPT_FILENAME=DIR/root/s.cgi%3Fx", "403 '%'"},
		{"escape in an existing file", "SCRIPT_FILENAME=DIR/root/100%.cgi", "403 '%'"},
		{"relative", "SCRIPT_FILENAME=root/s.cgi", "403 not an absolute path"},
		{"missing", "SCRIPT_FILENAME=DIR/root/none.cgi DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/s.cgi", "404 does not exist"},
		{"path info in SCRIPT_FILENAME", "SCRIPT_FILENAME=DIR/root/s.cgi/p DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/s.cgi/p", "404 belongs into PATH_INFO"},
		{"slash behind it", "SCRIPT_FILENAME=DIR/root/s.cgi/", "404 belongs into PATH_INFO"},
		{"folder", "SCRIPT_FILENAME=DIR/root/sub", "403 is not a file"},
		{"not executable", "SCRIPT_FILENAME=DIR/root/noexec", "403 "},
		{"loop", "SCRIPT_FILENAME=DIR/root/loop", "404 too many links"},
		{"outside", "SCRIPT_FILENAME=DIR/other/o.cgi", `403 lies beneath none of the folders`},
		{"outside by dots", "SCRIPT_FILENAME=DIR/root/../other/o.cgi", "403 lies beneath none"},
		{"outside by a link", "SCRIPT_FILENAME=DIR/root/out.cgi", `403 is really "DIR/other/o.cgi"`},
		{"outside by a linked folder", "SCRIPT_FILENAME=DIR/root/outdir/o.cgi", `403 is really "DIR/other/o.cgi"`},
		{"root as a mere prefix", "SCRIPT_FILENAME=DIR/rootless/r.cgi", "403 lies beneath none"},

		{"DOCUMENT_ROOT and SCRIPT_NAME", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/s.cgi", "DIR/root/s.cgi|/s.cgi|none|none|DIR/root|DIR/root"},
		{"the rest is PATH_INFO", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/sub/t.cgi/a/b PATH_INFO=/other", "DIR/root/sub/t.cgi|/sub/t.cgi|/a/b|DIR/root/a/b|DIR/root|DIR/root/sub"},
		{"no rest, no PATH_INFO", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/s.cgi PATH_INFO=/other", "DIR/root/s.cgi|/s.cgi|none|none|DIR/root|DIR/root"},
		{"a slash is PATH_INFO", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/s.cgi/", "DIR/root/s.cgi|/s.cgi|/|DIR/root/|DIR/root|DIR/root"},
		{"two slashes too", "DOCUMENT_ROOT=DIR/root/ SCRIPT_NAME=/s.cgi//a", "DIR/root//s.cgi|/s.cgi|//a|DIR/root///a|DIR/root/|DIR/root"},
		{"name without a slash", "DOCUMENT_ROOT=DIR/root/ SCRIPT_NAME=s.cgi", "DIR/root/s.cgi|s.cgi|none|none|DIR/root/|DIR/root"},
		{"script as DOCUMENT_ROOT", "DOCUMENT_ROOT=DIR/root/s.cgi SCRIPT_NAME=/a", "DIR/root/s.cgi||/a|DIR/root/s.cgi/a|DIR/root/s.cgi|DIR/root"},
		{"empty SCRIPT_FILENAME", "SCRIPT_FILENAME= DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/s.cgi", "DIR/root/s.cgi|/s.cgi|none|none|DIR/root|DIR/root"},
		{"nothing found", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/none/x", "404 does not exist"},
		{"written together", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=s.cgi", "404 does not exist"},
		{"a file that is no script", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/noexec/x", "403 "},
		{"a folder", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/sub", "403 is a folder"},
		{"the root", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/", "403 is a folder"},
		{"out of the root", "DOCUMENT_ROOT=DIR/root SCRIPT_NAME=/../other/o.cgi/x", "403 lies beneath none"},
		{"relative root", "DOCUMENT_ROOT=root SCRIPT_NAME=/s.cgi", "403 not an absolute path"},
		{"no DOCUMENT_ROOT", "SCRIPT_NAME=/s.cgi", "403 neither SCRIPT_FILENAME nor"},
		{"no SCRIPT_NAME", "DOCUMENT_ROOT=DIR/root", "403 neither SCRIPT_FILENAME nor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := func(s string) string { return strings.ReplaceAll(s, "DIR", dir) }
			before := len(f.log.String())
			got := f.get(strings.Fields(in(tt.vars))...)
			if status, reason, bad := strings.Cut(tt.want, " "); bad {
				log := strings.ReplaceAll(f.log.String()[before:], `\"`, `"`)
				if want := "Status: " + status + " "; !strings.HasPrefix(got.head, want) || !strings.Contains(log, in(reason)) {
					t.Errorf("got %q, log %q\nwant %q and %q", got.head, log, want, in(reason))
				}
				return
			}
			if got.status != 200 || got.body != in(tt.want) {
				t.Errorf("got %d %q\nwant %q\nlog %s", got.status, got.body, in(tt.want), f.log.String()[before:])
			}
		})
	}
}

// What may be run is said when the server starts, or nothing is.
func TestWrapAllowed(t *testing.T) {
	dir := tree(t, files{"v1/s.cgi": script(okHeader, "echo one"), "v2/s.cgi": script(okHeader, "echo two"), "now": "-> v1", "alone/a.cgi": "-> ../v1/s.cgi", "file": "x"})
	for _, tt := range []struct {
		name string
		w    site.Wrap
		want string
	}{
		{"nothing", site.Wrap{}, "neither folders nor programs"},
		{"missing folder", site.Wrap{Roots: []string{dir + "/none"}}, "no such file or directory"},
		{"file", site.Wrap{Roots: []string{dir + "/file"}}, `file" is a file`},
	} {
		if h, err := site.NewWrap(config.Default(), tt.w, site.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want an error with %q", tt.name, h, err, tt.want)
		}
	}
	t.Run("every script", func(t *testing.T) {
		f := wrap(t, site.Wrap{Roots: []string{"/"}})
		if got := f.get("SCRIPT_FILENAME=" + dir + "/alone/a.cgi"); got.body != "one\n" {
			t.Errorf("got %d %q", got.status, got.body)
		}
	})
	t.Run("programs", func(t *testing.T) {
		f := wrap(t, site.Wrap{Programs: []string{dir + "/alone//a.cgi"}})
		if got := f.get("SCRIPT_FILENAME=" + dir + "/alone/a.cgi"); got.body != "one\n" {
			t.Errorf("the program: %d %q", got.status, got.body)
		}
		if got := f.get("DOCUMENT_ROOT="+dir+"/alone", "SCRIPT_NAME=/a.cgi/x"); got.body != "one\n" {
			t.Errorf("the program by its path: %d %q", got.status, got.body)
		}
		if got := f.get("SCRIPT_FILENAME=" + dir + "/v1/s.cgi"); got.status != 403 {
			t.Errorf("the same by another name: %d %q", got.status, got.body)
		}
	})
	t.Run("a root that is switched", func(t *testing.T) {
		f := wrap(t, site.Wrap{Roots: []string{dir + "/now"}})
		for _, version := range []string{"v1", "v2"} {
			if err := os.Remove(dir + "/now"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(version, dir+"/now"); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"v1": "one\n", "v2": "two\n"}[version]
			if got := f.get("SCRIPT_FILENAME=" + dir + "/now/s.cgi"); got.body != want {
				t.Errorf("%s: %d %q, want %q", version, got.status, got.body, want)
			}
		}
	})
}

// FCGI_CHDIR names the working folder.
func TestWrapChdir(t *testing.T) {
	dir := tree(t, files{"root/pwd.cgi": script(okHeader, "pwd"), "elsewhere/": ""})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if here, err = filepath.EvalSymlinks(here); err != nil {
		t.Fatal(err)
	}
	f := wrap(t, site.Wrap{Roots: []string{dir}})
	for _, tt := range []struct {
		name, value string
		status      int
		want        string
	}{
		{"empty", "", 200, dir + "/root\n"},
		{"a folder", dir + "/elsewhere", 200, dir + "/elsewhere\n"},
		{"as it is", "-", 200, here + "\n"},
		{"missing", dir + "/none", 403, ""},
		{"a file", dir + "/root/pwd.cgi", 403, ""},
	} {
		got := f.get("SCRIPT_FILENAME="+dir+"/root/pwd.cgi", "FCGI_CHDIR="+tt.value)
		if got.status != tt.status || tt.status == 200 && got.body != tt.want {
			t.Errorf("%s: %d %q, want %d %q", tt.name, got.status, got.body, tt.status, tt.want)
		}
	}
}

// What the front's configuration says reaches the script, but for what would change
// how programs are loaded or run (B44), and nothing of the server's own does (A26).
func TestWrapEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_SERVER", "x")
	dir := tree(t, files{"env.cgi": envScript})
	ask := func(w site.Wrap, env ...config.Var) string {
		w.Roots = []string{dir}
		f := wrap(t, w, func(c *config.Config) { c.Env = env })
		got := f.get("SCRIPT_FILENAME="+dir+"/env.cgi", "SCRIPT_NAME=/env.cgi", "GITWEB_CONFIG=/etc/gitweb.conf", "GIT_HTTP_EXPORT_ALL=", "lower=case",
			"REMOTE_USER=alice", "AUTH_TYPE=Basic", "HTTPS=on", "HTTP_PROXY=http://evil/", "LD_PRELOAD=/evil.so", "PATH=/evil", "PERL5OPT=-Mevil", "BASH_ENV=/evil",
			"HTTP_AUTHORIZATION=Basic eA==", "NO_BUFFERING=", "GIVEN=by the front")
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, f.log)
		}
		return "\n" + got.body
	}
	plain := ask(site.Wrap{}, config.Var{Name: "GIVEN", Value: "by the server"}, config.Var{Name: "PERL5LIB", Value: "/srv/perl"}, config.Var{Name: "LANG", Value: "C.UTF-8"})
	for _, want := range []string{"GITWEB_CONFIG=/etc/gitweb.conf", "GIT_HTTP_EXPORT_ALL=", "lower=case", "REMOTE_USER=alice", "AUTH_TYPE=Basic", "HTTPS=on",
		"NO_BUFFERING=", "DOCUMENT_URI=/cgi-bin/x", "REMOTE_ADDR=192.0.2.1", "GIVEN=by the front", "PERL5LIB=/srv/perl", "LANG=C.UTF-8", "PATH=" + environ.DefaultPath} {
		if !strings.Contains(plain, "\n"+want+"\n") {
			t.Errorf("no %s in%s", want, plain)
		}
	}
	for _, no := range []string{"HTTP_PROXY", "LD_PRELOAD", "/evil", "PERL5OPT", "BASH_ENV", "HTTP_AUTHORIZATION", "SECRET_OF_THE_SERVER", "CONTENT_LENGTH"} {
		if strings.Contains(plain, no) {
			t.Errorf("%s in%s", no, plain)
		}
	}
	if auth := ask(site.Wrap{PassAuthorization: true}); !strings.Contains(auth, "\nHTTP_AUTHORIZATION=Basic eA==\n") { // A33
		t.Errorf("no authorization in%s", auth)
	}
}

// B73: a stranger does not say which script is run.
func TestWrapStranger(t *testing.T) {
	dir := tree(t, files{"s.cgi": placed})
	f := wrap(t, site.Wrap{Roots: []string{dir}})
	f.Server.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tt := range []struct {
		ip     net.IP
		status int
	}{{net.IPv4(127, 0, 0, 1), 200}, {net.IPv4(192, 0, 2, 7), 403}} {
		f.peer = environ.Peer{Remote: &net.TCPAddr{IP: tt.ip, Port: 999}, Local: &net.TCPAddr{IP: tt.ip, Port: 9000}}
		if got := f.get("SCRIPT_FILENAME="+dir+"/s.cgi", "SCRIPT_NAME=/s.cgi"); got.status != tt.status {
			t.Errorf("%v: %d %q, want %d", tt.ip, got.status, got.body, tt.status)
		}
	}
	if want := "192.0.2.7 is not trusted"; !strings.Contains(f.log.String(), want) {
		t.Errorf("log %s, want %q in it", f.log, want)
	}
}

// fcgiwrap's -f.
func TestWrapStderr(t *testing.T) {
	dir := tree(t, files{"s.cgi": script("echo trouble >&2", okHeader, "echo ok"), "silent.cgi": script("exit 3")})
	for _, to := range []bool{false, true} {
		f := wrap(t, site.Wrap{Roots: []string{dir}, ScriptStderr: to})
		got := f.get("SCRIPT_FILENAME=" + dir + "/s.cgi")
		want := ""
		if to {
			want = "trouble\n"
		}
		if got.body != "ok\n" || got.stderr != want {
			t.Errorf("-f %v: %q and on its standard error %q, want %q", to, got.body, got.stderr, want)
		}
		eventually(t, "the line in the log", func() bool { return strings.Contains(f.log.String(), "line=trouble") })
		if got := f.get("SCRIPT_FILENAME=/none"); strings.Contains(got.stderr, "does not exist") != to {
			t.Errorf("-f %v: the front is told %q of a script that is not there", to, got.stderr)
		}
		if got := f.get("SCRIPT_FILENAME=" + dir + "/silent.cgi"); got.status != 502 || !strings.Contains(got.tell, "it printed nothing; exit status 3") {
			t.Errorf("-f %v: %d, and the front is told %q of a script that fails", to, got.status, got.tell)
		}
	}
}

// B75, A56: a body of unknown length has one for the script.
func TestWrapBodyOfUnknownLength(t *testing.T) {
	dir := tree(t, files{"s.cgi": script(okHeader, `printf '%s:' "$CONTENT_LENGTH"`, "cat")})
	f := wrap(t, site.Wrap{Roots: []string{dir}})
	if got := f.ask(context.Background(), strings.NewReader("chunked"), "REQUEST_METHOD=POST", "SCRIPT_FILENAME="+dir+"/s.cgi"); got.body != "7:chunked" {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

// The response does not begin before the whole body has come: nginx would send no more.
func TestWrapBodyComesFirst(t *testing.T) {
	dir := tree(t, files{"s.cgi": script(okHeader, "cat")})
	f := wrap(t, site.Wrap{Roots: []string{dir}}, func(c *config.Config) { c.Limits.MaxBody = 1000 })
	var out buffer
	body := &watched{r: strings.NewReader(strings.Repeat("x", 1000)), each: func(left int) {
		if left < 1000 {
			time.Sleep(20 * time.Millisecond) // for a script that runs already
		}
		if out.String() != "" {
			t.Errorf("%d bytes from the end of the body the response has begun: %q", left, out.String())
		}
	}}
	status, whole := f.Serve(context.Background(), &cgi.Incoming{Vars: append(usual[:len(usual):len(usual)], "REQUEST_METHOD=POST", "CONTENT_LENGTH=1000", "SCRIPT_FILENAME="+dir+"/s.cgi"),
		Peer: f.peer, Body: body, Out: &out})
	if status != 200 || !whole || !strings.HasSuffix(out.String(), "\r\n\r\n"+strings.Repeat("x", 1000)) {
		t.Errorf("%d, whole %v, %q", status, whole, out.String())
	}
	large := strings.NewReader(strings.Repeat("x", 1001))
	if got := f.ask(context.Background(), large, "REQUEST_METHOD=POST", "CONTENT_LENGTH=1001", "SCRIPT_FILENAME="+dir+"/s.cgi"); got.status != 413 || large.Len() != 1001 {
		t.Errorf("too large: %d with %d bytes unread", got.status, large.Len())
	}
}

// watched gives a body in pieces, and tells before each how much is left.
type watched struct {
	r    *strings.Reader
	each func(left int)
}

func (w *watched) Read(p []byte) (int, error) {
	w.each(w.r.Len())
	return w.r.Read(p[:min(len(p), 250)])
}

// A local redirect is the front's affair.
func TestWrapLocalRedirect(t *testing.T) {
	dir := tree(t, files{"s.cgi": script(`printf 'Location: /there\n\n'`)})
	f := wrap(t, site.Wrap{Roots: []string{dir}})
	if got := f.get("SCRIPT_FILENAME=" + dir + "/s.cgi"); !strings.Contains(got.head, "Location: /there") {
		t.Errorf("got %q", got.head)
	}
}

// What fcgiwrap does not do: end scripts, feed and read them at once, take several
// requests, pass output on as it comes.
func TestWrapWhereFcgiwrapFails(t *testing.T) {
	dir := tree(t, files{
		"hang.cgi":   script("echo $$ > pid", "exec sleep 60"),
		"child.cgi":  script("sleep 60 & echo $! > childpid", "echo $$ > childparent", okHeader, "echo begun", "wait"),
		"duplex.cgi": script(okHeader, "exec cat"),
		"job.cgi":    script("printf 'Status: 202 Accepted\\nContent-Type: text/plain\\n\\n'", "sleep 60 & echo started"),
		"slow.cgi":   script(okHeader, "echo first", "while [ ! -e gate ]; do sleep 0.01; done", "echo second"),
		"busy.cgi":   script("echo run >> runs", okHeader, "while [ ! -e gate ]; do sleep 0.01; done"),
		"mute.cgi":   script(okHeader, "echo read nothing"),
	})
	filename := func(name string) string { return "SCRIPT_FILENAME=" + filepath.Join(dir, name) }

	t.Run("a script that hangs", func(t *testing.T) { // fcgiwrap waits for ever
		f := wrap(t, site.Wrap{Roots: []string{dir}}, func(c *config.Config) { c.Limits.Timeout = config.Duration(500 * time.Millisecond) })
		eventually(t, "a script that has got so far in its time", func() bool {
			got := f.get(filename("hang.cgi"))
			if got.status != 504 || !strings.Contains(got.tell, "time") {
				t.Fatalf("%d, and the front is told %q", got.status, got.tell)
			}
			return written(dir + "/pid")
		})
		gone(t, dir+"/pid")
	})
	t.Run("a client that goes", func(t *testing.T) { // fcgiwrap calls kill(2) with its arguments interchanged
		f := wrap(t, site.Wrap{Roots: []string{dir}})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan *reply)
		go func() { done <- f.ask(ctx, nil, filename("child.cgi")) }()
		eventually(t, "the script's child", func() bool { return written(dir+"/childpid", dir+"/childparent") })
		cancel()
		<-done
		gone(t, dir+"/childparent")
		gone(t, dir+"/childpid")
	})
	t.Run("the end of the server", func(t *testing.T) { // fcgiwrap's scripts live on
		for _, name := range []string{"/childpid", "/childparent"} {
			_ = os.Remove(dir + name)
		}
		f := wrap(t, site.Wrap{Roots: []string{dir}})
		done := make(chan *reply)
		go func() { done <- f.get(filename("child.cgi")) }()
		eventually(t, "the script's child", func() bool { return written(dir+"/childpid", dir+"/childparent") })
		if err := f.host.Close(); err != nil {
			t.Error(err)
		}
		<-done
		gone(t, dir+"/childparent")
		gone(t, dir+"/childpid")
	})
	t.Run("both ways at once", func(t *testing.T) { // fcgiwrap writes the whole body before it reads
		f := wrap(t, site.Wrap{Roots: []string{dir}})
		body := strings.Repeat("0123456789abcdef", 1<<17)
		got := f.ask(context.Background(), strings.NewReader(body), "REQUEST_METHOD=POST", "CONTENT_LENGTH=2097152", filename("duplex.cgi"))
		if got.body != body {
			t.Errorf("%d: %d bytes, want %d", got.status, len(got.body), len(body))
		}
	})
	t.Run("a body that is not read", func(t *testing.T) { // fcgiwrap takes EPIPE for the end
		f := wrap(t, site.Wrap{Roots: []string{dir}})
		body := bytes.Repeat([]byte("x"), 1<<20)
		got := f.ask(context.Background(), bytes.NewReader(body), "REQUEST_METHOD=POST", "CONTENT_LENGTH=1048576", filename("mute.cgi"))
		if got.body != "read nothing\n" {
			t.Errorf("%d %q", got.status, got.body)
		}
	})
	t.Run("a job in the background", func(t *testing.T) { // fcgiwrap waits for it
		f := wrap(t, site.Wrap{Roots: []string{dir}}, func(c *config.Config) { c.Limits.Linger = config.Duration(50 * time.Millisecond) })
		begun := time.Now()
		if got := f.get(filename("job.cgi")); got.status != 202 || got.body != "started\n" || time.Since(begun) > long {
			t.Errorf("%d %q after %v", got.status, got.body, time.Since(begun))
		}
	})
	t.Run("output as it is written", func(t *testing.T) { // fcgiwrap holds 8 KiB back
		f := wrap(t, site.Wrap{Roots: []string{dir}})
		open := gate(t, dir+"/gate")
		seen := make(chan string, 1)
		var out buffer
		flush := func() error {
			if strings.Contains(out.String(), "first") {
				select {
				case seen <- out.String():
				default:
				}
			}
			return nil
		}
		done := make(chan bool)
		go func() {
			_, whole := f.Serve(context.Background(), &cgi.Incoming{Vars: append(usual[:len(usual):len(usual)], filename("slow.cgi")), Peer: f.peer, Out: &out, Flush: flush})
			done <- whole
		}()
		select {
		case got := <-seen:
			if strings.Contains(got, "second") {
				t.Errorf("flushed only with the rest: %q", got)
			}
		case <-time.After(long):
			t.Error("nothing was flushed while the script waits")
		}
		open()
		if whole := <-done; !whole || !strings.HasSuffix(out.String(), "first\nsecond\n") {
			t.Errorf("in the end %q, whole %v", out.String(), whole)
		}
	})
	t.Run("several at once, and no more than that", func(t *testing.T) { // fcgiwrap: one for each process, and no limit to the wait
		f := wrap(t, site.Wrap{Roots: []string{dir}}, func(c *config.Config) { c.Limits.Processes, c.Limits.Queue = 2, 0 })
		open := gate(t, dir+"/gate")
		done := make(chan *reply)
		for range 2 {
			go func() { done <- f.get(filename("busy.cgi")) }()
		}
		eventually(t, "two scripts", func() bool { b, _ := os.ReadFile(dir + "/runs"); return string(b) == "run\nrun\n" })
		if got := f.get(filename("busy.cgi")); got.status != 503 || !strings.Contains(got.head, "Retry-After: 1") || !strings.Contains(got.tell, "2 run and 0 wait (-c, queue)") {
			t.Errorf("a third: %d %q %q", got.status, got.head, got.tell)
		}
		open()
		for range 2 {
			if got := <-done; got.status != 200 {
				t.Errorf("one of two: %d", got.status)
			}
		}
	})
}
