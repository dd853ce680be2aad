//go:build linux

package scripts_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/scripts"
)

// What a new interpreter draws at random, and when it was started, is not what
// the process before it had.
func TestWarmPythonFresh(t *testing.T) {
	t.Parallel()
	f := warm(t, python, nil, pythonEnv, "", "random", "uuid", "tempfile", "secrets", "logging", "ssl")
	path := write(t, t.TempDir(), "script.py", `import time; began = time.time()
import random, uuid, tempfile, secrets, os, ssl, logging, threading
print(random.random(), uuid.uuid4(), uuid.uuid1(), secrets.token_hex(), os.getpid(), tempfile.mktemp(), ssl.RAND_bytes(8).hex())
assert logging.LogRecord("", 0, "", 0, "", (), None).relativeCreated <= (time.time() - began) * 1000, "logging began before the script"
assert threading.main_thread().native_id == os.getpid()`)
	seen := map[string]int{}
	for n := range 20 {
		got := f.run(job{path: path})
		if got.status != 0 {
			t.Fatalf("got status %#x, %q", got.status, got.stderr)
		}
		for word := range strings.FieldsSeq(got.stdout) {
			if was, known := seen[word]; known {
				t.Errorf("%s comes from run %d and from run %d", word, was, n)
			}
			seen[word] = n
		}
	}
}

func TestWarmPythonLearns(t *testing.T) {
	t.Parallel()
	program, library := virtual(t)
	write(t, library, "lib/__init__.py", "")
	write(t, library, "lib/late.py", "import colorsys")
	dir := t.TempDir()
	write(t, dir, "own.py", "import quopri")
	path := write(t, dir, "script.py", "import sys, own\ndef f(): import lib.late\nf(); import multiprocessing; sys.exit(3)")
	address, next := abstract(t)
	f := warm(t, program, nil, pythonEnv, address)
	if got := f.run(job{path: path}); got.status.ExitStatus() != 3 {
		t.Fatalf("got status %#x, %q", got.status, got.stderr)
	}
	learnt := next()
	if len(learnt) == 0 || learnt[0] != "L" {
		t.Fatalf("got %q", learnt)
	}
	for name, want := range map[string]bool{"quopri": true, "lib": true, "lib.late": true, "colorsys": true, "own": false, "__main__": false, "sys": false, "os": false, "multiprocessing": false} {
		if got := slices.Contains(learnt, name); got != want {
			t.Errorf("%q is learnt: %v, want %v", name, got, want)
		}
	}
	f.end()

	f = warm(t, program, nil, pythonEnv, address, learnt[1:]...)
	for _, name := range learnt[1:] {
		if !slices.Contains(f.ready, name) {
			t.Errorf("READY lacks %q", name)
		}
	}
	if f.run(job{path: path}); true {
		if again := next(); again != nil {
			t.Errorf("what is known is reported again: %q", again)
		}
	}
}

