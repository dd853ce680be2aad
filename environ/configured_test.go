package environ_test

import (
	"strings"
	"testing"

	"gatehouse/environ"
)

// A25, A26, A27, A29, E24.
func TestAddConfigured(t *testing.T) {
	for _, test := range []struct {
		name, variable, value string
		reason                string // "" if it is accepted
	}{
		{"plain", "GIT_PROJECT_ROOT", "/srv/git", ""},
		{"replaces what was configured", "CONFIGURED", "new", ""},
		{"underscore first", "_x9", "", ""},
		{"newline in the value", "X", "a\nb", ""},
		{"unknown user", "REMOTE_IDENT", "joe", ""},
		{"not a client's", "SSL_CERT_FILE", "/x", ""},
		{"longest", "X", strings.Repeat("x", environ.MaxVar-2), ""},
		{"too long", "X", strings.Repeat("x", environ.MaxVar-1), `variable "X" is longer than 131071 bytes`},
		{"NUL", "X", "a\x00b", `variable "X" has a NUL in its value`},
		{"empty name", "", "x", `"" is no name for a variable`},
		{"digit first", "9X", "x", `"9X" is no name for a variable`},
		{"equals sign", "A=B", "x", `"A=B" is no name for a variable`},
		{"hyphen", "A-B", "x", `"A-B" is no name for a variable`},
		{"derived", "SCRIPT_FILENAME", "/etc/passwd", `variable "SCRIPT_FILENAME" is set by the server`},
		{"derived, absent now", "CONTENT_LENGTH", "1", `variable "CONTENT_LENGTH" is set by the server`},
		{"derived, other case", "path_info", "x", `variable "path_info" is set by the server`},
		{"identity, other case", "remote_user", "x", `variable "remote_user" is set by the server`},
		{"client certificate", "SSL_CLIENT_S_DN", "x", `variable "SSL_CLIENT_S_DN" is set by the server`},
		{"header", "HTTP_X", "x", `variable "HTTP_X" is set by the server`},
		{"httpoxy, E24", "HTTP_PROXY", "x", `variable "HTTP_PROXY" is set by the server`},
		{"loader, A26", "LD_PRELOAD", "/x.so", `variable "LD_PRELOAD" would change how programs are loaded`},
		{"case, A29", "Configured", "x", "variables CONFIGURED and Configured differ only in case"},
	} {
		var e environ.Env
		e.Set("CONFIGURED", "old")
		err := e.AddConfigured(test.variable, test.value)
		if test.reason != "" {
			if statusOf(err) != 500 || err.Error() != "environ: "+test.reason {
				t.Errorf("%s: got %v, want %s", test.name, err, test.reason)
			}
			if got := strings.Join(e.Strings(), " "); got != "CONFIGURED=old" {
				t.Errorf("%s: refused, but left %q", test.name, got)
			}
			continue
		}
		if got := e.Get(test.variable); err != nil || got != test.value {
			t.Errorf("%s: %v, value %.50q", test.name, err, got)
		}
	}
}

// Every variable that a request can have is out of a configuration's reach.
func TestAddConfiguredReplacesNothing(t *testing.T) {
	e := fullEnv(t)
	before := strings.Join(e.Strings(), "\n")
	for name := range e.Clone().All() {
		if err := e.AddConfigured(name, "forged"); statusOf(err) != 500 {
			t.Errorf("AddConfigured(%q): %v", name, err)
		}
	}
	e.Set("REMOTE_USER", "joe")
	if err := e.AddConfigured("REMOTE_USER", "forged"); err != nil {
		t.Error(err)
	}
	e.Set("AUTH_TYPE", "Basic")
	if err := e.AddConfigured("AUTH_TYPE", "forged"); err != nil {
		t.Error(err)
	}
	if got, want := strings.Join(e.Strings(), "\n"), before+"\nREMOTE_USER=joe\nAUTH_TYPE=Basic"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
