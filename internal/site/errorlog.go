package site

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"gatehouse/internal/config"
)

// errorLog is a slog.Handler whose file and form change with the configuration, beneath
// the loggers that were made of it.
type errorLog struct {
	now   *atomic.Pointer[slog.Handler]
	names []func(slog.Handler) slog.Handler // what With and WithGroup have added
}

func newErrorLog() *errorLog {
	l := &errorLog{now: new(atomic.Pointer[slog.Handler])}
	l.set(slog.DiscardHandler)
	return l
}

func (l *errorLog) set(h slog.Handler) { l.now.Store(&h) }

// Enabled implements slog.Handler.
func (l *errorLog) Enabled(ctx context.Context, level slog.Level) bool {
	return (*l.now.Load()).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *errorLog) Handle(ctx context.Context, r slog.Record) error {
	h := *l.now.Load()
	for _, name := range l.names {
		h = name(h)
	}
	return h.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *errorLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return l.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (l *errorLog) WithGroup(name string) slog.Handler {
	return l.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (l *errorLog) with(name func(slog.Handler) slog.Handler) slog.Handler {
	return &errorLog{now: l.now, names: append(l.names[:len(l.names):len(l.names)], name)}
}

// handler writes to a file as the configuration says.
func handler(c *config.ErrorLogging, to *logFile) slog.Handler {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogJSON {
		return slog.NewJSONHandler(to, o)
	}
	return slog.NewTextHandler(to, o)
}

// errorLogs are the logs of an assembly that are no access logs.
type errorLogs struct {
	file *logFile     // nil where Options.Log is used
	slow *logFile     // nil where it has no file of its own
	out  slog.Handler // nil as well
	late *slog.Logger // gets what is slow, nil for nobody
}

// openErrorLogs prepares them.
func (a *assembly) openErrorLogs() {
	c, l := a.config, &a.errorLogs
	if a.errorLog != nil {
		var given io.Writer
		if c.Log == "stderr" {
			if given = a.options.Stderr; given == nil {
				given = os.Stderr
			}
		}
		l.file = a.logs.use(c.Log, given)
		l.file.direct(c.LogJSON)
		l.out = handler(&c.ErrorLogging, l.file)
	}
	switch c.SlowLog {
	case "off":
	case "log":
		l.late = a.log
	default:
		l.slow = a.logs.use(c.SlowLog, nil)
		l.slow.direct(c.LogJSON)
		l.late = slog.New(handler(&c.ErrorLogging, l.slow))
	}
}

// direct has lines written at once where nobody has to be waited for, and lost ones told
// of in the form of the error log.
func (f *logFile) direct(asJSON bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.atOnce = f.quick
	f.lines = func(b []byte, now time.Time, lost int) []byte {
		if !asJSON {
			b = now.AppendFormat(append(b, "time="...), "2006-01-02T15:04:05.000Z07:00")
			return append(strconv.AppendInt(append(b, ` level=WARN msg="lines were lost" lost=`...), int64(lost), 10), '\n')
		}
		text, _ := json.Marshal(struct { // of nothing that cannot be marshalled
			Time  time.Time `json:"time"`
			Level string    `json:"level"`
			Msg   string    `json:"msg"`
			Lost  int       `json:"lost"`
		}{now, "WARN", "lines were lost", lost})
		return append(append(b, text...), '\n')
	}
}

// takeLog puts the assembly's error log in force. The Host itself is a user of the file,
// so that what is said at its end is not lost.
func (h *Host) takeLog(a *assembly) {
	l := &a.errorLogs
	if l.file == nil || h.options.also != nil {
		return
	}
	_ = l.file.ready() // if it cannot be opened, that is told when it can
	h.logs.mu.Lock()
	l.file.users++
	h.logs.mu.Unlock()
	h.errorLog.set(l.out)
	h.errorFile.drop()
	h.errorFile = l.file
}

// ready opens the file, so that its first line is written at once.
func (f *logFile) ready() error {
	if f.given != nil {
		return nil
	}
	select {
	case f.turn <- struct{}{}:
	default: // somebody writes to it
		return nil
	}
	defer func() { <-f.turn }()
	return f.opened()
}

func (l *errorLogs) drop() {
	l.file.drop()
	l.slow.drop()
}
