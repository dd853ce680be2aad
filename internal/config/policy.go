package config

import (
	"net/netip"
	"slices"
	"strings"
)

// Policy is what holds for every answer of a table, whatever gives it.
type Policy struct {
	// Headers are the fields that answers have: the nearest of route, site and
	// server, for each name.
	Headers []Header
	// ErrorPages stand in place of Gatehouse's own pages for errors, in no order.
	ErrorPages []ErrorPage
	// Access says which clients may ask, nil when all may. It is whole that of the
	// nearest table that has allow or deny.
	Access *Access

	// What has been written in this table rather than inherited.
	ownAccess bool
}

// Header is a field of answers. An empty Value takes away what the application
// sent under that name.
type Header struct {
	Name, Value string
}

// ErrorPage is the page of a site for a status, "404", or for a hundred, "4xx".
type ErrorPage struct {
	Status string
	Path   string // of the URL; "" for Gatehouse's own page
}

// Access refuses the clients in Deny, and if Allow is not nil all that are not in it.
type Access struct {
	Allow, Deny []netip.Prefix
}

// inherit returns what the table inside has before it says anything of its own. The
// slices are shared: who changes one makes another.
func (p Policy) inherit() Policy {
	p.ownAccess = false
	return p
}

// Guard is what a site or a route asks of a client, and what it does with answers
// that name a file. The nearest of the two wins.
type Guard struct {
	// BasicAuth asks for a name and a password; nil does not.
	BasicAuth *BasicAuth
	// Sendfile is the folder, with a trailing slash, of the files that applications
	// may name in X-Sendfile and X-Accel-Redirect; "" when they may name none.
	// SendfilePrefix is what the path of an X-Accel-Redirect has in front, "" or with
	// slashes at both ends.
	Sendfile, SendfilePrefix string
}

// BasicAuth is HTTP's basic authentication (RFC 7617).
type BasicAuth struct {
	Realm string
	// File has the names and the hashes of the passwords, as htpasswd writes it.
	File string
}

func policyFields() []field[Policy] {
	return []field[Policy]{
		{Key: Key{Name: "headers", Type: typeVars, Default: `{}`,
			Doc: `Fields that every answer gets, errors and redirects too, in place of the application's own (beside them: Set-Cookie, Vary and Link); "" takes away what the application sent. The nearest wins, for each name.`},
			set: (*decoder).headers},
		{Key: Key{Name: "error_pages", Type: typeVars, Default: `{}`,
			Doc: `URL paths of the site's pages for errors that the application did not answer itself, by status ("404") or hundred ("5xx"); "" is Gatehouse's own page.`},
			set: (*decoder).errorPages},
		{Key: Key{Name: "allow", Type: typeStrings, Default: "everybody",
			Doc: `Addresses and networks of the clients that may ask, or "all"; others get 403. The nearest table that has allow or deny decides alone, and deny comes first.`},
			set: (*decoder).allow},
		{Key: Key{Name: "deny", Type: typeStrings, Default: "nobody",
			Doc: `Addresses and networks of clients that get 403, or "all".`},
			set: (*decoder).deny},
	}
}

func guardFields() []field[Guard] {
	return []field[Guard]{
		{Key: Key{Name: "basic_auth", Type: "table or false", Default: `false`,
			Doc: "Asks for a name and a password: { realm, file }; false does not, whatever the site says."},
			set: (*decoder).basicAuth},
		{Key: Key{Name: "sendfile", Type: typeString,
			Doc: `A folder ("/" at its end) of files that applications may have sent in place of their own answer, by X-Sendfile (the file's name) or X-Accel-Redirect (its path beneath the folder).`},
			set: (*decoder).sendfile},
		{Key: Key{Name: "sendfile_prefix", Type: typeString, Default: "/",
			Doc: `What the path of an X-Accel-Redirect has in front of the path beneath the folder, as in "/protected/".`},
			set: (*decoder).sendfilePrefix},
	}
}

func basicAuthFields() []field[BasicAuth] {
	return []field[BasicAuth]{
		{Key: Key{Name: "realm", Type: typeString, Default: `"restricted"`,
			Doc: "What a browser tells whom it asks for the password."},
			set: (*decoder).realm},
		{Key: Key{Name: "file", Type: typeString,
			Doc: "File of names and hashes, as htpasswd writes it: bcrypt (htpasswd -B), MD5, SHA-1, and crypt's SHA-256 and SHA-512. It is read again when it changes."},
			set: path(func(a *BasicAuth) *string { return &a.File }, false)},
	}
}

