package site

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"gatehouse/internal/config"
	"gatehouse/process"
)

const (
	watchEvery = 500 * time.Millisecond // a look at all files
	settleFor  = 100 * time.Millisecond // without another change, so that none is read half written
	settleMost = 20                     // times that long, whatever goes on

	mostSources = 20_000  // files that are watched
	mostList    = 4 << 20 // bytes of the list of them
)

// stamp is what changes when a file is written; the zero value is for one that is not
// there.
type stamp struct {
	changed time.Time
	size    int64
	inode   uint64
}

func stampOf(name string) stamp {
	st, err := os.Stat(name)
	if err != nil {
		return stamp{}
	}
	s := stamp{changed: st.ModTime(), size: st.Size()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// watch has the workers of an application replaced when one of its sources changes:
// the files that a worker says it has imported, and while none can load the
// application those that lie beside it and those in its traceback. All but start and
// end is one goroutine's.
type watch struct {
	workers *process.Workers
	replace func()
	app     *config.WSGI
	name    string // of the route, for the log
	log     *slog.Logger
	list    string // the file that workers write

	files  map[string]stamp
	listed stamp     // of list, when it was read
	since  time.Time // when the workers were begun that run now

	stop context.CancelFunc
	done chan struct{}
}

func newWatch(b *backend, list string, log *slog.Logger) *watch {
	w := &watch{
		workers: b.workers, app: b.wsgi, name: b.name, log: log, list: list,
		files: make(map[string]stamp), since: time.Now(),
	}
	w.replace = func() {
		b.workers.Replace()
		b.fastcgi.Renew()
	}
	return w
}

// start begins to watch, until end is called.
func (w *watch) start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.done = cancel, make(chan struct{})
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
}

// end waits for the end. It may be called without start.
func (w *watch) end() {
	if w.stop != nil {
		w.stop()
		<-w.done
	}
}

func (w *watch) run(ctx context.Context) {
	w.add(moduleFiles(w.app)...)
	for pause(ctx, watchEvery) {
		file := w.look()
		if file == "" {
			continue
		}
		for n := 0; n < settleMost && pause(ctx, settleFor); n++ {
			if w.look() == "" {
				break
			}
		}
		if ctx.Err() != nil {
			return
		}
		w.log.Info("a source has changed, the workers are replaced", "app", w.name, "file", file)
		w.since = time.Now()
		w.replace()
	}
}

// pause reports false when ctx was done before d had passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// look returns a file that has changed since the look before, "" if none has.
func (w *watch) look() (changed string) {
	changed = w.readList()
	if status := w.workers.Status(); status.Last != "" {
		if file := w.add(append(besides(w.app), traced(status.Stderr)...)...); changed == "" {
			changed = file
		}
	}
	for name, was := range w.files {
		if is := stampOf(name); is != was {
			w.files[name] = is
			changed = name
		}
	}
	return changed
}

// add adds files. It returns one that was written after the workers were begun: they
// may have read it as it was before.
func (w *watch) add(names ...string) (changed string) {
	for _, name := range names {
		if _, known := w.files[name]; known || !filepath.IsAbs(name) || len(w.files) >= mostSources {
			continue
		}
		s := stampOf(name)
		w.files[name] = s
		if s.changed.After(w.since) && !s.changed.After(time.Now()) {
			changed = name
		}
	}
	return changed
}

// readList reads what the workers have written, if it is news. They may be another
// user's: nothing but a file is read there, and not without bounds.
func (w *watch) readList() (changed string) {
	is := stampOf(w.list)
	if is == w.listed || is == (stamp{}) {
		return ""
	}
	w.listed = is
	text, err := readPlain(w.list, mostList)
	if err != nil {
		w.log.Warn("the list of an application's sources cannot be read", "app", w.name, "error", err)
		return ""
	}
	var names []string
	for line := range bytes.Lines(text) {
		names = append(names, string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return w.add(names...)
}

// readPlain reads at most so much of a file that is no symbolic link and nothing else.
func readPlain(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("it is no file")}
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// moduleFiles are where the application's module is or would be.
func moduleFiles(c *config.WSGI) (names []string) {
	if c.Module.File != "" {
		return []string{c.Module.File}
	}
	path := c.Dir
	for part := range strings.SplitSeq(c.Module.Name, ".") {
		path = filepath.Join(path, part)
		names = append(names, path+".py", filepath.Join(path, "__init__.py"))
	}
	return names
}

// besides are the sources in the folders of those files: what is missing may appear
// there.
func besides(c *config.WSGI) (names []string) {
	seen := make(map[string]bool)
	for _, file := range moduleFiles(c) {
		dir := filepath.Dir(file)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".py") {
				names = append(names, filepath.Join(dir, e.Name()))
			}
		}
	}
	return names
}

var tracedFile = regexp.MustCompile(`File "([^"\n]+)", line [0-9]`)

// traced are the files that a traceback names.
func traced(stderr string) (names []string) {
	for _, found := range tracedFile.FindAllStringSubmatch(stderr, -1) {
		names = append(names, found[1])
	}
	return names
}
