package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// documents are the pages that people write; docs/configuration.md is made.
var documents = []string{"README.md", "docs/recipes.md", "docs/coming-from.md"}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentedConfigurations reads every configuration that is shown.
func TestDocumentedConfigurations(t *testing.T) {
	for _, name := range documents[1:] {
		blocks := strings.Split(document(t, name), "```toml\n")[1:]
		if len(blocks) < 8 {
			t.Errorf("%s: found %d configurations", name, len(blocks))
		}
		for n, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			if _, err := config.Parse(name, []byte(block)); err != nil {
				t.Errorf("%s, configuration %d: %v\n%s", name, n+1, err, block)
			}
		}
	}
}

// keyed finds what a page says of a key: its name alone, or with a value.
var keyed = regexp.MustCompile("^([a-z][a-z0-9_]*)(?: = .*)?$")

// TestKeysThatTablesName: what stands on our side of a table in docs/coming-from.md is
// there: keys, and in the table that is named.
func TestKeysThatTablesName(t *testing.T) {
	tables := map[string][]string{}
	for _, k := range config.Keys() {
		tables[k.Name] = append(tables[k.Name], k.Tables...)
	}
	found := 0
	for line := range strings.Lines(document(t, "docs/coming-from.md")) {
		cells := strings.Split(strings.TrimSuffix(line, " |\n"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 2 {
			continue
		}
		for _, span := range spans(cells[1]) {
			m := keyed.FindStringSubmatch(span)
			if m == nil {
				continue
			}
			found++
			switch in, of := tables[m[1]], strings.Contains(cells[1], " of fastcgi"); {
			case in == nil:
				t.Errorf("there is no key %q: %s", m[1], line)
			case of && !slices.Contains(in, "site.route.fastcgi"), strings.Contains(cells[1], " of wsgi") && !slices.Contains(in, "site.route.wsgi"):
				if !strings.Contains(cells[1], "with `") { // a second key, of the route
					t.Errorf("the key %q stands in %q: %s", m[1], in, line)
				}
			}
		}
	}
	if found < 80 {
		t.Errorf("found %d keys", found)
	}
}

// spans are the pieces of code in a text.
func spans(text string) (found []string) {
	for n, part := range strings.Split(text, "`") {
		if n%2 == 1 {
			found = append(found, part)
		}
	}
	return found
}

var (
	shownCommand = regexp.MustCompile("(?m)(?:^    (?:[A-Z_]+=[^ ]* )*|`)(gatehouse [a-z-]+[^`\n]*)")
	linked       = regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)
	packagedFile = regexp.MustCompile(`packaging/[a-zA-Z0-9._/-]*[a-z]`)
)

// TestDocumentedCommands: the commands and flags that the pages show are there.
func TestDocumentedCommands(t *testing.T) {
	found := 0
	for _, name := range documents {
		for _, m := range shownCommand.FindAllStringSubmatch(document(t, name), -1) {
			line, _, _ := strings.Cut(m[1], "  #")
			line, _, _ = strings.Cut(line, " |")
			words := shellWords(strings.NewReplacer(" >", " ", `"`, "'").Replace(line))
			app := newApp(nil, io.Discard, io.Discard)
			cmd := command(app, words[1])
			if words[1] == "help" {
				continue
			}
			if cmd == nil {
				t.Errorf("%s: there is no command %q: %s", name, words[1], line)
				continue
			}
			found++
			for _, w := range words[2:] {
				flag, _, _ := strings.Cut(w, "=")
				if len(flag) > 1 && flag[0] == '-' && flagOf(cmd, strings.TrimLeft(flag, "-")).names == nil {
					t.Errorf("%s: gatehouse %s has no flag %s: %s", name, words[1], flag, line)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("found %d commands", found)
	}
}

// TestDocumentedPlaces: links lead to something, and packaged files that are named are there.
func TestDocumentedPlaces(t *testing.T) {
	for _, name := range append([]string{"docs/configuration.md"}, documents...) {
		text := document(t, name)
		for _, m := range linked.FindAllStringSubmatch(text, -1) {
			target := name
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(name), m[1])
			}
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", "..", target)); err != nil {
				t.Errorf("%s: a link to %q: %v", name, m[0], err)
			} else if m[2] != "" && !slices.Contains(anchors(document(t, target)), m[2]) {
				t.Errorf("%s: %s has no heading %q", name, target, m[2])
			}
		}
		for _, file := range packagedFile.FindAllString(text, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", file)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// anchors are what the headings of a page are linked by.
func anchors(text string) (list []string) {
	code := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		if title := strings.TrimLeft(line, "#"); title != line && !code && strings.HasPrefix(title, " ") {
			anchor := strings.Map(func(r rune) rune {
				switch {
				case r == ' ':
					return '-'
				case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
					return r
				}
				return -1
			}, strings.ToLower(strings.TrimSpace(title)))
			list = append(list, anchor)
		}
	}
	return list
}

// TestReadmeCommands: README.md lists every command, as the program does.
func TestReadmeCommands(t *testing.T) {
	app := newApp(nil, io.Discard, io.Discard)
	text := document(t, "README.md")
	want := "| command | |\n|---|---|\n"
	for n := range sections {
		for _, cmd := range commandsOf(app, n) {
			want += "| `gatehouse " + cmd.Name + "` | " + cmd.Usage + " |\n"
		}
	}
	if !strings.Contains(text, want+"\n") {
		t.Errorf("README.md lacks this table, or has another:\n%s", want)
	}
}
