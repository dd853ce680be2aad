package admin_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/admin"
	"gatehouse/internal/site"
)

// TestBrowser looks at the page in Chromium. GATEHOUSE_SHOTS names a folder for pictures.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: there is no chromium to look at the status page with (scripts/install-test-packages.sh)")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: there is no node to look at the status page with (scripts/install-test-packages.sh)")
	}
	modules := browserModules(t)
	if modules == "" {
		t.Skip("SKIPPED: playwright-core is not there to look at the status page with (scripts/install-test-packages.sh)")
	}

	used := busy()
	args := []string{"testdata/browser/page.js", chromium, t.TempDir(), os.Getenv("GATEHOUSE_SHOTS"), elsewhere(t)}
	for name, s := range map[string]*sample{"empty": empty(), "busy": used, "broken": broken(), "hostile": hostile()} {
		args = append(args, name+"="+serveSample(t, s))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it closes the browser then
	cmd.WaitDelay = 30 * time.Second
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if want := []string{"4f1c09ab77e2-1k3", "added-2"}; !slices.Equal(used.ended, want) {
		t.Errorf("the requests %q were ended, want %q", used.ended, want)
	}
}

// browserModules is where scripts/install-browser-driver.sh has put them, "" if it has not.
func browserModules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("../../scripts/install-browser-driver.sh", "--where").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "node_modules")
	if _, err := os.Stat(filepath.Join(dir, "playwright-core", "package.json")); err != nil {
		return ""
	}
	return dir
}

// serveSample serves the page of a sample until the test is over.
func serveSample(t *testing.T, s *sample) (url string) {
	t.Helper()
	a := admin.New(s, admin.Options{Software: "gatehouse/test", Log: slog.New(slog.DiscardHandler)})
	added := 0
	mux := http.NewServeMux()
	mux.Handle("/", a.Handler())
	mux.HandleFunc("POST /test/add", func(http.ResponseWriter, *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		added++
		s.view.Running = append(s.view.Running, site.Running{ID: fmt.Sprintf("added-%d", added), Phase: "answering", Method: "GET", URI: "/later"})
		s.view.RunningAll++
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// elsewhere serves a page of another origin.
func elsewhere(t *testing.T) (url string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!DOCTYPE html><title>elsewhere</title><body>")
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
