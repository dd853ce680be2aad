package scripts_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/fastcgi"
)

// SIGTERM and SIGINT: the request that runs ends, a request that has come is answered,
// idle connections are closed, and the status is 0.
func TestWSGIStop(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for _, threads := range []string{"1", "3"} {
			t.Run(fmt.Sprint(sig, " with threads ", threads), func(t *testing.T) {
				dir := t.TempDir()
				w := startWSGI(t, "--threads", threads, torture(t))
				idle := w.dial(t)
				defer idle.Close()
				idle.send(t, whole(wsgiRequest{path: "/ignore"}, true))
				if a := idle.answer(t); a.body != "ignored" {
					t.Fatalf("got %+v", a)
				}
				running := w.dial(t)
				defer running.Close()
				running.send(t, whole(wsgiRequest{path: "/steps", vars: []string{"X_DIR=" + dir}}, true))
				if _, got := running.next(t); !strings.HasSuffix(got, "one") {
					t.Fatalf("got %q", got)
				}
				late := w.dial(t)
				defer late.Close()
				if threads == "1" {
					late.send(t, whole(wsgiRequest{path: "/ignore"}, true))
				}
				must(t, w.cmd.Process.Signal(sig))
				for _, want := range []string{"two", "three"} {
					must(t, os.WriteFile(filepath.Join(dir, want), nil, 0o600))
					running.expect(t, fastcgi.TypeStdout, 1, want)
				}
				if a := running.answer(t); !a.whole {
					t.Errorf("got %+v", a)
				}
				if threads == "1" {
					if a := late.answer(t); a.body != "ignored" {
						t.Errorf("got %+v", a)
					}
				}
				if !idle.closed() || !running.closed() {
					t.Error("a connection is open")
				}
				if got := w.wait(t); got != 0 {
					t.Errorf("got status %d", got)
				}
				if got := w.stderr.String(); got != "" {
					t.Errorf("got stderr %q", got)
				}
			})
		}
	}
}

// An idle shim, that waits in the system, ends as well.
func TestWSGIStopIdle(t *testing.T) {
	for _, threads := range []string{"1", "4"} {
		w := startWSGI(t, "--threads", threads, torture(t))
		c := w.dial(t)
		defer c.Close()
		if a := c.ask(t, wsgiRequest{path: "/ignore"}); a.body != "ignored" {
			t.Fatalf("got %+v", a)
		}
		time.Sleep(50 * time.Millisecond) // long enough to be idle
		must(t, w.cmd.Process.Signal(syscall.SIGTERM))
		if got := w.wait(t); got != 0 {
			t.Errorf("threads %s: got status %d", threads, got)
		}
	}
}

// Nothing that the application or its children print or read touches the protocol.
func TestWSGIStandardFiles(t *testing.T) {
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		a := ask(t, wsgiRequest{path: "/print", body: "body"})
		if a.body != "stdin has ''" || !a.whole {
			t.Errorf("got %+v", a)
		}
	})
	a := askCGI(t, wsgiRequest{path: "/print", body: "body"}, torture(t))
	if a.stderr != "printed\nby a child\n" {
		t.Errorf("got stderr %q", a.stderr)
	}
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	c.ask(t, wsgiRequest{path: "/print"})
	shimEventually(t, "it is printed", func() bool { return w.stderr.String() == "printed\nby a child\n" })
}

// FastCGI 2.2 has descriptors 1 and 2 closed; no socket may get their numbers.
func TestWSGIClosedFiles(t *testing.T) {
	cmd := shimCommand(t, torture(t))
	cmd.Args = append([]string{"sh", "-c", `exec "$@" >&- 2>&-`, "sh"}, cmd.Args...)
	cmd.Path = "/bin/sh"
	c := startWSGICommand(t, cmd).dial(t)
	defer c.Close()
	for range 2 {
		c.send(t, whole(wsgiRequest{path: "/print"}, true))
		if a := c.answer(t); a.body != "stdin has ''" {
			t.Errorf("got %+v", a)
		}
	}
	c.send(t, whole(wsgiRequest{path: "/errors"}, true))
	if a := c.answer(t); !strings.HasPrefix(a.stderr, "one\n") {
		t.Errorf("got %+v", a)
	}
}

// A child that the application starts has none of the sockets.
func TestWSGIDescriptors(t *testing.T) {
	w := startWSGI(t, torture(t))
	for range 2 {
		c := w.dial(t)
		defer c.Close()
		if a := c.ask(t, wsgiRequest{path: "/descriptors"}); strings.Contains(a.body, "socket:") || !strings.Contains(a.body, "/dev/null") {
			t.Errorf("got\n%s", a.body)
		}
	}
}

// A forked child of the application answers nothing, takes no request, and ends where it
// comes back.
func TestWSGIFork(t *testing.T) {
	tests := []struct{ how, want string }{
		{"return", "child ended with 0"},
		{"generate", "child ended with 1"}, // its output cannot be sent
		{"exit", "child ended with 7"},
		{"raise", "child ended with 1"},
	}
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, tt := range tests {
			t.Run(tt.how, func(t *testing.T) {
				if a := ask(t, wsgiRequest{path: "/fork?" + tt.how}); a.body != tt.want || a.status != "200 OK" || !a.whole {
					t.Errorf("got %+v, want %q", a, tt.want)
				}
			})
		}
	})
}

// FastCGI 3.2: over TCP, only the web servers that are named may connect.
func TestWSGIWebServers(t *testing.T) {
	for _, tt := range []struct {
		name, addrs string
		served      bool
	}{{"named", "192.0.2.1, 127.0.0.1", true}, {"not named", "192.0.2.1", false}, {"none named", "", true}} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer ln.Close()
			cmd := shimCommand(t, torture(t))
			cmd.Stdin, err = ln.(*net.TCPListener).File()
			must(t, err)
			defer cmd.Stdin.(*os.File).Close()
			if tt.addrs != "" {
				cmd.Env = append(cmd.Env, "FCGI_WEB_SERVER_ADDRS="+tt.addrs)
			}
			must(t, cmd.Start())
			defer cmd.Wait()
			defer cmd.Process.Kill()
			conn, err := net.Dial("tcp", ln.Addr().String())
			must(t, err)
			must(t, conn.SetDeadline(time.Now().Add(shimPatience)))
			c := newWSGIConn(conn)
			defer c.Close()
			if a := c.ask(t, wsgiRequest{path: "/ignore"}); (a.body == "ignored") != tt.served {
				t.Errorf("got %+v", a)
			}
		})
	}
}
