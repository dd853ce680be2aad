package config_test

import (
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"gatehouse/internal/config"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("etc/g.toml", []byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return c
}

// meaning returns the configuration without what tells where it is written.
func meaning(c *config.Config) *config.Config {
	c.File, c.Places = "", nil
	for n := range c.Listen {
		c.Listen[n].Place = config.Place{}
	}
	for n := range c.Sites {
		s := &c.Sites[n]
		s.Places = nil
		for m := range s.Routes {
			s.Routes[m].Places = nil
		}
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parse(t, "[[site]]\n[[site.route]]\npath = \"/x\"\ncgi = \"/x.cgi\"\n")
	meaning(c)
	want := config.Default()
	want.Dir = "etc"
	want.Sites = c.Sites
	if !reflect.DeepEqual(meaning(c), want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if got, want := c.Limits.Processes, 4*runtime.NumCPU(); got != want {
		t.Errorf("processes: got %d, want %d", got, want)
	}
	s := c.Sites[0]
	if got, want := strings.Join(s.Index, " "), "index.html index.cgi"; got != want {
		t.Errorf("index: got %q, want %q", got, want)
	}
	r := s.Routes[0]
	// A48 is on; A33, A86, A95, A102 and F39 are off unless asked for.
	wantRoute := config.Route{
		Path: "/x", Kind: config.Exact, CGI: "/x.cgi", AcceptPathInfo: true, Limits: c.Limits, Line: 2,
	}
	if !reflect.DeepEqual(r, wantRoute) {
		t.Errorf("route: got %+v, want %+v", r, wantRoute)
	}
}

// The defaults in the key table are words for readers; they must be what the
// program does.
func TestKeysTellTheDefaults(t *testing.T) {
	text := map[string]string{}
	for _, k := range config.Keys() {
		if k.Doc == "" || k.Type == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: incomplete: %+v", k.Name, k)
		}
		var value map[string]any
		if toml.Unmarshal([]byte("x = "+k.Default), &value) != nil {
			continue // none, or in words
		}
		for _, table := range k.Tables {
			text[table] += k.Name + " = " + k.Default + "\n"
		}
	}
	route := strings.NewReplacer("status = 302\n", "", "precompressed = false\n", "").Replace(text["site.route"])
	all := text[""] + "[[site]]\n" + text["site"] + "[[site.route]]\npath = \"/x\"\ncgi = \"/x.cgi\"\n" + route
	got := parse(t, all)
	want := parse(t, "[[site]]\n[[site.route]]\npath = \"/x\"\ncgi = \"/x.cgi\"\n")
	got.Sites[0].Line, got.Sites[0].Routes[0].Line = want.Sites[0].Line, want.Sites[0].Routes[0].Line
	if !reflect.DeepEqual(meaning(got), meaning(want)) {
		t.Errorf("with the defaults written out:\n got %+v\nwant %+v\ntext:\n%s", got, want, all)
	}
	for _, name := range []string{"listen", "index", "status", "accept_path_info", "max_body", "linger", "queue"} {
		if !strings.Contains(text[""]+text["site"]+text["site.route"], name+" = ") {
			t.Errorf("%s: its default is not TOML", name)
		}
	}
}

func TestKeysTables(t *testing.T) {
	want := map[string]string{
		"listen": ";", "timeout": ";site;site.route;", "env": ";site;site.route;", "root": "site;",
		"cgi": "site.route;", "site": ";", "route": "site;",
	}
	for _, k := range config.Keys() {
		got := strings.Join(k.Tables, ";") + ";"
		if w, ok := want[k.Name]; ok && got != w {
			t.Errorf("%s: got %q, want %q", k.Name, got, w)
		}
		delete(want, k.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	config.Keys()[0].Tables[0] = "changed"
	if got := config.Keys()[0].Tables[0]; got != "" {
		t.Errorf("a caller's change is kept: %q", got)
	}
}

func TestEverything(t *testing.T) {
	c := parse(t, `
listen = ["[::1]:0", "http:unix:run/g.sock", "Localhost:080", ":8081"]
include = ["sites.d/*.toml"]
log = "log/error"
access_log = "off"
trusted_proxies = ["10.0.0.0/8", "::ffff:192.0.2.1", "::ffff:198.51.100.0/120", "2001:db8::/32", "unix"]
cgroup = "/sys/fs/cgroup/g/"
shutdown_timeout = "5s"

[[site]]
hosts = ["Example.org.", "*.example.org", "::1", "[2001:DB8::1]", "127.0.0.1", "my_host"]
root = "../htdocs/"
index = []
fallback = "/index.cgi"
listing = true
route = [
  { path = "*.tar.gz", redirect = "https://example.com/?a=b" },
  { path = "/old", redirect = "/new", status = 301 },
  { path = "/f/", static = "files/", listing = false },
]

[[site]]
root = '/srv'
[[site.route]]
path = "*.cgi"
cgi = true
accept_path_info = false
pass_authorization = true
nph = true
finish_anyway = true
keep_children = true
interim = true
[[site.route]]
path = "/"
cgi = "one.cgi"
[[site.route]]
path = "/cgi-bin/"
cgi = "cgi-bin/"
[[site.route]]
path = "/robots.txt"
static = "robots.txt"
`)
	for i, want := range []string{"tcp [::1]:0", "unix etc/run/g.sock", "tcp localhost:80", "tcp :8081"} {
		if got := c.Listen[i].Network + " " + c.Listen[i].Address; got != want || c.Listen[i].Protocol != "http" {
			t.Errorf("listen %d: got %q, want %q", i, got, want)
		}
	}
	if got, want := c.Listen[1].String(), "http:unix:run/g.sock"; got != want {
		t.Errorf("text: got %q, want %q", got, want)
	}
	c.Listen = nil
	off := false
	limits, def := config.Default().Limits, []string{"index.html", "index.cgi"}
	want := &config.Config{
		ListenMode: 0o660, Include: []string{"sites.d/*.toml"}, Log: "etc/log/error", ErrorLogging: config.Default().ErrorLogging,
		Logging: config.Logging{AccessLog: "off", AccessLogFormat: "text", RequestIDHeader: "X-Request-Id"},
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"),
			netip.MustParsePrefix("198.51.100.0/24"),
			netip.MustParsePrefix("2001:db8::/32")},
		TrustUnix: true, Cgroup: "/sys/fs/cgroup/g", Connections: 10000, ShutdownTimeout: config.Duration(5 * time.Second),
		HTTP2: true, ACME: config.Default().ACME,
		Limits: limits, Helpers: config.Default().Helpers, Dir: "etc",
		Sites: []config.Site{{
			Hosts: []string{"example.org", "*.example.org", "[::1]", "[2001:db8::1]", "127.0.0.1", "my_host"},
			Root:  "htdocs", Fallback: "/index.cgi", Listing: true, Limits: limits, File: "etc/g.toml", Line: 10,
			Routes: []config.Route{
				{Path: "*.tar.gz", Kind: config.Suffix, Redirect: "https://example.com/?a=b", RedirectStatus: 302, Line: 17},
				{Path: "/old", Kind: config.Exact, Redirect: "/new", RedirectStatus: 301, Line: 18},
				{Path: "/f/", Kind: config.Prefix, Static: "etc/files/", Listing: &off, Line: 19},
			},
		}, {
			Root: "/srv", Index: def, Limits: limits, File: "etc/g.toml", Line: 22,
			Routes: []config.Route{
				{Path: "*.cgi", Kind: config.Suffix, CGISelf: true, PassAuthorization: true, NPH: true,
					FinishAnyway: true, KeepChildren: true, Interim: true, Line: 24},
				{Path: "/", Kind: config.Prefix, CGI: "etc/one.cgi", AcceptPathInfo: true, Line: 33},
				{Path: "/cgi-bin/", Kind: config.Prefix, CGI: "etc/cgi-bin/", AcceptPathInfo: true, Line: 36},
				{Path: "/robots.txt", Kind: config.Exact, Static: "etc/robots.txt", AcceptPathInfo: true, Line: 39},
			},
		}},
	}
	for i := range want.Sites {
		want.Sites[i].Logging = want.Logging
		for j := range want.Sites[i].Routes {
			r := &want.Sites[i].Routes[j]
			r.Limits = limits
			r.AcceptPathInfo = r.Path != "*.cgi"
		}
	}
	if !reflect.DeepEqual(meaning(c), want) {
		t.Errorf("\n got %+v\nwant %+v", c, want)
	}
}

// The nearest of route, site and server wins, wherever the keys are written.
func TestInheritance(t *testing.T) {
	c := parse(t, `
site = [
  { route = [{ path = "/a", cgi = "/a", timeout = "3s", env = { C = "3", b = "route" } }, { path = "/b", cgi = "/b" }], timeout = "2s", env.B = "site", queue = 7 },
  { hosts = ["other"], route = [{ path = "/c", cgi = "/c", spool_dir = "tmp", memory = "1GiB", cpu = "1m" }] },
]
timeout = "1s"
processes = 5
max_body = "0"
env = { Z = "server", A = "1", B = "server", REMOTE_USER = "guest" }
`)
	rows := []struct {
		name string
		got  config.Limits
		time time.Duration
		wait int
	}{
		{"server", c.Limits, time.Second, 512},
		{"site", c.Sites[0].Limits, 2 * time.Second, 7},
		{"route", c.Sites[0].Routes[0].Limits, 3 * time.Second, 7},
		{"route of the site's", c.Sites[0].Routes[1].Limits, 2 * time.Second, 7},
		{"route of the server's", c.Sites[1].Routes[0].Limits, time.Second, 512},
	}
	for _, r := range rows {
		if r.got.Timeout != config.Duration(r.time) || r.got.Queue != r.wait || r.got.Processes != 5 || r.got.MaxBody != 0 {
			t.Errorf("%s: got %+v", r.name, r.got)
		}
	}
	last := c.Sites[1].Routes[0].Limits
	if last.SpoolDir != "etc/tmp" || last.Memory != 1<<30 || last.CPU != config.Duration(time.Minute) {
		t.Errorf("got %+v", last)
	}
	envs := []struct {
		name string
		got  []config.Var
		want string
	}{
		{"server", c.Env, "Z=server A=1 B=server REMOTE_USER=guest "},
		{"site", c.Sites[0].Env, "Z=server A=1 B=site REMOTE_USER=guest "},
		{"route, and A29", c.Sites[0].Routes[0].Env, "Z=server A=1 b=route REMOTE_USER=guest C=3 "},
		{"route of the site's", c.Sites[0].Routes[1].Env, "Z=server A=1 B=site REMOTE_USER=guest "},
	}
	for _, r := range envs {
		got := ""
		for _, v := range r.got {
			got += v.Name + "=" + v.Value + " "
		}
		if got != r.want {
			t.Errorf("%s: got %q, want %q", r.name, got, r.want)
		}
	}
}

func TestParseLeavesIncludesUnread(t *testing.T) {
	c := parse(t, `include = ["no/such/file"]`)
	if len(c.Include) != 1 || len(c.Sites) != 0 {
		t.Errorf("got %+v", c)
	}
}

func TestPathKindString(t *testing.T) {
	for k, want := range map[config.PathKind]string{
		config.Prefix: "prefix", config.Exact: "exact", config.Suffix: "suffix", 9: "unknown",
	} {
		if got := k.String(); got != want {
			t.Errorf("%d: got %q, want %q", k, got, want)
		}
	}
}