// headers sets the fields of a table over those that are inherited.
func (d *decoder) headers(p *Policy, v value) {
	if !d.is(v, tableKind, "") {
		return
	}
	list := slices.Clone(p.Headers)
	seen := map[string]string{}
	for _, e := range v.entries {
		item := value{e.value, keyPath(v.path, e.name)}
		if err := checkHeaderName(e.name); err != nil {
			d.bad(value{&node{at: e.at}, item.path}, err)
			continue
		}
		if !d.is(item, stringKind, "") {
			continue
		}
		if err := checkHeaderValue(e.name, item.text); err != nil {
			d.bad(item, err)
			continue
		}
		lower := strings.ToLower(e.name)
		if other, ok := seen[lower]; ok {
			d.fail(e.at, item.path, "name differs from "+quote(other)+" only in case", "")
			continue
		}
		seen[lower] = e.name
		list = slices.DeleteFunc(list, func(h Header) bool { return strings.EqualFold(h.Name, e.name) })
		list = append(list, Header{e.name, item.text})
	}
	p.Headers = list
}

// framing are the fields that the server makes by itself, and the hop-by-hop ones (RFC
// 9110 section 7.6.1). Content-Encoding and Content-Range tell how the body is to be
// read, which a configuration does not know.
var framing = map[string]string{
	"connection": "", "content-encoding": "", "content-length": "", "content-range": "", "date": "",
	"http2-settings": "", "keep-alive": "", "proxy-connection": "", "te": "", "trailer": "",
	"transfer-encoding": "", "upgrade": "",
	"status":           `a redirect has the key status`,
	"x-sendfile":       `see the key sendfile`,
	"x-accel-redirect": `see the key sendfile`,
}

func checkHeaderName(name string) error {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return bad(`expected one as in "X-Frame-Options"`, "bad field name %s", quote(name))
		}
	}
	hint, ours := framing[strings.ToLower(name)]
	switch {
	case name == "":
		return bad("", "empty field name")
	case ours:
		return bad(hint, "field %s is the server's to set", quote(name))
	}
	return nil
}

func checkHeaderValue(name, v string) error {
	for _, c := range []byte(v) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return bad("", "bad value %s: it has a control character in it", quote(v))
		}
	}
	switch {
	case strings.Trim(v, " \t") != v:
		return bad("", "bad value %s: it begins or ends with a space", quote(v))
	case v == "" && strings.EqualFold(name, "Server"):
		return bad("give it another value", "field %s cannot be taken away", quote(name))
	case len(v) > maxHeaderValue:
		return bad("", "value %s is longer than 8 KiB", quote(v))
	}
	return nil
}

// maxHeaderValue is what every client and server in front takes.
const maxHeaderValue = 8 << 10

// errorPages sets the pages of a table over those that are inherited. A page for a
// hundred takes the place of all that were inherited for it.
func (d *decoder) errorPages(p *Policy, v value) {
	if !d.is(v, tableKind, "") {
		return
	}
	var own []ErrorPage
	for _, e := range v.entries {
		item := value{e.value, keyPath(v.path, e.name)}
		if !isErrorStatus(e.name) {
			d.fail(e.at, item.path, "bad status "+quote(e.name), `expected one from "400" to "599", "4xx" or "5xx"`)
			continue
		}
		if !d.is(item, stringKind, "") {
			continue
		}
		if item.text != "" {
			if err := checkURLPath(item.text); err != nil {
				d.bad(item, err)
				continue
			}
		}
		own = append(own, ErrorPage{e.name, item.text})
	}
	list := slices.Clone(p.ErrorPages)
	for _, page := range own {
		list = slices.DeleteFunc(list, func(old ErrorPage) bool {
			return old.Status == page.Status || page.Status[1:] == "xx" && old.Status[0] == page.Status[0]
		})
	}
	p.ErrorPages = append(list, own...)
}

func isErrorStatus(s string) bool {
	if len(s) != 3 || s[0] != '4' && s[0] != '5' {
		return false
	}
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return s[1:] == "xx" || isDigit(s[1]) && isDigit(s[2])
}

