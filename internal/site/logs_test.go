package site_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"gatehouse/internal/site"
)

// configured has the logs that the configuration names, beside a standard error of its own.
func configured(stderr io.Writer) func(*site.Options) {
	return func(o *site.Options) { o.Log, o.Stderr, o.AccessLog = nil, stderr, nil }
}

const shortLog = "access_log = 'DIR/access'\naccess_log_format = '%q'\nlog = 'DIR/errors'\n"

func text(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// After Reopen all lines are in the new files, those before in the old ones: as logrotate
// needs it. The error log is among them.
func TestReopen(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/says": script("echo $QUERY_STRING >&2", okHeader)})
	s := start(t, dir, shortLog+logConfig, configured(nil))
	access, errs := filepath.Join(dir, "access"), filepath.Join(dir, "errors")
	s.get(t, "/cgi-bin/says?one")
	holds(t, access, "?one\n")
	for _, name := range []string{access, errs} {
		if err := os.Rename(name, name+".1"); err != nil {
			t.Fatal(err)
		}
	}
	s.get(t, "/cgi-bin/says?two")
	holds(t, access+".1", "?one\n?two\n")
	if err := s.host.Reopen(); err != nil {
		t.Fatal(err)
	}
	s.get(t, "/cgi-bin/says?three")
	holds(t, access, "?three\n")
	eventually(t, "the error log is the new one", func() bool { return strings.Contains(text(t, errs), "line=three") })
	for name, want := range map[string]string{access + ".1": "?one\n?two\n", access: "?three\n"} {
		if got := text(t, name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if old := text(t, errs+".1"); !strings.Contains(old, "line=one") || !strings.Contains(old, "line=two") || strings.Contains(old, "line=three") {
		t.Errorf("the old error log holds\n%s", old)
	}
}

// A log that cannot be opened anew is written on as it was; the others are opened.
func TestReopenFails(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": "", "logs/": ""})
	s := start(t, dir, "access_log = 'DIR/logs/access'\naccess_log_format = '%q'\nlog = 'DIR/errors'\n"+logConfig, configured(nil))
	s.get(t, "/hello.txt?one")
	holds(t, filepath.Join(dir, "logs/access"), "?one\n")
	moved := filepath.Join(dir, "moved")
	if err := os.Rename(filepath.Join(dir, "logs"), moved); err != nil {
		t.Fatal(err)
	}
	if err := s.host.Reopen(); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), `site: log "`+dir+`/logs/access": `) {
		t.Errorf("got %v", err)
	}
	s.get(t, "/hello.txt?two")
	holds(t, filepath.Join(moved, "access"), "?one\n?two\n")
	eventually(t, "the error log tells of it", func() bool {
		return strings.Contains(text(t, filepath.Join(dir, "errors")), "could not be opened anew")
	})
}

// A full disk costs no request, and where there is room for the lines in memory no line:
// they are written when the log takes them again. Both are told.
func TestLogDiskFull(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": "", "access": "-> /dev/full"})
	s := start(t, dir, shortLog+logConfig, configured(nil))
	const requests = 50
	var want strings.Builder
	for n := range requests {
		s.get(t, fmt.Sprintf("/hello.txt?%d", n))
		fmt.Fprintf(&want, "?%d\n", n)
	}
	errs := filepath.Join(dir, "errors")
	eventually(t, "it is told", func() bool { return strings.Contains(text(t, errs), "no space left on device") })
	room := filepath.Join(dir, "room")
	if err := errors.Join(os.Symlink("room", filepath.Join(dir, "new")), os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "access")), s.host.Reopen()); err != nil {
		t.Fatal(err)
	}
	holds(t, room, want.String())
	eventually(t, "that it works is told", func() bool { return strings.Contains(text(t, errs), "can be written to again") })
	if n := strings.Count(text(t, errs), "no space left"); n != 1 {
		t.Errorf("told %d times:\n%s", n, text(t, errs))
	}
}

// partial is a log that takes only a part of what it is given, now and then.
type partial struct {
	buffer
	mu    sync.Mutex
	calls int
}

func (p *partial) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls++; p.calls%2 == 1 {
		n, _ := p.buffer.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	return p.buffer.Write(b)
}

