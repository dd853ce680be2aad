package site_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/cgi"
	"gatehouse/internal/site"
)

// slowLines are the reports in a log of JSON objects.
func slowLines(t testing.TB, log string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if fields["msg"] == "slow request" {
			all = append(all, fields)
		}
	}
	return all
}

// held is a script that has said something, and sleeps in a child until a test lets it end.
func held(lines ...string) string {
	return script(append(lines, "echo first >&2", "echo second >&2", okHeader, "echo begun", "while [ ! -e ../gate ]; do sleep 0.05; done", "echo end")...)
}

// A request that takes longer than slow is reported once, while it runs, with what its
// process is doing, and marked in the access log.
func TestSlowLog(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/held": held(), "cgi-bin/quick": script(okHeader)})
	log := new(buffer)
	s := start(t, dir, "log_format = 'json'\naccess_log_format = 'json'\nslow = '100ms'\n"+strings.Replace(logConfig, "processes = 1", "processes = 2", 1),
		configured(log), func(o *site.Options) { o.AccessLog = log })
	open := gate(t, filepath.Join(dir, "gate"))
	done := make(chan *answer)
	go func() { done <- s.get(t, "/cgi-bin/held?q") }()
	eventually(t, "it is reported", func() bool { return len(slowLines(t, whole(log.String()))) == 1 })
	r := slowLines(t, whole(log.String()))[0]
	open()
	got := <-done
	if got.body != "begun\nend\n" {
		t.Errorf("body %q", got.body)
	}
	for key, want := range map[string]string{
		"level": "WARN", "slow": "100ms", "site": "default", "route": "/cgi-bin/", "script": dir + "/cgi-bin/held",
		"client": "127.0.0.1", "method": "GET", "uri": "/cgi-bin/held?q", "request": got.Header.Get("X-Request-Id"),
	} {
		if fmt.Sprint(r[key]) != want {
			t.Errorf("%s is %v, want %s", key, r[key], want)
		}
	}
	if after, err := time.ParseDuration(fmt.Sprint(r["after"])); err != nil || after < 100*time.Millisecond {
		t.Errorf("after %v", r["after"])
	}
	var line map[string]any
	eventually(t, "it is in the access log", func() bool {
		for text := range strings.Lines(whole(log.String())) {
			var fields map[string]any
			if json.Unmarshal([]byte(text), &fields) == nil && fields["bytes_out"] != nil {
				line = fields
			}
		}
		return line != nil
	})
	if line["slow"] != true || line["pid"] != r["pid"] {
		t.Errorf("the access log has %v, the report %v", line, r)
	}
	if n := len(slowLines(t, whole(log.String()))); n != 1 {
		t.Errorf("reported %d times", n)
	}
}

// whole is what a log has in whole lines.
func whole(log string) string { return log[:strings.LastIndexByte(log, '\n')+1] }

// What the process does is told: its state, its children and what it has said.
func TestSlowProcess(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/held": script("echo first >&2", "echo 'sec\x1bond' >&2", okHeader, "echo begun",
		"sleep 1000 & wait $! & sleep 1000")})
	log := filepath.Join(dir, "slow")
	s := start(t, dir, "log_format = 'json'\nslow_log = 'DIR/slow'\nslow = '50ms'\n"+logConfig)
	r := slowOf(t, s, log, "/cgi-bin/held", func(r map[string]any) bool {
		p, _ := r["process"].(map[string]any)
		return p != nil && p["state"] == "sleeping" && strings.Contains(fmt.Sprint(p["children"]), "sleep 1000") &&
			strings.Contains(fmt.Sprint(r["stderr"]), "ond") && r["bytes"] == 6.0 && r["phase"] == "sending"
	})
	p := r["process"].(map[string]any)
	if !strings.Contains(fmt.Sprint(p["command"]), "cgi-bin/held") || !strings.HasSuffix(fmt.Sprint(p["cpu"]), "s") {
		t.Errorf("process %v", p)
	}
	if !regexp.MustCompile(`\d+ \w+( in \w+)?: sleep 1000`).MatchString(fmt.Sprint(p["children"])) {
		t.Errorf("children %v", p["children"])
	}
	if r["stderr"] != `first | sec\x1bond` {
		t.Errorf("stderr %q", r["stderr"])
	}
	if text := text(t, log); strings.Contains(s.log.String(), "slow request") || strings.Contains(text, "\x1b") {
		t.Errorf("the slow log has\n%s\nthe error log\n%s", text, s.log)
	}
}

// slowOf asks again and again, each request until it is reported, for a report that is
// what a test wants: a busy machine may have it come before the script has got that far.
func slowOf(t testing.TB, s *server, log, target string, good func(map[string]any) bool) (report map[string]any) {
	t.Helper()
	seen := len(slowLines(t, whole(text(t, log))))
	eventually(t, "a report of "+target, func() bool {
		conn := s.dial(t)
		defer conn.Close() // which ends the script
		fmt.Fprint(conn, request("GET", target))
		eventually(t, "another report", func() bool { return len(slowLines(t, whole(text(t, log)))) > seen })
		all := slowLines(t, whole(text(t, log)))
		seen = len(all)
		report = all[seen-1]
		return good(report)
	})
	return report
}

