package site

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/cgi"
)

// appendJSON is the format "json": one object with all that is known. README has the
// fields; what is not known has none.
func appendJSON(b []byte, e *logEntry) []byte {
	o := object{append(b, '{')}
	o.time("time", e.begun)
	o.text("client", e.client)
	a := e.account
	if e.req != nil {
		env := &e.req.Env
		o.known("user", a.User)
		o.text("method", e.req.Method())
		o.text("uri", env.Get("REQUEST_URI"))
		o.known("protocol", env.Get("SERVER_PROTOCOL"))
		o.known("host", env.Get("HTTP_HOST"))
		o.known("tls", env.Get("SSL_PROTOCOL"))
		o.known("referer", env.Get("HTTP_REFERER"))
		o.known("user_agent", env.Get("HTTP_USER_AGENT"))
		o.text("request", e.req.ID)
	}
	o.number("status", int64(e.status))
	if e.req != nil {
		o.number("bytes_in", a.Received)
		o.number("bytes_out", e.resp.Sent)
		o.seconds("total", e.ended.Sub(e.begun))
	}
	o.account(a)
	return append(o.b, '}')
}

func lostJSON(b []byte, now time.Time, lost int) []byte {
	o := object{append(b, '{')}
	o.time("time", now)
	o.number("lost", int64(lost))
	return append(o.b, '}', '\n')
}

// account adds what answering took.
func (o *object) account(a *cgi.Account) {
	o.known("site", a.Site)
	o.known("route", a.Route)
	o.known("script", a.Script)
	if a.Queued > 0 {
		o.seconds("queue", a.Queued)
	}
	if a.Pid != 0 {
		o.number("pid", int64(a.Pid))
		o.seconds("start", a.Spawn)
		how, why, _ := strings.Cut(a.How, ": ")
		o.known("how", how)
		o.known("how_why", why)
	}
	if a.FirstByte > 0 {
		o.seconds("first_byte", a.FirstByte)
	}
	if a.Retries > 0 {
		o.number("retries", int64(a.Retries))
	}
	if a.HaveExit {
		if a.Exit.Signal != 0 {
			o.number("signal", int64(a.Exit.Signal))
		} else {
			o.number("exit", int64(a.Exit.Code))
		}
		o.seconds("cpu_user", a.Exit.User)
		o.seconds("cpu_system", a.Exit.System)
		if a.Exit.MaxRSS > 0 {
			o.number("max_rss", a.Exit.MaxRSS)
		}
	}
	if a.Slow {
		o.yes("slow")
	}
	if a.Aborted {
		o.yes("aborted")
	}
	if a.Failure != nil {
		o.text("failure", a.Failure.Kind.String())
		o.known("reason", a.Failure.Reason)
	}
}

// object is a JSON object that is being written.
type object struct{ b []byte }

func (o *object) key(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) {
	o.key(name)
	o.b = appendQuoted(o.b, value)
}

// known leaves out what is empty.
func (o *object) known(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *object) number(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) yes(name string) {
	o.key(name)
	o.b = append(o.b, "true"...)
}

// seconds has six decimals: microseconds.
func (o *object) seconds(name string, d time.Duration) {
	o.key(name)
	o.b = appendFraction(strconv.AppendInt(o.b, int64(d/time.Second), 10), d)
}

// appendFraction appends the parts of a second.
func appendFraction(b []byte, d time.Duration) []byte {
	b = append(b, '.')
	return appendPadded(b, int((d%time.Second)/time.Microsecond), 6)
}

// appendPadded appends n with zeros in front, in width digits.
func appendPadded(b []byte, n, width int) []byte {
	for at, unit := 0, pow10[width-1]; at < width; at, unit = at+1, unit/10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

var pow10 = [...]int{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}

func (o *object) time(name string, t time.Time) {
	o.key(name)
	o.b = t.UTC().AppendFormat(append(o.b, '"'), "2006-01-02T15:04:05.000000Z")
	o.b = append(o.b, '"')
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends a JSON string. What a terminal would obey, or show otherwise than
// it is, is written as \uXXXX, and a byte that is no UTF-8 as the four characters \xNN
// (E64).
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for n := 0; n < len(s); {
		c := s[n]
		if c >= ' ' && c < 0x7f {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
			n++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\\x`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		case r < 0xa0 || unsafeRune(r):
			b = append(b, `\u`...)
			b = append(b, hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			b = append(b, s[n:n+size]...)
		}
		n += size
	}
	return append(b, '"')
}

// unsafeRune is what ends lines or turns the direction of the text around it.
func unsafeRune(r rune) bool {
	switch {
	case r == 0x2028, r == 0x2029, r == 0x61c, r == 0x200e, r == 0x200f:
		return true
	}
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
