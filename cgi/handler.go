package cgi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/environ"
)

// Handler serves HTTP with a Responder. Behind it lie no other handlers: it takes
// the request's target as it was received.
type Handler struct {
	Responder Responder

	// Server makes the meta-variables; nil means the zero environ.Server.
	Server *environ.Server

	// Refuse returns the Responder that answers a request which cannot be
	// passed on; nil means one that fails with e.
	Refuse func(e *Error) Responder

	// SendTimeout is how long the client may take no byte of the response;
	// BodyTimeout how long it may send no byte of its body. Zero means a
	// minute for both.
	SendTimeout, BodyTimeout time.Duration

	// MaxTarget is the longest request target, in bytes (414); MaxFields the
	// largest number of header fields (431). Zero means 8 KiB and 100 (E30).
	MaxTarget, MaxFields int
}

// FlushAfter is how long a front keeps what an application wrote while nothing
// more comes: long enough for the end of a short response to arrive and go out
// with it, too short to be noticed (A103).
const FlushAfter = 2 * time.Millisecond

var zeroServer environ.Server

// ServeHTTP implements http.Handler. A response that ends too early ends the
// connection with it (http.ErrAbortHandler), so that the client can tell.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rw := &responseWriter{w: w, rc: http.NewResponseController(w), r: r, timeout: orMinute(h.SendTimeout)}
	req, responder := h.request(rw, r)
	rw.body = h.body(rw, r, req)
	resp, err := responder.Respond(r.Context(), req)
	if err != nil {
		resp = PlainError(AsError(err))
	}
	whole := rw.write(resp, h.software())
	if a := req.Account; a != nil {
		a.Received, a.Aborted = rw.body.received(), !whole
		a.Kept = whole && !r.Close && rw.hijacked == nil && (r.ProtoMajor > 1 || rw.body.isWhole())
	}
	_ = resp.Close()
	rw.body.stop()
	rw.hangUp()
	if !whole {
		panic(http.ErrAbortHandler)
	}
}

// countKey is that of a connection's count of requests in their contexts.
type countKey struct{}

// CountRequests is for http.Server.ConnContext: it has Account.Earlier filled in.
func CountRequests(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, countKey{}, new(atomic.Int64))
}

func (h *Handler) server() *environ.Server {
	if h.Server != nil {
		return h.Server
	}
	return &zeroServer
}

func (h *Handler) software() string {
	if s := h.server().Software; s != "" {
		return s
	}
	return "gatehouse"
}

func orMinute(d time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return time.Minute
}

// request makes the Request, and chooses who answers it.
func (h *Handler) request(rw *responseWriter, r *http.Request) (*Request, Responder) {
	req := &Request{ID: newID(), Account: new(Account)}
	var err error
	if e := h.check(r); e != nil {
		return h.refused(req, r, e)
	}
	if req.Env, err = h.server().FromHTTP(r); err != nil {
		return h.refused(req, r, requestError(err))
	}
	if req.Path, _, err = environ.ParseTarget(r.RequestURI); err != nil {
		return h.refused(req, r, requestError(err))
	}
	if r.ProtoAtLeast(1, 1) {
		req.Interim = rw.interim
	}
	req.Trusted = h.server().TrustsRequest(r)
	if count, ok := r.Context().Value(countKey{}).(*atomic.Int64); ok {
		req.Account.Earlier = int(count.Add(1) - 1)
	}
	return req, h.Responder
}

// check refuses what no application is to see.
func (h *Handler) check(r *http.Request) *Error {
	if r.ProtoMajor >= 2 {
		if e := checkHTTP2(r); e != nil {
			return e
		}
	}
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
	}
	return checkHead(r.Method, len(r.RequestURI), fields, h.MaxTarget, h.MaxFields)
}

// maxHeader2 is the size of the largest header over HTTP/2, as it is over HTTP/1 (E30, E47).
const maxHeader2 = 32 << 10

// checkHTTP2 does for HTTP/2 what StrictListener does for HTTP/1, as far as net/http does not.
func checkHTTP2(r *http.Request) *Error {
	for _, host := range r.Header["Host"] {
		if host != r.Host { // E41: RFC 9113 section 8.3.1
			return &Error{Kind: BadRequest, Reason: "the Host field is not the authority"}
		}
	}
	delete(r.Header, "Host") // over HTTP/1 it is not there either
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(": ") + len(v)
		}
	}
	if size > maxHeader2 {
		return &Error{Kind: BadRequest, Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "the header is too large"}
	}
	return nil
}

