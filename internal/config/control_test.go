package config_test

import (
	"strings"
	"testing"

	"gatehouse/internal/config"
)

func TestControl(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"off", `control = "off"`, config.NoControl},
		{"absolute", `control = "/run/x.sock"`, "/run/x.sock"},
		{"relative", `control = "run/x.sock"`, "etc/run/x.sock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parse(t, tt.text+"\n[[site]]\nroot = \"/x\"\n").Control; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestControlErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", `control = ""`, "etc/g.toml:1:11: control: empty socket path"},
		{"boolean", `control = false`, `etc/g.toml:1:11: control: expected a string, got a boolean (write "off")`},
		{"true", `control = true`, `etc/g.toml:1:11: control: expected a string, got a boolean`},
		{"abstract", `control = "@x"`, `etc/g.toml:1:11: control: abstract socket "@x" is not supported (any user may connect to one)`},
		{"folder", `control = "/run/"`, `etc/g.toml:1:11: control: bad socket path "/run/" (expected a file's name at its end)`},
		{"long", `control = "/` + strings.Repeat("x", 107) + `"`, "is longer than 107 bytes"},
		{"in a site", "[[site]]\ncontrol = \"off\"", "not allowed here (it belongs at the top of the main file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("etc/g.toml", []byte(tt.text+"\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
