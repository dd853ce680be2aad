package site

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// access says which clients may ask.
type access struct {
	deny  ranges
	allow ranges
	all   bool // who is not in deny: there is no allow
}

// newAccess returns nil when everybody may.
func newAccess(c *config.Access) *access {
	if c == nil || c.Allow == nil && len(c.Deny) == 0 {
		return nil
	}
	return &access{deny: newRanges(c.Deny), allow: newRanges(c.Allow), all: c.Allow == nil}
}

// admit refuses a client by the address that REMOTE_ADDR has (A08): that of the peer, or
// what a trusted proxy said. It may be called for no access.
func (a *access) admit(client string) error {
	if a == nil {
		return nil
	}
	addr, err := netip.ParseAddr(client)
	switch {
	case err != nil: // none that is known: on no list, and so not let in
		return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("the client's address %q is none", client)}
	case a.deny.has(addr):
		return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("the client's address %v is in deny", addr)}
	case !a.all && !a.allow.has(addr):
		return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("the client's address %v is not in allow", addr)}
	}
	return nil
}

// ranges are addresses in as many steps as their number has digits: disjoint, in order.
type ranges []addresses

type addresses struct{ first, last netip.Addr }

func newRanges(prefixes []netip.Prefix) ranges {
	all := make(ranges, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, addresses{p.Masked().Addr(), lastOf(p)})
	}
	slices.SortFunc(all, func(a, b addresses) int { return a.first.Compare(b.first) })
	merged := all[:0]
	for _, r := range all {
		// Networks lie apart or in one another, and IPv4 before IPv6.
		if n := len(merged); n > 0 && r.first.Compare(merged[n-1].last) <= 0 {
			if merged[n-1].last.Less(r.last) {
				merged[n-1].last = r.last
			}
			continue
		}
		merged = append(merged, r)
	}
	return slices.Clip(merged)
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for n := range b {
		switch bits := p.Bits() - 8*n; {
		case bits <= 0:
			b[n] = 0xff
		case bits < 8:
			b[n] |= 0xff >> bits
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func (rs ranges) has(a netip.Addr) bool {
	n := sort.Search(len(rs), func(n int) bool { return a.Less(rs[n].first) })
	return n > 0 && !rs[n-1].last.Less(a)
}