// checkHead is check for every front, with the sizes and limits of the target and of
// the number of fields.
func checkHead(method string, target, fields, maxTarget, maxFields int) *Error {
	switch {
	case method == http.MethodConnect, method == http.MethodTrace: // E07, E08
		return &Error{Kind: BadRequest, Status: http.StatusMethodNotAllowed, Reason: "method " + method + " is not served"}
	case target > orDefault(maxTarget, 8<<10):
		return &Error{Kind: BadRequest, Status: http.StatusRequestURITooLong, Reason: "the request target is too long"}
	case fields > orDefault(maxFields, 100):
		return &Error{Kind: BadRequest, Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "too many header fields"}
	}
	return nil
}

func requestError(err error) *Error {
	e := &Error{Kind: BadRequest, Reason: err.Error(), Err: err}
	var ee *environ.Error
	if errors.As(err, &ee) {
		e.Status = ee.Status
	}
	return e
}

// refused fills in what a log wants to know of a request that is passed to nobody.
func (h *Handler) refused(req *Request, r *http.Request, e *Error) (*Request, Responder) {
	return req, refused(req, e, h.Refuse, r.Method, r.RequestURI, r.Proto, hostOf(r.RemoteAddr))
}

// hostOf is addr without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// refused is the same for every front; it returns who answers.
func refused(req *Request, e *Error, refuse func(*Error) Responder, method, uri, proto, client string) Responder {
	req.Env = environ.Env{}
	req.Env.Set("REQUEST_METHOD", method)
	req.Env.Set("REQUEST_URI", uri)
	req.Env.Set("SERVER_PROTOCOL", proto)
	req.Env.Set("REMOTE_ADDR", client)
	req.Account.Failure = e
	if refuse != nil {
		return refuse(e)
	}
	return ResponderFunc(func(context.Context, *Request) (*Response, error) { return nil, e })
}

// body gives req the request's body.
func (h *Handler) body(rw *responseWriter, r *http.Request, req *Request) *clientBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	b := &clientBody{body: r.Body, rc: rw.rc, timeout: orMinute(h.BodyTimeout), length: r.ContentLength}
	req.Body, req.ContentLength = b, r.ContentLength
	if r.ProtoMajor == 1 {
		_ = rw.rc.EnableFullDuplex() // an answer may begin before the body was read (A58)
	}
	return b
}

// PlainError is an error as a visitor may see it: the status and nothing else.
func PlainError(e *Error) *Response {
	code := e.StatusCode()
	text := http.StatusText(code)
	if text == "" {
		text = "Error"
	}
	return ErrorResponse(e, "text/plain; charset=utf-8", strconv.Itoa(code)+" "+text+"\n")
}

// ErrorResponse is a response with e's status, its Retry-After, and a page.
func ErrorResponse(e *Error, contentType, page string) *Response {
	resp := &Response{
		Status: e.StatusCode(), ContentLength: int64(len(page)),
		Header: Header{{"Content-Type", contentType}, {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}},
		Body:   textBody(page),
	}
	if e.Kind == Busy {
		wait := int64((e.RetryAfter + time.Second - 1) / time.Second)
		resp.Header.Add("Retry-After", strconv.FormatInt(max(wait, 1), 10))
	}
	return resp
}

// idPrefix tells this process's requests from any other's.
var idPrefix = func() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:]) + "-"
}()

var idCount atomic.Uint64

// newID returns a request's ID: twelve hexadecimal digits drawn once for this
// process, a hyphen and a number.
func newID() string { return idPrefix + strconv.FormatUint(idCount.Add(1), 36) }

// responseWriter writes one Response to a client.
type responseWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	r        *http.Request
	body     *clientBody // nil: none
	hijacked net.Conn    // nil: it is net/http's
	timeout  time.Duration
	armed    time.Time // when the write deadline was last set
}

// interim sends a 1xx response (A86).
func (rw *responseWriter) interim(status int, h Header) {
	header := rw.w.Header()
	for _, f := range h {
		header.Add(f.Name, f.Value)
	}
	rw.arm()
	rw.w.WriteHeader(status)
	clear(header)
}

