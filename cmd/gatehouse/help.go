package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// sections are the headings that the commands are shown under. A command that is in none
// of them comes under the last.
var sections = []struct {
	title    string
	commands []string
}{
	{"Serve", []string{"serve", "wrap"}},
	{"Try and understand", []string{"run", "explain", "call"}},
	{"Configure", []string{"init", "check", "config"}},
	{"A server that runs", []string{"status", "end", "reload", "upgrade", "reopen", "stop"}},
	{"About this program", []string{"version", "completion", "man"}},
}

// commandsOf lists the commands of a section that there are.
func commandsOf(app *cli.App, n int) (list []*cli.Command) {
	listed := map[string]bool{}
	for i, s := range sections {
		for _, name := range s.commands {
			if listed[name] = true; i == n && app.Command(name) != nil {
				list = append(list, app.Command(name))
			}
		}
	}
	if n == len(sections)-1 {
		for _, cmd := range app.Commands {
			if !listed[cmd.Name] && !cmd.Hidden {
				list = append(list, cmd)
			}
		}
	}
	return list
}

// asksForHelp finds out whether the command line asks for help, and about which command:
// nil for the program.
func asksForHelp(app *cli.App, args []string) (cmd *cli.Command, ok bool, err error) {
	if len(args) < 2 {
		return nil, true, nil
	}
	isHelp := func(s string) bool { return s == "--help" || s == "-help" || s == "-h" }
	switch {
	case args[1] == "help" && len(args) > 2 && !isHelp(args[2]):
		if cmd = command(app, args[2]); cmd == nil {
			return nil, false, noCommand(app, args[2])
		}
		return cmd, true, nil
	case args[1] == "help" || isHelp(args[1]):
		return nil, true, nil
	}
	if cmd = command(app, args[1]); cmd == nil {
		return nil, false, nil
	}
	for n := 2; n < len(args) && args[n] != "--"; n++ {
		switch {
		case isHelp(args[n]):
			return cmd, true, nil
		case takesValue(cmd, args[n]): // the next is its value, whatever it looks like
			n++
		}
	}
	return nil, false, nil
}

// command is the command of a name, which is not hidden.
func command(app *cli.App, name string) *cli.Command {
	if cmd := app.Command(name); cmd != nil && !cmd.Hidden {
		return cmd
	}
	return nil
}

// programHelp tells a newcomer what to begin with, and then what there is.
func programHelp(w io.Writer, app *cli.App) {
	fmt.Fprintf(w, "gatehouse: %s\n\nBegin with\n", app.Usage)
	for _, e := range beginnings {
		fmt.Fprintf(w, "  %-40s%s\n", e.line, e.says)
	}
	for n, s := range sections {
		list := commandsOf(app, n)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", s.title)
		for _, cmd := range list {
			fmt.Fprintf(w, "  %-12s%s\n", cmd.Name, hanging(cmd.Usage, 14))
		}
	}
	fmt.Fprintf(w, "\n\"gatehouse help COMMAND\" tells of a command its flags, with examples;\n\"gatehouse --version\" which build this is. Flags stand before or behind the\nother arguments; behind \"--\" nothing is a flag.\n")
}

// commandHelp tells of a command what it does, how it is written, its flags and examples.
func commandHelp(w io.Writer, cmd *cli.Command) {
	fmt.Fprintf(w, "%s\n\n", hanging("gatehouse "+cmd.Name+": "+cmd.Usage, 0))
	fmt.Fprintf(w, "Usage\n  %s\n", hanging(usageLine(cmd), 6))
	for paragraph := range strings.SplitSeq(cmd.Description, "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph != "" {
			fmt.Fprintf(w, "\n%s\n", hanging(oneLine(paragraph), 0))
		}
	}
	group := "\x00"
	for _, d := range flagDocs(cmd) {
		if d.group != group {
			group = d.group
			fmt.Fprintf(w, "\n%s\n", cmp.Or(group, "Flags"))
		}
		fmt.Fprintf(w, "%s\n", flagHelp(d))
	}
	if list := examples[cmd.Name]; len(list) > 0 {
		fmt.Fprintf(w, "\nExamples\n")
		for _, e := range list {
			fmt.Fprintf(w, "  %s\n        %s\n", e.line, hanging(e.says, 8))
		}
	}
}

// usageLine is how a command is written.
func usageLine(cmd *cli.Command) string {
	line := "gatehouse " + cmd.Name
	if len(flagDocs(cmd)) > 0 {
		line += " [FLAG...]"
	}
	return strings.TrimSpace(line + " " + strings.TrimSpace(cmd.ArgsUsage))
}

// flagHelp is a flag's lines: its text beside its name where there is room.
func flagHelp(d flagDoc) string {
	const column = 24
	label := "  " + d.label()
	if len(label) > column-2 {
		label += "\n" + strings.Repeat(" ", column)
	}
	return fmt.Sprintf("%-*s%s", column, label, hanging(d.whole(), column))
}

// whole is what a flag does and what holds without it.
func (d flagDoc) whole() string {
	if d.standard == "" {
		return d.text
	}
	return d.text + " (default " + d.standard + ")"
}

// width is how long the lines of help are: it is read in terminals of 80 columns.
const width = 79

// hanging breaks a text into lines; all but the first begin with indent blanks.
func hanging(text string, indent int) string {
	var b strings.Builder
	column := indent
	for n, word := range strings.Fields(text) {
		length := len([]rune(word))
		switch {
		case n == 0:
		case column+1+length > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// commandNames lists what may follow "gatehouse".
func commandNames(app *cli.App) (names []string) {
	for _, cmd := range app.Commands {
		if !cmd.Hidden {
			names = append(names, cmd.Name)
		}
	}
	slices.Sort(names)
	return names
}
