package site

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse/cgi"
)

// traffic is what a Host answers and has answered. It outlives configurations.
type traffic struct {
	begun    time.Time
	running  runners
	failures failures
	refused  atomic.Uint64 // by the listeners: they never became requests
	nowhere  *tally        // of requests that no site answers

	mu      sync.Mutex
	tallies map[place]*tally // of the configuration in force
}

// place is what is counted by: as the configuration names it, never by a path that a
// client chose.
type place struct{ site, route string }

func newTraffic() *traffic {
	return &traffic{begun: time.Now(), nowhere: &tally{}}
}

// filesRoute is the name of what a site answers without a route.
const filesRoute = "(files)"

// tally counts the requests of one route, or of what a site answers without one.
type tally struct {
	place
	running atomic.Int64
	counted atomic.Pointer[counts] // nil before the first request: many sites are never asked
}

// counts are the numbers of a tally. They only grow, but for those of the last hour.
type counts struct {
	durations, queued prometheus.Histogram

	classes            [6]atomic.Uint64 // by the first digit of the status; 0: it had none
	bytes, cpu         atomic.Uint64    // sent; nanoseconds of its programs
	warm, cold, failed atomic.Uint64    // programs: how they were started, and those that ended badly
	failures           [numKinds]atomic.Uint64

	mu   sync.Mutex
	hour [minutes]minute
}

// numKinds is len(cgi.Kinds()), which a test holds.
const numKinds = int(cgi.Ended) + 1

const minutes = 60

// minute is what was answered in one minute since the start, whose number at-1 is.
type minute struct {
	at               int64
	requests, errors uint32
	took             [len(tookBounds) + 1]uint32
}

// tookBounds are the upper ends, in seconds, of the buckets in which the last hour's
// times are kept. The last bucket has none.
var tookBounds = [...]float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300}

// durationBuckets are for readers that do not know native histograms.
var durationBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

func (t *tally) newCounts() *counts {
	labels := prometheus.Labels{"site": t.site, "route": t.route}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, ConstLabels: labels, Buckets: durationBuckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		})
	}
	return &counts{
		durations: histogram("gatehouse_request_duration_seconds", "Time from a request's arrival until its response had been sent."),
		queued:    histogram("gatehouse_request_queue_seconds", "Time that requests had to wait for a turn or a connection, of those that had to."),
	}
}

func (t *tally) counts() *counts {
	if c := t.counted.Load(); c != nil {
		return c
	}
	t.counted.CompareAndSwap(nil, t.newCounts())
	return t.counted.Load()
}

// minuteOf numbers the minutes from 1. The clock may be set meanwhile: what is counted
// by is the time that has passed.
func (tr *traffic) minuteOf(now time.Time) int64 { return int64(now.Sub(tr.begun)/time.Minute) + 1 }

// add counts a request that is over.
func (c *counts) add(at int64, took time.Duration, status int, a *cgi.Account, sent int64) {
	c.durations.Observe(took.Seconds())
	if a.Queued > 0 {
		c.queued.Observe(a.Queued.Seconds())
	}
	c.classes[class(status)].Add(1)
	c.bytes.Add(uint64(max(sent, 0)))
	if a.HaveExit {
		c.cpu.Add(uint64(a.Exit.User + a.Exit.System))
		if !a.Exit.Success() {
			c.failed.Add(1)
		}
	}
	switch {
	case a.How == "":
	case len(a.How) > 4 && a.How[:4] == "warm":
		c.warm.Add(1)
	default:
		c.cold.Add(1)
	}
	if f := a.Failure; f != nil && f.Kind >= 0 && int(f.Kind) < numKinds {
		c.failures[f.Kind].Add(1)
	}
	c.mu.Lock()
	m := &c.hour[at%minutes]
	if m.at != at {
		*m = minute{at: at}
	}
	m.requests++
	if isError(status, a.Failure) {
		m.errors++
	}
	m.took[bucketOf(took)]++
	c.mu.Unlock()
}

func class(status int) int {
	if n := status / 100; n > 0 && n <= 5 {
		return n
	}
	return 0
}

func bucketOf(took time.Duration) int {
	s := took.Seconds()
	for n, bound := range tookBounds {
		if s <= bound {
			return n
		}
	}
	return len(tookBounds)
}

// isError reports whether the host or a program has failed, rather than the client.
func isError(status int, f *cgi.Error) bool {
	return status >= http.StatusInternalServerError || f != nil && f.StatusCode() >= http.StatusInternalServerError
}

// tallyOf is the tally of a place; where the configuration before had one it goes on.
func (a *assembly) tallyOf(site, route string) *tally {
	at := place{site, route}
	if t := a.tallies[at]; t != nil {
		return t
	}
	t := a.traffic.known(at)
	if t == nil {
		t = &tally{place: at}
	}
	a.tallies[at] = t
	return t
}

func (tr *traffic) known(at place) *tally {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.tallies[at]
}

// keep forgets what the configuration does not name any more.
func (tr *traffic) keep(a *assembly) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.tallies = a.tallies
}

// all are the tallies of the configuration in force, and that of no site.
func (tr *traffic) all() []*tally {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	list := []*tally{tr.nowhere}
	for _, t := range tr.tallies {
		list = append(list, t)
	}
	return list
}

// ending gives the requests that the administrator ends an error that says so.
func ending(next cgi.Responder) cgi.Responder {
	return cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		resp, err := next.Respond(ctx, req)
		if err != nil && errors.Is(context.Cause(ctx), cgi.ErrEnded) {
			return nil, endedError(cgi.AsError(err))
		}
		return resp, err
	})
}

func endedError(why *cgi.Error) *cgi.Error {
	e := *why
	e.Kind, e.Status, e.Reason = cgi.Ended, 0, cgi.ErrEnded.Error()
	return &e
}
