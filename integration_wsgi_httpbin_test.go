package gatehouse_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
)

// httpbinAnswers are endpoints whose answers need no more than a look.
var httpbinAnswers = []request{
	{path: "/", status: 200, part: "httpbin"},
	{path: "/html", status: 200, part: "Herman Melville"},
	{path: "/robots.txt", status: 200, want: "User-agent: *\nDisallow: /deny\n"},
	{path: "/deny", status: 200, part: "YOU SHOULDN'T BE HERE"},
	{path: "/xml", status: 200, part: "<slideshow", fields: map[string]string{"Content-Type": "application/xml"}},
	{path: "/encoding/utf8", status: 200, part: "README.source"},
	{path: "/base64/R2F0ZWhvdXNl", status: 200, want: "Gatehouse"},
	{path: "/image/png", status: 200, part: "\x89PNG\r\n\x1a\n", fields: map[string]string{"Content-Type": "image/png"}},
	{path: "/links/3/0", status: 200, part: "/httpbin/links/3/1"},
	{path: "/forms/post", status: 200, part: "<form"},
	{path: "/status/204", status: 204, fields: map[string]string{"Content-Length": "", "Transfer-Encoding": ""}},
	{path: "/status/302", status: 302, fields: map[string]string{"Location": "/redirect/1"}},
	{path: "/status/418", status: 418, part: "teapot", fields: map[string]string{"X-More-Info": "http://tools.ietf.org/html/rfc2324"}},
	{path: "/status/503", status: 503},
	{path: "/status/599", status: 599},
	{method: "DELETE", path: "/status/202", status: 202},
	{path: "/response-headers?X-A=1&X-B=%20two", status: 200, fields: map[string]string{"X-A": "1", "X-B": "two"}},
	{path: "/cache", status: 200},
	{path: "/cache", header: map[string]string{"If-None-Match": "x"}, status: 304},
	{path: "/cache/60", status: 200, fields: map[string]string{"Cache-Control": "public, max-age=60"}},
	{path: "/etag/abc", header: map[string]string{"If-None-Match": "abc"}, status: 304, fields: map[string]string{"Etag": "abc"}},
	{path: "/etag/abc", header: map[string]string{"If-Match": "x"}, status: 412},
	{path: "/basic-auth/joe/secret", status: 401, fields: map[string]string{"Www-Authenticate": `Basic realm="Fake Realm"`}},
	{path: "/basic-auth/joe/secret", header: map[string]string{"Authorization": "Basic am9lOnNlY3JldA=="}, status: 200, part: `"authenticated":true`}, // A33
	{path: "/hidden-basic-auth/joe/secret", status: 404},
	{path: "/bearer", header: map[string]string{"Authorization": "Bearer abc"}, status: 200, part: `"authenticated":true`},
	{path: "/digest-auth/auth/joe/secret", status: 401},
	{path: "/range/1000", status: 200, want: alphabet(1000), fields: map[string]string{"Accept-Ranges": "bytes"}},
	{path: "/range/1000?chunk_size=7", header: map[string]string{"Range": "bytes=26-99"}, status: 206, want: alphabet(74), fields: map[string]string{"Content-Range": "bytes 26-99/1000"}},
	{path: "/range/1000", header: map[string]string{"Range": "bytes=2000-"}, status: 416},
	{path: "/drip?numbytes=5&duration=0.1&code=203", status: 203, want: "*****"},
	{path: "/delay/0.1", status: 200},
	{path: "/stream-bytes/50000?seed=1&chunk_size=999", status: 200},
	{path: "/image", header: map[string]string{"Accept": "image/svg+xml"}, status: 200, part: "<svg"},
	{path: "/absent", status: 404},
	{method: "POST", path: "/get", body: "x", status: 405},
}

// alphabet is what /range sends of n bytes.
func alphabet(n int) string {
	return strings.Repeat("abcdefghijklmnopqrstuvwxyz", n/26+1)[:n]
}

func httpbin(t *testing.T, h *wsgiHost) {
	answers, tellings := httpbinAnswers, httpbinTellings()
	if h.mode == "cgi" {
		answers = everyNth(answers, 4)
	}
	if h.brief() {
		answers, tellings = everyNth(answers, 2), tellings[:3]
	}
	for _, r := range answers {
		r.path = "/httpbin" + r.path
		h.ask(t, r)
	}
	for _, telling := range tellings {
		telling.hold(t, h)
	}
	httpbinStreams(t, h)
	if !h.brief() {
		httpbinRedirects(t, h)
		httpbinGzip(t, h)
	}
}

