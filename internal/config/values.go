package config

import (
	"fmt"
	"slices"
	"strings"
)

// What each key of a table comes to: for WriteEffective. A value is of a type that toml
// knows, []Var for a table with a line for each, or nil where there is nothing to write.
// A test holds these tables against those of the keys.

func valuesOf[T, P any](into map[string]func(*T) any, part func(*T) *P, of map[string]func(*P) any) map[string]func(*T) any {
	for name, get := range of {
		into[name] = func(t *T) any { return get(part(t)) }
	}
	return into
}

var serverValues = shared(map[string]func(*Config) any{
	"listen":            func(c *Config) any { return addresses(c.Listen) },
	"listen_mode":       func(c *Config) any { return fmt.Sprintf("%04o", c.ListenMode) },
	"listen_owner":      func(c *Config) any { return some(c.ListenOwner) },
	"listen_group":      func(c *Config) any { return some(c.ListenGroup) },
	"log":               func(c *Config) any { return c.Log },
	"trusted_proxies":   func(c *Config) any { return networks(c.Trusted, c.TrustUnix) },
	"cgroup":            func(c *Config) any { return c.Cgroup },
	"connections":       func(c *Config) any { return c.Connections },
	"shutdown_timeout":  func(c *Config) any { return c.ShutdownTimeout },
	"control":           func(c *Config) any { return some(c.Control) },
	"admin":             func(c *Config) any { return addresses(c.Admin) },
	"log_format":        func(c *Config) any { return map[bool]string{false: "text", true: "json"}[c.LogJSON] },
	"log_level":         func(c *Config) any { return strings.ToLower(c.LogLevel.String()) },
	"slow_log":          func(c *Config) any { return c.SlowLog },
	"http2":             func(c *Config) any { return c.HTTP2 },
	"h2c":               func(c *Config) any { return c.H2C },
	"proxy_protocol":    func(c *Config) any { return c.ProxyProtocol },
	"acme":              acmeValue,
	"warm_idle_timeout": func(c *Config) any { return c.Helpers.IdleTimeout },
	"warm_max_forks":    func(c *Config) any { return c.Helpers.MaxForks },
	"warm_max_memory":   func(c *Config) any { return c.Helpers.MaxMemory },
	"warm_helpers":      func(c *Config) any { return c.Helpers.Helpers },
	"warm_spares":       func(c *Config) any { return number(c.Helpers.Spares) },
}, func(c *Config) parts {
	return parts{&c.Env, &c.Limits, &c.Warm, &c.Coding, &c.Logging, &c.Secure, &c.Policy, nil}
})

var siteValues = shared(map[string]func(*Site) any{
	"hosts": func(s *Site) any {
		if len(s.Hosts) == 0 {
			return nil
		}
		return s.Hosts
	},
	"root":     func(s *Site) any { return some(s.Root) },
	"index":    func(s *Site) any { return slices.Clip(append([]string{}, s.Index...)) },
	"fallback": func(s *Site) any { return some(s.Fallback) },
	"listing":  func(s *Site) any { return s.Listing },
}, func(s *Site) parts {
	return parts{&s.Env, &s.Limits, &s.Warm, &s.Coding, &s.Logging, &s.Secure, &s.Policy, &s.Guard}
})

var routeValues = shared(map[string]func(*Route) any{
	"path": func(r *Route) any { return r.Path },
	"cgi": func(r *Route) any {
		if r.CGISelf {
			return true
		}
		return some(r.CGI)
	},
	"static":   func(r *Route) any { return some(r.Static) },
	"redirect": func(r *Route) any { return some(r.Redirect) },
	"status":   func(r *Route) any { return r.RedirectStatus },
	"listing": func(r *Route) any {
		if r.Listing == nil {
			return nil
		}
		return *r.Listing
	},
	"root":               func(r *Route) any { return some(r.Root) },
	"accept_path_info":   func(r *Route) any { return r.AcceptPathInfo },
	"pass_authorization": func(r *Route) any { return r.PassAuthorization },
	"nph":                func(r *Route) any { return r.NPH },
	"finish_anyway":      func(r *Route) any { return r.FinishAnyway },
	"keep_children":      func(r *Route) any { return r.KeepChildren },
	"interim":            func(r *Route) any { return r.Interim },
}, func(r *Route) parts {
	return parts{&r.Env, &r.Limits, &r.Warm, &r.Coding, nil, nil, &r.Policy, &r.Guard}
})

