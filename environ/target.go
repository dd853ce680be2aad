package environ

import (
	"bytes"
	"net/http"
	"strings"
)

// ParseTarget splits the request target uri into the path, decoded once and
// normalised, and the query after the first "?", untouched (A07, A37-A40).
//
// The target is in origin-form ("/a?b") or in absolute-form with http or https
// ("http://host/a?b"), whose scheme and host are left out. The path begins with
// "/", has no empty, "." or ".." segment and no control character; it ends with
// "/" if the target's does or if its last segment is "." or "..". It need not
// be UTF-8: a path is bytes.
//
// Errors are of type *[Error]: 400 for any other form ("*", "host:80"), user
// information, "#", bytes outside the printable ASCII, a backslash, a wrong
// escape, an escaped control character and a ".." above the root; 404 for an
// escaped slash, which no file name contains. A target whose path needs no
// change costs no allocation.
func ParseTarget(uri string) (path, rawQuery string, err error) {
	_, origin, err := cutOrigin(uri)
	if err != nil {
		return "", "", err
	}
	raw, rawQuery, err := cutQuery(origin)
	if err != nil {
		return "", "", err
	}
	if isNormal(raw) {
		return raw, rawQuery, nil
	}
	path, err = normalise(raw)
	if err != nil {
		return "", "", err
	}
	return path, rawQuery, nil
}

// cutOrigin splits a target in absolute-form into the authority and what it
// would be in origin-form (RFC 9112 section 3.2). A target in origin-form has
// no authority. Other forms are no request for a resource of ours (E06).
func cutOrigin(uri string) (authority, origin string, err error) {
	if strings.HasPrefix(uri, "/") {
		return "", uri, nil
	}
	var rest string
	switch {
	case hasPrefixFold(uri, "http://"):
		rest = uri[len("http://"):]
	case hasPrefixFold(uri, "https://"):
		rest = uri[len("https://"):]
	default:
		return "", "", badRequest("request target %s is neither a path nor an http URL", short(uri))
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, origin = rest[:end], rest[end:]
	// "@": RFC 9110 section 4.2.4, user information is deprecated and
	// misleads (E15).
	if authority == "" || strings.Contains(authority, "@") {
		return "", "", badRequest("request target %s has no plain host", short(uri))
	}
	if !strings.HasPrefix(origin, "/") {
		origin = "/" + origin
	}
	return authority, origin, nil
}

// cutQuery splits a target in origin-form at the first "?", and refuses what no
// target may contain (E11, RFC 3986 section 3). The query is never decoded, so
// octets above ASCII may stay in it.
func cutQuery(origin string) (path, query string, err error) {
	path, query, _ = strings.Cut(origin, "?")
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return "", "", badRequest("request path %s has the byte %q", short(path), c)
		}
	}
	for i := 0; i < len(query); i++ {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return "", "", badRequest("query string %s has the byte %q", short(query), c)
		}
	}
	return path, query, nil
}

// isNormal reports whether normalise would return path as it is. It also says
// no to segments that only begin with a dot.
func isNormal(path string) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '%':
			return false
		case '/':
			if i+1 < len(path) && (path[i+1] == '/' || path[i+1] == '.') {
				return false
			}
		}
	}
	return true
}

// normalise decodes path, which begins with "/", segment by segment and then
// judges the decoded segment, so that "%2e%2e" is ".." (A37). Nothing is
// decoded twice (E51).
func normalise(path string) (string, error) {
	out := append(make([]byte, 0, len(path)+1), '/')
	for rest, more := path[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		start := len(out) // after a "/"
		var err error
		if out, err = appendDecoded(out, segment); err != nil {
			return "", err
		}
		switch string(out[start:]) {
		case "": // "//" is one slash (A38)
		case ".":
			out = out[:start]
		case "..":
			if start == 1 {
				return "", badRequest("request path %s leaves the root", short(path))
			}
			out = out[:bytes.LastIndexByte(out[:start-1], '/')+1]
		default:
			if more {
				out = append(out, '/')
			}
		}
	}
	return string(out), nil
}

// appendDecoded appends the segment with its escapes decoded. Octets above
// ASCII pass, also those that are not UTF-8.
func appendDecoded(out []byte, segment string) ([]byte, error) {
	for i := 0; i < len(segment); i++ {
		if segment[i] != '%' {
			out = append(out, segment[i])
			continue
		}
		if len(segment)-i < 3 || !isHex(segment[i+1]) || !isHex(segment[i+2]) {
			return nil, badRequest("request path has the wrong escape %s", short(segment[i:min(i+3, len(segment))]))
		}
		c := unhex(segment[i+1])<<4 | unhex(segment[i+2])
		switch {
		case c == '/': // A39; RFC 3875 section 4.1.5 lets a server refuse it
			return nil, refuse(http.StatusNotFound, "request path has an escaped slash in %s", short(segment))
		case c < ' ' || c == 0x7f: // A40
			return nil, badRequest("request path has the control character %s", short(segment[i:i+3]))
		}
		out = append(out, c)
		i += 2
	}
	return out, nil
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
