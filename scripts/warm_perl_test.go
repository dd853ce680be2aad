//go:build linux

package scripts_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const perl = "/usr/bin/perl"

var perlEnv = []string{"PATH=/usr/bin:/bin"}

// perlCommon is what scripts load of the library, the scripts below and others.
var perlCommon = strings.Fields(`strict.pm warnings.pm CGI.pm CGI/Util.pm CGI/Cookie.pm HTML/Entities.pm Carp.pm Exporter.pm POSIX.pm Data/Dumper.pm
	File/Temp.pm File/Find.pm File/Spec.pm Cwd.pm FindBin.pm IO/File.pm IO/Socket/INET.pm JSON/PP.pm Encode.pm Storable.pm List/Util.pm
	Scalar/Util.pm Time/HiRes.pm Time/Local.pm Math/BigInt.pm constant.pm base.pm parent.pm lib.pm threads.pm overload.pm Text/Wrap.pm
	Tie/Hash.pm Digest/MD5.pm MIME/Base64.pm Symbol.pm utf8.pm PerlIO/scalar.pm No/Such.pm`)

// inPerl is the language of the tests in this file.
var inPerl = language{perl, ".pl", perlEnv, perlCommon}

var perlSame = []same{
	{name: "hello", text: `print "hello\n";`},
	{name: "empty", text: ``},
	{name: "name", text: `BEGIN { print "$0 ", __FILE__, " ", __LINE__, " ", defined caller() ? "called" : "not called", " ${^GLOBAL_PHASE}\n" }
INIT { print "init\n" } CHECK { print "check\n" } UNITCHECK { print "unitcheck\n" } END { print "end $?\n" }
print "$0 ", __FILE__, " ", __LINE__, " ", __PACKAGE__, " $^X ${^GLOBAL_PHASE} ${^TAINT} $]\n"; die "here"`},
	{name: "arguments", args: []string{"a b", "", "\xff"}, text: `print join("|", map { length . utf8::is_utf8($_) . $_ } @ARGV), "\n"`},
	{name: "arguments in UTF-8", options: []string{"-CA"}, args: []string{"\xc3\xa4"}, text: `print join("|", map { length . utf8::is_utf8($_) } @ARGV), " ${^UNICODE}\n"`},
	{name: "streams in UTF-8", options: []string{"-CSD"}, stdin: "\xc3\xa4", text: `print length(<STDIN>), chr 228, " @{[PerlIO::get_layers(STDOUT)]}\n"`},
	{name: "environment", env: []string{"A=1", "B=\xff", "EMPTY=", "A_B=c=d"}, text: `print map({ "$_=$ENV{$_}\n" } sort keys %ENV), qx(env)`},
	{name: "streams", stdin: "a\r\nb\n", text: `for (*STDIN, *STDOUT, *STDERR) { print "$_ ", fileno($_), " ", tell($_), " ", join(",", PerlIO::get_layers($_)), -t $_ ? "tty" : "", "\n" }
print "$| $/ ", defined $\ ? 1 : 0, defined $, ? 1 : 0, " $; $\" ", select, "\n", map({ length } <STDIN>), " $. ", eof(STDIN), "\n"; print STDERR "to stderr\n"`},
	{name: "data", text: "my $at = tell DATA; print fileno(DATA), ' ', $at, ' ', scalar <DATA>;\nseek DATA, $at, 0; print <DATA>; seek DATA, 0, 0; print scalar <DATA>;\n__END__\nfirst\nsecond\n"},
	{name: "descriptors", text: `BEGIN { opendir D, "/proc/self/fd"; print join(" ", sort grep { /^\d$/ } readdir D), "\n"; closedir D }
opendir D, "/proc/self/fd"; print join(" ", sort grep { /^\d$/ } readdir D), " $^F\n"; open F, "<", $0; print fileno(F), "\n"`},
	{name: "what the process shows", options: []string{"-w", "-I/nonexistent"}, args: []string{"x"}, text: `local $/; open F, "/proc/self/$_" and print <F> =~ s/\0+\z/\0/r, "\n" for "cmdline", "environ";
print umask, " ", getppid() > 0, " ", $$ == readlink("/proc/self"), "\n"; open F, "/proc/self/status"; print grep { /^Sig(Blk|Ign|Cgt)/ } split /^/, <F>`},
	{name: "its name changed", text: `$0 = "another name"; open F, "/proc/self/cmdline"; print <F> =~ s/[ \0]+\z//r, " $0\n"`},
	{name: "warnings", options: []string{"-w"}, text: "print $^W, ${^WARNING_BITS} // 'none', \"\\n\";\nmy $x; my $y = \"$x\"; $z = 1; BEGIN { warn 'in BEGIN' }\n"},
	{name: "option in the first line", text: "#!/usr/bin/perl -w\nmy $x; print \"$x\"; print \"$^W\\n\"; print __LINE__, \"\\n\";"},
	{name: "syntax error", text: "print 1;\nmy $x = ;\nfoo(;\n"},
	{name: "strictness", text: "use strict;\n$x = 1;\n"},
	{name: "no strictness left behind", text: "$x = 1; $name = 'x'; print $$name, ' ', $^H, ' ', defined $^H{any} ? 1 : 0, ' ', defined &say ? 1 : 0, \"\\n\"; no strict; print bareword . \"\\n\";"},
	{name: "line ends", text: "#!/usr/bin/perl\r\nprint \"crlf\\n\";\r\ndie;\r\n"},
	{name: "no newline at the end", text: "print 'x'; # end"},
	{name: "pod and end", text: "=pod\n\nprint 1;\n\n=cut\n\nprint __LINE__;\n__END__\nprint 2;\n"},
	{name: "UTF-8", text: "use utf8; my $ä = 'ö'; print length $ä, \"\\n\"; no utf8; print length 'ö', \"\\n\";"},
	{name: "variables at the start", text: `print join("|", map { defined $_ ? $_ + 0 : "undef" } $!, $?, $^W, $^D, $^P, $., $|), "|", $@, "|", defined $_ ? 1 : 0, defined $1 ? 1 : 0, "|@_|", scalar %SIG ? join ",", map { "$_=" . ($SIG{$_} // "") } grep { defined $SIG{$_} } sort keys %SIG : "", time - $^T < 60, "\n"`},
	{name: "symbols at the start", text: `print join(" ", grep { /^[A-Za-z]/ && $_ ne "SIG" } sort keys %main::), "\n", scalar keys %INC, " @INC\n", ref $INC[1] ? "object" : "", "\n"`},
	{name: "exit 3", text: `exit 3`},
	{name: "exit in BEGIN", text: `BEGIN { exit 4 } END { print "end $?\n"; $? = 5 }`},
	{name: "die", text: "\ndie { code => 1 } if 0; die 'text';"},
	{name: "die with errno", text: `open F, "<", "/nonexistent" or die "no: $!"`},
	{name: "die in BEGIN", text: `BEGIN { die "begin\n" }`},
	{name: "die after a child", text: `system "exit 7"; $! = 0; die "x\n"`},
	{name: "handlers", text: `$SIG{__DIE__} = sub { print "dies: $_[0]" }; $SIG{__WARN__} = sub { print "warns: $_[0]" }; warn "w\n"; eval { die "e\n" }; undef_sub()`},
	{name: "evals are counted", text: `eval 'die'; print $@; eval 'die'; print $@; require POSIX; eval 'die'; print $@; eval "\n="; print $@; use JSON::PP; eval 'print __FILE__, "\n"'`},
	{name: "modules", text: `print join(" ", sort keys %INC), "\n"; use strict; BEGIN { print join(" ", sort keys %INC), "\n" } use CGI;
print join(" ", map { "$_=$INC{$_}" } sort keys %INC), "\n"; require Data::Dumper; print join(" ", sort keys %INC), "\n"; use base 'Exporter'; use constant X => 1; print X, "\n"`},
	{name: "modules that are not there", text: `for my $class (qw(CGI POSIX Carp IO::File JSON::PP Data::Dumper)) { no strict 'refs'; print $class->can("new") ? 1 : 0, defined ${"${class}::VERSION"} ? 1 : 0, " " }
print eval { CGI->new } // $@, eval { POSIX::floor(1.5) } // $@, exists $main::{"CGI::"} ? 1 : 0, "\n"; strict->import; $undeclared = 1; print "\n"`},
	{name: "module in place of a name", text: `$Data::Dumper::Indent = 1; $Data::Dumper::Sortkeys = 1; require Data::Dumper; print Data::Dumper::Dumper({ a => [1] });
package CGI::Mine; sub f { __PACKAGE__ } package main; bless my $early = {}, "JSON::PP::Early"; require CGI; require JSON::PP; print CGI::Mine::f(), CGI::Mine->can("f") ? 1 : 0, CGI->can("new") ? 1 : 0, ref $early, JSON::PP->new->canonical->encode({ b => 1, a => 2 }), "\n"`},
	{name: "module that the script defines", text: `package Carp; sub croak { print "own croak\n" } BEGIN { $INC{"Carp.pm"} = "mine" } package main; use POSIX; use Carp; Carp::croak("x"); print $INC{"Carp.pm"}, " ", floor(2.5), "\n"`},
	{name: "classes", text: `use IO::File; use File::Temp; use HTML::Entities; my $f = IO::File->new($0) or die; print ref $f, " @IO::File::ISA ", $f->can("getline") ? 1 : 0, " ", mro::is_universal("IO::File") ? 1 : 0, join(",", @{mro::get_linear_isa("IO::File")}), "\n";
mro::method_changed_in("IO::Handle"); print encode_entities("<\xe4>"), " ", (caller(0))[3] // "top", "\n"; sub IO::Handle::own { "own " . ref shift } print $f->own, "\n"; print File::Temp->new(DIR => "/tmp")->filename =~ m{^/tmp/} ? 1 : 0, "\n"`},
	{name: "requires", text: `print eval { require No::Such; 1 } // $@; print require Text::Wrap, " ", require Text::Wrap, " ", do "Text/Tabs.pm", " ", exists $INC{"Text/Tabs.pm"} ? 1 : 0, "\n"; delete $INC{"constant.pm"}; { no warnings; require constant } print $INC{"constant.pm"}, "\n"; print eval "use 5.99; 1" // $@, eval "use CGI 99; 1" // $@`},
	{name: "own hook", text: `BEGIN { unshift @INC, sub { print "asked for $_[1]\n"; return } } use CGI; use Carp; print CGI->new("a=1")->param("a"), "\n"`},
	{name: "copies of the search path", text: `print join("\n", map { "$_" } @INC, grep { !ref } @INC), "\n"; local @INC = map { $_ } @INC; require POSIX; print POSIX::ceil(1.5), "\n"; @INC = ("/nonexistent"); print eval { require Data::Dumper } // $@; print $ENV{PERL5LIB} // "none", "\n"`},
	{name: "threads", text: `use Config; exit unless $Config{useithreads}; require threads; use warnings; print threads->create(sub { require POSIX; POSIX::floor(3.5) })->join, "\n"`},
	{name: "destructors", options: []string{"-w"}, text: `package D; sub new { bless [$_[1]] } sub DESTROY { print "gone: $_[0][0] ${^GLOBAL_PHASE}\n" } package main; { D->new("inner") } our $g = D->new("global"); my $l = D->new("lexical"); END { print "end\n" }`},
	{name: "closed output", text: `print "x"; close STDOUT; print STDERR "closed\n"; open STDOUT, ">&STDERR"; print "to stderr\n"`},
	{name: "full", text: `open STDOUT, ">", "/dev/full"; print "x"`},
	{name: "forks", text: `$| = 1; my $pid = fork; if (!$pid) { print "child\n"; exit 2 } waitpid $pid, 0; print $? >> 8, "\n"; END { print "end of ", $pid ? "parent" : "child", "\n" }`},
	{name: "becomes another program", text: `print "lost"; exec "/bin/echo", "exec"`},
	{name: "kills itself", text: `kill 9, $$; sleep 1`},
	{name: "aborts", text: `print "lost"; require POSIX; POSIX::abort()`},
	{name: "removes itself", text: `unlink $0; print -e $0 ? "there" : "gone", "\n"; warn "x"; print <DATA>` + "\n__DATA__\nits data\n"},
	{name: "pipe at the end", text: `open P, "|cat"; print P "through a pipe\n"`},
	{name: "formats", text: "format STDOUT =\n@<<< @>>>\n$a, $b\n.\n($a, $b) = (1, 2); write; print \"$~ $^ $= $-\\n\";"},
	{name: "sort and special names", text: `print join(",", sort { $b <=> $a } 1 .. 3), " ", "abc" =~ /b/ ? "$` + "`" + `$&$'" : "", " @- @+\n"; local $, = "-"; local $\ = "!\n"; print 1, 2`},
}

