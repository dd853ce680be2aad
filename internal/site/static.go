package site

import (
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"gatehouse/cgi"
)

// static sends the files beneath one folder.
type static struct {
	site    *site
	root    *folder // nil: there are none
	listing bool    // folders without an index show their names
	plain   bool    // suffix routes do not apply (A47)

	precompressed bool // variants beside the files are sent in their place
}

// respond sends the file that was found, as net/http's ServeContent would: with
// ranges, validators and conditional requests (RFC 9110 sections 13 and 14).
func (st *static) respond(req *cgi.Request, f *Found) (*cgi.Response, error) {
	method := req.Method()
	if method != http.MethodGet && method != http.MethodHead {
		return nil, methodNotAllowed(method)
	}
	if strings.HasSuffix(f.rel, "/") {
		return st.list(req, f.rel)
	}
	file, err := open(st.root, f.rel)
	if err != nil {
		return nil, st.site.walkError(err, st.root, req.Path)
	}
	resp, err := st.send(file, f.rel, req, method)
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return resp, nil
}

func (st *static) send(file *os.File, rel string, req *cgi.Request, method string) (*cgi.Response, error) {
	fi, err := st.sendable(file, req.Path)
	if err != nil {
		return nil, err
	}
	w := &recorder{header: make(http.Header)}
	if t := contentType(fi.Name()); t != "" {
		w.header.Set("Content-Type", t)
	}
	coding := ""
	if st.precompressed {
		if v, vi, c := st.variant(fi, rel, req); v != nil {
			_ = file.Close()
			file, fi, coding = v, vi, c
		}
	}
	w.header.Set("Etag", fmt.Sprintf(`"%x-%x"`, fi.ModTime().UnixNano(), fi.Size()))
	http.ServeContent(w, conditions(req, method), fi.Name(), fi.ModTime(), file)
	resp := w.response(file)
	if st.precompressed {
		coded(resp, coding)
	}
	return resp, nil
}

// sendable refuses an open file that is not to be sent.
func (st *static) sendable(file *os.File, urlPath string) (fs.FileInfo, error) {
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q is not a regular file", urlPath)}
	}
	return fi, st.refuseScript(file, urlPath)
}

// open opens what may have become a FIFO since it was looked at, which would hold
// up whoever opens it until a writer comes.
func open(root *folder, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// refuseScript refuses the open file if it really is a script, or lies in a folder
// of scripts, by whatever way it was reached.
func (st *static) refuseScript(file *os.File, urlPath string) error {
	if len(st.site.unseen) == 0 {
		return nil
	}
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(file.Fd())))
	if err != nil {
		return fmt.Errorf("site: cannot tell whether %q is a script: %w", urlPath, err)
	}
	for _, s := range st.site.unseen {
		if real == s || strings.HasSuffix(s, "/") && strings.HasPrefix(real, s) {
			return &cgi.Error{Kind: cgi.Forbidden, Reason: fmt.Sprintf("%q is or lies in %s, which is never shown", urlPath, s)}
		}
	}
	return nil
}

// conditions is a request for ServeContent with what the client asked about
// ranges and validators. Several ranges in one request are answered with the
// whole, as RFC 9110 section 14.2 allows.
func conditions(req *cgi.Request, method string) *http.Request {
	r := &http.Request{Method: method, Header: make(http.Header), ProtoMajor: 1, ProtoMinor: 1}
	for name, variable := range map[string]string{
		"Range": "HTTP_RANGE", "If-Range": "HTTP_IF_RANGE",
		"If-Match": "HTTP_IF_MATCH", "If-None-Match": "HTTP_IF_NONE_MATCH",
		"If-Modified-Since": "HTTP_IF_MODIFIED_SINCE", "If-Unmodified-Since": "HTTP_IF_UNMODIFIED_SINCE",
	} {
		if v := req.Env.Get(variable); v != "" && !(name == "Range" && strings.Contains(v, ",")) {
			r.Header.Set(name, v)
		}
	}
	return r
}

