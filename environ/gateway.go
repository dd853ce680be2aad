package environ

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Peer is the connection on which a web server in front handed a request over,
// by FastCGI or SCGI.
type Peer struct{ Remote, Local net.Addr }

// maxFurther is how many variables a front may send beside those of header
// fields.
const maxFurther = 256

// FromGateway returns what [Server.FromHTTP] returns for the same request, made
// from the variables that a web server in front sends for it: "NAME=value", in
// the order received.
//
// What the client said is taken from any front: the method, the protocol
// (HTTP/1.0 if there is none), CONTENT_TYPE, CONTENT_LENGTH, the HTTP_* under the
// rules for header fields, and the target: REQUEST_URI, or without one
// DOCUMENT_URI, or SCRIPT_NAME and PATH_INFO, with QUERY_STRING (B74). An empty
// variable is none. A length of 0 counts only with POST, PUT and PATCH, as SCGI
// has one always.
//
// What the front says of itself and of its client is taken only if it is one of
// s.Trusted, or on a Unix socket with s.TrustUnix (B73): REMOTE_ADDR, REMOTE_PORT,
// REMOTE_HOST, SERVER_ADDR, SERVER_PORT, HTTPS, REQUEST_SCHEME, SERVER_NAME for a
// request without host, SSL_*, AUTH_TYPE, REMOTE_USER. From others the connection
// tells it. Forwarded and X-Forwarded-* are the client's own, whose front
// speaks by variables, unless REMOTE_ADDR itself is one of s.Trusted.
//
// After the HTTP_* follow further variables of a trusted front's configuration,
// but none that [Env.AddConfigured] would refuse or that steers interpreters (as
// PYTHONPATH does, B44), and none that servers send beside the standard's, as
// DOCUMENT_URI. Those of the script are never taken.
//
// Of two variables with one name the last counts (B71). But two HTTP_* are the lines
// of one field, which nginx and HAProxy send so: they are joined as FromHTTP joins
// them (A31). Of two HTTP_HOST a trusted front means the last, whose configuration
// may set one; from others they are refused.
//
// REMOTE_USER is worth what the front makes of it: HAProxy, and nginx without
// auth_basic, pass on the name that the client claims.
//
// Errors are as FromHTTP's; more than 256 variables beside the HTTP_* are refused
// with 431 too.
func (s *Server) FromGateway(vars []string, p Peer) (Env, error) {
	trusted := s.TrustsPeer(p)
	q := request{scheme: "http", length: -1, local: addrPort(p.Local), remote: addrPort(p.Remote)}
	var fieldStack [64]field
	fields, proxy, err := s.gatewayFields(fieldStack[:0], vars)
	if err != nil {
		return Env{}, err
	}
	if err := q.readClient(vars); err != nil {
		return Env{}, err
	}
	if trusted {
		q.readFront(vars)
		q.trusted = s.trusts(q.remote.Addr())
	}
	if err := s.examine(&q, proxy); err != nil {
		return Env{}, err
	}
	if !q.direct {
		q.remoteName = "" // that of a proxy
	}
	if hosts := count(fields, "HOST"); hosts > 1 && !trusted {
		return Env{}, badRequest("%d variables HTTP_HOST", hosts) // E10
	}
	if fields, err = s.keepFields(fields, q.trusted); err != nil {
		return Env{}, err
	}
	if fields, err = q.finishFields(fields); err != nil {
		return Env{}, err
	}

	var endStack [128]int
	w := writer{ends: endStack[:0]}
	w.putHead(s, &q, sizeOfAll(vars))
	if trusted {
		w.putVouched(vars, q.direct)
	}
	for _, f := range fields {
		w.putField(f)
	}
	if trusted {
		w.putFurther(vars)
	}
	return w.env()
}

// TrustsPeer reports whether a front with this connection is believed (B73).
func (s *Server) TrustsPeer(p Peer) bool {
	if p.Remote == nil {
		return false
	}
	if strings.HasPrefix(p.Remote.Network(), "unix") {
		return s.TrustUnix
	}
	return s.trusts(addrPort(p.Remote).Addr())
}

// Received returns the variables as a trusted front sent them, each name once
// with its last value; nothing of a front that is not trusted.
func (s *Server) Received(vars []string, p Peer) Env {
	if !s.TrustsPeer(p) {
		return Env{}
	}
	e := Env{make([]string, 0, len(vars))}
	for n, pair := range vars {
		if name, ok := nameIn(pair); ok && isLast(vars, n, name) {
			e.vars = append(e.vars, pair)
		}
	}
	return e
}

// nameIn returns the name in "NAME=value", if there is one.
func nameIn(pair string) (string, bool) {
	name, _, ok := strings.Cut(pair, "=")
	return name, ok && name != ""
}

// isLast reports whether no variable after the n-th has its name.
func isLast(vars []string, n int, name string) bool {
	return (Env{vars[n+1:]}).index(name) < 0
}

