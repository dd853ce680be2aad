package site

import (
	"fmt"
	"net/netip"
	"strings"
)

// Term is a line about the terms of an answer: a key of the configuration, and what is in
// force of it.
type Term struct{ Key, Text string }

// describeTerms says what holds for the answer to a request.
func (s *site) describeTerms(found *Found, urlPath string) (all []Term) {
	for _, t := range s.allTerms(found, urlPath) {
		all = append(all, t.describe()...)
	}
	if found == nil || found.Route == nil {
		return all
	}
	if c, ok := found.Route.program.(*sendfile); ok {
		all = append(all, Term{"sendfile", fmt.Sprintf("%s, by X-Accel-Redirect below %s", found.Route.config.Sendfile, c.prefix)})
	}
	return all
}

func (t *terms) describe() (all []Term) {
	add := func(key, format string, args ...any) { all = append(all, Term{key, fmt.Sprintf(format, args...)}) }
	if a := t.policy.Access; a != nil {
		if len(a.Deny) > 0 {
			add("deny", "%s", someOf(a.Deny))
		}
		if a.Allow != nil {
			add("allow", "%s", someOf(a.Allow))
		}
	}
	if b := t.auth; b != nil {
		add("basic_auth", "%s, passwords in %s", b.challenge, b.passwords.file)
	}
	for _, h := range t.policy.Headers {
		if h.Value == "" {
			add("headers", "%s is taken away", h.Name)
			continue
		}
		add("headers", "%s: %s", h.Name, h.Value)
	}
	for _, p := range t.policy.ErrorPages {
		if p.Path != "" {
			add("error_pages", "%s %s", p.Status, p.Path)
		}
	}
	return all
}

// someOf are the first of many networks.
func someOf(list []netip.Prefix) string {
	const most = 8
	var texts []string
	for n, p := range list {
		if n == most {
			return fmt.Sprintf("%s and %d more", strings.Join(texts, ", "), len(list)-most)
		}
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
