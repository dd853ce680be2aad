package site

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/process"
)

// accessLog writes a line of key=value fields for each request that was answered,
// when that is over, and for each that the listener refused. Values that could be mistaken are quoted.
type accessLog struct {
	lines *lineBuffer // nil: nothing is written
}

// newAccessLog makes a log that writes to w, or nothing if that is nil.
func newAccessLog(w io.Writer) *accessLog {
	if w == nil {
		return &accessLog{}
	}
	return &accessLog{lines: newLineBuffer(w)}
}

// close writes what is left.
func (l *accessLog) close() {
	if l != nil && l.lines != nil {
		l.lines.close()
	}
}

func (l *accessLog) wrap(next cgi.Responder) cgi.Responder {
	if l.lines == nil {
		return next
	}
	return cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		begun := time.Now()
		resp, err := next.Respond(ctx, req)
		if err != nil {
			return nil, err
		}
		resp.OnClose(func() { l.write(begun, req, resp) })
		return resp, nil
	})
}

// refused tells of what the listener has answered: it never became a request.
func (l *accessLog) refused(client net.Addr, e *cgi.StrictError) {
	if l.lines == nil {
		return
	}
	ip := client.String()
	if host, _, err := net.SplitHostPort(ip); err == nil {
		ip = host
	}
	now := time.Now()
	b := append(l.lines.begin(), "time="...)
	b = now.UTC().AppendFormat(b, timeFormat)
	b = field(b, "client", ip)
	b = number(b, "status", int64(e.Status))
	b = field(b, "failure", cgi.BadRequest.String())
	b = field(b, "reason", e.Reason)
	l.lines.end(append(b, '\n'), now)
}

const timeFormat = "2006-01-02T15:04:05.000Z"

func (l *accessLog) write(begun time.Time, req *cgi.Request, resp *cgi.Response) {
	now := time.Now()
	b := append(l.lines.begin(), "time="...)
	b = now.UTC().AppendFormat(b, timeFormat)
	b = field(b, "client", req.Env.Get("REMOTE_ADDR"))
	b = field(b, "method", req.Method())
	b = field(b, "uri", req.Env.Get("REQUEST_URI"))
	b = number(b, "status", int64(resp.Status))
	b = number(b, "bytes", resp.Sent)
	b = duration(b, "total", now.Sub(begun))
	if a := req.Account; a != nil {
		b = appendAccount(b, a)
	}
	b = field(b, "request", req.ID)
	l.lines.end(append(b, '\n'), now)
}

func appendAccount(b []byte, a *cgi.Account) []byte {
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
	if a.HaveExit {
		b = field(b, "exit", a.Exit.String())
		b = duration(b, "cpu", a.Exit.User+a.Exit.System)
		if a.Exit.MaxRSS > 0 {
			b = number(b, "rss", a.Exit.MaxRSS)
		}
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
