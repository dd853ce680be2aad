package cgi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// ParseLimits bounds the header block of a response (A74). The zero value means
// the defaults.
type ParseLimits struct {
	Block  int // bytes of the block; zero means 64 KiB
	Line   int // bytes of one line; zero means 63 KiB
	Fields int // lines; zero means 200
}

func (l ParseLimits) block() int  { return orDefault(l.Block, 64<<10) }
func (l ParseLimits) line() int   { return orDefault(l.Line, 63<<10) }
func (l ParseLimits) fields() int { return orDefault(l.Fields, 200) }

func orDefault(n, def int) int {
	if n > 0 {
		return n
	}
	return def
}

// ReadResponse reads the header block of a CGI response from r (RFC 3875 section
// 6, where it says "script output") and returns the response, whose Body is what
// follows. Closing it closes r if that is an io.Closer.
//
// interim is called with each 1xx response that comes before it (A86); nil means
// that there may be none. An error is an *Error of Kind NoOutput when r ended
// without a byte, of Kind BadOutput when what it gave is not a header block, with
// the first bytes in Output; or the error of r itself.
//
// The result depends on the bytes alone, not on how r cuts them up (A88).
func ReadResponse(r io.Reader, limits ParseLimits, interim func(int, Header)) (*Response, error) {
	h := headReader{r: r, limits: limits}
	for {
		block, err := h.next()
		if err != nil {
			return nil, err
		}
		resp, err := parseBlock(block, limits)
		if err != nil {
			return nil, h.bad(err)
		}
		if resp.Status >= 200 {
			resp.Body = h.body()
			if resp.ContentLength >= 0 {
				resp.Body = &exactBody{body: resp.Body, left: resp.ContentLength}
			}
			return resp, nil
		}
		if interim == nil {
			return nil, h.bad(fmt.Errorf("status %d before the response is not enabled here", resp.Status))
		}
		interim(resp.Status, resp.Header)
	}
}

// headReader reads header blocks and keeps what follows them.
type headReader struct {
	r      io.Reader
	limits ParseLimits
	buf    []byte // read and not yet given out
	start  []byte // the first bytes of all, for a report
	pooled *headBuffer
	blocks int
}

const firstBytes = 512

// headBuffer is where most header blocks fit, with the beginning of the body. It goes
// back when the last byte of it was given out; one that is not read to that end is left
// to the garbage collector.
type headBuffer [4096]byte

var headBuffers = sync.Pool{New: func() any { return new(headBuffer) }}

// next returns the next header block with its empty line.
func (h *headReader) next() ([]byte, error) {
	const maxBlocks = 64 // interim responses; more is no response but noise
	if h.blocks++; h.blocks > maxBlocks {
		return nil, h.bad(fmt.Errorf("more than %d interim responses", maxBlocks))
	}
	var scan blockScanner
	scan.limits = h.limits
	for {
		end, err := scan.find(h.buf)
		if err != nil {
			return nil, h.bad(err)
		}
		if end > 0 {
			block := h.buf[:end]
			h.buf = h.buf[end:]
			return block, nil
		}
		if err := h.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once more. An end of input here is the end inside the header.
func (h *headReader) fill() error {
	switch {
	case h.start == nil:
		h.pooled = headBuffers.Get().(*headBuffer)
		h.buf = h.pooled[:0]
	case cap(h.buf)-len(h.buf) < 512:
		h.buf = append(make([]byte, 0, max(4096, 2*cap(h.buf))), h.buf...)
		h.pooled = nil // start is in it
	}
	n, err := h.r.Read(h.buf[len(h.buf):cap(h.buf)])
	h.buf = h.buf[:len(h.buf)+n]
	if h.pooled != nil { // it is filled from its beginning, whatever was given out
		h.start = h.pooled[:min(firstBytes, len(h.pooled)-cap(h.buf)+len(h.buf))]
	}
	switch {
	case n > 0 || err == nil:
		return nil
	case err != io.EOF:
		return err
	case len(h.start) == 0:
		return &Error{Kind: NoOutput, Reason: "it printed nothing"}
	}
	return h.bad(fmt.Errorf("its output ends inside the header block, before the empty line"))
}

func (h *headReader) bad(err error) error {
	return &Error{Kind: BadOutput, Reason: err.Error(), Output: bytes.Clone(h.start)}
}

func (h *headReader) body() io.ReadCloser {
	b := &restBody{rest: h.buf, r: h.r, pooled: h.pooled}
	b.consumed()
	return b
}

// blockScanner looks for the empty line that ends a header block and holds the
// limits meanwhile. Lines end in LF or CR LF, mixed as they come (A65).
type blockScanner struct {
	limits ParseLimits
	line   int // where the line that has no end yet begins
	lines  int
}

// find returns where the block ends in buf, 0 when it does not yet.
func (s *blockScanner) find(buf []byte) (int, error) {
	for {
		n := bytes.IndexByte(buf[s.line:], '\n')
		length := n
		if n < 0 {
			length = len(buf) - s.line
		}
		switch {
		case length > s.limits.line():
			return 0, fmt.Errorf("a header line is longer than %d bytes", s.limits.line())
		case s.line+length >= s.limits.block():
			return 0, fmt.Errorf("the header block is longer than %d bytes", s.limits.block())
		case n < 0:
			return 0, nil
		}
		line := buf[s.line : s.line+n]
		s.line += n + 1
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return s.line, nil
		}
		if err := checkLine(line); err != nil { // at once: noise has no empty line
			return 0, err
		}
		if s.lines++; s.lines > s.limits.fields() {
			return 0, fmt.Errorf("more than %d header lines", s.limits.fields())
		}
	}
}

// checkLine refuses what is no header line (A66 to A69).
func checkLine(line []byte) error {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if line[0] == ' ' || line[0] == '\t' {
		return fmt.Errorf("a header line begins with a space: CGI has no continuation lines (%q)", shorten(line, 30))
	}
	colon := bytes.IndexByte(line, ':')
	switch {
	case bytes.HasPrefix(line, []byte("HTTP/")) && !isToken(line[:max(colon, 0)]):
		return fmt.Errorf("it begins with a status line (%q) like a non-parsed-header script, whose name must begin with %q", shorten(line, 30), "nph-")
	case colon < 0:
		return fmt.Errorf("no header block: a line without a colon (%q)", shorten(line, 30))
	case !isToken(line[:colon]):
		return fmt.Errorf("bad header line: %q is not a field name", shorten(line[:colon], 30))
	}
	for _, c := range line[colon+1:] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("bad header line: control character %#02x in the value of %s", c, shorten(line[:colon], 30))
		}
	}
	return nil
}

