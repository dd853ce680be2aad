package gatehouse_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var cPrograms = []string{"gcc", "libc6-dev"}

// programTrials are small programs in several languages, and what RFC 3875 section 6
// says about their answers.
var programTrials = []trial{
	{"sh", nil, func(t *testing.T, h *host) { h.good(t) }},
	{"awk", []string{"mawk"}, one(request{method: "POST", path: "/cgi-bin/upper.awk?q=%20+", body: "one\ntwo\n",
		status: 200, fields: map[string]string{"Content-Type": "text/plain"}, want: "q=%20+\nONE\nTWO\n"})},
	{"C", cPrograms, one(request{path: "/cgi-bin/hello", status: 200, want: "hello from C\n"})},
	{"static file", nil, one(request{path: "/", status: 200, want: "<p>static\n"})},
	{"body of known length (A55)", cPrograms, one(request{method: "POST", path: "/cgi-bin/echo", body: "seven!\n",
		status: 200, fields: map[string]string{"X-Length": "7", "X-Method": "POST"}, want: "seven!\n"})},
	{"chunked body in memory (A56)", cPrograms, one(request{method: "PUT", path: "/cgi-bin/echo", body: "chunks", chunked: true,
		status: 200, fields: map[string]string{"X-Length": "6", "X-Method": "PUT"}, want: "chunks"})},
	{"chunked body in a file (A56, A64)", cPrograms, one(request{method: "POST", path: "/cgi-bin/echo", body: strings.Repeat("0123456789abcdef", 1<<17), chunked: true,
		status: 200, fields: map[string]string{"X-Length": "2097152"}, want: strings.Repeat("0123456789abcdef", 1<<17)})},
	{"no body (A02)", cPrograms, one(request{method: "POST", path: "/cgi-bin/echo", header: map[string]string{"X-Nothing": "1"},
		status: 200, fields: map[string]string{"X-Length": "0", "X-Method": "POST"}})},
	{"GET without a body (A02)", cPrograms, one(request{path: "/cgi-bin/echo",
		status: 200, fields: map[string]string{"X-Length": "(none)"}})},
	{"output before input (A58)", nil, one(request{method: "POST", path: "/cgi-bin/greedy.sh", body: strings.Repeat("x", 1<<20),
		status: 200, want: strings.Repeat("\x00", 1<<20) + "1048576\n"})},
	{"input never read (A59)", nil, one(request{method: "POST", path: "/cgi-bin/uninterested.sh", body: strings.Repeat("x", 4<<20),
		status: 200, want: "no, thanks\n"})},
	{"much on standard error (A100)", nil, one(request{path: "/cgi-bin/talkative.sh", status: 200, want: "said\n"})},
	{"fields (A65, A70, A71, A73, A75)", nil, one(request{path: "/cgi-bin/fields.sh", status: 404, want: "five.",
		fields: map[string]string{"Content-Type": "text/x-own", "Content-Length": "5", "Set-Cookie": "a=1; b=2", "X-Empty": "", "Status": ""}})},
	{"HEAD (A85)", nil, func(t *testing.T, h *host) {
		got := h.ask(t, request{method: "HEAD", path: "/cgi-bin/fields.sh", status: 404, fields: map[string]string{"Content-Length": "5"}})
		if got.body != "" {
			t.Errorf("HEAD: body %q", got.body)
		}
		if _, there := h.ask(t, request{method: "HEAD", path: "/cgi-bin/hello.sh", status: 200}).header["Content-Length"]; there {
			t.Error("HEAD: a Content-Length that the program did not give")
		}
	}},
	{"local redirect (A89, A91)", nil, one(request{method: "POST", path: "/cgi-bin/local.sh", body: "dropped", status: 200, want: "hello\n",
		fields: map[string]string{"Location": ""}})},
	{"NPH (A95)", nil, nphIsVerbatim},
	{"NPH only where it is allowed (A95)", nil, one(request{path: "/cgi-bin/nph-raw.sh", status: 502})},
	{"streamed as written (A103)", nil, streamed},
	{"Expect by curl (A62)", []string{"curl", "gcc", "libc6-dev"}, curlExpects},
}

