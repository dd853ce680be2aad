package gatehouse_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A responder is a real FastCGI application, in one of the ways to run it. All do the same
// (testdata/fcgi/responder.c says what).
type responder struct {
	name  string
	needs []string
	path  string                             // what the application is under
	keys  func(t *testing.T, h *host) string // of its route; starts what is to be connected to
	stays bool                               // it is not ours to replace when it dies
	holds string                             // why it can send nothing before its answer is complete
}

var fcgiLibrary = append([]string{"libfcgi-dev"}, cPrograms...)

var responders = []responder{
	{name: "C, spawned", needs: fcgiLibrary, path: "/app", keys: func(t *testing.T, _ *host) string { return spawned(fcgiProgram(t, "responder")) }},
	{name: "C, connected", needs: append([]string{"spawn-fcgi"}, fcgiLibrary...), path: "/app", stays: true,
		keys: func(t *testing.T, h *host) string { return spawnFCGI(t, h, fcgiProgram(t, "responder")) }},
	{name: "FCGI.pm, spawned", needs: []string{"perl", "libfcgi-perl"}, path: "/app", keys: script("perl", "responder.pl")},
	{name: "Ruby, spawned", needs: []string{"ruby", "ruby-fcgi"}, path: "/app", keys: rubyScript,
		holds: "where its extension in C cannot be loaded, fcgi.rb keeps an answer until it is complete"},
	{name: "php-cgi, spawned", needs: []string{"php-cgi"}, path: "/responder.php", keys: func(*testing.T, *host) string { return spawned(whereIs["php-cgi"]) }},
	{name: "php-fpm, connected", needs: []string{"php-fpm"}, path: "/responder.php", keys: phpFPM},
}

// spawned is a route's handler with two processes of a command.
func spawned(command ...string) string {
	return fmt.Sprintf(`fastcgi = { command = ["%s"], workers = 2 }`, strings.Join(command, `", "`))
}

// script runs a script of testdata/fcgi.
func script(interpreter, name string) func(*testing.T, *host) string {
	return func(t *testing.T, _ *host) string { return spawned(whereIs[interpreter], testdata(t, "fcgi", name)) }
}

// rubyScript runs a script whose library may be fcgi.rb in pure Ruby, which closes every
// connection, some time after its answer. What may be sent only once could meet that.
func rubyScript(t *testing.T, _ *host) string {
	return fmt.Sprintf(`fastcgi = { command = ["%s", "%s"], workers = 2, keep_alive = false }`, whereIs["ruby"], testdata(t, "fcgi", "responder.rb"))
}

// testdata is the full path of a file in testdata.
func testdata(t *testing.T, elem ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"testdata"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fcgiProgram is the path of a program of testdata/fcgi, compiled.
func fcgiProgram(t *testing.T, name string) string {
	t.Helper()
	if err := compileFCGI(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(filepath.Dir(binary), "fcgi-"+name)
}

var compileFCGI = sync.OnceValue(func() error {
	for _, name := range []string{"responder", "authorizer", "filter"} {
		to := filepath.Join(filepath.Dir(binary), "fcgi-"+name)
		if out, err := compile(to, filepath.Join("testdata/fcgi", name+".c"), "-lfcgi"); err != nil {
			return fmt.Errorf("gcc %s.c: %v\n%s", name, err, out)
		}
	}
	return nil
})

// spawnFCGI starts a program under spawn-fcgi and returns a route's handler that connects
// to it. One process: when it dies nobody replaces it.
func spawnFCGI(t *testing.T, h *host, program string) string {
	t.Helper()
	socket := h.path("app.sock")
	startPeer(t, h.dir, socket, exec.Command(whereIs["spawn-fcgi"], "-n", "-s", socket, "--", program))
	return fmt.Sprintf(`fastcgi = "unix:%s"`, socket)
}

const phpFPMConfig = `
[global]
error_log = /dev/stderr
daemonize = no
[www]
{user}
listen = {dir}/fpm.sock
pm = static
pm.max_children = 2
pm.status_path = /status
ping.path = /ping
`

func phpFPM(t *testing.T, h *host) string {
	t.Helper()
	socket := h.path("fpm.sock")
	write(t, h.path("fpm.conf"), fill(phpFPMConfig, "{dir}", h.dir, "{user}", asRoot("user = root\ngroup = root")), 0o644)
	args := []string{"-F", "-y", h.path("fpm.conf"), "-p", h.dir}
	if asRoot("x") != "" {
		args = append(args, "-R")
	}
	found, _ := filepath.Glob(whereIs["php-fpm"])
	startPeer(t, h.dir, socket, exec.Command(found[0], args...))
	return fmt.Sprintf(`fastcgi = { address = "unix:%s", connections = 2, keep_alive = true }`, socket) // B37
}

// TestResponders runs every application behind a host, and asks the same of all.
func TestResponders(t *testing.T) {
	for _, r := range responders {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			need(t, r.needs...)
			h := newHost(t, fronts[0])
			write(t, filepath.Join(h.htdocs, "responder.php"), readFile(t, testdata(t, "php", "responder.php")), 0o644)
			path := r.path + "/"
			if strings.HasSuffix(r.path, ".php") {
				path = "*.php"
			}
			h.up(t, fronts[0], aRoute(path, r.keys(t, h)))
			for _, tr := range responderTrials {
				t.Run(tr.name, func(t *testing.T) { tr.run(t, h, r) })
			}
		})
	}
}

