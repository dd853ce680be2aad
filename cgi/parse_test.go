package cgi_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"gatehouse/cgi"
)

// parsed is what is compared of a result: all of a response, or kind and reason.
type parsed struct {
	Status  int
	Reason  string
	Header  cgi.Header
	Length  int64
	Body    string
	Local   string
	Interim string
	BodyErr string

	Kind  cgi.Kind
	Error string
}

func parse(r io.Reader, limits cgi.ParseLimits, takesInterim bool) parsed {
	var p parsed
	var interim func(int, cgi.Header)
	if takesInterim {
		interim = func(status int, h cgi.Header) { p.Interim += fmt.Sprintf("%d%v;", status, h) }
	}
	resp, err := cgi.ReadResponse(r, limits, interim)
	if err != nil {
		e := cgi.AsError(err)
		p.Kind, p.Error = e.Kind, e.Reason
		return p
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.BodyErr = err.Error()
	}
	p.Status, p.Reason, p.Length, p.Body, p.Local = resp.Status, resp.Reason, resp.ContentLength, string(body), resp.LocalRedirect()
	if len(resp.Header) > 0 {
		p.Header = resp.Header
	}
	return p
}

// parts reads text in two parts, cut at n.
func parts(text string, n int) io.Reader {
	return io.MultiReader(strings.NewReader(text[:n]), strings.NewReader(text[n:]))
}

// ct is the shortest good field.
const ct = "Content-Type: a/b\n"

var ctHeader = cgi.Header{{"Content-Type", "a/b"}}

func ok(status int, body string) parsed {
	return parsed{Status: status, Header: ctHeader, Length: -1, Body: body}
}

func bad(reason string) parsed { return parsed{Kind: cgi.BadOutput, Error: reason} }

func with(p parsed, set func(p *parsed)) parsed { set(&p); return p }

func fields(p parsed, more ...cgi.Field) parsed {
	p.Header = append(append(cgi.Header{}, ctHeader...), more...)
	return p
}

