package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Backend is an application that is connected to, with FastCGI or SCGI: either
// somebody else runs it at Addresses, or its processes are ours, by Command.
type Backend struct {
	// Addresses holds "host:port" and "unix:/path", with FastCGI also
	// "dns:name:port" and "srv:_service._tcp.name".
	Addresses []string

	// Command is a program and its arguments. The program is an absolute path,
	// or a name to be found on the PATH.
	Command []string
	// Dir is the folder its processes start in, User whom they run as ("" for
	// ourselves), Env what they have in their environment besides the usual.
	Dir, User string
	Env       []Var
	// Workers is how many processes there are at most, MinWorkers how many are
	// kept ready; one above those ends after WorkerIdleTimeout without a request.
	Workers, MinWorkers int
	WorkerIdleTimeout   Duration
	// Concurrency is how many requests one process takes at a time.
	Concurrency int
	// MaxRequests and MaxMemory, resident, are what a process may have answered
	// and use before another takes its place; 0 for any.
	MaxRequests int
	MaxMemory   Size
	// StartTimeout is how long a process may take until it listens.
	StartTimeout Duration

	// Connections is how many there are at a time to each of Addresses, with
	// SCGI to all of them.
	Connections int
	// KeepAlive keeps connections open between requests, each for at most
	// ConnectionIdleTimeout.
	KeepAlive             bool
	ConnectionIdleTimeout Duration
	ConnectTimeout        Duration
	// AbortGrace is how long a request that nobody waits for may take to end.
	AbortGrace Duration
	// Role is "responder" or "filter", for FastCGI.
	Role string
	// CatchStderr are texts that make a failure of a response when they stand in
	// what the application writes to its standard error before it.
	CatchStderr []string
	// HealthInterval is how often each address is looked at, 0 for never; with
	// a request for HealthPath, or without one by a management record (B34).
	HealthPath                    string
	HealthInterval, HealthTimeout Duration

	// Missing is why Command cannot be run, "" if it can. The route then answers
	// each request with it. No configuration file sets it.
	Missing string
	// Line tells where in the site's file it is written.
	Line int
}

// NewBackend returns a Backend with the defaults, but for what it connects to.
// MinWorkers is as many as Workers, and KeepAlive is for a Command.
func NewBackend() *Backend {
	return &Backend{
		Workers: 4, MinWorkers: 4, WorkerIdleTimeout: Duration(time.Minute),
		Concurrency: 1, StartTimeout: Duration(10 * time.Second),
		Connections: 64, KeepAlive: true, ConnectionIdleTimeout: Duration(30 * time.Second),
		ConnectTimeout: Duration(10 * time.Second), AbortGrace: Duration(time.Second),
		Role: "responder", HealthTimeout: Duration(5 * time.Second),
	}
}

// backend reads an application: its address, several of them, or a table.
func backend(get func(*Route) **Backend, t *table[Backend]) func(*decoder, *Route, value) {
	return func(d *decoder, r *Route, v value) {
		b := NewBackend()
		b.Line = v.at.line
		switch v.kind {
		case stringKind, arrayKind:
			d.addresses(b, v)
		case tableKind:
			t.decode(d, v.node, v.path, b)
			d.completeBackend(b, v)
		default:
			d.fail(v.at, v.path, "expected an address, several, or a table, got "+v.kind.String(), "")
		}
		if len(b.Command) == 0 && (v.kind != tableKind || v.get("keep_alive") == nil) {
			b.KeepAlive = false // each would hold one of the processes over there (B37)
		}
		if len(b.Command) > 0 && b.Dir == "" {
			b.Dir = d.dir
		}
		*get(r) = b
	}
}

// commandKeys and addressKeys are for one of the two kinds of application.
var (
	commandKeys = []string{"workers", "min_workers", "worker_idle_timeout", "concurrency", "max_requests",
		"max_memory", "start_timeout", "env", "dir", "user"}
	addressKeys = []string{"connections", "connect_timeout", "health_path", "health_interval", "health_timeout"}
)

