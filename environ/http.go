package environ

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Server is what a request cannot tell, and the policies for what it can. The
// zero value works: it believes no proxy and lets no unusual name through. It
// is read by all requests at the same time and must not be changed meanwhile.
type Server struct {
	// Software is SERVER_SOFTWARE (A17), "name/version"; "" means "gatehouse".
	Software string

	// Name is SERVER_NAME for a request without Host, which only HTTP/1.0 may
	// be. "" means the local address, or "localhost" on a Unix socket.
	Name string

	// Trusted are the proxies whose X-Forwarded-For, -Proto, -Host, -Port and
	// Forwarded fields are believed (E25). Such a proxy must set each of these
	// or remove it: one that it passes on is the client's. Malformed fields are
	// ignored; X-Forwarded-For and Forwarded that name different clients are
	// refused with 400, as one of them must be the client's. IPv4 addresses
	// are matched by IPv4 (or v4-mapped) prefixes only. From all other peers
	// these fields, X-Real-IP, Remote-User and SSL-* are left out (E23).
	Trusted []netip.Prefix

	// TrustUnix makes every peer on a Unix socket a trusted proxy.
	TrustUnix bool

	// Strict refuses a request with a field name outside [A-Za-z0-9-] (E20).
	// Otherwise such fields are left out.
	Strict bool

	// Allow are field names outside [A-Za-z0-9-] that are let through, in any
	// case; every other character becomes "_" (E20, E22).
	Allow []string

	// MaxTarget is the limit for the request target in bytes; 0 means 8192.
	// Above it the status is 414 (E30).
	MaxTarget int

	// MaxFields is the limit for the number of field lines; 0 means 100. Above
	// it the status is 431 (E30).
	MaxFields int
}

// MaxVar is the most bytes that "NAME=value" may have. Linux starts no program
// with a longer one (MAX_ARG_STRLEN, which counts a final NUL too; A28).
const MaxVar = 128<<10 - 1

// UnknownAddr is REMOTE_ADDR and REMOTE_HOST when the peer has no IP address,
// as on a Unix socket without a trusted proxy's word: RFC 3875 section 4.1.8
// demands one. It belongs to nobody and is on no list of allowed addresses, as
// 127.0.0.1 might be (A08).
const UnknownAddr = "0.0.0.0"

const (
	defaultSoftware  = "gatehouse"
	defaultMaxTarget = 8 << 10
	defaultMaxFields = 100
)

// FromHTTP returns the meta-variables that follow from the request, as a server
// has received it, and from the connection. Those that follow from the script
// come with [Env.SetScript]. The order is fixed:
//
//   - GATEWAY_INTERFACE, SERVER_SOFTWARE, REDIRECT_STATUS=200, the same for all
//     requests. php-cgi runs nothing without the last;
//   - SERVER_NAME, SERVER_ADDR, SERVER_PORT, REMOTE_ADDR, REMOTE_HOST (always
//     the address), REMOTE_PORT;
//   - SERVER_PROTOCOL, REQUEST_METHOD, REQUEST_SCHEME, REQUEST_URI in
//     origin-form, QUERY_STRING;
//   - CONTENT_TYPE and CONTENT_LENGTH if the request has them. The length of a
//     body that comes without one is to be set by who reads it to its end;
//   - over TLS HTTPS=on, and SSL_PROTOCOL, SSL_CIPHER and SSL_CLIENT_* as
//     Apache's mod_ssl names them, unless the TLS is only a proxy's;
//   - HTTP_* for the header fields, sorted by name.
//
// SERVER_ADDR and REMOTE_PORT are absent if they are not known. The local
// address comes from [http.LocalAddrContextKey]. HTTP_AUTHORIZATION and
// HTTP_PROXY_AUTHORIZATION are there: see [Env.DelAuthorization].
//
// For a request from a trusted proxy the client's address, the scheme, host and
// port are those that the proxy was asked with.
//
// Errors are of type *[Error]: 400 for a request that cannot be passed on
// unambiguously, 414 and 431 for one above the limits.
func (s *Server) FromHTTP(r *http.Request) (Env, error) {
	q := request{method: r.Method, proto: r.Proto, uri: r.RequestURI, host: r.Host, scheme: "http", length: -1}
	if r.TLS != nil {
		q.scheme = "https"
	}
	s.examinePeer(&q, r)
	if err := s.examine(&q, proxyFieldsOf(r.Header)); err != nil {
		return Env{}, err
	}
	if err := q.examineContent(r); err != nil {
		return Env{}, err
	}
	var fieldStack [64]field
	fields, err := s.fields(fieldStack[:0], r.Header, q.trusted)
	if err != nil {
		return Env{}, err
	}
	if fields, err = q.finishFields(fields); err != nil {
		return Env{}, err
	}

	var endStack [96]int
	w := writer{ends: endStack[:0]}
	w.putHead(s, &q, sizeOf(fields))
	if r.TLS != nil && q.direct {
		w.putTLS(r.TLS)
	}
	for _, f := range fields {
		w.putField(f)
	}
	return w.env()
}

// request is the head of a request, whichever way it came, and what is found out
// about it before the first variable is written.
type request struct {
	method, proto, uri string // as received
	host               string // HTTP_HOST
	scheme             string
	contentType        string
	length             int64          // CONTENT_LENGTH; -1 for none
	local, remote      netip.AddrPort // invalid, or with port 0, as far as unknown
	trusted            bool           // remote is a trusted proxy
	hostless           string         // a front's SERVER_NAME for a request without host
	remoteName         string         // a front's REMOTE_HOST

	target, query string // in origin-form
	name          string // SERVER_NAME
	port          uint16 // SERVER_PORT
	direct        bool   // remote speaks for nobody else
}

