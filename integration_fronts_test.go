package gatehouse_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Real web servers, each configured as its manual says for a FastCGI or SCGI responder
// that answers for everything.

const nginxConfig = `
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log warn;
{user}
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path {dir}/nginx-body; fastcgi_temp_path {dir}/nginx-fastcgi; scgi_temp_path {dir}/nginx-scgi;
	proxy_temp_path {dir}/nginx-proxy; uwsgi_temp_path {dir}/nginx-uwsgi;
	client_max_body_size 0;
	large_client_header_buffers 4 64k;
	keepalive_requests 100000;
	keepalive_timeout 600s;
	upstream gatehouse { server {backend}; {upstream} }
	server {
		listen {listen};
		server_name www.example.org;
		merge_slashes off;
		location / {
			{location}
		}
	}
}
`

func nginx(upstream, location string) func(*testing.T, *host) string {
	return func(t *testing.T, h *host) string {
		listen := freePort(t)
		write(t, h.path("nginx.conf"), fill(fill(nginxConfig, "{upstream}", upstream, "{location}", location),
			"{dir}", h.dir, "{user}", asRoot("user root;"), "{backend}", h.gateway, "{listen}", listen), 0o644)
		startPeer(t, h.dir, listen, exec.Command(whereIs["nginx"], "-p", h.dir, "-e", "stderr", "-c", h.path("nginx.conf")))
		return listen
	}
}

const apacheConfig = `
ServerRoot {dir}
DefaultRuntimeDir {dir}
PidFile {dir}/apache2.pid
Mutex file:{dir}
ErrorLog /dev/stderr
LogLevel warn
Listen {listen}
ServerName www.example.org
UseCanonicalName Off
UseCanonicalPhysicalPort On
{user}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_fcgi_module /usr/lib/apache2/modules/mod_proxy_fcgi.so
LoadModule proxy_scgi_module /usr/lib/apache2/modules/mod_proxy_scgi.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
DocumentRoot {htdocs}
KeepAliveTimeout 600
MaxKeepAliveRequests 0
LimitRequestFieldSize 65536
AllowEncodedSlashes NoDecode
MergeSlashes Off
<Directory {htdocs}>
	Require all granted
</Directory>
<Location />
	CGIPassAuth On
</Location>
{site}
`

func apache(site string) func(*testing.T, *host) string {
	return func(t *testing.T, h *host) string {
		listen := freePort(t)
		write(t, h.path("apache.conf"), fill(fill(apacheConfig, "{site}", site), "{dir}", h.dir, "{htdocs}", h.htdocs,
			"{user}", asRoot("User www-data\nGroup www-data"), "{backend}", h.gateway, "{listen}", listen), 0o644)
		startPeer(t, h.dir, listen, exec.Command(whereIs["apache2-bin"], "-DFOREGROUND", "-f", h.path("apache.conf")))
		return listen
	}
}

const lighttpdConfig = `
server.document-root = "{htdocs}"
server.bind = "127.0.0.1"
server.port = {port}
server.name = "www.example.org"
server.errorlog = "/dev/stderr"
server.upload-dirs = ("{dir}")
server.modules = ("mod_fastcgi", "mod_scgi")
server.max-request-field-size = 65536
server.max-keep-alive-requests = 100000
server.max-keep-alive-idle = 600
server.stream-request-body = {stream}
server.stream-response-body = 2
{site}
`

func lighttpd(stream, site string) func(*testing.T, *host) string {
	return func(t *testing.T, h *host) string {
		listen := freePort(t)
		write(t, h.path("lighttpd.conf"), fill(fill(lighttpdConfig, "{site}", site, "{stream}", stream),
			"{dir}", h.dir, "{htdocs}", h.htdocs, "{backend}", h.gateway, "{port}", port(listen)), 0o644)
		startPeer(t, h.dir, listen, exec.Command(whereIs["lighttpd"], "-D", "-f", h.path("lighttpd.conf")))
		return listen
	}
}

const haproxyConfig = `
global
	log stderr format raw local0 notice
	maxconn 4096
	tune.bufsize 65536
	tune.http.maxhdr 512
defaults
	mode http
	timeout connect 60s
	timeout client 600s
	timeout server 600s
	timeout http-keep-alive 600s
	option http-keep-alive
	option abortonclose
fcgi-app gatehouse
	log-stderr global
	docroot {htdocs}
	{options}
frontend web
	bind {listen}
	default_backend app
backend app
	use-fcgi-app gatehouse
	http-reuse always
	server one {backend} proto fcgi
`

func haproxy(options string) func(*testing.T, *host) string {
	return func(t *testing.T, h *host) string {
		listen := freePort(t)
		write(t, h.path("haproxy.conf"), fill(haproxyConfig, "{htdocs}", h.htdocs, "{options}", options, "{backend}", strings.Replace(h.gateway, "unix:", "unix@", 1), "{listen}", listen), 0o644)
		startPeer(t, h.dir, listen, exec.Command(whereIs["haproxy"], "-db", "-f", h.path("haproxy.conf")))
		return listen
	}
}

const caddyConfig = `
{
	admin off
	auto_https off
	log {
		level WARN
	}
}
http://:{port} {
	bind 127.0.0.1
	root * {htdocs}
	reverse_proxy {backend} {
		flush_interval -1
		transport fastcgi
	}
}
`

