package cgi

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// strictCorpus is E17's: raw bytes, the responses, and the requests seen by the application.
// The connection must close when the last status is an error, and be kept otherwise.
var strictCorpus = []struct {
	name  string
	raw   string
	codes []int
	seen  []string
}{
	{"plain", strictGood, []int{200}, []string{`GET /good ""`}},
	{"1.0 without Host", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []int{200}, []string{`GET / ""`}},
	{"all tchar in a name", "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09aZ: x\r\n\r\n", []int{200}, []string{`GET / ""`}},
	{"empty value, tab, obs-text", "GET / HTTP/1.1\r\nHost: a\r\nA:\r\nB:\tx\ty \xe9\r\n\r\n", []int{200}, []string{`GET / ""`}},
	{"length", "POST /p HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  005 \t\r\n\r\nhello", []int{200}, []string{`POST /p "hello"`}},
	{"chunked", strictPost + "5\r\nhello\r\n00a;x=y\r\n0123456789\r\n" + strictEnd, []int{200}, []string{`POST /p "hello0123456789"`}},
	{"chunked in capitals", "POST /p HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: \tCHUNKED \r\n\r\n" + strictEnd, []int{200}, []string{`POST /p ""`}},
	{"chunk extensions", strictPost + "1;a;b=c;d=\"e;\\\"\\\\\t \xe9\" \t;\tf = g\r\nx\r\n0;a\r\n\r\n", []int{200}, []string{`POST /p "x"`}},
	{"trailers", strictPost + "1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", []int{200}, []string{`POST /p "x"`}},
	{"one empty line first", "\r\n" + strictGood, []int{200}, []string{`GET /good ""`}},
	{"empty lines between", strictPost + strictEnd + "\r\n\r\n" + strictGood, []int{200, 200}, []string{`POST /p ""`, `GET /good ""`}},
	{"CONNECT is the handler's, E07", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", []int{200}, []string{`CONNECT h:1 ""`}},
	{"TRACE is the handler's, E08", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", []int{200}, []string{`TRACE / ""`}},
	{"names like framing, E13", "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\n\r\n", []int{200}, []string{`GET / ""`}},

	{"E01 1.0 with Transfer-Encoding", "POST /p HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E02 1.0 with both", "POST /p HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E03 both", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E03 both, other order", "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E03 both, length 0", "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + strictEnd + strictSmug, []int{400}, nil},
	{"E04 obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", []int{400}, nil},
	{"E04 folded Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"E04 space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", []int{400}, nil},
	{"E05 LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", []int{400}, nil},
	{"E05 LF behind a field", "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", []int{400}, nil},
	{"E05 LF LF", "GET / HTTP/1.1\r\nHost: a\r\n\n" + strictSmug, []int{400}, nil},
	{"E05 LF before the request line", "\n" + strictGood, []int{400}, nil},
	{"bare CR behind the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", []int{400}, nil},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n", []int{400}, nil},
	{"bare CR before the end", "GET / HTTP/1.1\r\nHost: a\r\n\rx\n", []int{400}, nil},
	{"bare CR before the request line", "\r" + strictGood, []int{400}, nil},
	{"three empty lines first", "\r\n\r\n\r\n" + strictGood, []int{400}, nil},
	{"E09 preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400}, nil},
	{"PRI in HTTP/1.1 is a method", "PRI /x HTTP/1.1\r\nHost: a\r\n\r\n", []int{200}, []string{`PRI /x ""`}},
	{"E66 simple request", "GET /\r\n", []int{400}, nil},
	{"E66 version 0.9", "GET / HTTP/0.9\r\n\r\n", []int{505}, nil},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", []int{505}, nil},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", []int{505}, nil},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", []int{400}, nil},
	{"no version", "GET / \r\nHost: a\r\n\r\n", []int{400}, nil},
	{"two spaces behind the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"method not a token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target not ASCII", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target with NUL", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target with DEL", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"target in two words", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}, nil},
	{"E10 no Host", "GET / HTTP/1.1\r\n\r\n", []int{400}, nil},
	{"E10 empty Host", "GET / HTTP/1.1\r\nHost: \t \r\n\r\n", []int{400}, nil},
	{"E10 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", []int{400}, nil},
	{"E10 two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", []int{400}, nil},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", []int{400}, nil},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n", []int{400}, nil},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", []int{400}, nil},
	{"name not a token", "GET / HTTP/1.1\r\nHost: a\r\nA\xe9: b\r\n\r\n", []int{400}, nil},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n", []int{400}, nil},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: b\x7f\r\n\r\n", []int{400}, nil},
	{"E14 two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", []int{400}, nil},
	{"E14 list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", []int{400}, nil},
	{"E14 signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", []int{400}, nil},
	{"E14 negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", []int{400}, nil},
	{"E14 hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", []int{400}, nil},
	{"E14 empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", []int{400}, nil},
	{"E14 2^63", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nhello", []int{400}, nil},
	{"E14 2^64+5", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", []int{400}, nil},
	{"E14 more zeros than are kept", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strings.Repeat("0", 64) + "5\r\n\r\nhello", []int{400}, nil},
	{"coding unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", []int{400}, nil},
	{"coding empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding in two lines", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding not last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with a comma", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"E14 length with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\nhello", []int{400}, nil},
	{"coding behind a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n" + strictEnd, []int{400}, nil},
	{"coding with too much behind", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked" + strings.Repeat(" ", 60) + "x\r\n\r\n", []int{400}, nil},
	{"coding known to others", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + strictEnd, []int{501}, nil},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", []int{400}, nil},

	{"good good bad", strictGood + strictPost + "2\r\nhi\r\n" + strictEnd + "GET / HTTP/1.1\nHost: a\r\n\r\n" + strictSmug, []int{200, 200, 400}, []string{`GET /good ""`, `POST /p "hi"`}},
	{"good, then bad at its first byte", strictGood + "\x00" + strictSmug, []int{200, 400}, []string{`GET /good ""`}},
	{"good, then bad at its end", strictGood + "GET / HTTP/1.1\r\n\r\n" + strictSmug, []int{200, 400}, []string{`GET /good ""`}},
	{"body longer than its length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi{}" + strictSmug, []int{200, 400}, []string{`POST /p "hi"`}},

	{"E12 bare semicolon", strictPost + "2;\r\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 control in an extension", strictPost + "2;a\x01\r\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 LF in a quoted extension", strictPost + "2;a=\"\n\"\r\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 LF behind an extension", strictPost + "2;a\nhi\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"E12 no value", strictPost + "2;a=\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"E12 open quote", strictPost + "2;a=\"b\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"E12 space behind an extension", strictPost + "2;a \r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"space behind a size", strictPost + "2 \r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"space before a size", strictPost + " 2\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"size with 0x", strictPost + "0x2\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"signed size", strictPost + "+2\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"no size", strictPost + "\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"size of 17 digits", strictPost + "00000000000000002\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"size of 2^63", strictPost + "8000000000000000\r\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"LF behind a size", strictPost + "2\nhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"CR behind a size", strictPost + "2\rhi\r\n" + strictEnd, []int{400}, []string{`POST /p "" broken`}},
	{"LF behind data", strictPost + "2\r\nhi\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "hi" broken`}},
	{"CR behind data", strictPost + "2\r\nhi\r" + strictEnd + strictSmug, []int{400}, []string{`POST /p "hi" broken`}},
	{"data too long", strictPost + "2\r\nhi!\r\n" + strictEnd + strictSmug, []int{400}, []string{`POST /p "hi" broken`}},
	{"LF in the last chunk", strictPost + "0\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"LF as the end", strictPost + "0\r\n\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer folded", strictPost + "0\r\nA: b\r\n c\r\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer with LF", strictPost + "0\r\nA: b\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer no field", strictPost + "0\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer Content-Length", strictPost + "0\r\nContent-Length: 5\r\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"trailer Transfer-Encoding", strictPost + "0\r\ntransfer-encoding: chunked\r\n\r\n" + strictSmug, []int{400}, []string{`POST /p "" broken`}},
	{"good, then a body broken", strictGood + strictPost + "2;\r\nhi\r\n" + strictSmug, []int{200, 400}, []string{`GET /good ""`, `POST /p "" broken`}},
}

func TestStrictCorpus(t *testing.T) {
	for mode, pieces := range map[string]func(net.Conn) net.Conn{
		"whole": nil,
		"bytes": func(c net.Conn) net.Conn { return strictOneByte{c.(*net.TCPConn)} },
	} {
		for _, test := range strictCorpus {
			t.Run(mode+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				s := strictStart(t, StrictLimits{}, pieces, nil)
				keep, seen := 0, test.seen
				if last := test.codes[len(test.codes)-1]; last < 400 {
					keep = len(test.codes)
					seen = append(slices.Clone(seen), `GET /probe ""`)
				}
				codes := strictExchange(t, s.dial(t), test.raw, keep)
				if !slices.Equal(codes, test.codes) {
					t.Errorf("got status %v, want %v for %q", codes, test.codes, test.raw)
				}
				if got := s.requests(); !slices.Equal(got, seen) {
					t.Errorf("the application saw %q, want %q for %q", got, seen, test.raw)
				}
				if s.log.Len() > 0 {
					t.Errorf("net/http logged %q", s.log.String())
				}
			})
		}
	}
}

func TestStrictLimits(t *testing.T) {
	limits := StrictLimits{RequestLine: 30, Header: 40, Fields: 3, ChunkExtension: 10, Trailer: 20}
	const line, host = "GET / HTTP/1.1\r\n", "Host: a\r\n" // 7 bytes of field
	target := func(n int) string { return "GET /" + strings.Repeat("x", n-1) + " HTTP/1.1\r\n" + host + "\r\n" }
	filler := func(n int) string { return "A: " + strings.Repeat("x", n-3) + "\r\n" }
	tests := []struct {
		name   string
		limits StrictLimits
		raw    string
		codes  []int
		kept   bool
	}{
		{"E30 longest line", limits, target(17), []int{200}, true},
		{"E30 line", limits, target(18), []int{414}, false},
		{"E30 method", limits, strings.Repeat("M", 31), []int{414}, false},
		{"E30 largest header", limits, line + host + filler(33) + "\r\n", []int{200}, true},
		{"E30 header", limits, line + host + filler(34) + "\r\n", []int{431}, false},
		{"E30 header, in a name", limits, line + strings.Repeat("N", 41), []int{431}, false},
		{"E30 most fields", limits, line + host + "A: b\r\nA: b\r\n\r\n", []int{200}, true},
		{"E30 fields", limits, line + host + "A: b\r\nA: b\r\nA: b\r\n\r\n", []int{431}, false},
		{"E30 longest extensions", limits, strictPostShort + "1;abcd\r\nx\r\n0;abcd\r\n\r\n", []int{200}, true},
		{"E30 extensions", limits, strictPostShort + "1;abcd\r\nx\r\n0;abcde\r\n\r\n", []int{400}, false},
		{"E30 longest trailer", limits, strictPostShort + "0\r\n" + filler(20) + "\r\n", []int{200}, true},
		{"E30 trailer", limits, strictPostShort + "0\r\n" + filler(21) + "\r\n", []int{400}, false},
		{"E30 trailer fields", limits, strictPostShort + "0\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", []int{400}, false},
		{"E30 trailer fields are counted by themselves", limits, strictPostShort + "0\r\nA:\r\nA:\r\n\r\n", []int{200}, true},
		{"E30 default line", StrictLimits{}, target(8<<10 - 13), []int{200}, true},
		{"E30 default line exceeded", StrictLimits{}, target(8<<10 - 12), []int{414}, false},
		{"E30 default header", StrictLimits{}, line + host + filler(32<<10-7) + "\r\n", []int{200}, true},
		{"E30 default header exceeded", StrictLimits{}, line + host + filler(32<<10-6) + "\r\n", []int{431}, false},
		{"E30 default fields", StrictLimits{}, line + host + strings.Repeat("A: b\r\n", 99) + "\r\n", []int{200}, true},
		{"E30 default fields exceeded", StrictLimits{}, line + host + strings.Repeat("A: b\r\n", 100) + "\r\n", []int{431}, false},
		{"E30 default extensions", StrictLimits{}, strictPost + strings.Repeat("1;"+strings.Repeat("a", 1023)+"\r\nx\r\n", 4) + strictEnd, []int{200}, true},
		{"E30 default extensions exceeded", StrictLimits{}, strictPost + strings.Repeat("1;"+strings.Repeat("a", 1023)+"\r\nx\r\n", 4) + "0;a\r\n\r\n", []int{400}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := strictStart(t, test.limits, nil, nil)
			keep := 0
			if test.kept {
				keep = len(test.codes)
			}
			if codes := strictExchange(t, s.dial(t), test.raw, keep); !slices.Equal(codes, test.codes) {
				t.Errorf("got status %v, want %v for %.200q", codes, test.codes, test.raw)
			}
		})
	}
}

const strictPostShort = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" // 33 bytes of fields

// TestStrictTrailerStatus holds the part of E30 that an application does not see.
func TestStrictTrailerStatus(t *testing.T) {
	got := strictFeed(strictPost+"0\r\nA: "+strings.Repeat("x", 4<<10)+"\r\n\r\n", StrictLimits{}, nil)
	if got.fault == nil || got.fault.Status != 431 {
		t.Errorf("got %v for a trailer above 4 KiB, want status 431", got.fault)
	}
}
