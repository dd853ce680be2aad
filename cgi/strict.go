package cgi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// How long the answer to a refused request may take to be written, and how long and how
// much of what the client still sends is read and dropped afterwards (E33).
const (
	strictWriteTime   = 500 * time.Millisecond
	strictLingerBytes = 64 << 10
)

var strictLingerTime = 500 * time.Millisecond // not a constant: tests are to have more than they need

// StrictLimits bounds what a client may send around the body of one request. A field that
// is zero or negative means its default. http.Server.MaxHeaderBytes applies as well, and
// should be larger than RequestLine and Header together, as its default is.
type StrictLimits struct {
	RequestLine    int // bytes of the request line without its CRLF, else 414; default 8 KiB
	Header         int // bytes of all field lines without their CRLFs, else 431; default 32 KiB
	Fields         int // field lines of a header, and of a trailer section, else 431; default 100
	ChunkExtension int // bytes of all chunk extensions of one body, else 400; default 4 KiB
	Trailer        int // bytes of all trailer lines without their CRLFs, else 431; default 4 KiB

	// PriorKnowledge is asked for each connection in clear text whether it may begin with
	// the preface of HTTP/2 (RFC 9113 section 3.4), for a http.Server whose Protocols have
	// UnencryptedHTTP2. nil refuses all of them (E09, E44).
	PriorKnowledge func() bool

	// Refused, if set, is told of each request that the connection answers by itself,
	// before the answer is written. It may be called by several goroutines at once.
	Refused func(client net.Addr, e *StrictError)
}

func (l StrictLimits) withDefaults() StrictLimits {
	for limit, value := range map[*int]int{
		&l.RequestLine: 8 << 10, &l.Header: 32 << 10, &l.Fields: 100, // E30
		&l.ChunkExtension: 4 << 10, &l.Trailer: 4 << 10,
	} {
		if *limit <= 0 {
			*limit = value
		}
	}
	return l
}

// StrictError says why the bytes of a client are not an acceptable HTTP/1 request. A handler
// meets it, wrapped, as the error of Request.Body.Read when the chunked framing of the body
// is wrong. A fault in the trailer section reaches it as an error of net/http's own.
type StrictError struct {
	Status int    // the response's status: 400, 414, 431, 501 or 505
	Reason string // one clause without a full stop, never made of the client's bytes
}

func (e *StrictError) Error() string {
	return fmt.Sprintf("cgi: refused request (%d): %s", e.Status, e.Reason)
}

// StrictListener returns ln with the bytes of every connection checked before net/http sees
// them, since it accepts requests which RFC 9112 forbids or which invite request smuggling,
// and a handler cannot tell (E01-E05, E09, E10, E12, E14, E30, E66).
//
// Heads, chunk sizes, chunk extensions and trailers are checked byte by byte, and a byte is
// passed on only when all before it is right. A head with a fault never becomes complete:
// once the responses to the earlier requests are written the connection answers by itself
// and closes. A fault in a body ends Request.Body with an error; that request is the
// handler's to answer, and the connection closes behind its response. Nothing is read from
// a connection after a fault except to drop it (E18).
//
// CONNECT and TRACE (E07, E08), the forms of the request target (E06, E11) and the syntax of
// a Host value are left to the handler. HTTP/2 is refused, unless PriorKnowledge says
// otherwise. What is read from a connection that a handler has hijacked is still checked as
// if it were requests.
//
// Above TLS, ln has to hand out connections whose handshake is complete. One that has
// settled on HTTP/2 is handed on as it is, others are checked, and Request.TLS is set.
func StrictListener(ln net.Listener, limits StrictLimits) net.Listener {
	return &strictListener{Listener: ln, limits: limits.withDefaults()}
}

type strictListener struct {
	net.Listener
	limits StrictLimits
}

