package process

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Pipe is a pipe between this process and a child. Theirs, the child's end, is to
// be closed once the child has been started.
type Pipe struct {
	Ours   int // does not block: a child can read back what Poll has seen
	Theirs *os.File
}

// NewPipe returns a pipe; childWrites tells which end is the child's. Neither end
// reaches any child but the one that it is given to.
func NewPipe(childWrites bool) (Pipe, error) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return Pipe{}, fmt.Errorf("process: pipe: %w", err)
	}
	if !childWrites {
		fd[0], fd[1] = fd[1], fd[0]
	}
	if _, err := unix.FcntlInt(uintptr(fd[1]), unix.F_SETFL, 0); err != nil { // theirs blocks
		_ = unix.Close(fd[0])
		_ = unix.Close(fd[1])
		return Pipe{}, fmt.Errorf("process: pipe: %w", err)
	}
	return Pipe{Ours: fd[0], Theirs: os.NewFile(uintptr(fd[1]), "pipe")}, nil
}

// Close closes both ends, for a child that could not be started.
func (p Pipe) Close() {
	_ = unix.Close(p.Ours)
	_ = p.Theirs.Close()
}

// File makes our end of a pipe into a file that belongs to the runtime's poller: its
// reads and writes have deadlines and hold no thread.
func File(ours int) *os.File { return os.NewFile(uintptr(ours), "pipe") }

// Poll waits until one of the descriptors is readable or at its end, at most d
// (for ever where d is negative), and reports which; a negative descriptor is
// left out. It holds a thread meanwhile.
func Poll(d time.Duration, fds ...int) (ready [2]bool, err error) {
	var set [2]unix.PollFd
	for n := range set {
		set[n].Fd = -1
		if n < len(fds) {
			set[n] = unix.PollFd{Fd: int32(fds[n]), Events: unix.POLLIN}
		}
	}
	var timeout *unix.Timespec
	begun := time.Now()
	for {
		if d >= 0 {
			left := max(0, d-time.Since(begun))
			ts := unix.NsecToTimespec(int64(left))
			timeout = &ts
		}
		n, err := unix.Ppoll(set[:], timeout, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return ready, fmt.Errorf("process: poll: %w", err)
		}
		if n > 0 {
			ready = [2]bool{set[0].Revents != 0, set[1].Revents != 0}
		}
		return ready, nil
	}
}

func pollOne(fd int, d time.Duration) error {
	_, err := Poll(d, fd)
	return err
}