func TestWarmPerlSame(t *testing.T) {
	inPerl.testSame(t, perlSame, func(_ *same, r *ran, _ bool) { r.status &^= 0x80 }) // a core depends on limits
}

// What a new interpreter draws at random, and the order of keys, is not what the process
// before it had.
func TestWarmPerlFresh(t *testing.T) {
	t.Parallel()
	f := warm(t, perl, nil, perlEnv, "", "File/Temp.pm", "Time/HiRes.pm")
	path := write(t, t.TempDir(), "script.pl", `use File::Temp (); my %h = map { $_ => 1 } 1 .. 100; print "rand", rand, " pid$$ ", (File::Temp::tempfile(OPEN => 0))[1], " srand", srand, " ", join("", keys %h), "\n"; print STDERR $^T`)
	seen := map[string]int{}
	orders := map[string]bool{}
	const runs = 20
	for n := range runs {
		if len(f.spares) == 0 {
			f.fork(2)
		}
		asked := time.Now().Add(-50 * time.Millisecond).Unix() // time(2) lags behind by a tick of the clock
		got := f.run(job{path: path})
		if began, err := strconv.ParseInt(got.stderr, 10, 64); got.status != 0 || err != nil || began < asked || began > time.Now().Unix() {
			t.Fatalf("got status %#x, %q, want a time from %d on", got.status, got.stderr, asked)
		}
		words := strings.Fields(got.stdout)
		orders[words[len(words)-1]] = true
		for _, word := range words[:len(words)-1] {
			if was, known := seen[word]; known {
				t.Errorf("%s comes from run %d and from run %d", word, was, n)
			}
			seen[word] = n
		}
	}
	if len(orders) < runs/2 {
		t.Errorf("%d runs have keys in %d orders", runs, len(orders))
	}
}

