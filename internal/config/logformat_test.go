package config_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/config"
)

func TestParseLogFormat(t *testing.T) {
	text := func(s string) config.LogPiece { return config.LogPiece{Text: s} }
	for _, tt := range []struct {
		name, format string
		want         []config.LogPiece
	}{
		{"common", `%h %>s "%r"`, []config.LogPiece{{Directive: 'h'}, text(" "), {Directive: 's'}, text(` "`), {Directive: 'r'}, text(`"`)}},
		{"as in a file of Apache's", `\"%r\"\t\\`, []config.LogPiece{text(`"`), {Directive: 'r'}, text("\"\t\\")}},
		{"a backslash that means nothing", `\h%h`, []config.LogPiece{text(`\h`), {Directive: 'h'}}},
		{"arguments", "%{User-Agent}i%{ms}T%{%d/%b/%Y}t%{end:msec_frac}t", []config.LogPiece{
			{Directive: 'i', Argument: "User-Agent"}, {Directive: 'T', Argument: "ms"}, {Directive: 't', Argument: "%d/%b/%Y"}, {Directive: 't', Argument: "end:msec_frac"}}},
		{"which request", "%<s%>{X}i%{X}>o", []config.LogPiece{{Directive: 's'}, {Directive: 'i', Argument: "X"}, {Directive: 'o', Argument: "X"}}},
		{"percent", "100%%", []config.LogPiece{text("100"), {Directive: '%'}}},
		{"optional arguments", "%t%T%p%P%{}t%{begin:sec}t", []config.LogPiece{{Directive: 't'}, {Directive: 'T'}, {Directive: 'p'}, {Directive: 'P'},
			{Directive: 't'}, {Directive: 't', Argument: "begin:sec"}}},
	} {
		got, err := config.ParseLogFormat(tt.format)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q is %+v, %v; want %+v", tt.name, tt.format, got, err, tt.want)
		}
	}
}

func TestParseLogFormatErrors(t *testing.T) {
	for _, tt := range []struct{ name, format, want string }{
		{"unknown", "%h %Q %s", `unknown directive "%Q" at byte 4 of the log format (known are %% %B %D`},
		{"no letter", "%h %", `no letter in "%" at byte 4`},
		{"no letter after braces", "%{X}", `no letter in "%{X}"`},
		{"open brace", "%h %{Referer", `no closing brace in "%{Referer" at byte 4`},
		{"condition", "%400,501{User-agent}i", "conditions on the status are not known"},
		{"other condition", "%!200h", "conditions on the status are not known"},
		{"argument missing", "%i", "takes an argument, as in %{Name}i"},
		{"argument too many", "%{x}h", "takes no argument"},
		{"no name of a field", "%{User Agent}i", `bad directive "%{User Agent}i" at byte 1 of the log format (expected the name of a header field)`},
		{"no name of a variable", "%{A=B}e", "expected the name of a variable"},
		{"unit", "%{h}T", `expected one of "s", "ms", "us"`},
		{"port", "%{far}p", `expected one of "canonical", "local", "remote"`},
		{"process", "%{tid}P", `expected one of "pid"`},
		{"time", "%{%Q}t", "expected a pattern as strftime has it"},
		{"end of a time", "%{%d%}t", "expected a pattern as strftime has it"},
		{"lines of a time", "%{%n}t", "expected a pattern as strftime has it"},
		{"line end", "%h\n", `bad character '\n' at byte 3 of the log format (a request has one line)`},
		{"line end as Apache has it", `%h\n`, "a request has one line"},
		{"control character", "%h\x1b[2J", "bad character"},
		{"long", strings.Repeat("%h", 3000), "is too long (expected at most 4096 bytes)"},
	} {
		got, err := config.ParseLogFormat(tt.format)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.40q is %+v, %v; want %q", tt.name, tt.format, got, err, tt.want)
		}
	}
}

// What is accepted has no empty pieces, and directives that are known.
func FuzzParseLogFormat(f *testing.F) {
	for _, s := range []string{`%h %l %u %t \"%r\" %>s %b`, "%{%Y-%m-%dT%H:%M:%S}t.%{msec_frac}t", "%{X}i%%%{ms}T", "%", "%{", "%<", "%>{a}>i"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, format string) {
		pieces, err := config.ParseLogFormat(format)
		if err != nil && pieces != nil {
			t.Errorf("%q is %v and an error", format, pieces)
		}
		for n, p := range pieces {
			last := n > 0 && pieces[n-1].Directive == 0
			if p.Directive == 0 && (p.Text == "" || last || strings.ContainsAny(p.Text, "\n\r\x00")) || p.Directive != 0 && p.Text != "" {
				t.Errorf("%q: piece %d is %+v", format, n, p)
			}
		}
	})
}
