package scripts_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gatehouse/scripts"
)

// Not parallel: the umask is the whole process's.
func TestInstallDemoModes(t *testing.T) {
	dir := t.TempDir()
	old := syscall.Umask(0o077)
	err := scripts.InstallDemo(dir, all)
	syscall.Umask(old)
	must(t, err)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if d.IsDir() {
			want = fs.ModeDir | 0o755
		} else if filepath.Base(filepath.Dir(path)) == "cgi-bin" {
			want = 0o755
		}
		if got := info.Mode(); got != want {
			t.Errorf("%s: got mode %v, want %v", path, got, want)
		}
		return nil
	})
	must(t, err)
}

// root may write everywhere, so it looks at the folder with nobody's eyes: the
// file-system user belongs to the thread.
func TestInstallDemoUnwritable(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // only its owner may look into it
	must(t, os.Chmod(dir, 0o555))

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		must(t, syscall.Setfsuid(65534))
		defer syscall.Setfsuid(0)
	}
	err := scripts.InstallDemo(dir, all)
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{dir, "htdocs", "permission denied"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to contain %q", err, want)
		}
	}
}
