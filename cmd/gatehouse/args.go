package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

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
	var flags, rest []string
	for n := 2; n < len(args); n++ {
		arg := args[n]
		switch {
		case arg == "--":
			rest = append(rest, args[n+1:]...)
			n = len(args)
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
		default:
			flags = append(flags, arg)
			if takesValue(cmd, arg) && n+1 < len(args) {
				n++
				flags = append(flags, args[n])
			}
		}
	}
	out := append(append([]string{args[0], args[1]}, flags...), "--")
	return append(out, rest...)
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
