package config

import (
	"slices"
	"strconv"
	"strings"
)

func adminFields() []field[Config] {
	return []field[Config]{{
		Key: Key{Name: "admin", Type: typeStrings, Default: `[]`,
			Doc: `Addresses, "host:port" or "unix:/path", of the status page, /status.json, /metrics, /livez and /readyz. Whoever reaches one sees what runs and can end it: it is for 127.0.0.1, or for a Unix socket, which has listen_mode, listen_owner and listen_group.`},
		set: (*decoder).admin,
	}}
}

// admin stores the addresses of the status page.
func (d *decoder) admin(c *Config, v value) {
	c.Admin = nil
	for _, item := range d.strings(v) {
		l, err := ParseListen(item.text)
		if err != nil {
			d.bad(item, err)
			continue
		}
		if l.Network != "tcp" && l.Network != "unix" || strings.HasPrefix(item.text, l.Protocol+":") {
			d.fail(item.at, item.path, "bad address "+quote(item.text), expectedListen+"; it is always HTTP")
			continue
		}
		if l.Network == "unix" {
			if l.Address = d.resolve(l.Address, false); len(l.Address) > maxSocketPath {
				d.fail(item.at, item.path, "socket path "+quote(l.Address)+" is longer than "+strconv.Itoa(maxSocketPath)+" bytes", "")
				continue
			}
		}
		same := func(o Listen) bool { return o.Network == l.Network && o.Address == l.Address }
		if !strings.HasSuffix(l.Address, ":0") && slices.ContainsFunc(c.Admin, same) {
			d.fail(item.at, item.path, "address "+quote(item.text)+" is listed twice", "")
			continue
		}
		c.Admin = append(c.Admin, l)
	}
}
