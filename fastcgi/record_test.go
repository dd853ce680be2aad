package fastcgi_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gatehouse/fastcgi"
)

func TestAppendRecords(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 70000)
	tests := []struct {
		name      string
		got, want []byte
	}{
		{"begin, kept", fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, true),
			[]byte("\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00")},
		{"begin, not kept", fastcgi.AppendBeginRequest(nil, 0x1234, fastcgi.RoleFilter, false),
			[]byte("\x01\x01\x12\x34\x00\x08\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00")},
		{"abort", fastcgi.AppendAbortRequest(nil, 65535), []byte("\x01\x02\xff\xff\x00\x00\x00\x00")},
		{"end", fastcgi.AppendEndRequest(nil, 2, 0x01020304, fastcgi.StatusOverloaded),
			[]byte("\x01\x03\x00\x02\x00\x08\x00\x00\x01\x02\x03\x04\x02\x00\x00\x00")},
		{"params", fastcgi.AppendParams(nil, 1, []string{"A=b", "LONG=", "E=x=y"}),
			[]byte("\x01\x04\x00\x01\x00\x10\x00\x00" + "\x01\x01Ab" + "\x04\x00LONG" + "\x01\x03Ex=y" +
				"\x01\x04\x00\x01\x00\x00\x00\x00")},
		{"no params", fastcgi.AppendParams(nil, 1, nil), []byte("\x01\x04\x00\x01\x00\x00\x00\x00")},
		{"stdin, padded", fastcgi.AppendRecord(nil, fastcgi.TypeStdin, 1, []byte("abc")),
			[]byte("\x01\x05\x00\x01\x00\x03\x05\x00abc\x00\x00\x00\x00\x00")},
		{"stdout, appended", fastcgi.AppendRecord([]byte("before"), fastcgi.TypeStdout, 1, []byte("12345678")),
			[]byte("before\x01\x06\x00\x01\x00\x08\x00\x0012345678")},
		{"stderr", fastcgi.AppendStream(nil, fastcgi.TypeStderr, 1, []byte("no")),
			[]byte("\x01\x07\x00\x01\x00\x02\x06\x00no\x00\x00\x00\x00\x00\x00")},
		{"data, in two records", fastcgi.AppendStream(nil, fastcgi.TypeData, 1, long),
			[]byte("\x01\x08\x00\x01\xff\xf8\x00\x00" + string(long[:65528]) + "\x01\x08\x00\x01\x11\x78\x00\x00" + string(long[:4472]))},
		{"an empty stream", fastcgi.AppendStream(nil, fastcgi.TypeStdin, 1, nil), nil},
		{"the end of a stream", fastcgi.AppendStreamEnd(nil, fastcgi.TypeStdin, 1), []byte("\x01\x05\x00\x01\x00\x00\x00\x00")},
		{"get values", fastcgi.AppendGetValues(nil, fastcgi.MaxConns, fastcgi.MaxReqs),
			[]byte("\x01\x09\x00\x00\x00\x1f\x01\x00" + "\x0e\x00FCGI_MAX_CONNS" + "\x0d\x00FCGI_MAX_REQS" + "\x00")},
		{"get values result", fastcgi.AppendGetValuesResult(nil, []string{"FCGI_MPXS_CONNS=1"}),
			[]byte("\x01\x0a\x00\x00\x00\x12\x06\x00" + "\x0f\x01FCGI_MPXS_CONNS1" + "\x00\x00\x00\x00\x00\x00")},
		{"unknown type", fastcgi.AppendUnknownType(nil, 99),
			[]byte("\x01\x0b\x00\x00\x00\x08\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00")},
	}
	for _, tt := range tests { // B01, B02, B05, B10, B12
		t.Run(tt.name, func(t *testing.T) {
			if !bytes.Equal(tt.got, tt.want) {
				t.Errorf("got  %q\nwant %q", tt.got, tt.want)
			}
		})
	}
}

