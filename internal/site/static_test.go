package site_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const staticConfig = `
[[site]]
root = "DIR/htdocs"
listing = true
`

// RFC 9110 sections 13 and 14: conditions and ranges.
func TestStaticConditions(t *testing.T) {
	dir := tree(t, files{"htdocs/ten.txt": "0123456789", "htdocs/empty.txt": ""})
	when := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, name := range []string{"ten.txt", "empty.txt"} {
		if err := os.Chtimes(filepath.Join(dir, "htdocs", name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir, staticConfig)
	tag := s.get(t, "/ten.txt").Header.Get("Etag")
	if len(tag) < 3 || tag[0] != '"' {
		t.Fatalf("Etag is %q, want a strong one", tag)
	}
	const modified, later, before = "Mon, 06 May 2024 07:08:09 GMT", "Tue, 07 May 2024 07:08:09 GMT", "Sun, 05 May 2024 07:08:09 GMT"
	for _, tt := range []struct {
		name, method, target string
		fields               []string
		status               int
		body, contentRange   string
	}{
		{"whole", "GET", "/ten.txt", nil, 200, "0123456789", ""},
		{"head", "HEAD", "/ten.txt", nil, 200, "", ""},
		{"empty", "GET", "/empty.txt", nil, 200, "", ""},
		{"range of an empty file", "GET", "/empty.txt", []string{"Range: bytes=0-0"}, 200, "", ""},
		{"range", "GET", "/ten.txt", []string{"Range: bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"open range", "GET", "/ten.txt", []string{"Range: bytes=7-"}, 206, "789", "bytes 7-9/10"},
		{"range beyond the end", "GET", "/ten.txt", []string{"Range: bytes=8-100"}, 206, "89", "bytes 8-9/10"},
		{"suffix range", "GET", "/ten.txt", []string{"Range: bytes=-3"}, 206, "789", "bytes 7-9/10"},
		{"head of a range", "HEAD", "/ten.txt", []string{"Range: bytes=2-4"}, 206, "", "bytes 2-4/10"},
		{"unsatisfiable", "GET", "/ten.txt", []string{"Range: bytes=10-"}, 416, "-", "bytes */10"},
		{"several ranges give the whole", "GET", "/ten.txt", []string{"Range: bytes=0-1,4-5"}, 200, "0123456789", ""},
		{"other unit", "GET", "/ten.txt", []string{"Range: lines=0-1"}, 416, "-", ""},
		{"If-None-Match", "GET", "/ten.txt", []string{"If-None-Match: \"x\", " + tag}, 304, "", ""},
		{"If-None-Match other", "GET", "/ten.txt", []string{`If-None-Match: "x"`}, 200, "0123456789", ""},
		{"If-None-Match before If-Modified-Since", "GET", "/ten.txt", []string{`If-None-Match: "x"`, "If-Modified-Since: " + later}, 200, "0123456789", ""},
		{"If-Modified-Since", "GET", "/ten.txt", []string{"If-Modified-Since: " + modified}, 304, "", ""},
		{"If-Modified-Since earlier", "GET", "/ten.txt", []string{"If-Modified-Since: " + before}, 200, "0123456789", ""},
		{"If-Match", "GET", "/ten.txt", []string{`If-Match: "x"`}, 412, "", ""},
		{"If-Unmodified-Since", "GET", "/ten.txt", []string{"If-Unmodified-Since: " + before}, 412, "", ""},
		{"If-Range holds", "GET", "/ten.txt", []string{"If-Range: " + tag, "Range: bytes=2-4"}, 206, "234", "bytes 2-4/10"},
		{"If-Range fails", "GET", "/ten.txt", []string{`If-Range: "x"`, "Range: bytes=2-4"}, 200, "0123456789", ""},
		{"If-Range date", "GET", "/ten.txt", []string{"If-Range: " + modified, "Range: bytes=2-4"}, 206, "234", "bytes 2-4/10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Two requests on one connection: the first response is whole and keeps it (E34).
			conn := s.dial(t)
			defer conn.Close()
			first := strings.Replace(request(tt.method, tt.target, tt.fields...), "Connection: close\r\n", "", 1)
			_, _ = io.WriteString(conn, first+request("GET", "/ten.txt"))
			r := bufio.NewReader(conn)
			got := read(t, r, first)
			if got.StatusCode != tt.status || got.err != nil || (tt.body != "-" && got.body != tt.body) {
				t.Errorf("%d %q %v, want %d %q", got.StatusCode, got.body, got.err, tt.status, tt.body)
			}
			if v := got.Header.Get("Content-Range"); v != tt.contentRange && tt.contentRange != "" {
				t.Errorf("Content-Range %q, want %q", v, tt.contentRange)
			}
			if tt.status == 304 && got.Header.Get("Etag") != tag {
				t.Errorf("304 with Etag %q, want %q", got.Header.Get("Etag"), tag)
			}
			if got := read(t, r, "GET"); got.StatusCode != 200 || got.body != "0123456789" {
				t.Errorf("the next request on the connection gets %d %q", got.StatusCode, got.body)
			}
		})
	}
	if got := s.do(t, request("HEAD", "/ten.txt")); got.ContentLength != 10 {
		t.Errorf("HEAD tells %d bytes, want 10", got.ContentLength)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "get"} {
		got := s.do(t, request(method, "/ten.txt", "Content-Length: 0"))
		if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s is %d, Allow %q", method, got.StatusCode, got.Header.Get("Allow"))
		}
	}
}

// The type goes by the name, whatever is in the file.
func TestStaticTypes(t *testing.T) {
	const page = "<!DOCTYPE html><script>alert(1)</script>"
	content := files{}
	want := map[string]string{
		"a.html": "text/html; charset=utf-8", "a.txt": "text/plain; charset=utf-8", "a.js": "text/javascript; charset=utf-8",
		"a.css": "text/css; charset=utf-8", "a.svg": "image/svg+xml", "A.PNG": "image/png", "a.json": "application/json",
		"noext": "application/octet-stream", "a.unknownext": "application/octet-stream", "a.": "application/octet-stream", "html": "application/octet-stream",
	}
	for name := range want {
		content["htdocs/"+name] = page
	}
	s := start(t, tree(t, content), staticConfig)
	for name, typ := range want {
		if got := s.get(t, "/"+name); got.Header.Get("Content-Type") != typ || got.body != page {
			t.Errorf("%s is %q, want %q", name, got.Header.Get("Content-Type"), typ)
		}
	}
}

func TestListing(t *testing.T) {
	s := start(t, tree(t, files{
		"htdocs/folder/b.txt":           "b",
		"htdocs/folder/a/x":             "",
		"htdocs/folder/.git/x":          "",
		"htdocs/folder/.hidden":         "",
		"htdocs/folder/<i>&\"'.txt":     "escaped",
		"htdocs/folder/javascript:x":    "scheme",
		"htdocs/folder/q?a=b#c%41.txt":  "delimiters",
		"htdocs/folder/esc\x1b[31m\n.x": "control",
	}), staticConfig+`
[[site.route]]
path = "/plain/"
static = "DIR/htdocs/folder/"
listing = false
`)
	got := s.get(t, "/folder/")
	if got.StatusCode != 200 || got.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", got.StatusCode, got.Header.Get("Content-Type"))
	}
	for _, want := range []string{
		`href="../"`, `href="./a/"`, `href="./b.txt"`, "&lt;i&gt;&amp;", `href="./javascript:x"`, `href="./q%3Fa=b%23c%2541.txt"`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in\n%s", want, got.body)
		}
	}
	for _, bad := range []string{"<i>", ".git", ".hidden", "\x1b", `href="javascript:`} {
		if strings.Contains(got.body, bad) {
			t.Errorf("%q in\n%s", bad, got.body)
		}
	}
	if a, b := strings.Index(got.body, "./a/"), strings.Index(got.body, "./b.txt"); a > b {
		t.Error("folders do not come first")
	}
	if got := s.get(t, "/folder/q%3Fa=b%23c%2541.txt"); got.body != "delimiters" {
		t.Errorf("the listed link leads to %d %q", got.StatusCode, got.body)
	}
	if got := s.do(t, request("HEAD", "/folder/")); got.StatusCode != 200 || got.body != "" || got.ContentLength <= 0 {
		t.Errorf("HEAD: %d, %d bytes, body %q", got.StatusCode, got.ContentLength, got.body)
	}
	if got := s.get(t, "/plain/"); got.StatusCode != 403 {
		t.Errorf("a route without listing is %d", got.StatusCode)
	}
}

