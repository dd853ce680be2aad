package site_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/cgi"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// formatted serves one script with an access log of that format.
func formatted(t testing.TB, format, keys string) *server {
	t.Helper()
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/ok": script("cat >/dev/null", `printf 'Content-Type: text/plain\nX-Mine: a"b\nX-Mine: c\n\n'`, "echo body"),
		"cgi-bin/fails": script(okHeader, "kill -9 $$")})
	quoted, err := json.Marshal(format) // as TOML has it
	if err != nil {
		t.Fatal(err)
	}
	return start(t, dir, "access_log_format = "+string(quoted)+"\n"+keys+logConfig)
}

const (
	apacheTime = `\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [-+]\d{4}\]`
	anyID      = `[0-9a-f]{12}-[0-9a-z]+`
)

// Lines as Apache writes them.
func TestAccessLogFormats(t *testing.T) {
	post := request("POST", "/cgi-bin/ok/info?q=%22x", "Content-Length: 5", "Content-Type: text/x", "Referer: http://r.example/", `User-Agent: A "quoted" \ one`, "X-Y: ") + "hello"
	for _, tt := range []struct{ name, format, request, want string }{
		{"common", "common", post, `127\.0\.0\.1 - - ` + apacheTime + ` "POST /cgi-bin/ok/info\?q=%22x HTTP/1\.1" 200 5`},
		{"combined", "combined", post, `127\.0\.0\.1 - - ` + apacheTime + ` "POST /cgi-bin/ok/info\?q=%22x HTTP/1\.1" 200 5 "http://r\.example/" "A \\"quoted\\" \\\\ one"`},
		{"vhost_combined", "vhost_combined", post, `localhost:\d+ 127\.0\.0\.1 - - ` + apacheTime + ` "POST /cgi-bin/ok/info\?q=%22x HTTP/1\.1" 200 \d\d+ "http://r\.example/" "A .*"`},
		{"nothing sent", "common", request("HEAD", "/hello.txt"), `127\.0\.0\.1 - - ` + apacheTime + ` "HEAD /hello\.txt HTTP/1\.1" 200 -`},
		{"refused by the listener", "combined", "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", `127\.0\.0\.1 - - ` + apacheTime + ` "-" 400 - "-" "-"`},
		{"refused by the handler", "common", request("GET", "/%00"), `127\.0\.0\.1 - - ` + apacheTime + ` "GET /%00 HTTP/1\.1" 400 \d+`},
		{"sizes", "%b %B %I %O", post, `5 5 \d{3} \d{3}`},
		{"sizes of nothing", "%b %B", request("HEAD", "/hello.txt"), `- 0`},
		{"request", "%m|%U|%q|%H|%r", post, `POST\|/cgi-bin/ok/info\|\?q=%22x\|HTTP/1\.1\|POST .* HTTP/1\.1`},
		{"no query", "%m%q", request("GET", "/hello.txt"), `GET`},
		{"fields", "%{referer}i|%{X-Y}i|%{X-Z}i|%{content-type}i|%{Content-Length}i", post, `http://r\.example/\|\|-\|text/x\|5`},
		{"fields of the response", "%{content-type}o|%{X-Mine}o|%{None}o", post, `text/plain\|a\\"b, c\|-`},
		{"length of the response", "%{Content-Length}o", request("GET", "/hello.txt"), "5"},
		{"variables", "%{REQUEST_METHOD}e %{UNIQUE_ID}e %{NONE}e %{SCRIPT_FILENAME}e", post, `POST ` + anyID + ` - /.*/cgi-bin/ok`},
		{"host", "%v %V %p %{remote}p %{local}p", post, `localhost localhost (\d+) \d+ \d+`},
		{"ids", "%L %P %k %f", post, anyID + ` \d+ 0 /.*/cgi-bin/ok`},
		{"own process", "%P", request("GET", "/hello.txt"), fmt.Sprint(os.Getpid())},
		{"closed connection", "%X", post, `-`},
		{"kept connection", "%X%k", strings.Replace(request("GET", "/hello.txt"), "Connection: close\r\n", "", 1), `\+0`},
		{"a response that was cut", "%X %>s", request("GET", "/cgi-bin/fails"), `X 200`},
		{"times", "%T %{s}T %{ms}T %{us}T %D", post, `\d+ \d+ \d+ \d+ \d+`},
		{"times of day", "%{sec}t %{msec}t %{usec}t %{msec_frac}t %{usec_frac}t %{%Y}t %{end:%s}t", post, `\d{10} \d{13} \d{16} \d{3} \d{6} 20\d\d \d{10}`},
		{"text", `a\tb\"c%%`, post, "a\tb\"c%"},
		{"nobody", "%l %u", post, "- -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := formatted(t, tt.format, "")
			s.do(t, tt.request)
			if line := s.lastAccess(t, 1); !regexp.MustCompile("^" + tt.want + "$").MatchString(line) {
				t.Errorf("%s writes\n%s\nwant\n%s", tt.format, line, tt.want)
			}
		})
	}
}

