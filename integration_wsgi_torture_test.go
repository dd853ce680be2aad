package gatehouse_test

import (
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tortureRoutes are the torture applications under other conditions. Limits of workers
// have no meaning for a process that answers once.
func (h *host) tortureRoutes(mode string) string {
	module := "{dir}/wsgi/torture.py"
	if mode == "cgi" {
		return aRoute("/hasty/", fill(wsgiTable(module, `mode = "cgi"`), "{dir}", h.dir), `timeout = "5s"`)
	}
	return h.wsgiRoute("/threads/", module, "workers = 1, threads = 4") +
		h.wsgiRoute("/both/", module, "workers = 2, threads = 2") +
		h.wsgiRoute("/alone/", module, "workers = 1, threads = 1") +
		h.wsgiRoute("/growing/", module, `workers = 1, max_memory = "128MiB"`) +
		aRoute("/hasty/", fill(wsgiTable(module, "workers = 2"), "{dir}", h.dir), `timeout = "5s"`)
}

// torture holds the host to the rules of PEP 3333 by applications that are wrapped in
// wsgiref.validate, which checks it as well.
func torture(t *testing.T, h *wsgiHost) {
	for _, tr := range tortureTrials {
		t.Run(tr.name, func(t *testing.T) {
			if tr.workers && (h.mode == "cgi" || h.fronted) {
				t.Skip("it is about processes that stay, whoever asks them")
			}
			tr.run(t, h)
		})
	}
}

var tortureTrials = []struct {
	name    string
	workers bool
	run     func(t *testing.T, h *wsgiHost)
}{
	{"environ (C01-C08)", false, tortureEnviron},
	{"input in every way (C10, C11)", false, tortureInput},
	{"input that is not read (C12)", false, tortureUnread},
	{"errors (C13)", false, tortureErrors},
	{"answers", false, tortureAnswers},
	{"answers that are cut (C29-C31)", false, tortureCut},
	{"close (C28)", false, tortureClose},
	{"blocks as they come (C27)", false, tortureBlocks},
	{"client leaves (C28)", false, tortureLeaves},
	{"what is refused (C20-C24, C30)", false, tortureRefused},
	{"file_wrapper (C34)", false, tortureFiles},
	{"stuck (C37, C38)", false, tortureStuck},
	{"grows", true, tortureGrows},
	{"forks", true, tortureForks},
	{"200 at a time", false, tortureMany},
}

// torturedEnviron is what show_environ says, of which some is neither text nor boolean.
type torturedEnviron map[string]any

func (h *wsgiHost) environ(t *testing.T, path string, r request) torturedEnviron {
	t.Helper()
	r.path, r.status = path, 200
	var env torturedEnviron
	if err := json.Unmarshal([]byte(h.ask(t, r).body), &env); err != nil {
		t.Fatal(err)
	}
	if c, ok := env["complaints"].([]any); !ok || len(c) > 0 {
		t.Errorf("%s: %v", path, env["complaints"])
	}
	return env
}

func tortureEnviron(t *testing.T, h *wsgiHost) {
	env := h.environ(t, "/torture/environ/%E3%82%A2/a%20b?q=%20%E3", request{method: "POST", body: "hello",
		header: map[string]string{"Content-Type": "text/x-test; a=b", "X-Latin": "\xe9", "Proxy": "http://proxy.invalid", "Authorization": "Bearer abc", "Cookie": "a=1; b=2"}})
	want := map[string]any{
		"REQUEST_METHOD": "POST", "SCRIPT_NAME": "/torture", "PATH_INFO": "/environ/\u00e3\u0082\u00a2/a b", "QUERY_STRING": "q=%20%E3",
		"CONTENT_TYPE": "text/x-test; a=b", "CONTENT_LENGTH": "5", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": port(h.server),
		"HTTP_HOST": h.server, "HTTP_X_LATIN": "é", "HTTP_AUTHORIZATION": "Bearer abc", "HTTP_COOKIE": "a=1; b=2", "REMOTE_ADDR": "127.0.0.1",
		"wsgi.url_scheme": "http", "wsgi.input_terminated": true, "REQUEST_URI": "/torture/environ/%E3%82%A2/a%20b?q=%20%E3",
	}
	for name, value := range want {
		if env[name] != value {
			t.Errorf("%s is %q, want %q", name, env[name], value)
		}
	}
	type life struct {
		path                            string
		multithread, multiprocess, once bool
	}
	lives := []life{{"/torture", false, true, false}, {"/threads", true, false, false}, {"/both", true, true, false}, {"/alone", false, false, false}}
	if h.mode == "cgi" {
		lives = []life{{"/torture", false, true, true}}
	}
	if h.fronted {
		lives = lives[:1]
	}
	for _, l := range lives { // C07
		env := h.environ(t, l.path+"/environ", request{})
		if env["wsgi.multithread"] != l.multithread || env["wsgi.multiprocess"] != l.multiprocess || env["wsgi.run_once"] != l.once {
			t.Errorf("%s: multithread %v, multiprocess %v, run_once %v; want %+v", l.path, env["wsgi.multithread"], env["wsgi.multiprocess"], env["wsgi.run_once"], l)
		}
		if length, ok := env["CONTENT_LENGTH"]; ok && length != "" {
			t.Errorf("%s: CONTENT_LENGTH is %q without a body", l.path, length)
		}
	}
}

// tortureReaders are the ways to read in torture.py.
var tortureReaders = []string{"read", "blocks", "too-much", "nothing-between", "readline", "line-pieces", "readlines", "hinted", "lines", "by-turns"}

func tortureInput(t *testing.T, h *wsgiHost) {
	bodies := []string{"", "x", "\n", strings.Repeat("a line\n", 30_000) + "the last", noise(200_000), strings.Repeat("one long line ", 20_000)}
	for n, how := range tortureReaders {
		for i, body := range bodies {
			if h.mode == "cgi" && i != n%len(bodies) && (i != 3 || h.fronted) {
				continue // a process for each
			}
			h.ask(t, request{method: "POST", path: "/torture/input?how=" + how, body: body, chunked: i%2 == 0, status: 200,
				want: fmt.Sprintf("%d %x\n", len(body), md5.Sum([]byte(body)))})
		}
	}
}

func tortureUnread(t *testing.T, h *wsgiHost) {
	for _, size := range []int{1, 65_528, 4 << 20} {
		h.ask(t, request{method: "POST", path: "/torture/hello", body: noise(size), status: 200, want: "hello\n"})
		h.ask(t, request{method: "POST", path: "/torture/echo", body: "x", status: 200, want: "x"})
	}
}

func tortureErrors(t *testing.T, h *wsgiHost) {
	h.ask(t, request{path: "/torture/say", status: 200, want: "hello\n"})
	if !eventually(func() bool {
		log := readFile(t, h.path("error.log"))
		return strings.Contains(log, "größer ☃") && strings.Contains(log, "two") && strings.Contains(log, "lines") && strings.Contains(log, "printed")
	}) {
		t.Errorf("the log has no word of it:\n%s", tail(h.path("error.log")))
	}
}

// tortureAnswers are whole answers, some made in odd ways.
func tortureAnswers(t *testing.T, h *wsgiHost) {
	h.ask(t, request{path: "/torture/rough/fine", status: 200, want: "body\n", fields: h.length("5")}) // C29
	closes := "?file=" + filepath.Join(t.TempDir(), "closed")
	for _, r := range []request{
		{path: "/hello", status: 200, want: "hello\n"},
		{path: "/written", status: 200, want: "one two three\n"}, // C26
		{path: "/late", status: 200, want: "late\n"},             // C25
		{path: "/empties", status: 200, want: "something\n"},     // C23
		{path: "/replaced", status: 503, want: "replaced\n", fields: map[string]string{"X-First": "", "Retry-After": "7"}},
		{path: "/exact" + closes, status: 200, want: "1234567890", fields: h.length("10")},
		{path: "/long" + closes, status: 200, want: "1234567890", fields: h.length("10")},
		{path: "/no-content", status: 204, fields: map[string]string{"X-Empty": "yes", "Content-Length": "", "Transfer-Encoding": "", "Content-Type": ""}}, // C33
		{path: "/not-modified", status: 304, fields: map[string]string{"Etag": `"abc"`, "Content-Length": "", "Content-Type": ""}},
		{path: "/fields", status: 299, want: "fields\n", fields: map[string]string{"Set-Cookie": "a=1; b=2", "X-Latin": "\xe4", "X-Long": strings.Repeat("x", 7_000)}},
		{path: "/fail", status: 500}, // C31
		{path: "/leave", status: 500},
		{path: "/failing-at-once" + closes, status: 500},
		{path: "/die", status: 502}, // B36
	} {
		r.path = "/torture" + r.path
		got := h.ask(t, r)
		if r.status >= 500 && (strings.Contains(got.body, "Traceback") || strings.Contains(got.body, "on purpose")) {
			t.Errorf("%s tells a client too much: %q", r.path, got.body)
		}
		if strings.HasPrefix(r.path, "/torture/no") || r.status >= 500 {
			continue
		}
		r.method, r.want = http.MethodHead, "" // C32
		if got := h.ask(t, r); got.body != "" {
			t.Errorf("HEAD %s: body %q", r.path, got.body)
		}
	}
}

// length are the fields that have the Content-Length; Apache counts a body itself, and
// drops it (A79).
func (h *wsgiHost) length(n string) map[string]string {
	if h.front == "apache" {
		return nil
	}
	return map[string]string{"Content-Length": n}
}

// last are the fields of a request whose answer is cut: Apache leaves it at that until the
// client goes, unless told to close the connection.
func (h *wsgiHost) last() map[string]string {
	if h.front == "apache" {
		return map[string]string{"Connection": "close"}
	}
	return nil
}

// tortureCut: what ends too early reaches the client so that it can tell.
func tortureCut(t *testing.T, h *wsgiHost) {
	closed := filepath.Join(t.TempDir(), "closed")
	for _, test := range []struct{ name, want string }{
		{"replaced-too-late", "the first half\n"},
		{"failing", "the first half\n"},
		{"dying", "the first half\n"},
		{"short", "12345"},
	} {
		got, err := h.do(request{path: "/torture/" + test.name + "?file=" + closed, header: h.last()})
		nothing := got == nil && h.front == "nginx" // it holds little back, and may learn of the end before
		if err == nil || !nothing && (got == nil || got.status != 200 || got.body != test.want) {
			t.Errorf("%s: %+v with error %v, want %q and an error", test.name, got, err, test.want)
		}
		h.ask(t, request{path: "/torture/hello", status: 200, want: "hello\n"})
	}
}

// tortureClose: close is called once, however an answer ends.
func tortureClose(t *testing.T, h *wsgiHost) {
	var files []string
	// Not GET: the client sends that again by itself when nginx closes the connection before
	// it has sent anything, as it may with an answer that is cut.
	for _, test := range []struct{ method, name string }{
		{"POST", "closed"}, {"POST", "closed-one"}, {"POST", "closed-none"}, {"POST", "long"}, {"POST", "short"}, {"POST", "failing"}, {"POST", "failing-at-once"},
		{"HEAD", "closed"},
	} {
		closed := filepath.Join(t.TempDir(), test.method+"-"+test.name)
		_, _ = h.do(request{method: test.method, path: "/torture/" + test.name + "?file=" + closed, header: h.last()}) // some are cut
		soonHas(t, closed, "closed\n")
		files = append(files, closed)
	}
	for _, closed := range files {
		if text := tail(closed); text != "closed\n" {
			t.Errorf("closed again: %q", text)
		}
	}
}

func tortureBlocks(t *testing.T, h *wsgiHost) {
	for _, route := range []string{"/torture", "/both"} {
		if route != "/torture" && (h.mode == "cgi" || h.fronted) {
			continue
		}
		file := filepath.Join(t.TempDir(), "f")
		resp, err := h.client.Get(h.url(route + "/waiting?file=" + file))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for n := 1; n <= 5; n++ {
			line := make([]byte, 7)
			if _, err := io.ReadFull(resp.Body, line); string(line) != fmt.Sprintf("line %d\n", n) || err != nil {
				t.Fatalf("got %q, %v; want line %d", line, err, n)
			}
			write(t, fmt.Sprintf("%s.%d", file, n), "", 0o644)
		}
		soonHas(t, file, "closed\n")
	}
}

// tortureLeaves: a client that goes in the middle of an answer ends it, and only it.
func tortureLeaves(t *testing.T, h *wsgiHost) {
	closed := filepath.Join(t.TempDir(), "closed")
	conn := h.dial(t)
	fmt.Fprint(conn, get("/torture/endless?file="+closed))
	if _, err := io.CopyN(io.Discard, answerBody(t, conn), 1<<20); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	soonHas(t, closed, "closed\n")
	if h.mode == "cgi" && !eventually(func() bool { return len(h.programs()) == 0 }) {
		t.Errorf("still there: %q", h.programs())
	}
	h.ask(t, request{path: "/torture/hello", status: 200, want: "hello\n"})
}

// tortureRefused: an application that breaks a rule gets to know, and its client does not
// get what it made.
func tortureRefused(t *testing.T, h *wsgiHost) {
	names := []string{"text", "header-lines", "status-lines", "nothing", "twice", "never", "writes-text", "status-bytes", "status-short", "status-alone",
		"header-tuple", "header-bytes", "header-number", "header-name", "header-colon", "header-status", "header-wide", "connection", "transfer-encoding"}
	if h.brief() {
		names = names[:3]
	}
	for _, name := range names {
		h.ask(t, request{path: "/torture/rough/" + name, status: 500, fields: map[string]string{"X-Injected": ""}})
	}
}

func tortureFiles(t *testing.T, h *wsgiHost) {
	source := readFile(t, testdata(t, "wsgi", "torture.py"))
	for _, kind := range []string{"file", "object", "validated"} {
		for _, from := range []int{4321, 0, 1, len(source)} {
			if h.brief() && from != 4321 {
				continue
			}
			h.ask(t, request{path: fmt.Sprintf("/torture/wrapped?kind=%s&from=%d", kind, from), status: 200, want: source[from:]})
		}
		r := request{method: "HEAD", path: "/torture/wrapped?from=0&kind=" + kind, status: 200}
		if got := h.ask(t, r); got.body != "" {
			t.Errorf("HEAD: body %q", got.body)
		}
	}
}

// tortureStuck: nothing but a kill ends what holds the interpreter's lock.
func tortureStuck(t *testing.T, h *wsgiHost) {
	if h.fronted {
		t.Skip("nothing in it is new to a server in front; it costs time")
	}
	var wg sync.WaitGroup
	for _, name := range []string{"hang", "hang-in-c"} {
		dir := t.TempDir()
		wg.Go(func() {
			n := 0
			if !eventually(func() bool { n++; return h.stuck(t, name, filepath.Join(dir, fmt.Sprint(n))) }) {
				t.Errorf("%s is never asked", name)
			}
		})
	}
	wg.Wait()
	if !eventually(func() bool {
		got, err := h.do(request{path: "/hasty/hello"})
		return err == nil && got.body == "hello\n"
	}) {
		t.Error("it does not recover")
	}
}

// stuck asks what hangs, and holds the host to killing it. It reports whether the
// application was asked: on a busy machine the time may be over before.
func (h *wsgiHost) stuck(t *testing.T, name, pids string) bool {
	got, err := h.do(request{method: "POST", path: "/hasty/" + name + "?file=" + pids, body: "x"})
	if err != nil || got.status != 504 {
		t.Errorf("%s: %+v, %v", name, got, err)
		return true
	}
	text, err := os.ReadFile(pids)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(text) == 0 {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Errorf("%s was asked of %q, want one process", name, text)
		return true
	}
	gone(t, pid)
	return true
}

// tortureGrows: a worker over its memory is replaced between two requests.
func tortureGrows(t *testing.T, h *wsgiHost) {
	var pids []string
	for range 8 {
		pid := strings.TrimSpace(h.ask(t, request{path: "/growing/grow", status: 200}).body)
		if !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	if len(pids) < 2 {
		t.Errorf("512 MiB in processes of 128: %q", pids)
	}
}

// tortureForks: a child that holds the worker's files does not hold the answer, and does
// not outlive the host; its stop tells.
func tortureForks(t *testing.T, h *wsgiHost) {
	for range 3 {
		h.ask(t, request{path: "/torture/fork", status: 200})
		h.ask(t, request{path: "/torture/hello", status: 200, want: "hello\n"})
	}
}

// tortureMany: nobody gets anything that is another's.
func tortureMany(t *testing.T, h *wsgiHost) {
	switch {
	case h.mode == "cgi":
		t.Skip("a process for each has nothing that it could mix up")
	case h.front == "apache":
		t.Skip("Apache closes idle connections when it has many, and this client cannot ask again")
	case h.fronted:
		manyAtOnce(t, h.host, "/torture/echo", 200)
		return
	}
	for _, route := range []string{"/torture", "/threads", "/both"} {
		manyAtOnce(t, h.host, route+"/echo", 200)
	}
}
