package site

import (
	"context"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"unicode/utf8"

	"gatehouse/cgi"
	"gatehouse/process"
)

//go:embed pages/*.html
var pageFiles embed.FS

// pages are rendered by html/template: every byte of a script's is escaped.
var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// errorPages is a Responder that turns errors into pages: for visitors the site's, or
// the status and the request's ID, in development everything that is known.
type errorPages struct {
	next        cgi.Responder
	development bool
}

func (p *errorPages) Respond(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
	resp, err := p.next.Respond(ctx, req)
	if err == nil {
		return resp, nil
	}
	e := cgi.AsError(err)
	if req.Account != nil {
		req.Account.Failure = e
	}
	own := cgi.ErrorResponse(e, "text/html; charset=utf-8", p.render(req, e))
	if resp = own; !p.development {
		if page := sitePage(ctx, req, e); page != nil {
			resp = page
			if again := own.Header.Get("Retry-After"); again != "" {
				resp.Header.Set("Retry-After", again)
			}
		}
	}
	for _, f := range fieldsOf(err) {
		resp.Header.Set(f.Name, f.Value)
	}
	if p.development { // the page shows what scripts print: nothing in it may run
		resp.Header.Add("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	}
	return resp, nil
}

type errorView struct {
	Code        int
	Text        string
	Request     string
	Development bool
	Method, URI string
	*cgi.Error
	Printed string // the first bytes of output, made visible
	Ended   string
}

func (p *errorPages) render(req *cgi.Request, e *cgi.Error) string {
	v := errorView{Code: e.StatusCode(), Request: req.ID, Development: p.development, Method: req.Method(), URI: req.Env.Get("REQUEST_URI"), Error: e}
	if v.Text = http.StatusText(v.Code); v.Text == "" {
		v.Text = "Error"
	}
	v.Printed = visibleBytes(e.Output)
	if e.Exit != nil {
		v.Ended = e.Exit.String()
	}
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, "error.html", v); err != nil {
		return v.Text + "\n"
	}
	return b.String()
}

// visibleBytes shows output line by line, with what cannot be seen spelled out.
func visibleBytes(b []byte) string {
	for len(b) > 0 && !utf8.Valid(b) && len(b) > 500 { // a character cut in two at the end
		b = b[:len(b)-1]
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		text, ended := strings.CutSuffix(line, "\n")
		text = process.Printable(text)
		if ended {
			text += "\n"
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "")
}

type entry struct{ Name, Href string }

// renderListing is the page of a folder's names, folders first.
func renderListing(urlPath string, names []string) (string, error) {
	sort.Slice(names, func(i, j int) bool {
		a, b := strings.HasSuffix(names[i], "/"), strings.HasSuffix(names[j], "/")
		if a != b {
			return a
		}
		return names[i] < names[j]
	})
	view := struct {
		Path    string
		Entries []entry
	}{Path: urlPath}
	if urlPath != "/" {
		view.Entries = append(view.Entries, entry{"../", "../"})
	}
	for _, name := range names {
		view.Entries = append(view.Entries, entry{process.Printable(name), "./" + (&url.URL{Path: name}).EscapedPath()})
	}
	var b strings.Builder
	err := pages.ExecuteTemplate(&b, "listing.html", view)
	return b.String(), err
}