// aRoute is the text of one route.
func aRoute(path string, keys ...string) string {
	return fmt.Sprintf("\n  [[site.route]]\n  path = %q\n  %s\n", path, strings.Join(keys, "\n  "))
}

// responderTrials is what every application is asked.
var responderTrials = []struct {
	name string
	run  func(t *testing.T, h *host, r responder)
}{
	{"answers", func(t *testing.T, h *host, r responder) {
		h.ask(t, request{path: r.path + "/hello", status: 200, want: "hello\n"})
	}},
	{"is two processes that stay", twoProcesses},
	{"variables (A01-A36, B40)", responderVariables},
	{"bodies of every size (B04, B26)", func(t *testing.T, h *host, r responder) {
		for _, size := range []int{0, 1, 65_527, 65_528, 65_535, 65_536, 65_537, 10 << 20} {
			body := noise(size)
			h.ask(t, request{method: "POST", path: r.path + "/echo", body: body, status: 200,
				fields: map[string]string{"X-Method": "POST", "X-Length": fmt.Sprint(size)}, want: body})
		}
	}},
	{"chunked body (A56)", func(t *testing.T, h *host, r responder) {
		body := noise(300_000)
		h.ask(t, request{method: "PUT", path: r.path + "/echo", body: body, chunked: true, status: 200,
			fields: map[string]string{"X-Method": "PUT", "X-Length": "300000"}, want: body})
	}},
	{"body that is not read (B27)", func(t *testing.T, h *host, r responder) {
		for range 4 {
			h.ask(t, request{method: "POST", path: r.path + "/hello", body: noise(4 << 20), status: 200, want: "hello\n"})
		}
	}},
	{"HEAD (A85)", func(t *testing.T, h *host, r responder) {
		if got := h.ask(t, request{method: "HEAD", path: r.path + "/hello", status: 200}); got.body != "" {
			t.Errorf("body %q", got.body)
		}
	}},
	{"304 (A87)", func(t *testing.T, h *host, r responder) {
		h.ask(t, request{path: r.path + "/304", status: 304, fields: map[string]string{"Etag": `"abc"`}})
	}},
	{"a mebibyte on standard error (B30)", func(t *testing.T, h *host, r responder) {
		h.ask(t, request{path: r.path + "/stderr", status: 200, want: "hello\n"})
	}},
	{"response header of 60 KB (A74)", func(t *testing.T, h *host, r responder) {
		got := h.ask(t, request{path: r.path + "/long", status: 200, want: "long\n"})
		if d := got.header.Get("X-D"); d != strings.Repeat("x", 15_000) {
			t.Errorf("X-D has %d bytes", len(d))
		}
	}},
	{"streamed as written (A103)", responderStreams},
	{"dies before it answers (A97, B36)", responderDies},
	{"dies in its answer (A98, B28)", responderCut},
	{"200 at a time (B37)", func(t *testing.T, h *host, r responder) { manyAtOnce(t, h, r.path+"/echo", 200) }},
}

