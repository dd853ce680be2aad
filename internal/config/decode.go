package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loading is what the files of one configuration share.
type loading struct {
	cfg   *Config
	errs  Errors
	hosts map[string]string // host, or "" for every host: where it was given

	termsAsked bool // that acme.accept_terms is missing was said
}

// decoder puts the tree of one file into the Config.
type decoder struct {
	*loading
	file     string // as messages name it
	dir      string // that relative paths are relative to
	included bool
	includes []value // the globs
	site     *node   // the one being read
}

// value is a node of the tree and the path of its key.
type value struct {
	*node
	path string
}

func (d *decoder) fail(at pos, key, reason, hint string) {
	d.errs = append(d.errs, &Error{
		File: d.file, Line: at.line, Column: at.column, Key: key, Reason: reason, Hint: hint,
	})
}

// bad reports err, which says what is wrong with v.
func (d *decoder) bad(v value, err error) {
	reason, hint := err.Error(), ""
	var ve *valueError
	if errors.As(err, &ve) {
		reason, hint = ve.reason, ve.hint
	}
	d.fail(v.at, v.path, reason, hint)
}

// decode reads a text. When its syntax is broken it reports that and no more.
func (d *decoder) decode(text []byte) {
	if len(text) > maxFile {
		d.fail(pos{1, 1}, "", tooLarge, "")
		return
	}
	before := len(d.errs)
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // the mark that editors on Windows put in front
	root := parseTree(text, d.fail)
	switch {
	case root == nil: // broken syntax, the last mistake, may have made the others
		d.errs = append(d.errs[:before], d.errs[len(d.errs)-1])
	case d.included:
		includedTable.decode(d, root, "", d.cfg)
	default:
		serverTable.decode(d, root, "", d.cfg)
		d.checkFronts(root)
		d.checkPolicy(&d.cfg.Policy, nil, value{root, ""})
	}
}

// is reports a value of another kind than the one expected.
func (d *decoder) is(v value, k kind, hint string) bool {
	if v.kind == k {
		return true
	}
	d.fail(v.at, v.path, fmt.Sprintf("expected %s, got %s", k, v.kind), hint)
	return false
}

// strings returns those items of an array that are strings; the others are
// reported.
func (d *decoder) strings(v value) []value {
	hint := ""
	if v.kind == stringKind {
		hint = "write [" + quote(v.text) + "]"
	}
	if !d.is(v, arrayKind, hint) {
		return nil
	}
	var items []value
	for _, n := range v.items {
		if item := (value{n, v.path}); d.is(item, stringKind, "") {
			items = append(items, item)
		}
	}
	return items
}

// tables returns those items of an array that are tables; the others are
// reported.
func (d *decoder) tables(v value) []value {
	hint := ""
	if v.kind == tableKind {
		hint = "write [[" + v.path + "]]"
	}
	if !d.is(v, arrayKind, hint) {
		return nil
	}
	var items []value
	for _, n := range v.items {
		if item := (value{n, v.path}); d.is(item, tableKind, "") {
			items = append(items, item)
		}
	}
	return items
}

func boolean[T any](get func(*T) *bool) func(*decoder, *T, value) {
	return func(d *decoder, t *T, v value) {
		hint := ""
		if v.kind == stringKind && (v.text == "true" || v.text == "false") {
			hint = "write " + v.text + " without quotation marks"
		}
		if d.is(v, booleanKind, hint) {
			*get(t) = v.text == "true"
		}
	}
}

func integer[T any](get func(*T) *int, least, most int64) func(*decoder, *T, value) {
	return func(d *decoder, t *T, v value) {
		n, ok := d.integer(v)
		switch {
		case !ok:
		case n < least || n > most:
			d.fail(v.at, v.path, fmt.Sprintf("bad number %d", n), fmt.Sprintf("expected one from %d to %d", least, most))
		default:
			*get(t) = int(n)
		}
	}
}

// decimal is how TOML writes one; the parser lets more through.
var decimal = regexp.MustCompile(`^[+-]?(0|[1-9](_?[0-9])*)$`)

// others are the integers with another base.
var others = regexp.MustCompile(`^0(x[0-9A-Fa-f](_?[0-9A-Fa-f])*|o[0-7](_?[0-7])*|b[01](_?[01])*)$`)

func (d *decoder) integer(v value) (int64, bool) {
	hint := ""
	if v.kind == stringKind && decimal.MatchString(v.text) {
		hint = "write " + v.text + " without quotation marks"
	}
	if !d.is(v, integerKind, hint) {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 0, 64)
	if err != nil || !decimal.MatchString(v.text) && !others.MatchString(v.text) {
		d.fail(v.at, v.path, "bad integer "+quote(v.text), "")
		return 0, false
	}
	return n, true
}

