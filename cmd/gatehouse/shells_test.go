package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gatehouse/scripts"
)

// typing are lines as far as they are typed before the Tab, and what the shell makes of
// them. In its folder there are gate.toml, garbage.txt, data.txt, "spa ce.toml" and the
// folders folder, sockets.
var typing = []struct{ name, typed, want string }{
	{"a command", "gatehouse expl", "gatehouse explain "},
	{"a flag", "gatehouse wrap --pass", "gatehouse wrap --pass-authorization "},
	{"a value", "gatehouse wrap --warm fa", "gatehouse wrap --warm false "},
	{"a value with =", "gatehouse wrap --warm=fa", "gatehouse wrap --warm=false "},
	{"a configuration", "gatehouse serve -c ga", "gatehouse serve -c gate.toml "},
	{"a configuration with =", "gatehouse serve --config=ga", "gatehouse serve --config=gate.toml "},
	{"a file with a blank", "gatehouse check sp", `gatehouse check spa\ ce.toml `},
	{"a folder", "gatehouse wrap --root fo", "gatehouse wrap --root folder/"},
	{"a script", "gatehouse run gar", "gatehouse run garbage.txt "},
	{"data from a file", "gatehouse run x -d @dat", "gatehouse run x -d @data.txt "},
	{"a protocol", "gatehouse serve --listen fastcgi:uni", "gatehouse serve --listen fastcgi:unix:"},
	{"a socket", "gatehouse serve --listen fastcgi:unix:soc", "gatehouse serve --listen fastcgi:unix:sockets/"},
	{"a site", "gatehouse explain -c gate.toml http://www.e", "gatehouse explain -c gate.toml http://www.example.org/"},
	{"behind a quoted word", `gatehouse explain -c 'spa ce.toml' http://g`, "gatehouse explain -c 'spa ce.toml' http://git.example.org/"},
	{"a shell", "gatehouse completion fi", "gatehouse completion fish "},
}

// completionFolder makes the folder of typing, with the script of the shell beside it.
func completionFolder(t *testing.T, shell string) (dir, script string) {
	t.Helper()
	above := t.TempDir()
	dir, script = filepath.Join(above, "work"), filepath.Join(above, "_gatehouse")
	for _, sub := range []string{"folder", "sockets"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"work/gate.toml":   "[[site]]\nhosts = [\"www.example.org\"]\n",
		"work/spa ce.toml": "[[site]]\nhosts = [\"git.example.org\"]\n",
		"work/garbage.txt": "", "work/data.txt": "",
		"_gatehouse": string(scripts.Completion(shell)),
	} {
		if err := os.WriteFile(filepath.Join(above, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, script
}

// TestBashCompletes types into a bash, and presses Tab.
func TestBashCompletes(t *testing.T) {
	needCommand(t, "bash", "bash")
	dir, script := completionFolder(t, "bash")
	s := openShell(t, dir, "bash", "--norc", "--noprofile", "-i")
	s.send("bind 'set bell-style none'; bind -x '\"\\C-t\": printf \"RESULT<%s>RESULT\\\\n\" \"$READLINE_LINE\"'; source " + script + "\n")
	s.types(t)
}

// TestZshCompletes does the same in a zsh.
func TestZshCompletes(t *testing.T) {
	needCommand(t, "zsh", "zsh")
	dir, script := completionFolder(t, "zsh")
	s := openShell(t, dir, "zsh", "-f", "-i")
	s.send("bindkey -e; unsetopt beep; shows() { print -r -- \"RESULT<$BUFFER>RESULT\" }; zle -N shows; bindkey '^T' shows; " +
		"autoload -Uz compinit && compinit -u -D && source " + script + "\n")
	s.types(t)
}

// TestFishCompletes asks a fish what it would propose.
func TestFishCompletes(t *testing.T) {
	needCommand(t, "fish", "fish")
	dir, script := completionFolder(t, "fish")
	proposed := func(typed string) (got []string) {
		t.Helper()
		cmd := exec.Command("fish", "--no-config", "-c", "source "+script+"; complete -C "+quoteFish(typed))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir+"/c", "XDG_DATA_HOME="+dir+"/d", "XDG_RUNTIME_DIR="+dir, "GORACE="+noSleep)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", typed, err, out)
		}
		for line := range strings.Lines(string(out)) {
			value, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, value)
		}
		return got
	}
	for _, tt := range typing {
		var got []string
		has(t, "proposal for "+tt.typed, func() bool { // a fish goes on without a command that somebody has stopped (SIGSTOP)
			got = proposed(tt.typed)
			return len(got) > 0
		})
		before := tt.typed[:strings.LastIndexByte(tt.typed, ' ')+1]
		want := strings.TrimSuffix(strings.TrimPrefix(tt.want, before), " ")
		want = strings.ReplaceAll(want, `\ `, " ")
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q proposes %q, want %q", tt.name, tt.typed, got, want)
		}
	}
}

