package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/cgi"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
	"gatehouse/process"
)

// A sample is what one run has shown of itself, as lines of text, with what it took.
type sample struct {
	text kept
	took time.Duration
	how  string // cgi.Account.How
	exit bool   // a process has answered, and ended
}

// kept is a text of any length, of which the first part can be shown.
type kept struct {
	first bytes.Buffer
	all   [sha256.Size]byte
	size  int64
}

const keepAtMost = 4 << 20

// compareWarm runs the request cold and warm, and tells what differs. The error is
// errReported unless nothing does.
func compareWarm(c *cli.Context, target string, t *site.Trial) error {
	runs := c.Int("runs")
	if runs < 2 {
		return misused("--runs %d: 2 are the least that can be compared", runs)
	}
	var cold, warm []sample
	err := series(c, target, config.WarmOff, func(ctx context.Context, h *site.Host) (err error) {
		cold, err = sampled(ctx, h, t, runs)
		return err
	})
	if err == nil {
		err = series(c, target, config.WarmOn, func(ctx context.Context, h *site.Host) (err error) {
			if warm, err = sampled(ctx, h, t, 1); err != nil || !isWarm(&warm[0]) {
				return err
			}
			awaitLearnt(ctx, h)
			more, err := sampled(ctx, h, t, runs)
			warm = append(warm, more...)
			return err
		})
	}
	if err != nil {
		return err
	}
	return verdict(c.App.Writer, cold, warm)
}

// series has a host with all its programs started one way.
func series(c *cli.Context, target string, mode config.WarmMode, do func(context.Context, *site.Host) error) error {
	return withPrepared(c, "", target, func(s *served) { s.warm(mode) }, func(_ *served, h *site.Host) error { return do(c.Context, h) })
}

// longSeries is for how long runs are begun; there are two of them at least.
const longSeries = 20 * time.Second

func sampled(ctx context.Context, h *site.Host, t *site.Trial, runs int) (all []sample, err error) {
	for begun := time.Now(); len(all) < runs && (len(all) < 2 || time.Since(begun) < longSeries); {
		s, err := one(ctx, h, t)
		if ctx.Err() != nil {
			err = errors.New("interrupted; the program was ended")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, *s)
	}
	return all, nil
}

// awaitLearnt waits until the helper of a first run has made way for one that has the
// modules loaded which that run was seen to load: about a second, where there are any.
// What a run reports is on its way for a moment when it has ended.
func awaitLearnt(ctx context.Context, h *site.Host) {
	const look, moment = 20 * time.Millisecond, 10 // looks
	quiet := 0
	for begun := time.Now(); quiet < moment && time.Since(begun) < helperTime && ctx.Err() == nil; time.Sleep(look) {
		quiet++
		if slices.ContainsFunc(h.Helpers(), func(s process.HelperStatus) bool { return s.Due || !s.Ready && s.Failure == "" }) {
			quiet = 0
		}
	}
}

// one runs the program once.
func one(ctx context.Context, h *site.Host, t *site.Trial) (*sample, error) {
	sum := sha256.New()
	s := &sample{}
	out := io.MultiWriter(sum, writeFirst{&s.text})
	var errs lockedText
	trial := *t
	trial.Stderr = &errs
	account, took, err := h.Try(ctx, &trial, func(resp *cgi.Response) error {
		if !resp.Raw {
			fmt.Fprintf(out, "HTTP/1.1 %d %s\n", resp.Status, reason(resp))
			for _, f := range resp.Header {
				fmt.Fprintf(out, "%s: %s\n", f.Name, f.Value)
			}
			fmt.Fprintln(out)
		}
		if t.Method == http.MethodHead && !resp.Raw { // A85
			_, err := io.Copy(io.Discard, resp.Body)
			return err
		}
		_, err := io.Copy(out, resp.Body)
		return err
	})
	if e := refusal(err); e != nil {
		fmt.Fprintf(out, "gatehouse: %d: %s\n%q\n", e.StatusCode(), e.Reason, e.Output)
	} else if err != nil {
		return nil, err
	}
	for line := range strings.Lines(errs.String()) {
		fmt.Fprintf(out, "\nstderr: %s", line)
	}
	if account != nil && account.Pid != 0 {
		s.how, s.exit = account.How, account.HaveExit
		fmt.Fprintf(out, "\n%s\n", ending(account))
	}
	sum.Sum(s.text.all[:0])
	s.took = took
	return s, nil
}

