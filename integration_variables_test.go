package gatehouse_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// variables sends a request for the program environ and compares all that this was
// given with what every request has, and with want.
func (h *host) variables(t *testing.T, text string, want ...string) {
	t.Helper()
	conn := h.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
	}
	_, localPort, _ := net.SplitHostPort(conn.LocalAddr().String())
	script := filepath.Join(h.scripts, "environ")
	want = append(want,
		"argc 1", "argv0 "+script, "cwd "+h.scripts, "fds 0 1 2", "session leader 1", "umask 022",
		"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000",
		"GATEWAY_INTERFACE=CGI/1.1", "INTEGRATION_RUN="+h.tag, "PATH=/usr/local/bin:/usr/bin:/bin",
		"REDIRECT_STATUS=200", "REMOTE_ADDR=127.0.0.1", "REMOTE_HOST=127.0.0.1", "REMOTE_PORT="+localPort,
		"SCRIPT_FILENAME="+script, "SCRIPT_NAME=/cgi-bin/environ",
		"SERVER_ADDR=127.0.0.1", "SERVER_PORT="+port(h.server), "SERVER_SOFTWARE=gatehouse/0.1")
	want = h.front.told(want)
	want = slices.DeleteFunc(want, func(v string) bool { return h.lacks != "" && strings.HasPrefix(v, h.lacks+"=") })
	got := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if h.front.tls {
		got = slices.DeleteFunc(got, func(v string) bool {
			return strings.HasPrefix(v, "SSL_PROTOCOL=TLSv1.") || strings.HasPrefix(v, "SSL_CIPHER=TLS_") || v == "SSL_CLIENT_VERIFY=NONE"
		})
	}
	ids := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "UNIQUE_ID=") && len(s) > 20 })
	if ids < 0 {
		t.Fatalf("no UNIQUE_ID in %q", got)
	}
	got = slices.Delete(got, ids, ids+1)
	got = slices.DeleteFunc(got, func(v string) bool { return strings.HasPrefix(v, "HTTP_X_REQUEST_ID=") }) // by request_id_header
	if h.adds != "" {
		got = slices.DeleteFunc(got, func(v string) bool { return strings.HasPrefix(v, h.adds+"=") })
	}
	slices.Sort(got)
	slices.Sort(want)
	if err := differences(got, want); err != "" {
		t.Errorf("%q:\n%s", text, err)
	}
}

// differences tells what only one of two sorted lists has.
func differences(got, want []string) string {
	var text strings.Builder
	for _, s := range got {
		if !slices.Contains(want, s) {
			fmt.Fprintf(&text, "got  %q\n", s)
		}
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			fmt.Fprintf(&text, "want %q\n", s)
		}
	}
	if text.Len() == 0 && len(got) != len(want) {
		fmt.Fprintf(&text, "something is there twice: %q", got)
	}
	return text.String()
}
