package site

import (
	"strconv"
	"strings"
	"time"
)

// timePiece is %t, with what stands in its braces.
func timePiece(argument string) piece {
	begin := true
	if rest, ok := strings.CutPrefix(argument, "end:"); ok {
		begin, argument = false, rest
	} else {
		argument = strings.TrimPrefix(argument, "begin:")
	}
	write := func(b []byte, t time.Time) []byte { return appendTime(b, t, argument) }
	switch argument {
	case "":
		write = func(b []byte, t time.Time) []byte { return t.AppendFormat(b, "[02/Jan/2006:15:04:05 -0700]") }
	case "sec":
		write = func(b []byte, t time.Time) []byte { return strconv.AppendInt(b, t.Unix(), 10) }
	case "msec":
		write = func(b []byte, t time.Time) []byte { return strconv.AppendInt(b, t.UnixMilli(), 10) }
	case "usec":
		write = func(b []byte, t time.Time) []byte { return strconv.AppendInt(b, t.UnixMicro(), 10) }
	case "msec_frac":
		write = func(b []byte, t time.Time) []byte { return appendPadded(b, t.Nanosecond()/1_000_000, 3) }
	case "usec_frac":
		write = func(b []byte, t time.Time) []byte { return appendPadded(b, t.Nanosecond()/1000, 6) }
	}
	return func(b []byte, e *logEntry) []byte {
		if begin {
			return write(b, e.begun)
		}
		return write(b, e.ended)
	}
}

// layouts are the conversions of strftime(3), in the POSIX locale, that package time
// knows as well.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'D': "01/02/06", 'e': "_2", 'F': "2006-01-02",
	'h': "Jan", 'H': "15", 'I': "03", 'j': "002", 'm': "01", 'M': "04", 'p': "PM", 'P': "pm", 'r': "03:04:05 PM",
	'R': "15:04", 'S': "05", 'T': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
}

// appendTime writes a time as strftime(3) does in the POSIX locale.
func appendTime(b []byte, t time.Time, pattern string) []byte {
	for n := 0; n < len(pattern); n++ {
		if pattern[n] != '%' || n+1 == len(pattern) {
			b = append(b, pattern[n])
			continue
		}
		n++
		if layout, ok := layouts[pattern[n]]; ok {
			b = t.AppendFormat(b, layout)
		} else {
			b = appendConversion(b, t, pattern[n])
		}
	}
	return b
}

// appendConversion writes those that package time does not know.
func appendConversion(b []byte, t time.Time, c byte) []byte {
	isoYear, isoWeek := t.ISOWeek()
	weekday, day := int(t.Weekday()), t.YearDay()-1
	padded := func(n, width int) []byte { return appendPadded(b, n, width) }
	switch c {
	case 'C':
		return padded(t.Year()/100, 2)
	case 'g':
		return padded(isoYear%100, 2)
	case 'G':
		return padded(isoYear, 4)
	case 'k', 'l':
		hour := t.Hour()
		if c == 'l' {
			hour = (hour+11)%12 + 1
		}
		if hour < 10 {
			b = append(b, ' ')
		}
		return strconv.AppendInt(b, int64(hour), 10)
	case 's':
		return strconv.AppendInt(b, t.Unix(), 10)
	case 'u':
		return padded((weekday+6)%7+1, 1)
	case 'U': // weeks that begin with a Sunday
		return padded((day+7-weekday)/7, 2)
	case 'V':
		return padded(isoWeek, 2)
	case 'w':
		return padded(weekday, 1)
	case 'W': // with a Monday
		return padded((day+7-(weekday+6)%7)/7, 2)
	}
	return append(b, c) // %%
}
