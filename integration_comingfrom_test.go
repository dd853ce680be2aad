package gatehouse_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func init() {
	maps.Copy(whereIs, map[string]string{
		"fcgiwrap":             "/usr/sbin/fcgiwrap",
		"gunicorn":             "/usr/lib/python3/dist-packages/gunicorn/config.py",
		"libapache2-mod-fcgid": "/usr/lib/apache2/modules/mod_fcgid.so",
		"uwsgi-plugin-python3": "/usr/lib/uwsgi/plugins/python3_plugin.so",
	})
}

// TestComingFrom: the settings of other programs that docs/coming-from.md names are theirs:
// each is in the program's own file, or in one of its modules.
func TestComingFrom(t *testing.T) {
	for _, tt := range []struct{ section, needs, files string }{
		{"Apache's mod_cgi and mod_cgid", "apache2-bin", "/usr/sbin/apache2 /usr/lib/apache2/modules/*.so"},
		{"mod_fcgid", "libapache2-mod-fcgid", "/usr/lib/apache2/modules/mod_fcgid.so"},
		{"lighttpd", "lighttpd", "/usr/sbin/lighttpd /usr/lib/lighttpd/*.so"},
		{"php-fpm", "php-fpm", "/usr/sbin/php-fpm[0-9]*"},
		{"uWSGI", "uwsgi-plugin-python3", "/usr/bin/uwsgi-core /usr/lib/uwsgi/plugins/*.so"},
		{"Gunicorn", "gunicorn", "/usr/lib/python3/dist-packages/gunicorn/config.py"},
		{"python3 -m http.server --cgi", "python3", "/usr/lib/python3*/http/server.py"},
	} {
		t.Run(tt.needs, func(t *testing.T) {
			need(t, tt.needs)
			var program strings.Builder
			for pattern := range strings.FieldsSeq(tt.files) {
				names, _ := filepath.Glob(pattern)
				for _, name := range names {
					text, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					program.Write(text)
				}
			}
			settings := settingsOf(t, tt.section)
			if len(settings) == 0 {
				t.Fatal("none is named")
			}
			for _, s := range settings {
				if !strings.Contains(program.String(), s) {
					t.Errorf("%s has nothing named %q", tt.needs, s)
				}
			}
		})
	}
}

var settingName = regexp.MustCompile("`([A-Za-z-][A-Za-z0-9_.-]*)[^`]*`")

// settingsOf lists the names on the left side of a section's table.
func settingsOf(t *testing.T, section string) (names []string) {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, "docs/coming-from.md"), "\n## "+section+"\n")
	if !found {
		t.Fatalf("no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for line := range strings.Lines(text) {
		left, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		for _, m := range settingName.FindAllStringSubmatch(left, -1) {
			if m[1] != "python3" { // the command, not an option of it
				names = append(names, m[1])
			}
		}
	}
	return names
}
