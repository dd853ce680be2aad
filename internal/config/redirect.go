package config

import (
	"slices"
	"strings"
)

// Placeholders are what a redirect's target may have in braces: of the request, the
// path, what of it follows the route's own path, the query, and the host and scheme
// that it was made to.
var Placeholders = []string{"path", "rest", "query", "host", "scheme"}

// CutTarget cuts a redirect's target at its first placeholder: what stands before it,
// its name, and what follows. The name is "" when there is none.
func CutTarget(target string) (before, name, after string) {
	before, rest, found := strings.Cut(target, "{")
	if !found {
		return target, "", ""
	}
	name, after, _ = strings.Cut(rest, "}")
	return before, name, after
}

// samples stand for the placeholders while a target is checked.
var samples = map[string]string{"path": "/p", "rest": "r", "query": "q", "host": "host.example", "scheme": "https"}

// checkTemplate checks a target with placeholders, and that each stands where it can
// mean no other host than the configuration says.
func checkTemplate(target string) error {
	var made strings.Builder
	for rest := target; ; {
		before, name, after := CutTarget(rest)
		if strings.Contains(before, "}") {
			return bad("write %7D", `bad target %s: it has a "}" without a "{"`, quote(target))
		}
		made.WriteString(before)
		if len(before) == len(rest) {
			return checkTarget(made.String())
		}
		if !slices.Contains(Placeholders, name) || !strings.Contains(rest[len(before):], "}") {
			return unknownPlaceholder(target, name)
		}
		if err := checkPosition(target, made.String(), name, after); err != nil {
			return err
		}
		if name == "path" && strings.HasSuffix(made.String(), "/") {
			made.WriteString("p")
		} else {
			made.WriteString(samples[name])
		}
		rest = after
	}
}

func unknownPlaceholder(target, name string) error {
	hint := "expected {" + strings.Join(Placeholders, "}, {") + "}; write %7B for the character itself"
	if near := nearest(name, Placeholders); near != "" {
		hint = "did you mean {" + near + "}?"
	}
	return bad(hint, "bad target %s: unknown placeholder", quote(target))
}

// checkPosition checks a placeholder that stands behind made.
func checkPosition(target, made, name, after string) error {
	_, authority, absolute := strings.Cut(made, "://")
	inAuthority := absolute && !strings.ContainsAny(authority, "/?#")
	inQuery := strings.Contains(made, "?") && !strings.Contains(made, "#")
	switch {
	case name == "scheme" && made == "" && strings.HasPrefix(after, "://"):
	case name == "scheme" && !inQuery:
		return bad(`expected it in front, as in "{scheme}://host/"`, "bad target %s: {scheme} is in the middle of it", quote(target))
	case name == "query" && !inQuery:
		return bad(`expected it behind a "?"`, "bad target %s: {query} is not in its query", quote(target))
	case name == "rest" && (inAuthority || made == ""):
		return bad(`expected it behind a "/"`, "bad target %s: {rest} would be a part of the host's name", quote(target))
	case name == "host" && made == "":
		return bad(`expected it behind "https://"`, "bad target %s: {host} is in front", quote(target))
	}
	return nil
}
