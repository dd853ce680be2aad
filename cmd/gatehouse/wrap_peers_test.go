package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// gatehouse is the command under test as an executable: this program under that name.
func gatehouse(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "gatehouse")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GORACE", noSleep)
	return name
}

// writeScripts writes executable scripts into a folder.
func writeScripts(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range texts {
		if err := writeUnheld(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

const hello = "printf 'Content-Type: text/plain\\n\\n'\n"

// The socket that wrap was started with: on descriptor 0, as FastCGI 1.0 2.2 has it, and
// from systemd, for the unit fcgiwrap.socket with an ExecStart of one's own. It is not
// ours to remove.
func TestWrapInheritedSocket(t *testing.T) {
	dir := shortDir(t)
	program := gatehouse(t, dir)
	writeScripts(t, dir+"/bin", map[string]string{"s.cgi": hello + "echo hello"})
	for _, tt := range []struct {
		name  string
		start func(socket *os.File) *exec.Cmd
	}{
		{"descriptor 0", func(socket *os.File) *exec.Cmd {
			cmd := exec.Command(program, "wrap", "-f", "--root", dir+"/bin")
			cmd.Stdin = socket
			return cmd
		}},
		{"systemd", func(socket *os.File) *exec.Cmd {
			cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=fcgiwrap.socket exec "$0" wrap -f --root "$1"`, program, dir+"/bin")
			cmd.ExtraFiles = []*os.File{socket}
			return cmd
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(dir, "s.sock")
			ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			f, err := ln.File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd := tt.start(f)
			var log bytes.Buffer
			cmd.Stderr, cmd.WaitDelay = &log, patience
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			status, stdout, stderr := calls(t, "unix:"+name, "--script", dir+"/bin/s.cgi", "-t", patience.String())
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil || status != 0 || stdout != "hello\n" {
				t.Errorf("call: %d %q\n%s\nwrap: %v\n%s", status, stdout, stderr, err, &log)
			}
			if want := name + " as a FastCGI application, inherited\n"; !strings.Contains(log.String(), want) {
				t.Errorf("log\n%s\nwant %q", &log, want)
			}
			if _, err := os.Stat(name); err != nil {
				t.Errorf("the socket: %v", err)
			}
		})
	}
}

func TestWrapSpawnFCGI(t *testing.T) {
	spawn, err := exec.LookPath("spawn-fcgi")
	if err != nil {
		t.Skip("no spawn-fcgi: install spawn-fcgi")
	}
	dir := shortDir(t)
	program := gatehouse(t, dir)
	writeScripts(t, dir+"/bin", map[string]string{"s.cgi": hello + "echo hello"})
	socket := dir + "/s.sock"
	daemon(t, listens(socket), spawn, "-n", "-s", socket, "-M", "0600", "--", program, "wrap", "-c4", "--root", dir+"/bin")
	if status, stdout, stderr := calls(t, "unix:"+socket, "--script", dir+"/bin/s.cgi"); status != 0 || stdout != "hello\n" {
		t.Errorf("%d %q\n%s", status, stdout, stderr)
	}
}

// A socket that a dead server left is replaced; fcgiwrap does not start then.
func TestWrapStaleSocket(t *testing.T) {
	dir := shortDir(t)
	program := gatehouse(t, dir)
	writeScripts(t, dir+"/bin", map[string]string{"s.cgi": hello + "echo hello"})
	socket := dir + "/s.sock"
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	daemon(t, listens(socket), program, "wrap", "--root", dir+"/bin", "-s", "unix:"+socket)
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o660 { // fcgiwrap's may be anybody's (F48)
		t.Errorf("the socket: %v, %v", st.Mode(), err)
	}
}

// B73: on TCP it is the peers on this machine that may name scripts, or those of --trust.
func TestWrapTrust(t *testing.T) {
	dir := shortDir(t)
	program := gatehouse(t, dir)
	writeScripts(t, dir+"/bin", map[string]string{"s.cgi": hello + "echo hello"})
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"this machine", nil, "< 200 OK"},
		{"named", []string{"--trust", "127.0.0.1"}, "< 200 OK"},
		{"others", []string{"--trust", "192.0.2.0/24", "--trust", "unix"}, "< 403 Forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := freeAddress(t)
			daemon(t, accepts(addr), program, append([]string{"wrap", "--root", dir + "/bin", "-s", "tcp:" + addr}, tt.args...)...)
			if status, _, stderr := calls(t, addr, "--script", dir+"/bin/s.cgi"); status != 0 || !strings.Contains(stderr, tt.want) {
				t.Errorf("%d\n%s\nwant %q", status, stderr, tt.want)
			}
		})
	}
}

// freeAddress is one at which nothing listens, and nobody else is going to.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", ownLoopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func accepts(addr string) func() bool {
	return func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
}

// nginx serves what conf has in its server block, with DIR in place of the folder,
// and returns its address.
func nginx(t *testing.T, dir, conf string) string {
	t.Helper()
	program := "/usr/sbin/nginx"
	if _, err := os.Stat(program); err != nil {
		t.Skip("no nginx: install nginx-light")
	}
	addr := freeAddress(t)
	text := strings.ReplaceAll(`daemon off; master_process off; pid DIR/nginx.pid; error_log DIR/error.log info;
events {}
http {
	access_log off;
	client_body_temp_path DIR/body; proxy_temp_path DIR/t1; fastcgi_temp_path DIR/t2; uwsgi_temp_path DIR/t3; scgi_temp_path DIR/t4;
	client_max_body_size 100m;
	server { listen ADDR; root DIR/html; `+conf+` }
}`, "DIR", dir)
	text = strings.ReplaceAll(text, "ADDR", addr)
	if err := os.WriteFile(dir+"/nginx.conf", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon(t, accepts(addr), program, "-p", dir, "-c", dir+"/nginx.conf", "-e", dir+"/error.log")
	return "http://" + addr
}

// inPlace is what nginx users have been told to write for fcgiwrap, in its usual
// variations.
const inPlace = `
	# as Debian's package has it
	location /cgi-bin/ {
		gzip off;
		root DIR/lib;
		fastcgi_pass unix:DIR/s.sock;
		include /etc/nginx/fastcgi_params;
		fastcgi_param SCRIPT_FILENAME DIR/lib$fastcgi_script_name;
	}
	# by the path alone
	location /walk/ {
		fastcgi_pass unix:DIR/s.sock;
		include /etc/nginx/fastcgi_params;
		fastcgi_param DOCUMENT_ROOT DIR/lib;
	}
	# everything behind one program, as for cgit
	location /one/ {
		fastcgi_split_path_info ^(/one)(/.*)$;
		include /etc/nginx/fastcgi_params;
		fastcgi_param SCRIPT_FILENAME DIR/lib/cgi-bin/show.cgi;
		fastcgi_param PATH_INFO $fastcgi_path_info;
		fastcgi_param QUERY_STRING $args;
		fastcgi_param FURTHER "a value";
		fastcgi_pass unix:DIR/s.sock;
	}
	# scripts among the files
	location ~ \.pl$ {
		fastcgi_pass unix:DIR/s.sock;
		fastcgi_index index.pl;
		include /etc/nginx/fastcgi.conf;
	}
	location ~ /git(/.*) {
		include /etc/nginx/fastcgi_params;
		fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
		fastcgi_param GIT_HTTP_EXPORT_ALL "";
		fastcgi_param GIT_PROJECT_ROOT DIR/git;
		fastcgi_param REMOTE_USER someone;
		fastcgi_param PATH_INFO $1;
		fastcgi_pass unix:DIR/s.sock;
	}
	location /gitweb/ {
		include /etc/nginx/fastcgi_params;
		fastcgi_param SCRIPT_FILENAME /usr/share/gitweb/gitweb.cgi;
		fastcgi_param GITWEB_CONFIG DIR/gitweb.conf;
		fastcgi_pass unix:DIR/s.sock;
	}
`

const showPlace = hello + `echo "$SCRIPT_NAME|$PATH_INFO|$QUERY_STRING|$REMOTE_ADDR|$FURTHER|$(pwd)"; cat` + "\n"

func TestWrapBehindNginx(t *testing.T) {
	dir := shortDir(t)
	program := gatehouse(t, dir)
	writeScripts(t, dir+"/lib/cgi-bin", map[string]string{"show.cgi": showPlace, "count.cgi": hello + "wc -c\n", "fail.cgi": "echo 'no database' >&2; exit 3\n"})
	writeScripts(t, dir+"/lib/walk", map[string]string{"show.cgi": showPlace})
	writeScripts(t, dir+"/html", map[string]string{"index.pl": showPlace})
	socket := dir + "/s.sock"
	daemon(t, listens(socket), program, "wrap", "-s", "unix:"+socket, "--root", dir+"/lib", "--root", dir+"/html",
		"-p", "/usr/lib/git-core/git-http-backend", "-p", "/usr/share/gitweb/gitweb.cgi")
	url := nginx(t, dir, inPlace)
	for _, tt := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"Debian's", "/cgi-bin/show.cgi?a=b", "", 200, "/cgi-bin/show.cgi||a=b|127.0.0.1||DIR/lib/cgi-bin\n"},
		{"a body", "/cgi-bin/show.cgi", "some data", 200, "/cgi-bin/show.cgi|||127.0.0.1||DIR/lib/cgi-bin\nsome data"},
		{"path info, which Debian's does not split off", "/cgi-bin/show.cgi/x", "", 404, "404"},
		{"missing", "/cgi-bin/none.cgi", "", 404, "404"},
		{"a script that fails", "/cgi-bin/fail.cgi", "", 502, "502"},
		{"the path", "/walk/show.cgi/x/y?q", "", 200, "/walk/show.cgi|/x/y|q|127.0.0.1||DIR/lib/walk\n"},
		{"nothing on the path", "/walk/none/x", "", 404, "404"},
		{"one program", "/one/a%20b?q", "", 200, "/one|/a b|q|127.0.0.1|a value|DIR/lib/cgi-bin\n"},
		{"among the files", "/index.pl", "", 200, "/index.pl|||127.0.0.1||DIR/html\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := "GET"
			if tt.body != "" {
				method = "POST"
			}
			status, body := request(t, method, url+tt.path, tt.body)
			if want := strings.ReplaceAll(tt.want, "DIR", dir); status != tt.status || !strings.Contains(body, want) {
				t.Errorf("%d %q, want %d %q", status, body, tt.status, want)
			}
		})
	}
	t.Run("header first, then a large body", func(t *testing.T) {
		if status, body := request(t, "POST", url+"/cgi-bin/count.cgi", strings.Repeat("x", 5<<20)); status != 200 || body != "5242880\n" {
			t.Errorf("%d %q", status, body)
		}
	})
	t.Run("the front's log", func(t *testing.T) {
		log, err := os.ReadFile(dir + "/error.log")
		if err != nil || !bytes.Contains(log, []byte("it printed nothing; exit status 3: no database")) {
			t.Errorf("%v, nginx's error log:\n%s", err, log)
		}
	})
	t.Run("git", func(t *testing.T) { wrapGit(t, dir, url) })
	t.Run("gitweb", func(t *testing.T) {
		if _, err := os.Stat("/usr/share/gitweb/gitweb.cgi"); err != nil {
			t.Skip("no gitweb: install gitweb")
		}
		if err := os.WriteFile(dir+"/gitweb.conf", []byte("$projectroot = '"+dir+"/git';\n$site_name = 'From its configuration';\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if status, body := request(t, "GET", url+"/gitweb/?p=p.git;a=summary", ""); status != 200 || !strings.Contains(body, "From its configuration") {
			t.Errorf("%d %q", status, body)
		}
	})
}

func request(t *testing.T, method, url, body string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// wrapGit clones, commits and pushes.
func wrapGit(t *testing.T, dir, url string) {
	if _, err := os.Stat("/usr/lib/git-core/git-http-backend"); err != nil {
		t.Skip("no git-http-backend: install git")
	}
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	bare := dir + "/git/p.git"
	git("init", "-q", "--bare", bare)
	git("-C", bare, "config", "http.receivepack", "true")
	git("clone", "-q", url+"/git/p.git", dir+"/clone")
	large := bytes.Repeat([]byte("0123456789abcdef\n"), 1<<16)
	for n := range large { // git sends what it cannot make small in pieces of unknown number
		large[n] ^= byte(n * n >> 7)
	}
	if err := os.WriteFile(dir+"/clone/large", large, 0o644); err != nil {
		t.Fatal(err)
	}
	git("-C", dir+"/clone", "add", "large")
	git("-C", dir+"/clone", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "one")
	git("-C", dir+"/clone", "-c", "http.postBuffer=65536", "push", "-q", "origin", "HEAD")
	if got, want := git("-C", bare, "rev-parse", "HEAD"), git("-C", dir+"/clone", "rev-parse", "HEAD"); got != want {
		t.Errorf("pushed %s, want %s", got, want)
	}
	if n := fmt.Sprint(len(large)); !strings.Contains(git("-C", bare, "cat-file", "-s", "HEAD:large"), n) {
		t.Errorf("the file has not %s bytes", n)
	}
}
