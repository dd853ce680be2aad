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
	q, err := s.examine(r)
	if err != nil {
		return Env{}, err
	}
	var fieldStack [64]field
	fields, err := s.fields(fieldStack[:0], r.Header, q.trusted)
	if err != nil {
		return Env{}, err
	}
	if q.host != "" {
		fields = append(fields, field{key: "Host", value: q.host})
	}
	if err := sortFields(fields); err != nil {
		return Env{}, err
	}

	var endStack [96]int
	w := writer{ends: endStack[:0]}
	software := cmp.Or(s.Software, defaultSoftware)
	w.text.Grow(sizeOf(fields) + len(software) + 2*len(q.target) + len(q.name) + 768)
	w.put("GATEWAY_INTERFACE", "CGI/1.1")
	w.put("SERVER_SOFTWARE", software)
	w.put("REDIRECT_STATUS", "200")
	w.putConnection(&q)
	if err := w.putRequest(r, &q); err != nil {
		return Env{}, err
	}
	if r.TLS != nil && q.direct {
		w.putTLS(r.TLS)
	}
	for _, f := range fields {
		w.putField(f)
	}
	return w.env()
}

// request is what FromHTTP finds out before it writes the first variable.
type request struct {
	target, query string // in origin-form
	host          string // HTTP_HOST
	name          string // SERVER_NAME
	scheme        string
	local, remote netip.AddrPort // invalid, or with port 0, as far as unknown
	port          uint16         // SERVER_PORT
	trusted       bool           // the peer is a trusted proxy
	direct        bool           // the peer speaks for nobody else
}

func (s *Server) examine(r *http.Request) (q request, err error) {
	if !isToken(r.Method) {
		return q, badRequest("method %s is not a token", short(r.Method))
	}
	if !isVersion(r.Proto) {
		return q, badRequest("protocol %s is not HTTP", short(r.Proto))
	}
	if err := s.examineTarget(&q, r); err != nil {
		return q, err
	}
	q.scheme = "http"
	if r.TLS != nil {
		q.scheme = "https"
	}
	s.examinePeer(&q, r)
	var v via
	if q.trusted {
		if v, err = s.forwarded(r.Header); err != nil {
			return q, err
		}
	}
	q.apply(v)
	return q, s.nameServer(&q)
}

// examineTarget fills in target, query and host. A target in absolute-form
// brings the host (RFC 9112 section 3.2.2, A34, E15).
func (s *Server) examineTarget(q *request, r *http.Request) error {
	uri := r.RequestURI
	if limit := cmp.Or(s.MaxTarget, defaultMaxTarget); len(uri) > limit {
		return refuse(http.StatusRequestURITooLong, "request target of %d bytes, the limit is %d", len(uri), limit)
	}
	authority, origin, err := cutOrigin(uri)
	if err != nil {
		return err
	}
	q.target, q.host = origin, cmp.Or(authority, r.Host)
	if q.host == "" && r.ProtoAtLeast(1, 1) {
		return badRequest("no host in %s request", r.Proto) // E10
	}
	_, q.query, err = cutQuery(origin)
	return err
}

// examinePeer fills in local, remote and trusted.
func (s *Server) examinePeer(q *request, r *http.Request) {
	isTCP := false
	switch a := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		q.local, isTCP = plainAddr(a.AddrPort()), true
	case net.Addr:
		ap, _ := netip.ParseAddrPort(a.String())
		q.local = plainAddr(ap)
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
