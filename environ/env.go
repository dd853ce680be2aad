// Package environ holds the meta-variables of one request (RFC 3875 section
// 4.1), in order, and the rules for their names: which are made from an HTTP
// request, which a client can never set, and which a configuration may add.
// It also reads the request target and the Host field, from which several of
// them come.
//
// It does not choose the script (see [Env.SetScript] for what follows from the
// choice), reads no body and knows no protocol but HTTP's request heads.
package environ

import (
	"iter"
	"slices"
	"strings"
)

// Env is an ordered list of variables with distinct names. The zero value is
// empty and ready for use.
//
// Copies of an Env share their variables: use [Env.Clone] before changing a
// copy. An Env that nobody changes may be read by several goroutines.
type Env struct {
	vars []string // "NAME=value"
}

// spare is the room for what is added to a request after it was read: the five
// variables of a script, an authorizer's and a configuration's.
const spare = 16

// Set gives the variable name the value. A variable that is there keeps its
// place, a new one is appended.
//
// The name must not be empty nor contain "=", and neither name nor value may
// contain NUL; Set does not check. It looks at every variable, so a caller that
// takes names from a peer must bound their number.
func (e *Env) Set(name, value string) {
	e.put(name, name+"="+value)
}

// put is Set for text that is already put together: pair is "name=value".
func (e *Env) put(name, pair string) {
	if i := e.index(name); i >= 0 {
		e.vars[i] = pair
		return
	}
	e.vars = append(e.vars, pair)
}

// Del removes the named variables. Names that are not there are ignored.
func (e *Env) Del(names ...string) {
	e.delFunc(func(name string) bool { return slices.Contains(names, name) })
}

// delFunc removes the variables for whose names drop is true.
func (e *Env) delFunc(drop func(name string) bool) {
	e.vars = slices.DeleteFunc(e.vars, func(pair string) bool {
		return drop(nameOf(pair))
	})
}

// DelAuthorization removes the client's credentials, HTTP_AUTHORIZATION and
// HTTP_PROXY_AUTHORIZATION, for a program that is not to have them (A33, RFC
// 3875 section 9.2).
func (e *Env) DelAuthorization() {
	e.Del("HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION")
}

// Get returns the value of the named variable, or "" if there is none.
func (e Env) Get(name string) string {
	value, _ := e.Lookup(name)
	return value
}

// Lookup returns the value of the named variable and whether it is there.
func (e Env) Lookup(name string) (string, bool) {
	i := e.index(name)
	if i < 0 {
		return "", false
	}
	return e.vars[i][len(name)+1:], true
}

// Len returns the number of variables.
func (e Env) Len() int { return len(e.vars) }

// All returns the names and values in order.
func (e Env) All() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, pair := range e.vars {
			name, value, _ := strings.Cut(pair, "=")
			if !yield(name, value) {
				return
			}
		}
	}
}

// Strings returns the variables as "NAME=value", in order, as execve takes
// them. The slice is the Env's own and must not be modified; appending to it
// copies it.
func (e Env) Strings() []string { return slices.Clip(e.vars) }

// Clone returns an Env with the same variables that can be changed
// independently of e.
func (e Env) Clone() Env {
	vars := make([]string, len(e.vars), len(e.vars)+spare)
	copy(vars, e.vars)
	return Env{vars}
}

// Over returns the variables of base that e does not have, followed by e's:
// what a program is started with when base is the environment of every process
// (see [ProcessEnv]). The result is independent of both.
func (e Env) Over(base Env) Env {
	vars := make([]string, 0, len(base.vars)+len(e.vars))
	for _, pair := range base.vars {
		if e.index(nameOf(pair)) < 0 {
			vars = append(vars, pair)
		}
	}
	return Env{append(vars, e.vars...)}
}

// index returns where the named variable is, or -1.
func (e Env) index(name string) int {
	for i, pair := range e.vars {
		if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
			return i
		}
	}
	return -1
}

func nameOf(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	return name
}
