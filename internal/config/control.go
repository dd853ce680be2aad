package config

import "strconv"

// NoControl is Config.Control where there is to be no control socket.
const NoControl = "off"

func controlFields() []field[Config] {
	return []field[Config]{{
		Key: Key{Name: "control", Type: typeString, Default: "a file in the system's folder for them",
			Doc: `The Unix socket for reload, upgrade, stop and status, or "off"; when nothing is said /run/gatehouse/control.sock for root and $XDG_RUNTIME_DIR/gatehouse.sock for others, where that folder exists.`},
		set: (*decoder).control,
	}}
}

// control stores the control socket's path or "off".
func (d *decoder) control(c *Config, v value) {
	if v.kind == stringKind && v.text == NoControl {
		c.Control = NoControl
		return
	}
	hint := ""
	if v.kind == booleanKind && v.text == "false" {
		hint = "write " + quote(NoControl)
	}
	if !d.is(v, stringKind, hint) {
		return
	}
	path, err := checkSocket(v.text)
	if err != nil {
		d.bad(v, err)
		return
	}
	if path = d.resolve(path, false); len(path) > maxSocketPath {
		d.fail(v.at, v.path, "socket path "+quote(path)+" is longer than "+strconv.Itoa(maxSocketPath)+" bytes", "")
		return
	}
	c.Control = path
}
