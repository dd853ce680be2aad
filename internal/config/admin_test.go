package config_test

import (
	"strings"
	"testing"

	"gatehouse/internal/config"
)

func TestAdmin(t *testing.T) {
	c := parse(t, "admin = [\"127.0.0.1:9180\", \"[::1]:9180\", \"unix:run/admin.sock\", \"127.0.0.1:0\", \"127.0.0.1:0\"]\n[[site]]\nroot = \"/x\"\n")
	var got []string
	for _, l := range c.Admin {
		got = append(got, l.Network+" "+l.Address)
	}
	want := "tcp 127.0.0.1:9180, tcp [::1]:9180, unix etc/run/admin.sock, tcp 127.0.0.1:0, tcp 127.0.0.1:0"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
	if c := parse(t, "[[site]]\nroot = \"/x\"\n"); len(c.Admin) != 0 {
		t.Errorf("by default it is %v", c.Admin)
	}
}

func TestAdminErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no array", `admin = "127.0.0.1:9180"`, `etc/g.toml:1:9: admin: expected an array`},
		{"port alone", `admin = ["9180"]`, `etc/g.toml:1:10: admin: bad address "9180" (write ":9180")`},
		{"protocol", `admin = ["fastcgi:127.0.0.1:9180"]`, `bad address "fastcgi:127.0.0.1:9180" (expected "host:port" or "unix:/path"; it is always HTTP)`},
		{"http", `admin = ["http:127.0.0.1:9180"]`, `it is always HTTP`},
		{"inherited", `admin = ["fd:3"]`, `bad address "fd:3" (expected "host:port" or "unix:/path"`},
		{"twice", `admin = [":9180", ":9180"]`, `etc/g.toml:1:19: admin: address ":9180" is listed twice`},
		{"long", `admin = ["unix:/` + strings.Repeat("x", 107) + `"]`, "is longer than 107 bytes"},
		{"in a site", "[[site]]\nadmin = []", "not allowed here (it belongs at the top of the main file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("etc/g.toml", []byte(tt.text+"\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
