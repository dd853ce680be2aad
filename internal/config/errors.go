package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Error is one mistake in a configuration.
type Error struct {
	// File is "" for a configuration that no text has.
	File string
	// Line and Column count from 1, the column in bytes. Both are 0 when the
	// mistake is the file itself, which could not be read.
	Line, Column int
	// Key is the path of the key, as in "site.route.timeout"; "" when none.
	Key string
	// Reason says what is wrong, Hint what may be meant instead; "" when unknown.
	Reason string
	Hint   string

	cause error
}

// Error returns "file:line:column: key: reason (hint)", without what is unknown.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Reason)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the error of the file system, such as fs.ErrNotExist, when a
// file could not be read.
func (e *Error) Unwrap() error { return e.cause }

// Errors holds every mistake of a configuration, sorted by file and place.
type Errors []*Error

// Error returns one line for each mistake.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes one by one, for errors.Is and errors.As.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
}

// valueError is why a text is not a value of its type, in the two parts that
// Error has.
type valueError struct {
	reason, hint string
}

func (e *valueError) Error() string {
	if e.hint == "" {
		return "config: " + e.reason
	}
	return "config: " + e.reason + " (" + e.hint + ")"
}

func bad(hint, format string, args ...any) *valueError {
	return &valueError{reason: fmt.Sprintf(format, args...), hint: hint}
}

// maxQuoted is how many bytes of a value a message repeats.
const maxQuoted = 80

// quote returns s in quotation marks, its end cut when it is long.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return fmt.Sprintf("%q", s)
	}
	cut := strings.ToValidUTF8(s[:maxQuoted], "")
	return fmt.Sprintf("%q...", cut)
}

// maxPath is the length at which a key's path is cut: "a.a.a" may go on for as
// long as the file does.
const maxPath = 1000

// keyPath appends a key to a path, written as TOML would have it.
func keyPath(path, name string) string {
	if len(path) >= maxPath {
		return path
	}
	for _, c := range name {
		if c != '_' && c != '-' && (c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c)) {
			name = quote(name)
			break
		}
	}
	if name == "" {
		name = `""`
	} else if len(name) > 2*maxQuoted {
		name = quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// printable replaces what a terminal would not show as text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// Because gives the mistake a cause for errors.Is, and returns it.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}