// parts are those of a table that it shares with others.
type parts struct {
	env     *[]Var
	limits  *Limits
	warm    *Warm
	coding  *Coding
	logging *Logging
	secure  *Secure
	policy  *Policy
	guard   *Guard
}

// shared adds what tables share.
func shared[T any](values map[string]func(*T) any, of func(*T) parts) map[string]func(*T) any {
	values["env"] = func(t *T) any { return *of(t).env }
	valuesOf(values, func(t *T) *Limits { return of(t).limits }, limitValues)
	valuesOf(values, func(t *T) *Warm { return of(t).warm }, warmValues)
	valuesOf(values, func(t *T) *Coding { return of(t).coding }, codingValues)
	valuesOf(values, func(t *T) *Logging { return of(t).logging }, loggingValues)
	valuesOf(values, func(t *T) *Secure { return of(t).secure }, secureValues)
	valuesOf(values, func(t *T) *Policy { return of(t).policy }, policyValues)
	valuesOf(values, func(t *T) *Guard { return of(t).guard }, guardValues)
	return values
}

var limitValues = map[string]func(*Limits) any{
	"processes":      func(l *Limits) any { return l.Processes },
	"queue":          func(l *Limits) any { return l.Queue },
	"queue_timeout":  func(l *Limits) any { return l.QueueTimeout },
	"timeout":        func(l *Limits) any { return l.Timeout },
	"header_timeout": func(l *Limits) any { return l.HeaderTimeout },
	"idle_timeout":   func(l *Limits) any { return l.IdleTimeout },
	"stdin_timeout":  func(l *Limits) any { return l.StdinTimeout },
	"kill_grace":     func(l *Limits) any { return l.KillGrace },
	"linger":         func(l *Limits) any { return l.Linger },
	"slow":           func(l *Limits) any { return l.Slow },
	"max_body":       func(l *Limits) any { return l.MaxBody },
	"spool_memory":   func(l *Limits) any { return l.SpoolMemory },
	"output_memory":  func(l *Limits) any { return l.OutputMemory },
	"output_file":    func(l *Limits) any { return l.OutputFile },
	"spool_dir":      func(l *Limits) any { return some(l.SpoolDir) },
	"memory":         func(l *Limits) any { return l.Memory },
	"cpu":            func(l *Limits) any { return l.CPU },
}

var warmValues = map[string]func(*Warm) any{
	"warm": func(w *Warm) any { return raw(w.Mode.String()) },
	"preload": func(w *Warm) any {
		if w.NoLearn || len(w.Preload) == 0 {
			return !w.NoLearn
		}
		return w.Preload
	},
}

var codingValues = map[string]func(*Coding) any{
	"compress": func(c *Coding) any {
		if len(c.Compress) == 0 {
			return false
		}
		return c.Compress
	},
	"precompressed": func(c *Coding) any { return c.Precompressed },
}

var loggingValues = map[string]func(*Logging) any{
	"access_log":        func(l *Logging) any { return l.AccessLog },
	"access_log_format": func(l *Logging) any { return formatValue(l) },
	"request_id_header": func(l *Logging) any { return l.RequestIDHeader },
}

// formatValue is nil where nothing is written in the format.
func formatValue(l *Logging) any {
	if l.AccessLog == "off" {
		return nil
	}
	return l.AccessLogFormat
}

var secureValues = map[string]func(*Secure) any{
	"tls":               func(s *Secure) any { return tlsValue(&s.TLS) },
	"redirect_to_https": func(s *Secure) any { return s.RedirectToHTTPS },
}

func tlsValue(t *TLS) any {
	if t.ACME {
		return raw("{ acme = true }")
	}
	var pairs []string
	for _, c := range t.Certificates {
		pairs = append(pairs, inlineTable("certificate", Quote(c.File), "key", Quote(c.Key)))
	}
	if len(pairs) == 0 {
		return nil
	}
	return raw("[" + strings.Join(pairs, ", ") + "]")
}