// twoProcesses: answers come from two processes, again and again.
func twoProcesses(t *testing.T, h *host, r responder) {
	pids := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				got, err := h.do(request{path: r.path + "/pid"})
				if err != nil || got.status != 200 {
					t.Errorf("%+v, %v", got, err)
					return
				}
				mu.Lock()
				pids[strings.TrimSpace(got.body)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(pids) > 2 || len(pids) == 0 {
		t.Errorf("200 answers came from %d processes, want two at most", len(pids))
	}
}

// responderVariables compares what the application was told with what it has to be. What
// belongs to its process, and what libraries add, is not of the request.
func responderVariables(t *testing.T, h *host, r responder) {
	got := h.ask(t, request{path: r.path + "/env?a=b%20c", status: 200,
		header: map[string]string{"X-Twice": "1, 2", "Proxy": "http://proxy.invalid", "Authorization": "Basic eDp5", "Redirect-Status": "500", "User-Agent": "me"}})
	vars := strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
	want := []string{
		"DOCUMENT_ROOT=" + h.htdocs, "GATEWAY_INTERFACE=CGI/1.1", "HTTP_AUTHORIZATION=Basic eDp5", "HTTP_HOST=" + h.server, "HTTP_USER_AGENT=me", "HTTP_X_TWICE=1, 2",
		"INTEGRATION_RUN=" + h.tag, "PATH_INFO=/env", "PATH_TRANSLATED=" + h.htdocs + "/env", "QUERY_STRING=a=b%20c", "REDIRECT_STATUS=200",
		"REMOTE_ADDR=127.0.0.1", "REQUEST_METHOD=GET", "REQUEST_SCHEME=http", "REQUEST_URI=" + r.path + "/env?a=b%20c",
		"SCRIPT_NAME=" + r.path, "SERVER_NAME=127.0.0.1", "SERVER_PORT=" + port(h.server), "SERVER_PROTOCOL=HTTP/1.1",
	}
	for _, v := range want {
		if !slices.Contains(vars, v) {
			t.Errorf("no %q in\n%s", v, got.body)
		}
	}
	for _, v := range vars {
		for _, never := range []string{"HTTP_PROXY=", "HTTP_REDIRECT_STATUS=", "CONTENT_LENGTH=", "HTTPS=", "SECRET=", "LD_LIBRARY_PATH="} {
			if strings.HasPrefix(v, never) {
				t.Errorf("%q is not to be told", v)
			}
		}
	}
	if strings.HasSuffix(r.path, ".php") && !slices.Contains(vars, "SCRIPT_FILENAME="+h.htdocs+r.path) {
		t.Errorf("SCRIPT_FILENAME is not %s%s:\n%s", h.htdocs, r.path, got.body)
	}
}

// responderStreams reads lines one by one; the application waits until each was seen.
func responderStreams(t *testing.T, h *host, r responder) {
	if r.holds != "" {
		t.Skip(r.holds)
	}
	fiveLines(t, h, r.path+"/stream?")
}

// fiveLines reads lines one by one from an application that waits, after each, until a
// file in the folder that ends the target says that it was seen.
func fiveLines(t *testing.T, h *host, target string) {
	t.Helper()
	dir := t.TempDir()
	resp, err := h.client.Get(h.url(target + dir))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for n := 1; n <= 5; n++ {
		line, err := in.ReadString('\n')
		if want := fmt.Sprintf("line %d\n", n); line != want || err != nil {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		write(t, filepath.Join(dir, fmt.Sprint(n)), "", 0o644)
	}
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("at the end %q, %v", rest, err)
	}
}

// responderDies: a 502, no retry of what has had its effect, and the next request finds
// a process.
func responderDies(t *testing.T, h *host, r responder) {
	if r.stays {
		t.Skip("nobody would replace its only process")
	}
	for range 3 {
		h.ask(t, request{method: "POST", path: r.path + "/die", body: "x", status: 502})
		h.ask(t, request{path: r.path + "/hello", status: 200, want: "hello\n"})
	}
}

func responderCut(t *testing.T, h *host, r responder) {
	if r.stays {
		t.Skip("nobody would replace its only process")
	}
	if r.holds != "" {
		t.Skip(r.holds)
	}
	resp, err := h.client.Get(h.url(r.path + "/cut"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "the first half\n" {
		t.Errorf("body %q with error %v, want a part and an error", body, err)
	}
	h.ask(t, request{path: r.path + "/hello", status: 200, want: "hello\n"})
}

// manyAtOnce: nobody gets anything that is another's, however few processes there are.
func manyAtOnce(t *testing.T, h *host, path string, total int) {
	var wg sync.WaitGroup
	for n := range total {
		wg.Go(func() {
			r := request{method: "POST", path: path, body: strings.Repeat(fmt.Sprintf("%04d", n), 5_000+n), chunked: n%2 == 0}
			if got, err := h.do(r); err != nil {
				t.Errorf("request %d: %v", n, err)
			} else if got.status != 200 || got.body != r.body {
				t.Errorf("request %d: status %d, body %q", n, got.status, clip(got.body))
			}
		})
	}
	wg.Wait()
}
