// Package scgi is the SCGI protocol (python.ca/scgi/protocol.txt), both ends: a
// Server hands the requests of a web server in front to a cgi.Gateway, a Transport
// is a cgi.Responder that asks an SCGI application.
//
// A request is a netstring of variables, followed by the body:
//
//	70:CONTENT_LENGTH NUL 27 NUL SCGI NUL 1 NUL ... NUL /deepthought NUL ,BODY
//
// The response is what a CGI program prints, and ends where the connection does:
// one connection carries one request. Nothing here knows processes.
package scgi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// DefaultMaxParams is the limit for the variables of a request in bytes, where
// none is given (D01).
const DefaultMaxParams = 256 << 10

// ErrTooLong is the cause of a FormatError for variables above the limit.
var ErrTooLong = errors.New("more than the limit")

// FormatError is why something is no SCGI request.
type FormatError struct {
	Reason string
	Err    error // ErrTooLong, io.ErrUnexpectedEOF, or nil
}

func (e *FormatError) Error() string { return "scgi: " + e.Reason }

func (e *FormatError) Unwrap() error { return e.Err }

func malformed(format string, args ...any) error {
	return &FormatError{Reason: fmt.Sprintf(format, args...)}
}

// AppendRequest appends the head of a request: the variables ("NAME=value") as a
// netstring, CONTENT_LENGTH with the given length first and SCGI=1 after it (D03);
// others of these two names are left out. The body is to follow. It is an error if
// a variable has no name, or a NUL.
func AppendRequest(b []byte, vars []string, contentLength int64) ([]byte, error) {
	length := strconv.FormatInt(contentLength, 10)
	size := len("CONTENT_LENGTH") + 1 + len(length) + 1 + len("SCGI") + 1 + len("1") + 1
	for _, pair := range vars {
		name, _, ok := strings.Cut(pair, "=")
		if !ok || name == "" || strings.IndexByte(pair, 0) >= 0 {
			return b, malformed("%.40q cannot be sent as a variable", pair)
		}
		if !isOurs(name) {
			size += len(pair) + 1 // "=" is a NUL there
		}
	}
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, ":CONTENT_LENGTH\x00"...)
	b = append(b, length...)
	b = append(b, "\x00SCGI\x001\x00"...)
	for _, pair := range vars {
		name, value, _ := strings.Cut(pair, "=")
		if isOurs(name) {
			continue
		}
		b = append(b, name...)
		b = append(b, 0)
		b = append(b, value...)
		b = append(b, 0)
	}
	return append(b, ','), nil
}

func isOurs(name string) bool { return name == "CONTENT_LENGTH" || name == "SCGI" }

// ReadRequest reads the head of a request, at most limit bytes of variables, and
// leaves r where its body begins. The variables are as received; the first is
// CONTENT_LENGTH, whose value is length.
//
// An error is a *FormatError, or what r said; io.EOF only before the first byte.
// No memory is taken for bytes that did not come.
func ReadRequest(r *bufio.Reader, limit int) (vars []string, length int64, err error) {
	size, err := readSize(r, limit)
	if err != nil {
		return nil, 0, err
	}
	block, err := readBlock(r, size)
	if err != nil {
		return nil, 0, err
	}
	comma, err := r.ReadByte()
	switch {
	case err != nil:
		return nil, 0, cutOff(err)
	case comma != ',':
		return nil, 0, malformed("%q in place of the comma after %d bytes of variables", comma, size)
	}
	if vars, err = split(block); err != nil {
		return nil, 0, err
	}
	length, err = check(vars)
	return vars, length, err
}

// readSize reads the netstring's length and colon (D01).
func readSize(r *bufio.Reader, limit int) (int, error) {
	size := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF && digits == 0:
			return 0, io.EOF
		case err != nil:
			return 0, cutOff(err)
		case c == ':' && digits > 0:
			return size, nil
		case c < '0' || c > '9':
			return 0, malformed("%q in the length of the netstring", c)
		case digits > 0 && size == 0:
			return 0, malformed("the length of the netstring begins with 0")
		}
		if size = 10*size + int(c-'0'); size > limit {
			return 0, &FormatError{Reason: fmt.Sprintf("more than %d bytes of variables", limit), Err: ErrTooLong}
		}
	}
}

// readBlock reads size bytes, into memory that grows with what comes.
func readBlock(r *bufio.Reader, size int) ([]byte, error) {
	const first = 4096
	block := make([]byte, 0, min(size, first))
	for len(block) < size {
		if len(block) == cap(block) {
			block = append(make([]byte, 0, min(size, 2*cap(block))), block...)
		}
		n, err := r.Read(block[len(block):cap(block)])
		block = block[:len(block)+n]
		if err != nil && len(block) < size {
			return nil, cutOff(err)
		}
	}
	return block, nil
}

func cutOff(err error) error {
	if err == io.EOF {
		return &FormatError{Reason: "the connection ends inside the variables", Err: io.ErrUnexpectedEOF}
	}
	return err
}

// split cuts (name NUL value NUL)* into variables (D02). The block is changed.
func split(block []byte) ([]string, error) {
	nuls := 0
	last := -1 // where the present string's end of before is
	for n, c := range block {
		if c != 0 {
			if c == '=' && nuls%2 == 0 {
				return nil, malformed("a name has %q in it", c)
			}
			continue
		}
		if nuls%2 == 0 {
			if n == last+1 {
				return nil, malformed("a variable has no name")
			}
			block[n] = '='
		}
		last = n
		nuls++
	}
	if last != len(block)-1 || nuls%2 != 0 {
		return nil, malformed("the variables do not end with a value and a NUL")
	}
	text := string(block)
	vars := make([]string, 0, nuls/2+1)
	for text != "" {
		pair, rest, _ := strings.Cut(text, "\x00")
		vars = append(vars, pair)
		text = rest
	}
	return vars, nil
}

// check holds what every request must have (D03): CONTENT_LENGTH first, and SCGI.
// Neither may be there twice; of other variables the Gateway decides.
func check(vars []string) (length int64, err error) {
	if len(vars) == 0 || !strings.HasPrefix(vars[0], "CONTENT_LENGTH=") {
		return 0, malformed("CONTENT_LENGTH is not the first variable")
	}
	text := vars[0][len("CONTENT_LENGTH="):]
	length, err = strconv.ParseInt(text, 10, 64)
	if err != nil || strings.Trim(text, "0123456789") != "" {
		return 0, malformed("CONTENT_LENGTH is %.40q", text)
	}
	versions := 0
	for _, pair := range vars[1:] {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "CONTENT_LENGTH":
			return 0, malformed("two CONTENT_LENGTH")
		case "SCGI":
			if versions++; versions > 1 || value != "1" {
				return 0, malformed("SCGI is %.40q, or there twice", value)
			}
		}
	}
	if versions == 0 {
		return 0, malformed("no SCGI variable")
	}
	return length, nil
}
