package config

// The types of Key.Type.
const (
	typeString   = "string"
	typeInteger  = "integer"
	typeBoolean  = "boolean"
	typeDuration = "duration"
	typeSize     = "size"
	typeStrings  = "array of strings"
	typeVars     = "table of strings"
	typeTables   = "array of tables"
	typeBackend  = "string, array of strings or table"
	typeWSGI     = "string or table"
)

// The tables are set in init, since decoding one leads to the next and to the
// hints, which know them all.
var (
	serverTable   table[Config]
	includedTable table[Config]
	siteTable     table[Site]
	routeTable    table[Route]

	fastcgiTable, scgiTable, authorizeTable table[Backend]

	wsgiTable table[WSGI]

	pairTable table[pair]
	acmeTable table[ACME]

	basicAuthTable table[BasicAuth]
)

func init() {
	fastcgiTable, scgiTable, authorizeTable = backendTables()
	pairTable = table[pair]{"tls", "inside tls", pairFields()}
	acmeTable = table[ACME]{"acme", "inside acme at the top of the main file", acmeFields()}
	wsgiTable = table[WSGI]{"site.route.wsgi", "inside wsgi", wsgiFields()}
	basicAuthTable = table[BasicAuth]{"basic_auth", "inside basic_auth", basicAuthFields()}
	serverTable = table[Config]{"", "at the top of the main file, before any table", serverFields()}
	includedTable = table[Config]{"", "", []field[Config]{sitesField()}}
	siteTable = table[Site]{"site", "in [[site]]", siteFields()}
	routeTable = table[Route]{"site.route", "in [[site.route]]", routeFields()}
}

func sitesField() field[Config] {
	return field[Config]{
		Key:   Key{Name: "site", Type: typeTables, Doc: "One virtual host; included files hold these tables and nothing else."},
		set:   (*decoder).sites,
		inner: true,
	}
}

func serverFields() []field[Config] {
	fields := []field[Config]{
		{Key: Key{Name: "listen", Type: typeStrings, Default: `["127.0.0.1:8080"]`,
			Doc: `Addresses to serve on: "host:port", "unix:/path", "systemd:" or "systemd:NAME" for sockets that systemd passes, "fd:3" for an inherited one; each with "https:" in front for TLS, with "fastcgi:" or "scgi:" to be an application behind a web server, or with "http:" or nothing.`},
			set: (*decoder).listen},
		{Key: Key{Name: "listen_mode", Type: typeString, Default: `"0660"`,
			Doc: "Permissions of the Unix sockets that are made: who may write may connect."},
			set: (*decoder).listenMode},
		{Key: Key{Name: "listen_owner", Type: typeString, Default: "that of the process",
			Doc: "Name or number of the user whose they are; only root can give them away."},
			set: account(func(c *Config) *string { return &c.ListenOwner })},
		{Key: Key{Name: "listen_group", Type: typeString, Default: "that of the process",
			Doc: "Name or number of the group whose they are, such as that of the web server in front."},
			set: account(func(c *Config) *string { return &c.ListenGroup })},
		{Key: Key{Name: "include", Type: typeStrings, Default: `[]`,
			Doc: "Globs of further files with sites, relative to the folder of this file."},
			set: (*decoder).include},
		{Key: Key{Name: "log", Type: typeString, Default: `"stderr"`,
			Doc: `The error log: "stderr" or a file.`},
			set: logFile(func(c *Config) *string { return &c.Log }, "stderr")},
		{Key: Key{Name: "trusted_proxies", Type: typeStrings, Default: `[]`,
			Doc: `Addresses and networks whose word about the client is taken; "unix" stands for every peer on a Unix socket. On a fastcgi or scgi Unix socket that only its owner and group may connect to, the peer is believed without it.`},
			set: (*decoder).trusted},
		{Key: Key{Name: "cgroup", Type: typeString, Default: `""`,
			Doc: `A delegated cgroup v2 folder for the programs; "" for none.`},
			set: (*decoder).cgroup},
		{Key: Key{Name: "connections", Type: typeInteger, Default: `10000`,
			Doc: "How many connections are open at a time, over all listeners; further ones wait to be accepted."},
			set: integer(func(c *Config) *int { return &c.Connections }, 1, 1_000_000)},
		{Key: Key{Name: "shutdown_timeout", Type: typeDuration, Default: `"30s"`,
			Doc: `How long a stop waits for the requests that run; "0s" waits for none.`},
			set: duration(func(c *Config) *Duration { return &c.ShutdownTimeout })},
	}
	fields = append(fields, controlFields()...)
	fields = append(fields, adminFields()...)
	fields = append(fields, lift(func(c *Config) *ErrorLogging { return &c.ErrorLogging }, errorLoggingFields())...)
	fields = append(fields, lift(func(c *Config) *Logging { return &c.Logging }, loggingFields())...)
	fields = append(fields, lift(func(c *Config) *[]Var { return &c.Env }, envFields())...)
	fields = append(fields, lift(func(c *Config) *Policy { return &c.Policy }, policyFields())...)
	fields = append(fields, lift(func(c *Config) *Limits { return &c.Limits }, limitFields())...)
	fields = append(fields, lift(func(c *Config) *Warm { return &c.Warm }, warmFields())...)
	fields = append(fields, frontFields()...)
	fields = append(fields, lift(func(c *Config) *Secure { return &c.Secure }, secureFields())...)
	fields = append(fields, lift(func(c *Config) *Coding { return &c.Coding }, codingFields())...)
	fields = append(fields, lift(func(c *Config) *Helpers { return &c.Helpers }, helperFields())...)
	return append(fields, sitesField())
}

