package gatehouse_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// realTrials are scripts that others use: the demonstration site, gitweb and awstats. The
// latter two are run from where their packages have them, by a link.
func realTrials(t *testing.T, dir string) (trials []*warmTrial) {
	t.Helper()
	add := func(base warmTrial, requests ...string) {
		for _, r := range requests {
			tr := base
			if err := tr.read(strings.Fields(r)); err != nil {
				t.Fatalf("%s: %v", base.name, err)
			}
			trials = append(trials, &tr)
		}
	}
	for script, requests := range demoRequests {
		for _, ext := range []string{".pl", ".py"} {
			text, err := os.ReadFile(filepath.Join("scripts/demo/cgi-bin", script+ext))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "nph-"+script+ext)
			write(t, path, string(text), 0o755)
			add(warmTrial{name: "demo/" + script + ext, script: path, how: "warm", needs: []string{interpreterOf(string(text))}}, requests...)
		}
	}
	if _, ok := installed("gitweb", "git", "libcgi-pm-perl"); ok {
		conf := gitwebFor(t, dir)
		base := warmTrial{name: "gitweb", script: linked(t, dir, whereIs["gitweb"]), how: "warm", env: []string{"GITWEB_CONFIG=" + conf}}
		add(base, "p=none.git;a=summary", "p=web.git;a=snapshot;h=HEAD;sf=tgz", "p=web.git;a=blob;f=none;hb=HEAD", "a=none")
		base.want = "web.git"
		add(base, "", "p=web.git;a=summary", "p=web.git;a=tree", "p=web.git;a=blob;f=README;hb=HEAD", "p=web.git;a=commitdiff;h=HEAD",
			"p=web.git;a=log", "p=web.git;a=shortlog", "p=web.git;a=history;f=README", "p=web.git;a=blame;f=README", "p=web.git;a=rss",
			"p=web.git;a=search;s=first;st=commit", "a=opml", "a=project_index")
	}
	if _, ok := installed("awstats"); ok {
		script := linked(t, dir, whereIs["awstats"])
		conf := awstatsFor(t, dir, script)
		base := warmTrial{name: "awstats", script: script, how: "warm", env: []string{"AWSTATS_ENABLE_CONFIG_DIR=" + conf},
			masks: []*regexp.Regexp{regexp.MustCompile(`(?m)^(?:Last-Modified|Expires): (.*)$`)}}
		add(base, "config=none&configdir="+conf, "config=test")
		base.want = "www.example.org"
		for _, r := range []string{"", "&output=urldetail", "&output=allhosts", "&output=browserdetail&lang=de"} {
			add(base, "configdir="+conf+"&config=test&month=03&year=2024"+r)
		}
	}
	return trials
}

// demoRequests are made to each of the demonstration's scripts; what they do with a
// request depends on little else.
var demoRequests = map[string][]string{
	"env":      {"a=1"},
	"form":     {"", "name=Zo%C3%AB+<b>", "name=%00%ff", "x post=name=a%252Bb%2526"},
	"cookie":   {"", "x HTTP_COOKIE=visits%3D41", "x HTTP_COOKIE=visits%3Dbad"},
	"redirect": {""}, "local": {""}, "error": {""}, "noheader": {""},
	"upload": {"", "x post=short type=multipart/form-data;+boundary=XX", "x post=none",
		"x type=multipart/form-data;+boundary=XX post=--XX%0D%0AContent-Disposition:+form-data;+name=%22file%22;+filename=%22<a>%22%0D%0A%0D%0A%00%FFcontent%0D%0A--XX--%0D%0A",
		"x type=multipart/form-data;+boundary=XX file=--XX%0D%0AContent-Disposition:+form-data;+name=%22file%22;+filename=%22a%22%0D%0A%0D%0Acontent%0D%0A--XX--%0D%0A"},
}

// linked makes a link to a script by a name that has it answer for itself (A95).
func linked(t *testing.T, dir, script string) string {
	link := filepath.Join(dir, "nph-"+filepath.Base(script))
	if err := os.Symlink(script, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// gitwebFor makes a repository, and a configuration that leads to it.
func gitwebFor(t *testing.T, dir string) (conf string) {
	root := filepath.Join(dir, "git")
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	git := func(date string, args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date,
			"GIT_AUTHOR_NAME=A \u00c4", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("", "init", "-q", "-b", "main", ".")
	for n, text := range []string{"the first <text>\n", "the first <text>\nand a gr\u00f6\u00dfer one\n"} {
		write(t, filepath.Join(work, "README"), text, 0o644)
		git("", "add", "README")
		git(fmt.Sprintf("2020-01-0%dT12:00:00 +0100", n+1), "commit", "-q", "-m", fmt.Sprintf("first & %d", n))
	}
	git("", "clone", "-q", "--bare", ".", filepath.Join(root, "web.git"))
	conf = filepath.Join(dir, "gitweb.conf")
	write(t, conf, fmt.Sprintf("our $projectroot = %q;\n$feature{'snapshot'}{'default'} = ['tgz'];\n$feature{'blame'}{'default'} = [1];\n", root), 0o644)
	return conf
}

// awstatsFor has awstats read a log, and returns the folder of its configuration.
func awstatsFor(t *testing.T, dir, script string) string {
	dir = filepath.Join(dir, "awstats")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/access.log",
		`192.0.2.7 - - [03/Mar/2024:10:00:00 +0000] "GET /the-page.html HTTP/1.1" 200 5120 "-" "Mozilla/5.0 (X11; Linux) Firefox/120.0"`+"\n"+
			`192.0.2.7 - - [03/Mar/2024:10:00:03 +0000] "GET /the-page.html HTTP/1.1" 200 5120 "-" "Mozilla/5.0 (X11; Linux) Firefox/120.0"`+"\n"+
			`192.0.2.8 - - [03/Mar/2024:10:00:05 +0000] "GET /other-page.html HTTP/1.1" 200 1024 "-" "Mozilla/5.0 (X11; Linux) Firefox/120.0"`+"\n", 0o644)
	write(t, dir+"/nph-awstats.test.conf", fmt.Sprintf("LogFile=%q\nLogType=W\nLogFormat=1\nSiteDomain=\"www.example.org\"\n"+
		"HostAliases=\"localhost\"\nDirData=%q\nDNSLookup=0\nUseFramesWhenCGI=0\nDirLang=\"/usr/share/awstats/lang\"\n", dir+"/access.log", dir), 0o644)
	cmd := exec.CommandContext(t.Context(), script, "-config=test", "-configdir="+dir, "-update")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("awstats: %v\n%s", err, out)
	}
	return dir
}
