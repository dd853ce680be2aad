package scripts_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/scripts"
)

// The shim by itself, without Gatehouse, under the web servers of others.

// A wsgiServer is a web server's configuration: {dir} is a folder, {port} where it
// listens, {shim} a command line up to the application, {app} that.
type wsgiServer struct {
	name, program string
	args          []string // the configuration is {dir}/conf
	conf          string
	responder     []string // started beside it
}

var wsgiServers = []wsgiServer{
	{name: "nginx with spawn-fcgi", program: "/usr/sbin/nginx", args: []string{"-e", "stderr", "-p", "{dir}", "-c", "{dir}/conf"}, conf: `
daemon off;
pid {dir}/pid;
{root user root;}
events {}
http {
	access_log off;
	client_body_temp_path {dir}/b; fastcgi_temp_path {dir}/f; scgi_temp_path {dir}/s; proxy_temp_path {dir}/p; uwsgi_temp_path {dir}/u;
	client_max_body_size 0;
	upstream app { server unix:{dir}/socket; keepalive 4; }
	server {
		listen 127.0.0.1:{port};
		location / { include /etc/nginx/fastcgi_params; fastcgi_pass app; }
		location /kept/ { include /etc/nginx/fastcgi_params; fastcgi_pass app; fastcgi_keep_conn on; fastcgi_request_buffering off; rewrite ^/kept(/.*) $1 break; }
	}
}`, responder: []string{"/usr/bin/spawn-fcgi", "-n", "-s", "{dir}/socket", "--", "{shim}", "--script-name", "", "--threads", "2", "{app}"}},
	{name: "lighttpd", program: "/usr/sbin/lighttpd", args: []string{"-D", "-f", "{dir}/conf"}, conf: `
server.modules = ("mod_fastcgi")
server.document-root = "{dir}"
server.bind = "127.0.0.1"
server.port = {port}
server.upload-dirs = ("{dir}")
fastcgi.server = ("/" => (("socket" => "{dir}/socket", "bin-path" => "{shim} {app}", "check-local" => "disable", "max-procs" => 1, "fix-root-scriptname" => "enable")))
`},
	{name: "Apache with mod_cgi", program: "/usr/sbin/apache2", args: []string{"-DFOREGROUND", "-f", "{dir}/conf"}, conf: apacheCGI("mpm_prefork", "cgi")},
	{name: "Apache with mod_cgid", program: "/usr/sbin/apache2", args: []string{"-DFOREGROUND", "-f", "{dir}/conf"}, conf: apacheCGI("mpm_event", "cgid") + "ScriptSock {dir}/cgisock\n"},
	{name: "Apache with mod_proxy_fcgi", program: "/usr/sbin/apache2", args: []string{"-DFOREGROUND", "-f", "{dir}/conf"}, conf: apacheBase("mpm_event", "proxy", "proxy_fcgi") +
		"ProxyPass / unix:{dir}/socket|fcgi://localhost/ enablereuse=on flushpackets=on\n",
		responder: []string{"/usr/bin/spawn-fcgi", "-n", "-M", "0666", "-s", "{dir}/socket", "--", "{shim}", "--script-name=", "{app}"}},
}

func apacheBase(modules ...string) string {
	var b strings.Builder
	b.WriteString("ServerRoot {dir}\nDefaultRuntimeDir {dir}\nPidFile {dir}/pid\nMutex file:{dir}\nErrorLog /dev/stderr\nServerName localhost\nListen 127.0.0.1:{port}\nDocumentRoot {dir}\n{root User www-data\nGroup www-data}\n")
	for _, m := range append(modules, "authz_core", "alias") {
		fmt.Fprintf(&b, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	b.WriteString("<Directory {dir}>\nRequire all granted\n</Directory>\n")
	return b.String()
}

func apacheCGI(mpm, cgi string) string {
	return apacheBase(mpm, cgi) + "ScriptAlias / {dir}/app.cgi/\n"
}

// start writes the configuration and starts the server, and returns its URL.
func (s wsgiServer) start(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // a server that is root runs as somebody else
	app, err := os.ReadFile(torture(t))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "run_wsgi.py"), scripts.WSGIShim(), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "app.py"), app, 0o644))
	command := "/usr/bin/python3 " + dir + "/run_wsgi.py" // one that any user may start
	must(t, os.WriteFile(filepath.Join(dir, "app.cgi"), []byte("#!/bin/sh\nexec "+command+" "+dir+"/app.py\n"), 0o755))
	port := freeWSGIPort(t)
	fill := func(text string) string {
		if before, rest, found := strings.Cut(text, "{root "); found {
			inside, after, _ := strings.Cut(rest, "}")
			if os.Getuid() != 0 {
				inside = ""
			}
			text = before + inside + after
		}
		return strings.NewReplacer("{dir}", dir, "{port}", port, "{shim}", command, "{app}", dir+"/app.py").Replace(text)
	}
	must(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(fill(s.conf)), 0o644))
	if s.responder != nil {
		var argv []string
		for _, arg := range s.responder {
			if arg == "{shim}" {
				argv = append(argv, strings.Fields(command)...)
				continue
			}
			argv = append(argv, fill(arg))
		}
		background(t, dir, argv)
	}
	argv := []string{s.program}
	for _, arg := range s.args {
		argv = append(argv, fill(arg))
	}
	background(t, dir, argv)
	return "http://127.0.0.1:" + port
}

