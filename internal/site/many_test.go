package site_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

const manySites, manyRoots = 10_000, 1000

// manyConfig writes a main file that includes so many sites, a hundred in each file,
// every one with programs and a PHP application of its own, and returns its name. There
// are fewer folders, which is a matter of the test's time alone.
func manyConfig(t testing.TB, sites int) string {
	t.Helper()
	dir := tree(t, files{"bin/php-cgi": script("exit 0"), "cgi/env": script(okHeader, "echo $SERVER_NAME"), "sites.d/": ""})
	var text strings.Builder
	for n := range sites {
		root := fmt.Sprintf("%s/www/%d", dir, n%manyRoots)
		if n < manyRoots {
			write1(t, root+"/a.txt", strconv.Itoa(n))
		}
		fmt.Fprintf(&text, `[[site]]
hosts = ["site%d.example", "www.site%d.example"]
root = %q
timeout = "2m"
env = { SITE = "%d" }
  [[site.route]]
  path = "/cgi-bin/"
  cgi = %q
  [[site.route]]
  path = "*.php"
  fastcgi = { command = [%q], workers = 2, min_workers = 0 }

`, n, n, root, n, dir+"/cgi/", dir+"/bin/php-cgi")
		if n%100 == 99 || n == sites-1 {
			write1(t, fmt.Sprintf("%s/sites.d/%05d.toml", dir, n), text.String())
			text.Reset()
		}
	}
	write1(t, filepath.Join(dir, "g.toml"), "listen = ['127.0.0.1:0']\ninclude = ['sites.d/*.toml']\naccess_log = 'off'\nenv = { A = 'x', B = 'y' }\n")
	return filepath.Join(dir, "g.toml")
}

func write1(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, name string) *config.Config {
	t.Helper()
	cfg, err := config.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// heap is how much memory is in use once what is not has been found.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Ten thousand sites fit into 100 MB, and keep no descriptor each, even when all of them
// have been asked.
func TestTenThousandSites(t *testing.T) {
	name := manyConfig(t, manySites)
	files, before := descriptors(), heap()
	cfg := load(t, name)
	h, err := site.New(cfg, site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if used := heap() - before; used > 100_000_000 {
		t.Errorf("%d sites use %d MB", manySites, used/1_000_000)
	} else {
		t.Logf("%d sites use %d MB", manySites, used/1_000_000)
	}
	if n := descriptors() - files; n > 50 {
		t.Errorf("%d descriptors before the first request", n)
	}
	asked := 0
	for n := 0; n < manySites; n += 13 {
		status, body := ask(t, h, fmt.Sprintf("site%d.example", n), "/a.txt")
		if status != 200 || body != strconv.Itoa(n%manyRoots) {
			t.Fatalf("site %d: got %d %q", n, status, body)
		}
		asked++
	}
	if n := descriptors() - files; n > 600 {
		t.Errorf("%d descriptors after %d sites were asked", n, asked)
	}
	if status, body := ask(t, h, "www.site9999.example", "/cgi-bin/env"); status != 200 || body != "www.site9999.example\n" {
		t.Errorf("got %d %q", status, body)
	}
}

// ask makes a request to a Host without listeners.
func ask(t *testing.T, h http.Handler, host, path string) (status int, body string) {
	t.Helper()
	w := &recorded{header: make(http.Header)}
	r, err := http.NewRequest("GET", "http://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr = path, "127.0.0.1:1"
	h.ServeHTTP(w, r)
	return w.status, w.body.String()
}

// recorded is a ResponseWriter.
type recorded struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *recorded) Header() http.Header { return w.header }

func (w *recorded) WriteHeader(status int) {
	if status >= 200 {
		w.status = status
	}
}

func (w *recorded) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = 200
	}
	return w.body.Write(b)
}

func (w *recorded) Flush() {}

// BenchmarkTenThousandSites reads that many sites and makes them ready: a second for each.
func BenchmarkTenThousandSites(b *testing.B) {
	name := manyConfig(b, manySites)
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			load(b, name)
		}
	})
	cfg := load(b, name)
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h, err := site.New(cfg, site.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := h.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("find", func(b *testing.B) { // in constant time: compare with one site
		for _, sites := range []int{1, manySites} {
			h, err := site.New(load(b, manyConfig(b, sites)), site.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprint(sites), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := h.Explain(b.Context(), &site.Trial{Target: "http://site0.example/cgi-bin/env/x"}); err != nil {
						b.Fatal(err)
					}
				}
			})
			if err := h.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