// write sends the response and reports whether all of it was sent.
func (rw *responseWriter) write(resp *Response, software string) bool {
	sent, progress := &resp.Sent, resp.Progress
	if resp.Raw {
		if rw.r.ProtoMajor == 1 {
			return rw.relay(resp)
		}
		parsed, err := parseRaw(resp)
		if err != nil {
			parsed = PlainError(AsError(err))
		}
		resp = parsed
	}
	rw.header(resp, software)
	rw.arm()
	rw.w.WriteHeader(resp.Status)
	switch {
	case bodiless(rw.r.Method, resp.Status):
		if resp.satisfied != nil {
			resp.satisfied()
		}
		_ = rw.rc.Flush() // the client has all: it need not wait for the program's end
		if resp.satisfied == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // however it ends
			rw.arm()
		}
		return true
	}
	var whole bool
	*sent, whole = copyBody(rw.w, rw, resp.Body, true, progress)
	rw.arm() // net/http has still to write, and the silence before the end was the program's
	if whole && resp.ContentLength >= 0 {
		_ = rw.rc.Flush() // the client has all: it need not wait for the program's end
	}
	return whole
}

func (rw *responseWriter) flush() error { return rw.rc.Flush() }

// header hands the fields to net/http, and keeps it from adding any but Date and
// the framing.
func (rw *responseWriter) header(resp *Response, software string) {
	header := rw.w.Header()
	values := make([]string, len(resp.Header)+2)
	for n, f := range resp.Header {
		if equalFold(f.Name, "X-Sendfile") || equalFold(f.Name, "X-Accel-Redirect") { // A84
			continue
		}
		key := textproto.CanonicalMIMEHeaderKey(f.Name)
		if old, ok := header[key]; ok {
			header[key] = append(old, f.Value)
			continue
		}
		values[n] = f.Value
		header[key] = values[n : n+1 : n+1]
	}
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // never sniffed (A78)
	}
	if rw.r.ProtoMajor == 1 && !rw.body.isWhole() {
		header["Connection"] = []string{"close"}
	}
	if _, ok := header["Server"]; !ok {
		n := len(values) - 2
		values[n] = software
		header["Server"] = values[n : n+1 : n+1]
	}
	switch {
	case resp.Status == 204, resp.Status == 304:
	case resp.Status == 205:
		header["Content-Length"] = []string{"0"}
	case resp.ContentLength >= 0:
		n := len(values) - 1
		values[n] = strconv.FormatInt(resp.ContentLength, 10)
		header["Content-Length"] = values[n:]
	}
}

// arm moves the write deadline on, not more often than is useful.
func (rw *responseWriter) arm() {
	if now := time.Now(); now.Sub(rw.armed) > rw.timeout/8 {
		rw.armed = now
		_ = rw.rc.SetWriteDeadline(now.Add(rw.timeout))
	}
}

// relay writes a raw response to an HTTP/1 connection and closes that (A95).
func (rw *responseWriter) relay(resp *Response) bool {
	conn, bw, err := rw.rc.Hijack()
	if err != nil {
		return false
	}
	rw.hijacked = conn
	defer context.AfterFunc(rw.r.Context(), func() { _ = conn.SetDeadline(time.Unix(0, 1)) })()
	_ = bw.Flush()
	raw := &responseWriter{w: rw.w, r: rw.r, timeout: rw.timeout, rc: http.NewResponseController(connWriter{conn, rw.w})}
	out := &rawWriter{conn: conn}
	resp.Sent, _ = copyBody(out, raw, resp.Body, false, resp.Progress)
	resp.Status = out.status()
	return true // the connection is closed, whole or not
}

// rawWriter keeps the beginning of a raw response, for the log.
type rawWriter struct {
	conn net.Conn
	head []byte
}

func (w *rawWriter) Write(p []byte) (int, error) {
	if room := len("HTTP/1.1 200") - len(w.head); room > 0 {
		w.head = append(w.head, p[:min(room, len(p))]...)
	}
	return w.conn.Write(p)
}

// status is that of the status line; 0 where there is none.
func (w *rawWriter) status() int {
	_, code, _ := strings.Cut(string(w.head), " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || !strings.HasPrefix(string(w.head), "HTTP/") {
		return 0
	}
	return n
}

// hangUp closes a hijacked connection. While the client still sends a body, closing at
// once would reset the connection, and what it has not read of the response were lost
// to it (E33).
func (rw *responseWriter) hangUp() {
	conn := rw.hijacked
	if conn == nil {
		return
	}
	defer conn.Close()
	if half, ok := conn.(interface{ CloseWrite() error }); ok && !rw.body.isWhole() && half.CloseWrite() == nil {
		const most = 16 << 20
		_ = conn.SetReadDeadline(time.Now().Add(lingering))
		_, _ = io.CopyN(io.Discard, conn, most)
	}
}