// Whoever a request comes from is in the log, by whatever way that was found out; who only
// claims to be somebody is not.
func TestAccessLogUser(t *testing.T) {
	password := sha1.Sum([]byte("secret"))
	dir := tree(t, files{"htdocs/hello.txt": "hello", "passwords": "er ika:{SHA}" + base64.StdEncoding.EncodeToString(password[:]) + "\n"})
	s := start(t, dir, `access_log_format = "%u %>s"
[[site]]
root = "DIR/htdocs"
basic_auth = { realm = "trial", file = "DIR/passwords" }
`)
	for n, tt := range []struct{ credentials, want string }{{"er ika:secret", "er ika 200"}, {"er ika:wrong", "- 401"}} {
		s.get(t, "/hello.txt", "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(tt.credentials)))
		if line := s.lastAccess(t, n+1); line != tt.want {
			t.Errorf("%s: got %q, want %q", tt.credentials, line, tt.want)
		}
	}
}

// Which request it is on its connection.
func TestAccessLogKept(t *testing.T) {
	s := formatted(t, "%k%X", "")
	conn := s.dial(t)
	defer conn.Close()
	kept := strings.Replace(request("GET", "/hello.txt"), "Connection: close\r\n", "", 1)
	r := bufio.NewReader(conn)
	for range 3 {
		fmt.Fprint(conn, kept)
		read(t, r, kept)
	}
	s.lastAccess(t, 3)
	if got := s.access.String(); got != "0+\n1+\n2+\n" {
		t.Errorf("got %q", got)
	}
}

// Everything that could forge a line or reach a terminal is escaped as Apache does, and
// no value leaves its quotation marks (E64).
func TestAccessLogEscapes(t *testing.T) {
	s := formatted(t, `"%r" "%U" "%q" "%{X}i" "%v" "%f"`, "")
	for n, tt := range []struct{ name, request, want string }{
		{"quotation marks", request("GET", "/x%22?\"", `X: "\"`), `"GET /x%22?\" HTTP/1.1" "/x\"" "?\"" "\"\\\"" "localhost" "-"`},
		{"bytes", request("GET", "/%ff%c3%a9", "X: a\tb\xff\xc3\xa9\xc2\x9b"), `"GET /%ff%c3%a9 HTTP/1.1" "/\xff\xc3\xa9" "" "a\tb\xff\xc3\xa9\xc2\x9b" "localhost" "-"`},
		{"refused", request("GET", "/\x1b[2J"), `"-" "-" "-" "-" "-" "-"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.do(t, tt.request)
			line := s.lastAccess(t, n+1)
			if line != tt.want {
				t.Errorf("got\n%s\nwant\n%s", line, tt.want)
			}
		})
	}
}

// The conversions of strftime(3), against what date(1) and the C library say.
func TestAccessLogTimes(t *testing.T) {
	begun := time.Date(2024, 12, 30, 0, 5, 9, 7_008_000, time.FixedZone("EST", -5*3600)) // in week 1 of 2025
	for pattern, want := range map[string]string{
		"%a %A %b %B %h":          "Mon Monday Dec December Dec",
		"%C %d %D %e %F":          "20 30 12/30/24 30 2024-12-30",
		"%g %G %V %u %w %U %W":    "25 2025 01 1 1 52 53",
		"%H %I %j %k %l %m %M %S": "00 12 365  0 12 12 05 09",
		"%p %P %r %R %T":          "AM am 12:05:09 AM 00:05 00:05:09",
		"%s %y %Y %z %Z %%":       "1735535109 24 2024 -0500 EST %",
	} {
		got := site.FormatTime(begun, pattern)
		if got != want {
			t.Errorf("%q is %q, want %q", pattern, got, want)
		}
	}
}

// jsonOf is the nth line of a log of JSON objects.
func jsonOf(t testing.TB, s *server, n int) map[string]any {
	t.Helper()
	line := s.lastAccess(t, n)
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return fields
}

// The fields of JSON: each of its type, and none that is not known.
func TestAccessLogJSON(t *testing.T) {
	s := formatted(t, "json", "")
	for n, tt := range []struct {
		name, request string
		want          map[string]string // by field: the value as %v has it, "*" for any, by type where it is a number
	}{
		{"script", request("POST", "/cgi-bin/ok?q", "Content-Length: 5", "Referer: http://r.example/é", "User-Agent: a\"b\\\xff") + "hello", map[string]string{
			"time": "*", "client": "127.0.0.1", "method": "POST", "uri": "/cgi-bin/ok?q", "protocol": "HTTP/1.1", "host": "localhost",
			"referer": "http://r.example/é", "user_agent": `a"b\\xff`, "request": "*", "status": "200", "bytes_in": "5", "bytes_out": "5", "total": "*s",
			"site": "default", "route": "/cgi-bin/", "script": "*", "pid": "*n", "start": "*s", "first_byte": "*s",
			"exit": "0", "cpu_user": "*s", "cpu_system": "*s"}},
		{"file", request("GET", "/hello.txt"), map[string]string{
			"time": "*", "client": "127.0.0.1", "method": "GET", "uri": "/hello.txt", "protocol": "HTTP/1.1", "host": "localhost", "request": "*",
			"status": "200", "bytes_in": "0", "bytes_out": "5", "total": "*s", "site": "default", "route": "(files)", "script": "*"}},
		{"signal", request("GET", "/cgi-bin/fails"), map[string]string{
			"time": "*", "client": "127.0.0.1", "method": "GET", "uri": "/cgi-bin/fails", "protocol": "HTTP/1.1", "host": "localhost", "request": "*",
			"status": "200", "bytes_in": "0", "bytes_out": "0", "total": "*s", "site": "default", "route": "/cgi-bin/", "script": "*", "pid": "*n",
			"start": "*s", "first_byte": "*s", "signal": "9", "cpu_user": "*s", "cpu_system": "*s", "aborted": "true", "failure": "truncated", "reason": "*"}},
		{"missing", request("GET", "/none"), map[string]string{
			"time": "*", "client": "127.0.0.1", "method": "GET", "uri": "/none", "protocol": "HTTP/1.1", "host": "localhost", "request": "*",
			"status": "404", "bytes_in": "0", "bytes_out": "*n", "total": "*s", "site": "default", "failure": "not-found", "reason": "*"}},
		{"no request", "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", map[string]string{
			"time": "*", "client": "127.0.0.1", "status": "400", "failure": "bad-request", "reason": "*"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.do(t, tt.request)
			got := jsonOf(t, s, n+1)
			for _, optional := range []string{"max_rss", "how", "how_why", "queue"} { // as it comes
				delete(got, optional)
			}
			if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(tt.want)); !slices.Equal(a, b) {
				t.Errorf("fields %v, want %v", a, b)
			}
			for key, want := range tt.want {
				_, isNumber := got[key].(float64)
				if text := fmt.Sprint(got[key]); text != want && want[0] != '*' || len(want) == 2 && !isNumber {
					t.Errorf("%s is %q, want %q", key, text, want)
				}
			}
			if when, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil || time.Since(when) > long || time.Since(when) < 0 {
				t.Errorf("time %v: %v", got["time"], err)
			}
		})
	}
	if text := s.access.String(); strings.Contains(text, "\xff") {
		t.Errorf("bytes that are no text:\n%q", text)
	}
}

