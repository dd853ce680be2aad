package site

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"gatehouse/internal/config"
)

// randomPrefixes are networks of both kinds, many of them in one another or side by side.
func randomPrefixes(r *rand.Rand, count int) (all []netip.Prefix) {
	for range count {
		a := randomAddr(r)
		p, _ := a.Prefix(r.IntN(a.BitLen() + 1))
		all = append(all, p)
	}
	return all
}

// randomAddr is from few addresses, which so are near one another.
func randomAddr(r *rand.Rand) netip.Addr {
	if r.IntN(2) == 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24|uint32(r.IntN(1<<12)))
		return netip.AddrFrom4(b)
	}
	b := [16]byte{0: 0x20, 1: 0x01, 14: byte(r.IntN(16)), 15: byte(r.IntN(256))}
	return netip.AddrFrom16(b)
}

// Ranges say of every address what the networks that they were made of say.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		prefixes := randomPrefixes(r, r.IntN(20))
		if round%2 == 0 { // long ones only: not all of them end in one
			for n, p := range prefixes {
				prefixes[n], _ = p.Addr().Prefix(p.Addr().BitLen() - r.IntN(6))
			}
		}
		rs := newRanges(prefixes)
		for n := 1; n < len(rs); n++ {
			if !rs[n-1].last.Less(rs[n].first) {
				t.Fatalf("%v: ranges %v overlap", prefixes, rs)
			}
		}
		for range 200 {
			a := randomAddr(r)
			want := false
			for _, p := range prefixes {
				want = want || p.Contains(a)
			}
			if got := rs.has(a); got != want {
				t.Fatalf("%v in %v: got %v, want %v", a, prefixes, got, want)
			}
		}
	}
}

// BenchmarkAccess is the decision for one address with many entries.
func BenchmarkAccess(b *testing.B) {
	for _, count := range []int{10, 10_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			deny := make([]netip.Prefix, count)
			for n := range deny {
				var ip [4]byte
				binary.BigEndian.PutUint32(ip[:], uint32(n)*7919)
				deny[n] = netip.PrefixFrom(netip.AddrFrom4(ip), 32)
			}
			a := newAccess(&config.Access{Deny: deny})
			b.ReportAllocs()
			for b.Loop() {
				if err := a.admit("198.51.100.7"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
