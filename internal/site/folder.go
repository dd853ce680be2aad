package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// folder is a folder whose files are reached through os.Root. Thousands of sites have
// thousands of them: each is opened when it is first needed, and closed again when
// others need its descriptor.
type folder struct {
	name string // as it was given
	real string // without symbolic links

	all  *folders
	root atomic.Pointer[os.Root] // nil while it is closed
	used atomic.Bool             // since the folders were last looked through
	// With all.mu held:
	place  int // in all.open, while root is there
	closed bool
}

// folders are those that are open, at most maxFolders.
type folders struct {
	mu   sync.Mutex
	open []*folder
	next int // the one that is looked at first when there are too many
}

// maxFolders is how many folders are kept open at a time. Others cost a request one
// open(2) more.
const maxFolders = 512

// folder finds out what the name leads to now: a symbolic link on the way that somebody
// changes later changes nothing until the configuration is loaded anew. The folder has
// to be there.
func (ff *folders) folder(name string) (*folder, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	if real == name {
		real = name // one text for both
	}
	st, err := os.Stat(real)
	switch {
	case err != nil:
		return nil, err
	case !st.IsDir():
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, real, unix.R_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &folder{name: name, real: real, all: ff}, nil
}

// Name returns the name that the folder was given.
func (f *folder) Name() string { return f.name }

// Stat is that of os.Root.
func (f *folder) Stat(name string) (st fs.FileInfo, err error) {
	err = f.with(func(r *os.Root) (err error) { st, err = r.Stat(name); return err })
	return st, err
}

// OpenFile is that of os.Root.
func (f *folder) OpenFile(name string, flag int, perm fs.FileMode) (file *os.File, err error) {
	err = f.with(func(r *os.Root) (err error) { file, err = r.OpenFile(name, flag, perm); return err })
	return file, err
}

// with does something in the open folder. One that is closed in that moment, for others,
// is opened once more.
func (f *folder) with(do func(*os.Root) error) error {
	if !f.used.Load() {
		f.used.Store(true)
	}
	const often = 10
	for try := 0; ; try++ {
		r := f.root.Load()
		if r == nil {
			var err error
			if r, err = f.reopen(); err != nil {
				return err
			}
		}
		if err := do(r); try == often || !errors.Is(err, fs.ErrClosed) {
			return err
		}
	}
}

// reopen opens the folder, and closes one that has not been used for the longest time
// where there are too many. A folder that takes its time, on another machine, holds up
// only who asks for it.
func (f *folder) reopen() (*os.Root, error) {
	r, err := openReal(f.real)
	if err != nil {
		return nil, err
	}
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	switch other := f.root.Load(); {
	case f.closed:
		return nil, errors.Join(&fs.PathError{Op: "open", Path: f.name, Err: fs.ErrClosed}, r.Close())
	case other != nil: // somebody was quicker
		return other, r.Close()
	}
	if len(f.all.open) >= maxFolders {
		f.all.closeOne()
	}
	f.place = len(f.all.open)
	f.all.open = append(f.all.open, f)
	f.root.Store(r)
	return r, nil
}

// openReal opens a folder by a path that has no symbolic links. Whoever may write beside
// it could have put one in its place meanwhile.
func openReal(path string) (*os.Root, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err == unix.ENOSYS || err == unix.EPERM { // before Linux 5.6, or in a jail
		return os.OpenRoot(path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	r, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, fmt.Errorf("site: folder %q: %w", path, err)
	}
	return r, nil
}

// closeOne closes a folder that has not been used since the last time it was looked at.
// mu is held.
func (ff *folders) closeOne() {
	for {
		ff.next %= len(ff.open)
		f := ff.open[ff.next]
		if !f.used.Swap(false) {
			_ = ff.close(f) // nothing was written through it
			return
		}
		ff.next++
	}
}

// close closes an open folder. Requests that are in it finish what they do there. mu is
// held.
func (ff *folders) close(f *folder) error {
	last := len(ff.open) - 1
	ff.open[f.place] = ff.open[last]
	ff.open[f.place].place = f.place
	ff.open[last] = nil
	ff.open = ff.open[:last]
	return f.root.Swap(nil).Close()
}

// Close closes the folder for good.
func (f *folder) Close() error {
	f.all.mu.Lock()
	defer f.all.mu.Unlock()
	f.closed = true
	if f.root.Load() == nil {
		return nil
	}
	return f.all.close(f)
}
