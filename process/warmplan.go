package process

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A plan says how a script is run warm: by which interpreter with which options. It
// follows execve(2) and env(1) to the letter, and gives up where they are not plain:
// what gives up runs cold and loses nothing but time.
type plan struct {
	cold string // why it cannot be warm; "" when it can

	kind   string   // "python" or "perl"
	interp string   // file of the interpreter, or the name that env looks for
	viaEnv bool     // env starts it
	args   []string // argv[0] and the options
}

// identity tells two states of a file apart: whatever changes it changes ctime.
type identity struct {
	dev, ino, size, mtime, ctime int64
}

func identityOf(st *unix.Stat_t) identity {
	return identity{dev: int64(st.Dev), ino: int64(st.Ino), size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// plans remembers what the first lines of scripts say.
type plans struct {
	mu  sync.RWMutex
	all map[string]*planned
}

// planned is the plan for a script in one state of its file.
type planned struct {
	plan
	is       identity
	mode     uint32
	uid, gid uint32
	acl      bool // its mode does not say all about who may execute it
}

// maxPlans bounds how many scripts are remembered. Beyond it all are forgotten: that
// many in use are few.
const maxPlans = 4096

// of returns the plan for the script at path, which is looked at anew each time.
func (ps *plans) of(path string) *planned {
	var st unix.Stat_t
	if !filepath.IsAbs(path) {
		return refusal("its path is not absolute")
	}
	if err := unix.Stat(path, &st); err != nil {
		return refusal("the file cannot be looked at: %v", err)
	}
	is := identityOf(&st)
	ps.mu.RLock()
	known := ps.all[path]
	ps.mu.RUnlock()
	if known != nil && known.is == is {
		return known
	}
	p, lasting := lookAt(path, &st)
	if !lasting {
		return p
	}
	p.is = is
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.all == nil || len(ps.all) >= maxPlans {
		ps.all = make(map[string]*planned)
	}
	ps.all[path] = p
	return p
}

func refusal(format string, args ...any) *planned {
	return &planned{plan: plan{cold: fmt.Sprintf(format, args...)}}
}

// lookAt reads the first line of a script. What it finds is lasting when it stays true
// while the file's identity does.
func lookAt(path string, st *unix.Stat_t) (p *planned, lasting bool) {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return refusal("it is not a regular file"), true
	case st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0:
		return refusal("it is set-user-ID or set-group-ID"), true
	case unix.Access(path, unix.X_OK) != nil: // also on a file system mounted noexec
		return refusal("it is not executable"), false
	}
	f, err := os.Open(path)
	if err != nil {
		return refusal("it cannot be read"), false
	}
	defer f.Close()
	head := make([]byte, shebangSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return refusal("it cannot be read"), false
	}
	size, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return &planned{
		plan: parseShebang(head[:n]),
		mode: st.Mode, uid: st.Uid, gid: st.Gid,
		acl: err == nil && size > 0,
	}, true
}

// mayRun reports whether the user may read and execute the script, nil being
// ourselves. Where that is not clear it says no: a cold start will tell.
func (p *planned) mayRun(u *User) bool {
	if u == nil || u.isOurs() {
		return true // it was opened, and access(2) asked
	}
	var bits uint32
	switch {
	case u.UID == 0:
		return true // it was root, too, that has looked
	case p.acl:
		return false
	case u.UID == p.uid:
		bits = p.mode >> 6
	case u.GID == p.gid || slices.Contains(u.Groups, p.gid):
		bits = p.mode >> 3
	default:
		bits = p.mode
	}
	return bits&0o5 == 0o5
}

const shebangSize = 256 // BINPRM_BUF_SIZE

// parseShebang reads a script's first line as the kernel does (fs/binfmt_script.c):
// an interpreter, and at most one argument, which may contain blanks.
func parseShebang(head []byte) plan {
	text, ok := bytes.CutPrefix(head, []byte("#!"))
	line, _, whole := bytes.Cut(text, []byte("\n"))
	switch {
	case !ok:
		return plan{cold: `it has no "#!" line`}
	case !whole:
		return plan{cold: `its "#!" line is too long, or has no end`}
	case bytes.ContainsAny(line, "\r\x00"):
		return plan{cold: `its "#!" line contains a control character`}
	}
	interp, arg := cutBlank(strings.Trim(string(line), " \t"))
	var args []string
	if arg != "" {
		args = []string{arg}
	}
	switch {
	case !filepath.IsAbs(interp):
		return plan{cold: "its interpreter's path is not absolute"}
	case filepath.Base(interp) == "env":
		return parseEnv(interp, arg)
	}
	return planFor(interp, args)
}

// cutBlank cuts s at its first blanks.
func cutBlank(s string) (first, rest string) {
	at := strings.IndexAny(s, " \t")
	if at < 0 {
		return s, ""
	}
	return s[:at], strings.TrimLeft(s[at:], " \t")
}

// parseEnv reads "#!/usr/bin/env NAME" and "#!/usr/bin/env -S NAME OPTION…" without
// any of the quoting that env(1) knows.
func parseEnv(env, arg string) plan {
	if env != "/usr/bin/env" && env != "/bin/env" {
		return plan{cold: "its env is not the system's"}
	}
	words := []string{arg}
	for _, split := range []string{"-S", "--split-string="} {
		if text, ok := strings.CutPrefix(arg, split); ok {
			words = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) })
			break
		}
	}
	if len(words) == 0 || words[0] == "" || strings.ContainsAny(arg, "\\\"'$#=/") || strings.ContainsAny(words[0], " \t") || strings.HasPrefix(words[0], "-") {
		return plan{cold: "what it asks of env is not only an interpreter"}
	}
	p := planFor(words[0], words[1:])
	p.viaEnv = true
	return p
}