// Modules that keep at import what belongs to a process are imported by each.
func TestWarmPythonRefuses(t *testing.T) {
	t.Parallel()
	program, library := virtual(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"reads_environment": `import os; value = os.environ.get("REQUEST")`,
		"copies":            `import os; value = dict(os.environ).get("REQUEST")`,
		"opens":             `import os; f = open(os.devnull); value = os.fstat(f.fileno()).st_rdev > 0`,
		"threads":           "import threading\ne = threading.Event()\nt = threading.Thread(target=e.wait, daemon=True); t.start()\nvalue = t.is_alive()",
		"stream":            `import sys; out = sys.stdout; value = lambda: out is sys.stdout`,
		"pid":               `import os; pid = os.getpid(); value = lambda: pid == os.getpid()`,
		"uses":              `import pid; value = pid.value`,
		"draws":             `import os; drawn = os.urandom(8).hex(); value = True`,
		"directory":         `import os; value = os.getcwd()`,
		"configuration":     fmt.Sprintf(`value = open(%q).read()`, filepath.Join(dir, "conf")),
		"handles":           `import signal, sys; signal.signal(signal.SIGUSR1, print); value = signal.getsignal(signal.SIGUSR1)`,
		"registers":         `import holder; holder.held.append(1); value = len(holder.held)`,
		"ends":              `import sys; sys.exit(9)`,
		"crashes":           "import os, sys\nif os.getcwd() == '/': os.abort()\nvalue = 1",
	} {
		write(t, library, name+".py", text)
		write(t, library, "holder.py", "held = []")
		write(t, dir, "conf", "old")
		path := write(t, dir, name+"_script.py", "import os, signal, holder; print(holder.held, signal.getsignal(signal.SIGUSR1), os.listdir('/proc/self/fd'))\nimport "+name+" as m\nprint(m.value() if callable(m.value) else m.value, os.environ['REQUEST'])")
		t.Run(name, func(t *testing.T) {
			f := warm(t, program, nil, pythonEnv, "", name, "holder", "json")
			j := job{path: path, env: []string{"REQUEST=this"}}
			f.fork(2)
			if name == "configuration" {
				write(t, dir, "conf", "new")
			}
			if got, want := f.run(j), f.cold(j); got != want {
				t.Error(difference(got, want))
			}
		})
	}
}

// A script that has changed is seen by the next request, though its process was
// forked before; so is a module of its own that has the name of a preloaded one.
func TestWarmPythonChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, dir, "script.py", "print('first script')\n")
	shadowed := write(t, dir, "shadowed.py", "import json; print(json)\n")
	dependent := write(t, dir, "dependent.py", "import email.message, sys; print(sys.modules['quopri'])\n")
	inserts := write(t, dir, "inserts.py", "import json, sys, os\nsys.path.insert(0, os.path.join(sys.path[0], 'lib'))\nimport quopri; print(quopri)\n")
	write(t, dir, "lib/quopri.py", "")
	time.Sleep(2100 * time.Millisecond) // or nothing is kept: a write in the same tick would not show
	f := warm(t, python, nil, pythonEnv, "", "json", "email.message")
	for _, path := range []string{path, shadowed, dependent, inserts} {
		f.send("C", path)
	}
	f.fork(12)
	see := func(path, want string) {
		t.Helper()
		if got := f.run(job{path: path}); got.status != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("got %#x %q %q, want %q", got.status, got.stdout, got.stderr, want)
		}
	}
	see(path, "first script")
	write(t, dir, "script.py", "print('other script')\n")
	see(path, "other script")
	write(t, dir, "other", "print('third script')\n")
	check(t, os.Rename(filepath.Join(dir, "other"), path))
	see(path, "third script")
	see(shadowed, "/json/__init__.py")
	write(t, dir, "json.py", "")
	see(shadowed, filepath.Join(dir, "json.py"))
	check(t, os.Remove(filepath.Join(dir, "json.py")))
	see(shadowed, "/json/__init__.py")
	see(dependent, "/lib/python3")
	see(inserts, filepath.Join(dir, "lib/quopri.py"))
	write(t, dir, "quopri.py", "def encodestring(*a): pass\ndecodestring = encodestring\n")
	see(dependent, filepath.Join(dir, "quopri.py"))
}

// What Gatehouse has to watch so that a changed library is seen as well.
func TestWarmPythonWatch(t *testing.T) {
	t.Parallel()
	program, library := virtual(t)
	module := write(t, library, "package/module.py", "value = 1")
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(t.TempDir(), link))
	user := t.TempDir()
	f := warm(t, program, nil, append([]string{"PYTHONPATH=" + link + ":/nonexistent/lib", "PYTHONUSERBASE=" + user}, pythonEnv...), "", "package.module", "json")
	for _, want := range []string{
		module, filepath.Dir(module), library, link, "/nonexistent/lib/",
		filepath.Join(filepath.Dir(filepath.Dir(program)), "pyvenv.cfg"),
	} {
		if !slices.Contains(f.watch, want) {
			t.Errorf("%q is not to be watched; these are: %q", want, f.watch)
		}
	}
	var data bool
	for _, path := range f.watch {
		data = data || strings.HasSuffix(path, "/json/decoder.py")
		if !filepath.IsAbs(path) {
			t.Errorf("%q is relative", path)
		}
	}
	if !data {
		t.Errorf("json.decoder is not to be watched; these are: %q", f.watch)
	}
}

