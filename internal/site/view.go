package site

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/process"
)

// View is what a Host does at one moment, as status.json has it. However much that is, it
// is bounded: of sites, workers and requests the most telling are listed, and all of them
// counted. Times are in seconds, memory in bytes.
type View struct {
	Now        time.Time `json:"now"`
	Begun      time.Time `json:"begun"`
	Uptime     float64   `json:"uptime"`
	Ready      bool      `json:"ready"`
	NotReady   []string  `json:"not_ready"` // why not, a sentence each
	Listeners  []string  `json:"listeners"`
	Conns      int       `json:"connections"`
	MaxConns   int       `json:"connections_max"`
	Processes  int       `json:"processes"` // that run for requests, workers and helpers among them
	Refused    uint64    `json:"refused"`   // by the listeners, as no HTTP at all
	LinesLost  int64     `json:"log_lines_lost"`
	Hour       Hour      `json:"hour"`
	Running    []Running `json:"running"` // the longest first
	RunningAll int       `json:"running_all"`
	Waiting    int       `json:"waiting"`
	Sites      []Site    `json:"sites"` // the busiest of the last hour first
	SitesAll   int       `json:"sites_all"`
	Pools      []Pool    `json:"pools"`
	PoolsAll   int       `json:"pools_all"`
	Helpers    []Helper  `json:"helpers"`
	Failures   []Failure `json:"failures"` // the latest first

	busy map[int]bool // processes that have a request
}

// Bounds of what a View lists.
const (
	maxRunning = 200
	maxSites   = 200
	maxRoutes  = 100 // of a site
	maxPools   = 200
	maxWorkers = 64 // of a pool
)

// Hour is the last one, minute by minute.
type Hour struct {
	Requests uint64   `json:"requests"`
	Errors   uint64   `json:"errors"` // statuses of 500 and above, and responses that were cut short
	Rate     float64  `json:"rate"`   // requests a second, of the last one to two minutes
	P50      float64  `json:"p50"`
	P95      float64  `json:"p95"`
	P99      float64  `json:"p99"`
	Minutes  []Minute `json:"minutes,omitempty"` // the last one is the one that has begun; none where nothing was asked
}

// Minute is one of them.
type Minute struct {
	Requests uint64  `json:"requests"`
	Errors   uint64  `json:"errors"`
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
}

// Site is one site.
type Site struct {
	Name     string  `json:"name"`
	Hour     Hour    `json:"hour"`
	Requests uint64  `json:"requests"` // since the start
	Running  int     `json:"running"`
	Routes   []Route `json:"routes"`
}

// Route is one route, or what a site answers without one.
type Route struct {
	Path     string  `json:"path"`
	Kind     string  `json:"kind"` // the key of its handler
	Hour     Hour    `json:"hour"`
	Requests uint64  `json:"requests"`
	Running  int     `json:"running"`
	Limit    *Limit  `json:"limit,omitempty"` // of its programs
	CPU      float64 `json:"cpu"`
	Bytes    uint64  `json:"bytes"`
	Warm     uint64  `json:"warm"`
	Cold     uint64  `json:"cold"`
}

// Starts are the programs that were started where they may be warm.
func (r Route) Starts() uint64 { return r.Warm + r.Cold }

// Limit is how much of what may run and wait does.
type Limit struct {
	Running int   `json:"running"`
	Most    int   `json:"most"`
	Waiting int64 `json:"waiting"`
	Queue   int64 `json:"queue"`
}

// Running is one request.
type Running struct {
	ID     string    `json:"id"`
	Since  time.Time `json:"since"`
	Age    float64   `json:"age"`
	Phase  string    `json:"phase"`
	Site   string    `json:"site,omitempty"`
	Route  string    `json:"route,omitempty"`
	Script string    `json:"script,omitempty"`
	Client string    `json:"client"`
	Method string    `json:"method"`
	URI    string    `json:"uri"`
	Pid    int       `json:"pid,omitempty"`
	Sent   int64     `json:"sent"`
	Ending bool      `json:"ending,omitempty"` // it has been told to end
}

