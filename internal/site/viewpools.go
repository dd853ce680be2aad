package site

import (
	"fmt"
	"slices"
	"time"

	"gatehouse/process"
)

// Pool is one application.
type Pool struct {
	Site     string     `json:"site"`
	Route    string     `json:"route"`
	Role     string     `json:"role,omitempty"`   // "authorizer"
	What     string     `json:"what"`             // its command, or its addresses
	Former   bool       `json:"former,omitempty"` // of a configuration that is no longer in force
	Waiting  int        `json:"waiting"`
	Workers  []Worker   `json:"workers"` // none where it is an address
	All      int        `json:"workers_all"`
	Most     int        `json:"workers_most,omitempty"`
	Kept     int        `json:"workers_kept,omitempty"` // ready at all times
	Started  int        `json:"started"`
	Failed   int        `json:"failed"`          // workers that did not start, or died at once
	Pause    float64    `json:"pause,omitempty"` // until the next start, in a crash loop
	Why      string     `json:"why,omitempty"`
	Stderr   string     `json:"stderr,omitempty"`
	Endpoint []Endpoint `json:"endpoints"` // none with SCGI

	States map[string]int `json:"states"` // how many workers are in each
}

// Worker is one process of an application.
type Worker struct {
	Pid      int     `json:"pid"`
	State    string  `json:"state"` // "starting", "ready", "busy", "ending" or "ended"
	Age      float64 `json:"age"`
	Requests int     `json:"requests"`
	Conns    int     `json:"connections"`
	Memory   int64   `json:"memory"`
}

// Endpoint is an address of an application.
type Endpoint struct {
	Address string  `json:"address"`
	Busy    int     `json:"busy"`
	Idle    int     `json:"idle"`
	Served  uint64  `json:"served"`
	Ejected float64 `json:"ejected,omitempty"` // for so long nothing is sent there
	Sick    string  `json:"sick,omitempty"`
}

func (v *View) viewPools(current *assembly, older []*assembly) {
	v.Pools = []Pool{}
	seen := make(map[*backend]bool)
	for n, a := range append([]*assembly{current}, older...) {
		for _, b := range a.uses() {
			if seen[b] || b.config.Missing != "" {
				continue
			}
			seen[b] = true
			v.PoolsAll++
			if n == 0 {
				v.checkReady(b)
			}
			if len(v.Pools) < maxPools {
				v.Pools = append(v.Pools, v.viewPool(b, n > 0))
			}
		}
	}
}

// uses are the applications of an assembly.
func (a *assembly) uses() []*backend {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.backends)
}

// checkReady says where workers that are kept ready are not.
func (v *View) checkReady(b *backend) {
	if b.workers == nil || b.config.MinWorkers == 0 || !b.started.Load() {
		return
	}
	s := b.workers.Status()
	for _, w := range s.Workers {
		if w.State == "ready" {
			return
		}
	}
	why := "no worker is ready"
	if s.Last != "" {
		why = "no worker is ready, the last one " + shown(s.Last)
	}
	v.NotReady = append(v.NotReady, fmt.Sprintf("%s of site %s: %s", b.name, b.at.site, why))
}

func (v *View) viewPool(b *backend, former bool) Pool {
	p := Pool{Site: b.at.site, Route: b.at.route, What: b.describe(), Former: former, Workers: []Worker{}, Endpoint: []Endpoint{}, States: map[string]int{}}
	if b.name != "route "+b.at.route {
		p.Role = "authorizer"
	}
	if l, ok := b.ask.(*limiter); ok {
		p.Waiting = int(l.view().Waiting)
	}
	if !b.started.Load() {
		return p
	}
	if b.workers != nil {
		p.viewWorkers(b, v.busy)
	}
	if b.fastcgi != nil {
		s := b.fastcgi.Status()
		p.Waiting += s.Waiting
		for _, e := range s.Endpoints {
			p.Endpoint = append(p.Endpoint, Endpoint{e.Address, e.Busy, e.Idle, e.Served, e.Ejected.Seconds(), shown(e.Sick)})
		}
	}
	return p
}

func (p *Pool) viewWorkers(b *backend, busy map[int]bool) {
	s := b.workers.Status()
	p.Waiting += s.Waiting
	p.All, p.Most, p.Kept = len(s.Workers), b.workers.Max, b.workers.Min
	p.Started, p.Failed = s.Started, s.Failures
	p.Pause, p.Why, p.Stderr = s.Down.Seconds(), shown(s.Last), tail(s.Stderr)
	for n, w := range s.Workers {
		state := w.State
		if state == "ready" && busy[w.Pid] {
			state = "busy"
		}
		p.States[state]++
		if n >= maxWorkers {
			continue
		}
		one := Worker{Pid: w.Pid, State: state, Age: time.Since(w.Started).Seconds(), Requests: w.Requests, Conns: w.Conns}
		if w.Pid != 0 {
			one.Memory = process.Resident(w.Pid)
		}
		p.Workers = append(p.Workers, one)
	}
}