func siteFields() []field[Site] {
	fields := []field[Site]{
		{Key: Key{Name: "hosts", Type: typeStrings, Default: "every host",
			Doc: `Host names of the site; "*.example.org" stands for every name below example.org.`},
			set: (*decoder).hosts},
		{Key: Key{Name: "root", Type: typeString,
			Doc: "Folder of the site's files."},
			set: path(func(s *Site) *string { return &s.Root }, false)},
		{Key: Key{Name: "index", Type: typeStrings, Default: `["index.html", "index.cgi"]`,
			Doc: `File names tried in a folder, in order; where there is a route "*.php", "index.php" is the third unless they are set.`},
			set: (*decoder).index},
		{Key: Key{Name: "fallback", Type: typeString,
			Doc: "URL path that answers when no file matches: a front controller."},
			set: (*decoder).fallback},
		{Key: Key{Name: "listing", Type: typeBoolean, Default: `false`,
			Doc: "Whether a folder without an index shows the names in it."},
			set: boolean(func(s *Site) *bool { return &s.Listing })},
	}
	fields = append(fields, lift(func(s *Site) *[]Var { return &s.Env }, envFields())...)
	fields = append(fields, lift(func(s *Site) *Policy { return &s.Policy }, policyFields())...)
	fields = append(fields, lift(func(s *Site) *Guard { return &s.Guard }, guardFields())...)
	fields = append(fields, lift(func(s *Site) *Limits { return &s.Limits }, limitFields())...)
	fields = append(fields, lift(func(s *Site) *Warm { return &s.Warm }, warmFields())...)
	fields = append(fields, lift(func(s *Site) *Logging { return &s.Logging }, loggingFields())...)
	fields = append(fields, lift(func(s *Site) *Secure { return &s.Secure }, secureFields())...)
	fields = append(fields, lift(func(s *Site) *Coding { return &s.Coding }, codingFields())...)
	return append(fields, field[Site]{
		Key:   Key{Name: "route", Type: typeTables, Doc: "The handler of one pattern of URL paths: one of " + handlerNames + "."},
		set:   (*decoder).routes,
		inner: true,
	})
}

