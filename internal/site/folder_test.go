package site

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// More folders than are kept open are asked side by side: each answers, and no more than
// so many are open.
func TestFoldersAreBounded(t *testing.T) {
	dir := t.TempDir()
	var ff folders
	var all []*folder
	for n := range maxFolders + 100 {
		name := filepath.Join(dir, fmt.Sprint(n))
		if err := errors.Join(os.Mkdir(name, 0o755), os.WriteFile(filepath.Join(name, "f"), []byte(fmt.Sprint(n)), 0o644)); err != nil {
			t.Fatal(err)
		}
		f, err := ff.folder(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	var wg sync.WaitGroup
	for start := range 8 {
		wg.Go(func() {
			for n := range 2 * len(all) {
				n = (n*7 + start*83) % len(all)
				if got, err := content(all[n], "f"); err != nil || got != fmt.Sprint(n) {
					t.Errorf("folder %d: got %q, %v", n, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	open := 0
	for _, f := range all {
		if f.root.Load() != nil {
			open++
		}
	}
	for n, f := range all {
		if _, err := f.Stat("none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("folder %d: got %v", n, err)
		}
	}
	if open != maxFolders || len(ff.open) != maxFolders {
		t.Errorf("%d are open, and %d in the list, want %d", open, len(ff.open), maxFolders)
	}
	for _, f := range all {
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Stat("f"); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("closed: got %v", err)
		}
	}
	if len(ff.open) != 0 {
		t.Errorf("%d are still open", len(ff.open))
	}
}

func content(f *folder, name string) (string, error) {
	file, err := open(f, name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	return string(text), err
}

// A symbolic link that is put in a folder's place is not followed, nor is one on the way
// to it followed to somewhere else; nothing leads out of the folder.
func TestFolderThatBecomesALink(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.MkdirAll(path("one/www"), 0o755), os.MkdirAll(path("two/www"), 0o755), os.Symlink("one", path("current")),
		os.WriteFile(path("one/www/f"), []byte("one"), 0o644), os.WriteFile(path("two/www/f"), []byte("two"), 0o644),
		os.Symlink("../../two/www/f", path("one/www/out"))); err != nil {
		t.Fatal(err)
	}
	var ff folders
	through, err1 := ff.folder(path("current/www"))
	direct, err2 := ff.folder(path("one/www"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	defer direct.Close()
	// The link on the way was followed when the folder was named.
	if err := errors.Join(os.Remove(path("current")), os.Symlink("two", path("current"))); err != nil {
		t.Fatal(err)
	}
	if got, err := content(through, "f"); got != "one" || through.Name() != path("current/www") {
		t.Errorf("got %q, %v, %s", got, err, through.Name())
	}
	if got, err := content(through, "out"); err == nil {
		t.Errorf("a link led out of the folder: %q", got)
	}
	ff.mu.Lock()
	err = ff.close(through)
	ff.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path("one/www"), path("one/old")), os.Symlink(path("two/www"), path("one/www"))); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*folder{through, direct} {
		if got, err := content(f, "f"); err == nil {
			t.Errorf("a link in the folder's place was followed: %q", got)
		}
	}
}

func TestFolderThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var ff folders
	for name, want := range map[string]string{
		"f": `"DIR" is not a folder`, "none": `folder "DIR" does not exist`, "f/x": `"DIR" is not a folder`,
	} {
		_, err := ff.folder(filepath.Join(dir, name))
		if got := folderLack("", "DIR", err).Error(); err == nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

// BenchmarkFolderStat is what a request pays for a folder that is open, and for one that
// is not.
func BenchmarkFolderStat(b *testing.B) {
	var ff folders
	f, err := ff.folder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.Stat("."); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("closed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.Stat("."); err != nil {
				b.Fatal(err)
			}
			ff.mu.Lock()
			err := ff.close(f)
			ff.mu.Unlock()
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
