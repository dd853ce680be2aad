package process

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Stderr is the writer for what processes write to their standard error. It cuts
// the stream into lines and gives each to Line, a bounded number of them, and
// keeps the last bytes for an error report (A100). The zero value keeps the tail
// and drops the lines. It may be used by several goroutines at once.
type Stderr struct {
	// Line is called with each line: without its end, control characters and
	// invalid UTF-8 spelled out as \xNN, cut to MaxLine. Calls do not overlap.
	Line func(line string)

	MaxLine  int // bytes of one line; zero means 4096. What is longer is cut and marked
	MaxLines int // lines at once, and per Every after that; zero means 200
	Every    time.Duration
	// Zero means a second.

	mu      sync.Mutex
	part    []byte // the line that has no end yet, at most MaxLine+1 bytes
	cut     bool   // part lost bytes
	tail    []byte
	tokens  int
	filled  time.Time
	dropped int
}

// tailSize is how much of the end of the stream is kept.
const tailSize = 4096

func (s *Stderr) maxLine() int {
	if s.MaxLine > 0 {
		return s.MaxLine
	}
	return 4096
}

func (s *Stderr) maxLines() int {
	if s.MaxLines > 0 {
		return s.MaxLines
	}
	return 200
}

func (s *Stderr) every() time.Duration {
	if s.Every > 0 {
		return s.Every
	}
	return time.Second
}

// Write never fails.
func (s *Stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(p)
	for rest := p; len(rest) > 0; {
		n := 0
		for n < len(rest) && rest[n] != '\n' {
			n++
		}
		s.add(rest[:n])
		if n == len(rest) {
			break
		}
		s.emit()
		rest = rest[n+1:]
	}
	return len(p), nil
}

// Close gives out the last line if it has no end, and says how many were dropped.
// Writing may go on after it.
func (s *Stderr) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.part) > 0 {
		s.emit()
	}
	s.tellDropped()
	return nil
}

// Tail returns the last bytes written, at most 4 KiB, made safe to show as the
// lines are; it begins with a whole line where it can.
func (s *Stderr) Tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.tail
	if len(text) >= tailSize {
		for n, c := range text {
			if c == '\n' && n+1 < len(text) {
				text = text[n+1:]
				break
			}
		}
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString(Printable(strings.TrimRight(line, "\r\n")))
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n")
}

func (s *Stderr) keep(p []byte) {
	if len(p) >= tailSize {
		s.tail = append(s.tail[:0], p[len(p)-tailSize:]...)
		return
	}
	if over := len(s.tail) + len(p) - tailSize; over > 0 {
		s.tail = s.tail[:copy(s.tail, s.tail[over:])]
	}
	s.tail = append(s.tail, p...)
}

func (s *Stderr) add(p []byte) {
	if room := s.maxLine() + 1 - len(s.part); len(p) > room { // one more, for a CR
		p, s.cut = p[:room], true
	}
	s.part = append(s.part, p...)
}

func (s *Stderr) emit() {
	line, cut := s.part, s.cut
	s.part, s.cut = s.part[:0], false
	if s.Line == nil {
		return
	}
	if now := time.Now(); now.Sub(s.filled) >= s.every() {
		s.tokens, s.filled = s.maxLines(), now
		s.tellDropped()
	}
	if s.tokens == 0 {
		s.dropped++
		return
	}
	s.tokens--
	for len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	if most := s.maxLine(); len(line) > most {
		line, cut = line[:most], true
	}
	text := Printable(string(line))
	if cut {
		text += " [cut]"
	}
	s.Line(text)
}

func (s *Stderr) tellDropped() {
	if s.dropped > 0 && s.Line != nil {
		s.Line(fmt.Sprintf("[%d lines dropped: more than %d in %s]", s.dropped, s.maxLines(), s.every()))
		s.dropped = 0
	}
}

// Printable returns s with control characters, tabs excepted, those of bidirectional
// text and invalid UTF-8 written as \xNN, so that it can forge neither a log line nor an escape sequence.
func Printable(s string) string {
	clean := true
	for _, r := range s {
		if !printable(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if printable(r) {
			b.WriteString(s[i : i+n])
		} else {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		i += n
	}
	return b.String()
}

// printable refuses C0, DEL, C1, what invalid UTF-8 decodes to, the separators of
// lines and what turns the direction of the text around it (Unicode's Bidi_Control).
func printable(r rune) bool {
	switch {
	case r < 0xa0:
		return r == '\t' || r >= ' ' && r < 0x7f
	case r == utf8.RuneError, r == '\u2028', r == '\u2029':
		return false
	}
	return !unicode.Is(unicode.Bidi_Control, r)
}
