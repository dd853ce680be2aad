package scripts_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/fastcgi"
)

// wsgiTest is one request and what is to come of it. A failed request is a 500 page
// and a traceback with the text in trace.
type wsgiTest struct {
	name, path string
	vars       []string
	status     string // "200 OK" if ""
	length     string // Content-Length, "" for none
	body       string
	stderr     string // all of it, unless trace is set
	trace      string
	cut        bool // the response is cut short
}

const failed = "500 Internal Server Error"

// testRefusals is testResponses for what does not depend on the life.
func testRefusals(t *testing.T, tests []wsgiTest) {
	t.Helper()
	w := startWSGI(t, torture(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := w.dial(t)
			defer c.Close()
			tt.check(t, c.ask(t, wsgiRequest{path: tt.path, vars: tt.vars}))
		})
	}
}

func testResponses(t *testing.T, tests []wsgiTest) {
	t.Helper()
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) { tt.check(t, ask(t, wsgiRequest{path: tt.path, vars: tt.vars})) })
		}
	})
}

func (tt wsgiTest) check(t *testing.T, a wsgiAnswer) {
	t.Helper()
	status, length, body := tt.status, tt.length, tt.body
	switch status {
	case "":
		status = "200 OK"
	case failed:
		body = "Internal Server Error\n" // C31: without the traceback
		length = fmt.Sprint(len(body))
	}
	if a.status != status || a.body != body || a.field("Content-Length") != length || a.whole == tt.cut {
		t.Errorf("got %q, length %q, %q, whole %t, want %q, length %q, %q, whole %t",
			a.status, a.field("Content-Length"), a.body, a.whole, status, length, body, !tt.cut)
	}
	if tt.trace != "" {
		lines := strings.Split(strings.TrimSuffix(a.stderr, "\n"), "\n")
		traced := lines[0] == "Traceback (most recent call last):" && len(lines) > 2 && strings.Contains(lines[1], "torture.py")
		if !traced && len(lines) > 1 || !strings.Contains(lines[len(lines)-1], tt.trace) {
			t.Errorf("got stderr %q, want an exception with %q, and a traceback that begins in the application", a.stderr, tt.trace)
		}
	} else if a.stderr != tt.stderr {
		t.Errorf("got stderr %q, want %q", a.stderr, tt.stderr)
	}
}

func query(path, expression string) string {
	return path + "?" + strings.ReplaceAll(expression, " ", "+")
}

// C20: errors are raised inside start_response.
func TestWSGIStatus(t *testing.T) {
	tests := []wsgiTest{
		{name: "any number", path: query("/status", "'999 reason'"), status: "999 reason", length: "8", body: "accepted"},
		{name: "no reason", path: query("/status", "'200 '"), status: "200 ", length: "8", body: "accepted"},
		{name: "latin-1", path: query("/status", `'200 d\xe9j\xe0'`), status: "200 d\xe9j\xe0", length: "8", body: "accepted"},
	}
	for _, bad := range []string{`'200'`, `''`, `'20 OK'`, `'2000 OK'`, `' 200 OK'`, `'200OK'`, `'200	OK'`, `'200 O\nK'`, `'200 OK\r\n'`, `'200 OK\0'`,
		`'200 OK\x7f'`, `'200 \u20ac'`, `b'200 OK'`, `200`, `None`, `'2\u0660\u0660 OK'`, `'100 Continue'`, `'000 OK'`, `'+20 OK'`} {
		tests = append(tests, wsgiTest{name: bad, path: "/status?" + strings.ReplaceAll(bad, " ", "+"), status: failed, trace: "AssertionError: status "})
	}
	testRefusals(t, tests)
}

