package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// leaves is the pool of cgroups of one process each, beneath Exec.Cgroup. A leaf
// is made once and used again when it is empty.
type leaves struct {
	root string // "" when cgroups are not used
	mu   sync.Mutex
	free []*leaf
	all  []*leaf
	next int // number of the leaf to be made next
}

type leaf struct {
	dir    *os.File
	killer *os.File // cgroup.kill
	events *os.File // cgroup.events
}

func (l *leaves) init(root string) error {
	if root == "" {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return fmt.Errorf("process: cgroup %q: %w", root, err)
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("process: cgroup %q: not in a cgroup v2 file system", root)
	}
	l.root = root
	first, err := l.get() // what does not work shall be known now
	if err == nil {
		l.put(first)
	}
	return err
}

// get returns an empty leaf, or nil when cgroups are not used.
func (l *leaves) get() (*leaf, error) {
	if l.root == "" {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.free) - 1; n >= 0; n-- { // one in which a killed process lingers is passed over
		if lf := l.free[n]; !lf.populated() {
			l.free = append(l.free[:n], l.free[n+1:]...)
			return lf, nil
		}
	}
	path, err := l.mkdir()
	if err != nil {
		return nil, err
	}
	lf, err := openLeaf(path)
	if err == nil {
		l.all = append(l.all, lf)
	}
	return lf, err
}

// mkdir makes the folder of a leaf. A process that crashed may have had our pid and
// left folders with our names: an empty one is replaced, any other passed over.
func (l *leaves) mkdir() (string, error) {
	for {
		path := filepath.Join(l.root, fmt.Sprintf("gatehouse-%d-%d", os.Getpid(), l.next))
		err := os.Mkdir(path, 0o755)
		if errors.Is(err, fs.ErrExist) {
			_ = os.Remove(path)
			err = os.Mkdir(path, 0o755)
		}
		switch {
		case err == nil:
			l.next++
			return path, nil
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("process: cgroup: %w", err)
		}
		l.next++
	}
}

func (l *leaves) put(lf *leaf) {
	if lf != nil {
		l.mu.Lock()
		l.free = append(l.free, lf)
		l.mu.Unlock()
	}
}

// close removes the leaves. One in which a kept process lives cannot be. All of
// them together have a second, for what was killed to be gone.
func (l *leaves) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	deadline := time.Now().Add(time.Second)
	for _, lf := range l.all {
		path := lf.dir.Name()
		_ = lf.dir.Close()
		_ = lf.killer.Close()
		_ = lf.events.Close()
		err := os.Remove(path)
		for errors.Is(err, syscall.EBUSY) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
			err = os.Remove(path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("process: cgroup: %w", err))
		}
	}
	l.all, l.free = nil, nil
	return errors.Join(errs...)
}

func openLeaf(path string) (*leaf, error) {
	var lf leaf
	var errs [3]error
	lf.dir, errs[0] = os.Open(path)
	lf.killer, errs[1] = os.OpenFile(filepath.Join(path, "cgroup.kill"), os.O_WRONLY, 0)
	lf.events, errs[2] = os.Open(filepath.Join(path, "cgroup.events"))
	if err := errors.Join(errs[:]...); err != nil {
		for _, f := range []*os.File{lf.dir, lf.killer, lf.events} {
			_ = f.Close() // of nil as well: it only says so
		}
		_ = os.Remove(path)
		return nil, fmt.Errorf("process: cgroup: %w", err)
	}
	return &lf, nil
}

func (lf *leaf) fd() int { return int(lf.dir.Fd()) }

// kill ends every process of the leaf (cgroup v2, cgroup.kill).
func (lf *leaf) kill() { _, _ = lf.killer.WriteAt([]byte("1"), 0) }

// populated reports whether a process lives in the leaf.
func (lf *leaf) populated() bool {
	var buf [256]byte
	n, _ := lf.events.ReadAt(buf[:], 0)
	return bytes.Contains(buf[:n], []byte("populated 1"))
}

// signal sends sig to each process of the leaf that is there now.
func (lf *leaf) signal(sig syscall.Signal) {
	if !lf.populated() {
		return
	}
	text, err := os.ReadFile(filepath.Join(lf.dir.Name(), "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 { // 0 is in another pid namespace
			_ = syscall.Kill(pid, sig)
		}
	}
}