func quoteFish(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}

// shell is an interactive one on a terminal of its own.
type shell struct {
	terminal *os.File
	said     chan []byte
	text     []byte
	asked    bool // more than once: answers may come that are older
}

func openShell(t *testing.T, dir string, args ...string) *shell {
	t.Helper()
	master, slave, err := openTerminal()
	if err != nil {
		t.Fatalf("a terminal: %v", err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, slave, slave, slave
	cmd.Env = append(os.Environ(), "TERM=dumb", "HOME="+dir, "INPUTRC=/dev/null", "PS1=", "GORACE="+noSleep)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	_ = slave.Close()
	if err != nil {
		_ = master.Close()
		t.Fatal(err)
	}
	s := &shell{terminal: master, said: make(chan []byte)}
	over, quit := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			b := make([]byte, 4096)
			n, err := master.Read(b)
			if err != nil { // EIO: nobody has the terminal any more
				return
			}
			select {
			case s.said <- b[:n]:
			case <-quit:
			}
		}
	}()
	t.Cleanup(func() {
		close(quit)
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		_ = cmd.Wait()
		<-over
		_ = master.Close()
		if t.Failed() {
			t.Logf("on the terminal: %q", s.text)
		}
	})
	return s
}

// openTerminal returns both ends of a new pseudo-terminal (pty(7)).
func openTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = master.Close()
		}
	}()
	fd := int(master.Fd())
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 500}); err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}

func (s *shell) send(text string) { _, _ = s.terminal.WriteString(text) }

// await reads until the terminal has shown what the pattern finds, at most that long.
func (s *shell) await(pattern *regexp.Regexp, long time.Duration) (found string, ok bool) {
	limit := time.After(long)
	for {
		if m := pattern.FindSubmatchIndex(s.text); m != nil {
			found := string(s.text[m[2]:m[3]])
			s.text = bytes.Clone(s.text[m[1]:])
			return found, true
		}
		select {
		case b := <-s.said:
			s.text = append(s.text, b...)
		case <-limit:
			return "", false
		}
	}
}

var (
	shellPrompt = regexp.MustCompile(`(READY> )`) // which is not how it is typed
	shellLine   = regexp.MustCompile(`RESULT<(gatehouse [^>]*)>RESULT`)
)

// types types each of the lines and a Tab, then Ctrl-T, on which the shell shows what the
// line is by now; Ctrl-U takes away what is left of the one before. The prompt comes when
// the shell reads by itself what is typed.
func (s *shell) types(t *testing.T) {
	t.Helper()
	s.send(`PS1="RE""ADY> "` + "\n")
	if _, ok := s.await(shellPrompt, patience); !ok {
		t.Fatalf("no prompt on the terminal: %q", s.text)
	}
	for _, tt := range typing {
		if got := s.completed(tt.typed, tt.want); got != tt.want {
			t.Errorf("%s: %q and Tab make %q, want %q", tt.name, tt.typed, got, tt.want)
		}
	}
}

// completed returns what a shell makes of a line. It goes on without a command that somebody
// has stopped (SIGSTOP), and may lose what was typed meanwhile: where it shows nothing, or the
// line as it was, it is asked again.
func (s *shell) completed(typed, want string) (got string) {
	again := s.asked
	s.asked = false
	for end := time.Now().Add(patience); time.Now().Before(end); again, s.asked = true, true {
		s.send("\x15" + typed + "\t\x14")
		shown, ok := s.await(shellLine, patience/6)
		if !ok {
			continue
		}
		if got = shown; got == want || got != typed && !again {
			return got
		}
	}
	return got
}
