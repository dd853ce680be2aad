package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Warm says whether the scripts of a route are run by interpreters that are there
// already, and what those load ahead. The zero value is the default.
type Warm struct {
	Mode WarmMode
	// Preload holds modules to load ahead, as "html.parser" or "HTML::Entities".
	Preload []string
	// NoLearn keeps modules from being loaded ahead because scripts load them.
	NoLearn bool
}

// WarmMode says whether scripts are warm.
type WarmMode int

const (
	WarmAuto WarmMode = iota // those that can be, once their helper is ready
	WarmOn                   // the same, and the first request waits for it
	WarmOff                  // none
)

// String returns the mode as it is written.
func (m WarmMode) String() string {
	switch m {
	case WarmOn:
		return "true"
	case WarmOff:
		return "false"
	}
	return `"auto"`
}

// ParseWarm reads a mode: "true", "false" or "auto".
func ParseWarm(text string) (WarmMode, error) {
	switch text {
	case "true":
		return WarmOn, nil
	case "false":
		return WarmOff, nil
	case "auto":
		return WarmAuto, nil
	}
	return 0, bad("expected true, false or auto", "bad word %s", quote(text))
}

// Helpers bounds the interpreters that run warm scripts, over all sites.
type Helpers struct {
	// IdleTimeout is how long one stays that nobody needs.
	IdleTimeout Duration
	// MaxForks and MaxMemory, resident, are what one may have forked and use
	// before another takes its place.
	MaxForks  int
	MaxMemory Size
	// Helpers is how many kinds there may be at a time, Spares how many processes
	// each has forked ahead; 0 for 2 for each processor core.
	Helpers, Spares int
}

func defaultHelpers() Helpers {
	return Helpers{IdleTimeout: Duration(5 * time.Minute), MaxForks: 20_000, MaxMemory: 256 << 20, Helpers: 16}
}

// maxSpares is process.MaxSpares.
const maxSpares = 32

func warmFields() []field[Warm] {
	return []field[Warm]{
		{Key: Key{Name: "warm", Type: `boolean or "auto"`, Default: `"auto"`,
			Doc: `Whether Perl and Python scripts are run by interpreters that are there already: false for none, "auto" for those that can be once their interpreter is ready, true for the first request to wait for that.`},
			set: (*decoder).warm},
		{Key: Key{Name: "preload", Type: "boolean or array of strings", Default: `true`,
			Doc: `Whether warm interpreters load ahead what scripts were seen to load; a list adds modules to that, as in ["html.parser", "HTML::Entities"].`},
			set: (*decoder).preload},
	}
}

func helperFields() []field[Helpers] {
	return []field[Helpers]{
		{Key: Key{Name: "warm_idle_timeout", Type: typeDuration, Default: `"5m"`,
			Doc: "How long a warm interpreter may have nothing to do before it is ended."},
			set: warmIdleTimeout},
		{Key: Key{Name: "warm_max_forks", Type: typeInteger, Default: `20000`,
			Doc: "How many processes a warm interpreter forks before another takes its place."},
			set: integer(func(h *Helpers) *int { return &h.MaxForks }, 1, 1_000_000_000)},
		{Key: Key{Name: "warm_max_memory", Type: typeSize, Default: `"256MiB"`,
			Doc: "The resident memory of a warm interpreter beyond which another takes its place."},
			set: warmMaxMemory},
		{Key: Key{Name: "warm_helpers", Type: typeInteger, Default: `16`,
			Doc: "How many kinds of warm interpreter there may be at a time; what needs another runs cold."},
			set: integer(func(h *Helpers) *int { return &h.Helpers }, 1, 1000)},
		{Key: Key{Name: "warm_spares", Type: typeInteger, Default: "2 for each processor core",
			Doc: "How many processes a warm interpreter has forked ahead when few are needed."},
			set: integer(func(h *Helpers) *int { return &h.Spares }, 1, maxSpares)},
	}
}

func (d *decoder) warm(w *Warm, v value) {
	switch {
	case v.kind == booleanKind && v.text == "true":
		w.Mode = WarmOn
	case v.kind == booleanKind:
		w.Mode = WarmOff
	case v.kind == stringKind && v.text == "auto":
		w.Mode = WarmAuto
	case v.kind == stringKind && (v.text == "true" || v.text == "false"):
		d.fail(v.at, v.path, "bad word "+quote(v.text), "write "+v.text+" without quotation marks")
	case v.kind == stringKind:
		d.fail(v.at, v.path, "bad word "+quote(v.text), `expected true, false or "auto"`)
	default:
		d.fail(v.at, v.path, `expected a boolean or "auto", got `+v.kind.String(), "")
	}
}

// moduleName is a module's name in Python or in Perl.
var moduleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*((\.[A-Za-z0-9_]+)*|(::[A-Za-z0-9_]+)*)$`)

// maxPreload bounds how many modules are named, maxModuleName how long each is.
const maxPreload, maxModuleName = 256, 128

func (d *decoder) preload(w *Warm, v value) {
	switch v.kind {
	case booleanKind:
		w.NoLearn, w.Preload = v.text == "false", nil
		return
	case arrayKind:
	case stringKind:
		d.fail(v.at, v.path, "expected a boolean or an array, got a string", "write ["+quote(v.text)+"]")
		return
	default:
		d.fail(v.at, v.path, "expected a boolean or an array, got "+v.kind.String(), "")
		return
	}
	var names []string
	for _, item := range d.strings(v) {
		switch {
		case !moduleName.MatchString(item.text) || len(item.text) > maxModuleName:
			hint := `expected one as in "html.parser" or "HTML::Entities"`
			if name, ok := strings.CutSuffix(item.text, ".pm"); ok {
				hint = "write " + quote(strings.ReplaceAll(name, "/", "::"))
			}
			d.fail(item.at, item.path, "bad module "+quote(item.text), hint)
		case slices.Contains(names, item.text):
			d.fail(item.at, item.path, "module "+quote(item.text)+" is listed twice", "")
		default:
			names = append(names, item.text)
		}
	}
	if len(names) > maxPreload {
		d.fail(v.at, v.path, fmt.Sprintf("%d modules", len(names)), fmt.Sprintf("expected at most %d", maxPreload))
		return
	}
	w.NoLearn, w.Preload = false, names
}

func warmIdleTimeout(d *decoder, h *Helpers, v value) {
	set := h.IdleTimeout
	d.unmarshal(v, &set, "s")
	if set <= 0 {
		d.fail(v.at, v.path, "bad duration "+quote(v.text), "expected more than 0")
		return
	}
	h.IdleTimeout = set
}

// leastMemory is less than any interpreter needs: below it, each would be replaced as
// soon as it is there.
const leastMemory = 32 << 20

func warmMaxMemory(d *decoder, h *Helpers, v value) {
	set := h.MaxMemory
	d.unmarshal(v, &set, "")
	if set < leastMemory {
		d.fail(v.at, v.path, "bad size "+quote(v.text), "expected at least "+Size(leastMemory).String())
		return
	}
	h.MaxMemory = set
}
