package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestProgramHelp: each command is listed once, and no line is longer than a terminal.
func TestProgramHelp(t *testing.T) {
	app := newApp(nil, io.Discard, io.Discard)
	var b bytes.Buffer
	programHelp(&b, app)
	for _, name := range commandNames(app) {
		if n := strings.Count(b.String(), "\n  "+name+" "); n != 1 {
			t.Errorf("the command %s is listed %d times", name, n)
		}
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if len(line) > width {
			t.Errorf("%d characters: %q", len(line), line)
		}
	}
}

// TestCommandHelp: each command tells of all its flags, and has two examples or more;
// no line but an example or something else without a blank is longer than a terminal.
func TestCommandHelp(t *testing.T) {
	for _, cmd := range newApp(nil, io.Discard, io.Discard).Commands {
		if cmd.Hidden {
			continue
		}
		var b bytes.Buffer
		commandHelp(&b, cmd)
		for _, f := range cmd.Flags {
			if d, ok := docOf(f); ok && (!strings.Contains(b.String(), "\n  "+d.label()) || d.text == "") {
				t.Errorf("%s: no word about %s", cmd.Name, d.label())
			}
		}
		if len(examples[cmd.Name]) < 2 {
			t.Errorf("%s: %d examples, want two or more", cmd.Name, len(examples[cmd.Name]))
		}
		before, _, _ := strings.Cut(b.String(), "\nExamples\n")
		for line := range strings.SplitSeq(before, "\n") {
			if len(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
				t.Errorf("%s: %d characters: %q", cmd.Name, len(line), line)
			}
		}
	}
}

// TestExamples: what the examples say is there: commands, flags, and as many arguments
// as they may be. The scripts in testdata run those that need nothing else.
func TestExamples(t *testing.T) {
	app := newApp(nil, io.Discard, io.Discard)
	all := slices.Clone(beginnings)
	for name, list := range examples {
		if app.Command(name) == nil {
			t.Errorf("examples of %q, which is no command", name)
		}
		for _, e := range list {
			if !strings.Contains(e.line, "gatehouse "+name) {
				t.Errorf("an example of %s: %q", name, e.line)
			}
			all = append(all, e)
		}
	}
	for _, e := range all {
		if e.says == "" {
			t.Errorf("%q: not a word about what it does", e.line)
		}
		_, line, _ := strings.Cut(e.line, "gatehouse ")
		line, _, _ = strings.Cut(line, " >")
		line, _, _ = strings.Cut(line, " |")
		line, _, _ = strings.Cut(line, ")")
		app := newApp(nil, io.Discard, io.Discard)
		reached := false
		for _, cmd := range app.Commands {
			cmd.Action = func(*cli.Context) error { reached = true; return nil }
		}
		args := append([]string{"gatehouse"}, shellWords(line)...)
		if err := app.Run(reorder(app, args)); err != nil || !reached {
			t.Errorf("%q: %v", e.line, err)
		}
	}
}

// shellWords takes a line apart as a shell does, as far as the examples need it.
func shellWords(line string) (words []string) {
	for n, part := range strings.Split(line, "'") {
		if n%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func TestFlagDocs(t *testing.T) {
	cmd := &cli.Command{Name: "c", Flags: []cli.Flag{
		&cli.StringFlag{Name: "plain", Usage: "nothing quoted"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "a `WORD` in quotes", Category: "Second"},
		&cli.DurationFlag{Name: "wait", Value: 3600e9, Usage: "how long"},
		&cli.IntFlag{Name: "none", Usage: "a `NUMBER`"},
		&cli.StringFlag{Name: "hidden", Hidden: true},
		&cli.StringSliceFlag{Name: "many", Usage: "`A`", Category: "Second"},
	}}
	var got []string
	for _, d := range flagDocs(cmd) {
		got = append(got, d.group+"|"+d.label()+"|"+d.whole())
	}
	want := []string{
		"|--plain VALUE|nothing quoted", "|--wait DURATION|how long (default 1h)", "|--none NUMBER|a NUMBER",
		"Second|-y, --yes|a WORD in quotes", "Second|--many A|A",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHanging(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"short", " a  b ", "a b"},
		{"to the edge", strings.Repeat("x", 69), strings.Repeat("x", 69)},
		{"broken", strings.Repeat("x", 67) + " yy", strings.Repeat("x", 67) + "\n          yy"},
		{"not broken", strings.Repeat("x", 66) + " yy", strings.Repeat("x", 66) + " yy"},
		{"too long a word", strings.Repeat("x", 200) + " y", strings.Repeat("x", 200) + "\n          y"},
		{"letters, not bytes", strings.Repeat("ö", 66) + " yy", strings.Repeat("ö", 66) + " yy"},
	} {
		if got := hanging(tt.text, 10); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