// C21, C22. These checks stay under -O, which a test runs beside this one.
func TestWSGIHeaders(t *testing.T) {
	tests := []wsgiTest{
		{name: "empty", path: query("/header", "[]"), length: "8", body: "accepted"},
		{name: "latin-1", path: query("/header", `[('X-A', 'd\xe9')]`), length: "8", body: "accepted"},
		{name: "odd names", path: query("/header", "[('X_A-', ''), (\"a!#$%&'*^`|~\", 'x')]"), length: "8", body: "accepted"},
		{name: "length twice", path: query("/header", `[('Content-Length', '8'), ('content-length', '8')]`), length: "8", body: "accepted"},
	}
	for _, bad := range []string{`()`, `None`, `{}`, `(('A', 'b'),)`, `iter([])`, `type('L', (list,), {})()`, `['ab']`, `[['A', 'b']]`, `[('A',)]`, `[('A', 'b', 'c')]`,
		`[('A', 1)]`, `[(1, 'A')]`, `[('A', None)]`, `[(b'A', 'b')]`, `[('A', b'b')]`, `[('A', [])]`, `[('', 'b')]`, `[('A:', 'b')]`, `[('A B', 'b')]`, `[(' A', 'b')]`, `[('A\n', 'b')]`,
		`[('\xe9', 'b')]`, `[('A', 'b\n')]`, `[('A', 'b\r\nC: d')]`, `[('A', 'b\0')]`, `[('A', '\x7f')]`, `[('A', 'b\tc')]`, `[('A', '\u20ac')]`, `[('Status', '200 OK')]`, `[('status', '200')]`,
		`[('Connection', 'close')]`, `[('keep-alive', '1')]`, `[('Proxy-Authenticate', 'x')]`, `[('Proxy-Authorization', 'x')]`, `[('TE', 'x')]`, `[('Trailer', 'x')]`, `[('Trailers', 'x')]`,
		`[('TRANSFER-ENCODING', 'chunked')]`, `[('Upgrade', 'x')]`,
		`[('Content-Length', '-1')]`, `[('Content-Length', '')]`, `[('Content-Length', '8 ')]`, `[('Content-Length', '\xb2')]`, `[('Content-Length', '8'), ('Content-Length', '9')]`} {
		tests = append(tests, wsgiTest{name: bad, path: "/header?" + strings.ReplaceAll(bad, " ", "+"), status: failed, trace: "AssertionError: header"})
	}
	testRefusals(t, tests)
}

// Fields keep their order, and those that are there twice stay two.
func TestWSGIHeaderOrder(t *testing.T) {
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for range 2 { // checked, and remembered
			a := ask(t, wsgiRequest{path: query("/header", `[('Set-Cookie', 'b'), ('X-A', ''), ('set-cookie', 'a'), ('Set-Cookie', 'b')]`)})
			want := "Status: 200 OK\r\nSet-Cookie: b\r\nX-A: \r\nset-cookie: a\r\nSet-Cookie: b\r\nContent-Length: 8\r\n\r\naccepted"
			if a.raw != want {
				t.Errorf("got %q, want %q", a.raw, want)
			}
		}
	})
}

// C23 to C25: start_response in every order.
func TestWSGIStartResponse(t *testing.T) {
	const again = "AssertionError: start_response was called before"
	testResponses(t, []wsgiTest{
		{name: "after it refused", path: "/refused", length: "5", body: "third"},
		{name: "twice", path: "/twice", status: failed, trace: again},
		{name: "replaced", path: "/replace", status: "418 Teapot", length: "11", body: "replacement"},
		{name: "replaced after an empty block", path: "/replacebeforebody", status: "500 Replaced", body: "replaced"},
		{name: "too late", path: "/replacelate", body: "sent", trace: "ValueError: too late", cut: true},
		{name: "too late, and caught", path: "/replacecaught", body: "sent same"},
		{name: "never", path: "/never", status: failed, trace: "did not call start_response"},
		{name: "never, by a generator", path: "/nevergenerator", status: failed, trace: "did not call start_response"},
		{name: "in the first iteration", path: "/infirst", body: "generated"},
		{name: "in the second", path: "/insecond", body: "generated"},
		{name: "after the body began", path: "/toolate", status: failed, trace: "before start_response"},
		{name: "with a keyword", path: "/keywords", length: "8", body: "accepted"},
	})
}

