package main

import (
	"fmt"
	"strings"
)

// roff is a manual page in the making, in the macros of man(7).
type roff struct{ b strings.Builder }

// escapes are for what roff takes for something else: a typewriter's marks would become
// typographic ones, which nobody can paste into a shell.
var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`)

// escaped is a text as it stands within a line.
func escaped(text string) string { return escapes.Replace(text) }

// request writes a macro with its arguments.
func (r *roff) request(macro string, args ...string) {
	r.b.WriteString("." + macro)
	for _, a := range args {
		fmt.Fprintf(&r.b, ` "%s"`, escaped(a))
	}
	r.b.WriteByte('\n')
}

func (r *roff) title(name string, section int, date string) {
	fmt.Fprintf(&r.b, ".TH %s %d %s \"gatehouse %s\" Gatehouse\n", strings.ToUpper(name), section, date, escaped(version))
}

func (r *roff) section(name string) { r.request("SH", strings.ToUpper(name)) }

// text writes paragraphs, which an empty line divides.
func (r *roff) text(text string) {
	for n, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if n > 0 {
			r.b.WriteString(".PP\n")
		}
		r.line(oneLine(paragraph))
	}
}

// line writes one that does not begin as a macro does.
func (r *roff) line(text string) {
	text = escaped(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	r.b.WriteString(text + "\n")
}

// item writes a term and what there is to say about it.
func (r *roff) item(term, text string) {
	r.request("TP")
	r.request("B", term)
	r.text(text)
}

// listing writes lines as they are.
func (r *roff) listing(lines string) {
	r.b.WriteString(".PP\n.RS 4\n.nf\n")
	for line := range strings.SplitSeq(strings.TrimRight(lines, "\n"), "\n") {
		r.line(line)
	}
	r.b.WriteString(".fi\n.RE\n")
}
