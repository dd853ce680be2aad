// Package fastcgi is the FastCGI 1.0 protocol, both of its ends.
//
// The codec is functions that append records to a byte slice or take them apart,
// and a Reader that takes records from a connection; Transport is the web server's
// end, a cgi.Responder over a pool of connections; Server is the application's end,
// which stands behind nginx, Apache, lighttpd or HAProxy. The package knows
// connections, not processes.
//
// Section numbers are those of the FastCGI specification.
package fastcgi

import (
	"errors"
	"strconv"
)

// Type is the type of a record (section 8).
type Type uint8

// The record types. Those from TypeGetValues on are management records, which have
// request id 0.
const (
	TypeBeginRequest    Type = 1
	TypeAbortRequest    Type = 2
	TypeEndRequest      Type = 3
	TypeParams          Type = 4
	TypeStdin           Type = 5
	TypeStdout          Type = 6
	TypeStderr          Type = 7
	TypeData            Type = 8
	TypeGetValues       Type = 9
	TypeGetValuesResult Type = 10
	TypeUnknownType     Type = 11
)

var typeNames = [...]string{
	"", "BEGIN_REQUEST", "ABORT_REQUEST", "END_REQUEST", "PARAMS", "STDIN", "STDOUT", "STDERR", "DATA",
	"GET_VALUES", "GET_VALUES_RESULT", "UNKNOWN_TYPE",
}

// String is the specification's name, or "type N".
func (t Type) String() string { return named(typeNames[:], int(t), "type ") }

// known reports whether t is one of the types above.
func (t Type) known() bool { return t >= TypeBeginRequest && t <= TypeUnknownType }

// Role is what an application is to be for one request (section 6).
type Role uint16

// The roles.
const (
	RoleResponder  Role = 1
	RoleAuthorizer Role = 2
	RoleFilter     Role = 3
)

var roleNames = [...]string{"", "RESPONDER", "AUTHORIZER", "FILTER"}

// String is the specification's name, or "role N".
func (r Role) String() string { return named(roleNames[:], int(r), "role ") }

// ProtocolStatus is how the protocol's part of a request ended (section 5.5).
type ProtocolStatus uint8

// The protocol statuses.
const (
	StatusRequestComplete ProtocolStatus = 0
	StatusCantMpxConn     ProtocolStatus = 1
	StatusOverloaded      ProtocolStatus = 2
	StatusUnknownRole     ProtocolStatus = 3
)

var statusNames = [...]string{"REQUEST_COMPLETE", "CANT_MPX_CONN", "OVERLOADED", "UNKNOWN_ROLE"}

// String is the specification's name, or "status N".
func (s ProtocolStatus) String() string { return named(statusNames[:], int(s), "status ") }

func named(names []string, n int, kind string) string {
	if n < len(names) && names[n] != "" {
		return names[n]
	}
	return kind + strconv.Itoa(n)
}

// Names that GET_VALUES may ask for (section 4.1).
const (
	MaxConns  = "FCGI_MAX_CONNS"
	MaxReqs   = "FCGI_MAX_REQS"
	MpxsConns = "FCGI_MPXS_CONNS"
)

// A ProtocolError says what a peer sent that the specification does not allow. The
// connection is of no use after one, unless whoever reports it says otherwise.
type ProtocolError struct{ Reason string }

// Error implements error.
func (e *ProtocolError) Error() string { return "fastcgi: " + e.Reason }

// ErrShort is returned where bytes end within a name-value pair.
var ErrShort = errors.New("fastcgi: name-value pair is cut short")
