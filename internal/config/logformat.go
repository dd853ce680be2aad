package config

import (
	"fmt"
	"slices"
	"strings"
)

// LogPiece is one piece of an access log's format: text as it is, or one directive.
type LogPiece struct {
	// Text is what is written as it is, where Directive is 0.
	Text string
	// Directive is the letter of a directive, Argument what stands in braces before it.
	Directive byte
	Argument  string
}

// The directives of Apache's LogFormat that are known: those without an argument, with
// one, and with one or none.
const (
	bareDirectives  = "%abBDfhHIklLmOPqrsuUvVX"
	namedDirectives = "eio"
	eitherDirective = "pPtT"
)

// maxLogFormat is the length of the longest format, in bytes.
const maxLogFormat = 4096

// ParseLogFormat reads a format in the language of Apache's LogFormat. The error is for a
// message: it quotes the directive and tells at which byte it is.
func ParseLogFormat(format string) ([]LogPiece, error) {
	if len(format) > maxLogFormat {
		return nil, bad(fmt.Sprintf("expected at most %d bytes", maxLogFormat), "log format %s is too long", quote(format))
	}
	var pieces []LogPiece
	var text []byte
	for n := 0; n < len(format); {
		c := format[n]
		switch {
		case c == '%':
			if text != nil {
				pieces, text = append(pieces, LogPiece{Text: string(text)}), nil
			}
			end, p, err := parseDirective(format, n)
			if err != nil {
				return nil, err
			}
			pieces, n = append(pieces, p), end
			continue
		case c == '\\' && n+1 < len(format) && strings.IndexByte(`"\t`, format[n+1]) >= 0: // as Apache's are written
			if c = format[n+1]; c == 't' {
				c = '\t'
			}
			n++
		case c < ' ' && c != '\t' || c == 0x7f || c == '\\' && strings.HasPrefix(format[n:], `\n`):
			return nil, bad("a request has one line", "bad character %q at byte %d of the log format", c, n+1)
		}
		text = append(text, c)
		n++
	}
	if text != nil {
		pieces = append(pieces, LogPiece{Text: string(text)})
	}
	return pieces, nil
}

// parseDirective reads the directive at format[at] and returns where it ends.
func parseDirective(format string, at int) (end int, p LogPiece, err error) {
	wrong := func(end int, hint, why string) error {
		return bad(hint, "%s %s at byte %d of the log format", why, quote(format[at:min(end, len(format))]), at+1)
	}
	n, braces := at+1, false
	for n < len(format) {
		c := format[n]
		switch {
		case c == '<' || c == '>': // of a request and the one that it was redirected to within: the status is the last one's, the rest the first one's
			n++
			continue
		case c >= '0' && c <= '9' || c == '!' || c == ',':
			return 0, p, wrong(n+1, "write the directive without it", "conditions on the status are not known:")
		case c == '{' && !braces:
			length := strings.IndexByte(format[n:], '}')
			if length < 0 {
				return 0, p, wrong(len(format), "", "no closing brace in")
			}
			p.Argument, braces = format[n+1:n+length], true
			n += length + 1
			continue
		}
		break
	}
	if n == len(format) {
		return 0, p, wrong(n, "a percent sign itself is written %%", "no letter in")
	}
	p.Directive = format[n]
	n++
	switch of := func(set string) bool { return strings.IndexByte(set, p.Directive) >= 0 }; {
	case !of(bareDirectives) && !of(namedDirectives) && !of(eitherDirective):
		return 0, p, wrong(n, "known are "+listDirectives(), "unknown directive")
	case braces && !of(namedDirectives) && !of(eitherDirective):
		return 0, p, wrong(n, "it takes no argument", "bad directive")
	case !braces && of(namedDirectives):
		return 0, p, wrong(n, fmt.Sprintf("it takes an argument, as in %%{Name}%c", p.Directive), "bad directive")
	}
	if hint := checkArgument(p, braces); hint != "" {
		return 0, p, wrong(n, hint, "bad directive")
	}
	return n, p, nil
}

// listDirectives is for a message.
func listDirectives() string {
	var all []string
	for _, c := range bareDirectives + eitherDirective {
		all = append(all, "%"+string(c))
	}
	for _, c := range namedDirectives {
		all = append(all, "%{Name}"+string(c))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// checkArgument returns what is expected in place of a directive's argument, "" when it
// is right.
func checkArgument(p LogPiece, braces bool) string {
	if !braces {
		return ""
	}
	among := func(words ...string) string {
		if slices.Contains(words, p.Argument) {
			return ""
		}
		return "expected one of " + quoted(words)
	}
	switch p.Directive {
	case 'i', 'o':
		if !token(p.Argument) {
			return "expected the name of a header field"
		}
	case 'e':
		if err := checkEnvName(p.Argument); p.Argument == "" || strings.ContainsAny(p.Argument, "= \t\"\x00") || err != nil && !token(p.Argument) {
			return "expected the name of a variable"
		}
	case 'T':
		return among("s", "ms", "us")
	case 'p':
		return among("canonical", "local", "remote")
	case 'P':
		return among("pid")
	case 't':
		return checkTimeFormat(p.Argument)
	}
	return ""
}

// timeWords are the arguments of %t that are no pattern.
var timeWords = []string{"sec", "msec", "usec", "msec_frac", "usec_frac"}

// TimeConversions are the letters of strftime(3) that %{...}t knows.
const TimeConversions = "%aAbBCdDeFgGhHIjklmMnpPrRsStTuUVwWyYzZ"

func checkTimeFormat(text string) string {
	for _, when := range []string{"begin:", "end:"} {
		text = strings.TrimPrefix(text, when)
	}
	if text == "" || slices.Contains(timeWords, text) {
		return ""
	}
	for n := 0; n < len(text); n++ {
		switch {
		case text[n] < ' ' || text[n] == 0x7f:
			return "expected a pattern without control characters"
		case text[n] != '%':
		case n+1 == len(text) || strings.IndexByte(TimeConversions, text[n+1]) < 0 || text[n+1] == 'n' || text[n+1] == 't':
			return "expected a pattern as strftime has it, or one of " + quoted(timeWords)
		default:
			n++
		}
	}
	return ""
}

// token reports whether s is a name of a header field (RFC 9110 section 5.6.2).
func token(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
