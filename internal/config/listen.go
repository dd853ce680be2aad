package config

import (
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Listen is one address to serve on.
type Listen struct {
	// Protocol is "http", "https", "fastcgi" or "scgi".
	Protocol string
	// Network is "tcp" or "unix", and Address what net.Listen takes with it;
	// port 0 is any free one. With "systemd" Address is the name of sockets that
	// systemd has passed, "" for all that no other address names. With "fd" it is
	// the number of an inherited descriptor.
	Network, Address string
	// Place is where it is written, zero if it is in no file.
	Place Place

	text string
}

// String returns the address as it was written.
func (l Listen) String() string { return l.text }

// maxSocketPath is what sun_path of unix(7) has room for, without the NUL.
const maxSocketPath = 107

const expectedListen = `expected "host:port" or "unix:/path"`

// ParseListen reads "host:port", "unix:path", "systemd:", "systemd:NAME" or
// "fd:N", with "http:", "https:", "fastcgi:", "scgi:" or nothing, which is http, in front.
// An empty host is every address of the machine. A relative socket path stays
// relative.
func ParseListen(text string) (Listen, error) {
	l := Listen{Protocol: "http", Network: "tcp", text: text}
	rest := text
	switch before, after, found := strings.Cut(text, ":"); {
	case text == "":
		return Listen{}, bad(expectedListen, "empty address")
	case found && slices.Contains([]string{"http", "https", "fastcgi", "scgi"}, before):
		l.Protocol, rest = before, after
	case found && slices.Contains([]string{"fcgi", "uwsgi", "ajp"}, before):
		return Listen{}, bad(`there are "http", "https", "fastcgi" and "scgi"`, "protocol %s of %s is not supported", quote(before), quote(text))
	}
	var err error
	switch kind, name, _ := strings.Cut(rest, ":"); kind {
	case "unix", "systemd", "fd":
		l.Network = kind
		l.Address, err = checkLocal(kind, name)
	default:
		l.Address, err = checkAddress(rest)
	}
	if err != nil {
		return Listen{}, err
	}
	return l, nil
}

// checkLocal checks what follows "unix:", "systemd:" or "fd:".
func checkLocal(kind, name string) (string, error) {
	switch kind {
	case "unix":
		return checkSocket(name)
	case "fd":
		n, err := strconv.ParseUint(name, 10, 16)
		if err != nil || n == 1 || n == 2 {
			return "", bad(`expected the number of an inherited socket, as in "fd:3"`, "bad descriptor %s", quote(name))
		}
		return strconv.FormatUint(n, 10), nil
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ':' || r >= 0x7f }) {
		return "", bad("it is what FileDescriptorName= of the socket unit says", "bad name of a socket %s", quote(name))
	}
	return name, nil
}

func checkSocket(path string) (string, error) {
	switch {
	case path == "":
		return "", bad(`expected "unix:/path"`, "empty socket path")
	case path[0] == '@':
		return "", bad("any user may connect to one", "abstract socket %s is not supported", quote(path))
	case strings.HasSuffix(path, "/"):
		return "", bad("expected a file's name at its end", "bad socket path %s", quote(path))
	}
	return checkPath(path)
}

func checkAddress(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		hint := expectedListen
		if strings.HasPrefix(text, "/") {
			hint = "write " + quote("unix:"+text)
		} else if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			hint = "write " + quote(":"+text)
		}
		return "", bad(hint, "bad address %s", quote(text))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", bad("expected a number from 0 to 65535", "bad port %s in %s", quote(port), quote(text))
	}
	port = strconv.FormatUint(n, 10)
	if host == "*" {
		return "", bad("write "+quote(":"+port)+" for every address", "bad host %s in %s", quote(host), quote(text))
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String()
	} else if host != "" {
		if host, err = hostName(host); err != nil {
			return "", err
		}
	}
	return net.JoinHostPort(host, port), nil
}

// listen stores the addresses; two that are the same could not both be opened.
func (d *decoder) listen(c *Config, v value) {
	items := d.strings(v)
	if v.kind == arrayKind && len(v.items) == 0 {
		d.fail(v.at, v.path, "no address", "leave it out for 127.0.0.1:8080")
	}
	c.Listen = nil
	for _, item := range items {
		l, err := ParseListen(item.text)
		if err != nil {
			d.bad(item, err)
			continue
		}
		l.Place = Place{item.at.line, item.at.column}
		if l.Network == "unix" {
			l.Address = d.resolve(l.Address, false)
			if len(l.Address) > maxSocketPath {
				d.fail(item.at, item.path, "socket path "+quote(l.Address)+" is longer than "+strconv.Itoa(maxSocketPath)+" bytes", "")
				continue
			}
		}
		same := func(o Listen) bool { return o.Network == l.Network && o.Address == l.Address }
		if !strings.HasSuffix(l.Address, ":0") && slices.ContainsFunc(c.Listen, same) {
			d.fail(item.at, item.path, "address "+quote(item.text)+" is listed twice", "")
			continue
		}
		c.Listen = append(c.Listen, l)
	}
}

// trusted stores addresses and networks in their canonical form, so that an
// IPv4 address matches however a listener reports it.
func (d *decoder) trusted(c *Config, v value) {
	for _, item := range d.strings(v) {
		if item.text == "unix" {
			c.TrustUnix = true
			continue
		}
		p, err := ParsePrefix(item.text)
		if err != nil {
			d.bad(item, err)
			continue
		}
		c.Trusted = append(c.Trusted, p)
	}
}

// listenMode stores the permissions of Unix sockets.
func (d *decoder) listenMode(c *Config, v value) {
	hint := ""
	if v.kind == integerKind {
		hint = "write " + quote(v.text)
	}
	if !d.is(v, stringKind, hint) {
		return
	}
	mode, err := ParseMode(v.text)
	if err != nil {
		d.bad(v, err)
		return
	}
	c.ListenMode = mode
}

// ParseMode reads the permissions of a socket, in octal.
func ParseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 16)
	if err != nil || n > 0o777 || n&0o200 == 0 {
		return 0, bad(`expected one as in "0660", by which at least the owner may connect`, "bad mode %s", quote(text))
	}
	return fs.FileMode(n), nil
}

// account stores the name or number of a user or group.
func account[T any](get func(*T) *string) func(*decoder, *T, value) {
	return func(d *decoder, t *T, v value) {
		hint := ""
		if v.kind == integerKind {
			hint = "write " + quote(v.text)
		}
		switch {
		case !d.is(v, stringKind, hint):
		case v.text == "" || strings.ContainsFunc(v.text, func(r rune) bool { return r <= ' ' || r == ':' || r == '/' || r == 0x7f }):
			d.fail(v.at, v.path, "bad name "+quote(v.text), "expected a name or a number")
		default:
			*get(t) = v.text
		}
	}
}

// ParsePrefix reads an address or a network, in canonical form: IPv4 also where
// it is written as IPv6.
func ParsePrefix(text string) (netip.Prefix, error) {
	const expected = `expected an address, a network as in "10.0.0.0/8", or "unix"`
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, bad(expected, "bad address %s", quote(text))
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, bad("did you mean "+quote(p.Masked().String())+"?", "bad network %s: it has bits behind its prefix", quote(text))
	}
	return p, nil
}
