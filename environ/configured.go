package environ

import (
	"cmp"
	"net/http"
	"strings"
)

// DefaultPath is the PATH of a process when none is configured.
const DefaultPath = "/usr/local/bin:/usr/bin:/bin"

// ProcessEnv returns the environment that a process starts with before anything
// is added: PATH, HOME, LANG and TZ, each only if it is not empty, but PATH
// always ("" means [DefaultPath]). Nothing is inherited from this process, whose
// environment may hold secrets, descriptors and LD_LIBRARY_PATH (A26).
func ProcessEnv(path, home, lang, tz string) Env {
	var e Env
	e.Set("PATH", cmp.Or(path, DefaultPath))
	for _, v := range [...]struct{ name, value string }{{"HOME", home}, {"LANG", lang}, {"TZ", tz}} {
		if v.value != "" {
			e.Set(v.name, v.value)
		}
	}
	return e
}

// AddConfigured sets a variable that a configuration gives (A25). A variable
// that was configured before is replaced. AUTH_TYPE, REMOTE_USER and
// REMOTE_IDENT are set only if they are not there, as the server knows better.
//
// It refuses, with an *[Error] of status 500: a name that is not
// [A-Za-z_][A-Za-z0-9_]*; in any case, the names of variables that the server
// derives (or would, in another request), HTTP_* and LD_*; a name that differs
// only in case from one that is there (A29); NUL in the value; more than
// [MaxVar] bytes. But for the case of letters that does not depend on e, so
// that a configuration can be checked with an empty Env.
func (e *Env) AddConfigured(name, value string) error {
	if err := checkConfigured(name, value); err != nil {
		return err
	}
	if other := e.otherCase(name); other != "" {
		return misconfigured("variables %s and %s differ only in case", other, name)
	}
	if _, known := e.Lookup(name); known && isIdentity(name) {
		return nil
	}
	e.Set(name, value)
	return nil
}

func misconfigured(format string, args ...any) error {
	return refuse(http.StatusInternalServerError, format, args...)
}

func checkConfigured(name, value string) error {
	switch {
	case !isVariableName(name):
		return misconfigured("%s is no name for a variable", short(name))
	case isDerived(name) && !isIdentity(name):
		return misconfigured("variable %s is set by the server", short(name))
	case hasPrefixFold(name, "LD_"):
		return misconfigured("variable %s would change how programs are loaded", short(name))
	case strings.IndexByte(value, 0) >= 0:
		return misconfigured("variable %s has a NUL in its value", short(name))
	case len(name) >= MaxVar || len(value) > MaxVar-1-len(name):
		return misconfigured("variable %s is longer than %d bytes", short(name), MaxVar)
	}
	return nil
}

func isVariableName(name string) bool {
	for i := 0; i < len(name); i++ {
		if !isAlnum(name[i]) && name[i] != '_' {
			return false
		}
	}
	return name != "" && !isDigit(name[0])
}

// isIdentity names what the server knows only if it has authenticated the
// client itself. In any other case of letters these are derived names.
func isIdentity(name string) bool {
	return name == "AUTH_TYPE" || name == "REMOTE_USER" || name == "REMOTE_IDENT"
}

// isDerived names, in any case of letters, the variables A01-A21.
func isDerived(name string) bool {
	name = strings.ToUpper(name)
	switch name {
	case "AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "DOCUMENT_ROOT",
		"GATEWAY_INTERFACE", "HTTPS", "PATH_INFO", "PATH_TRANSLATED",
		"QUERY_STRING", "REDIRECT_QUERY_STRING", "REDIRECT_STATUS",
		"REDIRECT_URL", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_IDENT",
		"REMOTE_PORT", "REMOTE_USER", "REQUEST_METHOD", "REQUEST_SCHEME",
		"REQUEST_URI", "SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_ADDR",
		"SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE",
		"SSL_CIPHER", "SSL_PROTOCOL":
		return true
	}
	return strings.HasPrefix(name, "HTTP_") || strings.HasPrefix(name, "SSL_CLIENT_")
}

// otherCase returns the name of a variable of e that is spelled like name but
// for the case of letters, or "".
func (e *Env) otherCase(name string) string {
	for other := range e.All() {
		if other != name && equalFold(other, name) {
			return other
		}
	}
	return ""
}
