package cgi

import "strings"

// Field is one header field. Names keep the spelling of whoever wrote them.
type Field struct{ Name, Value string }

// Header is header fields in their order. Names are compared without regard to
// case; a name may occur more than once (Set-Cookie is never joined, A73).
type Header []Field

// Get returns the first value of name, "" where there is none.
func (h Header) Get(name string) string {
	v, _ := h.Lookup(name)
	return v
}

// Lookup returns the first value of name and whether there is one.
func (h Header) Lookup(name string) (string, bool) {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value, true
		}
	}
	return "", false
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Set puts value in place of the first field of that name and removes others of
// that name, or appends it.
func (h *Header) Set(name, value string) {
	for n, f := range *h {
		if strings.EqualFold(f.Name, name) {
			(*h)[n].Value = value
			rest := (*h)[n+1:]
			rest.Del(name)
			*h = (*h)[:n+1+len(rest)]
			return
		}
	}
	h.Add(name, value)
}

// Del removes the fields of that name.
func (h *Header) Del(name string) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !strings.EqualFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	clear((*h)[len(kept):])
	*h = kept
}