// ready waits until a server reaches the application, which was started beside it.
func ready(t *testing.T, client *http.Client, url string) {
	t.Helper()
	shimEventually(t, "the application answers", func() bool {
		resp, err := client.Get(url + "/ignore")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && string(body) == "ignored"
	})
}

// freeWSGIPort returns a port that nobody is given by chance until the test ends: a socket
// that does not listen has it, beside which a server may that sets SO_REUSEADDR.
func freeWSGIPort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	must(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	must(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	addr, err := syscall.Getsockname(fd)
	must(t, err)
	return strconv.Itoa(addr.(*syscall.SockaddrInet4).Port)
}

// background runs a program until the test ends, and then asks it to end.
func background(t *testing.T, dir string, argv []string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said shimOutput
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = shimPatience
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(shimPatience, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
		if !kill.Stop() {
			t.Errorf("%s did not end by SIGTERM", argv[0])
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], &said)
		}
	})
}

func TestWSGIUnderOtherServers(t *testing.T) {
	upload := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	sum := fmt.Sprintf("%d %08x ", len(upload), crc32.ChecksumIEEE(upload))
	letters := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 5<<20/26+1)[:5<<20]
	tests := []struct {
		name, method, path string
		body               []byte
		status             int
		want               string
		prefix             bool
	}{
		{name: "path and query", method: "GET", path: "/read/a%20b?read", status: 200, want: "[b'']"},
		{name: "lines", method: "POST", path: "/read?readline;read", body: []byte("one\ntwo"), status: 200, want: `[b'one\n', b'two']`},
		{name: "generator", method: "GET", path: "/generator", status: 200, want: "onetwo"},
		{name: "nothing", method: "GET", path: "/nobody", status: 200},
		{name: "HEAD", method: "HEAD", path: "/list", status: 200},
		{name: "204", method: "GET", path: "/bodiless?204+No+Content", status: 204},
		{name: "304", method: "GET", path: "/bodiless?304+Not+Modified", status: 304},
		{name: "another status", method: "GET", path: "/status?'418+Teapot'", status: 418, want: "accepted"},
		{name: "failure", method: "GET", path: "/raise?ValueError(),before", status: 500, want: "Internal Server Error\n"},
		{name: "upload", method: "POST", path: "/sum", body: upload, status: 200, want: sum, prefix: true},
		{name: "upload that is ignored", method: "POST", path: "/ignore", body: upload[:200000], status: 200, want: "ignored"},
		{name: "much", method: "GET", path: "/big?5242880,gen", status: 200, want: letters},
		{name: "much at once", method: "GET", path: "/big?5242880,list", status: 200, want: letters},
		{name: "after all that", method: "GET", path: "/ignore", status: 200, want: "ignored"},
	}
	for _, s := range wsgiServers {
		t.Run(s.name, func(t *testing.T) {
			for _, program := range append([]string{s.program}, s.responder[:min(1, len(s.responder))]...) {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("NOT TESTED: %s is not installed", program)
				}
			}
			client := &http.Client{Timeout: shimPatience, Transport: new(http.Transport)}
			defer client.CloseIdleConnections()
			prefixes := []string{""}
			if strings.HasPrefix(s.name, "nginx") {
				prefixes = append(prefixes, "/kept")
			}
			url := s.start(t)
			ready(t, client, url)
			for _, prefix := range prefixes {
				for _, tt := range tests {
					t.Run(prefix+tt.name, func(t *testing.T) {
						req, err := http.NewRequest(tt.method, url+prefix+tt.path, bytes.NewReader(tt.body))
						must(t, err)
						resp, err := client.Do(req)
						must(t, err)
						defer resp.Body.Close()
						body, err := io.ReadAll(resp.Body)
						got := string(body)
						if err != nil || resp.StatusCode != tt.status || got != tt.want && !(tt.prefix && strings.HasPrefix(got, tt.want)) {
							t.Errorf("got %d, %.100q (%d bytes), %v, want %d, %.100q", resp.StatusCode, got, len(got), err, tt.status, tt.want)
						}
					})
				}
			}
		})
	}
}
