package config

import (
	"fmt"
	"slices"
	"strings"
)

// sites reads the [[site]] tables of a file.
func (d *decoder) sites(c *Config, v value) {
	for _, t := range d.tables(v) {
		s := c.NewSite()
		s.File, s.Line = d.file, t.at.line
		d.site = t.node
		siteTable.decode(d, t.node, t.path, &s)
		if t.get("index") == nil && slices.ContainsFunc(s.Routes, func(r Route) bool { return r.Path == "*.php" }) {
			s.Index = append(s.Index, "index.php")
		}
		if t.get("hosts") == nil {
			d.claim(t, "", "a second site without hosts")
		}
		d.checkSite(&s, t)
		d.checkPolicy(&s.Policy, &s.Guard, t)
		d.idleLogging(&s.Logging, t)
		c.Sites = append(c.Sites, s)
	}
}

// claim gives a host to the site at v, unless another has it.
func (d *decoder) claim(v value, host, reason string) bool {
	if first, ok := d.loading.hosts[host]; ok {
		d.fail(v.at, v.path, reason, "the first is at "+first)
		return false
	}
	d.loading.hosts[host] = fmt.Sprintf("%s:%d", d.file, v.at.line)
	return true
}

func (d *decoder) hosts(s *Site, v value) {
	if v.kind == arrayKind && len(v.items) == 0 {
		d.fail(v.at, v.path, "no host", "leave it out for every host")
	}
	for _, item := range d.strings(v) {
		host, err := parseHost(item.text)
		if err != nil {
			d.bad(item, err)
			continue
		}
		if d.claim(item, host, "host "+quote(item.text)+" is given twice") {
			s.Hosts = append(s.Hosts, host)
		}
	}
}

func (d *decoder) index(s *Site, v value) {
	items := d.strings(v)
	s.Index = nil
	for _, item := range items {
		name := item.text
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			d.fail(item.at, item.path, "bad file name "+quote(name), `expected one without "/"`)
			continue
		}
		s.Index = append(s.Index, name)
	}
}

func (d *decoder) fallback(s *Site, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	if err := checkURLPath(v.text); err != nil {
		d.bad(v, err)
		return
	}
	s.Fallback = v.text
}

// cgroup stores a folder, which is never relative: it is not one of the site's.
func (d *decoder) cgroup(c *Config, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case v.text == "":
		c.Cgroup = ""
	case !strings.HasPrefix(v.text, "/"):
		d.fail(v.at, v.path, "bad folder "+quote(v.text), `expected one that begins with "/", as in "/sys/fs/cgroup/gatehouse"`)
	default:
		if p, ok := d.path(v, false); ok {
			c.Cgroup = p
		}
	}
}