func caddy(t *testing.T, h *host) string {
	listen := freePort(t)
	write(t, h.path("Caddyfile"), fill(caddyConfig, "{htdocs}", h.htdocs, "{backend}", strings.Replace(h.gateway, "unix:", "unix/", 1), "{port}", port(listen)), 0o644)
	run := exec.Command(whereIs["caddy"], "run", "--config", h.path("Caddyfile"), "--adapter", "caddyfile")
	run.Env = []string{"HOME=" + h.dir, "XDG_CONFIG_HOME=" + h.dir, "XDG_DATA_HOME=" + h.dir}
	startPeer(t, h.dir, listen, run)
	return listen
}

const (
	nginxFastCGI = "include /etc/nginx/fastcgi_params;\nfastcgi_pass gatehouse;\nfastcgi_buffer_size 128k; fastcgi_buffers 8 128k; fastcgi_busy_buffers_size 256k;\n"
	nginxSCGI    = "include /etc/nginx/scgi_params;\nscgi_pass gatehouse;\nscgi_buffer_size 128k; scgi_buffers 8 128k; scgi_busy_buffers_size 256k;\n"
)

const (
	onUnix = "unix:{dir}/gateway.sock"
	onTCP  = "127.0.0.1:0"
)

// fronts are all ways to reach Gatehouse. The first is its own.
var fronts = []front{
	{name: "http", listen: onTCP},
	{name: "nginx fastcgi", needs: []string{"nginx"}, listen: "fastcgi:" + onUnix, // requests and answers are buffered, a connection for each
		server: nginx("", nginxFastCGI+"fastcgi_buffering off;")},
	{name: "nginx fastcgi kept", needs: []string{"nginx"}, listen: "fastcgi:" + onTCP, kept: 8,
		server: nginx("keepalive 8;", nginxFastCGI+"fastcgi_keep_conn on; fastcgi_request_buffering off; fastcgi_buffering off;")},
	{name: "nginx scgi", needs: []string{"nginx"}, listen: "scgi:" + onUnix, lacks: "SERVER_ADDR", // scgi_request_buffering off would have it tell wrong lengths
		server: nginx("", nginxSCGI+"scgi_buffering off;")},
	{name: "apache fastcgi generic", needs: []string{"apache2-bin"}, listen: "fastcgi:" + onTCP, kept: 64,
		server: apache("ProxyFCGIBackendType GENERIC\nProxyPass / fcgi://{backend}/ enablereuse=on flushpackets=on")},
	{name: "apache fastcgi fpm", needs: []string{"apache2-bin"}, listen: "fastcgi:" + onUnix, mode: "0666",
		server: apache("ProxyFCGIBackendType FPM\nProxyPass / {backend}|fcgi://localhost{htdocs}/ flushpackets=on")},
	{name: "apache scgi", needs: []string{"apache2-bin"}, listen: "scgi:" + onTCP,
		server: apache("ProxyPass / scgi://{backend}/ flushpackets=on")},
	{name: "lighttpd fastcgi", needs: []string{"lighttpd"}, listen: "fastcgi:" + onUnix,
		server: lighttpd("0", `fastcgi.server = ("/" => (("socket" => "{dir}/gateway.sock", "check-local" => "disable", "fix-root-scriptname" => "enable")))`)},
	{name: "lighttpd scgi", needs: []string{"lighttpd"}, listen: "scgi:" + onUnix,
		server: lighttpd("2", `scgi.server = ("/" => (("socket" => "{dir}/gateway.sock", "check-local" => "disable", "fix-root-scriptname" => "enable")))`)},
	{name: "haproxy fastcgi", needs: []string{"haproxy"}, lacks: "SERVER_ADDR", adds: "AUTH_TYPE", listen: "fastcgi:" + onUnix, kept: 16,
		server: haproxy("option keep-conn\n\toption get-values\n\toption mpxs-conns\n\toption max-reqs 64")},
	{name: "haproxy fastcgi alone", needs: []string{"haproxy"}, lacks: "SERVER_ADDR", adds: "AUTH_TYPE", listen: "fastcgi:" + onTCP,
		server: haproxy("no option keep-conn")},
	{name: "https h1", needs: []string{"haproxy"}, listen: "https:" + onTCP, keys: proxyKeys, tls: true, direct: true, kept: 64,
		server: proxy("tcp", "ssl verify none send-proxy-v2")},
	{name: "https h2", needs: []string{"haproxy"}, listen: "https:" + onTCP, keys: proxyKeys, tls: true, speaks: "HTTP/2.0", kept: 64,
		server: proxy("http", "ssl verify none alpn h2 send-proxy-v2")},
	{name: "h2c", needs: []string{"haproxy"}, listen: "http:" + onTCP, keys: plainProxyKeys, speaks: "HTTP/2.0", kept: 64,
		server: proxy("http", "proto h2 send-proxy")},
	{name: "caddy fastcgi", needs: []string{"caddy"}, listen: "fastcgi:" + onUnix, server: caddy},
}

func frontNamed(t *testing.T, name string) front {
	t.Helper()
	for _, f := range fronts {
		if f.name == name {
			return f
		}
	}
	t.Fatalf("no front is named %q", name)
	return front{}
}
