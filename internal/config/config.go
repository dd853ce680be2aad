// Package config turns configuration text into plain structs, or into errors
// that name file, line and key.
//
// It reads text only. Whether a folder exists, a script can be executed or an
// address is free is for the caller to find out.
package config

import (
	"io/fs"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

// Config is one configuration with every default filled in. The struct is the
// caller's to change.
type Config struct {
	// Listen holds the addresses to serve on, in the order written.
	Listen []Listen
	// ListenMode are the permissions of the Unix sockets that are listened on.
	// ListenOwner and ListenGroup, names or numbers, are whose they are; "" leaves
	// them to the process.
	ListenMode               fs.FileMode
	ListenOwner, ListenGroup string
	// Include holds the globs as written. Load has read them already.
	Include []string
	// Sites holds the sites of the main file, then those of the included files
	// in the order of their names.
	Sites []Site
	// Log is the error log: "stderr" or a file path.
	Log string
	// ErrorLogging says how it is written. Logging is what a site has unless it says
	// otherwise.
	ErrorLogging
	Logging
	// Trusted holds the proxies whose word about the client is taken.
	Trusted []netip.Prefix
	// TrustUnix says the same of every peer on a Unix socket.
	TrustUnix bool
	// Cgroup is a delegated cgroup v2 folder, absolute; "" for none.
	Cgroup string
	// Connections is how many connections are open at a time (E32).
	Connections int
	// Admin holds the addresses of the status page and the metrics, none for none.
	Admin []Listen
	// Control is the path of the control socket, NoControl for none, or "" where
	// the one who serves decides.
	Control string
	// ShutdownTimeout is how long a stop waits for the requests that run; 0
	// waits for none.
	ShutdownTimeout Duration
	// Limits are those of the server: what a site has unless it says otherwise.
	Limits Limits
	// HTTP2 lets https listeners speak it, H2C the http ones (by prior knowledge).
	HTTP2, H2C bool
	// ProxyProtocol says that connections from Trusted begin with a PROXY header.
	ProxyProtocol bool
	// ACME is from whom certificates are fetched.
	ACME ACME
	// Secure, Coding and Policy are what a site has unless it says otherwise.
	Secure
	Coding
	Policy
	// Warm is what a site has unless it says otherwise; Helpers is for all of them.
	Warm    Warm
	Helpers Helpers
	// Env is what every site's programs get besides the request.
	Env []Var
	// Dir is the folder of the main file; Load makes it absolute. Relative
	// paths of the configuration have been joined to the folder of their file.
	Dir string
	// File is the main file as it was named, "" for a configuration that no text has,
	// and Places tells where its keys are written.
	File   string
	Places Places
}

// Site is one virtual host.
type Site struct {
	// Hosts holds lower-case names without a port, "*.example.org" for every
	// name below example.org, IPv6 addresses in brackets. None: every host.
	Hosts []string
	// Root is the folder of the site's files, without a trailing slash; "" for
	// a site that has only routes.
	Root string
	// Index holds the names tried in a folder, in order.
	Index []string
	// Fallback is the URL path that answers when no file matches; "" for none.
	Fallback string
	// Listing says that a folder without an index shows its names.
	Listing bool
	// Routes holds the routes in the order written.
	Routes []Route
	// Env is the server's, with the site's own set over it.
	Env []Var
	// Limits are the server's, with the site's own set over them.
	Limits Limits
	// Warm is the server's, with the site's own set over it.
	Warm Warm
	// Secure, Coding, Policy and Logging are the server's, with the site's own set over them.
	Secure
	Coding
	Policy
	Logging
	// Guard is what a route has unless it says otherwise.
	Guard
	// File and Line tell where the site is written, Places where its keys are.
	File   string
	Line   int
	Places Places
}

// Route gives the URL paths of one pattern to one handler. Exactly one of CGI,
// CGISelf, FastCGI, SCGI, WSGI, Static and Redirect is set.
type Route struct {
	// Path is the pattern as written; Kind says which form it has.
	Path string
	Kind PathKind
	// CGI is a folder of scripts, with a trailing slash, or one script.
	CGI string
	// CGISelf says that the file of the site's root that a Suffix route
	// matches is itself the script (cgi = true).
	CGISelf bool
	// FastCGI and SCGI are applications that are connected to. On a Suffix route
	// the file that matches is their script; on others they answer for all of it.
	FastCGI, SCGI *Backend
	// WSGI is a Python application, which answers for all of the route.
	WSGI *WSGI
	// Authorize is a FastCGI authorizer that is asked before the handler (B42);
	// nil for none.
	Authorize *Backend
	// Root is the folder of the files that a filter gets (B47); "" without one.
	Root string
	// Static is a folder, with a trailing slash, or one file.
	Static string
	// Redirect is the target, an absolute URL or a path; RedirectStatus is
	// 301, 302, 303, 307 or 308 with it, and 0 without.
	Redirect       string
	RedirectStatus int
	// Env is the site's, with the route's own set over it.
	Env []Var
	// AcceptPathInfo lets a path go on behind the script's name (A48).
	AcceptPathInfo bool
	// PassAuthorization gives the program the Authorization field (A33). Unless
	// it is written, it is true with FastCGI, SCGI and WSGI only.
	PassAuthorization bool
	// NPH allows scripts whose names begin with "nph-" (A95).
	NPH bool
	// FinishAnyway lets a program end by itself when its client has gone (A102).
	FinishAnyway bool
	// KeepChildren spares what a program leaves running (F39).
	KeepChildren bool
	// Interim allows 1xx blocks before the response (A86).
	Interim bool
	// Listing is the route's own say about listings; nil means the site's.
	Listing *bool
	// Limits are the effective ones: the nearest of route, site and server.
	Limits Limits
	// Warm is the effective one as well.
	Warm Warm
	// Coding, Policy and Guard are the effective ones as well.
	Coding
	Policy
	Guard
	// Line tells where in the site's file the route is written, Places where its keys
	// and those of its applications are.
	Line   int
	Places Places
}

// PathKind is the form of a route's path.
type PathKind int

const (
	Prefix PathKind = iota // "/x/": the path and everything below it
	Exact                  // "/x": one path, and for a script what follows it
	Suffix                 // "*.cgi": files by the end of their name
)

// String returns the name of the form in lower case.
func (k PathKind) String() string {
	switch k {
	case Prefix:
		return "prefix"
	case Exact:
		return "exact"
	case Suffix:
		return "suffix"
	}
	return "unknown"
}

// Var is one environment variable.
type Var struct {
	Name, Value string
}

// Limits bounds the programs of a server, a site or a route. A duration of 0
// means no limit where nothing else is said.
type Limits struct {
	// Processes is how many may run at a time, Queue how many requests may
	// wait for one of them, QueueTimeout how long each may wait.
	Processes    int
	Queue        int
	QueueTimeout Duration
	// The times of A101: in all, until the response header is complete,
	// between two reads of output, and while the input is not being read.
	Timeout       Duration
	HeaderTimeout Duration
	IdleTimeout   Duration
	StdinTimeout  Duration
	// KillGrace is the time from TERM to KILL; 0 kills at once.
	KillGrace Duration
	// Linger is how long a left-over child may hold the output once the main
	// process has gone (A99); 0 ends the response at once.
	Linger Duration
	// MaxBody is the largest request body; 0 means any.
	MaxBody Size
	// SpoolMemory is how much of a body of unknown length is kept in memory
	// before it goes to a file in SpoolDir; "" is the system's temporary folder.
	SpoolMemory Size
	SpoolDir    string
	// OutputMemory is how much of a response is read ahead of a slow client, and
	// OutputFile how much more goes to a file in SpoolDir when that client makes
	// no progress; 0 uses no file (A104).
	OutputMemory Size
	OutputFile   Size
	// Memory is RLIMIT_AS and CPU, in whole seconds, RLIMIT_CPU of a process;
	// 0 sets none.
	Memory Size
	CPU    Duration
	// Slow is after how long a request is reported as slow; 0 reports none.
	Slow Duration
}

// Default returns what an empty configuration text means.
func Default() *Config {
	return &Config{
		Listen:          []Listen{{Protocol: "http", Network: "tcp", Address: "127.0.0.1:8080", text: "127.0.0.1:8080"}},
		ListenMode:      0o660,
		Log:             "stderr",
		ErrorLogging:    ErrorLogging{SlowLog: "log"},
		Logging:         defaultLogging(),
		Connections:     10000,
		ShutdownTimeout: Duration(30 * time.Second),
		Helpers:         defaultHelpers(),
		HTTP2:           true,
		ACME:            ACME{Directory: letsEncrypt},
		Limits: Limits{
			Processes:     4 * runtime.NumCPU(),
			Queue:         512,
			QueueTimeout:  Duration(10 * time.Second),
			Timeout:       Duration(time.Hour),
			HeaderTimeout: Duration(time.Minute),
			IdleTimeout:   Duration(time.Minute),
			StdinTimeout:  Duration(time.Minute),
			KillGrace:     Duration(3 * time.Second),
			Linger:        Duration(time.Second),
			MaxBody:       1 << 30,
			SpoolMemory:   64 << 10,
			OutputMemory:  256 << 10,
			OutputFile:    1 << 30,
		},
	}
}

// NewSite returns a site with the defaults and what it inherits from c. It is
// not added to c.
func (c *Config) NewSite() Site {
	return Site{
		Index:  []string{"index.html", "index.cgi"},
		Env:    slices.Clone(c.Env),
		Limits: c.Limits,
		Warm:   c.Warm,
		Secure: c.Secure,
		Coding: c.Coding,
		Policy: c.Policy.inherit(),

		Logging: c.Logging,
	}
}

// NewRoute returns a route with the defaults and what it inherits from s. It is
// not added to s, and does nothing until it has a path and a handler.
func (s *Site) NewRoute() Route {
	return Route{
		AcceptPathInfo: true,
		Env:            slices.Clone(s.Env),
		Limits:         s.Limits,
		Warm:           s.Warm,
		Coding:         s.Coding,
		Policy:         s.Policy.inherit(),
		Guard:          s.Guard,
	}
}
