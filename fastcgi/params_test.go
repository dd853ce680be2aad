package fastcgi_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gatehouse/fastcgi"
)

// The lengths of names and values around every limit of their encoding (B06).
func TestPairLengths(t *testing.T) {
	four := func(n int) string { return string([]byte{byte(n>>24) | 0x80, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for _, tt := range []struct {
		n    int
		head string
	}{
		{0, "\x00"}, {1, "\x01"}, {127, "\x7f"}, {128, "\x80\x00\x00\x80"}, {255, "\x80\x00\x00\xff"}, {65535, "\x80\x00\xff\xff"},
		{65536, "\x80\x01\x00\x00"}, {1 << 20, "\x80\x10\x00\x00"},
	} {
		text := strings.Repeat("v", tt.n)
		if got, want := string(fastcgi.AppendPair(nil, "N", text)), "\x01"+tt.head+"N"+text; got != want {
			t.Errorf("value of %d bytes: %.20q, want %.20q", tt.n, got, want)
		}
		if tt.n == 0 {
			continue
		}
		if got, want := string(fastcgi.AppendPair(nil, text, "V")), tt.head+"\x01"+text+"V"; got != want {
			t.Errorf("name of %d bytes: %.20q, want %.20q", tt.n, got, want)
		}
		for form, in := range map[string]string{
			"11 or shortest": string(fastcgi.AppendPair(nil, text, text)),
			"44":             four(tt.n) + four(tt.n) + text + text,
			"14":             tt.head + four(tt.n) + text + text,
			"41":             four(tt.n) + tt.head + text + text,
		} {
			name, value, rest, err := fastcgi.NextPair([]byte(in + "rest"))
			if string(name) != text || string(value) != text || string(rest) != "rest" || err != nil {
				t.Errorf("%d bytes, form %s: %.20q %.20q %.20q %v", tt.n, form, name, value, rest, err)
			}
			for cut := range min(len(in), 12) { // cut anywhere: never a pair, never another error (B08)
				if _, _, rest, err := fastcgi.NextPair([]byte(in[:cut])); err != fastcgi.ErrShort || len(rest) != cut {
					t.Errorf("%d bytes, form %s, cut after %d: %v", tt.n, form, cut, err)
				}
			}
			if _, _, _, err := fastcgi.NextPair([]byte(in[:len(in)-1])); err != fastcgi.ErrShort {
				t.Errorf("%d bytes, form %s, the last one missing: %v", tt.n, form, err)
			}
		}
	}
}

// Lengths whose sum does not fit 32 bits are only lengths that are not there (B07).
func TestPairOverflow(t *testing.T) {
	for _, in := range []string{
		"\xff\xff\xff\xff\xff\xff\xff\xffname", "\x80\x00\x00\x04\xff\xff\xff\xffname", "\xff\xff\xff\xff\x01name",
		"\x04\xff\xff\xff\xfcname", "\xff\xff\xff\xff\x80\x00\x00\x01n", "\x01\xff\xff\xff\xffn",
	} {
		if _, _, _, err := fastcgi.NextPair([]byte(in)); err != fastcgi.ErrShort {
			t.Errorf("%q: %v, want ErrShort", in, err)
		}
		if vars, err := fastcgi.ParsePairs([]byte(in), math.MaxInt); err != fastcgi.ErrShort {
			t.Errorf("%q: %q %v, want ErrShort", in, vars, err)
		}
	}
}

func TestParsePairs(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
		err      string
	}{
		{"none", "", nil, ""},
		{"two of a name, an empty value", "\x01\x01Ab\x01\x00A\x02\x03BBx=y", []string{"A=b", "A=", "BB=x=y"}, ""},
		{"empty name", "\x00\x01b", nil, "fastcgi: name-value pair without a name"},
		{"= in the name", "\x03\x00A=b", nil, `fastcgi: name "A=b"`},
		{"NUL in the name", "\x02\x00A\x00", nil, `fastcgi: a NUL in the pair named "A\x00"`},
		{"NUL in the value", "\x01\x01A\x00", nil, `fastcgi: a NUL in the pair named "A"`},
		{"too many", strings.Repeat("\x01\x00A", 5), nil, "fastcgi: more than 4 name-value pairs"},
		{"cut", "\x01\x00A\x01", nil, "fastcgi: name-value pair is cut short"},
	}
	for _, tt := range tests { // B07, B09
		t.Run(tt.name, func(t *testing.T) {
			got, err := fastcgi.ParsePairs([]byte(tt.in), 4)
			if !slices.Equal(got, tt.want) || fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
		})
	}
}

// paramsRecords returns the contents of the records of one PARAMS stream.
func paramsRecords(t *testing.T, b []byte) (contents [][]byte) {
	t.Helper()
	for {
		h, err := fastcgi.ParseHeader(b)
		if err != nil || h.Type != fastcgi.TypeParams || h.ID != 3 || h.ContentLength+h.PaddingLength > 65528 {
			t.Fatalf("header %+v, %v", h, err)
		}
		if h.ContentLength == 0 {
			if len(b) != 8 {
				t.Fatalf("%d bytes behind the end of the stream", len(b)-8)
			}
			return contents
		}
		contents = append(contents, b[8:8+h.ContentLength])
		b = b[8+h.ContentLength+h.PaddingLength:]
	}
}

// Each record can be taken for itself, as php-cgi does it, unless one pair is longer
// than a record (B25).
func TestAppendParamsKeepsPairsWhole(t *testing.T) {
	value := func(n int) string { return "NAME=" + strings.Repeat("v", n) }
	tests := []struct {
		name    string
		vars    []string
		records []int
	}{
		{"many small", slices.Repeat([]string{value(100)}, 2000), []int{106 * 618, 106 * 618, 106 * 618, 106 * 146}},
		{"exactly one record", []string{value(65519)}, []int{65528}},
		{"one byte more", []string{value(65520)}, []int{65528, 1}},
		{"a huge one between small", []string{"A=1", value(140000), "B=2"}, []int{4, 65528, 65528, 8953, 4}},
		{"two that fill a record", []string{value(65515), "A=1", "B=2"}, []int{65528, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []byte
			var sizes []int
			for _, c := range paramsRecords(t, fastcgi.AppendParams(nil, 3, tt.vars)) {
				sizes = append(sizes, len(c))
				all = append(all, c...)
			}
			if !slices.Equal(sizes, tt.records) {
				t.Errorf("records of %d bytes, want %d", sizes, tt.records)
			}
			if got, err := fastcgi.ParsePairs(all, math.MaxInt); err != nil || !slices.Equal(got, tt.vars) {
				t.Errorf("%d variables came back as %d, %v", len(tt.vars), len(got), err)
			}
		})
	}
}

// FuzzPairs: what is parsed and appended is the canonical form, which parses to the
// same; and whatever can be appended comes back.
func FuzzPairs(f *testing.F) {
	f.Add([]byte("\x01\x01Ab\x80\x00\x00\x02\x00CD"), "NAME", "value")
	f.Add([]byte("\xff\xff\xff\xff\x00"), "A", strings.Repeat("x", 128))
	f.Add([]byte("\x01\x00A\x00"), "", "")
	f.Fuzz(func(t *testing.T, in []byte, name, value string) {
		vars, err := fastcgi.ParsePairs(in, 1000)
		var canonical []byte
		for _, v := range vars {
			n, val, ok := strings.Cut(v, "=")
			if !ok || n == "" || strings.Contains(v, "\x00") {
				t.Fatalf("variable %q", v)
			}
			canonical = fastcgi.AppendPair(canonical, n, val)
		}
		if err == nil {
			again, err := fastcgi.ParsePairs(canonical, 1000)
			if err != nil || !slices.Equal(again, vars) || len(canonical) > len(in) {
				t.Fatalf("%q came back as %q, %v", vars, again, err)
			}
		}
		pair := fastcgi.AppendPair(nil, name, value)
		n, v, rest, err := fastcgi.NextPair(append(bytes.Clone(pair), in...))
		if err == nil != (name != "" && !strings.Contains(name, "=") && !strings.Contains(name+value, "\x00")) {
			t.Fatalf("%q=%q: %v", name, value, err)
		}
		if errors.Is(err, fastcgi.ErrShort) || string(n) != name || string(v) != value || !bytes.Equal(rest, in) {
			t.Fatalf("%q=%q came back as %q=%q, %v", name, value, n, v, err)
		}
	})
}

func BenchmarkNextPair(b *testing.B) {
	pair := fastcgi.AppendPair(nil, "SCRIPT_FILENAME", "/srv/www/htdocs/index.php")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := fastcgi.NextPair(pair); err != nil {
			b.Fatal(err)
		}
	}
}

var thirtyVars = func() (vars []string) {
	for n := range 30 {
		vars = append(vars, fmt.Sprintf("HTTP_VARIABLE_%d=%s", n, strings.Repeat("v", 5*n)))
	}
	return vars
}()

func BenchmarkAppendParams(b *testing.B) {
	buf := make([]byte, 0, 8192)
	b.ReportAllocs()
	for b.Loop() {
		buf = fastcgi.AppendParams(buf[:0], 1, thirtyVars)
	}
}

func BenchmarkParsePairs(b *testing.B) {
	var all []byte
	for _, v := range thirtyVars {
		name, value, _ := strings.Cut(v, "=")
		all = fastcgi.AppendPair(all, name, value)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fastcgi.ParsePairs(all, 1000); err != nil {
			b.Fatal(err)
		}
	}
}
