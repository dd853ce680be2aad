package environ

import (
	"iter"
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds the walk along the addresses that proxies have left behind.
const maxHops = 32

// via is what trusted proxies say about the request that the first of them was
// sent (E25). Fields with a zero value were not said, or not understandably.
type via struct {
	addr   netip.Addr
	port   uint16
	scheme string // "http" or "https"
	host   string // as in a Host field, valid
	// serverPort is X-Forwarded-Port, the port that the proxy listens on.
	serverPort uint16
}

// proxyFields are the lines of the fields in which proxies speak.
type proxyFields struct{ xFor, xProto, xHost, xPort, forwarded []string }

func proxyFieldsOf(h http.Header) proxyFields {
	return proxyFields{
		xFor: h["X-Forwarded-For"], xProto: h["X-Forwarded-Proto"], xHost: h["X-Forwarded-Host"],
		xPort: h["X-Forwarded-Port"], forwarded: h["Forwarded"],
	}
}

// forwarded reads the fields of a request that came from a trusted peer.
//
// A proxy sets either X-Forwarded-For and its companions or Forwarded and may
// pass on the other as the client wrote it. Which is which cannot be known, so
// when both name a client they must agree.
func (s *Server) forwarded(p proxyFields) (via, error) {
	x := s.xForwarded(p)
	if len(p.forwarded) == 0 {
		return x, nil
	}
	f := s.rfc7239(p.forwarded)
	switch {
	case !f.addr.IsValid():
		return x, nil
	case !x.addr.IsValid():
		return f, nil
	case x.addr != f.addr:
		return via{}, badRequest("X-Forwarded-For names the client %s, Forwarded names %s", x.addr, f.addr)
	}
	return x, nil
}

// trusts reports whether a, which is not a v4-mapped address, is in a trusted
// prefix. A prefix of v4-mapped addresses is one of IPv4 addresses; other IPv6
// prefixes, "::/0" among them, hold no IPv4 address.
func (s *Server) trusts(a netip.Addr) bool {
	for _, p := range s.Trusted {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// xForwarded reads X-Forwarded-For from the right, where the nearest proxy has
// written, up to the first address that is not itself trusted. What is further
// left, or follows something malformed, is only a client's word.
func (s *Server) xForwarded(p proxyFields) via {
	var v via
	hop := 0 // the element of the client, from the right
	n := 0
	walking := true
	for element := range elements(p.xFor, false) {
		if walking && n < maxHops {
			addr, port, ok := parseNode(element)
			if ok {
				v.addr, v.port, hop = addr, port, n
			}
			walking = ok && s.trusts(addr)
		}
		n++
	}
	v.scheme = parseScheme(pick(p.xProto, n, hop))
	v.host = parseForwardedHost(pick(p.xHost, n, hop))
	v.serverPort, _ = parsePort(pick(p.xPort, n, hop))
	return v
}

// pick returns the element of lines that belongs to the hop-th of n addresses,
// from the right: either every proxy has added one, or the last has set the only
// one. Any other number cannot be matched and gives "".
func pick(lines []string, n, hop int) string {
	var at, last string
	count := 0
	for element := range elements(lines, false) {
		if count == 0 {
			last = element
		}
		if count == hop {
			at = element
		}
		count++
	}
	switch count {
	case 1:
		return last
	case n:
		return at
	}
	return ""
}

// rfc7239 reads Forwarded (RFC 7239 section 4) as xForwarded reads its field.
// Here the scheme and host stand beside the address that they belong to.
func (s *Server) rfc7239(lines []string) via {
	var v via
	n := 0
	for element := range elements(lines, true) {
		p, ok := parseForwardedElement(element)
		if !ok || n == maxHops {
			break
		}
		addr, port, ok := parseNode(p.node)
		if !ok { // "unknown" and "_hidden" are honest answers, but no address
			break
		}
		v = via{addr: addr, port: port, scheme: parseScheme(p.proto), host: parseForwardedHost(p.host)}
		if !s.trusts(addr) {
			break
		}
		n++
	}
	return v
}

// elements yields the elements of a list field (RFC 9110 section 5.6.1), the
// last first and without the empty ones. Going backwards, what the nearest
// proxy appended is read before an unclosed quote of the client's can hide it.
func elements(lines []string, quoted bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := len(lines) - 1; i >= 0; i-- {
			for rest := lines[i]; rest != ""; {
				cut := lastComma(rest, quoted)
				element := trimSpace(rest[cut+1:])
				rest = rest[:max(cut, 0)]
				if element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// lastComma returns where the last comma of s is, or -1; with quoted, commas
// between double quotes do not count.
func lastComma(s string, quoted bool) int {
	inside := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case quoted && s[i] == '"' && !(inside && isEscaped(s, i)):
			inside = !inside
		case s[i] == ',' && !inside:
			return i
		}
	}
	return -1
}

// isEscaped reports whether an odd number of backslashes is before s[i]. Only
// the last few are looked at: no address, scheme or host has a backslash.
func isEscaped(s string, i int) bool {
	const most = 8
	n := 0
	for n < most && i-n > 0 && s[i-n-1] == '\\' {
		n++
	}
	return n%2 == 1
}

// forwardedElement has the parameters of RFC 7239 section 5 that matter here.
type forwardedElement struct{ node, host, proto string }

// parseForwardedElement reads name=value pairs between semicolons. Values may
// have the characters of an address without the quotes that RFC 7239 section 6
// demands, since many proxies write them so.
func parseForwardedElement(s string) (p forwardedElement, ok bool) {
	for {
		s = strings.TrimLeft(s, "; \t")
		if s == "" {
			return p, true
		}
		name, rest, found := strings.Cut(s, "=")
		if !found || !isToken(name) {
			return p, false
		}
		var value string
		if value, s, ok = cutValue(rest); !ok || !p.set(name, value) {
			return p, false
		}
	}
}

// set stores a parameter; none may be there twice (RFC 7239 section 4).
func (p *forwardedElement) set(name, value string) bool {
	to := (*string)(nil)
	switch {
	case equalFold(name, "for"):
		to = &p.node
	case equalFold(name, "host"):
		to = &p.host
	case equalFold(name, "proto"):
		to = &p.proto
	default: // by, and extensions
		return true
	}
	if *to != "" || value == "" {
		return false
	}
	*to = value
	return true
}

// cutValue takes a token or a quoted string (RFC 9110 section 5.6.4) from the
// start of s; after it comes a semicolon or nothing.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, ';')
		if end < 0 {
			end = len(s)
		}
		value = trimSpace(s[:end])
		return value, s[end:], !strings.ContainsAny(value, "\" \t\\")
	}
	end := 1
	for end < len(s) && s[end] != '"' {
		if s[end] == '\\' {
			return "", "", false // nothing that is of use needs an escape
		}
		end++
	}
	if end == len(s) {
		return "", "", false
	}
	value, rest = s[1:end], trimSpace(s[end+1:])
	return value, rest, rest == "" || rest[0] == ';'
}

// parseNode reads an IP address with or without a port: "192.0.2.1:80",
// "[2001:db8::1]:80", and also a bare "2001:db8::1", as X-Forwarded-For has it.
// A port that is hidden behind a name ("_http", RFC 7239 section 6.2) is left
// out.
func parseNode(s string) (addr netip.Addr, port uint16, ok bool) {
	text := s
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return addr, 0, false
		}
		text, s = s[1:end], s[end+1:]
	case strings.Count(s, ":") == 1:
		colon := strings.IndexByte(s, ':')
		text, s = s[:colon], s[colon:]
	default:
		s = ""
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, 0, false
	}
	if s == "" {
		return addr.Unmap(), 0, true
	}
	if s[0] != ':' {
		return netip.Addr{}, 0, false
	}
	if strings.HasPrefix(s, ":_") {
		return addr.Unmap(), 0, true
	}
	port, ok = parsePort(s[1:])
	return addr.Unmap(), port, ok
}

// parseScheme returns "http", "https", or "" for anything else.
func parseScheme(s string) string {
	switch {
	case equalFold(s, "https"):
		return "https"
	case equalFold(s, "http"):
		return "http"
	}
	return ""
}

// parseForwardedHost returns s if it is a valid host, else "".
func parseForwardedHost(s string) string {
	if _, _, err := ParseHost(s); err != nil {
		return ""
	}
	return s
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }
