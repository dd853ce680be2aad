package site

import (
	"io/fs"
	"os"
	"slices"

	"gatehouse/cgi"
)

// variants are the codings in which a file may lie beside itself, the preferred one first.
var variants = []struct{ coding, suffix string }{{"br", ".br"}, {"zstd", ".zst"}, {"gzip", ".gz"}}

// variant opens the best variant of a file that the client takes: a plain file that is not
// older than the file itself. It returns nil where there is none.
func (st *static) variant(of fs.FileInfo, rel string, req *cgi.Request) (v *os.File, fi fs.FileInfo, coding string) {
	var codings []string
	for _, v := range variants {
		codings = append(codings, v.coding)
	}
	for _, coding := range acceptable(req.Env.Get("HTTP_ACCEPT_ENCODING"), codings) {
		v, err := open(st.root, rel+variants[slices.Index(codings, coding)].suffix)
		if err != nil {
			continue
		}
		if fi, err := st.sendable(v, req.Path); err == nil && !fi.ModTime().Before(of.ModTime()) {
			return v, fi, coding
		}
		_ = v.Close()
	}
	return nil, nil, ""
}

// coded says that there are variants, and which one this is. Ranges and the validators
// are those of the variant (RFC 9110 section 14).
func coded(resp *cgi.Response, coding string) {
	varies(resp)
	if coding != "" && (resp.Status == 200 || resp.Status == 206) {
		resp.Header.Add("Content-Encoding", coding)
	}
}
