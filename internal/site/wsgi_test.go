package site_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/site"
)

// python3 is the interpreter that tests run: another first on the PATH may be a script.
const python3 = "/usr/bin/python3"

func needPython(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(python3); err != nil {
		t.Skip("NOT TESTED: there is no " + python3)
	}
}

// wsgiFaults does what its path says; what it leaves is in the folder of its file.
const wsgiFaults = `
import ctypes, os, signal, sys, time

here = os.path.dirname(__file__)
ballast = []

class Stream:
    def __iter__(self):
        while True:
            yield b"x" * 1000
            time.sleep(0.01)
    def close(self):
        with open(os.path.join(here, "closed"), "a") as f:
            f.write("closed\n")

def killed():
    yield b"the first part\n"
    os._exit(7)

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/exit":
        os._exit(7)
    if path == "/hang":
        open(os.path.join(here, "hangs-%d" % os.getpid()), "w").close()
        while True:
            pass
    if path == "/hang-in-c":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        open(os.path.join(here, "hangs-%d" % os.getpid()), "w").close()
        ctypes.PyDLL(None).sleep(1000)
    if path == "/grow":
        ballast.append(b"x" * (100 << 20))
    if path == "/fork":
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        start_response("200 OK", [])
        return [b"CHILD=%d\n" % pid]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/half":
        return killed()
    if path == "/stream":
        return Stream()
    lines = ["PID=%d" % os.getpid(), "MAIN=%s" % os.path.basename(sys.modules["__main__"].__file__), "VENV=%s" % os.environ.get("VIRTUAL_ENV"), "PROCESS=%s" % os.environ.get("OF_THE_PROCESS"),
        "UID=%d" % os.getuid(), "CWD=%s" % os.getcwd()]
    lines += ["%s=%s" % item for item in sorted(environ.items()) if isinstance(item[1], (str, bool))]
    return ["\n".join(lines).encode("latin-1")]
`

// wsgi starts a host with such an application, with more keys of its table and of its
// route.
func wsgi(t testing.TB, keys, more string, change ...func(*site.Options)) (s *server, dir string) {
	t.Helper()
	needPython(t)
	dir = tree(t, files{"app.py": wsgiFaults})
	text := "[[site]]\n[[site.route]]\npath = '/'\n" + more + "\nwsgi = { module = 'DIR/app.py', python = '" + python3 + "', " + keys + " }\n"
	return start(t, dir, text, change...), dir
}

// C02, C03, C06, C07, A33: what an application sees, for each form of a route and each
// way to run it.
func TestWSGIEnvironment(t *testing.T) {
	needPython(t)
	t.Setenv("OF_THE_SERVER", "x")
	dir := tree(t, files{"app.py": wsgiFaults, "root/": "", "work/": "", "venv/bin/python": "#!/bin/sh\nexec " + python3 + ` "$@"` + "\n"})
	text := "[[site]]\nroot = 'DIR/root'\nenv = { COLOUR = 'green' }\n"
	for _, r := range []string{
		`path = "/"; module = "app.py"; python = "PY"; workers = 2`,
		`path = "/app/"; module = "app.py"; python = "PY"; workers = 1; threads = 2; env = { OF_THE_PROCESS = "yes" }; dir = "work"`,
		`path = "/one"; module = "app:application"; venv = "venv"; workers = 1; min_workers = 0`,
		`path = "/cold/"; module = "app.py"; python = "PY"; mode = "cgi"; env = { OF_THE_PROCESS = "yes" }; dir = "work"`,
		`path = "/venv/"; module = "app:application"; venv = "venv"; mode = "cgi"`,
	} {
		path, table, _ := strings.Cut(r, "; ")
		text += "[[site.route]]\n" + path + "\nwsgi = { " + strings.ReplaceAll(strings.ReplaceAll(table, "; ", ", "), "PY", python3) + " }\n"
	}
	s := start(t, dir, text)
	const yes, no = "True", "False"
	for _, tt := range []struct {
		name, target, script, info, threads, processes, once, venv, own, cwd string
	}{
		{"root", "/", "", "/", no, yes, no, "None", "None", dir},
		{"root and more", "/a%20b/c?d=e", "", "/a b/c", no, yes, no, "None", "None", dir},
		{"prefix", "/app/x/y", "/app", "/x/y", yes, no, no, "None", "yes", dir + "/work"},
		{"prefix alone", "/app/", "/app", "/", yes, no, no, "None", "yes", dir + "/work"},
		{"exact", "/one", "/one", "", no, no, no, dir + "/venv", "None", dir},
		{"exact and more", "/one/two", "/one", "/two", no, no, no, dir + "/venv", "None", dir},
		{"cgi", "/cold/x", "/cold", "/x", no, yes, yes, "None", "yes", dir + "/work"},
		{"cgi in a virtual environment", "/venv/", "/venv", "/", no, yes, yes, dir + "/venv", "None", dir},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.get(t, tt.target, "Authorization: Basic eA==")
			_, query, _ := strings.Cut(tt.target, "?")
			for _, v := range [][2]string{
				{"SCRIPT_NAME", tt.script}, {"PATH_INFO", tt.info}, {"QUERY_STRING", query},
				{"wsgi.multithread", tt.threads}, {"wsgi.multiprocess", tt.processes}, {"wsgi.run_once", tt.once},
				{"VENV", tt.venv}, {"PROCESS", tt.own}, {"CWD", tt.cwd},
				{"SCRIPT_FILENAME", "(none)"}, {"PATH_TRANSLATED", "(none)"}, {"DOCUMENT_ROOT", dir + "/root"},
				{"COLOUR", "green"}, {"HTTP_AUTHORIZATION", "Basic eA=="}, {"OF_THE_SERVER", "(none)"},
			} {
				if got := a.told(v[0]); got != v[1] {
					t.Errorf("%s: got %q, want %q\n%s", v[0], got, v[1], a.body)
				}
			}
		})
	}
	eventually(t, "the application in the access log", func() bool {
		return strings.Count(s.access.String(), " script="+dir+"/app.py:application ") == 5 && strings.Count(s.access.String(), " script=app:application ") == 3
	})
}

