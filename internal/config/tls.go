package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Secure is how a server, and a site unless it says otherwise, is reached over TLS.
type Secure struct {
	TLS TLS
	// RedirectToHTTPS answers requests that did not come over TLS with 308 to the
	// same URL with https.
	RedirectToHTTPS bool
}

// TLS says where certificates come from. A site's own takes the place of the
// server's as a whole.
type TLS struct {
	// Certificates are asked in this order for one that suits the client: for one
	// name there may be an ECDSA and an RSA one.
	Certificates []Certificate
	// ACME has the certificates of the site's hosts fetched (RFC 8555).
	ACME bool
}

// Certificate is a pair of files in PEM: the certificate with those that were used to
// sign it behind it, and its private key. They may be one file.
type Certificate struct {
	File, Key string
}

// ACME says from whom certificates are fetched for sites with tls = { acme = true }.
type ACME struct {
	// Email is where the authority can reach whoever runs the server; "" for nowhere.
	Email string
	// Directory is the URL where the protocol begins (RFC 8555 section 7.1.1).
	Directory string
	// Storage is the folder for the account's key and the certificates; "" for the
	// state folder of the user.
	Storage string
	// CA is a file with the certificates, in PEM, by which the authority's own server is
	// verified; "" for those of the system.
	CA string
	// AcceptTerms says that the authority's terms of service are accepted.
	AcceptTerms bool
}

// letsEncrypt is the directory unless another is given.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// frontFields are the keys at the top about how the listeners speak.
func frontFields() []field[Config] {
	return []field[Config]{
		{Key: Key{Name: "http2", Type: typeBoolean, Default: `true`,
			Doc: "Whether the https listeners speak HTTP/2 with clients that can."},
			set: boolean(func(c *Config) *bool { return &c.HTTP2 })},
		{Key: Key{Name: "h2c", Type: typeBoolean, Default: `false`,
			Doc: "Whether the http listeners speak HTTP/2 with clients that begin with it (prior knowledge): for a proxy in front."},
			set: boolean(func(c *Config) *bool { return &c.H2C })},
		{Key: Key{Name: "proxy_protocol", Type: typeBoolean, Default: `false`,
			Doc: "Whether connections from trusted_proxies to http and https listeners begin with a PROXY header (version 1 or 2) that names the client; without one they are refused. Other connections never have one."},
			set: boolean(func(c *Config) *bool { return &c.ProxyProtocol })},
		{Key: Key{Name: "acme", Type: "table", Default: "none",
			Doc: "From whom the certificates of sites with tls = { acme = true } are fetched."},
			set: (*decoder).acme},
	}
}

func secureFields() []field[Secure] {
	return []field[Secure]{
		{Key: Key{Name: "tls", Type: "table or array of tables", Default: "none",
			Doc: "The certificates for https listeners: { certificate, key }, several of them in an array, or { acme = true } to fetch those of the hosts."},
			set: (*decoder).tls},
		{Key: Key{Name: "redirect_to_https", Type: typeBoolean, Default: `false`,
			Doc: "Whether requests that did not come over TLS, not even to a trusted proxy, are answered with 308 to the same URL with https."},
			set: boolean(func(s *Secure) *bool { return &s.RedirectToHTTPS })},
	}
}

// pair is one table of tls.
type pair struct {
	Certificate
	acme bool
}

func pairFields() []field[pair] {
	return []field[pair]{
		{Key: Key{Name: "certificate", Type: typeString,
			Doc: "File with the certificate in PEM, and behind it those that were used to sign it."},
			set: path(func(p *pair) *string { return &p.File }, false)},
		{Key: Key{Name: "key", Type: typeString, Default: "the file of the certificate",
			Doc: "File with the private key in PEM."},
			set: path(func(p *pair) *string { return &p.Key }, false)},
		{Key: Key{Name: "acme", Type: typeBoolean, Default: `false`,
			Doc: "In place of files: whether the certificates of the site's hosts are fetched as the key acme at the top says."},
			set: boolean(func(p *pair) *bool { return &p.acme })},
	}
}