func (l *strictListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &strictConn{Conn: conn, scanner: newStrictScanner(l.limits), refused: l.limits.Refused}
	if below, ok := conn.(stater); ok {
		if below.ConnectionState().NegotiatedProtocol == "h2" {
			return conn, nil
		}
		return &strictTLSConn{c, below}, nil
	}
	if l.limits.PriorKnowledge != nil && l.limits.PriorKnowledge() {
		c.opening = new(strictOpening)
	}
	return c, nil
}

// A strictConn is read by one goroutine at a time, as net/http does. It has no buffer: bytes
// are read into the caller's slice and checked there.
type strictConn struct {
	net.Conn
	scanner  strictScanner
	opening  *strictOpening // nil once it is known that this is HTTP/1
	fault    *StrictError   // the first fault; what came before it was passed on
	answered bool           // the fault was written to the client
	padded   bool           // see refuse
	watch    strictWatch
	refused  func(client net.Addr, e *StrictError)

	// bodyFault: Close has to linger. Atomic, as Server.Close calls Close from anywhere.
	bodyFault atomic.Bool
}

// Read reads checked bytes into p. After a fault it returns an error which wraps the
// *StrictError. A timeout leaves the check where it was, and the next Read goes on.
func (c *strictConn) Read(p []byte) (int, error) {
	if c.opening != nil {
		return c.open(p)
	}
	if c.fault != nil {
		return c.refuse(p)
	}
	if c.watches(p) && c.watch.wait() {
		return 0, os.ErrDeadlineExceeded
	}
	for {
		got, err := c.Conn.Read(p)
		n, fault := c.scanner.scan(p[:got])
		if fault != nil {
			c.fault = fault
			c.bodyFault.Store(c.scanner.inBody())
			if n == 0 {
				return c.refuse(p)
			}
			return n, nil
		}
		// An empty line before a request is dropped, so nothing may be left of a read;
		// at most strictEmptyLines of them are accepted in a row.
		if n > 0 || err != nil || got == 0 {
			return n, err
		}
	}
}

// refuse is Read after a fault.
//
// net/http asks for a next request only when the responses to the earlier ones are written, so
// the answer can be written right here. One Read is different: while a handler runs, a
// background read of one byte waits for the client to go away. An error would cancel a
// handler whose own request was fine, so that read gets one byte of padding. It never reaches
// the handler: the request it seems to begin, or to go on with, is not completed (only an LF
// could), and the next Read has the error.
func (c *strictConn) refuse(p []byte) (int, error) {
	inBody := c.scanner.inBody()
	if !inBody && len(p) == 1 && c.scanner.heads > 0 && !c.padded && !c.answered {
		c.padded = true
		p[0] = '-'
		return 1, nil
	}
	if !inBody && !c.answered {
		c.answered = true
		if c.refused != nil {
			c.refused(c.RemoteAddr(), c.fault)
		}
		c.answer()
		c.linger()
	}
	// net/http answers 400 by itself to other errors, but is silent about a failed read.
	return 0, &net.OpError{
		Op:     "read",
		Net:    c.LocalAddr().Network(),
		Source: c.LocalAddr(),
		Addr:   c.RemoteAddr(),
		Err:    c.fault,
	}
}

// answer writes the response to a refused request. A client which does not take it gets none.
func (c *strictConn) answer() {
	status := http.StatusText(c.fault.Status)
	body := status + ": " + c.fault.Reason + ".\n"
	c.SetWriteDeadline(time.Now().Add(strictWriteTime))
	fmt.Fprintf(c.Conn, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s",
		c.fault.Status, status, time.Now().UTC().Format(http.TimeFormat), len(body), body)
}

// linger ends the server's side and waits for the client to end its own, within limits. Closing
// a socket with unread bytes resets it, and the client may lose the response
// (RFC 9112 section 9.6, E33).
func (c *strictConn) linger() {
	if c.CloseWrite() != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(strictLingerTime))
	io.CopyN(io.Discard, c.Conn, strictLingerBytes)
}

