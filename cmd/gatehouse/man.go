package main

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
)

// pages are the manual pages: of the commands (section 1), and of the configuration (5).
var pages = []string{"gatehouse", "gatehouse.toml"}

func manCommand() *cli.Command {
	return &cli.Command{
		Name:        "man",
		Usage:       "print a manual page",
		ArgsUsage:   "[" + strings.Join(pages, " | ") + "]",
		Description: "It is in the form that man(1) reads: gatehouse(1) has all commands, and gatehouse.toml(5) all keys of the configuration.",
		Action: func(c *cli.Context) error {
			page := "gatehouse"
			if c.NArg() > 0 {
				page = c.Args().First()
			}
			switch {
			case c.NArg() > 1:
				return hinted{misused("man takes one page, not %d", c.NArg()), "as in: gatehouse man gatehouse.toml"}
			case !slices.Contains(pages, page):
				return hinted{misused("man %q: there is no such page", page), "expected " + strings.Join(pages, " or ")}
			case page == "gatehouse":
				_, err := io.WriteString(c.App.Writer, commandsPage(c.App))
				return err
			}
			_, err := io.WriteString(c.App.Writer, configurationPage())
			return err
		},
	}
}

// pageDate is what a page says of its age: the day of the commit, or where that is not
// known this one.
func pageDate() string {
	if d := thisBuild().Date; len(d) >= len(time.DateOnly) {
		return d[:len(time.DateOnly)]
	}
	return time.Now().UTC().Format(time.DateOnly)
}

// commandsPage is gatehouse(1), made of the table of commands.
func commandsPage(app *cli.App) string {
	var r roff
	r.title("gatehouse", 1, pageDate())
	r.section("Name")
	r.line("gatehouse - " + app.Usage)
	r.section("Synopsis")
	for n := range sections {
		for i, cmd := range commandsOf(app, n) {
			if n > 0 || i > 0 {
				r.request("br")
			}
			r.line(usageLine(cmd))
		}
	}
	r.section("Description")
	r.text(manDescription)
	r.section("Commands")
	for n := range sections {
		for _, cmd := range commandsOf(app, n) {
			r.command(cmd)
		}
	}
	for _, s := range manSections {
		r.section(s.title)
		if s.text != "" {
			r.text(s.text)
		}
		for _, e := range s.items {
			r.item(e.line, e.says)
		}
	}
	return r.b.String()
}

// command writes what there is to say of a command.
func (r *roff) command(cmd *cli.Command) {
	r.request("SS", "gatehouse "+cmd.Name)
	r.text(sentence(cmd.Usage))
	if cmd.Description != "" {
		r.request("PP")
		r.text(cmd.Description)
	}
	for _, d := range flagDocs(cmd) {
		r.item(d.label(), d.whole())
	}
	for n, e := range examples[cmd.Name] {
		if n == 0 {
			r.request("PP")
			r.line("Examples:")
		}
		r.listing(e.line)
		r.request("RS", "8")
		r.text(e.says)
		r.request("RE")
	}
}

// sentence makes one of a command's usage.
func sentence(usage string) string {
	return strings.ToUpper(usage[:1]) + usage[1:] + "."
}

// configurationPage is gatehouse.toml(5), made of the table that the decoder uses.
func configurationPage() string {
	var r roff
	r.title("gatehouse.toml", 5, pageDate())
	r.section("Name")
	r.line("gatehouse.toml - configuration of gatehouse")
	r.section("Description")
	r.text(manConfiguration)
	r.listing(manExample)
	title := ""
	for _, k := range byTable(config.Keys()) {
		if t := tableTitle(k.Tables); t != title {
			title = t
			r.section("Keys " + t)
		}
		text := k.Doc
		if k.Default != "" {
			text += " Default: " + k.Default + "."
		}
		r.request("TP")
		r.b.WriteString(`\fB` + escaped(k.Name) + `\fR (` + escaped(k.Type) + ")\n")
		r.text(text)
	}
	r.section("See also")
	r.line("gatehouse(1)")
	return r.b.String()
}

// byTable sorts the keys so that those of the same tables stand together, else in the
// order they have.
func byTable(keys []config.Key) []config.Key {
	var titles []string
	for _, k := range keys {
		if t := tableTitle(k.Tables); !slices.Contains(titles, t) {
			titles = append(titles, t)
		}
	}
	slices.SortStableFunc(keys, func(a, b config.Key) int {
		return slices.Index(titles, tableTitle(a.Tables)) - slices.Index(titles, tableTitle(b.Tables))
	})
	return keys
}

// tableTitle says where keys of these tables stand.
func tableTitle(tables []string) string {
	var where []string
	for _, t := range tables {
		switch {
		case t == "":
			where = append(where, "at the top")
		case t == "site" || t == "site.route":
			where = append(where, "in [["+t+"]]")
		default:
			where = append(where, "in "+t[strings.LastIndex(t, ".")+1:])
		}
	}
	if last := len(where) - 1; last > 0 {
		return strings.Join(where[:last], ", ") + " and " + where[last]
	}
	return strings.Join(where, "")
}
