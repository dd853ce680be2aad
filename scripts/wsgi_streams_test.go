package scripts_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/fastcgi"
)

// C10: each of the calls, on the same ten bytes in three lines.
func TestWSGIInput(t *testing.T) {
	const body = "ab\ncdef\ngh"
	tests := []struct{ name, calls, want string }{
		{"all", "read", `[b'ab\ncdef\ngh']`},
		{"all of a negative size", "read,-1", `[b'ab\ncdef\ngh']`},
		{"after the end", "read;read;read,5;readline;readlines", `[b'ab\ncdef\ngh', b'', b'', b'', []]`},
		{"nothing", "read,0;readline,0;read", `[b'', b'', b'ab\ncdef\ngh']`},
		{"part", "read,4;read", `[b'ab\nc', b'def\ngh']`},
		{"more than there is", "read,100", `[b'ab\ncdef\ngh']`},
		{"exactly", "read,10;read,1", `[b'ab\ncdef\ngh', b'']`},
		{"lines", "readline;readline;readline;readline", `[b'ab\n', b'cdef\n', b'gh', b'']`},
		{"lines of a negative size", "readline,-1;readline,-1", `[b'ab\n', b'cdef\n']`},
		{"part of a line", "readline,1;readline,1;readline,1;readline,100", `[b'a', b'b', b'\n', b'cdef\n']`},
		{"line of its size", "readline,3;readline,4;readline,1", `[b'ab\n', b'cdef', b'\n']`},
		{"all lines", "readlines", `[[b'ab\n', b'cdef\n', b'gh']]`},
		{"lines with a hint", "readlines,4;read", `[[b'ab\n', b'cdef\n'], b'gh']`},
		{"lines with a small hint", "readlines,1;readline", `[[b'ab\n'], b'cdef\n']`},
		{"iteration", "iter;read", `[[b'ab\n', b'cdef\n', b'gh'], b'']`},
		{"mixed", "read,1;readline;next;read", `[b'a', b'b\n', b'cdef\n', b'gh']`},
	}
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				a := ask(t, wsgiRequest{path: "/read?" + tt.calls, vars: []string{"REQUEST_METHOD=POST"}, body: body})
				if a.body != tt.want || !a.whole {
					t.Errorf("got %s, want %s", a.body, tt.want)
				}
			})
		}
		t.Run("no body", func(t *testing.T) {
			a := ask(t, wsgiRequest{path: "/read?read;read,3;readline;readlines;iter"})
			if want := "[b'', b'', b'', [], []]"; a.body != want {
				t.Errorf("got %s, want %s", a.body, want)
			}
		})
		t.Run("no length", func(t *testing.T) { // and nothing after it
			a := ask(t, wsgiRequest{path: "/read?read", vars: []string{"CONTENT_LENGTH=0"}})
			if a.body != "[b'']" {
				t.Errorf("got %s", a.body)
			}
		})
	})
}

// CONTENT_LENGTH decides (RFC 3875 section 4.2), and a body that ends before it is an
// error that the application can tell from an end (C14, B75).
func TestWSGIInputLength(t *testing.T) {
	tests := []struct{ name, length, body, want, stderr string }{
		{"as told", "4", "body", "read b'body'", ""},
		{"longer", "2", "body", "read b'bo'", ""},
		{"shorter", "6", "body", "raised", "raised Disconnected\n"},
		{"none", "9", "", "raised", "raised Disconnected\n"},
	}
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				a := ask(t, wsgiRequest{path: "/short", vars: []string{"CONTENT_LENGTH=" + tt.length}, body: tt.body})
				if a.body != tt.want || a.stderr != tt.stderr {
					t.Errorf("got %q, %q, want %q, %q", a.body, a.stderr, tt.want, tt.stderr)
				}
			})
		}
		for _, length := range []string{"-1", "x", "1 ", "\xb2", strings.Repeat("9", 30)} {
			t.Run(length, func(t *testing.T) {
				a := ask(t, wsgiRequest{path: "/ignore", vars: []string{"CONTENT_LENGTH=" + length}})
				if a.status != "400 Bad Request" || !a.whole {
					t.Errorf("got %+v", a)
				}
			})
		}
	})
}

// B75: without a length, the body is what comes until its end.
func TestWSGIInputUntilEnd(t *testing.T) {
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	a := c.ask(t, wsgiRequest{path: "/read?read,3;read", vars: []string{"CONTENT_LENGTH"}, body: "chunked"})
	if want := "[b'chu', b'nked']"; a.body != want {
		t.Errorf("got %s, want %s", a.body, want)
	}
}

// C11: what is read does not depend on how records cut it.
func TestWSGIInputRecords(t *testing.T) {
	w := startWSGI(t, torture(t))
	lines := strings.Repeat("a line of some length\n", 300)
	for _, size := range []int{1, 2, 7, 8, 100, 65528} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := w.dial(t)
			defer c.Close()
			r := wsgiRequest{path: "/read?read,3;readline;readline,10;readlines", body: lines}
			b := begin(r, true)
			for rest := lines; rest != ""; {
				n := min(size, len(rest))
				b = fastcgi.AppendRecord(b, fastcgi.TypeStdin, 1, []byte(rest[:n]))
				rest = rest[n:]
			}
			b = fastcgi.AppendStreamEnd(b, fastcgi.TypeStdin, 1)
			b = append(b, whole(wsgiRequest{path: "/ignore"}, true)...) // nothing is left over
			go c.Write(b)
			want := `[b'a l', b'ine of some length\n', b'a line of ', [b'some length\n'` + strings.Repeat(`, b'a line of some length\n'`, 298) + `]]`
			if a := c.answer(t); a.body != want {
				t.Errorf("got %s, want %s", a.body, want)
			}
			if a := c.answer(t); a.body != "ignored" {
				t.Errorf("next: got %+v", a)
			}
		})
	}
}

