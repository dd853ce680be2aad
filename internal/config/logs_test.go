package config_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
)

func TestLogging(t *testing.T) {
	c := parse(t, `
access_log = "log/all"
access_log_format = "combined"
log_format = "json"
log_level = "debug"
slow_log = "log/slow"
slow = "5s"
[[site]]
[[site]]
hosts = ["a.example"]
access_log = "log/a"
access_log_format = "%h %>s"
request_id_header = ""
slow = "0s"
[[site.route]]
path = "/x"
cgi = "x"
slow = "1m"
[[site]]
hosts = ["b.example"]
access_log = "off"
request_id_header = "X-Trace"
`)
	rows := []struct {
		name string
		got  config.Logging
		want config.Logging
	}{
		{"server", c.Logging, config.Logging{AccessLog: "etc/log/all", AccessLogFormat: "combined", RequestIDHeader: "X-Request-Id"}},
		{"site without", c.Sites[0].Logging, config.Logging{AccessLog: "etc/log/all", AccessLogFormat: "combined", RequestIDHeader: "X-Request-Id"}},
		{"site with", c.Sites[1].Logging, config.Logging{AccessLog: "etc/log/a", AccessLogFormat: "%h %>s"}},
		{"site with none", c.Sites[2].Logging, config.Logging{AccessLog: "off", AccessLogFormat: "combined", RequestIDHeader: "X-Trace"}},
	}
	for _, r := range rows {
		if r.got != r.want {
			t.Errorf("%s: got %+v, want %+v", r.name, r.got, r.want)
		}
	}
	if want := (config.ErrorLogging{LogJSON: true, LogLevel: slog.LevelDebug, SlowLog: "etc/log/slow"}); c.ErrorLogging != want {
		t.Errorf("got %+v, want %+v", c.ErrorLogging, want)
	}
	for n, want := range []time.Duration{5 * time.Second, 0, 5 * time.Second} {
		if got := time.Duration(c.Sites[n].Limits.Slow); got != want {
			t.Errorf("site %d is slow after %v, want %v", n, got, want)
		}
	}
	if got := time.Duration(c.Sites[1].Routes[0].Limits.Slow); got != time.Minute {
		t.Errorf("the route is slow after %v", got)
	}
}

func TestLoggingErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"format", `access_log_format = "combind"`, `g.toml:1:21: access_log_format: bad format "combind"`},
		{"nearest format", `access_log_format = "combind"`, `did you mean "combined"?`},
		{"no format at all", `access_log_format = "x"`, `expected one of "text", "common", "combined", "vhost_combined", "json" or a format with % in it`},
		{"directive", `access_log_format = "%h %Q"`, `g.toml:1:21: access_log_format: unknown directive "%Q" at byte 4`},
		{"type of format", `access_log_format = true`, "expected a string"},
		{"format of nothing", "[[site]]\naccess_log = 'off'\naccess_log_format = 'json'", `g.toml:3:21: site.access_log_format: does nothing with access_log = "off"`},
		{"no field", `request_id_header = "X Request"`, `bad header field "X Request"`},
		{"not told from others", `request_id_header = "X_Request"`, `bad header field "X_Request"`},
		{"field of HTTP's", `request_id_header = "content-length"`, `header field "content-length" has a meaning of its own`},
		{"form", `log_format = "xml"`, `bad format "xml"`},
		{"level", `log_level = "loud"`, `bad level "loud"`},
		{"number", `log_level = 3`, "expected a string"},
		{"slow log", `slow_log = "none"`, `bad log "none"`},
		{"slow without unit", `slow = "5"`, `write "5s" for seconds`},
		{"slow files", "[[site]]\nroot = 'x'\n[[site.route]]\npath = '/s/'\nstatic = 's/'\nslow = '1s'", "site.route.slow: does nothing in a route with static"},
		{"in a route", "[[site]]\n[[site.route]]\npath = '/s/'\ncgi = 's/'\naccess_log = 'x'", "not allowed here"},
	} {
		_, err := config.Parse("etc/g.toml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}