var parseRows = []struct {
	name, text string
	want       parsed // Error: a part of the reason
}{
	{"A65 LF", "Content-Type: a/b\n\nbody", ok(200, "body")},
	{"A65 CR LF", "Content-Type: a/b\r\n\r\nbody", ok(200, "body")},
	{"A65 LF then CR LF", "Content-Type: a/b\n\r\nbody", ok(200, "body")},
	{"A65 CR LF then LF", "Content-Type: a/b\r\n\nbody", ok(200, "body")},
	{"A65 body keeps its line ends", "Content-Type: a/b\n\n\r\n\nx", ok(200, "\r\n\nx")},
	{"A65 no body", "Content-Type: a/b\n\n", ok(200, "")},

	{"A66 CR in a value", "Content-Type: a/b\rX: y\n\n", bad("control character 0x0d in the value of Content-Type")},
	{"A66 two CR at the end", "Content-Type: a/b\r\r\n\n", bad("control character 0x0d")},
	{"A66 NUL", "Content-Type: a\x00b\n\n", bad("control character 0x00")},
	{"A66 ESC", "X: \x1b[1m\nContent-Type: a/b\n\n", bad("control character 0x1b in the value of X")},
	{"A66 DEL", "X: \x7f\nContent-Type: a/b\n\n", bad("control character 0x7f")},
	{"A66 tab and obs-text", ct + "X: a\tb\xe9\n\n", fields(ok(200, ""), cgi.Field{"X", "a\tb\xe9"})},
	{"A67 continued by a space", "Content-Type: a/b\n c\n\n", bad("CGI has no continuation lines")},
	{"A67 continued by a tab", "Content-Type: a/b\n\tc: d\n\n", bad("CGI has no continuation lines")},
	{"A68 no colon", "hello\n\n", bad(`a line without a colon ("hello")`)},
	{"A68 no colon behind a good field", ct + "Hello, world\n\n", bad(`a line without a colon ("Hello, world")`)},
	{"A68 at most 30 bytes are told", strings.Repeat("h", 40) + "\n\n", bad(`("` + strings.Repeat("h", 30) + `…")`)},
	{"A69 space before the colon", "Content-Type : a/b\n\n", bad(`"Content-Type " is not a field name`)},
	{"A69 space in the name", "Content Type: a/b\n\n", bad(`"Content Type" is not a field name`)},
	{"A69 empty name", ": a/b\n\n", bad(`"" is not a field name`)},
	{"A69 name beyond ASCII", "X-\xe9: a\n\n", bad("is not a field name")},
	{"status line of HTTP", "HTTP/1.1 200 OK\nContent-Type: a/b\n\n", bad(`whose name must begin with "nph-"`)},

	{"A70 empty field", ct + "X:\nY:  \t \n\n", ok(200, "")},
	{"A70 empty Status", "Status:\n" + ct + "\n", ok(200, "")},
	{"A70 nothing but empty fields", "Content-Type:\n\n", bad("neither Content-Type, nor Location, nor Status")},
	{"A71 names in any case", "sTATUS: 404\ncONTENT-TYPE: a/b\ncontent-length: 2\n\nok",
		parsed{Status: 404, Header: cgi.Header{{"cONTENT-TYPE", "a/b"}}, Length: 2, Body: "ok"}},
	{"A72 the same twice", "Status: 404\nStatus: 404\n" + ct + ct + "\n", ok(404, "")},
	{"A72 two Content-Type", ct + "Content-Type: c/d\n\n", bad(`two different Content-Type fields, "a/b" and "c/d"`)},
	{"A72 two Status", "Status: 200\nstatus: 404\n" + ct + "\n", bad(`two different Status fields, "200" and "404"`)},
	{"A72 two Location", "Location: http://a/\nLocation: http://b/\n\n", bad("two different Location fields")},
	{"A73 order and number", ct + "Set-Cookie: a=1\nX: 1\nSet-Cookie: b=2\nset-cookie: a=1\n\n",
		fields(ok(200, ""), cgi.Field{"Set-Cookie", "a=1"}, cgi.Field{"X", "1"}, cgi.Field{"Set-Cookie", "b=2"}, cgi.Field{"set-cookie", "a=1"})},

	{"A75 reason", "Status: 404 Not  Here\n" + ct + "\n", with(ok(404, ""), func(p *parsed) { p.Reason = "Not  Here" })},
	{"A75 two digits", "Status: 30\n" + ct + "\n", bad(`bad Status "30"`)},
	{"A75 four digits", "Status: 2000\n" + ct + "\n", bad(`bad Status "2000"`)},
	{"A75 letters", "Status: OK\n" + ct + "\n", bad(`bad Status "OK"`)},
	{"A75 sign", "Status: +20\n" + ct + "\n", bad(`bad Status "+20"`)},
	{"A75 glued reason", "Status: 200OK\n" + ct + "\n", bad(`bad Status "200OK"`)},
	{"A75 tab before the reason", "Status: 200\tOK\n" + ct + "\n", bad("bad Status")},
	{"A75 lowest", "Status: 200\n" + ct + "\n", ok(200, "")},
	{"A75 highest", "Status: 599\n" + ct + "\n", ok(599, "")},
	{"A75 above", "Status: 600\n" + ct + "\n", bad(`bad Status "600"`)},
	{"A75 below", "Status: 099\n" + ct + "\n", bad(`bad Status "099"`)},
	{"A75 101", "Status: 101\n" + ct + "\n", bad(`bad Status "101"`)},
	{"A77 Location alone", "Location: http://a/b\n\n", parsed{Status: 302, Header: cgi.Header{{"Location", "http://a/b"}}, Length: -1}},
	{"A78 nothing at all", "\nbody", bad("neither Content-Type, nor Location, nor Status")},
	{"A78 another field alone", "X: y\n\n", bad("neither Content-Type, nor Location, nor Status")},
	{"A78 Status alone", "Status: 200\n\nx", parsed{Status: 200, Length: -1, Body: "x"}},
	{"A79 length", ct + "Content-Length: 004\n\nbody", with(ok(200, "body"), func(p *parsed) { p.Length = 4 })},
	{"A79 signed", ct + "Content-Length: +4\n\nbody", bad(`bad Content-Length "+4"`)},
	{"A79 negative", ct + "Content-Length: -4\n\nbody", bad("bad Content-Length")},
	{"A79 list", ct + "Content-Length: 4, 4\n\nbody", bad("bad Content-Length")},
	{"A79 hexadecimal", ct + "Content-Length: 0x4\n\nbody", bad("bad Content-Length")},
	{"A79 too large", ct + "Content-Length: 99999999999999999999\n\nbody", bad("bad Content-Length")},
	{"A79 two the same", ct + "Content-Length: 4\nContent-Length: 4\n\nbody", with(ok(200, "body"), func(p *parsed) { p.Length = 4 })},
	{"A79 two different", ct + "Content-Length: 4\nContent-Length: 5\n\nbody", bad("two different Content-Length fields")},
	{"A80 more than declared", ct + "Content-Length: 4\n\nbody, and more", with(ok(200, "body"), func(p *parsed) { p.Length = 4 })},
	{"A80 less than declared", ct + "Content-Length: 9\n\nbody", with(ok(200, "body"), func(p *parsed) {
		p.Length, p.BodyErr = 9, "cgi: its output ends 5 bytes before the Content-Length that it declared"
	})},
	{"A80 none declared", ct + "Content-Length: 0\n\nbody", with(ok(200, ""), func(p *parsed) { p.Length = 0 })},
	{"A81 Transfer-Encoding", ct + "Transfer-Encoding: chunked\n\n0\r\n\r\n", bad("a Transfer-Encoding field")},
	{"A82 hop by hop", ct + "Connection: X\nKeep-Alive: 1\nProxy-Connection: close\nTE: x\nTrailer: x\nupgrade: x\nHTTP2-Settings: x\nX: y\n\n",
		fields(ok(200, ""), cgi.Field{"X", "y"})},
	{"A84 X-CGI", ct + "X-CGI-Thing: 1\nx-cgi-other: 2\n\n", ok(200, "")},
	{"A86 interim not enabled", "Status: 103\nLink: </a>\n\n" + ct + "\n", bad("status 103 before the response is not enabled here")},

	{"A89 local redirect", "Location: /a/b?c=d\n\n", parsed{Status: 302, Header: cgi.Header{{"Location", "/a/b?c=d"}}, Length: -1, Local: "/a/b?c=d"}},
	{"A90 with a Status", "Status: 302\nLocation: /a\n\n", parsed{Status: 302, Header: cgi.Header{{"Location", "/a"}}, Length: -1}},
	{"A90 with another field", "Location: /a\nX: y\n\n", parsed{Status: 302, Header: cgi.Header{{"Location", "/a"}, {"X", "y"}}, Length: -1}},
	{"A90 with a length", "Location: /a\nContent-Length: 0\n\n", parsed{Status: 302, Header: cgi.Header{{"Location", "/a"}}, Length: 0}},
	{"A90 two slashes", "Location: //host/a\n\n", parsed{Status: 302, Header: cgi.Header{{"Location", "//host/a"}}, Length: -1}},
	{"A94 with a document", "Status: 301\nLocation: http://a/\n" + ct + "\nmoved",
		parsed{Status: 301, Header: cgi.Header{{"Location", "http://a/"}, {"Content-Type", "a/b"}}, Length: -1, Body: "moved"}},
	{"A94 Location of a 201", "Status: 201\nLocation: /made\n" + ct + "\n",
		parsed{Status: 201, Header: cgi.Header{{"Location", "/made"}, {"Content-Type", "a/b"}}, Length: -1}},

	{"no output", "", parsed{Kind: cgi.NoOutput, Error: "it printed nothing"}},
	{"ends in a line", "Content-Type: a", bad("ends inside the header block")},
	{"ends before the empty line", ct, bad("ends inside the header block")},
	{"ends in the empty line", ct + "\r", bad("ends inside the header block")},
}

