package admin_test

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/internal/site"
)

// sample is a host that is what a test says.
type sample struct {
	mu    sync.Mutex
	view  site.View
	ended []string
}

func (s *sample) View() *site.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	v.Running = slices.Clone(v.Running)
	return &v
}

// End lets the request end, as if its program had taken the signal.
func (s *sample) End(id string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.Running = slices.DeleteFunc(slices.Clone(s.view.Running), func(r site.Running) bool {
		if r.ID != id {
			return false
		}
		n++
		s.ended = append(s.ended, id)
		return true
	})
	s.view.RunningAll -= n
	return n
}

func (s *sample) Counts() []site.Counts {
	histogram := func(name string) prometheus.Collector {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: "Of a sample.", ConstLabels: prometheus.Labels{"site": "www.example.org", "route": "/cgi-bin/"}})
	}
	return []site.Counts{{
		Site: "www.example.org", Route: "/cgi-bin/", Running: 2,
		Durations: histogram("gatehouse_request_duration_seconds"), Queued: histogram("gatehouse_request_queue_seconds"),
		Classes: [6]uint64{1, 0, 90, 5, 3, 2}, Bytes: 4096, CPU: 3 * time.Second, Warm: 7, Cold: 2, BadExits: 1,
		Failures: map[string]uint64{"timeout": 2}, Limit: &site.Limit{Running: 2, Most: 8, Waiting: 1, Queue: 512},
	}}
}

// sampleTime is when the samples are of.
var sampleTime = time.Date(2026, 11, 21, 14, 3, 12, 0, time.UTC)

func empty() *sample {
	return &sample{view: site.View{
		Now: sampleTime, Begun: sampleTime.Add(-4 * time.Second), Uptime: 4, Ready: true, NotReady: []string{},
		Listeners: []string{"http 127.0.0.1:8080"}, MaxConns: 10000,
		Sites: []site.Site{{Name: "www.example.org", Routes: []site.Route{{Path: "/cgi-bin/", Kind: "cgi", Limit: &site.Limit{Most: 8, Queue: 512}}}}}, SitesAll: 1,
	}}
}

// hourOf makes an hour with a swell in it, and errors where bad says so.
func hourOf(scale float64, slow float64, bad func(minute int) uint64) site.Hour {
	h := site.Hour{P50: .0042 * slow, P95: .061 * slow, P99: .31 * slow}
	for n := range 60 {
		m := site.Minute{Requests: uint64(scale * (1 + math.Sin(float64(n)/9) + float64(n*37%11)/9)), Errors: bad(n)}
		if n == 17 {
			m = site.Minute{}
		} else if m.Requests > 0 {
			m.P50 = slow * (.003 + .002*math.Sin(float64(n)/7))
			m.P95 = m.P50 * (4 + 9*float64(n*53%13)/6)
		}
		h.Requests += m.Requests
		h.Errors += m.Errors
		h.Minutes = append(h.Minutes, m)
	}
	h.Rate = float64(h.Minutes[58].Requests+h.Minutes[59].Requests) / 90
	return h
}

func few(n int) uint64 { return uint64(n * 7 % 23 / 20) }
func none(int) uint64  { return 0 }

