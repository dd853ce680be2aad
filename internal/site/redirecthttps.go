package site

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"

	"gatehouse/cgi"
)

// toHTTPS sends clients that did not come over TLS to the same URL with https; for others
// it returns nil. A trusted proxy's word counts: HTTPS is set where it took the request
// over TLS (E25).
func (h *Host) toHTTPS(req *cgi.Request) *cgi.Response {
	host, uri := req.Env.Get("SERVER_NAME"), req.Env.Get("REQUEST_URI")
	if req.Env.Get("HTTPS") != "" || host == "" || !strings.HasPrefix(uri, "/") {
		return nil
	}
	return redirectTo(http.StatusPermanentRedirect, "https://"+host+h.httpsPort()+uri)
}

// elsewhere counts a response that no route has made.
func (s *site) elsewhere(ctx context.Context, req *cgi.Request, resp *cgi.Response) *cgi.Response {
	track(ctx, s.tally, nil)
	if req.Account != nil {
		req.Account.Site = s.name
	}
	return resp
}

// httpsPort is where clients find the first https listener that has a port.
func (h *Host) httpsPort() string {
	h.mu.Lock()
	f := h.fronts
	h.mu.Unlock()
	if f == nil {
		return ""
	}
	for _, l := range f.listening() {
		if a, ok := l.Addr.(*net.TCPAddr); ok && l.Protocol == "https" && a.Port != 443 {
			return ":" + strconv.Itoa(a.Port)
		} else if ok && l.Protocol == "https" {
			return ""
		}
	}
	return ""
}
