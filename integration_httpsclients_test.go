package gatehouse_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
)

// runClient runs a client to its end, and returns what it says.
func runClient(t *testing.T, input, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// startSecure starts a host that speaks TLS with its clients.
func startSecure(t *testing.T, keys string) *host {
	t.Helper()
	f := front{name: "https", listen: "https:" + onTCP, keys: "tls = { certificate = \"{dir}/host.pem\" }\n" + keys, tls: true}
	h := newHost(t, f)
	h.installScripts(t)
	h.up(t, f, h.routes(backs[0]))
	return h
}

// Real clients, over TLS and by HTTP/2.
func TestHTTPSClients(t *testing.T) {
	t.Parallel()
	h := startSecure(t, "compress = true\n")
	certificate, url := h.path("host.pem"), "https://localhost:"+port(h.server)
	t.Run("curl", func(t *testing.T) {
		need(t, "curl")
		for _, how := range []struct{ flag, proto string }{{"--http1.1", "HTTP/1.1"}, {"--http2", "HTTP/2.0"}} {
			got := runClient(t, noise(200_000), whereIs["curl"], "-sS", "--ipv4", "--cacert", certificate, how.flag, "--data-binary", "@-", url+"/cgi-bin/count.sh")
			if got != "200000\n" {
				t.Errorf("%s: %q", how.flag, clip(got))
			}
			got = runClient(t, "", whereIs["curl"], "-sS", "--ipv4", "--cacert", certificate, how.flag, "--compressed", "-w", "%{http_version}", url+"/cgi-bin/hello.sh")
			if want := "hello\n" + strings.TrimSuffix(strings.TrimPrefix(how.proto, "HTTP/"), ".0"); got != want {
				t.Errorf("%s: %q, want %q", how.flag, got, want)
			}
		}
	})
	t.Run("openssl", func(t *testing.T) {
		need(t, "openssl")
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			got := runClient(t, "GET /cgi-bin/hello.sh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", whereIs["openssl"], "s_client",
				"-quiet", "-connect", "127.0.0.1:"+port(h.server), "-servername", "localhost", "-CAfile", certificate, "-verify_return_error", "-ign_eof", version)
			if !strings.Contains(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(got, "hello\n") {
				t.Errorf("%s: %s", version, got)
			}
		}
	})
	t.Run("h2load", func(t *testing.T) {
		need(t, "nghttp2-client")
		got := runClient(t, "", whereIs["nghttp2-client"], "-n", "1000", "-c", "4", "-m", "50", url+"/index.html")
		if !strings.Contains(got, "1000 succeeded, 0 failed, 0 errored, 0 timeout") {
			t.Errorf("got %s", got)
		}
	})
}

const tlsProxyConfig = `
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
{user}
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path {dir}/nginx-body; fastcgi_temp_path {dir}/nginx-fastcgi; scgi_temp_path {dir}/nginx-scgi;
	proxy_temp_path {dir}/nginx-proxy; uwsgi_temp_path {dir}/nginx-uwsgi;
	server {
		listen {listen} ssl http2;
		ssl_certificate {dir}/host.pem;
		ssl_certificate_key {dir}/host.pem;
		location / {
			proxy_pass http://{backend};
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			{fields}
		}
	}
}
`

// A proxy that takes TLS off says so in fields, which are believed (E25). What its client
// says in such a field it has to remove.
func TestBehindTLS(t *testing.T) {
	for name, fields := range map[string]string{
		"X-Forwarded": "proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port; proxy_set_header Forwarded \"\";",
		"Forwarded":   `proxy_set_header Forwarded "for=$remote_addr;host=\"$http_host\";proto=$scheme"; proxy_set_header X-Forwarded-For "";`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			need(t, "nginx", "curl")
			f := front{name: "behind TLS", listen: "http:" + onTCP, keys: "redirect_to_https = true\n"}
			h := newHost(t, f)
			h.installScripts(t)
			writeCertificate(t, h.path("host.pem"))
			h.up(t, f, h.routes(backs[0]))
			listen := freePort(t)
			write(t, h.path("nginx.conf"), fill(tlsProxyConfig, "{fields}", fields, "{dir}", h.dir, "{user}", asRoot("user root;"), "{backend}", h.gateway, "{listen}", listen), 0o644)
			startPeer(t, h.dir, listen, exec.Command(whereIs["nginx"], "-p", h.dir, "-e", "stderr", "-c", h.path("nginx.conf")))
			for _, flag := range []string{"--http1.1", "--http2"} {
				got := runClient(t, "", whereIs["curl"], "-sS", "--ipv4", "--cacert", h.path("host.pem"), flag, "-H", "Forwarded: for=203.0.113.1", "-H", "X-Forwarded-For: 203.0.113.1",
					"https://localhost:"+port(listen)+"/cgi-bin/environ?x")
				for _, want := range []string{"HTTPS=on\n", "REQUEST_SCHEME=https\n", "REMOTE_ADDR=127.0.0.1\n", "SERVER_NAME=localhost\n", "SERVER_PORT=" + port(listen) + "\n", "HTTP_HOST=localhost:" + port(listen) + "\n"} {
					if !strings.Contains(got, want) {
						t.Errorf("%s: no %q in\n%s", flag, want, got)
					}
				}
			}
			got := runClient(t, "", whereIs["curl"], "-sS", "-o", "/dev/null", "-w", "%{http_code}", "http://"+h.gateway+"/cgi-bin/environ")
			if got != "308" {
				t.Errorf("without TLS: %s", got)
			}
		})
	}
}
