package cgi

import (
	"net/http"
	"strconv"
)

// AppendHeader appends the header block of r in the form that a CGI script prints
// it, for the fronts that stand behind a web server (RFC 3875 section 6, B70): a
// Status line, the fields, Content-Length where it is known, an empty line; lines
// end in CR LF. Fields that cannot be put into a line are left out.
func AppendHeader(b []byte, r *Response) []byte {
	b = append(b, "Status: "...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	reason := r.Reason
	if reason == "" || !fieldValue(reason) {
		reason = http.StatusText(r.Status)
	}
	b = append(b, ' ')
	b = append(b, reason...)
	b = append(b, "\r\n"...)
	for _, f := range r.Header {
		if !isToken([]byte(f.Name)) || !fieldValue(f.Value) {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	if r.ContentLength >= 0 {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// fieldValue reports whether v can stand in a header line.
func fieldValue(v string) bool {
	for n := range len(v) {
		if c := v[n]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return v != ""
}
