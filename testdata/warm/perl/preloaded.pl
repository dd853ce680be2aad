#!/usr/bin/perl
# trial: dumper
# trial: carp
# trial: posix
# trial: hires
# trial: exporter
# trial: encode
# trial: storable
# trial: list
# trial: json
# trial: getopt
# trial: temp
# trial: local
# trial: digest
# trial: socket
# trial: constant
# trial: overload
# trial: benchmark
# trial: parent
# trial: bigint
# trial: feature
# trial: io
# trial: find
# trial: text
# mask: 0x([0-9a-f]+)
# mask: \(eval (\d+)\)
# Modules give what they give to a new interpreter, in their import as well.
use strict;
use warnings;
print "Content-Type: text/plain\n\n";
my $how = $ENV{QUERY_STRING};
my %code = (
    dumper => 'use Data::Dumper; $Data::Dumper::Sortkeys = 1; print Dumper({ a => [1, undef], b => \"x" }); print $Data::Dumper::Indent, "\n"',
    carp => 'use Carp qw(carp croak cluck confess longmess); sub f { carp "carped"; cluck "clucked"; print longmess("long"); confess "confessed" } f(1, "two")',
    posix => 'use POSIX; print floor(-1.5), " ", strftime("%Y-%m-%d", gmtime 0), " ", setlocale(LC_ALL) // "undef", " ", EINTR, " ", getpid() == $$, " ", DBL_MAX, " ", isatty(0) ? 1 : 0, "\n"; print POSIX::ctime(0)',
    hires => 'use Time::HiRes qw(time sleep); my $t = time; sleep 0.001; print time > $t, " ", $t == int $t ? "whole" : "fraction", "\n"',
    exporter => 'use Exporter; package Mine; our @ISA = "Exporter"; our @EXPORT_OK = qw(f); sub f { 7 } package main; Mine->import("f"); print f(), "\n"; Mine->import("g")',
    encode => 'use Encode; print length(decode("UTF-8", "\xc3\xa4")), " ", encode("latin1", "\x{e4}") eq "\xe4", " ", scalar(grep { !/:/ } Encode->encodings), " ", Encode::is_utf8("x") ? 1 : 0, "\n"; print decode("UTF-8", "\xff", Encode::FB_CROAK)',
    storable => 'use Storable qw(freeze thaw dclone); print thaw(freeze({ k => [1, 2] }))->{k}[1], dclone([3])->[0], "\n"',
    list => 'use List::Util qw(sum max first shuffle reduce); use Scalar::Util qw(blessed weaken looks_like_number); print sum(1 .. 4), max(1, 3), first { $_ > 1 } 1, 2; print reduce { $a * $b } 1 .. 5; print looks_like_number("1e3"), "\n"',
    json => 'use JSON::PP; my $j = JSON::PP->new->canonical->pretty; print $j->encode({ a => 1, b => [JSON::PP::true, undef, "x"] }); print decode_json(q({"k": 2}))->{k}, "\n"; decode_json("{")',
    getopt => 'use Getopt::Long; use Getopt::Std; @ARGV = qw(--name=x -v rest); GetOptions("name=s" => \my $n, "v" => \my $v); print "$n $v @ARGV\n"; GetOptions("x") ; @ARGV = "--bad"; GetOptions("x" => \my $x)',
    temp => 'use File::Temp qw(tempfile); my ($f, $n) = tempfile(DIR => $ENV{OUT}, UNLINK => 1); print $f "x"; close $f; print -s $n, " ", sprintf("%o", (stat $n)[2]), "\n"',
    local => 'use Time::Local; use POSIX (); print timegm(0, 0, 0, 1, 0, 100), " ", timelocal(localtime 86400), "\n"; printf "%.2f\n", 1234.5',
    digest => 'use Digest::MD5 qw(md5_hex); use Digest::SHA qw(sha1_hex); use MIME::Base64; print md5_hex("x"), sha1_hex("x"), encode_base64("x")',
    socket => 'use Socket; use IO::Socket::INET; print inet_ntoa(INADDR_LOOPBACK), " ", scalar unpack_sockaddr_in(pack_sockaddr_in(80, INADDR_ANY)), "\n"; my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:1", Timeout => 1); print defined $s ? "open" : "$!", "\n"',
    constant => 'use constant { A => 1, B => [2] }; use constant LIST => 3, 4; print A + 1, B->[0], (LIST)[1], __PACKAGE__->can("A") ? "can" : "cannot", "\n"; print exists $main::{A} ? "there\n" : "not there\n"',
    overload => 'package V; use overload "+" => sub { V->new($_[0]{n} + (ref $_[1] ? $_[1]{n} : $_[1])) }, q("") => sub { "V($_[0]{n})" }, "<=>" => sub { $_[0]{n} <=> $_[1]{n} }; sub new { bless { n => $_[1] } } package main; my $v = V->new(1); print $v + 2, " ", $v + $v, " ", overload::StrVal($v) =~ /^V=HASH/ ? 1 : 0, "\n"; print -$v',
    benchmark => 'use Benchmark qw(timethis timestr); print ref(Benchmark->new), "\n"',
    parent => 'package P; sub new { bless {}, shift } sub hi { "hi from " . ref shift } package C; our @ISA; BEGIN { @ISA = "P" } sub hi { my $s = shift; "C, " . $s->SUPER::hi } package main; print C->new->hi, "\n"; eval "package D; use parent q(No::Such::Base); 1" or print $@; eval "package E; use base q(No::Such::Other); 1" or print $@; eval "package F; use fields qw(a b); 1" and print "fields\n"',
    bigint => 'use bigint; print 2 ** 100, "\n"; no bigint; print 2 ** 0.5 > 1, "\n"',
    feature => 'use feature qw(say state fc); use utf8; sub n { state $n = 0; ++$n } n(); say n(); say fc("ABC"); use v5.20; say __SUB__ // "no sub"; print "experimental\n" if "abc" ~~ ["abc"]',
    io => 'use IO::Handle; use IO::File; STDOUT->autoflush(1); my $f = IO::File->new($0, "r") or die; print $f->getline; print $f->input_line_number, " ", $f->opened, "\n"; STDERR->printf("%s\n", "formatted"); open my $m, "<", \"in memory\n"; print <$m>; print ref(*STDOUT{IO}), "\n"',
    find => 'use File::Find; use File::Spec::Functions; use File::Basename; use Cwd; my @f; find(sub { push @f, $_ if /^find/ }, dirname($0)); print scalar(@f), " ", catfile("a", "b"), " ", basename("/x/y.pl", ".pl"), " ", getcwd() eq dirname($0) ? "here" : "elsewhere", "\n"',
    text => 'use Text::Wrap; use Text::ParseWords; use Text::Abbrev; use Text::Tabs; $Text::Wrap::columns = 10; print wrap("", "  ", "some words to wrap"), "\n", join("|", shellwords(q(a "b c"))), "\n"; print $Text::Wrap::columns, "\n"',
);
eval $code{$how} . "; 1" or do { print "failed: $@"; exit 1 };
print join(" ", map { "$_" } grep { !/^(?:strict|warnings)\.pm$/ } sort keys %INC), "\n";
