package environ

import "strings"

// Script is where a request leads.
type Script struct {
	Name           string // URL path of the script, decoded; "" when it is mounted at the root (A13)
	Filename       string // file of the script; "" for a program that is not a file of ours
	PathInfo       string // what follows Name in the URL path, decoded; "" or beginning with "/" (A05)
	PathTranslated string // PathInfo as a file path (A06)
	DocumentRoot   string // directory of the site's files; "" if it has none
}

// SetScript sets SCRIPT_NAME, always; SCRIPT_FILENAME and DOCUMENT_ROOT unless
// they are empty; PATH_INFO and PATH_TRANSLATED, both unless PathInfo is empty
// (RFC 3875 section 4.1.6). Those that are not set are removed. The values must
// not contain NUL, which no result of [ParseTarget] does.
func (e *Env) SetScript(s Script) {
	all := [...]struct {
		name, value string
		absent      bool
	}{
		{"SCRIPT_NAME", s.Name, false},
		{"SCRIPT_FILENAME", s.Filename, s.Filename == ""},
		{"DOCUMENT_ROOT", s.DocumentRoot, s.DocumentRoot == ""},
		{"PATH_INFO", s.PathInfo, s.PathInfo == ""},
		{"PATH_TRANSLATED", s.PathTranslated, s.PathInfo == ""},
	}
	size := 0
	for _, v := range all {
		size += len(v.name) + 1 + len(v.value)
	}
	var text strings.Builder // one for all five
	text.Grow(size)
	for _, v := range all {
		if v.absent {
			e.Del(v.name)
			continue
		}
		from := text.Len()
		text.WriteString(v.name)
		text.WriteByte('=')
		text.WriteString(v.value)
		e.put(v.name, text.String()[from:])
	}
}

// Redirect turns the variables into those of the request that follows an
// internal redirect to uri, a path with or without a query that [ParseTarget]
// accepts (RFC 3875 section 6.2.2, A91). method is that of the request so far;
// "" means REQUEST_METHOD.
//
// The new request is a GET, or still a HEAD, without a body: what describes the
// body, ranges and conditions goes, the client's other fields stay. REDIRECT_URL
// and REDIRECT_QUERY_STRING tell the path, decoded, and the query so far. What
// followed from the script and from its access control is removed, since both
// are decided anew: SCRIPT_NAME, SCRIPT_FILENAME, DOCUMENT_ROOT, PATH_INFO,
// PATH_TRANSLATED, AUTH_TYPE, REMOTE_USER, REMOTE_IDENT.
func (e *Env) Redirect(uri, method string) {
	if method == "" {
		method = e.Get("REQUEST_METHOD")
	}
	if method != "HEAD" {
		method = "GET"
	}
	from := e.Get("REQUEST_URI")
	url, _, err := ParseTarget(from)
	if err != nil { // no path that was routed; tell it as it was
		url, _, _ = strings.Cut(from, "?")
	}
	query := e.Get("QUERY_STRING")

	e.delFunc(endsAtRedirect)
	_, newQuery, _ := strings.Cut(uri, "?")
	e.Set("REQUEST_METHOD", method)
	e.Set("REQUEST_URI", uri)
	e.Set("QUERY_STRING", newQuery)
	e.Set("REDIRECT_URL", url)
	e.Set("REDIRECT_QUERY_STRING", query)
}

// endsAtRedirect names the variables that do not outlive a redirect.
func endsAtRedirect(name string) bool {
	switch name {
	case "SCRIPT_NAME", "SCRIPT_FILENAME", "DOCUMENT_ROOT", "PATH_INFO", "PATH_TRANSLATED",
		"AUTH_TYPE", "REMOTE_USER", "REMOTE_IDENT", // A49: access control runs again
		"CONTENT_TYPE", "CONTENT_LENGTH",
		"HTTP_RANGE", "HTTP_EXPECT":
		return true
	}
	return strings.HasPrefix(name, "HTTP_CONTENT_") ||
		strings.HasPrefix(name, "HTTP_IF_") ||
		strings.HasPrefix(name, "HTTP_TRANSFER_")
}
