package cgi

import (
	"bytes"
	"crypto/tls"
	"net"
)

// A connection of HTTP/2 is passed on unchecked: its frames leave no doubt about where a
// message ends, and net/http checks what is in them. Which one it is, TLS has settled
// before (ALPN), or the first bytes do, where StrictLimits.PriorKnowledge lets them.

// stater is a *tls.Conn, as net/http knows what is like one.
type stater interface {
	net.Conn
	ConnectionState() tls.ConnectionState
}

// strictTLSConn is a strictConn above TLS. net/http asks for ConnectionState to fill in
// Request.TLS.
type strictTLSConn struct {
	*strictConn
	below stater
}

// ConnectionState returns that of the TLS connection below.
func (c *strictTLSConn) ConnectionState() tls.ConnectionState { return c.below.ConnectionState() }

// strictPreface is what a client with prior knowledge of HTTP/2 begins with (RFC 9113
// section 3.4). Its first line is harmless without the rest; with the empty line net/http
// would take it for a request (E09).
const (
	strictPreface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	strictHarmless = len("PRI * HTTP/2.0\r\n")
)

// strictOpening holds the first bytes of a connection against the preface.
type strictOpening struct {
	seen  int // bytes of the preface that were read
	given int // and those that were passed on
	rest  []byte
	state strictOpeningState
}

type strictOpeningState uint8

const (
	strictUndecided strictOpeningState = iota
	strictHTTP2                        // the whole preface has come
	strictHTTP1                        // it was another beginning; rest of it has been checked and is to be passed on
)

// open is Read as long as the opening has something to say about the bytes.
func (c *strictConn) open(p []byte) (int, error) {
	o := c.opening
	for {
		most := min(o.seen, strictHarmless)
		if o.state == strictHTTP2 {
			most = o.seen
		}
		switch {
		case o.state == strictHTTP1:
			n := copy(p, o.rest)
			if o.rest = o.rest[n:]; len(o.rest) == 0 {
				c.opening = nil
			}
			return n, nil
		case o.given < most:
			n := copy(p, strictPreface[o.given:most])
			o.given += n
			return n, nil
		case o.state == strictHTTP2:
			return c.Conn.Read(p)
		}
		var buf [len(strictPreface)]byte
		n, err := c.Conn.Read(buf[:len(strictPreface)-o.seen])
		c.compare(buf[:n])
		if o.state == strictHTTP1 && len(o.rest) == 0 {
			c.opening = nil
			return c.Read(p)
		}
		if n == 0 {
			return 0, err
		}
	}
}

// compare goes on with the comparison. When it fails, all that was read is checked as the
// request that it must be.
func (c *strictConn) compare(b []byte) {
	o := c.opening
	if string(b) == strictPreface[o.seen:][:len(b)] {
		if o.seen += len(b); o.seen == len(strictPreface) {
			o.state = strictHTTP2
		}
		return
	}
	all := append([]byte(strictPreface[:o.seen]), b...)
	n, fault := c.scanner.scan(all)
	c.fault = fault
	if n > o.given {
		o.rest = bytes.Clone(all[o.given:n])
	}
	o.state = strictHTTP1
}