// Both ways to run it take the user, in whose place only root can put them.
func TestWSGIUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root can run processes as others")
	}
	needPython(t)
	for _, mode := range []string{"mode = 'cgi'", "reload = true, workers = 1"} {
		t.Run(mode, func(t *testing.T) {
			dir := tree(t, files{"app.py": wsgiFaults})
			for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) { // another user has to get there
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			s := start(t, dir, "[[site]]\n[[site.route]]\npath = '/'\nwsgi = { module = 'app.py', python = '"+python3+"', user = 'nobody', "+mode+" }\n")
			if a := s.get(t, "/x"); a.told("UID") != "65534" {
				t.Errorf("got %d %s\n%s", a.StatusCode, a.body, s.log)
			}
			if a := s.get(t, "/x"); mode == "mode = 'cgi'" && a.told("MAIN") != "run_wsgi.pyc" { // compiled, once
				t.Errorf("got %s\n%s", a.body, s.log)
			}
			if log := s.log.String(); strings.Contains(log, "sources") || strings.Contains(log, "compiled") {
				t.Errorf("got %s", log)
			}
		})
	}
}

// A worker that ends takes its request with it, and nothing else.
func TestWSGIWorkerExits(t *testing.T) {
	s, _ := wsgi(t, "workers = 1", "")
	before := s.get(t, "/").told("PID")
	a := s.get(t, "/half")
	if a.StatusCode != 200 || a.body != "the first part\n" || a.err == nil { // C31
		t.Errorf("it ends in the middle: got %d %q, %v, want an answer that is cut short", a.StatusCode, a.body, a.err)
	}
	if a := s.get(t, "/"); a.StatusCode != 200 || a.told("PID") == before {
		t.Errorf("after that: got %d from %s, which was %s", a.StatusCode, a.told("PID"), before)
	}
	if a := s.do(t, request("POST", "/exit")); a.StatusCode != 502 {
		t.Errorf("it ends before its answer: got %d", a.StatusCode)
	}
	if a := s.get(t, "/"); a.StatusCode != 200 {
		t.Errorf("after that: got %d", a.StatusCode)
	}
	s.lastAccess(t, 5)
	for line := range strings.Lines(s.access.String()) {
		if strings.Contains(line, " uri=/ ") && strings.Contains(line, "failure") {
			t.Errorf("got %s", line)
		}
	}
	if line := s.accessOf(t, " uri=/exit "); !strings.Contains(line, `failure=no-output reason="`) || !strings.Contains(line, "exit status 7") {
		t.Errorf("got %s", line)
	}
}

