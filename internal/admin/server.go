// Package admin shows what a running host does and takes the administrator's orders: a
// status page and its data, metrics for Prometheus, the answers that orchestrators ask
// for, the end of single requests, and the control socket.
//
// It asks the site.Host for what there is to see and goes through none of its queues:
// it answers when everything else is full.
package admin

import (
	"bytes"
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse/internal/site"
)

//go:embed page
var pageFiles embed.FS

// Options are what a Host does not know.
type Options struct {
	Software string       // as it calls itself: "gatehouse/0.1"
	Log      *slog.Logger // told of listeners that fail, and who ended what; nil means slog.Default
}

// Host is what there is to see of a *site.Host, and to do with it.
type Host interface {
	View() *site.View
	Counts() []site.Counts
	End(request string) int
}

// Server answers for one Host. Close it when done.
type Server struct {
	host    Host
	options Options
	log     *slog.Logger
	routes  http.Handler
	sockets sockets

	mu    sync.Mutex
	view  *site.View // the latest
	taken time.Time
}

// New makes a server that listens nowhere yet.
func New(host Host, o Options) *Server {
	s := &Server{host: host, options: o, log: o.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /status.json", s.status)
	mux.HandleFunc("POST /requests/{id}/end", s.end)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, EnableOpenMetrics: true, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	files, _ := fs.Sub(pageFiles, "page")
	for _, name := range []string{"status.css", "status.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=3600") // its URL has a version
			http.ServeFileFS(w, r, files, name)
		})
	}
	s.routes = guarded(mux)
	s.sockets.init(s)
	return s
}

// Handler answers without asking who it was that asked for: it is for sockets that not
// everyone may connect to.
func (s *Server) Handler() http.Handler { return s.routes }

// guarded keeps pages from elsewhere from ending requests, and what programs and clients
// wrote from being anything but text.
func guarded(next http.Handler) http.Handler {
	crossing := http.NewCrossOriginProtection()
	checked := crossing.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		checked.ServeHTTP(w, r)
	})
}

// fresh is how old a view may be: many who look on cost no more than one.
const fresh = 250 * time.Millisecond

// look returns what there is to see, which is not to be changed.
func (s *Server) look() *site.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil || time.Since(s.taken) > fresh {
		s.view, s.taken = s.host.View(), time.Now()
	}
	return s.view
}

// Status is what /status.json has.
type Status struct {
	Software string `json:"software"`
	Pid      int    `json:"pid"`
	*site.View
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(Status{s.options.Software, pid, s.look()}); err != nil {
		answer(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = b.WriteTo(w)
}

// readyz says whether requests are better sent here or elsewhere.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if v := s.look(); !v.Ready {
		answer(w, http.StatusServiceUnavailable, strings.Join(v.NotReady, "\n")+"\n")
		return
	}
	answer(w, http.StatusOK, "ok\n")
}

// end ends a request. A browser is sent back to the page.
func (s *Server) end(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	n := s.host.End(id)
	if n == 0 {
		answer(w, http.StatusNotFound, "no request of that ID runs\n")
		return
	}
	s.log.Info("request ended by the administrator", "request", id)
	s.forget()
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Location", "../../") // also behind a proxy that has put it below a path
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	answer(w, http.StatusOK, "it is being ended\n")
}

// forget has the next who looks see what is now.
func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
