package process_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse/process"
)

// collect returns the lines that s makes of the pieces.
func collect(s *process.Stderr, pieces ...string) (lines []string) {
	s.Line = func(line string) { lines = append(lines, line) }
	for _, piece := range pieces {
		if n, err := s.Write([]byte(piece)); n != len(piece) || err != nil {
			panic(fmt.Sprint(n, err))
		}
	}
	_ = s.Close()
	return lines
}

// A100: one record per line.
func TestStderrLines(t *testing.T) {
	long := strings.Repeat("x", 4096)
	tests := []struct {
		name, text string
		most       int
		want       []string
	}{
		{"nothing", "", 0, nil},
		{"one", "a\n", 0, []string{"a"}},
		{"no end", "a\nb", 0, []string{"a", "b"}},
		{"empty lines", "\n\na\n", 0, []string{"", "", "a"}},
		{"CR LF", "a\r\nb\r\n", 0, []string{"a", "b"}},
		{"CR within", "a\rb\n", 0, []string{`a\x0db`}},
		{"as long as allowed", "abcd\n", 4, []string{"abcd"}},
		{"as long as allowed, CR LF", "abcd\r\nx\r\n", 4, []string{"abcd", "x"}},
		{"longer", "abcde\nx\n", 4, []string{"abcd [cut]", "x"}},
		{"longer, no end", "abcdefghij", 4, []string{"abcd [cut]"}},
		{"default", long + "\n" + long + "y\n", 0, []string{long, long + " [cut]"}},
		{"a rune cut", "abcé\n", 4, []string{`abc\xc3 [cut]`}},
		{"control characters", "a\x1b[31mb\x00\n", 0, []string{`a\x1b[31mb\x00`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var bytewise []string
			for n := range len(test.text) {
				bytewise = append(bytewise, test.text[n:n+1])
			}
			for _, pieces := range [][]string{{test.text}, bytewise} {
				got := collect(&process.Stderr{MaxLine: test.most}, pieces...)
				if !slices.Equal(got, test.want) {
					t.Errorf("%.50q in %d pieces: got %.200q, want %.200q", test.text, len(pieces), got, test.want)
				}
			}
		})
	}
}

// FuzzStderr: the lines and the tail do not depend on how the stream is split.
func FuzzStderr(f *testing.F) {
	f.Add("a\nbc\r\n\ndefghijklmnop\r\r\n", uint8(8), uint8(3), uint8(5))
	f.Add("é\xff\n\x1b[0m", uint8(2), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, text string, most, first, second uint8) {
		whole := process.Stderr{MaxLine: int(most), MaxLines: 1 << 20, Every: time.Hour}
		want := collect(&whole, text)
		split := process.Stderr{MaxLine: int(most), MaxLines: 1 << 20, Every: time.Hour}
		var pieces []string
		for rest, n := text, 0; rest != ""; n++ {
			size := min(len(rest), 1+int([]uint8{first, second}[n%2]))
			pieces, rest = append(pieces, rest[:size]), rest[size:]
		}
		if got := collect(&split, pieces...); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", pieces, got, want)
		}
		if got, want := split.Tail(), whole.Tail(); got != want {
			t.Errorf("%q: the tail is %q, want %q", pieces, got, want)
		}
		ends := strings.Count(text, "\n")
		if len(want) != ends && len(want) != ends+1 {
			t.Errorf("%q: %d lines of %d ends", text, len(want), ends)
		}
		limit := 4096
		if most > 0 {
			limit = int(most)
		}
		for _, line := range want {
			if len(strings.TrimSuffix(line, " [cut]")) > 4*limit || strings.Contains(line, "\n") {
				t.Errorf("%q: line %q, the limit is %d bytes", text, line, limit)
			}
		}
	})
}

