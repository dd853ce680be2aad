package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/cgi"
)

// sendfile is a Responder that sends the files which the application behind it names in
// place of its own answer (A84), beneath one folder and no others.
type sendfile struct {
	next   cgi.Responder
	route  *route
	folder *folder
	prefix string // of the path of an X-Accel-Redirect
	log    *slog.Logger
}

// openSendfile puts it in front of the program of a route, if that may name files.
func (a *assembly) openSendfile(r *route) error {
	dir := r.config.Sendfile
	if dir == "" {
		return nil
	}
	s := r.site
	if s.sending[dir] == nil {
		f, err := a.folders.folder(filepath.Clean(dir))
		if err != nil {
			return folderLack("sendfile", dir, err)
		}
		if s.sending == nil {
			s.sending = make(map[string]*folder)
		}
		s.sending[dir] = f
	}
	prefix := r.config.SendfilePrefix
	if prefix == "" {
		prefix = "/"
	}
	r.program = &sendfile{next: r.program, route: r, folder: s.sending[dir], prefix: prefix, log: a.log}
	return nil
}

// Respond drops the body of an answer that names a file, and keeps its other fields.
func (s *sendfile) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	resp, err := s.next.Respond(ctx, req)
	if err != nil || resp.Raw {
		return resp, err
	}
	field, value := namedFile(resp.Header)
	if field == "" {
		return resp, nil
	}
	farewell(resp)
	_ = resp.Close()
	file, err := s.open(field, value)
	if err == nil {
		out, err := s.send(file, req, resp)
		if err != nil {
			_ = file.Close()
		}
		return out, err
	}
	s.log.Warn("a file that an application named cannot be sent", "app", "route "+s.route.config.Path,
		"request", req.ID, "field", field, "file", value, "error", err)
	if scarce(err) {
		return nil, noRoomFor(value, err)
	}
	return nil, &cgi.Error{Kind: cgi.NotFound, Err: err, Reason: fmt.Sprintf("the file that %s names, %q, cannot be sent: %v", field, value, cause(err))}
}

// namedFile returns the field that names a file, and the name; "" for none.
func namedFile(h cgi.Header) (field, value string) {
	for _, field := range []string{"X-Sendfile", "X-Accel-Redirect"} {
		if value, ok := h.Lookup(field); ok {
			return field, value
		}
	}
	return "", ""
}

// farewell waits a moment for the application to end by itself: closing its answer ends
// what still runs.
func farewell(resp *cgi.Response) {
	const patience, most = time.Second, 1 << 20
	w, ok := resp.Body.(cgi.Waiter)
	if !ok {
		return
	}
	end := time.Now().Add(patience)
	buf := make([]byte, 8<<10)
	for read := 0; read < most; {
		n, err := w.ReadWithin(buf, max(time.Until(end), 0))
		if read += n; err != nil {
			return
		}
	}
}

// open opens the file. Its name is the application's, and leads nowhere but beneath the
// folder: os.Root follows no link and no ".." out of it.
func (s *sendfile) open(field, value string) (*os.File, error) {
	names, err := s.names(field, value)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var file *os.File
		if file, err = s.openOne(name); !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
	return nil, err
}

var errOutside = errors.New("it is not beneath the folder of sendfile")

// names are what the value can mean. The path of X-Accel-Redirect is that of a URL, and
// decoded once, as nginx does it. X-Sendfile is a file's name; lighttpd and Apache decode
// it all the same, and some applications rely on that.
func (s *sendfile) names(field, value string) ([]string, error) {
	if field == "X-Accel-Redirect" {
		value, _, _ = strings.Cut(value, "?")
		decoded, err := url.PathUnescape(value)
		if err != nil {
			return nil, err
		}
		name, below := strings.CutPrefix(decoded, s.prefix)
		if !below {
			return nil, fmt.Errorf("its path does not begin with %q", s.prefix)
		}
		return []string{name}, nil
	}
	var names []string
	for _, dir := range []string{s.route.config.Sendfile, strings.TrimSuffix(s.folder.real, "/") + "/"} {
		if name, below := strings.CutPrefix(value, dir); below {
			names = append(names, name)
			if decoded, err := url.PathUnescape(name); err == nil && decoded != name {
				names = append(names, decoded)
			}
		}
	}
	if names == nil {
		return nil, errOutside
	}
	return names, nil
}

func (s *sendfile) openOne(name string) (*os.File, error) {
	switch {
	case strings.ContainsRune(name, 0):
		return nil, errors.New("it has a NUL in it")
	case !filepath.IsLocal(name):
		return nil, errOutside
	case hidden(filepath.Clean(name)):
		return nil, errors.New("a part of its name begins with a dot")
	}
	file, err := open(s.folder, name)
	if err != nil {
		return nil, err
	}
	st, err := file.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errIrregular
	}
	if err == nil {
		err = (&static{site: s.route.site}).refuseScript(file, name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// send makes the answer of the file and the application's fields. With a status other
// than 200 the application has decided what it is, and the whole file is its document.
func (s *sendfile) send(file *os.File, req *cgi.Request, app *cgi.Response) (*cgi.Response, error) {
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	w := &recorder{header: make(http.Header)}
	w.header.Set("Etag", fmt.Sprintf(`"%x-%x"`, st.ModTime().UnixNano(), st.Size()))
	w.header.Set("Content-Type", contentType(st.Name()))
	for _, name := range []string{"Etag", "Content-Type"} {
		if v := app.Header.Get(name); v != "" {
			w.header.Set(name, v)
		}
	}
	method := req.Method()
	asked := &http.Request{Method: http.MethodGet, Header: make(http.Header), ProtoMajor: 1, ProtoMinor: 1}
	if app.Status == http.StatusOK && (method == http.MethodGet || method == http.MethodHead) {
		asked = conditions(req, method)
	} else if method == http.MethodHead {
		asked.Method = method
	}
	http.ServeContent(w, asked, st.Name(), st.ModTime(), file)
	resp := w.response(file)
	if app.Status != http.StatusOK {
		resp.Status, resp.Reason = app.Status, app.Reason
	}
	for _, f := range app.Header {
		if !ofFile(f.Name) {
			resp.Header.Add(f.Name, f.Value)
		}
	}
	return resp, nil
}

// ofFile names the fields that the file has itself, or that were for us.
func ofFile(name string) bool {
	switch name = strings.ToLower(name); name {
	case "content-type", "etag", "last-modified", "accept-ranges", "content-range", "x-sendfile":
		return true
	}
	return strings.HasPrefix(name, "x-accel-")
}
