package config

import "slices"

// Coding is how responses are made smaller for clients that can take it. The nearest of
// route, site and server wins.
type Coding struct {
	// Compress holds the codings for responses that have none, the preferred one
	// first: "zstd", "gzip". None: they are sent as they are.
	Compress []string
	// Precompressed says that a file's .br, .zst and .gz are sent in its place.
	Precompressed bool
}

// codings are those that can be made, the preferred one first.
var codings = []string{"zstd", "gzip"}

func codingFields() []field[Coding] {
	return []field[Coding]{
		{Key: Key{Name: "compress", Type: "boolean or array of strings", Default: `false`,
			Doc: `Whether responses of a text's kind are compressed for clients that take it; a list says how, as in ["zstd", "gzip"], which is what true means.`},
			set: (*decoder).compress},
		{Key: Key{Name: "precompressed", Type: typeBoolean, Default: `false`,
			Doc: "Whether a file's .br, .zst or .gz beside it, not older than it, is sent in its place to clients that take it."},
			set: boolean(func(c *Coding) *bool { return &c.Precompressed })},
	}
}

func (d *decoder) compress(c *Coding, v value) {
	if v.kind == booleanKind {
		c.Compress = nil
		if v.text == "true" {
			c.Compress = slices.Clone(codings)
		}
		return
	}
	if v.kind != arrayKind {
		d.fail(v.at, v.path, "expected a boolean or an array, got "+v.kind.String(), "")
		return
	}
	items := d.strings(v)
	if len(v.items) == 0 {
		d.fail(v.at, v.path, "no coding", "write false for none")
	}
	c.Compress = nil
	for _, item := range items {
		switch {
		case !slices.Contains(codings, item.text):
			d.fail(item.at, item.path, "unknown coding "+quote(item.text), "expected "+quoted(codings))
		case slices.Contains(c.Compress, item.text):
			d.fail(item.at, item.path, "coding "+quote(item.text)+" is listed twice", "")
		default:
			c.Compress = append(c.Compress, item.text)
		}
	}
}
