package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
)

// Checking is what Check asks besides the configuration.
type Checking struct {
	Options

	// Held reports whether a socket with that inode belongs to the host that the
	// configuration is for, which runs: its addresses are not taken. See HeldBy.
	// nil: there is none.
	Held func(inode uint64) bool
}

// Check reports everything that would keep New or Serve from putting the configuration
// to work: config.Errors, with their places. It starts nothing, listens nowhere and
// changes nothing.
func Check(cfg *config.Config, c Checking) error {
	o := c.Options
	o.also = func(a *assembly) { a.probe(func(config.Listen) bool { return false }, c.Held) }
	h, err := New(cfg, o)
	if err != nil {
		return err
	}
	return h.Close()
}

// checkServer reports what the server itself lacks.
func (a *assembly) checkServer() {
	c := a.config
	if c.Cgroup != "" {
		a.report(nil, nil, cgroupLack(c.Cgroup))
	}
	if strings.HasPrefix(c.Control, "/") {
		a.report(nil, nil, writableFolder("control", filepath.Dir(c.Control)))
	}
	seen := map[string]bool{}
	logFile := func(s *config.Site, key, name string) {
		if strings.HasPrefix(name, "/") && !seen[name] {
			a.report(s, nil, logLack(key, name))
		}
		seen[name] = true
	}
	logFile(nil, "log", c.Log)
	logFile(nil, "access_log", c.AccessLog)
	logFile(nil, "slow_log", c.SlowLog)
	for n := range c.Sites {
		logFile(&c.Sites[n], "access_log", c.Sites[n].AccessLog)
	}
}

// logLack says why a log cannot be written to, nil if it can. It need not be there.
func logLack(key, name string) error {
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writableFolder(key, filepath.Dir(name))
	case err != nil:
		return &lack{key: key, reason: fmt.Sprintf("file %q: %v", name, cause(err)), cause: err}
	case st.IsDir():
		return &lack{key: key, reason: fmt.Sprintf("%q is a folder", name), hint: "expected a file"}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, name, unix.W_OK, unix.AT_EACCESS); err != nil {
		return &lack{key: key, reason: fmt.Sprintf("file %q cannot be written to: %v", name, err), hint: fmt.Sprintf("by user %d", os.Geteuid()), cause: err}
	}
	return nil
}

// cgroupLack says why a folder is no cgroup that processes can be put below.
func cgroupLack(name string) error {
	const expected = "expected a cgroup v2 folder that is delegated to the server, see Delegate= in systemd.resource-control(5)"
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return &lack{key: "cgroup", reason: fmt.Sprintf("folder %q: %v", name, err), hint: expected, cause: err}
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return &lack{key: "cgroup", reason: fmt.Sprintf("folder %q is not in a cgroup v2 file system", name), hint: expected}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, name, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &lack{key: "cgroup", reason: fmt.Sprintf("no cgroup can be made in %q: %v", name, err), hint: expected, cause: err}
	}
	return nil
}

// checkListen reports the addresses that could not be listened on either, when there is
// something wrong already: they are not tried any more.
func (a *assembly) checkListen() {
	if a.options.Trial || a.options.also != nil {
		return
	}
	a.mu.Lock()
	f := a.fronts
	a.mu.Unlock()
	a.probe(func(l config.Listen) bool { return f != nil && f.has(l) || isPassed(l.Network+" "+l.Address) }, nil)
}

// Examine returns what would keep Serve or Reload from putting a configuration to work,
// and changes nothing: for who knows of a mistake already, and is to tell all of them.
func (h *Host) Examine(cfg *config.Config) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return ErrClosed
	}
	a, err := h.assemble(cfg)
	if err != nil {
		return err
	}
	a.checkListen()
	return errors.Join(a.faults.Sorted(), a.release())
}

// isPassed reports whether TakeListener has a listener of that name.
func isPassed(name string) bool {
	if taking() != nil {
		return false
	}
	taken.mu.Lock()
	defer taken.mu.Unlock()
	return slices.ContainsFunc(taken.list, func(s Socket) bool { return s.Name == name })
}

// listenLack says why an address cannot be listened on.
func (a *assembly) listenLack(l config.Listen, err error) *config.Error {
	reason, hint := fmt.Sprintf("cannot listen on %s: %v", l, bare(err)), ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && l.Network == "unix" && isOther(l.Address):
		hint = "there is a file that is no socket"
	case errors.Is(err, syscall.EADDRINUSE) && a.config.File != "": // else serve says what to do
		hint = "another program listens there"
	case errors.Is(err, fs.ErrPermission) && l.Network == "tcp":
		hint = "ports below 1024 are for root, or for CAP_NET_BIND_SERVICE"
	case errors.Is(err, fs.ErrNotExist) && l.Network == "unix":
		hint = fmt.Sprintf("the folder %q does not exist", filepath.Dir(l.Address))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "the address is none of this machine's"
	}
	e := &config.Error{File: a.config.File, Line: l.Place.Line, Column: l.Place.Column, Key: "listen", Reason: reason, Hint: hint}
	if l.Place == (config.Place{}) { // of the command line
		e.File, e.Key = "", ""
	}
	var owner *lack
	if errors.As(err, &owner) { // of the key that names who is to own the socket
		e = a.config.Mistake(nil, nil, owner.key, owner.reason, owner.hint)
	}
	return e.Because(err)
}

// isOther reports whether there is something at path that is no socket.
func isOther(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode().Type() != os.ModeSocket
}

// bare is an error of a system call without what the message says already.
func bare(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// nobody is a user or group that the machine does not know.
func nobody(key, name string, err error) error {
	var u user.UnknownUserError
	var g user.UnknownGroupError
	switch {
	case errors.As(err, &u):
		return &lack{key: key, reason: fmt.Sprintf("there is no user %q", name), cause: err}
	case errors.As(err, &g):
		return &lack{key: key, reason: fmt.Sprintf("there is no group %q", name), cause: err}
	}
	return &lack{key: key, reason: fmt.Sprintf("%q: %v", name, err), cause: err}
}
