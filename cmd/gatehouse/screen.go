package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/internal/admin"
	"gatehouse/internal/site"
)

// screen writes a status for people.
type screen struct {
	width int // of a line; 0 for any
	color bool
	out   []string
}

// Colours, as SGR sequences say them.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (s *screen) paint(code, text string) string {
	if !s.color || text == "" || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// cut makes a text fit.
func cut(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(width-1, 0)]) + "…"
}

// clean is what programs and clients have written, on one line and without anything that a
// terminal would obey.
func clean(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(admin.Plain(text))
}

func (s *screen) lines(v *admin.Status) []string {
	s.head(v)
	s.running(v)
	s.failures(v)
	s.sites(v)
	s.pools(v)
	s.helpers(v)
	return s.out
}

// say adds a line of one colour.
func (s *screen) say(code, format string, args ...any) {
	s.out = append(s.out, s.paint(code, cut(fmt.Sprintf(format, args...), s.width)))
}

func (s *screen) head(v *admin.Status) {
	state, code := "ready", green
	if !v.Ready {
		state, code = "not ready", red
	}
	line := s.paint(code, cut(state, s.width))
	if who := fmt.Sprintf("  %s, process %d, up %s", clean(v.Software), v.Pid, admin.Age(v.Uptime)); s.width == 0 || s.width > len(state) {
		line += s.paint(faint, cut(who, max(s.width-len(state), 0)))
	}
	s.out = append(s.out, line)
	for _, why := range v.NotReady {
		s.say(red, "  %s", clean(why))
	}
	for _, l := range v.Listeners {
		s.say(faint, "  %s", clean(l))
	}
	h := v.Hour
	s.out = append(s.out, "")
	s.table([]column{{}, {right: true}, {}, {right: true}, {}, {right: true}}, [][]cell{
		{{"requests", faint}, {admin.Rate(h.Rate) + "/s", bold}, {"median", faint}, {admin.Seconds(h.P50), bold}, {"running", faint}, {admin.Count(v.RunningAll), bold}},
		{{"last hour", faint}, {admin.Count(h.Requests), ""}, {"95 %", faint}, {admin.Seconds(h.P95), ""}, {"waiting", faint}, {admin.Count(v.Waiting), alarm(v.Waiting > 0, yellow)}},
		{{"errors", faint}, {admin.Share(h.Errors, h.Requests), alarm(h.Errors > 0, red)}, {"connections", faint}, {admin.Count(v.Conns), ""}, {"processes", faint}, {admin.Count(v.Processes), ""}},
	})
}

func alarm(on bool, code string) string {
	if on {
		return code
	}
	return ""
}

// title begins a part.
func (s *screen) title(text string, n int) {
	s.out = append(s.out, "")
	s.say(bold, "%s (%d)", text, n)
}

func (s *screen) running(v *admin.Status) {
	if v.RunningAll == 0 {
		return
	}
	s.title("Running requests", v.RunningAll)
	rows := [][]cell{heads("SINCE", "STATE", "PID", "SENT", "ID", "REQUEST", "SITE", "SCRIPT")}
	for _, r := range v.Running {
		phase, code := r.Phase, ""
		if r.Ending {
			phase = "ending"
		}
		if phase == "queued" || phase == "ending" {
			code = yellow
		}
		rows = append(rows, []cell{
			{admin.Age(r.Age), ""}, {phase, code}, {pidText(r.Pid), ""}, {admin.Size(r.Sent), ""}, {clean(r.ID), faint},
			{clean(r.Method + " " + r.URI), ""}, {clean(strings.TrimSpace(r.Site + " " + r.Route)), ""}, {clean(r.Script), faint},
		})
	}
	s.table([]column{{right: true}, {}, {right: true}, {right: true}, {}, {gives: true, most: 60}, {}, {}}, rows)
}

// heads are the names of columns.
func heads(names ...string) (row []cell) {
	for _, name := range names {
		row = append(row, cell{name, faint})
	}
	return row
}

