package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, never negative, written as numbers with units:
// "500ms", "60s", "1m30s", "1h".
type Duration time.Duration

// UnmarshalText sets d, or leaves it alone and returns an error.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	const expected = `expected numbers with units, as in "60s" or "1m30s"`
	if strings.HasPrefix(s, "-") {
		return bad("", "negative duration %s", quote(s))
	}
	if decimal.MatchString(s) {
		return bad("write "+quote(s+"s")+" for seconds", "duration %s has no unit", quote(s))
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return bad(expected, "bad duration %s", quote(s))
	}
	*d = Duration(v)
	return nil
}

// String returns d as time.Duration writes it.
func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes, never negative, written with a decimal unit (kB,
// MB, GB, TB), a binary one (KiB, MiB, GiB, TiB), B, or none, which is bytes.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
	{"B", 1}, {"", 1},
}

// UnmarshalText sets s, or leaves it alone and returns an error.
func (s *Size) UnmarshalText(text []byte) error {
	whole := string(text)
	digits := whole[:len(whole)-len(strings.TrimLeft(whole, "0123456789"))]
	unit := whole[len(digits):]
	if digits == "" {
		return bad(`expected a number and a unit, as in "64KiB" or "10MB"`, "bad size %s", quote(whole))
	}
	for _, u := range units {
		if u.name != unit {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > math.MaxInt64/u.bytes {
			return bad("", "size %s is too large", quote(whole))
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return bad(unitHint(digits, unit), "bad size %s", quote(whole))
}

// unitHint guesses what a unit in another spelling means: "64k" and "64kib" in
// other servers' files are 64KiB.
func unitHint(digits, unit string) string {
	for _, u := range units {
		if strings.EqualFold(u.name, unit) || len(u.name) == 3 && strings.EqualFold(u.name[:1], unit) {
			return "did you mean " + quote(digits+u.name) + "?"
		}
	}
	return "expected one of the units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"
}

// String returns s in the largest unit that divides it.
func (s Size) String() string {
	n := int64(s)
	for _, u := range units {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
