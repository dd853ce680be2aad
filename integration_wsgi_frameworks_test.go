package gatehouse_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// flask has a session over redirects, an upload that fits no buffer, a stream, a file in
// parts, and errors with and without a handler.
func flask(t *testing.T, h *wsgiHost) {
	h.ask(t, request{path: "/flask/", status: 200, want: "hello\n"})
	b := h.browser(t, "/flask")
	for _, step := range []struct{ got, want string }{
		{b.get("/whoami", ""), "nobody\n"},
		{b.post("/login", url.Values{"name": {"größer & 日本"}}, "/whoami"), "größer & 日本\n"},
		{b.get("/whoami", ""), "größer & 日本\n"},
		{b.get("/logout", "/whoami"), "nobody\n"}, // by an absolute URL
	} {
		if step.got != step.want {
			t.Errorf("the session says %q, want %q", step.got, step.want)
		}
	}
	wsgiUpload(t, h, "/flask/upload", 20<<20, "größer.bin")
	body := noise(70_000)
	h.ask(t, request{method: "PUT", path: "/flask/echo", body: body, chunked: true, status: 200, want: body, fields: map[string]string{"X-Method": "PUT"}})
	flaskStream(t, h)
	flaskStreamLeft(t, h)
	if !h.brief() {
		flaskAnswers(t, h)
	}
}

// flaskAnswers are files, parts of them, and errors.
func flaskAnswers(t *testing.T, h *wsgiHost) {
	t.Helper()
	file := strings.Repeat(string(allBytes()), 1000)
	h.ask(t, request{path: "/flask/file", status: 200, want: file, fields: map[string]string{"Etag": `"file"`}})
	h.ask(t, request{path: "/flask/file", header: map[string]string{"Range": "bytes=255-257"}, status: 206, want: file[255:258], fields: map[string]string{"Content-Range": "bytes 255-257/256000"}})
	h.ask(t, request{path: "/flask/file", header: map[string]string{"If-None-Match": `"file"`}, status: 304, fields: map[string]string{"Content-Length": ""}})

	h.ask(t, request{path: "/flask/fail", status: 500, want: "handled: ZeroDivisionError\n"})
	h.ask(t, request{method: "HEAD", path: "/flask/file", status: 200, fields: map[string]string{"Etag": `"file"`}})
	h.ask(t, request{path: "/flask/teapot", status: 418, part: "teapot"})
	h.ask(t, request{path: "/flask/%E3%82%A2/%25?x", status: 404, want: "nothing is at /ア/%\n"}) // C01
	h.ask(t, request{method: "DELETE", path: "/flask/echo", status: 405, part: "Method Not Allowed"})
}

func allBytes() []byte {
	all := make([]byte, 256)
	for n := range all {
		all[n] = byte(n)
	}
	return all
}

// wsgiUpload sends a file by a form, with and without its length told.
func wsgiUpload(t *testing.T, h *wsgiHost, path string, size int, name string) {
	t.Helper()
	content := noise(size)
	kind, body := form("größer", name, content)
	for _, chunked := range []bool{false, true} {
		if chunked && h.brief() {
			continue
		}
		h.ask(t, request{method: "POST", path: path, header: map[string]string{"Content-Type": kind}, body: body, chunked: chunked, status: 200,
			want: fmt.Sprintf("text: größer\nfile: %s %d %x\n", name, size, md5.Sum([]byte(content)))})
	}
}

// flaskStream reads lines one by one; the application waits until each was seen (C27).
func flaskStream(t *testing.T, h *wsgiHost) {
	t.Helper()
	fiveLines(t, h.host, "/flask/stream?dir=")
}

// flaskStreamLeft: a client that leaves in the middle of a stream has it closed (C28).
func flaskStreamLeft(t *testing.T, h *wsgiHost) {
	t.Helper()
	dir := t.TempDir()
	conn := h.dial(t)
	fmt.Fprint(conn, get("/flask/ticks?dir="+dir))
	if line, err := answerBody(t, conn).ReadString('\n'); line != "tick\n" {
		t.Fatalf("%q, %v", line, err)
	}
	conn.Close()
	soonHas(t, filepath.Join(dir, "closed"), "closed\n")
}