func pidText(pid int) string {
	if pid == 0 {
		return "–"
	}
	return fmt.Sprint(pid)
}

// shownFailures is how many lines they get: status.json has all that are kept.
const shownFailures = 10

func (s *screen) failures(v *admin.Status) {
	if len(v.Failures) == 0 {
		return
	}
	s.title("Recent failures", len(v.Failures))
	rows := [][]cell{heads("AT", "WHAT", "STATUS", "REQUEST", "WHY")}
	for _, f := range v.Failures[:min(len(v.Failures), shownFailures)] {
		rows = append(rows, []cell{
			{f.When.Format("15:04:05"), ""}, {clean(f.Kind), red}, {fmt.Sprint(f.Status), ""},
			{clean(f.Method + " " + f.URI), ""}, {clean(f.Reason), ""},
		})
	}
	s.table([]column{{}, {}, {right: true}, {gives: true, most: 40}, {}}, rows)
}

func (s *screen) sites(v *admin.Status) {
	s.title("Sites", v.SitesAll)
	rows := [][]cell{heads("SITE", "ROUTE", "REQ/S", "HOUR", "ERRORS", "MEDIAN", "95 %", "RUNNING", "WAIT")}
	for _, one := range v.Sites {
		if len(one.Routes) == 0 && one.Requests > 0 {
			rows = append(rows, routeRow(clean(one.Name), &site.Route{Hour: one.Hour, Running: one.Running}))
		}
		for _, r := range one.Routes {
			rows = append(rows, routeRow(clean(one.Name), &r))
		}
	}
	right := column{right: true}
	s.table([]column{{gives: true}, {}, right, right, right, right, right, right, right}, rows)
	if hidden := v.SitesAll - len(v.Sites); hidden > 0 {
		s.say(faint, "  … and %d more", hidden)
	}
}

func routeRow(name string, r *site.Route) []cell {
	run, wait, full := fmt.Sprint(r.Running), "–", false
	if l := r.Limit; l != nil {
		run, wait, full = fmt.Sprintf("%d of %d", l.Running, l.Most), fmt.Sprint(l.Waiting), l.Running == l.Most
	}
	return []cell{
		{name, ""}, {clean(r.Path), ""}, {admin.Rate(r.Hour.Rate), ""}, {admin.Count(r.Hour.Requests), ""},
		{admin.Count(r.Hour.Errors), alarm(r.Hour.Errors > 0, red)}, {admin.Seconds(r.Hour.P50), ""}, {admin.Seconds(r.Hour.P95), ""},
		{run, alarm(full, yellow)}, {wait, alarm(wait != "–" && wait != "0", yellow)},
	}
}

func (s *screen) pools(v *admin.Status) {
	if v.PoolsAll == 0 {
		return
	}
	s.title("Applications", v.PoolsAll)
	for _, p := range v.Pools {
		name := strings.TrimSpace(p.Site + " " + p.Route + " " + p.Role)
		if p.Former {
			name += " (of the former configuration)"
		}
		s.say("", "  %s: %s", clean(name), clean(p.What))
		switch {
		case p.Pause > 0:
			s.say(red, "  its workers do not stay alive, next start in %s; the last one %s", admin.Age(p.Pause), clean(p.Why))
		case p.Why != "":
			s.say(yellow, "  the last worker %s", clean(p.Why))
		}
		if p.Waiting > 0 {
			s.say(yellow, "  %s requests wait", admin.Count(p.Waiting))
		}
		s.poolRows(&p)
	}
}