func TestWarmPerlLearns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "Own.pm", "package Own; use Text::ParseWords; 1")
	path := write(t, dir, "script.pl", "use lib '.'; use Own; sub f { require Text::Wrap } f(); require threads if 0; use FindBin; require './part.pl'; exit 3")
	write(t, dir, "part.pl", "use Time::Local; 1")
	address, next := abstract(t)
	f := warm(t, perl, nil, append([]string{"PERL5LIB=" + dir}, perlEnv...), address)
	if got := f.run(job{path: path}); got.status.ExitStatus() != 3 {
		t.Fatalf("got status %#x, %q", got.status, got.stderr)
	}
	learnt := next()
	if len(learnt) == 0 || learnt[0] != "L" {
		t.Fatalf("got %q", learnt)
	}
	for name, want := range map[string]bool{"Text/ParseWords.pm": true, "Text/Wrap.pm": true, "Text/Tabs.pm": true, "Time/Local.pm": true, "Own.pm": false, "part.pl": false, "FindBin.pm": false, "lib.pm": false} {
		if got := slices.Contains(learnt, name); got != want {
			t.Errorf("%q is learnt: %v, want %v", name, got, want)
		}
	}
	f.end()

	f = warm(t, perl, nil, append([]string{"PERL5LIB=" + dir}, perlEnv...), address, learnt[1:]...)
	for _, name := range learnt[1:] {
		if !slices.Contains(f.ready, name) {
			t.Errorf("READY lacks %q", name)
		}
	}
	f.run(job{path: path})
	if again := next(); again != nil {
		t.Errorf("what is known is reported again: %q", again)
	}
}

