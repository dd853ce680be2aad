package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/scripts"
)

// completing is the word by which a shell's completion asks what may stand at the end of
// the words after it. The answer is a line with one of the kinds below, a blank and what
// of the last word stands before the name of a file; then what fits, one a line, each
// with a tab and what it means.
const completing = "__complete"

// What is completed besides the words that are listed.
const (
	onlyListed = "listed"
	files      = "files"
	folders    = "folders"
	toml       = "toml" // files of that name, and folders on the way
)

// proposal is what may stand at the end of a command line.
type proposal struct {
	kind   string
	prefix string // of the word, before the file's name
	list   []candidate
}

type candidate struct{ value, says string }

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:        "completion",
		Usage:       "print what completes this command line in a shell",
		ArgsUsage:   strings.Join(scripts.Shells, " | "),
		Description: "The shell reads it at its start. It completes commands, flags and their values, files, and of a configuration the names of its sites.",
		Action: func(c *cli.Context) error {
			text := scripts.Completion(c.Args().First())
			switch {
			case c.NArg() != 1:
				return hinted{misused("completion takes a shell, not %s", count(c.NArg(), "argument")), "as in: gatehouse completion bash"}
			case text == nil:
				return hinted{misused("completion %q: there is none for that shell", c.Args().First()), "expected " + strings.Join(scripts.Shells, ", ")}
			}
			_, err := c.App.Writer.Write(text)
			return err
		},
	}
}

// complete answers a shell.
func complete(w io.Writer, app *cli.App, words []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	p := propose(app, words)
	if p.kind == onlyListed {
		p.prefix = ""
	}
	fmt.Fprintf(w, "%s %s\n", p.kind, p.prefix)
	for _, c := range p.list {
		if strings.HasPrefix(c.value, words[len(words)-1]) && !strings.ContainsAny(c.value, "\n\t") {
			fmt.Fprintf(w, "%s\t%s\n", c.value, oneLine(c.says))
		}
	}
}

// propose finds what fits for the last of the words.
func propose(app *cli.App, words []string) proposal {
	last := words[len(words)-1]
	if len(words) == 1 {
		if strings.HasPrefix(last, "-") {
			return listed("--help", "--version")
		}
		return proposal{kind: onlyListed, list: append(commandList(app), candidate{"help", "tell of a command its flags, with examples"})}
	}
	if words[0] == "help" && len(words) == 2 {
		return proposal{kind: onlyListed, list: commandList(app)}
	}
	cmd := command(app, words[0])
	if cmd == nil {
		return proposal{kind: onlyListed}
	}
	line := partial(cmd, words[1:len(words)-1])
	name, value, given := strings.Cut(last, "=")
	switch {
	case line.flag != nil:
		return line.value(*line.flag, last)
	case line.over || !strings.HasPrefix(last, "-"):
		return line.argument(last)
	case given:
		return line.value(flagOf(cmd, strings.TrimLeft(name, "-")), value).behind(name + "=")
	}
	p := proposal{kind: onlyListed, list: []candidate{{"--help", "what the command does, its flags, examples"}}}
	for _, d := range flagDocs(cmd) {
		if d.repeated || !line.used[d.long()] {
			for _, n := range d.names {
				p.list = append(p.list, candidate{n, d.text})
			}
		}
	}
	return p
}

// typed is a command line as far as it is complete.
type typed struct {
	cmd    *cli.Command
	args   []string
	flag   *flagDoc // whose value comes next; nil for none
	used   map[string]bool
	over   bool              // behind "--"
	values map[string]string // the last value of each flag, by its long name
}

func partial(cmd *cli.Command, words []string) *typed {
	t := &typed{cmd: cmd, used: map[string]bool{}, values: map[string]string{}}
	for _, w := range words {
		switch {
		case t.flag != nil:
			t.took(w)
		case t.over || len(w) < 2 || w[0] != '-':
			t.args = append(t.args, w)
		case w == "--":
			t.over = true
		default:
			name, value, given := strings.Cut(strings.TrimLeft(w, "-"), "=")
			d := flagOf(cmd, name)
			if d.names == nil {
				continue
			}
			t.used[d.long()] = true
			if t.flag = &d; given {
				t.took(value)
			} else if d.value == "" {
				t.flag = nil
			}
		}
	}
	return t
}

// took notes the value of the flag before it.
func (t *typed) took(value string) {
	t.values[t.flag.long()] = value
	t.flag = nil
}

// commandList lists the commands.
func commandList(app *cli.App) (list []candidate) {
	for n := range sections {
		for _, cmd := range commandsOf(app, n) {
			list = append(list, candidate{cmd.Name, cmd.Usage})
		}
	}
	return list
}

func listed(values ...string) proposal {
	p := proposal{kind: onlyListed}
	for _, v := range values {
		p.list = append(p.list, candidate{value: v})
	}
	return p
}

// behind puts what stands before the value in the same word in front of everything.
func (p proposal) behind(text string) proposal {
	p.prefix = text + p.prefix
	p.list = slices.Clone(p.list)
	for i := range p.list {
		p.list[i].value = text + p.list[i].value
	}
	return p
}

// mostListed bounds how many sites or requests are proposed.
const mostListed = 200

// configuration loads the one that the command line names; nil when that cannot be.
func (t *typed) configuration() *config.Config {
	file := t.values["--config"]
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() { // a pipe would never end
		return nil
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil
	}
	return cfg
}

// hosts lists the sites of the configuration that the command line names.
func (t *typed) hosts() (p proposal) {
	p.kind = onlyListed
	cfg := t.configuration()
	if cfg == nil {
		return p
	}
	for _, s := range cfg.Sites {
		for _, h := range s.Hosts {
			if len(p.list) < mostListed && !strings.Contains(h, "*") {
				p.list = append(p.list, candidate{"http://" + h + "/", "a site of " + t.values["--config"]})
			}
		}
	}
	return p
}

// requests lists those that run, by what the gatehouse says that the command line names.
func (t *typed) requests() (p proposal) {
	p.kind = onlyListed
	path := t.values["--control"]
	if cfg := t.configuration(); path == "" && cfg != nil {
		path = cfg.Control
	}
	c := newClient(cmp.Or(path, admin.DefaultSocket()))
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // somebody waits with a finger on the Tab
	defer cancel()
	s, err := c.status(ctx)
	if err != nil {
		return p
	}
	for _, r := range s.Running[:min(len(s.Running), mostListed)] {
		p.list = append(p.list, candidate{r.ID, fmt.Sprintf("%s %s, %.0f s", r.Method, strconv.QuoteToGraphic(r.URI), r.Age)})
	}
	return p
}

// accounts lists the names in /etc/passwd or /etc/group.
func accounts(file string) proposal {
	p := proposal{kind: onlyListed}
	text, err := os.ReadFile(file)
	if err != nil || len(text) > 1<<20 {
		return p
	}
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			p.list = append(p.list, candidate{value: name})
		}
	}
	return p
}
