package environ

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// putTLS writes what Apache's mod_ssl calls its standard variables, as far as
// they are about the client (A21). SSL_CIPHER is the suite's IANA name.
func (w *writer) putTLS(state *tls.ConnectionState) {
	w.put("SSL_PROTOCOL", protocolName(state.Version))
	w.put("SSL_CIPHER", tls.CipherSuiteName(state.CipherSuite))
	if len(state.PeerCertificates) == 0 {
		w.put("SSL_CLIENT_VERIFY", "NONE")
		return
	}
	// GENEROUS: there is a certificate, but nobody vouches for it.
	verify := "GENEROUS"
	if len(state.VerifiedChains) > 0 {
		verify = "SUCCESS"
	}
	w.put("SSL_CLIENT_VERIFY", verify)
	w.putCertificate(state.PeerCertificates[0])
}

// putCertificate writes the client's certificate. Distinguished names are in
// the form of RFC 4514.
func (w *writer) putCertificate(c *x509.Certificate) {
	w.putUint("SSL_CLIENT_M_VERSION", uint64(c.Version))
	if c.SerialNumber != nil {
		w.put("SSL_CLIENT_M_SERIAL", serial(c))
	}
	w.put("SSL_CLIENT_S_DN", c.Subject.String())
	w.put("SSL_CLIENT_S_DN_CN", c.Subject.CommonName)
	w.put("SSL_CLIENT_I_DN", c.Issuer.String())
	w.put("SSL_CLIENT_I_DN_CN", c.Issuer.CommonName)
	w.put("SSL_CLIENT_V_START", asn1Time(c.NotBefore))
	w.put("SSL_CLIENT_V_END", asn1Time(c.NotAfter))
}

// serial returns the serial number in hexadecimal with whole bytes, as OpenSSL
// prints it.
func serial(c *x509.Certificate) string {
	const digits = "0123456789ABCDEF"
	var text []byte
	for _, b := range c.SerialNumber.Bytes() {
		text = append(text, digits[b>>4], digits[b&15])
	}
	if text == nil {
		return "00"
	}
	return string(text)
}

// asn1Time writes t as OpenSSL prints an ASN1_TIME.
func asn1Time(t time.Time) string {
	return t.UTC().Format("Jan _2 15:04:05 2006") + " GMT"
}

func protocolName(version uint16) string {
	switch version {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return tls.VersionName(version)
}