func busy() *sample {
	v := site.View{
		Now: sampleTime, Begun: sampleTime.Add(-53 * time.Hour), Uptime: 53 * 3600, Ready: true, NotReady: []string{},
		Listeners: []string{"http 127.0.0.1:8080", "fastcgi /run/gatehouse/fcgi.sock"}, Conns: 214, MaxConns: 10000, Processes: 17, Refused: 12, LinesLost: 5,
		Hour: hourOf(420, 1, few), RunningAll: 4, Waiting: 1, SitesAll: 3, PoolsAll: 2,
	}
	v.Running = []site.Running{
		{ID: "4f1c09ab77e2-1k3", Age: 312, Phase: "sending", Site: "git.example.org", Route: "/git/", Script: "/usr/lib/git-core/git-http-backend", Client: "198.51.100.7", Method: "POST", URI: "/git/linux.git/git-upload-pack", Pid: 20417, Sent: 834 << 20},
		{ID: "4f1c09ab77e2-1zz", Age: 8.4, Phase: "answering", Site: "www.example.org", Route: "/cgi-bin/", Script: "/usr/lib/cgi-bin/report.pl", Client: "203.0.113.80", Method: "GET", URI: "/cgi-bin/report.pl?from=2026-01-01&to=2026-11-21&columns=customer,total,open", Pid: 21530},
		{ID: "4f1c09ab77e2-203", Age: 2.1, Phase: "queued", Site: "www.example.org", Route: "/cgi-bin/", Script: "/usr/lib/cgi-bin/report.pl", Client: "203.0.113.81", Method: "GET", URI: "/cgi-bin/report.pl"},
		{ID: "4f1c09ab77e2-204", Age: .2, Phase: "answering", Site: "shop.example.org", Route: "*.php", Script: "/srv/shop/htdocs/index.php", Client: "2001:db8::17", Method: "GET", URI: "/index.php/cart", Pid: 1214},
	}
	v.Failures = []site.Failure{
		{When: sampleTime.Add(-40 * time.Second), Request: "4f1c09ab77e2-1zx", Site: "www.example.org", Route: "/cgi-bin/", Script: "/usr/lib/cgi-bin/report.pl", Client: "203.0.113.80", Method: "GET", URI: "/cgi-bin/report.pl?from=x", Status: 502, Kind: "no-output", Reason: "it ended without a word; exit status 2: Invalid date \"x\" at report.pl line 41.", Pid: 21388, Exit: "exit status 2", Stderr: "Use of uninitialized value $to in concatenation at report.pl line 38.\nInvalid date \"x\" at report.pl line 41."},
		{When: sampleTime.Add(-19 * time.Minute), Request: "4f1c09ab77e2-18q", Site: "shop.example.org", Route: "*.php", Script: "/srv/shop/htdocs/import.php", Client: "198.51.100.20", Method: "POST", URI: "/import.php", Status: 504, Kind: "timeout", Reason: "it did not answer within 1m0s (header_timeout)", Pid: 1213},
		{When: sampleTime.Add(-50 * time.Minute), Request: "4f1c09ab77e2-0fd", Site: "www.example.org", Route: "/cgi-bin/", Script: "/usr/lib/cgi-bin/awstats.pl", Client: "203.0.113.5", Method: "GET", URI: "/cgi-bin/awstats.pl", Status: 200, Kind: "exit", Reason: "it ended badly after its response", Pid: 18811, Exit: "killed by signal 11 (segmentation fault)"},
	}
	limit := func(running, most int, waiting int64) *site.Limit {
		return &site.Limit{Running: running, Most: most, Waiting: waiting, Queue: 512}
	}
	v.Sites = []site.Site{
		{Name: "www.example.org", Hour: hourOf(240, 1, few), Requests: 1_204_331, Running: 2, Routes: []site.Route{
			{Path: "/cgi-bin/", Kind: "cgi", Hour: hourOf(90, 3, few), Requests: 310_022, Running: 2, Limit: limit(8, 8, 1), CPU: 4120, Warm: 290_117, Cold: 19_905, Bytes: 9 << 30},
			{Path: "(files)", Kind: "files", Hour: hourOf(150, .1, none), Requests: 894_309}}},
		{Name: "shop.example.org", Hour: hourOf(160, 2, none), Requests: 702_118, Running: 1, Routes: []site.Route{
			{Path: "*.php", Kind: "fastcgi", Hour: hourOf(130, 2, none), Requests: 560_001, Running: 1},
			{Path: "/old/", Kind: "redirect", Requests: 0}}},
		{Name: "git.example.org", Hour: hourOf(2, 20, none), Requests: 9021, Running: 1, Routes: []site.Route{
			{Path: "/git/", Kind: "cgi", Hour: hourOf(2, 20, none), Requests: 9021, Running: 1, Limit: limit(1, 16, 0)}}},
	}
	v.Pools = []site.Pool{
		{Site: "shop.example.org", Route: "*.php", What: `command ["php-cgi"], at most 4 workers, 2 kept ready`, All: 3, Most: 4, Kept: 2, Started: 57, Failed: 1, States: map[string]int{"busy": 1, "ready": 1, "starting": 1}, Workers: []site.Worker{
			{Pid: 1214, State: "busy", Age: 10_921, Requests: 3301, Conns: 1, Memory: 41 << 20},
			{Pid: 1215, State: "ready", Age: 10_921, Requests: 3120, Conns: 1, Memory: 38 << 20},
			{Pid: 22_001, State: "starting", Age: .3}}},
		{Site: "www.example.org", Route: "/app/", What: "127.0.0.1:9000, 127.0.0.1:9001", Endpoint: []site.Endpoint{
			{Address: "127.0.0.1:9000", Busy: 2, Idle: 6, Served: 88_120}, {Address: "127.0.0.1:9001", Idle: 3, Served: 80_991, Ejected: 8}}},
	}
	v.Helpers = []site.Helper{
		{How: "/usr/bin/perl -T", Pid: 901, Generation: 3, Ready: true, Spares: 4, Requests: 250_031, Memory: 22 << 20, Modules: 41},
		{How: "/usr/bin/python3", Pid: 902, Generation: 2, Ready: true, Spares: 2, Requests: 40_086, Memory: 31 << 20, Modules: 118},
	}
	return &sample{view: v}
}

