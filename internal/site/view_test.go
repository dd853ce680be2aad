package site_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/site"
)

const viewConfig = `
[[site]]
hosts = ["one.example", "localhost"]
root = "DIR/htdocs"
  [[site.route]]
  path = "/cgi/"
  cgi = "DIR/cgi/"
  processes = 2
  queue = 5
  queue_timeout = "0s"
  header_timeout = "0s"
  kill_grace = "0s"
  warm = false
  [[site.route]]
  path = "/app/"
  fastcgi = { command = ["EXE"], env = { SITE_TEST_APP = "1" }, min_workers = 1, workers = 2 }
[[site]]
hosts = ["two.example"]
  [[site.route]]
  path = "/"
  static = "DIR/htdocs/"
`

// waiting is a script that runs until a file is there.
var waiting = script(`: > ../running.$$`, `while [ ! -e ../go ]; do sleep 0.02; done`, okHeader, "echo done")

func viewed(t testing.TB, more files, change ...func(*site.Options)) (*server, string) {
	t.Helper()
	content := files{
		"htdocs/a.txt": "hello", "cgi/ok": script(okHeader, "echo ok"), "cgi/wait": waiting,
		"cgi/bad": script("echo broken >&2", "exit 3"), "cgi/late": script(okHeader, "echo half", "exec >&-", "exit 4"),
	}
	for name, text := range more {
		content[name] = text
	}
	dir := tree(t, content)
	return start(t, dir, strings.ReplaceAll(viewConfig, "EXE", testBinary(t)), change...), dir
}

// routeOf finds a route in a view.
func routeOf(t testing.TB, v *site.View, name, path string) site.Route {
	t.Helper()
	for _, s := range v.Sites {
		for _, r := range s.Routes {
			if s.Name == name && r.Path == path {
				return r
			}
		}
	}
	t.Fatalf("no route %s of %s in %+v", path, name, v.Sites)
	return site.Route{}
}

func TestViewCounts(t *testing.T) {
	s, _ := viewed(t, nil)
	for range 3 {
		s.get(t, "/cgi/ok")
	}
	s.get(t, "/cgi/bad")
	s.get(t, "/cgi/none")
	s.get(t, "/a.txt")
	s.get(t, "/a.txt", "Host: two.example")
	s.get(t, "/", "Host: three.example")
	s.get(t, "/app/x")
	var v *site.View
	eventually(t, "all are counted", func() bool { v = s.host.View(); return v.RunningAll == 0 && v.Hour.Requests == 9 })
	if v.Hour.Errors != 1 || len(v.Hour.Minutes) != 60 || v.Hour.P95 <= 0 || v.Hour.P50 > v.Hour.P95 || v.Hour.P95 > v.Hour.P99 {
		t.Errorf("the hour is %+v", v.Hour)
	}
	for _, tt := range []struct {
		site, route, kind string
		requests, errors  uint64
	}{
		{"one.example", "/cgi/", "cgi", 4, 1},
		{"one.example", "(files)", "files", 2, 0}, // /cgi/none is no script of the route
		{"one.example", "/app/", "fastcgi", 1, 0},
		{"two.example", "/", "static", 1, 0},
	} {
		r := routeOf(t, v, tt.site, tt.route)
		if r.Requests != tt.requests || r.Hour.Requests != tt.requests || r.Hour.Errors != tt.errors || r.Kind != tt.kind || r.Running != 0 {
			t.Errorf("%s %s: %+v, want %d requests and %d errors", tt.site, tt.route, r, tt.requests, tt.errors)
		}
	}
	if r := routeOf(t, v, "one.example", "/cgi/"); r.Limit == nil || r.Limit.Most != 2 || r.Limit.Queue != 5 || r.Bytes == 0 {
		t.Errorf("the script's route is %+v", r)
	}
	if last := v.Sites[len(v.Sites)-1]; last.Name != "(no site)" || last.Requests != 1 {
		t.Errorf("the last site is %+v", last)
	}
	if !v.Ready || len(v.Listeners) != 1 || v.MaxConns != 10000 {
		t.Errorf("ready %v %q, on %q, %d connections", v.Ready, v.NotReady, v.Listeners, v.MaxConns)
	}
	if len(v.Pools) != 1 || v.Pools[0].Route != "/app/" || v.Pools[0].Most != 2 || len(v.Pools[0].Workers) == 0 || v.Pools[0].Workers[0].Memory == 0 || v.Pools[0].Workers[0].State != "ready" {
		t.Errorf("pools are %+v", v.Pools)
	}
}