func routeFields() []field[Route] {
	fields := []field[Route]{
		{Key: Key{Name: "path", Type: typeString,
			Doc: `The URL paths: "/x/" with everything below it, "/x" alone, or "*.cgi" by the end of a file's name.`},
			set: (*decoder).routePath},
		{Key: Key{Name: "cgi", Type: "string or true",
			Doc: `A folder of scripts ("/" at its end) or one script; true on a "*.cgi" path, where the file found is the script.`},
			set: (*decoder).cgi},
		{Key: Key{Name: "fastcgi", Type: typeBackend,
			Doc: "A FastCGI application: its address, several of them, or a table with one of address and command."},
			set: backend(func(r *Route) **Backend { return &r.FastCGI }, &fastcgiTable)},
		{Key: Key{Name: "scgi", Type: typeBackend,
			Doc: "An SCGI application, in the same way."},
			set: backend(func(r *Route) **Backend { return &r.SCGI }, &scgiTable)},
		{Key: Key{Name: "wsgi", Type: typeWSGI,
			Doc: `A Python application (PEP 3333): its module, as in "app.py:application", or a table.`},
			set: (*decoder).wsgi},
		{Key: Key{Name: "static", Type: typeString,
			Doc: `A folder of files ("/" at its end) or one file.`},
			set: path(func(r *Route) *string { return &r.Static }, true)},
		{Key: Key{Name: "redirect", Type: typeString,
			Doc: "An absolute URL or a path that clients are sent to; {path}, {rest} (of the path, behind the route's), {query}, {host} and {scheme} stand for those of the request."},
			set: (*decoder).redirect},
		{Key: Key{Name: "status", Type: typeInteger, Default: `302`,
			Doc: "The status of a redirect: 301, 302, 303, 307 or 308."},
			set: (*decoder).status},
		{Key: Key{Name: "listing", Type: typeBoolean, Default: "that of the site",
			Doc: "Whether a folder of a static route without an index shows the names in it."},
			set: (*decoder).listing},
	}
	fields = append(fields, []field[Route]{
		{Key: Key{Name: "authorize", Type: typeBackend,
			Doc: "A FastCGI authorizer, in the same way, that is asked before any of the handlers answers."}, // B43
			set: backend(func(r *Route) **Backend { return &r.Authorize }, &authorizeTable)},
		{Key: Key{Name: "root", Type: typeString,
			Doc: `Folder of the files that a filter gets; of a "*.html" path these are the site's.`}, // B47
			set: path(func(r *Route) *string { return &r.Root }, false)},
	}...)
	fields = append(fields, programFields()...)
	fields = append(fields, lift(func(r *Route) *[]Var { return &r.Env }, envFields())...)
	fields = append(fields, lift(func(r *Route) *Policy { return &r.Policy }, policyFields())...)
	fields = append(fields, lift(func(r *Route) *Guard { return &r.Guard }, guardFields())...)
	fields = append(fields, lift(func(r *Route) *Warm { return &r.Warm }, warmFields())...)
	fields = append(fields, lift(func(r *Route) *Coding { return &r.Coding }, codingFields())...)
	return append(fields, lift(func(r *Route) *Limits { return &r.Limits }, limitFields())...)
}

// programFields are the keys of a route that say how a program is treated.
func programFields() []field[Route] {
	return []field[Route]{
		{Key: Key{Name: "accept_path_info", Type: typeBoolean, Default: `true`,
			Doc: "Whether a path may go on behind the script's name; if not, such a request is not found."}, // A48
			set: boolean(func(r *Route) *bool { return &r.AcceptPathInfo })},
		{Key: Key{Name: "pass_authorization", Type: typeBoolean, Default: "true for fastcgi, scgi and wsgi, false for cgi",
			Doc: "Whether the program gets the Authorization field of the request."}, // A33
			set: boolean(func(r *Route) *bool { return &r.PassAuthorization })},
		{Key: Key{Name: "nph", Type: typeBoolean, Default: `false`,
			Doc: `Whether scripts whose names begin with "nph-" are run, which write the whole HTTP response themselves.`}, // A95
			set: boolean(func(r *Route) *bool { return &r.NPH })},
		{Key: Key{Name: "finish_anyway", Type: typeBoolean, Default: `false`,
			Doc: "Whether a program runs to its end when its client has gone."}, // A102
			set: boolean(func(r *Route) *bool { return &r.FinishAnyway })},
		{Key: Key{Name: "keep_children", Type: typeBoolean, Default: `false`,
			Doc: "Whether processes that a program leaves behind may live on."}, // F39
			set: boolean(func(r *Route) *bool { return &r.KeepChildren })},
		{Key: Key{Name: "interim", Type: typeBoolean, Default: `false`,
			Doc: "Whether a program may send 1xx responses before its response."}, // A86
			set: boolean(func(r *Route) *bool { return &r.Interim })},
	}
}

func envFields() []field[[]Var] {
	return []field[[]Var]{
		{Key: Key{Name: "env", Type: typeVars, Default: `{}`,
			Doc: "Variables added to each request for its program; the nearest of route, site and server wins."},
			set: (*decoder).env},
	}
}

