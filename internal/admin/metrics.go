package admin

import (
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gatehouse/internal/site"
)

var pid = os.Getpid()

// registry has everything that /metrics tells. What is counted is counted elsewhere, so
// what a configuration does not name any more is not told of any more.
func (s *Server) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		(*metrics)(s),
	)
	return r
}

// metrics is the Server as a collector.
type metrics Server

// kind is a metric without its values.
type kind struct {
	desc *prometheus.Desc
	is   prometheus.ValueType
}

func counter(name, help string, labels ...string) kind {
	return kind{prometheus.NewDesc("gatehouse_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) kind {
	return kind{prometheus.NewDesc("gatehouse_"+name, help, labels, nil), prometheus.GaugeValue}
}

var (
	buildInfo = gauge("build_info", "Which program this is; always 1.", "software", "goversion")
	isReady   = gauge("ready", "Whether /readyz says so.")

	requests   = counter("requests_total", "Requests that are over, by the class of their status.", "site", "route", "code")
	running    = gauge("requests_running", "Requests that run or wait.", "site", "route")
	sent       = counter("response_bytes_total", "Bytes of responses' bodies that were sent.", "site", "route")
	failed     = counter("request_failures_total", "Requests that went wrong, by what it was.", "site", "route", "kind")
	cpu        = counter("program_cpu_seconds_total", "Processor time of programs that were run for one request each.", "site", "route")
	starts     = counter("program_starts_total", "Programs that were started for one request each, where they may be warm.", "site", "route", "how")
	badExits   = counter("program_bad_exits_total", "Programs that ended with another status than 0, or by a signal.", "site", "route")
	places     = gauge("program_places", "Programs that may run at a time.", "site", "route")
	placesUsed = gauge("program_places_used", "Programs that run, or have not ended yet.", "site", "route")
	queued     = gauge("program_queue_length", "Requests that wait for a place.", "site", "route")

	workers     = gauge("pool_workers", "Processes of an application, by what they do.", "site", "route", "role", "state")
	workersMost = gauge("pool_workers_max", "Processes that an application may have at work.", "site", "route", "role")
	workerStart = counter("pool_worker_starts_total", "Processes of an application that were started.", "site", "route", "role")
	workerFail  = counter("pool_worker_failures_total", "Processes of an application that did not start, or died at once.", "site", "route", "role")
	poolQueue   = gauge("pool_queue_length", "Requests that wait for an application.", "site", "route", "role")
	crashLoop   = gauge("pool_crash_loop", "1 while processes are not started, because they do not stay alive.", "site", "route", "role")

	helpers     = gauge("warm_helpers", "Interpreters that run warm scripts, by whether they are ready.", "interpreter", "ready")
	generations = counter("warm_helper_generations_total", "Interpreters that were started for warm scripts.", "interpreter")
	warmSpares  = gauge("warm_spares", "Processes that wait for a script.", "interpreter")

	connections    = gauge("connections", "Connections that are open.")
	connectionsMax = gauge("connections_max", "Connections that may be open.")
	refused        = counter("refused_requests_total", "Requests that the listeners refused, as no proper HTTP.")
	linesLost      = counter("log_lines_lost_total", "Lines that the logs did not take in time.")
)

// Describe implements prometheus.Collector: which series there are depends on the
// configuration.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	s := (*Server)(m)
	v := s.look()
	put := func(k kind, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(k.desc, k.is, value, labels...)
	}
	put(buildInfo, 1, s.options.Software, runtime.Version())
	put(isReady, truth(v.Ready))
	put(connections, float64(v.Conns))
	put(connectionsMax, float64(v.MaxConns))
	put(refused, float64(v.Refused))
	put(linesLost, float64(v.LinesLost))
	for _, c := range s.host.Counts() {
		c.Durations.Collect(to)
		c.Queued.Collect(to)
		putRoute(put, &c)
	}
	putPools(put, v.Pools)
	putHelpers(put, v.Helpers)
}

type putter func(k kind, value float64, labels ...string)

func putRoute(put putter, c *site.Counts) {
	for k, n := range c.Classes {
		if n > 0 {
			put(requests, float64(n), c.Site, c.Route, [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}[k])
		}
	}
	put(running, float64(c.Running), c.Site, c.Route)
	put(sent, float64(c.Bytes), c.Site, c.Route)
	put(cpu, c.CPU.Seconds(), c.Site, c.Route)
	put(badExits, float64(c.BadExits), c.Site, c.Route)
	put(starts, float64(c.Warm), c.Site, c.Route, "warm")
	put(starts, float64(c.Cold), c.Site, c.Route, "cold")
	for what, n := range c.Failures {
		put(failed, float64(n), c.Site, c.Route, what)
	}
	if l := c.Limit; l != nil {
		put(places, float64(l.Most), c.Site, c.Route)
		put(placesUsed, float64(l.Running), c.Site, c.Route)
		put(queued, float64(l.Waiting), c.Site, c.Route)
	}
}

// putPools adds up those of one route: after a reload there may be two for a while.
func putPools(put putter, pools []site.Pool) {
	type key [3]string
	type sum struct {
		most, starts, failed, waiting int
		loop                          bool
		states                        map[string]int
	}
	sums := make(map[key]*sum)
	for _, p := range pools {
		k := key{p.Site, p.Route, p.Role}
		if sums[k] == nil {
			sums[k] = &sum{states: map[string]int{}}
		}
		n := sums[k]
		n.most += p.Most
		n.starts += p.Started
		n.failed += p.Failed
		n.waiting += p.Waiting
		n.loop = n.loop || p.Pause > 0
		for state, count := range p.States {
			n.states[state] += count
		}
	}
	for k, n := range sums {
		put(poolQueue, float64(n.waiting), k[:]...)
		if n.most == 0 { // an address
			continue
		}
		put(workersMost, float64(n.most), k[:]...)
		put(workerStart, float64(n.starts), k[:]...)
		put(workerFail, float64(n.failed), k[:]...)
		put(crashLoop, truth(n.loop), k[:]...)
		for _, state := range []string{"starting", "ready", "busy", "ending", "ended"} {
			put(workers, float64(n.states[state]), append(slices.Clone(k[:]), state)...)
		}
	}
}

// putHelpers adds up those of one interpreter: there is one for each set of variables.
func putHelpers(put putter, list []site.Helper) {
	type sum struct{ ready, not, generations, spares int }
	sums := make(map[string]sum)
	for _, h := range list {
		n := sums[h.How]
		if h.Ready {
			n.ready++
		} else {
			n.not++
		}
		n.generations += h.Generation
		n.spares += h.Spares
		sums[h.How] = n
	}
	for _, how := range slices.Sorted(maps.Keys(sums)) {
		n := sums[how]
		put(helpers, float64(n.ready), how, "true")
		put(helpers, float64(n.not), how, "false")
		put(generations, float64(n.generations), how)
		put(warmSpares, float64(n.spares), how)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
