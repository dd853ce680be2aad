package gatehouse_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// A logging is a running gatehouse whose logs are looked at.
type logging struct {
	dir, addr string
	client    *http.Client
	cmd       *exec.Cmd
	killed    bool
}

func (l *logging) path(name string) string { return filepath.Join(l.dir, name) }

// startLogging serves a few files and a script. Its logs are in DIR/log, its control socket
// is DIR/control.
func startLogging(t *testing.T, keys string) *logging {
	t.Helper()
	l := &logging{dir: t.TempDir(), client: &http.Client{Timeout: 2 * patience, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	for _, d := range []string{"htdocs", "cgi-bin", "log"} {
		if err := os.Mkdir(l.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, l.path("htdocs/file.html"), "0123456789", 0o644)
	write(t, l.path("cgi-bin/echo"), "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho hello\n", 0o755)
	write(t, l.path("cgi-bin/fails"), "#!/bin/sh\nexit 3\n", 0o755)
	write(t, l.path("gatehouse.toml"), "listen = ['127.0.0.1:0']\ncontrol = 'control'\n"+keys+`
[[site]]
root = "htdocs"
[[site.route]]
path = "/cgi-bin/"
cgi = "cgi-bin/"
`, 0o644)
	said, err := os.Create(l.path("said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(binary, "serve", "-c", l.path("gatehouse.toml"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "TMPDIR=" + l.dir, "GORACE=atexit_sleep_ms=0"}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.cmd = cmd
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		l.client.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil && !l.killed {
			t.Errorf("it ended with %v", err)
		}
		if t.Failed() {
			text, _ := os.ReadFile(l.path("said"))
			t.Logf("said:\n%s", text)
		}
	})
	address := regexp.MustCompile(`on http://(\S+)/\n`)
	if !eventually(func() bool {
		text, _ := os.ReadFile(l.path("said"))
		if m := address.FindSubmatch(text); m != nil {
			l.addr = string(m[1])
		}
		return bytes.Contains(text, []byte("Ctrl-C stops it\n"))
	}) {
		t.Fatal("it does not start")
	}
	return l
}

// get asks for a path and reads the response to its end.
func (l *logging) get(path string, fields ...string) (status int, length int64, err error) {
	req, err := http.NewRequest("GET", "http://"+l.addr+path, nil)
	if err != nil {
		return 0, 0, err
	}
	for n := 0; n < len(fields); n += 2 {
		req.Header.Set(fields[n], fields[n+1])
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	length, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, length, err
}

// TestLogrotate has the real logrotate, with the file that is packaged, move logs away
// while requests come: each request has one line, in one of the files, and none is torn.
func TestLogrotate(t *testing.T) {
	need(t, "logrotate")
	l := startLogging(t, "log = 'log/error.log'\naccess_log = 'log/access.log'\naccess_log_format = 'begin %q end'\n")
	text, err := os.ReadFile("packaging/logrotate/gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	rules := string(text)
	for from, to := range map[string]string{"/var/log/gatehouse": l.path("log"), "/run/gatehouse/control.sock": l.path("control"), "/usr/bin/gatehouse": binary} {
		if !strings.Contains(rules, from) {
			t.Fatalf("there is no %s in\n%s", from, rules)
		}
		rules = strings.ReplaceAll(rules, from, to)
	}
	write(t, l.path("logrotate.conf"), rules, 0o644)
	var asked atomic.Int64
	var over atomic.Bool
	var clients sync.WaitGroup
	defer clients.Wait()
	defer over.Store(true)
	for range 4 {
		clients.Go(func() {
			for !over.Load() {
				n := asked.Add(1)
				if status, _, err := l.get(fmt.Sprintf("/file.html?%d", n)); status != 200 {
					t.Errorf("request %d: %d, %v", n, status, err)
					return
				}
			}
		})
	}
	const rounds = 5
	for round := range rounds {
		begun := asked.Load()
		if !eventually(func() bool { // an empty log is not rotated
			st, err := os.Stat(l.path("log/access.log"))
			return asked.Load() > begun+100 && err == nil && st.Size() > 0 || t.Failed()
		}) {
			t.Fatal("no requests")
		}
		cmd := exec.Command("/usr/sbin/logrotate", "--force", "--state", l.path("state"), l.path("logrotate.conf"))
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // for gatehouse reopen
		out, err := cmd.CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Fatalf("round %d: %v: %s", round, err, out)
		}
	}
	over.Store(true)
	clients.Wait()
	var seen []int
	if !eventually(func() bool {
		seen = l.numbers(t)
		return int64(len(seen)) >= asked.Load()
	}) {
		t.Errorf("%d lines for %d requests", len(seen), asked.Load())
	}
	slices.Sort(seen)
	for n, number := range seen {
		if number != n+1 {
			t.Fatalf("line %d is that of request %d", n+1, number)
		}
	}
	files, _ := filepath.Glob(l.path("log/access.log*"))
	if len(files) != rounds+1 {
		t.Errorf("files %q", files)
	}
}

// TestKilledLog kills the server with SIGKILL when a client has the answer whose cause the
// error log tells: it has it, since such lines do not wait to be written.
func TestKilledLog(t *testing.T) {
	l := startLogging(t, "log = 'log/error.log'\naccess_log = 'off'\n")
	for n := range 3 {
		status, _, err := l.get("/cgi-bin/fails")
		if status != 502 || err != nil {
			t.Fatalf("request %d: %d, %v", n, status, err)
		}
	}
	l.killed = true
	if err := l.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.path("log/error.log"))
	if n := strings.Count(string(text), `msg="script failed"`); err != nil || n != 3 || !strings.HasSuffix(string(text), "\n") {
		t.Errorf("%d of 3 failures are in the log, %v:\n%s", n, err, text)
	}
}

// numbers reads the lines of all access logs.
func (l *logging) numbers(t *testing.T) (all []int) {
	t.Helper()
	line := regexp.MustCompile(`^begin \?(\d+) end$`)
	files, _ := filepath.Glob(l.path("log/access.log*"))
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = f
		if strings.HasSuffix(name, ".gz") {
			if r, err = gzip.NewReader(f); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(r)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		for one := range strings.Lines(string(text)) {
			m := line.FindStringSubmatch(strings.TrimSuffix(one, "\n"))
			if m == nil || !strings.HasSuffix(one, "\n") {
				t.Fatalf("%s: a torn line %q", name, one)
			}
			n, _ := strconv.Atoi(m[1])
			all = append(all, n)
		}
	}
	return all
}

// asks makes the requests whose numbers a reader of logs is to find, and returns the bytes
// of their bodies.
func (l *logging) asks(t *testing.T) (bytes int64) {
	t.Helper()
	browser := []string{"User-Agent", `Mozilla/5.0 (X11; Linux x86_64; rv:128.0) "Gecko" Firefox/128.0`, "Referer", "http://www.example.org/?q=\"a\""}
	for path, want := range map[string]int{"/file.html": 200, "/file.html?q=%22": 200, "/cgi-bin/echo": 200, "/none.html": 404, "/cgi-bin/none": 404} {
		for range 4 {
			status, length, err := l.get(path, browser...)
			if status != want || err != nil {
				t.Fatalf("%s is %d, %v", path, status, err)
			}
			bytes += length
		}
	}
	return bytes
}

const askedRequests, askedMissing = 20, 8

// lines waits for the lines of a log.
func (l *logging) lines(t *testing.T, name string, want int) {
	t.Helper()
	var text []byte
	if !eventually(func() bool {
		text, _ = os.ReadFile(name)
		return bytes.Count(text, []byte("\n")) == want
	}) {
		t.Fatalf("%s has not %d lines:\n%s", name, want, text)
	}
}

// TestGoAccess has goaccess read each format of Apache's and compares its numbers.
func TestGoAccess(t *testing.T) {
	need(t, "goaccess")
	for ours, theirs := range map[string]string{"common": "COMMON", "combined": "COMBINED", "vhost_combined": "VCOMBINED"} {
		t.Run(ours, func(t *testing.T) {
			t.Parallel()
			l := startLogging(t, "access_log = 'log/access.log'\naccess_log_format = '"+ours+"'\n")
			sent := l.asks(t)
			l.lines(t, l.path("log/access.log"), askedRequests)
			cmd := exec.Command("/usr/bin/goaccess", l.path("log/access.log"), "--log-format="+theirs, "--no-global-config", "--output="+l.path("report.json"), "--no-progress")
			cmd.Env = []string{"HOME=" + l.dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			text, err := os.ReadFile(l.path("report.json"))
			if err != nil {
				t.Fatal(err)
			}
			var report struct {
				General struct {
					Total     int   `json:"total_requests"`
					Valid     int   `json:"valid_requests"`
					Failed    int   `json:"failed_requests"`
					NotFound  int   `json:"unique_not_found"`
					Bandwidth int64 `json:"bandwidth"`
				} `json:"general"`
			}
			if err := json.Unmarshal(text, &report); err != nil {
				t.Fatal(err)
			}
			g := report.General
			if g.Total != askedRequests || g.Valid != askedRequests || g.Failed != 0 || g.NotFound != 2 {
				t.Errorf("goaccess finds %+v", g)
			}
			if ours == "vhost_combined" && g.Bandwidth <= sent || ours != "vhost_combined" && g.Bandwidth != sent {
				t.Errorf("goaccess finds %d bytes, %d were sent as bodies", g.Bandwidth, sent)
			}
		})
	}
}

// TestAWStats has awstats read the combined format.
func TestAWStats(t *testing.T) {
	need(t, "awstats")
	l := startLogging(t, "access_log = 'log/access.log'\naccess_log_format = 'combined'\n")
	l.asks(t)
	l.lines(t, l.path("log/access.log"), askedRequests)
	write(t, l.path("awstats.trial.conf"), fmt.Sprintf(`LogFile=%q
LogType=W
LogFormat=1
SiteDomain="localhost"
DirData=%q
DNSLookup=0
SkipHosts=""
`, l.path("log/access.log"), l.dir), 0o644)
	out, err := exec.Command("/usr/lib/cgi-bin/awstats.pl", "-config=trial", "-configdir="+l.dir, "-update").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		fmt.Sprintf("Parsed lines in file: %d\n", askedRequests), " Found 0 corrupted records,\n", " Found 0 dropped records,\n",
		fmt.Sprintf(" Found %d new qualified records.\n", askedRequests),
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	data, _ := filepath.Glob(l.path("awstats*.trial.txt")) // one for each month
	missing, text := 0, ""
	for _, name := range data {
		text += readFile(t, name)
	}
	for _, m := range regexp.MustCompile(`(?m)^404 (\d+) `).FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		missing += n
	}
	if missing != askedMissing {
		t.Errorf("awstats finds %d of %d missing pages:\n%s", missing, askedMissing, text)
	}
}
