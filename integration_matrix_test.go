package gatehouse_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// matrixTrials are what every front has to pass with every back: the edges of each
// protocol's framing, and how a request begins and ends.
var matrixTrials = []trial{
	{"variables through a server in front (A01-A36, A23, B71-B77)", cPrograms, func(t *testing.T, h *host) {
		const target = "/cgi-bin/environ/extra%20path/x;y?a=b%20c&d=%2F"
		h.variables(t, "POST "+target+" HTTP/1.1\r\n"+
			"Host: www.example.org\r\nContent-Type: text/x-test; a=b\r\nContent-Length: 5\r\n"+
			"Cookie: a=1; b=2\r\naccept: */*\r\nX-Latin: \xe4\xf6\r\nX-One: 1\r\n"+
			"Proxy: http://proxy.invalid\r\nAuthorization: Bearer abc\r\nRedirect-Status: 500\r\n\r\nhello",
			"CONTENT_LENGTH=5", "CONTENT_TYPE=text/x-test; a=b", "DOCUMENT_ROOT="+h.htdocs,
			"HTTP_ACCEPT=*/*", "HTTP_COOKIE=a=1; b=2", "HTTP_HOST=www.example.org",
			"HTTP_X_LATIN=\xe4\xf6", "HTTP_X_ONE=1",
			"PATH_INFO=/extra path/x;y", "PATH_TRANSLATED="+h.htdocs+"/extra path/x;y",
			"QUERY_STRING=a=b%20c&d=%2F", "REQUEST_METHOD=POST", "REQUEST_URI="+target,
			"SERVER_NAME=www.example.org", "SERVER_PROTOCOL=HTTP/1.1")
	}},
	{"bodies of every size (B03, B04)", cPrograms, func(t *testing.T, h *host) { bodies(t, h, false) }},
	{"bodies of every size, chunked (A56, B75)", cPrograms, func(t *testing.T, h *host) { bodies(t, h, true) }},
	{"bodies that are read before the answer", nil, func(t *testing.T, h *host) {
		for _, size := range []int{65_528, 65_536, 10 << 20} {
			h.ask(t, request{method: "POST", path: "/cgi-bin/count.sh", body: noise(size), status: 200, want: fmt.Sprintf("%d\n", size)})
		}
	}},
	{"no body where one may be (A02)", cPrograms, one(request{method: "POST", path: "/cgi-bin/echo", status: 200, fields: map[string]string{"X-Length": "0"}})},
	{"304 with a body (A87)", nil, one(request{path: "/cgi-bin/notmodified.sh", status: 304, fields: map[string]string{"Etag": `"abc"`}})},
	{"response header of 60 KB (A74, A88)", nil, func(t *testing.T, h *host) {
		got := h.ask(t, request{path: "/cgi-bin/longheader.sh", status: 200, want: "long\n"})
		if long := strings.Join(got.header.Values("X-Long"), ""); strings.Trim(long, "x, ") != "" || strings.Count(long, "x") != 60_000 {
			t.Errorf("X-Long has %d bytes: %q", len(long), clip(long))
		}
	}},
	{"request field of 15 KB (B25)", nil, one(request{path: "/cgi-bin/cookie.sh", header: map[string]string{"Cookie": strings.Repeat("c", 15_000)}, status: 200, want: "15000\n"})},
	{"request field of 30 KB (B25)", nil, one(request{path: "/cgi-bin/cookie.sh", header: map[string]string{"Cookie": strings.Repeat("c", 30_000)}, status: 200, want: "30000\n"})},
	{"1000 requests on one connection", nil, thousand},
}

// bodies sends bodies whose lengths are at the edges of a record, and one that fits no
// buffer, to a program that answers while it reads.
func bodies(t *testing.T, h *host, chunked bool) {
	for _, size := range []int{1, 8, 65_527, 65_528, 65_535, 65_536, 65_537, 131_070, 10 << 20} {
		body := noise(size)
		h.ask(t, request{method: "POST", path: "/cgi-bin/echo", body: body, chunked: chunked, status: 200,
			fields: map[string]string{"X-Length": fmt.Sprint(size)}, want: body})
	}
}

// thousand asks a thousand times on one connection. Most are for a file: it is the
// protocols that are tried.
func thousand(t *testing.T, h *host) {
	conn := h.dial(t)
	in := bufio.NewReader(conn)
	for n := range 1000 {
		path, want := "/", "<p>static\n"
		if n%10 == 0 {
			path, want = "/cgi-bin/hello.sh", "hello\n"
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: www.example.org\r\n\r\n", path)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("request %d: %v", n+1, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || string(body) != want {
			t.Fatalf("request %d: status %d, body %q, %v", n+1, resp.StatusCode, clip(string(body)), err)
		}
	}
}

// A group is trials of one kind, and which fronts and backs they are for.
type group struct {
	name   string
	trials []trial
	fits   func(f front, b back) bool // nil: all
	why    string                     // not the others
}

var groups = []group{
	{name: "matrix", trials: matrixTrials},
	{name: "programs", trials: programTrials},
	{name: "program faults", trials: programFaults},
	{name: "connections", trials: connectionTrials},
	{name: "variables", trials: variableTrials, fits: noFront, why: "a server in front changes or refuses these fields"},
	{name: "request faults", trials: requestFaults, fits: noFront, why: "a server in front answers these itself"},
	{name: "applications", trials: applicationTrials, fits: alone, why: "nothing in them is new to another protocol; what costs time is run once"},
	{name: "git", trials: gitTrials, fits: func(f front, b back) bool { return alone(f, b) || f.name == "nginx fastcgi kept" && b.name == "cgi" },
		why: "they cost time, and are run through nginx and FastCGI"},
	{name: "load", trials: loadTrials, fits: alone, why: "it costs time"},
}