// A80: a file that becomes shorter while it is sent is never padded nor passed off
// as whole.
func TestFileShrinksWhileSent(t *testing.T) {
	const size = 64 << 20
	dir := tree(t, files{"htdocs/": ""})
	name := filepath.Join(dir, "htdocs/big.bin")
	sparse(t, name, size)
	s := start(t, dir, staticConfig)
	conn := s.dial(t)
	defer conn.Close()
	_, _ = io.WriteString(conn, strings.Replace(request("GET", "/big.bin"), "Connection: close\r\n", "", 1))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.ContentLength != size {
		t.Fatal(resp, err)
	}
	if err := os.Truncate(name, 1<<20); err != nil { // most of it is not in any buffer yet
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != io.ErrUnexpectedEOF || n >= size {
		t.Errorf("%d bytes of %d, error %v; want fewer and an unexpected end", n, size, err)
	}
}

func sparse(t testing.TB, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func TestLargeFileTakesNoMemory(t *testing.T) {
	const size = 100 << 20
	dir := tree(t, files{"htdocs/": ""})
	sparse(t, filepath.Join(dir, "htdocs/big.bin"), size)
	s := start(t, dir, staticConfig)
	conn := s.dial(t)
	defer conn.Close()
	_, _ = io.WriteString(conn, request("GET", "/big.bin"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.Copy(io.Discard, conn)
	runtime.ReadMemStats(&after)
	if err != nil || n < size {
		t.Fatal(n, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > size/10 {
		t.Errorf("%d bytes were allocated to send %d", got, size)
	}
}

// A name that is a file when it is looked up and a FIFO when it is opened holds
// nobody up.
func TestFileSwappedForFIFO(t *testing.T) {
	dir := tree(t, files{"htdocs/x.txt": "text", "htdocs/.file": "text"})
	at := func(name string) string { return filepath.Join(dir, "htdocs", name) }
	if err := syscall.Mkfifo(at(".fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, staticConfig)
	var stop atomic.Bool
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for n := 0; !stop.Load(); n++ {
			_ = os.Link(at([]string{".file", ".fifo"}[n%2]), at(".next"))
			_ = os.Rename(at(".next"), at("x.txt"))
			_ = os.Remove(at(".next"))
		}
	}()
	defer func() {
		stop.Store(true)
		<-swapped
	}()
	got := map[int]int{}
	for end := time.Now().Add(time.Second); len(got) == 0 || time.Now().Before(end); {
		conn := s.dial(t)
		_, _ = io.WriteString(conn, request("GET", "/x.txt"))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		_ = conn.Close()
		if err != nil {
			release(at(".fifo"))
			t.Fatalf("after %v: %v", got, err)
		}
		got[resp.StatusCode]++
	}
	if got[200]+got[403] == 0 || len(got) > 2 {
		t.Errorf("statuses %v, want 200 and 403", got)
	}
}

// release lets go who waits for a FIFO's other end.
func release(name string) {
	if fd, err := syscall.Open(name, syscall.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
		time.AfterFunc(time.Second, func() { _ = syscall.Close(fd) })
	}
}

// A folder with very many names is not read without bound.
func TestListingIsBounded(t *testing.T) {
	dir := tree(t, files{"htdocs/many/": ""})
	for n := range 10500 {
		if err := os.Symlink("x", filepath.Join(dir, "htdocs/many", fmt.Sprintf("n%05d", n))); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir, staticConfig)
	if n := strings.Count(s.get(t, "/many/").body, "<li>"); n > 10001 || n < 1000 {
		t.Errorf("%d names are listed", n)
	}
}
