package gatehouse_test

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func init() {
	maps.Copy(whereIs, map[string]string{
		"systemd": "/usr/bin/systemd-socket-activate",
	})
}

// A recipe is a section of docs/recipes.md: the files that it gives, by their names.
type recipe map[string]string

// recipeFile finds a file in a section.
var recipeFile = regexp.MustCompile("(?s)\nFile `([^`]+)`[^\n]*:\n\n```[a-z]*\n(.*?)```\n")

// recipeNamed reads a section of docs/recipes.md.
func recipeNamed(t *testing.T, title string) recipe {
	t.Helper()
	_, section, found := strings.Cut(readFile(t, "docs/recipes.md"), "\n## "+title+"\n")
	if !found {
		t.Fatalf("docs/recipes.md has no section %q", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	r := recipe{}
	for _, m := range recipeFile.FindAllStringSubmatch(section, -1) {
		r[m[1]] = m[2]
	}
	return r
}

// A kitchen is where a recipe is tried: its files with the host's folder in place of the
// system's, and addresses of the test's own.
type kitchen struct {
	*host
	files  recipe
	places *strings.Replacer
}

// openKitchen writes the files of a recipe. What begins with "#!" can be executed.
func openKitchen(t *testing.T, title string) *kitchen {
	t.Helper()
	h := newHost(t, front{})
	h.server = freePort(t)
	k := &kitchen{host: h, files: recipeNamed(t, title), places: strings.NewReplacer(
		"/etc/gatehouse/", h.dir+"/", "/run/gatehouse/", h.dir+"/", "/var/log/gatehouse/", h.dir+"/", "/run/fcgiwrap.socket", h.dir+"/wrap.sock",
		"/srv/", h.dir+"/srv/", "/var/www/html", h.htdocs, "/usr/lib/cgi-bin", h.scripts, "/usr/lib$", h.dir+"$",
		"/etc/nginx/sites-available/", h.dir+"/nginx-", "/etc/apache2/sites-available/", h.dir+"/apache-", "/etc/systemd/", h.dir+"/systemd/",
		"listen 80;", "listen "+h.server+";", "<VirtualHost *:80>", "<VirtualHost *>", "include fastcgi_params", "include /etc/nginx/fastcgi_params",
		"127.0.0.1:8080", h.server, `"www-data"`, `"`+webGroup(t)+`"`)}
	if len(k.files) == 0 {
		t.Fatalf("%s: there is no file", title)
	}
	for name, text := range k.files {
		k.add(t, name, text)
	}
	for _, dir := range []string{"srv/example/htdocs", "srv/git", "srv/blog/uploads", "srv/shop/static"} {
		if err := os.MkdirAll(h.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// webGroup is the group of web servers, which only root can give a socket to; else the own.
func webGroup(t *testing.T) string {
	if os.Getuid() == 0 {
		return "www-data"
	}
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Gid
}

// add writes a file of the system's where the kitchen has it.
func (k *kitchen) add(t *testing.T, name, text string) {
	t.Helper()
	name, text = k.places.Replace(name), k.places.Replace(text)
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, name, text, mode)
}

// serve starts gatehouse with the recipe's configuration.
func (k *kitchen) serve(t *testing.T) {
	t.Helper()
	k.start(t)
	t.Cleanup(func() { k.stop(t) })
}

// nginx starts one with the recipe's file in its http block.
func (k *kitchen) nginx(t *testing.T, file string) {
	t.Helper()
	write(t, k.path("nginx.conf"), fill(`
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
{user}
events {}
http {
	access_log off;
	client_body_temp_path {dir}/nginx-body; fastcgi_temp_path {dir}/nginx-fastcgi; scgi_temp_path {dir}/nginx-scgi;
	proxy_temp_path {dir}/nginx-proxy; uwsgi_temp_path {dir}/nginx-uwsgi;
	include {file};
}
`, "{dir}", k.dir, "{user}", asRoot("user www-data;"), "{file}", k.places.Replace(file)), 0o644)
	startPeer(t, k.dir, k.server, exec.Command(whereIs["nginx"], "-p", k.dir, "-e", "stderr", "-c", k.path("nginx.conf")))
}

// visitor is the address that requests come from: not the one of a server in front.
const visitor = "127.0.0.7"

// fetch makes a request of the visitor's for example.org.
func (k *kitchen) fetch(t *testing.T, method, path, body string, want int) string {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(visitor)}, Timeout: patience}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(method, "http://"+k.server+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "example.org"
	resp, err := (&http.Client{Transport: tr, Timeout: 2 * patience}).Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: status %d, want %d, %v: %q", method, path, resp.StatusCode, want, err, clip(string(text)))
	}
	return string(text)
}

// sees fails the test where a page is not as it has to be.
func (k *kitchen) sees(t *testing.T, path, want string) {
	t.Helper()
	if got := k.fetch(t, "GET", path, "", 200); !strings.Contains(got, want) {
		t.Errorf("GET %s: no %q in %q", path, want, clip(got))
	}
}

// recipes are the sections of docs/recipes.md, with what proves that they work.
var recipes = []struct {
	title string
	needs []string
	run   func(t *testing.T, k *kitchen)
}{
	{"Behind nginx", []string{"nginx"}, func(t *testing.T, k *kitchen) {
		k.add(t, "/srv/example/htdocs/index.html", "<p>the page\n")
		k.serve(t)
		k.nginx(t, "/etc/nginx/sites-available/example")
		k.sees(t, "/cgi-bin/hello.sh", "Hello, "+visitor+"\n")
		k.sees(t, "/", "<p>the page\n")
	}},
	{"Behind nginx, by HTTP", []string{"nginx"}, nginxByHTTP},
	{"Behind Apache", []string{"apache2-bin", "python3"}, func(t *testing.T, k *kitchen) {
		k.serve(t)
		k.server = apache(k.places.Replace(k.files["/etc/apache2/sites-available/example.conf"]))(t, k.host)
		k.sees(t, "/cgi-bin/env.py/a%20b?c=d", "SERVER_NAME = example.org\nREQUEST_METHOD = GET\nSCRIPT_NAME = /cgi-bin/env.py\nPATH_INFO = /a b\nQUERY_STRING = c=d\n")
	}},
	{"Instead of fcgiwrap", []string{"nginx", "spawn-fcgi", "perl"}, insteadOfFcgiwrap},
	{"Instead of mod_fcgid", []string{"apache2-bin", "perl", "libfcgi-perl"}, func(t *testing.T, k *kitchen) {
		k.serve(t)
		k.server = apache(k.places.Replace(k.files["/etc/apache2/sites-available/app.conf"]))(t, k.host)
		k.sees(t, "/app/x", "production: /x, request ")
		k.sees(t, "/app/y", "production: /y, request ")
	}},
	{"Git, with passwords", []string{"git"}, gitWithPasswords},
	{"gitweb", []string{"git", "gitweb", "perl", "libcgi-pm-perl"}, func(t *testing.T, k *kitchen) {
		k.git(t, k.dir, "init", "-q", "--bare", k.path("srv/git/p.git"))
		k.serve(t)
		k.sees(t, "/gitweb", "p.git")
		k.sees(t, "/gitweb-static/gitweb.css", "font-family")
	}},
	{"PHP with a front controller", []string{"php-cgi"}, func(t *testing.T, k *kitchen) {
		k.add(t, "/srv/blog/uploads/x.php", "<?php echo 'run';")
		k.add(t, "/srv/blog/style.css", "body {}")
		k.serve(t)
		k.sees(t, "/", "page /\n")
		k.sees(t, "/2024/a-post?x=y", "page /2024/a-post\n")
		k.sees(t, "/style.css", "body {}")
		k.sees(t, "/uploads/x.php", "<?php echo")
	}},
	{"Flask", []string{"python3", "python3-flask"}, func(t *testing.T, k *kitchen) {
		k.add(t, "/srv/shop/static/a.css", "body {}")
		k.python(t, k.dir, "-m", "venv", "--without-pip", "--system-site-packages", k.path("srv/shop/venv"))
		k.serve(t)
		k.sees(t, "/hello/world", "Hello, world, from /hello/world\n")
		k.sees(t, "/static/a.css", "body {}")
	}},
	{"Django", []string{"python3", "python3-django"}, djangoProject},
	{"systemd", []string{"systemd"}, func(t *testing.T, k *kitchen) {
		k.add(t, "/var/www/html/index.html", "<p>the page\n")
		k.add(t, "/usr/lib/cgi-bin/hello.sh", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello\\n'\n")
		startPeer(t, k.dir, k.server, exec.Command(whereIs["systemd"], "--fdname=web", "-l", k.server, "-E", "PATH", binary, "serve", "-c", k.path("gatehouse.toml")))
		k.sees(t, "/", "<p>the page\n")
		k.sees(t, "/cgi-bin/hello.sh", "hello\n")
	}},
}

// TestRecipes does what docs/recipes.md says, all of it.
func TestRecipes(t *testing.T) {
	var titles []string
	for line := range strings.Lines(readFile(t, "docs/recipes.md")) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			titles = append(titles, strings.TrimSpace(title))
		}
	}
	if len(titles) != len(recipes) {
		t.Errorf("docs/recipes.md has the sections %q, and %d are tried", titles, len(recipes))
	}
	for n, r := range recipes {
		t.Run(strings.Fields(r.title)[len(strings.Fields(r.title))-1], func(t *testing.T) {
			t.Parallel()
			if n < len(titles) && titles[n] != r.title {
				t.Errorf("section %d is %q, want %q", n+1, titles[n], r.title)
			}
			need(t, r.needs...)
			r.run(t, openKitchen(t, r.title))
		})
	}
}

// nginxByHTTP has the same address for nginx in one file and for Gatehouse in the other.
func nginxByHTTP(t *testing.T, k *kitchen) {
	k.serve(t)
	file, listen := k.places.Replace("/etc/nginx/sites-available/example"), freePort(t)
	write(t, file, strings.Replace(readFile(t, file), "listen "+k.server, "listen "+listen, 1), 0o644)
	k.server = listen
	k.nginx(t, file)
	k.sees(t, "/cgi-bin/where.sh", "example.org "+visitor+" off\n")
}

// insteadOfFcgiwrap starts what the unit says as systemd would, with a socket for it, by
// spawn-fcgi. The unit is the one in packaging.
func insteadOfFcgiwrap(t *testing.T, k *kitchen) {
	const unit = "/etc/systemd/system/fcgiwrap.service.d/gatehouse.conf"
	if packaged := readFile(t, "packaging/systemd/fcgiwrap.service.d/gatehouse.conf"); packaged != k.files[unit] {
		t.Errorf("%s is not the one in packaging:\n%s", unit, packaged)
	}
	lines := strings.Split(k.places.Replace(k.files[unit]), "\nExecStart=")
	command, _, _ := strings.Cut(lines[len(lines)-1], "\n")
	words := strings.Fields(command)
	args := append([]string{"-n", "-M", "0666", "-s", k.path("wrap.sock"), "--", binary}, words[1:]...)
	startPeer(t, k.dir, k.path("wrap.sock"), exec.Command(whereIs["spawn-fcgi"], args...))
	k.nginx(t, "/etc/nginx/sites-available/cgi")
	if got := k.fetch(t, "POST", "/cgi-bin/form.pl", "a=b", 200); got != "POST: a=b\n" {
		t.Errorf("the script says %q", got)
	}
}

func gitWithPasswords(t *testing.T, k *kitchen) {
	sum := sha1.Sum([]byte("secret"))
	k.add(t, "/etc/gatehouse/git.htpasswd", "ada:{SHA}"+base64.StdEncoding.EncodeToString(sum[:])+"\n")
	k.git(t, k.dir, "init", "-q", "--bare", "-b", "main", k.path("srv/git/p.git"))
	k.serve(t)
	work := filepath.Join(t.TempDir(), "work")
	k.git(t, k.dir, "init", "-q", "-b", "main", work)
	k.commit(t, work, "README", "the text\n")
	k.fetch(t, "GET", "/git/p.git/info/refs?service=git-receive-pack", "", 403)
	k.fetch(t, "GET", "/git-rw/p.git/info/refs?service=git-receive-pack", "", 401)
	k.git(t, work, "push", "-q", "http://ada:secret@"+k.server+"/git-rw/p.git", "main")
	k.git(t, k.dir, "clone", "-q", k.url("/git/p.git"), k.path("clone"))
	if got := readFile(t, k.path("clone/README")); got != "the text\n" {
		t.Errorf("the clone has %q", got)
	}
}

// djangoProject makes the project as its authors' manual says.
func djangoProject(t *testing.T, k *kitchen) {
	project := k.path("srv/mysite")
	if err := os.MkdirAll(project, 0o755); err != nil {
		t.Fatal(err)
	}
	k.python(t, k.dir, "-m", "django", "startproject", "mysite", project)
	settings := filepath.Join(project, "mysite/settings.py")
	write(t, settings, readFile(t, settings)+"\nSTATIC_ROOT = BASE_DIR / \"static\"\nALLOWED_HOSTS = [\"example.org\"]\n", 0o644)
	k.python(t, project, "manage.py", "collectstatic", "--noinput", "-v0")
	k.serve(t)
	k.sees(t, "/", "The install worked successfully")
	k.sees(t, "/static/admin/css/base.css", "font-family")
}

// python runs Debian's, for which the packages are.
func (k *kitchen) python(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(whereIs["python3"], args...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "HOME=" + k.dir, "TMPDIR=" + k.dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("python3 %q: %v\n%s", args, err, out)
	}
}
