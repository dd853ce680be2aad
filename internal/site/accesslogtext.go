package site

import (
	"strconv"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/process"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

// appendText is the format "text": fields as key=value. Values that could be mistaken are
// quoted.
func appendText(b []byte, e *logEntry) []byte {
	b = e.ended.UTC().AppendFormat(append(b, "time="...), timeFormat)
	b = field(b, "client", e.client)
	if e.req != nil {
		b = field(b, "method", e.req.Method())
		b = field(b, "uri", e.req.Env.Get("REQUEST_URI"))
	}
	b = number(b, "status", int64(e.status))
	if e.req == nil {
		b = field(b, "failure", e.account.Failure.Kind.String())
		return field(b, "reason", e.account.Failure.Reason)
	}
	b = number(b, "bytes", e.resp.Sent)
	b = duration(b, "total", e.ended.Sub(e.begun))
	b = appendAccount(b, e.account)
	return field(b, "request", e.req.ID)
}

func lostText(b []byte, now time.Time, lost int) []byte {
	b = now.UTC().AppendFormat(append(b, "time="...), timeFormat)
	return append(number(b, "lost", int64(lost)), '\n')
}

func appendAccount(b []byte, a *cgi.Account) []byte {
	b = optional(b, "user", a.User)
	b = optional(b, "site", a.Site)
	b = optional(b, "route", a.Route)
	b = optional(b, "script", a.Script)
	if a.Queued > 0 {
		b = duration(b, "queue", a.Queued)
	}
	if a.Pid != 0 {
		b = number(b, "pid", int64(a.Pid))
		b = duration(b, "start", a.Spawn)
		if !strings.HasPrefix(a.How, "warm: ") {
			b = optional(b, "how", a.How)
		} else { // by which interpreter, the script says
			b = field(b, "how", "warm")
		}
		if a.FirstByte > 0 {
			b = duration(b, "first", a.FirstByte)
		}
	}
	if a.Retries > 0 {
		b = number(b, "retries", int64(a.Retries))
	}
	if a.HaveExit {
		b = field(b, "exit", a.Exit.String())
		b = duration(b, "cpu", a.Exit.User+a.Exit.System)
		if a.Exit.MaxRSS > 0 {
			b = number(b, "rss", a.Exit.MaxRSS)
		}
	}
	if a.Slow {
		b = field(b, "slow", "true")
	}
	if a.Failure != nil {
		b = field(b, "failure", a.Failure.Kind.String())
		b = field(b, "reason", a.Failure.Reason)
	}
	return b
}

func optional(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return field(b, key, value)
}

// field appends a field; a value with anything in it that could end it or forge
// another is quoted (E64).
func field(b []byte, key, value string) []byte {
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	for n := range len(value) {
		if c := value[n]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return strconv.AppendQuoteToASCII(b, process.Printable(value))
		}
	}
	return append(b, value...)
}

func number(b []byte, key string, n int64) []byte {
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	return strconv.AppendInt(b, n, 10)
}

// duration appends milliseconds with three decimals.
func duration(b []byte, key string, d time.Duration) []byte {
	b = append(b, ' ')
	b = append(b, key...)
	b = append(b, '=')
	b = strconv.AppendFloat(b, float64(d.Microseconds())/1000, 'f', 3, 64)
	return append(b, "ms"...)
}
