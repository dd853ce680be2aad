#!/usr/bin/perl
# trial: a+b
# mask: \(eval (\d+)\)
# What a script is to itself: the main program, and nothing above it.
print "Content-Type: text/plain\n\n";
print "$0 ", __FILE__, " ", __LINE__, " ", __PACKAGE__, " ", ($0 eq __FILE__ ? "same" : "other"), "\n";
print "arguments @ARGV ", scalar(@ARGV), "\n";
print "caller ", (defined caller() ? "some" : "none"), " ", (defined caller(0) ? "some" : "none"), "\n";
sub inner { my @c = caller(0); my @d = caller(1); print "$c[3] $c[2] ", ($c[1] eq $0), " ", scalar(@d), "\n" }
inner();
eval { my @c = caller(0); print "$c[3] ", ($c[5] // 'undef'), "\n" };
eval q{my @c = caller(0); print "$c[3] ", __FILE__, " ", __LINE__, "\n"; inner()};
print "wantarray ", (defined wantarray ? "defined" : "undefined"), "\n";
print join("|", map { defined $_ ? $_ : "undef" } $;, $,, $\, $/, $|, $", $^W, $^X, $^O, $^V, $], $^F, $^P, $^D, $^S, ${^TAINT}, ${^UNICODE}, ${^UTF8LOCALE}, ${^OPEN}, ${^GLOBAL_PHASE}, ${^RE_DEBUG_FLAGS} // 0), "\n";
print "errors [$@] ", $! + 0, " $? ", $^E + 0, "\n";
print "group ", ($( eq $) ? "same" : "other"), " $< $>\n";
print "time ", (time - $^T < 60 && time >= $^T ? "now" : "not now"), " ", (-M $0 < 1 ? "new" : "old"), "\n";
print "hints $^H ", (defined ${^WARNING_BITS} ? unpack("H*", ${^WARNING_BITS}) : "none"), " ", scalar(keys %^H), "\n";
BEGIN { print STDERR "hints at BEGIN $^H ", (defined ${^WARNING_BITS} ? unpack("H*", ${^WARNING_BITS}) : "none"), "\n" }
print "selected ", select(), " ", fileno(STDIN), fileno(STDOUT), fileno(STDERR), "\n";
print "sub main: ", defined &main::inner, " ", (defined &main::run ? "run" : "no run"), "\n";
$undeclared = 5;
print "no strict $undeclared ", "bare" . word, " ${'undeclared'}\n";
