package config

import (
	"strconv"
	"strings"
)

// Place is where something is written: both numbers count from 1, the column in bytes.
type Place struct {
	Line, Column int
}

// Places tells where the keys of one table are written. The zero value is that of a
// table that no text has.
type Places []placed

// placed is one node of the text, in front of what is inside it. The table itself is the
// first, with the name "".
type placed struct {
	name string // "" also for the items of an array
	line uint32
	// column is below 1<<24: a file has no more bytes. Above it is the depth.
	column uint32
}

const depthShift, maxRecorded = 24, 7

func (p placed) depth() int { return int(p.column >> depthShift) }

func (p placed) place() Place { return Place{int(p.line), int(p.column & (1<<depthShift - 1))} }

// Of returns the place of a key's value; "" is the table itself. What is inside a value
// has its names or numbers behind dots: "env.LANG", "listen.0", "fastcgi.command.1".
func (p Places) Of(key string) (Place, bool) {
	if len(p) == 0 {
		return Place{}, false
	}
	if key == "" {
		return p[0].place(), true
	}
	at, _ := p.find(key)
	if at < 0 {
		return Place{}, false
	}
	return p[at].place(), true
}

// find returns the index of a key and its depth; the index is -1 if it is not there.
func (p Places) find(key string) (at, depth int) {
	for depth = 1; len(p) > 0; depth++ {
		name, rest, more := strings.Cut(key, ".")
		if at = p.inside(at, depth, name); at < 0 || !more {
			return at, depth
		}
		key = rest
	}
	return -1, 0
}

// entry returns the place of an entry of a table, by its whole name in any case.
func (p Places) entry(table, name string) (Place, bool) {
	at, depth := p.find(table)
	if at < 0 {
		return Place{}, false
	}
	for at++; at < len(p) && p[at].depth() > depth; at++ {
		if p[at].depth() == depth+1 && strings.EqualFold(p[at].name, name) {
			return p[at].place(), true
		}
	}
	return Place{}, false
}

// inside returns the index of what has the name in the node at the index, or -1.
func (p Places) inside(at, depth int, name string) int {
	count := 0
	for at++; at < len(p) && p[at].depth() >= depth; at++ {
		switch e := p[at]; {
		case e.depth() > depth:
		case e.name == "":
			if strconv.Itoa(count) == name {
				return at
			}
			count++
		case e.name == name:
			return at
		}
	}
	return -1
}

// record adds a node and what is in it.
func (p *Places) record(name string, n *node, depth int) {
	*p = append(*p, placed{name, uint32(n.at.line), uint32(n.at.column) | uint32(depth)<<depthShift})
	if depth == maxRecorded {
		return
	}
	for _, item := range n.items {
		p.record("", item, depth+1)
	}
	for _, e := range n.entries {
		p.record(e.name, e.value, depth+1)
	}
}

// size is how many nodes record adds.
func (n *node) size(depth int) int {
	sum := 1
	if depth == maxRecorded {
		return sum
	}
	for _, item := range n.items {
		sum += item.size(depth + 1)
	}
	for _, e := range n.entries {
		sum += e.value.size(depth + 1)
	}
	return sum
}

// located is what has Places.
type located interface{ places() *Places }

func (c *Config) places() *Places { return &c.Places }
func (s *Site) places() *Places   { return &s.Places }
func (r *Route) places() *Places  { return &r.Places }

// locate notes where the table n and its known keys are written, but for tables inside
// that are kept apart.
func (t *table[T]) locate(n *node, dst *T) {
	l, ok := any(dst).(located)
	if !ok {
		return
	}
	count := 1
	for _, e := range n.entries {
		if f := t.find(e.name); f != nil && !f.inner {
			count += e.value.size(1)
		}
	}
	p := make(Places, 0, count)
	p = append(p, placed{"", uint32(n.at.line), uint32(n.at.column)})
	for _, e := range n.entries {
		if f := t.find(e.name); f != nil && !f.inner {
			p.record(f.Name, e.value, 1)
		}
	}
	*l.places() = p
}
