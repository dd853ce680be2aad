package main

// example is a command line that works, and what it does.
type example struct{ line, says string }

// beginnings are what a newcomer tries first.
var beginnings = []example{
	{"gatehouse serve", "a demonstration site, on port 8080"},
	{"gatehouse serve ./public", "a folder: files, *.cgi, *.php"},
	{"gatehouse serve app.py", "a WSGI application"},
	{"gatehouse run ./script.cgi '/path?a=b'", "one request to a script"},
}

// examples of each command, the shortest first.
var examples = map[string][]example{
	"serve": {
		{"gatehouse serve ./public", "a folder, on http://127.0.0.1:8080/: its files, the programs in its cgi-bin/, *.cgi and *.php"},
		{"gatehouse serve -c gatehouse.toml", "what a configuration says"},
		{"gatehouse serve app.py:application --listen 127.0.0.1:9000", "a WSGI application, on another port"},
		{"gatehouse serve ./public --listen fastcgi:unix:/run/gatehouse.sock --listen-group www-data", "a folder, for nginx (fastcgi_pass unix:/run/gatehouse.sock) that runs in the group www-data"},
	},
	"run": {
		{"gatehouse run ./script.cgi '/path?a=b'", "a GET request, with PATH_INFO and QUERY_STRING"},
		{"gatehouse run ./script.cgi -X PUT -H 'Content-Type: text/plain' -d @notes.txt", "a PUT request with the file notes.txt as its body"},
		{"gatehouse run --warm ./script.py", "whether a script does the same when it runs warm, and how much sooner"},
	},
	"explain": {
		{"gatehouse explain '/cgi-bin/form.py/x?a=b' ./public", "what would answer, and with what environment, if the folder were served"},
		{"gatehouse explain https://example.org/app -c gatehouse.toml", "the same of a configuration"},
	},
	"check": {
		{"gatehouse check", "the mistakes of ./gatehouse.toml"},
		{"gatehouse check /etc/gatehouse/gatehouse.toml", "those of another file, and of all that it includes"},
	},
	"config": {
		{"gatehouse config", "what ./gatehouse.toml comes to, with all defaults"},
		{"gatehouse config /etc/gatehouse/gatehouse.toml", "another file, and all that it includes"},
		{"gatehouse config --reference", "every key there is, with its type, default and meaning"},
	},
	"init": {
		{"gatehouse init ./public", "a commented gatehouse.toml for the folder ./public and what is in it"},
		{"gatehouse init app.py:app -o shop.toml", "one for a WSGI application, in another file"},
	},
	"status": {
		{"gatehouse status", "the gatehouse of this user, or for root the one of the system"},
		{"gatehouse status -c gatehouse.toml --watch", "the one that runs with this configuration, until q is pressed"},
		{"gatehouse status --json", "for programs"},
	},
	"end": {
		{"gatehouse end 6721f0a3-2-1", "the request that gatehouse status lists with this ID"},
		{"gatehouse end --control /run/gatehouse/control.sock 6721f0a3-2-1", "the same, of the gatehouse with this control socket"},
	},
	"reload": {
		{"gatehouse reload", "the gatehouse of this user, or for root the one of the system"},
		{"gatehouse reload -c gatehouse.toml", "the one that runs with this configuration"},
	},
	"upgrade": {
		{"gatehouse upgrade", "after the program's file was replaced, as by apt-get upgrade"},
		{"gatehouse upgrade --timeout 5m", "with patience for applications that take long to start"},
	},
	"reopen": {
		{"gatehouse reopen", "after the log files were moved away"},
		{"gatehouse reopen --control /run/gatehouse/control.sock", "the gatehouse with this control socket"},
	},
	"stop": {
		{"gatehouse stop", "when its requests have ended"},
		{"gatehouse stop --now", "at once"},
	},
	"wrap": {
		{"gatehouse wrap --root /usr/lib/cgi-bin -s unix:/run/fcgiwrap.socket", "in place of fcgiwrap, on the socket that nginx is configured for"},
		{"gatehouse wrap -f -c 8 -p /usr/lib/git-core/git-http-backend -s tcp:127.0.0.1:9000", "one script only, eight at a time, its errors in nginx's log"},
	},
	"call": {
		{"gatehouse call unix:/run/php/php8.2-fpm.sock /index.php --root /var/www", "a request to php-fpm: the script /var/www/index.php"},
		{"gatehouse call --ping 127.0.0.1:9000", "whether a FastCGI application answers: exit status 0 or 1"},
	},
	"wsgi-shim": {
		{"gatehouse wsgi-shim > run_wsgi.py", "write it to a file"},
		{"gatehouse wsgi-shim | python3 - --help", "what it can do"},
	},
	"version": {
		{"gatehouse version", "one line"},
		{"gatehouse version --json", "the same for programs"},
	},
	"completion": {
		{`eval "$(gatehouse completion bash)"`, "in ~/.bashrc: for every bash that is started from now on"},
		{"gatehouse completion zsh > ~/.zsh/_gatehouse", "for zsh, in a folder that is in its fpath"},
		{"gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish", "for fish"},
	},
	"man": {
		{"gatehouse man | man -l -", "read the manual page of the commands"},
		{"gatehouse man gatehouse.toml > gatehouse.toml.5", "write the page of the configuration's keys to a file"},
	},
}
