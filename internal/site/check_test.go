package site_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// problems are what Check says, without the folder in front, one a line.
func problems(dir string, err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), dir+"/", "")
}

// What only the machine can tell is told all at once, with file, line, column and key.
func TestCheck(t *testing.T) {
	dir := tree(t, files{
		"file": "x", "folder/": "", "ok.cgi": script("exit 0"), "plain.cgi": "echo hello", "wrong.cgi": "#!/no/such/interpreter\n",
		"app.py": "", "bin/tool": script("exit 0"), "noexec": "#!/bin/sh\n", "socket-file": "x",
	})
	if err := os.Chmod(filepath.Join(dir, "noexec"), 0o644); err != nil {
		t.Fatal(err)
	}
	const route = "[[site]]\n[[site.route]]\npath = '/x/'\n"
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", route + "cgi = 'ok.cgi'", ""},
		{"root", "[[site]]\nroot = 'gone'", `2:8: site.root: folder "DIR/gone" does not exist`},
		{"root is a file", "[[site]]\nroot = 'file'", `2:8: site.root: "DIR/file" is not a folder`},
		{"no script", route + "cgi = 'gone.cgi'", `4:7: site.route.cgi: script "DIR/gone.cgi": the file does not exist`},
		{"script is a folder", route + "cgi = 'folder'", `4:7: site.route.cgi: "DIR/folder" is a folder (end it with a "/" if it holds scripts)`},
		{"folder is a script", route + "cgi = 'ok.cgi/'", `4:7: site.route.cgi: "DIR/ok.cgi" is not a folder`},
		{"not executable", route + "cgi = 'noexec'", `4:7: site.route.cgi: script "DIR/noexec": not executable: no execute permission (mode 0644); chmod +x noexec`},
		{"no interpreter", route + "cgi = 'wrong.cgi'", `4:7: site.route.cgi: script "DIR/wrong.cgi": `},
		{"static", route + "static = 'gone/'", `4:10: site.route.static: folder "DIR/gone/" does not exist`},
		{"filter's root", route + "root = 'gone'\nfastcgi = { command = ['./bin/tool'], role = 'filter' }", `4:8: site.route.root: folder "DIR/gone" does not exist`},
		{"command", route + "fastcgi = { command = ['./none'], dir = 'gone', user = 'no-such-user' }",
			`4:23: site.route.fastcgi.command: program "DIR/none": the file does not exist
4:41: site.route.fastcgi.dir: folder "DIR/gone" does not exist
4:56: site.route.fastcgi.user: there is no user "no-such-user"`},
		{"authorizer", route + "cgi = 'ok.cgi'\nauthorize = { command = ['./none'] }", `5:25: site.route.authorize.command: program "DIR/none": the file does not exist`},
		{"wsgi, its module alone", route + "wsgi = 'gone.py'", `4:8: site.route.wsgi.module: file "DIR/gone.py" does not exist`},
		{"spool_dir, once", "spool_dir = 'gone'\n" + route + "cgi = 'ok.cgi'\n[[site.route]]\npath = '/y/'\ncgi = 'ok.cgi'", `1:13: spool_dir: folder "DIR/gone" does not exist`},
		{"logs", "log = 'gone/e.log'\naccess_log = 'folder'\nslow_log = 'file/x'\n[[site]]\naccess_log = 'gone2/a.log'",
			`1:7: log: folder "DIR/gone" does not exist
2:14: access_log: "DIR/folder" is a folder (expected a file)
3:12: slow_log: file "DIR/file/x": not a directory
5:14: site.access_log: folder "DIR/gone2" does not exist`},
		{"cgroup", "cgroup = 'DIR/folder'\n[[site]]", `1:10: cgroup: folder "DIR/folder" is not in a cgroup v2 file system (expected a cgroup v2 folder that is delegated`},
		{"socket's folder", "listen = ['127.0.0.1:0', 'unix:gone/s', 'unix:socket-file']\n[[site]]",
			`1:26: listen: cannot listen on unix:gone/s: no such file or directory (the folder "DIR/gone" does not exist)
1:41: listen: cannot listen on unix:socket-file: address already in use (there is a file that is no socket)`},
		{"admin's", "admin = ['unix:gone/s', '192.0.2.1:9']\n[[site]]",
			`1:10: admin: cannot listen on unix:gone/s: no such file or directory (the folder "DIR/gone" does not exist)
1:25: admin: cannot listen on 192.0.2.1:9: cannot assign requested address (the address is none of this machine's)`},
		{"control", "control = 'gone/c'\n[[site]]", `1:11: control: folder "DIR/gone" does not exist`},
		{"beside a module", "[[site]]\n[[site.route]]\npath = '/'\nwsgi = 'gone.py'\nsendfile = 'gone/'", `4:8: site.route.wsgi.module: file "DIR/gone.py" does not exist
5:12: site.route.sendfile: folder "DIR/gone/" does not exist`},
		{"owners", "listen_owner = 'no-such-user'\nlisten_group = 'no-such-group'\n[[site]]",
			`1:16: listen_owner: there is no user "no-such-user"
2:16: listen_group: there is no group "no-such-group"`},
		{"not this machine's", "listen = ['192.0.2.1:0']\n[[site]]", `1:11: listen: cannot listen on 192.0.2.1:0: cannot assign requested address (the address is none of this machine's)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := descriptors()
			text := strings.ReplaceAll(tt.text, "DIR", dir)
			if !strings.Contains(text, "listen =") {
				text = strings.TrimSuffix(text, "\n") + "\n"
			}
			cfg, err := config.Parse(filepath.Join(dir, "g.toml"), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, "listen =") {
				cfg.Listen = nil
			}
			got := site.Check(cfg, site.Checking{})
			want := strings.Split(strings.ReplaceAll(tt.want, "DIR/", ""), "\n")
			lines := strings.Split(strings.ReplaceAll(problems(dir, got), "g.toml:", ""), "\n")
			if len(lines) != len(want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
			}
			for n := range want { // the ends of some are the system's words
				if !strings.HasPrefix(lines[n], want[n]) || want[n] == "" && lines[n] != "" {
					t.Errorf("got\n%s\nwant\n%s", lines[n], want[n])
				}
			}
			var es config.Errors
			if got != nil && !errors.As(got, &es) {
				t.Errorf("got %T, want Errors", got)
			}
			if now := descriptors(); now > before {
				t.Errorf("%d descriptors, %d before", now, before)
			}
		})
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 9 {
		t.Errorf("files were made: %v, %v", left, err)
	}
}

// What only root can do, and only root can read, is told to others.
func TestCheckAsAnotherUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may do everything")
	}
	dir := tree(t, files{"locked/": ""})
	if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, dir, "listen = ['unix:DIR/locked/s']\nlog = 'locked/log'\n[[site]]\nroot = 'locked'\n")
	err := site.Check(cfg, site.Checking{})
	if !errors.Is(err, fs.ErrPermission) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}

// An address that another program listens on is taken; one that the running host itself
// has is not. Neither notices.
func TestCheckAddressesThatAreTaken(t *testing.T) {
	dir := tree(t, files{"htdocs/a.txt": "a"})
	own := ownLoopback()
	tcp, err := net.Listen("tcp", own+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	other, err := net.Listen("unix", dir+"/other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stale, err := net.Listen("unix", dir+"/stale")
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("listen = ['%s', 'fastcgi:unix:DIR/other', 'unix:DIR/stale']\n[[site]]\nroot = 'htdocs'\n", tcp.Addr())
	cfg := parse(t, dir, text)
	err = site.Check(cfg, site.Checking{})
	want := fmt.Sprintf("gatehouse.toml:1:11: listen: cannot listen on %s: address already in use (another program listens there)\n"+
		"gatehouse.toml:1:%d: listen: cannot listen on fastcgi:unix:other: address already in use (another program listens there)",
		tcp.Addr(), len("listen = ['', ")+1+len(tcp.Addr().String()))
	if got := problems(dir, err); got != want || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, ln := range []net.Listener{tcp, other} {
		if waits(t, ln) {
			t.Errorf("somebody connected to %v", ln.Addr())
		}
	}
	control, err := net.Listen("unix", dir+"/control") // of this process, which has the others
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	held := site.HeldBy(dir + "/control")
	if held == nil {
		t.Fatal("nobody is seen behind the control socket")
	}
	if err := site.Check(cfg, site.Checking{Held: held}); err != nil {
		t.Errorf("of the host itself: %v", err)
	}
	if held := site.HeldBy(dir + "/none"); held != nil {
		t.Error("somebody is seen where nobody is")
	}
	if err := site.Check(cfg, site.Checking{Held: func(uint64) bool { return false }}); err == nil {
		t.Error("what another has is not taken")
	}
}

// A host that is reloaded tells of what it lacks and of what it could not listen on
// together, and serves on.
func TestReloadReportsEverything(t *testing.T) {
	dir := tree(t, files{"htdocs/a.txt": "a"})
	taken, err := net.Listen("tcp", ownLoopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := start(t, dir, "[[site]]\nroot = 'DIR/htdocs'\n")
	first := s.host.Config().Listen[0]
	cfg := parse(t, dir, "listen = ['"+taken.Addr().String()+"']\n[[site]]\nroot = 'gone'\n")
	cfg.Listen = append(cfg.Listen, first)
	err = s.host.Reload(cfg)
	if err == nil || !strings.Contains(err.Error(), "listen: cannot listen on "+taken.Addr().String()) || !strings.Contains(err.Error(), "site.root: folder") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v", err)
	}
	if got := s.get(t, "/a.txt"); got.body != "a" {
		t.Errorf("got %q", got.body)
	}
}

// All addresses that cannot be listened on are told.
func TestServeReportsEveryAddress(t *testing.T) {
	dir := tree(t, files{"htdocs/a.txt": "a"})
	h, err := site.New(parse(t, dir, "listen = ['unix:DIR/none/a', '127.0.0.1:0', 'unix:DIR/none/b']\n[[site]]\nroot = 'DIR/htdocs'\n"), site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	err = h.Serve(context.Background(), context.Background(), nil)
	if err == nil || !strings.Contains(err.Error(), "none/a: ") || !strings.Contains(err.Error(), "none/b: ") {
		t.Errorf("got %v", err)
	}
}

// waits reports whether somebody has connected to a listener.
func waits(t *testing.T, ln net.Listener) bool {
	t.Helper()
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	pending := 0
	err = raw.Control(func(fd uintptr) {
		pending, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	return pending > 0
}
