package config

import (
	"log/slog"
	"slices"
	"strings"
)

// Logging is what is logged of requests, and under which name. Sites have the server's,
// with their own set over it.
type Logging struct {
	// AccessLog is "stderr", "off" or a file path.
	AccessLog string
	// AccessLogFormat is one of AccessLogFormats, or, with a "%" in it, a format for
	// ParseLogFormat.
	AccessLogFormat string
	// RequestIDHeader is the header field that has the request's ID, "" for none.
	RequestIDHeader string
}

// AccessLogFormats are the formats of access logs that have a name.
var AccessLogFormats = []string{"text", "common", "combined", "vhost_combined", "json"}

// ErrorLogging is how the error log is written, and which requests are slow for it.
type ErrorLogging struct {
	// LogJSON has a JSON object on each line, in place of key=value.
	LogJSON bool
	// LogLevel is the least severe that is written.
	LogLevel slog.Level
	// SlowLog is "log" for the error log, "off" or a file path.
	SlowLog string
}

func defaultLogging() Logging {
	return Logging{AccessLog: "stderr", AccessLogFormat: "text", RequestIDHeader: "X-Request-Id"}
}

func loggingFields() []field[Logging] {
	return []field[Logging]{
		{Key: Key{Name: "access_log", Type: typeString, Default: `"stderr"`,
			Doc: `The access log: "stderr", "off" or a file.`},
			set: logFile(func(l *Logging) *string { return &l.AccessLog }, "stderr", "off")},
		{Key: Key{Name: "access_log_format", Type: typeString, Default: `"text"`,
			Doc: `The form of its lines: "text", "common", "combined", "vhost_combined", "json", or a format as in Apache's LogFormat, such as "%h %t %r %>s".`},
			set: (*decoder).accessLogFormat},
		{Key: Key{Name: "request_id_header", Type: typeString, Default: `"X-Request-Id"`,
			Doc: `The header field of responses that has the request's ID, and of requests from trusted_proxies that name it; "" for none.`},
			set: (*decoder).requestIDHeader},
	}
}

func errorLoggingFields() []field[ErrorLogging] {
	return []field[ErrorLogging]{
		{Key: Key{Name: "log_format", Type: typeString, Default: `"text"`,
			Doc: `The form of the error log's lines: "text" for key=value, or "json".`},
			set: (*decoder).logFormat},
		{Key: Key{Name: "log_level", Type: typeString, Default: `"info"`,
			Doc: `The least severe of what is in the error log: "debug", "info", "warn" or "error".`},
			set: (*decoder).logLevel},
		{Key: Key{Name: "slow_log", Type: typeString, Default: `"log"`,
			Doc: `Where requests are reported that take longer than slow: "log" for the error log, "off" or a file.`},
			set: logFile(func(l *ErrorLogging) *string { return &l.SlowLog }, "log", "off")},
	}
}

func slowField() field[Limits] {
	return field[Limits]{
		Key: Key{Name: "slow", Type: typeDuration, Default: `"0s"`,
			Doc: `After how long a program's request is reported, once and while it runs, with what its process is doing; "0s" for never.`},
		set: duration(func(l *Limits) *Duration { return &l.Slow }),
	}
}

func (d *decoder) accessLogFormat(l *Logging, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case slices.Contains(AccessLogFormats, v.text):
		l.AccessLogFormat = v.text
	case !strings.Contains(v.text, "%"):
		hint := "expected one of " + quoted(AccessLogFormats) + " or a format with % in it"
		if near := nearest(v.text, AccessLogFormats); near != "" {
			hint = "did you mean " + quote(near) + "?"
		}
		d.fail(v.at, v.path, "bad format "+quote(v.text), hint)
	default:
		if _, err := ParseLogFormat(v.text); err != nil {
			d.bad(v, err)
			return
		}
		l.AccessLogFormat = v.text
	}
}

// ownFields are the header fields that a request's ID cannot be in: they mean something
// to HTTP itself, or to CGI (A22).
var ownFields = []string{
	"connection", "content-length", "content-type", "date", "host", "keep-alive", "location", "proxy", "server",
	"status", "te", "trailer", "transfer-encoding", "upgrade", "set-cookie", "cookie", "authorization",
	"proxy-authorization", "x-sendfile", "x-accel-redirect", "forwarded", "x-forwarded-for",
}

func (d *decoder) requestIDHeader(l *Logging, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case v.text != "" && (!token(v.text) || len(v.text) > 64 || strings.Trim(v.text, fieldLetters) != ""):
		d.fail(v.at, v.path, "bad header field "+quote(v.text), `expected a name as in "X-Request-Id", or ""`)
	case slices.Contains(ownFields, strings.ToLower(v.text)):
		d.fail(v.at, v.path, "header field "+quote(v.text)+" has a meaning of its own", `expected a name as in "X-Request-Id", or ""`)
	default:
		l.RequestIDHeader = v.text
	}
}

// fieldLetters are those that are told from one another in a variable's name (A29).
const fieldLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

func (d *decoder) logFormat(l *ErrorLogging, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case v.text == "text" || v.text == "json":
		l.LogJSON = v.text == "json"
	default:
		d.fail(v.at, v.path, "bad format "+quote(v.text), `expected "text" or "json"`)
	}
}

// levels are those of slog that have a name.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

func (d *decoder) logLevel(l *ErrorLogging, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	for _, level := range levels {
		if v.text == strings.ToLower(level.String()) {
			l.LogLevel = level
			return
		}
	}
	d.fail(v.at, v.path, "bad level "+quote(v.text), `expected "debug", "info", "warn" or "error"`)
}

// idleLogging reports a format that nothing is written in.
func (d *decoder) idleLogging(l *Logging, t value) {
	if f := t.get("access_log_format"); f != nil && l.AccessLog == "off" {
		d.fail(f.at, keyPath(t.path, "access_log_format"), "does nothing with access_log = \"off\"", "")
	}
}
