package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"html/template"
	"net/http"
	"os"

	"gatehouse/internal/site"
)

// pages are rendered by html/template: every byte of a program's or a client's is escaped
// for the place where it stands (E63).
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"age": Age, "size": Size, "count": Count, "rate": Rate, "share": Share, "clock": clock, "seconds": Seconds,
	"spark": spark, "fill": fill, "plain": Plain,
}).ParseFS(pageFiles, "page/*.html"))

// version tells one set of files from another in their URLs.
var version = func() string {
	h := sha256.New()
	for _, name := range []string{"page/status.css", "page/status.js", "page/icon.svg"} {
		b, _ := pageFiles.ReadFile(name)
		_, _ = h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}()

// pageView is what the template gets.
type pageView struct {
	*site.View
	Software, Machine, Version string
	Pid                        int
	Requests, Times            *chart
	Broken                     int  // pools in a crash loop, and helpers that fail
	Alarming                   bool // so many requests fail
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	v := s.look()
	machine, _ := os.Hostname()
	p := pageView{
		View: v, Software: s.options.Software, Machine: machine, Version: version, Pid: pid,
		Requests: requestsChart(v.Hour.Minutes), Times: timesChart(v.Hour.Minutes),
	}
	p.Alarming = v.Hour.Errors*100 >= max(v.Hour.Requests, 1)
	for _, pool := range v.Pools {
		if pool.Pause > 0 {
			p.Broken++
		}
	}
	for _, h := range v.Helpers {
		if h.Failure != "" {
			p.Broken++
		}
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, "status.html", p); err != nil {
		s.log.Error("status page", "error", err)
		answer(w, http.StatusInternalServerError, "the page could not be made: "+err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w)
}
