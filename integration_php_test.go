package gatehouse_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// phpWays are the two ways to run PHP.
var phpWays = []responder{
	{name: "php-cgi", needs: []string{"php-cgi"}, keys: func(*testing.T, *host) string { return spawned(whereIs["php-cgi"]) }},
	{name: "php-fpm", needs: []string{"php-fpm"}, keys: phpFPM},
}

// TestPHP has a front controller with pretty URLs, path info and uploads, and what must
// not be run (A42, A43, B25, B40).
func TestPHP(t *testing.T) {
	for _, way := range phpWays {
		for _, f := range []front{fronts[0], frontNamed(t, "nginx fastcgi")} {
			t.Run(way.name+" by "+f.name, func(t *testing.T) {
				t.Parallel()
				need(t, way.needs...)
				need(t, f.needs...)
				h := newHost(t, f)
				for _, name := range []string{"index.php", "upload.php"} {
					write(t, filepath.Join(h.htdocs, name), readFile(t, testdata(t, "php", name)), 0o644)
				}
				write(t, filepath.Join(h.htdocs, "style.css"), "body {}\n", 0o644)
				write(t, filepath.Join(h.htdocs, "photo.jpg"), "<?php echo 'run';", 0o644)
				h.up(t, f, "index = [\"index.php\"]\nfallback = \"/index.php\"\n"+aRoute("*.php", way.keys(t, h)))
				phpPaths(t, h)
				phpUpload(t, h)
			})
		}
	}
}

func phpPaths(t *testing.T, h *host) {
	for _, test := range []struct{ path, self, info, query string }{
		{"/", "/index.php", "", ""},
		{"/index.php", "/index.php", "", ""},
		{"/index.php?a=b", "/index.php", "", "a=b"},
		{"/index.php/extra/path?a", "/index.php/extra/path", "/extra/path", "a"},
		{"/2024/03/a-post/?p=1", "/index.php", "", "p=1"},
		{"/caf%C3%A9/x", "/index.php", "", ""},
	} {
		info := test.info
		if info == "" {
			info = "(none)"
		}
		h.ask(t, request{path: test.path, status: 200, want: fmt.Sprintf(
			"REQUEST_URI %s\nSCRIPT_NAME /index.php\nSCRIPT_FILENAME %s/index.php\nPHP_SELF %s\nPATH_INFO %s\nQUERY_STRING %s\nREDIRECT_STATUS 200\n",
			test.path, h.htdocs, test.self, info, test.query)})
	}
	h.ask(t, request{path: "/style.css", status: 200, want: "body {}\n"})
	h.ask(t, request{path: "/photo.jpg", status: 200, want: "<?php echo 'run';"})
	for _, path := range []string{"/photo.jpg/x.php", "/photo.jpg/index.php", "/%E2%93%9F.%E2%93%9F%E2%93%97%E2%93%9F"} {
		if got, err := h.do(request{path: path}); err != nil || got.body == "run" {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
}

func phpUpload(t *testing.T, h *host) {
	for _, size := range []int{1, 65_536, 1_500_000} {
		content := noise(size)
		kind, body := form("größer", "a b.bin", content)
		for _, chunked := range []bool{false, true} {
			h.ask(t, request{method: "POST", path: "/upload.php", header: map[string]string{"Content-Type": kind}, body: body, chunked: chunked, status: 200,
				want: fmt.Sprintf("text: größer\nfile: a b.bin %d %x\n", size, md5.Sum([]byte(content)))})
		}
	}
}

// A wiki is a visitor of DokuWiki with a browser's memory.
type wiki struct {
	t      *testing.T
	h      *host
	client *http.Client
}

// TestDokuWiki logs in, writes a page, uploads a file, and finds both as a visitor does.
func TestDokuWiki(t *testing.T) {
	for _, way := range phpWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			need(t, append([]string{"dokuwiki", "php-xml"}, way.needs...)...)
			h := newHost(t, fronts[0])
			h.installWiki(t)
			h.up(t, fronts[0], "index = [\"index.php\", \"doku.php\"]\n"+aRoute("*.php", way.keys(t, h)))
			jar, _ := cookiejar.New(nil)
			w := &wiki{t, h, &http.Client{Jar: jar, Timeout: patience, Transport: h.client.Transport}}
			w.visit()
		})
	}
}

