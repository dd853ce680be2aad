package scgi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"gatehouse/cgi"
	"gatehouse/environ"
	"gatehouse/scgi"
)

// A request on the wire, and read again.
func ExampleAppendRequest() {
	wire, _ := scgi.AppendRequest(nil, []string{"REQUEST_METHOD=POST", "REQUEST_URI=/deepthought"}, 27)
	fmt.Printf("%q\n", wire)
	vars, length, _ := scgi.ReadRequest(bufio.NewReader(strings.NewReader(string(wire)+"What is the answer to life?")), scgi.DefaultMaxParams)
	fmt.Println(vars, length)
	// Output:
	// "70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,"
	// [CONTENT_LENGTH=27 SCGI=1 REQUEST_METHOD=POST REQUEST_URI=/deepthought] 27
}

// A Responder served by SCGI, and asked by SCGI.
func ExampleServer() {
	hello := cgi.ResponderFunc(func(_ context.Context, req *cgi.Request) (*cgi.Response, error) {
		page := "hello from " + req.Path
		return &cgi.Response{Status: 200, ContentLength: int64(len(page)), Body: io.NopCloser(strings.NewReader(page)),
			Header: cgi.Header{{Name: "Content-Type", Value: "text/plain"}}}, nil
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &scgi.Server{Gateway: &cgi.Gateway{Responder: hello}}
	served := make(chan error)
	go func() { served <- server.Serve(ln) }()

	var env environ.Env
	env.Set("REQUEST_METHOD", "GET")
	env.Set("REQUEST_URI", "/a%20b")
	application := &scgi.Transport{Addresses: []string{ln.Addr().String()}}
	resp, err := application.Respond(context.Background(), &cgi.Request{Env: env})
	if err != nil {
		fmt.Println(err)
		return
	}
	page, _ := io.ReadAll(resp.Body)
	_ = resp.Close()
	fmt.Println(resp.Status, string(page))

	_ = server.Shutdown(context.Background())
	fmt.Println(<-served)
	// Output:
	// 200 hello from /a b
	// scgi: server closed
}
