package scripts_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// C39: wsgiref's validator between the shim and the application finds fault with neither.
func TestWSGIValidator(t *testing.T) {
	spec := strings.Replace(torture(t), "torture.py", "validated.py", 1)
	tests := []struct {
		wsgiRequest
		want string
	}{
		{wsgiRequest{path: "/ignore"}, "ignored"},
		{wsgiRequest{path: "/ignore", vars: []string{"SCRIPT_NAME="}}, "ignored"},
		{wsgiRequest{path: "/ignore", vars: []string{"REQUEST_METHOD=POST", "CONTENT_LENGTH="}}, "ignored"},
		{wsgiRequest{path: "/read?read,3;readline,100;readlines;read,1", body: "one\ntwo\nthree"}, `[b'one', b'\n', [b'two\n', b'three'], b'']`},
		{wsgiRequest{path: "/read?iter", body: "one\ntwo"}, `[[b'one\n', b'two']]`},
		{wsgiRequest{path: "/list"}, "onetwo"},
		{wsgiRequest{path: "/generator"}, "onetwo"},
		{wsgiRequest{path: "/write"}, "abcd"},
		{wsgiRequest{path: "/length?6,gen,one,two"}, "onetwo"},
		{wsgiRequest{path: "/list", vars: []string{"REQUEST_METHOD=HEAD"}}, ""},
		{wsgiRequest{path: "/big?200000,gen"}, strings.Repeat("abcdefghijklmnopqrstuvwxyz", 7693)[:200000]},
	}
	eachLife(t, spec, nil, func(t *testing.T, ask func(*testing.T, wsgiRequest) wsgiAnswer) {
		for _, tt := range tests {
			a := ask(t, tt.wsgiRequest)
			stderr := strings.ReplaceAll(strings.ReplaceAll(a.stderr, "block 0\n", ""), "block 1\n", "")
			if a.status != "200 OK" || a.body != tt.want || stderr != "" || !a.whole {
				t.Errorf("%s: got %q, %.200q, %q, want %.200q", tt.path, a.status, a.body, a.stderr, tt.want)
			}
		}
	})
}

var cpythonOK = regexp.MustCompile(`(?m)^Ran (\d+) tests? in .*\n\nOK(?: \(skipped=(\d+)\))?$`)

// CPython's own tests of handlers and of its server, with the shim's handler (C40).
func TestWSGICPython(t *testing.T) {
	if err := exec.Command(shimPython[0], "-c", "import test.test_wsgiref").Run(); err != nil {
		t.Skip("NOT TESTED: test.test_wsgiref (libpython3-testsuite) is not installed")
	}
	driver := strings.Replace(torture(t), "torture.py", "cpython.py", 1)
	for _, flags := range [][]string{nil, {"-O"}} { // checks do not vanish (C21)
		cmd := exec.Command(shimPython[0], append(flags, driver, shim())...)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=1"}
		out, err := cmd.CombinedOutput()
		ran := cpythonOK.FindSubmatch(out)
		if err != nil || ran == nil {
			t.Fatalf("%v: %v\n%s", flags, err, out)
		}
		if n, err := strconv.Atoi(string(ran[1])); err != nil || n < 18 || string(ran[2]) != "5" {
			t.Errorf("%v: got %s tests and %s left out, want at least 18 and 5", flags, ran[1], ran[2])
		}
	}
}
