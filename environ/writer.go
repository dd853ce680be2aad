package environ

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// writer collects variables in one text, which is cut into them at the end.
// The first error sticks.
type writer struct {
	text strings.Builder
	ends []int // where each variable ends in text
	err  error
}

func (w *writer) start(name string) {
	w.text.WriteString(name)
	w.text.WriteByte('=')
}

// end closes the variable, which must fit into a program's environment (A28).
func (w *writer) end(name string) {
	from := 0
	if n := len(w.ends); n > 0 {
		from = w.ends[n-1]
	}
	if size := w.text.Len() - from; size > MaxVar && w.err == nil {
		status := http.StatusRequestHeaderFieldsTooLarge
		if name == "REQUEST_URI" || name == "QUERY_STRING" {
			status = http.StatusRequestURITooLong
		}
		w.err = refuse(status, "%s of %d bytes, the limit is %d", short(name), size, MaxVar)
	}
	w.ends = append(w.ends, w.text.Len())
}

func (w *writer) put(name, value string) {
	w.start(name)
	w.value(name, value)
	w.end(name)
}

// value appends text from outside. It may have any octet but control
// characters (A27, A36): NUL ends a variable, the others forge lines.
func (w *writer) value(name, value string) {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' && w.err == nil {
			w.err = badRequest("%s has the byte %q", short(name), c)
		}
	}
	w.text.WriteString(value)
}

// putPair writes "NAME=value" from an administrator, whose values may have line
// breaks, as certificates do.
func (w *writer) putPair(name, pair string) {
	w.text.WriteString(pair)
	w.end(name)
}

func (w *writer) putUint(name string, n uint64) {
	var digits [20]byte
	w.start(name)
	w.text.Write(strconv.AppendUint(digits[:0], n, 10))
	w.end(name)
}

func (w *writer) putAddr(name string, addr netip.Addr) {
	if !addr.IsValid() {
		w.put(name, UnknownAddr)
		return
	}
	var digits [64]byte
	w.start(name)
	w.text.Write(addr.AppendTo(digits[:0]))
	w.end(name)
}

// putHead writes the variables up to HTTPS, after making room for these and for
// more bytes.
func (w *writer) putHead(s *Server, q *request, more int) {
	software := cmp.Or(s.Software, defaultSoftware)
	w.text.Grow(more + len(software) + 2*len(q.target) + len(q.name) + len(q.contentType) + 768)
	w.put("GATEWAY_INTERFACE", "CGI/1.1")
	w.put("SERVER_SOFTWARE", software)
	w.put("REDIRECT_STATUS", "200")
	w.putConnection(q)
	w.putRequest(q)
}

func (w *writer) putConnection(q *request) {
	w.put("SERVER_NAME", q.name)
	if q.local.IsValid() {
		w.putAddr("SERVER_ADDR", q.local.Addr())
	}
	w.putUint("SERVER_PORT", uint64(q.port))
	w.putAddr("REMOTE_ADDR", q.remote.Addr())
	if q.remoteName != "" {
		w.put("REMOTE_HOST", q.remoteName)
	} else {
		w.putAddr("REMOTE_HOST", q.remote.Addr()) // A09
	}
	if port := q.remote.Port(); port != 0 {
		w.putUint("REMOTE_PORT", uint64(port))
	}
}

func (w *writer) putRequest(q *request) {
	w.put("SERVER_PROTOCOL", q.proto)
	w.put("REQUEST_METHOD", q.method)
	w.put("REQUEST_SCHEME", q.scheme)
	w.put("REQUEST_URI", q.target)
	w.put("QUERY_STRING", q.query)
	if q.contentType != "" {
		w.put("CONTENT_TYPE", q.contentType)
	}
	if q.length >= 0 {
		w.putUint("CONTENT_LENGTH", uint64(q.length)) // A02: in canonical digits
	}
	if q.scheme == "https" {
		w.put("HTTPS", "on") // A19: absent otherwise, since "off" is true in many a program
	}
}

// env cuts the text into variables.
func (w *writer) env() (Env, error) {
	if w.err != nil {
		return Env{}, w.err
	}
	text := w.text.String()
	vars := make([]string, len(w.ends), len(w.ends)+spare)
	from := 0
	for i, end := range w.ends {
		vars[i] = text[from:end]
		from = end
	}
	return Env{vars}, nil
}

// field is a header field that becomes a variable.
type field struct {
	key   string // as in the request
	value string
	more  []string // of further lines with the same name
}

// putField writes the lines of one field as one value: joined with commas (RFC
// 9110 section 5.3), the parts of a cookie with semicolons (RFC 9113 section
// 8.2.3; A31).
func (w *writer) putField(f field) {
	w.text.WriteString("HTTP_")
	for i := 0; i < len(f.key); i++ {
		w.text.WriteByte(fold(f.key[i]))
	}
	w.text.WriteByte('=')
	w.value(f.key, f.value)
	separator := ", "
	if equalFold(f.key, "Cookie") {
		separator = "; "
	}
	for _, value := range f.more {
		w.text.WriteString(separator)
		w.value(f.key, value)
	}
	w.end(f.key)
}

// sizeOf returns how much text the fields will be.
func sizeOf(fields []field) int {
	n := 0
	for _, f := range fields {
		n += len("HTTP_=") + len(f.key) + len(f.value)
		for _, value := range f.more {
			n += len(", ") + len(value)
		}
	}
	return n
}

// sortFields sorts by the variables' names and refuses two fields that would
// become one variable (A29, E21).
func sortFields(fields []field) error {
	slices.SortFunc(fields, func(a, b field) int { return compareFolded(a.key, b.key) })
	for i := 1; i < len(fields); i++ {
		if a, b := fields[i-1].key, fields[i].key; compareFolded(a, b) == 0 {
			return badRequest("fields %s and %s would be one variable", short(a), short(b))
		}
	}
	return nil
}

func compareFolded(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if x, y := fold(a[i]), fold(b[i]); x != y {
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}
