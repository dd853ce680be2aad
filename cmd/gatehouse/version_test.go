package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuiltFrom(t *testing.T) {
	recorded := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123456789abcdef0123"},
		{Key: "vcs.time", Value: "2026-11-30T12:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	tail := " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	for _, tt := range []struct {
		name         string
		info         *debug.BuildInfo
		commit, date string
		want         string
	}{
		{"nothing recorded", &debug.BuildInfo{}, "", "", "gatehouse version 0.1 (devel)"},
		{"no build information", nil, "", "", "gatehouse version 0.1 (devel)"},
		{"recorded", recorded, "", "", "gatehouse version 0.1 (commit 0123456789ab of 2026-11-30T12:00:00Z, modified)"},
		{"a packager's commit", recorded, "abc", "", "gatehouse version 0.1 (commit abc)"},
		{"a packager's date", recorded, "", "yesterday", "gatehouse version 0.1 (commit 0123456789ab of yesterday, modified)"},
	} {
		commit, date = tt.commit, tt.date
		if got := builtFrom(tt.info).String(); got != tt.want+tail {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want+tail)
		}
	}
	commit, date = "", ""
}

// TestLinkedVersion builds the program as a packager does, without a repository.
func TestLinkedVersion(t *testing.T) {
	t.Parallel()
	exe := filepath.Join(t.TempDir(), "gatehouse")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", exe, "-ldflags", "-X main.version=9.8-7 -X main.commit=feed -X main.date=2026-11-30", ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.Command(exe, "--version").Output()
	if want := "gatehouse version 9.8-7 (commit feed of 2026-11-30) go"; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("%q, %v, want it to begin with %q", out, err, want)
	}
	out, err = exec.Command(exe, "version", "--json").Output()
	var b buildData
	if err != nil || json.Unmarshal(out, &b) != nil || b.Version != "9.8-7" || b.Commit != "feed" || b.Modified {
		t.Errorf("%s, %v", out, err)
	}
}