// Close closes the connection. After a fault in a body the socket itself is closed at most
// half a second later, by a goroutine: http.Server.Close calls this with its lock held. A
// second Close closes at once.
func (c *strictConn) Close() error {
	if c.bodyFault.Swap(false) {
		go func() {
			c.linger()
			c.Conn.Close()
		}()
		return nil
	}
	return c.Conn.Close()
}

// CloseWrite ends the server's side of the connection, or returns errors.ErrUnsupported if
// the underlying connection has no such half.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom lets the underlying connection use sendfile or splice for a response's body:
// net/http looks for this method.
func (c *strictConn) ReadFrom(src io.Reader) (int64, error) {
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, src)
}

// SyscallConn returns the raw connection below, or errors.ErrUnsupported if it has none. What
// is read through it is not checked.
func (c *strictConn) SyscallConn() (syscall.RawConn, error) {
	if raw, ok := c.Conn.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// strictEmptyLines is how many empty lines are dropped before a request line: old clients
// send one behind the body of a POST (RFC 9112 section 2.2).
const strictEmptyLines = 2

// Faults of a request's bytes. They are shared: nothing of the client's is in them.
var (
	strictTLS         = &StrictError{http.StatusBadRequest, "this port speaks plain HTTP, not TLS"}
	strictEmpty       = &StrictError{http.StatusBadRequest, "there are too many empty lines before the request line"}
	strictLineEnd     = &StrictError{http.StatusBadRequest, "a line does not end in CRLF"}
	strictMethodByte  = &StrictError{http.StatusBadRequest, "the method is not a token followed by one space"}
	strictTargetByte  = &StrictError{http.StatusBadRequest, "the request target is not printable ASCII followed by one space"}
	strictTooLong     = &StrictError{http.StatusRequestURITooLong, "the request line is too long"}
	strictVersionText = &StrictError{http.StatusBadRequest, "the request line does not end in a version of HTTP/1"}
	strictVersionNo   = &StrictError{http.StatusHTTPVersionNotSupported, "the version is neither HTTP/1.0 nor HTTP/1.1"}
	strictFold        = &StrictError{http.StatusBadRequest, "a field line begins with white space"}
	strictNameSpace   = &StrictError{http.StatusBadRequest, "there is white space before the colon of a field line"}
	strictNameByte    = &StrictError{http.StatusBadRequest, "a field name is not a token followed by a colon"}
	strictValueByte   = &StrictError{http.StatusBadRequest, "a field value has a control character, or its line does not end in CRLF"}
	strictTooMany     = &StrictError{http.StatusRequestHeaderFieldsTooLarge, "there are too many field lines"}
	strictTooLarge    = &StrictError{http.StatusRequestHeaderFieldsTooLarge, "the header is too large"}
	strictLongTrailer = &StrictError{http.StatusRequestHeaderFieldsTooLarge, "the trailer section is too large"}
	strictTrailerName = &StrictError{http.StatusBadRequest, "a trailer field must not say where a message ends or goes"}
	strictNoHost      = &StrictError{http.StatusBadRequest, "the Host field is missing"}
	strictHosts       = &StrictError{http.StatusBadRequest, "there is more than one Host field"}
	strictEmptyHost   = &StrictError{http.StatusBadRequest, "the Host field is empty"}
	strictLengths     = &StrictError{http.StatusBadRequest, "there is more than one Content-Length field"}
	strictLength      = &StrictError{http.StatusBadRequest, "the Content-Length field is not a number of bytes"}
	strictCodings     = &StrictError{http.StatusBadRequest, "the Transfer-Encoding field is not chunked alone"}
	strictCoding      = &StrictError{http.StatusNotImplemented, "the only transfer coding that is understood is chunked"}
	strictOldCoding   = &StrictError{http.StatusBadRequest, "an HTTP/1.0 request has a Transfer-Encoding field"}
	strictBoth        = &StrictError{http.StatusBadRequest, "there is a Transfer-Encoding field together with a Content-Length field"}
	strictChunkSize   = &StrictError{http.StatusBadRequest, "a chunk size is not a hexadecimal number followed by CRLF"}
	strictChunkExt    = &StrictError{http.StatusBadRequest, "a chunk extension is malformed"}
	strictChunkExts   = &StrictError{http.StatusBadRequest, "the chunk extensions are too long"}
	strictChunkEnd    = &StrictError{http.StatusBadRequest, "a chunk does not end in CRLF where its size says"}
)

// Classes of bytes.
const (
	strictToken  = 1 << iota // tchar, RFC 9110 section 5.6.2
	strictTarget             // 0x21-0x7e
	strictValue              // field-vchar, SP and HTAB, RFC 9110 section 5.5
	strictHex
)

var strictClass = func() (class [256]uint8) {
	for c := range class {
		if c == '\t' || c >= ' ' && c != 0x7f {
			class[c] |= strictValue
		}
		if c > ' ' && c < 0x7f {
			class[c] |= strictTarget
			if !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c)) {
				class[c] |= strictToken
			}
		}
	}
	for _, c := range "0123456789abcdefABCDEF" {
		class[c] |= strictHex
	}
	return class
}()

