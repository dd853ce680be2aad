package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
)

// otherWords are what people type at other programs, with the command that does that.
var otherWords = map[string]string{
	"start": "serve", "server": "serve", "up": "serve", "listen": "serve",
	"test": "check", "validate": "check", "lint": "check",
	"exec": "run", "request": "run", "curl": "run",
	"quit": "stop", "kill": "end", "ps": "status", "new": "init", "dump": "config",
}

// noCommand is about a word that is not a command. What was meant may be told from it.
func noCommand(app *cli.App, name string) error {
	near := otherWords[name]
	if command(app, near) == nil {
		near = config.Nearest(name, commandNames(app))
	}
	hint := "gatehouse help lists the commands"
	switch _, err := os.Stat(name); {
	case err == nil && (strings.ContainsRune(name, filepath.Separator) || near == ""):
		hint = "to serve it: gatehouse serve " + name
	case near != "":
		hint = fmt.Sprintf("did you mean \"gatehouse %s\"?", near)
	}
	return hinted{misused("there is no command %q", name), hint}
}

// badValue is the library's message about a value that is no number and the like.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value "(.*)" for (?:flag )?-([\w-]+): `)

// usageError says what the library found wrong with the flags.
func usageError(c *cli.Context, err error, _ bool) error {
	var cmd *cli.Command
	if c.Command != nil {
		cmd = c.App.Command(c.Command.Name) // nil for the program itself
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		return noFlag(c.App, cmd, name)
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		d := flagOf(cmd, name)
		return hinted{misused("the flag %s needs a value", dashed(name)), "as in " + strings.TrimSpace(dashed(name)+" "+d.value) + "; " + listsFlags(cmd)}
	}
	if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		return hinted{misused("%s %q: expected %s", dashed(m[2]), m[1], expected(cmd, m[2])), listsFlags(cmd)}
	}
	return hinted{misuse{err}, listsFlags(cmd)}
}

// noFlag is about a flag that a command, or with nil the program, does not have.
func noFlag(app *cli.App, cmd *cli.Command, name string) error {
	err := misused("there is no flag %q", dashed(name))
	if cmd == nil {
		for _, other := range app.Commands {
			if !other.Hidden && flagOf(other, name).names != nil {
				return hinted{err, fmt.Sprintf("flags follow the command, as in \"gatehouse %s %s\"", other.Name, strings.TrimSpace(dashed(name)+" "+flagOf(other, name).value))}
			}
		}
		return hinted{err, "gatehouse help lists the commands"}
	}
	var names []string
	for _, d := range flagDocs(cmd) {
		for _, n := range d.names {
			names = append(names, strings.TrimLeft(n, "-"))
		}
	}
	if near := config.Nearest(name, names); near != "" {
		return hinted{err, fmt.Sprintf("did you mean %s? %s", flagOf(cmd, near).label(), listsFlags(cmd))}
	}
	return hinted{err, listsFlags(cmd)}
}

func listsFlags(cmd *cli.Command) string {
	if cmd == nil {
		return "gatehouse help lists the commands"
	}
	return "gatehouse help " + cmd.Name + " lists the flags"
}

// flagOf is what is known of a command's flag; nothing when there is none of that name.
func flagOf(cmd *cli.Command, name string) flagDoc {
	if cmd != nil {
		for _, d := range flagDocs(cmd) {
			if slices.Contains(d.names, dashed(name)) {
				return d
			}
		}
	}
	return flagDoc{}
}

// dashed is a flag's name as it is written.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// expected says what the value of a flag looks like.
func expected(cmd *cli.Command, name string) string {
	for _, f := range cmd.Flags {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f.(type) {
		case *cli.DurationFlag:
			return "a length of time, as in 500ms, 60s or 1m30s"
		case *cli.IntFlag:
			return "a whole number"
		case *cli.BoolFlag:
			return "true or false"
		}
	}
	return "another value"
}
