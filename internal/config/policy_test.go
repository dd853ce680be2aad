package config_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// within returns a configuration with texts at its top, in its site, and in a route.
func within(top, site, route string) string {
	return top + "\n[[site]]\nroot = '/r'\n" + site + "\n[[site.route]]\npath = '/x'\ncgi = '/x.cgi'\n" + route + "\n"
}

func TestHeadersNearestWins(t *testing.T) {
	c := parse(t, within(
		`headers = { X-Top = "1", X-Site = "top", x-route = "top", Server = "mine" }`,
		`headers = { x-site = "site", X-Route = "site" }`,
		`headers = { X-ROUTE = "", X-Own = "é" }`))
	for _, test := range []struct {
		name string
		got  []config.Header
		want []config.Header
	}{
		{"top", c.Headers, []config.Header{{"X-Top", "1"}, {"X-Site", "top"}, {"x-route", "top"}, {"Server", "mine"}}},
		{"site", c.Sites[0].Headers, []config.Header{{"X-Top", "1"}, {"Server", "mine"}, {"x-site", "site"}, {"X-Route", "site"}}},
		{"route", c.Sites[0].Routes[0].Headers, []config.Header{{"X-Top", "1"}, {"Server", "mine"}, {"x-site", "site"}, {"X-ROUTE", ""}, {"X-Own", "é"}}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
}

func TestErrorPagesNearestWins(t *testing.T) {
	pages := func(list []config.ErrorPage) string {
		var all []string
		for _, p := range list {
			all = append(all, p.Status+" "+p.Path)
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	c := parse(t, within(
		`error_pages = { 404 = "/404.html", 403 = "/403.html", 5xx = "/5xx.html", 503 = "/busy.html" }`,
		`error_pages = { 404 = "/own.html", 500 = "" }`,
		`error_pages = { 4xx = "/4xx.html", 410 = "/410.html" }`))
	for _, test := range []struct{ name, got, want string }{
		{"top", pages(c.ErrorPages), "403 /403.html, 404 /404.html, 503 /busy.html, 5xx /5xx.html"},
		{"site", pages(c.Sites[0].ErrorPages), "403 /403.html, 404 /own.html, 500 , 503 /busy.html, 5xx /5xx.html"},
		{"route: its page for a hundred is nearer than those for one status", pages(c.Sites[0].Routes[0].ErrorPages), "410 /410.html, 4xx /4xx.html, 500 , 503 /busy.html, 5xx /5xx.html"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
}

func TestAccessIsWholeThatOfTheNearest(t *testing.T) {
	c := parse(t, within(`deny = ["192.0.2.1", "::ffff:198.51.100.0/120"]`, ``, `allow = ["10.0.0.0/8", "all"]`)+`
[[site.route]]
path = "/y"
cgi = "/x.cgi"

[[site.route]]
path = "/z"
cgi = "/x.cgi"
deny = []
allow = ["2001:db8::/32"]
`)
	deny := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("198.51.100.0/24")}
	routes := c.Sites[0].Routes
	for _, test := range []struct {
		name      string
		got, want *config.Access
	}{
		{"top", c.Access, &config.Access{Deny: deny}},
		{"site", c.Sites[0].Access, &config.Access{Deny: deny}},
		{"route with allow", routes[0].Access, &config.Access{Allow: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}},
		{"route without", routes[1].Access, &config.Access{Deny: deny}},
		{"route with both", routes[2].Access, &config.Access{Allow: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}, Deny: []netip.Prefix{}}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestGuard(t *testing.T) {
	c := parse(t, within(``, `
basic_auth = { realm = 'the "inner" circle', file = "users" }
sendfile = "files/"
sendfile_prefix = "/protected/"
`, `basic_auth = false`)+`
[[site.route]]
path = "/y"
fastcgi = "unix:/run/y"
basic_auth = { file = "/etc/y" }
sendfile = "/srv/y/"
`)
	s := c.Sites[0]
	for _, test := range []struct {
		name      string
		got, want config.Guard
	}{
		{"site", s.Guard, config.Guard{BasicAuth: &config.BasicAuth{Realm: `the "inner" circle`, File: "etc/users"}, Sendfile: "etc/files/", SendfilePrefix: "/protected/"}},
		{"false", s.Routes[0].Guard, config.Guard{Sendfile: "etc/files/", SendfilePrefix: "/protected/"}},
		{"own", s.Routes[1].Guard, config.Guard{BasicAuth: &config.BasicAuth{Realm: "restricted", File: "/etc/y"}, Sendfile: "/srv/y/", SendfilePrefix: "/protected/"}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, test.got, test.want)
		}
	}
}

func TestPolicyMistakes(t *testing.T) {
	top := func(text string) string { return text + "\n[[site]]\n" }
	route := func(text string) string { return within("", "", text) }
	for _, test := range []struct{ name, text, want string }{
		{"a name with a space", top(`headers = { "X Y" = "1" }`), `bad field name "X Y"`},
		{"a name with a line end", top(`headers = { "X\nY" = "1" }`), `bad field name "X\nY"`},
		{"no name", top(`headers = { "" = "1" }`), `empty field name`},
		{"framing", top(`headers = { content-length = "1" }`), `field "content-length" is the server's to set`},
		{"hop-by-hop", top(`headers = { Connection = "close" }`), `field "Connection" is the server's to set`},
		{"Status", top(`headers = { Status = "200" }`), `field "Status" is the server's to set (a redirect has the key status)`},
		{"X-Accel-Redirect", top(`headers = { X-Accel-Redirect = "/x" }`), `(see the key sendfile)`},
		{"no Server", top(`headers = { server = "" }`), `field "server" cannot be taken away (give it another value)`},
		{"a value with a line end", top(`headers = { X = "1\r\nSet-Cookie: a=b" }`), `bad value "1\r\nSet-Cookie: a=b": it has a control character in it`},
		{"a value with a space in front", top(`headers = { X = " 1" }`), `bad value " 1": it begins or ends with a space`},
		{"a value too long", top(`headers = { X = "` + strings.Repeat("x", 8193) + `" }`), `is longer than 8 KiB`},
		{"a value that is a number", top(`headers = { X = 1 }`), `headers.X: expected a string, got an integer`},
		{"a name twice", top(`headers = { X-Y = "1", x-y = "2" }`), `name differs from "X-Y" only in case`},
		{"no table", top(`headers = "X: 1"`), `headers: expected a table, got a string`},

		{"no error", top(`error_pages = { 200 = "/x" }`), `bad status "200" (expected one from "400" to "599", "4xx" or "5xx")`},
		{"half a hundred", top(`error_pages = { 40x = "/x" }`), `bad status "40x"`},
		{"a page that is a URL", top(`error_pages = { 404 = "https://example.org/404" }`), `bad path "https://example.org/404"`},
		{"a page with a query", top(`error_pages = { 404 = "/x?y" }`), `bad path "/x?y" (a query is no part of it)`},

		{"no address", top(`allow = ["example.org"]`), `bad address "example.org" (expected an address, a network as in "10.0.0.0/8", or "all")`},
		{"bits behind the prefix", top(`deny = ["10.1.0.0/8"]`), `did you mean "10.0.0.0/8"?`},
		{"unix", top(`allow = ["unix"]`), `"unix" is no client`},
		{"a string", top(`allow = "10.0.0.0/8"`), `(write ["10.0.0.0/8"])`},
		{"nobody", top(`allow = []`), `allow: nobody is allowed (write deny = ["all"])`},
		{"allow beside deny of all", route("allow = ['10.0.0.0/8']\ndeny = ['all']"), `site.route.allow: does nothing beside deny = ["all"]`},

		{"no file", route(`basic_auth = { realm = "x" }`), `site.route.basic_auth: file is missing`},
		{"true", route(`basic_auth = true`), `basic_auth: expected a table or false, got a boolean`},
		{"a realm that is none", route(`basic_auth = { realm = "a\nb", file = "x" }`), `bad realm "a\nb"`},
		{"no realm", route(`basic_auth = { realm = "", file = "x" }`), `bad realm ""`},
		{"an unknown key", route(`basic_auth = { fiel = "x", file = "y" }`), `did you mean "file"?`},
		{"at the top", top(`basic_auth = { file = "x" }`), `basic_auth: not allowed here (it belongs in [[site]])`},
		{"passing on what was checked", route("basic_auth = { file = 'x' }\npass_authorization = true"),
			`site.route.pass_authorization: does nothing where basic_auth has checked the Authorization field`},

		{"no folder", route(`sendfile = "/srv/x"`), `"/srv/x" is no folder (a folder is written with a "/" at its end)`},
		{"a prefix alone", route(`sendfile_prefix = "/p/"`), `site.route.sendfile_prefix: does nothing without sendfile`},
		{"a prefix without its slash", route("sendfile = '/f/'\nsendfile_prefix = '/p'"), `bad prefix "/p" (write "/p/")`},
		{"of files", "[[site]]\n[[site.route]]\npath = '/x/'\nstatic = '/x/'\nsendfile = '/y/'\n", `site.route.sendfile: does nothing in a route with static`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse("etc/g.toml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse(%q): got %v, want %q", test.text, err, test.want)
			}
		})
	}
}

func TestRedirectPlaceholders(t *testing.T) {
	parse := func(path, target string) error {
		_, err := config.Parse("etc/g.toml", fmt.Appendf(nil, "[[site]]\nroot = '/r'\n[[site.route]]\npath = %q\nredirect = %q\n", path, target))
		return err
	}
	for _, target := range []string{
		"/new", "/new/{rest}", "/new{path}", "{path}", "{path}?{query}", "/?{query}&old=1", "/login?next={path}&host={host}&by={scheme}",
		"https://example.org{path}?{query}", "https://example.org/{path}", "https://{host}{path}", "https://www.{host}:8443/{rest}", "{scheme}://{host}/{rest}?{query}",
		"https://example.org/%7Bx%7D", "/x/{host}",
	} {
		if err := parse("/old/", target); err != nil {
			t.Errorf("redirect = %q: %v", target, err)
		}
	}
	for _, test := range []struct{ path, target, want string }{
		{"/old/", "/{pth}", "did you mean {path}?"},
		{"/old/", "/{}", "unknown placeholder"},
		{"/old/", "/{", "unknown placeholder"},
		{"/old/", "/{path", "unknown placeholder"},
		{"/old/", "/a}b", `it has a "}" without a "{"`},
		{"/old/", "https://example.org{rest}", "{rest} would be a part of the host's name"},
		{"/old/", "https://{rest}", "{rest} would be a part of the host's name"},
		{"/old/", "{rest}", "{rest} would be a part of the host's name"},
		{"/old/", "{host}/x", "{host} is in front"},
		{"/old/", "//{host}/x", "bad target"},
		{"/old/", "{scheme}:{path}", "{scheme} is in the middle of it"},
		{"/old/", "/x/{scheme}", "{scheme} is in the middle of it"},
		{"/old/", "/x/{query}", "{query} is not in its query"},
		{"/old/", "/x#{query}", "{query} is not in its query"},
		{"/old/", "javascript:{rest}", "bad target"},
		{"*.php", "/{rest}", `nothing of a path is behind the suffix "*.php"`},
	} {
		if err := parse(test.path, test.target); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("path = %q, redirect = %q: got %v, want %q", test.path, test.target, err, test.want)
		}
	}
}
