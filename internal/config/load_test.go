package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gatehouse/internal/config"
)

// files writes files into a new folder and returns it.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	dir := files(t, map[string]string{
		// The folder's name has the characters of a glob in it.
		"a[b]*/g.toml":       "include = ['d/*.toml', 'd/b.toml', 'none/*.toml', 'one']\ntimeout = '5s'\nlog = 'log'\n[[site]]\nhosts = ['main']\nroot = 'x'",
		"a[b]*/d/b.toml":     "[[site]]\nhosts = ['b']\nroot = 'x'\n[[site.route]]\npath = '/s/'\ncgi = '../s/'",
		"a[b]*/d/a.toml":     "[[site]]\nroot = '/abs'\ntimeout = '6s'",
		"a[b]*/d/ignored.up": "no TOML",
		"a[b]*/one":          "# nothing",
	})
	base := filepath.Join(dir, "a[b]*")
	c, err := config.Load(filepath.Join(base, "g.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != base || c.Log != filepath.Join(base, "log") {
		t.Errorf("got %q, %q, want both in %q", c.Dir, c.Log, base)
	}
	var got []string
	for _, s := range c.Sites {
		name, _ := filepath.Rel(base, s.File)
		got = append(got, name+" "+s.Root+" "+s.Limits.Timeout.String())
	}
	want := []string{
		"g.toml " + base + "/x 5s",
		"d/a.toml /abs 6s",
		"d/b.toml " + base + "/d/x 5s",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := c.Sites[2].Routes[0].CGI, base+"/s/"; got != want {
		t.Errorf("cgi: got %q, want %q", got, want)
	}
}

// A relative name stays relative in messages, but not in paths.
func TestLoadRelative(t *testing.T) {
	dir := files(t, map[string]string{
		"g.toml": "include = ['d/*']\n[[site]]\nroot = 'x'",
		"d/a":    "[[site]]\nhosts = ['a']",
	})
	t.Chdir(dir)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load("g.toml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != wd || c.Sites[0].Root != wd+"/x" || c.Sites[0].File != "g.toml" || c.Sites[1].File != "d/a" {
		t.Errorf("got %+v", c)
	}
}

func TestLoadReportsAllFiles(t *testing.T) {
	dir := files(t, map[string]string{
		"g.toml": "include = ['*.toml', 'd/*', 'gone']\ntiemout = 1\n[[site]]\nhosts = ['x']",
		"d/a":    "lisen = 1\nlisten = []\ninclude = ['x']\ntimeout = '1s'\n[[site]]\nhosts = ['x']\n[[sites]]",
		"d/b":    "[[site]]\nrot = 1\n[[site",
		"d/c":    strings.Repeat("#", 4<<20+1),
		"d/d":    "[[site]]\n",
		"d/e":    "[[site]]\n",
		"d/f/x":  "",
	})
	t.Chdir(dir)
	_, err := config.Load("g.toml")
	const only = "an included file holds only [[site]] tables"
	want := []string{
		`d/a:1:1: lisen: unknown key (` + only + `)`,
		`d/a:2:1: listen: not allowed here (` + only + `)`,
		`d/a:3:1: include: not allowed here (` + only + `)`,
		`d/a:4:1: timeout: not allowed here (` + only + `)`,
		`d/a:6:10: site.hosts: host "x" is given twice (the first is at g.toml:4)`,
		`d/a:7:3: sites: unknown key (did you mean "site"?)`,
		`d/b:3:7: syntax error: expected character ] but the document ended here`,
		`d/c: file is larger than 4 MiB`,
		`d/e:1:1: site: a second site without hosts (the first is at d/d:1)`,
		`d/f: cannot be read: is a directory`,
		`g.toml:1:12: include: "*.toml" matches this file itself`,
		`g.toml:1:29: include: file "gone" does not exist`,
		`g.toml:2:1: tiemout: unknown key (did you mean "timeout"?)`,
	}
	if got := text(err); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	var e *config.Error
	if !errors.As(err, &e) || e.File != "d/a" || e.Line != 1 || e.Column != 1 || e.Key != "lisen" {
		t.Errorf("first: got %+v", e)
	}
}

// With broken syntax there is nothing to include.
func TestLoadStopsAtBrokenSyntax(t *testing.T) {
	t.Chdir(files(t, map[string]string{"g.toml": "include = ['gone']\n]"}))
	_, err := config.Load("g.toml")
	if got, want := text(err), "g.toml:2:1: syntax error: invalid character at start of key: ]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What editors on Windows put in front of a text is none of it, and counts as no column.
func TestLoadByteOrderMark(t *testing.T) {
	const mark = "\xef\xbb\xbf"
	t.Chdir(files(t, map[string]string{
		"g.toml": mark + "include = ['a']\r\n[[site]]\r\nhosts = ['x']", "a": mark + "[[site]]\r\nhosts = ['y']",
		"h.toml": mark + "listn = []\n" + mark + "[[site]]",
	}))
	cfg, err := config.Load("g.toml")
	if err != nil || len(cfg.Sites) != 2 {
		t.Errorf("got %v, %v", cfg, err)
	}
	_, err = config.Load("h.toml")
	if got := text(err); !strings.HasPrefix(got, "h.toml:2:1: syntax error: invalid character") {
		t.Errorf("got %q", got)
	}
}

func TestLoadMissing(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := config.Load("g.toml")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want one that is fs.ErrNotExist", err)
	}
	if got, want := text(err), "g.toml: cannot be read: no such file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Files that would be read twice, or never end, are told.
func TestLoadIncludesOddFiles(t *testing.T) {
	dir := files(t, map[string]string{
		"g.toml":   "include = ['d/*', 'd/a.toml']\n[[site]]\nhosts = ['x']",
		"d/a.toml": "[[site]]\nhosts = ['a']",
		"d/z.toml": "",
		"d/b.toml": "\xff",
	})
	t.Chdir(dir)
	for name, target := range map[string]string{"d/c.toml": "a.toml", "d/g.toml": "../g.toml", "d/n.toml": "nowhere"} {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo("d/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load("g.toml")
	want := []string{
		`d/b.toml:1:1: text is not UTF-8`,
		`d/fifo: cannot be read: not a regular file`,
		`d/n.toml: cannot be read: no such file or directory`,
		`g.toml:1:12: include: "d/*" matches "d/a.toml" a second time, as "d/c.toml"`,
		`g.toml:1:12: include: "d/*" matches this file itself`,
	}
	if got := text(err); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// A file that only root can read is told; root can read it.
func TestLoadUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root can read everything")
	}
	t.Chdir(files(t, map[string]string{"g.toml": "include = ['d/*']", "d/a": ""}))
	if err := os.Chmod("d/a", 0); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load("g.toml")
	if got, want := text(err), "d/a: cannot be read: permission denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