// last returns the last value of the named variable, or "".
func last(vars []string, name string) string {
	for n := len(vars) - 1; n >= 0; n-- {
		if v := vars[n]; len(v) > len(name) && v[len(name)] == '=' && v[:len(name)] == name {
			return v[len(name)+1:]
		}
	}
	return ""
}

func sizeOfAll(vars []string) int {
	n := 0
	for _, pair := range vars {
		n += len(pair)
	}
	return n
}

// gatewayFields returns the HTTP_* variables as fields, with their names as the
// variables have them, and those in which proxies speak. It bounds and checks all
// variables.
func (s *Server) gatewayFields(to []field, vars []string) (fields []field, p proxyFields, err error) {
	limit := cmp.Or(s.MaxFields, defaultMaxFields)
	for _, pair := range vars {
		name, ok := nameIn(pair)
		switch {
		case !ok:
			return nil, p, badRequest("%s is no variable with a name", short(pair))
		case strings.IndexByte(pair, 0) >= 0: // B09
			return nil, p, badRequest("variable %s has a NUL", short(pair))
		}
		key, ok := strings.CutPrefix(name, "HTTP_")
		if !ok {
			continue
		}
		if len(to) == limit {
			return nil, p, refuse(http.StatusRequestHeaderFieldsTooLarge, "more than %d header fields", limit)
		}
		value := pair[len(name)+1:]
		to = append(to, field{key: key, value: value})
		p.add(key, value)
	}
	if further := len(vars) - len(to); further > maxFurther {
		return nil, p, refuse(http.StatusRequestHeaderFieldsTooLarge, "%d variables beside the header fields, the limit is %d", further, maxFurther)
	}
	return to, p, nil
}

// add takes the field up if it is a proxy's.
func (p *proxyFields) add(key, value string) {
	var lines *[]string
	switch key {
	case "X_FORWARDED_FOR":
		lines = &p.xFor
	case "X_FORWARDED_PROTO":
		lines = &p.xProto
	case "X_FORWARDED_HOST":
		lines = &p.xHost
	case "X_FORWARDED_PORT":
		lines = &p.xPort
	case "FORWARDED":
		lines = &p.forwarded
	default:
		return
	}
	*lines = append(*lines, value)
}

func count(fields []field, key string) (n int) {
	for _, f := range fields {
		if f.key == key {
			n++
		}
	}
	return n
}

