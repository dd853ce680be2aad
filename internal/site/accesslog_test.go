package site_test

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/site"
)

const logConfig = `
[[site]]
root = "DIR/htdocs"

  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
  processes = 1
`

// keyOf returns the value of a field in a line, and whether it has the field.
func keyOf(line, key string) (string, bool) {
	m := regexp.MustCompile(`(?:^| )` + key + `=("(?:[^"\\]|\\.)*"|\S*)`).FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	return m[1], true
}

func TestAccessLogFields(t *testing.T) {
	dir := tree(t, files{
		"htdocs/hello.txt": "hello",
		"cgi-bin/ok":       script(okHeader, "echo body"),
		"cgi-bin/fails":    script(okHeader, "exit 3"),
		"cgi-bin/silent":   script("exit 4"),
	})
	s := start(t, dir, logConfig)
	for n, tt := range []struct {
		name, method, target string
		want                 map[string]string // "*": any value; "": not there
	}{
		{"file", "GET", "/hello.txt?q", map[string]string{
			"client": "127.0.0.1", "method": "GET", "uri": "/hello.txt?q", "status": "200", "bytes": "5", "total": "*",
			"site": "default", "route": "(files)", "script": dir + "/htdocs/hello.txt", "request": "*", "pid": "", "exit": "", "failure": "", "queue": ""}},
		{"script", "GET", "/cgi-bin/ok", map[string]string{
			"status": "200", "bytes": "5", "route": "/cgi-bin/", "script": dir + "/cgi-bin/ok",
			"pid": "*", "start": "*", "first": "*", "total": "*", "exit": `"exit status 0"`, "cpu": "*", "failure": ""}},
		{"head", "HEAD", "/cgi-bin/ok", map[string]string{"method": "HEAD", "status": "200", "bytes": "0"}},
		{"bad end", "GET", "/cgi-bin/fails", map[string]string{"status": "200", "exit": `"exit status 3"`}},
		{"no output", "GET", "/cgi-bin/silent", map[string]string{"status": "502", "failure": "no-output", "exit": `"exit status 4"`, "pid": "*", "first": ""}},
		{"missing", "GET", "/nothing", map[string]string{"status": "404", "failure": "not-found", "reason": "*", "pid": ""}},
		{"refused by the handler", "GET", "/%00", map[string]string{"client": "127.0.0.1", "status": "400", "uri": "/%00", "failure": "bad-request"}},
		{"refused by the listener", "GET", "/" + strings.Repeat("x", 9000), map[string]string{"client": "127.0.0.1", "status": "414", "failure": "bad-request", "reason": "*"}},
		{"no site's method", "TRACE", "/hello.txt", map[string]string{"status": "405", "method": "TRACE", "failure": "bad-request"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.do(t, request(tt.method, tt.target))
			line := s.lastAccess(t, n+1)
			for key, want := range tt.want {
				got, ok := keyOf(line, key)
				switch {
				case want == "" && ok, want != "" && !ok, want != "*" && want != got:
					t.Errorf("%s is %q (%v), want %q in %s", key, got, ok, want, line)
				}
			}
		})
	}
}

// Waiting for a turn is told, and that it took some time.
func TestAccessLogQueue(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/held": script("touch ../runs", "while [ ! -e ../gate ]; do sleep 0.01; done", okHeader)})
	s := start(t, dir, logConfig+"  queue = 1\n  queue_timeout = '0s'\n")
	open := gate(t, filepath.Join(dir, "gate"))
	answers := make(chan int, 3)
	ask := func() { answers <- s.get(t, "/cgi-bin/held").StatusCode }
	go ask()
	eventually(t, "it runs", func() bool { return exists(filepath.Join(dir, "runs")) })
	go ask()
	go ask()
	if got := <-answers; got != 503 { // one of the two: the other is in the queue then
		t.Errorf("one too many: %d", got)
	}
	time.Sleep(2 * time.Millisecond) // which it is to have waited
	open()
	for range 2 {
		if got := <-answers; got != 200 {
			t.Errorf("one of two: %d", got)
		}
	}
	s.lastAccess(t, 3)
	waited := 0
	for line := range strings.Lines(s.access.String()) {
		got, ok := keyOf(line, "queue")
		if ok {
			waited++
		}
		if ok && (!strings.HasSuffix(got, "ms") || strings.HasPrefix(got, "0.")) {
			t.Errorf("queue is %q in %s", got, line)
		}
	}
	if waited != 1 {
		t.Errorf("%d have waited, want 1:\n%s", waited, s.access)
	}
}

