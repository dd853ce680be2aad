package process

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watcher knows whether anything has changed that a helper has loaded, or would find
// in its place: by inotify(7), which queues an event before the change returns to
// whoever made it. So one read tells the truth for hundreds of files. What it cannot
// see are changes made on the other end of a network file system.
type watcher struct {
	fd      int
	loose   bool // something has changed
	folders map[int32]*watchedFolder
	walked  map[string]bool // paths whose symbolic links are watched
}

// watchedFolder is a folder with a watch.
type watchedFolder struct {
	names map[string]bool // that matter in any case
	all   bool            // modules are looked for here: what could be one matters
}

// watchedEvents are the events of a folder that matter. That a file was opened for
// writing only shows when it is written.
const watchedEvents = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// newWatcher watches for a helper that has begun at that time: loaded are files and
// folders as it has named them, a folder that may be missing with a slash at its end;
// mapped are further files, beside which nothing is looked for. What has changed
// since begun counts as changed.
func newWatcher(loaded, mapped []string, begun time.Time) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("its modules cannot be watched: inotify: %w", err)
	}
	w := &watcher{fd: fd, folders: make(map[int32]*watchedFolder), walked: make(map[string]bool)}
	since := begun.Add(-clockTick)
	paths := slices.Concat(loaded, mapped)
	for n, path := range paths {
		if err := w.add(path, n < len(loaded)); err != nil {
			w.close()
			return nil, fmt.Errorf("its modules cannot be watched: inotify of %q: %w", path, err)
		}
	}
	w.walked = nil
	w.loose = slices.ContainsFunc(paths, func(path string) bool { return touched(path, since) })
	return w, nil
}

// clockTick is how far the times of files may lag behind the clock.
const clockTick = 20 * time.Millisecond

// add watches the folder at path, or that of the file at path, and what leads there. What
// is missing, or within an archive, appears or changes in the first of its folders that
// is there.
func (w *watcher) add(path string, all bool) error {
	if !filepath.IsAbs(path) {
		return unix.EINVAL
	}
	path = filepath.Clean(path)
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		_, err = w.folder(path, all)
	case err == nil:
		err = w.file(path, all)
	default:
		for missing(err) && path != "/" {
			err = w.file(path, false)
			path = filepath.Dir(path)
		}
	}
	if err == nil {
		err = w.links(path)
	}
	return err
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

func (w *watcher) file(path string, all bool) error {
	folder, err := w.folder(filepath.Dir(path), all)
	if err == nil {
		folder.names[filepath.Base(path)] = true
	}
	return err
}

func (w *watcher) folder(dir string, all bool) (*watchedFolder, error) {
	wd, err := unix.InotifyAddWatch(w.fd, dir, watchedEvents|unix.IN_ONLYDIR)
	if err != nil {
		return nil, err
	}
	folder := w.folders[int32(wd)]
	if folder == nil {
		folder = &watchedFolder{names: make(map[string]bool)}
		w.folders[int32(wd)] = folder
	}
	folder.all = folder.all || all
	return folder, nil
}

// links watches the symbolic links on the way to path, one of which may be turned to
// another release of the modules.
func (w *watcher) links(path string) error {
	for hops := 0; hops < 40; { // as the kernel's MAXSYMLINKS
		dir := "/"
		next := ""
		for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
			here := filepath.Join(dir, name)
			if to, err := w.link(dir, name); err != nil {
				return err
			} else if to != "" {
				if !filepath.IsAbs(to) {
					to = filepath.Join(dir, to)
				}
				next = filepath.Join(to, strings.TrimPrefix(path, here))
				break
			}
			dir = here
		}
		if next == "" {
			return nil
		}
		path, hops = next, hops+1
	}
	return unix.ELOOP
}

// link returns where a name leads, "" if it is no symbolic link; if it is, it is
// watched.
func (w *watcher) link(dir, name string) (string, error) {
	here := filepath.Join(dir, name)
	if w.walked[here] {
		return "", nil
	}
	to, err := os.Readlink(here)
	if err != nil {
		w.walked[here] = true
		return "", nil
	}
	return to, w.file(here, false)
}

// touched reports whether a file, or what could be loaded from a folder, has changed
// since.
func touched(path string, since time.Time) bool {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		err = unix.Stat(filepath.Dir(filepath.Clean(path)), &st) // it may have been there
		return err == nil && !strings.HasSuffix(path, "/") && st.Mtim.Nano() >= since.UnixNano()
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st.Ctim.Nano() >= since.UnixNano()
	}
	if st.Mtim.Nano() < since.UnixNano() {
		return false
	}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if loadable(e.Name()) && touchedEntry(filepath.Join(path, e.Name()), since) {
			return true
		}
	}
	return err != nil
}

func touchedEntry(path string, since time.Time) bool {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return err == nil && st.Ctim.Nano() >= since.UnixNano()
}

// loadable reports whether the interpreters may look for a file or folder of this name
// when they load a module.
func loadable(name string) bool {
	switch filepath.Ext(name) {
	case ".py", ".pyc", ".so", ".pth", ".zip", ".egg", ".cfg", ".pm", ".pmc", ".pl", ".ph", ".al", ".ix":
		return true
	case "":
		return name != "__pycache__"
	}
	return false
}

// changed reports whether anything has changed. One that is nil watches nothing.
func (w *watcher) changed() bool {
	if w == nil {
		return false
	}
	var buf [4096]byte
	for !w.loose {
		n, err := unix.Read(w.fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != nil || n <= 0:
			w.loose = true
		default:
			w.loose = w.matters(buf[:n])
		}
	}
	return true
}

// matters reports whether an event among those read does (inotify(7), struct
// inotify_event: wd, mask, cookie, len, name).
func (w *watcher) matters(buf []byte) bool {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd, mask := int32(binary.NativeEndian.Uint32(buf)), binary.NativeEndian.Uint32(buf[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		if end > len(buf) {
			return true
		}
		name := strings.TrimRight(string(buf[unix.SizeofInotifyEvent:end]), "\x00")
		buf = buf[end:]
		folder := w.folders[wd]
		switch {
		case folder == nil || mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED|unix.IN_UNMOUNT|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
			return true
		case name == "": // of the folder itself, whose content is what matters
		case folder.names[name], folder.all && loadable(name):
			return true
		}
	}
	return false
}

func (w *watcher) close() {
	if w != nil && w.fd >= 0 {
		_ = unix.Close(w.fd)
		w.fd = -1
	}
}

// mappedFiles lists what a process has of files in its memory, its program and
// libraries, and the file that says which time it is here; all of which a fresh
// process would look at anew.
func mappedFiles(pid int) []string {
	files := []string{"/etc/localtime"}
	if _, err := os.Stat(files[0]); err != nil {
		files = nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return files
	}
	defer f.Close()
	last := ""
	for lines := bufio.NewScanner(f); lines.Scan() && len(files) < maxPaths; {
		_, path, ok := strings.Cut(lines.Text(), "/") // nothing before it has one
		if path = "/" + path; ok && path != last && !strings.HasPrefix(path, "/memfd:") && !strings.HasPrefix(path, "/dev/") {
			files = append(files, path)
			last = path
		}
	}
	return files
}
