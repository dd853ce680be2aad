package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestReorder(t *testing.T) {
	app := &cli.App{Commands: []*cli.Command{serveCommand(), runCommand(), checkCommand()}}
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "g", "g"},
		{"a command", "g serve", "g serve"},
		{"an unknown command", "g frob a -b", "g frob a -b"},
		{"a flag of the program", "g --help x", "g --help x"},
		{"no flags", "g serve dir", "g serve -- dir"},
		{"a flag in front", "g serve --listen :80 dir", "g serve --listen :80 -- dir"},
		{"a flag behind", "g serve dir --listen :80", "g serve --listen :80 -- dir"},
		{"one with =", "g serve dir --listen=:80 x", "g serve --listen=:80 -- dir x"},
		{"one dash", "g serve dir -listen :80", "g serve -listen :80 -- dir"},
		{"a short one", "g run a -X POST b", "g run -X POST -- a b"},
		{"a value like a flag", "g run a -d --x b", "g run -d --x -- a b"},
		{"a value like the end", "g run a -d -- b", "g run -d -- -- a b"},
		{"repeated", "g run -H a:b s -H c:d", "g run -H a:b -H c:d -- s"},
		{"unknown flag", "g serve dir --frob x", "g serve --frob -- dir x"},
		{"behind --", "g run -X PUT -- -a -X b", "g run -X PUT -- -a -X b"},
		{"a dash alone", "g run - -X PUT", "g run -X PUT -- -"},
		{"no value", "g serve dir --listen", "g serve --listen"},
	} {
		got := reorder(app, strings.Fields(tt.in))
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: reorder(%q) = %q, want %q", tt.name, tt.in, strings.Join(got, " "), tt.want)
		}
	}
	in := []string{"g", "run", "a", "-X", "PUT"}
	saved := slices.Clone(in)
	if reorder(app, in); !slices.Equal(in, saved) {
		t.Errorf("reorder changed its argument to %q", in)
	}
}

func TestSpelled(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"g", "g"},
		{"g --version", "g version"},
		{"g -v", "g version"},
		{"g --version --json", "g version --json"},
		{"g help", "g help"},
		{"g serve help", "g serve help"},
	} {
		if got := strings.Join(spelled(strings.Fields(tt.in)), " "); got != tt.want {
			t.Errorf("spelled(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
