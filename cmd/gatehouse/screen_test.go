package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/internal/admin"
	"gatehouse/internal/site"
)

var updateScreens = flag.Bool("update-screens", false, "write the screens to testdata/screens")

// sampleStatus is one with something of everything, and with what a terminal must not obey.
func sampleStatus() *admin.Status {
	const evil = "\x1b]0;pwned\x07\x1b[2J\u009b31m\u202egnp\r\nnext"
	begun := time.Date(2026, 11, 21, 14, 3, 12, 0, time.Local)
	hour := site.Hour{Requests: 38_127, Errors: 8, Rate: 14.4, P50: .0042, P95: .061, P99: .31}
	return &admin.Status{Software: "gatehouse/0.1", Pid: 4711, View: &site.View{
		Uptime: 53 * 3600, Ready: true, Listeners: []string{"http 127.0.0.1:8080"}, Hour: hour, Conns: 214, MaxConns: 10000, Processes: 17,
		RunningAll: 3, Waiting: 1, SitesAll: 212, PoolsAll: 3,
		Running: []site.Running{
			{ID: "4f1c09ab77e2-1k3", Age: 312, Phase: "sending", Site: "git.example.org", Route: "/git/", Script: "/usr/lib/git-core/git-http-backend", Method: "POST", URI: "/git/linux.git/git-upload-pack", Pid: 20417, Sent: 834 << 20},
			{ID: "4f1c09ab77e2-203", Age: 2.1, Phase: "queued", Site: "www.example.org", Route: "/cgi-bin/", Method: "GET", URI: "/cgi-bin/report.pl?from=2026-01-01&to=2026-11-21&columns=customer,total,open"},
			{ID: "4f1c09ab77e2-204", Age: .2, Phase: "answering", Method: "GET", URI: "/" + evil, Script: "/" + evil, Pid: 7, Ending: true},
		},
		Failures: []site.Failure{{When: begun, Kind: "timeout", Status: 504, Method: "POST", URI: "/import.php", Reason: "it did not answer within 1m0s (header_timeout)"},
			{When: begun, Kind: "no-output", Status: 502, Method: "GET", URI: "/x", Reason: evil}},
		Sites: []site.Site{{Name: "www.example.org", Routes: []site.Route{
			{Path: "/cgi-bin/", Kind: "cgi", Hour: hour, Limit: &site.Limit{Running: 8, Most: 8, Waiting: 1, Queue: 512}},
			{Path: "(files)", Kind: "files", Hour: site.Hour{Requests: 3, Rate: .02, P50: .0004, P95: .0012}}}},
			{Name: "(no site)", Requests: 4, Hour: site.Hour{Requests: 4, P50: .001, P95: .001}}},
		Pools: []site.Pool{
			{Site: "shop.example.org", Route: "*.php", What: `command ["php-cgi"], at most 4 workers, 2 kept ready`, All: 2, Most: 4, Workers: []site.Worker{
				{Pid: 1214, State: "busy", Age: 10_921, Requests: 3301, Memory: 41 << 20}, {State: "starting", Age: .3}}},
			{Site: "www.example.org", Route: "/app/", What: "app.py:application", Most: 2, Waiting: 31, Pause: 12.4, Why: "(pid 30112) ended after 61ms: exit status 1, " + evil},
			{Site: "www.example.org", Route: "/far/", Role: "authorizer", Former: true, What: "127.0.0.1:9000", Endpoint: []site.Endpoint{{Address: "127.0.0.1:9000", Busy: 2, Idle: 6, Served: 88_120, Sick: evil}}},
		},
		Helpers: []site.Helper{{How: "/usr/bin/perl -T", Pid: 901, Generation: 3, Ready: true, Spares: 4, Requests: 250_031, Memory: 22 << 20}, {How: "/usr/bin/python3", Failure: evil}},
	}}
}

// TestScreens holds the text against testdata/screens; -update-screens writes it.
func TestScreens(t *testing.T) {
	broken := sampleStatus()
	broken.Ready, broken.NotReady = false, []string{"it does not take connections: it starts or drains"}
	broken.Running, broken.RunningAll, broken.Failures, broken.Pools, broken.PoolsAll, broken.Helpers = nil, 0, nil, nil, 0, nil
	for _, tt := range []struct {
		name   string
		status *admin.Status
		width  int
		color  bool
	}{
		{"any", sampleStatus(), 0, false},
		{"120", sampleStatus(), 120, false},
		{"80-color", sampleStatus(), 80, true},
		{"40", sampleStatus(), 40, false},
		{"1", sampleStatus(), 1, false},
		{"broken", broken, 80, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := (&screen{width: tt.width, color: tt.color}).lines(tt.status)
			for _, line := range lines {
				if n := utf8.RuneCountInString(withoutColor(line)); tt.width > 0 && n > tt.width {
					t.Errorf("%d wide: %q", n, line)
				}
				if strings.ContainsFunc(withoutColor(line), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e }) {
					t.Errorf("a terminal would obey %q", line)
				}
			}
			got := strings.Join(lines, "\n") + "\n"
			name := filepath.Join("testdata", "screens", tt.name+".txt")
			if *updateScreens {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil || got != string(want) {
				t.Errorf("got\n%swant\n%s%v", got, want, err)
			}
		})
	}
}

// withoutColor takes our own colours away.
func withoutColor(line string) string {
	for _, code := range []string{"0", bold, faint, red, green, yellow} {
		line = strings.ReplaceAll(line, "\x1b["+code+"m", "")
	}
	return line
}
