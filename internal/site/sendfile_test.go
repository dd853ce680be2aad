package site_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// naming is a script that prints fields, and a body that nobody is to see.
func naming(fields string) string {
	return script("printf '"+fields+`\nContent-Type: text/plain\n\n'`, "echo its own body")
}

func sendfileTree(t *testing.T) string {
	dir := tree(t, files{
		"htdocs/": "", "secret": "SECRET", "users": userLines,
		"files/report.pdf": "0123456789", "files/sub/sp ace+100%": "spaced", "files/sub/%41": "not decoded", "files/.hidden/x": "SECRET", "files/empty": "",
		"files/folder/x": "", "files/out": "-> ../secret", "files/absolute": "-> /etc/passwd", "files/in": "-> sub/../report.pdf", "files/scripts": "-> ../cgi-bin",
		"cgi-bin/file":     script(`printf "X-Sendfile: %s\nContent-Type: text/plain\n\nits own body" "$QUERY_STRING"`),
		"cgi-bin/path":     script(`printf "X-Accel-Redirect: %s\nContent-Type: text/plain\n\nits own body" "$QUERY_STRING"`),
		"cgi-bin/fields":   naming(`X-Sendfile: DIR/files/report.pdf\nContent-Disposition: attachment; filename="a.pdf"\nSet-Cookie: a=b\nSet-Cookie: c=d\nCache-Control: private\nEtag: "own"\nX-Accel-Buffering: no\nX-Accel-Limit-Rate: 10\nx-accel-expires: 5\nLast-Modified: Fri, 01 Jan 1999 00:00:00 GMT\nContent-Range: bytes 1-2/3\nContent-Length: 9`),
		"cgi-bin/gone":     naming(`Status: 410\nX-Sendfile: DIR/files/report.pdf`),
		"cgi-bin/both":     naming(`X-Accel-Redirect: /protected/empty\nX-Sendfile: DIR/files/report.pdf`),
		"cgi-bin/long":     script(`printf 'X-Sendfile: DIR/files/report.pdf\nContent-Type: text/plain\n\n'`, "head -c 3000000 /dev/zero"),
		"cgi-bin/streamed": script(`printf 'X-Accel-Buffering: no\nContent-Type: text/plain\n\nits own body'`),
		"cgi-bin/untyped":  script(`printf 'Status: 200\nX-Sendfile: DIR/files/report.pdf\n\n'`),
	})
	if err := syscall.Mkfifo(dir+"/files/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fields", "gone", "both", "long", "untyped"} {
		name = dir + "/cgi-bin/" + name
		text, err := os.ReadFile(name)
		if err == nil {
			err = write(name, strings.ReplaceAll(string(text), "DIR", dir))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const sendfileConfig = `
[[site]]
root = "DIR/htdocs"
[[site.route]]
path = "/app/"
cgi = "DIR/cgi-bin/"
sendfile = "DIR/files/"
sendfile_prefix = "/protected/"
[[site.route]]
path = "/bare/"
cgi = "DIR/cgi-bin/"
sendfile = "DIR/files/"
[[site.route]]
path = "/off/"
cgi = "DIR/cgi-bin/"
`

// A84: applications of the route have files sent that lie beneath the folder, and no
// others, whatever they write.
func TestSendfile(t *testing.T) {
	dir := sendfileTree(t)
	s := start(t, dir, sendfileConfig)
	for _, test := range []struct {
		name, target string
		status       int
		body         string
	}{
		{"a file", "/app/file?" + dir + "/files/report.pdf", 200, "0123456789"},
		{"with dots", "/app/file?" + dir + "/files/sub/../report.pdf", 200, "0123456789"},
		{"a link that stays inside", "/app/file?" + dir + "/files/in", 200, "0123456789"},
		{"a name as it is", "/app/file?" + dir + "/files/sub/%41", 200, "not decoded"},
		{"a name that is escaped", "/app/file?" + dir + "/files/sub/sp%20ace+100%25", 200, "spaced"},
		{"an empty file", "/app/file?" + dir + "/files/empty", 200, ""},
		{"a missing file", "/app/file?" + dir + "/files/none", 404, ""},
		{"a relative name", "/app/file?report.pdf", 404, ""},
		{"a file beside", "/app/file?" + dir + "/secret", 404, ""},
		{"dots that lead out", "/app/file?" + dir + "/files/../secret", 404, ""},
		{"escaped dots that lead out", "/app/file?" + dir + "/files/%2e%2e/secret", 404, ""},
		{"a link that leads out", "/app/file?" + dir + "/files/out", 404, ""},
		{"an absolute link", "/app/file?" + dir + "/files/absolute", 404, ""},
		{"a folder", "/app/file?" + dir + "/files/folder", 404, ""},
		{"the folder itself", "/app/file?" + dir + "/files/", 404, ""},
		{"a FIFO", "/app/file?" + dir + "/files/fifo", 404, ""},
		{"a hidden file", "/app/file?" + dir + "/files/.hidden/x", 404, ""},
		{"a hidden file, escaped", "/app/file?" + dir + "/files/%2ehidden/x", 404, ""},
		{"a name that begins like the folder", "/app/file?" + dir + "/files-too/x", 404, ""},
		{"a script", "/app/file?" + dir + "/files/scripts/file", 404, ""},

		{"a path", "/app/path?/protected/report.pdf", 200, "0123456789"},
		{"an escaped path", "/app/path?/protected/sub/sp%20ace+100%25", 200, "spaced"},
		{"a path with a query", "/app/path?/protected/report.pdf?x=y", 200, "0123456789"},
		{"a path is decoded", "/app/path?/protected/sub/%41", 404, ""},
		{"and once only", "/app/path?/protected/sub/%2541", 200, "not decoded"},
		{"without the prefix", "/app/path?/report.pdf", 404, ""},
		{"dots before the prefix", "/app/path?/protected/../report.pdf", 404, ""},
		{"escaped dots", "/app/path?/protected/%2e%2e/secret", 404, ""},
		{"a second slash", "/app/path?/protected//etc/passwd", 404, ""},
		{"a NUL", "/app/path?/protected/report.pdf%00", 404, ""},
		{"a named location", "/app/path?@files", 404, ""},
		{"no escape", "/app/path?/protected/100%", 404, ""},
		{"a path where no prefix is said", "/bare/path?/sub/sp%20ace+100%25", 200, "spaced"},

		{"X-Sendfile before X-Accel-Redirect", "/app/both", 200, "0123456789"},
		{"the rest of a long answer is dropped", "/app/long", 200, "0123456789"},
		{"no Content-Type", "/app/untyped", 200, "0123456789"},
		{"a status of its own", "/app/gone", 410, "0123456789"},
		{"not declared", "/off/file?" + dir + "/files/report.pdf", 200, "its own body"},
		{"not declared, a path", "/off/path?/protected/report.pdf", 200, "its own body"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.get(t, test.target)
			if a.StatusCode != test.status || test.status != 404 && a.body != test.body {
				t.Errorf("got %d %q, want %d %q", a.StatusCode, a.body, test.status, test.body)
			}
			for name := range a.Header {
				if name == "X-Sendfile" || strings.HasPrefix(name, "X-Accel-") {
					t.Errorf("the client got %s", name)
				}
			}
			for _, bad := range []string{"SECRET", sourceMark, "root:", dir} {
				if strings.Contains(a.body, bad) {
					t.Errorf("%q in %q", bad, a.body)
				}
			}
			if test.status == 404 && strings.Contains(a.body, "own body") {
				t.Errorf("got %q", a.body)
			}
		})
	}
	if log := s.log.String(); !strings.Contains(log, "a file that an application named cannot be sent") || !strings.Contains(log, "file="+dir+"/files/none ") {
		t.Errorf("got %s", log)
	}
}

// The file is sent as one of the site's would be, with the application's fields.
func TestSendfileFields(t *testing.T) {
	dir := sendfileTree(t)
	s := start(t, dir, sendfileConfig)
	a := s.get(t, "/app/fields")
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Content-Disposition": `attachment; filename="a.pdf"`, "Set-Cookie": "a=b|c=d", "Cache-Control": "private",
		"Etag": `"own"`, "Content-Length": "10", "Accept-Ranges": "bytes", "Content-Range": "",
		"X-Accel-Buffering": "", "X-Accel-Limit-Rate": "", "X-Accel-Expires": "", "X-Sendfile": "",
	} {
		if got := strings.Join(a.Header.Values(name), "|"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	modified := a.Header.Get("Last-Modified")
	if modified == "" || strings.Contains(modified, "1999") {
		t.Errorf("Last-Modified: got %q", modified)
	}
	if got := s.get(t, "/app/untyped").Header.Get("Content-Type"); got != "application/pdf" {
		t.Errorf("Content-Type by the file's name: got %q", got)
	}
	if got := s.get(t, "/app/streamed"); got.Header.Get("X-Accel-Buffering") != "no" || got.body != "its own body" {
		t.Errorf("an answer that names no file: got %v %q", got.Header, got.body)
	}
	for _, test := range []struct {
		name, method string
		lines        []string
		status       int
		body         string
	}{
		{"HEAD", "HEAD", nil, 200, ""},
		{"part", "GET", []string{"Range: bytes=2-4"}, 206, "234"},
		{"part beyond the end", "GET", []string{"Range: bytes=20-"}, 416, ""},
		{"unchanged, by its tag", "GET", []string{`If-None-Match: "own"`}, 304, ""},
		{"changed, by its tag", "GET", []string{`If-None-Match: "other"`}, 200, "0123456789"},
		{"unchanged, by its time", "GET", []string{"If-Modified-Since: " + modified}, 304, ""},
		{"part of what is unchanged", "GET", []string{`If-Range: "own"`, "Range: bytes=0-0"}, 206, "0"},
		{"part of what has changed", "GET", []string{`If-Range: "other"`, "Range: bytes=0-0"}, 200, "0123456789"},
		{"POST", "POST", []string{"Content-Length: 0", "Range: bytes=2-4"}, 200, "0123456789"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := s.do(t, request(test.method, "/app/fields", test.lines...))
			if a.StatusCode != test.status || test.status != 416 && a.body != test.body || a.Header.Get("Cache-Control") != "private" {
				t.Errorf("got %d %v %q, want %d %q", a.StatusCode, a.Header, a.body, test.status, test.body)
			}
		})
	}
}

// It goes for every kind of application, and those who may not ask get no file.
func TestSendfileOfApplications(t *testing.T) {
	dir := sendfileTree(t)
	app := application(t, func(ln net.Listener) {
		serveFastCGI(ln, func(a *asked) string {
			return "X-Accel-Redirect: /report.pdf\r\nContent-Type: application/x-pdf\r\nX-User: " + a.get("REMOTE_USER") + "\r\n\r\nits own body"
		})
	})
	s := start(t, dir, `
[[site]]
root = "DIR/htdocs"
sendfile = "DIR/files/"
[[site.route]]
path = "/app/"
fastcgi = "`+app+`"
basic_auth = { file = "DIR/users" }
`)
	if a := s.get(t, "/app/x", as("sha", horse)); a.StatusCode != 200 || a.body != "0123456789" || a.Header.Get("Content-Type") != "application/x-pdf" || a.Header.Get("X-User") != "sha" {
		t.Errorf("got %d %v %q", a.StatusCode, a.Header, a.body)
	}
	if a := s.get(t, "/app/x"); a.StatusCode != 401 || strings.Contains(a.body, "0123") {
		t.Errorf("without a password: got %d %q", a.StatusCode, a.body)
	}
}

// The place of a program is free while its file is being sent.
func TestSendfileFreesTheProgram(t *testing.T) {
	dir := sendfileTree(t)
	big := strings.Repeat("x", 32<<20)
	if err := os.WriteFile(dir+"/files/big", []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, sendfileConfig+`
[[site.route]]
path = "/one/"
cgi = "DIR/cgi-bin/"
sendfile = "DIR/files/"
processes = 1
queue_timeout = "0s"
`)
	conn := s.dial(t)
	defer conn.Close()
	if _, err := conn.Write([]byte(request("GET", "/one/path?/big"))); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun, and is not over
		t.Fatal(err)
	}
	if a := s.get(t, "/one/path?/report.pdf"); a.StatusCode != 200 || a.body != "0123456789" {
		t.Errorf("got %d %q", a.StatusCode, a.body)
	}
}
