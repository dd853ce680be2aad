package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// spelled turns what people type at other programs into this one's words:
// "gatehouse --version" and "gatehouse -v".
func spelled(args []string) []string {
	if len(args) > 1 && slices.Contains([]string{"--version", "-version", "-v"}, args[1]) {
		return append([]string{args[0], "version"}, args[2:]...)
	}
	return args
}

// reorder puts a command's flags before its other arguments, where the library
// wants them: "serve ./public --listen :80" is what people write. Behind "--"
// nothing is a flag.
func reorder(app *cli.App, args []string) []string {
	if len(args) < 3 {
		return args
	}
	cmd := app.Command(args[1])
	if cmd == nil {
		return args
	}
	out := []string{args[0], args[1]}
	var rest []string
	for n := 2; n < len(args); n++ {
		arg := args[n]
		switch {
		case arg == "--":
			rest = append(rest, args[n+1:]...)
			n = len(args)
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
		default:
			out = append(out, arg)
			if !takesValue(cmd, arg) {
				continue
			}
			if n++; n == len(args) {
				return out // the library says that its value is missing
			}
			out = append(out, args[n])
		}
	}
	return append(append(out, "--"), rest...)
}

// takesValue reports whether the argument after this flag is its value.
func takesValue(cmd *cli.Command, arg string) bool {
	if strings.Contains(arg, "=") {
		return false
	}
	name := strings.TrimLeft(arg, "-")
	for _, f := range cmd.Flags {
		for _, n := range f.Names() {
			if n == name {
				_, isBool := f.(*cli.BoolFlag)
				return !isBool
			}
		}
	}
	return false
}
