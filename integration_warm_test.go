package gatehouse_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/process"
)

// TestWarmFidelity runs every script of the corpus cold and warm, and holds the two to be
// the same to the last byte: what it prints, how it ends, what it writes. Warm it is run
// again and again, beside all the others, before its modules are known and after.
func TestWarmFidelity(t *testing.T) {
	b := newWarmBench(t)
	trials := warmCorpus(t, b.dir)
	if len(trials) < 400 {
		t.Fatalf("%d trials were found in testdata/warm", len(trials))
	}
	only := os.Getenv("WARM_TRIALS") // the beginning of their names, for who works on one
	trials = slices.DeleteFunc(trials, func(tr *warmTrial) bool {
		_, ok := installed(tr.needs...)
		return !ok || !strings.HasPrefix(tr.name, only)
	})
	cold := make([]outcome, len(trials))
	everyone(trials, func(n int, tr *warmTrial) {
		if cold[n] = b.run(t, b.cold, tr); !strings.Contains(cold[n].text, tr.want) {
			t.Errorf("%s: there is no %q in\n%s", tr.name, tr.want, clip(cold[n].text))
		}
	})
	seen := newSightings()
	warm := b.warm.With(process.WarmOptions{Mode: process.WarmOn})
	rounds, _ := strconv.Atoi(os.Getenv("WARM_ROUNDS")) // for more than the usual
	for _, phase := range []string{"fresh", "learnt"} {
		everyone(trials, func(n int, tr *warmTrial) {
			for range max(rounds, 1) {
				got := b.run(t, warm, tr)
				if !strings.HasPrefix(got.how, "warm: ") && tr.how == "warm" {
					t.Errorf("%s, %s: it was %q", phase, tr.name, got.how)
				}
				if tr.distinct {
					seen.check(t, tr, got)
				} else if got.text != cold[n].text {
					t.Errorf("%s, %s (%s): %s", phase, tr.name, got.how, firstDifference(cold[n].text, got.text))
				}
			}
		})
		slices.Reverse(trials)
		slices.Reverse(cold)
	}
}

// TestWarmMasks runs every script cold twice: a mask that is missing, and only that, is
// seen as a difference.
func TestWarmMasks(t *testing.T) {
	if os.Getenv("WARM_MASKS") == "" {
		t.Skip("the masks depend on the corpus alone: WARM_MASKS=1 tries them")
	}
	b := newWarmBench(t)
	everyone(warmCorpus(t, b.dir), func(n int, tr *warmTrial) {
		if _, ok := installed(tr.needs...); !ok || !strings.HasPrefix(tr.name, os.Getenv("WARM_TRIALS")) {
			return
		}
		one, two := b.run(t, b.cold, tr), b.run(t, b.cold, tr)
		if one.text != two.text && !tr.distinct {
			t.Errorf("%s: %s", tr.name, firstDifference(one.text, two.text))
		}
		if strings.Contains(one.text, "no response") {
			t.Errorf("%s: %s", tr.name, clip(one.text))
		}
	})
}

// everyone calls run for each trial, some at a time.
func everyone(trials []*warmTrial, run func(n int, tr *warmTrial)) {
	turns := make(chan struct{}, 6)
	var wg sync.WaitGroup
	for n, tr := range trials {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			run(n, tr)
		})
	}
	wg.Wait()
}

// sightings are the lines of output that no run may print again.
type sightings struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newSightings() *sightings { return &sightings{seen: make(map[string]bool)} }

func (s *sightings) check(t *testing.T, tr *warmTrial, got outcome) {
	_, body, _ := strings.Cut(got.stdout, "\n\n")
	if !strings.HasPrefix(got.text, "exit status 0") || strings.Count(body, "\n") < 3 {
		t.Errorf("%s: %s", tr.name, got.text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(body) {
		key := fmt.Sprint(tr.script, " ", line)
		if s.seen[key] {
			t.Errorf("%s: two runs printed %q", tr.name, line)
		}
		s.seen[key] = true
	}
}
