package scripts_test

import (
	"fmt"
	"html"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gatehouse/scripts"
)

// siteDir is the folder of what the tests share; see installSite and shim.
var siteDir string

func TestMain(m *testing.M) {
	var err error
	siteDir, err = os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(siteDir)
		os.Exit(code)
	}))
}

// interpreters are what the demonstration's scripts run with, by extension.
var interpreters = map[string]string{
	".sh": "/bin/sh",
	".pl": "/usr/bin/perl",
	".py": "/usr/bin/python3",
}

// names are the examples, each of which there must be in every language.
var names = []string{"env", "form", "upload", "cookie", "stream", "redirect", "local", "error", "noheader"}

// applications are the WSGI applications.
var applications = []string{"function", "iterable", "instance", "router", "middleware", "environ", "mount"}

func all(string) bool { return true }

// install returns a new site whose index takes have for the interpreters.
func install(t *testing.T, have func(string) bool) string {
	t.Helper()
	dir := t.TempDir()
	if err := scripts.InstallDemo(dir, have); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestInstallDemoErrors(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, dir string) // what is wrong
		have func(dir string) bool          // called between the check and the writing
		want string
	}{
		{"missing folder", func(t *testing.T, dir string) { must(t, os.Remove(dir)) }, nil, "no such file"},
		{"a file", func(t *testing.T, dir string) {
			must(t, os.Remove(dir))
			must(t, os.WriteFile(dir, nil, 0o644))
		}, nil, "not a directory"},
		{"not empty", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "notes \x1b.txt"), nil, 0o644))
		}, nil, `not empty: it holds "notes \x1b.txt"`},
		{"hidden file", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, ".hidden"), nil, 0o644))
		}, nil, `not empty: it holds ".hidden"`},
		{"taken meanwhile", func(*testing.T, string) {}, func(dir string) bool {
			return os.Symlink("/", filepath.Join(dir, "htdocs")) == nil
		}, "htdocs: file exists"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "site")
			must(t, os.Mkdir(dir, 0o755))
			tt.make(t, dir)
			err := scripts.InstallDemo(dir, func(string) bool { return tt.have == nil || tt.have(dir) })
			if err == nil {
				t.Fatal("got no error")
			}
			if want := fmt.Sprintf("scripts: demonstration site in %q: ", dir); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %q, want it to begin with %q", err, want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to contain %q", err, tt.want)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Every example exists in every language, runs with the interpreter that
// InstallDemo looks for, and reads the same as text and as a program.
func TestScripts(t *testing.T) {
	dir := install(t, all)
	var want []string
	for _, name := range names {
		for ext := range interpreters {
			want = append(want, name+ext)
		}
	}
	var got []string
	entries, err := os.ReadDir(filepath.Join(dir, "cgi-bin"))
	must(t, err)
	for _, e := range entries {
		got = append(got, e.Name())
		script := read(t, dir, "cgi-bin", e.Name())
		if first := "#!" + interpreters[filepath.Ext(e.Name())] + "\n"; !strings.HasPrefix(script, first) {
			t.Errorf("%s: does not begin with %q", e.Name(), first)
		}
		if at := strings.IndexFunc(script, func(r rune) bool { return r > 126 || r < ' ' && r != '\n' }); at >= 0 {
			t.Errorf("%s: has %q, want plain ASCII without tabs and carriage returns", e.Name(), script[at])
		}
		if read(t, dir, "htdocs", "source", e.Name()+".txt") != script {
			t.Errorf("%s: differs from its copy for reading", e.Name())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A46 is the server's: no source as a page. Here, nothing beneath the static
// root is a script but the copies for reading, which nothing can execute.
func TestNoScriptBeneathHtdocs(t *testing.T) {
	dir := install(t, all)
	copies := 0
	err := filepath.WalkDir(filepath.Join(dir, "htdocs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode() != 0o644 { // a plain file, and not executable
			t.Errorf("%s: got mode %v", path, info.Mode())
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		copied, _ := filepath.Match("htdocs/source/*.*.txt", name)
		if copied {
			copies++
		}
		if script := strings.HasPrefix(read(t, path), "#!"); script != copied {
			t.Errorf("%s: got script %t, want %t", name, script, copied)
		}
		return nil
	})
	must(t, err)
	if want := len(names) * len(interpreters); copies != want {
		t.Errorf("got %d copies, want %d", copies, want)
	}
}

var href = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)

// links returns the addresses on the index page, and fails the test for those
// that are not files of the site.
func links(t *testing.T, dir, index string) []string {
	t.Helper()
	var found []string
	for _, m := range href.FindAllStringSubmatch(index, -1) {
		link := html.UnescapeString(m[1])
		if link == "data:," {
			continue
		}
		file := filepath.Join(dir, "htdocs", link)
		if strings.HasPrefix(link, "/cgi-bin/") {
			file = filepath.Join(dir, link)
		}
		if strings.HasPrefix(link, "/wsgi/") {
			file = filepath.Join(dir, strings.TrimSuffix(link, "/")+".py")
		}
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			t.Errorf("link %q leads nowhere: %v", link, err)
		}
		found = append(found, link)
	}
	return found
}

func TestIndex(t *testing.T) {
	dir := install(t, all)
	index := read(t, dir, "htdocs", "index.html")
	found := links(t, dir, index)
	for _, name := range names {
		for ext := range interpreters {
			for _, want := range []string{"/cgi-bin/" + name + ext, "/source/" + name + ext + ".txt"} {
				if !slices.Contains(found, want) {
					t.Errorf("no link to %q", want)
				}
			}
		}
	}
	for _, name := range applications {
		for _, want := range []string{"/wsgi/" + name + "/", "/source/wsgi/" + name + ".py.txt"} {
			if !slices.Contains(found, want) {
				t.Errorf("no link to %q", want)
			}
		}
	}
	if strings.Contains(index, "not installed") {
		t.Error("something is said to be missing")
	}
	for _, want := range []string{"This is Gatehouse, running CGI programs", filepath.Join(dir, "cgi-bin"), filepath.Join(dir, "wsgi"), "&lt;b&gt;Zoë&lt;/b&gt; &amp;"} {
		if !strings.Contains(index, want) {
			t.Errorf("index lacks %q", want)
		}
	}
	for _, page := range []string{index, read(t, dir, "htdocs", "style.css")} {
		for _, bad := range []string{"<script", "://", "@import", "url(", "style="} {
			if strings.Contains(page, bad) {
				t.Errorf("page contains %q, want no code and no outside resource", bad)
			}
		}
	}
}

// A folder's name is text on the page, whatever it is.
func TestIndexEscapesFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `<script>"&'`)
	must(t, os.Mkdir(dir, 0o755))
	must(t, scripts.InstallDemo(dir, all))
	index := read(t, dir, "htdocs", "index.html")
	if strings.Contains(index, "<script") || !strings.Contains(index, "&lt;script&gt;&#34;&amp;&#39;") {
		t.Errorf("folder is not escaped:\n%s", index)
	}
}

