package main

import (
	"path/filepath"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
)

// tlsFlags are the quick way to https, without a configuration.
func tlsFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tls-cert", Category: "Where it listens", Usage: "the certificate for https is in `FILE`, in PEM; listens on https:127.0.0.1:8443 where --listen says nothing else"},
		&cli.StringFlag{Name: "tls-key", Category: "Where it listens", Usage: "its private key is in `FILE`", DefaultText: "that of the certificate"},
	}
}

// secureBy sets up what the flags say about TLS.
func (s *served) secureBy(c *cli.Context) error {
	cert, key := c.String("tls-cert"), c.String("tls-key")
	switch {
	case cert == "" && key == "":
		return nil
	case cert == "":
		return misused("--tls-key without --tls-cert")
	case !s.made:
		return hinted{misused("--tls-cert goes with what is named on the command line, not with -c"), "tls in the configuration names certificates"}
	}
	if key == "" {
		key = cert
	}
	pair := config.Certificate{File: cert, Key: key}
	for _, name := range []*string{&pair.File, &pair.Key} {
		path, err := filepath.Abs(*name)
		if err != nil {
			return err
		}
		*name = path
	}
	if !c.IsSet("listen") {
		l, err := config.ParseListen("https:127.0.0.1:8443")
		if err != nil {
			return err
		}
		s.config.Listen = []config.Listen{l}
	}
	s.config.TLS.Certificates = []config.Certificate{pair}
	for n := range s.config.Sites {
		s.config.Sites[n].TLS = s.config.TLS
	}
	return nil
}
