package process

import (
	"bytes"
	"errors"
	"fmt"
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
	lf, err := newLeaf(filepath.Join(l.root, fmt.Sprintf("gatehouse-%d-%d", os.Getpid(), len(l.all))))
	if err == nil {
		l.all = append(l.all, lf)
	}
	return lf, err
}

func (l *leaves) put(lf *leaf) {
	if lf != nil {
		l.mu.Lock()
		l.free = append(l.free, lf)
		l.mu.Unlock()
	}
}

// close removes the leaves. One in which a kept process lives cannot be.
func (l *leaves) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, lf := range l.all {
		path := lf.dir.Name()
		_ = lf.dir.Close()
		_ = lf.killer.Close()
		_ = lf.events.Close()
		err := os.Remove(path)
		for n := 0; n < 100 && errors.Is(err, syscall.EBUSY); n++ { // the killed are still going
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

func newLeaf(path string) (*leaf, error) {
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, fmt.Errorf("process: cgroup: %w", err)
	}
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
		if pid, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(pid, sig)
		}
	}
}
