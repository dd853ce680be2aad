package site

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
)

// fake answers when it is told to.
type fake struct {
	mu      sync.Mutex
	order   []string
	running int
	most    int
	answer  func(id string) (*cgi.Response, error)
}

func (f *fake) Respond(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
	f.mu.Lock()
	f.order = append(f.order, req.ID)
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	resp, err := f.answer(req.ID)
	if err != nil {
		f.ended()
		return nil, err
	}
	resp.OnClose(f.ended)
	return resp, nil
}

func (f *fake) ended() {
	f.mu.Lock()
	f.running--
	f.mu.Unlock()
}

func empty() *cgi.Response {
	return &cgi.Response{Status: 200, Body: io.NopCloser(strings.NewReader(""))}
}

func ask(ctx context.Context, l *limiter, id string) (*cgi.Response, *cgi.Account, error) {
	req := &cgi.Request{ID: id, Account: new(cgi.Account)}
	resp, err := l.Respond(ctx, req)
	return resp, req.Account, err
}

// So many at once, the others in the order in which they came, and all get their
// turn (A97).
func TestLimiterOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(string) (*cgi.Response, error) { return empty(), nil }}
		l := newLimiter(f, "route /x/", "processes", newTurns(2, 100, 0))
		var wg sync.WaitGroup
		queued := map[string]time.Duration{}
		var mu sync.Mutex
		want := ""
		for n := range 10 {
			id := string(rune('a' + n))
			want += id
			wg.Go(func() {
				resp, account, err := ask(t.Context(), l, id)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				mu.Lock()
				queued[id] = account.Queued
				mu.Unlock()
				_ = resp.Close()
			})
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if got := strings.Join(f.order, ""); got != want {
			t.Errorf("order %s, want %s", got, want)
		}
		if f.most != 2 {
			t.Errorf("%d ran at once, want 2", f.most)
		}
		if queued["a"] != 0 || queued["j"] < 3*time.Second || queued["j"] > 5*time.Second {
			t.Errorf("queued %v: the first not at all, the last about 4 s", queued)
		}
	})
}

func isBusy(err error) bool {
	var e *cgi.Error
	return errors.As(err, &e) && e.Kind == cgi.Busy && e.RetryAfter > 0 && e.StatusCode() == 503
}

// A97: a full queue is told at once, a late turn when the time is over.
func TestLimiterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(string) (*cgi.Response, error) { return empty(), nil }}
		l := newLimiter(f, "route /x/", "processes", newTurns(1, 2, 10*time.Second))
		first, _, _ := ask(t.Context(), l, "first")
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				begun := time.Now()
				_, account, err := ask(t.Context(), l, "late")
				if took := time.Since(begun); !isBusy(err) || took != 10*time.Second || account.Queued != took {
					t.Errorf("late: %v after %v, account %v", err, took, account.Queued)
				}
			})
		}
		synctest.Wait()
		begun := time.Now()
		if _, _, err := ask(t.Context(), l, "over"); !isBusy(err) || time.Since(begun) != 0 {
			t.Errorf("queue full: %v after %v, want busy at once", err, time.Since(begun))
		}
		wg.Wait()
		_ = first.Close()
		next, _, err := ask(t.Context(), l, "next") // the queue has room again
		if err != nil {
			t.Fatal(err)
		}
		_ = next.Close()
	})
}

// A client that goes while it waits makes room, and nothing is started for it.
func TestLimiterClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(string) (*cgi.Response, error) { return empty(), nil }}
		l := newLimiter(f, "route /x/", "processes", newTurns(1, 1, 0))
		first, _, _ := ask(t.Context(), l, "first")
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, _, err := ask(ctx, l, "gone")
			gone <- err
		}()
		synctest.Wait()
		leave()
		if e := cgi.AsError(<-gone); e.Kind != cgi.ClientGone {
			t.Errorf("kind %v, want %v", e.Kind, cgi.ClientGone)
		}
		_ = first.Close()
		resp, _, err := ask(t.Context(), l, "next")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Close()
		if got := strings.Join(f.order, " "); got != "first next" {
			t.Errorf("answered %q", got)
		}
	})
}

// E67: who lives on after his response, or after there was none, holds his place.
func TestLimiterWaitsForTheDead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(gone chan struct{}) (*cgi.Response, error)
	}{
		{"response", func(gone chan struct{}) (*cgi.Response, error) {
			resp := empty()
			resp.Gone = gone
			return resp, nil
		}},
		{"error", func(gone chan struct{}) (*cgi.Response, error) {
			return nil, &cgi.Error{Kind: cgi.Timeout, Reason: "late", Gone: gone}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := make(chan struct{})
				f := &fake{answer: func(id string) (*cgi.Response, error) {
					if id == "undead" {
						return tt.answer(gone)
					}
					return empty(), nil
				}}
				l := newLimiter(f, "route /x/", "processes", newTurns(1, 0, 0))
				if resp, _, err := ask(t.Context(), l, "undead"); err == nil {
					_ = resp.Close()
				}
				if _, _, err := ask(t.Context(), l, "next"); !isBusy(err) {
					t.Errorf("while it lives: %v, want busy", err)
				}
				close(gone)
				synctest.Wait()
				resp, _, err := ask(t.Context(), l, "next")
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Close()
			})
		})
	}
}

// A failure without a process gives the place back.
func TestLimiterFailure(t *testing.T) {
	f := &fake{answer: func(string) (*cgi.Response, error) { return nil, errors.New("no") }}
	l := newLimiter(f, "route /x/", "processes", newTurns(1, 0, 0))
	for range 3 {
		if _, _, err := ask(t.Context(), l, "x"); err == nil || isBusy(err) {
			t.Errorf("error %v, want the failure's own", err)
		}
	}
}
