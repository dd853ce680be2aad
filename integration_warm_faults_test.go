package gatehouse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
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

	"gatehouse/process"
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

// helperMark is what a helper, and whatever it has forked that has no work yet, has in its
// environment.
var helperMark = regexp.MustCompile(`UNIQUE_ID=helper-0x[0-9a-f]+-[0-9]+-`)

// helpers finds the interpreters that fork the processes of warm scripts, by their mark: of
// the host's children that have it the oldest, as long as it has its control socket, 3 of
// Python and 10 of Perl.
func (h *host) helpers() map[string]int {
	oldest, began := map[string]int{}, map[string]uint64{}
	for _, child := range childrenOf(h.cmd.Process.Pid) {
		env, _ := os.ReadFile("/proc/" + child + "/environ")
		stat, err := os.ReadFile("/proc/" + child + "/stat")
		mark := string(helperMark.Find(env))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if mark == "" || err != nil || len(fields) < 20 {
			continue
		}
		start, _ := strconv.ParseUint(fields[19], 10, 64) // proc(5): starttime is field 22, 20 behind the name
		if began[mark] == 0 || start < began[mark] {
			oldest[mark], began[mark] = 0, start
			if isSocket(child, "3") || isSocket(child, "10") {
				oldest[mark], _ = strconv.Atoi(child)
			}
		}
	}
	maps.DeleteFunc(oldest, func(_ string, pid int) bool { return pid == 0 })
	return oldest
}

func isSocket(pid, fd string) bool {
	to, err := os.Readlink("/proc/" + pid + "/fd/" + fd)
	return err == nil && strings.HasPrefix(to, "socket:")
}

// warmed asks until the scripts run warm, and fails the test if they never do.
func (h *host) warmed(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		h.askWarm(t, request{path: path, status: 200}, "")
	}
}

// askWarm asks until the answer came from a warm script: on a busy machine a helper may not
// have a process ready in time. A cold start is for a reason that begins with but.
func (h *host) askWarm(t *testing.T, r request, but string) {
	t.Helper()
	path, line := r.path, ""
	if !eventually(func() bool {
		r.path = fmt.Sprintf("%s?asked=%d", path, time.Now().UnixNano())
		h.ask(t, r)
		line = h.logged(t, r.path)
		return strings.Contains(line, " how=warm ") || !strings.Contains(line, ` how="cold: `+but)
	}) || !strings.Contains(line, " how=warm ") {
		t.Fatalf("%s does not run warm: %s", path, line)
	}
}

// logged waits for the line of the access log about a target that was asked for once.
func (h *host) logged(t *testing.T, target string) (line string) {
	t.Helper()
	one := regexp.MustCompile(`(?m)^.* uri=` + regexp.QuoteMeta(target) + ` .*\n`) // a whole one: a reader may see half of a write
	eventually(func() bool {                                                       // it is written when all is over
		text, err := os.ReadFile(h.path("access.log"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it is made with its first line
			t.Fatal(err)
		}
		line = strings.TrimSuffix(one.FindString(string(text)), "\n")
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

// hellos asks for the two scripts at the same time, total times.
func (h *host) hellos(t *testing.T, clients int, total int64) {
	t.Helper()
	h.hellosWhile(t, clients, func(n int64) bool { return n <= total })
}

// hellosWhile asks on many connections. Each answer is whole, the request's own, and of a
// process of its own.
func (h *host) hellosWhile(t *testing.T, clients int, more func(n int64) bool) {
	t.Helper()
	var asked, failed atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := asked.Add(1); more(n) && failed.Load() < 10; n = asked.Add(1) {
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
	const least = 6
	h := warmHost(t, "", warmHellos)
	h.warmed(t, "/cgi-bin/hello.py", "/cgi-bin/hello.pl")
	var killed atomic.Int64
	over := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() { h.killHelpers(&killed, least, over) })
	deadline := time.Now().Add(4 * patience)
	h.hellosWhile(t, 8, func(n int64) bool {
		return n <= 1500 || killed.Load() < least && time.Now().Before(deadline)
	})
	close(over)
	killer.Wait()
	if killed.Load() < least {
		t.Errorf("%d helpers were killed or stopped, want %d", killed.Load(), least)
	}
	h.noneLeft(t)
	h.warmed(t, "/cgi-bin/hello.py", "/cgi-bin/hello.pl") // once they have come back
	var log []byte
	if !eventually(func() bool { log, _ = os.ReadFile(h.path("error.log")); return len(log) > 0 }) {
		t.Error("the error log has no word of it")
	}
	if lines := bytes.Count(log, []byte("\n")); lines > 3*int(killed.Load())+10 {
		t.Errorf("%d lines in the error log for %d helpers:\n%s", lines, killed.Load(), clip(string(log)))
	}
}

// killHelpers kills so many helpers, sooner or later in their lives. Each is dealt with
// once: the processes that it leaves are not to be taken for it, as they may answer a request.
func (h *host) killHelpers(killed *atomic.Int64, most int64, over <-chan struct{}) {
	age := map[string]int{} // how often each was seen
	for killed.Load() < most {
		select {
		case <-over:
			return
		case <-time.After(100 * time.Millisecond):
		}
		for mark, pid := range h.helpers() {
			age[mark]++
			n := killed.Load()
			if age[mark] < 0 || age[mark] < int(n%3)*3 {
				continue
			}
			age[mark] = math.MinInt
			sig := syscall.SIGKILL
			if n%4 == 3 {
				sig = syscall.SIGSTOP
			}
			if syscall.Kill(pid, sig) == nil {
				killed.Add(1)
			}
		}
	}
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
	h.noneLeft(t)
	before := open()
	h.hellos(t, 64, total)
	h.client.CloseIdleConnections()
	h.noneLeft(t)
	const come = 2 * (process.MaxSpares + 8) // and go: the spares of two helpers, a helper that takes another's place
	if !eventually(func() bool { return open() <= before+come }) {
		files, sockets := h.open()
		t.Errorf("%d descriptors are open, and were before: %d\n%q\n%q", open(), before, files, sockets)
	}
	for _, pid := range h.helpers() {
		if kib := residentOf(t, pid); kib > 64<<10 {
			t.Errorf("a helper has %d KiB after %d requests", kib, total)
		}
	}
	h.mostlyWarm(t)
}

// mostlyWarm holds the access log to nine requests of ten being warm, unless a helper did
// not get to run for seconds, which the error log tells of.
func (h *host) mostlyWarm(t *testing.T) {
	t.Helper()
	text, log := readFile(t, h.path("access.log")), readFile(t, h.path("error.log"))
	warm, all := strings.Count(text, " how=warm "), strings.Count(text, "\n")
	busy := strings.Count(text, ` how="cold: its helper is starting"`) + strings.Count(text, ` how="cold: its helper does not answer"`)
	if warm+busy < all || warm < all*9/10 && !strings.Contains(log, "has not answered for") {
		t.Errorf("%d of %d requests were warm, %d had to be cold; the error log:\n%s", warm, all, busy, clip(log))
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
