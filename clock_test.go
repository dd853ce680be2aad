package gatehouse_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wallClock is every place that takes a time apart, or makes one of numbers, and so has lost
// the monotonic clock: what is computed with it is wrong by an hour where somebody sets the
// clock by one. A duration must not come from it. What is allowed says why.
var wallClock = map[string]string{
	"cmd/gatehouse/call.go: ModTime":            "FCGI_DATA_LAST_MOD is a date",
	"cmd/gatehouse/call.go: Unix":               "FCGI_DATA_LAST_MOD is a date",
	"environ/tls.go: NotAfter":                  "SSL_CLIENT_V_START and V_END are dates",
	"environ/tls.go: NotBefore":                 "the same",
	"fastcgi/filter.go: ModTime":                "FCGI_DATA_LAST_MOD is a date",
	"fastcgi/filter.go: Unix":                   "FCGI_DATA_LAST_MOD is a date",
	"internal/site/interpreter.go: ModTime":     "compared for equality alone",
	"internal/site/logformattime.go: Unix":      "what a log shows is a date",
	"internal/site/logformattime.go: UnixMicro": "what a log shows is a date",
	"internal/site/logformattime.go: UnixMilli": "what a log shows is a date",
	"internal/site/passwords.go: time.Unix":     "how far a file's date is from now, either way: beyond that it is read for each request, which is right at any time",
	"internal/site/passwords.go: Unix":          "the same: of a timespec",
	"internal/site/precompressed.go: ModTime":   "two files' dates",
	"internal/site/sendfile.go: ModTime":        "Last-Modified and ETag",
	"internal/site/sendfile.go: UnixNano":       "ETag",
	"internal/site/static.go: ModTime":          "Last-Modified and ETag",
	"internal/site/static.go: UnixNano":         "ETag",
	"internal/site/tlsfiles.go: NotAfter":       "a certificate is valid by the date; what comes of it is a line in the log",
	"internal/site/tlsfiles.go: NotBefore":      "the same",
	"internal/site/acme.go: NotAfter":           "shown in the log",
	"internal/site/watch.go: ModTime":           "a source newer than its worker: by mistake, workers are replaced once more; a change itself is found by inequality",
	"process/warmhelper.go: time.Unix":          "a script's date that is too near, or to come, is not compiled ahead: it runs all the same",
	"process/warmwatch.go: UnixNano":            "files newer than a helper that loads: by mistake, another is started, at growing distances, and scripts run cold meanwhile",
	"scripts/warm/perl.pl: time":                "$^T is a date; the rounds of preloading are at most 8, and the host gives up on the helper by its own clock",
	"scripts/warm/python/hide.py: time.time_ns": "a script's date that is too near, or to come, is not kept: it is compiled again",
	"scripts/warm/python/load.py: time.time_ns": "what logging shows as its start is a date",
}

// never are deadlines in the past, which end a read or write at once.
var never = regexp.MustCompile(`^time\.Unix\((0, 1|1, 0)\)$`)

// taking are the methods and fields that leave the monotonic clock behind.
var taking = map[string]bool{
	"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "ModTime": true,
	"AddDate": true, "Truncate": true, "NotAfter": true, "NotBefore": true,
}

var making = map[string]bool{"Unix": true, "UnixMilli": true, "UnixMicro": true, "Date": true, "Parse": true, "ParseInLocation": true}

func TestClock(t *testing.T) {
	used := make(map[string]bool)
	found := func(path, what, at string) {
		key := path + ": " + what
		used[key] = true
		if wallClock[key] == "" {
			t.Errorf("%s uses the clock that may be set (%s): count with times of time.Now that nothing was taken from, or say in wallClock why not", at, what)
		}
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || path != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
		case strings.HasSuffix(path, ".go"):
			return clockInGo(path, found)
		case strings.HasPrefix(path, "scripts/demo/"): // for people to read and change
		case strings.HasPrefix(path, "scripts/") && strings.HasSuffix(path, ".py"):
			return clockInText(path, regexp.MustCompile(`\btime\.(time_ns|time|localtime|gmtime)\b\(|\bdatetime\b`), found)
		case strings.HasPrefix(path, "scripts/") && strings.HasSuffix(path, ".pl"):
			return clockInText(path, regexp.MustCompile(`(=|-|\()\s*(time)\b\s*[-;)(]|\b(time) -`), found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key := range wallClock {
		if !used[key] {
			t.Errorf("wallClock has %q, which is not there any more", key)
		}
	}
}

func clockInGo(path string, found func(path, what, at string)) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	source := func(n ast.Node) string {
		return string(text[files.Position(n.Pos()).Offset:files.Position(n.End()).Offset])
	}
	timed := false
	for _, i := range file.Imports {
		timed = timed || i.Path.Value == `"time"`
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			s, ok := c.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			at := files.Position(c.Pos()).String()
			switch name, of := s.Sel.Name, source(s.X); {
			case of == "time" && timed:
				if making[name] && !never.MatchString(source(c)) {
					found(path, "time."+name, at)
				}
				return true
			case name == "Round" && len(c.Args) == 1 && source(c.Args[0]) == "0":
				found(path, "Round", at)
			case name == "Truncate" && strings.Contains(of, "file"): // of an *os.File
			case taking[name]:
				found(path, name, at)
			}
			return true
		}
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "NotAfter" || s.Sel.Name == "NotBefore") {
			found(path, s.Sel.Name, files.Position(s.Pos()).String())
		}
		return true
	})
	return nil
}

// clockInText looks at the code of a script, line by line; the last group that matches names
// what was found.
func clockInText(path string, what *regexp.Regexp, found func(path, what, at string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		code, _, _ := strings.Cut(lines.Text(), "# ")
		if m := what.FindString(code); m != "" {
			name := "time"
			if strings.HasSuffix(path, ".py") {
				name = strings.TrimSuffix(m, "(")
			}
			found(path, name, fmt.Sprintf("%s:%d", path, n))
		}
	}
	return lines.Err()
}
