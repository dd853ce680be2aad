package site

import (
	"os"
	"strconv"
	"strings"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// piece writes its part of a line.
type piece func(b []byte, e *logEntry) []byte

// compile makes a line of the pieces of a LogFormat.
func compile(pieces []config.LogPiece) func(b []byte, e *logEntry) []byte {
	list := make([]piece, len(pieces))
	for n, p := range pieces {
		list[n] = compileOne(p)
	}
	return func(b []byte, e *logEntry) []byte {
		for _, p := range list {
			b = p(b, e)
		}
		return b
	}
}

// compileOne makes one piece. What a listener has refused has no request: of that only
// the client, the times and the status are known.
func compileOne(p config.LogPiece) piece {
	if p.Directive == 0 {
		return func(b []byte, _ *logEntry) []byte { return append(b, p.Text...) }
	}
	if f := ofConnection(p); f != nil {
		return f
	}
	f := ofRequest(p)
	return func(b []byte, e *logEntry) []byte {
		if e.req == nil {
			return append(b, '-')
		}
		return f(b, e)
	}
}

// ofConnection are the directives that need no request.
func ofConnection(p config.LogPiece) piece {
	switch p.Directive {
	case '%':
		return func(b []byte, _ *logEntry) []byte { return append(b, '%') }
	case 'a', 'h':
		return func(b []byte, e *logEntry) []byte { return appendItem(b, e.client) }
	case 's':
		return func(b []byte, e *logEntry) []byte {
			if e.status == 0 { // a script that writes the whole response, or nothing, itself
				return append(b, '-')
			}
			return strconv.AppendInt(b, int64(e.status), 10)
		}
	case 't':
		return timePiece(p.Argument)
	case 'D':
		return tookPiece(time.Microsecond)
	case 'T':
		switch p.Argument {
		case "ms":
			return tookPiece(time.Millisecond)
		case "us":
			return tookPiece(time.Microsecond)
		}
		return tookPiece(time.Second)
	}
	return nil
}

func tookPiece(unit time.Duration) piece {
	return func(b []byte, e *logEntry) []byte {
		return strconv.AppendInt(b, int64(max(0, e.ended.Sub(e.begun))/unit), 10)
	}
}

// ofRequest are the others.
func ofRequest(p config.LogPiece) piece {
	switch p.Directive {
	case 'l':
		return func(b []byte, _ *logEntry) []byte { return append(b, '-') }
	case 'i':
		return variable(fieldVariable(p.Argument))
	case 'e':
		return environment(p.Argument)
	case 'o':
		return responseField(p.Argument)
	case 'p':
		if p.Argument == "remote" {
			return variable("REMOTE_PORT")
		}
		return variable("SERVER_PORT")
	case 'm':
		return variable("REQUEST_METHOD")
	case 'H':
		return variable("SERVER_PROTOCOL")
	case 'V':
		return variable("SERVER_NAME")
	case 'b', 'B', 'I', 'O', 'k', 'P':
		return numberPiece(p.Directive)
	}
	return textPiece(p.Directive)
}

// variable writes one of the request's meta-variables.
func variable(name string) piece {
	return func(b []byte, e *logEntry) []byte {
		value, ok := e.req.Env.Lookup(name)
		if !ok {
			return append(b, '-')
		}
		return appendEscaped(b, value)
	}
}

// fieldVariable is the variable that has a header field of the request (A22).
func fieldVariable(name string) string {
	switch name = strings.ReplaceAll(strings.ToUpper(name), "-", "_"); name {
	case "":
		return ""
	case "CONTENT_TYPE", "CONTENT_LENGTH":
		return name
	}
	return "HTTP_" + name
}

// environment writes a variable as a program has it, as far as that is known here.
func environment(name string) piece {
	switch name {
	case "UNIQUE_ID":
		return textPiece('L')
	case "REMOTE_USER":
		return textPiece('u')
	case "SCRIPT_FILENAME":
		return textPiece('f')
	}
	return variable(name)
}

func responseField(name string) piece {
	return func(b []byte, e *logEntry) []byte {
		if strings.EqualFold(name, "Content-Length") && e.resp.ContentLength >= 0 {
			return strconv.AppendInt(b, e.resp.ContentLength, 10)
		}
		found := false
		for _, f := range e.resp.Header {
			if strings.EqualFold(f.Name, name) {
				if found {
					b = append(b, ", "...)
				}
				b, found = appendEscaped(b, f.Value), true
			}
		}
		if !found {
			return append(b, '-')
		}
		return b
	}
}

func numberPiece(c byte) piece {
	of := map[byte]func(e *logEntry) int64{
		'b': func(e *logEntry) int64 { return e.resp.Sent },
		'B': func(e *logEntry) int64 { return e.resp.Sent },
		'I': func(e *logEntry) int64 { return requestSize(e.req) + e.account.Received },
		'O': func(e *logEntry) int64 { return responseSize(e.resp) + e.resp.Sent },
		'k': func(e *logEntry) int64 { return int64(e.account.Earlier) },
		'P': func(e *logEntry) int64 {
			if e.account.Pid == 0 {
				return int64(os.Getpid())
			}
			return int64(e.account.Pid)
		},
	}[c]
	return func(b []byte, e *logEntry) []byte {
		n := of(e)
		if n == 0 && c == 'b' {
			return append(b, '-')
		}
		return strconv.AppendInt(b, n, 10)
	}
}

func textPiece(c byte) piece {
	switch c {
	case 'u':
		return func(b []byte, e *logEntry) []byte { return appendItem(b, e.account.User) }
	case 'f':
		return func(b []byte, e *logEntry) []byte { return appendItem(b, e.account.Script) }
	case 'L':
		return func(b []byte, e *logEntry) []byte { return appendItem(b, e.req.ID) }
	case 'v':
		return func(b []byte, e *logEntry) []byte {
			if name := e.account.Site; name != "" && name != defaultSite && name[0] != '*' {
				return appendEscaped(b, name)
			}
			return appendItem(b, e.req.Env.Get("SERVER_NAME"))
		}
	case 'r':
		return requestLine
	case 'U':
		return func(b []byte, e *logEntry) []byte {
			if e.req.Path != "" {
				return appendEscaped(b, e.req.Path)
			}
			path, _, _ := strings.Cut(e.req.Env.Get("REQUEST_URI"), "?")
			return appendItem(b, path)
		}
	case 'q':
		return func(b []byte, e *logEntry) []byte {
			if _, query, ok := strings.Cut(e.req.Env.Get("REQUEST_URI"), "?"); ok {
				return appendEscaped(append(b, '?'), query)
			}
			return b
		}
	case 'X':
		return func(b []byte, e *logEntry) []byte {
			switch {
			case e.account.Aborted:
				return append(b, 'X')
			case e.account.Kept:
				return append(b, '+')
			}
			return append(b, '-')
		}
	}
	panic("site: the log format's directive %" + string(c) + " was not refused")
}

func requestLine(b []byte, e *logEntry) []byte {
	method := e.req.Method()
	if method == "" {
		return append(b, '-')
	}
	b = appendEscaped(b, method)
	b = appendEscaped(append(b, ' '), e.req.Env.Get("REQUEST_URI"))
	return appendEscaped(append(b, ' '), e.req.Env.Get("SERVER_PROTOCOL"))
}

// requestSize is how long the head of a request is, as HTTP/1.1 writes it.
func requestSize(req *cgi.Request) int64 {
	size := len("  \r\n\r\n")
	for _, pair := range req.Env.Strings() {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case name == "REQUEST_METHOD", name == "REQUEST_URI", name == "SERVER_PROTOCOL":
			size += len(value)
		case name == "CONTENT_TYPE", name == "CONTENT_LENGTH":
			size += len(pair) + len(": \r\n") - len("=")
		case strings.HasPrefix(name, "HTTP_"):
			size += len(pair) + len(": \r\n") - len("HTTP_=")
		}
	}
	return int64(size)
}

// responseSize is how long the head of a response is, as HTTP/1.1 writes it, without the
// fields that are about the connection.
func responseSize(resp *cgi.Response) int64 {
	if resp.Raw { // it is in the body
		return 0
	}
	size := 0
	if resp.ContentLength >= 0 {
		size = len("Content-Length: \r\n") + len(strconv.FormatInt(resp.ContentLength, 10))
	}
	size += len("HTTP/1.1 200 OK\r\n\r\n")
	for _, f := range resp.Header {
		size += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	return int64(size)
}

// appendItem writes "-" for what is not known.
func appendItem(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendEscaped(b, s)
}

// appendEscaped writes a value as Apache does: what could end it, forge another line or
// reach a terminal is written as an escape sequence of C's (E64).
func appendEscaped(b []byte, s string) []byte {
	for n := range len(s) {
		c := s[n]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			b = append(b, c)
			continue
		}
		switch at := strings.IndexByte("\b\n\r\t\v\"\\", c); {
		case at >= 0:
			b = append(b, '\\', "bnrtv\"\\"[at])
		default:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}
