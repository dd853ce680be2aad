package environ_test

import (
	"net/http"
	"testing"

	"gatehouse/environ"
)

// browserRequest has what a browser sends.
func browserRequest() *http.Request {
	return request("GET", "/cgi-bin/list.cgi/2026/11?sort=date&order=desc",
		"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Encoding", "gzip, deflate, br, zstd",
		"Accept-Language", "en-GB,en;q=0.5",
		"Connection", "keep-alive",
		"Cookie", "session=0123456789abcdef0123456789abcdef; theme=dark",
		"Dnt", "1",
		"Referer", "https://example.com/cgi-bin/list.cgi/2026/10",
		"Sec-Fetch-Dest", "document",
		"Sec-Fetch-Mode", "navigate",
		"Sec-Fetch-Site", "same-origin",
		"Upgrade-Insecure-Requests", "1",
		"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	)
}

var script = environ.Script{
	Name:           "/cgi-bin/list.cgi",
	Filename:       "/srv/example/cgi-bin/list.cgi",
	PathInfo:       "/2026/11",
	PathTranslated: "/srv/example/htdocs/2026/11",
	DocumentRoot:   "/srv/example/htdocs",
}

func TestAllocations(t *testing.T) {
	s := &environ.Server{Software: "gatehouse/1.0"}
	r := browserRequest()
	var e environ.Env
	if n := testing.AllocsPerRun(100, func() { e, _ = s.FromHTTP(r) }); n > 3 {
		t.Errorf("FromHTTP: %v allocations, want at most 3", n)
	}
	if n := testing.AllocsPerRun(100, func() { e.SetScript(script) }); n > 1 {
		t.Errorf("SetScript: %v allocations, want at most 1", n)
	}
}

func BenchmarkFromHTTP(b *testing.B) {
	s := &environ.Server{Software: "gatehouse/1.0"}
	r := browserRequest()
	b.Run("request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.FromHTTP(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("with script", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e, err := s.FromHTTP(r)
			if err != nil {
				b.Fatal(err)
			}
			e.SetScript(script)
		}
	})
}

func BenchmarkParseTarget(b *testing.B) {
	for _, uri := range []string{"/cgi-bin/list.cgi/2026/11?sort=date", "/cgi-bin/a%20b/../list.cgi//11"} {
		b.Run(uri, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := environ.ParseTarget(uri); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
