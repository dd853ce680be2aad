// Package scripts holds everything of Gatehouse that runs and is not Go,
// embedded into the binary. It knows how to put these files in place, and
// leaves serving and starting them to others.
package scripts

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Demo is the demonstration site's files: the static ones beneath demo/htdocs,
// the scripts in demo/cgi-bin, the Python applications in demo/wsgi, and the
// template of the index page. It is laid
// out for InstallDemo, not for being served as it is.
//
//go:embed all:demo
var Demo embed.FS

// A language is one in which every example is written.
type language struct {
	Name    string // as a reader knows it
	Ext     string // of the scripts' names
	Path    string // of the interpreter, the same as in the scripts' first lines
	Package string // that Debian and Ubuntu have the interpreter in
}

var languages = []language{
	{"Shell", ".sh", "/bin/sh", "dash"},
	{"Perl", ".pl", "/usr/bin/perl", "perl"},
	{"Python", ".py", DemoPython, "python3"},
}

// DemoPython is the interpreter of the demonstration's Python examples.
const DemoPython = "/usr/bin/python3"

// An example is a script in each language, described on the index page.
type example struct {
	Name  string // of the scripts, without the extension
	Title string
	Text  string
}

var examples = []example{
	{"env", "Environment", "Shows every variable that the program was given: the whole request, but for its body."},
	{"form", "Form", "Greets you by name. Try it with GET and with POST, and with a name such as <b>Zoë</b> & \"Co\"."},
	{"upload", "Upload", "Receives a file of up to 16 MiB and shows its name, its size and a checksum. The file is not kept."},
	{"cookie", "Cookie", "Counts your visits in a cookie. The three share it, so they count together."},
	{"stream", "Streaming", "Prints a line a second, for five seconds. Each line is there as soon as it is printed."},
	{"redirect", "Redirect", "Sends your browser to another page. Look at the address bar."},
	{"local", "Local redirect", "Lets another program answer, inside the server. The address bar stays as it is."},
	{"error", "A program that fails", "Exits with status 3. The page says so, and shows what the program wrote to standard error."},
	{"noheader", "A program without a header", "Prints its text, but forgets to say what it is. The page says what is missing."},
}

// applications are the WSGI applications, as the index page describes them. They are
// served at /wsgi/NAME/ by the application in mount.py.
var applications = []example{
	{"function", "A function", "The simplest one. It is called for each request, and returns the body."},
	{"iterable", "A class with __iter__", "Its objects are the body: one block after the other, each sent as soon as it is there."},
	{"instance", "An instance with __call__", "Remembers how often it was called, until its source changes."},
	{"router", "A router", "Chooses by PATH_INFO, and makes links with SCRIPT_NAME."},
	{"middleware", "A middleware", "Adds a header field to another one's response. Your browser's tools show it: X-Milliseconds."},
	{"environ", "The environment", "Shows all that it was given, as Python prints it."},
	{"mount", "All of them", "What the server calls: it gives each of the others its part of the address."},
}

// InstallDemo writes the demonstration site beneath dir, which must be an
// existing empty folder:
//
//	dir/htdocs               the static root: index.html, style.css
//	dir/htdocs/source        a copy of each script as NAME.txt, for reading
//	dir/htdocs/source/wsgi   the same of each Python application
//	dir/cgi-bin              the scripts, to be served at /cgi-bin/
//	dir/wsgi                 the applications; that of mount.py is to be served at /wsgi/
//
// Folders and scripts have mode 0755, all other files 0644, whatever the umask.
//
// have reports whether the interpreter at an absolute path can be used; nil
// means that it is a file with an executable bit. Examples whose interpreter
// cannot be used are shown on the index page as such, and installed as well.
//
// When it fails, what it has written so far stays. The caller removes dir in
// either case.
func InstallDemo(dir string, have func(path string) bool) error {
	if have == nil {
		have = executable
	}
	if err := installDemo(dir, have); err != nil {
		return fmt.Errorf("scripts: demonstration site in %q: %w", dir, err)
	}
	return nil
}

func installDemo(dir string, have func(path string) bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := checkEmpty(root); err != nil {
		return err
	}
	index, err := renderIndex(dir, have)
	if err != nil {
		return err
	}
	for _, folder := range []string{"htdocs", "htdocs/source", "htdocs/source/wsgi", "cgi-bin", "wsgi"} {
		if err := makeFolder(root, folder); err != nil {
			return err
		}
	}
	if err := writeFile(root, "htdocs/index.html", index, 0o644); err != nil {
		return err
	}
	return writeDemo(root)
}

// checkEmpty reports an error unless the folder has no entry.
func checkEmpty(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := f.ReadDir(1)
	switch {
	case len(entries) > 0:
		return fmt.Errorf("folder is not empty: it holds %q", entries[0].Name())
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// writeDemo copies the embedded files, and the scripts a second time as text.
func writeDemo(root *os.Root) error {
	return fs.WalkDir(Demo, "demo", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := Demo.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "demo/")
		switch folder, file := path.Split(name); folder {
		case "htdocs/":
			return writeFile(root, name, data, 0o644)
		case "cgi-bin/":
			if err := writeFile(root, name, data, 0o755); err != nil {
				return err
			}
			return writeFile(root, "htdocs/source/"+file+".txt", data, 0o644)
		case "wsgi/":
			if err := writeFile(root, name, data, 0o644); err != nil {
				return err
			}
			return writeFile(root, "htdocs/source/wsgi/"+file+".txt", data, 0o644)
		}
		return nil // the template of the index page
	})
}

func makeFolder(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return root.Chmod(name, 0o755) // Mkdir obeys the umask
}

// writeFile makes a new file: somebody else's, or a link, in the same place is
// an error.
func writeFile(root *os.Root, name string, data []byte, mode fs.FileMode) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Close()) // OpenFile obeys the umask
}

// indexScript is an example in one language, as the index page shows it.
type indexScript struct {
	Language string
	File     string
	Missing  bool // its interpreter is
}

// indexExample is an example in all languages, as the index page shows it.
type indexExample struct {
	example
	Scripts []indexScript
}

// renderIndex returns the index page of a site in the folder.
func renderIndex(folder string, have func(path string) bool) ([]byte, error) {
	page := struct {
		Scripts, WSGI string // folders
		Missing       []language
		Examples      []indexExample
		Applications  []example
		NoPython      bool
	}{Scripts: filepath.Join(folder, "cgi-bin"), WSGI: filepath.Join(folder, "wsgi"), Applications: applications, NoPython: !have(DemoPython)}

	missing := make(map[string]bool) // by language
	for _, l := range languages {
		if !have(l.Path) {
			missing[l.Name] = true
			page.Missing = append(page.Missing, l)
		}
	}
	for _, e := range examples {
		shown := indexExample{example: e}
		for _, l := range languages {
			shown.Scripts = append(shown.Scripts, indexScript{l.Name, e.Name + l.Ext, missing[l.Name]})
		}
		page.Examples = append(page.Examples, shown)
	}

	t, err := template.ParseFS(Demo, "demo/index.html.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// executable reports whether path is a file that somebody may execute.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
