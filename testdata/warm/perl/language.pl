#!/usr/bin/perl
# trial: plain
# The language itself, without any module.
print "Content-Type: text/plain\n\n";
@list = sort { $a <=> $b } (10, 9, 2);
%hash = (a => 1, b => 2);
$_ = "some text 42";
print "match $1 $& $` $'\n" if /(\d+)/;
print join(",", @list), " ", join(",", map { "$_$hash{$_}" } sort keys %hash), " $#list\n";
printf "%5.2f|%-5s|%05d|%x|%s\n", 3.14159, "ab", 42, 255, 1e21;
print 7 / 2, " ", 2 ** 10, " ", -7 % 3, " ", "abc" x 2, " ", 10 == 10.0, " ", "a" lt "b", " ", 0.1 + 0.2, " ", 1 / 3, "\n";
{ use integer; print 7 / 2, " ", -7 % 3, "\n" }
print 7 / 2, "\n";
local $, = "-"; local $\ = "!\n";
print 1, 2, 3;
($,, $\) = (undef, undef);
print "last: $list[-1] @list[0,1] @{[scalar reverse 'abc']}\n";
my $heredoc = <<"A" . <<'B' . <<~C;
interpolated $list[0]
A
not $interpolated
B
    indented
  less
  C
print $heredoc;
sub context { wantarray ? "list" : defined wantarray ? "scalar" : "void" }
my ($l) = context(); my $s = context();
print "$l $s\n";
tr/a-z/A-Z/, print "$_\n" for my $copy = $_;
my @sorted = sort qw(b a C); print "@sorted[0..2] ", lc "ÄB", ucfirst "x", "\n";
print "chained: ", (1 < 2) ? "yes" : "no", "\n";
local *alias = \@list; print "alias @alias\n";
print "stat ", (-d "." ? 1 : 0), (-x $0 ? 1 : 0), " ", sprintf("%vd", "1.22.333"), "\n";
my $code = sub { my $n = shift; $n <= 1 ? 1 : $n * __SUB__($n - 1) } if 0;
print eval { die [1, 2] } || "died @{$@}\n";
print "ok\n" if "foo" =~ /^(?<name>f)(?{ 1 })/ and $+{name} eq "f";
study; pos = 3; print pos, "\n"; reset 'x';
goto END_OF_IT;
print "skipped\n";
END_OF_IT: print "line ", __LINE__, "\n";
dump_it() if 0; sub dump_it {}
print "$0\n" =~ s/.*\///r; $0 = "renamed"; print "$0\n";
