package site

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
)

// listenersVar tells a process which sockets it takes over, as NAME:DESCRIPTOR with commas
// between; names are escaped as in a URL's query. It is not LISTEN_FDS, which holds the
// process's number: who starts one cannot know that.
const listenersVar = "GATEHOUSE_LISTENERS"

// mostTaken bounds the sockets that are taken over.
const mostTaken = 10_000

// Socket is a listening socket on its way to another process.
type Socket struct {
	Name string // by which TakeListener finds it
	File *os.File
}

// SocketsVariable is what the environment of a process has to have that is started with
// those sockets as its descriptors from first on.
func SocketsVariable(sockets []Socket, first int) string {
	var b strings.Builder
	b.WriteString(listenersVar + "=")
	for n, s := range sockets {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%d", url.QueryEscape(s.Name), first+n)
	}
	return b.String()
}

// taken are the sockets that were passed to this process and that nobody has asked for yet.
var taken struct {
	sync.Once
	mu   sync.Mutex
	list []Socket
	err  error
}

// taking reads listenersVar once, and removes it: programs have no business with it.
func taking() error {
	taken.Do(func() {
		text, ok := os.LookupEnv(listenersVar)
		if !ok {
			return
		}
		_ = os.Unsetenv(listenersVar)
		if text != "" {
			taken.list, taken.err = parseSockets(text)
		}
	})
	return taken.err
}

func parseSockets(text string) (list []Socket, err error) {
	for part := range strings.SplitSeq(text, ",") {
		escaped, number, _ := strings.Cut(part, ":")
		name, err := url.QueryUnescape(escaped)
		fd, err2 := strconv.ParseUint(number, 10, 16)
		if err != nil || err2 != nil || fd < 3 || name == "" || len(list) >= mostTaken {
			return nil, fmt.Errorf("site: bad %s: %q", listenersVar, part)
		}
		unix.CloseOnExec(int(fd))
		list = append(list, Socket{name, os.NewFile(uintptr(fd), name)})
	}
	return list, nil
}

// TakeListener returns the listener of that name if the process that this one takes over
// from has passed it, and nil if it has not. A Unix socket's file stays when it is closed,
// until OwnSockets.
func TakeListener(name string) (net.Listener, error) {
	if err := taking(); err != nil {
		return nil, err
	}
	taken.mu.Lock()
	defer taken.mu.Unlock()
	for n, s := range taken.list {
		if s.Name != name {
			continue
		}
		taken.list = append(taken.list[:n], taken.list[n+1:]...)
		defer s.File.Close() // FileListener has a copy
		ln, err := net.FileListener(s.File)
		if err != nil {
			return nil, fmt.Errorf("site: the socket %q that was passed: %w", name, err)
		}
		return ln, nil
	}
	return nil, nil
}

// OpenFor opens a listener for something beside the host, such as the status page: with the
// permissions and owners of the configuration, and taken over from the process before under
// SocketName.
func OpenFor(cfg *config.Config, what string, l config.Listen) (net.Listener, error) {
	a := &assembly{config: cfg}
	return a.open(wanted{l, SocketName(what, l), -1})
}

// SocketName is the name that such a listener is handed on by.
func SocketName(what string, l config.Listen) string {
	return what + " " + l.Network + " " + l.Address
}

const systemdName = "systemd:"

// takeSystemd are the sockets of systemd among those, by the names that it gave them.
func takeSystemd() (files []*os.File) {
	if taking() != nil {
		return nil // whoever asks for another is told
	}
	taken.mu.Lock()
	defer taken.mu.Unlock()
	var rest []Socket
	for _, s := range taken.list {
		if name, ok := strings.CutPrefix(s.Name, systemdName); ok {
			fd, err := unix.FcntlInt(s.File.Fd(), unix.F_DUPFD_CLOEXEC, 3)
			if err == nil {
				files = append(files, os.NewFile(uintptr(fd), name))
			}
			_ = s.File.Close()
			continue
		}
		rest = append(rest, s)
	}
	taken.list = rest
	return files
}

// DropSockets closes the sockets that were passed and that nobody has asked for: the
// configuration does not name them any more. The files of Unix sockets are removed.
func DropSockets() {
	_ = fromSystemd() // which stay open: a reload may name them
	taken.mu.Lock()
	defer taken.mu.Unlock()
	for _, s := range taken.list {
		if ln, err := net.FileListener(s.File); err == nil {
			UnlinkOnClose(ln, true)
			_ = ln.Close()
		}
		_ = s.File.Close()
	}
	taken.list = nil
}

// UnlinkOnClose says whether the file of a Unix socket goes with its listener; there is
// nothing to say of others.
func UnlinkOnClose(ln net.Listener, unlink bool) {
	if ln, ok := ln.(*net.UnixListener); ok {
		ln.SetUnlinkOnClose(unlink)
	}
}

// CopyListener is a listener's socket for another process. The file is the caller's to
// close. It stays non-blocking whoever asks for its descriptor, unlike that of the
// listener's own File: the copies share that state, and who waits for connections on a
// blocking one cannot be stopped.
func CopyListener(ln net.Listener) (*os.File, error) {
	l, ok := ln.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("site: a listener of type %T cannot be passed on", ln)
	}
	conn, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	var f *os.File
	var failed error
	err = conn.Control(func(fd uintptr) {
		var n int
		if n, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); failed == nil {
			f = os.NewFile(uintptr(n), ln.Addr().String())
		}
	})
	return f, errors.Join(err, failed)
}

// Sockets are copies of all that the host listens on, for another process to take over
// with. They are the caller's to close.
func (h *Host) Sockets() (list []Socket, err error) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.mu.Lock()
	f := h.fronts
	h.mu.Unlock()
	if f == nil {
		return nil, ErrClosed
	}
	defer func() {
		if err != nil {
			for _, s := range list {
				_ = s.File.Close()
			}
			list = nil
		}
	}()
	for _, o := range f.list() {
		if o.Network == "systemd" {
			continue // below
		}
		file, err := CopyListener(o.ln)
		if err != nil {
			return list, err
		}
		list = append(list, Socket{o.key, file})
	}
	for _, f := range fromSystemd() {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return list, os.NewSyscallError("fcntl", err)
		}
		list = append(list, Socket{systemdName + f.Name(), os.NewFile(uintptr(fd), f.Name())})
	}
	return list, nil
}

// ErrYielded is the error of Reload where another process has taken over.
var ErrYielded = errors.New("site: another process has taken over")

// Yield is for when another process serves on the same sockets. From then on there is no
// reload, and when Serve's context is done the host takes no more connections, leaves the
// files of Unix sockets alone, and waits for the connections that it has: each ends with
// its next response, or when its client leaves it idle for a minute, all of it bounded by
// the configuration's shutdown_timeout.
func (h *Host) Yield() {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.yielded.Store(true)
	h.setUnlink(false)
}

// OwnSockets is for when this process serves on sockets that were another's: their files
// go with them from now on.
func (h *Host) OwnSockets() {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.setUnlink(true)
}

// setUnlink leaves alone what systemd, or who started this process, has made.
func (h *Host) setUnlink(unlink bool) {
	h.mu.Lock()
	f := h.fronts
	h.mu.Unlock()
	if f == nil {
		return
	}
	for _, o := range f.list() {
		if o.Network == "unix" {
			UnlinkOnClose(o.ln, unlink)
		}
	}
}
