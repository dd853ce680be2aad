package gatehouse_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"mime/multipart"
	"os/exec"
	"strings"
	"testing"
)

// applicationTrials are programs with a library for CGI, and awstats.
var applicationTrials = []trial{
	{"CGI.pm: upload and cookies", []string{"perl", "libcgi-pm-perl"}, cgiPm},
	{"CGI.pm: redirect (A77, A90)", []string{"perl", "libcgi-pm-perl"}, one(request{path: "/cgi-bin/form.pl?to=https://example.org/%3Fa%3Db",
		status: 303, fields: map[string]string{"Location": "https://example.org/?a=b"}})},
	{"FieldStorage: 20 MiB", []string{"python3"}, fieldStorage},
	{"awstats", []string{"awstats", "perl"}, awstats},
}

// form is a multipart body with a field "text" and a file "file".
func form(text, name, content string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("text", text)
	part, _ := w.CreateFormFile("file", name)
	_, _ = part.Write([]byte(content))
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func cgiPm(t *testing.T, h *host) {
	content := noise(300_000)
	kind, body := form("größer", "a b.bin", content)
	got := h.ask(t, request{method: "POST", path: "/cgi-bin/form.pl", header: map[string]string{"Content-Type": kind}, body: body, status: 200,
		want: fmt.Sprintf("seen: none\nfile: a b.bin %d %x\ntext: größer\n", len(content), md5.Sum([]byte(content)))})
	cookies := got.header.Values("Set-Cookie") // two fields, never joined (A73)
	if len(cookies) != 2 || !strings.HasPrefix(cookies[0], "seen=once;") || !strings.HasPrefix(cookies[1], "second=2;") {
		t.Errorf("Set-Cookie: %q", cookies)
	}
	h.ask(t, request{path: "/cgi-bin/form.pl?text=t", header: map[string]string{"Cookie": "x=y; seen=once"}, status: 200, want: "seen: once\ntext: t\n"})
}

func fieldStorage(t *testing.T, h *host) {
	if err := exec.Command(whereIs["python3"], "-W", "ignore", "-c", "import cgi").Run(); err != nil {
		t.Skipf("SKIPPED: this python3 is without the module cgi, as from 3.13: %v", err)
	}
	content := noise(20 << 20)
	kind, body := form("t", "noise", content)
	for _, chunked := range []bool{false, true} {
		h.ask(t, request{method: "POST", path: "/cgi-bin/upload.py", header: map[string]string{"Content-Type": kind}, body: body, chunked: chunked,
			status: 200, want: fmt.Sprintf("field text t\nfile noise %d %x\n", len(content), sha256.Sum256([]byte(content)))})
	}
}

// awstats reads a log and shows the month, all through CGI.
func awstats(t *testing.T, h *host) {
	dir := h.path("awstats")
	write(t, dir+"/access.log",
		`192.0.2.7 - - [03/Mar/2024:10:00:00 +0000] "GET /the-page.html HTTP/1.1" 200 5120 "-" "Mozilla/5.0 (X11; Linux) Firefox/120.0"`+"\n"+
			`192.0.2.8 - - [03/Mar/2024:10:00:05 +0000] "GET /other-page.html HTTP/1.1" 200 1024 "-" "Mozilla/5.0 (X11; Linux) Firefox/120.0"`+"\n", 0o644)
	write(t, dir+"/awstats.test.conf", fmt.Sprintf("LogFile=%q\nLogType=W\nLogFormat=1\nSiteDomain=\"www.example.org\"\n"+
		"HostAliases=\"localhost\"\nDirData=%q\nDNSLookup=0\nAllowToUpdateStatsFromBrowser=1\nUseFramesWhenCGI=0\nDirLang=\"/usr/share/awstats/lang\"\n",
		dir+"/access.log", dir), 0o644)
	query := "/stats?config=test&configdir=" + dir
	h.ask(t, request{path: query + "&update=1", status: 200, part: "from config file awstats.test.conf"})
	h.ask(t, request{path: query + "&month=03&year=2024&output=urldetail", status: 200, part: "/the-page.html"})
	h.ask(t, request{path: query + "&month=03&year=2024&output=allhosts", status: 200, part: "192.0.2.8"})
}
