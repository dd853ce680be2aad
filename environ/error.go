package environ

import (
	"fmt"
	"net/http"
	"strconv"
)

// Error says why a request, or a configured variable, was refused.
type Error struct {
	Status int    // the HTTP status to answer with: 400, 404, 414, 431, or 500 for a configured variable
	Reason string // for the log; values of the client's are quoted and shortened in it
}

func (e *Error) Error() string { return "environ: " + e.Reason }

func refuse(status int, format string, args ...any) *Error {
	return &Error{Status: status, Reason: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, format, args...)
}

// short quotes what a peer sent, so that no byte of it can disturb a log, and
// keeps the first 40 bytes.
func short(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
