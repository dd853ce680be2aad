package admin_test

import (
	"testing"

	"gatehouse/internal/admin"
)

func TestFormats(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{admin.Age(0.2), "<1 s"}, {admin.Age(59.9), "59 s"}, {admin.Age(61), "1 min 1 s"}, {admin.Age(1900), "31 min"},
		{admin.Age(3*3600 + 300), "3 h 5 min"}, {admin.Age(2*86400 + 7*3600 + 59), "2 d 7 h"},
		{admin.Seconds(0), "–"}, {admin.Seconds(.0004), "0.4 ms"}, {admin.Seconds(.00994), "9.9 ms"}, {admin.Seconds(.01), "10 ms"},
		{admin.Seconds(.9994), "999 ms"}, {admin.Seconds(.9996), "1.0 s"}, {admin.Seconds(12.4), "12 s"}, {admin.Seconds(119.4), "119 s"}, {admin.Seconds(120), "2 min"},
		{admin.Size(0), "–"}, {admin.Size(999), "999 B"}, {admin.Size(int64(1000)), "1.0 KiB"}, {admin.Size(uint64(5 << 20)), "5.0 MiB"}, {admin.Size(834 << 20), "834 MiB"}, {admin.Size(int64(3) << 40), "3.0 TiB"},
		{admin.Count(0), "0"}, {admin.Count(999), "999"}, {admin.Count(1000), "1\u202f000"}, {admin.Count(99_999), "99\u202f999"}, {admin.Count(123_456), "123 k"}, {admin.Count(uint64(4_500_000)), "4.5 M"}, {admin.Count(2e9), "2.0 G"},
		{admin.Rate(0), "0"}, {admin.Rate(.01), "0.01"}, {admin.Rate(14.44), "14.4"}, {admin.Rate(1234), "1\u202f234"},
		{admin.Share(0, 0), "0 %"}, {admin.Share(1, 100_000), "<0.1 %"}, {admin.Share(12, 1000), "1.2 %"}, {admin.Share(1, 2), "50 %"},
		{admin.Plain("straße\n\tok"), "straße\n\tok"}, {admin.Plain("a\x1b[31mb\x7f"), `a\x1b[31mb\x7f`}, {admin.Plain("\u009b\u202e\u2066"), `\u009b\u202e\u2066`},
		{admin.Plain("a\xffb\ufffd"), `a\xffb` + "\ufffd"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
