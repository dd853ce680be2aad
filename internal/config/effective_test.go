package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// plain is what a configuration means, as JSON: without places, and with the lines that
// tables have only for messages left out.
func plain(t *testing.T, c *config.Config) string {
	t.Helper()
	meaning(c)
	c.Include = nil
	if !slices.ContainsFunc(c.Sites, func(s config.Site) bool { return s.TLS.ACME }) {
		c.ACME = config.ACME{} // nobody asks for it
	}
	for n := range c.Sites {
		s := &c.Sites[n]
		s.File, s.Line = "", 0
		for m := range s.Routes {
			r := &s.Routes[m]
			r.Line = 0
			for _, b := range []*config.Backend{r.FastCGI, r.SCGI, r.Authorize} {
				if b != nil {
					b.Line = 0
				}
			}
			if r.WSGI != nil {
				r.WSGI.Line = 0
			}
		}
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	// No list and an empty one mean the same.
	return strings.ReplaceAll(string(text), ": []", ": null")
}

func effective(t *testing.T, c *config.Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.WriteEffective(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// effectiveText has every key that there is, somewhere.
const effectiveText = `
listen = ["127.0.0.1:0", "fastcgi:unix:run/f.sock", "https:[::1]:8443", "systemd:web"]
listen_mode = "0600"
listen_owner = "root"
listen_group = "www-data"
include = ["sites.d/*.toml"]
log = "log/error.log"
log_format = "json"
log_level = "warn"
access_log = "access.log"
access_log_format = "%h \"%r\" %>s"
request_id_header = ""
slow_log = "off"
slow = "5s"
trusted_proxies = ["10.0.0.0/8", "unix", "::1"]
connections = 77
shutdown_timeout = "0s"
control = "run/control.sock"
admin = ["127.0.0.1:0", "unix:run/admin.sock"]
timeout = "1m30s"
memory = "512MiB"
spool_dir = "spool"
warm = false
preload = ["html.parser", "HTML::Entities"]
warm_spares = 3
http2 = false
h2c = true
proxy_protocol = true
compress = true
env = { LANG = "C.UTF-8", "ODD" = "a\"b\\c\td\u00e9" }
headers = { X-A = "1", "X.B" = "two", X-C = "" }
error_pages = { 404 = "/missing.html", 5xx = "/broken.html" }
deny = ["192.0.2.1"]
allow = ["192.0.2.0/24"]
tls = { certificate = "tls/all.pem" }
acme = { accept_terms = true, email = "a@example.org", storage = "acme" }

[[site]]
hosts = ["a.example", "*.b.example"]
root = "htdocs"
timeout = "2m"
fallback = "/index.php"
env = { lang = "de", MORE = "1" }
headers = { x-a = "3" }
error_pages = { 4xx = "" }
allow = ["all"]
tls = [{ certificate = "c1.pem", key = "k1.pem" }, { certificate = "c2.pem" }]
basic_auth = { realm = "in", file = "htpasswd" }
access_log = "off"
sendfile = "files/"
sendfile_prefix = "/p/"
precompressed = true
  [[site.route]]
  path = "*.php"
  fastcgi = { command = ["php-cgi", "-d", "x=1"], workers = 6, min_workers = 2, worker_idle_timeout = "3m", env = { A = "b" }, user = "nobody", max_memory = "1GiB" }
  deny = ["all"]
  [[site.route]]
  path = "/cgi-bin/"
  cgi = "cgi/"
  nph = true
  cpu = "10s"
  warm = true
  preload = false
  [[site.route]]
  path = "/self"
  cgi = "one.sh"
  env = { A = "1" }
  basic_auth = false
  pass_authorization = true
  compress = ["gzip"]
  authorize = "unix:auth.sock"
  [[site.route]]
  path = "/scgi/"
  scgi = ["127.0.0.1:4000", "unix:s.sock"]
  [[site.route]]
  path = "/app/"
  fastcgi = { address = "dns:app.example:9000", health_path = "/up", keep_alive = true, connection_idle_timeout = "1s", catch_stderr = ["Fatal"] }
  [[site.route]]
  path = "/filter/"
  root = "docs"
  fastcgi = { command = ["./filter", "{socket}"], role = "filter" }
  [[site.route]]
  path = "/wsgi/"
  wsgi = "app.py"
  [[site.route]]
  path = "/wsgi2/"
  wsgi = { module = "pkg.mod:make('x')", venv = "venv", mode = "cgi" }
  processes = 3
  [[site.route]]
  path = "/wsgi3/"
  wsgi = { module = "app.py:app", threads = 4, workers = 2, min_workers = 0, reload = true, python = "./py", env = { B = "c" }, user = "0" }
  [[site.route]]
  path = "/files/"
  static = "files/"
  listing = true
  [[site.route]]
  path = "/old"
  redirect = "https://{host}/new{path}"
  status = 308
`

const effectiveIncluded = `
[[site]]
hosts = ["acme.example"]
root = "."
tls = { acme = true }
redirect_to_https = true
listing = true
index = ["home.html"]
  [[site.route]]
  path = "*.cgi"
  cgi = true
`

// What WriteEffective writes is loaded again and means the same, and says of every value
// where it came from.
func TestEffective(t *testing.T) {
	dir := files(t, map[string]string{"g.toml": effectiveText, "sites.d/a.toml": effectiveIncluded})
	t.Chdir(dir)
	c, err := config.Load("g.toml")
	if err != nil {
		t.Fatal(err)
	}
	text := effective(t, c)
	if err := os.WriteFile(filepath.Join(dir, "again.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := config.Load("again.toml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got, want := plain(t, again), plain(t, c); got != want {
		t.Errorf("it means something else: %s\n%s", firstDifference(got, want), text)
	}
	for _, w := range []struct{ line, origin string }{
		{"\nlisten_mode = \"0600\"  # g.toml:LINE\n", "listen_mode ="},
		{"\nqueue = 512  # default\n", ""},
		{"\nenv.ODD = \"a\\\"b\\\\c\\u0009dé\"  # g.toml:LINE\n", "env = { LANG"},
		{"\nheaders.\"X.B\" = \"two\"  # g.toml:LINE\n", "headers = { X-A"},
		{"\n[[site]]  # g.toml:LINE\n", "[[site]]\nhosts = [\"a.example"},
		{"\n  timeout = \"2m\"  # g.toml:LINE\n", "timeout = \"2m\""},
		{"\n  memory = \"512MiB\"  # inherited from g.toml:LINE\n", "memory = \"512MiB\""},
		{"\n  env.ODD = \"a\\\"b\\\\c\\u0009dé\"  # inherited from g.toml:LINE\n", "env = { LANG"},
		{"\n  headers.\"X.B\" = \"two\"  # inherited from g.toml:LINE\n", "headers = { X-A"},
		{"\n  env.MORE = \"1\"  # g.toml:LINE\n", "env = { lang"},
		{"\n    timeout = \"2m\"  # inherited from g.toml:LINE\n", "timeout = \"2m\""},
		{"\n    fastcgi.workers = 6  # g.toml:LINE\n", "command = [\"php-cgi"},
		{"\n    fastcgi.env.A = \"b\"  # g.toml:LINE\n", "command = [\"php-cgi"},
		{"\n    fastcgi.concurrency = 1  # default\n", ""},
		{"\n    scgi.address = [\"127.0.0.1:4000\", \"unix:" + dir + "/s.sock\"]  # g.toml:LINE\n", "scgi = ["},
		{"\n    wsgi.module = \"" + dir + "/app.py:application\"  # g.toml:LINE\n", "wsgi = \"app.py\""},
		{"\n[[site]]  # sites.d/a.toml:2\n", ""},
		{"\n  listing = true  # sites.d/a.toml:7\n", ""},
		{"\n  compress = [\"zstd\", \"gzip\"]  # inherited from g.toml:LINE\n", "compress = true"},
	} {
		before, _, found := strings.Cut(effectiveText, w.origin)
		want := strings.Replace(w.line, "LINE", strconv.Itoa(strings.Count(before, "\n")+1), 1)
		if !found || !strings.Contains(text, want) {
			t.Errorf("not in it: %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for n := range min(len(g), len(w)) {
		if g[n] != w[n] {
			from := max(0, n-12)
			return "\ngot " + strings.Join(g[from:n+1], "\n") + "\nwant " + w[n]
		}
	}
	return "one is longer"
}

// Every key is written somewhere, or nothing is to be said of it.
func TestEffectiveHasEveryKey(t *testing.T) {
	c, err := config.Parse("/etc/g.toml", []byte(strings.Replace(effectiveText, "[[site]]", effectiveIncluded+"\n[[site]]", 1)+"[[site]]\ncgroup = 1"))
	if c != nil || err == nil {
		t.Fatal("a key that a table does not have is taken")
	}
	text := strings.Replace(effectiveText, "[[site]]", "cgroup = '/sys/fs/cgroup/x'\n"+effectiveIncluded+"\n[[site]]", 1)
	c, err = config.Parse("/etc/g.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	text = effective(t, c)
	for _, k := range config.Keys() {
		for _, table := range k.Tables {
			inner, _ := strings.CutPrefix(table, "site.route.")
			line := "\n" + map[string]string{"": "", "site": "  ", "site.route": "    "}[table] + k.Name
			switch {
			case strings.HasPrefix(table, "site.route."):
				line = "\n    " + inner + "." + k.Name
			case table != "" && table != "site" && table != "site.route":
				continue // a table in braces
			}
			switch k.Name {
			case "include", "site", "route", "fastcgi", "scgi", "wsgi", "authorize":
				continue
			}
			if table == "site.route.authorize" || table == "site.route.scgi" {
				continue // an address: those of a command are tried with fastcgi
			}
			if !strings.Contains(text, line+" = ") && !strings.Contains(text, line+".") {
				t.Errorf("%s: %s is not written", table, k.Name)
			}
		}
	}
}

// Whatever the text, what it comes to can be written, read again, and means the same.
func FuzzEffective(f *testing.F) {
	top, sites, _ := strings.Cut(effectiveText, "[[site]]")
	f.Add([]byte(top + "[[site]]"))
	for n, route := range strings.Split(sites, "[[site.route]]") {
		if n == 0 {
			f.Add([]byte("[[site]]" + route))
		} else {
			f.Add([]byte("[[site]]\nroot = 'x'\n[[site.route]]" + route))
		}
	}
	f.Add([]byte("acme = { accept_terms = true }\n" + effectiveIncluded))
	f.Add([]byte("[env]\nA = '\u2028\x7f'\n[headers]\n'a.b' = 'x'\n[[site]]\nhosts = ['[::1]']\ndeny = []\nallow = ['all']\n[[site.route]]\npath = '/\"\\'\nredirect = '/{rest}'\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("/dir/g", text)
		if err != nil {
			return
		}
		written := effective(t, c)
		again, err := config.Parse("/dir/g", []byte(written))
		if err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if got, want := plain(t, again), plain(t, c); got != want {
			t.Errorf("it means something else: %s\n%s", firstDifference(got, want), written)
		}
	})
}