// TestReadResponse holds every row to the same result however it is cut up (A88).
func TestReadResponse(t *testing.T) {
	for _, row := range parseRows {
		t.Run(row.name, func(t *testing.T) {
			got := parse(strings.NewReader(row.text), cgi.ParseLimits{}, false)
			compare := got
			if row.want.Error != "" && strings.Contains(got.Error, row.want.Error) {
				compare.Error = row.want.Error
			}
			if !reflect.DeepEqual(compare, row.want) {
				t.Fatalf("%q\n got %+v\nwant %+v", row.text, got, row.want)
			}
			sameSplit(t, row.text, got, cgi.ParseLimits{}, false)
		})
	}
}

func sameSplit(t *testing.T, text string, want parsed, limits cgi.ParseLimits, interim bool) {
	t.Helper()
	if got := parse(iotest.OneByteReader(strings.NewReader(text)), limits, interim); !reflect.DeepEqual(got, want) {
		t.Errorf("%q byte by byte\n got %+v\nwant %+v", text, got, want)
	}
	if got := parse(iotest.DataErrReader(strings.NewReader(text)), limits, interim); !reflect.DeepEqual(got, want) {
		t.Errorf("%q with the end at once\n got %+v\nwant %+v", text, got, want)
	}
	for n := range len(text) {
		if got := parse(parts(text, n), limits, interim); !reflect.DeepEqual(got, want) {
			t.Errorf("%q cut at %d\n got %+v\nwant %+v", text, n, got, want)
		}
	}
}

