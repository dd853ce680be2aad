package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Age writes a long time in its two largest units: "4 s", "12 min", "3 h 5 min", "2 d 7 h".
func Age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return "<1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 10*time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Seconds writes a short time: "0.4 ms", "12 ms", "1.2 s", "2 min"; "–" for none.
func Seconds(s float64) string {
	switch ms := s * 1000; {
	case s <= 0:
		return "–"
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 999.5:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case s < 9.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case s < 119.5:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	}
	return strconv.FormatFloat(s/60, 'f', 0, 64) + " min"
}

// Size writes a number of bytes: "512 B", "3.4 MiB"; "–" for none.
func Size(n any) string {
	v := number(n)
	if v <= 0 {
		return "–"
	}
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1000 {
			return short(v, unit == "B") + " " + unit
		}
		v /= 1024
	}
	return short(v, false) + " TiB"
}

func short(v float64, whole bool) string {
	if whole || v >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// Count writes a number that may be large: "0", "99 999", "123 k", "4.5 M".
func Count(n any) string {
	v := number(n)
	switch {
	case v < 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v < 100_000: // a narrow space that does not break
		return fmt.Sprintf("%d\u202f%03d", int(v)/1000, int(v)%1000)
	case v < 999_500:
		return short(v/1e3, false) + " k"
	case v < 999_500_000:
		return short(v/1e6, false) + " M"
	}
	return short(v/1e9, false) + " G"
}

// Rate writes a number of requests a second.
func Rate(v float64) string {
	switch {
	case v <= 0:
		return "0"
	case v < 0.095:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return Count(v)
}

// Share writes part of whole in percent.
func Share(part, whole uint64) string {
	switch p := 100 * float64(part) / float64(max(whole, 1)); {
	case part == 0:
		return "0 %"
	case p < 0.095:
		return "<0.1 %"
	case p < 9.95:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

func clock(t time.Time) string { return t.Format("15:04:05") }

func number(n any) float64 {
	switch n := n.(type) {
	case int:
		return float64(n)
	case int64:
		return float64(n)
	case uint64:
		return float64(n)
	case float64:
		return n
	}
	return 0
}

// Plain is a text of a program's or a client's, with what a terminal would obey, or what
// turns the direction of the text that follows, spelled out. Lines stay lines.
func Plain(text string) string {
	if !strings.ContainsFunc(text, commands) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for n, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[n:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, text[n])
		case commands(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case commands(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func commands(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || // control characters
		r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 // and of direction and lines
}
