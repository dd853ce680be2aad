package site

import (
	"fmt"
	"net/url"
	"strings"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// expand puts what the request has in place of the placeholders of a redirect. What a
// client says is escaped for where it stands: it can neither end the field nor lead to
// another host.
func (f *Found) expand(req *cgi.Request) error {
	if !f.template {
		return nil
	}
	target, err := expandTarget(f.Redirect, func(name string) string {
		switch name {
		case "path":
			return req.Path
		case "rest":
			return f.rest
		case "query":
			return req.Env.Get("QUERY_STRING")
		case "host":
			return req.Env.Get("SERVER_NAME")
		}
		return req.Env.Get("REQUEST_SCHEME")
	})
	f.Redirect, f.template = target, false
	return err
}

func expandTarget(template string, value func(name string) string) (string, error) {
	var to strings.Builder
	for rest := template; ; {
		before, name, after := config.CutTarget(rest)
		to.WriteString(before)
		if len(before) == len(rest) {
			break
		}
		rest = after
		v := value(name)
		switch inQuery := strings.Contains(to.String(), "?"); {
		case name == "query" && v == "":
			rest = withoutQuery(&to, rest)
		case name == "query":
			to.WriteString(escapeQuery(v))
		case inQuery:
			to.WriteString(url.QueryEscape(v))
		case name == "path" && strings.HasSuffix(to.String(), "/"):
			to.WriteString(escapePath(v[1:]))
		case name == "path", name == "rest":
			to.WriteString(escapePath(v))
		default: // a host and a scheme that have been validated (E26)
			to.WriteString(v)
		}
	}
	made := to.String()
	if strings.HasPrefix(made, "//") || strings.HasPrefix(made, `/\`) { // no path: a host
		made = "/" + strings.TrimLeft(made, `/\`)
	}
	if _, err := url.Parse(made); err != nil {
		return "", &cgi.Error{Kind: cgi.NotFound, Reason: fmt.Sprintf("the redirect %q leads to no URL for this request", template)}
	}
	return made, nil
}

// withoutQuery takes away the "?" or "&" beside a query that is empty.
func withoutQuery(to *strings.Builder, rest string) string {
	if more, ok := strings.CutPrefix(rest, "&"); ok {
		return more
	}
	made := to.String()
	if strings.HasSuffix(made, "?") || strings.HasSuffix(made, "&") {
		to.Reset()
		to.WriteString(made[:len(made)-1])
	}
	return rest
}

func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// escapeQuery leaves what a query may have (RFC 3986 section 3.4) as it is.
func escapeQuery(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
