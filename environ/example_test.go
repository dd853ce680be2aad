package environ_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"

	"gatehouse/environ"
)

func ExampleServer_FromHTTP() {
	server := &environ.Server{
		Software: "gatehouse/1.0",
		Trusted:  []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
	// As a server has received it from the proxy 192.0.2.1.
	r := httptest.NewRequest("GET", "/cgi-bin/env.cgi/extra?a=b", nil)
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	r.Header.Set("Proxy", "http://evil.example")

	env, err := server.FromHTTP(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	env.SetScript(environ.Script{
		Name:           "/cgi-bin/env.cgi",
		Filename:       "/srv/cgi-bin/env.cgi",
		PathInfo:       "/extra",
		PathTranslated: "/srv/htdocs/extra",
		DocumentRoot:   "/srv/htdocs",
	})
	for name, value := range env.All() {
		fmt.Printf("%s=%s\n", name, value)
	}
	// Output:
	// GATEWAY_INTERFACE=CGI/1.1
	// SERVER_SOFTWARE=gatehouse/1.0
	// REDIRECT_STATUS=200
	// SERVER_NAME=example.com
	// SERVER_PORT=80
	// REMOTE_ADDR=198.51.100.7
	// REMOTE_HOST=198.51.100.7
	// SERVER_PROTOCOL=HTTP/1.1
	// REQUEST_METHOD=GET
	// REQUEST_SCHEME=http
	// REQUEST_URI=/cgi-bin/env.cgi/extra?a=b
	// QUERY_STRING=a=b
	// HTTP_HOST=example.com
	// HTTP_X_FORWARDED_FOR=198.51.100.7
	// SCRIPT_NAME=/cgi-bin/env.cgi
	// SCRIPT_FILENAME=/srv/cgi-bin/env.cgi
	// DOCUMENT_ROOT=/srv/htdocs
	// PATH_INFO=/extra
	// PATH_TRANSLATED=/srv/htdocs/extra
}

func ExampleParseTarget() {
	path, query, err := environ.ParseTarget("/cgi-bin/./show%20all//%2e%2e/list?sort=%41")
	fmt.Printf("%q %q %v\n", path, query, err)
	_, _, err = environ.ParseTarget("/%2e%2e/etc/passwd")
	fmt.Println(err)
	// Output:
	// "/cgi-bin/list" "sort=%41" <nil>
	// environ: request path "/%2e%2e/etc/passwd" leaves the root
}

func ExampleParseHost() {
	fmt.Println(environ.ParseHost("WWW.Example.ORG.:8080"))
	fmt.Println(environ.ParseHost("[2001:DB8::0:1]"))
	_, _, err := environ.ParseHost("user@example.org")
	fmt.Println(err)
	// Output:
	// www.example.org 8080 <nil>
	// [2001:db8::1]  <nil>
	// environ: host "user@example.org" is not a host name
}

func ExampleEnv_AddConfigured() {
	var env environ.Env
	fmt.Println(env.AddConfigured("GIT_PROJECT_ROOT", "/srv/git"))
	fmt.Println(env.AddConfigured("SCRIPT_FILENAME", "/bin/sh"))
	fmt.Println(env.Strings())
	// Output:
	// <nil>
	// environ: variable "SCRIPT_FILENAME" is set by the server
	// [GIT_PROJECT_ROOT=/srv/git]
}

func ExampleEnv_Redirect() {
	var env environ.Env
	env.Set("REQUEST_METHOD", "POST")
	env.Set("REQUEST_URI", "/old?a=b")
	env.Set("QUERY_STRING", "a=b")
	env.Set("CONTENT_LENGTH", "3")
	env.Redirect("/new", "")
	for _, pair := range env.Strings() {
		fmt.Println(pair)
	}
	// Output:
	// REQUEST_METHOD=GET
	// REQUEST_URI=/new
	// QUERY_STRING=
	// REDIRECT_URL=/old
	// REDIRECT_QUERY_STRING=a=b
}

func ExampleProcessEnv() {
	var env environ.Env
	env.Set("QUERY_STRING", "")
	fmt.Println(env.Over(environ.ProcessEnv("", "/home/joe", "C.UTF-8", "")).Strings())
	// Output:
	// [PATH=/usr/local/bin:/usr/bin:/bin HOME=/home/joe LANG=C.UTF-8 QUERY_STRING=]
}