// planFor decides whether an interpreter can be warm with these options, each one
// argument of its command line.
func planFor(interp string, options []string) plan {
	p := plan{interp: interp, args: append([]string{interp}, options...)}
	var known func(string) bool
	switch name := filepath.Base(interp); {
	case isVersionOf(name, "python", "3"):
		p.kind, known = "python", pythonOption
	case isVersionOf(name, "perl", "5."):
		p.kind, known = "perl", perlOption
	default:
		return plan{cold: fmt.Sprintf("its interpreter %s cannot be warm", Printable(name))}
	}
	for _, o := range options {
		if !known(o) {
			return plan{cold: fmt.Sprintf("its interpreter's option %q cannot be warm", o)}
		}
	}
	return p
}

// isVersionOf reports whether a file's name is that of an interpreter, with or without
// a version that begins with major: "python", "python3", "python3.11", "perl5.36.0".
func isVersionOf(file, name, major string) bool {
	version, ok := strings.CutPrefix(file, name)
	if !ok || version == "" {
		return ok
	}
	return strings.HasPrefix(version, major) && strings.Trim(version, "0123456789.") == ""
}

// pythonOption reports whether a command-line option of Python changes only what the
// helper itself is started with: no other program, no output at the start or the end.
func pythonOption(o string) bool {
	if len(o) < 2 || o[0] != '-' {
		return false
	}
	switch o[1] {
	case 'W':
		return len(o) > 2 && plainText(o[2:])
	case 'X':
		name, _, _ := strings.Cut(o[2:], "=")
		return slices.Contains([]string{"utf8", "int_max_str_digits", "no_debug_ranges", "frozen_modules", "pycache_prefix", "warn_default_encoding"}, name)
	}
	return strings.Trim(o[1:], "uBEsSIOPbq") == ""
}

// perlOption does the same for Perl. Taint mode is among those that are not warm.
func perlOption(o string) bool {
	if dir, ok := strings.CutPrefix(o, "-I"); ok {
		return filepath.IsAbs(dir) && plainText(dir)
	}
	return len(o) > 1 && o[0] == '-' && strings.Trim(o[1:], "wWX") == ""
}

// plainText reports whether s has no blank, which the interpreters would not all take
// for a part of the option.
func plainText(s string) bool { return !strings.ContainsAny(s, " \t") }

// interpreter is the file that a plan leads to just now.
type interpreter struct {
	path string
	is   identity
}

