package config_test

import (
	"strings"
	"testing"

	"gatehouse/internal/config"
)

func TestPlaces(t *testing.T) {
	const text = `listen = [
  "127.0.0.1:0",
  "unix:/run/x",
]
env.LANG = "C"
timeout = "5s"

[[site]]
hosts = ["a"]
  [site.env]
  A = "x"
  [[site.route]]
  path = "/x/"
  fastcgi = { command = ["a", "b"], env = { B = "y" } }
`
	c := parse(t, text)
	s := &c.Sites[0]
	r := &s.Routes[0]
	for _, row := range []struct {
		name   string
		places config.Places
		key    string
		want   config.Place
	}{
		{"the top", c.Places, "", config.Place{Line: 1, Column: 1}},
		{"an array", c.Places, "listen", config.Place{Line: 1, Column: 10}},
		{"an item", c.Places, "listen.1", config.Place{Line: 3, Column: 3}},
		{"no such item", c.Places, "listen.2", config.Place{}},
		{"dotted", c.Places, "env.LANG", config.Place{Line: 5, Column: 12}},
		{"a value", c.Places, "timeout", config.Place{Line: 6, Column: 11}},
		{"a default", c.Places, "queue", config.Place{}},
		{"below a value", c.Places, "timeout.x", config.Place{}},
		{"of another table", c.Places, "hosts", config.Place{}},
		{"the site", s.Places, "", config.Place{Line: 8, Column: 1}},
		{"a header's table", s.Places, "env.A", config.Place{Line: 11, Column: 7}},
		{"the table of a header", s.Places, "env", config.Place{Line: 10, Column: 3}},
		{"tables inside are apart", s.Places, "route", config.Place{}},
		{"the route", r.Places, "", config.Place{Line: 12, Column: 3}},
		{"in braces", r.Places, "fastcgi.command.1", config.Place{Line: 14, Column: 31}},
		{"deeper", r.Places, "fastcgi.env.B", config.Place{Line: 14, Column: 49}},
		{"nothing", nil, "", config.Place{}},
	} {
		at, ok := row.places.Of(row.key)
		if at != row.want || ok != (row.want != config.Place{}) {
			t.Errorf("%s: %q: got %v, %v, want %v", row.name, row.key, at, ok, row.want)
		}
	}
}

func TestOriginAndMistake(t *testing.T) {
	c := parse(t, "timeout = '1s'\nspool_dir = '/x'\n[[site]]\ntimeout = '2s'\n[[site.route]]\npath = '/x'\ncgi = '/y'\n")
	s := &c.Sites[0]
	r := &s.Routes[0]
	for _, row := range []struct {
		name  string
		s     *config.Site
		r     *config.Route
		key   string
		table string
		line  int // 0: a default
		want  string
	}{
		{"the route's", s, r, "cgi", "site.route", 7, "etc/g.toml:7:7: site.route.cgi: no (so)"},
		{"the site's", s, r, "timeout", "site", 4, "etc/g.toml:4:11: site.timeout: no (so)"},
		{"the server's", s, r, "spool_dir", "", 2, "etc/g.toml:2:13: spool_dir: no (so)"},
		{"the server's own", nil, nil, "timeout", "", 1, "etc/g.toml:1:11: timeout: no (so)"},
		{"a part of a value", s, r, "cgi.python", "site.route", 0, "etc/g.toml:7:7: site.route.cgi.python: no (so)"},
		{"a default of the route", s, r, "queue", "", 0, "etc/g.toml:5:1: site.route.queue: no (so)"},
		{"a default of the site", s, nil, "queue", "", 0, "etc/g.toml:3:1: site.queue: no (so)"},
		{"a default of the server", nil, nil, "queue", "", 0, "etc/g.toml: queue: no (so)"},
		{"the route itself", s, r, "", "site.route", 5, "etc/g.toml:5:1: site.route: no (so)"},
	} {
		o, ok := c.Origin(row.s, row.r, row.key)
		if ok != (row.line > 0) || ok && (o.Table != row.table || o.Line != row.line || o.File != "etc/g.toml") {
			t.Errorf("%s: got %+v, %v", row.name, o, ok)
		}
		if got := c.Mistake(row.s, row.r, row.key, "no", "so").Error(); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
	made := config.Default()
	site := made.NewSite()
	if got, want := made.Mistake(&site, nil, "root", "no", "").Error(), "root: no"; got != want {
		t.Errorf("without a text: got %q, want %q", got, want)
	}
}

func TestSorted(t *testing.T) {
	if err := (config.Errors{}).Sorted(); err != nil {
		t.Errorf("none: got %v", err)
	}
	es := config.Errors{
		{File: "b", Line: 1, Column: 1, Reason: "z"}, {File: "a", Line: 2, Column: 1, Reason: "y"},
		{File: "a", Line: 1, Column: 9, Reason: "x"}, {File: "a", Line: 2, Column: 1, Reason: "y"},
	}
	if got, want := es.Sorted().Error(), "a:1:9: x\na:2:1: y\nb:1:1: z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The places of a text with nothing but braces and dots are as many as it has parts.
func TestPlacesOfDeepTables(t *testing.T) {
	deep := strings.Repeat("a.", 2000)
	_, err := config.Parse("g", []byte("env."+deep+"b = 'x'\n"))
	if err == nil {
		t.Error("taken")
	}
}
