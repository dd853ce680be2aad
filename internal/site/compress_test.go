package site_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// decoded is the text of a body in a coding.
func decoded(t testing.TB, coding string, r io.Reader) string {
	t.Helper()
	switch coding {
	case "":
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Errorf("gzip: %v", err)
			return ""
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	default:
		t.Fatalf("coding %q", coding)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("%s: %v", coding, err)
	}
	return string(text)
}

var longText = strings.Repeat("All work and no play makes Jack a dull boy.\n", 3000)

const compressConfig = `
compress = true
[[site]]
root = "DIR/htdocs"
  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"
  [[site.route]]
  path = "/plain/"
  cgi = "DIR/cgi-bin/"
  compress = false
  [[site.route]]
  path = "/gzip/"
  cgi = "DIR/cgi-bin/"
  compress = ["gzip"]
`

// says prints header fields and then a file.
func says(file string, fields ...string) string {
	return script("printf '"+strings.Join(fields, `\n`)+`\n\n'`, "cat "+file)
}

func compressTree(t testing.TB) string {
	return tree(t, files{
		"long": longText, "short": strings.Repeat("s", 500),
		"htdocs/long.txt": longText, "htdocs/long.png": longText, "htdocs/short.txt": "short",
		"cgi-bin/long":     says("../long", "Content-Type: text/html", `ETag: "abc"`, "Accept-Ranges: bytes"),
		"cgi-bin/length":   says("../long", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(longText))),
		"cgi-bin/short":    says("../short", "Content-Type: text/plain"),
		"cgi-bin/weak":     says("../long", "Content-Type: text/plain", `ETag: W/"abc"`, "Vary: Cookie"),
		"cgi-bin/image":    says("../long", "Content-Type: image/png"),
		"cgi-bin/untyped":  says("../long", "X-A: b", "Status: 200"),
		"cgi-bin/encoded":  says("../long", "Content-Type: text/plain", "Content-Encoding: x-rot13"),
		"cgi-bin/as-is":    says("../long", "Content-Type: text/plain", "Cache-Control: public, No-Transform"),
		"cgi-bin/partial":  says("../long", "Status: 206", "Content-Type: text/plain", "Content-Range: bytes 0-9/10"),
		"cgi-bin/varied":   says("../long", "Content-Type: text/plain", "Vary: accept-encoding, Cookie"),
		"cgi-bin/notfound": says("../long", "Status: 404", "Content-Type: text/plain"),
		"cgi-bin/moved":    script("printf 'Location: /cgi-bin/long\\n\\n'"),
		"cgi-bin/cut":      says("../long", "Content-Type: text/plain", fmt.Sprintf("Content-Length: %d", len(longText)+1)),
	})
}