// find looks for a plan's interpreter: every time, for it may have been replaced.
func (p *plan) find(env []string) (interpreter, string) {
	if !p.viaEnv {
		return lookAtInterpreter(p.interp)
	}
	path := tagOf(env, "PATH") // the first, as getenv(3) does
	if path == "" {
		return interpreter{}, "env looks for its interpreter without a PATH"
	}
	for dir := range strings.SplitSeq(path, ":") {
		if !filepath.IsAbs(dir) {
			return interpreter{}, "its PATH has a folder that is not absolute"
		}
		in, why := lookAtInterpreter(dir + "/" + p.interp)
		if why == "" {
			return in, ""
		}
	}
	return interpreter{}, "its interpreter is not in its PATH"
}

func lookAtInterpreter(path string) (interpreter, string) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	switch {
	case err != nil:
		return interpreter{}, fmt.Sprintf("its interpreter: %v", err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0:
		return interpreter{}, "its interpreter is not executable"
	case st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0:
		return interpreter{}, "its interpreter is set-user-ID or set-group-ID"
	}
	is := identityOf(&st)
	is.ctime = 0 // a running program is not written to; a further link to it changes nothing
	return interpreter{path: path, is: is}, ""
}

// isProgram reports whether an interpreter is one itself, not a script in front of it.
func (in *interpreter) isProgram() bool {
	f, err := os.Open(in.path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(elf.ELFMAG))
	_, err = f.ReadAt(head, 0)
	return err == nil && string(head) == elf.ELFMAG
}

// comm is the name that execve(2) gives the process (PR_GET_NAME(2)): of the file that
// was executed last but for the interpreter that the kernel starts.
func (p *plan) comm(script string) string {
	if p.viaEnv {
		return p.interp
	}
	return filepath.Base(script)
}

// startVariable reports whether a variable means something to an interpreter before the
// first line of a script does: each set of them has helpers of its own.
func startVariable(kind, name string) bool {
	switch name {
	case "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TZDIR", "LOCPATH", "NLSPATH", "GCONV_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR":
		return true
	}
	prefix, _, ok := strings.Cut(name, "_")
	if ok && (prefix == "LC" || prefix == "LD" || prefix == "MALLOC" || prefix == "GLIBC" || prefix == "OPENSSL") {
		return true
	}
	if kind == "perl" {
		return strings.HasPrefix(name, "PERL")
	}
	return strings.HasPrefix(name, "PYTHON")
}

// These are the variables of the interpreters' own that a helper can be started with.
// Others (PYTHONVERBOSE, PERL5OPT) may have it write, or load what forks badly.
var startable = []string{
	"PYTHONPATH", "PYTHONHOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONIOENCODING", "PYTHONUTF8",
	"PYTHONHASHSEED", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX",
	"PYTHONCOERCECLOCALE", "PYTHONSAFEPATH", "PYTHONINTMAXSTRDIGITS",
	"PERL5LIB", "PERLLIB", "PERL_HASH_SEED", "PERL_PERTURB_KEYS",
}

// These hold folders. A helper's working directory is not a script's, so all must be
// absolute.
var folders = []string{
	"HOME", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PERL5LIB", "PERLLIB", "LD_LIBRARY_PATH",
}

func absolute(list string) bool {
	for dir := range strings.SplitSeq(list, ":") {
		if list != "" && !filepath.IsAbs(dir) {
			return false
		}
	}
	return true
}

// startEnv picks the variables of env that a helper is started with, in the order of
// their names, or says why there can be none.
func startEnv(to []string, kind string, constant, env []string) (list []string, cold string) {
	list = to
	for _, v := range env {
		name, value, ok := strings.Cut(v, "=")
		if !ok || !startVariable(kind, name) && !slices.Contains(constant, name) {
			continue
		}
		if slices.Contains(folders, name) && !absolute(value) {
			return list, fmt.Sprintf("its %s has a folder that is not absolute", name)
		}
		if strings.HasPrefix(name, "PY") || strings.HasPrefix(name, "PERL") {
			if !slices.Contains(startable, name) {
				return list, fmt.Sprintf("its environment has %s", Printable(name))
			}
		}
		list = append(list, v)
	}
	slices.SortStableFunc(list, func(a, b string) int {
		x, _, _ := strings.Cut(a, "=")
		y, _, _ := strings.Cut(b, "=")
		return cmp.Compare(x, y)
	})
	return list, ""
}
