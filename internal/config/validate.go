package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// checkPath refuses what cannot name a file.
func checkPath(p string) (string, error) {
	switch {
	case p == "":
		return "", bad("", "empty path")
	case strings.ContainsRune(p, 0):
		return "", bad("", "path %s has a NUL in it", quote(p))
	case p == "~" || strings.HasPrefix(p, "~/"):
		return "", bad("write the folder in full", `"~" in path %s is not a shell's`, quote(p))
	}
	return p, nil
}

// parseHost returns a site's host in its canonical form: lower case, without a
// dot at its end, IPv6 in brackets.
func parseHost(text string) (string, error) {
	name, wild := strings.CutPrefix(text, "*.")
	v6 := name
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		v6 = name[1 : len(name)-1]
	}
	ip, ipErr := netip.ParseAddr(v6)
	switch {
	case text == "*":
		return "", bad("leave hosts out for every host", "bad host name %s", quote(text))
	case ipErr == nil && ip.Is6() && !wild && ip.Zone() == "":
		return "[" + ip.String() + "]", nil
	case strings.Contains(name, ":") && !strings.Contains(name, "/"):
		return "", bad("a host is written without a port", "bad host name %s", quote(text))
	}
	host, err := hostName(name)
	if err != nil || !wild {
		return host, err
	}
	if ipErr == nil {
		return "", bad("", "bad host name %s: an address has no names below it", quote(text))
	}
	return "*." + host, nil
}

// hostName checks a name of letters, digits, "-" and "_" in labels of up to 63
// bytes, 253 in all (RFC 1035 2.3.4), and returns it in lower case.
func hostName(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	hint := ""
	good := len(name) <= 253
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			good = false
		}
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		case c >= 0x80:
			good, hint = false, `write the "xn--" form of an international name`
		case c == '*':
			good, hint = false, `a "*." may only stand in front, as in "*.example.org"`
		default:
			good = false
		}
	}
	if !good {
		return "", bad(hint, "bad host name %s", quote(text))
	}
	return name, nil
}

// checkURLPath refuses what no decoded and normalised path (A37) can be.
func checkURLPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return bad(`expected one that begins with "/"`, "bad path %s", quote(p))
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad("", "bad path %s: it has a control character in it", quote(p))
	case strings.ContainsAny(p, "?#"):
		return bad("a query is no part of it", "bad path %s", quote(p))
	case strings.Contains(p, "//"):
		return bad("the path of a request has none once it is normalised", `bad path %s: it has an empty part`, quote(p))
	case hasDots(p):
		return bad("the path of a request has none once it is normalised", `bad path %s: it has a "." or ".." in it`, quote(p))
	}
	if decoded, err := url.PathUnescape(p); err == nil && decoded != p {
		return bad("requests are matched after decoding; write "+quote(decoded), "bad path %s", quote(p))
	}
	return nil
}

func hasDots(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// parseRoutePath returns the form of a route's path.
func parseRoutePath(p string) (PathKind, error) {
	if strings.HasPrefix(p, "*") {
		end, ok := strings.CutPrefix(p, "*.")
		if !ok || end == "" || strings.HasSuffix(end, ".") || strings.ContainsFunc(end, notInSuffix) {
			return 0, bad(`expected one as in "*.php"`, "bad suffix %s", quote(p))
		}
		return Suffix, nil
	}
	if err := checkURLPath(p); err != nil {
		return 0, err
	}
	switch {
	case strings.Contains(p, "*"):
		return 0, bad(`"*" may only stand in front, as in "*.php"; a "/" at the end takes in everything below`, "bad path %s", quote(p))
	case strings.HasSuffix(p, "/"):
		return Prefix, nil
	}
	return Exact, nil
}

func notInSuffix(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune(`/\*?#[]%`, r)
}

// checkTarget accepts what may stand in a Location field: an absolute http or
// https URL, or a path with its query.
func checkTarget(target string) error {
	const expected = `expected "/path" or "https://host/path"`
	for _, c := range []byte(target) {
		if c <= ' ' || c >= 0x7f {
			return bad(`write it percent-encoded`, "bad target %s: it has a space, a control or a non-ASCII character in it", quote(target))
		}
	}
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return bad(expected, "bad target %s", quote(target))
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//"):
		return nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "":
		return nil
	}
	return bad(expected, "bad target %s", quote(target))
}

// serverVars are the meta-variables of A01-A21 that the server sets itself, in
// upper case. AUTH_TYPE, REMOTE_USER and REMOTE_IDENT are not among them: it
// does not know them, so the configuration may say them.
var serverVars = map[string]bool{
	"CONTENT_LENGTH": true, "CONTENT_TYPE": true, "DOCUMENT_ROOT": true, "GATEWAY_INTERFACE": true,
	"HTTPS": true, "PATH_INFO": true, "PATH_TRANSLATED": true, "QUERY_STRING": true,
	"REDIRECT_QUERY_STRING": true, "REDIRECT_STATUS": true, "REDIRECT_URL": true,
	"REMOTE_ADDR": true, "REMOTE_HOST": true, "REMOTE_PORT": true, "REQUEST_METHOD": true,
	"REQUEST_SCHEME": true, "REQUEST_URI": true, "SCRIPT_FILENAME": true, "SCRIPT_NAME": true,
	"SERVER_ADDR": true, "SERVER_NAME": true, "SERVER_PORT": true, "SERVER_PROTOCOL": true,
	"SERVER_SOFTWARE": true, "SSL_CIPHER": true, "SSL_PROTOCOL": true,
}

// checkEnvName refuses the names that configuration may not set (A25, A26), in
// any case (A29).
func checkEnvName(name string) error {
	for i, c := range []byte(name) {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return bad("expected letters, digits and _, no digit in front", "bad variable name %s", quote(name))
		}
	}
	upper := strings.ToUpper(name)
	switch {
	case name == "":
		return bad("", "empty variable name")
	case serverVars[upper], strings.HasPrefix(upper, "SSL_CLIENT_"):
		return bad("", "variable %s is the server's to set", quote(name))
	case strings.HasPrefix(upper, "HTTP_"):
		return bad("", "variable %s is for the request's header fields", quote(name))
	case strings.HasPrefix(upper, "LD_"):
		return bad("", "variable %s would change how programs are loaded", quote(name))
	}
	return nil
}

// maxVar is what Linux allows "NAME=value" with its NUL (A28).
const maxVar = 128 << 10

func checkEnvValue(name, v string) error {
	switch {
	case strings.ContainsRune(v, 0): // A27
		return bad("", "value %s has a NUL in it", quote(v))
	case len(v) > maxVar-len(name)-len("=\x00"):
		return bad("", "value %s is too long: no program starts with a variable above 128 KiB", quote(v))
	}
	return nil
}
