package config_test

import (
	"errors"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// checkErrors compares what Parse says about text with want, line by line.
func checkErrors(t *testing.T, text string, want ...string) {
	t.Helper()
	_, err := config.Parse("g", []byte(text))
	var es config.Errors
	if !errors.As(err, &es) {
		t.Fatalf("got %v, want Errors", err)
	}
	got := make([]string, len(es))
	for i, e := range es {
		got[i] = e.Error()
		if e.Line < 1 || e.Column < 1 {
			t.Errorf("no place: %v", e)
		}
	}
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("mistake %d:\n got %s\nwant %s", i, g, w)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	rows := []struct {
		name, text, want string
	}{
		{"no value", "a = 1\nlog =\n", `g:2:6: syntax error: incomplete number`},
		{"first only", "listen = 1\n[[site]\nx", `g:2:8: syntax error: expected character ]`},
		{"after another mistake", "log = 'a'\nlog = 'b'\nlog", `g:3:1: syntax error: expected = after a key, but the document ends there`},
		{"at the end", "log", `g:1:1: syntax error: expected = after a key, but the document ends there`},
		{"control character", "a = \"x\"\n\x1b", "g:2:1: syntax error: invalid character at start of key: \uFFFD"},
		{"not UTF-8", "# x\nlog = \"a\xff\"\n", `g:2:9: text is not UTF-8`},
		{"deep", "x = " + strings.Repeat("[", 33), `g:1:37: nested too deep`},
		{"very deep", "x = " + strings.Repeat("[{a=", 1_000_000), `g:1:69: nested too deep`},
		{"large", strings.Repeat("#", 4<<20+1), `g:1:1: file is larger than 4 MiB`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { checkErrors(t, r.text, r.want) })
	}
}

// Brackets in strings and comments nest nothing.
func TestDepthOfStrings(t *testing.T) {
	many := strings.Repeat("[", 100)
	parse(t, "# "+many+"\n[env]\nA = \"\\\""+many+"\"\nB = '"+many+"\\'\nC = \"\"\"\n\\\""+many+"\"\"\"\"\"\nD = '''"+many+"''''\nE = \"\"\n")
	parse(t, "include = ["+strings.Repeat("'x',", 100)+"]\nenv = {}\n# "+many)
}

func TestTables(t *testing.T) {
	rows := []struct {
		name, text string
		want       []string
	}{
		{"same key", "log = 'a'\nlog = 'b'\nlog = 'c'", []string{
			`g:2:1: log: set twice (it is a string at line 1 already)`,
			`g:3:1: log: set twice (it is a string at line 1 already)`}},
		{"same table", "[env]\n[env]\n", []string{`g:2:2: env: set twice (it is a table at line 1 already)`}},
		{"table and value", "env = {}\n[env]\n", []string{`g:2:2: env: set twice (it is a table at line 1 already)`}},
		{"below a value", "[[site]]\nroot = 'x'\n[site.root.x]\ny = 1", []string{
			`g:3:7: site.root: set twice (it is a string at line 2 already)`}},
		{"keys of a wrong table", "log = 'x'\n[log.a]\nb = 1\nb = 1\n[log]\nc = 1\nc = 1", []string{
			`g:2:2: log: set twice (it is a string at line 1 already)`,
			`g:4:1: log.a.b: set twice (it is an integer at line 3 already)`,
			`g:5:2: log: set twice (it is a string at line 1 already)`,
			`g:7:1: log.c: set twice (it is an integer at line 6 already)`}},
		{"inline and header", "site = [{}]\n[[site]]", []string{`g:2:3: site: set twice (it is an array at line 1 already)`}},
		{"array and table", "[[site]]\n[site]", []string{`g:2:2: site: set twice (it is an array at line 1 already)`}},
		{"dots into a header's", "[[site]]\n[site.env]\nA = 'x'\n[[site]]\nhosts = ['x']\nenv.A = 'x'\nenv.A = 'y'", []string{
			`g:7:5: site.env.A: set twice (it is a string at line 6 already)`}},
		{"dots and header", "env.A = 'x'\n[env]\nB = 'y'", []string{`g:2:2: env: set twice (it is a table at line 1 already)`}},
		{"in braces", "env = { A = 'x', A = 'y' }", []string{`g:1:18: env.A: set twice (it is a string at line 1 already)`}},
		{"many keys", "[env]\n" + strings.Repeat("A", 1) + "='x'\nB='x'\nC='x'\nD='x'\nE='x'\nF='x'\nG='x'\nH='x'\nI='x'\nJ='x'\nK='x'\nL='x'\nM='x'\nN='x'\nO='x'\nP='x'\nQ='x'\nA='x'\nQ='x'",
			[]string{`g:19:1: env.A: set twice (it is a string at line 2 already)`,
				`g:20:1: env.Q: set twice (it is a string at line 18 already)`}},
		{"endless key", "x" + strings.Repeat(".a", 100_000) + " = 1\n" + strings.Repeat("x.", 100_000) + "y = 1", []string{
			`g:1:1: x: unknown key`}},
		{"long path", strings.Repeat("a.", 600) + "b = 1\n" + strings.Repeat("a.", 600) + "b = 1", []string{
			`g:1:1: a: unknown key`,
			`g:2:1201: ` + strings.Repeat("a.", 500) + `a: set twice (it is an integer at line 1 already)`}},
		{"long name", "[env]\n" + strings.Repeat("A", 200) + " = 1", []string{
			`g:2:204: env."` + strings.Repeat("A", 80) + `"...: expected a string, got an integer (write "1")`}},
		{"site's key on top", "root = 'x'\nroute = []", []string{
			`g:1:1: root: not allowed here (it belongs in [[site]])`,
			`g:2:1: route: not allowed here (it belongs in [[site]])`}},
		{"wrong types", "cgroup = 1\nlog = 1\n[[site]]\nfallback = 1\nroot = 1\n[[site.route]]\npath = '/a'\nredirect = 1\n[[site.route]]\npath = '/b'\nstatic = ''", []string{
			`g:1:10: cgroup: expected a string, got an integer`,
			`g:2:7: log: expected a string, got an integer`,
			`g:4:12: site.fallback: expected a string, got an integer`,
			`g:5:8: site.root: expected a string, got an integer`,
			`g:8:12: site.route.redirect: expected a string, got an integer`,
			`g:11:10: site.route.static: empty path`}},
		{"string left open", "log = 'x\n[[[[", []string{
			`g:1:9: syntax error: literal strings cannot have new lines`}},
		{"string open to the end", "log = \"\"\"x\n[[[[", []string{
			`g:2:5: syntax error: multiline basic string not terminated by """`}},
		{"not an array", "[site]\nx = 1", []string{`g:1:1: site: expected an array, got a table (write [[site]])`}},
		{"array in an array", "site = [ [1] ]", []string{`g:1:8: site: expected a table, got an array`}},
		{"place of a header", "[[site]]\n  [[ site.route ]]\n", []string{
			`g:2:3: site.route: path is missing (expected one as in "/x/", "/x" or "*.cgi")`,
			`g:2:3: site.route: none of cgi, fastcgi, scgi, wsgi, static and redirect (expected exactly one)`}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { checkErrors(t, r.text, r.want...) })
	}
}

func TestServerErrors(t *testing.T) {
	checkErrors(t, `tiemout = "1s"
access-log = "off"
"odd key\n" = 1
xyzzy = 1
cgi = "x"
listen = "127.0.0.1:80"
include = ["[", "", 5]
log = "off"
access_log = "stdout"
trusted_proxies = ["10.0.0.1/8", "::1%lo", "localhost"]
cgroup = "x"
shutdown_timeout = 30
timeout = 1.5
processes = 0
queue = "512"
max_body = 1024
cpu = "1500ms"
spool_dir = "~/tmp"
linger = 2026-01-01
idle_timeout = [ "1s" ]
stdin_timeout = true
fastcgi = "x"
`,
		`g:1:1: tiemout: unknown key (did you mean "timeout"?)`,
		`g:2:1: access-log: unknown key (did you mean "access_log"?)`,
		`g:3:1: "odd key\n": unknown key`,
		`g:4:1: xyzzy: unknown key`,
		`g:5:1: cgi: not allowed here (it belongs in [[site.route]])`,
		`g:6:10: listen: expected an array, got a string (write ["127.0.0.1:80"])`,
		`g:7:12: include: bad glob "["`,
		`g:7:17: include: empty path`,
		`g:7:21: include: expected a string, got an integer`,
		`g:8:7: log: bad log "off" (expected "stderr" or a file)`,
		`g:9:14: access_log: bad log "stdout" (expected "stderr", "off" or a file)`,
		`g:10:20: trusted_proxies: bad network "10.0.0.1/8": it has bits behind its prefix (did you mean "10.0.0.0/8"?)`,
		`g:10:34: trusted_proxies: bad address "::1%lo" (expected an address, a network as in "10.0.0.0/8", or "unix")`,
		`g:10:44: trusted_proxies: bad address "localhost" (expected an address, a network as in "10.0.0.0/8", or "unix")`,
		`g:11:10: cgroup: bad folder "x" (expected one that begins with "/", as in "/sys/fs/cgroup/gatehouse")`,
		`g:12:20: shutdown_timeout: expected a string, got an integer (write "30s")`,
		`g:13:11: timeout: expected a string, got a fraction`,
		`g:14:13: processes: bad number 0 (expected one from 1 to 1000000)`,
		`g:15:9: queue: expected an integer, got a string (write 512 without quotation marks)`,
		`g:16:12: max_body: expected a string, got an integer (write "1024")`,
		`g:17:7: cpu: bad duration "1500ms" (expected whole seconds)`,
		`g:18:13: spool_dir: "~" in path "~/tmp" is not a shell's (write the folder in full)`,
		`g:19:10: linger: expected a string, got a date or time`,
		`g:20:16: idle_timeout: expected a string, got an array`,
		`g:21:17: stdin_timeout: expected a string, got a boolean`,
		`g:22:1: fastcgi: not allowed here (it belongs in [[site.route]])`,
	)
}

func TestListenErrors(t *testing.T) {
	long := "unix:/" + strings.Repeat("x", 107)
	checkErrors(t, "listen = ['', '127.0.0.1:80', 'http:127.0.0.1:080', ':0', ':0', 'unix:/a/b', 'unix:/a/./b',\n'"+long+"']",
		`g:1:11: listen: empty address (expected "host:port" or "unix:/path")`,
		`g:1:31: listen: address "http:127.0.0.1:080" is listed twice`,
		`g:1:78: listen: address "unix:/a/./b" is listed twice`,
		`g:2:1: listen: socket path "/`+strings.Repeat("x", 79)+`"... is longer than 107 bytes`,
	)
	checkErrors(t, "listen = []", `g:1:10: listen: no address (leave it out for 127.0.0.1:8080)`)
}

func TestSiteErrors(t *testing.T) {
	label := strings.Repeat("a", 64)
	checkErrors(t, `[[site]]
hosts = ["a.example", "A.EXAMPLE.", "a:80", "*", "ä.de", "a.*.b", "*.127.0.0.1", "-a", "[::1", "`+label+`", ""]
root = ""
index = ["a/b", ".."]
fallback = "index.cgi"
listing = "true"
[[site]]
hosts = ["b.example", "a.example"]
[[site]]
[[site]]
listen = []
[[site]]
hosts = []
`,
		`g:2:23: site.hosts: host "A.EXAMPLE." is given twice (the first is at g:2)`,
		`g:2:37: site.hosts: bad host name "a:80" (a host is written without a port)`,
		`g:2:45: site.hosts: bad host name "*" (leave hosts out for every host)`,
		`g:2:50: site.hosts: bad host name "ä.de" (write the "xn--" form of an international name)`,
		`g:2:59: site.hosts: bad host name "a.*.b" (a "*." may only stand in front, as in "*.example.org")`,
		`g:2:68: site.hosts: bad host name "*.127.0.0.1": an address has no names below it`,
		`g:2:83: site.hosts: bad host name "-a"`,
		`g:2:89: site.hosts: bad host name "[::1" (a host is written without a port)`,
		`g:2:97: site.hosts: bad host name "`+label+`"`,
		`g:2:165: site.hosts: bad host name ""`,
		`g:3:8: site.root: empty path`,
		`g:4:10: site.index: bad file name "a/b" (expected one without "/")`,
		`g:4:17: site.index: bad file name ".." (expected one without "/")`,
		`g:5:12: site.fallback: bad path "index.cgi" (expected one that begins with "/")`,
		`g:6:11: site.listing: expected a boolean, got a string (write true without quotation marks)`,
		`g:8:23: site.hosts: host "a.example" is given twice (the first is at g:2)`,
		`g:10:1: site: a second site without hosts (the first is at g:9)`,
		`g:11:1: site.listen: not allowed here (it belongs at the top of the main file, before any table)`,
		`g:13:9: site.hosts: no host (leave it out for every host)`,
	)
}

func TestEnvErrors(t *testing.T) {
	checkErrors(t, `[env]
OK = "x"
HTTP_PROXY = "x"
http_host = "x"
SCRIPT_NAME = "x"
ssl_client_cert = "x"
LD_PRELOAD = "x"
LD_LIBRARY_PATH = "x"
"A-B" = "x"
1A = "x"
"" = "x"
ok = "x"
NUM = 1
FLAG = true
NUL = "a\u0000"
LONG = "`+strings.Repeat("x", 128<<10-len("LONG=")-1)+`"
LONGER = "`+strings.Repeat("x", 128<<10-len("LONGER="))+`"
AUTH_TYPE = "Basic"
`,
		// A25, in any case (A29), and A26
		`g:3:1: env.HTTP_PROXY: variable "HTTP_PROXY" is for the request's header fields`,
		`g:4:1: env.http_host: variable "http_host" is for the request's header fields`,
		`g:5:1: env.SCRIPT_NAME: variable "SCRIPT_NAME" is the server's to set`,
		`g:6:1: env.ssl_client_cert: variable "ssl_client_cert" is the server's to set`,
		`g:7:1: env.LD_PRELOAD: variable "LD_PRELOAD" would change how programs are loaded`,
		`g:8:1: env.LD_LIBRARY_PATH: variable "LD_LIBRARY_PATH" would change how programs are loaded`,
		`g:9:1: env.A-B: bad variable name "A-B" (expected letters, digits and _, no digit in front)`,
		`g:10:1: env.1A: bad variable name "1A" (expected letters, digits and _, no digit in front)`,
		`g:11:1: env."": empty variable name`,
		`g:12:1: env.ok: name differs from "OK" only in case`,
		`g:13:7: env.NUM: expected a string, got an integer (write "1")`,
		`g:14:8: env.FLAG: expected a string, got a boolean (write "true")`,
		`g:15:7: env.NUL: value "a\x00" has a NUL in it`,                                                                           // A27
		`g:17:10: env.LONGER: value "`+strings.Repeat("x", 80)+`"... is too long: no program starts with a variable above 128 KiB`, // A28
	)
}

func TestRoutePathErrors(t *testing.T) {
	rows := []struct {
		path, want string
	}{
		{"x", `bad path "x" (expected one that begins with "/")`},
		{"", `bad path "" (expected one that begins with "/")`},
		{"/a//b", `bad path "/a//b": it has an empty part (the path of a request has none once it is normalised)`},
		{"/a/../b", `bad path "/a/../b": it has a "." or ".." in it (the path of a request has none once it is normalised)`},
		{"/a%20b", `bad path "/a%20b" (requests are matched after decoding; write "/a b")`},
		{"/a?b", `bad path "/a?b" (a query is no part of it)`},
		{"/a\\u0001", `bad path "/a\x01": it has a control character in it`},
		{"/*.php", `bad path "/*.php" ("*" may only stand in front, as in "*.php"; a "/" at the end takes in everything below)`},
		{"*", `bad suffix "*" (expected one as in "*.php")`},
		{"*php", `bad suffix "*php" (expected one as in "*.php")`},
		{"*.", `bad suffix "*." (expected one as in "*.php")`},
		{"*.p*", `bad suffix "*.p*" (expected one as in "*.php")`},
		{"*.php/", `bad suffix "*.php/" (expected one as in "*.php")`},
	}
	for _, r := range rows {
		t.Run(r.path, func(t *testing.T) {
			checkErrors(t, "[[site]]\n[[site.route]]\npath = \""+r.path+"\"\nredirect = '/'",
				"g:3:8: site.route.path: "+r.want)
		})
	}
	parse(t, "[[site]]\nroute = [{path = '/100%/', redirect = '/'}, {path = '/a b/é', redirect = '/'}, {path = '/...', redirect = '/'}]")
}

func TestRouteErrors(t *testing.T) {
	rows := []struct {
		name, route string
		want        []string
	}{
		{"none", `path = "/x"`, []string{`g:2:1: site.route: none of cgi, fastcgi, scgi, wsgi, static and redirect (expected exactly one)`}},
		{"none, misspelt", "path = '/x'\nsttic = 'x'", []string{`g:4:1: site.route.sttic: unknown key (did you mean "static"?)`}},
		{"planned", "path = '/x'\nproxy = 'x'", []string{
			`g:2:1: site.route: none of cgi, fastcgi, scgi, wsgi, static and redirect (expected exactly one)`,
			`g:4:1: site.route.proxy: unknown key`}},
		{"two", "path = '/x'\ncgi = 'x'\nredirect = '/y'", []string{
			`g:5:1: site.route.redirect: a second handler beside cgi (expected exactly one of cgi, fastcgi, scgi, wsgi, static and redirect)`}},
		{"no path", "cgi = 'x'", []string{`g:2:1: site.route: path is missing (expected one as in "/x/", "/x" or "*.cgi")`}},
		{"wrong types", "path = 1\ncgi = 5\nnph = 1\naccept_path_info = []\nenv = []", []string{
			`g:3:8: site.route.path: expected a string, got an integer`,
			`g:4:7: site.route.cgi: expected a string or true, got an integer`,
			`g:5:7: site.route.nph: expected a boolean, got an integer`,
			`g:6:20: site.route.accept_path_info: expected a boolean, got an array`,
			`g:7:7: site.route.env: expected a table, got an array`}},
		{"false", "path = '*.cgi'\ncgi = false", []string{
			`g:3:8: site.route.path: suffix "*.cgi" needs a root (it matches files of the site's root)`,
			`g:4:7: site.route.cgi: expected a string or true, got false (leave it out)`}},
		{"true without suffix", "path = '/x'\ncgi = true", []string{
			`g:4:7: site.route.cgi: true is for a path as in "*.cgi" (expected a folder of scripts or one script)`}},
		{"folder at one path", "path = '/x'\ncgi = '/x/'", []string{
			`g:4:7: site.route.cgi: a folder of scripts does not go with the path "/x" (write the path as "/x/")`}},
		{"files at one path", "path = '/x'\nstatic = '/x/'", []string{
			`g:4:10: site.route.static: a folder of files does not go with the path "/x" (write the path as "/x/")`}},
		{"file at a prefix", "path = '/x/'\nstatic = '/x'", []string{
			`g:4:10: site.route.static: one file does not go with the path "/x/" (a folder is written with a "/" at its end)`}},
		{"idle", "path = '/x'\nredirect = '/y'\nnph = true\ntimeout = '1s'\nlisting = true\nenv.A = 'x'", []string{
			`g:5:1: site.route.nph: does nothing in a route with redirect (it is for cgi)`,
			`g:6:1: site.route.timeout: does nothing in a route with redirect (it is for cgi, fastcgi, scgi, wsgi and authorize)`,
			`g:7:1: site.route.listing: does nothing in a route with redirect (it is for static)`,
			`g:8:1: site.route.env: does nothing in a route with redirect (it is for cgi, fastcgi, scgi, wsgi and authorize)`}},
		{"idle status", "path = '/x'\ncgi = 'x'\nstatus = 301", []string{
			`g:5:1: site.route.status: does nothing in a route with cgi (it is for redirect)`}},
		{"bad status", "path = '/x'\nredirect = '/y'\nstatus = 304", []string{
			`g:5:10: site.route.status: bad status 304 (expected 301, 302, 303, 307 or 308)`}},
		{"integers that TOML has not", "path = '/x'\nredirect = '/y'\nstatus = 3__02\nqueue = 0x_1", []string{
			`g:5:10: site.route.status: bad integer "3__02"`,
			`g:6:1: site.route.queue: does nothing in a route with redirect (it is for cgi, fastcgi, scgi, wsgi and authorize)`,
			`g:6:9: site.route.queue: bad integer "0x_1"`}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { checkErrors(t, "[[site]]\n[[site.route]]\n"+r.route+"\n", r.want...) })
	}
}

func TestSuffixAndTwiceErrors(t *testing.T) {
	checkErrors(t, `[[site]]
root = "/srv"
[[site.route]]
path = "*.cgi"
cgi = "/usr/bin/php-cgi"
[[site.route]]
path = "*.txt"
static = "/x/"
[[site.route]]
path = "*.cgi"
cgi = true
`,
		`g:5:7: site.route.cgi: does not go with the suffix "*.cgi" (expected cgi = true, fastcgi, scgi or a redirect)`,
		`g:8:10: site.route.static: does not go with the suffix "*.txt" (expected cgi = true, fastcgi, scgi or a redirect)`,
		`g:10:8: site.route.path: path "*.cgi" has two routes (the first is at line 3)`,
	)
}

func TestRedirectErrors(t *testing.T) {
	for _, target := range []string{"//evil.example/", "x", "ftp://h/", "https://", "http:/x", "javascript:alert(1)", "http://[/", ""} {
		t.Run(target, func(t *testing.T) {
			checkErrors(t, "[[site]]\n[[site.route]]\npath = '/x'\nredirect = \""+target+"\"",
				`g:4:12: site.route.redirect: bad target "`+target+`" (expected "/path" or "https://host/path")`)
		})
	}
	checkErrors(t, "[[site]]\n[[site.route]]\npath = '/x'\nredirect = \"/a\\r\\nX: y\"",
		`g:4:12: site.route.redirect: bad target "/a\r\nX: y": it has a space, a control or a non-ASCII character in it (write it percent-encoded)`)
}
