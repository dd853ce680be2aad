package config

import (
	"bytes"
	"errors"
	"sort"
	"strconv"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// The text is read into a tree of our own, because a decoder that fills structs
// stops at the first wrong type and forgets where the right values stood.

type kind uint8

const (
	stringKind kind = iota
	integerKind
	floatKind
	booleanKind
	dateKind
	arrayKind
	tableKind
)

// String returns the kind with its article, as error messages need it.
func (k kind) String() string {
	return [...]string{"a string", "an integer", "a fraction", "a boolean", "a date or time", "an array", "a table"}[k]
}

// origin says how a table came to be, which decides what may be added to it.
type origin uint8

const (
	inline  origin = iota // { }: complete
	implied               // [a.b] implies a; a header of its own may follow
	header                // [a] or one of [[a]]
	dotted                // a.b = 1 makes a
)

// pos is a place in the text, both numbers from 1, the column in bytes.
type pos struct {
	line, column int
}

type node struct {
	kind    kind
	origin  origin
	headers bool // an array made of [[a]]
	at      pos
	text    string // of a scalar; the decoded text of a string
	items   []*node
	entries []entry
	index   map[string]int // of entries, once there are many
}

type entry struct {
	name  string
	at    pos
	value *node
}

// get returns the value of a table's key, or nil.
func (n *node) get(name string) *node {
	if n.index != nil {
		if i, ok := n.index[name]; ok {
			return n.entries[i].value
		}
		return nil
	}
	for i := range n.entries {
		if n.entries[i].name == name {
			return n.entries[i].value
		}
	}
	return nil
}

func (n *node) add(e entry) *node {
	const many = 16
	n.entries = append(n.entries, e)
	switch {
	case n.index != nil:
		n.index[e.name] = len(n.entries) - 1
	case len(n.entries) == many:
		n.index = make(map[string]int, 2*many)
		for i, e := range n.entries {
			n.index[e.name] = i
		}
	}
	return e.value
}

// builder makes the tree of one text and notes what TOML itself forbids.
type builder struct {
	text  []byte
	lines []int // offset of every line's start
	p     unstable.Parser
	root  *node
	table *node  // the one that keys go to
	path  string // of table
	fail  func(at pos, key, reason, hint string)
}

// parseTree returns the tree of text. It calls fail for each mistake; when the
// syntax is broken that is the last one, and the tree is nil.
func parseTree(text []byte, fail func(at pos, key, reason, hint string)) *node {
	b := &builder{text: text, lines: []int{0}, fail: fail}
	for i, c := range text {
		if c == '\n' {
			b.lines = append(b.lines, i+1)
		}
	}
	if i := invalidUTF8(text); i >= 0 {
		fail(b.pos(i), "", "text is not UTF-8", "")
		return nil
	}
	// The parser calls itself for every bracket; its stack must stay bounded.
	if i := tooDeep(text); i >= 0 {
		fail(b.pos(i), "", "nested too deep", "")
		return nil
	}
	b.root = &node{kind: tableKind, origin: header, at: pos{1, 1}}
	b.table = b.root
	b.p.Reset(text)
	for b.p.NextExpression() {
		switch e := b.p.Expression(); e.Kind {
		case unstable.KeyValue:
			b.keyValue(b.table, b.path, e)
		case unstable.Table, unstable.ArrayTable:
			b.header(e)
		}
	}
	if err := b.p.Error(); err != nil {
		b.syntax(err)
		return nil
	}
	return b.root
}

func (b *builder) syntax(err error) {
	at := pos{1, 1}
	var pe *unstable.ParserError
	if errors.As(err, &pe) {
		at = b.pos(int(b.p.Range(pe.Highlight).Offset))
	}
	b.fail(at, "", "syntax error: "+printable(err.Error()), "")
}

func (b *builder) pos(offset int) pos {
	line := sort.SearchInts(b.lines, offset+1)
	return pos{line, offset - b.lines[line-1] + 1}
}

// names returns the parts of a key with their places, and where it ends.
func (b *builder) names(e *unstable.Node) (parts []entry, end int) {
	for it := e.Key(); it.Next(); {
		k := it.Node()
		end = int(k.Raw.Offset + k.Raw.Length)
		parts = append(parts, entry{name: string(k.Data), at: b.pos(int(k.Raw.Offset))})
	}
	return parts, end
}

// header enters the table of [a.b] or [[a.b]]. One that may not be there is
// reported, and its keys go to a table that nobody reads.
func (b *builder) header(e *unstable.Node) {
	parts, _ := b.names(e)
	brackets := 1
	if e.Kind == unstable.ArrayTable {
		brackets = 2
	}
	start := b.pos(b.bracket(int(e.Child().Raw.Offset), brackets))
	table, path := b.root, ""
	b.table, b.path = &node{kind: tableKind}, ""
	for _, k := range parts {
		b.path = keyPath(b.path, k.name)
	}
	for _, k := range parts[:len(parts)-1] {
		path = keyPath(path, k.name)
		next := table.get(k.name)
		switch {
		case next == nil:
			next = table.add(entry{k.name, k.at, &node{kind: tableKind, origin: implied, at: start}})
		case next.headers:
			next = next.items[len(next.items)-1]
		case next.kind != tableKind || next.origin == inline:
			b.again(k.at, path, next)
			return
		}
		table = next
	}
	last := parts[len(parts)-1]
	path = keyPath(path, last.name)
	n := &node{kind: tableKind, origin: header, at: start}
	old := table.get(last.name)
	switch {
	case old == nil && brackets == 1:
		table.add(entry{last.name, last.at, n})
	case old == nil:
		table.add(entry{last.name, last.at, &node{kind: arrayKind, headers: true, at: start, items: []*node{n}}})
	case brackets == 2 && old.headers:
		old.items = append(old.items, n)
	case brackets == 1 && old.kind == tableKind && old.origin == implied:
		old.origin, old.at = header, start
		n = old
	default:
		b.again(last.at, path, old)
		return
	}
	b.table = n
}

// bracket returns the offset of the count-th "[" before offset.
func (b *builder) bracket(offset, count int) int {
	for ; count > 0; count-- {
		offset = bytes.LastIndexByte(b.text[:offset], '[')
	}
	return offset
}

func (b *builder) keyValue(table *node, path string, e *unstable.Node) {
	parts, end := b.names(e)
	for _, k := range parts[:len(parts)-1] {
		path = keyPath(path, k.name)
		next := table.get(k.name)
		switch {
		case next == nil:
			next = table.add(entry{k.name, k.at, &node{kind: tableKind, origin: dotted, at: k.at}})
		case next.kind != tableKind || next.origin != dotted:
			b.again(k.at, path, next)
			return
		}
		table = next
	}
	last := parts[len(parts)-1]
	path = keyPath(path, last.name)
	if old := table.get(last.name); old != nil {
		b.again(last.at, path, old)
		return
	}
	// An array has no place of its own: it begins behind the "=".
	rest := bytes.TrimLeft(b.text[end:], " \t=")
	start := b.pos(len(b.text) - len(rest))
	table.add(entry{last.name, last.at, b.value(e.Value(), start, path)})
}

// value returns the tree of v. An array inside an array is given the place of
// the outer one.
func (b *builder) value(v *unstable.Node, start pos, path string) *node {
	n := &node{at: start, text: string(v.Data)}
	switch v.Kind {
	case unstable.String:
		n.kind = stringKind
	case unstable.Integer:
		n.kind = integerKind
	case unstable.Float:
		n.kind = floatKind
	case unstable.Bool:
		n.kind, n.at = booleanKind, b.pos(int(b.p.Range(v.Data).Offset))
		return n
	case unstable.Array:
		n.kind = arrayKind
		for it := v.Children(); it.Next(); {
			n.items = append(n.items, b.value(it.Node(), start, path))
		}
		return n
	case unstable.InlineTable:
		n.kind = tableKind
		n.at = b.pos(int(v.Raw.Offset))
		for it := v.Children(); it.Next(); {
			b.keyValue(n, path, it.Node())
		}
		return n
	default:
		n.kind, n.at = dateKind, b.pos(int(b.p.Range(v.Data).Offset))
		return n
	}
	n.at = b.pos(int(v.Raw.Offset))
	return n
}

func (b *builder) again(at pos, key string, old *node) {
	b.fail(at, key, "set twice", "it is "+old.kind.String()+" at line "+strconv.Itoa(old.at.line)+" already")
}

// maxDepth is how many brackets may be open at a time.
const maxDepth = 32

// tooDeep returns the offset of the first bracket that nests deeper than
// maxDepth, or -1. It follows strings and comments exactly as far as the syntax
// is right, which is as far as the parser goes.
func tooDeep(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '[', '{':
			if depth++; depth > maxDepth {
				return i
			}
		case ']', '}':
			depth--
		case '#':
			if n := bytes.IndexByte(text[i:], '\n'); n >= 0 {
				i += n
			} else {
				return -1
			}
		case '"', '\'':
			i += stringLength(text[i:]) - 1
		}
	}
	return -1
}

// stringLength returns the length of the TOML string at the start of text.
func stringLength(text []byte) int {
	c := text[0]
	close := text[:1]
	if triple := bytes.Repeat(close, 3); bytes.HasPrefix(text, triple) {
		close = triple
	}
	for i := len(close); i < len(text); i++ {
		switch {
		case c == '"' && text[i] == '\\':
			i++
		case text[i] == '\n' && len(close) == 1:
			return i
		case bytes.HasPrefix(text[i:], close):
			i += len(close)
			// Up to two more marks before the last three belong to the string.
			for extra := 0; len(close) == 3 && extra < 2 && i < len(text) && text[i] == c; extra++ {
				i++
			}
			return i
		}
	}
	return len(text)
}

func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
}
