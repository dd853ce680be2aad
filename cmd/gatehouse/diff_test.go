package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestDifference(t *testing.T) {
	many := strings.Repeat("x\n", 300)
	for _, tt := range []struct{ name, a, b, want string }{
		{"equal", "a\nb", "a\nb", ""},
		{"changed", "a\nb\nc", "a\nB\nc", "@@ line 1 @@\n a\n-b\n+B\n c\n"},
		{"added", "a\nc", "a\nb\nc", "@@ line 1 @@\n a\n+b\n c\n"},
		{"removed at the end", "a\nb", "a", "@@ line 1 @@\n a\n-b\n"},
		{"all", "", "x", "@@ line 1 @@\n-\n+x\n"},
		{"two places", "1\n2\n3\n4\n5\n6\n7\n8\n9", "1\nB\n3\n4\n5\n6\n7\nH\n9",
			"@@ line 1 @@\n 1\n-2\n+B\n 3\n 4\n@@ line 6 @@\n 6\n 7\n-8\n+H\n 9\n"},
		{"near each other", "1\n2\n3\n4\n5", "A\n2\n3\n4\nE", "@@ line 1 @@\n-1\n+A\n 2\n 3\n 4\n-5\n+E\n"},
		{"moved", "a\nb\nc\nd", "b\nc\nd\na", "@@ line 1 @@\n-a\n b\n c\n d\n+a\n"},
		{"control characters", "a", "\x1b[2J", "@@ line 1 @@\n-a\n+\\x1b[2J\n"},
		{"long", "a", many, "@@ line 1 @@\n-a\n" + strings.Repeat("+x\n", maxShown-1) + "(and so on)\n"},
		{"wide", "a", strings.Repeat("x", maxWidth+1), "@@ line 1 @@\n-a\n+" + strings.Repeat("x", maxWidth) + "...\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := difference(strings.Split(tt.a, "\n"), strings.Split(tt.b, "\n"))
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// Texts that differ too much for the table are shown all the same.
func TestDifferenceOfMuch(t *testing.T) {
	var a, b []string
	for n := range 3000 {
		a, b = append(a, fmt.Sprint("a", n)), append(b, fmt.Sprint("b", n))
	}
	got := difference(append(a, "end"), append(b, "end"))
	if !strings.HasPrefix(got, "@@ line 1 @@\n-a0\n-a1\n") || !strings.HasSuffix(got, "(and so on)\n") {
		t.Errorf("got\n%s", got)
	}
}

// sampleOf is one run that printed text.
func sampleOf(text string) (s sample) {
	fmt.Fprint(writeFirst{&s.text}, text)
	copy(s.text.all[:], text) // texts of the tests are short
	return s
}

func TestCompare(t *testing.T) {
	samples := func(texts ...string) (all []sample) {
		for _, text := range texts {
			all = append(all, sampleOf(text))
		}
		return all
	}
	for _, tt := range []struct {
		name       string
		cold, warm []sample
		want       comparison
	}{
		{"equal", samples("a\nb", "a\nb"), samples("a\nb", "a\nb"), comparison{equal: true}},
		{"varying", samples("a\n1\nc", "a\n2\nc"), samples("a\n3\nc"), comparison{equal: true, varying: 1}},
		{"different", samples("a", "a"), samples("a", "b"), comparison{diff: "@@ line 1 @@\n-a\n+b\n"}},
		{"different beside what varies", samples("a\n1", "a\n2"), samples("b\n3"), comparison{varying: 1, diff: "@@ line 1 @@\n-a\n+b\n 1\n"}},
		{"longer than what varies", samples("1", "2"), samples("3\n4"), comparison{varying: 1, diff: "@@ line 1 @@\n-1\n+3\n+4\n"}},
		{"lines come and go", samples("a", "a\nb"), samples("a"), comparison{incomparable: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := compare(tt.cold, tt.warm); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
