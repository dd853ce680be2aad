package admin_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gatehouse/internal/admin"
)

// overSocket makes one request through a control socket.
func overSocket(t *testing.T, path, method, target string) (status int, text string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	req, err := http.NewRequest(method, "http://localhost"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// What is in the way of a control socket: only a socket of ours that nobody listens on is
// replaced.
func TestListenControl(t *testing.T) {
	bound := func(t *testing.T, path string) *net.UnixListener {
		t.Helper()
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return ln.(*net.UnixListener)
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"a stale one", func(t *testing.T, path string) {
			ln := bound(t, path)
			ln.SetUnlinkOnClose(false)
			_ = ln.Close()
		}, ""},
		{"one that answers", func(t *testing.T, path string) {
			ln := bound(t, path)
			t.Cleanup(func() { _ = ln.Close() })
		}, "another gatehouse answers there"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "there is a file that is no socket"},
		{"a link", func(t *testing.T, path string) {
			if err := os.Symlink("/nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, "there is a file that is no socket"},
		{"another's", func(t *testing.T, path string) {
			if os.Geteuid() != 0 {
				t.Skip("SKIPPED: only root can give a file away")
			}
			ln := bound(t, path)
			ln.SetUnlinkOnClose(false)
			_ = ln.Close()
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}, "it belongs to the user with the number 65534, not to that of this process (0)"},
		{"no folder", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.sock")
			tt.prepare(t, path)
			before, _ := os.Lstat(path)
			ln, err := admin.ListenControl(path)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "control socket "+path+": ") {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
				if after, err := os.Lstat(path); before != nil && (err != nil || !os.SameFile(before, after)) {
					t.Errorf("it was replaced: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if st, err := os.Stat(path); err != nil || st.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("got %v, %v", st.Mode(), err)
			}
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is left: %v", err)
			}
		})
	}
}

// What is asked for is done, or why not is told; who asks for what is not there learns it.
func TestControl(t *testing.T) {
	var stops atomic.Int32
	s := admin.NewSocket(admin.Control(admin.Actions{
		Reload:  func(context.Context) error { return nil },
		Upgrade: func(context.Context) error { return errors.New("one\ntwo") },
		Stop:    func() { stops.Add(1) },
		Status:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "status of "+r.URL.Path) }),
	}))
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := admin.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Move(path, ln)
	for _, tt := range []struct {
		method, target string
		status         int
		text           string
	}{
		{"POST", "/reload", 204, ""},
		{"POST", "/upgrade", 409, "one\ntwo"},
		{"POST", "/reopen", 501, "not possible here"},
		{"POST", "/stop", 202, ""},
		{"GET", "/x", 200, "status of /x"},
	} {
		if status, text := overSocket(t, path, tt.method, tt.target); status != tt.status || text != tt.text {
			t.Errorf("%s %s: got %d %q, want %d %q", tt.method, tt.target, status, text, tt.status, tt.text)
		}
	}
	if got := stops.Load(); got != 1 {
		t.Errorf("stopped %d times", got)
	}
	other := filepath.Join(t.TempDir(), "d.sock")
	if ln, err = admin.ListenControl(other); err != nil {
		t.Fatal(err)
	}
	s.Move(other, ln)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first is left: %v", err)
	}
	if status, _ := overSocket(t, other, "POST", "/reload"); status != 204 || s.Path() != other {
		t.Errorf("moved: got %d at %s", status, s.Path())
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second is left: %v", err)
	}
}

// askAs is a program that anybody may run: it posts to a socket, and prints the answer or
// why there is none.
func askAs(path string) *exec.Cmd {
	return exec.Command("/usr/bin/perl", "-e", `use Socket;
		socket(S, PF_UNIX, SOCK_STREAM, 0) or die;
		connect(S, pack_sockaddr_un($ARGV[0])) or do { print lc $!; exit };
		syswrite(S, "POST /reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
		print while sysread(S, $_, 4096);`, path)
}

// Only root and the owner may use it, whatever its permissions are.
func TestControlPeers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can be somebody else")
	}
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c.sock")
	ln, err := admin.ListenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	s := admin.NewSocket(admin.Control(admin.Actions{Reload: func(context.Context) error { return nil }}))
	s.Move(path, ln)
	defer s.Shutdown(context.Background())
	ask := func() string {
		t.Helper()
		cmd := askAs(path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := ask(); !strings.Contains(got, "permission denied") {
		t.Errorf("got %q", got)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got := ask(); !strings.Contains(got, "403") || !strings.Contains(got, "only root and the user with the number 0 may use this socket") {
		t.Errorf("got %q", got)
	}
}