// C26, C29, C30.
func TestWSGIBodies(t *testing.T) {
	const first = "first"
	testResponses(t, []wsgiTest{
		{name: "write before the rest", path: "/write", body: "abcd"},
		{name: "write str", path: "/writestr", status: failed, trace: "AssertionError: write was given a str"},
		{name: "write too much", path: "/writebeyond", length: "4", body: "1234", stderr: "refused\n"},
		{name: "none", path: "/nobody", length: "0"},
		{name: "list", path: "/list", length: "6", body: "onetwo"},
		{name: "tuple", path: "/tuple", length: "6", body: "onetwo"},
		{name: "one block of another kind", path: "/single", length: "6", body: "single"},
		{name: "generator", path: "/generator", body: "onetwo"},
		{name: "iterator of nothing", path: "/kind?iter([])", length: "0"},
		{name: "iterator of empty", path: "/kind?iter([b''])", length: "0"},
		{name: "bytes", path: "/kind?b'body'", status: failed, trace: "AssertionError: the application returned a bytes, want a list of bytes"},
		{name: "str", path: "/kind?'body'", status: failed, trace: "AssertionError: the application returned a str, want a list of bytes"},
		{name: "None", path: "/kind?None", status: failed, trace: "TypeError: 'NoneType' object is not iterable"},
		{name: "number", path: "/kind?1", status: failed, trace: "not iterable"},
		{name: "list of str", path: "/kind?['body']", status: failed, trace: "AssertionError: the application gave a str"},
		{name: "list of bytearray", path: "/kind?[bytearray(3)]", status: failed, trace: "AssertionError: the application gave a bytearray"},
		{name: "iterator of memoryview", path: "/kind?iter([memoryview(b'x')])", status: failed, trace: "AssertionError: the application gave a memoryview"},
		{name: "second is str", path: "/second?'x'", body: first, trace: "AssertionError: the application gave a str", cut: true},
		{name: "second is None", path: "/second?None", body: first, trace: "AssertionError: the application gave a NoneType", cut: true},

		{name: "length as declared", path: "/length?6,list,one,two", length: "6", body: "onetwo"},
		{name: "list too long", path: "/length?4,list,one,two", length: "4", body: "onet"},
		{name: "list too short", path: "/length?8,list,one,two", status: failed, trace: "AssertionError: Content-Length is 8, but the body has 6 bytes"},
		{name: "iteration ends when there is enough", path: "/length?3,gen,one,two", length: "3", body: "one", stderr: "block 0\n"},
		{name: "in the middle of a block", path: "/length?4,gen,one,two,three", length: "4", body: "onet", stderr: "block 0\nblock 1\n"},
		{name: "too short", path: "/length?8,gen,one,two", length: "8", body: "onetwo", cut: true,
			stderr: "block 0\nblock 1\nContent-Length is 8, but the body has 6 bytes\n"},
		{name: "nothing of what was declared", path: "/length?8,gen", status: failed, trace: "AssertionError: Content-Length is 8, but the body has 0 bytes"},
		{name: "nothing declared and nothing there", path: "/length?0,gen", length: "0"},
		{name: "nothing declared", path: "/length?0,list,one", length: "0"},
		{name: "nothing declared, generated", path: "/length?0,gen,one,two", length: "0", stderr: "block 0\n"},
	})
}

// Bodies of all sizes about the limits of records and blocks come through as they are.
func TestWSGIBig(t *testing.T) {
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, kind := range []string{"list", "parts", "gen", "write"} {
			for _, size := range []int{1, 65400, 65528, 65529, 65536, 131056, 131057, 5 << 20} {
				t.Run(fmt.Sprint(kind, size), func(t *testing.T) {
					a := ask(t, wsgiRequest{path: fmt.Sprintf("/big?%d,%s", size, kind)})
					want := strings.Repeat("abcdefghijklmnopqrstuvwxyz", size/26+1)[:size]
					if a.body != want || !a.whole {
						t.Errorf("got %d bytes, whole %t, want %d", len(a.body), a.whole, size)
					}
				})
			}
		}
	})
}

