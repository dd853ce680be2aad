package site

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"gatehouse/internal/config"
)

// authority fetches certificates by ACME (RFC 8555) and keeps them valid. It outlives
// configurations that say the same of it.
type authority struct {
	config  config.ACME
	manager *autocert.Manager
	answer  http.Handler // of HTTP-01 challenges
	client  *http.Transport
	log     *slog.Logger
	shared

	ctx     context.Context // done when it ends
	cancel  context.CancelFunc
	once    sync.Once
	working sync.WaitGroup
	poke    chan struct{} // there are other hosts

	mu    sync.Mutex
	hosts map[string]*fetched
}

// fetched is what there is for a host.
type fetched struct {
	cert *tls.Certificate // nil: none yet
	due  time.Time        // when to ask for it, or to see whether it was renewed
	wait time.Duration    // after the last failure
	busy bool
}

// Times of an authority. Those who give certificates away allow few failures an hour.
var (
	acmeFirstWait = 90 * time.Second // autocert itself tries again after a minute
	acmeLastWait  = 6 * time.Hour
	acmeRenewed   = time.Hour // to see what autocert has renewed
)

// acmeAtOnce is for how many hosts certificates are fetched side by side.
const acmeAtOnce = 4

// useAuthority makes what fetches the certificates of these hosts, or takes over that of
// the assembly before.
func (a *assembly) useAuthority(hosts map[string]bool) {
	if b := a.before; b != nil && b.secure != nil && b.secure.authority != nil && b.secure.authority.config == a.config.ACME {
		a.secure.authority = b.secure.authority
	} else {
		g, err := newAuthority(a.config.ACME, a.log)
		if err != nil {
			a.report(nil, nil, below("acme", err))
			return
		}
		a.secure.authority = g
	}
	a.mu.Lock()
	a.secure.authority.users++
	a.mu.Unlock()
	a.secure.fetched = hosts
}

func newAuthority(c config.ACME, log *slog.Logger) (*authority, error) {
	dir, err := acmeStorage(c.Storage)
	if err != nil {
		return nil, err
	}
	roots, err := acmeRoots(c.CA)
	if err != nil {
		return nil, err
	}
	g := &authority{config: c, log: log, poke: make(chan struct{}, 1), hosts: map[string]*fetched{}}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.client = &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: handshakeTime, ResponseHeaderTimeout: time.Minute, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
	}
	g.manager = &autocert.Manager{
		Prompt: func(string) bool { return c.AcceptTerms },
		Cache:  autocert.DirCache(dir), HostPolicy: g.policy, Email: c.Email,
		Client: &acme.Client{
			DirectoryURL: c.Directory, UserAgent: "gatehouse", RetryBackoff: g.backoff,
			HTTPClient: &http.Client{Transport: g, Timeout: 2 * time.Minute},
		},
	}
	g.answer = g.manager.HTTPHandler(http.NotFoundHandler())
	g.end = sync.OnceValue(g.close)
	return g, nil
}

// acmeStorage is the folder for certificates. What is in it is for its owner alone.
func acmeStorage(dir string) (string, error) {
	if dir == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if home, err := os.UserHomeDir(); !filepath.IsAbs(state) && err == nil {
			state = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(cmp.Or(state, "/var/lib"), "gatehouse", "acme")
		if os.Geteuid() == 0 {
			dir = "/var/lib/gatehouse/acme"
		}
	}
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist): // autocert makes it, with 0700
		return dir, nil
	case err != nil:
		return "", folderLack("storage", dir, err)
	case !st.IsDir():
		return "", &lack{key: "storage", reason: fmt.Sprintf("%q is not a folder", dir)}
	case st.Mode().Perm()&0o077 != 0:
		return "", &lack{key: "storage", reason: fmt.Sprintf("folder %q, which is for private keys, is open to others (mode %#o)", dir, st.Mode().Perm()), hint: "chmod 0700 closes it"}
	}
	return dir, writableFolder("storage", dir)
}

// acmeRoots are those by which the authority's server is verified; nil for the system's.
func acmeRoots(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	if err := fileLack("ca", name); err != nil {
		return nil, err
	}
	text, err := readPEM(name)
	if err != nil {
		return nil, &lack{key: "ca", reason: fmt.Sprintf("file %q: %v", name, cause(err)), cause: err}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, &lack{key: "ca", reason: fmt.Sprintf("file %q has no certificate in it", name), hint: "expected PEM"}
	}
	return roots, nil
}

