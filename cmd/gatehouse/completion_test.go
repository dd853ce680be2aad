package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good.toml", "[[site]]\nhosts = [\"www.example.org\", \"*.example.org\"]\n[[site]]\nhosts = [\"git.example.org\"]\n")
	bad := write("bad.toml", "[[site]\n")
	pipe := filepath.Join(dir, "pipe.toml")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct{ name, line, want string }{ // words of the answer; "_" is an empty last word
		{"a command", "ex", "listed explain"},
		{"several", "w", "listed wrap wsgi-shim"},
		{"an unknown one", "frob x", "listed"},
		{"the program's flags", "--", "listed --help --version"},
		{"help", "help wra", "listed wrap"},
		{"help of nothing more", "help serve _", "listed"},
		{"hidden", "__", "listed"},
		{"flags", "serve --listen-", "listed --listen-mode --listen-owner --listen-group"},
		{"a flag that was given", "serve --listen-mode 0600 --listen-", "listed --listen-owner --listen-group"},
		{"by its short name", "check -c x --con", "listed"},
		{"one that may be repeated", "serve --listen x --listen", "listed --listen --listen-mode --listen-owner --listen-group"},
		{"behind --", "serve -- --listen-", "files"},
		{"short flags", "run -", "listed --help -X --request -H --header -d --data --root --warm --runs"},
		{"a value", "wrap --warm _", "listed auto true false"},
		{"a value with =", "wrap --warm=f", "listed --warm=false"},
		{"of a flag without one", "wrap -f=", "listed"},
		{"of an unknown flag", "wrap --frob=", "listed"},
		{"behind an unknown flag", "run --frob _", "files"},
		{"a folder", "wrap --root _", "folders"},
		{"a folder with =", "wrap --root=x", "folders --root="},
		{"a configuration", "serve -c _", "toml"},
		{"a configuration with =", "serve --config=g", "toml --config="},
		{"a configuration to be checked", "check _", "toml"},
		{"only one", "check x _", "listed"},
		{"a script", "run _", "files"},
		{"behind a bool", "run --warm _", "files"},
		{"a target", "serve _", "files"},
		{"an application", "serve f", "files fcgi://"},
		{"an application's socket", "serve unix:/r", "files unix:"},
		{"data", "run x -d _", "listed"},
		{"data from a file", "run x -d @", "files @"},
		{"listening", "serve --listen _", "listed 127.0.0.1: unix: systemd: fd: fastcgi: scgi:"},
		{"a protocol", "serve --listen fastcgi:u", "listed fastcgi:unix:"},
		{"a socket behind it", "serve --listen=fastcgi:unix:/r", "files --listen=fastcgi:unix:"},
		{"whom to trust", "serve --trust u", "listed unix"},
		{"a method", "run x -X PU", "listed PUT"},
		{"a user", "serve --listen-owner roo", "listed root"},
		{"a group", "serve --listen-group roo", "listed root"},
		{"roles", "call x --role f", "listed filter"},
		{"a shell", "completion z", "listed zsh"},
		{"a page", "man gatehouse.", "listed gatehouse.toml"},
		{"a site", "explain -c " + good + " _", "listed http://www.example.org/ http://git.example.org/"},
		{"of no configuration", "explain http:", "listed"},
		{"of one that is wrong", "explain -c " + bad + " _", "listed"},
		{"of a pipe", "explain -c " + pipe + " _", "listed"},
		{"of one that is not there", "explain --config=/none _", "listed"},
	} {
		var b bytes.Buffer
		complete(&b, newApp(nil, io.Discard, io.Discard), strings.Fields(strings.ReplaceAll(tt.line, " _", " \x00")))
		if strings.HasSuffix(tt.line, " _") { // an empty word cannot be written in a line
			words := strings.Fields(tt.line)
			words[len(words)-1] = ""
			b.Reset()
			complete(&b, newApp(nil, io.Discard, io.Discard), words)
		}
		var got []string
		for line := range strings.Lines(b.String()) {
			value, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, strings.TrimSpace(value))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q: got %q, want %q", tt.name, tt.line, strings.Join(got, " "), tt.want)
		}
	}
}

// FuzzComplete: whatever was typed, the answer is a kind and words that go on with it.
func FuzzComplete(f *testing.F) {
	for _, line := range []string{"", "serve\x00--listen=fastcgi:unix:", "wrap\x00-f=\x00--\x00-", "explain\x00-c\x00/etc\x00http", "run\x00-\x00--=\x00="} {
		f.Add(line)
	}
	app := newApp(nil, io.Discard, io.Discard)
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, "\x00")
		last := words[len(words)-1]
		p := propose(app, words)
		if !slices.Contains([]string{onlyListed, files, folders, toml}, p.kind) {
			t.Errorf("%q: kind %q", words, p.kind)
		}
		if p.kind != onlyListed && !strings.HasPrefix(last, p.prefix) {
			t.Errorf("%q: %q stands before the file's name", words, p.prefix)
		}
		var b bytes.Buffer
		complete(&b, app, words)
		for n, answer := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
			if n > 0 && !strings.HasPrefix(answer, last) {
				t.Errorf("%q: %q", words, answer)
			}
		}
	})
}