func TestReadResponseInterim(t *testing.T) { // A86
	text := "Status: 103\nLink: </a>\n\nStatus: 103 Early\r\nLink: </b>\r\n\r\n" + ct + "\nbody"
	want := ok(200, "body")
	want.Interim = "103[{Link </a>}];103[{Link </b>}];"
	got := parse(strings.NewReader(text), cgi.ParseLimits{}, true)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	sameSplit(t, text, want, cgi.ParseLimits{}, true)

	for n, want := range map[int]string{63: "", 64: "more than 64 interim responses"} {
		text := strings.Repeat("Status: 103\n\n", n) + ct + "\n"
		if got := parse(strings.NewReader(text), cgi.ParseLimits{}, true); got.Error != want {
			t.Errorf("%d interim responses: %q, want %q", n, got.Error, want)
		}
	}
	if got := parse(strings.NewReader("Status: 103\n\n"), cgi.ParseLimits{}, true); got.Kind != cgi.BadOutput {
		t.Errorf("nothing behind an interim response: %+v, want %v", got, cgi.BadOutput)
	}
}

// TestReadResponseLimits: each limit at, one below and one above (A74).
func TestReadResponseLimits(t *testing.T) {
	line := func(n int) string { return "X: " + strings.Repeat("v", n-3) + "\n" } // n bytes and LF
	rows := []struct {
		name   string
		limits cgi.ParseLimits
		limit  int
		text   func(n int) string
		reason string
	}{
		{"line", cgi.ParseLimits{Line: 100}, 100, func(n int) string { return ct + line(n) + "\n" }, "a header line is longer than 100 bytes"},
		{"default line", cgi.ParseLimits{}, 63 << 10, func(n int) string { return ct + line(n) + "\n" }, "a header line is longer than 64512 bytes"},
		{"block", cgi.ParseLimits{Block: 100}, 100, func(n int) string { return ct + line(n-len(ct)-2) + "\n" }, "the header block is longer than 100 bytes"},
		{"default block", cgi.ParseLimits{}, 64 << 10,
			func(n int) string { return ct + line(40<<10) + line(n-len(ct)-(40<<10)-3) + "\n" }, "the header block is longer than 65536 bytes"},
		{"fields", cgi.ParseLimits{Fields: 3}, 3, func(n int) string { return ct + strings.Repeat("X: y\n", n-1) + "\n" }, "more than 3 header lines"},
		{"default fields", cgi.ParseLimits{}, 200, func(n int) string { return ct + strings.Repeat("X: y\n", n-1) + "\n" }, "more than 200 header lines"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for n, want := range map[int]string{row.limit - 1: "", row.limit: "", row.limit + 1: row.reason} {
				text := row.text(n) + "body"
				got := parse(strings.NewReader(text), row.limits, false)
				if got.Error != want || want == "" && got.Body != "body" {
					t.Errorf("%d: %q, body %q; want %q", n, got.Error, got.Body, want)
				}
				if row.limit <= 200 {
					sameSplit(t, text, got, row.limits, false)
				}
			}
		})
	}
}

