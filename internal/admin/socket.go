package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// DefaultSocket is where the control socket is when the configuration does not say: for
// root in /run/gatehouse, for others in the folder of their session; "" when that folder
// is missing.
func DefaultSocket() string {
	path := "/run/gatehouse/control.sock"
	if os.Geteuid() != 0 {
		dir := os.Getenv("XDG_RUNTIME_DIR")
		if !filepath.IsAbs(dir) {
			return ""
		}
		path = filepath.Join(dir, "gatehouse.sock")
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || !st.IsDir() {
		return ""
	}
	return path
}

// ErrTaken is the error of ListenControl where another host answers already.
var ErrTaken = errors.New("another gatehouse answers there")

// ListenControl makes a control socket, which only its owner and root may connect to. One that is
// left over from a host that died is replaced; one that answers, one of another user's and
// what is no socket are left alone. Its file is removed when the listener is closed. Errors
// name path.
func ListenControl(path string) (*net.UnixListener, error) {
	ln, err := listenControl(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return ln, nil
}

func listenControl(path string) (*net.UnixListener, error) {
	ln, err := bindControl(path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	if err := stale(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return bindControl(path)
}

// stale returns why what is at path cannot be replaced.
func stale(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist): // it has just gone
		return nil
	case err != nil:
		return err
	case st.Mode().Type() != os.ModeSocket:
		return errors.New("there is a file that is no socket")
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to the user with the number %d, not to that of this process (%d)", sys.Uid, os.Geteuid())
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrTaken
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // its queue is full, so there is one
		return ErrTaken
	}
	return err
}

// bindControl makes the socket and only then listens: until its permissions are what they are to
// be nobody can connect, whatever the umask is.
func bindControl(path string) (*net.UnixListener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // FileListener has a copy
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	ln, err := listenBound(f, path)
	if err != nil {
		_ = os.Remove(path)
		return nil, err
	}
	ln.SetUnlinkOnClose(true)
	return ln, nil
}

func listenBound(f *os.File, path string) (*net.UnixListener, error) {
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	if err := unix.Listen(int(f.Fd()), 128); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return ln.(*net.UnixListener), nil
}

// Socket is a control socket at work. All methods may be called at the same time.
type Socket struct {
	server *http.Server
	serves sync.WaitGroup

	mu      sync.Mutex
	path    string
	ln      net.Listener
	reserve *site.Reserve // nil until it listens
}

// NewSocket makes one that answers by h those who may use it: root and the user of this
// process. It listens nowhere until Move.
func NewSocket(h http.Handler) *Socket { return &Socket{server: controlServer(h)} }

// Path is where it listens, "" for nowhere.
func (s *Socket) Path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.path
}

// Listener is what it listens on, nil for nothing.
func (s *Socket) Listener() net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ln
}

// Move has it listen on ln, which is at path, in place of where it did; nil for nowhere.
// Requests that run go on.
func (s *Socket) Move(path string, ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != nil {
		_ = s.ln.Close()
	}
	s.path, s.ln = path, ln
	if ln == nil {
		return
	}
	if s.reserve == nil {
		s.reserve = site.NewReserve(reserved)
	}
	kept := s.reserve.Listener(ln)
	s.serves.Go(func() { _ = s.server.Serve(kept) }) // until the listener is closed
}

// Shutdown closes the listener and waits for the requests that run, until ctx is done:
// those that are left are then cut. It returns when nothing of the socket runs any more.
func (s *Socket) Shutdown(ctx context.Context) error {
	s.Move("", nil)
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	s.serves.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserve != nil {
		s.reserve.Close()
		s.reserve = nil
	}
	return err
}

// Each calls do for every listener of the status page, with the address that it is for.
func (s *Server) Each(do func(config.Listen, net.Listener)) {
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	for _, o := range s.sockets.all {
		do(o.Listen, o.ln)
	}
}

// peerKey is the key of the peer's user in a connection's context.
type peerKey struct{}

// withPeer looks up whose process is at the other end (SO_PEERCRED, unix(7)).
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	uid := -1
	if c, ok := conn.(syscall.Conn); ok && conn.LocalAddr().Network() == "unix" {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					uid = int(cred.Uid)
				}
			})
		}
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

// onlyOwner refuses other users. The socket's permissions do so already, but its owner
// may have widened them, or it may have been inherited.
func onlyOwner(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(int)
		if !ok || uid != 0 && uid != os.Geteuid() {
			http.Error(w, "only root and the user with the number "+strconv.Itoa(os.Geteuid())+" may use this socket", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