// completeBackend checks what the keys of the table v say together, and fills in
// what depends on others.
func (d *decoder) completeBackend(b *Backend, v value) {
	address, command := v.get("address"), v.get("command")
	switch {
	case address == nil && command == nil:
		d.fail(v.at, v.path, "none of address and command", "expected exactly one")
	case address != nil && command != nil:
		d.fail(command.at, keyPath(v.path, "command"), "a command beside an address", "expected exactly one of address and command")
	case address != nil:
		d.useless(v, commandKeys, "address", "command")
	default:
		d.useless(v, addressKeys, "command", "address")
	}
	d.completeWorkers(b, v)
	if b.HealthPath != "" && v.get("health_interval") == nil {
		b.HealthInterval = Duration(10 * time.Second)
	}
	if n := v.get("health_timeout"); n != nil && b.HealthInterval == 0 && address != nil {
		d.fail(n.at, keyPath(v.path, "health_timeout"), "does nothing without a health_path or a health_interval", "")
	}
	if n := v.get("connection_idle_timeout"); n != nil {
		if keep := v.get("keep_alive"); keep == nil && command == nil || keep != nil && !b.KeepAlive {
			d.fail(n.at, keyPath(v.path, "connection_idle_timeout"), "does nothing without keep_alive = true", "")
		}
	}
}

// useless reports the keys that stand beside one of address and command, but are
// about the other.
func (d *decoder) useless(v value, keys []string, has, wants string) {
	for _, e := range v.entries {
		if slices.Contains(keys, e.name) {
			d.fail(e.at, keyPath(v.path, e.name), "does nothing with "+has, "it is for "+wants)
		}
	}
}

func (d *decoder) completeWorkers(b *Backend, v value) {
	least := v.get("min_workers")
	switch {
	case least == nil:
		b.MinWorkers = b.Workers
	case b.MinWorkers > b.Workers:
		d.fail(least.at, keyPath(v.path, "min_workers"), "more than workers, of which there are "+strconv.Itoa(b.Workers), "")
	}
	if n := v.get("worker_idle_timeout"); n != nil && b.MinWorkers == b.Workers {
		d.fail(n.at, keyPath(v.path, "worker_idle_timeout"), "does nothing when all workers are kept ready", "set min_workers to less than workers")
	}
}

// addresses stores one address or an array of them.
func (d *decoder) addresses(b *Backend, v value) {
	items := []value{v}
	if v.kind != stringKind {
		if items = d.strings(v); v.kind == arrayKind && len(v.items) == 0 {
			d.fail(v.at, v.path, "no address", "")
		}
	}
	for _, item := range items {
		a, err := ParseAddress(item.text)
		if err != nil {
			d.bad(item, err)
			continue
		}
		if kind, _, _ := strings.Cut(a, ":"); d.isSCGI(v) && (kind == "dns" || kind == "srv") {
			d.fail(item.at, item.path, "address "+quote(item.text)+" is for fastcgi", expectedListen)
			continue
		}
		if path, unix := strings.CutPrefix(a, "unix:"); unix {
			if a = "unix:" + d.resolve(path, false); len(a) > len("unix:")+maxSocketPath {
				d.fail(item.at, item.path, "socket path "+quote(a[len("unix:"):])+" is longer than "+strconv.Itoa(maxSocketPath)+" bytes", "")
				continue
			}
		}
		if slices.Contains(b.Addresses, a) {
			d.fail(item.at, item.path, "address "+quote(item.text)+" is listed twice", "")
			continue
		}
		b.Addresses = append(b.Addresses, a)
	}
}

// isSCGI reports whether the value belongs to an application with SCGI, which has no
// names that stand for several addresses.
func (d *decoder) isSCGI(v value) bool {
	return v.path == "site.route.scgi" || v.path == "site.route.scgi.address"
}

const expectedAddress = `expected "host:port", "unix:/path", "dns:name:port" or "srv:_service._tcp.name"`

