package scgi_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"gatehouse/scgi"
)

// The example of the protocol's text (D05).
const (
	exampleHead = "70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,"
	exampleBody = "What is the answer to life?"
)

var exampleVars = []string{"CONTENT_LENGTH=27", "SCGI=1", "REQUEST_METHOD=POST", "REQUEST_URI=/deepthought"}

func TestAppendRequest(t *testing.T) {
	for _, test := range []struct {
		name string
		vars []string
		want string
	}{
		{"example, D05", exampleVars[2:], exampleHead},
		{"length and version are ours, D03", []string{"REQUEST_METHOD=POST", "CONTENT_LENGTH=1", "REQUEST_URI=/deepthought", "SCGI=2"}, exampleHead},
		{"nothing", nil, "25:CONTENT_LENGTH\x0027\x00SCGI\x001\x00,"},
		{"empty value and =, D02", []string{"A=", "B=c=d"}, "34:CONTENT_LENGTH\x0027\x00SCGI\x001\x00A\x00\x00B\x00c=d\x00,"},
	} {
		got, err := scgi.AppendRequest([]byte("x"), test.vars, 27)
		if err != nil || string(got) != "x"+test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "=x", "A", "A=\x00", "A\x00B=1"} {
		if got, err := scgi.AppendRequest(nil, []string{bad}, 0); err == nil {
			t.Errorf("%q: sent as %q", bad, got)
		}
	}
}

func TestReadRequest(t *testing.T) {
	for _, test := range []struct {
		name   string
		reader io.Reader
	}{
		{"at once", strings.NewReader(exampleHead + exampleBody)},
		{"byte by byte", iotest.OneByteReader(strings.NewReader(exampleHead + exampleBody))},
		{"end with the data", iotest.DataErrReader(strings.NewReader(exampleHead + exampleBody))},
	} {
		r := bufio.NewReader(test.reader)
		vars, length, err := scgi.ReadRequest(r, 70)
		if err != nil || length != 27 || !slices.Equal(vars, exampleVars) {
			t.Errorf("%s: %q, %d, %v", test.name, vars, length, err)
		}
		if rest, _ := io.ReadAll(r); string(rest) != exampleBody {
			t.Errorf("%s: %q follows, want the body", test.name, rest)
		}
	}
}

// netstring puts the variables of a request after CONTENT_LENGTH=0 and SCGI=1.
func netstring(more string) string {
	return raw("CONTENT_LENGTH\x000\x00SCGI\x001\x00" + more)
}

func raw(block string) string { return strconv.Itoa(len(block)) + ":" + block + "," }

func TestReadRequestRefuses(t *testing.T) {
	for _, test := range []struct {
		name, text string
		cause      error
	}{
		{"leading zero, D01", "0" + exampleHead, nil},
		{"no digits, D01", ":" + exampleHead, nil},
		{"sign, D01", "+" + exampleHead, nil},
		{"HTTP", "GET / HTTP/1.1\r\n", nil},
		{"zero length", "0:,", nil},
		{"over the limit, D01", "1001:", scgi.ErrTooLong},
		{"over every limit, D01", strings.Repeat("9", 1000) + ":", scgi.ErrTooLong},
		{"no comma, D01", strings.Replace(exampleHead, ",", ".", 1), nil},
		{"shorter than told", strings.Replace(exampleHead, "70:", "69:", 1), nil},
		{"longer than told", strings.Replace(exampleHead, "70:", "71:", 1) + "x", nil},
		{"odd number of strings, D02", netstring("A\x00"), nil},
		{"no final NUL, D02", netstring("A\x00b"), nil},
		{"empty name, D02", netstring("\x00b\x00"), nil},
		{"= in a name", netstring("A=B\x00c\x00"), nil},
		{"length is not first, D03", raw("SCGI\x001\x00CONTENT_LENGTH\x000\x00"), nil},
		{"length is empty, D03", raw("CONTENT_LENGTH\x00\x00SCGI\x001\x00"), nil},
		{"length with a sign, D03", raw("CONTENT_LENGTH\x00+1\x00SCGI\x001\x00"), nil},
		{"length out of range, D03", raw("CONTENT_LENGTH\x009223372036854775808\x00SCGI\x001\x00"), nil},
		{"two lengths, D03", netstring("CONTENT_LENGTH\x000\x00"), nil},
		{"no SCGI, D03", raw("CONTENT_LENGTH\x000\x00"), nil},
		{"other SCGI, D03", raw("CONTENT_LENGTH\x000\x00SCGI\x002\x00"), nil},
		{"two SCGI, D03", netstring("SCGI\x001\x00"), nil},
		{"cut off in the length", "7", io.ErrUnexpectedEOF},
		{"cut off in the block", exampleHead[:40], io.ErrUnexpectedEOF},
		{"cut off before the comma", strings.TrimSuffix(exampleHead, ","), io.ErrUnexpectedEOF},
	} {
		vars, _, err := scgi.ReadRequest(bufio.NewReader(strings.NewReader(test.text)), 1000)
		var fe *scgi.FormatError
		if !errors.As(err, &fe) || fe.Err != test.cause {
			t.Errorf("%s: %q, error %v, want one with cause %v", test.name, vars, err, test.cause)
		}
	}
	if _, _, err := scgi.ReadRequest(bufio.NewReader(strings.NewReader("")), 1000); err != io.EOF {
		t.Errorf("nothing: %v, want %v", err, io.EOF)
	}
	failure := errors.New("failure")
	if _, _, err := scgi.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(exampleHead[:20]), iotest.ErrReader(failure))), 1000); err != failure {
		t.Errorf("failing reader: %v, want %v", err, failure)
	}
}

// A length costs nothing until the bytes come.
func TestReadRequestMemory(t *testing.T) {
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		var source strings.Reader
		r := bufio.NewReader(&source)
		for b.Loop() {
			source.Reset("262144:abc")
			r.Reset(&source)
			if _, _, err := scgi.ReadRequest(r, scgi.DefaultMaxParams); err == nil {
				b.Fatal("no error")
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 8<<10 {
		t.Errorf("%d bytes for a request that did not come, want at most 8 KiB", allocated)
	}
}

// What was read can be sent again, and reads the same. Nothing is read beyond the
// comma, and nothing over the limit.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(exampleHead + exampleBody))
	f.Add([]byte(netstring("A\x00\x00B\x00c=d\x00") + "xyz"))
	f.Add([]byte("0:,"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 4096
		source := bytes.NewReader(data)
		r := bufio.NewReader(source)
		vars, length, err := scgi.ReadRequest(r, limit)
		if err != nil {
			return
		}
		used := len(data) - source.Len() - r.Buffered()
		if used > limit+len("4096:,") || data[used-1] != ',' {
			t.Errorf("%q: %d bytes used", data, used)
		}
		again, err := scgi.AppendRequest(nil, vars, length)
		if err != nil {
			t.Fatalf("%q: %v", vars, err)
		}
		same, n, err := scgi.ReadRequest(bufio.NewReader(bytes.NewReader(again)), limit+64)
		if err != nil || n != length || len(same) != len(vars) {
			t.Fatalf("%q: read again as %q, %d, %v", vars, same, n, err)
		}
		for _, pair := range vars[1:] {
			if !slices.Contains(same, pair) {
				t.Errorf("%q was lost: %q", pair, same)
			}
		}
	})
}
