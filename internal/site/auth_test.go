package site_test

import (
	"encoding/base64"
	"net"
	"os"
	"strings"
	"testing"
)

// The passwords of all users but umlaut, and lines as htpasswd and openssl write them.
const horse = "correct horse"

const userLines = `# a remark

bcrypt:$2y$04$Oosh75aKVhtNer./TdpKkuU50XBe6LezfR0s/KKQz9wuTHJenmwqi
apr1:$apr1$J1FILCEV$MVskaGOr19SmPqnKsaS1j/
md5:$1$tWsN3fi9$pjdBpm63tPuHUA5813Kin.
sha:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=
ssha:{SSHA}K0MZxWoMPVRxegoJBeg1/wEGvbpzYWx0MTIzNA==
sha256:$5$D99PjIe5RENid17.$Vze3xFke5UZrE6HCtwaf2j4v3IX4XyQuRYPqo1ARoMA
sha512:$6$jItaJ2WbTmomw9Ns$MGeYBuBoc5kC.gZhxW4umgkloLtSUrSE0LwzJ4QCkXc9g/hiYCHcl4TINQKezcSsSspTaHgKfoxB4A/.L2UKl1
rounds:$6$rounds=1000$saltsalt$4GMtaIz3E1AdDi2SmCokEW0ehi.HdxNDcL3fGE1XXuzvo6kbx7UOloZKONqEk5H3JrQA4NOfU8BmqFPrpGqwA1
umlaut:$2y$04$/QS4hk3.rfht.toAkzBQjeps6nAuZTYgRxLVb2SEPaiZ9BdQ3qlfS
remark:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=:Some Body:room 12
long:{SHA}1aPJvX50bJi0rqDpGU+5VVs8Iq0=
longer:{SHA}3AhJ3JfS59X1dbGr3F+pbUmJFl8=
`

// badLines let nobody in.
const badLines = `des:FbgyS2q09dLJE
yescrypt:$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04
plain:correct horse
nocolon
:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=
sha:{SHA}QL0AFWMIX8NRZTKeof9cXsvbvu8=
short:{SHA}QL0A
costly:$2y$31$Oosh75aKVhtNer./TdpKkuU50XBe6LezfR0s/KKQz9wuTHJenmwqi
rounds9:$6$rounds=999999999$saltsalt$4GMtaIz3E1AdDi2S
roundsx:$6$rounds=x$saltsalt$4GMtaIz3E1AdDi2S
`

// as is the field of a client that says who it is.
func as(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

const authConfig = `
[[site]]
root = "DIR/htdocs"
basic_auth = { realm = 'the "inner" \ circle', file = "DIR/users" }
`

func TestBasicAuthHashes(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "inside", "users": userLines + badLines})
	s := start(t, dir, authConfig)
	for _, test := range []struct {
		name, user, password string
		status               int
	}{
		{"bcrypt", "bcrypt", horse, 200},
		{"MD5 of Apache", "apr1", horse, 200},
		{"MD5 of crypt", "md5", horse, 200},
		{"SHA-1", "sha", horse, 200},
		{"SHA-1 with a salt", "ssha", horse, 200},
		{"SHA-256", "sha256", horse, 200},
		{"SHA-512", "sha512", horse, 200},
		{"SHA-512 with rounds", "rounds", horse, 200},
		{"UTF-8 and a colon", "umlaut", "grün:☃", 200},
		{"a line with remarks", "remark", horse, 200},
		{"wrong", "bcrypt", "correct horsf", 401},
		{"wrong, MD5", "apr1", "x", 401},
		{"wrong, SHA-512", "sha512", "", 401},
		{"no password", "bcrypt", "", 401},
		{"unknown user", "nobody", horse, 401},
		{"no user", "", horse, 401},
		{"the case of a name counts", "BCRYPT", horse, 401},
		{"DES is not known", "des", "correct h", 401},
		{"yescrypt is not known", "yescrypt", "x", 401},
		{"an unknown hash is no password", "yescrypt", "$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", 401},
		{"nor is plain text", "plain", horse, 401},
		{"the first of two lines is meant", "sha", "b", 401},
		{"too costly", "costly", horse, 401},
		{"too many rounds", "rounds9", horse, 401},
		{"rounds that crypt refuses", "roundsx", horse, 401},
		{"a name too long", strings.Repeat("x", 256), horse, 401},
		{"the longest password", "long", strings.Repeat("x", 1024), 200},
		{"a longer one", "longer", strings.Repeat("x", 1025), 401},
		{"a control character in the name", "bcrypt\n", horse, 401},
		{"a NUL in the password", "sha", horse + "\x00", 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			if a := s.get(t, "/x", as(test.user, test.password)); a.StatusCode != test.status || (a.body == "inside") != (test.status == 200) {
				t.Errorf("got %d %q, want %d", a.StatusCode, a.body, test.status)
			}
		})
	}
	log := s.log.String()
	for _, want := range []string{"line 15: its hash is of no kind", "line 16: its hash is of no kind", "line 17: its hash is of no kind", "line 18: it is not NAME:HASH",
		"line 19: it is not NAME:HASH", "line 20: the name has been there before", "line 21: its hash is malformed",
		"line 22: a bcrypt cost of 31 is above 16", "line 23: 999999999 rounds are above", "line 24: its hash is malformed"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}
	said := log + s.access.String()
	for _, secret := range []string{horse, "FbgyS2q09dLJE", "$y$j9T", "L55TUjtiq8", strings.TrimPrefix(as("bcrypt", horse), "Authorization: Basic "), "correct horsf"} {
		if strings.Contains(said, secret) {
			t.Errorf("%q is in the logs:\n%s", secret, said)
		}
	}
}