func (d *decoder) allow(p *Policy, v value) {
	list, ok := d.networks(v)
	switch {
	case !ok:
	case len(list) == 0 && len(v.items) == 0:
		d.fail(v.at, v.path, "nobody is allowed", `write deny = ["all"]`)
	default:
		p.access().Allow = list
	}
}

func (d *decoder) deny(p *Policy, v value) {
	if list, ok := d.networks(v); ok {
		p.access().Deny = list
	}
}

// access is the table's own, which begins with nobody in it.
func (p *Policy) access() *Access {
	if !p.ownAccess {
		p.Access, p.ownAccess = new(Access), true
	}
	return p.Access
}

// everybody is what "all" stands for.
var everybody = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func (d *decoder) networks(v value) ([]netip.Prefix, bool) {
	items := d.strings(v)
	if v.kind != arrayKind {
		return nil, false
	}
	list := []netip.Prefix{}
	for _, item := range items {
		p, err := ParsePrefix(item.text)
		switch {
		case item.text == "all":
			list = append(list, everybody...)
		case item.text == "unix":
			d.fail(item.at, item.path, `"unix" is no client`, `one on a Unix socket has the address that it tells, or "0.0.0.0"`) // A08
		case err != nil && strings.Contains(item.text, "/"):
			d.bad(item, err)
		case err != nil:
			d.fail(item.at, item.path, "bad address "+quote(item.text), `expected an address, a network as in "10.0.0.0/8", or "all"`)
		default:
			list = append(list, p)
		}
	}
	return list, true
}

// deniesAll reports whether nobody is left for Allow.
func (a *Access) deniesAll() bool {
	return a != nil && slices.Contains(a.Deny, everybody[0]) && slices.Contains(a.Deny, everybody[1])
}

func (d *decoder) basicAuth(g *Guard, v value) {
	switch {
	case v.kind == booleanKind && v.text == "false":
		g.BasicAuth = nil
	case v.kind != tableKind:
		d.fail(v.at, v.path, "expected a table or false, got "+v.kind.String(), `as in { realm = "members", file = "htpasswd" }`)
	default:
		a := &BasicAuth{Realm: "restricted"}
		basicAuthTable.decode(d, v.node, v.path, a)
		if v.get("file") == nil {
			d.fail(v.at, v.path, "file is missing", "expected a file as htpasswd writes it")
		}
		g.BasicAuth = a
	}
}

func (d *decoder) realm(a *BasicAuth, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case v.text == "" || strings.ContainsFunc(v.text, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		d.fail(v.at, v.path, "bad realm "+quote(v.text), "expected printable ASCII characters") // RFC 7617 names no charset for it
	default:
		a.Realm = v.text
	}
}

func (d *decoder) sendfile(g *Guard, v value) {
	p, ok := d.path(v, true)
	switch {
	case !ok:
	case !strings.HasSuffix(p, "/"):
		d.fail(v.at, v.path, quote(v.text)+" is no folder", `a folder is written with a "/" at its end`)
	default:
		g.Sendfile = p
	}
}

func (d *decoder) sendfilePrefix(g *Guard, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	err := checkURLPath(v.text)
	if err == nil && !strings.HasSuffix(v.text, "/") {
		err = bad("write "+quote(v.text+"/"), "bad prefix %s", quote(v.text))
	}
	if err != nil {
		d.bad(v, err)
		return
	}
	g.SendfilePrefix = v.text
}

// checkPolicy reports what would do nothing in a table, which may be that of the
// server, a site or a route; there is a Guard in the latter two.
func (d *decoder) checkPolicy(p *Policy, g *Guard, t value) {
	at := func(key string) (pos, string) { return t.get(key).at, keyPath(t.path, key) }
	if p.Access.deniesAll() && t.get("allow") != nil {
		where, key := at("allow")
		d.fail(where, key, `does nothing beside deny = ["all"]`, "leave deny out: who is not in allow is refused")
	}
	if g == nil {
		return
	}
	if g.Sendfile == "" && t.get("sendfile_prefix") != nil && t.get("sendfile") == nil {
		where, key := at("sendfile_prefix")
		d.fail(where, key, "does nothing without sendfile", "expected the folder of the files")
	}
	if n := t.get("pass_authorization"); g.BasicAuth != nil && n != nil && n.kind == booleanKind && n.text == "true" {
		where, key := at("pass_authorization")
		d.fail(where, key, "does nothing where basic_auth has checked the Authorization field", "the program gets REMOTE_USER") // A33
	}
}
