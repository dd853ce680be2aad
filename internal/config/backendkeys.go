package config

import "slices"

// The tables of applications. The three share most of their keys.
func backendTables() (fastcgi, scgi, authorize table[Backend]) {
	const where = "inside fastcgi, scgi or authorize"
	shared := slices.Concat(applicationFields(), workerFields())
	kept := connectionFields()
	role := []field[Backend]{{Key: Key{Name: "role", Type: typeString, Default: `"responder"`,
		Doc: `What the application is: "responder", or "filter", which gets a file of the route's root as FCGI_DATA.`},
		set: (*decoder).role}}
	fastcgi = table[Backend]{"site.route.fastcgi", where, slices.Concat(shared, kept, role)}
	scgi = table[Backend]{"site.route.scgi", where, shared}
	authorize = table[Backend]{"site.route.authorize", where, slices.Concat(shared, kept)}
	return fastcgi, scgi, authorize
}

func applicationFields() []field[Backend] {
	return []field[Backend]{
		{Key: Key{Name: "address", Type: "string or array of strings",
			Doc: `Where the application listens: "host:port", "unix:/path"; with FastCGI also "dns:name:port" for all addresses of a name and "srv:_fcgi._tcp.example.org" for those of SRV records.`},
			set: (*decoder).addresses},
		{Key: Key{Name: "command", Type: typeStrings,
			Doc: `In place of an address: a program and its arguments, run and looked after here. It gets a listening socket as its standard input; one with "{socket}" or "{port}" in its arguments listens there by itself.`},
			set: (*decoder).command},
		{Key: Key{Name: "connections", Type: typeInteger, Default: `64`,
			Doc: "How many connections there are at a time to each address; with SCGI to all of them."},
			set: integer(func(b *Backend) *int { return &b.Connections }, 1, 100_000)},
		{Key: Key{Name: "connect_timeout", Type: typeDuration, Default: `"10s"`,
			Doc: "How long it may take to connect to an address."},
			set: positive(func(b *Backend) *Duration { return &b.ConnectTimeout })},
	}
}

// workerFields are about processes of a command.
func workerFields() []field[Backend] {
	return []field[Backend]{
		{Key: Key{Name: "workers", Type: typeInteger, Default: `4`,
			Doc: "How many processes of the command there are at most."},
			set: integer(func(b *Backend) *int { return &b.Workers }, 1, 10_000)},
		{Key: Key{Name: "min_workers", Type: typeInteger, Default: "as many as workers",
			Doc: "How many processes are kept ready; 0 starts one when the first request comes."},
			set: integer(func(b *Backend) *int { return &b.MinWorkers }, 0, 10_000)},
		{Key: Key{Name: "worker_idle_timeout", Type: typeDuration, Default: `"1m"`,
			Doc: "How long a process above min_workers may have nothing to do before it is ended."},
			set: positive(func(b *Backend) *Duration { return &b.WorkerIdleTimeout })},
		{Key: Key{Name: "concurrency", Type: typeInteger, Default: `1`,
			Doc: "How many connections, one for each request, a process takes at a time."},
			set: integer(func(b *Backend) *int { return &b.Concurrency }, 1, 10_000)},
		{Key: Key{Name: "max_requests", Type: typeInteger, Default: `0`,
			Doc: "After how many requests, give or take a tenth, a process is replaced; 0 for never."},
			set: integer(func(b *Backend) *int { return &b.MaxRequests }, 0, 1_000_000_000)},
		{Key: Key{Name: "max_memory", Type: typeSize, Default: `"0"`,
			Doc: `Above how much resident memory a process is replaced when its request is over; "0" for never.`},
			set: size(func(b *Backend) *Size { return &b.MaxMemory })},
		{Key: Key{Name: "start_timeout", Type: typeDuration, Default: `"10s"`,
			Doc: "How long a process may take from its start until it can be connected to."},
			set: positive(func(b *Backend) *Duration { return &b.StartTimeout })},
		{Key: Key{Name: "env", Type: typeVars, Default: `{}`,
			Doc: "Variables of the processes, besides PATH, HOME and TZ."},
			set: func(d *decoder, b *Backend, v value) { d.env(&b.Env, v) }},
		{Key: Key{Name: "dir", Type: typeString, Default: "that of the file",
			Doc: "Folder that the processes start in."},
			set: path(func(b *Backend) *string { return &b.Dir }, false)},
		{Key: Key{Name: "user", Type: typeString, Default: "that of the server",
			Doc: "Name or number of the user that the processes run as; only root can choose."},
			set: account(func(b *Backend) *string { return &b.User })},
	}
}

// connectionFields are about FastCGI connections, which outlive a request.
func connectionFields() []field[Backend] {
	return []field[Backend]{
		{Key: Key{Name: "keep_alive", Type: typeBoolean, Default: "true with a command, false with an address",
			Doc: "Whether connections are used again. To an application that takes one connection in each of its processes, such as php-fpm, connections must then be no more than it has processes."},
			set: boolean(func(b *Backend) *bool { return &b.KeepAlive })},
		{Key: Key{Name: "connection_idle_timeout", Type: typeDuration, Default: `"30s"`,
			Doc: "How long a kept connection may have nothing to do."},
			set: positive(func(b *Backend) *Duration { return &b.ConnectionIdleTimeout })},
		{Key: Key{Name: "abort_grace", Type: typeDuration, Default: `"1s"`,
			Doc: `How long a request that nobody waits for any more may take to end before its connection, and the worker behind it, is given up; "0s" gives it up at once.`},
			set: duration(func(b *Backend) *Duration { return &b.AbortGrace })},
		{Key: Key{Name: "catch_stderr", Type: typeStrings, Default: `[]`,
			Doc: "Texts that make a response a failure (502) when the application writes one of them to its standard error before it."},
			set: (*decoder).catchStderr},
		{Key: Key{Name: "health_path", Type: typeString,
			Doc: "Path of a request by which each address is looked at; one that does not answer it with a status below 400 gets no others."},
			set: (*decoder).healthPath},
		{Key: Key{Name: "health_interval", Type: typeDuration, Default: "never, and 10s where there is a health_path",
			Doc: "How often each address is looked at; without a health_path it is asked for its FCGI_GET_VALUES, which not every application can answer."},
			set: positive(func(b *Backend) *Duration { return &b.HealthInterval })},
		{Key: Key{Name: "health_timeout", Type: typeDuration, Default: `"5s"`,
			Doc: "How long such a look may take."},
			set: positive(func(b *Backend) *Duration { return &b.HealthTimeout })},
	}
}
