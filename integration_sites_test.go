package gatehouse_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// siteRoutes are guarded, have files sent, have fields and pages of their own, and lead
// elsewhere. They follow the site's own keys.
func (h *host) siteRoutes() string {
	guarded := fmt.Sprintf("basic_auth = { realm = \"members\", file = %q }", h.path("users"))
	return "headers = { X-Frame-Options = \"DENY\", X-Powered-By = \"\" }\nerror_pages = { 404 = \"/cgi-bin/page.sh\" }\n" +
		aRoute("/cgi-bin/", fmt.Sprintf("cgi = %q", h.scripts+"/")) +
		aRoute("/guarded/", fmt.Sprintf("cgi = %q", h.scripts+"/"), guarded) +
		aRoute("/secret/", fmt.Sprintf("static = %q", h.path("files")+"/"), guarded) +
		aRoute("/sending/", fmt.Sprintf("cgi = %q", h.scripts+"/"), fmt.Sprintf("sendfile = %q", h.path("files")+"/"), `sendfile_prefix = "/protected/"`) +
		aRoute("/elsewhere/", `deny = ["all"]`, `redirect = "/index.html"`) +
		aRoute("/old/", `redirect = "/new/{rest}?{query}"`)
}

// siteFiles are what the routes need.
func (h *host) siteFiles(t *testing.T) {
	t.Helper()
	h.installScripts(t)
	if err := os.Mkdir(h.path("files"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"who.sh":    "printf 'Content-Type: text/plain\\nX-Powered-By: sh\\n\\n'\necho \"$AUTH_TYPE $REMOTE_USER\"\nenv | grep -c AUTHORIZATION || true\n",
		"sender.sh": "printf \"X-Sendfile: %s\\nContent-Type: text/x-file\\nCache-Control: private\\n\\nits own body\" \"$QUERY_STRING\"\n",
		"accel.sh":  "printf \"X-Accel-Redirect: %s\\nContent-Type: text/x-file\\nX-Accel-Expires: 5\\n\\nits own body\" \"$QUERY_STRING\"\n",
		"page.sh":   "printf 'Content-Type: text/plain\\n\\n'\necho \"no $REDIRECT_URL ($REDIRECT_STATUS, $REQUEST_METHOD)\"\n",
	} {
		write(t, filepath.Join(h.scripts, name), "#!/bin/sh\n"+text, 0o755)
	}
	write(t, h.path("users"), "joe:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\nerika:$2y$04$Oosh75aKVhtNer./TdpKkuU50XBe6LezfR0s/KKQz9wuTHJenmwqi\n", 0o644)
	write(t, h.path("files/report.txt"), "0123456789", 0o644)
}

// siteTrials are asked through every front: one that stands before Gatehouse hands on
// what its client says of itself, and all of the answer.
func (h *host) siteTrials() []request {
	basic := func(userAndPassword string) map[string]string {
		return map[string]string{"Authorization": "Basic " + inBase64(userAndPassword)}
	}
	own := map[string]string{"X-Frame-Options": "DENY", "X-Powered-By": ""}
	with := func(more ...string) map[string]string {
		all := map[string]string{"X-Sendfile": "", "X-Accel-Redirect": "", "X-Accel-Expires": ""}
		for name, value := range own {
			all[name] = value
		}
		for n := 0; n < len(more); n += 2 {
			all[more[n]] = more[n+1]
		}
		return all
	}
	challenge := with("WWW-Authenticate", `Basic realm="members", charset="UTF-8"`)
	return []request{
		{path: "/guarded/who.sh", status: 401, fields: challenge},
		{path: "/guarded/who.sh", header: basic("joe:wrong"), status: 401, fields: challenge},
		{path: "/guarded/who.sh", header: basic("joe:correct horse"), status: 200, fields: own, want: "Basic joe\n0\n"},
		{path: "/guarded/who.sh", header: basic("erika:correct horse"), status: 200, want: "Basic erika\n0\n"},
		{path: "/secret/report.txt", status: 401, fields: challenge},
		{path: "/secret/report.txt", header: basic("joe:correct horse"), status: 200, fields: own, want: "0123456789"},
		{path: "/secret/none", status: 401, fields: challenge},
		{path: "/sending/sender.sh?" + h.path("files/report.txt"), status: 200, fields: with("Content-Type", "text/x-file", "Cache-Control", "private"), want: "0123456789"},
		{path: "/sending/accel.sh?/protected/report.txt", status: 200, fields: with("Content-Type", "text/x-file"), want: "0123456789"},
		{path: "/sending/accel.sh?/protected/report.txt", header: map[string]string{"Range": "bytes=2-4"}, status: 206, fields: with("Content-Range", "bytes 2-4/10"), want: "234"},
		{path: "/sending/accel.sh?/protected/..%2Fusers", status: 404, fields: with(), want: "no /sending/accel.sh (404, GET)\n"},
		{method: "HEAD", path: "/sending/sender.sh?" + h.path("files/report.txt"), status: 200, fields: with("Content-Type", "text/x-file")},
		{path: "/none?a=b", status: 404, fields: own, want: "no /none (404, GET)\n"},
		{method: "POST", path: "/none", body: "some data", status: 404, fields: own, want: "no /none (404, GET)\n"},
		{path: "/elsewhere/", status: 403, fields: own},
		{path: "/old/a%20b?c=d", status: 302, fields: own},
		{path: "/index.html", status: 200, fields: own, want: "<p>static\n"},
	}
}

// TestSites has what a site says about its answers hold through the servers in front.
func TestSites(t *testing.T) {
	for _, name := range []string{"http", "nginx fastcgi", "nginx scgi", "apache fastcgi generic", "apache scgi", "lighttpd fastcgi", "haproxy fastcgi"} {
		t.Run(name, func(t *testing.T) {
			f := frontNamed(t, name)
			if name == "haproxy fastcgi" { // which keeps the field to itself otherwise
				f.server = haproxy("option keep-conn\n\tpass-header authorization")
			}
			need(t, f.needs...)
			h := newHost(t, f)
			h.siteFiles(t)
			h.up(t, f, h.siteRoutes())
			trials := h.siteTrials()
			for _, r := range trials {
				h.ask(t, r)
			}
			got, err := h.do(request{path: "/old/a%20b?c=d"})
			if err != nil || !strings.HasSuffix(got.header.Get("Location"), "/new/a%20b?c=d") {
				t.Errorf("Location: got %v, %v", got, err)
			}
			var text []byte
			if !eventually(func() bool { // lines are written when all is over
				text, err = os.ReadFile(h.path("access.log"))
				return bytes.Count(text, []byte("\n")) == len(trials)+1
			}) {
				t.Errorf("the access log has not %d lines, %v:\n%s", len(trials)+1, err, text)
			}
			for _, secret := range []string{"correct horse", inBase64("joe:correct horse"), "wrong"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("%q is in the access log", secret)
				}
			}
		})
	}
}

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