// everyNth is for where each request has to start a process.
func everyNth[T any](all []T, n int) (some []T) {
	for i := 0; i < len(all); i += n {
		some = append(some, all[i])
	}
	return some
}

// A told is what httpbin says of a request.
type told struct {
	Args, Form, Files, Headers map[string]string
	Data, URL, Origin, Method  string
}

// A telling is a request, and what httpbin has to say of it.
type telling struct {
	request
	want told
}

// httpbinTellings have every method and kind of body.
func httpbinTellings() []telling {
	const simple = "application/x-www-form-urlencoded"
	kind, upload := form("größer", "a.txt", "content\r\n")
	return []telling{
		{request{method: "POST", path: "/post", body: upload, header: map[string]string{"Content-Type": kind}},
			told{Form: map[string]string{"text": "größer"}, Files: map[string]string{"file": "content\r\n"}}},
		{request{path: "/get?a=b%20c&d=%C3%A4"}, told{Args: map[string]string{"a": "b c", "d": "ä"}}},
		{request{method: "PUT", path: "/put", body: "plain", chunked: true}, told{Data: "plain"}},
		{request{path: "/anything/a%20b//c?x=1"}, told{Args: map[string]string{"x": "1"}, Method: "GET"}},
		{request{method: "POST", path: "/post", body: "a=1&b=%26", header: map[string]string{"Content-Type": simple}}, told{Form: map[string]string{"a": "1", "b": "&"}}},
		{request{method: "PATCH", path: "/patch", body: `{"a": 1}`, header: map[string]string{"Content-Type": "application/json"}}, told{Data: `{"a": 1}`}},
		{request{method: "DELETE", path: "/delete?a=1"}, told{Args: map[string]string{"a": "1"}}},
	}
}

// hold sends the request, and holds httpbin to telling what was sent.
func (w telling) hold(t *testing.T, h *wsgiHost) {
	t.Helper()
	r := w.request
	r.path, r.status = "/httpbin"+r.path, 200
	r.header = map[string]string{"X-Twice": "1, 2"}
	maps.Copy(r.header, w.header)
	var got told
	if err := json.Unmarshal([]byte(h.ask(t, r).body), &got); err != nil {
		t.Errorf("%s: %v", r.path, err)
		return
	}
	if !sameMap(got.Args, w.want.Args) || !sameMap(got.Form, w.want.Form) || !sameMap(got.Files, w.want.Files) || got.Data != w.want.Data ||
		w.want.Method != "" && got.Method != w.want.Method || got.Headers["X-Twice"] != "1, 2" || got.Headers["Host"] != h.server {
		t.Errorf("%s %s: it says %+v, want %+v", r.method, r.path, got, w.want)
	}
	if got.Origin != "127.0.0.1" || !strings.HasPrefix(got.URL, "http://"+h.server+"/httpbin/") {
		t.Errorf("%s: from %q to %q", r.path, got.Origin, got.URL)
	}
}

// sameMap takes no map for an empty one.
func sameMap(a, b map[string]string) bool {
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func httpbinRedirects(t *testing.T, h *wsgiHost) {
	b := h.browser(t, "/httpbin")
	b.get("/absolute-redirect/2", "/get")
	b.get("/relative-redirect/2", "/get")
	var set struct{ Cookies map[string]string }
	page := b.get("/cookies/set?one=1&two=b-c", "/cookies")
	if err := json.Unmarshal([]byte(page), &set); err != nil || !sameMap(set.Cookies, map[string]string{"one": "1", "two": "b-c"}) {
		t.Errorf("cookies: %s, %v", page, err)
	}
	if page := b.get("/cookies/delete?one", "/cookies"); strings.Contains(page, "one") || !strings.Contains(page, "two") {
		t.Errorf("cookies after one was deleted: %s", page)
	}
}

func httpbinStreams(t *testing.T, h *wsgiHost) {
	lines := json.NewDecoder(strings.NewReader(h.ask(t, request{path: "/httpbin/stream/20", status: 200}).body))
	for n := range 20 {
		var line struct{ ID *int }
		if err := lines.Decode(&line); err != nil || line.ID == nil || *line.ID != n {
			t.Fatalf("line %d: %+v, %v", n, line, err)
		}
	}
}

// httpbinGzip: what the application has encoded is left as it is (A61).
func httpbinGzip(t *testing.T, h *wsgiHost) {
	got := h.ask(t, request{path: "/httpbin/gzip", header: map[string]string{"Accept-Encoding": "gzip"}, status: 200, fields: map[string]string{"Content-Encoding": "gzip"}})
	in, err := gzip.NewReader(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	sees(t, string(text), `"gzipped":true`)
}