func TestCompress(t *testing.T) {
	s := start(t, compressTree(t), compressConfig)
	const both = "gzip, deflate, br, zstd"
	for _, row := range []struct {
		target, accept, coding string
		vary                   string
		fields                 map[string]string
	}{
		{"/cgi-bin/long", both, "zstd", "Accept-Encoding", map[string]string{"Etag": `W/"abc"`, "Accept-Ranges": ""}},
		{"/cgi-bin/long", "", "", "Accept-Encoding", map[string]string{"Etag": `"abc"`}},
		{"/cgi-bin/long", "gzip", "gzip", "Accept-Encoding", nil},
		{"/cgi-bin/long", "x-gzip", "gzip", "Accept-Encoding", nil},
		{"/cgi-bin/long", "GZIP;Q=0.5, zstd;q=0.4", "gzip", "Accept-Encoding", nil},
		{"/cgi-bin/long", "gzip;q=0, zstd;q=0.000", "", "Accept-Encoding", nil},
		{"/cgi-bin/long", "*", "zstd", "Accept-Encoding", nil},
		{"/cgi-bin/long", "*;q=0.1, zstd;q=0", "gzip", "Accept-Encoding", nil},
		{"/cgi-bin/long", "identity, gzip;q=0.5", "", "Accept-Encoding", nil},
		{"/cgi-bin/long", "br, deflate", "", "Accept-Encoding", nil},
		{"/cgi-bin/long", "gzip;q=2", "", "Accept-Encoding", nil},
		{"/cgi-bin/long", "gzip;level=9", "", "Accept-Encoding", nil},
		{"/gzip/long", both, "gzip", "Accept-Encoding", nil},
		{"/plain/long", both, "", "", map[string]string{"Etag": `"abc"`}},
		{"/cgi-bin/length", both, "zstd", "Accept-Encoding", nil},
		{"/cgi-bin/weak", both, "zstd", "Cookie Accept-Encoding", map[string]string{"Etag": `W/"abc"`}},
		{"/cgi-bin/varied", both, "zstd", "accept-encoding, Cookie", nil},
		{"/cgi-bin/notfound", both, "zstd", "Accept-Encoding", nil},
		{"/cgi-bin/moved", both, "zstd", "Accept-Encoding", nil}, // a local redirect
		{"/cgi-bin/image", both, "", "", nil},
		{"/cgi-bin/untyped", both, "", "", nil},
		{"/cgi-bin/encoded", both, "x-rot13", "", nil},
		{"/cgi-bin/as-is", both, "", "", nil},
		{"/cgi-bin/partial", both, "", "", nil},
		{"/long.txt", both, "zstd", "Accept-Encoding", map[string]string{"Accept-Ranges": ""}},
		{"/long.png", both, "", "", map[string]string{"Content-Length": fmt.Sprint(len(longText))}},
		{"/short.txt", both, "", "", map[string]string{"Content-Length": "5"}},
	} {
		lines := []string{}
		if row.accept != "" {
			lines = append(lines, "Accept-Encoding: "+row.accept)
		}
		got := s.get(t, row.target, lines...)
		name := row.target + " for " + row.accept
		if c := got.Header.Get("Content-Encoding"); c != row.coding || got.err != nil {
			t.Errorf("%s: coding %q, %v, want %q", name, c, got.err, row.coding)
			continue
		}
		if v := strings.Join(got.Header.Values("Vary"), " "); v != row.vary {
			t.Errorf("%s: Vary %q, want %q", name, v, row.vary)
		}
		for field, want := range row.fields {
			if v := got.Header.Get(field); v != want {
				t.Errorf("%s: %s: %q, want %q", name, field, v, want)
			}
		}
		want := longText
		if row.target == "/short.txt" {
			want = "short"
		}
		coding := row.coding
		if coding == "x-rot13" {
			coding = ""
		}
		if text := decoded(t, coding, strings.NewReader(got.body)); text != want {
			t.Errorf("%s: %d bytes of text, want %d", name, len(text), len(want))
		}
		if coding != "" && len(got.body) > len(longText)/10 {
			t.Errorf("%s: %d bytes for %d", name, len(got.body), len(longText))
		}
	}
}

// A HEAD's header is that of the GET, ranges are of the file as it is, and 304 works.
func TestCompressConditions(t *testing.T) {
	s := start(t, compressTree(t), compressConfig)
	const accept = "Accept-Encoding: gzip"
	head := s.do(t, request("HEAD", "/long.txt", accept))
	get := s.get(t, "/long.txt", accept)
	for _, field := range []string{"Content-Encoding", "Vary", "Etag", "Content-Type", "Accept-Ranges"} {
		if a, b := head.Header.Get(field), get.Header.Get(field); a != b {
			t.Errorf("%s: %q for HEAD, %q for GET", field, a, b)
		}
	}
	tag := get.Header.Get("Etag")
	if !strings.HasPrefix(tag, `W/"`) {
		t.Errorf("Etag %s", tag)
	}
	if got := s.get(t, "/long.txt", accept, "If-None-Match: "+tag); got.StatusCode != 304 || got.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("If-None-Match: %s, Vary %q", got.Status, got.Header.Get("Vary"))
	}
	got := s.get(t, "/long.txt", accept, "Range: bytes=4-7")
	if got.StatusCode != 206 || got.body != longText[4:8] || got.Header.Get("Content-Encoding") != "" {
		t.Errorf("Range: %s, %q, %q", got.Status, got.body, got.Header.Get("Content-Encoding"))
	}
	if got := s.get(t, "/long.txt", accept, "Range: bytes=4-7", "If-Range: "+tag); got.StatusCode != 200 {
		t.Errorf("If-Range: %s", got.Status) // a weak tag is no reason for a part
	}
}

