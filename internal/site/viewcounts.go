package site

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/cgi"
)

// Counts are the numbers of one route since the first request for it, which only grow.
type Counts struct {
	Site, Route       string
	Running           int
	Durations, Queued prometheus.Collector // a histogram each, with the labels "site" and "route"
	Classes           [6]uint64            // requests by the first digit of their status; 0: they had none
	Bytes             uint64
	CPU               time.Duration
	Warm, Cold        uint64
	BadExits          uint64
	Failures          map[string]uint64 // by kind; those that there were
	Limit             *Limit            // nil where there is none
}

// Counts are those of the routes that were asked for and still are configured, and of
// requests that no site answers, which have no names.
func (h *Host) Counts() (list []Counts) {
	limits := make(map[place]*Limit)
	for _, s := range h.inForce().sites.all {
		for _, r := range s.routes.all {
			if r.limiter != nil {
				limits[r.tally.place] = r.limiter.view()
			}
		}
	}
	for _, t := range h.traffic.all() {
		if c := t.counted.Load(); c != nil {
			one := c.snapshot(t)
			one.Limit = limits[t.place]
			list = append(list, one)
		}
	}
	return list
}

func (c *counts) snapshot(t *tally) Counts {
	one := Counts{
		Site: t.site, Route: t.route, Running: int(t.running.Load()), Durations: c.durations, Queued: c.queued,
		Bytes: c.bytes.Load(), CPU: time.Duration(c.cpu.Load()), Warm: c.warm.Load(), Cold: c.cold.Load(),
		BadExits: c.failed.Load(), Failures: make(map[string]uint64),
	}
	for k := range c.classes {
		one.Classes[k] = c.classes[k].Load()
	}
	for k := range c.failures {
		if n := c.failures[k].Load(); n > 0 {
			one.Failures[cgi.Kind(k).String()] = n
		}
	}
	return one
}