// E64: what a client or a script says forges neither a line nor a field, and never
// reaches a terminal.
func TestLogsCannotBeForged(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/\xff\x9b x=1": script(okHeader),
		"cgi-bin/says": script(`printf 'time=1 status=200\r\nlevel=ERROR msg=forged\033[2J\n' >&2`, `printf 'Bad\033[2J\r\nforged: x\n\n'`)})
	s := start(t, dir, logConfig)
	n := 0
	for _, r := range []string{
		request("GET", "/%0d%0atime=forged"), request("GET", "/x\x1b[2J"), request("GET", "/\xc2\x9b31m"),
		request("GET", `/"%20status=200%20x="`), request("GET", `/" status=999`), request("GET\x1b", "/"), request(`G=1"`, "/"),
		request("GET", "/x", "Host: a;b='c"), request("GET", "/x", "X: \x1b[2J"), request("GET", "/x?a=\xe2\x80\xae"),
		request("GET", "/cgi-bin/%ff%9b%20x=1"), request("GET", "/cgi-bin/says"),
	} {
		conn := s.dial(t)
		_, _ = io.WriteString(conn, r)
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		n++
		s.lastAccess(t, n) // one line for each
	}
	line := regexp.MustCompile(`^time=\S+ client=127\.0\.0\.1 (?:[a-z]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*) ?)+$`)
	for text := range strings.Lines(s.access.String()) {
		text = strings.TrimSuffix(text, "\n")
		if !line.MatchString(text) {
			t.Errorf("not a line of fields: %q", text)
		}
		if strings.Count(text, " status=") != 1 && !strings.Contains(text, `uri="`) && !strings.Contains(text, `script="`) {
			t.Errorf("more than one status: %q", text)
		}
	}
	for name, text := range map[string]string{"access log": s.access.String(), "log": s.log.String()} {
		for _, c := range []byte(text) {
			if c != '\n' && (c < ' ' || c >= 0x7f) {
				t.Fatalf("the %s has the byte %q in it:\n%q", name, c, text)
			}
		}
	}
	for text := range strings.Lines(s.log.String()) {
		if !regexp.MustCompile(`^time=\S+ level=(WARN|ERROR) msg=("script failed"|stderr) `).MatchString(text) {
			t.Errorf("forged: %q", text)
		}
	}
}

// Without a log nothing is written, and nothing breaks.
func TestNoAccessLog(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": ""})
	s := start(t, dir, logConfig, func(o *site.Options) { o.AccessLog = nil })
	for target, want := range map[string]int{"/hello.txt": 200, "/" + strings.Repeat("x", 9000): 414} {
		if got := s.get(t, target); got.StatusCode != want {
			t.Errorf("%.20s is %d, want %d", target, got.StatusCode, want)
		}
	}
	if got := fmt.Sprint(s.access); strings.Contains(got, "status") {
		t.Errorf("written: %s", got)
	}
}

// stuck is a log that takes nothing until it is freed.
type stuck struct {
	buffer
	free chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.buffer.Write(p)
}

// Requests do not wait for a log that takes nothing. What finds no room is counted, and
// what was kept is written when the log takes it again.
func TestAccessLogStuck(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": ""})
	log := &stuck{free: make(chan struct{})}
	s := start(t, dir, logConfig, func(o *site.Options) { o.AccessLog = log })
	const requests = 250
	for n := range requests {
		target := fmt.Sprintf("/hello.txt?%d-%s", n, strings.Repeat("x", 7000))
		if got := s.get(t, target); got.StatusCode != 200 {
			t.Fatalf("request %d is %d", n, got.StatusCode)
		}
	}
	close(log.free)
	var lost, lines int
	eventually(t, "every line is written or counted", func() bool {
		lost, lines = 0, 0
		seen := map[string]bool{}
		for line := range strings.Lines(log.String()) {
			if n, ok := keyOf(strings.TrimSpace(line), "lost"); ok {
				lost, _ = strconv.Atoi(n)
				continue
			}
			uri, _ := keyOf(line, "uri")
			if !strings.HasPrefix(uri, "/hello.txt?") || seen[uri] {
				t.Fatalf("line %d, of %.30s: no line, or one for the second time", lines, uri)
			}
			seen[uri] = true
			lines++
		}
		return lost+lines == requests
	})
	if lost == 0 || lines < 100 {
		t.Errorf("%d lines, %d lost of 250 with 7 KB each; want about 1 MiB of them kept", lines, lost)
	}
}

// What waits is written when the host stops.
func TestAccessLogAtEnd(t *testing.T) {
	dir := tree(t, files{"htdocs/hello.txt": "hello", "cgi-bin/": ""})
	log := new(buffer)
	t.Run("host", func(t *testing.T) {
		s := start(t, dir, logConfig, func(o *site.Options) { o.AccessLog = log })
		for range 20 {
			s.get(t, "/hello.txt")
		}
	})
	if n := strings.Count(log.String(), "\n"); n != 20 {
		t.Errorf("%d lines after the end, want 20", n)
	}
}