// C37, C38: what takes too long is killed, whatever it does; others are answered.
func TestWSGITimeout(t *testing.T) {
	for _, tt := range []struct{ name, target, how string }{
		{"in Python", "/hang", "killed by signal"},
		{"in a C call, with signals blocked", "/hang-in-c", "killed by signal 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := wsgi(t, "workers = 1, threads = 2, abort_grace = '0s'", "timeout = '700ms'\nkill_grace = '100ms'")
			// Where the machine is so slow that the time is over before the application has
			// got anywhere, a request shows nothing, and is made again.
			answering := func() (pid string) {
				eventually(t, "an answer", func() bool {
					a := s.get(t, "/")
					if a.StatusCode != 200 && a.StatusCode != 504 {
						t.Fatalf("got %d", a.StatusCode)
					}
					pid = a.told("PID")
					return a.StatusCode == 200
				})
				return pid
			}
			pid := ""
			eventually(t, "a request that hangs", func() bool {
				pid = answering()
				if a := s.get(t, tt.target); a.StatusCode != 504 {
					t.Fatalf("got %d", a.StatusCode)
				}
				return exists(filepath.Join(dir, "hangs-"+pid))
			})
			eventually(t, "another worker", func() bool { return answering() != pid })
			eventually(t, "its end", func() bool {
				_, err := os.Stat("/proc/" + pid)
				return err != nil && strings.Contains(s.log.String(), " pid="+pid+` how="`+tt.how)
			})
		})
	}
}

// One that grows is replaced after its request.
func TestWSGIMemory(t *testing.T) {
	t.Run("max_memory", func(t *testing.T) {
		s, _ := wsgi(t, "workers = 1, max_memory = '80MiB'", "")
		if a := s.get(t, "/grow"); a.StatusCode != 200 {
			t.Errorf("got %d", a.StatusCode)
		}
		eventually(t, "its replacement", func() bool { return strings.Contains(s.log.String(), "bytes of memory, more than 83886080") })
		if a := s.get(t, "/"); a.StatusCode != 200 {
			t.Errorf("after that: got %d", a.StatusCode)
		}
	})
	t.Run("memory", func(t *testing.T) { // the kernel refuses it, and the application fails
		s, _ := wsgi(t, "workers = 1", "memory = '90MiB'")
		pid := s.get(t, "/").told("PID")
		if a := s.get(t, "/grow"); a.StatusCode != 500 {
			t.Errorf("got %d", a.StatusCode)
		}
		if a := s.get(t, "/"); a.StatusCode != 200 || a.told("PID") != pid {
			t.Errorf("after that: got %d from %s, which was %s", a.StatusCode, a.told("PID"), pid)
		}
	})
}

// What an application forks ends with its worker, at the latest.
func TestWSGIFork(t *testing.T) {
	needPython(t)
	child := ""
	t.Run("", func(t *testing.T) {
		s, _ := wsgi(t, "workers = 1", "")
		for range 2 {
			child = s.get(t, "/fork").told("CHILD")
			if _, err := os.Stat("/proc/" + child); err != nil {
				t.Fatalf("child %q: %v", child, err)
			}
		}
		if a := s.get(t, "/"); a.StatusCode != 200 {
			t.Errorf("after that: got %d", a.StatusCode)
		}
	})
	if _, err := os.Stat("/proc/" + child); err == nil {
		t.Errorf("child %s lives on", child)
	}
}

// C28: close is called, once, when a client leaves in the middle of a stream.
func TestWSGIClientLeaves(t *testing.T) {
	for _, mode := range []string{"workers = 1", "workers = 1, threads = 4, abort_grace = '0s'", "mode = 'cgi'"} {
		t.Run(mode, func(t *testing.T) {
			s, dir := wsgi(t, mode, "")
			pid := s.get(t, "/").told("PID")
			conn := s.dial(t)
			if _, err := io.WriteString(conn, request("GET", "/stream")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 5000)); err != nil {
				t.Fatal(err)
			}
			conn.Close()
			eventually(t, "its close", func() bool {
				text, _ := os.ReadFile(filepath.Join(dir, "closed"))
				return string(text) == "closed\n"
			})
			if mode == "mode = 'cgi'" {
				eventually(t, "its end", func() bool { return children() == "" })
				return
			}
			if mode == "workers = 1" { // one that was told has no need to be replaced
				if a := s.get(t, "/"); a.StatusCode != 200 || a.told("PID") != pid {
					t.Errorf("after that: got %d from %s, which was %s", a.StatusCode, a.told("PID"), pid)
				}
				return
			}
			eventually(t, "another worker", func() bool {
				a := s.get(t, "/")
				if a.StatusCode != 200 {
					t.Fatalf("after that: got %d", a.StatusCode)
				}
				return a.told("PID") != pid
			})
		})
	}
}

