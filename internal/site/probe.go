package site

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
)

// probe reports which addresses could not be listened on, but for those that are open
// already or that held knows. Nothing listens meanwhile: a port is bound only, with the
// option by which that is in nobody's way, and a Unix socket is not even made.
func (a *assembly) probe(have func(config.Listen) bool, held func(uint64) bool) {
	for _, key := range []struct {
		name, value string
		find        func(string) (string, error)
	}{{"listen_owner", a.config.ListenOwner, userID}, {"listen_group", a.config.ListenGroup, groupID}} {
		if _, err := lookupID(key.value, key.name, key.find); err != nil {
			a.report(nil, nil, err)
		}
	}
	for _, l := range a.config.Listen {
		if have(l) {
			continue
		}
		if err := probeOne(l, held); err != nil {
			a.faults = append(a.faults, a.listenLack(l, err))
		}
	}
	if held == nil { // what the host does not open itself may be there already
		held = heldIn("/proc/self/fd")
	}
	for n, l := range a.config.Admin {
		if err := probeOne(l, held); err != nil {
			e := a.listenLack(l, err)
			a.report(nil, nil, &lack{key: fmt.Sprintf("admin.%d", n), reason: e.Reason, hint: e.Hint, cause: err})
		}
	}
}

// probeOne says why an address cannot be listened on. A socket that is inherited is there
// or not when the server starts.
func probeOne(l config.Listen, held func(uint64) bool) error {
	switch l.Network {
	case "tcp":
		return probeTCP(l.Address, held)
	case "unix":
		return probeUnix(l.Address, held)
	}
	return nil
}

func probeTCP(address string, held func(uint64) bool) error {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return err
	}
	err = bind(addr)
	if errors.Is(err, syscall.EADDRINUSE) && held != nil && heldTCP(addr, held) {
		return nil
	}
	return err
}

// bind binds a socket to an address, as net.Listen would, and closes it again.
func bind(addr *net.TCPAddr) error {
	ip, _ := netip.AddrFromSlice(addr.IP)
	var to unix.Sockaddr
	domain, both := unix.AF_INET6, false
	switch ip = ip.Unmap(); {
	case ip.Is4():
		domain, to = unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: ip.As4()}
	default: // none is all of IPv6 and IPv4
		six := &unix.SockaddrInet6{Port: addr.Port}
		if both = !ip.IsValid(); !both {
			six.Addr, six.ZoneId = ip.As16(), zone(addr.Zone)
		}
		to = six
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == unix.EAFNOSUPPORT && both {
		return bind(&net.TCPAddr{IP: net.IPv4zero, Port: addr.Port})
	}
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if both {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, to))
}

func zone(name string) uint32 {
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(name, 10, 32)
	return uint32(n)
}

// probeUnix finds out whether a Unix socket could be made, or made in place of one that
// was left over.
func probeUnix(path string, held func(uint64) bool) error {
	st, err := os.Lstat(path)
	switch {
	case err == nil && st.Mode().Type() != os.ModeSocket:
		return syscall.EADDRINUSE
	case err == nil:
		inodes, err := listeningUnix(path)
		if err != nil {
			return err
		}
		for _, inode := range inodes {
			if held == nil || !held(inode) {
				return syscall.EADDRINUSE
			}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := unix.Faccessat(unix.AT_FDCWD, filepath.Dir(path), unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "listen", Path: path, Err: err}
	}
	return nil
}

// listeningUnix returns the inodes of the sockets that listen on a path, from
// /proc/net/unix: "address: refs proto flags type state inode path".
func listeningUnix(path string) (inodes []uint64, err error) {
	err = lines("/proc/net/unix", func(line string) {
		f := strings.Fields(line)
		if len(f) < 8 || !strings.HasSuffix(line, " "+path) {
			return
		}
		flags, err1 := strconv.ParseUint(f[3], 16, 32)
		inode, err2 := strconv.ParseUint(f[6], 10, 64)
		if err1 == nil && err2 == nil && flags&unixAccepts != 0 {
			inodes = append(inodes, inode)
		}
	})
	return inodes, err
}

// unixAccepts is __SO_ACCEPTCON of the kernel: the socket listens.
const unixAccepts = 1 << 16

// heldTCP reports whether all sockets that listen on a port, and are in the way of the
// address, are held.
func heldTCP(addr *net.TCPAddr, held func(uint64) bool) bool {
	want := fmt.Sprintf(":%04X", addr.Port)
	any, all := false, true
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		// "n: address:port remote:port state tx:rx tr:when retransmits uid timeout inode"
		err := lines(table, func(line string) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !strings.HasSuffix(f[1], want) {
				return
			}
			inode, err := strconv.ParseUint(f[9], 10, 64)
			any, all = true, all && err == nil && held(inode)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return any && all
}

// lines calls do for each line of a file of the kernel's.
func lines(name string, do func(string)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		do(s.Text())
	}
	return s.Err()
}

// HeldBy tells which sockets the host behind a control socket has open: it asks the
// kernel whose the other end is, and looks at that process's descriptors. nil when
// nobody is there.
func HeldBy(control string) func(inode uint64) bool {
	pid := peer(control)
	if pid <= 0 {
		return nil
	}
	return heldIn(fmt.Sprintf("/proc/%d/fd", pid))
}

// heldIn tells which sockets are among the descriptors in that folder of /proc.
func heldIn(dir string) func(inode uint64) bool {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrPermission) {
		return func(uint64) bool { return true } // another user's: it cannot be told, and is most likely so
	}
	sockets := make(map[string]bool, len(names))
	for _, n := range names {
		if target, err := os.Readlink(filepath.Join(dir, n.Name())); err == nil {
			sockets[target] = true
		}
	}
	return func(inode uint64) bool { return sockets[fmt.Sprintf("socket:[%d]", inode)] }
}

// peer returns the process that listens on a Unix socket, 0 if there is none.
func peer(path string) int32 {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	var pid int32
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = cred.Pid
		}
	})
	if err != nil {
		return 0
	}
	return pid
}
