package site

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"weak"

	"gatehouse/internal/config"
)

// What lives on in a reload does not hold the configuration that it was made for: with
// thousands of sites each reload would cost their memory.
func TestRetiredIsGone(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text string }{
		{"files", ""},
		{"programs", "[[site.route]]\npath = '/a'\ncgi = 'DIR/program'\n"},
		{"FastCGI", "[[site.route]]\npath = '/a'\nfastcgi = { command = ['DIR/program'], min_workers = 0 }\n"},
		{"FastCGI elsewhere", "[[site.route]]\npath = '/a'\nfastcgi = 'unix:DIR/nobody'\n"},
		{"SCGI", "[[site.route]]\npath = '/a'\nscgi = 'unix:DIR/nobody'\n"},
		{"an authorizer", "[[site.route]]\npath = '/a'\ncgi = 'DIR/program'\nauthorize = 'unix:DIR/nobody'\n"},
		{"WSGI", "[[site.route]]\npath = '/a'\nwsgi = { module = 'none', dir = 'DIR', min_workers = 0 }\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read := func() *config.Config {
				text := "listen = ['127.0.0.1:0']\naccess_log = 'off'\n[[site]]\nroot = 'DIR'\n" + tt.text
				cfg, err := config.Parse(filepath.Join(dir, "g.toml"), []byte(strings.ReplaceAll(text, "DIR", dir)))
				if err != nil {
					t.Fatal(err)
				}
				return cfg
			}
			h, err := New(read(), Options{Log: slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			ctx, stop := context.WithCancel(context.Background())
			ready, served := make(chan []Listening, 1), make(chan error, 1)
			go func() { served <- h.Serve(ctx, ctx, func(on []Listening) { ready <- on }) }()
			defer func() { stop(); <-served }()
			<-ready
			first, cfg := weak.Make(h.current), weak.Make(h.current.config)
			for range 2 {
				if err := h.Reload(read()); err != nil {
					t.Fatal(err)
				}
			}
			for n := 0; first.Value() != nil || cfg.Value() != nil; n++ {
				if n > 1000 {
					t.Fatalf("the first assembly is there still: %t, its configuration: %t", first.Value() != nil, cfg.Value() != nil)
				}
				runtime.GC() // what retires it is another goroutine
			}
		})
	}
}
