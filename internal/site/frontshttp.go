package site

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"gatehouse/cgi"
)

// speaksHTTP puts in front of a listener what its protocol takes before HTTP: the PROXY
// header, TLS, and the check of what HTTP/1 says. What the configuration in force says of
// each is asked for each connection.
func (f *fronts) speaksHTTP(ln net.Listener, protocol string) net.Listener {
	h := f.host
	ln = &proxyListener{Listener: ln, expects: func(peer net.Addr) bool { return h.inForce().speaksFor(peer) }, log: h.log}
	if protocol == "https" {
		ln = newTLSListener(ln, f.places, func() *tls.Config { return h.inForce().secure.config }, h.log)
	}
	return cgi.StrictListener(ln, cgi.StrictLimits{
		Refused:        h.refused,
		PriorKnowledge: func() bool { return h.inForce().config.H2C },
	})
}

// speakHTTP2 has a server speak HTTP/2 as well, on the connections that the listeners let
// through to it. It says what a client may cost (E43, E47).
func speakHTTP2(s *http.Server) {
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	s.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          100,
		MaxReceiveBufferPerConnection: 1 << 20, // of bodies that no program has read yet
		MaxReceiveBufferPerStream:     256 << 10,
		MaxReadFrameSize:              16 << 10,
		MaxDecoderHeaderTableSize:     4 << 10,
		SendPingTimeout:               time.Minute, // to a client that is silent during a request
		PingTimeout:                   15 * time.Second,
		WriteByteTimeout:              time.Minute,
	}
}
