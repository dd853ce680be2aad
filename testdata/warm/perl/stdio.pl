#!/usr/bin/perl
# trial: plain
# trial: utf8 LC_ALL=C.UTF-8
# trial: unicode how=any PERL_UNICODE=SAD
# trial: unicode how=any PERL_UNICODE=
# trial: perlio how=any PERLIO=:crlf
# trial: opt how=any PERL5OPT=-w
# trial: lib how=any PERL5LIB=/nonexistent:/tmp
# trial: signals how=any PERL_SIGNALS=unsafe
# trial: badlang how=any PERL_BADLANG=1 LC_ALL=xx_YY
# trial: badlang how=any LC_ALL=xx_YY
# trial: raw post=%C3%A4%0D%0A
# trial: file file=%C3%A4%0D%0A
print "Content-Type: text/plain\n\n";
for my $f (*STDIN, *STDOUT, *STDERR) {
    print *{$f}{NAME}, " ", fileno($f), " ", join(",", PerlIO::get_layers($f)), " ", join(",", PerlIO::get_layers($f, output => 1)), " ", (-t $f ? "tty" : "no tty"), " ", (-p $f ? "pipe" : -f $f ? "file" : -c $f ? "device" : "?"), "\n";
}
print "$^W ${^UNICODE} ${^UTF8LOCALE} ${^OPEN} $INC[0]\n";
print join(":", @INC), "\n";
my $line = <STDIN>;
print length($line // ''), " ", defined $line ? join(",", map ord, split //, $line) : "undef", "\n";
print "\x{e4}\n";
print "\x{20ac}\n";
print STDERR "\x{e4}\x{20ac}\n";
binmode STDOUT, ":encoding(UTF-8)";
print "\x{20ac}\n";
binmode STDOUT;
print "\xe4\n";