// parseBlock parses a whole block, whose lines have been checked.
func parseBlock(block []byte, limits ParseLimits) (*Response, error) {
	p := blockParser{resp: &Response{ContentLength: -1}}
	text := string(block) // the one copy: names and values are parts of it
	p.resp.Header = make(Header, 0, 8)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if value == "" {
			continue // RFC 3875 section 6.3: as if it was not sent (A70)
		}
		if err := p.field(name, value); err != nil {
			return nil, err
		}
	}
	return p.finish()
}

type blockParser struct {
	resp      *Response
	status    string // as written
	hasStatus bool
	length    string
}

// field takes one field with a value.
func (p *blockParser) field(name, value string) error {
	switch h := &p.resp.Header; {
	case equalFold(name, "Status"):
		if p.hasStatus && p.status != value {
			return fmt.Errorf("two different Status fields, %q and %q", p.status, value)
		}
		p.hasStatus, p.status = true, value
	case equalFold(name, "Content-Length"):
		if p.length != "" && p.length != value {
			return fmt.Errorf("two different Content-Length fields, %q and %q", p.length, value)
		}
		p.length = value
	case equalFold(name, "Content-Type"), equalFold(name, "Location"):
		if old, ok := h.Lookup(name); ok {
			if old == value {
				return nil
			}
			return fmt.Errorf("two different %s fields, %q and %q", name, shorten([]byte(old), 60), shorten([]byte(value), 60))
		}
		h.Add(name, value)
	case equalFold(name, "Transfer-Encoding"): // A81
		return fmt.Errorf("a Transfer-Encoding field (%q): framing is not the script's", shorten([]byte(value), 30))
	case isHopByHop(name), len(name) > 6 && equalFold(name[:6], "X-CGI-"): // A82, A84
	default:
		h.Add(name, value)
	}
	return nil
}

// finish decides the status and the length.
func (p *blockParser) finish() (*Response, error) {
	r := p.resp
	if p.length != "" {
		n, err := parseLength(p.length)
		if err != nil {
			return nil, err
		}
		r.ContentLength = n
	}
	_, hasType := r.Header.Lookup("Content-Type")
	_, hasLocation := r.Header.Lookup("Location")
	switch {
	case p.hasStatus:
		if err := r.parseStatus(p.status); err != nil {
			return nil, err
		}
	case hasLocation: // RFC 3875 section 6.2.3 (A77); a path is 6.2.2's
		r.Status, r.implied = 302, true
	case hasType:
		r.Status = 200
	default: // A78
		return nil, errors.New("no header block: neither Content-Type, nor Location, nor Status in it")
	}
	return r, nil
}

// parseStatus takes "NNN" or "NNN reason" (RFC 3875 section 6.3.3, A75, A76).
func (r *Response) parseStatus(s string) error {
	code, reason, spaced := strings.Cut(s, " ")
	if len(code) != 3 || !isDigits(code) || spaced && code == "" {
		return fmt.Errorf("bad Status %q: not three digits", shorten([]byte(s), 30))
	}
	r.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	if r.Status < 200 && r.Status != 103 || r.Status > 599 { // A86
		return fmt.Errorf("bad Status %q: neither 103 nor in 200 to 599", shorten([]byte(s), 30))
	}
	r.Reason = strings.Trim(reason, " \t")
	return nil
}

// parseLength takes digits alone (A79).
func parseLength(s string) (int64, error) {
	var n int64
	if !isDigits(s) || len(s) > 18 {
		return 0, fmt.Errorf("bad Content-Length %q", shorten([]byte(s), 30))
	}
	for _, c := range []byte(s) {
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

func isDigits(s string) bool {
	for n := range len(s) {
		if s[n] < '0' || s[n] > '9' {
			return false
		}
	}
	return s != ""
}

// isHopByHop tells the fields that speak of a connection, not of a response.
func isHopByHop(name string) bool {
	switch len(name) {
	case 2, 7, 10, 14, 16:
		for _, n := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade", "HTTP2-Settings"} {
			if equalFold(name, n) {
				return true
			}
		}
	}
	return false
}

func equalFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// tokenBytes are the bytes of an RFC 9110 token.
var tokenBytes = func() (set [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		set[c] = true
	}
	return
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenBytes[c] {
			return false
		}
	}
	return len(b) > 0
}
