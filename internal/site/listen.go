package site

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
)

// Listening is an address that a Host serves on.
type Listening struct {
	config.Listen

	// Addr is where that really is: with the port that was free, or the address
	// of an inherited socket.
	Addr net.Addr

	// Believed says, where the protocol is fastcgi or scgi, that there are peers
	// whose word about the client is taken (B73).
	Believed bool
}

// opened is a listener, and what it is for.
type opened struct {
	ln  net.Listener
	key string // see wanted
	Listening
}

// wanted is a socket that a configuration names: systemd may have passed several under
// one name. Two configurations mean the same socket when key is the same.
type wanted struct {
	config.Listen
	key string
	fd  int // where the socket is inherited
}

// wanted are all sockets of the configuration.
func (a *assembly) wanted() (all []wanted, err error) {
	var refused config.Errors
	for _, l := range a.config.Listen {
		switch l.Network {
		case "systemd":
			fds, err := a.passed(l.Address)
			if err != nil {
				refused = append(refused, a.listenLack(l, err))
			}
			for _, fd := range fds {
				all = append(all, wanted{l, "systemd " + strconv.Itoa(fd), fd})
			}
		case "fd":
			fd, _ := strconv.Atoi(l.Address) // config has seen to that
			all = append(all, wanted{l, "fd " + l.Address, fd})
		default:
			all = append(all, wanted{l, l.Network + " " + l.Address, -1})
		}
	}
	return all, refused.Sorted()
}

// openAll opens every socket of the configuration, or none.
func (a *assembly) openAll() ([]opened, error) {
	all, err := a.wanted()
	if err != nil {
		return nil, err
	}
	return a.listen(all)
}

// listen opens those sockets, or none.
func (a *assembly) listen(all []wanted) (listeners []opened, err error) {
	var refused config.Errors
	for _, w := range all {
		ln, err := a.open(w)
		if err != nil {
			refused = append(refused, a.listenLack(w.Listen, err))
			continue
		}
		listeners = append(listeners, opened{ln, w.key, Listening{Listen: w.Listen, Addr: ln.Addr()}})
	}
	if err := refused.Sorted(); err != nil {
		closeAll(listeners)
		return nil, err
	}
	return listeners, nil
}

func closeAll(listeners []opened) {
	for _, o := range listeners {
		_ = o.ln.Close()
	}
}

// open opens one socket. A process that this one takes over from may have passed it.
func (a *assembly) open(w wanted) (net.Listener, error) {
	if ln, err := TakeListener(w.key); ln != nil || err != nil {
		if err == nil && w.Network == "unix" {
			err = a.handOver(w.Address)
		}
		if err != nil && ln != nil {
			_ = ln.Close()
		}
		return ln, err
	}
	switch w.Network {
	case "systemd", "fd":
		return inherit(w.fd)
	case "unix":
		return a.listenUnix(w.Address)
	}
	return net.Listen(w.Network, w.Address)
}

// believes reports whether a web server at the other end of such a listener may say
// who its client is (B73): from an address that is trusted, or on a Unix socket that
// only its owner and group may connect to.
func (a *assembly) believes(addr net.Addr) bool {
	if addr.Network() != "unix" {
		return len(a.config.Trusted) > 0
	}
	if a.config.TrustUnix {
		return true
	}
	st, err := os.Lstat(addr.String())
	return err == nil && st.Mode().Type() == os.ModeSocket && st.Mode()&0o002 == 0
}

// listenUnix makes a Unix socket. One that is left over from a server that died is
// replaced.
func (a *assembly) listenUnix(path string) (net.Listener, error) {
	ln, err := a.bindUnix(path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	// A file that is no socket refuses connections as well.
	if st, err2 := os.Lstat(path); err2 != nil || st.Mode().Type() != os.ModeSocket {
		return nil, err
	}
	if conn, err2 := net.Dial("unix", path); err2 == nil {
		_ = conn.Close()
		return nil, err
	} else if !errors.Is(err2, syscall.ECONNREFUSED) {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return a.bindUnix(path)
}

// bindUnix binds a socket, gives it to its owner, and only then listens: until then
// nobody can connect, whatever the umask has made of its permissions (F48).
func (a *assembly) bindUnix(path string) (net.Listener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // FileListener has a copy
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	ln, err := a.listenBound(f, fd, path)
	if err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	ln.SetUnlinkOnClose(true)
	return ln, nil
}

func (a *assembly) listenBound(f *os.File, fd int, path string) (*net.UnixListener, error) {
	if err := a.handOver(path); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, 1<<16-1); err != nil { // the kernel's own limit is less
		return nil, os.NewSyscallError("listen", err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return ln.(*net.UnixListener), nil
}

// handOver gives a new socket its owner, group and permissions. Whoever may write to
// its folder could put another file in its place: the file is opened first, so that it
// is surely a socket.
func (a *assembly) handOver(path string) error {
	uid, err := lookupID(a.config.ListenOwner, "listen_owner", userID)
	if err != nil {
		return err
	}
	gid, err := lookupID(a.config.ListenGroup, "listen_group", groupID)
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s was replaced by another file", path)
	}
	if uid >= 0 || gid >= 0 {
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return os.NewSyscallError("chown", err)
		}
	}
	// chmod does not take such a descriptor itself before Linux 6.6.
	return os.Chmod("/proc/self/fd/"+strconv.Itoa(fd), a.config.ListenMode)
}

// lookupID returns the number of a user or group, -1 for "".
func lookupID(name, key string, find func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	text, err := find(name)
	if err != nil {
		return 0, nobody(key, name, err)
	}
	return strconv.Atoi(text)
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// inherit returns a listener on a socket that this process was started with. The
// socket itself stays open: whoever passed it goes on using it, so it is not unlinked
// either.
func inherit(fd int) (net.Listener, error) {
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil, fmt.Errorf("descriptor %d is no listening socket", fd)
	}
	unix.CloseOnExec(fd)
	second, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(second), "socket")
	defer f.Close()
	return net.FileListener(f)
}

// fromSystemd holds what systemd has passed to this process (sd_listen_fds(3)), or to the
// one that it takes over from. It is asked for once, since the variables that tell of it
// are then removed.
var fromSystemd = sync.OnceValue(func() []*os.File {
	return append(activation.Files(true), takeSystemd()...)
})

// passed are the sockets that systemd has passed under a name, or, for "", those that no
// other address of the configuration names.
func (a *assembly) passed(name string) (fds []int, err error) {
	named := make(map[string]bool)
	for _, l := range a.config.Listen {
		if l.Network == "systemd" && l.Address != "" {
			named[l.Address] = true
		}
	}
	var names []string
	for _, f := range fromSystemd() {
		names = append(names, f.Name())
		if name == "" && named[f.Name()] || name != "" && name != f.Name() {
			continue
		}
		fds = append(fds, int(f.Fd()))
	}
	switch {
	case len(fds) > 0:
		return fds, nil
	case len(names) == 0:
		return nil, errors.New("systemd has passed no sockets (LISTEN_PID and LISTEN_FDS, see sd_listen_fds(3))")
	case name == "":
		return nil, errors.New("systemd has passed no sockets but those that other addresses name")
	}
	return nil, fmt.Errorf("systemd has passed no socket of the name %q, only %q", name, names)
}