func (s *screen) poolRows(p *site.Pool) {
	right := column{right: true}
	var rows [][]cell
	if len(p.Workers) > 0 {
		rows = append(rows, heads("PID", "STATE", "AGE", "REQUESTS", "MEMORY"))
	}
	for _, w := range p.Workers {
		rows = append(rows, []cell{{pidText(w.Pid), ""}, {w.State, stateColor(w.State)}, {admin.Age(w.Age), ""}, {admin.Count(w.Requests), ""}, {admin.Size(w.Memory), ""}})
	}
	if len(rows) > 0 {
		s.table([]column{right, {}, right, right, right}, rows)
	}
	if p.Most > 0 || len(p.Endpoint) == 0 {
		return
	}
	rows = [][]cell{heads("ADDRESS", "STATE", "IN USE", "KEPT", "SERVED")}
	for _, e := range p.Endpoint {
		state, code := "ready", green
		if e.Sick != "" {
			state, code = "sick: "+clean(e.Sick), red
		} else if e.Ejected > 0 {
			state, code = "left alone for "+admin.Age(e.Ejected), yellow
		}
		rows = append(rows, []cell{{clean(e.Address), ""}, {state, code}, {fmt.Sprint(e.Busy), ""}, {fmt.Sprint(e.Idle), ""}, {admin.Count(e.Served), ""}})
	}
	s.table([]column{{}, {most: 40}, right, right, right}, rows)
}

func stateColor(state string) string {
	switch state {
	case "ready", "busy":
		return green
	}
	return yellow
}

func (s *screen) helpers(v *admin.Status) {
	if len(v.Helpers) == 0 {
		return
	}
	s.title("Warm interpreters", len(v.Helpers))
	rows := [][]cell{heads("PID", "STATE", "SPARES", "REQUESTS", "GENERATION", "MEMORY", "INTERPRETER")}
	for _, h := range v.Helpers {
		state, code := "starting", yellow
		if h.Ready {
			state, code = "ready", green
		}
		if h.Failure != "" {
			state, code = "fails", red
		}
		rows = append(rows, []cell{{pidText(h.Pid), ""}, {state, code}, {fmt.Sprint(h.Spares), ""}, {admin.Count(h.Requests), ""},
			{fmt.Sprint(h.Generation), ""}, {admin.Size(h.Memory), ""}, {clean(strings.TrimSpace(h.How + " " + h.Failure)), ""}})
	}
	right := column{right: true}
	s.table([]column{right, {}, right, right, right, right, {}}, rows)
}

// cell is a text in a table, and its colour.
type cell struct{ text, code string }

// column says how one is written.
type column struct {
	right bool // aligned
	gives bool // may be narrower where there is no room
	most  int  // of its width; 0 for any
}

// leastText is how much of a column there is to be, or none of it.
const leastText = 6

// table adds rows with two spaces before each column. A column that gives is made
// narrower, and the last ones are cut, as far as the width demands.
func (s *screen) table(columns []column, rows [][]cell) {
	widths := make([]int, len(columns))
	total := 0
	for n, c := range columns {
		for _, row := range rows {
			widths[n] = max(widths[n], utf8.RuneCountInString(row[n].text))
		}
		if c.most > 0 {
			widths[n] = min(widths[n], c.most)
		}
		total += 2 + widths[n]
	}
	if give := slices.IndexFunc(columns, func(c column) bool { return c.gives }); s.width > 0 && give >= 0 && total > s.width {
		widths[give] = max(widths[give]-(total-s.width), min(widths[give], 24))
	}
	for _, row := range rows {
		s.out = append(s.out, s.row(columns, widths, row))
	}
}

func (s *screen) row(columns []column, widths []int, row []cell) string {
	var b strings.Builder
	start, at := 0, 0 // of the column; where the line has come to
	for n, c := range row {
		start += 2
		text, from := cut(c.text, widths[n]), start
		if columns[n].right {
			from += widths[n] - utf8.RuneCountInString(text)
		}
		if s.width > 0 {
			if room := s.width - start; room < min(widths[n], leastText) || columns[n].right && room < widths[n] {
				break // half a number says something else
			}
			text = cut(text, s.width-from)
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", from-at) + s.paint(c.code, text))
			at = from + utf8.RuneCountInString(text)
		}
		start += widths[n]
	}
	return b.String()
}
