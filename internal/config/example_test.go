package config_test

import (
	"fmt"

	"gatehouse/internal/config"
)

func ExampleParse() {
	c, err := config.Parse("/etc/gatehouse.toml", []byte(`
[[site]]
hosts = ["example.org"]
timeout = "5m"

  [[site.route]]
  path = "/git/"
  cgi  = "bin/git-http-backend"
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	r := c.Sites[0].Routes[0]
	fmt.Println(r.Kind, r.Path, r.CGI, r.Limits.Timeout)

	_, err = config.Parse("gatehouse.toml", []byte("listen = ['8080']\ntiemout = '5m'\n"))
	fmt.Println(err)
	// Output:
	// prefix /git/ /etc/bin/git-http-backend 5m0s
	// gatehouse.toml:1:11: listen: bad address "8080" (write ":8080")
	// gatehouse.toml:2:1: tiemout: unknown key (did you mean "timeout"?)
}

func ExampleParseListen() {
	l, err := config.ParseListen("http:unix:/run/gatehouse.sock")
	fmt.Println(l.Protocol, l.Network, l.Address, err)
	// Output: http unix /run/gatehouse.sock <nil>
}