func acmeFields() []field[ACME] {
	return []field[ACME]{
		{Key: Key{Name: "accept_terms", Type: typeBoolean, Default: `false`,
			Doc: "Whether the terms of service of the authority are accepted; it gives no certificates without."},
			set: boolean(func(a *ACME) *bool { return &a.AcceptTerms })},
		{Key: Key{Name: "email", Type: typeString,
			Doc: "Address at which the authority can reach you."},
			set: (*decoder).email},
		{Key: Key{Name: "directory", Type: typeString, Default: `"` + letsEncrypt + `"`,
			Doc: "URL of the authority's directory (RFC 8555 section 7.1.1)."},
			set: (*decoder).directory},
		{Key: Key{Name: "storage", Type: typeString, Default: "/var/lib/gatehouse/acme for root, else gatehouse/acme in $XDG_STATE_HOME or ~/.local/state",
			Doc: "Folder for the account's key and the certificates; it is made where it is missing, for its owner alone."},
			set: path(func(a *ACME) *string { return &a.Storage }, false)},
		{Key: Key{Name: "ca", Type: typeString, Default: "those of the system",
			Doc: "File with the certificates in PEM by which the authority's own server is verified."},
			set: path(func(a *ACME) *string { return &a.CA }, false)},
	}
}

// tls stores certificates. Tables that are wrong are reported and left out.
func (d *decoder) tls(s *Secure, v value) {
	tables := []value{v}
	if v.kind == arrayKind {
		tables = d.tables(v)
		if len(v.items) == 0 {
			d.fail(v.at, v.path, "no certificate", "leave it out for none")
		}
	} else if !d.is(v, tableKind, "") {
		return
	}
	s.TLS = TLS{}
	for _, t := range tables {
		var p pair
		pairTable.decode(d, t.node, t.path, &p)
		switch {
		case p.acme && len(tables) > 1:
			d.fail(t.at, t.path, "acme = true beside certificates from files", "expected the one or the other")
		case p.acme && (t.get("certificate") != nil || t.get("key") != nil):
			d.fail(t.at, t.path, "certificate or key beside acme = true", "expected the one or the other")
		case p.acme:
			s.TLS.ACME = true
		case t.get("certificate") == nil:
			d.fail(t.at, t.path, "certificate is missing", `expected a file, or acme = true`)
		case p.File != "":
			if t.get("key") == nil {
				p.Key = p.File
			}
			s.TLS.Certificates = append(s.TLS.Certificates, p.Certificate)
		}
	}
}

func (d *decoder) acme(c *Config, v value) {
	if d.is(v, tableKind, "") {
		acmeTable.decode(d, v.node, v.path, &c.ACME)
	}
}

func (d *decoder) email(a *ACME, v value) {
	switch local, domain, found := strings.Cut(v.text, "@"); {
	case !d.is(v, stringKind, ""):
	case !found || local == "" || domain == "" || strings.ContainsFunc(v.text, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == ',' || r == '?' }):
		d.fail(v.at, v.path, "bad address "+quote(v.text), `expected one as in "admin@example.org"`)
	default:
		a.Email = v.text
	}
}

func (d *decoder) directory(a *ACME, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	u, err := url.Parse(v.text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" { // RFC 8555 section 6.1
		d.fail(v.at, v.path, "bad URL "+quote(v.text), "expected one that begins with https://")
		return
	}
	a.Directory = v.text
}

// checkSite reports a site whose certificates cannot be fetched: an authority wants a
// whole name, and a wildcard proven by DNS, which is not done here.
func (d *decoder) checkSite(s *Site, t value) {
	if !s.TLS.ACME {
		return
	}
	at, key := t.at, t.path
	if own := t.get("tls"); own != nil {
		at, key = own.at, keyPath(t.path, "tls")
	}
	const hint = "acme is for whole names of hosts, as in \"www.example.org\""
	if len(s.Hosts) == 0 {
		d.fail(at, key, "no certificate can be fetched for a site without hosts", hint)
	}
	for _, host := range s.Hosts {
		_, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if strings.HasPrefix(host, "*") || !strings.Contains(host, ".") || err == nil {
			d.fail(at, key, "no certificate can be fetched for "+quote(host), hint)
		}
	}
	if !d.cfg.ACME.AcceptTerms && !d.termsAsked {
		d.termsAsked = true
		d.fail(at, key, "the terms of service of the authority are not accepted", "write acme = { accept_terms = true } at the top of the main file")
	}
}

// checkFronts reports keys of the main file that would do nothing.
func (d *decoder) checkFronts(root *node) {
	uses := func(s Site) bool { return s.TLS.ACME }
	for _, e := range root.entries {
		switch {
		case e.name == "proxy_protocol" && d.cfg.ProxyProtocol && len(d.cfg.Trusted) == 0 && !d.cfg.TrustUnix:
			d.fail(e.at, e.name, "does nothing without trusted_proxies", "only from them a PROXY header is taken")
		case e.name == "acme" && !d.cfg.TLS.ACME && !slices.ContainsFunc(d.cfg.Sites, uses) && len(d.cfg.Include) == 0:
			d.fail(e.at, e.name, "does nothing: no tls has acme = true", "")
		}
	}
}
