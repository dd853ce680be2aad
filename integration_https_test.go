package gatehouse_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os/exec"
	"testing"
	"time"
)

// HAProxy in front of the http and https listeners: with the PROXY protocol, so that
// programs are told of the real client.

// proxyKeys are what the configuration says for all of them.
const proxyKeys = "proxy_protocol = true\nh2c = true\ntls = { certificate = \"{dir}/host.pem\" }\n"

// plainProxyKeys are those where there is no https listener.
const plainProxyKeys = "proxy_protocol = true\nh2c = true\n"

const proxyConfig = `
global
	log stderr format raw local0 notice
	maxconn 4096
	tune.bufsize 65536
	tune.http.maxhdr 512
defaults
	mode {mode}
	timeout connect 60s
	timeout client 600s
	timeout server 600s
	option abortonclose
	option http-no-delay
frontend web
	bind {listen}
	default_backend app
backend app
	server one {backend} {server}
`

// proxy starts HAProxy. In the mode tcp it passes every byte on as it is.
func proxy(mode, server string) func(*testing.T, *host) string {
	return func(t *testing.T, h *host) string {
		listen := freePort(t)
		write(t, h.path("haproxy.conf"), fill(proxyConfig, "{mode}", mode, "{server}", server, "{backend}", h.gateway, "{listen}", listen), 0o644)
		startPeer(t, h.dir, listen, exec.Command(whereIs["haproxy"], "-db", "-f", h.path("haproxy.conf")))
		return listen
	}
}

// writeCertificate makes a certificate and its key, in one file.
func writeCertificate(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"www.example.org", "localhost"},
		IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), 0o600)
}

// told is what programs are told of a request, where want is that of plain HTTP/1.
func (f front) told(want []string) []string {
	scheme := "http"
	if f.tls {
		scheme = "https"
		want = append(want, "HTTPS=on")
	}
	want = append(want, "REQUEST_SCHEME="+scheme)
	for n, v := range want {
		if v == "SERVER_PROTOCOL=HTTP/1.1" && f.speaks != "" {
			want[n] = "SERVER_PROTOCOL=" + f.speaks
		}
	}
	return want
}