// A100: lines beyond the rate are dropped and counted.
func TestStderrRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		s := process.Stderr{MaxLines: 3, Every: 10 * time.Second, Line: func(line string) { got = append(got, line) }}
		expect := func(want ...string) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			got = nil
		}
		for n := range 8 {
			fmt.Fprintf(&s, "%d\n", n)
		}
		expect("0", "1", "2")
		time.Sleep(10*time.Second - 1)
		fmt.Fprintln(&s, "too early")
		expect()
		time.Sleep(time.Nanosecond)
		fmt.Fprintln(&s, "a")
		expect("[6 lines dropped: more than 3 in 10s]", "a")
		fmt.Fprint(&s, "b\nc\nd\ne\nno end")
		expect("b", "c")
		s.Close()
		expect("[3 lines dropped: more than 3 in 10s]")
		s.Close()
		expect()
		time.Sleep(time.Hour)
		fmt.Fprint(&s, "after Close\n")
		expect("after Close")
		if got := s.Tail(); !strings.HasSuffix(got, "d\ne\nno endafter Close") {
			t.Errorf("the tail is %q; it has what was dropped too", got)
		}
	})
}

func TestStderrRateDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := collect(new(process.Stderr), strings.Repeat("x\n", 1000))
		if len(got) != 201 || got[200] != "[800 lines dropped: more than 200 in 1s]" {
			t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
		}
	})
}

func TestStderrTail(t *testing.T) {
	var s process.Stderr // Line is nil
	if got := s.Tail(); got != "" {
		t.Errorf("the tail of nothing is %q", got)
	}
	fmt.Fprint(&s, "one\r\ntwo \x1b[0m\nthree")
	if got, want := s.Tail(), "one\ntwo \\x1b[0m\nthree"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for n := range 10000 {
		fmt.Fprintf(&s, "line %d\n", n)
	}
	got := s.Tail()
	if len(got) > 4096 || len(got) < 4000 || !strings.HasPrefix(got, "line 9") || !strings.HasSuffix(got, "\nline 9999") {
		t.Errorf("%d bytes: %q ... %q", len(got), got[:20], got[len(got)-20:])
	}
	fmt.Fprint(&s, strings.Repeat("y", 9000))
	if got := s.Tail(); got != strings.Repeat("y", 4096) {
		t.Errorf("the tail of one long line has %d bytes", len(got))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStderrConcurrent(t *testing.T) {
	var lines int // calls do not overlap, so no lock
	s := process.Stderr{MaxLines: 1 << 20, Line: func(line string) {
		if lines++; line != "whole line" {
			t.Errorf("got %q", line)
		}
	}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				fmt.Fprint(&s, "whole line\n")
				s.Tail()
			}
		})
	}
	wg.Wait()
	s.Close()
	if lines != 1600 {
		t.Errorf("%d lines, want 1600", lines)
	}
}

func TestPrintable(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"text", "a\tb ~é€𝄞", "a\tb ~é€𝄞"},
		{"line ends", "a\nb\r", `a\x0ab\x0d`},
		{"escape", "\x1b]0;x\x07", `\x1b]0;x\x07`},
		{"NUL, DEL", "\x00\x7f", `\x00\x7f`},
		{"C1 as UTF-8", "\u0085\u009b31m", `\xc2\x85\xc2\x9b31m`},
		{"C1 as a byte", "\x9b31m", `\x9b31m`},
		{"invalid UTF-8", "a\xffb\xc3", `a\xffb\xc3`},
		{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"overlong", "\xc0\x8a", `\xc0\x8a`},
		{"line separators", "\u2028\u2029", `\xe2\x80\xa8\xe2\x80\xa9`},
		{"bidi embeddings", "\u202a\u202b\u202c\u202d\u202e", `\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae`},
		{"bidi isolates", "\u2066\u2067\u2068\u2069", `\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9`},
		{"bidi marks", "\u200e\u200f\u061c", `\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := process.Printable(test.in); got != test.want {
				t.Errorf("%q: got %q, want %q", test.in, got, test.want)
			}
		})
	}
}

// FuzzPrintable: the result is valid, has no controls, and is its own result.
func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[0m\xff\u202eb\u2066\n\t")
	f.Fuzz(func(t *testing.T, in string) {
		got := process.Printable(in)
		if !utf8.ValidString(got) || len(got) > 4*len(in) {
			t.Errorf("%q: got %q", in, got)
		}
		for _, r := range got {
			if r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%q: %U in %q", in, r, got)
			}
		}
		if again := process.Printable(got); again != got {
			t.Errorf("%q: got %q, of that %q", in, got, again)
		}
	})
}
