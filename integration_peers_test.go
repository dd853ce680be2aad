package gatehouse_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startPeer runs a program that is not ours beside the host, in the foreground and in a
// group of its own, until the test ends: a web server in front, an application behind. It
// returns when one can connect to addr ("host:port", or the path of a Unix socket).
func startPeer(t *testing.T, dir, addr string, cmd *exec.Cmd) {
	t.Helper()
	name := filepath.Base(cmd.Path)
	logName := filepath.Join(dir, name+".out")
	out, err := os.Create(logName)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	t.Cleanup(func() {
		endPeer(t, cmd, over)
		if t.Failed() {
			t.Logf("the end of what %s said:\n%s", name, tail(logName))
		}
	})
	if !eventually(func() bool { return len(over) > 0 || accepts(addr) }) || len(over) > 0 {
		t.Fatalf("%s does not listen on %s:\n%s", name, addr, tail(logName))
	}
}

// endPeer asks a peer to end, and kills its group if it does not.
func endPeer(t *testing.T, cmd *exec.Cmd, over chan error) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-over:
	case <-time.After(patience):
		t.Errorf("%s still runs %v after SIGTERM", cmd.Path, patience)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-over
	}
}

// accepts reports whether something listens on an address.
func accepts(addr string) bool {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	conn, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return errors.Is(err, syscall.EAGAIN) // a full backlog belongs to a listener
	}
	_ = conn.Close()
	return true
}

// freePort returns an address on which nothing listens. Until the test ends a socket that
// does not listen is bound to it: the kernel gives the port to nobody who asks for any, and
// lets a peer have it that asks for it with SO_REUSEADDR, as servers do.
func freePort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// port is the port of an address.
func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// asRoot returns text for the configuration of a server that wants to be told so when it
// is root and is to stay it.
func asRoot(text string) string {
	if os.Getuid() == 0 {
		return text
	}
	return ""
}

// fill puts values into the {names} of a configuration.
func fill(text string, values ...string) string {
	return strings.NewReplacer(values...).Replace(text)
}
