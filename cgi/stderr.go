package cgi

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/process"
)

// stderr reads the standard error of a process into a writer: in the first phase
// (see output) when it is told to, then by a goroutine of its own.
type stderr struct {
	fd   int // -1 once settled, or at its end
	f    *os.File
	sink io.Writer
	done chan struct{} // closed when the goroutine has ended; nil in the first phase
}

var lineBuffers = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

func stderrOf(fd int, sink io.Writer) stderr { return stderr{fd: fd, sink: sink} }

// readOnce reads what there is, or closes the pipe at its end. It does not block
// when poll has found the pipe ready.
func (s *stderr) readOnce() {
	buf := lineBuffers.Get().(*[]byte)
	defer lineBuffers.Put(buf)
	n, err := unix.Read(s.fd, *buf)
	switch {
	case n > 0:
		_, _ = s.sink.Write((*buf)[:n])
	case err != unix.EINTR && err != unix.EAGAIN: // its end
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

// drain reads to the end, at most for d.
func (s *stderr) drain(d time.Duration) {
	for begun := time.Now(); s.fd >= 0; {
		ready, err := process.Poll(max(0, d-time.Since(begun)), s.fd)
		if err != nil || !ready[0] {
			return
		}
		if s.readOnce(); time.Since(begun) > d { // it may have no end
			return
		}
	}
}

// settle starts the goroutine, which ends when the pipe does or at release.
func (s *stderr) settle() {
	s.done = make(chan struct{})
	if s.fd < 0 {
		close(s.done)
		return
	}
	f := process.File(s.fd)
	s.f, s.fd = f, -1
	go func() {
		defer close(s.done)
		buf := lineBuffers.Get().(*[]byte)
		defer lineBuffers.Put(buf)
		for {
			n, err := f.Read(*buf)
			if n > 0 {
				_, _ = s.sink.Write((*buf)[:n])
			}
			if err != nil {
				return
			}
		}
	}()
}

// release closes the pipe. A descendant may hold the other end: what it has to say
// after this is not heard.
func (s *stderr) release() {
	switch {
	case s.f != nil:
		_ = s.f.SetReadDeadline(time.Unix(0, 1))
		<-s.done
		_ = s.f.Close()
	case s.fd >= 0:
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}