// keepFields joins the lines of each field and removes the fields that become no
// variable.
func (s *Server) keepFields(lines []field, trusted bool) ([]field, error) {
	slices.SortStableFunc(lines, func(a, b field) int { return cmp.Compare(a.key, b.key) })
	fields := lines[:0]
	var connection []string
	for _, line := range lines {
		if line.key == "CONNECTION" {
			connection = append(connection, line.value)
		}
		if n := len(fields) - 1; n >= 0 && fields[n].key == line.key {
			fields[n].more = append(fields[n].more, line.value)
		} else {
			fields = append(fields, line)
		}
	}
	if err := checkConnection(connection); err != nil {
		return nil, err
	}
	kept := fields[:0]
	for _, f := range fields {
		ok, err := s.admits(f.key, isFoldedName(f.key), connection, trusted)
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// isFoldedName reports whether key is what fold makes of a field name.
func isFoldedName(key string) bool {
	for i := 0; i < len(key); i++ {
		if c := key[i]; c != '_' && fold(c) != c {
			return false
		}
	}
	return key != ""
}

// readClient fills in what the client said.
func (q *request) readClient(vars []string) error {
	q.method = last(vars, "REQUEST_METHOD")
	switch q.proto = last(vars, "SERVER_PROTOCOL"); q.proto {
	case "":
		q.proto = "HTTP/1.0"
	case "HTTP/2", "HTTP/3": // A16: the grammar wants a minor digit
		q.proto += ".0"
	}
	q.host = last(vars, "HTTP_HOST")
	q.contentType = last(vars, "CONTENT_TYPE")
	if q.uri = last(vars, "REQUEST_URI"); q.uri == "" {
		q.uri = rebuiltURI(vars)
	}
	return q.readLength(last(vars, "CONTENT_LENGTH"))
}

// UnknownLength is what Caddy gives as the CONTENT_LENGTH of a body whose length it does
// not know. It means the same as none.
const UnknownLength = "-1"

func (q *request) readLength(text string) error {
	if text == "" || text == UnknownLength {
		return nil
	}
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) { // ParseInt is no help against "+1"
			return badRequest("CONTENT_LENGTH is %s", short(text))
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return badRequest("CONTENT_LENGTH is %s", short(text))
	}
	// RFC 9110 section 8.6: clients tell it only of methods to which a body means something.
	if n > 0 || q.method == "POST" || q.method == "PUT" || q.method == "PATCH" {
		q.length = n
	}
	return nil
}

// rebuiltURI makes a target of variables in which the path is decoded (B74). It
// is "" if there is no path.
func rebuiltURI(vars []string) string {
	path := last(vars, "DOCUMENT_URI")
	if path == "" {
		path = last(vars, "SCRIPT_NAME") + last(vars, "PATH_INFO")
	}
	uri := escapePath(path)
	if query := last(vars, "QUERY_STRING"); query != "" && uri != "" {
		uri += "?" + query
	}
	return uri
}

// escapePath writes what a target cannot hold as it is in escapes (RFC 3986
// section 3.3).
func escapePath(path string) string {
	const digits = "0123456789ABCDEF"
	var text strings.Builder
	for i := 0; i < len(path); i++ {
		if c := path[i]; isAlnum(c) || strings.IndexByte("/-._~!$&'()*+,;=:@", c) >= 0 {
			text.WriteByte(c)
		} else {
			text.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return text.String()
}

// readFront fills in what a trusted front knows better than the connection. What
// it does not say, or not understandably, is unknown.
func (q *request) readFront(vars []string) {
	q.remote = netip.AddrPortFrom(parseAddr(last(vars, "REMOTE_ADDR")), parseKnownPort(last(vars, "REMOTE_PORT")))
	q.local = netip.AddrPortFrom(parseAddr(last(vars, "SERVER_ADDR")), parseKnownPort(last(vars, "SERVER_PORT")))
	switch https := last(vars, "HTTPS"); {
	case equalFold(https, "on"), https == "1":
		q.scheme = "https" // also with REQUEST_SCHEME=http: this one is set by hand where TLS ends further in front
	default:
		q.scheme = cmp.Or(parseScheme(last(vars, "REQUEST_SCHEME")), "http")
	}
	if name, _, err := ParseHost(last(vars, "SERVER_NAME")); err == nil && name != "_" { // nginx: a server of no name
		q.hostless = name
	}
	if name := last(vars, "REMOTE_HOST"); isHostName(name) && !parseAddr(name).IsValid() {
		q.remoteName = name
	}
}

func parseAddr(s string) netip.Addr {
	addr, _, _ := parseNode(s)
	return addr
}

func parseKnownPort(s string) uint16 {
	port, _ := parsePort(s)
	return port
}

// putVouched writes what a front has found out about its client: the SSL_* unless
// they are of a proxy's connection, and the user that it has authenticated.
func (w *writer) putVouched(vars []string, direct bool) {
	for n, pair := range vars {
		name := nameOf(pair)
		if direct && strings.HasPrefix(name, "SSL_") && isVariableName(name) && len(pair) > len(name)+1 && isLast(vars, n, name) {
			w.putPair(name, pair)
		}
	}
	for _, name := range [...]string{"AUTH_TYPE", "REMOTE_USER"} {
		if value := last(vars, name); value != "" {
			w.put(name, value)
		}
	}
}

// authorizer tells a program that its answer is whether a request is allowed (FastCGI 1.0
// section 6.3).
const authorizer = "FCGI_ROLE=AUTHORIZER"

// putFurther writes the variables of a front's own configuration. Of two whose
// names differ at most in case (A29) the last counts.
func (w *writer) putFurther(vars []string) {
	for n, pair := range vars {
		name := nameOf(pair)
		if !isFurther(name) && pair != authorizer {
			continue
		}
		rest := Env{vars[n+1:]}
		if rest.index(name) < 0 && rest.otherCase(name) == "" {
			w.putPair(name, pair)
		}
	}
}

// isFurther reports whether a front's configuration may add this variable.
func isFurther(name string) bool {
	return isVariableName(name) && !isDerived(name) && !hasPrefixFold(name, "SSL_") &&
		!isServers(name) && !Steers(name)
}

// isServers names, in any case of letters, what servers send unasked beside the
// standard's variables, of their own matters.
func isServers(name string) bool {
	name = strings.ToUpper(name)
	switch name {
	case "DOCUMENT_URI", "SCGI", "UNIQUE_ID", "SCRIPT_URI", "SCRIPT_URL",
		"SERVER_ADMIN", "SERVER_SIGNATURE", "CONTEXT_PREFIX", "CONTEXT_DOCUMENT_ROOT":
		return true
	}
	return strings.HasPrefix(name, "FCGI_") || strings.HasPrefix(name, "REDIRECT_") || strings.HasPrefix(name, "ORIG_")
}

// Steers reports whether, in any case of letters, name is that of a variable by
// which programs choose what to load or run: nobody but the administrator is to
// set it (B41, B44).
func Steers(name string) bool {
	name = strings.ToUpper(name)
	switch name {
	case "PATH", "IFS", "ENV", "SHELLOPTS", "PS4", "PHP_VALUE", "PHP_ADMIN_VALUE", "PHPRC",
		"RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "GCONV_PATH", "GLIBC_TUNABLES":
		return true
	}
	for _, prefix := range [...]string{"LD_", "BASH", "PYTHON", "PERL"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
