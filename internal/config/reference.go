package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// sections are those of the reference page, by the tables that a key may stand in.
var sections = []struct{ tables, title, intro string }{
	{"", "At the top of the main file", "These stand before the first `[[site]]`. Included files do not have them."},
	{" site", "At the top or in [[site]]", "A site has what the top says unless it says something itself."},
	{" site site.route", "At the top, in [[site]] or in [[site.route]]", "The nearest wins: a route's own, else its site's, else the one at the top."},
	{"site", "In [[site]]", "Each `[[site]]` is a virtual host."},
	{"site site.route", "In [[site]] or in [[site.route]]", "A route has what its site says unless it says something itself."},
	{"site.route", "In [[site.route]]", "A route gives the URL paths of one pattern to one handler: it has exactly one of " + handlerNames + "."},
	{"site.route.fastcgi site.route.scgi site.route.authorize", "In fastcgi, scgi and authorize", "As in `fastcgi = { command = [\"php-cgi\"], workers = 8 }`. There is exactly one of address and command."},
	{"site.route.fastcgi site.route.authorize", "In fastcgi and authorize", ""},
	{"site.route.fastcgi", "In fastcgi alone", ""},
	{"site.route.wsgi", "In wsgi", "As in `wsgi = { module = \"app.py\", workers = 8 }`."},
	{"tls", "In tls", "As in `tls = { certificate = \"example.pem\" }`."},
	{"acme", "In acme", "As in `acme = { accept_terms = true }`."},
	{"basic_auth", "In basic_auth", "As in `basic_auth = { file = \"htpasswd\" }`."},
}

const referenceHead = `# Configuration

This page has every key that there is. It is written by ` + "`gatehouse config --reference`" + ` from the table that the
program itself reads configurations by; do not edit it.

A configuration is one TOML file, by its usual name ` + "`gatehouse.toml`" + `, and the files with further sites that it includes. Relative
paths are relative to the folder of the file that they stand in. A duration is written ` + "`\"500ms\"`, `\"60s\"`, `\"1m30s\"` or `\"1h\"`" + `;
a size ` + "`\"64KiB\"`" + ` or ` + "`\"10MB\"`" + ` (a KiB is 1024 bytes, a kB 1000). What is not written has its default.

` + "`gatehouse check`" + ` reports every mistake with its place, ` + "`gatehouse config`" + ` shows what is in force and which line it comes
from, and ` + "`gatehouse init`" + ` writes a file to begin with.
`

// WriteReference writes a page about every key, in Markdown.
func WriteReference(to io.Writer) error {
	w := bufio.NewWriter(to)
	_, _ = w.WriteString(referenceHead)
	keys := Keys()
	for _, s := range sections {
		fmt.Fprintf(w, "\n## %s\n", s.title)
		if s.intro != "" {
			fmt.Fprintf(w, "\n%s\n", s.intro)
		}
		for _, k := range keys {
			if strings.Join(k.Tables, " ") == s.tables {
				writeKey(w, k)
			}
		}
	}
	return w.Flush()
}

func writeKey(w io.Writer, k Key) {
	value := k.Default
	switch {
	case value == "":
		value = "none"
	case plainTOML(value):
		value = "`" + value + "`"
	}
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n*%s; default: %s*\n", k.Name, strings.ReplaceAll(k.Doc, "*", `\*`), upperFirst(k.Type), value)
	if example := k.Example(); example != "" {
		fmt.Fprintf(w, "\n```toml\n%s\n```\n", example)
	}
}

// plainTOML reports whether a default is a value and not a description.
func plainTOML(s string) bool {
	mistakes := 0
	parseTree([]byte("x = "+s), func(pos, string, string, string) { mistakes++ })
	return mistakes == 0
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