// soonHas waits until a file has a text.
func soonHas(t *testing.T, path, want string) {
	t.Helper()
	var got string
	if !eventually(func() bool { got = tail(path); return got == want }) {
		t.Errorf("%s has %q, want %q", filepath.Base(path), got, want)
	}
}

// bottle has routes, a signed cookie, an upload, and a generator of text.
func bottle(t *testing.T, h *wsgiHost) {
	h.ask(t, request{path: "/bottle/", status: 200, want: "hello\n"})
	b := h.browser(t, "/bottle")
	for _, step := range []struct{ path, want string }{
		{"/name/a%20b", "a b after nobody\n"},
		{"/name/gr%C3%B6%C3%9Fer", "größer after a b\n"},
		{"/name/x", "x after größer\n"},
	} {
		if got := b.get(step.path, ""); got != step.want {
			t.Errorf("%s: %q, want %q", step.path, got, step.want)
		}
	}
	if got := b.get("/old", "/"); got != "hello\n" {
		t.Errorf("after a redirect: %q", got)
	}
	wsgiUpload(t, h, "/bottle/upload", 300_000, "größer.bin")
	for _, size := range []int{0, 1, 65_535, 65_536, 2 << 20} {
		body := noise(size)
		h.ask(t, request{method: "POST", path: "/bottle/echo", body: body, status: 200, want: body})
	}
	source := readFile(t, testdata(t, "wsgi", "bottle_app.py"))
	got := h.ask(t, request{path: "/bottle/source", status: 200, want: source, fields: h.length(fmt.Sprint(len(source)))})
	h.ask(t, request{path: "/bottle/source", header: map[string]string{"If-Modified-Since": got.header.Get("Last-Modified")}, status: 304})
	h.ask(t, request{path: "/bottle/source", header: map[string]string{"Range": "bytes=3-8"}, status: 206, want: source[3:9]})
	h.ask(t, request{path: "/bottle/count/2000", status: 200, want: numbers(2000)})
	h.ask(t, request{path: "/bottle/fail", status: 500, part: "Internal Server Error"})
	h.ask(t, request{path: "/bottle/none", status: 404, want: "nothing is at /none\n"})
}

func numbers(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintln(&text, i)
	}
	return text.String()
}

// pyramid has routes made from code, renderers, WebOb's requests, and exceptions that are
// answers.
func pyramid(t *testing.T, h *wsgiHost) {
	h.ask(t, request{path: "/pyramid/", status: 200, want: "hello from Pyramid\n"})
	got := h.ask(t, request{path: "/pyramid/greet/gr%C3%B6%C3%9Fer?t=1&t=%26", status: 200})
	var greeting struct {
		Name  string
		Times []string
		URL   string
	}
	if err := json.Unmarshal([]byte(got.body), &greeting); err != nil || greeting.Name != "größer" || strings.Join(greeting.Times, " ") != "1 &" || greeting.URL != h.url("/pyramid/greet/x") {
		t.Errorf("%+v, %v", greeting, err)
	}
	wsgiUpload(t, h, "/pyramid/upload", 300_000, "größer.bin")
	h.ask(t, request{path: "/pyramid/blocks/2000", status: 200, want: numbers(2000)})
	source := readFile(t, testdata(t, "wsgi", "pyramid_app.py"))
	h.ask(t, request{path: "/pyramid/source", status: 200, want: source, fields: h.length(fmt.Sprint(len(source)))})
	if h.brief() {
		return
	}
	if got := h.browser(t, "/pyramid").get("/move", "/"); got != "hello from Pyramid\n" {
		t.Errorf("after a redirect: %q", got)
	}
	h.ask(t, request{path: "/pyramid/guarded", status: 403, part: "not for you"})
	h.ask(t, request{path: "/pyramid/fail", status: 500, want: "handled: on purpose\n"})
	h.ask(t, request{path: "/pyramid/%E3%82%A2", status: 404, want: "nothing is at /ア\n"})
}