// Helper is an interpreter that runs warm scripts.
type Helper struct {
	How        string  `json:"how"`
	User       *uint32 `json:"user,omitempty"` // its number; none for that of the server
	Pid        int     `json:"pid,omitempty"`
	Generation int     `json:"generation"`
	Ready      bool    `json:"ready"`
	Spares     int     `json:"spares"`
	Requests   int     `json:"requests"`
	Memory     int64   `json:"memory"`
	Modules    int     `json:"modules"`
	Idle       float64 `json:"idle"`
	Failure    string  `json:"failure,omitempty"`
}

// View tells what there is to see. It waits for no request and no reload.
func (h *Host) View() *View {
	now := time.Now()
	v := &View{Now: now, Begun: h.traffic.begun, Uptime: now.Sub(h.traffic.begun).Seconds(), Refused: h.traffic.refused.Load(), LinesLost: h.logs.lost.Load(), Processes: h.spawner.Live()}
	h.mu.Lock()
	current, f := h.current, h.fronts
	var older []*assembly
	for a := range h.alive {
		if a != current {
			older = append(older, a)
		}
	}
	closed := h.closed
	h.mu.Unlock()
	at := h.traffic.minuteOf(now)
	v.viewFronts(f, closed)
	v.viewRunning(h.traffic, now)
	v.viewSites(current, h.traffic, at, now)
	v.viewPools(current, older)
	v.viewHelpers(current)
	v.Failures = h.traffic.failures.latest()
	v.Ready = len(v.NotReady) == 0
	return v
}

func (v *View) viewFronts(f *fronts, closed bool) {
	v.NotReady, v.Listeners = []string{}, []string{}
	switch {
	case closed:
		v.NotReady = append(v.NotReady, "the host is closed")
	case f == nil:
		v.NotReady = append(v.NotReady, "it does not take connections: it starts or drains")
	default:
		for _, l := range f.listening() {
			v.Listeners = append(v.Listeners, l.Protocol+" "+l.Addr.String())
		}
		v.Conns, v.MaxConns = f.places.view()
	}
}

func (v *View) viewRunning(tr *traffic, now time.Time) {
	v.busy = make(map[int]bool)
	var list []*tracked
	tr.running.each(func(t *tracked) {
		list = append(list, t)
		if t.Phase() == cgi.Queued {
			v.Waiting++
		} else if pid := t.Pid(); pid != 0 {
			v.busy[pid] = true
		}
	})
	v.RunningAll = len(list)
	slices.SortFunc(list, func(a, b *tracked) int { return a.begun.Compare(b.begun) })
	v.Running = make([]Running, 0, min(len(list), maxRunning))
	for _, t := range list[:min(len(list), maxRunning)] {
		one := Running{
			ID: shown(t.id), Since: t.begun, Age: now.Sub(t.begun).Seconds(), Phase: t.Phase().String(), Pid: t.Pid(), Sent: t.Sent(),
			Client: shown(t.env.Get("REMOTE_ADDR")), Method: shown(t.env.Get("REQUEST_METHOD")), URI: shown(t.env.Get("REQUEST_URI")),
			Ending: t.Err() != nil,
		}
		if by := t.where.Load(); by != nil {
			one.Site, one.Route = by.site, by.route
		}
		if s := t.script.Load(); s != nil {
			one.Script = shown(*s)
		}
		v.Running = append(v.Running, one)
	}
}

