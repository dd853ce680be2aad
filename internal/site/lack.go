package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
	"gatehouse/process"
)

// lack is why the machine has not what a value of the configuration names.
type lack struct {
	key          string // as config.Places.Of takes it, in the table that is being opened
	reason, hint string
	cause        error // nil when nobody tells it apart
}

func (l *lack) Error() string {
	text := l.reason
	if l.key != "" {
		text = l.key + ": " + text
	}
	if l.hint != "" {
		text += " (" + l.hint + ")"
	}
	return text
}

func (l *lack) Unwrap() error { return l.cause }

// below puts the key of a table in front of those in err, which is a lack or several
// joined.
func below(table string, err error) error {
	for _, l := range lacks(err) {
		l.key = strings.TrimSuffix(table+"."+l.key, ".")
	}
	return err
}

// lacks are those in err, which may be several joined. What is none becomes one without
// a key.
func lacks(err error) (all []*lack) {
	if err == nil {
		return nil
	}
	if l, ok := err.(*lack); ok {
		return []*lack{l}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, lacks(e)...)
		}
		return all
	}
	return []*lack{{reason: err.Error(), cause: err}}
}

// report notes what is wrong with a route, a site, or without both the server.
func (a *assembly) report(s *config.Site, r *config.Route, err error) {
	for _, l := range lacks(err) {
		a.faults = append(a.faults, a.config.Mistake(s, r, l.key, l.reason, l.hint).Because(l.cause))
	}
}

// folderLack says what is wrong with a folder.
func folderLack(key, name string, err error) error {
	l := &lack{key: key, cause: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.reason = fmt.Sprintf("folder %q does not exist", name)
	case errors.Is(err, syscall.ENOTDIR):
		l.reason = fmt.Sprintf("%q is not a folder", name)
	case errors.Is(err, fs.ErrPermission):
		l.reason, l.hint = fmt.Sprintf("folder %q cannot be read", name), fmt.Sprintf("user %d has no permission", os.Geteuid())
	default:
		l.reason = fmt.Sprintf("folder %q: %v", name, cause(err))
	}
	return l
}

// fileLack says what is wrong with a file that is to be read, nil if nothing is.
func fileLack(key, name string) error {
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &lack{key: key, reason: fmt.Sprintf("file %q does not exist", name), cause: err}
	case err != nil:
		return &lack{key: key, reason: fmt.Sprintf("file %q: %v", name, cause(err)), cause: err}
	case st.IsDir():
		return &lack{key: key, reason: fmt.Sprintf("%q is a folder", name), hint: "expected a file"}
	case unix.Faccessat(unix.AT_FDCWD, name, unix.R_OK, unix.AT_EACCESS) != nil:
		return &lack{key: key, reason: fmt.Sprintf("file %q cannot be read", name), hint: fmt.Sprintf("user %d has no permission", os.Geteuid()), cause: fs.ErrPermission}
	}
	return nil
}

// cause is an error of the file system without the name that a message has already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// scriptLack says what keeps a single script from being run. One that a user named on
// the command line is served all the same, and may be tried: both say what is wrong.
func (a *assembly) scriptLack(name string) error {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return &lack{key: "cgi", reason: fmt.Sprintf("%q is a folder", name), hint: `end it with a "/" if it holds scripts`}
	} else if err != nil && a.config.File == "" {
		return fileLack("cgi", name)
	}
	if wrong := process.Check(name); wrong != nil && a.config.File != "" && !a.options.Trial {
		return &lack{key: "cgi", reason: fmt.Sprintf("script %q: %s", name, wrong.Reason), cause: wrong.Err}
	}
	return nil
}

// spoolLack says what is wrong with a folder for temporary files, once for each.
func (a *assembly) spoolLack(name string) error {
	if name == "" || a.spools[name] {
		return nil
	}
	if a.spools == nil {
		a.spools = make(map[string]bool)
	}
	a.spools[name] = true
	return writableFolder("spool_dir", name)
}

// writableFolder says why no file can be made in a folder, nil if one can.
func writableFolder(key, name string) error {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return folderLack(key, name, err)
	case !st.IsDir():
		return folderLack(key, name, syscall.ENOTDIR)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, name, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &lack{key: key, reason: fmt.Sprintf("folder %q cannot be written to: %v", name, err), hint: fmt.Sprintf("by user %d", os.Geteuid()), cause: err}
	}
	return nil
}
