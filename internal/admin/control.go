package admin

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"
)

// Actions are what may be asked for through the control socket. Each may be called at
// any time and by several at once. An error is for whoever asked, all of it.
type Actions struct {
	// Reload puts the configuration in force as it is now in its files, Upgrade has the
	// program that is now at its place take over, Reopen opens the log files anew.
	Reload, Upgrade, Reopen func(context.Context) error

	// Stop begins to stop, and returns at once.
	Stop func()

	// Status answers every other request; nil means that there is nothing else.
	Status http.Handler
}

// Control answers the requests of a control socket: POST /reload, /upgrade and /reopen
// with 204 when it is done and with 409 and the mistakes, as plain text, when it could
// not be; POST /stop with 202; and GET /pid with the number of this process.
func Control(a Actions) http.Handler {
	mux := http.NewServeMux()
	for path, do := range map[string]func(context.Context) error{"/reload": a.Reload, "/upgrade": a.Upgrade, "/reopen": a.Reopen} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { act(w, r, do) })
	}
	mux.HandleFunc("GET /pid", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, os.Getpid()) })
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush() // before the connection is closed
		a.Stop()
	})
	if a.Status != nil {
		mux.Handle("/", a.Status)
	}
	return mux
}

// act answers when do has returned. Who asked may go away meanwhile: what has begun is
// brought to its end.
func act(w http.ResponseWriter, r *http.Request, do func(context.Context) error) {
	if do == nil {
		http.Error(w, "not possible here", http.StatusNotImplemented)
		return
	}
	if err := do(context.WithoutCancel(r.Context())); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// controlServer serves a control socket, to the peers that may use it.
func controlServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           onlyOwner(h),
		ConnContext:       withPeer,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
