package gatehouse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// installBoard gives the board a database with one user, who may do everything.
func installBoard(t *testing.T, h *host) {
	t.Helper()
	database, err := boardDatabase()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(h.path("board"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, h.path("board/notes.sqlite3"), readFile(t, database), 0o644)
}

// boardDatabase makes the database that every host begins with.
var boardDatabase = sync.OnceValues(func() (path string, err error) {
	dir := filepath.Dir(binary)
	for _, args := range [][]string{
		{"migrate", "--run-syncdb", "-v0"},
		{"createsuperuser", "--noinput", "--username", "joe", "--email", "joe@example.org"},
	} {
		cmd := exec.Command(whereIs["python3"], append([]string{"-B", "-m", "django"}, args...)...)
		cmd.Dir = "testdata/wsgi/board"
		cmd.Env = []string{"BOARD_FOLDER=" + dir, "DJANGO_SETTINGS_MODULE=board.settings", "DJANGO_SUPERUSER_PASSWORD=secret"}
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %v\n%s", cmd, err, out)
		}
	}
	return filepath.Join(dir, "notes.sqlite3"), nil
})

const (
	boardAdmin = "/django/admin/"
	boardNotes = boardAdmin + "notes/note/"
	boardLogin = boardAdmin + "login/?next=" + boardAdmin
)

// django logs in to Django's admin, adds a note with a file, edits, finds and deletes it,
// and logs out. Every form has its token, every answer to one is a redirect.
func django(t *testing.T, h *wsgiHost) {
	b := h.browser(t, "")
	login := b.get(boardAdmin, boardLogin)
	sees(t, login, `href="/static/admin/css/base.css"`)
	h.ask(t, request{path: "/static/admin/css/base.css", status: 200, part: "font-family", fields: map[string]string{"Content-Type": "text/css; charset=utf-8"}})
	if !h.brief() {
		login = b.post(boardLogin, b.token(login, url.Values{"username": {"joe"}, "password": {"wrong"}}), boardLogin)
		sees(t, login, "Please enter the correct username and password")
	}
	sees(t, b.post(boardLogin, b.token(login, url.Values{"username": {"joe"}, "password": {"secret"}}), boardAdmin), "Site administration", "Notes")

	text, content := "a line\nand größer", noise(300_000)
	id := b.add(url.Values{"title": {"A <note>"}, "text": {text}, "_save": {"Save"}}, content)
	if lines := b.latest(); len(lines) != 1 || lines[0].Title != "A <note>" || strings.ReplaceAll(lines[0].Text, "\r\n", "\n") != text || lines[0].Size != len(content) {
		t.Fatalf("the notes are %+v", lines)
	}
	if kept := readFile(t, h.path("board/media/noise.bin")); kept != content {
		t.Errorf("the file has %d bytes, and not those that were sent", len(kept))
	}
	if !h.brief() {
		b.editNote(boardNotes + id)
		djangoRefuses(t, h)
		sees(t, b.get(boardAdmin+"logout/", ""), "Logged out")
		b.get(boardAdmin, boardLogin)
	}
}

// editNote changes a note, looks for it, and deletes it.
func (b *browser) editNote(note string) {
	b.t.Helper()
	form := b.token(b.get(note+"/change/", ""), url.Values{"title": {"Edited"}, "text": {""}, "pinned": {"on"}, "_save": {"Save"}})
	sees(b.t, b.post(note+"/change/", form, boardNotes), "was changed successfully", "Edited")
	sees(b.t, b.get(boardNotes+"?q=edit", ""), "1 note", "Edited")
	sees(b.t, b.get(boardNotes+"?q=none", ""), "0 notes")
	sees(b.t, b.get(note+"/history/", ""), "Changed Title")
	form = b.token(b.get(note+"/delete/", ""), url.Values{"post": {"yes"}})
	sees(b.t, b.post(note+"/delete/", form, boardNotes), "was deleted successfully", "0 notes")
}

func djangoRefuses(t *testing.T, h *wsgiHost) {
	t.Helper()
	h.ask(t, request{method: "POST", path: boardNotes + "add/", body: "title=x", status: 403, part: "CSRF",
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
	h.ask(t, request{path: "/django/none", status: 404, part: "Not Found"})
}

// token adds the token of a page's form to values.
func (b *browser) token(page string, values url.Values) url.Values {
	b.t.Helper()
	for _, m := range hiddenInput.FindAllStringSubmatch(page, -1) {
		if m[1] == "csrfmiddlewaretoken" {
			values.Set(m[1], m[2])
		}
	}
	if !values.Has("csrfmiddlewaretoken") {
		b.t.Fatalf("no token in %s", clip(page))
	}
	return values
}

var noteLink = regexp.MustCompile(`href="/django/admin/notes/note/(\d+)/change/`)

// add fills the form for a new note, with a file, and returns the note's number.
func (b *browser) add(values url.Values, content string) (id string) {
	b.t.Helper()
	const path = boardNotes + "add/"
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for name, value := range b.token(b.get(path, ""), values) {
		_ = parts.WriteField(name, value[0])
	}
	file, _ := parts.CreateFormFile("file", "noise.bin")
	_, _ = io.WriteString(file, content)
	_ = parts.Close()
	resp, err := b.client.Post(b.base+path, parts.FormDataContentType(), &body)
	list := b.page(resp, err, boardNotes)
	sees(b.t, list, "was added successfully", "A &lt;note&gt;")
	m := noteLink.FindStringSubmatch(list)
	if m == nil {
		b.t.Fatalf("no link to a note in %s", list)
	}
	return m[1]
}

type boardNote struct {
	Title, Text string
	Pinned      bool
	Size        int
}

// latest returns the notes, and holds the addresses that Django makes to where it is.
func (b *browser) latest() (notes []boardNote) {
	b.t.Helper()
	lines := json.NewDecoder(strings.NewReader(b.get("/django/latest/?a=b%20c", "")))
	var urls struct{ Admin, Here string }
	if err := lines.Decode(&urls); err != nil || urls.Admin != "/django/admin/" || urls.Here != b.base+"/django/latest/?a=b%20c" {
		b.t.Errorf("Django thinks that it is at %+v, %v", urls, err)
	}
	for lines.More() {
		var n boardNote
		if err := lines.Decode(&n); err != nil {
			b.t.Fatal(err)
		}
		notes = append(notes, n)
	}
	return notes
}