// Whoever waits for a turn is told so, and there is no process to look at.
func TestSlowQueued(t *testing.T) {
	dir := tree(t, files{"htdocs/": "", "cgi-bin/held": held()})
	s := start(t, dir, "log_format = 'json'\nslow_log = 'DIR/slow'\nslow = '50ms'\n"+logConfig)
	open := gate(t, filepath.Join(dir, "gate"))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer open()
	wg.Go(func() { s.get(t, "/cgi-bin/held?first") })
	log := filepath.Join(dir, "slow")
	eventually(t, "the first is reported", func() bool { return len(slowLines(t, whole(text(t, log)))) == 1 })
	eventually(t, "the first runs", func() bool { return strings.Contains(s.log.String(), "line=second") })
	r := slowOf(t, s, log, "/cgi-bin/held", func(r map[string]any) bool { return r["phase"] == "queued" })
	if r["pid"] != nil || r["process"] != nil || r["uri"] != "/cgi-bin/held" {
		t.Errorf("report %v", r)
	}
}

// The nearest limit counts, files have none, and where slow_log is off the access log
// still says so.
func TestSlowLimits(t *testing.T) {
	sleeps := script(okHeader, "sleep 0.1")
	dir := tree(t, files{"htdocs/hello.txt": "hello", "a/sleeps": sleeps, "b/sleeps": sleeps})
	s := start(t, dir, `
slow_log = "off"
slow = "1ms"
[[site]]
root = "DIR/htdocs"
[[site.route]]
path = "/a/"
cgi = "DIR/a/"
[[site.route]]
path = "/b/"
cgi = "DIR/b/"
slow = "0s"
`)
	slow := func(target string) bool {
		s.get(t, target)
		_, slow := keyOf(s.accessOf(t, "uri="+target+" "), "slow")
		return slow
	}
	n := 0
	eventually(t, "one that sleeps is slow", func() bool { n++; return slow(fmt.Sprintf("/a/sleeps?%d", n)) })
	for _, target := range []string{"/b/sleeps", "/hello.txt"} {
		if slow(target) {
			t.Errorf("%s is slow", target)
		}
	}
	if strings.Contains(s.log.String(), "slow request") {
		t.Errorf("reported although slow_log is off:\n%s", s.log)
	}
}

// A worker of a FastCGI application is looked at as well.
func TestSlowWorker(t *testing.T) {
	if _, err := os.Stat("/usr/bin/php-cgi"); err != nil {
		t.Skip("php-cgi is not installed (package php-cgi)")
	}
	dir := tree(t, files{"htdocs/x.php": `<?php error_log("from php"); echo "begun"; flush(); sleep(1000);`})
	s := start(t, dir, `
log_format = "json"
slow_log = "DIR/slow"
slow = "100ms"
[[site]]
root = "DIR/htdocs"
[[site.route]]
path = "*.php"
fastcgi = { command = ["/usr/bin/php-cgi"], workers = 2, abort_grace = "0s" }
`)
	r := slowOf(t, s, filepath.Join(dir, "slow"), "/x.php", func(r map[string]any) bool {
		p, _ := r["process"].(map[string]any)
		return p != nil && p["state"] == "sleeping" && strings.Contains(fmt.Sprint(r["stderr"]), "from php")
	})
	p := r["process"].(map[string]any)
	if !strings.Contains(fmt.Sprint(p["command"]), "php-cgi") {
		t.Errorf("process %v", p)
	}
	if r["script"] != dir+"/htdocs/x.php" || r["route"] != "*.php" {
		t.Errorf("report %v", r)
	}
}

// BenchmarkSlowWatch is what a limit costs each request that ends in time.
func BenchmarkSlowWatch(b *testing.B) {
	for name, slow := range map[string]string{"without": "0s", "with": "1h"} {
		b.Run(name, func(b *testing.B) {
			dir := tree(b, files{"x": script(okHeader)})
			h, err := site.New(parse(b, dir, "access_log = 'off'\nslow = '"+slow+"'\n[[site]]\n[[site.route]]\npath = '/x'\ncgi = 'DIR/x'\n"), site.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			site.AnswerAll(h, cgi.ResponderFunc(func(context.Context, *cgi.Request) (*cgi.Response, error) {
				return &cgi.Response{Status: 204, Body: noBody{}}, nil
			}))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req := &cgi.Request{ID: "x", Path: "/x", Account: new(cgi.Account)}
					req.Env.Set("REQUEST_METHOD", "GET")
					req.Env.Set("REQUEST_URI", "/x")
					req.Env.Set("SERVER_NAME", "localhost")
					resp, err := h.Respond(context.Background(), req)
					if err != nil || resp.Status != 204 {
						b.Fatal(resp, err)
					}
					_ = resp.Close()
				}
			})
		})
	}
}

type noBody struct{}

func (noBody) Read([]byte) (int, error) { return 0, nil }
func (noBody) Close() error             { return nil }