// None of many requests is lost while workers are replaced all the time.
func TestWSGIReplacedUnderLoad(t *testing.T) {
	s, _ := wsgi(t, "workers = 2, threads = 2, max_requests = 50", "queue_timeout = '0s'")
	const conns, each = 32, 32
	var mu sync.Mutex
	answers := make(map[string]int)
	var wg sync.WaitGroup
	for n := range conns {
		wg.Go(func() {
			for i := range each {
				a := s.get(t, fmt.Sprintf("/%d/%d", n, i))
				mu.Lock()
				answers[strconv.Itoa(a.StatusCode)+" "+a.told("PID")]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	sum := 0
	for what, n := range answers {
		if strings.HasPrefix(what, "200 ") && n <= 50+5+1 { // a tenth more, and what the other thread has under way
			sum += n
		} else {
			t.Errorf("%d times %s", n, what)
		}
	}
	if sum != conns*each || len(answers) < conns*each/55 {
		t.Errorf("%d answers from %d workers, want %d", sum, len(answers), conns*each)
	}
}

// What a Python application lacks is told when the host is made, and nothing is left.
func TestWSGIThatCannotBe(t *testing.T) {
	needPython(t)
	t.Setenv("TMPDIR", t.TempDir())
	dir := tree(t, files{"app.py": wsgiFaults, "venv/": "", "py": "text"})
	for _, tt := range []struct{ name, keys, want string }{
		{"no file", `module = "none.py"`, `gatehouse.toml:5:19: site.route.wsgi.module: file "DIR/none.py" does not exist`},
		{"a folder", `module = "./venv"`, `module: "DIR/venv" is a folder (expected a file)`},
		{"no venv", `module = "app.py", venv = "venv"`, `venv: "DIR/venv" is no virtual environment (there is no bin/python in it)`},
		{"no python", `module = "app.py", python = "no-such-python"`, `python: program "no-such-python" is not found (the PATH is `},
		{"not executable", `module = "app.py", python = "./py"`, `python: program "DIR/py": not executable`},
		{"folder", `module = "app.py", python = "PY", dir = "none"`, `dir: folder "DIR/none" does not exist`},
		{"folder, cold", `module = "app.py", python = "PY", dir = "none", mode = "cgi"`, `dir: folder "DIR/none" does not exist`},
		{"user", `module = "app.py", python = "PY", user = "no-such-user", reload = true`, `user: there is no user "no-such-user"`},
		{"user, cold", `module = "app.py", python = "PY", user = "no-such-user", mode = "cgi"`, `user: there is no user "no-such-user"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := strings.ReplaceAll(tt.keys, "PY", python3)
			_, err := site.New(parse(t, dir, "[[site]]\n[[site.route]]\npath = '/x/'\nwsgi = { "+keys+" }\n"), site.Options{})
			if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	if left, _ := filepath.Glob(os.TempDir() + "/*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A start that takes too long is told as such.
func TestWSGIStartTimeout(t *testing.T) {
	dir := tree(t, files{"app.py": "", "python": "#!/bin/sh\necho waiting for the database >&2\nexec sleep 1000\n"})
	begun := time.Now()
	s := start(t, dir, "[[site]]\n[[site.route]]\npath = '/'\nkill_grace = '10ms'\nwsgi = { module = 'app.py', python = './python', workers = 1, start_timeout = '500ms' }\n")
	a := s.get(t, "/")
	if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || time.Since(begun) < 500*time.Millisecond {
		t.Errorf("got %d %v", a.StatusCode, a.Header)
	}
	if line := s.lastAccess(t, 1); !strings.Contains(line, "is not ready after 500ms") {
		t.Errorf("got %s", line)
	}
	// What it says is logged, of the first that was started if that had the time to say it.
	eventually(t, "its words in the log", func() bool { return strings.Contains(s.log.String(), "waiting for the database") })
}