// limitFields are the limits, each with the number that Default has.
func limitFields() []field[Limits] {
	const none = `; "0s" for no limit.`
	fields := []field[Limits]{
		{Key: Key{Name: "processes", Type: typeInteger, Default: "4 for each processor core",
			Doc: "How many programs may run at a time."},
			set: integer(func(l *Limits) *int { return &l.Processes }, 1, 1_000_000)},
		{Key: Key{Name: "queue", Type: typeInteger, Default: `512`,
			Doc: "How many requests may wait for a program to end; 0 for none."},
			set: integer(func(l *Limits) *int { return &l.Queue }, 0, 1_000_000)},
		{Key: Key{Name: "queue_timeout", Type: typeDuration, Default: `"10s"`,
			Doc: "How long a request may wait in the queue" + none},
			set: duration(func(l *Limits) *Duration { return &l.QueueTimeout })},
		{Key: Key{Name: "timeout", Type: typeDuration, Default: `"1h"`,
			Doc: "How long a program may take in all" + none},
			set: duration(func(l *Limits) *Duration { return &l.Timeout })},
		{Key: Key{Name: "header_timeout", Type: typeDuration, Default: `"60s"`,
			Doc: "How long a program may take until its response header is complete, from its last input on" + none},
			set: duration(func(l *Limits) *Duration { return &l.HeaderTimeout })},
		{Key: Key{Name: "idle_timeout", Type: typeDuration, Default: `"60s"`,
			Doc: "How long a program may pause in its output, while it gets no input either" + none},
			set: duration(func(l *Limits) *Duration { return &l.IdleTimeout })},
		{Key: Key{Name: "stdin_timeout", Type: typeDuration, Default: `"60s"`,
			Doc: "How long a program may leave its input unread" + none},
			set: duration(func(l *Limits) *Duration { return &l.StdinTimeout })},
		{Key: Key{Name: "kill_grace", Type: typeDuration, Default: `"3s"`,
			Doc: `How long a program has between SIGTERM and SIGKILL; "0s" kills at once.`},
			set: duration(func(l *Limits) *Duration { return &l.KillGrace })},
		{Key: Key{Name: "linger", Type: typeDuration, Default: `"1s"`,
			Doc: `How long a child that is left over may hold the output once the program has ended; "0s" ends the response at once.`},
			set: duration(func(l *Limits) *Duration { return &l.Linger })},
	}
	fields = append(fields, slowField())
	return append(fields, sizeFields()...)
}

func sizeFields() []field[Limits] {
	return []field[Limits]{
		{Key: Key{Name: "max_body", Type: typeSize, Default: `"1GiB"`,
			Doc: `The largest request body; "0" for any.`},
			set: size(func(l *Limits) *Size { return &l.MaxBody })},
		{Key: Key{Name: "spool_memory", Type: typeSize, Default: `"64KiB"`,
			Doc: "How much of a body of unknown length stays in memory before it goes to a file."},
			set: size(func(l *Limits) *Size { return &l.SpoolMemory })},
		{Key: Key{Name: "output_memory", Type: typeSize, Default: `"256KiB"`,
			Doc: "How much of a response is read ahead of a slow client into memory."},
			set: size(func(l *Limits) *Size { return &l.OutputMemory })},
		{Key: Key{Name: "output_file", Type: typeSize, Default: `"1GiB"`,
			Doc: `How much of a response goes to a file for a client that makes no progress, so that the program can end; "0" uses no file.`},
			set: size(func(l *Limits) *Size { return &l.OutputFile })},
		{Key: Key{Name: "spool_dir", Type: typeString, Default: "the system's temporary folder",
			Doc: "Folder of the files for bodies of unknown length and for responses to slow clients."},
			set: path(func(l *Limits) *string { return &l.SpoolDir }, false)},
		{Key: Key{Name: "memory", Type: typeSize, Default: `"0"`,
			Doc: `The address space of a process (RLIMIT_AS); "0" for any.`},
			set: size(func(l *Limits) *Size { return &l.Memory })},
		{Key: Key{Name: "cpu", Type: typeDuration, Default: `"0s"`,
			Doc: `The processor time of a process in whole seconds (RLIMIT_CPU); "0s" for any.`},
			set: cpu},
	}
}
