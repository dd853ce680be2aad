package site_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// answering is an application that answers with a text, at /held when there is a file
// "gate".
func answering(text string) string {
	return "import helper, os, time\nhere = os.path.dirname(__file__) + '/'\ndef application(environ, start_response):\n" +
		"    if environ['PATH_INFO'] == '/held':\n        open(here + 'held', 'w').close()\n" +
		"        while not os.path.exists(here + 'gate'):\n            time.sleep(0.01)\n" +
		"    start_response('200 OK', [])\n    return [b'" + text + " with ' + helper.name]\n"
}

const brokenApp = "def application(environ, start_response)\n    pass\n"

// put writes a source as editors do: another file takes its place.
func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+"~", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+"~", name); err != nil {
		t.Fatal(err)
	}
}

// reloading starts a host that watches app.py, which imports helper.py.
func reloading(t testing.TB, app, keys string) (s *server, dir string) {
	t.Helper()
	needPython(t)
	dir = tree(t, files{"app.py": app, "helper.py": "name = b'help'\n"})
	return start(t, dir, "[[site]]\n[[site.route]]\npath = '/'\nqueue_timeout = '0s'\nwsgi = { module = 'app.py', python = '"+python3+"', workers = 1, "+keys+" }\n", development), dir
}

func (s *server) becomes(t testing.TB, want string) {
	t.Helper()
	eventually(t, "the answer "+want, func() bool { return s.get(t, "/").body == want })
}

// A change of any source replaces the workers; what is under way is finished.
func TestReload(t *testing.T) {
	s, dir := reloading(t, answering("one"), "reload = true, threads = 2")
	s.becomes(t, "one with help")
	open := gate(t, filepath.Join(dir, "gate"))
	held := make(chan *answer, 1)
	go func() { held <- s.get(t, "/held") }()
	eventually(t, "a request under way", func() bool { return exists(filepath.Join(dir, "held")) })
	eventually(t, "the sources that are watched", func() bool {
		text, _ := os.ReadFile(sourcesOf(t))
		return bytes.Contains(text, []byte(dir+"/helper.py\n"))
	})
	put(t, dir+"/app.py", answering("two"))
	s.becomes(t, "two with help")
	open()
	if a := <-held; a.StatusCode != 200 || a.body != "one with help" {
		t.Errorf("the request under way: got %d %q", a.StatusCode, a.body)
	}
	put(t, dir+"/helper.py", "name = b'more'\n")
	s.becomes(t, "two with more")
	if log := s.log.String(); strings.Count(log, "a source has changed, the workers are replaced") != 2 || strings.Contains(log, "level=ERROR") {
		t.Errorf("got %s", log)
	}
}

// sourcesOf is the list that the one worker there is writes, "" while it is not seen.
func sourcesOf(t testing.TB) string {
	t.Helper()
	for _, pid := range strings.Fields(children()) {
		text, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		if _, list, ok := strings.Cut(string(text), "--sources\x00"); ok {
			return strings.TrimSuffix(list, "\x00")
		}
	}
	return ""
}

// C36: a mistake is told with its traceback, in the log once, and is over at once when
// it is mended. The old workers do not go on.
func TestReloadBroken(t *testing.T) {
	s, dir := reloading(t, answering("one"), "reload = true")
	s.becomes(t, "one with help")
	put(t, dir+"/helper.py", "name = b'help'\nraise LookupError('on purpose')\n")
	eventually(t, "an error", func() bool { return s.get(t, "/").StatusCode == 503 })
	a := s.get(t, "/")
	for _, want := range []string{"cannot be loaded: LookupError: on purpose", "helper.py", "line 2"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page has no %q: %s", want, a.body)
		}
	}
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: got %q", a.Header.Get("Retry-After"))
	}
	eventually(t, "a crash loop", func() bool { return strings.Contains(s.log.String(), "starts are delayed") })
	if n := strings.Count(s.log.String(), `line="Traceback`); n != 1 {
		t.Errorf("%d tracebacks in the log:\n%s", n, s.log)
	}
	put(t, dir+"/helper.py", "name = b'better'\n")
	s.becomes(t, "one with better")
}

// An application that is broken from the start recovers, whatever it lacked.
func TestReloadBrokenAtStart(t *testing.T) {
	for _, tt := range []struct{ name, app, wrong, mend, text string }{
		{"syntax", brokenApp, "SyntaxError", "app.py", answering("mended")},
		{"syntax of what is imported", "import sub.deep\n" + answering("mended"), "SyntaxError", "sub/deep.py", ""},
		{"missing module", "import missing\n" + answering("mended"), "No module named", "missing.py", ""},
		{"no application", "app = 1\n", "", "app.py", answering("mended")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needPython(t)
			dir := tree(t, files{"app.py": tt.app, "helper.py": "name = b'help'\n", "sub/__init__.py": "", "sub/deep.py": brokenApp})
			s := start(t, dir, "[[site]]\n[[site.route]]\npath = '/'\nwsgi = { module = 'app.py', python = '"+python3+"', reload = true }\n")
			a := s.get(t, "/")
			if a.StatusCode != 503 || strings.Contains(a.body, "app.py") {
				t.Errorf("got %d %s", a.StatusCode, a.body)
			}
			if line := s.lastAccess(t, 1); !strings.Contains(line, "failure=busy") || !strings.Contains(line, tt.wrong) {
				t.Errorf("got %s", line)
			}
			eventually(t, "a crash loop", func() bool { return strings.Contains(s.log.String(), "starts are delayed") })
			put(t, filepath.Join(dir, tt.mend), tt.text)
			s.becomes(t, "mended with help")
		})
	}
}

// Without reload the next try finds it mended.
func TestWSGIMended(t *testing.T) {
	s, dir := reloading(t, brokenApp, "min_workers = 0")
	if a := s.get(t, "/"); a.StatusCode != 503 || !strings.Contains(a.body, "SyntaxError") {
		t.Errorf("got %d %s", a.StatusCode, a.body)
	}
	put(t, dir+"/app.py", answering("mended"))
	s.becomes(t, "mended with help")
}

// No request is lost while sources change; when it is over all is new.
func TestReloadUnderLoad(t *testing.T) {
	s, dir := reloading(t, answering("0"), "reload = true, threads = 2")
	s.becomes(t, "0 with help")
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				if a := s.get(t, "/"); a.StatusCode != 200 || !strings.HasSuffix(a.body, " with help") {
					t.Errorf("got %d %q", a.StatusCode, a.body)
				}
			}
		})
	}
	for n := 1; n <= 3; n++ {
		put(t, dir+"/app.py", answering(fmt.Sprint(n)))
		s.becomes(t, fmt.Sprint(n)+" with help")
	}
	stop.Store(true)
	wg.Wait()
}

// A worker's list of sources may be anything.
func TestReloadList(t *testing.T) {
	s, dir := reloading(t, answering("one"), "reload = true")
	s.becomes(t, "one with help")
	list := ""
	eventually(t, "the worker", func() bool { list = sourcesOf(t); return list != "" })
	eventually(t, "a refusal", func() bool { // the worker may write it again, after its answer
		if err := errors.Join(os.Symlink("/dev/zero", list+"~"), os.Rename(list+"~", list)); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(s.log.String(), "the list of an application's sources cannot be read")
	})
	put(t, list, "relative.py\n\n"+dir+"/other.py\n"+strings.Repeat("x", 100_000)+"\n")
	put(t, dir+"/app.py", answering("two"))
	s.becomes(t, "two with help")
}