// ParseAddress checks the address of an application, and returns it in canonical
// form: "host:port" or "unix:path"; "dns:name:port" for all addresses of a name,
// "srv:_service._tcp.name" for what its SRV records name (RFC 2782).
func ParseAddress(text string) (string, error) {
	if text == "" {
		return "", bad(expectedAddress, "empty address")
	}
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "unix":
		path, err := checkSocket(rest)
		return "unix:" + path, err
	case "srv":
		name, err := serviceName(rest)
		return "srv:" + name, err
	case "fastcgi", "fcgi", "scgi", "tcp":
		return "", bad("write "+quote(strings.TrimLeft(rest, "/")), "bad address %s", quote(text))
	case "dns":
		host, _, err := net.SplitHostPort(rest)
		if _, ipErr := netip.ParseAddr(host); err == nil && ipErr == nil {
			return "", bad("write "+quote(rest), "%s is an address, no name", quote(host))
		}
		a, err := checkRemote(rest)
		return "dns:" + a, err
	}
	return checkRemote(text)
}

// checkRemote checks an address that somebody else listens on.
func checkRemote(text string) (string, error) {
	if strings.HasPrefix(text, "/") {
		return "", bad("write "+quote("unix:"+text), "bad address %s", quote(text))
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", bad(expectedAddress, "bad address %s", quote(text))
	}
	if host == "" {
		return "", bad("write "+quote("127.0.0.1:"+port)+" for this machine", "no host in address %s", quote(text))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil && n == 0 {
		return "", bad("expected a number from 1 to 65535", "bad port %s in %s", quote(port), quote(text))
	}
	return checkAddress(text)
}

// serviceName checks the name of SRV records.
func serviceName(text string) (string, error) {
	name, err := hostName(text)
	if err != nil {
		return "", err
	}
	if parts := strings.Split(name, "."); len(parts) < 3 || len(parts[0]) < 2 || parts[0][0] != '_' || parts[1] != "_tcp" {
		return "", bad(`expected one as in "_fcgi._tcp.example.org"`, "bad service name %s", quote(text))
	}
	return name, nil
}

// command stores a program and its arguments. A program with a "/" in it is
// relative to the folder of the file, as other files are.
func (d *decoder) command(b *Backend, v value) {
	if v.kind == arrayKind && len(v.items) == 0 {
		d.fail(v.at, v.path, "empty command", `expected a program and its arguments, as in ["php-cgi"]`)
		return
	}
	var words []string
	for _, item := range d.strings(v) {
		if strings.ContainsRune(item.text, 0) {
			d.fail(item.at, item.path, "argument "+quote(item.text)+" has a NUL in it", "")
			return
		}
		words = append(words, item.text)
	}
	if len(words) != len(v.items) || len(words) == 0 {
		return // reported
	}
	program, err := checkPath(words[0])
	if err != nil {
		d.bad(value{v.items[0], v.path}, err)
		return
	}
	if strings.Contains(program, "/") {
		words[0] = d.resolve(program, false)
	}
	args := strings.Join(words[1:], " ")
	if strings.Contains(args, "{socket}") && strings.Contains(args, "{port}") {
		d.fail(v.at, v.path, "both {socket} and {port} in it", "a program listens on one of them")
		return
	}
	b.Command = words
}

func (d *decoder) role(b *Backend, v value) {
	switch {
	case !d.is(v, stringKind, ""):
	case v.text == "authorizer":
		d.fail(v.at, v.path, `bad role "authorizer"`, "an authorizer stands beside a handler: write authorize = { ... }")
	case v.text != "responder" && v.text != "filter":
		d.fail(v.at, v.path, "bad role "+quote(v.text), `expected "responder" or "filter"`)
	default:
		b.Role = v.text
	}
}

func (d *decoder) catchStderr(b *Backend, v value) {
	for _, item := range d.strings(v) {
		if item.text == "" {
			d.fail(item.at, item.path, "empty text", "it would be found everywhere")
			continue
		}
		b.CatchStderr = append(b.CatchStderr, item.text)
	}
}

func (d *decoder) healthPath(b *Backend, v value) {
	if !d.is(v, stringKind, "") {
		return
	}
	if err := checkURLPath(v.text); err != nil {
		d.bad(v, err)
		return
	}
	b.HealthPath = v.text
}

// positive is a duration that cannot be 0.
func positive(get func(*Backend) *Duration) func(*decoder, *Backend, value) {
	return func(d *decoder, b *Backend, v value) {
		set := *get(b)
		d.unmarshal(v, &set, "s")
		if set <= 0 {
			d.fail(v.at, v.path, "bad duration "+quote(v.text), "expected more than 0")
			return
		}
		*get(b) = set
	}
}
