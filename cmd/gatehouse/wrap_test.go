package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestUnbundled(t *testing.T) {
	app := &cli.App{Commands: []*cli.Command{wrapCommand(), callCommand()}}
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "g wrap", "g wrap"},
		{"another command", "g call -c4", "g call -c4"},
		{"apart already", "g wrap -c 4 -f -s unix:/x", "g wrap -c 4 -f -s unix:/x"},
		{"a value", "g wrap -c4 -sunix:/x -p/y", "g wrap -c 4 -s unix:/x -p /y"},
		{"-f in front", "g wrap -fc4", "g wrap -f -c 4"},
		{"-f alone, twice", "g wrap -ff", "g wrap -f -f"},
		{"behind =", "g wrap -c=4 --root=/x", "g wrap -c=4 --root=/x"},
		{"a value like a bundle", "g wrap --root -c4 -p -fc4", "g wrap --root -c4 -p -fc4"},
		{"long ones", "g wrap --pass-authorization -pass-authorization -f", "g wrap --pass-authorization -pass-authorization -f"},
		{"behind --", "g wrap -- -c4", "g wrap -- -c4"},
		{"no value", "g wrap -c", "g wrap -c"},
		{"an address", "g wrap unix:/x -c4", "g wrap unix:/x -c 4"},
	} {
		in := strings.Fields(tt.in)
		saved := slices.Clone(in)
		if got := strings.Join(unbundled(app, in), " "); got != tt.want {
			t.Errorf("%s: unbundled(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
		if !slices.Equal(in, saved) {
			t.Errorf("%s: unbundled changed its argument to %q", tt.name, in)
		}
	}
}
