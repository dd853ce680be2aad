package site

import (
	"errors"

	"gatehouse/internal/config"
)

// ErrClosed is what Reload returns once the host is being closed.
var ErrClosed = errors.New("site: the host is closed")

// Reload puts another configuration in force: everything that it needs is made first, and
// when something cannot be, nothing has changed. Applications, interpreters, queues and
// listeners that are the same in both live on; requests that run end as they began. Of
// reloads at the same time one waits for the other. cfg is not to be changed afterwards.
func (h *Host) Reload(cfg *config.Config) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	h.mu.Lock()
	closed, f, old := h.closed, h.fronts, h.current
	h.mu.Unlock()
	if closed {
		return ErrClosed
	}
	a, err := h.assemble(cfg)
	if err != nil {
		return err
	}
	if f == nil {
		h.replace(old, a)
		return nil
	}
	listeners, err := a.listen(f.has)
	if err != nil {
		return errors.Join(err, a.release())
	}
	a.startBackends()
	h.replace(old, a)
	f.use(a)
	for _, o := range listeners {
		f.add(o, a)
	}
	f.keep(cfg.Listen)
	return nil
}

// replace makes the assembly the current one.
func (h *Host) replace(old, a *assembly) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current = a
	h.alive[a] = struct{}{}
	h.retire(old)
}
