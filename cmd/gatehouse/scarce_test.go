package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scarce starts gatehouse by a shell that says what limits it has, and returns it with its
// log and address. The configuration may begin with where it listens, HTTP first; HOST in
// it is an address of this process's own.
func scarce(t *testing.T, limits, config string) (cmd *exec.Cmd, log func() string, dir, addr string) {
	t.Helper()
	dir = t.TempDir()
	if !strings.HasPrefix(config, "listen =") {
		config = "listen = ['HOST:0']\n" + config
	}
	config = strings.ReplaceAll(config, "HOST", ownLoopback())
	for name, text := range map[string]string{
		"g.toml": config + "control = 'c.sock'\n[[site]]\nroot = '.'\n[[site.route]]\npath = '/cgi-bin/'\ncgi = 'cgi-bin/'\n[[site.route]]\npath = '/away'\nredirect = '/x.txt'\nstatus = 308\n",
		"x.txt":  "text", "cgi-bin/count": "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nwc -c\n",
		"cgi-bin/held": "#!/bin/sh\nprintf x >>../held\nwhile [ ! -e ../gate ]; do sleep 0.01; done\nprintf 'Content-Type: text/plain\\n\\n'\n",
		// Too much for sockets.
		"cgi-bin/big": "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nhead -c 16777216 /dev/zero | tr '\\0' z\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		syscall.ForkLock.RLock() // no child is to have it open for writing
		err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	said := new(transcript)
	cmd = exec.Command("/bin/sh", "-c", limits+"; exec gatehouse serve -c g.toml")
	cmd.Dir, cmd.Stderr, cmd.Env = dir, said, append(os.Environ(), "GORACE="+noSleep)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("it does not end")
			_ = cmd.Process.Signal(syscall.SIGQUIT) // and says where it is
			<-done
		}
		if t.Failed() {
			t.Logf("log:\n%s", said)
		}
	})
	at := regexp.MustCompile(`on http://(\S+)/\n(.|\n)*Ctrl-C stops it\n`)
	has(t, "an address", func() bool {
		m := at.FindStringSubmatch(said.String())
		if m != nil {
			addr = m[1]
		}
		return m != nil
	})
	return cmd, said.String, dir, addr
}

// has waits for a fact.
func has(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

func dialHost(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answered reads a response with that status.
func answered(t *testing.T, conn net.Conn, want int) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("got %s, %v, want %d: %s", resp.Status, err, want, text)
	}
	return string(text)
}

func ask(t *testing.T, conn net.Conn, path string) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

// limit changes a limit of a running process, and returns what it was.
func limit(t *testing.T, cmd *exec.Cmd, resource int, to uint64) (was uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(cmd.Process.Pid, resource, nil, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(cmd.Process.Pid, resource, &unix.Rlimit{Cur: to, Max: old.Max}, nil); err != nil {
		t.Fatal(err)
	}
	return old.Cur
}

// Where not even the reserve helps, since the limit has become less than what is open,
// connections wait, and are answered when there are descriptors again.
func TestDescriptorsUsedUp(t *testing.T) {
	cmd, log, _, addr := scarce(t, ":", "")
	was := limit(t, cmd, unix.RLIMIT_NOFILE, 3)
	conn := dialHost(t, addr)
	ask(t, conn, "/cgi-bin/count")
	has(t, "failure in the log", func() bool { return strings.Contains(log(), "too many open files") })
	limit(t, cmd, unix.RLIMIT_NOFILE, was)
	if status, text := response(t, conn); text != noDescriptor && (status != 200 || strings.TrimSpace(text) != "0") {
		t.Errorf("got %d %q", status, text)
	}
	has(t, "answer as before", func() bool {
		conn := dialHost(t, addr)
		defer conn.Close()
		ask(t, conn, "/cgi-bin/count")
		status, text := response(t, conn)
		return status == 200 && strings.TrimSpace(text) == "0"
	})
}

// Connections take no more than half of the descriptors: the host, its programs and its
// control socket have theirs while all places are taken.
func TestDescriptorsKept(t *testing.T) {
	_, log, dir, addr := scarce(t, "ulimit -n 120", "")
	has(t, "warning", func() bool {
		return strings.Contains(log(), "connections is more than the limit of open files allows") && strings.Contains(log(), "in_force=60")
	})
	busy := dialHost(t, addr)
	ask(t, busy, "/cgi-bin/held")
	has(t, "request under way", func() bool { _, err := os.Stat(filepath.Join(dir, "held")); return err == nil })
	var idle []net.Conn
	for range 150 {
		idle = append(idle, dialHost(t, addr))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for range 3 {
		reload := exec.CommandContext(ctx, "gatehouse", "reload", "--control", filepath.Join(dir, "c.sock"))
		reload.Env = append(os.Environ(), "GORACE="+noSleep)
		if out, err := reload.CombinedOutput(); err != nil {
			t.Errorf("reload: %v: %s", err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	answered(t, busy, 200)
	for _, conn := range idle {
		_ = conn.Close()
	}
	conn := dialHost(t, addr)
	ask(t, conn, "/x.txt")
	answered(t, conn, 200)
	if strings.Contains(log(), "too many open files") {
		t.Errorf("descriptors were used up:\n%s", log())
	}
}

// A disk that is full (here a limit of the size of files, which ends a process that does
// not expect it) costs the requests that need it, and those alone.
func TestDiskFull(t *testing.T) {
	cmd, _, _, addr := scarce(t, ":", "log = 'log'\naccess_log = 'access'\nspool_memory = '4KiB'\n")
	was := limit(t, cmd, unix.RLIMIT_FSIZE, 1)
	post := func(want int) string {
		t.Helper()
		conn := dialHost(t, addr)
		body := strings.Repeat("x", 64<<10)
		// Of unknown length, so it is kept before the program starts.
		if _, err := fmt.Fprintf(conn, "POST /cgi-bin/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body); err != nil {
			t.Fatal(err)
		}
		return answered(t, conn, want)
	}
	post(507)
	conn := dialHost(t, addr)
	ask(t, conn, "/x.txt")
	if got := answered(t, conn, 200); got != "text" {
		t.Errorf("got %q", got)
	}
	limit(t, cmd, unix.RLIMIT_FSIZE, was)
	if got := strings.TrimSpace(post(200)); got != "65536" {
		t.Errorf("got %q", got)
	}
}