// A line of which only a part was written is continued where it was cut: none is torn,
// lost or there twice.
func TestLogPartialWrites(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": ""})
	log := new(partial)
	s := start(t, dir, "access_log_format = '%q'\n"+logConfig, func(o *site.Options) { o.AccessLog = log })
	var want []string
	for n := range 20 {
		s.get(t, fmt.Sprintf("/hello.txt?%d", n))
		want = append(want, fmt.Sprintf("?%d\n", n))
	}
	var got []string
	eventually(t, "all is written", func() bool {
		got = slices.Collect(strings.Lines(log.String()))
		return len(got) >= len(want) && strings.HasSuffix(log.String(), "\n")
	})
	slices.Sort(got) // requests side by side end in any order
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A FIFO needs no reader to begin with, and one that goes may be followed by another.
func TestLogFIFO(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": ""})
	name := filepath.Join(dir, "access")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, shortLog+logConfig, configured(nil))
	for _, query := range []string{"?one", "?two"} {
		if got := s.get(t, "/hello.txt"+query); got.StatusCode != 200 {
			t.Fatalf("%s is %d", query, got.StatusCode)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(f).ReadString('\n')
		if err != nil || line != query+"\n" {
			t.Errorf("got %q, %v", line, err)
		}
		_ = f.Close()
	}
}

// No request waits for an error log that nobody reads, and lost lines are counted.
func TestErrorLogStuck(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	dir := tree(t, files{"htdocs/": "", "cgi-bin/says": script(
		`i=0; while [ $i -lt 150 ]; do printf '%4000s\n' $QUERY_STRING-$i >&2; i=$((i+1)); done`, okHeader)})
	s := start(t, dir, logConfig, configured(w))
	const requests = 4 // of 600 KB each
	for n := range requests {
		if got := s.get(t, fmt.Sprintf("/cgi-bin/says?%d", n)); got.StatusCode != 200 {
			t.Fatalf("request %d is %d", n, got.StatusCode)
		}
	}
	lines, lost := 0, 0
	in := bufio.NewReader(r)
	for lines+lost < requests*150 {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var n int
		switch {
		case strings.Contains(line, "msg=stderr") && strings.HasSuffix(line, "\"\n"):
			lines++
		case strings.Contains(line, `msg="lines were lost"`):
			if _, err := fmt.Sscanf(line[strings.Index(line, " lost="):], " lost=%d", &n); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			lost += n
		case strings.Contains(line, `msg="lines of a log were lost"`):
		default:
			t.Fatalf("a torn line: %.100q", line)
		}
	}
	if lost == 0 || lines < 200 {
		t.Errorf("%d lines and %d lost, of %d; want a MiB of lines kept", lines, lost, requests*150)
	}
}

// log_format and log_level.
func TestErrorLogForm(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/says": script("echo 'a \"line\"' >&2", okHeader), "cgi-bin/fails": script("exit 3")})
	log := new(buffer)
	s := start(t, dir, "log_format = 'json'\nlog_level = 'error'\n"+logConfig, configured(log))
	s.get(t, "/cgi-bin/says")
	s.get(t, "/cgi-bin/fails")
	eventually(t, "a line", func() bool { return strings.HasSuffix(log.String(), "\n") })
	var line map[string]any
	if err := json.Unmarshal([]byte(log.String()), &line); err != nil || line["level"] != "ERROR" || line["msg"] != "script failed" {
		t.Errorf("%v: %s", err, log)
	}
	cfg := parse(t, dir, "log_level = 'warn'\n"+logConfig)
	if err := s.host.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	s.get(t, "/cgi-bin/says")
	eventually(t, "a line of the new form", func() bool {
		return strings.Contains(log.String(), ` level=WARN msg=stderr `) && strings.Contains(log.String(), ` line="a \"line\""`)
	})
}

// A reload changes the logs of requests that come after it; those that run end in the old.
func TestLogReload(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/held": script("touch ../runs", "while [ ! -e ../gate ]; do sleep 0.01; done", okHeader)})
	s := start(t, dir, shortLog+logConfig, configured(nil))
	open := gate(t, filepath.Join(dir, "gate"))
	done := make(chan int)
	go func() { done <- s.get(t, "/cgi-bin/held?old").StatusCode }()
	eventually(t, "it runs", func() bool { return exists(filepath.Join(dir, "runs")) })
	cfg := parse(t, dir, strings.Replace(shortLog, "DIR/access", "DIR/new", 1)+logConfig)
	if err := s.host.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	s.get(t, "/hello.txt?new")
	holds(t, filepath.Join(dir, "new"), "?new\n")
	open()
	if status := <-done; status != 200 {
		t.Errorf("the request that ran: %d", status)
	}
	holds(t, filepath.Join(dir, "access"), "?old\n")
}

// Many logs cost few descriptors, and no line.
func TestManyLogs(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "logs/": ""})
	var b strings.Builder
	b.WriteString("access_log_format = '%q'\n")
	const sites = 400
	for n := range sites {
		fmt.Fprintf(&b, "[[site]]\nhosts = ['s%d.example']\nroot = 'DIR/htdocs'\naccess_log = 'DIR/logs/%d'\n", n, n)
	}
	s := start(t, dir, b.String(), configured(nil))
	for round := range 2 {
		for n := range sites {
			s.do(t, request("GET", fmt.Sprintf("/hello.txt?%d-%d", n, round), fmt.Sprintf("Host: s%d.example", n)))
		}
		eventually(t, "all lines are written", func() bool {
			for n := range sites {
				if strings.Count(text(t, filepath.Join(dir, "logs", fmt.Sprint(n))), "\n") < round+1 {
					return false
				}
			}
			return true
		})
		open := 0
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for _, fd := range fds {
			if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir+"/logs/") {
				open++
			}
		}
		if open == 0 || open > 256 {
			t.Errorf("%d logs are open", open)
		}
	}
	for n := range sites {
		if got, want := text(t, filepath.Join(dir, "logs", fmt.Sprint(n))), fmt.Sprintf("?%d-0\n?%d-1\n", n, n); got != want {
			t.Errorf("%d: got %q", n, got)
		}
	}
}

// A descriptor of this process by its name, as containers have it.
func TestLogStandard(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	saved, err := unix.Dup(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": ""})
	if err := unix.Dup3(int(f.Fd()), 1, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(saved)
	defer func() { _ = unix.Dup3(saved, 1, 0) }()
	s := start(t, dir, strings.Replace(shortLog, "DIR/access", "/dev/stdout", 1)+logConfig, configured(nil))
	s.get(t, "/hello.txt?one")
	holds(t, f.Name(), "?one\n")
}