// RoundTrip implements http.RoundTripper for the ACME client, until the authority ends: autocert's
// own contexts go on for minutes, and its timers for good.
func (g *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(g.ctx, cancel)
	resp, err := g.client.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		return nil, err
	}
	resp.Body = &cancelled{resp.Body, func() { stop(); cancel() }}
	return resp, nil
}

// cancelled is a body that calls done when it is closed.
type cancelled struct {
	io.ReadCloser
	done func()
}

func (c *cancelled) Close() error {
	defer c.done()
	return c.ReadCloser.Close()
}

// backoff spaces out what the client itself tries again: a few times, not after the end.
func (g *authority) backoff(n int, _ *http.Request, _ *http.Response) time.Duration {
	if n > 5 || g.ctx.Err() != nil {
		return -1
	}
	return time.Second << min(n-1, 4)
}

// policy lets through the hosts of the configuration, and no others.
func (g *authority) policy(_ context.Context, host string) error {
	if !g.has(host) {
		return fmt.Errorf("site: no certificate is fetched for %q", host)
	}
	return nil
}

func (g *authority) has(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hosts[strings.ToLower(host)] != nil
}

// first is the host whose certificate clients get that name none.
func (g *authority) first() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := slices.Sorted(maps.Keys(g.hosts))
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// certificate is what there is for a host; it waits for nothing.
func (g *authority) certificate(host string) (*tls.Certificate, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.hosts[host]; f != nil && f.cert != nil {
		return f.cert, nil
	}
	return nil, fmt.Errorf("no certificate has been fetched yet for %q", host)
}

// challenge is the certificate that answers a TLS-ALPN-01 challenge (RFC 8737).
func (g *authority) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(hello.SupportedProtos) != 1 || !g.has(hello.ServerName) {
		return nil, errors.New("no challenge is expected")
	}
	return g.manager.GetCertificate(hello)
}

// answers reports whether a request is for a challenge of ours (RFC 8555 section 8.3).
func (s *secure) answers(r *http.Request) bool {
	return s != nil && s.authority != nil && r.TLS == nil &&
		strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") && s.authority.has(r.Host)
}

// start begins to fetch the certificates of these hosts, in place of others.
func (g *authority) start(hosts map[string]bool) {
	g.mu.Lock()
	for host := range hosts {
		if g.hosts[host] == nil {
			g.hosts[host] = &fetched{}
		}
	}
	maps.DeleteFunc(g.hosts, func(host string, _ *fetched) bool { return !hosts[host] })
	g.mu.Unlock()
	g.once.Do(func() { g.working.Go(g.run) })
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// run fetches what is due until the authority ends.
func (g *authority) run() {
	room := make(chan struct{}, acmeAtOnce)
	for {
		host, pause := g.next()
		if host != "" {
			select {
			case room <- struct{}{}:
			case <-g.ctx.Done():
				return
			}
			g.working.Go(func() {
				g.fetch(host)
				<-room
			})
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-g.poke:
		case <-g.ctx.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

// next returns a host that is due, or else how long there is none.
func (g *authority) next() (host string, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	pause = acmeRenewed
	for name, f := range g.hosts {
		if f.busy {
			continue
		}
		left := time.Until(f.due)
		if left <= 0 {
			f.busy = true
			return name, 0
		}
		pause = min(pause, left)
	}
	return "", pause
}

// fetch gets the certificate of a host: from autocert's memory or files, or else from
// the authority.
func (g *authority) fetch(host string) {
	cert, err := g.manager.GetCertificate(&tls.ClientHelloInfo{
		ServerName:       host,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // a client that takes ECDSA
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		select {
		case g.poke <- struct{}{}:
		default:
		}
	}()
	f := g.hosts[host]
	if f == nil || g.ctx.Err() != nil {
		return
	}
	f.busy = false
	if err != nil {
		f.wait = min(max(2*f.wait, acmeFirstWait), acmeLastWait)
		f.due = time.Now().Add(f.wait)
		g.log.Error("a certificate could not be fetched", "host", host, "error", err, "again in", f.wait)
		return
	}
	if f.cert == nil || !bytes.Equal(f.cert.Certificate[0], cert.Certificate[0]) {
		g.log.Info("there is a certificate", "host", host, "until", cert.Leaf.NotAfter.UTC().Format(time.DateTime))
	}
	f.cert, f.wait, f.due = cert, 0, time.Now().Add(acmeRenewed)
}

// close ends what goes on, and waits for it.
func (g *authority) close() error {
	g.cancel()
	g.once.Do(func() {})
	g.working.Wait()
	g.client.CloseIdleConnections()
	return nil
}
