package site

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"gatehouse/internal/config"
)

// secure is what the assembly's https listeners need: certificates by the name that a
// client asks for.
type secure struct {
	a         *assembly
	config    *tls.Config
	pairs     map[config.Certificate]*keyPair
	exact     map[string]chain // by host
	wildcard  map[string]chain // by what follows "*"
	others    chain            // for every other name, and for clients that name none
	authority *authority       // nil: no certificate is fetched
	fetched   map[string]bool  // the hosts for which it does

	once sync.Once
	quit chan struct{}
	done sync.WaitGroup
}

// chain is the certificates of one site, in the order in which they are tried.
type chain struct {
	pairs []*keyPair
	acme  bool
}

// useTLS loads the certificates that the configuration names.
func (a *assembly) useTLS() {
	s := &secure{a: a, pairs: map[config.Certificate]*keyPair{}, exact: map[string]chain{}, wildcard: map[string]chain{}, quit: make(chan struct{})}
	a.secure = s
	s.config = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: s.certificate,
		NextProtos:     []string{"http/1.1"},
	}
	if a.config.HTTP2 {
		s.config.NextProtos = []string{"h2", "http/1.1"}
	}
	s.others = s.open(nil, a.config.TLS)
	fetched := map[string]bool{}
	for n := range a.config.Sites {
		s.add(&a.config.Sites[n], fetched)
	}
	s.useFirst()
	if len(fetched) > 0 {
		s.config.NextProtos = append(s.config.NextProtos, acme.ALPNProto)
		a.useAuthority(fetched)
	}
	a.secureLack()
}

// add takes in the certificates of a site. fetched gets the names for which there is no file.
func (s *secure) add(c *config.Site, fetched map[string]bool) {
	own := s.others
	if !sameTLS(c.TLS, s.a.config.TLS) {
		own = s.open(c, c.TLS)
	}
	if len(c.Hosts) == 0 && own.any() {
		s.others = own
	}
	for _, host := range c.Hosts {
		if own.acme {
			fetched[host] = true
		}
		for _, p := range own.pairs {
			p.hosts = append(p.hosts, host)
		}
		if tail, ok := strings.CutPrefix(host, "*"); ok {
			s.wildcard[tail] = own
		} else {
			s.exact[strings.Trim(host, "[]")] = own
		}
	}
}

func sameTLS(a, b config.TLS) bool {
	return a.ACME == b.ACME && slices.Equal(a.Certificates, b.Certificates)
}

func (c chain) any() bool { return c.acme || len(c.pairs) > 0 }

// useFirst gives clients that name no site the certificates of the first one, if there
// are none for everybody.
func (s *secure) useFirst() {
	for n := 0; n < len(s.a.config.Sites) && !s.others.any(); n++ {
		if hosts := s.a.config.Sites[n].Hosts; len(hosts) > 0 {
			s.others = s.chainFor(strings.TrimPrefix(hosts[0], "*"))
		}
	}
}

// open loads the certificates of a site, or of the server.
func (s *secure) open(c *config.Site, t config.TLS) chain {
	found := chain{acme: t.ACME}
	for _, files := range t.Certificates {
		p := s.pairs[files]
		if p == nil {
			p = &keyPair{files: files}
			if err := p.load(); err != nil {
				s.a.report(c, nil, err)
				continue
			}
			s.pairs[files] = p
		}
		found.pairs = append(found.pairs, p)
	}
	return found
}

// secureLack reports https listeners for which there is no certificate, and warns of
// certificates for which there is no listener.
func (a *assembly) secureLack() {
	s := a.secure
	some := s.others.any() || len(s.pairs) > 0 || s.authority != nil
	listens := false
	for n, l := range a.config.Listen {
		if l.Protocol == "https" {
			listens = true
			if !some && len(a.faults) == 0 {
				a.report(nil, nil, &lack{key: fmt.Sprintf("listen.%d", n), reason: "no certificate for " + l.String(), hint: "tls names one"})
			}
		}
	}
	if some && !listens && a.config.File != "" {
		a.log.Warn("tls does nothing: there is no https listener", "hint", `listen = ["https:HOST:PORT"]`)
	}
}

// certificate finds the one for a handshake.
func (s *secure) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if s.authority != nil && slices.Contains(hello.SupportedProtos, acme.ALPNProto) {
		return s.authority.challenge(hello)
	}
	found := s.others
	if name != "" {
		found = s.chainFor(name)
	}
	if found.acme && s.authority != nil {
		if name == "" {
			name = s.authority.first()
		}
		return s.authority.certificate(name)
	}
	for _, p := range found.pairs {
		if c := p.certificate(); hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	if len(found.pairs) == 0 {
		return nil, fmt.Errorf("no certificate for %q", name)
	}
	return found.pairs[0].certificate(), nil // the client says best what it does not like
}

// chainFor finds by a name as sites.find does.
func (s *secure) chainFor(name string) chain {
	if c, ok := s.exact[name]; ok && c.any() {
		return c
	}
	for n := range len(name) {
		if name[n] == '.' {
			if c, ok := s.wildcard[name[n:]]; ok && c.any() {
				return c
			}
		}
	}
	return s.others
}

// lookAgain is how often the files of certificates are looked at.
var lookAgain = 10 * time.Second

// start tells what is wrong with the certificates and begins to look after them.
func (s *secure) start() {
	if s == nil || len(s.pairs) == 0 && s.authority == nil {
		return
	}
	s.once.Do(func() {
		for _, p := range s.pairs {
			p.tell(s.a.log, time.Now())
		}
		if s.authority != nil {
			s.authority.start(s.fetched)
		}
		s.done.Go(s.look)
	})
}

// look takes up files that have changed.
func (s *secure) look() {
	t := time.NewTicker(lookAgain)
	defer t.Stop()
	for {
		select {
		case <-s.quit:
			return
		case now := <-t.C:
			for _, p := range s.pairs {
				p.look(s.a.log)
				p.tell(s.a.log, now)
			}
		}
	}
}

// fetcher is the authority; nil for none.
func (s *secure) fetcher() *authority {
	if s == nil {
		return nil
	}
	return s.authority
}

// stop ends what start has begun.
func (s *secure) stop() error {
	if s == nil {
		return nil
	}
	s.once.Do(func() {}) // it is too late for start
	close(s.quit)
	s.done.Wait()
	return nil
}

// certificateLack says what is wrong with a pair of files.
func certificateLack(files config.Certificate, err error) error {
	l := &lack{key: "tls", cause: err, reason: fmt.Sprintf("certificate %q, key %q: %v", files.File, files.Key, err)}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		l.reason = fmt.Sprintf("file %q cannot be read: %v", pe.Path, pe.Err)
	}
	return l
}
