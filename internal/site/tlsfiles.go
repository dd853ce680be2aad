package site

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"gatehouse/internal/config"
)

// keyPair is a certificate and its key in two files, or one.
type keyPair struct {
	files  config.Certificate
	hosts  []string // for which it is used; complete before start
	loaded atomic.Pointer[tls.Certificate]

	// Of whoever looks at the files.
	stamp  [2]fileStamp
	failed string // what was said of it last
	told   string // the same, of its contents
}

// fileStamp tells whether a file has changed.
type fileStamp struct {
	inode, size  uint64
	mtime, ctime syscall.Timespec
}

func (p *keyPair) certificate() *tls.Certificate { return p.loaded.Load() }

// maxPEM is the size of the largest file that is read.
const maxPEM = 1 << 20

// load reads the files. Nothing is changed when they are no pair.
func (p *keyPair) load() error {
	stamp := p.stat() // before they are read: what is written meanwhile is seen the next time
	cert, err := p.read()
	if err != nil {
		return certificateLack(p.files, err)
	}
	p.stamp = stamp
	p.loaded.Store(cert)
	return nil
}

func (p *keyPair) read() (*tls.Certificate, error) {
	chain, err := readPEM(p.files.File)
	if err != nil {
		return nil, err
	}
	key := chain
	if p.files.Key != p.files.File {
		if key, err = readPEM(p.files.Key); err != nil {
			return nil, err
		}
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &cert, nil
}

func readPEM(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO holds up nobody
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: name, Err: cmp.Or(err, errors.New("not a regular file"))}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = &os.PathError{Op: "read", Path: name, Err: errors.New("it is larger than 1 MiB")}
	}
	return bytes.TrimSpace(text), err
}

func (p *keyPair) stat() (stamp [2]fileStamp) {
	for n, name := range []string{p.files.File, p.files.Key} {
		var st syscall.Stat_t
		if syscall.Stat(name, &st) == nil {
			stamp[n] = fileStamp{uint64(st.Ino), uint64(st.Size), st.Mtim, st.Ctim}
		}
	}
	return stamp
}

// look loads the files if they have changed. The old certificate stays where the new one
// is broken, or half of it is still to come; that is said once for each change.
func (p *keyPair) look(log *slog.Logger) {
	stamp := p.stat()
	if stamp == p.stamp {
		return
	}
	err := p.load()
	if err == nil {
		p.failed = ""
		log.Info("a certificate was loaded anew", "certificate", p.files.File)
		return
	}
	if said := fmt.Sprint(stamp, err); said != p.failed {
		p.failed = said
		log.Error("a certificate has changed and cannot be loaded; the old one stays in use", "error", err)
	}
}

// soon is how long before its end a certificate is warned of.
const soon = 7 * 24 * time.Hour

// tell warns of a certificate that clients do not accept or soon will not, once for each
// reason.
func (p *keyPair) tell(log *slog.Logger, now time.Time) {
	leaf := p.certificate().Leaf
	var why []string
	switch {
	case now.Before(leaf.NotBefore):
		why = append(why, "it is not valid before "+leaf.NotBefore.UTC().Format(time.DateTime))
	case now.After(leaf.NotAfter):
		why = append(why, "it has expired on "+leaf.NotAfter.UTC().Format(time.DateTime))
	case now.After(leaf.NotAfter.Add(-soon)):
		why = append(why, "it expires on "+leaf.NotAfter.UTC().Format(time.DateTime))
	}
	if wrong := p.mismatches(leaf); len(wrong) > 0 {
		const most = 5
		text := strings.Join(wrong[:min(len(wrong), most)], ", ")
		if len(wrong) > most {
			text += fmt.Sprintf(" and %d more", len(wrong)-most)
		}
		why = append(why, "it is not for "+text)
	}
	text := strings.Join(why, "; ")
	if text != p.told && text != "" {
		log.Warn("there is something wrong with a certificate", "certificate", p.files.File, "reason", text)
	}
	p.told = text
}

// mismatches are the hosts that the certificate is not for.
func (p *keyPair) mismatches(leaf *x509.Certificate) (wrong []string) {
	for _, host := range p.hosts {
		tail, wild := strings.CutPrefix(host, "*.")
		good := leaf.VerifyHostname(host) == nil
		if wild { // one label stands for all
			good = leaf.VerifyHostname("x."+tail) == nil
		}
		if !good && !slices.Contains(wrong, host) {
			wrong = append(wrong, host)
		}
	}
	return wrong
}