// C32, C33: without a body, with what is known of it.
func TestWSGIBodiless(t *testing.T) {
	head := []string{"REQUEST_METHOD=HEAD"}
	testResponses(t, []wsgiTest{
		{name: "HEAD", path: "/method", vars: head, length: "12", stderr: "closed\n"},
		{name: "HEAD without a length", path: "/method?nolength", vars: head, stderr: "closed\n"},
		{name: "HEAD without a body", path: "/method?empty", vars: head, length: "12", stderr: "closed\n"},
		{name: "HEAD of a list", path: "/list", vars: head},
		{name: "HEAD of nothing", path: "/nobody", vars: head},
		{name: "HEAD of a block", path: "/single", vars: head},
		{name: "HEAD written", path: "/write", vars: head},
		{name: "HEAD of a file", path: "/file?file,,", vars: append(head, "X_FILE="+torture(t))},
	})
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, status := range []string{"204 No Content", "304 Not Modified"} {
			a := ask(t, wsgiRequest{path: query("/bodiless", status)})
			if a.raw != "Status: "+status+"\r\nETag: \"x\"\r\n\r\n" || a.stderr != "closed\n" || !a.whole {
				t.Errorf("got %+v", a)
			}
		}
		a := ask(t, wsgiRequest{path: "/raise?ValueError,before", vars: head})
		if a.status != failed || a.body != "" || a.field("Content-Length") != "22" || !a.whole {
			t.Errorf("got %+v", a)
		}
	})
}

// C28: exactly once, whatever happens.
func TestWSGIClose(t *testing.T) {
	for _, tt := range []wsgiTest{
		{name: "at the end", path: "/close", body: "body"},
		{name: "which fails", path: "/closefails", body: "body", trace: "ValueError: in close"},
		{name: "body fails before", path: "/closeafter?before", status: failed, trace: "ValueError: in the body"},
		{name: "body fails after", path: "/closeafter?after", body: "first", trace: "ValueError: in the body", cut: true},
		{name: "not iterable", path: "/closebad", status: failed, trace: "TypeError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
				a := ask(t, wsgiRequest{path: tt.path})
				if n := strings.Count(a.stderr, "closed\n"); n != 1 {
					t.Errorf("got %d calls of close: %q", n, a.stderr)
				}
				a.stderr = strings.Replace(a.stderr, "closed\n", "", 1)
				tt.check(t, a)
			})
		})
	}
}

// C31: SystemExit and KeyboardInterrupt end a request as other exceptions do, and not the worker.
func TestWSGIExceptions(t *testing.T) {
	var tests []wsgiTest
	for _, e := range []string{"ValueError('x')", "SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()", "RecursionError()", "OSError()", "BrokenPipeError()"} {
		name, _, _ := strings.Cut(e, "(")
		tests = append(tests,
			wsgiTest{name: name + " before", path: "/raise?" + e + ",before", status: failed, trace: name},
			wsgiTest{name: name + " before the body", path: "/raise?" + e + ",started", status: failed, trace: name},
			wsgiTest{name: name + " after", path: "/raise?" + e + ",after", body: "sent", trace: name, cut: true})
	}
	tests = append(tests,
		wsgiTest{name: "without environ", path: "/cleared", status: failed, trace: "ValueError: without environ"},
		wsgiTest{name: "close that cannot be had", path: "/oddclose", body: "body", trace: "ValueError: no close"})
	tests = append(tests, wsgiTest{name: "goes on", path: "/ignore", length: "7", body: "ignored"})
	testResponses(t, tests)
}

func TestWSGIShowErrors(t *testing.T) {
	eachLife(t, torture(t), []string{"--show-errors"}, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		a := ask(t, wsgiRequest{path: "/raise?" + url.PathEscape(`ValueError('a\udc80')`) + ",before"})
		if a.status != failed || !strings.Contains(a.body, "torture.py") || !a.has("Content-Type: text/plain; charset=utf-8") {
			t.Errorf("got %+v", a)
		}
	})
}

// C27: what an application gives is there before it is asked for more.
func TestWSGISteps(t *testing.T) {
	w := startWSGI(t, torture(t))
	for _, kind := range []string{"", "closing"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			c := w.dial(t)
			defer c.Close()
			c.send(t, whole(wsgiRequest{path: "/steps?" + kind, vars: []string{"X_DIR=" + dir}}, true))
			for i, want := range []string{"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\none", "two", "three"} {
				if i > 0 {
					must(t, os.WriteFile(filepath.Join(dir, want), nil, 0o600))
				}
				h, err := c.r.Next()
				must(t, err)
				got := make([]byte, h.ContentLength)
				if _, err := c.r.Read(got); err != nil || string(got) != want || h.Type != fastcgi.TypeStdout {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			}
			a := c.answer(t)
			if !a.whole || a.raw != "" {
				t.Errorf("got %+v", a)
			}
		})
	}
}

