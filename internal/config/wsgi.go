package config

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// WSGI is a Python application object (PEP 3333), run by processes of ours.
type WSGI struct {
	// Backend says of its processes what it says of a Command's. Concurrency is
	// the number of threads in each. With the mode "cgi" of it only Dir, User,
	// Env and Line mean something.
	Backend
	Module Module
	// Python is the interpreter: an absolute path, or a name to be found on the
	// PATH. Venv is the folder of a virtual environment, which has one; then
	// Python is "".
	Python, Venv string
	// Mode is "fastcgi" for workers that stay, "cgi" for a process per request.
	Mode string
	// Reload has the workers replaced when a source of the application changes.
	Reload bool
}

// Module names an application object: in a file, or in a module that is imported.
type Module struct {
	File   string // "" where Name is set
	Name   string // as in "package.module"
	Object string // as in "application", or with a call, "create_app()"
}

// String returns the module in the form that ParseModule reads.
func (m Module) String() string { return m.File + m.Name + ":" + m.Object }

// NewWSGI returns a WSGI with the defaults, but for its Module and Dir. MinWorkers
// is as many as Workers.
func NewWSGI() *WSGI {
	w := &WSGI{Backend: *NewBackend(), Python: "python3", Mode: "fastcgi"}
	w.StartTimeout, w.AbortGrace = Duration(time.Minute), Duration(30*time.Second)
	return w
}

var (
	dottedName = regexp.MustCompile(`^[\pL_][\pL\pN_]*(\.[\pL_][\pL\pN_]*)*$`)
	callOf     = regexp.MustCompile(`^([\pL_][\pL\pN_.]*)\s*\([^\x00-\x1f]*\)$`)
)

const expectedModule = `expected one as in "app.py", "app.py:application" or "package.module:create_app()"`

// ParseModule reads "FILE", "FILE:OBJECT", "MODULE" and "MODULE:OBJECT". What has a
// "/" in it or ends in ".py" is a file. The object is a name, "application" where
// none is said, or a call of one that returns the application, as in
// "create_app('production')".
func ParseModule(text string) (Module, error) {
	m := Module{Object: "application"}
	where, object, more := cutObject(text)
	if more {
		m.Object = strings.TrimSpace(object)
	}
	name := m.Object
	if call := callOf.FindStringSubmatch(m.Object); call != nil {
		name = call[1]
	}
	switch {
	case strings.ContainsRune(text, 0):
		return m, bad("", "module %s has a NUL in it", quote(text))
	case where == "":
		return m, bad(expectedModule, "bad module %s", quote(text))
	case !dottedName.MatchString(name):
		return m, bad(expectedModule, "bad name %s in module %s", quote(m.Object), quote(text))
	case isPythonFile(where):
		file, err := checkPath(where)
		m.File = file
		return m, err
	case !dottedName.MatchString(where):
		return m, bad(expectedModule, "bad module %s", quote(text))
	}
	m.Name = where
	return m, nil
}

func isPythonFile(name string) bool {
	return strings.Contains(name, "/") || strings.HasSuffix(name, ".py")
}

// cutObject cuts at the colon before the object. A file's name may have colons in
// it, as the arguments of a call may.
func cutObject(text string) (where, object string, found bool) {
	head, _, _ := strings.Cut(text, "(")
	if n := strings.LastIndexByte(head, ':'); n >= 0 && !strings.Contains(text[n:len(head)], "/") {
		return text[:n], text[n+1:], true
	}
	return text, "", false
}

// wsgi reads an application: its module, or a table.
func (d *decoder) wsgi(r *Route, v value) {
	w := NewWSGI()
	w.Line = v.at.line
	switch v.kind {
	case stringKind:
		d.module(w, v)
	case tableKind:
		wsgiTable.decode(d, v.node, v.path, w)
		d.completeWSGI(w, v)
	default:
		d.fail(v.at, v.path, "expected a module or a table, got "+v.kind.String(), expectedModule)
	}
	if w.Dir == "" {
		w.Dir = d.dir
		if w.Module.File != "" {
			w.Dir = filepath.Dir(w.Module.File)
		}
	}
	r.WSGI = w
}

// forWorkers are the keys that say nothing where each request has a process of its own.
var forWorkers = []string{"workers", "min_workers", "worker_idle_timeout", "threads", "max_requests",
	"max_memory", "start_timeout", "reload", "abort_grace", "catch_stderr"}