// Where the interpreter would look depends on the folder of the request, there is no
// server.
func TestWarmPythonRelative(t *testing.T) {
	t.Parallel()
	for _, env := range []string{"PYTHONPATH=lib", "PYTHONPATH=:/tmp", "HOME=here"} {
		f := launch(t, python, nil, append([]string{env}, pythonEnv...))
		_ = unix.Send(f.control, []byte("S\x001\x00"), unix.MSG_NOSIGNAL) // it may have ended already
		if fields, _, _ := f.receive(); fields != nil {
			t.Errorf("%s: got %q", env, fields)
		}
		if said := f.end(); f.status.ExitStatus() != 1 || !strings.Contains(said, "is relative to a folder") {
			t.Errorf("%s: it ends with %#x and says %q", env, f.status, said)
		}
	}
}

func TestWarmPythonFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive := write(t, dir, "archive/__main__.py", "print('from a folder')")
	f := warm(t, python, nil, pythonEnv, "")
	for _, j := range []job{
		{path: filepath.Join(dir, "missing.py")},
		{path: filepath.Dir(archive)},
	} {
		if got, want := f.run(j), f.cold(j); got != want {
			t.Errorf("%s: %s", j.path, difference(got, want))
		}
	}
	f.testFailures(write(t, dir, "script.py", "print(1)"), "1\n")

	f = warm(t, python, nil, pythonEnv, "")
	f.send("F", "1", "many")
	if said := f.end(); f.status.ExitStatus() != 1 || !strings.HasPrefix(said, "gatehouse: python: ValueError: ") || strings.Count(said, "\n") != 1 {
		t.Errorf("after garbage it ends with %#x and says %q", f.status, said)
	}
}

func TestWarmPythonTag(t *testing.T) {
	t.Parallel()
	inPython.testTag(t, `import sys; sys.stdout.buffer.write(open("/proc/self/environ", "rb").read())`, strings.Repeat("long", 500))
}

func TestWarmPythonMany(t *testing.T) {
	t.Parallel()
	inPython.testMany(t, "\"%s\"\n", [3]string{
		"import json, os; print(json.dumps(os.environ['N']))",
		"import os, sys; sys.stdout.write('\"%s\"\\n' % os.environ['N']); sys.stdout.flush(); os.kill(os.getpid(), 11)",
		"import threading, os\nthreading.Thread(target=lambda: print('\"%s\"' % os.environ['N'])).start()\nraise SystemExit(2)",
	})
}

// The text is one string for the interpreter, which must end where the file does.
func TestWarmPythonText(t *testing.T) {
	t.Parallel()
	text := scripts.WarmPython()
	if !bytes.HasPrefix(text, []byte("exec(compile(r'''")) || bytes.Count(text, []byte("'''")) != 2 {
		t.Errorf("the text begins with %.40q and has %d times three quotes", text, bytes.Count(text, []byte("'''")))
	}
}

func BenchmarkWarmPython(b *testing.B) {
	for name, text := range map[string]string{
		"small":  "print('Content-Type: text/plain\\r\\n\\r\\nHello, world')",
		"legacy": "import os, sys, json, html, datetime, urllib.parse, http.cookies, email.message\nprint(json.dumps(dict(os.environ)))",
	} {
		b.Run(name, func(b *testing.B) {
			f := warm(b, python, nil, pythonEnv, "", "json", "html", "datetime", "urllib.parse", "http.cookies", "email.message")
			path := write(b, b.TempDir(), "script.py", text)
			time.Sleep(2100 * time.Millisecond) // old enough to be kept
			f.send("C", path)
			f.bench(b, path)
		})
	}
}
