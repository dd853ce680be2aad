// Package cgi is RFC 3875, the Common Gateway Interface 1.1, as values: a Request
// is meta-variables and a body, a Response is a status, header fields and a body,
// and a Responder makes one from the other, as http.RoundTripper does for HTTP.
//
// Handler serves HTTP with any Responder. Program is the Responder that runs a
// process for each request. ReadResponse is the one parser of what applications
// print, and AppendHeader its opposite; back ends and fronts of other protocols
// use the same two.
package cgi

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"gatehouse/environ"
	"gatehouse/process"
)

// A Responder answers requests. It may be used by several goroutines at once.
//
// Respond returns when the header of the response is known; its body is then
// pulled by the caller, who must call Response.Close. Cancelling ctx ends the
// work, during Respond and after it until Close. An error is an *Error, or
// counts as one of Kind Internal.
type Responder interface {
	Respond(ctx context.Context, req *Request) (*Response, error)
}

// ResponderFunc is a function that is a Responder.
type ResponderFunc func(ctx context.Context, req *Request) (*Response, error)

// Respond calls f.
func (f ResponderFunc) Respond(ctx context.Context, req *Request) (*Response, error) {
	return f(ctx, req)
}

// Request is one request (RFC 3875 section 4). A Responder that changes it works
// on a copy; the Env's Clone is a copy that may be changed.
type Request struct {
	Env environ.Env

	// Received are the variables as a trusted web server in front sent them
	// (see environ.Server.Received); empty for a request over HTTP.
	Received environ.Env

	// Path is the path of the URL, decoded once and normalised (A37), by
	// which requests are routed.
	Path string

	// Body is the request's body, nil when there is none. It may be read
	// until Response.Close has returned, or Respond has failed. The back that
	// reads it does not close it.
	Body io.Reader

	// ContentLength is the length of Body in bytes: 0 for none, -1 where it
	// is not known; a Spool makes it known.
	ContentLength int64

	// BodyFirst says that whoever sends Body stops when a response begins, as nginx
	// does over FastCGI and SCGI: a Spool reads it to its end before.
	BodyFirst bool

	// ID is unique among all requests, for logs; it is the application's
	// variable UNIQUE_ID.
	ID string

	// Trusted says that the request came from a web server whose word about its client
	// is taken (B73, E25).
	Trusted bool

	// Stderr gets what the application writes to its standard error, beside
	// the log; nil means nobody else does.
	Stderr io.Writer

	// Interim, if set, is called with each 1xx response that precedes the
	// response, before Respond returns; nil where the client takes none.
	Interim func(status int, h Header)

	// Account is filled in by those who answer; nil where nobody asks.
	Account *Account
}

// Method is the request's method, REQUEST_METHOD.
func (r *Request) Method() string { return r.Env.Get("REQUEST_METHOD") }

// Progress is that of the Account, nil where nobody looks.
func (r *Request) Progress() *Progress {
	if r.Account == nil {
		return nil
	}
	return r.Account.Progress
}

// account returns the Account to fill in, never nil.
func (r *Request) account() *Account {
	if r.Account == nil {
		r.Account = new(Account)
	}
	return r.Account
}

// Account is what answering one request took. Responders fill it in until
// Response.Close has returned (or Respond has failed); it is read after that.
type Account struct {
	Site, Route string // as the configuration names them
	Script      string // file that was run, or sent
	User        string // whom the request was found to come from; "" for nobody

	Pid      int // process that answered; 0 when none did
	Exit     process.Exit
	HaveExit bool   // Exit is known
	How      string // process.Process.How: "warm: …", "cold: …", or ""

	Queued    time.Duration // waiting for a turn
	Spawn     time.Duration // starting the process
	FirstByte time.Duration // from the process's start to its first output
	Retries   int           // how often it was sent once more, to another connection or process

	Received int64 // bytes of the request's body that were read
	Earlier  int   // requests that the connection had carried before this one
	Kept     bool  // the connection may carry others after it
	Aborted  bool  // the client did not get all of the response
	Slow     bool  // it took longer than it should

	Failure *Error // why there was no proper response, or why it was cut short

	// Progress is told where the answering is, unlike the rest while others may look;
	// nil where nobody does.
	Progress *Progress
}

// Response is an application's answer (RFC 3875 section 6).
type Response struct {
	Status int    // 200 to 599
	Reason string // the application's own phrase, "" for the usual one
	Header Header // without Status, Content-Length and hop-by-hop fields

	// ContentLength is the length of Body that the application declared, or
	// -1. Body gives no more, and fails if there is less (A80).
	ContentLength int64

	// Body is never nil. Its Read may be stopped by the request's context.
	// Close the Response, not the Body.
	Body io.ReadCloser

	// Raw means that Body holds a whole HTTP/1 response (a non-parsed header
	// response, RFC 3875 section 5) and that the other fields mean nothing.
	Raw bool

	// Gone, if set, is closed when nothing is left of the work, which may be
	// some time after Close: a process that ignores SIGTERM holds its place
	// until it is dead.
	Gone <-chan struct{}

	// Sent is how many bytes of Body the front has handed to the client; it
	// sets it before Close.
	Sent int64

	// Progress, if set, is told of each piece of Body that the front has handed on.
	Progress *Progress

	// satisfied, if set, is called by a front whose client has all that it will get: it
	// may go then without harm to the work, which still ends by itself.
	satisfied func()

	implied bool // Status is 302 because there was a Location and no Status

	once    sync.Once
	onClose []func()
	err     error
}

// OnClose has f called by Close, after the body was closed. Functions are called in the
// order in which they were given: those of an inner Responder first.
func (r *Response) OnClose(f func()) { r.onClose = append(r.onClose, f) }

// Close ends the response and the work behind it, whether or not its body was
// read to the end. It returns the body's error; calls after the first do nothing.
func (r *Response) Close() error {
	r.once.Do(func() {
		r.err = r.Body.Close()
		for _, f := range r.onClose {
			f()
		}
	})
	return r.err
}

// LocalRedirect returns the path and query of a local redirect (RFC 3875 section
// 6.2.2), or "" when this is none: it is one if Location is a path, is the only
// field, and no Status was given. "//host" is not a path (A89, A90).
func (r *Response) LocalRedirect() string {
	if r.Raw || r.Status != 302 || !r.implied || len(r.Header) != 1 || r.ContentLength >= 0 {
		return ""
	}
	f := r.Header[0]
	if !strings.EqualFold(f.Name, "Location") || !strings.HasPrefix(f.Value, "/") || strings.HasPrefix(f.Value, "//") {
		return ""
	}
	return f.Value
}