func TestBasicAuthChallenge(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "inside", "users": userLines})
	s := start(t, dir, authConfig)
	good := strings.TrimPrefix(as("sha", horse), "Authorization: Basic ")
	for _, test := range []struct {
		name, field string
		status      int
	}{
		{"none", "", 401},
		{"scheme in any case", "Authorization: bASIC " + good, 200},
		{"several spaces", "Authorization: Basic   " + good, 200},
		{"no scheme", "Authorization: " + good, 401},
		{"another scheme", "Authorization: Bearer " + good, 401},
		{"scheme alone", "Authorization: Basic", 401},
		{"no base64", "Authorization: Basic !!!", 401},
		{"base64 without its end", "Authorization: Basic " + strings.TrimRight(good, "="), 401},
		{"no colon", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("sha")), 401},
		{"for a proxy", "Proxy-Authorization: Basic " + good, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := []string{test.field}
			if test.field == "" {
				lines = nil
			}
			a := s.get(t, "/x", lines...)
			if a.StatusCode != test.status {
				t.Fatalf("got %d, want %d", a.StatusCode, test.status)
			}
			want := ""
			if test.status == 401 {
				want = `Basic realm="the \"inner\" \\ circle", charset="UTF-8"`
			}
			if got := a.Header.Get("WWW-Authenticate"); got != want {
				t.Errorf("WWW-Authenticate: got %q, want %q", got, want)
			}
			if strings.Contains(a.body, "inside") != (test.status == 200) {
				t.Errorf("got %q", a.body)
			}
		})
	}
	if line := s.accessOf(t, "status=401"); !strings.Contains(line, "no name and password came with the request") {
		t.Errorf("got %s", line)
	}
}

// A01, A11, A33: every kind of application gets to know who the client is, and not by
// which password.
func TestBasicAuthVariables(t *testing.T) {
	needPython(t)
	dir := tree(t, files{"htdocs/": "", "users": userLines, "cgi-bin/env": envScript,
		"app.py": "def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n" +
			"    return [''.join('%s=%s\\n' % item for item in environ.items()).encode('latin-1')]\n"})
	s := start(t, dir, authConfig+`
[[site.route]]
path = "/scgi/"
scgi = "`+application(t, echoSCGI)+`"
[[site.route]]
path = "/wsgi/"
wsgi = { module = "app.py", python = "`+python3+`", workers = 1 }
[[site.route]]
path = "/cold/"
wsgi = { module = "app.py", python = "`+python3+`", mode = "cgi" }
[[site.route]]
path = "/cgi-bin/"
cgi = "DIR/cgi-bin/"
[[site.route]]
path = "/fastcgi/"
fastcgi = "`+application(t, echoFastCGI)+`"
[[site.route]]
path = "/open/"
fastcgi = "`+application(t, echoFastCGI)+`"
basic_auth = false
`)
	for _, target := range []string{"/cgi-bin/env", "/fastcgi/x", "/scgi/x", "/wsgi/x", "/cold/x"} {
		a := s.get(t, target, as("sha", horse), "Proxy-Authorization: Basic eDp5", "Remote-User: root")
		if a.StatusCode != 200 || !strings.Contains(a.body, "AUTH_TYPE=Basic\n") || !strings.Contains(a.body, "REMOTE_USER=sha\n") {
			t.Errorf("%s: got %d %q", target, a.StatusCode, a.body)
		}
		if strings.Contains(a.body, "AUTHORIZATION") {
			t.Errorf("%s: Authorization was passed on: %q", target, a.body)
		}
		if a := s.get(t, target); a.StatusCode != 401 {
			t.Errorf("%s without a password: got %d", target, a.StatusCode)
		}
	}
	a := s.get(t, "/open/x", as("sha", "its own business"))
	if a.StatusCode != 200 || !strings.Contains(a.body, "HTTP_AUTHORIZATION=Basic ") || strings.Contains(a.body, "REMOTE_USER=") || strings.Contains(a.body, "AUTH_TYPE=") {
		t.Errorf("basic_auth = false: got %d %q", a.StatusCode, a.body)
	}
}