func TestParseHeader(t *testing.T) {
	tests := []struct {
		name, in string
		want     fastcgi.Header
		err      string
	}{
		{"stdin", "\x01\x05\x01\x02\xff\xff\xff\x00", fastcgi.Header{Type: fastcgi.TypeStdin, ID: 258, ContentLength: 65535, PaddingLength: 255}, ""},
		{"reserved byte", "\x01\x05\x00\x01\x00\x00\x00\xff", fastcgi.Header{Type: fastcgi.TypeStdin, ID: 1}, ""},
		{"get values", "\x01\x09\x00\x00\x00\x00\x00\x00", fastcgi.Header{Type: fastcgi.TypeGetValues}, ""},
		{"unknown management type", "\x01\x0c\x00\x00\x00\x01\x00\x00", fastcgi.Header{Type: 12, ContentLength: 1}, ""},
		{"unknown application type", "\x01\x00\x00\x01\x00\x01\x00\x00", fastcgi.Header{ID: 1, ContentLength: 1}, ""},
		{"version 0", "\x00\x05\x00\x01\x00\x00\x00\x00", fastcgi.Header{}, "fastcgi: record of version 0 instead of 1"},
		{"version 2", "\x02\x05\x00\x01\x00\x00\x00\x00", fastcgi.Header{}, "fastcgi: record of version 2 instead of 1"},
		{"stdin with id 0", "\x01\x05\x00\x00\x00\x00\x00\x00", fastcgi.Header{}, "fastcgi: STDIN record with request id 0"},
		{"begin with id 0", "\x01\x01\x00\x00\x00\x08\x00\x00", fastcgi.Header{}, "fastcgi: BEGIN_REQUEST record with request id 0"},
		{"get values with an id", "\x01\x09\x00\x07\x00\x00\x00\x00", fastcgi.Header{}, "fastcgi: GET_VALUES record with request id 7"},
		{"short", "\x01\x09\x00", fastcgi.Header{}, "fastcgi: record header of 3 bytes instead of 8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := fastcgi.ParseHeader([]byte(tt.in))
			var pe *fastcgi.ProtocolError
			if got != tt.want || tt.err != "" && (!errors.As(err, &pe) || err.Error() != tt.err) || tt.err == "" && err != nil {
				t.Errorf("%q: got %+v, %v; want %+v, %q", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseBodies(t *testing.T) {
	role, keep, err := fastcgi.ParseBeginRequest([]byte("\x00\x02\xff\x00\x00\x00\x00\x09"))
	if role != fastcgi.RoleAuthorizer || !keep || err != nil {
		t.Errorf("begin: %v %v %v", role, keep, err)
	}
	if _, keep, _ = fastcgi.ParseBeginRequest([]byte("\x00\x02\xfe\x00\x00\x00\x00\x00")); keep {
		t.Error("begin: kept without the flag")
	}
	app, status, err := fastcgi.ParseEndRequest([]byte("\xff\xff\xff\xfe\x03\x00\x00\x00"))
	if app != 0xfffffffe || status != fastcgi.StatusUnknownRole || err != nil {
		t.Errorf("end: %d %v %v", app, status, err)
	}
	for _, n := range []int{0, 7, 9} { // B60
		if _, _, err := fastcgi.ParseBeginRequest(make([]byte, n)); err == nil {
			t.Errorf("begin of %d bytes is accepted", n)
		}
		if _, _, err := fastcgi.ParseEndRequest(make([]byte, n)); err == nil {
			t.Errorf("end of %d bytes is accepted", n)
		}
	}
}

// A length that does not fit its field panics and is never cut (B04).
func TestAppendNeverCutsLengths(t *testing.T) {
	tests := []struct {
		name string
		f    func()
	}{
		{"65529 bytes", func() { fastcgi.AppendRecord(nil, fastcgi.TypeStdin, 1, make([]byte, 65529)) }},
		{"65536 bytes", func() { fastcgi.AppendRecord(nil, fastcgi.TypeStdin, 1, make([]byte, 65536)) }},
		{"a header for 65536", func() { fastcgi.AppendRecordHeader(nil, fastcgi.TypeStdin, 1, 65536, 0) }},
		{"a header for -1", func() { fastcgi.AppendRecordHeader(nil, fastcgi.TypeStdin, 1, -1, 0) }},
		{"padding of 256", func() { fastcgi.AppendRecordHeader(nil, fastcgi.TypeStdin, 1, 0, 256) }},
		{"values of 70000", func() { fastcgi.AppendGetValues(nil, strings.Repeat("n", 70000)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			tt.f()
		})
	}
	for _, n := range []int{65527, 65528, 65529, 65535, 65536, 131056, 131070, 200000} {
		content := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		var got []byte
		stream := fastcgi.AppendStream(nil, fastcgi.TypeStdin, 1, content)
		for len(stream) > 0 {
			h, err := fastcgi.ParseHeader(stream)
			if err != nil || h.ContentLength+h.PaddingLength > 65528 || (h.ContentLength+h.PaddingLength)%8 != 0 {
				t.Fatalf("%d bytes: header %+v, %v", n, h, err)
			}
			got = append(got, stream[8:8+h.ContentLength]...)
			stream = stream[8+h.ContentLength+h.PaddingLength:]
		}
		if !bytes.Equal(got, content) {
			t.Errorf("%d bytes did not come back", n)
		}
	}
}

func TestStrings(t *testing.T) {
	got := fmt.Sprint(fastcgi.TypeBeginRequest, fastcgi.TypeUnknownType, fastcgi.Type(0), fastcgi.Type(12),
		fastcgi.RoleAuthorizer, fastcgi.Role(0), fastcgi.Role(9), fastcgi.StatusCantMpxConn, fastcgi.ProtocolStatus(4))
	want := "BEGIN_REQUEST UNKNOWN_TYPE type 0 type 12 AUTHORIZER role 0 role 9 CANT_MPX_CONN status 4"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	content := make([]byte, 1000)
	buf := make([]byte, 0, 2000)
	b.ReportAllocs()
	for b.Loop() {
		buf = fastcgi.AppendRecord(buf[:0], fastcgi.TypeStdout, 1, content)
	}
}