// acmeValue is nil where nobody asks for certificates.
func acmeValue(c *Config) any {
	if !c.TLS.ACME && !slices.ContainsFunc(c.Sites, func(s Site) bool { return s.TLS.ACME }) {
		return nil
	}
	quoted := func(s string) string {
		if s == "" {
			return ""
		}
		return Quote(s)
	}
	a := &c.ACME
	return raw(inlineTable("accept_terms", toml(a.AcceptTerms), "email", quoted(a.Email), "directory", Quote(a.Directory),
		"storage", quoted(a.Storage), "ca", quoted(a.CA)))
}

var policyValues = map[string]func(*Policy) any{
	"headers": func(p *Policy) any {
		vars := []Var{}
		for _, h := range p.Headers {
			vars = append(vars, Var(h))
		}
		return vars
	},
	"error_pages": func(p *Policy) any {
		vars := []Var{}
		for _, page := range p.ErrorPages {
			vars = append(vars, Var{page.Status, page.Path})
		}
		return vars
	},
	"allow": func(p *Policy) any {
		if p.Access == nil || p.Access.Allow == nil {
			return nil
		}
		return networks(p.Access.Allow, false)
	},
	"deny": func(p *Policy) any {
		if p.Access == nil || p.Access.Deny == nil {
			return nil
		}
		return networks(p.Access.Deny, false)
	},
}

var guardValues = map[string]func(*Guard) any{
	"basic_auth": func(g *Guard) any {
		if g.BasicAuth == nil {
			return false
		}
		return raw(inlineTable("realm", Quote(g.BasicAuth.Realm), "file", Quote(g.BasicAuth.File)))
	},
	"sendfile": func(g *Guard) any { return some(g.Sendfile) },
	"sendfile_prefix": func(g *Guard) any {
		if g.Sendfile == "" {
			return nil
		}
		return some(g.SendfilePrefix)
	},
}

var backendValues = map[string]func(*Backend) any{
	"address":                 func(b *Backend) any { return someList(b.Addresses) },
	"command":                 func(b *Backend) any { return someList(b.Command) },
	"connections":             func(b *Backend) any { return b.Connections },
	"connect_timeout":         func(b *Backend) any { return b.ConnectTimeout },
	"workers":                 func(b *Backend) any { return b.Workers },
	"min_workers":             func(b *Backend) any { return b.MinWorkers },
	"worker_idle_timeout":     func(b *Backend) any { return b.WorkerIdleTimeout },
	"concurrency":             func(b *Backend) any { return b.Concurrency },
	"max_requests":            func(b *Backend) any { return b.MaxRequests },
	"max_memory":              func(b *Backend) any { return b.MaxMemory },
	"start_timeout":           func(b *Backend) any { return b.StartTimeout },
	"env":                     func(b *Backend) any { return b.Env },
	"dir":                     func(b *Backend) any { return some(b.Dir) },
	"user":                    func(b *Backend) any { return some(b.User) },
	"keep_alive":              func(b *Backend) any { return b.KeepAlive },
	"connection_idle_timeout": func(b *Backend) any { return b.ConnectionIdleTimeout },
	"abort_grace":             func(b *Backend) any { return b.AbortGrace },
	"catch_stderr":            func(b *Backend) any { return append([]string{}, b.CatchStderr...) },
	"health_path":             func(b *Backend) any { return some(b.HealthPath) },
	"health_interval":         func(b *Backend) any { return b.HealthInterval },
	"health_timeout":          func(b *Backend) any { return b.HealthTimeout },
	"role":                    func(b *Backend) any { return b.Role },
}

var wsgiValues = valuesOf(map[string]func(*WSGI) any{
	"module":  func(w *WSGI) any { return w.Module.String() },
	"python":  func(w *WSGI) any { return some(w.Python) },
	"venv":    func(w *WSGI) any { return some(w.Venv) },
	"mode":    func(w *WSGI) any { return w.Mode },
	"threads": func(w *WSGI) any { return w.Concurrency },
	"reload":  func(w *WSGI) any { return w.Reload },
}, func(w *WSGI) *Backend { return &w.Backend }, backendValues)

func someList(items []string) any {
	if len(items) == 0 {
		return nil
	}
	return items
}

// number is n, or nil where 0 stands for a default in words.
func number(n int) any {
	if n == 0 {
		return nil
	}
	return n
}
