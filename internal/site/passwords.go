package site

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"

	"gatehouse/cgi"
)

// passwords are those of one file, as htpasswd writes it. The file is looked at for each
// request, and read again when it is another: one that is missing or cannot be read lets
// nobody in.
type passwords struct {
	file   string
	log    *slog.Logger
	checks *limiter
	key    [32]byte // of the hashes of what was right

	table atomic.Pointer[passwordTable]
	mu    sync.Mutex // held by who reads the file
	said  string     // what the log was last told of
}

// passwordTable is what was read, and from which file.
type passwordTable struct {
	identity fileIdentity
	settled  bool // a later write would change the identity
	sum      [32]byte
	*users
}

// fileIdentity is another when a file has been replaced or written to.
type fileIdentity struct {
	dev, inode   uint64
	size         int64
	mtime, ctime syscall.Timespec
}

// users are the hashes by name.
type users struct {
	byName map[string]htpasswd.EncodedPasswd
	decoy  htpasswd.EncodedPasswd // takes the time of a check for a name that there is not

	mu    sync.Mutex
	right map[[32]byte]time.Time // until when not to check again
}

const (
	maxPasswordFile = 16 << 20
	maxRight        = 4096        // users whose password is remembered
	rememberRight   = time.Minute // wrong ones are not remembered
	tick            = 2 * time.Second
	maxBcryptCost   = 16
	maxRounds       = 5_000_000 // of crypt's SHA-256 and SHA-512
)

func newPasswords(file string, log *slog.Logger, checks *limiter) *passwords {
	p := &passwords{file: file, log: log, checks: checks}
	_, _ = rand.Read(p.key[:]) // never fails
	return p
}

// match reports whether that is the user's password. An error says that nobody can be
// let in now, or that too many passwords are being checked.
func (p *passwords) match(ctx context.Context, user, password string, progress *cgi.Progress) (bool, error) {
	t, err := p.current()
	if err != nil {
		return false, &cgi.Error{Kind: cgi.Internal, Reason: fmt.Sprintf("nobody is let in: the passwords in %q cannot be read", p.file), Err: err}
	}
	key := p.keyOf(user, password)
	if t.remembers(key) {
		return true, nil
	}
	if _, err := p.checks.acquire(ctx, progress); err != nil {
		return false, err
	}
	defer p.checks.release()
	if t.remembers(key) { // what a browser asked for at the same time
		return true, nil
	}
	hash, known := t.byName[user]
	if !known {
		hash = t.decoy
	}
	if hash == nil || !matches(hash, password) || !known {
		return false, nil
	}
	t.remember(key)
	return true, nil
}

// matches checks a password. The library panics at some hashes that crypt(3) refuses.
func matches(hash htpasswd.EncodedPasswd, password string) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return hash.MatchesPassword(password)
}

// keyOf is what is remembered in place of a password.
func (p *passwords) keyOf(user, password string) (key [32]byte) {
	h := hmac.New(sha256.New, p.key[:])
	fmt.Fprintf(h, "%d:%s%s", len(user), user, password)
	h.Sum(key[:0])
	return key
}

func (u *users) remembers(key [32]byte) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	until, ok := u.right[key]
	return ok && time.Now().Before(until)
}

func (u *users) remember(key [32]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if len(u.right) >= maxRight {
		for k, until := range u.right {
			if now.After(until) {
				delete(u.right, k)
			}
		}
	}
	if len(u.right) >= maxRight {
		clear(u.right)
	}
	u.right[key] = now.Add(rememberRight)
}

