package environ

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the longest host name in bytes (RFC 1035 section 2.3.4).
const maxHost = 255

// ParseHost splits the value of a Host field, or the authority of a target,
// into host and port (E10). The host is in lower case and without a final dot;
// an IPv6 address is in its shortest form and keeps its brackets, as
// SERVER_NAME needs them (A14). The port is "" if there is none, else between 1
// and 65535 without leading zeros.
//
// A host name may have letters, digits, "-", "_" and single dots, at most 255
// bytes: what RFC 3875 section 4.1.14 has, and "_", which is in use. RFC 3986
// section 3.2.2 has more ("$", "'", "%41"), which no DNS name contains and which
// would reach the pages and file names that scripts make of SERVER_NAME. A name
// whose last label is a number must be an IPv4 address.
//
// Errors are of type *[Error], with status 400.
func ParseHost(hostport string) (host, port string, err error) {
	host, port = cutPort(hostport)
	if port != "" {
		n, ok := parsePort(port[1:])
		if !ok {
			return "", "", badRequest("host %s has no valid port", short(hostport))
		}
		if port = port[1:]; port != "" && port[0] == '0' {
			port = strconv.Itoa(int(n))
		}
	}
	if strings.HasPrefix(host, "[") {
		if host = parseBracketed(host); host == "" {
			return "", "", badRequest("host %s is no IPv6 address", short(hostport))
		}
		return host, port, nil
	}
	host = strings.TrimSuffix(host, ".")
	if !isHostName(host) {
		return "", "", badRequest("host %s is not a host name", short(hostport))
	}
	return strings.ToLower(host), port, nil // ASCII by now
}

// cutPort splits before the colon that follows the host; the port keeps it.
func cutPort(hostport string) (host, port string) {
	from := 0
	if strings.HasPrefix(hostport, "[") {
		if from = strings.IndexByte(hostport, ']'); from < 0 {
			return hostport, ""
		}
	}
	if i := strings.IndexByte(hostport[from:], ':'); i >= 0 {
		return hostport[:from+i], hostport[from+i:]
	}
	return hostport, ""
}

// parsePort returns the port number, or 0 for "", which RFC 3986 section 3.2.3
// allows after the colon.
func parsePort(s string) (port uint16, ok bool) {
	if s == "" {
		return 0, true
	}
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) { // ParseUint is no help against "+1"
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

// parseBracketed returns "[address]" in its shortest form, or "" if host is
// none. A zone means nothing beyond its own machine.
func parseBracketed(host string) string {
	inner, closed := strings.CutSuffix(host[1:], "]")
	addr, err := netip.ParseAddr(inner)
	if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
		return ""
	}
	if text := addr.String(); text != inner {
		return "[" + text + "]"
	}
	return host
}

func isHostName(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	label := 0 // where the present label starts
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c == '.':
			if i == label {
				return false
			}
			label = i + 1
		case !isAlnum(c) && c != '-' && c != '_':
			return false
		}
	}
	if label == len(host) {
		return false
	}
	for i := label; i < len(host); i++ {
		if !isDigit(host[i]) {
			return true
		}
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is4()
}
