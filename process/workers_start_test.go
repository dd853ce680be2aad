package process_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

// Programs that listen by themselves, at a socket or a port that they are given.
func TestWorkersListenThemselves(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		network string
	}{
		{"socket", []string{"unix", "{socket}"}, "unix"},
		{"port", []string{"tcp", "127.0.0.1:{port}"}, "tcp"},
		{"socket, late", []string{"unix", "{socket}", "300ms"}, "unix"},
		{"port, late", []string{"tcp", "127.0.0.1:{port}", "300ms"}, "tcp"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := workers(t, &process.Workers{Max: 2, Command: *fake("worker", test.args...)})
			a, b := g.dial(), g.dial()
			if got := a.RemoteAddr().Network(); got != test.network {
				t.Errorf("got a %s connection, want %s", got, test.network)
			}
			if a.RemoteAddr().String() == b.RemoteAddr().String() {
				t.Errorf("both listen at %s", a.RemoteAddr())
			}
			for _, c := range []workerConn{a, b} {
				if got := g.ask(c, "pid"); got != fmt.Sprint(c.Pid()) {
					t.Errorf("process %s answers, want %d", got, c.Pid())
				}
				if got := g.ask(c, "look"); !strings.Contains(got, "peer=false") {
					t.Errorf("got %s, want a descriptor 0 that is no socket", got)
				}
				c.Done()
				c.Release()
			}
			g.serve("pid")
		})
	}
}

func TestWorkersStartFails(t *testing.T) {
	tests := []struct {
		name    string
		c       *process.Command
		want    string
		timeout time.Duration
	}{
		{"missing", &process.Command{Path: "/proc/nonexistent/app"}, "the file does not exist", 0},
		{"missing interpreter", &process.Command{Path: write(t, 0o755, "#!/proc/nonexistent/perl\n")}, `its interpreter "/proc/nonexistent/perl"`, 0},
		{"ends", shArgs("echo cannot open the database >&2; exit 4", "{socket}"),
			`: exit status 4, before it listened, its last line on standard error was "cannot open the database"`, 0},
		{"goes to the background", shArgs("(setsid sleep 1000 >/dev/null 2>&1 &); exit 0", "{port}"), "perhaps to go on in the background", 0},
		{"does not listen", shArgs("exec sleep 1000", "{port}"), "does not listen at \"127.0.0.1:", 300 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := workers(t, &process.Workers{Max: 1, Command: *test.c, StartTimeout: test.timeout})
			_, err := g.Dial(context.Background())
			if se := (*process.StartError)(nil); !errors.As(err, &se) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a StartError with %q", err, test.want)
			}
			g.settles(0)
		})
	}
}

// shArgs is a shell script that gets an argument which it does not use.
func shArgs(script, arg string) *process.Command {
	c := sh(script)
	c.Args = append(c.Args, "sh", arg)
	return c
}

// nobody is a user without rights.
var nobody = process.User{UID: 65534, GID: 65534, Groups: []uint32{65534, 7}}

func needsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root may start processes as another user")
	}
}

func TestUser(t *testing.T) {
	needsRoot(t)
	e := open(t, &process.Exec{})
	c := sh("id -u; id -g; id -G; grep -h ^CapEff /proc/self/status")
	c.User = &nobody
	if out, _ := run(t, e, c); out != "65534\n65534\n65534 7\nCapEff:\t0000000000000000\n" {
		t.Errorf("got %q, want user and group 65534, group 7 and no capabilities", out)
	}
	c = sh("id -u; id -G")
	c.User = &process.User{UID: 65534, GID: 65534}
	if out, _ := run(t, e, c); out != "65534\n65534\n" {
		t.Errorf("got %q, want user and group 65534 without others", out)
	}
}

// A process of another user has its limits, or does not run (F34).
func TestUserLimits(t *testing.T) {
	needsRoot(t)
	before := descriptors()
	e := &process.Exec{}
	defer sameDescriptors(t, before)
	defer e.Close()
	c := sh("ulimit -v")
	c.User, c.Limits.Memory = &nobody, 1<<30
	p, err := e.Spawn(context.Background(), c)
	if err != nil {
		if !strings.Contains(err.Error(), "its limit of memory to 1073741824 cannot be set: operation not permitted") {
			t.Errorf("got %v, want that the limit cannot be set", err)
		}
		if left := children(os.Getpid()); len(left) > 0 {
			t.Errorf("children %d are left", left)
		}
		return
	}
	p.Kill()
	p.End()
	if out, _ := run(t, e, c); out != "1048576\n" {
		t.Errorf("got %q, want the limit", out)
	}
}

func TestUserStartError(t *testing.T) {
	needsRoot(t)
	e := open(t, &process.Exec{})
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := write(t, 0o700, "#!/bin/sh\n")
	_, err := e.Spawn(context.Background(), &process.Command{Path: path, User: &nobody})
	if se := (*process.StartError)(nil); !errors.As(err, &se) || !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "user 65534 may not execute it") {
		t.Errorf("got %v, want that user 65534 may not", err)
	}
}

// Who is not root can be nobody else, and is itself without any right.
func TestUserWithoutRoot(t *testing.T) {
	needsRoot(t)
	e := open(t, &process.Exec{})
	for _, test := range []struct{ name, uid, want string }{
		{"another", "1", "user 65534 may not start processes as user 1, only root may"},
		{"itself", "65534", "exit status 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := fake("changer", test.uid)
			c.User = &nobody
			if err := unix.Access(c.Path, unix.X_OK); err != nil {
				t.Fatal(err)
			}
			c.Path = copyOf(t, c.Path)
			if out, _ := run(t, e, c); !strings.Contains(out, test.want) {
				t.Errorf("got %q, want %q", out, test.want)
			}
		})
	}
}

func init() { fakes["changer"] = fakeChanger }

// fakeChanger starts a program as another user.
func fakeChanger(args []string) int {
	e := process.Exec{}
	defer e.Close()
	var u process.User
	if _, err := fmt.Sscan(args[0], &u.UID); err != nil {
		return complain(err)
	}
	u.GID = u.UID
	p, err := e.Spawn(context.Background(), &process.Command{Path: "/bin/true", User: &u})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	<-p.Exited()
	exit, _ := p.Exit()
	fmt.Println(exit)
	p.End()
	return 0
}

// copyOf returns a copy of a program in a folder that everybody may enter.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/program", text, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir + "/program"
}

// Workers of another user: the program can use its socket, make one of its own,
// and open /dev/stderr.
func TestWorkersUser(t *testing.T) {
	needsRoot(t)
	program := copyOf(t, self())
	for _, args := range [][]string{nil, {"unix", "{socket}"}, {"tcp", "127.0.0.1:{port}"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			c := fake("worker", args...)
			c.Path, c.User = program, &nobody
			g := workers(t, &process.Workers{Max: 1, Command: *c})
			g.openUp()
			wc := g.dial()
			if got := g.ask(wc, "look"); !strings.Contains(got, "uid=65534 gid=65534") {
				t.Errorf("got %s, want user 65534", got)
			}
			wc.Release()
		})
	}
	c := sh("echo hello >/dev/stderr; exec sleep 1000")
	c.User = &nobody
	g := workers(t, &process.Workers{Max: 1, Command: *c})
	g.dial().Release()
	g.log.wants(t, "msg=stderr", "line=hello")
}

// openUp has everybody enter the folders above the one that the sockets are in.
func (g group) openUp() {
	for dir := g.dir; dir != os.TempDir() && len(dir) > 1; dir = dir[:strings.LastIndexByte(dir, '/')] {
		if err := os.Chmod(dir, 0o755); err != nil {
			g.t.Fatal(err)
		}
	}
}

// A program that makes its own socket cannot have us connect to another user's.
func TestWorkersUserOtherSocket(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	ln, err := net.Listen("unix", dir+"/ours")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := shArgs("ln -s "+dir+"/ours $1; exec sleep 1000", "{socket}")
	c.User = &nobody
	g := workers(t, &process.Workers{Max: 1, Command: *c, StartTimeout: 500 * time.Millisecond})
	g.openUp()
	until(t, "that the socket is another's", func() bool { // at first it may be slower than the time-out
		_, err := g.Dial(t.Context())
		if err == nil {
			t.Fatal("it is connected to another's socket")
		}
		return strings.Contains(err.Error(), "is that of user 0, not of 65534")
	})
}
