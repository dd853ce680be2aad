package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// exiting reports whether a process has begun to end. Its sockets are closed some time
// before it can be waited for, and on a busy machine that is long: without this, whoever
// sees the end of a connection cannot know whether the process lives on.
func exiting(pid int) bool {
	const pfExiting = 4 // PF_EXITING of the flags; set before anything is closed
	return statField(pid, 9)&pfExiting != 0
}

// awaitEnd waits for the end of a process, at most d, or 5 s more where that has begun, and
// not beyond done. It reports whether the process has ended.
func awaitEnd(p *Process, d time.Duration, done <-chan struct{}) bool {
	for _, most := range []time.Duration{d, 5 * time.Second} {
		t := time.NewTimer(most)
		select {
		case <-p.Exited():
		case <-t.C:
		case <-done:
			most = 0
		}
		t.Stop()
		if _, ended := p.Exit(); ended {
			return true
		}
		if most == 0 || !exiting(p.Pid) {
			break
		}
	}
	return false
}

// statField is a number of a process's stat, by its place beyond the state's as proc(5)
// counts; 0 where there is none.
func statField(pid, place int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndexByte(text, ')') // the name may hold anything
	if err != nil || at < 0 {
		return 0
	}
	fields := bytes.Fields(text[at+1:])
	if place -= 3; len(fields) <= place { // the state, the third, comes first
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[place]), 10, 64)
	return n
}

// awaitRead waits until all was read that a process which has ended has written to the
// pipe f: until done, which is its end, or for d where another process holds the pipe
// and nothing is in it.
func awaitRead(done <-chan struct{}, f *os.File, d time.Duration) {
	for range 50 {
		t := time.NewTimer(d)
		select {
		case <-done:
			t.Stop()
			return
		case <-t.C:
		}
		if unread(f) == 0 {
			return
		}
	}
}

// unread is how many bytes are in a pipe, 0 when it is closed.
func unread(f *os.File) (n int) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = conn.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}
