package gatehouse_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// badRequest is a trial of one request, spelled out, that is refused; a good one follows.
func badRequest(name, text string, status int) trial {
	return trial{name, nil, func(t *testing.T, h *host) {
		method, _, _ := strings.Cut(text, " ")
		got, closed := h.raw(t, method, text)
		if got.status != status {
			t.Errorf("%q: status %d, want %d", clip(text), got.status, status)
		}
		if strings.Contains(got.body, "root:") || strings.Contains(got.body, "#!") {
			t.Errorf("%q: shows a file: %q", clip(text), clip(got.body))
		}
		if status == 400 && strings.Contains(text, "\r\nTransfer-Encoding") && !closed { // E18
			t.Errorf("%q: the connection stays open", clip(text))
		}
		h.good(t)
	}}
}

// get is a request without fields but Host.
func get(target string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
}

const hello = "/cgi-bin/hello.sh"

// requestFaults are requests that no program is to see.
var requestFaults = []trial{
	badRequest("A38 above the root", get("/../../etc/passwd"), 400),
	badRequest("A38 above the root from a folder of scripts", get("/cgi-bin/../../etc/passwd"), 400),
	badRequest("A37 above the root, encoded", get("/cgi-bin/%2e%2e/%2e%2e/etc/passwd"), 400),
	badRequest("A37 above the root, half encoded", get("/cgi-bin/.%2e/%2e./etc/passwd"), 400),
	badRequest("A37 encoded twice", get("/cgi-bin/%252e%252e/%252e%252e/etc/passwd"), 404),
	badRequest("A37 out of the folder by dots", get("/cgi-bin/../hello.sh"), 404),
	badRequest("A39 encoded slash", get("/cgi-bin%2Fhello.sh"), 404),
	badRequest("A39 encoded slash in the extra path", get(hello+"/a%2fb"), 404),
	badRequest("A39 backslash", get(`/cgi-bin\hello.sh`), 400),
	badRequest("A39 encoded backslash is a letter", get("/cgi-bin/..%5C..%5Cetc%5Cpasswd"), 404),
	badRequest("A40 NUL", get(hello+"%00.txt"), 400),
	badRequest("A40 line feed", get(hello+"%0a"), 400),
	badRequest("A40 carriage return and line feed", get(hello+"/x%0d%0aSet-Cookie:a=b"), 400),
	badRequest("A40 DEL", get(hello+"/%7f"), 400),
	badRequest("A45 trailing space", get(hello+"%20"), 404),
	badRequest("A45 trailing dot", get(hello+"."), 404),
	badRequest("A46 a script that may not be run", get("/cgi-bin/shy.sh"), 403),
	badRequest("A41 a folder of scripts", get("/cgi-bin/"), 403),
	badRequest("A42 extra path behind a file", get("/index.html/hello.sh"), 404),
	badRequest("A48 extra path where none is taken", get("/exact/hello.sh/extra"), 404),
	badRequest("a script that is not there", get("/cgi-bin/missing.sh"), 404),
	badRequest("bad percent-encoding", get(hello+"/%zz"), 400),
	badRequest("E01 chunks in HTTP/1.0", "POST "+hello+" HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+get(hello), 400),
	badRequest("E03 two framings", "POST "+hello+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+get(hello), 400),
	badRequest("E04 folded field", "GET "+hello+" HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n", 400),
	badRequest("E05 bare line feed", "GET "+hello+" HTTP/1.1\nHost: localhost\n\n", 400),
	badRequest("E06 asterisk", "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
	badRequest("E06 fragment", get(hello+"#x"), 400),
	badRequest("E07 CONNECT", "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n", 405),
	badRequest("E08 TRACE", "TRACE "+hello+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
	badRequest("E10 empty Host", "GET "+hello+" HTTP/1.1\r\nHost:\r\n\r\n", 400),
	badRequest("E10 no Host", "GET "+hello+" HTTP/1.1\r\n\r\n", 400),
	badRequest("E14 two lengths", "POST "+hello+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
	badRequest("E16 unknown expectation", "GET "+hello+" HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\n\r\n", 417),
	badRequest("E30 request line over 8 KiB", get(hello+"?"+strings.Repeat("q", 9<<10)), 414),
	badRequest("E30 field of 40 KiB", "GET "+hello+" HTTP/1.1\r\nHost: localhost\r\nX-Long: "+strings.Repeat("x", 40<<10)+"\r\n\r\n", 431),
	badRequest("E30 101 fields", "GET "+hello+" HTTP/1.1\r\nHost: localhost\r\n"+strings.Repeat("X-Many: 1\r\n", 100)+"\r\n", 431),
	badRequest("E66 HTTP/0.9", "GET "+hello+"\r\n\r\n", 400),
	badRequest("E09 HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
	badRequest("E30 body over max_body", "POST /small/hello.sh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n", 413),
	badRequest("A62 body over max_body is not asked for", "POST /small/hello.sh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\nExpect: 100-continue\r\n\r\n", 413),
	badRequest("E30 chunked body over max_body", "POST /small/hello.sh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n"+strings.Repeat("x", 1<<20+1)+"\r\n0\r\n\r\n", 413),
	badRequest("chunks that are none", "POST "+hello+" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
}

// badProgram is a trial of a program that has no proper answer; a good request follows.
func badProgram(name, path string, status int) trial {
	return trial{name, nil, func(t *testing.T, h *host) {
		got := h.ask(t, request{path: path, status: status, fields: map[string]string{"Set-Cookie": ""}})
		if strings.Contains(got.body, "secret source") || strings.Contains(got.body, h.scripts) {
			t.Errorf("%s: tells a visitor too much: %q", path, clip(got.body))
		}
		h.good(t)
	}}
}

// programFaults are programs that misbehave (A97 has the statuses).
var programFaults = []trial{
	badProgram("no output (A97)", "/cgi-bin/silent.sh", 502),
	badProgram("ends in the header (A97)", "/cgi-bin/failing.sh", 502),
	badProgram("line without a colon (A68)", "/cgi-bin/nocolon.sh", 502),
	badProgram("carriage return in a field (A66)", "/cgi-bin/split.sh", 502),
	badProgram("framing of its own (A81)", "/cgi-bin/framing.sh", 502),
	badProgram("not executable (A46)", "/cgi-bin/shy.sh", 403),
	badProgram("CR behind the interpreter's name (A97)", "/cgi-bin/crlf.sh", 500),
	badProgram("interpreter that is not there (A97)", "/cgi-bin/homeless.sh", 500),
	badProgram("too late (A101)", "/slow/mute.sh", 504),
	badProgram("too late, and ignores SIGTERM (A101)", "/slow/stubborn.sh", 504),
	{"pauses too long in its output (A101)", nil, func(t *testing.T, h *host) { cutShort(t, h, "/pausing/wait.sh") }},
	{"killed in its output (A98)", nil, func(t *testing.T, h *host) { cutShort(t, h, "/cgi-bin/killed.sh") }},
	{"less than it announced (A80)", nil, func(t *testing.T, h *host) { cutShort(t, h, "/cgi-bin/short.sh") }},
	{"a daemon holds its output (A99)", nil, func(t *testing.T, h *host) {
		h.ask(t, request{path: "/leaving/daemon.sh", status: 200, want: "started\n"})
		h.good(t)
	}},
	{"fifty grandchildren (F39)", nil, func(t *testing.T, h *host) {
		h.ask(t, request{path: "/leaving/brood.sh", status: 200, want: "fifty\n"})
		h.good(t)
	}},
}

// cutShort: the header and some of the body arrive, and the client can tell that this is
// not all. A server in front may answer with an error, or
// not at all, in place of all of it.
func cutShort(t *testing.T, h *host, path string) {
	t.Helper()
	conn := h.dial(t)
	fmt.Fprint(conn, get(path))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if h.fronted && (errors.Is(err, io.ErrUnexpectedEOF) || err == nil && resp.StatusCode >= 500) {
		return
	}
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s: %v, %v", path, resp, err)
	}
	if h.fronted { // Apache and lighttpd send no more, and leave it to the client to lose its patience
		conn.limit = 10 * time.Second
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil || len(body) == 0 {
		t.Errorf("%s: body %q with error %v, want a part and an error", path, clip(string(body)), err)
	}
	h.good(t)
}
