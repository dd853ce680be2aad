// Package gatehouse_test runs the built program as its users do: a process with a
// configuration, real applications behind it, real clients before it.
package gatehouse_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	var err error
	if !eventually(func() bool { err = goleak.Find(); return err == nil }) {
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
	needs  []string                                  // Debian packages
	listen string                                    // what the configuration's listen says; {dir} is the host's folder
	lacks  string                                    // a variable that it does not tell, as it is configured by Debian
	adds   string                                    // a variable that it makes of a field by itself
	mode   string                                    // listen_mode
	kept   int                                       // how many connections it may keep open when nothing is asked
	keys   string                                    // more keys at the top of the configuration
	speaks string                                    // what programs are told that it speaks; "" for HTTP/1 as its client does
	tls    bool                                      // whether over TLS
	direct bool                                      // it passes on every byte of its client
	server func(t *testing.T, h *host) (addr string) // starts what speaks HTTP and leads to h; nil: h does
}

// A back is a way for Gatehouse to run a program: itself, or a second Gatehouse that
// listens for what the back is named after, and runs the programs.
type back struct {
	name   string
	listen string // of the second; "" for none
	keys   string // of the first's routes
}

const innerSocket = "unix:{dir}/inner.sock"

var backs = []back{
	{name: "cgi"},
	{name: "fastcgi", listen: "fastcgi:" + innerSocket, keys: `fastcgi = { address = "` + innerSocket + `", keep_alive = true, connection_idle_timeout = "1s" }`},
	{name: "scgi", listen: "scgi:" + innerSocket, keys: `scgi = { address = "` + innerSocket + `" }`},
}

// A trial is one application with what is asked of it. needs are the Debian packages
// without which it cannot be.
type trial struct {
	name  string
	needs []string
	run   func(t *testing.T, h *host)
}

// TestIntegration runs every trial with every front and with every back, as far as they
// fit. After each nothing may be left: no process, no descriptor, no file.
func TestIntegration(t *testing.T) {
	staleNotes(t)
	for _, f := range fronts {
		t.Run(f.name+"/cgi", func(t *testing.T) { runTrials(t, f, backs[0]) })
	}
	for _, b := range backs[1:] {
		t.Run("http/"+b.name, func(t *testing.T) { runTrials(t, fronts[0], b) })
		for _, name := range []string{"nginx fastcgi kept", "https h1", "https h2", "h2c"} {
			t.Run(name+"/"+b.name, func(t *testing.T) { runTrials(t, frontNamed(t, name), b) })
		}
	}
}

func runTrials(t *testing.T, f front, b back) {
	t.Parallel() // most of the time is waiting; go test bounds how many there are
	need(t, f.needs...)
	h := startHost(t, f, b)
	for _, g := range groups {
		if g.fits != nil && !g.fits(f, b) {
			t.Logf("not for %s/%s, the %s: %s", f.name, b.name, g.name, g.why)
			continue
		}
		for _, tr := range g.trials {
			t.Run(tr.name, func(t *testing.T) {
				if why := unfit(f, b, tr); why != "" {
					t.Skipf("not %s/%s: %s", f.name, b.name, why)
				}
				need(t, tr.needs...)
				defer h.settled(t) // after t.Fatal as well
				tr.run(t, h)
			})
		}
	}
}

// whereIs names a file of each package that a trial may need; a * is for the version or
// the kind of machine.
var whereIs = map[string]string{
	"libfcgi-dev":      "/usr/include/fcgiapp.h",
	"libfcgi-perl":     "/usr/lib/*/perl5/*/FCGI.pm",
	"libcgi-fast-perl": "/usr/share/perl5/CGI/Fast.pm",
	"libplack-perl":    "/usr/share/perl5/Plack/Test/Suite.pm",
	"ruby":             "/usr/bin/ruby",
	"ruby-fcgi":        "/usr/lib/ruby/vendor_ruby/fcgi.rb",
	"php-cgi":          "/usr/bin/php-cgi",
	"php-fpm":          "/usr/sbin/php-fpm[0-9]*",
	"spawn-fcgi":       "/usr/bin/spawn-fcgi",
	"uwsgi-core":       "/usr/lib/uwsgi/plugins/cgi_plugin.so",
	"uwsgi":            "/usr/bin/uwsgi",
	"php-xml":          "/usr/lib/php/*/dom.so",
	"dokuwiki":         "/usr/share/dokuwiki/doku.php",
	"nginx":            "/usr/sbin/nginx",
	"caddy":            "/usr/bin/caddy",
	"apache2-bin":      "/usr/sbin/apache2",
	"lighttpd":         "/usr/sbin/lighttpd",
	"haproxy":          "/usr/sbin/haproxy",
	"git":              "/usr/lib/git-core/git-http-backend",
	"gitweb":           "/usr/share/gitweb/gitweb.cgi",
	"awstats":          "/usr/lib/cgi-bin/awstats.pl",
	"perl":             "/usr/bin/perl",
	"libcgi-pm-perl":   "/usr/share/perl5/CGI.pm",
	"python3":          "/usr/bin/python3",
	"gcc":              "/usr/bin/gcc",
	"libc6-dev":        "/usr/include/stdio.h",
	"mawk":             "/usr/bin/mawk",
	"curl":             "/usr/bin/curl",
	"openssl":          "/usr/bin/openssl",
	"nghttp2-client":   "/usr/bin/h2load",
	"logrotate":        "/usr/sbin/logrotate",
	"goaccess":         "/usr/bin/goaccess",
}

func installed(packages ...string) (missing string, ok bool) {
	for _, p := range packages {
		if whereIs[p] == "" {
			panic("no place is known for the package " + p)
		}
		if found, _ := filepath.Glob(whereIs[p]); len(found) == 0 {
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

// patience is how long something may take that should not take long. It is for what hangs:
// a busy machine has to be far from it.
const patience = time.Minute

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
