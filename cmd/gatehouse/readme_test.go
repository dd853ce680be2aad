package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// headings of the tables of keys in README.md, by Key.Tables.
var headings = map[string]string{
	"":                 "### At the top of the main file",
	" site site.route": "### At the top, in [[site]] or in [[site.route]]: the nearest wins",
	" site":            "### At the top or in [[site]]: the nearest wins",
	"site":             "### In [[site]]",
	"site.route":       "### In [[site.route]]",
	"site site.route":  "### In [[site]] or in [[site.route]]",
	"basic_auth":       "### In basic_auth",

	"site.route.fastcgi site.route.scgi site.route.authorize": "### In fastcgi, scgi and authorize",
	"site.route.fastcgi site.route.authorize":                 "### In fastcgi and authorize",
	"site.route.fastcgi":                                      "### In fastcgi alone",
	"tls":                                                     "### In tls",
	"acme":                                                    "### In acme",
	"site.route.wsgi":                                         "### In wsgi",
}

// TestReadmeKeys holds the tables of README.md against what the configuration
// really knows: each key with its type, default and meaning, and no other.
func TestReadmeKeys(t *testing.T) {
	text := readme(t)
	rows := 0
	for _, k := range config.Keys() {
		heading, ok := headings[strings.Join(k.Tables, " ")]
		if !ok {
			t.Fatalf("the key %q stands in %q, for which README.md has no table", k.Name, k.Tables)
		}
		_, section, found := strings.Cut(text, heading+"\n")
		if !found {
			t.Fatalf("README.md has no heading %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n#")
		if row := readmeRow(k); !strings.Contains(section, "\n"+row+"\n") {
			t.Errorf("README.md, %s: no row\n%s", heading, row)
		}
		rows++
	}
	got := 0
	for _, heading := range headings {
		_, section, _ := strings.Cut(text, heading+"\n")
		section, _, _ = strings.Cut(section, "\n#")
		got += strings.Count(section, "\n| `")
	}
	if got != rows {
		t.Errorf("README.md has %d rows of keys, want %d", got, rows)
	}
}

func readmeRow(k config.Key) string {
	value := k.Default
	if value == "true" || value == "false" || value != "" && strings.Contains(`"[{0123456789`, value[:1]) && !strings.Contains(value, " for ") {
		value = "`" + value + "`"
	}
	return "| `" + k.Name + "` | " + k.Type + " | " + value + " | " + k.Doc + " |"
}

// TestReadmeExample reads the examples of README.md as configurations.
func TestReadmeExample(t *testing.T) {
	examples := 0
	for n, block := range strings.Split(readme(t), "```toml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(block, "[[site]]") {
			block = "[[site]]\n" + block // the recipes show the route alone
		}
		if _, err := config.Parse("README.md", []byte(block)); err != nil {
			t.Errorf("example %d: %v\n%s", n+1, err, block)
		}
		examples++
	}
	if examples < 5 {
		t.Errorf("found %d examples", examples)
	}
}

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Two commands are all that a new machine with Go and make needs.
func TestReadmeFirstCommands(t *testing.T) {
	text := readme(t)
	for _, command := range []string{"go run ./cmd/gatehouse serve", "make test"} {
		if !strings.Contains(text, "\n    "+command+" ") {
			t.Errorf("README.md does not have %q", command)
		}
	}
}