// completeWSGI checks what the keys of the table v say together, and fills in what
// depends on others.
func (d *decoder) completeWSGI(w *WSGI, v value) {
	if v.get("module") == nil {
		d.fail(v.at, v.path, "module is missing", expectedModule)
	}
	if n := v.get("python"); w.Venv != "" {
		w.Python = ""
		if n != nil {
			d.fail(n.at, keyPath(v.path, "python"), "a python beside a venv", "a virtual environment has its own")
		}
	}
	if w.Mode != "cgi" {
		d.completeWorkers(&w.Backend, v)
		return
	}
	for _, e := range v.entries {
		if slices.Contains(forWorkers, e.name) {
			d.fail(e.at, keyPath(v.path, e.name), `does nothing with mode = "cgi"`, "each request has a process of its own")
		}
	}
}

func (d *decoder) module(w *WSGI, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	m, err := ParseModule(v.text)
	if err != nil {
		d.bad(v, err)
		return
	}
	if m.File != "" {
		m.File = d.resolve(m.File, false)
	}
	w.Module = m
}

// python stores an interpreter. One with a "/" in it is relative to the folder of
// the file, as other files are.
func (d *decoder) python(w *WSGI, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	p, err := checkPath(v.text)
	if err != nil {
		d.bad(v, err)
		return
	}
	if strings.Contains(p, "/") {
		p = d.resolve(p, false)
	}
	w.Python = p
}

func (d *decoder) wsgiMode(w *WSGI, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case v.text != "fastcgi" && v.text != "cgi":
		d.fail(v.at, v.path, "bad mode "+quote(v.text), `expected "fastcgi" or "cgi"`)
	default:
		w.Mode = v.text
	}
}

// wsgiFields are the keys of an application. Those about processes are the same as
// for commands, but for some whose defaults differ.
func wsgiFields() []field[WSGI] {
	fields := []field[WSGI]{
		{Key: Key{Name: "module", Type: typeString,
			Doc: `The application object: "app.py", "app.py:NAME", "package.module:NAME", or with a call that returns it, "app.py:create_app()"; the name is "application" where none is said.`},
			set: (*decoder).module},
		{Key: Key{Name: "python", Type: typeString, Default: `"python3"`,
			Doc: "The Python that runs it, 3.8 or newer: a file, or a name to be found on the PATH."},
			set: (*decoder).python},
		{Key: Key{Name: "venv", Type: typeString,
			Doc: "In place of python: the folder of a virtual environment, whose bin/python runs it."},
			set: path(func(w *WSGI) *string { return &w.Venv }, false)},
		{Key: Key{Name: "mode", Type: typeString, Default: `"fastcgi"`,
			Doc: `"fastcgi" for workers that keep the application loaded, "cgi" for a process that is started for each request.`},
			set: (*decoder).wsgiMode},
		{Key: Key{Name: "threads", Type: typeInteger, Default: `1`,
			Doc: "How many requests a process answers at a time, each in a thread."},
			set: integer(func(w *WSGI) *int { return &w.Concurrency }, 1, 1000)},
		{Key: Key{Name: "reload", Type: typeBoolean, Default: `false`,
			Doc: "Whether the sources of the application are watched, and the workers replaced when one changes."},
			set: boolean(func(w *WSGI) *bool { return &w.Reload })},
		{Key: Key{Name: "dir", Type: typeString, Default: "that of the module's file, or of this one",
			Doc: "Folder that the processes start in; a dotted module is looked for there."},
			set: path(func(w *WSGI) *string { return &w.Dir }, false)},
		{Key: Key{Name: "start_timeout", Type: typeDuration, Default: `"1m"`,
			Doc: "How long a process may take from its start until it has loaded the application."},
			set: func(d *decoder, w *WSGI, v value) {
				positive(func(b *Backend) *Duration { return &b.StartTimeout })(d, &w.Backend, v)
			}},
		{Key: Key{Name: "abort_grace", Type: typeDuration, Default: `"30s"`,
			Doc: `How long it may take the application to notice, by its next block of output or input, that nobody waits for its answer any more, before its worker is replaced; "0s" replaces it at once.`},
			set: duration(func(w *WSGI) *Duration { return &w.AbortGrace })},
	}
	own := func(f field[WSGI]) bool {
		return slices.ContainsFunc(fields, func(o field[WSGI]) bool { return o.Name == f.Name })
	}
	for _, f := range lift(func(w *WSGI) *Backend { return &w.Backend }, slices.Concat(workerFields(), connectionFields())) {
		switch f.Name {
		case "concurrency", "keep_alive", "connection_idle_timeout", "health_path", "health_interval", "health_timeout":
		default:
			if !own(f) {
				fields = append(fields, f)
			}
		}
	}
	return fields
}