// current is what the file says now.
func (p *passwords) current() (*passwordTable, error) {
	var st syscall.Stat_t
	if err := ignoringEINTR(func() error { return syscall.Stat(p.file, &st) }); err != nil {
		return nil, p.complain(&os.PathError{Op: "stat", Path: p.file, Err: err})
	}
	t := p.table.Load()
	if t != nil && t.settled && t.identity == identityOf(&st) {
		return t, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.table.Load(); now != t && now.settled && now.identity == identityOf(&st) { // somebody was quicker
		return now, nil
	}
	return p.read()
}

func ignoringEINTR(do func() error) error {
	for {
		if err := do(); err != syscall.EINTR {
			return err
		}
	}
}

func identityOf(st *syscall.Stat_t) fileIdentity {
	return fileIdentity{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// read reads the file. mu is held.
func (p *passwords) read() (*passwordTable, error) {
	begun := time.Now()
	text, identity, err := readPasswords(p.file)
	if err != nil {
		return nil, p.complainLocked(err)
	}
	t := &passwordTable{identity: identity, sum: sha256.Sum256(text)}
	// A write in the same tick of the clock would not show; nor could there be one that does
	// where the clock was set back.
	t.settled = begun.Sub(time.Unix(identity.ctime.Unix())).Abs() > tick
	if old := p.table.Load(); old != nil && old.sum == t.sum {
		t.users = old.users
	} else {
		var bad []string
		t.users, bad = parsePasswords(text)
		p.warn(bad)
	}
	p.table.Store(t)
	p.said = ""
	return t, nil
}

// readPasswords reads a plain file. What is none would keep whoever opens it waiting.
func readPasswords(name string) (text []byte, identity fileIdentity, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, identity, err
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := ignoringEINTR(func() error { return syscall.Fstat(int(f.Fd()), &st) }); err != nil {
		return nil, identity, &os.PathError{Op: "fstat", Path: name, Err: err}
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, identity, &os.PathError{Op: "open", Path: name, Err: errIrregular}
	}
	text, err = io.ReadAll(io.LimitReader(f, maxPasswordFile+1))
	switch {
	case err == nil && len(text) > maxPasswordFile:
		err = errors.New("it is larger than 16 MiB")
	case err == nil && bytes.IndexByte(text, 0) >= 0:
		err = errors.New("it is no text")
	}
	return text, identityOf(&st), err
}

// complain tells the log that nobody is let in, once for each reason.
func (p *passwords) complain(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complainLocked(err)
}

func (p *passwords) complainLocked(err error) error {
	if text := err.Error(); text != p.said {
		p.said = text
		p.log.Error("nobody is let in: the passwords of basic_auth cannot be read", "file", p.file, "error", err)
	}
	return err
}

// warn tells of lines that let nobody in. What stands in them is nobody's to read.
func (p *passwords) warn(bad []string) {
	const most = 10
	for n, what := range bad {
		if n == most {
			p.log.Warn("further lines of a file of passwords let nobody in", "file", p.file, "lines", len(bad)-most)
			return
		}
		p.log.Warn("a line of a file of passwords lets nobody in", "file", p.file, "reason", what)
	}
}

// parsePasswords reads lines of NAME:HASH; what follows another colon is a remark, and
// so is a line that begins with "#". Of two lines with one name the first is meant, as
// with Apache and nginx. bad says which lines are none, without what they say.
func parsePasswords(text []byte) (u *users, bad []string) {
	u = &users{byName: make(map[string]htpasswd.EncodedPasswd), right: make(map[[32]byte]time.Time)}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, found := strings.Cut(line, ":")
		hash, _, _ := strings.Cut(rest, ":")
		encoded, why := parseHash(hash)
		_, twice := u.byName[name]
		switch {
		case !found || name == "":
			why = "it is not NAME:HASH"
		case twice:
			why = "the name has been there before"
		}
		if why != "" {
			bad = append(bad, "line "+strconv.Itoa(number)+": "+why)
			continue
		}
		u.byName[name] = encoded
		if u.decoy == nil {
			u.decoy = encoded
		}
	}
	return u, bad
}

// hashes are the kinds that are known. The library's own list ends with one that takes
// what it does not know for the password itself.
var hashes = []htpasswd.PasswdParser{htpasswd.AcceptBcrypt, htpasswd.AcceptMd5, htpasswd.AcceptSha, htpasswd.AcceptSsha, htpasswd.AcceptCryptSha}

// parseHash says why a hash is none. The library's errors have the hash in them.
func parseHash(hash string) (e htpasswd.EncodedPasswd, why string) {
	if why := tooCostly(hash); why != "" {
		return nil, why
	}
	for _, accept := range hashes {
		if e, err := accept(hash); err != nil {
			return nil, "its hash is malformed"
		} else if e != nil {
			return e, ""
		}
	}
	return nil, "its hash is of no kind that is known here: bcrypt, MD5, SHA-1, SHA-256 or SHA-512"
}

// tooCostly keeps one line from holding a processor for minutes at each request.
func tooCostly(hash string) string {
	if strings.HasPrefix(hash, "$2") {
		switch cost, err := bcrypt.Cost([]byte(hash)); {
		case err != nil:
			return "its hash is malformed"
		case cost > maxBcryptCost:
			return fmt.Sprintf("a bcrypt cost of %d is above %d", cost, maxBcryptCost)
		}
	}
	if _, rest, ok := strings.Cut(hash, "$rounds="); ok && (strings.HasPrefix(hash, "$5$") || strings.HasPrefix(hash, "$6$")) {
		digits, _, _ := strings.Cut(rest, "$")
		switch n, err := strconv.Atoi(digits); {
		case err != nil || n < 1000:
			return "its hash is malformed"
		case n > maxRounds:
			return fmt.Sprintf("%d rounds are above %d", n, maxRounds)
		}
	}
	return ""
}