func broken() *sample {
	s := busy()
	v := &s.view
	v.Ready = false
	v.NotReady = []string{"route /app/ of site www.example.org: no worker is ready, the last one (pid 30112) ended after 61ms: exit status 1, before it was ready"}
	v.Hour = hourOf(420, 9, func(n int) uint64 { return uint64(max(0, n-38)) * 30 })
	v.Waiting, v.Conns = 512, 9981
	v.Pools = []site.Pool{{Site: "www.example.org", Route: "/app/", What: "app.py:application, 2 workers with 4 threads each", Waiting: 31, Most: 2, Kept: 2, Started: 9, Failed: 9, Pause: 12.4,
		Why:    "(pid 30112) ended after 61ms: exit status 1, before it was ready, its last line on standard error was \"ModuleNotFoundError: No module named 'flask'\"",
		Stderr: "Traceback (most recent call last):\n  File \"/srv/app/app.py\", line 1, in <module>\n    import flask\nModuleNotFoundError: No module named 'flask'"}}
	v.PoolsAll = 1
	v.Helpers = []site.Helper{{How: "/usr/bin/python3", Generation: 4, Failure: "it ended before it was ready: exit status 1"}}
	return s
}

// evil is text that would do something if it were taken for markup, for a script, for an
// attribute or for what a terminal obeys.
const evil = "</title></td></script><script>document.title='pwned'</script>\"'><img src=x onerror=\"document.title='pwned'\">{{.}}${1}\x1b]0;pwned\x07\x1b[31m\u009b31m\u202egnp\r\n"

func hostile() *sample {
	s := busy()
	v := &s.view
	for n := range v.Running {
		r := &v.Running[n]
		r.ID, r.Script, r.Client, r.Method, r.URI, r.Site, r.Route = evil, evil, evil, evil, evil, evil, evil
	}
	v.Running = v.Running[:1]
	for n := range v.Failures {
		f := &v.Failures[n]
		f.Request, f.Script, f.Client, f.Method, f.URI, f.Reason, f.Stderr, f.Exit, f.Kind, f.Site, f.Route = evil, evil, evil, evil, evil, evil, evil, evil, evil, evil, evil
	}
	v.Pools[0].What, v.Pools[0].Why, v.Pools[0].Stderr, v.Pools[0].Pause = evil, evil, evil, 3
	v.Pools[1].Endpoint[0].Sick, v.Pools[1].Endpoint[0].Address = evil, evil
	v.Helpers[0].How, v.Helpers[0].Failure = evil, evil
	v.Sites[0].Name, v.Sites[0].Routes[0].Path = evil, evil
	v.NotReady, v.Ready, v.Listeners = []string{evil}, false, []string{evil}
	return s
}