func TestViewFailures(t *testing.T) {
	s, _ := viewed(t, nil)
	s.get(t, "/cgi/bad?q="+strings.Repeat("x", 3000))
	s.get(t, "/cgi/late")
	s.get(t, "/cgi/none")
	var list []site.Failure
	eventually(t, "two failures", func() bool { list = s.host.View().Failures; return len(list) == 2 })
	late, bad := list[0], list[1]
	if bad.Kind != "no-output" || bad.Status != 502 || bad.Exit != "exit status 3" || bad.Stderr != "broken" || !strings.HasSuffix(bad.Script, "/cgi/bad") ||
		bad.Site != "one.example" || bad.Route != "/cgi/" || bad.Client != "127.0.0.1" || bad.Method != "GET" || bad.Pid == 0 || bad.Request == "" {
		t.Errorf("the first is %+v", bad)
	}
	if len(bad.URI) > 1100 || !strings.HasPrefix(bad.URI, "/cgi/bad?q=xxx") || !strings.HasSuffix(bad.URI, "…") {
		t.Errorf("its URI has %d bytes", len(bad.URI))
	}
	if late.Kind != "exit" || late.Status != 200 || late.Exit != "exit status 4" {
		t.Errorf("the second is %+v", late)
	}
}

func TestViewRunning(t *testing.T) {
	s, dir := viewed(t, nil)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = write(dir+"/go", "") }) // before the wait
	for n := range 3 {                             // one more than may run
		wg.Go(func() { s.get(t, fmt.Sprintf("/cgi/wait?%d", n)) })
	}
	var v *site.View
	eventually(t, "two run and one waits", func() bool {
		v = s.host.View()
		phases := map[string]int{}
		for _, r := range v.Running {
			phases[r.Phase]++
		}
		return phases["answering"] == 2 && phases["queued"] == 1
	})
	if v.RunningAll != 3 || v.Waiting != 1 {
		t.Errorf("%d run and %d wait", v.RunningAll, v.Waiting)
	}
	r := routeOf(t, v, "one.example", "/cgi/")
	if r.Running != 3 || r.Limit.Running != 2 || r.Limit.Waiting != 1 {
		t.Errorf("the route has %+v, %+v", r, *r.Limit)
	}
	for _, one := range v.Running {
		if one.Phase == "answering" != (one.Pid != 0) || one.Site != "one.example" || one.Route != "/cgi/" || !strings.HasSuffix(one.Script, "/cgi/wait") ||
			!strings.HasPrefix(one.URI, "/cgi/wait?") || one.Client != "127.0.0.1" || one.Age < 0 || one.Ending {
			t.Errorf("one of them is %+v", one)
		}
	}
	text, err := json.Marshal(v)
	if err != nil || strings.Contains(string(text), ":null") { // programs go through the lists
		t.Errorf("%v, %s", err, text)
	}
}

func TestEndRequest(t *testing.T) {
	for _, tt := range []struct{ name, target, phase string }{
		{"a program", "/cgi/wait", "answering"},
		{"a program that finishes anyway", "/anyway", "answering"},
		{"in the queue", "/one/wait", "queued"},
		{"an application", "/app/hang", "answering"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hangs := application(t, hang)
			dir := tree(t, files{"cgi/wait": waiting})
			s := start(t, dir, `
[[site]]
kill_grace = "0s"
header_timeout = "0s"
warm = false
  [[site.route]]
  path = "/cgi/"
  cgi = "DIR/cgi/"
  [[site.route]]
  path = "/one/"
  cgi = "DIR/cgi/"
  processes = 1
  queue_timeout = "0s"
  [[site.route]]
  path = "/anyway"
  cgi = "DIR/cgi/wait"
  finish_anyway = true
  [[site.route]]
  path = "/app/"
  fastcgi = "`+hangs+`"
`)
			var wg sync.WaitGroup
			t.Cleanup(wg.Wait)
			if tt.phase == "queued" { // the place is another's
				t.Cleanup(func() { _ = write(dir+"/go", "") })
				wg.Go(func() { s.get(t, "/one/wait") })
				eventually(t, "it runs", func() bool { v := s.host.View(); return len(v.Running) == 1 && v.Running[0].Pid != 0 })
			}
			got := make(chan *answer, 1)
			wg.Go(func() { got <- s.get(t, tt.target+"?me") })
			id := ""
			eventually(t, "it is "+tt.phase, func() bool {
				for _, r := range s.host.View().Running {
					if strings.HasSuffix(r.URI, "?me") && r.Phase == tt.phase {
						id = r.ID
					}
				}
				return id != ""
			})
			if n := s.host.End("no such " + id); n != 0 {
				t.Errorf("%d requests of another ID were ended", n)
			}
			if n := s.host.End(id); n != 1 {
				t.Errorf("%d requests were ended, want 1", n)
			}
			if a := <-got; a.StatusCode != 503 {
				t.Errorf("the client got %d %q, want 503", a.StatusCode, a.body)
			}
			if line := s.accessOf(t, "?me"); !strings.Contains(line, "failure=ended") || !strings.Contains(line, "the administrator has ended it") {
				t.Errorf("the access log has %s", line)
			}
			eventually(t, "a failure", func() bool {
				v := s.host.View()
				return len(v.Failures) == 1 && v.Failures[0].Kind == "ended" && v.Failures[0].Request == id
			})
		})
	}
}