func TestIndexMissing(t *testing.T) {
	tests := []struct {
		name, ext, sentence, command string
	}{
		{"shell", ".sh", "The Shell examples need <code>/bin/sh</code>, which is not installed here.", "<code>apt-get install dash</code>"},
		{"perl", ".pl", "The Perl examples need <code>/usr/bin/perl</code>, which is not installed here.", "<code>apt-get install perl</code>"},
		{"python", ".py", "The Python examples need <code>/usr/bin/python3</code>, which is not installed here.", "<code>apt-get install python3</code>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := install(t, func(path string) bool { return path != interpreters[tt.ext] })
			index := read(t, dir, "htdocs", "index.html")
			found := links(t, dir, index)
			for _, name := range names {
				for ext := range interpreters {
					run, source := "/cgi-bin/"+name+ext, "/source/"+name+ext+".txt"
					if got, want := slices.Contains(found, run), ext != tt.ext; got != want {
						t.Errorf("link to %q: got %t, want %t", run, got, want)
					}
					if !slices.Contains(found, source) {
						t.Errorf("no link to %q", source)
					}
				}
			}
			missing := len(names)
			if tt.ext == ".py" {
				missing += len(applications)
			}
			if got := strings.Count(index, `class="missing"`); got != missing {
				t.Errorf("got %d greyed examples, want %d", got, missing)
			}
			for _, name := range applications {
				if got, want := slices.Contains(found, "/wsgi/"+name+"/"), tt.ext != ".py"; got != want {
					t.Errorf("link to the application %q: got %t, want %t", name, got, want)
				}
			}
			for _, want := range []string{tt.sentence, tt.command} {
				if got := strings.Count(index, want); got != 1 {
					t.Errorf("got %q %d times, want once", want, got)
				}
			}
			if got := strings.Count(index, "examples need"); got != 1 {
				t.Errorf("got %d sentences of this kind, want 1", got)
			}
		})
	}
}

// Without a function it looks at the files of this machine.
func TestIndexDefault(t *testing.T) {
	index := read(t, install(t, nil), "htdocs", "index.html")
	for ext, path := range interpreters {
		info, err := os.Stat(path)
		want := err == nil && info.Mode().Perm()&0o111 != 0
		if got := strings.Contains(index, `"/cgi-bin/env`+ext+`"`); got != want {
			t.Errorf("%s: got run link %t, want %t", path, got, want)
		}
	}
}

func ExampleInstallDemo() {
	dir, err := os.MkdirTemp("", "gatehouse-demo-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := scripts.InstallDemo(dir, nil); err != nil {
		fmt.Println(err)
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range entries {
		fmt.Println(e.Name())
	}
	// Output:
	// cgi-bin
	// htdocs
	// wsgi
}