func (v *View) viewSites(a *assembly, tr *traffic, at int64, now time.Time) {
	whole := newSpan(tr, at, now)
	type asked struct {
		site *site
		recent
	}
	list := make([]asked, 0, len(a.sites.all))
	for _, s := range a.sites.all {
		one := asked{site: s}
		for _, t := range s.tallies() {
			one.recent.add(whole.add(t))
		}
		list = append(list, one)
	}
	nowhere := whole.add(tr.nowhere)
	v.Hour = whole.hour(true)
	slices.SortStableFunc(list, func(a, b asked) int {
		return cmp.Or(cmp.Compare(b.running, a.running), cmp.Compare(b.requests, a.requests), cmp.Compare(b.ever, a.ever))
	})
	v.SitesAll = len(list)
	v.Sites = make([]Site, 0, min(len(list), maxSites)+1)
	for _, one := range list[:min(len(list), maxSites)] {
		v.Sites = append(v.Sites, viewSite(one.site, tr, at, now))
	}
	if nowhere.ever > 0 {
		span := newSpan(tr, at, now)
		all := span.add(tr.nowhere)
		v.Sites = append(v.Sites, Site{Name: "(no site)", Hour: span.hour(true), Requests: all.ever, Running: int(all.running), Routes: []Route{}})
	}
}

// tallies are those of a site.
func (s *site) tallies() []*tally {
	list := []*tally{s.tally}
	for _, r := range s.routes.all {
		list = append(list, r.tally)
	}
	return list
}

func viewSite(s *site, tr *traffic, at int64, now time.Time) Site {
	whole := newSpan(tr, at, now)
	var all recent
	routes := []Route{}
	add := func(t *tally, kind string, limit *Limit) {
		n := whole.add(t)
		all.add(n)
		if len(routes) == maxRoutes || kind == "files" && n.ever == 0 {
			return
		}
		span := newSpan(tr, at, now)
		span.add(t)
		one := Route{Path: t.route, Kind: kind, Hour: span.hour(true), Requests: n.ever, Running: int(n.running), Limit: limit}
		if c := t.counted.Load(); c != nil {
			one.CPU, one.Bytes = time.Duration(c.cpu.Load()).Seconds(), c.bytes.Load()
			one.Warm, one.Cold = c.warm.Load(), c.cold.Load()
		}
		routes = append(routes, one)
	}
	for _, r := range s.routes.all {
		add(r.tally, r.kind(), r.limiter.view())
	}
	add(s.tally, "files", nil)
	return Site{Name: s.name, Hour: whole.hour(true), Requests: all.ever, Running: int(all.running), Routes: routes}
}

func (p *places) view() (used, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.most
}

// kind is the key of the route's handler.
func (r *route) kind() string {
	switch c := r.config; {
	case c.FastCGI != nil:
		return "fastcgi"
	case c.SCGI != nil:
		return "scgi"
	case c.WSGI != nil:
		return "wsgi"
	case c.Static != "":
		return "static"
	case c.Redirect != "":
		return "redirect"
	}
	return "cgi"
}

// view is nil where there is no limiter.
func (l *limiter) view() *Limit {
	if l == nil {
		return nil
	}
	return &Limit{Running: len(l.slots), Most: cap(l.slots), Waiting: min(l.waiting.Load(), l.queue), Queue: l.queue}
}

func (v *View) viewHelpers(a *assembly) {
	v.Helpers = []Helper{}
	for _, s := range a.warm.Status() {
		one := Helper{
			How: strings.TrimPrefix(s.How, "warm: "), Pid: s.Pid, Generation: s.Generation, Ready: s.Ready, Spares: s.Spares,
			Requests: s.Requests, Modules: len(s.Preloaded), Idle: s.Idle.Seconds(), Failure: shown(s.Failure),
		}
		if s.User != nil {
			one.User = &s.User.UID
		}
		if s.Pid != 0 {
			one.Memory = process.Resident(s.Pid)
		}
		v.Helpers = append(v.Helpers, one)
	}
}

// shown bounds a text that comes from elsewhere, and keeps none of the rest of it.
func shown(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return strings.Clone(s)
}

// tail is the end of what a program has said.
func tail(s string) string {
	s = strings.TrimRight(s, "\n")
	if len(s) > maxShown {
		return "…" + strings.ToValidUTF8(s[len(s)-maxShown:], "")
	}
	return strings.Clone(s)
}