// What has begun is cut off.
func TestEndResponse(t *testing.T) {
	dir := tree(t, files{"cgi/forever": script(okHeader, "echo begun", "while :; do sleep 0.05; done")})
	s := start(t, dir, "[[site]]\nkill_grace = \"0s\"\nidle_timeout = \"0s\"\nwarm = false\n  [[site.route]]\n  path = \"/\"\n  cgi = \"DIR/cgi/\"\n")
	got := make(chan *answer, 1)
	go func() { got <- s.get(t, "/forever") }()
	id := ""
	eventually(t, "it is being sent", func() bool {
		for _, r := range s.host.View().Running {
			if r.Phase == "sending" && r.Sent == int64(len("begun\n")) {
				id = r.ID
			}
		}
		return id != ""
	})
	s.host.End(id)
	if a := <-got; a.err == nil || a.body != "begun\n" {
		t.Errorf("the client got %q and the error %v, want a cut response", a.body, a.err)
	}
	eventually(t, "a failure", func() bool {
		v := s.host.View()
		return v.RunningAll == 0 && len(v.Failures) == 1 && v.Failures[0].Kind == "ended"
	})
}

// A reload keeps the numbers of what stays, and forgets what goes.
func TestViewReload(t *testing.T) {
	dir := tree(t, files{"a/x": "1", "b/x": "2"})
	text := "[[site]]\nhosts = [\"a.example\"]\nroot = \"DIR/a\"\n[[site]]\nhosts = [\"b.example\"]\nroot = \"DIR/b\"\n"
	s := start(t, dir, text)
	s.get(t, "/x", "Host: a.example")
	s.get(t, "/x", "Host: b.example")
	eventually(t, "both are counted", func() bool { return s.host.View().Hour.Requests == 2 })
	cfg := parse(t, dir, text[:strings.LastIndex(text, "[[site]]")])
	cfg.Listen = s.host.Config().Listen
	if err := s.host.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	v := s.host.View()
	if len(v.Sites) != 1 || v.Sites[0].Name != "a.example" || v.Sites[0].Requests != 1 {
		t.Errorf("sites are %+v", v.Sites)
	}
	for _, c := range s.host.Counts() {
		if c.Site == "b.example" {
			t.Errorf("%+v is still counted", c)
		}
	}
}

// Requests that come and go meanwhile, and reloads, are for the race detector.
func TestViewUnderLoad(t *testing.T) {
	s, dir := viewed(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg, looking sync.WaitGroup
	for range 2 {
		looking.Go(func() {
			for ctx.Err() == nil {
				for _, r := range s.host.View().Running {
					if strings.HasSuffix(r.URI, "?7") {
						s.host.End(r.ID)
					}
				}
				s.host.Counts()
			}
		})
	}
	const clients, requests = 4, 25
	for range clients {
		wg.Go(func() {
			for n := range requests {
				s.try(t, request("GET", fmt.Sprintf("/%s?%d", []string{"a.txt", "cgi/ok", "app/x", "cgi/bad", "none"}[n%5], n)))
			}
		})
	}
	cfg := parse(t, dir, strings.ReplaceAll(viewConfig, "EXE", testBinary(t)))
	cfg.Listen = s.host.Config().Listen
	if err := s.host.Reload(cfg); err != nil {
		t.Error(err)
	}
	wg.Wait()
	cancel()
	looking.Wait()
	eventually(t, "all are counted", func() bool { v := s.host.View(); return v.RunningAll == 0 && v.Hour.Requests == clients*requests })
	v := s.host.View()
	for _, one := range v.Sites {
		if one.Running != 0 {
			t.Errorf("%d are said to run for %s", one.Running, one.Name)
		}
	}
}

// try sends a request and waits for the end of whatever comes.
func (s *server) try(t testing.TB, request string) {
	conn, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * long))
	_, _ = io.WriteString(conn, request)
	_, _ = io.Copy(io.Discard, conn)
}

// BenchmarkTracked is what counting costs a request, beside what it is measured with.
func BenchmarkTracked(b *testing.B) {
	next := cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
		return &cgi.Response{Status: 200, Body: io.NopCloser(strings.NewReader(""))}, nil
	})
	run := func(b *testing.B, r cgi.Responder) {
		b.ReportAllocs()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				req := &cgi.Request{ID: "x", Account: &cgi.Account{Queued: time.Millisecond}}
				resp, _ := r.Respond(ctx, req)
				_ = resp.Close()
			}
		})
	}
	b.Run("without", func(b *testing.B) { run(b, next) })
	b.Run("with", func(b *testing.B) { run(b, site.Tracked(next)) })
}

// hang takes connections and says nothing until the other side closes them.
func hang(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

func testBinary(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}