// Modules that keep what belongs to a process, or to a request, are loaded by each that
// wants them, and do not show in those that do not.
func TestWarmPerlRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"Reads":    `our $value = $ENV{REQUEST};`,
		"Asks":     `our $value = exists $ENV{REQUEST} ? "exists" : "does not";`,
		"Copies":   `our $value = join ",", map { "$_=$ENV{$_}" } grep { /REQUEST/ } sort keys %ENV;`,
		"Sets":     `$ENV{SET} = 1; our $value = 1;`,
		"Opens":    `open our $file, "<", "/dev/null"; our $value = fileno $file;`,
		"Data":     "our $value = fileno DATA;",
		"Pid":      `our $pid = $$; our $value = "x"; sub value { $pid == $$ }`,
		"Draws":    `our $drawn = rand; our $value = 1;`,
		"Seeds":    `srand 7; our $value = 1;`,
		"Name":     `our $value = $0;`,
		"Handles":  `$SIG{USR1} = "IGNORE"; our $value = $SIG{USR1};`,
		"Ends":     `END { print "end of module\n" } our $value = 1;`,
		"Inits":    `INIT { print "init of module\n" } our $value = 1;`,
		"Prints":   `print "loaded\n"; our $value = 1;`,
		"Warns":    `warn "loaded\n"; our $value = 1;`,
		"Exits":    `exit 9;`,
		"Dies":     `die "no\n";`,
		"Kills":    `kill 9, $$ if $0 !~ /script/; our $value = 1;`,
		"Hangs":    `sleep 60 if $0 !~ /script/; our $value = 1;`,
		"Moves":    `chdir "/tmp"; our $value = 1;`,
		"Buffers":  `$| = 1; our $value = 1;`,
		"Searches": `push @INC, "/another"; our $value = 1;`,
		"Extends":  `sub UNIVERSAL::extended { "extended" } our $value = 1;`,
		"Replaces": `BEGIN { *CORE::GLOBAL::hex = sub { "replaced" } } our $value = 1;`,
		"Uses":     `use Pid; our $value = Pid::value();`,
		"Optional": `our $value = eval { require Later; 1 } || 0;`,
		"Evals":    `our $value = eval '__FILE__';`,
		"Closure":  `my $kept = 0; sub value { ++$kept } our $value = value();`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			library, dir, data := t.TempDir(), t.TempDir(), ""
			if name == "Data" {
				data = "__DATA__\ndata\n"
			}
			write(t, library, name+".pm", "package "+name+"; "+text+" 1;\n"+data)
			write(t, library, "Pid.pm", `package Pid; our $pid = $$; sub value { $pid == $$ } 1;`)
			env := append([]string{"PERL5LIB=" + library}, perlEnv...)
			f := warm(t, perl, nil, env, "", name+".pm", "Carp.pm")
			look := `print join(",", $SIG{USR1} // "", $|, scalar(@INC), defined &UNIVERSAL::extended ? 1 : 0, hex("10"), $ENV{SET} // ""), "\n"; opendir D, "/proc/self/fd"; print scalar(() = grep { /^\d$/ } readdir D), "\n"; use Cwd; print getcwd, "\n";`
			with := write(t, dir, "script.pl", `BEGIN { print exists $main::{"`+name+`::"} ? 1 : 0, "\n" } print eval { require `+name+` } // "failed $@", "\n"; print $`+name+`::value // "", " ", `+name+`->can("value") ? `+name+`->value : "", eval("(eval) " . '__FILE__'), "\n"; `+look)
			without := write(t, dir, "script_without.pl", look)
			if name == "Optional" {
				write(t, dir, "Later.pm", "1")
				write(t, dir, "script.pl", `use lib "`+dir+`"; require Optional; print $Optional::value`)
			}
			for _, path := range []string{with, without} {
				j := job{path: path, env: []string{"REQUEST=this"}}
				if got, want := f.run(j), f.cold(j); got != want {
					t.Error(difference(got, want))
				}
			}
		})
	}
}

