package environ_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/environ"
)

func TestEnv(t *testing.T) {
	var e environ.Env
	if e.Len() != 0 || e.Get("A") != "" || len(e.Strings()) != 0 {
		t.Errorf("zero value: %q", e.Strings())
	}
	e.Del("A")
	e.Set("A", "1")
	e.Set("AB", "")
	e.Set("B", "x=y")
	e.Set("A", "2")
	if got, want := strings.Join(e.Strings(), " "), "A=2 AB= B=x=y"; got != want {
		t.Errorf("Strings: got %q, want %q", got, want)
	}
	if v, ok := e.Lookup("AB"); v != "" || !ok {
		t.Errorf("Lookup of an empty value: %q, %t", v, ok)
	}
	if v, ok := e.Lookup("ABC"); v != "" || ok {
		t.Errorf("Lookup of nothing: %q, %t", v, ok)
	}
	if got := e.Get("B"); got != "x=y" {
		t.Errorf("Get of a value with =: %q", got)
	}
	for range e.All() {
		break // stops without a panic
	}
	e.Del("A", "B", "C")
	if got := strings.Join(e.Strings(), " "); got != "AB=" {
		t.Errorf("after Del: %q", got)
	}
}

func TestEnvCloneIsIndependent(t *testing.T) {
	var e environ.Env
	e.Set("A", "1")
	e.Set("B", "1")
	c := e.Clone()
	c.Set("A", "2")
	c.Set("C", "2")
	e.Set("D", "1")
	if got := strings.Join(e.Strings(), " "); got != "A=1 B=1 D=1" {
		t.Errorf("original: %q", got)
	}
	if got := strings.Join(c.Strings(), " "); got != "A=2 B=1 C=2" {
		t.Errorf("clone: %q", got)
	}
	c.Del("A")
	if got := e.Get("A"); got != "1" {
		t.Errorf("original after Del in the clone: A=%q", got)
	}
}

func TestEnvStringsAreClipped(t *testing.T) {
	var e environ.Env
	e.Set("A", "1")
	e = e.Clone() // has room for more
	_ = append(e.Strings(), "X=1")
	e.Set("B", "1")
	if got := e.Strings(); cap(got) != len(got) || got[1] != "B=1" {
		t.Errorf("got %q with capacity %d", got, cap(got))
	}
}

func TestEnvOver(t *testing.T) {
	base := environ.ProcessEnv("/bin", "/home/x", "", "UTC")
	var e environ.Env
	e.Set("A", "1")
	e.Set("HOME", "/srv")
	if got, want := strings.Join(e.Over(base).Strings(), " "), "PATH=/bin TZ=UTC A=1 HOME=/srv"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Join(base.Strings(), " "); got != "PATH=/bin HOME=/home/x TZ=UTC" {
		t.Errorf("base changed: %q", got)
	}
}

// A26: nothing of this process is in the environment of a new one.
func TestProcessEnv(t *testing.T) {
	t.Setenv("LD_LIBRARY_PATH", "/tmp")
	t.Setenv("PATH", "/tmp")
	t.Setenv("LANG", "xx")
	for _, test := range []struct {
		name                 string
		path, home, lang, tz string
		want                 string
	}{
		{name: "nothing configured", want: "PATH=/usr/local/bin:/usr/bin:/bin"},
		{name: "all", path: "/p", home: "/h", lang: "C.UTF-8", tz: "UTC", want: "PATH=/p HOME=/h LANG=C.UTF-8 TZ=UTC"},
	} {
		e := environ.ProcessEnv(test.path, test.home, test.lang, test.tz)
		if got := strings.Join(e.Strings(), " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// FuzzEnv runs a sequence of Set, Del and Clone against a plain list of pairs.
func FuzzEnv(f *testing.F) {
	f.Add([]byte("abcABC"))
	f.Add([]byte{0, 1, 2, 64, 65, 0, 128, 3, 67, 192, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		names := []string{"A", "AB", "B", "ABC", "HTTP_A", "HTTP_AB", "a"}
		var e environ.Env
		type pair struct{ name, value string }
		var model []pair
		at := func(name string) int {
			return slices.IndexFunc(model, func(p pair) bool { return p.name == name })
		}
		for i, op := range ops {
			name := names[int(op&63)%len(names)]
			switch op >> 6 {
			case 0, 1:
				value := strings.Repeat("=", i%3)
				e.Set(name, value)
				if j := at(name); j >= 0 {
					model[j].value = value
				} else {
					model = append(model, pair{name, value})
				}
			case 2:
				e.Del(name)
				if j := at(name); j >= 0 {
					model = slices.Delete(model, j, j+1)
				}
			case 3:
				old := e
				e = e.Clone()
				old.Set("A", "stray") // the clone does not see it
			}
		}
		var got []pair
		for name, value := range e.All() {
			got = append(got, pair{name, value})
		}
		if !slices.Equal(got, model) || e.Len() != len(model) {
			t.Fatalf("got %q, want %q", got, model)
		}
		for _, name := range names {
			value, ok := e.Lookup(name)
			j := at(name)
			if ok != (j >= 0) || ok && value != model[j].value {
				t.Fatalf("Lookup(%q) = %q, %t in %q", name, value, ok, model)
			}
		}
	})
}
