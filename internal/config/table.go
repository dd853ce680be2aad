package config

import "slices"

// Key describes one key of the configuration.
type Key struct {
	// Tables holds the tables that the key may stand in: "" for the top of the
	// main file, "site", "site.route", and "site.route.fastcgi" and the like.
	Tables []string
	// Name is the key itself.
	Name string
	// Type is what its value must be, as a reader would say it.
	Type string
	// Default is the value of a key left out, as TOML text, or in words; "" when
	// there is none.
	Default string
	// Doc is one sentence.
	Doc string
}

// Keys returns every key there is, in the order of a reference page: by the
// outermost table that it may stand in. The caller may change the result.
func Keys() []Key {
	var keys []Key
	add := func(table string, k Key) {
		for i := range keys {
			if o := &keys[i]; o.Name == k.Name && o.Doc == k.Doc {
				o.Tables = append(o.Tables, table)
				return
			}
		}
		k.Tables = []string{table}
		keys = append(keys, k)
	}
	for _, f := range serverTable.fields {
		add(serverTable.name, f.Key)
	}
	for _, f := range siteTable.fields {
		add(siteTable.name, f.Key)
	}
	for _, f := range routeTable.fields {
		add(routeTable.name, f.Key)
	}
	for _, t := range []*table[Backend]{&fastcgiTable, &scgiTable, &authorizeTable} {
		for _, f := range t.fields {
			add(t.name, f.Key)
		}
	}
	for _, f := range pairTable.fields {
		add(pairTable.name, f.Key)
	}
	for _, f := range acmeTable.fields {
		add(acmeTable.name, f.Key)
	}
	for _, f := range basicAuthTable.fields {
		add(basicAuthTable.name, f.Key)
	}
	for _, f := range wsgiTable.fields { // whole, although some are also those of a command
		f.Key.Tables = []string{wsgiTable.name}
		keys = append(keys, f.Key)
	}
	return keys
}

// field is a key and how its value gets into a T.
type field[T any] struct {
	Key
	// set stores v, or reports what is wrong with it and stores nothing.
	set func(d *decoder, t *T, v value)
	// inner marks the tables inside this one. They are read last, since they
	// inherit what the other keys say.
	inner bool
}

// table is the keys that one TOML table may have.
type table[T any] struct {
	name   string
	where  string // as a hint names it
	fields []field[T]
}

func (t *table[T]) find(name string) *field[T] {
	for i := range t.fields {
		if t.fields[i].Name == name {
			return &t.fields[i]
		}
	}
	return nil
}

func (t *table[T]) names() []string {
	var names []string
	for _, f := range t.fields {
		names = append(names, f.Name)
	}
	return names
}

// decode reads the table n at path into dst.
func (t *table[T]) decode(d *decoder, n *node, path string, dst *T) {
	if path != "" || !d.included { // what an included file has at its top is not the Config's
		t.locate(n, dst)
	}
	for _, inner := range []bool{false, true} {
		for _, e := range n.entries {
			f := t.find(e.name)
			switch {
			case f == nil && !inner:
				d.unknown(e, path, t.names())
			case f != nil && f.inner == inner:
				f.set(d, dst, value{e.value, keyPath(path, e.name)})
			}
		}
	}
}

// lift makes fields of a part of T fields of T.
func lift[T, P any](part func(*T) *P, fields []field[P]) []field[T] {
	var lifted []field[T]
	for _, f := range fields {
		lifted = append(lifted, field[T]{Key: f.Key, inner: f.inner, set: func(d *decoder, t *T, v value) {
			f.set(d, part(t), v)
		}})
	}
	return lifted
}

// elsewhere says in which table a key that is wrong here would be right, or "".
func elsewhere(name string) string {
	switch {
	case serverTable.find(name) != nil:
		return serverTable.where
	case siteTable.find(name) != nil:
		return siteTable.where
	case routeTable.find(name) != nil:
		return routeTable.where
	case fastcgiTable.find(name) != nil: // it has every key of the other two
		return fastcgiTable.where
	case basicAuthTable.find(name) != nil:
		return basicAuthTable.where
	case wsgiTable.find(name) != nil:
		return wsgiTable.where
	case acmeTable.find(name) != nil:
		return acmeTable.where
	case pairTable.find(name) != nil:
		return pairTable.where
	}
	return ""
}

// nearest returns the name that s is most likely a slip of, or "".
func nearest(s string, names []string) string {
	best, limit := "", max(1, len(s)/3)
	if len(s) < 3 {
		return ""
	}
	for _, name := range names {
		if n := distance(s, name, limit); n <= limit {
			best, limit = name, n-1
		}
	}
	return best
}

// distance counts the insertions, deletions, changes and swaps of neighbours
// that make b of a, up to limit; above it, it returns some larger number.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// unknown reports a key that its table does not have.
func (d *decoder) unknown(e entry, path string, names []string) {
	key := keyPath(path, e.name)
	place := elsewhere(e.name)
	switch near := nearest(e.name, names); {
	case place != "" && d.included && path == "":
		d.fail(e.at, key, "not allowed here", "an included file holds only [[site]] tables")
	case place != "":
		d.fail(e.at, key, "not allowed here", "it belongs "+place)
	case near != "":
		d.fail(e.at, key, "unknown key", "did you mean "+quote(near)+"?")
	case slices.Equal(names, []string{"site"}):
		d.fail(e.at, key, "unknown key", "an included file holds only [[site]] tables")
	default:
		d.fail(e.at, key, "unknown key", "")
	}
}
