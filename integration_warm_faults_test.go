package gatehouse_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// warmHost starts a host whose scripts are warm, and writes those that are given.
func warmHost(t *testing.T, keys string, scripts map[string]string, routeKeys ...string) *host {
	t.Helper()
	need(t, "perl", "python3")
	h := newHost(t, fronts[0])
	for name, text := range scripts {
		write(t, filepath.Join(h.scripts, name), text, 0o755)
	}
	h.warm = "warm = true\n" + keys
	h.up(t, fronts[0], aRoute("/cgi-bin/", append(routeKeys, fmt.Sprintf("cgi = %q", h.scripts+"/"), `header_timeout = "20s"`, `kill_grace = "300ms"`)...))
	return h
}

const header = "print(\"Content-Type: text/plain\\n\")\n"

var warmHellos = map[string]string{
	"hello.py": "#!/usr/bin/python3\nimport json, os\n" + header + "print(json.dumps({'q': os.environ['QUERY_STRING'], 'pid': os.getpid()}))\n",
	"hello.pl": "#!/usr/bin/perl\nuse strict;\nuse Data::Dumper;\nprint \"Content-Type: text/plain\\n\\n{\\\"q\\\": \\\"$ENV{QUERY_STRING}\\\", \\\"pid\\\": $$}\\n\";\n",
}

// helpers lists the interpreters that fork the processes of warm scripts: of all that
// read their program from descriptor 4, they alone have a socket as descriptor 3.
func (h *host) helpers() (pids []int) {
	for _, child := range childrenOf(h.cmd.Process.Pid) {
		line, _ := os.ReadFile("/proc/" + child + "/cmdline")
		if to, err := os.Readlink("/proc/" + child + "/fd/3"); err == nil && strings.HasPrefix(to, "socket:") && bytes.Contains(line, []byte("/proc/self/fd/4")) {
			pid, _ := strconv.Atoi(child)
			pids = append(pids, pid)
		}
	}
	return pids
}

// warmed asks until the scripts run warm, and fails the test if they never do.
func (h *host) warmed(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if !eventually(func() bool {
			h.ask(t, request{path: path, status: 200})
			return strings.Contains(h.lastLine(t, path), " how=warm ")
		}) {
			t.Fatalf("%s does not run warm: %s", path, h.lastLine(t, path))
		}
	}
}

// lastLine is what the access log says last of a path.
func (h *host) lastLine(t *testing.T, path string) (line string) {
	t.Helper()
	eventually(func() bool { // it is written when all is over
		text, err := os.ReadFile(h.path("access.log"))
		if err != nil {
			t.Fatal(err)
		}
		lines := regexp.MustCompile(`(?m)^.* uri=`+regexp.QuoteMeta(path)+`[? ].*$`).FindAllString(string(text), -1)
		if len(lines) > 0 {
			line = lines[len(lines)-1]
		}
		return line != ""
	})
	return line
}

// noneLeft waits until no script's process is left, and no child of the host is a zombie.
func (h *host) noneLeft(t *testing.T) {
	t.Helper()
	var left, zombies []string
	if !eventually(func() bool {
		left, zombies = h.tagged(), nil
		for _, child := range childrenOf(h.cmd.Process.Pid) {
			stat, _ := os.ReadFile("/proc/" + child + "/stat")
			if bytes.Contains(stat, []byte(") Z ")) {
				zombies = append(zombies, child)
			}
		}
		return len(left)+len(zombies) == 0
	}) {
		t.Errorf("scripts are left: %q, and zombies: %q", left, zombies)
	}
}

var helloBody = regexp.MustCompile(`^\{"q": "(\d+)", "pid": (\d+)\}\n$`)

// hellos asks for the two scripts at the same time, total times, on many connections. Each
// answer is whole, the request's own, and of a process of its own.
func (h *host) hellos(t *testing.T, clients int, total int64) {
	t.Helper()
	var asked, failed atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := asked.Add(1); n <= total && failed.Load() < 10; n = asked.Add(1) {
				path := []string{"/cgi-bin/hello.py", "/cgi-bin/hello.pl"}[n%2]
				got, err := h.do(request{path: fmt.Sprintf("%s?%d", path, n)})
				if err != nil {
					t.Errorf("%v", err)
				} else if m := helloBody.FindStringSubmatch(got.body); got.status != 200 || m == nil || m[1] != fmt.Sprint(n) {
					t.Errorf("request %d: status %d, body %q", n, got.status, clip(got.body))
				} else {
					continue
				}
				failed.Add(1)
			}
		})
	}
	wg.Wait()
}

// TestWarmHelperKilled kills and stops helpers under load: every request is answered, by a
// cold start where need be, and the log tells of it, but not for each request.
func TestWarmHelperKilled(t *testing.T) {
	h := warmHost(t, "", warmHellos)
	h.warmed(t, "/cgi-bin/hello.py", "/cgi-bin/hello.pl")
	over := make(chan struct{})
	var killer sync.WaitGroup
	killed := 0
	killer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			case <-time.After(100 * time.Millisecond):
			}
			for _, pid := range h.helpers() {
				sig := syscall.SIGKILL
				if n%4 == 3 {
					sig = syscall.SIGSTOP
				}
				if syscall.Kill(pid, sig) == nil {
					killed++
				}
			}
		}
	})
	h.hellos(t, 8, 1500)
	close(over)
	killer.Wait()
	t.Logf("%d helpers were killed or stopped", killed)
	if killed < 5 {
		t.Error("that were too few")
	}
	h.noneLeft(t)
	log, err := os.ReadFile(h.path("error.log"))
	if lines := bytes.Count(log, []byte("\n")); err != nil || lines == 0 || lines > 3*killed+10 {
		t.Errorf("%v; %d lines in the error log for %d helpers:\n%s", err, lines, killed, clip(string(log)))
	}
	h.warmed(t, "/cgi-bin/hello.py", "/cgi-bin/hello.pl") // once they have come back
}

// TestWarmLoad asks on 64 connections, and looks at what it leaves: no process, no
// descriptor, and helpers that have not grown.
func TestWarmLoad(t *testing.T) {
	h := warmHost(t, "", warmHellos)
	total := int64(2_000)
	if os.Getenv("WARM_LOAD") == "long" {
		total = 10_000
	}
	h.hellos(t, 64, total/5) // modules are learnt, spares are as many as they get
	h.warmed(t, "/cgi-bin/hello.py", "/cgi-bin/hello.pl")
	open := func() int { files, sockets := h.open(); return len(files) + len(sockets) }
	h.client.CloseIdleConnections()
	before := 0
	eventually(func() bool { last := before; before = open(); return before == last })
	h.hellos(t, 64, total)
	h.client.CloseIdleConnections()
	h.noneLeft(t)
	if !eventually(func() bool { return open() <= before+8 }) { // spares come and go
		files, sockets := h.open()
		t.Errorf("%d descriptors are open, and were before: %d\n%q\n%q", open(), before, files, sockets)
	}
	for _, pid := range h.helpers() {
		if kib := residentOf(t, pid); kib > 64<<10 {
			t.Errorf("a helper has %d KiB after %d requests", kib, total)
		}
	}
	text, err := os.ReadFile(h.path("access.log"))
	warm, all := bytes.Count(text, []byte(" how=warm ")), bytes.Count(text, []byte("\n"))
	if err != nil || warm < all*9/10 {
		t.Errorf("%d of %d requests were warm, %v", warm, all, err)
	}
}

// residentOf is the resident memory of a process in KiB; 0 when it has gone.
func residentOf(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status); m != nil {
		kib, _ = strconv.Atoi(string(m[1]))
	}
	return kib
}