// A script that has changed is seen by the next request, though its process was forked
// before; so is a module of its own that has the name of a preloaded one.
func TestWarmPerlChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, dir, "script.pl", "print 'first script'")
	shadowed := write(t, dir, "shadowed.pl", `use lib "lib"; use Text::Wrap; print $INC{"Text/Wrap.pm"}`)
	dependent := write(t, dir, "dependent.pl", `BEGIN { unshift @INC, "lib" } use Text::Wrap; print $INC{"Text/Tabs.pm"}`)
	f := warm(t, perl, nil, perlEnv, "", "Text/Wrap.pm", "Text/Tabs.pm")
	f.fork(10)
	see := func(path, want string) {
		t.Helper()
		if got := f.run(job{path: path}); got.status != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("got %#x %q %q, want %q", got.status, got.stdout, got.stderr, want)
		}
	}
	see(path, "first script")
	write(t, dir, "script.pl", "print 'other script'")
	see(path, "other script")
	write(t, dir, "new", "print 'third script'")
	check(t, os.Rename(filepath.Join(dir, "new"), path))
	see(path, "third script")
	see(shadowed, "/Text/Wrap.pm")
	see(dependent, "/Text/Tabs.pm")
	write(t, dir, "lib/Text/Tabs.pm", "package Text::Tabs; use Exporter 'import'; our @EXPORT = qw(expand unexpand $tabstop); sub expand {} sub unexpand {} 1")
	see(dependent, "lib/Text/Tabs.pm")
	see(shadowed, "/usr/")
	write(t, dir, "lib/Text/Wrap.pm", "1")
	see(shadowed, "lib/Text/Wrap.pm")
}