// examine completes q, of which the first part is known.
func (s *Server) examine(q *request, p proxyFields) error {
	if !isToken(q.method) {
		return badRequest("method %s is not a token", short(q.method))
	}
	if !isVersion(q.proto) {
		return badRequest("protocol %s is not HTTP", short(q.proto))
	}
	if err := s.examineTarget(q); err != nil {
		return err
	}
	var v via
	if q.trusted {
		var err error
		if v, err = s.forwarded(p); err != nil {
			return err
		}
	}
	q.apply(v)
	return s.nameServer(q)
}

// examineTarget fills in target and query, and host. A target in absolute-form
// brings the host (RFC 9112 section 3.2.2, A34, E15).
func (s *Server) examineTarget(q *request) error {
	if limit := cmp.Or(s.MaxTarget, defaultMaxTarget); len(q.uri) > limit {
		return refuse(http.StatusRequestURITooLong, "request target of %d bytes, the limit is %d", len(q.uri), limit)
	}
	authority, origin, err := cutOrigin(q.uri)
	if err != nil {
		return err
	}
	q.target, q.host = origin, cmp.Or(authority, q.host)
	if q.host == "" && q.hostless == "" && q.proto >= "HTTP/1.1" {
		return badRequest("no host in %s request", q.proto) // E10
	}
	_, q.query, err = cutQuery(origin)
	return err
}

// examineContent fills in what the request says about its body.
func (q *request) examineContent(r *http.Request) error {
	if types := r.Header["Content-Type"]; len(types) > 0 {
		for _, t := range types[1:] {
			if t != types[0] { // A03: which one the program would see is anyone's guess
				return badRequest("two content types, %s and %s", short(types[0]), short(t))
			}
		}
		q.contentType = types[0]
	}
	// A02: 0 is told only if the client told it, and the length is -1 for a body
	// that has to be read first.
	_, told := r.Header["Content-Length"]
	if r.ContentLength > 0 || r.ContentLength == 0 && told {
		q.length = r.ContentLength
	}
	return nil
}

// finishFields puts the fields in the order of their variables, with the host.
func (q *request) finishFields(fields []field) ([]field, error) {
	if q.host != "" {
		fields = append(fields, field{key: "Host", value: q.host})
	}
	return fields, sortFields(fields)
}

// examinePeer fills in local, remote and trusted.
func (s *Server) examinePeer(q *request, r *http.Request) {
	isTCP := false
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		_, isTCP = a.(*net.TCPAddr)
		q.local = addrPort(a)
	}
	if isUnixAddr(r.RemoteAddr) {
		q.trusted = s.TrustUnix && !isTCP
		return
	}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		q.remote = plainAddr(ap)
		q.trusted = s.trusts(q.remote.Addr())
	}
}

// TrustsRequest reports whether the peer that sent the request is believed about its
// client (E25).
func (s *Server) TrustsRequest(r *http.Request) bool {
	if len(s.Trusted) == 0 && !s.TrustUnix {
		return false
	}
	var q request
	s.examinePeer(&q, r)
	return q.trusted
}

// addrPort returns the IP address and port in a, or none.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}
	case *net.TCPAddr:
		return plainAddr(a.AddrPort())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return plainAddr(ap)
}

// isUnixAddr recognises the address of a peer on a Unix socket: unnamed, in the
// abstract name space, or a path.
func isUnixAddr(addr string) bool {
	return addr == "" || addr[0] == '@' || addr[0] == '/'
}

// plainAddr writes a v4-mapped address as IPv4 and drops the zone (A08).
func plainAddr(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// apply puts what the proxy said in place of what the connection says, and
// settles SERVER_PORT: that of the proxy's word, else the local one (A15). The
// port in the client's own Host field does not count.
func (q *request) apply(v via) {
	q.direct = !v.addr.IsValid() && v.scheme == ""
	if v.addr.IsValid() {
		q.remote = netip.AddrPortFrom(v.addr, v.port)
	}
	q.scheme = cmp.Or(v.scheme, q.scheme)
	q.port = v.serverPort
	if v.host != "" {
		q.host = v.host
		_, port, _ := ParseHost(v.host) // valid, see via
		n, _ := parsePort(port)
		q.port = cmp.Or(q.port, n)
	}
	if v.scheme == "" && v.host == "" {
		q.port = cmp.Or(q.port, q.local.Port())
	}
	if q.port == 0 {
		q.port = 80
		if q.scheme == "https" {
			q.port = 443
		}
	}
}

// nameServer fills in SERVER_NAME (A14).
func (s *Server) nameServer(q *request) error {
	switch {
	case q.host != "":
		name, _, err := ParseHost(q.host)
		q.name = name
		return err
	case q.hostless != "":
		q.name = q.hostless
	case s.Name != "":
		q.name = s.Name
	case q.local.Addr().Is4():
		q.name = q.local.Addr().String()
	case q.local.Addr().Is6():
		q.name = "[" + q.local.Addr().String() + "]"
	default:
		q.name = "localhost"
	}
	return nil
}

// isVersion holds s against RFC 3875 section 4.1.16 and RFC 9112 section 2.3.
func isVersion(s string) bool {
	return len(s) == len("HTTP/1.1") && strings.HasPrefix(s, "HTTP/") &&
		isDigit(s[5]) && s[6] == '.' && isDigit(s[7])
}