// TestReadResponseReaderError: the reader's own error is handed on, and what is no
// header is refused at once, whatever is to follow.
func TestReadResponseReaderError(t *testing.T) {
	cause := errors.New("wire cut")
	_, err := cgi.ReadResponse(io.MultiReader(strings.NewReader(ct), iotest.ErrReader(cause)), cgi.ParseLimits{}, nil)
	if !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
	_, err = cgi.ReadResponse(io.MultiReader(strings.NewReader("noise\n"), iotest.ErrReader(cause)), cgi.ParseLimits{}, nil)
	if e := cgi.AsError(err); e.Kind != cgi.BadOutput || string(e.Output) != "noise\n" {
		t.Errorf("%v, output %q; want %v and the noise", err, e.Output, cgi.BadOutput)
	}
	resp, err := cgi.ReadResponse(io.MultiReader(strings.NewReader(ct+"\nbody"), iotest.ErrReader(cause)), cgi.ParseLimits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "body" || !errors.Is(err, cause) {
		t.Errorf("%q, %v; want body, %v", body, err, cause)
	}
}

// closing counts how often it was closed.
type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestResponseClose(t *testing.T) {
	for _, length := range []string{"", "Content-Length: 3\n"} {
		src := &closing{Reader: strings.NewReader(ct + length + "\nabcdef")}
		resp, err := cgi.ReadResponse(src, cgi.ParseLimits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		resp.OnClose(func() { order = append(order, "first") })
		resp.OnClose(func() { order = append(order, "last") })
		_ = resp.Close()
		_ = resp.Close()
		if src.closed != 1 || strings.Join(order, " ") != "first last" {
			t.Errorf("closed %d times, then called %v; want once, then first, last", src.closed, order)
		}
	}
}

// FuzzReadResponse: a result does not depend on how the bytes come; an accepted one
// is within what may be sent to a client, and is the same when it was written by
// AppendHeader and read again.
func FuzzReadResponse(f *testing.F) {
	for _, row := range parseRows {
		f.Add([]byte(row.text), uint16(len(row.text)/2))
	}
	limits := cgi.ParseLimits{Block: 300, Line: 200, Fields: 10}
	f.Fuzz(func(t *testing.T, text []byte, cut uint16) {
		if len(text) > 4096 {
			return
		}
		got := parse(bytes.NewReader(text), limits, true)
		if other := parse(iotest.OneByteReader(bytes.NewReader(text)), limits, true); !reflect.DeepEqual(got, other) {
			t.Errorf("%q\n     at once %+v\nbyte by byte %+v", text, got, other)
		}
		at := int(cut) % (len(text) + 1)
		if other := parse(parts(string(text), at), limits, true); !reflect.DeepEqual(got, other) {
			t.Errorf("%q\n  at once %+v\ncut at %d %+v", text, got, at, other)
		}
		if got.Error != "" {
			return
		}
		if got.Status < 200 || got.Status > 599 {
			t.Errorf("%q: status %d", text, got.Status)
		}
		for _, field := range got.Header {
			if field.Name == "" || field.Value == "" || strings.ContainsAny(field.Name+field.Value, "\r\n\x00") {
				t.Errorf("%q: field %q", text, field)
			}
		}
		resp := &cgi.Response{Status: got.Status, Reason: got.Reason, Header: got.Header, ContentLength: got.Length}
		again := parse(bytes.NewReader(append(cgi.AppendHeader(nil, resp), got.Body...)), cgi.ParseLimits{}, false)
		got.Interim, got.Local = "", "" // the Status is written out now
		if got.Reason == "" {
			again.Reason = ""
		}
		if !reflect.DeepEqual(got, again) {
			t.Errorf("%q\n   read %+v\n  again %+v", text, got, again)
		}
	})
}
