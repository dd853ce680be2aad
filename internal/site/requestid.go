package site

import (
	"context"
	"strconv"
	"sync"
	"time"

	"gatehouse/cgi"
)

// takenIDs are the IDs that web servers in front have given to requests which run.
type takenIDs struct {
	mu    sync.Mutex
	used  map[string]struct{}
	count uint64
}

// claim returns the ID, or, where a request that runs has it already, one that begins with
// it: what a program leaves running is known by its request's (process.Exec.Tag).
func (t *takenIDs) claim(id string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == nil {
		t.used = make(map[string]struct{})
	}
	own := id
	for {
		if _, taken := t.used[own]; !taken {
			t.used[own] = struct{}{}
			return own
		}
		t.count++
		own = id + "." + strconv.FormatUint(t.count, 36)
	}
}

func (t *takenIDs) free(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.used, id)
}

// maxID bounds the length of an ID that is taken over, in bytes.
const maxID = 128

// isID reports whether a web server's ID can stand wherever ours does.
func isID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// identify gives a request the ID that a web server in front has for it, if there is one
// that is believed, and the program the same under both its names. free is called when
// the request is over.
func (l *siteLog) identify(taken *takenIDs, req *cgi.Request) (free func()) {
	free = func() {}
	if l.header == "" {
		return free
	}
	if id, ok := req.Env.Lookup(l.field); ok && req.Trusted && isID(id) {
		id = taken.claim(id)
		req.ID, free = id, func() { taken.free(id) }
	}
	req.Env.Set(l.field, req.ID)
	return free
}

// logged puts around next what gives each request its ID, and logs it.
func (a *assembly) logged(next cgi.Responder) cgi.Responder {
	if a.options.Trial {
		return next
	}
	return cgi.ResponderFunc(func(ctx context.Context, req *cgi.Request) (*cgi.Response, error) {
		begun := time.Now()
		l := a.logOf(req)
		free := l.identify(&a.taken, req)
		resp, err := next.Respond(ctx, req)
		if err != nil {
			free()
			return nil, err
		}
		if l.header != "" && !resp.Raw {
			resp.Header.Set(l.header, req.ID)
		}
		resp.OnClose(func() {
			free()
			if l.access != nil {
				l.access.write(begun, req, resp, a.accesses.name)
			}
		})
		return resp, nil
	})
}
