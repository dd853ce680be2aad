package gatehouse_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitTrials are git over HTTP through git http-backend, with the git of the machine at
// both ends, and gitweb on the same repository.
var gitTrials = []trial{
	{"git: clone, shallow clone, fetch, push", []string{"git"}, gitSmall},
	{"git: compressed requests (A61)", []string{"git"}, gitCompressed},
	{"git: 52 MiB out and in, chunked (A56)", []string{"git"}, gitLarge},
	{"gitweb", []string{"git", "gitweb", "perl", "libcgi-pm-perl"}, gitweb},
}

// git runs git in a folder and returns what it says. Nothing of the machine's own
// configuration counts.
func (h *host) git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "NO_PROXY=*",
		"GIT_TRACE_CURL=1", "GIT_TRACE_CURL_NO_DATA=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out.String()[max(0, out.Len()-2000):])
	}
	return out.String()
}

// head is the commit that a repository is at.
func (h *host) head(t *testing.T, dir string) string {
	t.Helper()
	lines := strings.Fields(h.git(t, dir, "rev-parse", "HEAD"))
	return lines[len(lines)-1]
}

// repository makes a bare repository that may be pushed to, and a work tree with two
// commits that are in it.
func (h *host) repository(t *testing.T, name string) (work, remote string) {
	t.Helper()
	work, bare := filepath.Join(t.TempDir(), "work"), filepath.Join(h.path("git"), name)
	h.git(t, h.dir, "init", "-q", "--bare", "-b", "main", bare)
	t.Cleanup(func() { _ = os.RemoveAll(bare) })
	for _, setting := range []string{"http.receivepack=true", "pack.compression=0", "gc.auto=0", "receive.autogc=false"} {
		key, value, _ := strings.Cut(setting, "=")
		h.git(t, bare, "config", key, value)
	}
	h.git(t, h.dir, "init", "-q", "-b", "main", work)
	h.commit(t, work, "README", "the first text\n")
	h.commit(t, work, "README", "the second <text>\n")
	h.git(t, work, "push", "-q", bare, "main")
	return work, h.url("/git/" + name)
}

func (h *host) commit(t *testing.T, work, file, text string) {
	t.Helper()
	write(t, filepath.Join(work, file), text, 0o644)
	h.git(t, work, "add", file)
	h.git(t, work, "-c", "core.compression=0", "commit", "-q", "-m", "set "+file)
}

func gitSmall(t *testing.T, h *host) {
	work, remote := h.repository(t, "small.git")
	dir := t.TempDir()
	h.git(t, dir, "clone", "-q", remote, "whole")
	h.git(t, dir, "clone", "-q", "--depth", "1", remote, "shallow")
	whole, shallow := filepath.Join(dir, "whole"), filepath.Join(dir, "shallow")
	if got, want := h.head(t, whole), h.head(t, work); got != want {
		t.Errorf("cloned %s, want %s", got, want)
	}
	for where, want := range map[string]string{whole: "2", shallow: "1"} {
		out := strings.Fields(h.git(t, where, "rev-list", "--count", "HEAD"))
		if got := out[len(out)-1]; got != want {
			t.Errorf("%s has %s commits, want %s", where, got, want)
		}
	}
	h.commit(t, whole, "NEW", "by another\n")
	h.git(t, whole, "push", "-q", "origin", "main")
	h.git(t, work, "fetch", "-q", remote, "main")
	out := strings.Fields(h.git(t, work, "rev-parse", "FETCH_HEAD"))
	if got, want := out[len(out)-1], h.head(t, whole); got != want {
		t.Errorf("fetched %s, want %s, which was pushed", got, want)
	}
	h.git(t, shallow, "pull", "-q")
	if got, want := h.head(t, shallow), h.head(t, whole); got != want {
		t.Errorf("the shallow clone is at %s, want %s", got, want)
	}
}

// gitCompressed: a client that wants many branches sends a long request, which git
// compresses.
func gitCompressed(t *testing.T, h *host) {
	work, remote := h.repository(t, "compressed.git")
	for n := range 60 {
		h.git(t, work, "commit", "-q", "--allow-empty", "-m", fmt.Sprint(n))
		h.git(t, work, "branch", fmt.Sprint("branch-", n))
	}
	h.git(t, work, "push", "-q", filepath.Join(h.path("git"), "compressed.git"), "--all")
	clone := filepath.Join(t.TempDir(), "clone")
	if trace := h.git(t, h.dir, "clone", remote, clone); !strings.Contains(trace, "Content-Encoding: gzip") {
		t.Errorf("no request was compressed:\n%s", trace[max(0, len(trace)-2000):])
	}
	if got, want := h.head(t, clone), h.head(t, work); got != want {
		t.Errorf("cloned %s, want %s", got, want)
	}
}

// gitLarge pushes and clones what cannot be compressed. The small postBuffer has git
// send the body in chunks, which are spooled.
func gitLarge(t *testing.T, h *host) {
	work, remote := h.repository(t, "large.git")
	h.commit(t, work, "noise", noise(52<<20))
	trace := h.git(t, work, "-c", "http.postBuffer=65536", "-c", "pack.compression=0", "push", remote, "main")
	if !strings.Contains(trace, "Transfer-Encoding: chunked") {
		t.Errorf("the push was not chunked:\n%s", trace[max(0, len(trace)-2000):])
	}
	h.git(t, filepath.Join(h.path("git"), "large.git"), "fsck", "--full")
	clone := filepath.Join(t.TempDir(), "clone")
	h.git(t, h.dir, "clone", "-q", remote, clone)
	got, err := os.ReadFile(filepath.Join(clone, "noise"))
	if err != nil || string(got) != noise(52<<20) {
		t.Errorf("the clone has other bytes: %d, %v", len(got), err)
	}
}

// noise is always the same and cannot be compressed.
func noise(size int) string {
	text := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(text)
	return string(text)
}

// gitweb is looked through as a visitor would.
func gitweb(t *testing.T, h *host) {
	work, _ := h.repository(t, "web.git")
	write(t, h.path("gitweb.conf"), fmt.Sprintf("our $projectroot = %q;\n$feature{'snapshot'}{'default'} = ['tgz'];\n", h.path("git")), 0o644)
	page := func(query, part string) {
		t.Helper()
		h.ask(t, request{path: "/gitweb?" + query, status: 200, part: part})
	}
	page("", "web.git")
	page("p=web.git;a=summary", "set README")
	page("p=web.git;a=tree", "README")
	page("p=web.git;a=blob;f=README;hb=HEAD", "the&nbsp;second&nbsp;&lt;text&gt;")
	page("p=web.git;a=commitdiff;h=HEAD", `class="diff rem"`)
	h.ask(t, request{path: "/gitweb?p=missing.git;a=summary", status: 404})
	h.ask(t, request{path: "/gitweb/web.git/blob_plain/HEAD:/README", status: 200, want: "the second <text>\n"}) // by PATH_INFO

	got := h.ask(t, request{path: "/gitweb?p=web.git;a=snapshot;h=" + h.head(t, work) + ";sf=tgz", status: 200})
	zipped, err := gzip.NewReader(strings.NewReader(got.body))
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zipped); ; {
		entry, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("snapshot: %v", err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatalf("snapshot: %v", err)
		}
		files[filepath.Base(entry.Name)] = string(text)
	}
	if files["README"] != "the second <text>\n" {
		t.Errorf("the snapshot has %q", files)
	}
}
