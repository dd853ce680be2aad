package fastcgi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"gatehouse/cgi"
	"gatehouse/fastcgi"
)

// A responder, and what a web server would send to it and hear from it.
func ExampleServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	hello := func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		return &cgi.Response{Status: 200, ContentLength: -1, Body: io.NopCloser(strings.NewReader("hello from " + req.Path))}, nil
	}
	srv := &fastcgi.Server{Gateway: &cgi.Gateway{Responder: cgi.ResponderFunc(hello)}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	b := fastcgi.AppendBeginRequest(nil, 1, fastcgi.RoleResponder, false)
	b = fastcgi.AppendParams(b, 1, []string{"REQUEST_METHOD=GET", "REQUEST_URI=/a/path", "SERVER_PROTOCOL=HTTP/1.0"})
	b = fastcgi.AppendStreamEnd(b, fastcgi.TypeStdin, 1)
	_, _ = conn.Write(b)
	r := fastcgi.NewReader(conn)
	for {
		h, err := r.Next()
		if err != nil {
			break
		}
		content, _ := io.ReadAll(r)
		fmt.Printf("%v %q\n", h.Type, content)
	}
	_ = conn.Close()
	fmt.Println(srv.Shutdown(context.Background()), <-done)
	// Output:
	// STDOUT "Status: 200 OK\r\n\r\nhello from /a/path"
	// STDOUT ""
	// END_REQUEST "\x00\x00\x00\x00\x00\x00\x00\x00"
	// <nil> fastcgi: server closed
}

func ExampleReader() {
	b := fastcgi.AppendRecord(nil, fastcgi.TypeStderr, 1, []byte("no such file"))
	r := fastcgi.NewReader(bytes.NewReader(b))
	h, err := r.Next()
	content, _ := io.ReadAll(r)
	fmt.Println(h.Type, h.ID, err, string(content))
	// Output: STDERR 1 <nil> no such file
}

func ExampleParsePairs() {
	b := fastcgi.AppendPair(nil, "REQUEST_METHOD", "GET")
	b = fastcgi.AppendPair(b, "QUERY_STRING", "")
	fmt.Println(fastcgi.ParsePairs(b, 100))
	// Output: [REQUEST_METHOD=GET QUERY_STRING=] <nil>
}
