package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// Those who ask while a reload runs wait for it and share the next one, and after the end
// there are no more.
func TestReloadsShared(t *testing.T) {
	cfg := config.Default()
	cfg.Sites = []config.Site{cfg.NewSite()}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	h, err := site.New(cfg, site.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		goOn := make(chan struct{})
		failed := errors.New("on purpose")
		s := newService(h, log, func() (*served, error) {
			reads++
			<-goOn
			return nil, failed
		})
		answers := make(chan error, 10)
		ask := func() { answers <- s.reload(context.Background()) }
		go ask()
		synctest.Wait()
		const more = 5
		for range more {
			go ask()
		}
		for _, want := range []int{1, more} {
			synctest.Wait()
			goOn <- struct{}{}
			for range want {
				if err := <-answers; err != failed {
					t.Errorf("got %v", err)
				}
			}
		}
		if reads != 2 {
			t.Errorf("%d reloads for those who asked during one", reads-1)
		}
		s.finish()
		if err := s.reload(context.Background()); err == nil || !strings.Contains(err.Error(), "stopping") {
			t.Errorf("after the end: got %v", err)
		}
	})
}