// unmarshal sets to from a string, and says how to write an integer as one.
func (d *decoder) unmarshal(v value, to encoding.TextUnmarshaler, unit string) {
	hint := ""
	if v.kind == integerKind && decimal.MatchString(v.text) && !strings.HasPrefix(v.text, "-") {
		hint = "write " + quote(v.text+unit)
	}
	if !d.is(v, stringKind, hint) {
		return
	}
	if err := to.UnmarshalText([]byte(v.text)); err != nil {
		d.bad(v, err)
	}
}

func duration[T any](get func(*T) *Duration) func(*decoder, *T, value) {
	return func(d *decoder, t *T, v value) { d.unmarshal(v, get(t), "s") }
}

func size[T any](get func(*T) *Size) func(*decoder, *T, value) {
	return func(d *decoder, t *T, v value) { d.unmarshal(v, get(t), "") }
}

// cpu refuses parts of a second, which RLIMIT_CPU does not know.
func cpu(d *decoder, l *Limits, v value) {
	set := l.CPU
	d.unmarshal(v, &set, "s")
	if set%Duration(time.Second) != 0 {
		d.fail(v.at, v.path, "bad duration "+quote(v.text), "expected whole seconds")
		return
	}
	l.CPU = set
}

// path stores a file's or folder's name. With slash, a "/" at its end is kept,
// because it tells the two apart.
func path[T any](get func(*T) *string, slash bool) func(*decoder, *T, value) {
	return func(d *decoder, t *T, v value) {
		if p, ok := d.path(v, slash); ok {
			*get(t) = p
		}
	}
}

func (d *decoder) path(v value, slash bool) (string, bool) {
	if !d.is(v, stringKind, "") {
		return "", false
	}
	p, err := checkPath(v.text)
	if err != nil {
		d.bad(v, err)
		return "", false
	}
	return d.resolve(p, slash), true
}

// resolve joins a relative path to the folder of the file that it stands in.
func (d *decoder) resolve(p string, slash bool) string {
	whole := filepath.Clean(p)
	if !filepath.IsAbs(p) {
		whole = filepath.Join(d.dir, p)
	}
	if slash && strings.HasSuffix(p, "/") && whole != "/" {
		whole += "/"
	}
	return whole
}

// logFile stores a file's name or one of the words.
func logFile[T any](get func(*T) *string, words ...string) func(*decoder, *T, value) {
	return func(d *decoder, c *T, v value) {
		if v.kind == stringKind && slices.Contains(words, v.text) {
			*get(c) = v.text
			return
		}
		// A file of such a name is hardly what is meant.
		if v.kind == stringKind && slices.Contains([]string{"off", "stdout", "none", "syslog"}, v.text) {
			d.fail(v.at, v.path, "bad log "+quote(v.text), "expected "+quoted(words)+" or a file")
			return
		}
		if p, ok := d.path(v, false); ok {
			*get(c) = p
		}
	}
}

// quoted returns the words, each in quotation marks, with commas between.
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(w))
	}
	return b.String()
}

// env sets the variables of a table over those that vars has.
func (d *decoder) env(vars *[]Var, v value) {
	if !d.is(v, tableKind, "") {
		return
	}
	seen := map[string]string{}
	for _, e := range v.entries {
		at, item := e.at, value{e.value, keyPath(v.path, e.name)}
		hint := ""
		if item.kind == integerKind || item.kind == booleanKind || item.kind == floatKind {
			hint = "write " + quote(item.text)
		}
		if err := checkEnvName(e.name); err != nil {
			d.bad(value{&node{at: at}, item.path}, err)
			continue
		}
		if !d.is(item, stringKind, hint) {
			continue
		}
		if err := checkEnvValue(e.name, item.text); err != nil {
			d.bad(item, err)
			continue
		}
		// A29: programs must never see two names that differ only in case.
		if other, ok := seen[strings.ToUpper(e.name)]; ok {
			d.fail(at, item.path, "name differs from "+quote(other)+" only in case", "")
			continue
		}
		seen[strings.ToUpper(e.name)] = e.name
		*vars = setVar(*vars, Var{e.name, item.text})
	}
}

// setVar replaces the variable of that name, in any case (A29), or appends it.
func setVar(vars []Var, v Var) []Var {
	for i := range vars {
		if strings.EqualFold(vars[i].Name, v.Name) {
			vars[i] = v
			return vars
		}
	}
	return append(vars, v)
}