// installWiki copies Debian's DokuWiki: its own folder is not to be written to, and links
// to others.
func (h *host) installWiki(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("cp", "-rL", "/usr/share/dokuwiki/.", h.htdocs).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	conf, data := h.path("conf"), h.path("data")
	for _, dir := range []string{"pages", "attic", "media", "media_attic", "media_meta", "meta", "cache", "index", "locks", "tmp", "log"} {
		if err := os.MkdirAll(filepath.Join(data, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-rL", "/etc/dokuwiki", conf).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	write(t, filepath.Join(conf, "local.php"), fmt.Sprintf("<?php\n$conf['title'] = 'The Wiki';\n$conf['savedir'] = '%s';\n"+
		"$conf['useacl'] = 1;\n$conf['superuser'] = 'joe';\n$conf['disableactions'] = 'register';\n$conf['userewrite'] = '2';\n", data), 0o644)
	write(t, filepath.Join(conf, "acl.auth.php"), "# <?php exit()?>\n*\t@ALL\t1\n*\tjoe\t16\n", 0o644)
	// The password is "secret", in the plainest of DokuWiki's ways to keep one.
	write(t, filepath.Join(conf, "users.auth.php"), fmt.Sprintf("# <?php exit()?>\njoe:%x:Joe:joe@example.org:admin,user\n", md5.Sum([]byte("secret"))), 0o644)
	preload := filepath.Join(h.htdocs, "inc", "preload.php")
	write(t, preload, fmt.Sprintf("<?php\ndefine('DOKU_CONF', '%s/');\n?>%s", conf, readFile(t, preload)), 0o644)
}

func (w *wiki) visit() {
	w.see(w.get("/doku.php?id=start"), "The Wiki")
	w.see(w.post("/doku.php/start?do=login", w.hidden(w.get("/doku.php?id=start&do=login"), `id="dw__login"`, url.Values{"u": {"joe"}, "p": {"wrong"}})), "Sorry, username or password was wrong")
	w.see(w.post("/doku.php/start?do=login", w.hidden(w.get("/doku.php?id=start&do=login"), `id="dw__login"`, url.Values{"u": {"joe"}, "p": {"secret"}})), "Logged in as")

	const text = "====== A Page ======\n\nWritten **boldly**, größer, {{:noise.gz}}.\n"
	edit := w.hidden(w.get("/doku.php/a:page?do=edit"), `id="dw__editform"`, url.Values{"wikitext": {text}, "summary": {"first"}, "do[save]": {"1"}})
	w.see(w.post("/doku.php/a:page", edit), "<strong>boldly</strong>")
	w.see(w.get("/doku.php/a:page?do=export_raw"), text)
	w.see(w.get("/doku.php/a:page?do=revisions"), "first")

	w.upload("noise.gz", noise(300_000))
	w.see(w.get("/lib/exe/fetch.php/noise.gz"), noise(300_000))
	w.see(w.get("/doku.php/a:page"), "/lib/exe/fetch.php/noise.gz")
	w.see(w.get("/lib/exe/css.php?t=dokuwiki"), "dokuwiki")
}

func (w *wiki) get(path string) string {
	w.t.Helper()
	return w.body(w.client.Get(w.h.url(path)))
}

func (w *wiki) post(path string, values url.Values) string {
	w.t.Helper()
	return w.body(w.client.PostForm(w.h.url(path), values))
}

func (w *wiki) body(resp *http.Response, err error) string {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 500 {
		w.t.Fatalf("%s %s: status %d, %v: %s", resp.Request.Method, resp.Request.URL, resp.StatusCode, err, clip(string(text)))
	}
	return string(text)
}

func (w *wiki) see(page, part string) {
	w.t.Helper()
	if !strings.Contains(page, part) {
		w.t.Fatalf("no %q in %d bytes: %s", clip(part), len(page), page[:min(len(page), 6000)])
	}
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// hidden adds the hidden fields of a page's form to values.
func (w *wiki) hidden(page, form string, values url.Values) url.Values {
	w.t.Helper()
	_, page, found := strings.Cut(page, form)
	page, _, _ = strings.Cut(page, "</form>")
	if !found {
		w.t.Fatalf("no %s in the page", form)
	}
	for _, m := range hiddenInput.FindAllStringSubmatch(page, -1) {
		if !values.Has(m[1]) {
			values.Set(m[1], m[2])
		}
	}
	return values
}

// upload gives the wiki a file by its form.
func (w *wiki) upload(name, content string) {
	w.t.Helper()
	const page = "/lib/exe/mediamanager.php"
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for field, values := range w.hidden(w.get(page+"?ns="), `id="dw__upload"`, url.Values{"mediaid": {name}}) {
		_ = parts.WriteField(field, values[0])
	}
	file, _ := parts.CreateFormFile("upload", name)
	_, _ = io.WriteString(file, content)
	_ = parts.Close()
	resp, err := w.client.Post(w.h.url(page), parts.FormDataContentType(), &body)
	w.see(w.body(resp, err), "Upload successful")
}
