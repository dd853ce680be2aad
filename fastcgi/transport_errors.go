package fastcgi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"gatehouse/cgi"
)

// streamError says what it means that what was to be sent as a stream has ended early.
func streamError(t Type, err error) error {
	if t != TypeData {
		return cgi.BodyError(err) // A60
	}
	why := fmt.Sprintf("its file could not be read: %v", err)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		why = "its file has become shorter while it was sent" // B47
	}
	return &cgi.Error{Kind: cgi.Internal, Reason: why, Err: err}
}

// about are the log fields that every line of an exchange has, and more.
func (x *exchange) about(more ...any) []any {
	attrs := append(more, "application", x.t.name())
	if x.ep != nil && x.ep.address != x.t.name() {
		attrs = append(attrs, "address", x.ep.address)
	}
	if x.pid != 0 {
		attrs = append(attrs, "pid", x.pid)
	}
	return append(attrs, "script", x.script, "request", x.req.ID)
}

// report completes an error with what is known of the application, and finds what
// explains it best.
func (x *exchange) report(e *cgi.Error) *cgi.Error {
	full := *e
	full.Script, full.Pid = x.script, x.pid
	if full.Script == "" {
		full.Script = x.t.name()
	}
	if x.errs != nil {
		full.Stderr = x.errs.Tail()
	}
	if why := x.explain(&full); why != "" {
		full.Reason += "; " + why
	}
	return &full
}

// explain says what the end of the exchange adds to a failure.
func (x *exchange) explain(e *cgi.Error) string {
	switch e.Kind {
	case cgi.NoOutput, cgi.BadOutput, cgi.Truncated:
	default:
		return ""
	}
	var why []string
	if x.in.ending != "" {
		why = append(why, "it was "+strings.TrimPrefix(x.in.ending, "was "))
		if strings.HasPrefix(x.in.ending, "exit") {
			why[0] = x.in.ending
		}
	}
	if x.in.ended && x.in.app != 0 { // B32
		why = append(why, fmt.Sprintf("app status %d", x.in.app))
	}
	if line := lastLine(e.Stderr); line != "" {
		why = append(why, line)
	}
	return strings.Join(why, ": ")
}

// stderr takes what the application says on FCGI_STDERR: to the log, to whoever else
// wants it, and before Catch.
func (x *exchange) stderr(p []byte) {
	if x.errs == nil {
		x.errs = &cgi.LogLines{Line: func(line string) {
			x.t.log().Warn("stderr", x.about("line", line)...)
		}}
		x.account.Progress.Says(x.errs)
	}
	_, _ = x.errs.Write(p)
	if x.req.Stderr != nil && !x.closed {
		_, _ = x.req.Stderr.Write(p)
	}
	if len(x.t.CatchStderr) > 0 && x.caught == "" && !x.header {
		x.catch(p)
	}
}

// catch looks for the words of CatchStderr in a stream that comes in pieces.
func (x *exchange) catch(p []byte) {
	text := append(x.carry, p...)
	longest := 0
	for _, word := range x.t.CatchStderr {
		if word != "" && bytes.Contains(text, []byte(word)) {
			x.caught = word
			return
		}
		longest = max(longest, len(word))
	}
	x.carry = bytes.Clone(text[max(0, len(text)-longest+1):])
}

func lastLine(s string) string {
	s = strings.TrimRight(s, "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// clipped is the beginning of what an application sent, for a log.
func clipped(b []byte) string {
	return cgi.Printable(string(clip(bytes.TrimSpace(b))))
}