// A body that ends too early has no proper end in its coding either (A80).
func TestCompressCut(t *testing.T) {
	s := start(t, compressTree(t), compressConfig)
	got := s.get(t, "/cgi-bin/cut", "Accept-Encoding: gzip")
	if got.err == nil {
		t.Errorf("%d bytes and a proper end", len(got.body))
	}
}

// What a program has printed arrives while it pauses, however little (A103).
func TestCompressStream(t *testing.T) {
	dir := tree(t, files{"cgi-bin/stream": script(okHeader, "echo one", "while [ ! -e ../go1 ]; do sleep 0.02; done", "echo two",
		"while [ ! -e ../go2 ]; do sleep 0.02; done", "echo three")})
	s := start(t, dir, "compress = true\n[[site]]\n[[site.route]]\npath = '/cgi-bin/'\ncgi = 'DIR/cgi-bin/'\n")
	for _, coding := range []string{"gzip", "zstd"} {
		t.Run(coding, func(t *testing.T) {
			for _, name := range []string{"go1", "go2"} {
				_ = os.Remove(filepath.Join(dir, name))
			}
			conn := s.dial(t)
			defer conn.Close()
			fmt.Fprint(conn, request("GET", "/cgi-bin/stream", "Accept-Encoding: "+coding))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Content-Encoding"); got != coding {
				t.Fatalf("coding %q", got)
			}
			var text io.Reader
			if coding == "gzip" {
				text, err = gzip.NewReader(resp.Body)
			} else {
				var z *zstd.Decoder
				z, err = zstd.NewReader(resp.Body, zstd.WithDecoderConcurrency(1))
				if z != nil {
					defer z.Close()
				}
				text = z
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(text)
			for n, want := range []string{"one\n", "two\n", "three\n"} {
				if got, err := lines.ReadString('\n'); got != want || err != nil {
					t.Fatalf("got %q, %v, want %q", got, err, want)
				}
				if n < 2 { // the program goes on only now
					put(t, filepath.Join(dir, fmt.Sprintf("go%d", n+1)), "")
				}
			}
			if got, err := lines.ReadByte(); err != io.EOF {
				t.Errorf("got %q, %v at the end", got, err)
			}
		})
	}
}

// Many at a time, some of which leave early: each text is whole, no encoder is lost.
func TestCompressMany(t *testing.T) {
	s := start(t, compressTree(t), compressConfig)
	var all sync.WaitGroup
	for n := range 32 {
		all.Go(func() {
			coding := []string{"gzip", "zstd"}[n%2]
			for m := range 8 {
				conn := s.dial(t)
				fmt.Fprint(conn, request("GET", "/long.txt", "Accept-Encoding: "+coding))
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Error(err)
				} else if (n+m)%3 != 0 {
					if text := decoded(t, resp.Header.Get("Content-Encoding"), resp.Body); text != longText {
						t.Errorf("%d bytes of text", len(text))
					}
				}
				_ = conn.Close()
			}
		})
	}
	all.Wait()
}