// C28: a client that leaves in the middle of a stream.
func TestWSGIGone(t *testing.T) {
	w := startWSGI(t, torture(t))
	b := whole(wsgiRequest{path: "/endless"}, true)
	for i, leave := range []func(c *wsgiConn){
		func(c *wsgiConn) { c.Close() },
		func(c *wsgiConn) { c.Conn.(interface{ CloseWrite() error }).CloseWrite() },
		func(c *wsgiConn) { c.Write(fastcgi.AppendAbortRequest(nil, 1)) },
		func(c *wsgiConn) { c.Write(fastcgi.AppendAbortRequest(nil, 1)) },
	} {
		c := w.dial(t)
		defer c.Close()
		if i == 3 { // after something else
			c.send(t, fastcgi.AppendGetValues(nil))
			c.expect(t, fastcgi.TypeGetValuesResult, 0, "")
		}
		c.send(t, b)
		if _, err := c.r.Next(); err != nil {
			t.Fatal(err)
		}
		leave(c)
		if i == 0 {
			shimEventually(t, "it is closed", func() bool { return w.stderr.String() == "closed\n" })
			continue
		}
		aborted := i >= 2
		if a := c.rest(t); a.whole != aborted || a.stderr != "closed\n" { // B67
			t.Errorf("got whole %t, stderr %q", a.whole, a.stderr)
		}
		if !aborted {
			continue
		}
		c.send(t, whole(wsgiRequest{path: "/ignore"}, true))
		if a := c.answer(t); a.body != "ignored" {
			t.Errorf("after it: got %+v", a)
		}
	}
	if strings.Contains(w.stderr.String(), "Traceback") {
		t.Errorf("got %q", w.stderr)
	}
}

// C34.
func TestWSGIFileWrapper(t *testing.T) {
	content := strings.Repeat("0123456789", 30000)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte(content), 0o644))
	size := fmt.Sprint(len(content))
	tests := []wsgiTest{
		{name: "file", path: "/file?file,,", length: size, body: content},
		{name: "file from its position", path: "/file?file,,100005", length: "199995", body: content[100005:]},
		{name: "file at its end", path: "/file?file,,300000", length: "0"},
		{name: "file with its length", path: "/file?file," + size + ",", length: size, body: content},
		{name: "file with a shorter length", path: "/file?file,100000,3", length: "100000", body: content[3:100003]},
		{name: "file with a longer length", path: "/file?file,300001,", length: "300001", body: content, cut: true, stderr: "Content-Length is 300001, but the body has 300000 bytes\n"},
		{name: "unbuffered", path: "/file?unbuffered,,7", length: "299993", body: content[7:]},
		{name: "no file", path: "/file?bytes,,", body: content, stderr: "closed\n"},
		{name: "no file, with a shorter length", path: "/file?bytes,1500,1", length: "1500", body: content[1:1501], stderr: "closed\n"},
		{name: "no file, with a longer length", path: "/file?bytes,300001,", length: "300001", body: content, cut: true, stderr: "closed\nContent-Length is 300001, but the body has 300000 bytes\n"},
		{name: "pipe", path: "/file?pipe,,", body: content},
		{name: "without close", path: "/file?noclose,,", body: content},
		{name: "in another iterator", path: "/file?wrapped,,", body: content},
	}
	for i := range tests {
		tests[i].vars = []string{"X_FILE=" + file}
	}
	testResponses(t, tests)
}

// A file that gets shorter while it is sent is a response that is cut short.
func TestWSGIFileShrinks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, make([]byte, 20<<20), 0o644))
	c := startWSGI(t, torture(t)).dial(t)
	defer c.Close()
	c.send(t, whole(wsgiRequest{path: "/file?file,,", vars: []string{"X_FILE=" + file}}, true))
	if _, err := c.r.Next(); err != nil { // it has begun, and waits for us
		t.Fatal(err)
	}
	must(t, os.Truncate(file, 0))
	for got := 0; ; {
		h, err := c.r.Next()
		if err != nil {
			return
		}
		if got += h.ContentLength; h.Type == fastcgi.TypeEndRequest || got > 20<<20 {
			t.Fatalf("got %v after %d bytes", h.Type, got)
		}
	}
}
