package fastcgi_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// filter is a Transport with RoleFilter to an application that says what it got.
func filter(t *testing.T, change func(*fastcgi.Transport)) *fastcgi.Transport {
	a := application(t, answering(func(p *peer, a *asked) string {
		text := a.data
		if len(text) > 100 {
			text = strconv.Itoa(len(text))
		}
		return page(strings.Join([]string{a.order, a.get("FCGI_DATA_LENGTH"), a.get("FCGI_DATA_LAST_MOD"), a.stdin, text, a.get("FCGI_ROLE")}, " "))
	}))
	tr, _ := transport(t, func(tr *fastcgi.Transport) {
		tr.Role = fastcgi.RoleFilter
		if change != nil {
			change(tr)
		}
	}, a.address)
	return tr
}

func fileWith(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "doc")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, time.Unix(1234567890, 5e8)); err != nil {
		t.Fatal(err)
	}
	return name
}

// B24, B47: the file comes as DATA, after STDIN, with its length and its time.
func TestFilter(t *testing.T) {
	for _, c := range []struct{ name, text, body, want string }{
		{"small", "the text", "", "BPID 8 1234567890  the text FILTER"},
		{"empty", "", "", "BPID 0 1234567890   FILTER"},
		{"with a body", "the text", "stdin", "BPID 8 1234567890 stdin the text FILTER"},
		{"large", strings.Repeat("x", 1<<20), "", "BPID 1048576 1234567890  1048576 FILTER"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := filter(t, nil)
			req := ask("POST", c.body)
			req.Env.Set("PATH_TRANSLATED", fileWith(t, c.text))
			wantPage(t, tr, req, c.want)
			again := ask("POST", "")
			again.Env.Set("SCRIPT_FILENAME", fileWith(t, "script"))
			wantPage(t, tr, again, "BPID 6 1234567890  script FILTER")
			if st := tr.Status().Endpoints[0]; st.Idle != 1 || st.Busy != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// B47: a file that grows is sent as it was; one that shrinks ends the request.
func TestFilterChanges(t *testing.T) {
	t.Run("shrinks", func(t *testing.T) {
		// The application reads PARAMS, then the file is cut while DATA is under way.
		name := fileWith(t, strings.Repeat("x", 8<<20))
		a := application(t, func(p *peer) {
			for {
				h, err := p.r.Next()
				if err != nil {
					return
				}
				if h.Type == fastcgi.TypeStdin {
					_ = os.Truncate(name, 100)
				}
			}
		})
		tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Role = fastcgi.RoleFilter }, a.address)
		req := ask("GET", "")
		req.Env.Set("PATH_TRANSLATED", name)
		_, _, err := answer(t, tr, req)
		wantError(t, err, cgi.Internal, "has become shorter")
	})
	t.Run("grows", func(t *testing.T) {
		name := fileWith(t, strings.Repeat("x", 2<<20))
		got := make(chan int, 1)
		a := application(t, func(p *peer) {
			total := 0
			for {
				h, err := p.r.Next()
				if err != nil {
					return
				}
				switch {
				case h.Type == fastcgi.TypeStdin:
					f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
					if err == nil {
						_, _ = f.WriteString("more")
						f.Close()
					}
				case h.Type == fastcgi.TypeData && h.ContentLength == 0:
					got <- total
					p.say(page(""))
				case h.Type == fastcgi.TypeData:
					total += h.ContentLength
				}
			}
		})
		tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Role = fastcgi.RoleFilter }, a.address)
		req := ask("GET", "")
		req.Env.Set("PATH_TRANSLATED", name)
		wantPage(t, tr, req, "")
		if n := <-got; n != 2<<20 {
			t.Errorf("%d bytes of DATA, want %d", n, 2<<20)
		}
	})
}

// B48: a filter may answer without having read its file.
func TestFilterAnswersEarly(t *testing.T) {
	a := application(t, func(p *peer) { p.say(page("cached")) })
	tr, _ := transport(t, func(tr *fastcgi.Transport) { tr.Role = fastcgi.RoleFilter }, a.address)
	for range 2 {
		req := ask("GET", "")
		req.Env.Set("PATH_TRANSLATED", fileWith(t, strings.Repeat("x", 4<<20)))
		wantPage(t, tr, req, "cached")
	}
}

// Files that cannot be sent.
func TestFilterFiles(t *testing.T) {
	tr := filter(t, func(tr *fastcgi.Transport) {
		tr.Open = func(name string) (*os.File, error) {
			if name == "/secret" {
				return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrPermission}
			}
			return os.Open(name)
		}
	})
	for _, c := range []struct {
		name string
		kind cgi.Kind
	}{
		{filepath.Join(t.TempDir(), "none"), cgi.NotFound}, {t.TempDir(), cgi.Forbidden},
		{"/secret", cgi.Forbidden}, {os.DevNull, cgi.Forbidden},
	} {
		req := ask("GET", "")
		req.Env.Set("PATH_TRANSLATED", c.name)
		_, _, err := answer(t, tr, req)
		wantError(t, err, c.kind)
	}
	req := ask("GET", "")
	req.Env.Del("SCRIPT_FILENAME")
	_, _, err := answer(t, tr, req)
	wantError(t, err, cgi.Internal, "has no file")
}
