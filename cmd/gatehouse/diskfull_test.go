package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownMount is a command that runs another where it may mount things that nobody else sees.
func ownMount(t *testing.T) string {
	t.Helper()
	var said []byte
	for _, way := range []string{"unshare -m", "unshare -rm"} {
		out, err := exec.Command("/bin/sh", "-c", way+" mount -t tmpfs none "+t.TempDir()).CombinedOutput()
		if err == nil {
			return way
		}
		said = append(said, out...)
	}
	t.Skipf("NOT TESTED: a disk that is full, since no file system can be mounted here: %s", said)
	return ""
}

// disk is a folder of a file system in another process's namespace.
type disk string

// fill leaves no room, and empty makes all of that free.
func (d disk) fill(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(string(d), "fill"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func (d disk) empty(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(string(d), "fill")); err != nil {
		t.Fatal(err)
	}
}

func (d disk) file(name string) string {
	text, _ := os.ReadFile(filepath.Join(string(d), name))
	return string(text)
}

// On a file system without room requests go on, but for those whose body has to be kept;
// what the logs lose is told when there is room again, and all is as it was.
func TestFileSystemFull(t *testing.T) {
	way := ownMount(t)
	const config = "access_log = 'full/access'\nlog = 'full/log'\nslow_log = 'full/slow'\nslow = '1ms'\nspool_dir = 'full'\nspool_memory = '4KiB'\noutput_memory = '16KiB'\n"
	cmd, _, dir, addr := scarce(t, fmt.Sprintf(`mkdir full; exec %s /bin/sh -c 'mount -t tmpfs -o size=8m none full && exec gatehouse serve -c g.toml'`, way), config)
	d := disk(fmt.Sprintf("/proc/%d/root%s/full", cmd.Process.Pid, dir))

	held := func() net.Conn { // which is slow, so the slow log has it
		conn := dialHost(t, addr)
		ask(t, conn, "/cgi-bin/held")
		return conn
	}
	gate := filepath.Join(dir, "gate")
	slow := held()
	has(t, "line in the slow log", func() bool { return strings.Count(d.file("slow"), "\n") > 0 })
	has(t, "line in the access log", func() bool { return statusOf(t, addr, "/x.txt") == 200 && d.file("access") != "" })

	d.fill(t)
	if status, text := postOf(t, addr); status != 507 {
		t.Errorf("a body that has no room: got %d %q", status, text)
	}
	before := strings.Count(d.file("slow"), "\n")
	late := held()
	long := strings.Repeat("x", 6<<10)
	for n := range 400 { // more than is kept for the access log; each is answered
		if got := statusOf(t, addr, fmt.Sprintf("/x.txt?%d%s", n, long)); got != 200 {
			t.Fatalf("request %d with a full disk: got %d", n, got)
		}
	}
	big := dialHost(t, addr) // reads nothing for now, so its response is to be kept
	ask(t, big, "/cgi-bin/big")
	has(t, "file for the response", func() bool { return hasOpen(cmd.Process.Pid, "/full/#") })
	_ = big.SetDeadline(time.Now().Add(2 * patience))
	answer, err := io.ReadAll(big)
	if _, body, _ := bytes.Cut(answer, []byte("\r\n\r\n")); err != nil || bytes.Count(body, []byte("z")) != 16<<20 {
		t.Errorf("a response that has no room: %d bytes, %v", len(answer), err)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	answered(t, slow, 200)
	answered(t, late, 200)

	d.empty(t)
	has(t, "number of lines lost", func() bool {
		return strings.Contains(d.file("log"), `msg="lines of a log were lost"`) && strings.Contains(d.file("log"), "full/access")
	})
	has(t, "line in the slow log", func() bool { return strings.Count(d.file("slow"), "\n") > before })
	if status, text := postOf(t, addr); status != 200 || strings.TrimSpace(text) != "65536" {
		t.Errorf("with room again: got %d %q", status, text)
	}
	has(t, "line of a request with room again", func() bool {
		return statusOf(t, addr, "/x.txt?again") == 200 && strings.Contains(d.file("access"), "again")
	})
	has(t, "reason in the log", func() bool { return strings.Contains(d.file("access"), "no space left on device") })
}

// hasOpen reports whether a process has a file open with that in its name.
func hasOpen(pid int, name string) bool {
	all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, name) {
			return true
		}
	}
	return false
}

func statusOf(t *testing.T, addr, path string) int {
	t.Helper()
	conn := dialHost(t, addr)
	defer conn.Close()
	ask(t, conn, path)
	status, _ := response(t, conn)
	return status
}

// post sends a body of unknown length, so that it is kept before the program starts.
func postOf(t *testing.T, addr string) (status int, text string) {
	t.Helper()
	conn := dialHost(t, addr)
	defer conn.Close()
	body := strings.Repeat("x", 64<<10)
	if _, err := fmt.Fprintf(conn, "POST /cgi-bin/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body); err != nil {
		t.Fatal(err)
	}
	return response(t, conn)
}
