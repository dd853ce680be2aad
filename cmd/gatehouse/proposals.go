package main

import (
	"strings"

	"gatehouse/scripts"
)

// argumentKinds say what the arguments of a command are, by their places.
var argumentKinds = map[string][]string{
	"serve":      {"TARGET"},
	"run":        {"SCRIPT"},
	"explain":    {"URL", "SCRIPT"},
	"check":      {"TOML"},
	"config":     {"TOML"},
	"init":       {"TARGET"},
	"wrap":       {"ADDRESS"},
	"call":       {"RESPONDER"},
	"end":        {"REQUEST-ID"},
	"completion": {"SHELL"},
	"man":        {"PAGE"},
}

// argument proposes an argument of the command.
func (t *typed) argument(last string) proposal {
	if kinds := argumentKinds[t.cmd.Name]; len(t.args) < len(kinds) {
		return t.valueOf(kinds[len(t.args)], last)
	}
	return proposal{kind: onlyListed}
}

// value proposes the value of a flag: what it is called says what it is.
func (t *typed) value(d flagDoc, last string) proposal {
	if d.names == nil || d.value == "" {
		return proposal{kind: onlyListed}
	}
	switch d.long() {
	case "--config":
		return t.valueOf("TOML", last)
	case "--trust":
		return listed("unix", "127.0.0.1", "::1")
	}
	return t.valueOf(d.value, last)
}

// valueOf proposes what something of this name may be.
func (t *typed) valueOf(name, last string) proposal {
	switch name {
	case "FILE", "SCRIPT", "PATH":
		return proposal{kind: files}
	case "DIR":
		return proposal{kind: folders}
	case "TOML":
		return proposal{kind: toml}
	case "DATA":
		if strings.HasPrefix(last, "@") {
			return proposal{kind: files, prefix: "@"}
		}
	case "TARGET":
		if last == "" { // files are what is mostly meant
			return proposal{kind: files}
		}
		p := address(last, "fcgi://", "scgi://", "unix:")
		p.kind = files
		return p
	case "ADDRESS":
		return listenAddress(last)
	case "RESPONDER":
		return address(last, "unix:", "fcgi://", "scgi://", "127.0.0.1:")
	case "SOCKET":
		return address(last, "unix:", "tcp:127.0.0.1:", "tcp6:[::1]:")
	case "USER":
		return accounts("/etc/passwd")
	case "GROUP":
		return accounts("/etc/group")
	case "METHOD":
		return listed("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
	case "WHEN":
		return listed("auto", "true", "false")
	case "ROLE":
		return listed("responder", "authorizer", "filter")
	case "MODE":
		return listed("0600", "0660", "0666")
	case "SHELL":
		return listed(scripts.Shells...)
	case "PAGE":
		return listed(pages...)
	case "REQUEST-ID":
		return t.requests()
	case "URL":
		return t.hosts()
	}
	return proposal{kind: onlyListed}
}

// listenAddress proposes what to listen on, with or without a protocol in front.
func listenAddress(last string) proposal {
	places := []string{"127.0.0.1:", "unix:", "systemd:", "fd:"}
	for _, protocol := range []string{"http:", "https:", "fastcgi:", "scgi:"} {
		if rest, found := strings.CutPrefix(last, protocol); found {
			return address(rest, places...).behind(protocol)
		}
	}
	return address(last, append(places, "fastcgi:", "scgi:")...)
}

// address proposes a beginning, or behind "unix:" a file.
func address(last string, beginnings ...string) proposal {
	if strings.HasPrefix(last, "unix:") {
		return proposal{kind: files, prefix: "unix:"}
	}
	return listed(beginnings...)
}
