// Package gatehouse_test runs the built program as its users do: a process with a
// configuration, real applications behind it, real clients before it.
package gatehouse_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// binary is the path of the gatehouse that TestMain has built.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

// testMain builds the program, runs the tests, and then looks for what they left
// behind in this process.
func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatehouse")
	args := []string{"build", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "./cmd/gatehouse")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	before := descriptors(os.Getpid())
	if code := m.Run(); code != 0 {
		return code
	}
	return leaks(before)
}

// leaks waits a little for goroutines, descriptors and children of the tests to be
// gone, and returns an exit status.
func leaks(before []string) int {
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		return 1
	}
	var after, children []string
	if !eventually(func() bool {
		after, children = descriptors(os.Getpid()), childrenOf(os.Getpid())
		return len(after) <= len(before) && len(children) == 0
	}) {
		fmt.Fprintf(os.Stderr, "descriptors before: %q\nafter: %q\nchildren: %q\n", before, after, children)
		return 1
	}
	return 0
}

// A front is a way for a client's request to reach Gatehouse.
type front struct {
	name   string
	listen string               // what the configuration's listen says
	server func(h *host) string // host:port that speaks HTTP and leads to h
}

var fronts = []front{
	{"http", "127.0.0.1:0", func(h *host) string { return h.listening }},
}

// A back is a way for Gatehouse to run an application: what a route says of it.
type back struct {
	name    string
	handler func(program string) string // keys of a [[site.route]]
}

var backs = []back{
	{"cgi", func(program string) string { return fmt.Sprintf("cgi = %q", program) }},
}

// A trial is one application with what is asked of it. needs are the Debian packages
// without which it cannot be.
type trial struct {
	name  string
	needs []string
	run   func(t *testing.T, h *host)
}

// TestIntegration runs every trial with every front and every back. After each
// nothing may be left: no process, no descriptor, no file.
func TestIntegration(t *testing.T) {
	trials := slices.Concat(programTrials, variableTrials, connectionTrials, applicationTrials, gitTrials,
		requestFaults, programFaults, loadTrials)
	for _, f := range fronts {
		for _, b := range backs {
			t.Run(f.name+"/"+b.name, func(t *testing.T) {
				h := startHost(t, f, b)
				for _, tr := range trials {
					t.Run(tr.name, func(t *testing.T) {
						need(t, tr.needs...)
						defer h.settled(t) // after t.Fatal as well
						tr.run(t, h)
					})
				}
			})
		}
	}
}

// whereIs names a file of each package that a trial may need.
var whereIs = map[string]string{
	"git":            "/usr/lib/git-core/git-http-backend",
	"gitweb":         "/usr/share/gitweb/gitweb.cgi",
	"awstats":        "/usr/lib/cgi-bin/awstats.pl",
	"perl":           "/usr/bin/perl",
	"libcgi-pm-perl": "/usr/share/perl5/CGI.pm",
	"python3":        "/usr/bin/python3",
	"gcc":            "/usr/bin/gcc",
	"libc6-dev":      "/usr/include/stdio.h",
	"mawk":           "/usr/bin/mawk",
	"curl":           "/usr/bin/curl",
}

func installed(packages ...string) (missing string, ok bool) {
	for _, p := range packages {
		if _, err := os.Stat(whereIs[p]); err != nil {
			return p, false
		}
	}
	return "", true
}

// need skips a test that lacks a program, and says so.
func need(t *testing.T, packages ...string) {
	t.Helper()
	if p, ok := installed(packages...); !ok {
		t.Skipf("SKIPPED: there is no %q: the Debian package %s is missing (scripts/install-test-packages.sh)", whereIs[p], p)
	}
}

// patience is how long something may take that should not take long.
const patience = 30 * time.Second

// eventually polls until cond holds, and reports whether it did in time.
func eventually(cond func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// descriptors lists the open files of a process.
func descriptors(pid int) (open []string) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to != fmt.Sprintf("/proc/%d/fd", pid) {
			open = append(open, e.Name()+" "+to)
		}
	}
	return open
}

// childrenOf lists the children of a process, zombies as well.
func childrenOf(pid int) (pids []string) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// tail is the end of a file, for a message.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}
