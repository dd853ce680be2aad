package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// manPages are both pages, by name.
func manPages() map[string]string {
	return map[string]string{
		"gatehouse.1":      commandsPage(newApp(nil, io.Discard, io.Discard)),
		"gatehouse.toml.5": configurationPage(),
	}
}

// TestManPagesAreClean: neither of the two programs that read manual pages has anything
// to say against ours.
func TestManPagesAreClean(t *testing.T) {
	t.Parallel()
	for name, text := range manPages() {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, reader := range [][]string{
			{"mandoc", "-T", "lint", "-W", "warning"},
			{"groff", "-man", "-ww", "-Tutf8", "-z"},
		} {
			needCommand(t, reader[0], map[string]string{"mandoc": "mandoc", "groff": "groff-base"}[reader[0]])
			out, err := exec.Command(reader[0], append(reader[1:], file)...).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("%s of %s: %v\n%s", reader[0], name, err, out)
			}
		}
	}
}

// TestManPagesAreWhole: what a reader sees has every command, flag and key, in letters
// that can be pasted.
func TestManPagesAreWhole(t *testing.T) {
	t.Parallel()
	needCommand(t, "mandoc", "mandoc")
	for name, text := range manPages() {
		cmd := exec.Command("mandoc", "-T", "utf8", "-O", "width=200")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("mandoc: %v", err)
		}
		shown := oneLine(unstruck(out))
		for _, want := range wantOnPage(name) {
			if !strings.Contains(shown, oneLine(want)) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		if n := strings.IndexAny(shown, "‐−’‘“”ˆ˜"); n >= 0 {
			t.Errorf("%s has a typographic mark: %q", name, shown[max(0, n-30):n+10])
		}
	}
}

func wantOnPage(name string) (want []string) {
	if name == "gatehouse.toml.5" {
		for _, k := range config.Keys() {
			want = append(want, k.Name+" ("+k.Type+") "+k.Doc, k.Default)
		}
		return append(want, " KEYS AT THE TOP listen ", "KEYS IN [[SITE.ROUTE]] path ", "KEYS IN FASTCGI AND IN AUTHORIZE keep_alive", `path    = "*.php"`)
	}
	for _, cmd := range newApp(nil, io.Discard, io.Discard).Commands {
		want = append(want, "gatehouse "+cmd.Name+" "+sentence(cmd.Usage), usageLine(cmd))
		for _, d := range flagDocs(cmd) {
			want = append(want, d.label()+" "+d.whole())
		}
		for _, e := range examples[cmd.Name] {
			want = append(want, e.line+" "+e.says)
		}
	}
	return append(want, "EXIT STATUS 0 ", "SIGNALS These", "ENVIRONMENT PATH", "FILES gatehouse.toml", "SEE ALSO gatehouse.toml(5)", "--queue-timeout DURATION", "'/path?a=b'")
}

// unstruck takes away how bold is written for a terminal: a letter, a backspace, the
// letter again.
func unstruck(text []byte) string {
	for {
		n := bytes.IndexByte(text, '\b')
		if n < 1 {
			return string(text)
		}
		start := n - 1
		for start > 0 && text[start]&0xC0 == 0x80 { // of a letter of several bytes
			start--
		}
		text = append(text[:start:start], text[n+1:]...)
	}
}

// TestTableTitle: the tables that keys stand in, as the headings say them.
func TestTableTitle(t *testing.T) {
	for _, tt := range []struct{ tables, want string }{
		{"", "at the top"},
		{"site.route", "in [[site.route]]"},
		{",site,site.route", "at the top, in [[site]] and in [[site.route]]"},
		{"site.route.fastcgi,site.route.scgi", "in fastcgi and in scgi"},
		{"tls", "in tls"},
	} {
		if got := tableTitle(strings.Split(tt.tables, ",")); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.tables, got, tt.want)
		}
	}
}

// TestEscaped: nothing becomes a command of roff's.
func TestEscaped(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a macro", ".TH", `\&.TH`},
		{"a quote in front", "'x'", `\(aqx\(aq`},
		{"a backslash", `a\fB`, `a\efB`},
		{"dashes", "--a", `\-\-a`},
		{"others", "^~`\"", `\(ha\(ti\(ga\(dq`},
	} {
		var r roff
		if r.line(tt.text); r.b.String() != tt.want+"\n" {
			t.Errorf("%s: %q, want %q", tt.name, r.b.String(), tt.want)
		}
	}
}

// needCommand skips a test that lacks a program, and says so.
func needCommand(t *testing.T, name, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIPPED: there is no %s: the Debian package %s is missing (scripts/install-test-packages.sh)", name, pkg)
	}
}
