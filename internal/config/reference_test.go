package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

// docs/configuration.md is what the program writes: go generate ./cmd/gatehouse.
func TestReferenceIsFresh(t *testing.T) {
	var want strings.Builder
	if err := config.WriteReference(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Errorf("docs/configuration.md is stale: run go generate ./cmd/gatehouse\n%s", firstDifference(string(got), want.String()))
	}
	if got, want := strings.Count(want.String(), "\n### "), len(config.Keys()); got != want {
		t.Errorf("%d keys are described, want %d: is there a section for each set of tables?", got, want)
	}
}

// contexts are configurations that an example may stand in, by the first table of its
// key: where %s is.
var contexts = map[string][]string{
	"":     {"%s\n[[site]]", "%s"},
	"site": {"[[site]]\n%s", "%s"},
	"site.route": {
		"[[site]]\n[[site.route]]\npath = '/x/'\n%s",
		"[[site]]\nroot = '.'\n[[site.route]]\n%s",
		"[[site]]\n[[site.route]]\npath = '/x/'\ncgi = 'cgi/'\n%s",
	},
	"site.route.fastcgi": {
		"[[site]]\n[[site.route]]\npath = '/x/'\nfastcgi = { %s }",
		"[[site]]\n[[site.route]]\npath = '/x/'\nfastcgi = { command = ['x'], %s }",
		"[[site]]\n[[site.route]]\npath = '/x/'\nfastcgi = { address = '127.0.0.1:9', %s }",
		"[[site]]\n[[site.route]]\npath = '/x/'\nroot = 'x'\nfastcgi = { command = ['x'], %s }",
	},
	"site.route.wsgi": {
		"[[site]]\n[[site.route]]\npath = '/x/'\nwsgi = { %s }",
		"[[site]]\n[[site.route]]\npath = '/x/'\nwsgi = { module = 'a.py', %s }",
	},
	"tls":        {"[[site]]\nhosts = ['example.org']\ntls = { %s }", "acme = { accept_terms = true }\n[[site]]\nhosts = ['example.org']\ntls = { %s }"},
	"acme":       {"acme = { accept_terms = true, %s }\n[[site]]\nhosts = ['example.org']\ntls = { acme = true }", "acme = { %s }\n[[site]]\nhosts = ['example.org']\ntls = { acme = true }"},
	"basic_auth": {"[[site]]\nbasic_auth = { file = 'x', %s }", "[[site]]\nbasic_auth = { %s }"},
}

// Every key has an example, which is right.
func TestExamples(t *testing.T) {
	for _, k := range config.Keys() {
		example := k.Example()
		if !strings.Contains("\n"+example+",", k.Name) {
			t.Errorf("%s in %q: its example is %q", k.Name, k.Tables, example)
			continue
		}
		if k.Name == "acme" && k.Tables[0] == "" {
			example += "\ntls = { acme = true }\n[[site]]\nhosts = ['example.org']" // else it does nothing
		}
		var errs []string
		right := slices.ContainsFunc(contexts[k.Tables[0]], func(context string) bool {
			_, err := config.Parse("g", []byte(strings.ReplaceAll(context, "%s", example)))
			if err != nil {
				errs = append(errs, err.Error())
			}
			return err == nil
		})
		if !right {
			t.Errorf("%s in %q: %s\nis wrong: %s", k.Name, k.Tables, example, strings.Join(errs, "\n"))
		}
	}
}
