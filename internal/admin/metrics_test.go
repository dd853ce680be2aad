package admin_test

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"gatehouse/internal/admin"
)

// metricsOf is what /metrics says of a sample.
func metricsOf(t *testing.T, s *sample) string {
	t.Helper()
	h := admin.New(s, admin.Options{Software: "gatehouse/test", Log: slog.New(slog.DiscardHandler)}).Handler()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	text := metricsOf(t, busy())
	for _, want := range []string{
		`gatehouse_requests_total{code="2xx",route="/cgi-bin/",site="www.example.org"} 90`,
		`gatehouse_requests_total{code="none",route="/cgi-bin/",site="www.example.org"} 1`,
		`gatehouse_requests_running{route="/cgi-bin/",site="www.example.org"} 2`,
		`gatehouse_request_failures_total{kind="timeout",route="/cgi-bin/",site="www.example.org"} 2`,
		`gatehouse_request_duration_seconds_bucket{route="/cgi-bin/",site="www.example.org",le="0.1"} 0`,
		`gatehouse_request_queue_seconds_count{route="/cgi-bin/",site="www.example.org"} 0`,
		`gatehouse_response_bytes_total{route="/cgi-bin/",site="www.example.org"} 4096`,
		`gatehouse_program_cpu_seconds_total{route="/cgi-bin/",site="www.example.org"} 3`,
		`gatehouse_program_starts_total{how="warm",route="/cgi-bin/",site="www.example.org"} 7`,
		`gatehouse_program_bad_exits_total{route="/cgi-bin/",site="www.example.org"} 1`,
		`gatehouse_program_places{route="/cgi-bin/",site="www.example.org"} 8`,
		`gatehouse_program_queue_length{route="/cgi-bin/",site="www.example.org"} 1`,
		`gatehouse_pool_workers_max{role="",route="*.php",site="shop.example.org"} 4`,
		`gatehouse_pool_workers{role="",route="*.php",site="shop.example.org",state="busy"} 1`,
		`gatehouse_pool_workers{role="",route="*.php",site="shop.example.org",state="ended"} 0`,
		`gatehouse_pool_worker_starts_total{role="",route="*.php",site="shop.example.org"} 57`,
		`gatehouse_pool_worker_failures_total{role="",route="*.php",site="shop.example.org"} 1`,
		`gatehouse_pool_crash_loop{role="",route="*.php",site="shop.example.org"} 0`,
		`gatehouse_pool_queue_length{role="",route="/app/",site="www.example.org"} 0`,
		`gatehouse_warm_helper_generations_total{interpreter="/usr/bin/perl -T"} 3`,
		`gatehouse_warm_helpers{interpreter="/usr/bin/python3",ready="true"} 1`,
		`gatehouse_connections 214`, `gatehouse_connections_max 10000`, `gatehouse_refused_requests_total 12`,
		`gatehouse_log_lines_lost_total 5`, `gatehouse_ready 1`, `go_goroutines `, `process_open_fds `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, "report.pl") || strings.Contains(text, "203.0.113") {
		t.Errorf("a path or a client is in the metrics")
	}
	if !strings.Contains(metricsOf(t, broken()), "gatehouse_pool_crash_loop{role=\"\",route=\"/app/\",site=\"www.example.org\"} 1") {
		t.Errorf("a crash loop does not show")
	}
}

// After a reload a pool of the former configuration ends beside the new one: a series is
// told of once.
func TestMetricsOfTwoPools(t *testing.T) {
	s := busy()
	former := s.view.Pools[0]
	former.Former = true
	s.view.Pools = append(s.view.Pools, former)
	s.view.Helpers = append(s.view.Helpers, s.view.Helpers[0])
	text := metricsOf(t, s)
	for _, want := range []string{
		`gatehouse_pool_worker_starts_total{role="",route="*.php",site="shop.example.org"} 114`,
		`gatehouse_warm_helper_generations_total{interpreter="/usr/bin/perl -T"} 6`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
}

// The names are as Prometheus would have them.
func TestMetricNames(t *testing.T) {
	text := metricsOf(t, busy())
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: there is no promtool to check the metrics a second time (scripts/install-test-packages.sh)")
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = io.NopCloser(strings.NewReader(text))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