// The states of a strictScanner are named for what comes next.
type strictState uint8

const (
	strictInStart   strictState = iota // a request, or an empty line
	strictInStartLF                    // the LF of that empty line

	strictInMethod
	strictInTarget
	strictInVersion
	strictInLineLF

	strictInField // a field line, or the CR of the empty line behind the last
	strictInName
	strictInValue
	strictInFieldLF
	strictInSectionLF

	strictInBody // s.left bytes of a body with Content-Length
	strictInChunkSize
	strictInExtension // see extension
	strictInExtensionName
	strictInExtensionNameEnd
	strictInExtensionValue
	strictInExtensionToken
	strictInExtensionQuoted
	strictInExtensionEscape
	strictInExtensionQuoteEnd
	strictInExtensionEnd
	strictInChunkLF
	strictInChunkData
	strictInChunkDataCR
	strictInChunkDataLF
)

// Fields which decide where a request ends or goes.
const (
	strictOrdinary = iota
	strictHost
	strictContentLength
	strictTransferEncoding
)

// A strictScanner follows the requests on one connection. The verdict does not depend on how
// the bytes are divided over calls of scan, and nothing is allocated for them.
type strictScanner struct {
	limits StrictLimits
	state  strictState
	heads  int // heads passed on completely

	// Of the current request.
	empty   int   // empty lines before it
	size    int   // bytes of the request line, the header or the trailer section so far
	fields  int   // field lines of the header or the trailer section
	preface bool  // its method is PRI
	http10  bool  // its version is HTTP/1.0
	hosts   int   // Host fields
	length  int64 // its Content-Length, -1 without one
	chunked bool
	trailer bool   // the field lines are those of the trailer section
	left    uint64 // bytes left of the body or the chunk
	ext     int    // bytes of its chunk extensions

	// Of the current element (method, version, field name, chunk size) or value.
	part  int      // its length; for a value, what is kept of it
	text  [64]byte // its beginning
	field uint8    // which of the fields above the value belongs to
}

func newStrictScanner(limits StrictLimits) strictScanner {
	return strictScanner{limits: limits, length: -1}
}

// inBody reports whether the next byte belongs to a body or its trailer section.
func (s *strictScanner) inBody() bool { return s.trailer || s.state >= strictInBody }

// scan checks what was read. It drops empty lines before requests, and returns how many bytes
// of b, moved to its front, come before the first fault. It must not be called after a fault.
func (s *strictScanner) scan(b []byte) (n int, fault *StrictError) {
	for i := 0; i < len(b) && fault == nil; {
		from := i
		switch {
		case s.state <= strictInStartLF:
			i, fault = s.start(b, i)
			continue // not passed on
		case s.state <= strictInLineLF:
			i, fault = s.requestLine(b, i)
		case s.state <= strictInSectionLF:
			i, fault = s.fieldLine(b, i)
		default:
			i, fault = s.body(b, i)
		}
		if n != from {
			copy(b[n:], b[from:i])
		}
		n += i - from
	}
	return n, fault
}

