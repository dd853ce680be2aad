package config

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// WriteEffective writes the whole configuration as TOML that means the same when it is
// loaded: every key with the value that it has, and behind it where that comes from.
// Sites of included files stand in it, and paths are absolute, as they are in c.
func (c *Config) WriteEffective(to io.Writer) error {
	w := &effective{Writer: bufio.NewWriter(to), cfg: c}
	for _, glob := range c.Include {
		fmt.Fprintf(w, "# include %s: its sites are below\n", Quote(glob))
	}
	writeTable(w, "", "", serverTable.fields, serverValues, c, nil)
	for n := range c.Sites {
		w.writeSite(&c.Sites[n])
	}
	return w.Flush()
}

// effective writes a configuration. Errors stay in the Writer.
type effective struct {
	*bufio.Writer
	cfg   *Config
	site  *Site
	route *Route
}

func (w *effective) writeSite(s *Site) {
	w.site, w.route = s, nil
	fmt.Fprintf(w, "\n[[site]]%s\n", w.comment(w.cfg.Origin(s, nil, "")))
	writeTable(w, "  ", "", siteTable.fields, siteValues, s, nil)
	for n := range s.Routes {
		r := &s.Routes[n]
		w.route = r
		fmt.Fprintf(w, "\n  [[site.route]]%s\n", w.comment(w.cfg.Origin(s, r, "")))
		writeTable(w, "    ", "", routeTable.fields, routeValues, r, r.idle)
		w.backend("fastcgi", fastcgiTable.fields, r.FastCGI)
		w.backend("scgi", scgiTable.fields, r.SCGI)
		w.backend("authorize", authorizeTable.fields, r.Authorize)
		if r.WSGI != nil {
			writeTable(w, "    ", "wsgi", wsgiTable.fields, wsgiValues, r.WSGI, r.WSGI.idle)
		}
	}
}

func (w *effective) backend(name string, fields []field[Backend], b *Backend) {
	if b != nil {
		writeTable(w, "    ", name, fields, backendValues, b, b.idle)
	}
}

// writeTable writes the keys of a table, or of the one of that name inside it. skip
// tells those that would do nothing there.
func writeTable[T any](w *effective, indent, inner string, fields []field[T], values map[string]func(*T) any, of *T, skip func(string) bool) {
	for _, f := range fields {
		get := values[f.Name]
		if get == nil || skip != nil && skip(f.Name) {
			continue
		}
		key := f.Name
		if inner != "" {
			key = inner + "." + key
		}
		switch v := get(of).(type) {
		case nil:
		case []Var:
			for _, e := range v {
				w.pair(indent, key, e)
			}
		case string:
			w.line(indent, key, Quote(v), key, alone(inner, f.Name))
		default:
			w.line(indent, key, toml(v), key, alone(inner, f.Name))
		}
	}
}

// pair writes one entry of a table that is put together of several: each has a place of
// its own, and its name may have a dot in it.
func (w *effective) pair(indent, table string, e Var) {
	find := func(p Places) (Place, bool) { return p.entry(table, e.Name) }
	fmt.Fprintf(w, "%s%s = %s%s\n", indent, keyPath(table, e.Name), Quote(e.Value), w.comment(w.cfg.origin(w.site, w.route, find)))
}

// alone is where a key is looked for that may be the whole of its table: an address in
// place of { address = ... }. Else it is "".
func alone(inner, key string) string {
	if inner != "" && (key == "address" || key == "module") {
		return inner
	}
	return ""
}

// line writes one key with where it comes from: the place of origin, or of whole where
// that has none.
func (w *effective) line(indent, key, value, origin, whole string) {
	if _, ok := w.cfg.Origin(w.site, w.route, origin); !ok && whole != "" {
		origin = whole
	}
	fmt.Fprintf(w, "%s%s = %s%s\n", indent, key, value, w.comment(w.cfg.Origin(w.site, w.route, origin)))
}

// comment says where a value comes from.
func (w *effective) comment(o Origin, ok bool) string {
	at := fmt.Sprintf("%s:%d", printable(o.File), o.Line)
	own := "site.route"
	switch {
	case w.site == nil:
		own = ""
	case w.route == nil:
		own = "site"
	}
	switch {
	case !ok || o.File == "":
		return "  # default"
	case o.Table != own:
		return "  # inherited from " + at
	}
	return "  # " + at
}

// handler is the key that says what answers.
func (r *Route) handler() string {
	switch {
	case r.FastCGI != nil:
		return "fastcgi"
	case r.SCGI != nil:
		return "scgi"
	case r.WSGI != nil:
		return "wsgi"
	case r.Static != "":
		return "static"
	case r.Redirect != "":
		return "redirect"
	}
	return "cgi"
}

// idle reports whether a key does nothing in the route.
func (r *Route) idle(key string) bool {
	if key == "pass_authorization" && r.PassAuthorization && r.BasicAuth != nil {
		return true
	}
	wants, has := keysFor[key], r.has(r.handler())
	return len(wants) > 0 && !slices.ContainsFunc(wants, func(w string) bool { return slices.Contains(has, w) })
}

// idle reports whether a key does nothing for the application.
func (b *Backend) idle(key string) bool {
	command := len(b.Command) > 0
	switch key {
	case "worker_idle_timeout":
		return !command || b.MinWorkers == b.Workers
	case "connection_idle_timeout":
		return !b.KeepAlive
	case "health_timeout":
		return command || b.HealthInterval == 0
	case "health_interval":
		return command || b.HealthInterval == 0
	}
	return command && slices.Contains(addressKeys, key) || !command && slices.Contains(commandKeys, key)
}

func (w *WSGI) idle(key string) bool {
	switch key {
	case "python":
		return w.Venv != ""
	case "worker_idle_timeout":
		return w.Mode == "cgi" || w.MinWorkers == w.Workers
	}
	return w.Mode == "cgi" && slices.Contains(forWorkers, key)
}

// toml writes a value. What is not known here is a mistake in the tables of values.
func toml(v any) string {
	switch v := v.(type) {
	case raw:
		return string(v)
	case string:
		return Quote(v)
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case Duration:
		s := v.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return Quote(s)
	case Size:
		return Quote(v.String())
	case []string:
		return list(v)
	}
	panic(fmt.Sprintf("config: %T has no form in TOML", v))
}

// raw is a value in TOML's form.
type raw string

func list(items []string) string {
	var parts []string
	for _, s := range items {
		parts = append(parts, Quote(s))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Quote writes s, which is UTF-8, as a basic string of TOML.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// inlineTable writes a table in braces of those pairs whose value is not "".
func inlineTable(pairs ...string) string {
	var parts []string
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] != "" {
			parts = append(parts, pairs[n]+" = "+pairs[n+1])
		}
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// some is s, or nil when there is nothing to write.
func some(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func networks(list []netip.Prefix, unix bool) []string {
	texts := []string{}
	for _, p := range list {
		texts = append(texts, p.String())
	}
	if unix {
		texts = append(texts, "unix")
	}
	return texts
}

func addresses(all []Listen) []string {
	texts := []string{}
	for _, l := range all {
		texts = append(texts, l.whole())
	}
	return texts
}

// whole is the address as it means the same in every file.
func (l Listen) whole() string {
	if l.Network != "unix" {
		return l.text
	}
	if l.Protocol == "http" {
		return "unix:" + l.Address
	}
	return l.Protocol + ":unix:" + l.Address
}
