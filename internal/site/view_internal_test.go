package site

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
)

// Tracked is what counts, alone.
func Tracked(next cgi.Responder) cgi.Responder { return newTraffic().wrap(next) }

func TestKindsAreCounted(t *testing.T) {
	if n := len(cgi.Kinds()); n != numKinds {
		t.Errorf("there are %d kinds, %d are counted", n, numKinds)
	}
}

// The hour goes on by the time that passes, whatever becomes of the clock.
func TestHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTraffic()
		add := func(took time.Duration, status int) {
			tr.nowhere.counts().add(tr.minuteOf(time.Now()), took, status, &cgi.Account{}, 0)
		}
		hour := func() Hour {
			now := time.Now()
			s := newSpan(tr, tr.minuteOf(now), now)
			s.add(tr.nowhere)
			return s.hour(true)
		}
		if h := hour(); h.Requests != 0 || h.Minutes != nil || h.P50 != 0 {
			t.Errorf("at the start: %+v", h)
		}
		add(time.Millisecond, 200)
		add(3*time.Second, 500)
		time.Sleep(30 * time.Second)
		if h := hour(); h.Requests != 2 || h.Errors != 1 || h.Rate != 2.0/30 || h.Minutes[59].Requests != 2 {
			t.Errorf("after 30 s: %+v", h)
		}
		time.Sleep(45 * time.Second)
		add(time.Millisecond, 200)
		if h := hour(); h.Requests != 3 || h.Rate != 3.0/75 || h.Minutes[58].Requests != 2 || h.Minutes[58].Errors != 1 || h.Minutes[59].Requests != 1 {
			t.Errorf("in the second minute: %+v", h)
		}
		time.Sleep(58 * time.Minute)
		if h := hour(); h.Requests != 3 || h.Minutes[0].Requests != 2 || h.Minutes[1].Requests != 1 || h.Rate != 0 {
			t.Errorf("an hour later: %+v", h)
		}
		time.Sleep(time.Minute)
		if h := hour(); h.Requests != 1 || h.Errors != 0 {
			t.Errorf("a minute after that: %+v", h)
		}
		time.Sleep(time.Minute)
		add(time.Millisecond, 200) // in the slot of the second minute
		if h := hour(); h.Requests != 1 || h.Minutes[59].Requests != 1 {
			t.Errorf("when all is over: %+v", h)
		}
	})
}

func TestQuantile(t *testing.T) {
	for _, tt := range []struct {
		name string
		took []time.Duration
		at   float64
		want [2]float64
	}{
		{"none", nil, .5, [2]float64{0, 0}},
		{"one", []time.Duration{3 * time.Millisecond}, .95, [2]float64{.002, .005}},
		{"most are quick", []time.Duration{time.Microsecond, time.Microsecond, time.Microsecond, time.Second}, .5, [2]float64{0, .001}},
		{"the slowest", []time.Duration{time.Microsecond, time.Microsecond, time.Microsecond, time.Second}, .99, [2]float64{.5, 1}},
		{"beyond the last", []time.Duration{time.Hour}, .5, [2]float64{300, 600}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m minute
			for _, d := range tt.took {
				m.took[bucketOf(d)]++
			}
			if got := m.quantile(tt.at); got < tt.want[0] || got > tt.want[1] {
				t.Errorf("got %v, want one from %v", got, tt.want)
			}
		})
	}
}

// The latest are kept, and are told of first.
func TestFailuresAreBounded(t *testing.T) {
	var f failures
	for n := range maxFailures + 3 {
		one := &tracked{account: &cgi.Account{Failure: &cgi.Error{Kind: cgi.Timeout, Stderr: strings.Repeat("x", 9000)}}, id: strconv.Itoa(n)}
		f.add(one, &tally{}, time.Now(), 504)
		if list := f.latest(); len(list) != min(n+1, maxFailures) || list[0].Request != strconv.Itoa(n) || len(list[0].Stderr) > maxShown+len("…") {
			t.Fatalf("after %d there are %d, the first is %.100v", n+1, len(list), list[0])
		}
	}
	if list := f.latest(); list[maxFailures-1].Request != "3" {
		t.Errorf("the last is %q, want the fourth of all", list[maxFailures-1].Request)
	}
}
