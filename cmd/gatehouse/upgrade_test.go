package main

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"gatehouse/internal/site"
)

// A program that gets the sockets of this process, and ends without a word, leaves them as
// they are: on one that blocks a goroutine would wait that nothing but a connection can
// wake, and the server could not stop. Nor does a reload that listens on a copy of one.
func TestSuccessorLeavesSocketsAlone(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := site.CopyListener(ln)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/bin/sh", "-c", "test -S /proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Run(); err != nil {
		t.Errorf("the program has no socket: %v", err)
	}
	second, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	conn, err := ln.(*net.UnixListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var flags int
	if e := conn.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if flags&unix.O_NONBLOCK == 0 {
		t.Error("the socket blocks")
	}
}