func noFront(f front, _ back) bool { return f.server == nil || f.direct }

func alone(f front, b back) bool { return f.server == nil && b.name == "cgi" }

// A note says why one trial is not for some fronts or backs: those whose names are so,
// or begin so before a space.
type note struct{ trial, front, back, why string }

var notes = slices.Concat(
	each("", "fastcgi", "FastCGI has no NPH (B38)", "NPH (A95)"),
	each("", "scgi", "SCGI has no NPH", "NPH (A95)"),
	eachFront("a server in front writes the status line and the header anew", []string{"nginx", "apache", "lighttpd", "haproxy"}, "NPH (A95)"),
	eachFront("a body that comes by FastCGI or SCGI is read before the program starts", []string{"nginx", "apache", "lighttpd", "haproxy"}, "leaves in a body of known length (A60)"),
	each("", "fastcgi", "a body that comes by FastCGI is read before the program starts", "leaves in a body of known length (A60)"),
	each("", "scgi", "a body that comes by SCGI is read before the program starts", "leaves in a body of known length (A60)"),
	eachFront("the whole request is kept in front, and not sent on before it is there", []string{"nginx fastcgi", "nginx scgi", "apache", "lighttpd fastcgi"},
		"leaves in a chunked body (A60)"),
	eachFront("the server in front refuses a body of unknown length", []string{"apache scgi", "lighttpd scgi"}, append(unknownLength, "leaves in a chunked body (A60)")...),
	each("haproxy", "", "HAProxy refuses a body of unknown length that its buffer does not hold", "bodies of every size, chunked (A56, B75)", "chunked body in a file (A56, A64)", "leaves in a chunked body (A60)"),
	eachFront("it does not see that its client leaves as long as nothing is to be written to it", []string{"apache", "lighttpd"},
		"leaves in silence (A102)", "leaves before the header (A102)"),
	each("apache fastcgi", "", "mod_proxy_fcgi leaves variables over 16 KiB out", "request field of 30 KB (B25)"),
	each("apache", "", "Apache counts a body itself, and drops Content-Length (A79)", "fields (A65, A70, A71, A73, A75)", "HEAD (A85)"),
	each("lighttpd fastcgi", "", "lighttpd before 1.4.83 takes any end of a response for its end", endsEarly...),
	eachFront("HTTP/2 has no reason phrase", []string{"https h2", "h2c"}, "NPH (A95)", "Expect by curl (A62)"),
	each("https h1", "", "its clients have a trusted address as well", "variables of a POST (A01-A36, A50, A96, F31, F32)"),
	each("caddy", "", "Caddy adds fields of its own and tells no port; environ's tests hold what it sends", "variables through a server in front (A01-A36, A23, B71-B77)"),
	each("caddy", "", "Caddy passes the Status field on, and writes the status line anew", "fields (A65, A70, A71, A73, A75)", "NPH (A95)"),
	each("caddy", "", "Caddy takes any end of a response for its end", endsEarly...),
	each("caddy", "", "Caddy does not tell when its client leaves", "leaves in a chunked body (A60)", "leaves in a body of known length (A60)", "leaves in silence (A102)", "leaves before the header (A102)"),
	eachFront("SCGI ends with its connection, and on a Unix socket nothing tells how (D06)", []string{"nginx scgi", "lighttpd scgi"}, endsEarly...),
	each("", "scgi", "SCGI ends with its connection, and on a Unix socket nothing tells how (D06)", endsEarly...),
)

var (
	unknownLength = []string{"bodies of every size, chunked (A56, B75)", "chunked body in memory (A56)", "chunked body in a file (A56, A64)"}
	endsEarly     = []string{"killed in its output (A98)", "pauses too long in its output (A101)"}
)

// each makes a note of each trial.
func each(front, back, why string, trials ...string) (all []note) {
	for _, name := range trials {
		all = append(all, note{name, front, back, why})
	}
	return all
}

// eachFront makes notes for several fronts.
func eachFront(why string, fronts []string, trials ...string) (all []note) {
	for _, front := range fronts {
		all = append(all, each(front, "", why, trials...)...)
	}
	return all
}

// unfit says why a trial is not for a front or a back; "" where it is.
func unfit(f front, b back, tr trial) string {
	for _, n := range notes {
		if n.trial == tr.name && n.of(f) && (n.back == "" || n.back == b.name) {
			return n.why
		}
	}
	return ""
}

func (n note) of(f front) bool {
	return n.front == "" || f.name == n.front || !exactly[n.front] && strings.HasPrefix(f.name, n.front+" ")
}

// exactly are fronts whose names others begin with.
var exactly = map[string]bool{"nginx fastcgi": true, "haproxy fastcgi": true}

// staleNotes fails the test for a note that is about nothing.
func staleNotes(t *testing.T) {
	for _, n := range notes {
		if !about(n) {
			t.Errorf("no trial, front and back is what this is about: %q", n)
		}
	}
}

func about(n note) bool {
	for _, f := range fronts {
		for _, g := range groups {
			for _, tr := range g.trials {
				if tr.name == n.trial && n.of(f) {
					return true
				}
			}
		}
	}
	return false
}