// writeFirst keeps the first part of what is written.
type writeFirst struct{ k *kept }

func (w writeFirst) Write(b []byte) (int, error) {
	w.k.size += int64(len(b))
	if room := keepAtMost - w.k.first.Len(); room > 0 {
		w.k.first.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// lockedText is written to while others may still read it: a program's children outlive
// its response.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < keepAtMost {
		l.b.Write(b)
	}
	return len(b), nil
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func isWarm(s *sample) bool { return strings.HasPrefix(s.how, "warm: ") }

// verdict writes what the comparison has shown.
func verdict(w io.Writer, cold, warm []sample) error {
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%-8s %s\n", key, fmt.Sprintf(format, args...)) }
	if !cold[0].exit && cold[0].how == "" && warm[0].how == "" {
		line("output", "no program was run; there is nothing to compare")
		return errReported
	}
	if s := slices.IndexFunc(warm, func(s sample) bool { return !isWarm(&s) }); s >= 0 {
		line("output", "not compared: the script does not run warm")
		line("because", "%s", strings.TrimPrefix(warm[s].how, "cold: "))
		line("cold", "%s", timing(cold))
		return errReported
	}
	c := compare(cold, warm)
	switch {
	case c.equal && c.varying == 0:
		line("output", "equal, %s: status, header fields, body, standard error and exit status", count(int(cold[0].text.size), "byte"))
	case c.equal:
		line("output", "equal, but for %s that cold runs do not agree on either", count(c.varying, "line"))
	case c.incomparable:
		line("output", "not compared: cold runs do not agree on it either, not even on how many lines there are")
	default:
		line("output", "different; - is cold, + is warm")
		fmt.Fprint(w, c.diff)
	}
	line("cold", "%s", timing(cold))
	line("warm", "%s, by %s", timing(warm[1:]), strings.TrimPrefix(warm[0].how, "warm: "))
	line("gain", "%.1f times as fast", float64(median(cold))/float64(max(median(warm[1:]), 1)))
	if !c.equal {
		return errReported
	}
	return nil
}

func timing(all []sample) string {
	return fmt.Sprintf("%s, the median of %s", round(median(all)), count(len(all), "run"))
}

func median(all []sample) time.Duration {
	var took []time.Duration
	for _, s := range all {
		took = append(took, s.took)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// comparison is what cold and warm runs have in common.
type comparison struct {
	equal        bool
	incomparable bool   // cold runs differ in the number of their lines
	varying      int    // lines in which cold runs differ
	diff         string // of a cold run and the first warm one that is not like it
}

// compare compares each warm run with the cold ones. A line in which two cold runs differ
// says nothing.
func compare(cold, warm []sample) (c comparison) {
	first := lines(&cold[0])
	varies := make([]bool, len(first))
	for n := range cold {
		if cold[n].text.all == cold[0].text.all {
			continue
		}
		other := lines(&cold[n])
		if len(other) != len(first) {
			return comparison{incomparable: true}
		}
		for i := range other {
			if other[i] != first[i] && !varies[i] {
				varies[i] = true
				c.varying++
			}
		}
	}
	for n := range warm {
		if warm[n].text.all == cold[0].text.all {
			continue
		}
		other := lines(&warm[n])
		masked := slices.Clone(other)
		for i := range masked {
			if i < len(first) && varies[i] && len(other) == len(first) {
				masked[i] = first[i]
			}
		}
		if c.varying == 0 || !slices.Equal(masked, first) {
			c.diff = difference(first, masked)
			return c
		}
	}
	c.equal = true
	return c
}

func lines(s *sample) []string {
	all := strings.Split(s.text.first.String(), "\n")
	if s.text.size > keepAtMost {
		all = append(all, fmt.Sprintf("(the rest of %d bytes, all with SHA-256 %x)", s.text.size, s.text.all))
	}
	return all
}
