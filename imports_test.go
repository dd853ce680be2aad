package gatehouse_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says for each package which others of this module it may import, besides
// the standard library and modules from elsewhere: dependencies run one way.
var mayImport = map[string][]string{
	"environ":         {},
	"process":         {},
	"scripts":         {},
	"cgi":             {"environ", "process"},
	"fastcgi":         {"cgi", "environ"},
	"scgi":            {"cgi", "environ"},
	"internal/config": {},
	"internal/site":   {"cgi", "environ", "fastcgi", "internal/config", "process", "scgi", "scripts"},
	"internal/admin":  {"internal/config", "internal/site"},
	"cmd/gatehouse":   {"cgi", "environ", "fastcgi", "internal/admin", "internal/config", "internal/site", "process", "scgi", "scripts"},
}

func TestImports(t *testing.T) {
	const module = "gatehouse/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name, ours := strings.CutPrefix(words[0], module)
		if !ours { // the tests at the top
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			if len(words) > 1 { // not tests only
				t.Errorf("package %s is not in the table", name)
			}
			continue
		}
		seen++
		for _, imported := range words[1:] {
			if other, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s, which it must not", name, other)
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("go list tells of %d packages in the table, want %d:\n%s", seen, len(mayImport), out)
	}
}