// recorder is the ResponseWriter that ServeContent writes a Response to. It keeps
// the reader that it is to copy from in place of copying.
type recorder struct {
	header http.Header
	status int
	body   io.Reader
	text   strings.Builder // a message of ServeContent's own, on errors
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.text.Write(p)
}

// ReadFrom is what io.Copy calls: r is the part of the file that is to be sent.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	w.WriteHeader(http.StatusOK)
	w.body = r
	if l, ok := r.(*io.LimitedReader); ok {
		return l.N, nil
	}
	return 0, nil
}

// response closes file when it is closed itself.
func (w *recorder) response(file *os.File) *cgi.Response {
	w.WriteHeader(http.StatusOK)
	resp := &cgi.Response{Status: w.status, ContentLength: -1}
	for _, name := range []string{"Content-Type", "Etag", "Last-Modified", "Accept-Ranges", "Content-Range"} {
		if v := w.header.Get(name); v != "" {
			resp.Header.Add(name, v)
		}
	}
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	body := &fileBody{file: file}
	switch {
	case w.body != nil:
		body.rest = w.body
	case w.text.Len() > 0:
		body.rest = strings.NewReader(w.text.String())
		resp.ContentLength = int64(w.text.Len())
	default:
		body.rest = strings.NewReader("")
	}
	resp.Body = body
	return resp
}

// fileBody is a part of a file that can be sent by sendfile(2), in pieces small
// enough that a client which takes one makes progress.
type fileBody struct {
	file *os.File
	rest io.Reader
}

func (b *fileBody) Read(p []byte) (int, error) { return b.rest.Read(p) }

func (b *fileBody) Close() error { return b.file.Close() }

// WritePiece implements cgi.PieceWriter.
func (b *fileBody) WritePiece(w io.Writer) (int64, error) {
	const piece = 2 << 20
	l, ok := b.rest.(*io.LimitedReader)
	if !ok {
		n, err := io.Copy(w, b.rest)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	if l.N <= 0 {
		return 0, io.EOF
	}
	n, err := io.CopyN(w, l.R, min(l.N, piece))
	l.N -= n
	if err == io.EOF { // the file has become shorter than what was promised
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// types are those that every machine shall agree on.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".gif": "image/gif", ".gz": "application/gzip",
	".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon",
	".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".js": "text/javascript; charset=utf-8", ".json": "application/json",
	".md": "text/markdown; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".mp4": "video/mp4", ".pdf": "application/pdf",
	".png": "image/png", ".svg": "image/svg+xml", ".tar": "application/x-tar", ".txt": "text/plain; charset=utf-8",
	".wasm": "application/wasm", ".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff",
	".woff2": "font/woff2", ".xhtml": "application/xhtml+xml", ".xml": "text/xml; charset=utf-8", ".zip": "application/zip",
}

// contentType goes by the end of the name; "application/octet-stream" where that
// says nothing: files are not guessed at by their content.
func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if t := types[ext]; t != "" {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" && ext != "" {
		return t
	}
	return "application/octet-stream"
}

// list shows the names in a folder.
func (st *static) list(req *cgi.Request, rel string) (*cgi.Response, error) {
	dir, err := open(st.root, strings.TrimSuffix(rel, "/"))
	if err != nil {
		return nil, st.site.walkError(err, st.root, req.Path)
	}
	defer dir.Close()
	const most = 10000
	entries, err := dir.ReadDir(most)
	if err != nil && err != io.EOF {
		return nil, err
	}
	page, err := renderListing(req.Path, visible(entries))
	if err != nil {
		return nil, err
	}
	return &cgi.Response{
		Status: 200, ContentLength: int64(len(page)),
		Header: cgi.Header{{Name: "Content-Type", Value: "text/html; charset=utf-8"}},
		Body:   io.NopCloser(strings.NewReader(page)),
	}, nil
}

func visible(entries []fs.DirEntry) (names []string) {
	for _, e := range entries {
		name := filepath.Base(e.Name())
		if hidden(name) {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return names
}
