package scripts_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const hello = `def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]
`

// browser is a request as a browser's through Gatehouse.
var browser = wsgiRequest{path: "/hello?a=b", vars: []string{
	"HTTP_USER_AGENT=Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
	"HTTP_ACCEPT=text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"HTTP_ACCEPT_LANGUAGE=en-US,en;q=0.5", "HTTP_ACCEPT_ENCODING=gzip, deflate, br", "HTTP_COOKIE=session=abcdefghijklmnopqrstuvwxyz",
	"REMOTE_PORT=40000", "REQUEST_SCHEME=http", "REQUEST_URI=/app/hello?a=b", "SERVER_ADDR=192.0.2.9", "REDIRECT_STATUS=200",
	"SCRIPT_FILENAME=/srv/app/app.py", "DOCUMENT_ROOT=/srv/www", "UNIQUE_ID=aaaaaaaaaaaaaaaa"}}

// A request on a kept connection, and what it costs the worker.
func BenchmarkWSGIShim(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.py"), []byte(hello), 0o644); err != nil {
		b.Fatal(err)
	}
	for _, tt := range []struct{ name, body string }{{"GET", ""}, {"POST 1 KiB", strings.Repeat("x", 1024)}} {
		b.Run(tt.name, func(b *testing.B) {
			w := startWSGI(b, filepath.Join(dir, "app.py"))
			c := w.dial(b)
			defer c.Close()
			var requests [][]byte
			for i := range 64 { // some variables are not the same
				r := browser
				r.body = tt.body
				r.vars = append([]string{"UNIQUE_ID=" + strings.Repeat(string(rune('a'+i%26)), 16), "REMOTE_PORT=4" + strings.Repeat(string(rune('0'+i%10)), 4)}, r.vars[:len(r.vars)-1]...)
				requests = append(requests, whole(r, true))
			}
			c.send(b, requests[0])
			if a := c.answer(b); a.body != "Hello, world!" {
				b.Fatalf("got %+v", a)
			}
			for i := 0; b.Loop(); i++ {
				c.send(b, requests[i%len(requests)])
				c.skipAnswer(b)
			}
			b.StopTimer()
			_ = w.cmd.Process.Signal(syscall.SIGTERM)
			w.wait(b)
			usage := w.cmd.ProcessState
			b.ReportMetric(float64(usage.UserTime().Nanoseconds())/float64(b.N), "worker-user-ns/op")
			b.ReportMetric(float64(usage.SystemTime().Nanoseconds())/float64(b.N), "worker-sys-ns/op")
		})
	}
}

// A CGI program: the interpreter's start, and the shim's.
func BenchmarkWSGIShimCGI(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.py"), []byte(hello), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := shimCommand(b, filepath.Join(dir, "app.py"))
		cmd.Env = append(cmd.Env, browser.variables()...)
		if out, err := cmd.Output(); err != nil || !strings.HasSuffix(string(out), "Hello, world!") {
			b.Fatalf("got %q, %v", out, err)
		}
	}
}