// Seconds are written with six decimals.
func TestAccessLogSeconds(t *testing.T) {
	s := formatted(t, "json", "")
	s.get(t, "/cgi-bin/ok")
	line := s.lastAccess(t, 1)
	for _, key := range []string{"total", "start", "first_byte", "cpu_user", "cpu_system"} {
		if !regexp.MustCompile(`"` + key + `":\d+\.\d{6}[,}]`).MatchString(line) {
			t.Errorf("%s in %s", key, line)
		}
	}
}

// Sites have logs and formats of their own; several that name a file share it, and what
// is no site's is in the server's.
func TestAccessLogOfSites(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello"})
	s := start(t, dir, `
access_log = "DIR/top"
access_log_format = "top %r"
[[site]]
hosts = ["a.example"]
root = "DIR/htdocs"
access_log = "DIR/shared"
access_log_format = "a %r"
[[site]]
hosts = ["b.example"]
root = "DIR/htdocs"
access_log = "DIR/shared"
access_log_format = "b %r"
[[site]]
hosts = ["*.c.example"]
root = "DIR/htdocs"
[[site]]
hosts = ["d.example"]
root = "DIR/htdocs"
access_log = "off"
`)
	for _, host := range []string{"a.example", "A.example:80", "b.example", "x.c.example", "d.example", "nobody.example"} {
		s.do(t, request("GET", "/hello.txt?"+host, "Host: "+host))
	}
	s.do(t, "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n")
	for name, want := range map[string]string{
		"shared": "a GET /hello.txt?a.example HTTP/1.1\na GET /hello.txt?A.example:80 HTTP/1.1\nb GET /hello.txt?b.example HTTP/1.1\n",
		"top":    "top GET /hello.txt?x.c.example HTTP/1.1\ntop GET /hello.txt?nobody.example HTTP/1.1\ntop -\n",
	} {
		holds(t, filepath.Join(dir, name), want)
	}
}