// A large body passes through, and is not kept in memory.
func TestWSGIInputLarge(t *testing.T) {
	const size = 64 << 20
	body := strings.Repeat("0123456789abcdef", size/16)
	want := fmt.Sprintf("%d %08x", size, crc32.ChecksumIEEE([]byte(body)))
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		a := ask(t, wsgiRequest{path: "/sum", body: body})
		got, kilobytes, _ := cutLast(a.body)
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		var resident int
		if _, err := fmt.Sscan(kilobytes, &resident); err != nil || resident > 48<<10 {
			t.Errorf("got %d KiB of resident memory, %v", resident, err)
		}
	})
}

func cutLast(s string) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, ' '); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// C12: a body that the application does not read is not taken for the next request,
// however much of it there is, and what the application kept of it reads nothing of that.
func TestWSGIInputIgnored(t *testing.T) {
	w := startWSGI(t, torture(t))
	for _, size := range []int{1, 1000, 65528, 65529, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			c := w.dial(t)
			defer c.Close()
			b := whole(wsgiRequest{path: "/ignore", body: strings.Repeat("x", size)}, true)
			b = append(b, whole(wsgiRequest{path: "/read?read", body: "second"}, true)...)
			go c.Write(b)
			if a := c.answer(t); a.body != "ignored" || !a.whole {
				t.Errorf("got %+v", a)
			}
			if a := c.answer(t); a.body != "[b'second']" || !a.whole {
				t.Errorf("next: got %+v", a)
			}
		})
	}
	t.Run("kept", func(t *testing.T) {
		c := w.dial(t)
		defer c.Close()
		go c.Write(append(begin(wsgiRequest{path: "/ignore", vars: []string{"CONTENT_LENGTH=5"}}, true), whole(wsgiRequest{path: "/ignore"}, true)...))
		// A second BEGIN_REQUEST before STDIN has ended is a request after one that
		// was answered.
		for range 2 {
			if a := c.answer(t); a.body != "ignored" {
				t.Errorf("got %+v", a)
			}
		}
		big := strings.Repeat("x", 100000)
		go c.Write(append(whole(wsgiRequest{path: "/keepinput", body: big[:70000]}, true), whole(wsgiRequest{path: "/keepinput", body: big}, true)...))
		if a := c.answer(t); a.body != "kept" {
			t.Errorf("got %+v", a)
		}
		if a := c.answer(t); a.body != "'ValueError' b'"+big+"'" {
			t.Errorf("got %.100q", a.body)
		}
	})
}

// C14: the web server goes away, or aborts, in the middle of a body.
func TestWSGIInputDisconnect(t *testing.T) {
	w := startWSGI(t, torture(t))
	r := wsgiRequest{path: "/short", vars: []string{"CONTENT_LENGTH=10"}}
	half := fastcgi.AppendRecord(begin(r, true), fastcgi.TypeStdin, 1, []byte("half"))

	c := w.dial(t)
	c.send(t, half)
	c.Close()
	shimEventually(t, "the application sees it", func() bool { return strings.Count(w.stderr.String(), "raised Disconnected") == 1 })

	c = w.dial(t)
	defer c.Close()
	c.send(t, fastcgi.AppendAbortRequest(half, 1))
	if a := c.answer(t); a.stderr != "raised Disconnected\n" || !a.whole { // B67
		t.Errorf("aborted: got %+v", a)
	}
}

// C13: text of any characters, whole lines, and what was not ended is not lost. FastCGI
// gives it to the web server, as part of the request.
func TestWSGIErrors(t *testing.T) {
	const want = "one\ntwo \u20ac\\udc80\x00\u65e5\nprinted\nunfinished"
	eachLife(t, torture(t), nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		if a := ask(t, wsgiRequest{path: "/errors"}); a.stderr != want {
			t.Errorf("got %q, want %q", a.stderr, want)
		}
	})
}

// What is written when the request is over does not get into the next one.
func TestWSGIErrorsLate(t *testing.T) {
	w := startWSGI(t, torture(t))
	c := w.dial(t)
	defer c.Close()
	dir := t.TempDir()
	for n := range 5 {
		over := filepath.Join(dir, fmt.Sprint(n))
		c.send(t, whole(wsgiRequest{path: "/lateerrors", vars: []string{"X_OVER=" + over}}, true))
		if a := c.answer(t); a.body != "early" || a.stderr != "" {
			t.Errorf("got %+v", a)
		}
		must(t, os.WriteFile(over, nil, 0o600))
	}
	shimEventually(t, "all have written", func() bool { return strings.Count(w.stderr.String(), "late\n") == 5 })
	c.send(t, whole(wsgiRequest{path: "/ignore"}, true))
	if a := c.answer(t); a.body != "ignored" || a.stderr != "" {
		t.Errorf("got %+v", a)
	}
}