// Files that were compressed before are sent in place of the file.
func TestPrecompressed(t *testing.T) {
	dir := tree(t, files{
		"htdocs/a.html": "plain", "htdocs/a.html.br": "brotli", "htdocs/a.html.zst": "zstandard", "htdocs/a.html.gz": "gzipped",
		"htdocs/b.html": "plain", "htdocs/b.html.gz": "gzipped", "htdocs/b.html.br/": "",
		"htdocs/c.html": "plain", "htdocs/c.html.gz": "older",
		"htdocs/d.html": "plain", "htdocs/d.html.gz": "-> ../outside",
		"htdocs/e.html": strings.Repeat("plain", 1000), "outside": "outside",
		"htdocs/cgi-bin/run": envScript, "htdocs/f.html": "plain", "htdocs/f.html.gz": "-> cgi-bin/run",
	})
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir+"/htdocs/c.html.gz", then, then); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.html", "b.html", "d.html", "f.html"} { // as old, or older
		if err := os.Chtimes(dir+"/htdocs/"+name, then, then); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir, `
precompressed = true
compress = ["gzip"]
[[site]]
root = "DIR/htdocs"
  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/htdocs/cgi-bin/"
  [[site.route]]
  path = "/off/"
  static = "DIR/htdocs/"
  precompressed = false
  compress = false
`)
	for _, row := range []struct {
		target, accept string
		status         int
		body, coding   string
	}{
		{"/a.html", "gzip, br, zstd", 200, "brotli", "br"},
		{"/a.html", "gzip, zstd", 200, "zstandard", "zstd"},
		{"/a.html", "gzip, zstd;q=0.5", 200, "gzipped", "gzip"},
		{"/a.html", "", 200, "plain", ""},
		{"/b.html", "br, gzip", 200, "gzipped", "gzip"},
		{"/b.html", "br", 200, "plain", ""},
		{"/c.html", "gzip", 200, "plain", ""},
		{"/d.html", "gzip", 200, "plain", ""},
		{"/f.html", "gzip", 200, "plain", ""},
		{"/off/a.html", "gzip, br, zstd", 200, "plain", ""},
		{"/a.html.gz", "gzip", 200, "gzipped", ""}, // by its own name it is a file like any other
	} {
		got := s.get(t, row.target, "Accept-Encoding: "+row.accept)
		if got.StatusCode != row.status || got.body != row.body || got.Header.Get("Content-Encoding") != row.coding {
			t.Errorf("%s for %q: %s %q %q, want %q %q", row.target, row.accept, got.Status, got.body, got.Header.Get("Content-Encoding"), row.body, row.coding)
		}
		kind, vary := "text/html; charset=utf-8", "Accept-Encoding"
		if strings.HasSuffix(row.target, ".gz") {
			kind = "application/gzip"
		}
		if strings.HasPrefix(row.target, "/off/") {
			vary = ""
		}
		if k, v := got.Header.Get("Content-Type"), strings.Join(got.Header.Values("Vary"), " "); k != kind || v != vary {
			t.Errorf("%s for %q: Content-Type %q, Vary %q", row.target, row.accept, k, v)
		}
		if want := fmt.Sprint(len(row.body)); got.Header.Get("Content-Length") != want {
			t.Errorf("%s for %q: Content-Length %q", row.target, row.accept, got.Header.Get("Content-Length"))
		}
	}
	tags := map[string]bool{}
	for _, accept := range []string{"br", "zstd", "gzip", ""} {
		got := s.get(t, "/a.html", "Accept-Encoding: "+accept)
		tag := got.Header.Get("Etag")
		if tags[tag] {
			t.Errorf("the tag %s twice", tag)
		}
		tags[tag] = true
		part := s.get(t, "/a.html", "Accept-Encoding: "+accept, "Range: bytes=1-3", "If-Range: "+tag)
		if part.StatusCode != 206 || part.body != got.body[1:4] || part.Header.Get("Content-Encoding") != accept {
			t.Errorf("a range for %q: %s %q %q", accept, part.Status, part.body, part.Header.Get("Content-Encoding"))
		}
		if got := s.get(t, "/a.html", "Accept-Encoding: "+accept, "If-None-Match: "+tag); got.StatusCode != 304 || got.Header.Get("Vary") == "" {
			t.Errorf("If-None-Match for %q: %s", accept, got.Status)
		}
	}
	if got := s.get(t, "/e.html", "Accept-Encoding: gzip"); got.Header.Get("Content-Encoding") != "gzip" || len(got.Header.Values("Vary")) != 1 {
		t.Errorf("compressed on the way: %q, Vary %q", got.Header.Get("Content-Encoding"), got.Header.Values("Vary"))
	}
}

func BenchmarkCompress(b *testing.B) {
	s := start(b, compressTree(b), compressConfig)
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		b.Run(coding, func(b *testing.B) {
			b.SetBytes(int64(len(longText)))
			for b.Loop() {
				if got := s.get(b, "/long.txt", "Accept-Encoding: "+coding); got.err != nil {
					b.Fatal(got.err)
				}
			}
		})
	}
}
