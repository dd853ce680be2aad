package config_test

import (
	"encoding"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
)

func TestDuration(t *testing.T) {
	rows := []struct {
		text string
		want time.Duration
		err  string
	}{
		{"60s", time.Minute, ""},
		{"1m30s", 90 * time.Second, ""},
		{"500ms", 500 * time.Millisecond, ""},
		{"0s", 0, ""},
		{"1.5h", 90 * time.Minute, ""},
		{"", 0, `config: bad duration "" (expected numbers with units, as in "60s" or "1m30s")`},
		{"60", 0, `config: duration "60" has no unit (write "60s" for seconds)`},
		{"0", 0, `config: duration "0" has no unit (write "0s" for seconds)`},
		{"-1s", 0, `config: negative duration "-1s"`},
		{"1d", 0, `config: bad duration "1d" (expected numbers with units, as in "60s" or "1m30s")`},
		{"inf", 0, `config: bad duration "inf" (expected numbers with units, as in "60s" or "1m30s")`},
		{"9999999h", 0, `config: bad duration "9999999h" (expected numbers with units, as in "60s" or "1m30s")`},
	}
	for _, r := range rows {
		var d config.Duration
		err := d.UnmarshalText([]byte(r.text))
		if d != config.Duration(r.want) || text(err) != r.err {
			t.Errorf("%q: got %v, %q, want %v, %q", r.text, d, text(err), r.want, r.err)
		}
	}
	if got := config.Duration(90 * time.Second).String(); got != "1m30s" {
		t.Errorf("String: got %q", got)
	}
}

func TestSize(t *testing.T) {
	const units = "(expected one of the units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)"
	rows := []struct {
		text string
		want config.Size
		out  string
		err  string
	}{
		{"512", 512, "512B", ""},
		{"0", 0, "0B", ""},
		{"64KiB", 65536, "64KiB", ""},
		{"10MB", 10_000_000, "10MB", ""},
		{"3kB", 3000, "3kB", ""},
		{"1GiB", 1 << 30, "1GiB", ""},
		{"7B", 7, "7B", ""},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807B", ""},
		{"8388607TiB", 8388607 << 40, "8388607TiB", ""},
		{"9223372036854775808", 0, "0B", `config: size "9223372036854775808" is too large`},
		{"8388608TiB", 0, "0B", `config: size "8388608TiB" is too large`},
		{"", 0, "0B", `config: bad size "" (expected a number and a unit, as in "64KiB" or "10MB")`},
		{"-1", 0, "0B", `config: bad size "-1" (expected a number and a unit, as in "64KiB" or "10MB")`},
		{"64k", 0, "0B", `config: bad size "64k" (did you mean "64KiB"?)`},
		{"64mib", 0, "0B", `config: bad size "64mib" (did you mean "64MiB"?)`},
		{"1.5GiB", 0, "0B", `config: bad size "1.5GiB" ` + units},
		{"1 GiB", 0, "0B", `config: bad size "1 GiB" ` + units},
	}
	for _, r := range rows {
		var s config.Size
		err := s.UnmarshalText([]byte(r.text))
		if s != r.want || s.String() != r.out || text(err) != r.err {
			t.Errorf("%q: got %d, %s, %q, want %d, %s, %q", r.text, s, s, text(err), r.want, r.out, r.err)
		}
	}
}

