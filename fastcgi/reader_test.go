package fastcgi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"gatehouse/fastcgi"
)

// records writes down what a Reader gives; contents are read through slices of that size.
func records(src io.Reader, size int) string {
	var b strings.Builder
	r := fastcgi.NewReader(src)
	buf := make([]byte, size)
	for {
		h, err := r.Next()
		if err != nil {
			fmt.Fprintf(&b, "%v", err)
			return b.String()
		}
		fmt.Fprintf(&b, "%v %d %d+%d ", h.Type, h.ID, h.ContentLength, h.PaddingLength)
		if h.ID%2 == 0 && h.ContentLength > 100 { // not read to its end: Next skips
			n, err := r.Read(buf[:min(size, 5)])
			if n == 0 || err != nil {
				fmt.Fprintf(&b, "%v\n", err)
				continue
			}
			fmt.Fprintf(&b, "%q…\n", buf[:1])
			continue
		}
		var content []byte
		for {
			n, err := r.Read(buf)
			content = append(content, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				fmt.Fprintf(&b, "%v ", err)
				break
			}
		}
		if err := checksum(content); len(content) > 100 {
			fmt.Fprintf(&b, "%x\n", err)
		} else {
			fmt.Fprintf(&b, "%q\n", content)
		}
	}
}

func checksum(b []byte) (sum uint32) {
	for _, c := range b {
		sum = sum*31 + uint32(c)
	}
	return sum
}

func TestReader(t *testing.T) {
	padded := "\x01\x05\x00\x01\x00\x02\xff\x00ab" + strings.Repeat("p", 255)
	tests := []struct{ name, in, want string }{
		{"nothing", "", "EOF"},
		{"an empty record", "\x01\x05\x00\x01\x00\x00\x00\x00", "STDIN 1 0+0 \"\"\nEOF"},
		{"padding of 255", padded + padded, "STDIN 1 2+255 \"ab\"\nSTDIN 1 2+255 \"ab\"\nEOF"},
		{"padding of an empty record", "\x01\x05\x00\x01\x00\x00\x03\x00xyz\x01\x05\x00\x01\x00\x00\x00\x00", // B05
			"STDIN 1 0+3 \"\"\nSTDIN 1 0+0 \"\"\nEOF"},
		{"cut in the header", "\x01\x05\x00", "unexpected EOF"},
		{"cut before the content", "\x01\x05\x00\x01\x00\x02\x00\x00", "STDIN 1 2+0 unexpected EOF \"\"\nunexpected EOF"},
		{"cut in the content", "\x01\x05\x00\x01\x00\x02\x00\x00a", "STDIN 1 2+0 unexpected EOF \"a\"\nunexpected EOF"},
		{"cut in the padding", padded[:100], "STDIN 1 2+255 \"ab\"\nunexpected EOF"},
		{"wrong version", padded + "\x03\x05\x00\x01\x00\x00\x00\x00", "STDIN 1 2+255 \"ab\"\nfastcgi: record of version 3 instead of 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := records(strings.NewReader(tt.in), 50); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if got := records(iotest.OneByteReader(strings.NewReader(tt.in)), 1); got != tt.want {
				t.Errorf("byte by byte: got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// The longest record with the longest padding does not end before it does (B03).
func TestReaderLongestRecord(t *testing.T) {
	one := "\x01\x05\x00\x01\xff\xff\xff\x00" + strings.Repeat("\x01", 65535+255)
	want := fmt.Sprintf("STDIN 1 65535+255 %x\n", checksum([]byte(strings.Repeat("\x01", 65535))))
	for _, size := range []int{10, 8192, 1 << 20} {
		if got := records(strings.NewReader(one+one), size); got != want+want+"EOF" {
			t.Errorf("slices of %d: got %q", size, got)
		}
	}
}

// interrupted fails every second Read with a time-out, as a connection with a deadline.
type interrupted struct {
	src io.Reader
	n   int
}

func (r *interrupted) Read(p []byte) (int, error) {
	if r.n++; r.n%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return r.src.Read(p[:min(len(p), 3)])
}

func TestReaderContinuesAfterDeadline(t *testing.T) {
	in := fastcgi.AppendRecord(nil, fastcgi.TypeStdin, 1, []byte("hello, world"))
	in = fastcgi.AppendRecord(in, fastcgi.TypeStdin, 1, []byte("again"))
	r := fastcgi.NewReader(&interrupted{src: bytes.NewReader(in)})
	var got []byte
	var p [20]byte
	timeouts := 0
	next := true // or Read
	for range 100 {
		var n int
		var err error
		if next {
			_, err = r.Next()
		} else {
			n, err = r.Read(p[:])
			got = append(got, p[:n]...)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			timeouts++
		case next && err == io.EOF:
			if string(got) != "hello, worldagain" || timeouts < 10 {
				t.Errorf("got %q with %d interruptions", got, timeouts)
			}
			return
		case next:
			next = false
		case err == io.EOF:
			next = true
		}
	}
	t.Fatalf("no end; got %q", got)
}

// FuzzReader: the result does not depend on how the bytes are cut or read.
func FuzzReader(f *testing.F) {
	all := fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, true)
	all = fastcgi.AppendParams(all, 1, []string{"A=b", "LONG=" + strings.Repeat("x", 300)})
	all = fastcgi.AppendStream(all, fastcgi.TypeStdin, 2, bytes.Repeat([]byte("body"), 5000))
	all = fastcgi.AppendEndRequest(all, 1, 0, fastcgi.StatusRequestComplete)
	f.Add(all, 7)
	f.Add([]byte("\x01\x05\x00\x01\x00\x02\xff\x00ab"), 1)
	f.Add([]byte("\x02"), 3)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		want := records(bytes.NewReader(in), 1<<17)
		if len(in) < 4096 {
			if got := records(iotest.OneByteReader(bytes.NewReader(in)), 64); got != want {
				t.Fatalf("byte by byte: %q, want %q", got, want)
			}
		}
		step = 1 + (step&0xffff)%20000
		if got := records(&stepReader{in, step}, 9000); got != want {
			t.Fatalf("in steps of %d: %q, want %q", step, got, want)
		}
	})
}

type stepReader struct {
	b    []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), r.step)], r.b)
	r.b = r.b[n:]
	if len(r.b) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// endless repeats its bytes for ever.
type endless struct {
	b []byte
	n int
}

func (r *endless) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		c := copy(p[n:], r.b[r.n:])
		n += c
		if r.n += c; r.n == len(r.b) {
			r.n = 0
		}
	}
	return len(p), nil
}

// A stream of any length is read without allocation, so memory is bounded.
func TestReaderAllocations(t *testing.T) {
	r := fastcgi.NewReader(&endless{b: fastcgi.AppendRecord(nil, fastcgi.TypeStdin, 1, make([]byte, 3000))})
	var p [4096]byte
	n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(p[:]); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for each record", n)
	}
}

func BenchmarkReader(b *testing.B) {
	one := fastcgi.AppendRecord(nil, fastcgi.TypeStdin, 1, make([]byte, 1000))
	r := fastcgi.NewReader(&endless{b: one})
	var p [4096]byte
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := r.Read(p[:]); err != nil {
				break
			}
		}
	}
}
