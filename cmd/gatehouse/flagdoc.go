package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// flagDoc is what help, the manual page and completion know of a flag.
type flagDoc struct {
	names    []string // with their dashes, the long one last
	value    string   // what its value is called, as in "FILE"; "" for a flag without one
	text     string   // what it does
	standard string   // what it is when it is left out; "" when that goes without saying
	group    string   // its heading; "" for none
	repeated bool     // it may be given several times
}

// flagDocs describes the flags of a command, in the order of their groups and there as
// the command has them.
func flagDocs(cmd *cli.Command) []flagDoc {
	var groups []string
	byGroup := map[string][]flagDoc{}
	for _, f := range cmd.Flags {
		d, ok := docOf(f)
		if !ok {
			continue
		}
		if byGroup[d.group] == nil {
			groups = append(groups, d.group)
		}
		byGroup[d.group] = append(byGroup[d.group], d)
	}
	var all []flagDoc
	for _, g := range groups {
		all = append(all, byGroup[g]...)
	}
	return all
}

func docOf(f cli.Flag) (d flagDoc, ok bool) {
	doc, isDoc := f.(cli.DocGenerationFlag)
	if v, has := f.(cli.VisibleFlag); !isDoc || has && !v.IsVisible() {
		return d, false
	}
	for _, n := range f.Names() {
		if len(n) == 1 {
			d.names = append([]string{"-" + n}, d.names...)
		} else {
			d.names = append(d.names, "--"+n)
		}
	}
	d.value, d.text = unquoted(doc.GetUsage())
	switch {
	case !doc.TakesValue():
		d.value = ""
	case d.value == "":
		d.value = "VALUE"
		if _, is := f.(*cli.DurationFlag); is {
			d.value = "DURATION"
		}
	}
	if s := doc.GetDefaultText(); doc.TakesValue() && s != "0" && s != "0s" && s != `""` && s != "[]" {
		d.standard = strings.Trim(s, `"`)
		if _, is := f.(*cli.DurationFlag); is {
			d.standard = shortDuration(s)
		}
	}
	if c, has := f.(cli.CategorizableFlag); has {
		d.group = c.GetCategory()
	}
	_, d.repeated = f.(*cli.StringSliceFlag)
	return d, true
}

// unquoted takes the name of the value, which stands in back quotes, out of a usage.
func unquoted(usage string) (name, text string) {
	before, rest, _ := strings.Cut(usage, "`")
	name, after, found := strings.Cut(rest, "`")
	if !found {
		return "", usage
	}
	return name, before + name + after
}

// shortDuration writes "1h0m0s" as "1h".
func shortDuration(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// label is how the flag is written: "-c, --config FILE".
func (d flagDoc) label() string {
	return strings.TrimSpace(strings.Join(d.names, ", ") + " " + d.value)
}

// long is its name in full.
func (d flagDoc) long() string { return d.names[len(d.names)-1] }