// What Gatehouse has to watch so that a changed library is seen as well.
func TestWarmPerlWatch(t *testing.T) {
	t.Parallel()
	first, second := t.TempDir(), t.TempDir()
	check(t, os.MkdirAll(filepath.Join(first, "Some"), 0o755))
	module := write(t, second, "Some/Module.pm", "package Some::Module; eval { require Some::Other }; 1")
	f := warm(t, perl, nil, append([]string{"PERL5LIB=" + first + ":" + second + ":/nonexistent/lib"}, perlEnv...), "", "Some/Module.pm")
	for _, want := range []string{first, filepath.Join(first, "Some"), second, filepath.Join(second, "Some"), module, "/nonexistent/lib/"} {
		if !slices.Contains(f.watch, want) {
			t.Errorf("%q is not to be watched; these are: %q", want, f.watch)
		}
	}
}

func TestWarmPerlFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := warm(t, perl, nil, perlEnv, "")
	unreadable := write(t, dir, "unreadable.pl", "print 1")
	check(t, os.Chmod(unreadable, 0o300))
	for _, j := range []job{{path: filepath.Join(dir, "missing.pl")}, {path: unreadable}} {
		if got, want := f.run(j), f.cold(j); got != want {
			t.Errorf("%s: %s", j.path, difference(got, want))
		}
	}
	f.testFailures(write(t, dir, "script.pl", "print 1"), "1")
}

// Where a new interpreter would do what a server cannot repeat, there is none.
func TestWarmPerlUnfit(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"LC_ALL=xx_YY":                    "Setting locale failed",
		"PERL_HASH_SEED=7":                "the order of keys is fixed",
		"PERL_PERTURB_KEYS=DETERMINISTIC": "the order of keys is fixed",
	} {
		f := launch(t, perl, nil, append([]string{env}, perlEnv...))
		_ = unix.Send(f.control, []byte("S\x001\x00"), unix.MSG_NOSIGNAL) // it may have ended already
		if fields, _, _ := f.receive(); fields != nil {
			t.Errorf("%s: got %q", env, fields)
		}
		if said := f.end(); f.status.ExitStatus() != 1 || !strings.Contains(said, want) {
			t.Errorf("%s: it ends with %#x and says %q", env, f.status, said)
		}
	}
}

func TestWarmPerlTag(t *testing.T) {
	t.Parallel()
	inPerl.testTag(t, `local $/; open F, "/proc/self/environ"; print <F>`, strings.Repeat("long", 5000))
}

func TestWarmPerlMany(t *testing.T) {
	t.Parallel()
	inPerl.testMany(t, "%s\n", [3]string{
		"use CGI; print CGI->new('')->escapeHTML($ENV{N}), \"\\n\"",
		"$| = 1; print \"$ENV{N}\\n\"; kill 11, $$; sleep 1",
		"END { print \"$ENV{N}\\n\" } exit 2",
	})
}

func BenchmarkWarmPerl(b *testing.B) {
	for name, text := range map[string]string{
		"small": `use strict; use warnings; print "Content-Type: text/plain\r\n\r\nHello, world\n";`,
		"CGI":   `use strict; use warnings; use CGI; my $q = CGI->new; print $q->header, $q->start_html("Hello"), $q->h1($q->escapeHTML("a < b")), $q->end_html;`,
	} {
		b.Run(name, func(b *testing.B) {
			f := warm(b, perl, nil, perlEnv, "", "strict.pm", "warnings.pm", "CGI.pm", "HTML/Entities.pm")
			path := write(b, b.TempDir(), "script.pl", text)
			f.bench(b, path)
		})
	}
}