// holds waits until a file has the text, whatever order its lines are in.
func holds(t testing.TB, name, want string) {
	t.Helper()
	sorted := func(s string) []string { return slices.Sorted(strings.Lines(s)) }
	var got string
	eventually(t, name+" holds "+want, func() bool {
		text, _ := os.ReadFile(name)
		got = string(text)
		if len(got) > len(want) {
			t.Fatalf("%s holds\n%s\nwant\n%s", name, got, want)
		}
		return slices.Equal(sorted(got), sorted(want))
	})
}

// BenchmarkAccessLogLine is what the lines of each format cost, allocations above all.
func BenchmarkAccessLogLine(b *testing.B) {
	req := &cgi.Request{ID: "0123456789ab-1z", Path: "/cgi-bin/ok", Account: &cgi.Account{Site: "www.example.org", Route: "/cgi-bin/", Script: "/srv/cgi-bin/ok", Pid: 4711, HaveExit: true}}
	for _, v := range [][2]string{{"REQUEST_METHOD", "GET"}, {"REQUEST_URI", "/cgi-bin/ok?name=value"}, {"SERVER_PROTOCOL", "HTTP/1.1"}, {"SERVER_NAME", "www.example.org"},
		{"SERVER_PORT", "80"}, {"REMOTE_ADDR", "192.0.2.1"}, {"HTTP_HOST", "www.example.org"}, {"HTTP_REFERER", "http://www.example.org/"}, {"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}} {
		req.Env.Set(v[0], v[1])
	}
	resp := &cgi.Response{Status: 200, Sent: 12345, ContentLength: -1, Header: cgi.Header{{Name: "Content-Type", Value: "text/html"}}}
	for _, format := range append(slices.Clone(config.AccessLogFormats), `%h %l %u %{%Y-%m-%dT%H:%M:%S}t.%{msec_frac}t "%r" %>s %D`) {
		b.Run(strings.ReplaceAll(format, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			line := site.LineOf(format)
			var buf []byte
			for b.Loop() {
				buf = line(buf[:0], req, resp)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

// Whatever a client or a program says, a line is one line that no terminal obeys, and one
// of JSON is an object that says the same (E64).
func FuzzAccessLogLine(f *testing.F) {
	f.Add("GET", "/x?\"\\\n", "Mozilla\x1b[2J \xff é \u202e", "text/html\r\nX: y")
	f.Add("", "", "", "\x00\u2028")
	f.Fuzz(func(t *testing.T, method, uri, agent, field string) {
		req := &cgi.Request{ID: "1", Path: uri, Account: &cgi.Account{User: agent, Script: uri, Failure: &cgi.Error{Reason: field}}}
		req.Env.Set("REQUEST_METHOD", method)
		req.Env.Set("REQUEST_URI", uri)
		req.Env.Set("HTTP_USER_AGENT", agent)
		resp := &cgi.Response{Status: 200, Header: cgi.Header{{Name: "X", Value: field}}}
		for _, format := range append(slices.Clone(config.AccessLogFormats), "%r%{X}o%u%f%U%q") {
			line := string(site.LineOf(format)(nil, req, resp))
			for _, c := range line {
				if c < ' ' || c >= 0x7f && c < 0xa0 || c >= 0x2028 && c <= 0x202e || format != "json" && c >= 0x7f {
					t.Fatalf("%s: %q has %q in it", format, line, c)
				}
			}
			var got struct {
				Agent string `json:"user_agent"`
			}
			if format != "json" {
				continue
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil || utf8.ValidString(agent) && got.Agent != agent {
				t.Fatalf("%v: %q of %q", err, line, agent)
			}
		}
	})
}
