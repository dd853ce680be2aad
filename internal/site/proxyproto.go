package site

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderTime bounds how long a PROXY header may take to come; not a constant for the
// same reason as handshakeTime.
var proxyHeaderTime = 10 * time.Second

// proxyListener takes the PROXY header off the connections that begin with one: of which
// peers is asked for each connection. It is read when its connection is first used, by
// the goroutine of that connection.
type proxyListener struct {
	net.Listener
	expects func(peer net.Addr) bool
	log     *slog.Logger

	mu   sync.Mutex
	told time.Time // when tell last did
}

// tellPause is how long nothing is said of refused connections after one was.
const tellPause = 10 * time.Minute

// tell says why a connection was refused: its peer is told nothing.
func (l *proxyListener) tell(peer net.Addr, err error) {
	l.mu.Lock()
	due := l.told.IsZero() || time.Since(l.told) >= tellPause
	if due {
		l.told = time.Now()
	}
	l.mu.Unlock()
	if due {
		l.log.Warn("a connection of one of trusted_proxies was refused: it did not begin with a PROXY header, which proxy_protocol asks for; of others nothing is said for ten minutes",
			"peer", peer.String(), "error", err)
	}
}

func (l *proxyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil || !l.expects(conn.RemoteAddr()) {
		return conn, err
	}
	c := newProxied(conn)
	c.tell = l.tell
	return c, nil
}

func newProxied(conn net.Conn) *proxied {
	return &proxied{Conn: proxyproto.NewConn(conn,
		proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyHeaderTime))}
}

// proxied is a connection whose addresses are those that the PROXY header tells.
type proxied struct {
	*proxyproto.Conn
	tell func(peer net.Addr, err error) // of a refusal; nil: nobody
	once sync.Once
}

// Read fails, and whoever keeps the log is told, where there is no header.
func (c *proxied) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.tell != nil && c.ProxyHeader() == nil && !errors.Is(err, net.ErrClosed) {
		c.once.Do(func() { c.tell(c.Raw().RemoteAddr(), err) })
	}
	return n, err
}

// RemoteAddr is that of the client. Where the header tells none, although a client is
// spoken for, it is nobody's: the proxy's own would make what the client says in its
// fields the word of the proxy (E25).
func (c *proxied) RemoteAddr() net.Addr {
	if c.nameless() {
		return noAddr{}
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the address that the client connected to.
func (c *proxied) LocalAddr() net.Addr {
	if c.nameless() {
		return &net.TCPAddr{}
	}
	return c.Conn.LocalAddr()
}

func (c *proxied) nameless() bool {
	h := c.ProxyHeader()
	if h == nil || h.Command.IsLocal() && h.Version == 2 { // LOCAL: the proxy speaks for itself
		return false
	}
	_, _, ok := h.TCPAddrs()
	return !ok
}

// CloseWrite ends this side of the connection.
func (c *proxied) CloseWrite() error {
	if half, ok := c.Raw().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// noAddr is the address of a client of which nothing is known.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "" }

// speaksFor reports whether a peer's connections begin with a PROXY header.
func (a *assembly) speaksFor(peer net.Addr) bool {
	if !a.config.ProxyProtocol {
		return false
	}
	if peer.Network() == "unix" {
		return a.config.TrustUnix
	}
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(a.config.Trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}
