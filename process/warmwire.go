package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The warm protocol, version 1, as this end speaks it. A message is one packet on a
// SOCK_SEQPACKET socket: fields with a NUL between each two.
//
//	to the helper      S VERSION LEARN NAME…    set up: where to report what was loaded, what to preload
//	                   C PATH                   compile this script ahead
//	                   F BATCH COUNT            fork so many spares
//	from the helper    W PATH…                  loaded from these files, searched in these folders
//	                   R VERSION NAME…          ready, with these preloaded
//	                   F BATCH FORKED TEXT      the parent of a batch is gone, its spares may be used
//	from a spare       P BATCH + descriptor     its socket
//	to a spare         VERSION COMM TAG DIR PATH ARGC ARG… NAME=value… + three descriptors
//	to LEARN           L NAME…                  loaded, and was not preloaded (a datagram)
const (
	warmVersion = "1"
	maxMessage  = 64 << 10
	maxName     = 128 // bytes of a module's name
)

// errTooLong is a request that does not fit a message.
var errTooLong = errors.New("process: its arguments and environment are more than a message takes")

// appendFields appends fields as a message has them. One with a NUL, which would be
// taken for two, is an error.
func appendFields(to []byte, fields ...string) ([]byte, error) {
	for _, f := range fields {
		if strings.IndexByte(f, 0) >= 0 {
			return to, syscall.EINVAL
		}
		if len(to)+len(f)+1 > maxMessage {
			return to, errTooLong
		}
		if len(to) > 0 {
			to = append(to, 0)
		}
		to = append(to, f...)
	}
	return to, nil
}

// appendRequest appends the message that has a spare run c. tag is the name of the
// variable that marks a process's descendants.
func appendRequest(to []byte, c *Command, comm, tag string) ([]byte, error) {
	var marked string
	if value := tagOf(c.Env, tag); value != "" {
		marked = tag + "=" + value
	}
	dir := c.Dir
	if dir == "" {
		dir = "/"
	}
	var args []string
	if len(c.Args) > 1 {
		args = c.Args[1:]
	}
	to, err := appendFields(to, warmVersion, comm, marked, dir, c.Path, strconv.Itoa(len(args)))
	if err == nil {
		to, err = appendFields(to, args...)
	}
	if err == nil {
		to, err = appendFields(to, c.Env...)
	}
	return to, err
}

// sendTo sends a message, and never waits: a socket that takes no more is that of a
// peer which does not do its work.
func sendTo(fd int, message []byte, files ...int) error {
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	for {
		err := unix.Sendmsg(fd, message, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// packet is one message as it was received.
type packet struct {
	fields []string
	file   int // descriptor that came with it, or -1
	pid    int // of the sender, as the kernel says
	uid    uint32
}

// receive reads one message from a socket with SO_PASSCRED. It does not wait: its
// error is EAGAIN where there is none. At the end of the stream the packet has no
// fields. Descriptors beyond the first are closed.
func receive(fd int, buf []byte) (packet, error) {
	p := packet{file: -1}
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return p, err
	}
	controls, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return p, err
	}
	for n := range controls {
		p.take(&controls[n])
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		p.close()
		return p, fmt.Errorf("process: a message is longer than %d bytes or has too many descriptors", len(buf))
	}
	if n > 0 {
		p.fields = strings.Split(string(buf[:n]), "\x00")
	}
	return p, nil
}

func (p *packet) take(m *unix.SocketControlMessage) {
	if cred, err := unix.ParseUnixCredentials(m); err == nil {
		p.pid, p.uid = int(cred.Pid), cred.Uid
		return
	}
	files, err := unix.ParseUnixRights(m)
	if err != nil {
		return
	}
	for _, f := range files {
		if p.file >= 0 {
			_ = unix.Close(f)
			continue
		}
		p.file = f
	}
}

func (p *packet) close() {
	if p.file >= 0 {
		_ = unix.Close(p.file)
		p.file = -1
	}
}

// socketPair returns a control connection: our end, which does not block and is told
// who has sent what, and the helper's.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("process: socketpair: %w", err)
	}
	err = errors.Join(unix.SetNonblock(fds[0], true), unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	ours, theirs = os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	if err != nil {
		_, _ = ours.Close(), theirs.Close()
		return nil, nil, fmt.Errorf("process: socket: %w", err)
	}
	return ours, theirs, nil
}

// learnSocket returns a socket for reports of what was loaded, and its address as
// SETUP names it.
func learnSocket() (*os.File, string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("process: socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "learn")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil { // an address without a name has the kernel choose one (unix(7), autobind)
		err = unix.Bind(fd, &unix.SockaddrUnix{})
	}
	var name string
	if err == nil {
		name, err = boundName(fd)
	}
	if err != nil {
		_ = f.Close()
		return nil, "", fmt.Errorf("process: socket: %w", err)
	}
	return f, name, nil
}

func boundName(fd int) (string, error) {
	at, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	bound, ok := at.(*unix.SockaddrUnix)
	if !ok || !strings.HasPrefix(bound.Name, "@") {
		return "", errors.New("no address was chosen for it")
	}
	return bound.Name, nil
}

// textFile returns a file in memory that holds text and cannot be changed.
func textFile(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("gatehouse", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("process: memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "gatehouse")
	if _, err = f.Write(text); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("process: memfd: %w", err)
	}
	return f, nil
}

// validNames returns those of names that may be a module's: "xml.dom", "CGI/Util.pm".
func validNames(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return name == "" || len(name) > maxName || name[0] == '/' || strings.Contains(name, "..") ||
			strings.ContainsFunc(name, func(r rune) bool { return !moduleRune(r) })
	})
}

func moduleRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_./:+-", r)
}
