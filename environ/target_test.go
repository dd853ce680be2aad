package environ_test

import (
	"errors"
	"strings"
	"testing"

	"gatehouse/environ"
)

// statusOf returns the status of an *environ.Error, 0 for nil, -1 for others.
func statusOf(err error) int {
	var e *environ.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Status
	}
	return -1
}

func TestParseTarget(t *testing.T) {
	for _, test := range []struct {
		name, uri   string
		path, query string
	}{
		{"root", "/", "/", ""},
		{"plain", "/cgi-bin/a.pl/x;y=1", "/cgi-bin/a.pl/x;y=1", ""},
		{"query untouched, A07", "/a?b=%41+c?d//../%00%", "/a", "b=%41+c?d//../%00%"},
		{"query with obs-text", "/a?\xe9", "/a", "\xe9"},
		{"empty query", "/a?", "/a", ""},
		{"decoded once, A37", "/%2541%41b", "/%41Ab", ""},
		{"UTF-8", "/%E3%82%A2", "/\u30a2", ""},
		{"not UTF-8", "/%ff%c0%af", "/\xff\xc0\xaf", ""},
		{"escaped backslash, A39", "/a%5Cb", `/a\b`, ""},
		{"escaped question mark", "/a%3Fb?c", "/a?b", "c"},
		{"dot segments, A37", "/a/./b/../c", "/a/c", ""},
		{"escaped dots, E51", "/a/b/%2e%2E/c/.%2e/%2e/d", "/a/d", ""},
		{"dot at the end", "/a/.", "/a/", ""},
		{"dots at the end", "/a/b/..", "/a/", ""},
		{"down to the root", "/a/..", "/", ""},
		{"slashes merged, A38", "//a///b//", "/a/b/", ""},
		{"slashes merged before dots", "/a//../b", "/b", ""},
		{"trailing slash", "/a/b/", "/a/b/", ""},
		{"not dot segments", "/.a/..b/c../...", "/.a/..b/c../...", ""},
		{"absolute-form, A20", "http://example.org/a/%62?c", "/a/b", "c"},
		{"absolute-form, no path", "HTTPS://example.org", "/", ""},
		{"absolute-form, query only", "http://example.org:80?q", "/", "q"},
		{"URL in the path", "/http://x@y/", "/http:/x@y/", ""},
	} {
		path, query, err := environ.ParseTarget(test.uri)
		if path != test.path || query != test.query || err != nil {
			t.Errorf("%s: ParseTarget(%q) = %q, %q, %v, want %q, %q", test.name, test.uri, path, query, err, test.path, test.query)
		}
	}
}

func TestParseTargetRefuses(t *testing.T) {
	for _, test := range []struct {
		name, uri string
		status    int
	}{
		{"empty", "", 400},
		{"asterisk, E06", "*", 400},
		{"authority, E06", "host:80", 400},
		{"other scheme, E06", "ftp://host/a", 400},
		{"no slash", "a/b", 400},
		{"fragment, E06", "/a#b", 400},
		{"fragment in query", "/a?b#c", 400},
		{"fragment after host", "http://host#c", 400},
		{"user information, E15", "http://user@host/a", 400},
		{"no host", "http:///a", 400},
		{"raw non-ASCII, E11", "/\xc3\xa9", 400},
		{"backslash, E11", `/a\b`, 400},
		{"space", "/a b", 400},
		{"NUL", "/a\x00", 400},
		{"control in query, A27", "/a?b\x00", 400},
		{"DEL in query", "/a?\x7f", 400},
		{"escaped NUL, A40", "/a%00", 400},
		{"escaped newline, A40", "/a%0a.php", 400},
		{"escaped DEL, A40", "/a%7F", 400},
		{"escaped slash, A39", "/a%2Fb", 404},
		{"escaped slash after dots", "/..%2f..%2fetc", 404},
		{"above the root, A38", "/../etc/passwd", 400},
		{"above the root, escaped", "/a/%2e%2e/%2e%2e/etc", 400},
		{"above the root at last", "/..", 400},
		{"above the root in the middle", "/a/../../a", 400},
		{"short escape", "/a%4", 400},
		{"percent at the end", "/a%", 400},
		{"wrong escape", "/a%zz", 400},
		{"escape over a slash", "/a%4/1", 400},
		{"wrong escape, E51", "/%%32%65/", 400},
	} {
		path, query, err := environ.ParseTarget(test.uri)
		if got := statusOf(err); got != test.status || path != "" || query != "" {
			t.Errorf("%s: ParseTarget(%q) = %q, %q, %v, want status %d", test.name, test.uri, path, query, err, test.status)
		}
	}
}

// An error quotes what it refuses, and not all of it.
func TestErrorIsShortAndQuoted(t *testing.T) {
	_, _, err := environ.ParseTarget("/\n" + strings.Repeat("x", 5000))
	want := `environ: request path "/\n` + strings.Repeat("x", 38) + `"... has the byte '\n'`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseTargetPlainPathIsFree(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := environ.ParseTarget("/cgi-bin/script.cgi/path?a=b"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// escapePath writes path so that ParseTarget reads it back.
func escapePath(path string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if c := path[i]; c == '/' || 'a' <= c && c <= 'z' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + digits[c>>4:c>>4+1] + digits[c&15:c&15+1])
		}
	}
	return b.String()
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/../b//c/./d?e=f", "/%2e%2e/x", "http://h/a%41", "/a/b/..", "/%2541", "/..%2f", "*", "/\xff", "/%ff/%5c..",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		path, query, err := environ.ParseTarget(uri)
		if err != nil {
			if s := statusOf(err); s != 400 && s != 404 {
				t.Fatalf("ParseTarget(%q): %v", uri, err)
			}
			return
		}
		if path == "" || path[0] != '/' || strings.Contains(path, "//") {
			t.Fatalf("ParseTarget(%q) = %q", uri, path)
		}
		for _, segment := range strings.Split(path, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("ParseTarget(%q) = %q", uri, path)
			}
		}
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("ParseTarget(%q) = %q", uri, path)
		}
		if !strings.HasSuffix(uri, query) {
			t.Fatalf("ParseTarget(%q) has the query %q", uri, query)
		}
		again, _, err := environ.ParseTarget(escapePath(path))
		if again != path || err != nil {
			t.Fatalf("ParseTarget(%q) = %q, read again %q, %v", uri, path, again, err)
		}
	})
}