// A49: what is guarded is so by whatever way it is reached.
func TestBasicAuthGuardsWhatIsFound(t *testing.T) {
	says := func(what string) string { return script(okHeader, "printf '"+what+" %s' \"$REMOTE_USER\"") }
	dir := tree(t, files{
		"users": userLines, "others": "other:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n",
		"htdocs/open.html": "open", "htdocs/page.cgi": says("page"), "htdocs/dir/index.cgi": says("index"),
		"private/secret": "secret", "private/sub/x": "deeper", "private/index.html": "secret index", "front": says("front"),
		"redirecting/to": script(`printf 'Location: /private/secret\n\n'`), "errors/404.html": "no such page", "errors/401.html": "say who you are",
		"pages/404.html": "guarded page",
	})
	s := start(t, dir, `
[[site]]
hosts = ["localhost"]
root = "DIR/htdocs"
fallback = "/front"
[[site.route]]
path = "/private/"
static = "DIR/private/"
basic_auth = { file = "DIR/users" }
error_pages = { 401 = "/errors/401.html", 404 = "/pages/404.html" }
[[site.route]]
path = "/errors/"
static = "DIR/errors/"
[[site.route]]
path = "/pages/"
static = "DIR/pages/"
basic_auth = { file = "DIR/others" }
[[site.route]]
path = "/front"
cgi = "DIR/front"
[[site.route]]
path = "*.cgi"
cgi = true
basic_auth = { file = "DIR/users" }
[[site.route]]
path = "/redirecting/"
cgi = "DIR/redirecting/"
[[site.route]]
path = "/moved/"
redirect = "/elsewhere"
basic_auth = { file = "DIR/users" }

[[site]]
hosts = ["two.test"]
root = "DIR/htdocs"
fallback = "/front"
[[site.route]]
path = "/front"
cgi = "DIR/front"
basic_auth = { file = "DIR/users" }
[[site.route]]
path = "/private/"
static = "DIR/private/"
basic_auth = { file = "DIR/others" }
`)
	user, other := as("sha", horse), as("other", horse)
	for _, test := range []struct {
		name, host, target, as string
		status                 int
		body                   string
	}{
		{"what is open", "localhost", "/open.html", "", 200, "open"},
		{"a file", "localhost", "/private/secret", "", 401, "say who you are"},
		{"a file, asked properly", "localhost", "/private/secret", user, 200, "secret"},
		{"an index", "localhost", "/private/", "", 401, "say who you are"},
		{"a folder without its slash", "localhost", "/private/sub", "", 401, "say who you are"},
		{"what there is not", "localhost", "/private/nothing", "", 401, "say who you are"},
		{"dots", "localhost", "/open/../private/secret", "", 401, "say who you are"},
		{"escapes", "localhost", "/%70rivate/secret", "", 401, "say who you are"},
		{"slashes", "localhost", "//private//secret", "", 401, "say who you are"},
		{"what there is not goes to the fallback", "localhost", "/private/nothing", user, 200, "front sha"},
		{"the fallback of what is open", "localhost", "/nothing", "", 200, "front "},
		{"by the end of a name", "localhost", "/page.cgi", "", 401, ""},
		{"by the end of a name, asked properly", "localhost", "/page.cgi/x", user, 200, "page sha"},
		{"an index that is a script", "localhost", "/dir/", "", 401, ""},
		{"a name with that end that there is not", "localhost", "/nothing.cgi", "", 401, ""},
		{"and something behind it", "localhost", "/nothing.cgi/x", "", 401, ""},
		{"a local redirect", "localhost", "/redirecting/to", "", 401, "say who you are"},
		{"a local redirect, asked properly", "localhost", "/redirecting/to", user, 200, "secret"},
		{"a redirect", "localhost", "/moved/x", "", 401, ""},
		{"the fallback is guarded", "two.test", "/nothing", "", 401, ""},
		{"the fallback is guarded, asked properly", "two.test", "/nothing", user, 200, "front sha"},
		{"both are guarded, by different files: the path's", "two.test", "/private/nothing", user, 401, ""},
		{"both are guarded, by different files: the fallback's", "two.test", "/private/nothing", other, 401, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := []string{"Host: " + test.host}
			if test.as != "" {
				lines = append(lines, test.as)
			}
			a := s.get(t, test.target, lines...)
			if a.StatusCode != test.status || test.body != "" && a.body != test.body {
				t.Errorf("got %d %q, want %d %q", a.StatusCode, a.body, test.status, test.body)
			}
			if test.status == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic realm=") {
				t.Errorf("WWW-Authenticate: got %q", a.Header.Get("WWW-Authenticate"))
			}
			for _, secret := range []string{"secret", "deeper", "guarded page"} {
				if test.status == 401 && strings.Contains(a.body, secret) {
					t.Errorf("shown to everybody: %q", a.body)
				}
			}
		})
	}
}

