package site

import "time"

// recent are sums over tallies.
type recent struct {
	running        int64
	requests, ever uint64 // in the last hour; since the start
}

func (r *recent) add(o recent) {
	r.running += o.running
	r.requests += o.requests
	r.ever += o.ever
}

// span adds up the last hour of several tallies.
type span struct {
	at, first int64   // the minute that runs, and the first that is counted
	part      float64 // of the minute that runs, in seconds
	sum       [minutes]minute
}

func newSpan(tr *traffic, at int64, now time.Time) *span {
	return &span{at: at, first: max(at-minutes+1, 1), part: (now.Sub(tr.begun) % time.Minute).Seconds()}
}

// add returns what the tally has alone.
func (s *span) add(t *tally) recent {
	n := recent{running: t.running.Load()}
	c := t.counted.Load()
	if c == nil {
		return n
	}
	for k := range c.classes {
		n.ever += c.classes[k].Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.hour {
		m := &c.hour[k]
		if m.at < s.first || m.at > s.at {
			continue
		}
		n.requests += uint64(m.requests)
		s.sum[minutes-1-(s.at-m.at)].plus(m)
	}
	return n
}

func (m *minute) plus(o *minute) {
	m.requests += o.requests
	m.errors += o.errors
	for k, n := range o.took {
		m.took[k] += n
	}
}

// hour is the result, with its minutes where there are any requests and they are asked for.
func (s *span) hour(minutely bool) Hour {
	var all minute
	var h Hour
	for k := range s.sum {
		m := &s.sum[k]
		all.plus(m)
		h.Requests += uint64(m.requests)
		h.Errors += uint64(m.errors)
	}
	if h.Requests == 0 {
		return h
	}
	h.P50, h.P95, h.P99 = all.quantile(.5), all.quantile(.95), all.quantile(.99)
	last, before, over := &s.sum[minutes-1], &s.sum[minutes-2], s.part
	if s.at > 1 {
		over += 60
	}
	h.Rate = float64(last.requests+before.requests) / max(over, 1)
	if minutely {
		for k := range s.sum {
			m := &s.sum[k]
			h.Minutes = append(h.Minutes, Minute{uint64(m.requests), uint64(m.errors), m.quantile(.5), m.quantile(.95)})
		}
	}
	return h
}

// quantile is the time in seconds within which that share of the requests was answered,
// as well as the buckets tell.
func (m *minute) quantile(share float64) float64 {
	total := uint64(0)
	for _, n := range m.took {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	rank, below := share*float64(total), 0.0
	for k, n := range m.took {
		if n == 0 {
			continue
		}
		if next := below + float64(n); next >= rank || k == len(m.took)-1 {
			low, high := 0.0, 2*tookBounds[len(tookBounds)-1]
			if k > 0 {
				low = tookBounds[k-1]
			}
			if k < len(tookBounds) {
				high = tookBounds[k]
			}
			return low + (high-low)*min(1, (rank-below)/float64(n))
		}
		below += float64(n)
	}
	return tookBounds[len(tookBounds)-1]
}
