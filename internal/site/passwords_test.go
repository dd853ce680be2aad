package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/cgi"
)

// passwordsOf makes a file of passwords in which that of each user is "correct horse".
// One check is made at a time, and none waits.
func passwordsOf(t testing.TB, users ...string) *passwords {
	t.Helper()
	text := ""
	for _, u := range users {
		text += u + ":{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n"
	}
	name := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return newPasswords(name, slog.New(slog.DiscardHandler), newLimiter(nil, "basic_auth", "checks", newTurns(1, 0, 0)))
}

// hasToCheck reports whether a password would have to be checked, while no more can be.
func hasToCheck(t *testing.T, p *passwords, user, password string) bool {
	t.Helper()
	ok, err := p.match(context.Background(), user, password, nil)
	var e *cgi.Error
	if errors.As(err, &e) && e.Kind == cgi.Busy {
		return true
	}
	if err != nil || !ok {
		t.Fatalf("%q: got %v, %v", user, ok, err)
	}
	return false
}

// A password that was right is not checked again for a minute, a wrong one always is, and
// checks wait for their turns.
func TestPasswordsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := passwordsOf(t, "one", "two")
		for _, test := range []struct {
			user, password string
			want           bool
		}{{"one", "correct horse", true}, {"one", "wrong", false}, {"none", "correct horse", false}} {
			if ok, err := p.match(context.Background(), test.user, test.password, nil); ok != test.want || err != nil {
				t.Errorf("%q %q: got %v, %v", test.user, test.password, ok, err)
			}
		}
		if _, err := p.checks.acquire(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name, user, password string
			after                time.Duration
			want                 bool
		}{
			{"right", "one", "correct horse", 0, false},
			{"another user with that password", "two", "correct horse", 0, true},
			{"wrong", "one", "wrong", 0, true},
			{"no such user", "none", "correct horse", 0, true},
			{"name and password cut elsewhere", "onec", "orrect horse", 0, true},
			{"for a minute", "one", "correct horse", rememberRight - 1, false},
			{"and no longer", "one", "correct horse", 1, true},
		} {
			time.Sleep(test.after)
			if got := hasToCheck(t, p, test.user, test.password); got != test.want {
				t.Errorf("%s: checked %v, want %v", test.name, got, test.want)
			}
		}
	})
}

// What is remembered has a bound, and is forgotten when the file changes.
func TestPasswordsForget(t *testing.T) {
	p := passwordsOf(t, "one")
	for n := range maxRight + 10 {
		u := p.keyOf(fmt.Sprint(n), "x")
		if table, err := p.current(); err != nil {
			t.Fatal(err)
		} else if table.remember(u); len(table.right) > maxRight {
			t.Fatalf("%d are remembered", len(table.right))
		}
	}
	if ok, err := p.match(context.Background(), "one", "correct horse", nil); !ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	if _, err := p.checks.acquire(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if hasToCheck(t, p, "one", "correct horse") {
		t.Error("not remembered")
	}
	if err := os.WriteFile(p.file, []byte("one:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n#\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !hasToCheck(t, p, "one", "correct horse") {
		t.Error("remembered although the file is another")
	}
}

// BenchmarkPasswords is the check of one that is remembered, with its look at the file.
func BenchmarkPasswords(b *testing.B) {
	p := passwordsOf(b, "one")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(p.file, old, old); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := p.match(context.Background(), "one", "correct horse", nil); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