// An authorizer is asked about clients whose password was right, and sees who they are.
func TestBasicAuthBeforeAuthorizer(t *testing.T) {
	asksUser := func(a *asked) string {
		if a.get("REMOTE_USER") != "sha" || a.get("HTTP_AUTHORIZATION") != "" {
			return "Status: 403 No\r\nContent-Type: text/plain\r\n\r\nnot you\n"
		}
		return "Status: 200 Yes\r\n\r\n"
	}
	guard := application(t, func(ln net.Listener) { serveFastCGI(ln, asksUser) })
	dir := tree(t, files{"htdocs/": "", "users": userLines, "private/x": "inside"})
	s := start(t, dir, authConfig+`
[[site.route]]
path = "/private/"
static = "DIR/private/"
authorize = "`+guard+`"
`)
	for _, test := range []struct {
		name, user, password string
		status               int
		body                 string
	}{
		{"both say yes", "sha", horse, 200, "inside"},
		{"the authorizer says no", "md5", horse, 403, "not you\n"},
		{"the password is wrong", "sha", "x", 401, ""},
	} {
		if a := s.get(t, "/private/x", as(test.user, test.password)); a.StatusCode != test.status || test.body != "" && a.body != test.body {
			t.Errorf("%s: got %d %q, want %d %q", test.name, a.StatusCode, a.body, test.status, test.body)
		}
	}
}

// The file is read again when it changes; without one that can be read nobody is let in.
func TestBasicAuthFileChanges(t *testing.T) {
	dir := tree(t, files{"htdocs/x": "inside", "users": "one:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n"})
	s := start(t, dir, authConfig)
	users := dir + "/users"
	status := func(user string, want int) {
		t.Helper()
		if a := s.get(t, "/x", as(user, horse)); a.StatusCode != want {
			t.Errorf("%s: got %d, want %d", user, a.StatusCode, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	status("one", 200)
	status("two", 401)
	put(t, users, "two:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n") // as long, and in its place
	status("one", 401)
	status("two", 200)
	do(os.WriteFile(users, []byte("one:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n"), 0o644)) // the same file
	status("one", 200)
	status("two", 401)
	do(os.Remove(users))
	status("one", 500)
	do(os.Mkdir(users, 0o755))
	status("one", 500)
	do(os.Remove(users))
	put(t, users, "one:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n\x00")
	status("one", 500)
	status("one", 500)
	put(t, users, "")
	status("one", 401)
	put(t, users, "one:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n")
	status("one", 200)
	log := s.log.String()
	for _, want := range []string{"no such file", "not a regular file", "it is no text"} {
		if strings.Count(log, want) != 1 {
			t.Errorf("%q is in the log %d times, want once:\n%s", want, strings.Count(log, want), log)
		}
	}
}

// A file of passwords that lies among those that are sent is not sent.
func TestBasicAuthHidesItsFile(t *testing.T) {
	dir := tree(t, files{"htdocs/passwords": userLines, "htdocs/link": "-> passwords", "htdocs/x": "inside",
		"cgi-bin/send": script(`printf 'X-Accel-Redirect: /passwords\nContent-Type: text/plain\n\n'`)})
	s := start(t, dir, `
[[site]]
root = "DIR/htdocs"
[[site.route]]
path = "/guarded/"
static = "DIR/htdocs/"
basic_auth = { file = "DIR/htdocs/link" }
[[site.route]]
path = "/send/"
cgi = "DIR/cgi-bin/"
sendfile = "DIR/htdocs/"
`)
	for target, want := range map[string]int{"/passwords": 403, "/link": 403, "/guarded/passwords": 403, "/send/send": 404, "/guarded/x": 200, "/x": 200} {
		if a := s.get(t, target, as("sha", horse)); a.StatusCode != want || strings.Contains(a.body, "{SHA}") {
			t.Errorf("%s: got %d %q, want %d", target, a.StatusCode, a.body, want)
		}
	}
}
