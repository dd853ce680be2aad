package gatehouse_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestWSGIReplaced has workers replaced under load, after some requests or when a source
// changes: no request is lost.
func TestWSGIReplaced(t *testing.T) {
	for _, test := range []struct {
		name, keys string
		edits      int // of the source
		most       int // answers of one process, which may have begun 55; 0 for any number
		least      int // processes that there have to be
	}{
		{"after 50 requests", "workers = 2, max_requests = 50", 0, 55, 18},
		{"after 50 requests, threads", "workers = 2, threads = 4, max_requests = 50", 0, 58, 18},
		{"when a source changes", "workers = 2, reload = true", 3, 0, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			need(t, "python3")
			h := newHost(t, fronts[0])
			h.installWSGI(t)
			source := h.path("wsgi/torture.py")
			original := readFile(t, source)
			h.up(t, fronts[0], h.wsgiRoute("/", source, test.keys))
			atRoot(t, h)

			load := &wsgiLoad{h: h, pids: map[string]int{}}
			over := make(chan struct{})
			go load.run(t, 32, 1000, over)
			for n := range test.edits {
				version := fmt.Sprintf("version %d\n", n)
				edit(t, source, original+fmt.Sprintf("\nSMOOTH['version'] = answers(body=[b'version %d\\n'])\n", n))
				if !eventually(func() bool { got, err := h.do(request{path: "/version"}); return err == nil && got.body == version }) {
					t.Errorf("the application does not become %q", version)
				}
			}
			load.enough.Store(true)
			<-over
			t.Logf("%d requests, %d processes", load.answered.Load(), len(load.pids))
			if load.answered.Load() < 1000 {
				t.Errorf("%d answers, want 1000", load.answered.Load())
			}
			for pid, answers := range load.pids {
				if test.most > 0 && answers > test.most {
					t.Errorf("process %s answered %d times, want %d at most", pid, answers, test.most)
				}
			}
			if len(load.pids) < test.least {
				t.Errorf("%d processes, want %d", len(load.pids), test.least)
			}
		})
	}
}

// edit replaces a file as an editor does, so that nobody reads half of it.
func edit(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+"~", text, 0o644)
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// atRoot: an application for every path has an empty SCRIPT_NAME (C03), and its client's
// whole path is the PATH_INFO.
func atRoot(t *testing.T, h *host) {
	t.Helper()
	env := (&wsgiHost{host: h}).environ(t, "/environ//a", request{})
	if env["SCRIPT_NAME"] != "" || env["PATH_INFO"] != "/environ/a" {
		t.Errorf("SCRIPT_NAME %q and PATH_INFO %q, want \"\" and /environ/a", env["SCRIPT_NAME"], env["PATH_INFO"])
	}
}

// A wsgiLoad asks until enough is answered, and enough else is over.
type wsgiLoad struct {
	h        *host
	asked    atomic.Int64
	answered atomic.Int64
	enough   atomic.Bool
	mu       sync.Mutex
	pids     map[string]int
}

func (l *wsgiLoad) run(t *testing.T, clients, requests int, over chan<- struct{}) {
	defer close(over)
	deadline := time.Now().Add(2 * patience)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := l.asked.Add(1); (n <= int64(requests) || !l.enough.Load()) && time.Now().Before(deadline); n = l.asked.Add(1) {
				if !l.ask(t, n) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// ask sends one request, and reports whether the answer was its own.
func (l *wsgiLoad) ask(t *testing.T, n int64) bool {
	r := request{path: "/pid"}
	if n%2 == 0 {
		r = request{method: "POST", path: "/echo", body: strings.Repeat(fmt.Sprintf("%06d", n), int(n%7000))}
	}
	got, err := l.h.do(r)
	if err != nil || got.status != 200 || r.body != "" && got.body != r.body {
		t.Errorf("request %d: %+v, %v", n, got, err)
		return false
	}
	l.answered.Add(1)
	pid := got.header.Get("X-Pid")
	if r.method == "" {
		pid = strings.TrimSpace(got.body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pids[pid]++
	return true
}
