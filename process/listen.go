package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endpoint is where a worker listens.
type endpoint struct {
	network string // "unix" or "tcp"; "" when there is none yet
	addr    string
}

// port is that of a TCP endpoint.
func (e endpoint) port() string {
	_, port, _ := strings.Cut(e.addr, ":")
	return port
}

// longestPath is what sockaddr_un holds, the NUL at its end left out (unix(7)).
const longestPath = len(unix.RawSockaddrUnix{}.Path) - 1

// makeFolder makes a folder that only this user can enter (F48), in dir or that of
// temporary files. With what is put in it the path has to fit in a socket's address.
// A user who is to make the sockets gets a folder inside of it, and no chance to put
// another in its place.
func makeFolder(dir string, user *User) (folder, sockets string, err error) {
	where := dir
	if where == "" {
		where = os.TempDir()
	}
	folder, err = os.MkdirTemp(where, "gatehouse-") // mode 0700
	if err != nil {
		return "", "", fmt.Errorf("no folder for the sockets: %w", err)
	}
	sockets = folder
	if user != nil {
		sockets = filepath.Join(folder, "s")
		err = errors.Join(os.Mkdir(sockets, 0o700), os.Chmod(folder, 0o711), os.Chown(sockets, int(user.UID), int(user.GID)))
	}
	if size := len(sockets) + len("/1234567890"); err == nil && size > longestPath {
		err = fmt.Errorf("sockets in the folder %q would have names of %d bytes, a socket's may have %d", where, size, longestPath)
	}
	if err != nil {
		_ = removeFolder(folder)
		return "", "", err
	}
	return folder, sockets, nil
}

func removeFolder(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("process: folder of the sockets: %w", err)
	}
	return nil
}

// listensItself reports whether the programs do what they are given an address for.
func (w *Workers) listensItself() bool { return w.has("{socket}") || w.has("{port}") }

// listen chooses where a worker listens and, unless the program does so itself,
// listens there: connections succeed from now on, and wait until they are accepted.
func (wk *worker) listen() (*os.File, error) {
	w := wk.w
	if w.has("{port}") {
		addr, err := ports.take()
		wk.at = endpoint{"tcp", addr}
		return nil, err
	}
	wk.at = endpoint{"unix", filepath.Join(w.sockets, strconv.Itoa(wk.number))}
	if w.has("{socket}") {
		return nil, nil
	}
	// The program expects a socket that blocks, which package net's do not.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("process: socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: wk.at.addr}); err == nil {
		err = unix.Listen(fd, max(128, w.places()))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("process: socket %q: %w", wk.at.addr, err)
	}
	return os.NewFile(uintptr(fd), wk.at.addr), nil
}

// connect connects to the worker.
func (wk *worker) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, wk.at.network, wk.at.addr)
	if err != nil {
		return nil, err
	}
	if err := wk.checkOwner(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// checkOwner holds that a program of another user which makes its socket itself has
// not put something else in its place, which we may use and it may not.
func (wk *worker) checkOwner(c net.Conn) error {
	user := wk.w.Command.User
	u, ok := c.(*net.UnixConn)
	if user == nil || !ok || !wk.w.listensItself() {
		return nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	switch err = errors.Join(err, failed); {
	case err != nil:
		return err
	case cred.Uid != user.UID:
		return fmt.Errorf("socket %q is that of user %d, not of %d", wk.at.addr, cred.Uid, user.UID)
	}
	return nil
}

// awaitListening connects until it succeeds, the program ends or ctx is done, which
// it is after most.
func (wk *worker) awaitListening(ctx context.Context, most time.Duration) (net.Conn, error) {
	exited := wk.p.Exited()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		c, err := wk.connect(ctx)
		if err == nil {
			return c, nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
			continue
		case <-exited:
			err = errors.New("the program ended before it listened")
		case <-ctx.Done():
			err = fmt.Errorf("does not listen at %q after %s: %w", wk.at.addr, most, err)
		}
		t.Stop()
		return nil, err
	}
}

// isRefused reports whether nobody listens where a connection was tried, or does so
// without taking any: EAGAIN is a Unix socket's full backlog (connect(2)).
func isRefused(err error) bool {
	for _, e := range []error{syscall.ECONNREFUSED, syscall.ENOENT, syscall.ECONNRESET, syscall.EAGAIN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// portSet is the ports of 127.0.0.1 that were given to workers: the system may
// offer one again that its worker does not listen at yet.
type portSet struct {
	mu    sync.Mutex
	taken map[string]bool
}

var ports = portSet{taken: make(map[string]bool)}

// take returns the address of a port that is free now.
func (s *portSet) take() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 100 {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return "", fmt.Errorf("process: no free port: %w", err)
		}
		addr := ln.Addr().String()
		_ = ln.Close()
		if !s.taken[addr] {
			s.taken[addr] = true
			return addr, nil
		}
	}
	return "", errors.New("process: no free port: all that were offered are taken by other workers")
}

// free gives the port of e back, if it has one.
func (e endpoint) free() {
	if e.network == "tcp" {
		ports.mu.Lock()
		delete(ports.taken, e.addr)
		ports.mu.Unlock()
	}
}
