package site

import (
	"time"

	"gatehouse/cgi"
)

// FormatTime is what %{pattern}t writes.
func FormatTime(t time.Time, pattern string) string { return string(appendTime(nil, t, pattern)) }

// LineOf returns what makes the lines of an access log of that format.
func LineOf(format string) func(b []byte, req *cgi.Request, resp *cgi.Response) []byte {
	f := formatOf(format)
	begun := time.Now()
	return func(b []byte, req *cgi.Request, resp *cgi.Response) []byte {
		return f.line(b, &logEntry{begun: begun, ended: begun.Add(time.Millisecond), client: req.Env.Get("REMOTE_ADDR"),
			status: resp.Status, req: req, resp: resp, account: req.Account})
	}
}

// AnswerAll has every program's requests answered by r.
func AnswerAll(h *Host, r cgi.Responder) {
	for _, s := range h.current.sites.all {
		for _, one := range s.routes.all {
			if one.program != nil {
				one.program = r
			}
		}
	}
}