// A decoder that loses the error of UnmarshalText would let any text pass.
func TestBadTextIsRefused(t *testing.T) {
	for _, k := range config.Keys() {
		var to encoding.TextUnmarshaler
		switch k.Type {
		case "duration":
			to = new(config.Duration)
		case "size":
			to = new(config.Size)
		default:
			continue
		}
		for _, bad := range []string{"x", "-1s", "1 parsec"} {
			if to.UnmarshalText([]byte(bad)) == nil {
				t.Errorf("%s: %q is taken", k.Type, bad)
			}
			for _, table := range k.Tables {
				head := map[string]string{
					"": "", "site": "[[site]]\n", "site.route": "[[site]]\n[[site.route]]\npath = \"/\"\ncgi = \"/x\"\n",
				}[table]
				if strings.Count(table, ".") == 2 {
					head = "[[site]]\n[[site.route]]\npath = \"/\"\n[" + table + "]\n"
				}
				_, err := config.Parse("g", []byte(head+k.Name+" = \""+bad+"\"\n"))
				if want := strings.TrimPrefix(table+"."+k.Name+": ", "."); !strings.Contains(text(err), want) {
					t.Errorf("%s in %q: got %q, want one with %q", k.Name, table, text(err), want)
				}
			}
		}
	}
}

func TestParseListen(t *testing.T) {
	rows := []struct {
		text, network, address, err string
	}{
		{"127.0.0.1:8080", "tcp", "127.0.0.1:8080", ""},
		{"http:127.0.0.1:8080", "tcp", "127.0.0.1:8080", ""},
		{"unix:/run/x.sock", "unix", "/run/x.sock", ""},
		{"http:unix:run/x", "unix", "run/x", ""},
		{"[0:0::1]:80", "tcp", "[::1]:80", ""},
		{"http::80", "tcp", ":80", ""},
		{"", "", "", `config: empty address (expected "host:port" or "unix:/path")`},
		{"http:8080", "", "", `config: bad address "8080" (write ":8080")`},
		{"https::443", "tcp", ":443", ""},
		{"https:unix:/x", "unix", "/x", ""},
		{"fcgi:127.0.0.1:9000", "", "", `config: protocol "fcgi" of "fcgi:127.0.0.1:9000" is not supported (there are "http", "https", "fastcgi" and "scgi")`},
		{"scgi:unix:/x", "unix", "/x", ""},
		{"fastcgi:127.0.0.1:9000", "tcp", "127.0.0.1:9000", ""},
		{"fastcgi:9000", "", "", `config: bad address "9000" (write ":9000")`},
		{"systemd:", "systemd", "", ""},
		{"scgi:systemd:web", "systemd", "web", ""},
		{"systemd:a:b", "", "", `config: bad name of a socket "a:b" (it is what FileDescriptorName= of the socket unit says)`},
		{"fastcgi:fd:00", "fd", "0", ""},
		{"fd:1", "", "", `config: bad descriptor "1" (expected the number of an inherited socket, as in "fd:3")`},
		{"fd:", "", "", `config: bad descriptor "" (expected the number of an inherited socket, as in "fd:3")`},
		{"ftp:127.0.0.1:21", "", "", `config: bad address "ftp:127.0.0.1:21" (expected "host:port" or "unix:/path")`},
		{"/run/x", "", "", `config: bad address "/run/x" (write "unix:/run/x")`},
		{"*:80", "", "", `config: bad host "*" in "*:80" (write ":80" for every address)`},
		{"localhost", "", "", `config: bad address "localhost" (expected "host:port" or "unix:/path")`},
		{"localhost:http", "", "", `config: bad port "http" in "localhost:http" (expected a number from 0 to 65535)`},
		{"localhost:65536", "", "", `config: bad port "65536" in "localhost:65536" (expected a number from 0 to 65535)`},
		{"a b:80", "", "", `config: bad host name "a b"`},
		{"unix:", "", "", `config: empty socket path (expected "unix:/path")`},
		{"unix:@x", "", "", `config: abstract socket "@x" is not supported (any user may connect to one)`},
		{"unix:/run/", "", "", `config: bad socket path "/run/" (expected a file's name at its end)`},
		{"unix:/a\x00", "", "", `config: path "/a\x00" has a NUL in it`},
	}
	for _, r := range rows {
		l, err := config.ParseListen(r.text)
		if l.Network != r.network || l.Address != r.address || text(err) != r.err {
			t.Errorf("%q: got %q %q, %q, want %q %q, %q", r.text, l.Network, l.Address, text(err), r.network, r.address, r.err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
