package gatehouse_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestGuard has Gatehouse decide for Apache and lighttpd who may have their files: it
// is their FastCGI authorizer, and a CGI program says yes or no (B42).
func TestGuard(t *testing.T) {
	basic := func(userAndPassword string) map[string]string {
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(userAndPassword))}
	}
	for _, test := range []struct {
		front    front
		no, yes  map[string]string // request fields
		noStatus int
	}{
		{front{name: "apache authnz_fcgi", needs: []string{"apache2-bin"}, listen: "fastcgi:" + onTCP, server: apache(`
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so
LoadModule authnz_fcgi_module /usr/lib/apache2/modules/mod_authnz_fcgi.so
AuthnzFcgiDefineProvider authn gatehouse fcgi://{backend}/
<Location /guarded/>
	AuthType Basic
	AuthName guarded
	AuthBasicProvider gatehouse
	Require valid-user
</Location>`)},
			basic("joe:wrong"), basic("joe:secret"), 401},
		{front{name: "lighttpd authorizer", needs: []string{"lighttpd"}, listen: "fastcgi:" + onUnix, server: lighttpd("0",
			`fastcgi.server = ("/guarded/" => (("socket" => "{dir}/gateway.sock", "mode" => "authorizer", "check-local" => "disable", "docroot" => "{htdocs}")))`)},
			map[string]string{"X-Key": "wrong"}, map[string]string{"X-Key": "open"}, 403},
	} {
		t.Run(test.front.name, func(t *testing.T) {
			need(t, test.front.needs...)
			h := newHost(t, test.front)
			h.installScripts(t)
			if err := os.Mkdir(filepath.Join(h.htdocs, "guarded"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(h.htdocs, "guarded", "secret.html"), "the secret\n", 0o644)
			h.up(t, test.front, aRoute("/guarded/", fmt.Sprintf("cgi = %q", h.scripts+"/guard.sh")))
			for range 3 {
				h.ask(t, request{path: "/guarded/secret.html", header: test.no, status: test.noStatus})
				h.ask(t, request{path: "/guarded/secret.html", header: test.yes, status: 200, want: "the secret\n"})
			}
			h.ask(t, request{path: "/guarded/secret.html", status: test.noStatus})
			h.ask(t, request{path: "/index.html", status: 200, want: "<p>static\n"})
		})
	}
}
