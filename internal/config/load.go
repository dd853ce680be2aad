package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxFile is the size of the largest file that is read.
const (
	maxFile  = 4 << 20
	tooLarge = "file is larger than 4 MiB"
)

// Load reads the file at path and those it includes. The error is Errors, with
// all mistakes of all files.
func Load(path string) (*Config, error) {
	d := newDecoder(path)
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return nil, Errors{unread(path, err)}
	}
	d.dir, d.cfg.Dir = dir, dir
	text, err := readFile(path, 0)
	if err != nil {
		return nil, Errors{unread(path, err)}
	}
	d.decode(text)
	for _, name := range d.matches() {
		d.read(name)
	}
	return d.result()
}

// Parse reads one text as the main file of the given name. It opens no file,
// and so leaves what the text includes unread. Relative paths are joined to
// the folder of name. The error is Errors, with all mistakes.
func Parse(name string, text []byte) (*Config, error) {
	d := newDecoder(name)
	d.cfg.Dir = d.dir
	d.decode(text)
	return d.result()
}

func newDecoder(name string) *decoder {
	cfg := Default()
	cfg.File = name
	return &decoder{
		loading: &loading{cfg: cfg, hosts: map[string]string{}},
		file:    name,
		dir:     filepath.Dir(name),
	}
}

func (l *loading) result() (*Config, error) {
	if len(l.errs) > 0 {
		l.errs.sort()
		return nil, l.errs
	}
	return l.cfg, nil
}

// read reads the sites of one included file.
func (l *loading) read(name string) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		l.errs = append(l.errs, unread(name, err))
		return
	}
	text, err := readFile(name, syscall.O_NONBLOCK)
	if err != nil {
		l.errs = append(l.errs, unread(name, err))
		return
	}
	d := &decoder{loading: l, file: name, dir: dir, included: true}
	d.decode(text)
}

// include stores the globs; Load reads their files when the main file is done.
func (d *decoder) include(c *Config, v value) {
	for _, item := range d.strings(v) {
		if _, err := checkPath(item.text); err != nil {
			d.bad(item, err)
			continue
		}
		if _, err := filepath.Match(item.text, ""); err != nil {
			d.fail(item.at, item.path, "bad glob "+quote(item.text), "")
			continue
		}
		c.Include = append(c.Include, item.text)
		d.includes = append(d.includes, item)
	}
}

// matches returns the files that the globs match, each once, sorted. A name
// that is no glob must be there.
func (d *decoder) matches() []string {
	var names []string
	seen := seenFiles{main: filepath.Clean(d.file), names: map[fileID]string{}}
	seen.again(seen.main)
	for _, item := range d.includes {
		glob := item.text
		if !filepath.IsAbs(glob) {
			// Relative to the folder as the user named it, for the messages.
			glob = filepath.Join(literal(filepath.Dir(d.file)), glob)
		}
		found, err := filepath.Glob(glob)
		if err != nil {
			d.fail(item.at, item.path, "bad glob "+quote(item.text), "")
			continue
		}
		if len(found) == 0 && !strings.ContainsAny(item.text, `*?[\`) {
			d.fail(item.at, item.path, "file "+quote(item.text)+" does not exist", "")
		}
		for _, name := range found {
			if why := seen.again(name); why != "" {
				d.fail(item.at, item.path, quote(item.text)+" matches "+why, "")
				continue
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// seenFiles are the names of files that are read, by what they really are.
type seenFiles struct {
	main  string
	names map[fileID]string
}

type fileID struct{ dev, ino uint64 }

// again tells whether a file has been seen under another name, and so would be read
// twice: "" if not. What cannot be looked at is for who reads it.
func (s *seenFiles) again(name string) string {
	st, err := os.Stat(name)
	if err != nil {
		return ""
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := fileID{uint64(sys.Dev), sys.Ino}
	switch first, ok := s.names[id]; {
	case !ok:
		s.names[id] = name
	case first == s.main:
		return "this file itself"
	case first != name:
		return quote(first) + " a second time, as " + quote(name)
	}
	return ""
}

// literal returns a glob that matches path alone.
func literal(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

var errTooLarge = errors.New(tooLarge)

var errIrregular = errors.New("not a regular file")

// readFile reads no more than a file may have. With O_NONBLOCK as the flag it has to be
// a file proper: whoever opens a FIFO waits for a writer that may never come. The main
// file is the user's to name, and may be one.
func readFile(name string, flag int) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); flag != 0 && err == nil && !st.IsDir() && !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIrregular}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = errTooLarge
	}
	return text, err
}

// unread is the mistake of a file that could not be read.
func unread(name string, err error) *Error {
	e := &Error{File: name, Reason: "cannot be read", cause: err}
	var pe *fs.PathError
	switch {
	case errors.Is(err, errTooLarge):
		e.Reason, e.cause = tooLarge, nil
	case errors.As(err, &pe): // whose own text has the name once more
		e.Reason = fmt.Sprintf("cannot be read: %v", pe.Err)
	}
	return e
}
