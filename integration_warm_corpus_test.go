package gatehouse_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A warmTrial is one run of a script of testdata/warm, as comments in the script ask
// for it, each a line that begins with one of
//
//	# trial: QUERY [KEY=VALUE ...]  a run with that query string; KEYs in capitals are
//	                                variables, values are URL-encoded
//	    post=, file=                the body, through a pipe or as a file
//	    type=                       its Content-Type
//	    memory=, cpu=               limits in MiB and seconds
//	    how=any                     it need not be warm
//	# mask: REGEXP                  what differs from run to run: the group, or all of it
//	# distinct: yes                 each line of the output is another in every run
//	# own: yes                      it changes its file, and gets one of its own for each run
//	# needs: PACKAGE ...            Debian packages beside the interpreter
//
// Without a "trial" there is one run with no query.
type warmTrial struct {
	name        string
	script      string // absolute; for own, what to copy
	query       string
	env         []string
	body        string
	asFile      bool
	contentType string
	memory      int64
	cpu         time.Duration
	how         string // "warm" or "any"
	masks       []*regexp.Regexp
	own         bool
	distinct    bool
	needs       []string
	want        string // a part of its output
}

// warmCorpus copies the scripts and what was generated to a folder, where they may write
// their compiled modules, and returns all their trials.
func warmCorpus(t *testing.T, dir string) (trials []*warmTrial) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS("testdata/warm")); err != nil {
		t.Fatal(err)
	}
	for name, text := range oddScripts() {
		write(t, filepath.Join(dir, name), text, 0o755)
	}
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "#!") {
			continue
		}
		// Only such a name gives its whole output to whoever asks (A95).
		script := filepath.Join(filepath.Dir(path), "nph-"+filepath.Base(path))
		if err := os.Rename(path, script); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(script, 0o755); err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(dir, path)
		trials = append(trials, trialsOf(t, name, script, string(text))...)
	}
	real := filepath.Join(dir, "real")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	return append(trials, realTrials(t, real)...)
}

// trialsOf reads the comments of a script.
func trialsOf(t *testing.T, name, script, text string) (trials []*warmTrial) {
	t.Helper()
	base := warmTrial{name: name, script: script, how: "warm", needs: []string{interpreterOf(text)}}
	if !strings.Contains(text, "\n") {
		base.how = "any"
	}
	var asked [][]string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		switch key {
		case "# trial":
			asked = append(asked, strings.Fields(value))
		case "# mask":
			base.masks = append(base.masks, regexp.MustCompile(value))
		case "# distinct":
			base.distinct = true
		case "# own":
			base.own = true
		case "# needs":
			base.needs = append(base.needs, strings.Fields(value)...)
		}
	}
	if asked == nil {
		asked = [][]string{nil}
	}
	for _, words := range asked {
		tr := base
		if err := tr.read(words); err != nil {
			t.Fatalf("%s: %q: %v", name, words, err)
		}
		trials = append(trials, &tr)
	}
	return trials
}

func interpreterOf(text string) string {
	if first, _, _ := strings.Cut(text, "\n"); strings.Contains(first, "perl") {
		return "perl"
	}
	return "python3"
}

func (tr *warmTrial) read(words []string) error {
	for n, word := range words {
		if n == 0 {
			tr.query, tr.name = word, tr.name+"?"+word
			continue
		}
		key, encoded, _ := strings.Cut(word, "=")
		value, err := url.QueryUnescape(encoded)
		if err != nil {
			return err
		}
		tr.name += " " + clip(word)
		if strings.ToUpper(key) == key {
			tr.env = append(tr.env, key+"="+value)
			continue
		}
		if err := tr.set(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (tr *warmTrial) set(key, value string) (err error) {
	switch key {
	case "post":
		tr.body = value
	case "file":
		tr.body, tr.asFile = value, true
	case "type":
		tr.contentType = value
	case "how":
		tr.how = value
	case "memory":
		tr.memory, err = strconv.ParseInt(value, 10, 64)
		tr.memory <<= 20
	case "cpu":
		tr.cpu, err = time.ParseDuration(value + "s")
	default:
		err = fmt.Errorf("no such key %q", key)
	}
	return err
}

// mask puts a star in place of what differs from run to run.
func (tr *warmTrial) mask(text string) string {
	for _, m := range tr.masks {
		var b strings.Builder
		last := 0
		for _, at := range m.FindAllStringSubmatchIndex(text, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 {
				from, to = at[2], at[3]
			}
			if from < 0 {
				continue
			}
			b.WriteString(text[last:from] + "*")
			last = to
		}
		text = b.String() + text[last:]
	}
	return text
}
