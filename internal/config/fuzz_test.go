package config_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"gatehouse/internal/config"
)

// Whatever the text: no panic, every mistake has a place, the same text means
// the same again, and what is not TOML to a whole decoder is refused here too.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"",
		"listen = ['127.0.0.1:80', \"unix:x\"]\nprocesses = 0x_1\nqueue = 1__0\ntimeout = '1s'\n",
		"[[site]]\nhosts = ['a', '*.b']\nenv.A = \"\\u0041\"\n[[site.route]]\npath = '*.cgi'\ncgi = true\n[site.route.env]\nB = '''x'''\n[[site]]\nroot = \"\"\"\nx\"\"\"\n",
		"site = [{ route = [{ path = '/x', static = 'y', redirect = 1979-05-27 }] }]\r\nx = [[1.5], {}]\n",
		"[a.b.c]\n[a]\nb.d = 1\n[env.x]\n[env]\n[[env]]\n",
		"env = { A = 'x', B.C = nan }\n\"\" = 1\nenv.D = 1\n# [[[\n",
		"log = \"\\U0010ffff\\x\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("dir/g", text)
		if err != nil {
			var es config.Errors
			if !errors.As(err, &es) || len(es) == 0 || c != nil {
				t.Fatalf("got %v, %v", c, err)
			}
			for i, e := range es {
				if e.File != "dir/g" || e.Reason == "" || !inside(text, e.Line, e.Column) {
					t.Errorf("incomplete, or its place is not in the text: %+v", e)
				}
				if i > 0 && e.Line < es[i-1].Line {
					t.Errorf("not sorted: %v before %v", es[i-1], e)
				}
			}
			return
		}
		var whole map[string]any
		if err := toml.Unmarshal(text, &whole); err != nil {
			t.Errorf("taken, but not TOML: %v", err)
		}
		for n := range c.Sites {
			s := &c.Sites[n]
			for _, p := range append([]config.Places{c.Places, s.Places}, placesOf(s.Routes)...) {
				if at, ok := p.Of(""); !ok || !inside(text, at.Line, at.Column) {
					t.Errorf("no place of a table in the text: %v", at)
				}
			}
		}
		again, err := config.Parse("dir/g", text)
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("second time: got %+v, %v, want %+v", again, err, c)
		}
	})
}

func placesOf(routes []config.Route) (all []config.Places) {
	for _, r := range routes {
		all = append(all, r.Places)
	}
	return all
}

// inside reports whether there is such a place in the text; the one behind the last
// byte of a line is.
func inside(text []byte, line, column int) bool {
	lines := bytes.Split(text, []byte("\n"))
	return line >= 1 && line <= len(lines) && column >= 1 && column <= len(lines[line-1])+1
}
