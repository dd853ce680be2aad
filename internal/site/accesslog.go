package site

import (
	"net"
	"sync"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// accessLog writes a line for each request that was answered, when that is over, and for
// each that a listener refused.
type accessLog struct {
	file   *logFile
	format *lineFormat
}

// logEntry is what a line tells of.
type logEntry struct {
	begun, ended time.Time
	client       string
	status       int
	req          *cgi.Request  // nil: a listener has refused what was to become one
	resp         *cgi.Response // nil with it
	account      *cgi.Account  // never nil
	server       string        // the name of its site where the client named none
}

// lineFormat makes lines. It has no line end.
type lineFormat struct {
	line func(b []byte, e *logEntry) []byte
	// lost makes a line that tells of lost ones; nil where nobody could read it.
	lost func(b []byte, now time.Time, lost int) []byte
}

// formatOf is the format that the configuration names, which was checked when it was read.
func formatOf(name string) *lineFormat {
	switch name {
	case "text":
		return &lineFormat{line: appendText, lost: lostText}
	case "json":
		return &lineFormat{line: appendJSON, lost: lostJSON}
	case "common":
		name = `%h %l %u %t "%r" %>s %b`
	case "combined":
		name = `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`
	case "vhost_combined": // of Debian's Apache
		name = `%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`
	}
	pieces, _ := config.ParseLogFormat(name)
	return &lineFormat{line: compile(pieces)}
}

// accessLogs are those of an assembly.
type accessLogs struct {
	formats map[string]*lineFormat
	files   []*logFile
	top     *siteLog            // of requests that no site answers
	sites   map[string]*siteLog // by what is logged: most sites have the server's
	name    string              // of the server
}

// siteLog is what is logged of a site's requests, and under which name.
type siteLog struct {
	access *accessLog // nil: nothing
	header string     // that has the request's ID, "" for none
	field  string     // the same as a variable of the request
}

// siteLog returns that of a configuration.
func (a *assembly) siteLog(c *config.Logging) *siteLog {
	ls := &a.accesses
	key := c.AccessLog + "\x00" + c.AccessLogFormat + "\x00" + c.RequestIDHeader
	if l := ls.sites[key]; l != nil {
		return l
	}
	l := &siteLog{header: c.RequestIDHeader, field: fieldVariable(c.RequestIDHeader)}
	if ls.sites == nil {
		ls.sites, ls.formats = make(map[string]*siteLog), make(map[string]*lineFormat)
	}
	ls.sites[key] = l
	if c.AccessLog == "off" || c.AccessLog == "stderr" && a.options.AccessLog == nil {
		return l
	}
	format := ls.formats[c.AccessLogFormat]
	if format == nil {
		format = formatOf(c.AccessLogFormat)
		ls.formats[c.AccessLogFormat] = format
	}
	l.access = &accessLog{format: format}
	if c.AccessLog == "stderr" {
		l.access.file = a.logs.use(c.AccessLog, a.options.AccessLog)
	} else {
		l.access.file = a.logs.use(c.AccessLog, nil)
	}
	ls.files = append(ls.files, l.access.file)
	l.access.file.tellsLost(format.lost)
	return l
}

// tellsLost sets how the file tells of lost lines, unless it is known.
func (f *logFile) tellsLost(line func([]byte, time.Time, int) []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lines == nil {
		f.lines = line
	}
}

// openAccessLogs prepares those of the server and of all sites.
func (a *assembly) openAccessLogs() {
	a.accesses.top = a.siteLog(&a.config.Logging)
	a.accesses.name = a.sites.name()
	for _, s := range a.sites.all {
		if s.log = a.siteLog(&s.config.Logging); s.log != a.accesses.top {
			a.sites.ownLogs = true
		}
	}
}

// drop gives them back, side by side: each may have to wait for what takes no line.
func (ls *accessLogs) drop() {
	var wg sync.WaitGroup
	for _, f := range ls.files {
		wg.Go(f.drop)
	}
	wg.Wait()
}

// logOf is what is logged of a request.
func (a *assembly) logOf(req *cgi.Request) *siteLog {
	if !a.sites.ownLogs {
		return a.accesses.top
	}
	host, ok := req.Env.Lookup("SERVER_NAME")
	if !ok { // it was refused, and is no site's
		return a.accesses.top
	}
	if s := a.sites.find(host); s != nil {
		return s.log
	}
	return a.accesses.top
}

// write writes the line of a request whose response is over.
func (l *accessLog) write(begun time.Time, req *cgi.Request, resp *cgi.Response, server string) {
	e := logEntry{begun: begun, ended: time.Now(), client: req.Env.Get("REMOTE_ADDR"), status: resp.Status, req: req, resp: resp, account: req.Account, server: server}
	if e.account == nil {
		e.account = new(cgi.Account)
	}
	l.put(&e)
}

func (l *accessLog) put(e *logEntry) {
	l.file.end(append(l.format.line(l.file.begin(), e), '\n'), e.ended)
}

// tellRefused tells of what a listener has answered: it never became a request.
func (a *assembly) tellRefused(client net.Addr, err *cgi.StrictError) {
	l := a.accesses.top.access
	if l == nil {
		return
	}
	ip := client.String()
	if host, _, err := net.SplitHostPort(ip); err == nil {
		ip = host
	}
	now := time.Now()
	l.put(&logEntry{begun: now, ended: now, client: ip, status: err.Status, server: a.accesses.name,
		account: &cgi.Account{Failure: &cgi.Error{Kind: cgi.BadRequest, Reason: err.Reason}}})
}
