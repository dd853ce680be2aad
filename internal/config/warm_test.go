package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
)

// The nearest of route, site and server wins, for each of the two keys by itself.
func TestWarm(t *testing.T) {
	c := parse(t, `
warm = false
preload = ["json", "CGI::Util"]
warm_idle_timeout = "90s"
warm_max_forks = 7
warm_max_memory = "64MiB"
warm_helpers = 3
warm_spares = 5
[[site]]
  [[site.route]]
  path = "/a"
  cgi = "/a"
  [[site.route]]
  path = "/b"
  cgi = "/b"
  warm = true
  preload = false
  [[site.route]]
  path = "/c"
  cgi = "/c"
  warm = "auto"
  preload = ["html.parser"]
[[site]]
hosts = ["b"]
warm = true
preload = true
  [[site.route]]
  path = "/d"
  cgi = "/d"
`)
	named := []string{"json", "CGI::Util"}
	want := map[string]config.Warm{
		"/a": {Mode: config.WarmOff, Preload: named},
		"/b": {Mode: config.WarmOn, NoLearn: true},
		"/c": {Mode: config.WarmAuto, Preload: []string{"html.parser"}},
		"/d": {Mode: config.WarmOn},
	}
	for _, s := range c.Sites {
		for _, r := range s.Routes {
			if !reflect.DeepEqual(r.Warm, want[r.Path]) {
				t.Errorf("%s: got %+v, want %+v", r.Path, r.Warm, want[r.Path])
			}
		}
	}
	if want := (config.Helpers{IdleTimeout: config.Duration(90 * time.Second), MaxForks: 7, MaxMemory: 64 << 20, Helpers: 3, Spares: 5}); c.Helpers != want {
		t.Errorf("got %+v, want %+v", c.Helpers, want)
	}
	if s := c.NewSite(); s.Warm.Mode != config.WarmOff {
		t.Errorf("a new site has warm = %v", s.Warm.Mode)
	}
}

func TestWarmErrors(t *testing.T) {
	rows := []struct {
		name, text string
		want       []string
	}{
		{"number", "warm = 1", []string{`g:1:8: warm: expected a boolean or "auto", got an integer`}},
		{"word", "warm = 'yes'", []string{`g:1:8: warm: bad word "yes" (expected true, false or "auto")`}},
		{"quoted", "warm = 'true'", []string{`g:1:8: warm: bad word "true" (write true without quotation marks)`}},
		{"preload a string", "preload = 'json'", []string{`g:1:11: preload: expected a boolean or an array, got a string (write ["json"])`}},
		{"preload a table", "preload = {}", []string{`g:1:11: preload: expected a boolean or an array, got a table`}},
		{"modules", "preload = ['a', 'a', 'CGI/Util.pm', 'a.b::c', '', 'x y', 3, '" + strings.Repeat("x", 129) + "']", []string{
			`g:1:17: preload: module "a" is listed twice`,
			`g:1:22: preload: bad module "CGI/Util.pm" (write "CGI::Util")`,
			`g:1:37: preload: bad module "a.b::c" (expected one as in "html.parser" or "HTML::Entities")`,
			`g:1:47: preload: bad module "" (expected one as in "html.parser" or "HTML::Entities")`,
			`g:1:51: preload: bad module "x y" (expected one as in "html.parser" or "HTML::Entities")`,
			`g:1:58: preload: expected a string, got an integer`,
			`g:1:61: preload: bad module "` + strings.Repeat("x", 80) + `"... (expected one as in "html.parser" or "HTML::Entities")`,
		}},
		{"many modules", "preload = [" + manyModules(257) + "]", []string{`g:1:11: preload: 257 modules (expected at most 256)`}},
		{"no time", "warm_idle_timeout = '0s'", []string{`g:1:21: warm_idle_timeout: bad duration "0s" (expected more than 0)`}},
		{"little memory", "warm_max_memory = '1MiB'", []string{`g:1:19: warm_max_memory: bad size "1MiB" (expected at least 32MiB)`}},
		{"numbers", "warm_max_forks = 0\nwarm_helpers = 0\nwarm_spares = 33", []string{
			`g:1:18: warm_max_forks: bad number 0 (expected one from 1 to 1000000000)`,
			`g:2:16: warm_helpers: bad number 0 (expected one from 1 to 1000)`,
			`g:3:15: warm_spares: bad number 33 (expected one from 1 to 32)`}},
		{"not of a program", "[[site]]\n[[site.route]]\npath = '/x/'\nstatic = '/x/'\nwarm = true\npreload = false", []string{
			`g:5:1: site.route.warm: does nothing in a route with static (it is for cgi)`,
			`g:6:1: site.route.preload: does nothing in a route with static (it is for cgi)`}},
		{"not of a site", "[[site]]\nwarm_helpers = 2", []string{`g:2:1: site.warm_helpers: not allowed here (it belongs at the top of the main file, before any table)`}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { checkErrors(t, r.text, r.want...) })
	}
	parse(t, "preload = ["+manyModules(256)+"]")
}

func manyModules(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("'m" + strings.Repeat("x", i/26) + string(rune('a'+i%26)) + "',")
	}
	return b.String()
}

func TestParseWarm(t *testing.T) {
	for _, mode := range []config.WarmMode{config.WarmAuto, config.WarmOn, config.WarmOff} {
		text := strings.Trim(mode.String(), `"`)
		if got, err := config.ParseWarm(text); err != nil || got != mode {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "True", "off"} {
		if _, err := config.ParseWarm(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
