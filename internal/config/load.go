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
	text, err := readFile(path)
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
	return &decoder{
		loading: &loading{cfg: Default(), hosts: map[string]string{}},
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
	text, err := readFile(name)
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
			if name == filepath.Clean(d.file) {
				d.fail(item.at, item.path, quote(item.text)+" matches this file itself", "")
				continue
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// literal returns a glob that matches path alone.
func literal(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

var errTooLarge = errors.New(tooLarge)

// readFile reads no more than a file may have.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
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
