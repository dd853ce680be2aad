package site_test

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"gatehouse/cgi"
	"gatehouse/internal/site"
)

const warmConfig = `
warm = true
[[site]]
  [[site.route]]
  path = "/on/"
  cgi = "DIR/cgi-bin/"
  preload = ["Text::Wrap", "Text::Tabs", "textwrap"]

  [[site.route]]
  path = "/off/"
  cgi = "DIR/cgi-bin/"
  warm = false
`

func needPerl(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/usr/bin/perl"); err != nil {
		t.Skip("SKIPPED: there is no /usr/bin/perl")
	}
}

func warmFiles() files {
	return files{
		"cgi-bin/perl":  "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n$0 \", join(\",\", sort keys %INC), \"\\n\";\n",
		"cgi-bin/taint": "#!/usr/bin/perl -T\nprint \"Content-Type: text/plain\\n\\n\";\n",
		"cgi-bin/shell": script(okHeader),
	}
}

// The access log tells which way a script went, unless there is only one, and so does
// an explanation, which starts nothing.
func TestWarmIsTold(t *testing.T) {
	needPerl(t)
	dir := tree(t, warmFiles())
	rows := []struct{ path, logged, explained string }{
		{"/on/perl", "warm", "warm: /usr/bin/perl"},
		{"/on/taint", `"cold: its interpreter's option \"-T\" cannot be warm"`, `cold: its interpreter's option "-T" cannot be warm`},
		{"/on/shell", `"cold: its interpreter sh cannot be warm"`, "cold: its interpreter sh cannot be warm"},
		{"/off/perl", "", "cold: warm = false"},
	}
	h, err := site.New(parse(t, dir, warmConfig), site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range rows {
		x, err := h.Explain(t.Context(), &site.Trial{Target: tt.path})
		if err != nil || x.How != tt.explained {
			t.Errorf("%s: explained as %q, %v, want %q", tt.path, x.How, err, tt.explained)
		}
	}
	if all := h.Helpers(); len(all) != 0 {
		t.Errorf("an explanation has started %+v", all)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	s := start(t, dir, warmConfig)
	lines := 0
	for _, tt := range rows {
		line := ""
		eventually(t, tt.path+" with a helper that answers", func() bool { // on a slow machine it may take longer than a request waits
			s.do(t, request("GET", tt.path))
			lines++
			line = s.lastAccess(t, lines)
			how, _ := keyOf(line, "how")
			return how != `"cold: its helper is starting"` && how != `"cold: its helper does not answer"`
		})
		if got, there := keyOf(line, "how"); got != tt.logged || there != (tt.logged != "") {
			t.Errorf("%s: how=%s, want %q in\n%s", tt.path, got, tt.logged, line)
		}
	}
}

// What a route names is loaded ahead; a script does not see it.
func TestWarmPreloads(t *testing.T) {
	needPerl(t)
	h, err := site.New(parse(t, tree(t, warmFiles()), warmConfig), site.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var body []byte
	_, _, err = h.Try(t.Context(), &site.Trial{Target: "/on/perl"}, func(resp *cgi.Response) (err error) {
		body, err = io.ReadAll(resp.Body)
		return err
	})
	if err != nil || !strings.HasSuffix(string(body), "cgi-bin/perl \n") {
		t.Fatalf("%v, %q", err, body)
	}
	var loaded []string
	eventually(t, "a helper with Text::Wrap", func() bool {
		for _, s := range h.Helpers() {
			loaded = s.Preloaded
		}
		return slices.Contains(loaded, "Text/Wrap.pm")
	})
	if !slices.Contains(loaded, "Text/Tabs.pm") {
		t.Errorf("preloaded: %q", loaded)
	}
}
