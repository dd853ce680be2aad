package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"
)

// A packager sets these with
//
//	go build -ldflags "-X main.version=1.2-3 -X main.commit=... -X main.date=2026-11-30"
//
// where a version is the packager's, or the sources are in no repository. What is left
// empty is what the go command recorded (-buildvcs).
var (
	version = "0.1"
	commit  string
	date    string
)

// buildData says which program this is.
type buildData struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"` // of the commit, RFC 3339
	Modified bool   `json:"modified"`       // the sources were not those of the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// builtFrom joins what a packager has said with what the go command has recorded.
func builtFrom(info *debug.BuildInfo) buildData {
	b := buildData{Version: version, Commit: commit, Date: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil || commit != "" {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			if date == "" {
				b.Date = s.Value
			}
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is one line. Without a commit it is "devel".
func (b buildData) String() string {
	from := "devel"
	if b.Commit != "" {
		from = "commit " + b.Commit[:min(len(b.Commit), 12)]
	}
	if b.Date != "" {
		from += " of " + b.Date
	}
	if b.Modified {
		from += ", modified"
	}
	return fmt.Sprintf("gatehouse version %s (%s) %s %s", b.Version, from, b.Go, b.Platform)
}

func thisBuild() buildData {
	info, _ := debug.ReadBuildInfo()
	return builtFrom(info)
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:        "version",
		Usage:       "say which build this is: version, commit, Go and platform",
		ArgsUsage:   " ",
		Description: "\"devel\" stands where the commit is not known.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as a JSON object: version, commit, date, modified, go, platform"}},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return hinted{misused("version takes no arguments, not %s", count(c.NArg(), "argument")), "gatehouse version --json"}
			}
			var err error
			if c.Bool("json") {
				out := json.NewEncoder(c.App.Writer)
				out.SetIndent("", "  ")
				err = out.Encode(thisBuild())
			} else {
				_, err = fmt.Fprintln(c.App.Writer, thisBuild())
			}
			return err
		},
	}
}

// software is what the server calls itself (A17).
func software() string { return "gatehouse/" + version }
