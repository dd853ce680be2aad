package fastcgi_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"gatehouse/fastcgi"
)

// oracle is Net::FastCGI, an independent codec, in a process that answers questions.
type oracle struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	if exec.Command("perl", "-MNet::FastCGI::Protocol", "-e", "1").Run() != nil {
		t.Skip("Perl's Net::FastCGI is not installed: package libnet-fastcgi-perl")
	}
	cmd := exec.Command("perl", "testdata/oracle.pl")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &oracle{t, in, bufio.NewReader(out)}
}

func inHex(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

// ask asks; bytes among the words are written in hexadecimal.
func (o *oracle) ask(words ...any) string {
	o.t.Helper()
	for n, w := range words {
		if b, ok := w.([]byte); ok {
			words[n] = inHex(b)
		}
	}
	if _, err := fmt.Fprintln(o.in, words...); err != nil {
		o.t.Fatal(err)
	}
	answer, err := o.out.ReadString('\n')
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.TrimSuffix(answer, "\n")
}

// Both codecs write the same bytes.
func TestOracleEncodes(t *testing.T) {
	o := newOracle(t)
	same := func(what string, ours []byte, theirs string) {
		t.Helper()
		if inHex(ours) != theirs {
			t.Errorf("%s: ours %.80s, theirs %.80s", what, inHex(ours), theirs)
		}
	}
	for _, n := range []int{0, 1, 7, 8, 9, 127, 128, 1000, 65527, 65528} {
		content := slices.Repeat([]byte{0xa5}, n)
		for _, typ := range []fastcgi.Type{fastcgi.TypeParams, fastcgi.TypeStdin, fastcgi.TypeStdout, fastcgi.TypeStderr, fastcgi.TypeData} {
			same(fmt.Sprint(typ, " ", n), fastcgi.AppendRecord(nil, typ, 0x0102, content), o.ask("record", int(typ), 0x0102, content))
		}
	}
	same("abort", fastcgi.AppendAbortRequest(nil, 65535), o.ask("record", 2, 65535, []byte{}))
	for _, role := range []fastcgi.Role{1, 2, 3} {
		same("begin", fastcgi.AppendBeginRequest(nil, 7, role, true), o.ask("begin", 7, int(role), 1))
		same("begin", fastcgi.AppendBeginRequest(nil, 7, role, false), o.ask("begin", 7, int(role), 0))
	}
	for _, app := range []uint32{0, 1, 1 << 31, 1<<32 - 1} {
		for status := range fastcgi.ProtocolStatus(4) {
			same("end", fastcgi.AppendEndRequest(nil, 300, app, status), o.ask("end", 300, app, int(status)))
		}
	}
	same("unknown type", fastcgi.AppendUnknownType(nil, 200), o.ask("unknown", 200))
	for _, n := range []int{1, 127, 128, 65535, 65536, 200000} {
		name, value := strings.Repeat("N", n), strings.Repeat("v", n)
		same(fmt.Sprint("pair ", n), fastcgi.AppendPair(nil, name, "v"), o.ask("pair", []byte(name), []byte("v")))
		same(fmt.Sprint("pair ", n), fastcgi.AppendPair(nil, "N", value), o.ask("pair", []byte("N"), []byte(value)))
	}
	same("empty value", fastcgi.AppendPair(nil, "N", ""), o.ask("pair", []byte("N"), []byte{}))
	same("get values", fastcgi.AppendGetValues(nil, fastcgi.MaxConns), o.ask("record", 9, 0, []byte("\x0e\x00FCGI_MAX_CONNS")))
}

// The other reads what ours wrote, and what both read has one meaning.
func TestOracleDecodes(t *testing.T) {
	o := newOracle(t)
	tests := []struct {
		name   string
		record []byte
		want   string
	}{
		{"begin", fastcgi.AppendBeginRequest(nil, 7, fastcgi.RoleFilter, true), "flags=1 request_id=7 role=3 type=1"},
		{"end", fastcgi.AppendEndRequest(nil, 8, 9, fastcgi.StatusUnknownRole), "app_status=9 protocol_status=3 request_id=8 type=3"},
		{"abort", fastcgi.AppendAbortRequest(nil, 9), "request_id=9 type=2"},
		{"stdout", fastcgi.AppendRecord(nil, fastcgi.TypeStdout, 1, []byte("abc")), "content=616263 request_id=1 type=6"},
		{"get values", fastcgi.AppendGetValues(nil, fastcgi.MaxReqs), "request_id=0 type=9 values.FCGI_MAX_REQS=-"},
		{"result", fastcgi.AppendGetValuesResult(nil, []string{"FCGI_MPXS_CONNS=1"}), "request_id=0 type=10 values.FCGI_MPXS_CONNS=31"},
		{"unknown type", fastcgi.AppendUnknownType(nil, 99), "request_id=0 type=11 unknown_type=99"},
	}
	for _, tt := range tests {
		if got := o.ask("decode", tt.record); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, in := range []string{
		"", "\x01\x01Ab", "\x80\x00\x00\x01\x80\x00\x00\x01Ab", "\x01\x80\x00\x00\x00A", "\x01", "\x80\x00", "\x05\x05name", "\xff\xff\xff\xff\x00A",
		"\x01\x01Ab\x02\x00BB\x80\x00\x00\x80\x01" + strings.Repeat("C", 128) + "v", "\x01\x02Ab", "\x03\xff\xff\xff\xffABC",
	} {
		want := "error"
		if vars, err := fastcgi.ParsePairs([]byte(in), 100); err == nil {
			for n, v := range vars {
				name, value, _ := strings.Cut(v, "=")
				vars[n] = inHex([]byte(name)) + "=" + inHex([]byte(value))
			}
			slices.Sort(vars)
			want = strings.Join(vars, " ")
		}
		if got := o.ask("pairs", []byte(in)); got != want {
			t.Errorf("%.20q: theirs %.80q, ours %.80q", in, got, want)
		}
	}
}
