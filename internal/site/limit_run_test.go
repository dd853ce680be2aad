package site_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
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
  queue_timeout = "0s"
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
  linger = "10ms"
`

// A97: 503 with Retry-After, at once where the queue is full, later where no turn
// came.
func TestBusy(t *testing.T) {
	dir := tree(t, files{"cgi-bin/held": script("echo x >> ../runs", okHeader, "echo begun", "exec sleep 600"), "cgi-bin/": ""})
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
	s.accessOf(t, "failure=busy")
}

// E67: a program that ignores SIGTERM holds its place until it is dead, whether it
// had begun to answer or never did.
func TestPlaceIsHeldUntilDead(t *testing.T) {
	lives := "n=0; while [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done"
	for _, tt := range []struct {
		name, keys, answer string
		status             int // 0: the client goes while it is answered
	}{
		{"after its header", "", okHeader, 0},
		{"before its header", "  header_timeout = '1s'\n", ":", http.StatusGatewayTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, files{"now/": "",
				"cgi-bin/undead": script("trap '' TERM", ": > ../now/$$", tt.answer, lives),
				// Tells whether one of those still lives.
				"cgi-bin/next": script("for p in ../now/*; do grep -qs '^State:.[^ZX]' /proc/${p##*/}/status && : > ../both; done", ": > ../ran", okHeader)})
			s := start(t, dir, narrow+tt.keys)
			runs := func() bool {
				pids, _ := os.ReadDir(filepath.Join(dir, "now"))
				return len(pids) > 0
			}
			if tt.status == 0 {
				conn, r := s.begin(t, "/cgi-bin/undead")
				if _, err := r.Peek(1); err != nil || !runs() {
					t.Fatalf("runs: %v, its answer: %v", runs(), err)
				}
				_ = conn.Close()
			} else {
				eventually(t, "it runs", func() bool { // again if it was ended sooner than it had got so far
					got := s.get(t, "/cgi-bin/undead").StatusCode
					if got != tt.status && got != http.StatusServiceUnavailable {
						t.Fatalf("%d, want %d", got, tt.status)
					}
					return runs()
				})
			}
			eventually(t, "its place", func() bool {
				got := s.get(t, "/cgi-bin/next").StatusCode
				if got != 200 && got != http.StatusServiceUnavailable && got != tt.status {
					t.Fatalf("%d", got)
				}
				return exists(filepath.Join(dir, "ran"))
			})
			if exists(filepath.Join(dir, "both")) {
				t.Error("the next ran while it still did")
			}
		})
	}
}