// start, requestLine, fieldLine and body go on at b[i] up to a change of state at the most.
// They return the index of the next byte, or of the one that is wrong.

func (s *strictScanner) start(b []byte, i int) (int, *StrictError) {
	switch c := b[i]; {
	case s.state == strictInStartLF:
		if c != '\n' {
			return i, strictLineEnd
		}
		s.empty++
		s.state = strictInStart
		return i + 1, nil
	case c == '\r':
		if s.empty == strictEmptyLines {
			return i, strictEmpty
		}
		s.state = strictInStartLF
		return i + 1, nil
	case c == 0x16 && s.heads == 0: // ContentType handshake, RFC 8446 section 5.1
		return i, strictTLS
	}
	s.state = strictInMethod
	return i, nil
}

// requestLine is method SP request-target SP HTTP-version CRLF (RFC 9112 section 3), with one
// space each and nothing else, whatever a lenient parser may do (E05, E09, E66).
func (s *strictScanner) requestLine(b []byte, i int) (int, *StrictError) {
	if s.state == strictInLineLF {
		if b[i] != '\n' {
			return i, strictLineEnd
		}
		s.size = 0
		s.state = strictInField
		return i + 1, nil
	}
	class, next, wrong := uint8(strictTarget), strictInVersion, strictTargetByte
	switch s.state {
	case strictInMethod:
		class, next, wrong = strictToken, strictInTarget, strictMethodByte
	case strictInVersion: // judged as a whole, by version
		next, wrong = strictInVersion, strictVersionText
	}
	j := strictRun(b, i, s.limits.RequestLine-s.size, class)
	s.keep(b[i:j])
	s.size += j - i
	switch {
	case j == len(b):
		return j, nil
	case s.size == s.limits.RequestLine && b[j] != '\r':
		return j, strictTooLong // E30
	case s.state == strictInVersion && b[j] == '\r':
		if fault := s.version(); fault != nil {
			return j, fault
		}
		s.state = strictInLineLF
		return j + 1, nil
	case s.state == next || b[j] != ' ' || s.part == 0:
		return j, wrong
	}
	if s.state == strictInMethod {
		s.preface = string(s.element()) == "PRI"
	}
	s.size++
	s.part = 0
	s.state = next
	return j + 1, nil
}

// version judges the HTTP-version in s.text (RFC 9112 section 2.3).
func (s *strictScanner) version() *StrictError {
	v := s.element()
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	switch {
	case string(v) == "HTTP/1.1":
		return nil
	case string(v) == "HTTP/1.0":
		s.http10 = true
		return nil
	case len(v) != 8 || string(v[:5]) != "HTTP/" || !digit(v[5]) || v[6] != '.' || !digit(v[7]):
		return strictVersionText
	case s.preface: // of HTTP/2 (RFC 9113 section 3.4): E09
		return strictVersionText
	}
	return strictVersionNo
}

// keep appends v to the current element, of which s.text holds the beginning.
func (s *strictScanner) keep(v []byte) {
	if s.part < len(s.text) {
		copy(s.text[s.part:], v)
	}
	s.part += len(v)
}

// element returns what is kept of the current element.
func (s *strictScanner) element() []byte { return s.text[:min(s.part, len(s.text))] }

// strictRun returns the end of the run of bytes of the class which begins at b[i], or where it
// becomes longer than limit.
func strictRun(b []byte, i, limit int, class uint8) int {
	if len(b)-i > limit {
		b = b[:i+limit]
	}
	for i < len(b) && strictClass[b[i]]&class != 0 {
		i++
	}
	return i
}
