package config

import "strings"

// Origin tells where a value comes from.
type Origin struct {
	// Table is where the key stands: "" for the top of the main file, "site" or
	// "site.route".
	Table string
	// File is the file's name, "" for a configuration that no text has.
	File string
	Place
}

// Origin returns where the value of a key comes from that route r of site s has:
// the route itself, the site or the top, whichever is nearest. Without r, or without
// both, it is that of the site or of the server. It reports false for a default. Keys
// have dots as for Places.Of.
func (c *Config) Origin(s *Site, r *Route, key string) (Origin, bool) {
	return c.origin(s, r, func(p Places) (Place, bool) { return p.Of(key) })
}

// origin is Origin of what find finds.
func (c *Config) origin(s *Site, r *Route, find func(Places) (Place, bool)) (Origin, bool) {
	if r != nil {
		if at, ok := find(r.Places); ok {
			return Origin{"site.route", s.File, at}, true
		}
	}
	if s != nil {
		if at, ok := find(s.Places); ok {
			return Origin{"site", s.File, at}, true
		}
	}
	at, ok := find(c.Places)
	return Origin{"", c.File, at}, ok
}

// Mistake returns what is wrong with the value of a key: with its place, or where it
// is a default, that of the innermost table that has it. Reason and hint are those of
// Error. It is for what only the machine can tell.
func (c *Config) Mistake(s *Site, r *Route, key, reason, hint string) *Error {
	o, ok := c.Origin(s, r, key)
	if !ok { // a part of a value: the whole is written all the same
		whole, _, _ := strings.Cut(key, ".")
		o, ok = c.Origin(s, r, whole)
	}
	if c.File == "" {
		o = Origin{} // whoever named it on a command line knows of no tables
	} else if !ok {
		switch {
		case r != nil:
			o.Table, o.File = "site.route", s.File
			o.Place, _ = r.Places.Of("")
		case s != nil:
			o.Table, o.File = "site", s.File
			o.Place, _ = s.Places.Of("")
		}
	}
	return &Error{File: o.File, Line: o.Line, Column: o.Column, Key: named(o.Table, key), Reason: reason, Hint: hint}
}

// named is the path of a key as messages have it: without the numbers of items.
func named(table, key string) string {
	path := table
	for name := range strings.SplitSeq(key, ".") {
		if name != "" && strings.Trim(name, "0123456789") != "" {
			path = keyPath(path, name)
		}
	}
	return path
}

// Sorted puts the mistakes in the order of files and places, each once, and returns
// them as an error; nil when there are none.
func (es Errors) Sorted() error {
	if len(es) == 0 {
		return nil
	}
	es.sort()
	kept := es[:1]
	for _, e := range es[1:] {
		if e.Error() != kept[len(kept)-1].Error() {
			kept = append(kept, e)
		}
	}
	return kept
}
