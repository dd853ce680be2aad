package cgi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gatehouse/environ"
)

// Gateway serves requests that a web server in front hands over as CGI variables,
// by FastCGI or SCGI, with a Responder: what Handler is for HTTP. It knows no
// protocol; the servers of those do.
type Gateway struct {
	Responder Responder

	// Server makes the meta-variables and says which fronts are believed; nil
	// means the zero environ.Server, which believes none.
	Server *environ.Server

	// Refuse returns the Responder that answers a request which cannot be
	// passed on; nil means one that fails with e.
	Refuse func(e *Error) Responder

	// MaxTarget is the longest request target, in bytes (414); MaxFields the
	// largest number of header fields (431). Zero means 8 KiB and 100 (E30).
	MaxTarget, MaxFields int

	// Log is told of bodies that are longer than announced; nil means
	// slog.Default.
	Log *slog.Logger
}

// Incoming is one request as it came from a web server in front, and the way back.
type Incoming struct {
	Vars []string // "NAME=value" as received, duplicates and all; not to be changed any more
	Peer environ.Peer

	// Body is what the front sends as the request's body, to its end, which
	// may be before or after the length that it told; nil for none. Where it told
	// none, Serve first waits for a byte or the end of it (B75). A Read may
	// be under way when Serve returns, and none begins after that: who gives the
	// Body makes it return then, and when the context is done. If it has a method
	// Buffered() int, that tells how much came that nobody has read.
	Body io.Reader

	Out    io.Writer    // takes the response: header as AppendHeader makes it, and body
	Flush  func() error // sends what Out holds back; nil where it holds nothing
	Errors io.Writer    // gets one line saying why there was no proper response; nil for none

	// Stderr gets what the application writes to its standard error, beside the
	// log and while others write to Out; nil for none. Nothing comes when Serve
	// has returned.
	Stderr io.Writer
}

// Serve answers one request. whole is false when the response was cut short, by
// either side: then the server must not give it a proper end.
func (g *Gateway) Serve(ctx context.Context, in *Incoming) (status int, whole bool) {
	req := &Request{ID: newID(), Account: new(Account)}
	if in.Stderr != nil {
		gate := &gatedWriter{w: in.Stderr}
		defer gate.shut()
		req.Stderr = gate
	}
	responder, body := g.request(req, in)
	refused := req.Account.Failure != nil
	resp, err := responder.Respond(ctx, req)
	if err != nil {
		e := AsError(err)
		if req.Account.Failure == nil {
			req.Account.Failure = e
		}
		resp = PlainError(e)
	}
	status, whole = g.write(in, req.Env.Get("REQUEST_METHOD"), resp)
	if a := req.Account; a != nil {
		a.Received, a.Aborted = body.received(), !whole
	}
	_ = resp.Close()
	if body.stop() {
		g.log().Warn("request body longer than announced", "request", req.ID, "content_length", req.ContentLength)
	}
	g.tell(in.Errors, req.Account.Failure, refused)
	return status, whole
}

func (g *Gateway) server() *environ.Server {
	if g.Server != nil {
		return g.Server
	}
	return &zeroServer
}

func (g *Gateway) log() *slog.Logger {
	if g.Log != nil {
		return g.Log
	}
	return slog.Default()
}

// request fills in req and returns who answers it.
func (g *Gateway) request(req *Request, in *Incoming) (Responder, *gatewayBody) {
	told := toldIn(in.Vars)
	if e := checkHead(told.method, len(told.uri), told.fields, g.MaxTarget, g.MaxFields); e != nil {
		return g.refused(req, in, &told, e), nil
	}
	env, err := g.server().FromGateway(in.Vars, in.Peer)
	if err != nil {
		return g.refused(req, in, &told, requestError(err)), nil
	}
	path, _, err := environ.ParseTarget(env.Get("REQUEST_URI"))
	if err != nil {
		return g.refused(req, in, &told, requestError(err)), nil
	}
	body, err := openBody(req, in.Body, told.length)
	if err != nil {
		return g.refused(req, in, &told, AsError(bodyError(err))), nil
	}
	req.Env, req.Path, req.Trusted = env, path, g.server().TrustsPeer(in.Peer)
	req.Received = g.server().Received(in.Vars, in.Peer)
	req.BodyFirst = req.Body != nil
	return g.Responder, body
}

// told is what is looked at before the variables are understood, and all that is
// known of a request that is refused.
type told struct {
	method, uri, proto, client, length string
	fields                             int
}

func toldIn(vars []string) (t told) {
	for _, pair := range vars {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "REQUEST_METHOD":
			t.method = value
		case "REQUEST_URI":
			t.uri = value
		case "SERVER_PROTOCOL":
			t.proto = value
		case "REMOTE_ADDR":
			t.client = value
		case "CONTENT_LENGTH":
			if t.length = value; value == environ.UnknownLength {
				t.length = ""
			}
		default:
			if strings.HasPrefix(name, "HTTP_") {
				t.fields++
			}
		}
	}
	return t
}

func (g *Gateway) refused(req *Request, in *Incoming, t *told, e *Error) Responder {
	client := environ.UnknownAddr
	if g.server().TrustsPeer(in.Peer) {
		client = t.client
	} else if addr := in.Peer.Remote; addr != nil && strings.HasPrefix(addr.Network(), "tcp") {
		client = hostOf(addr.String())
	}
	return refused(req, e, g.Refuse, t.method, t.uri, t.proto, client)
}

