package cgi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"time"

	"gatehouse/process"
)

// Kind is what kind of thing went wrong. There are few of them; each has one
// status (A97).
type Kind int

const (
	Internal      Kind = iota // a fault of the host
	BadRequest                // the request cannot be passed on
	NotFound                  // no such script or file
	Forbidden                 // it may not be run or sent
	BodyTooLarge              // the request's body is over the limit
	BodyFailed                // the client's body ended early
	BodyTimeout               // the client's body did not come
	TooManyHeader             // the environment is more than the system takes
	Busy                      // too many requests run and wait, or no process can be started now
	StartFailed               // the program cannot be started
	NoOutput                  // it ended without a word
	BadOutput                 // its output is no CGI response
	Timeout                   // it did not answer in time
	Truncated                 // its output ended in the middle
	ClientGone                // nobody waits for the answer any more
	Ended                     // the administrator has ended it
)

var kinds = [...]struct {
	name   string
	status int
}{
	Internal:      {"internal", http.StatusInternalServerError},
	BadRequest:    {"bad-request", http.StatusBadRequest},
	NotFound:      {"not-found", http.StatusNotFound},
	Forbidden:     {"forbidden", http.StatusForbidden},
	BodyTooLarge:  {"body-too-large", http.StatusRequestEntityTooLarge},
	BodyFailed:    {"body-failed", http.StatusBadRequest},
	BodyTimeout:   {"body-timeout", http.StatusRequestTimeout},
	TooManyHeader: {"environment-too-large", http.StatusRequestHeaderFieldsTooLarge},
	Busy:          {"busy", http.StatusServiceUnavailable},
	StartFailed:   {"start-failed", http.StatusInternalServerError},
	NoOutput:      {"no-output", http.StatusBadGateway},
	BadOutput:     {"bad-output", http.StatusBadGateway},
	Timeout:       {"timeout", http.StatusGatewayTimeout},
	Truncated:     {"truncated", http.StatusBadGateway},
	ClientGone:    {"client-gone", 499}, // nginx's number; seen in logs only
	Ended:         {"ended", http.StatusServiceUnavailable},
}

// Kinds are all there are.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for n := range all {
		all[n] = Kind(n)
	}
	return all
}

// ErrEnded is the cause (context.Cause) of a request's context that was cancelled by the
// administrator rather than by its client.
var ErrEnded = errors.New("the administrator has ended it")

func (k Kind) String() string {
	if k >= 0 && int(k) < len(kinds) {
		return kinds[k].name
	}
	return fmt.Sprintf("kind %d", int(k))
}

// Status is the HTTP status that tells a client of it.
func (k Kind) Status() int {
	if k >= 0 && int(k) < len(kinds) {
		return kinds[k].status
	}
	return http.StatusInternalServerError
}

// Error is why a request has no proper response. Reason is one sentence for the
// administrator or the author of the script; a visitor is not to see it.
type Error struct {
	Kind   Kind
	Reason string
	Err    error // the cause, or nil

	// Status, if not zero, is used in place of the Kind's own.
	Status int

	RetryAfter time.Duration // for Busy: when another try makes sense

	// What is known of the process, for the report.
	Script string
	Pid    int
	Exit   *process.Exit // nil when it is not known, or has not ended by itself
	Output []byte        // the first bytes it printed in place of a header
	Stderr string        // the last lines of its standard error

	// Gone is as in a Response; nil when no process was started.
	Gone <-chan struct{}
}

func (e *Error) Error() string {
	if e.Script != "" {
		return fmt.Sprintf("cgi: %s: %s", e.Script, e.Reason)
	}
	return "cgi: " + e.Reason
}

func (e *Error) Unwrap() error { return e.Err }

// StatusCode is the HTTP status for this error.
func (e *Error) StatusCode() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Kind.Status()
}

// AsError returns err as an *Error: what is none is of Kind Internal, or
// ClientGone when the context was cancelled.
func AsError(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return &Error{Kind: ClientGone, Reason: "the client has gone away", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: Timeout, Reason: "time limit", Err: err}
	}
	return &Error{Kind: Internal, Reason: err.Error(), Err: err}
}

// startFailure says what it means for the request that a process could not be
// started.
func startFailure(script string, err error) *Error {
	e := &Error{Kind: StartFailed, Script: script, Reason: err.Error(), Err: err}
	var se *process.StartError
	if errors.As(err, &se) {
		e.Reason = se.Reason
	}
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case is(context.Canceled):
		e.Kind = ClientGone
	case is(context.DeadlineExceeded):
		e.Kind = Timeout
	case is(syscall.E2BIG): // A28
		e.Kind = TooManyHeader
	case is(syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY, process.ErrClosed):
		e.Kind, e.RetryAfter = Busy, time.Second
	case is(fs.ErrPermission):
		if c := process.Check(script); c == nil || errors.Is(c.Err, fs.ErrPermission) {
			e.Kind = Forbidden
		}
	case is(fs.ErrNotExist):
		if c := process.Check(script); c != nil && errors.Is(c.Err, fs.ErrNotExist) {
			e.Kind = NotFound
		}
	}
	return e
}

// shorten returns the beginning of what a script printed, for a message.
func shorten(b []byte, most int) string {
	s := string(b)
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
