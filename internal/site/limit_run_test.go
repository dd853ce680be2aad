package site_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// counting is a script that notes how many of its kind run at once. Each has a
// file of its own in "now" while it runs.
var counting = script(
	"cd ..", ": > now/$$", "set -- now/*", "echo $# >> counts", "sleep 0.05", "rm now/$$", okHeader, "echo done")

func counts(t *testing.T, dir string) (most, total int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "counts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		most, total = max(most, n), total+1
	}
	return most, total
}

// A97, F49: never more than the route's processes, and everybody gets an answer.
func TestProcessesAreBounded(t *testing.T) {
	const clients, requests, processes = 16, 4, 3
	dir := tree(t, files{"now/": "", "cgi-bin/count": counting})
	s := start(t, dir, `
[[site]]
  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
  processes = 3
`)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range requests {
				if got := s.get(t, "/cgi-bin/count"); got.StatusCode != 200 || got.body != "done\n" {
					t.Errorf("%d %q", got.StatusCode, got.body)
				}
			}
		})
	}
	wg.Wait()
	most, total := counts(t, dir)
	if most > processes || total != clients*requests {
		t.Errorf("%d at once, want at most %d; %d runs, want %d", most, processes, total, clients*requests)
	}
	queued := 0
	eventually(t, "all lines of the access log", func() bool { return strings.Count(s.access.String(), "\n") == clients*requests })
	for line := range strings.Lines(s.access.String()) {
		if _, ok := keyOf(line, "queue"); ok {
			queued++
		}
	}
	if queued < clients-processes {
		t.Errorf("%d requests have a queue field, want at least %d", queued, clients-processes)
	}
}

const narrow = `
[[site]]
  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
  processes = 1
  queue = 1
  queue_timeout = "500ms"
  kill_grace = "1s"
  header_timeout = "300ms"
  linger = "10ms"
`

// A97: 503 with Retry-After, at once where the queue is full, later where no turn
// came.
func TestBusy(t *testing.T) {
	dir := tree(t, files{"cgi-bin/held": script("echo x >> ../runs", okHeader, "echo begun", "exec sleep 60"), "cgi-bin/": ""})
	s := start(t, dir, narrow)
	conn, _ := s.begin(t, "/cgi-bin/held")
	defer conn.Close()
	eventually(t, "it runs", func() bool { return exists(filepath.Join(dir, "runs")) })
	late := make(chan *answer)
	go func() { late <- s.get(t, "/cgi-bin/held") }()
	var full *answer
	eventually(t, "the queue is full", func() bool { // the first or the second of two is too many
		full = s.get(t, "/cgi-bin/held")
		return full.StatusCode == http.StatusServiceUnavailable
	})
	for name, got := range map[string]*answer{"full": full, "late": <-late} {
		if n, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode != 503 || err != nil || n < 1 {
			t.Errorf("%s: %d, Retry-After %q", name, got.StatusCode, got.Header.Get("Retry-After"))
		}
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "runs")); string(text) != "x\n" {
		t.Errorf("programs run: %q", text)
	}
	if !strings.Contains(s.access.String(), "failure=busy") {
		t.Errorf("access log: %s", s.access)
	}
}

// E67: a program that ignores SIGTERM holds its place until it is dead, whether it
// had begun to answer or never did.
func TestPlaceIsHeldUntilDead(t *testing.T) {
	undead := []string{"trap '' TERM", ": > ../now/$$", "set -- ../now/*", "echo $# >> ../counts"}
	for _, tt := range []struct {
		name, text string
		begun      bool
	}{
		{"after its header", script(append(undead, okHeader, "echo begun", "n=0; while [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done")...), true},
		{"before its header", script(append(undead, "n=0; while [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done")...), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, files{"now/": "", "cgi-bin/undead": tt.text, "cgi-bin/ok": script(okHeader)})
			s := start(t, dir, narrow)
			conn, r := s.begin(t, "/cgi-bin/undead")
			eventually(t, "it runs", func() bool { return exists(filepath.Join(dir, "counts")) })
			if !tt.begun {
				if got := read(t, r, "GET"); got.StatusCode != http.StatusGatewayTimeout {
					t.Errorf("%d, want 504", got.StatusCode)
				}
			}
			pids, _ := os.ReadDir(filepath.Join(dir, "now"))
			_ = conn.Close()
			for end := time.Now().Add(long); ; {
				got := s.get(t, "/cgi-bin/ok")
				if got.StatusCode == 200 {
					break
				}
				if got.StatusCode != 503 || time.Now().After(end) {
					t.Fatalf("%d", got.StatusCode)
				}
			}
			if len(pids) != 1 || exists("/proc/"+pids[0].Name()) {
				t.Errorf("the next ran while %v still did", pids)
			}
		})
	}
}