// openBody gives req its body. Where no length was told, whether there is a body
// shows with its first byte (B75).
func openBody(req *Request, r io.Reader, length string) (*gatewayBody, error) {
	if r == nil {
		r = strings.NewReader("")
	}
	b := &gatewayBody{r: r, left: -1}
	if length == "" {
		first := make([]byte, 512)
		n, err := readSome(r, first)
		if n == 0 && err == io.EOF {
			return b, nil
		}
		if n == 0 {
			return nil, err
		}
		b.r = &restBody{rest: first[:n], r: r}
		req.Body, req.ContentLength = b, -1
		return b, nil
	}
	var err error
	if b.left, err = strconv.ParseInt(length, 10, 64); err != nil {
		return nil, err // FromGateway has seen to that
	}
	if b.left > 0 {
		req.Body, req.ContentLength = b, b.left
	}
	return b, nil
}

// readSome reads at least a byte, or the error.
func readSome(r io.Reader, p []byte) (n int, err error) {
	for n == 0 && err == nil {
		n, err = r.Read(p)
	}
	return n, err
}

// gatewayBody is a request's body of the announced length (B75): a shorter one ends
// in an error, what is beyond is cut off.
type gatewayBody struct {
	r    io.Reader
	left int64 // -1: not announced; written by the reader only
	got  int64

	mu      sync.Mutex // for what stop and Read share
	stopped bool
	longer  bool
}

func (b *gatewayBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	stopped := b.stopped
	b.mu.Unlock()
	switch {
	case stopped:
		return 0, errBodyStopped
	case b.left == 0:
		return 0, io.EOF
	}
	n, err := b.r.Read(p)
	b.mu.Lock()
	if b.left < 0 {
		b.got += int64(n)
		b.mu.Unlock()
		return n, err
	}
	if int64(n) > b.left {
		n, b.longer = int(b.left), true
	}
	b.left -= int64(n)
	b.got += int64(n)
	b.mu.Unlock()
	if err == io.EOF && b.left > 0 {
		err = &Error{Kind: BodyFailed, Err: io.ErrUnexpectedEOF, Reason: fmt.Sprintf(
			"the request's body ended %d bytes before the length that the web server in front announced", b.left)}
	}
	return n, err
}

// received is how much of it was read.
func (b *gatewayBody) received() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

// stop ends the reading, and reports whether the body was longer than announced as
// far as that is known. A nil body is fine.
func (b *gatewayBody) stop() (longer bool) {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if r, ok := b.r.(interface{ Buffered() int }); ok && b.left == 0 {
		return b.longer || r.Buffered() > 0
	}
	return b.longer
}

// write sends the response and reports whether all of it was sent.
func (g *Gateway) write(in *Incoming, method string, resp *Response) (status int, whole bool) {
	sent, progress := &resp.Sent, resp.Progress
	if resp.Raw { // there is no way to relay it (B38)
		parsed, err := parseRaw(resp)
		if err != nil {
			parsed = PlainError(AsError(err))
		}
		resp = parsed
	}
	w := gatewayWriter{in.Flush}
	_, err := in.Out.Write(gatewayHeader(resp))
	switch {
	case err != nil:
		return resp.Status, false
	case bodiless(method, resp.Status):
		_ = w.flush()                         // the client has all: it need not wait for the program's end
		_, _ = io.Copy(io.Discard, resp.Body) // however it ends
		return resp.Status, true
	}
	*sent, whole = copyBody(in.Out, w, resp.Body, true, progress)
	if whole && resp.ContentLength >= 0 {
		_ = w.flush() // as above
	}
	return resp.Status, whole
}

// gatewayHeader is the header block of resp as a front may pass it on (A87).
func gatewayHeader(resp *Response) []byte {
	head := &Response{Status: resp.Status, Reason: resp.Reason, Header: resp.Header, ContentLength: resp.ContentLength}
	switch resp.Status {
	case http.StatusNoContent, http.StatusNotModified:
		head.ContentLength = -1
	case http.StatusResetContent:
		head.ContentLength = 0
	}
	return AppendHeader(make([]byte, 0, 512), head)
}

// gatewayWriter is a front's way back, as copyBody needs it. The protocol's server
// minds the time that a write may take.
type gatewayWriter struct{ out func() error }

func (w gatewayWriter) arm() {}

func (w gatewayWriter) flush() error {
	if w.out == nil {
		return nil
	}
	return w.out()
}

// gatedWriter writes until it is shut.
type gatedWriter struct {
	mu sync.Mutex
	w  io.Writer // nil when it is shut
}

func (g *gatedWriter) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return len(p), nil
	}
	return g.w.Write(p)
}

func (g *gatedWriter) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}

// tell writes why there was no proper response, for the log of the web server in
// front. What clients do wrong is not told, unless it was already refused here: that
// may be the front's fault.
func (g *Gateway) tell(to io.Writer, e *Error, refused bool) {
	if to == nil || e == nil || e.byClient() || !refused && e.StatusCode() < 500 {
		return
	}
	reason := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f { // A100, E64
			return ' '
		}
		return r
	}, e.Error())
	_, _ = io.WriteString(to, "gatehouse: "+reason+"\n")
}
