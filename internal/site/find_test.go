package site_test

import (
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const findConfig = `
[[site]]
hosts = ["localhost"]
root = "DIR/htdocs"

  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"

  [[site.route]]
  path = "/one"
  cgi = "DIR/htdocs/lib/one.sh"

  [[site.route]]
  path = "/one/files/"
  static = "DIR/htdocs/uploads/"

  [[site.route]]
  path = "/two/"
  cgi = "DIR/htdocs/lib/one.sh"

  [[site.route]]
  path = "/two/exact"
  static = "DIR/htdocs/hello.txt"

  [[site.route]]
  path = "/both"
  cgi = "DIR/cgi-bin/env"

  [[site.route]]
  path = "/both/"
  static = "DIR/htdocs/uploads/"

  [[site.route]]
  path = "/run/"
  cgi = "DIR/htdocs/bin/"

  [[site.route]]
  path = "/uploads/"
  static = "DIR/htdocs/uploads/"

  [[site.route]]
  path = "/noinfo-one/"
  cgi = "DIR/cgi-bin/env"
  accept_path_info = false

  [[site.route]]
  path = "/noinfo/"
  cgi = "DIR/cgi-bin/"
  accept_path_info = false

  [[site.route]]
  path = "/old/"
  redirect = "https://example.org/new?a=b"
  status = 308

  [[site.route]]
  path = "*.cgi"
  cgi = true

[[site]]
hosts = ["fallback.test"]
root = "DIR/app"
fallback = "/front.cgi"

  [[site.route]]
  path = "/cgi-bin/"
  cgi = "DIR/cgi-bin/"

  [[site.route]]
  path = "*.cgi"
  cgi = true

[[site]]
hosts = ["root.test"]
root = "DIR/app"

  [[site.route]]
  path = "/"
  cgi = "DIR/cgi-bin/env"
`

func findTree(t *testing.T) string {
	dir := tree(t, files{
		"secret.txt":                 "SECRET",
		"outside/env":                envScript,
		"outside/secret.txt":         "SECRET",
		"cgi-bin/env":                envScript,
		"cgi-bin/env.cgi":            envScript,
		"cgi-bin/sp ace%41":          envScript,
		"cgi-bin/\xfcber":            envScript,
		"cgi-bin/deep/er/env":        envScript,
		"cgi-bin/indexed/index.cgi":  envScript,
		"cgi-bin/link":               "-> deep/er/env",
		"cgi-bin/out":                "-> ../outside/env",
		"cgi-bin/absolute":           "-> /etc/passwd",
		"cgi-bin/loop":               "-> loop",
		"cgi-bin/noexec":             "# " + sourceMark,
		"htdocs/index.html":          "home",
		"htdocs/hello.txt":           "hello",
		"htdocs/env.cgi":             envScript,
		"htdocs/noexec.cgi":          "# " + sourceMark,
		"htdocs/plain.cgi.txt":       "plain",
		"htdocs/upper.CGI":           "upper",
		"htdocs/x.ⓒⓖⓘ":               "circled",
		"htdocs/x.ＣＧＩ":               "full width",
		"htdocs/folder.cgi/":         "",
		"htdocs/sub/index.cgi":       envScript,
		"htdocs/empty/":              "",
		"htdocs/sp ace?%25.txt":      "spaced",
		"htdocs/ü.txt":               "umlaut",
		"htdocs/\xff\xfe.txt":        "bytes",
		"htdocs/.env":                "SECRET",
		"htdocs/.git/config":         "SECRET",
		"htdocs/.well-known/x":       "known",
		"htdocs/inside.txt":          "-> hello.txt",
		"htdocs/out.txt":             "-> ../secret.txt",
		"htdocs/outdir":              "-> ../outside",
		"htdocs/out.cgi":             "-> ../outside/env",
		"htdocs/bin/env":             envScript,
		"htdocs/leak.txt":            "-> bin/env",
		"htdocs/leakdir":             "-> bin",
		"htdocs/leak2.txt":           "-> lib/one.sh",
		"htdocs/lib/one.sh":          envScript,
		"htdocs/uploads/x.jpg":       "picture",
		"htdocs/uploads/evil.cgi":    "#!/bin/sh\necho RAN\n",
		"htdocs/uploads/index.cgi/":  "",
		"htdocs/photos/x.jpg":        "picture",
		"htdocs/evil.example/":       "",
		"htdocs/evil.example/a\\b/":  "",
		"htdocs/evil.example/q?&#/":  "",
		"app/front.cgi":              envScript,
		"app/real.txt":               "real",
		"app/dir/":                   "",
		"htdocs-evil/secret.txt":     "SECRET",
		"htdocs/uploads-evil/secret": "public",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "htdocs/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "cgi-bin/fifo"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// variable returns the value of a variable that a script has printed, "-" when it
// is not there.
func variable(body, name string) string {
	for line := range strings.Lines(body) {
		if v, ok := strings.CutPrefix(line, name+"="); ok {
			return strings.TrimSuffix(v, "\n")
		}
	}
	return "-"
}

// A05, A06, A13: how a path is split, in every kind of place a script may have.
func TestScriptPaths(t *testing.T) {
	dir := findTree(t)
	s := start(t, dir, findConfig)
	for _, tt := range []struct {
		name, host, target string
		script, info       string // "-": not set
		translated, file   string // beneath dir
	}{
		{"prefix folder", "", "/cgi-bin/env", "/cgi-bin/env", "-", "-", "cgi-bin/env"},
		{"prefix folder and more", "", "/cgi-bin/env/a/b", "/cgi-bin/env", "/a/b", "htdocs/a/b", "cgi-bin/env"},
		{"A45 slash behind it", "", "/cgi-bin/env/", "/cgi-bin/env", "/", "htdocs/", "cgi-bin/env"},
		{"folders in between", "", "/cgi-bin/deep/er/env/x", "/cgi-bin/deep/er/env", "/x", "htdocs/x", "cgi-bin/deep/er/env"},
		{"index of a folder of scripts", "", "/cgi-bin/indexed/", "/cgi-bin/indexed/index.cgi", "-", "-", "cgi-bin/indexed/index.cgi"},
		{"link inside the folder", "", "/cgi-bin/link/x", "/cgi-bin/link", "/x", "htdocs/x", "cgi-bin/link"},
		{"info through another route", "", "/cgi-bin/env/uploads/a.cgi", "/cgi-bin/env", "/uploads/a.cgi", "htdocs/uploads/a.cgi", "cgi-bin/env"},
		{"info through a single file's route", "", "/one/two/exact", "/one", "/two/exact", "htdocs/hello.txt", "htdocs/lib/one.sh"},
		{"info through a folder of scripts", "", "/one/cgi-bin/x/", "/one", "/cgi-bin/x/", "cgi-bin/x/", "htdocs/lib/one.sh"},
		{"decoded once (A37, E51)", "", "/cgi-bin/sp%20ace%2541/%2541", "/cgi-bin/sp ace%41", "/%41", "htdocs/%41", "cgi-bin/sp ace%41"},
		{"bytes that are no UTF-8", "", "/cgi-bin/%fcber/%ff", "/cgi-bin/\xfcber", "/\xff", "htdocs/\xff", "cgi-bin/\xfcber"},
		{"parameters stay", "", "/cgi-bin/env/a;b=c", "/cgi-bin/env", "/a;b=c", "htdocs/a;b=c", "cgi-bin/env"},
		{"script at /x", "", "/one", "/one", "-", "-", "htdocs/lib/one.sh"},
		{"script at /x and more", "", "/one/a", "/one", "/a", "htdocs/a", "htdocs/lib/one.sh"},
		{"script at /x/", "", "/two/", "/two", "/", "htdocs/", "htdocs/lib/one.sh"},
		{"script at /x/ and more", "", "/two/a/b", "/two", "/a/b", "htdocs/a/b", "htdocs/lib/one.sh"},
		{"script at /", "root.test", "/", "", "/", "app/", "cgi-bin/env"},
		{"script at / and more", "root.test", "/a/b", "", "/a/b", "app/a/b", "cgi-bin/env"},
		{"suffix", "", "/env.cgi", "/env.cgi", "-", "-", "htdocs/env.cgi"},
		{"suffix and more", "", "/env.cgi/a.cgi/b", "/env.cgi", "/a.cgi/b", "htdocs/a.cgi/b", "htdocs/env.cgi"},
		{"a dot behind a script hides nothing", "", "/env.cgi/.git/x", "/env.cgi", "/.git/x", "htdocs/.git/x", "htdocs/env.cgi"},
		{"index.cgi", "", "/sub/", "/sub/index.cgi", "-", "-", "htdocs/sub/index.cgi"},
		{"fallback", "fallback.test", "/some/page", "/front.cgi", "-", "-", "app/front.cgi"},
		{"fallback for a hidden file", "fallback.test", "/.git/config", "/front.cgi", "-", "-", "app/front.cgi"},
		{"two slashes (E65)", "", "//cgi-bin//env", "/cgi-bin/env", "-", "-", "cgi-bin/env"},
		{"dots inside (E65)", "", "/x/../cgi-bin/./env", "/cgi-bin/env", "-", "-", "cgi-bin/env"},
		{"slashes in the query (E65)", "", "/cgi-bin/env?a=b?c=d//../y", "/cgi-bin/env", "-", "-", "cgi-bin/env"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := "localhost"
			if tt.host != "" {
				host = tt.host
			}
			got := s.get(t, tt.target, "Host: "+host)
			if got.StatusCode != 200 {
				t.Fatalf("%s is %d", tt.target, got.StatusCode)
			}
			translated := tt.translated
			if translated != "-" {
				translated = dir + "/" + translated
			}
			for name, want := range map[string]string{
				"SCRIPT_NAME": tt.script, "PATH_INFO": tt.info, "PATH_TRANSLATED": translated,
				"SCRIPT_FILENAME": filepath.Join(dir, tt.file), "REQUEST_URI": tt.target,
			} {
				if v := variable(got.body, name); v != want {
					t.Errorf("%s: %s is %q, want %q", tt.target, name, v, want)
				}
			}
		})
	}
}

// A24, RFC 3875 section 3.3: the Script-URI leads to the same again.
func TestScriptURIRoundTrip(t *testing.T) {
	s := start(t, findTree(t), findConfig)
	for _, target := range []string{
		"/cgi-bin/env", "/cgi-bin/env/a%20b/%3F%23%25?x=1&y=%2F", "/one/%C3%BC;v=1", "/env.cgi/", "/cgi-bin/%fcber/%ff%fe?", "/cgi-bin/sp%20ace%2541/%2541",
	} {
		first := s.get(t, target)
		again := (&url.URL{Path: variable(first.body, "SCRIPT_NAME")}).EscapedPath()
		if info := variable(first.body, "PATH_INFO"); info != "-" {
			again += (&url.URL{Path: info}).EscapedPath()
		}
		if query := variable(first.body, "QUERY_STRING"); query != "" {
			again += "?" + query
		}
		second := s.get(t, again)
		for _, name := range []string{"SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SCRIPT_FILENAME"} {
			a, b := variable(first.body, name), variable(second.body, name)
			if first.StatusCode != 200 || second.StatusCode != 200 || a != b {
				t.Errorf("%s: %s is %q, but of %s %q (%d, %d)", target, name, a, again, b, first.StatusCode, second.StatusCode)
			}
		}
	}
}

// What is not a script, or must not be one, or must not be seen.
func TestFind(t *testing.T) {
	dir := findTree(t)
	s := start(t, dir, findConfig)
	deep := "/cgi-bin" + strings.Repeat("/a", 2000)
	for _, tt := range []struct {
		name, target string
		status       int
		body         string // for 200
	}{
		{"file", "/hello.txt", 200, "hello"},
		{"index", "/", 200, "home"},
		{"missing", "/nothing", 404, ""},
		{"A38 above the root", "/../secret.txt", 400, ""},
		{"A38 above the root, escaped", "/%2e%2e/secret.txt", 400, ""},
		{"A37 above the folder of scripts", "/cgi-bin/../../secret.txt", 400, ""},
		{"A37 out of the folder of scripts", "/cgi-bin/%2e%2e/hello.txt", 200, "hello"},
		{"A39 escaped slash", "/cgi-bin%2fenv", 404, ""},
		{"A40 NUL", "/hello.txt%00.cgi", 400, ""},
		{"A40 line feed", "/env.cgi%0a", 400, ""},
		{"E51 twice escaped", "/%252e%252e/secret.txt", 404, ""},
		{"backslash is no separator (A39)", "/..%5csecret.txt", 404, ""},
		{"E54 alias and dots", "/uploads../secret.txt", 404, ""},
		{"E54 alias without its slash", "/uploads-evil/secret", 200, "public"},
		{"A41 folder of scripts", "/cgi-bin/", 403, ""},
		{"A41 folder in it", "/cgi-bin/deep/", 403, ""},
		{"A41 folder named like a script", "/folder.cgi/", 403, ""},
		{"A41 folder without an index", "/empty/", 403, ""},
		{"A42 script behind a picture", "/photos/x.jpg/y.cgi", 404, ""},
		{"A42 script behind a picture in uploads", "/uploads/x.jpg/y.cgi", 404, ""},
		{"A42 existing script behind a file", "/hello.txt/env.cgi", 404, ""},
		{"A42 slash behind a file", "/hello.txt/", 404, ""},
		{"A43 upper case", "/upper.CGI", 200, "upper"},
		{"A43 circled letters", "/x.%E2%93%92%E2%93%96%E2%93%98", 200, "circled"},
		{"A43 full-width letters", "/x.%EF%BC%A3%EF%BC%A7%EF%BC%A9", 200, "full width"},
		{"A44 suffix in the middle", "/plain.cgi.txt", 200, "plain"},
		{"A45 spaces", "/env.cgi%20%20", 404, ""},
		{"A45 dot", "/env.cgi.", 404, ""},
		{"A45 escaped dot", "/env.cgi%2e", 404, ""},
		{"A45 stream", "/env.cgi::$DATA", 404, ""},
		{"A45 case", "/ENV.CGI", 404, ""},
		{"A45 spaces in the folder of scripts", "/cgi-bin/env%20", 404, ""},
		{"A46 not executable", "/cgi-bin/noexec", 403, ""},
		{"A46 not executable, by suffix", "/noexec.cgi", 403, ""},
		{"A47 script among uploads", "/uploads/evil.cgi", 200, "#!/bin/sh\necho RAN\n"},
		{"A47 uploads have no index program", "/uploads/", 403, ""},
		{"A48 no path info", "/noinfo/env", 200, ""},
		{"A48 no path info, but there is", "/noinfo/env/x", 404, ""},
		{"A48 no path info, but a slash", "/noinfo/env/", 404, ""},
		{"A48 single script, its own path", "/noinfo-one/", 200, ""},
		{"A48 single script, and more", "/noinfo-one/x", 404, ""},
		{"the longest prefix wins", "/one/files/x.jpg", 200, "picture"},
		{"the longest prefix wins over a script", "/both/x.jpg", 200, "picture"},
		{"a script beside a prefix", "/both", 200, ""},
		{"exact before prefix", "/two/exact", 200, "hello"},
		{"exact file with more", "/two/exact/", 200, ""},
		{"prefix is not for its own name", "/two", 404, ""},
		{"link inside", "/inside.txt", 200, "hello"},
		{"link out", "/out.txt", 403, ""},
		{"link to a folder outside", "/outdir/secret.txt", 403, ""},
		{"link to a script outside", "/cgi-bin/out", 403, ""},
		{"link to a script outside, by suffix", "/out.cgi", 403, ""},
		{"absolute link", "/cgi-bin/absolute", 403, ""},
		{"link to itself", "/cgi-bin/loop", 404, ""},
		{"script's own place in the root", "/bin/env", 403, ""},
		{"link into the folder of scripts", "/leak.txt", 403, ""},
		{"link to the folder of scripts", "/leakdir/env", 403, ""},
		{"single script's own place", "/lib/one.sh", 403, ""},
		{"link to the single script", "/leak2.txt", 403, ""},
		{"hidden file", "/.env", 404, ""},
		{"hidden folder", "/.git/config", 404, ""},
		{"hidden folder itself", "/.git", 404, ""},
		{"hidden, in capitals of nothing", "/.nothing/x", 404, ""},
		{"RFC 8615 .well-known", "/.well-known/x", 200, "known"},
		{"not a regular file", "/fifo", 403, ""},
		{"not a regular file among scripts", "/cgi-bin/fifo", 403, ""},
		{"space, question mark and percent", "/sp%20ace%3F%2525.txt", 200, "spaced"},
		{"UTF-8", "/%C3%BC.txt", 200, "umlaut"},
		{"not UTF-8", "/%FF%FE.txt", 200, "bytes"},
		{"5000 bytes", "/" + strings.Repeat("x", 5000), 404, ""},
		{"5000 bytes among scripts", "/cgi-bin/" + strings.Repeat("x", 5000), 404, ""},
		{"300 bytes, more than a name has", "/" + strings.Repeat("y", 300) + ".cgi/x", 404, ""},
		{"thousands of segments", deep, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.get(t, tt.target)
			if got.StatusCode != tt.status {
				t.Fatalf("%.100q is %d, want %d", tt.target, got.StatusCode, tt.status)
			}
			if tt.body != "" && got.body != tt.body {
				t.Errorf("%.100q gives %q, want %q", tt.target, got.body, tt.body)
			}
			if strings.Contains(got.body, sourceMark) || strings.Contains(got.body, "SECRET") {
				t.Errorf("%.100q shows %q", tt.target, got.body)
			}
		})
	}
}

// A folder's slash is added by the client, who stays on this server.
func TestFolderRedirect(t *testing.T) {
	s := start(t, findTree(t), findConfig)
	for _, tt := range []struct{ name, target, want string }{
		{"folder", "/sub", "/sub/"},
		{"query kept as it is", "/sub?a=%20b&c=//d", "/sub/?a=%20b&c=//d"},
		{"folder of scripts", "/cgi-bin/deep", "/cgi-bin/deep/"},
		{"no other host", "//evil.example", "/evil.example/"},
		{"no other host, escaped", "/%2e//evil.example", "/evil.example/"},
		{"no other host, by dots", "/x/..//evil.example", "/evil.example/"},
		{"no backslash", "/evil.example/a%5cb", "/evil.example/a%5Cb/"},
		{"delimiters stay escaped", "/evil.example/q%3F&%23", "/evil.example/q%3F&%23/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.get(t, tt.target)
			if got.StatusCode != 301 || got.Header.Get("Location") != tt.want {
				t.Errorf("%s is %d to %q, want 301 to %q", tt.target, got.StatusCode, got.Header.Get("Location"), tt.want)
			}
		})
	}
	if got := s.get(t, "/old/%0d%0aX:y"); got.StatusCode != 400 {
		t.Errorf("line break under a redirect is %d, want 400", got.StatusCode)
	}
	got := s.get(t, "/old/anything?evil")
	if got.StatusCode != 308 || got.Header.Get("Location") != "https://example.org/new?a=b" {
		t.Errorf("redirect is %d to %q", got.StatusCode, got.Header.Get("Location"))
	}
}

// A front controller answers for what is missing, and for nothing else.
func TestFallback(t *testing.T) {
	s := start(t, findTree(t), findConfig)
	for _, tt := range []struct {
		target string
		status int
	}{
		{"/real.txt", 200}, {"/missing", 200}, {"/real.txt/x", 200}, {"/cgi-bin/missing", 404}, {"/dir/", 403}, {"/%00", 400},
	} {
		if got := s.get(t, tt.target, "Host: fallback.test"); got.StatusCode != tt.status {
			t.Errorf("%s is %d, want %d", tt.target, got.StatusCode, tt.status)
		}
	}
	if got := s.get(t, "/a%20b?c=d", "Host: fallback.test"); variable(got.body, "REQUEST_URI") != "/a%20b?c=d" || variable(got.body, "QUERY_STRING") != "c=d" {
		t.Errorf("the front controller gets %q", got.body)
	}
}

// A49, A89, A92: a local redirect is routed like a request, and hides nothing less.
func TestLocalRedirectIsRoutedAgain(t *testing.T) {
	dir := findTree(t)
	for name, target := range map[string]string{"to-git": "/.git/config", "to-source": "/bin/env", "to-out": "/out.txt", "to-file": "/hello.txt", "to-env": "/env.cgi/i?q=1"} {
		if err := write(filepath.Join(dir, "cgi-bin", name), script(`printf 'Location: `+target+`\n\n'`)); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir, findConfig)
	for name, want := range map[string]int{"to-git": 404, "to-source": 403, "to-out": 403, "to-file": 200, "to-env": 200} {
		got := s.get(t, "/cgi-bin/"+name)
		if got.StatusCode != want || strings.Contains(got.body, "SECRET") {
			t.Errorf("%s is %d %q, want %d", name, got.StatusCode, got.body, want)
		}
		if name == "to-env" && (variable(got.body, "PATH_INFO") != "/i" || variable(got.body, "QUERY_STRING") != "q=1") {
			t.Errorf("%s gives %q", name, got.body)
		}
	}
}
