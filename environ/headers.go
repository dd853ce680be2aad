package environ

import (
	"cmp"
	"net/http"
	"strings"
)

// maxConnection bounds the Connection field in bytes, as every other field is
// looked up in it.
const maxConnection = 4 << 10

// fold makes a byte of a field name one of a variable's name (A30). PHP folds
// "." too, hence every other character (E22).
func fold(c byte) byte {
	if isAlnum(c) {
		return upper(c)
	}
	return '_'
}

// fields appends the header fields that may become HTTP_* variables.
func (s *Server) fields(to []field, h http.Header, trusted bool) ([]field, error) {
	connection := h["Connection"]
	if err := checkConnection(connection); err != nil {
		return nil, err
	}
	limit := cmp.Or(s.MaxFields, defaultMaxFields)
	lines := 0
	for key, values := range h {
		if lines += len(values); lines > limit {
			return nil, refuse(http.StatusRequestHeaderFieldsTooLarge, "more than %d header fields", limit)
		}
		ok, err := s.admits(key, isPlainName(key) || s.allows(key), connection, trusted)
		if err != nil {
			return nil, err
		}
		if ok && len(values) > 0 {
			to = append(to, field{key, values[0], values[1:]})
		}
	}
	return to, nil
}

func checkConnection(lines []string) error {
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if size > maxConnection {
		return refuse(http.StatusRequestHeaderFieldsTooLarge, "Connection field of %d bytes, the limit is %d", size, maxConnection)
	}
	return nil
}

// admits reports whether the field may become a variable; usual, whether its name
// has the usual characters only.
func (s *Server) admits(key string, usual bool, connection []string, trusted bool) (bool, error) {
	if !usual {
		if s.Strict {
			return false, badRequest("field name %s has a character outside A-Z, 0-9 and \"-\"", short(key))
		}
		return false, nil
	}
	switch classify(key) {
	case never:
		return false, nil
	case proxys:
		// Not subject to Connection: there a client could make the field that
		// its proxy has set disappear (CVE-2022-31813).
		return trusted, nil
	}
	return !isListed(connection, key), nil
}

func (s *Server) allows(key string) bool {
	for _, name := range s.Allow {
		if equalFold(name, key) {
			return true
		}
	}
	return false
}

func isPlainName(key string) bool {
	for i := 0; i < len(key); i++ {
		if !isAlnum(key[i]) && key[i] != '-' {
			return false
		}
	}
	return key != ""
}

type class int

const (
	ordinary class = iota
	never          // no variable is made of it
	proxys         // a proxy's to set: believed from trusted ones only
)

// classify sorts field names as the program would see them, so that no
// spelling gets around it.
func classify(key string) class {
	var folded [32]byte // longer than every name below
	n := 0
	for n < len(key) && n < len(folded) {
		folded[n] = fold(key[n])
		n++
	}
	name := string(folded[:n]) // short enough to stay on the stack
	switch name {
	case "PROXY", // E24: HTTP_PROXY directs the program's own requests
		"REDIRECT_STATUS", // A35: php-cgi takes it for ours
		"HOST",            // comes from the request, not from the header
		// A32, RFC 3875 section 4.1.18: has a variable without HTTP_.
		"CONTENT_TYPE", "CONTENT_LENGTH",
		// A32, RFC 9110 section 7.6.1: between the client and this server.
		"TRANSFER_ENCODING", "CONNECTION", "KEEP_ALIVE", "TE", "TRAILER",
		"UPGRADE", "PROXY_CONNECTION", "HTTP2_SETTINGS":
		return never
	case "FORWARDED", "X_REAL_IP", "REMOTE_USER": // E23
		return proxys
	}
	if strings.HasPrefix(name, "X_FORWARDED") || strings.HasPrefix(name, "SSL_") { // E23
		return proxys
	}
	return ordinary
}

// isListed reports whether a Connection field names key, which then was meant
// for this server only (A32).
func isListed(connection []string, key string) bool {
	for _, line := range connection {
		for more := true; more; {
			var name string
			name, line, more = strings.Cut(line, ",")
			// As variables: a front's names are folded already.
			if name = trimSpace(name); len(name) == len(key) && compareFolded(name, key) == 0 {
				return true
			}
		}
	}
	return false
}
