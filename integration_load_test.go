package gatehouse_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var loadTrials = []trial{
	{"100 at a time, each with its own body", cPrograms, hundredAtOnce},
	{"10,000 requests on 256 connections", cPrograms, tenThousand},
}

// hundredAtOnce: nobody gets anything that is another's.
func hundredAtOnce(t *testing.T, h *host) {
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			r := request{method: "POST", path: "/cgi-bin/echo", body: strings.Repeat(fmt.Sprintf("%04d", n), 10_000+n), chunked: n%2 == 0}
			if got, err := h.do(r); err != nil {
				t.Errorf("request %d: %v", n, err)
			} else if got.status != 200 || got.body != r.body {
				t.Errorf("request %d: status %d, body %q", n, got.status, clip(got.body))
			}
		})
	}
	wg.Wait()
}

// tenThousand: under load nothing fails, gets mixed up or is left over.
func tenThousand(t *testing.T, h *host) {
	total := int64(10_000)
	if testing.Short() {
		total = 1_000
	}
	var asked, failed atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for asked.Add(1) <= total && failed.Load() < 10 {
				got, err := h.do(request{path: "/cgi-bin/hello"})
				if err != nil {
					t.Errorf("%v", err)
				} else if got.status != 200 || got.body != "hello from C\n" {
					t.Errorf("status %d, body %q", got.status, clip(got.body))
				} else {
					continue
				}
				failed.Add(1)
			}
		})
	}
	wg.Wait()
}