// nphIsVerbatim: the program's bytes are the answer, and the connection's end is its
// end.
func nphIsVerbatim(t *testing.T, h *host) {
	conn := h.dial(t)
	fmt.Fprintf(conn, "GET /nph/nph-raw.sh HTTP/1.1\r\nHost: localhost\r\n\r\n")
	got, err := io.ReadAll(conn)
	const want = "HTTP/1.1 299 My Own\r\nX-Raw:  two  spaces\r\nx-lower: kept\r\n\r\nthe body\n"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

// streamed reads a program's lines one by one; it does not go on before its line was
// seen. Then the same over a HTTP/1.0 connection, which has no chunks.
func streamed(t *testing.T, h *host) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
		dir := t.TempDir()
		conn := h.dial(t)
		fmt.Fprintf(conn, "GET /cgi-bin/stream.sh?%s %s\r\nHost: localhost\r\n\r\n", dir, proto)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", proto, err)
		}
		in := bufio.NewReader(resp.Body)
		for n := 1; n <= 5; n++ {
			line, err := in.ReadString('\n')
			if want := fmt.Sprintf("line %d\n", n); line != want || err != nil {
				t.Fatalf("%s: got %q, %v; want %q", proto, line, err, want)
			}
			write(t, filepath.Join(dir, fmt.Sprint(n)), "", 0o644)
		}
		if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
			t.Errorf("%s: at the end %q, %v", proto, rest, err)
		}
		conn.Close()
	}
}

// curlExpects: curl is told to go on, and sends its body then.
func curlExpects(t *testing.T, h *host) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	body := h.path("expected")
	write(t, body, strings.Repeat("e", 100_000), 0o644)
	cmd := exec.CommandContext(ctx, "curl", "-sSv", "--noproxy", "*", "--expect100-timeout", "25", "-H", "Expect: 100-continue",
		"--data-binary", "@"+body, h.url("/cgi-bin/echo"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || string(out) != strings.Repeat("e", 100_000) {
		t.Fatalf("curl: %d bytes, %v\n%s", len(out), err, said.String())
	}
	if !strings.Contains(said.String(), "< HTTP/1.1 100 Continue") {
		t.Errorf("curl was not told to go on:\n%s", said.String())
	}
	_ = os.Remove(body)
}

// variableTrials compare everything that a program is given with what RFC 3875 section
// 4.1 says for the request, to the last variable: there is no other.
var variableTrials = []trial{
	{"variables of a POST (A01-A36, A50, A96, F31, F32)", cPrograms, func(t *testing.T, h *host) {
		const target = "/cgi-bin/environ/extra%20path/x;y?a=b%20c&d=%2F"
		h.variables(t, "POST "+target+" HTTP/1.1\r\n"+
			"Host: www.example.org:8443\r\nContent-Type: text/x-test; a=b\r\nContent-Length: 005\r\n"+
			"X-Twice: 1\r\nCookie: a=1\r\nX-Twice: 2\r\nCookie: b=2\r\naccept: */*\r\nX-Latin: \xe4\xf6\r\n"+
			"Proxy: http://proxy.invalid\r\nAuthorization: Basic eDp5\r\nProxy-Authorization: Basic eDp5\r\n"+
			"Connection: close, X-Hop\r\nX-Hop: 1\r\nX_Under: 1\r\nX.Dot: 1\r\nRedirect-Status: 500\r\n"+
			"Keep-Alive: 1\r\nTE: trailers\r\nRemote-User: root\r\nX-Forwarded-For: 192.0.2.1\r\n\r\nhello",
			"CONTENT_LENGTH=5", "CONTENT_TYPE=text/x-test; a=b", "DOCUMENT_ROOT="+h.htdocs,
			"HTTP_ACCEPT=*/*", "HTTP_COOKIE=a=1; b=2", "HTTP_HOST=www.example.org:8443",
			"HTTP_X_LATIN=\xe4\xf6", "HTTP_X_TWICE=1, 2",
			"PATH_INFO=/extra path/x;y", "PATH_TRANSLATED="+h.htdocs+"/extra path/x;y",
			"QUERY_STRING=a=b%20c&d=%2F", "REQUEST_METHOD=POST", "REQUEST_URI="+target,
			"SERVER_NAME=www.example.org", "SERVER_PROTOCOL=HTTP/1.1")
	}},
	{"variables of an HTTP/1.0 GET without Host (A14, A16)", cPrograms, func(t *testing.T, h *host) {
		h.variables(t, "GET //cgi-bin/./x/../environ HTTP/1.0\r\n\r\n",
			"DOCUMENT_ROOT="+h.htdocs, "QUERY_STRING=", "REQUEST_METHOD=GET", "REQUEST_URI=//cgi-bin/./x/../environ",
			"SERVER_NAME=127.0.0.1", "SERVER_PROTOCOL=HTTP/1.0")
	}},
	{"variables of an absolute-form target (A20, A34)", cPrograms, func(t *testing.T, h *host) {
		h.variables(t, "GET http://other.example/cgi-bin/environ?-s HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n",
			"DOCUMENT_ROOT="+h.htdocs, "HTTP_HOST=other.example", "QUERY_STRING=-s", "REQUEST_METHOD=GET", "REQUEST_URI=/cgi-bin/environ?-s",
			"SERVER_NAME=other.example", "SERVER_PROTOCOL=HTTP/1.1")
	}},
}
