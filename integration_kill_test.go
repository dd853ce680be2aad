package gatehouse_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// killFor is how long TestWorkersKilled goes on; GATEHOUSE_KILL_FOR says otherwise
// ("1m").
func killFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("GATEHOUSE_KILL_FOR")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWorkersKilled kills workers at random under load. What may be asked again and has
// had no byte of an answer succeeds; the rest gets a 502; nothing hangs or is left over.
func TestWorkersKilled(t *testing.T) {
	need(t, fcgiLibrary...)
	h := newHost(t, fronts[0])
	const workers = 4
	h.up(t, fronts[0], aRoute("/app/", fmt.Sprintf(`fastcgi = { command = [%q], workers = %d }`, fcgiProgram(t, "responder"), workers)))
	h.ask(t, request{path: "/app/hello", status: 200, want: "hello\n"})
	manyAtOnce(t, h, "/app/echo", 40)
	var before, files, children []string
	eventually(func() bool { // what is opened last for a worker is a pidfd, if there are such
		before, _ = h.open()
		return strings.Count(strings.Join(before, "\n"), "[pidfd]") == workers
	})

	over := make(chan struct{})
	var load loadResult
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() { load.client(h, n%4 == 0, over) })
	}
	killed := load.killAtRandom(h.cmd.Process.Pid, killFor(t))
	close(over)
	wg.Wait()
	t.Logf("%d workers killed; %d of %d GETs and %d of %d POSTs failed", killed, load.getFailed.Load(), load.gets.Load(), load.postFailed.Load(), load.posts.Load())
	if !load.enough(killed) {
		t.Error("that was no load")
	}
	load.wrong.Range(func(_, what any) bool { t.Error(what); return true })
	if failed, most := load.postFailed.Load(), int64(killed); failed > most {
		t.Errorf("%d POSTs failed for %d workers killed, which had one at a time", failed, most)
	}

	h.ask(t, request{path: "/app/hello", status: 200, want: "hello\n"})
	h.client.CloseIdleConnections()
	if !eventually(func() bool {
		files, _ = h.open()
		children = childrenOf(h.cmd.Process.Pid)
		return len(files) <= len(before) && len(children) <= workers && len(zombies(children)) == 0
	}) {
		t.Errorf("files before: %q\nnow: %q\nchildren: %q, zombies among them: %q", before, files, children, zombies(children))
	}
}

// killAtRandom kills a child of a process now and then, for some time and until there is
// enough of everything, and says how many. Each has answered before: if one after the
// other died at its start, that would be a crash loop, and a request that meets three of
// them is given up, by intention both.
func (l *loadResult) killAtRandom(parent int, d time.Duration) (killed int) {
	for began := time.Now(); time.Since(began) < d || !l.enough(killed) && time.Since(began) < d+patience; {
		time.Sleep(time.Duration(100+rand.IntN(100)) * time.Millisecond)
		children := slices.DeleteFunc(childrenOf(parent), func(pid string) bool { _, ok := l.answered.Load(pid); return !ok })
		if len(children) == 0 {
			continue
		}
		child := children[rand.IntN(len(children))]
		l.answered.Delete(child)
		pid, err := strconv.Atoi(child)
		if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

// zombies are those of the processes that have ended and were not waited for.
func zombies(pids []string) (found []string) {
	for _, pid := range pids {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
			found = append(found, pid)
		}
	}
	return found
}

// loadResult is what clients saw.
type loadResult struct {
	gets, getFailed, posts, postFailed atomic.Int64
	answered                           sync.Map // the pids that did
	wrong                              sync.Map // few
	wrongs                             atomic.Int64
}

// enough reports whether that was a load.
func (l *loadResult) enough(killed int) bool {
	return killed >= 5 && l.gets.Load() >= 100 && l.posts.Load() >= 20
}

// client asks until it is over: GETs, which may be asked again, or POSTs, which may not.
func (l *loadResult) client(h *host, posts bool, over chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		default:
		}
		began := time.Now()
		if posts {
			body := strconv.Itoa(n)
			got, err := h.do(request{method: "POST", path: "/app/echo", body: body})
			l.count(&l.posts, &l.postFailed, got, err, err == nil && got.body == body, 502)
		} else {
			got, err := h.do(request{path: "/app/pid"})
			pid := ""
			if err == nil {
				pid = strings.TrimSpace(got.body)
			}
			_, bad := strconv.Atoi(pid)
			l.count(&l.gets, &l.getFailed, got, err, bad == nil, 200)
			if bad == nil {
				l.answered.Store(pid, true)
			}
		}
		if took := time.Since(began); took > patience {
			l.say("a request took %v", took)
		}
	}
}

// count notes an answer: whole, or else of the status that it may have in its place.
func (l *loadResult) count(all, failed *atomic.Int64, got *reply, err error, whole bool, otherwise int) {
	all.Add(1)
	switch {
	case err == nil && got.status == 200 && whole:
	case err == nil && got.status == otherwise && otherwise != 200:
		failed.Add(1)
	default:
		failed.Add(1)
		l.say("%+v, %v", got, err)
	}
}

func (l *loadResult) say(format string, args ...any) {
	if n := l.wrongs.Add(1); n <= 10 {
		l.wrong.Store(n, fmt.Sprintf(format, args...))
	}
}
