package admin

import (
	"fmt"
	"math"
	"strings"

	"gatehouse/internal/site"
)

// chart is the last hour as bars, in a drawing of chartWidth by 100 that is stretched to
// the room that there is. What is written stands beside it, in HTML.
type chart struct {
	Bars   []bar
	Lines  []float64 // across, from the top
	Labels []string  // at them, evenly spaced, from the top
	Empty  bool
}

const (
	chartWidth = 600
	barWidth   = 7
	step       = chartWidth / 60
)

// bar is one minute: a main part, and one that stands out on top of it or in it.
type bar struct {
	X, Y, Height float64
	Y2, Height2  float64
	Title        string
	Present      bool
}

// requestsChart draws how many requests there were in each minute, and the errors among
// them.
func requestsChart(minutes []site.Minute) *chart {
	c := &chart{Empty: len(minutes) == 0}
	most := 1.0
	for _, m := range minutes {
		most = max(most, float64(m.Requests))
	}
	top := ceiling(most)
	for n, m := range minutes {
		all, bad := float64(m.Requests)/top*100, float64(m.Errors)/top*100
		if m.Errors > 0 {
			bad = max(bad, 1.5) // to be seen
		}
		c.Bars = append(c.Bars, bar{
			X: float64(n * step), Y: 100 - all, Height: all, Y2: 100 - bad, Height2: bad, Present: m.Requests > 0,
			Title: fmt.Sprintf("%s: %s, %s", minutesAgo(len(minutes)-1-n), plural(m.Requests, "request"), plural(m.Errors, "error")),
		})
	}
	for _, at := range []int{0, 5, 10} {
		c.Lines = append(c.Lines, float64(at)*10)
		c.Labels = append(c.Labels, Count(top*float64(10-at)/10))
	}
	return c
}

// ceiling is the next number at or above v that is good to read, and even.
func ceiling(v float64) float64 {
	scale := math.Pow(10, math.Floor(math.Log10(max(v, 1))))
	for _, f := range []float64{1, 2, 4, 6, 8, 10} {
		if c := f * scale; c >= v && c >= 2 {
			return c
		}
	}
	return 10 * scale
}

// timesChart draws for each minute the span from the median to the 95th percentile of the
// times, on a scale on which each line is ten times the one below.
func timesChart(minutes []site.Minute) *chart {
	c := &chart{Empty: len(minutes) == 0}
	decades := 3 // from 1 ms on
	for _, m := range minutes {
		for decades < 6 && m.P95 > math.Pow(10, float64(decades-3)) {
			decades++
		}
	}
	at := func(seconds float64) float64 {
		share := (math.Log10(max(seconds, 0.001)) + 3) / float64(decades)
		return 100 - min(share, 1)*100
	}
	for n, m := range minutes {
		one := bar{X: float64(n * step), Present: m.Requests > 0}
		if one.Present {
			one.Y, one.Y2 = at(m.P95), at(m.P50)
			one.Height, one.Height2 = max(one.Y2-one.Y, 1), 2
			one.Y2 = min(one.Y2, 98)
			one.Title = fmt.Sprintf("%s: half of %s within %s, 95 %% within %s", minutesAgo(len(minutes)-1-n), plural(m.Requests, "request"), Seconds(m.P50), Seconds(m.P95))
		}
		c.Bars = append(c.Bars, one)
	}
	for k := decades; k >= 0; k-- {
		c.Lines = append(c.Lines, 100-100*float64(k)/float64(decades))
		text := Seconds(math.Pow(10, float64(k-3)))
		c.Labels = append(c.Labels, strings.Replace(text, ".0 ", " ", 1))
	}
	return c
}

func minutesAgo(n int) string {
	switch n {
	case 0:
		return "this minute"
	case 1:
		return "the minute before"
	}
	return fmt.Sprintf("%d minutes ago", n)
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Count(n) + " " + what + "s"
}

// spark is the outline of an hour's requests, for a path in a drawing of 60 by 16.
func spark(h site.Hour) string {
	if len(h.Minutes) == 0 {
		return ""
	}
	most := uint64(1)
	for _, m := range h.Minutes {
		most = max(most, m.Requests)
	}
	var b strings.Builder
	b.WriteString("M0 16")
	for n, m := range h.Minutes {
		y := 16 - 15*float64(m.Requests)/float64(most)
		fmt.Fprintf(&b, "L%d %.1fL%d %.1f", n, y, n+1, y)
	}
	b.WriteString("L60 16Z")
	return b.String()
}

// fill is how wide the full part of a meter of 60 is.
func fill(part, whole int) float64 { return 60 * float64(min(part, whole)) / float64(max(whole, 1)) }
