# An independent FastCGI codec, Net::FastCGI, for the tests of ours: each line of
# standard input is a command and its arguments; the answer is a line. Bytes are
# written in hexadecimal, "-" for none.
use strict;
use warnings;
use Net::FastCGI::Protocol qw(:all);

sub bytes { $_[0] eq '-' ? '' : pack 'H*', $_[0] }
sub hex_of { length $_[0] ? unpack 'H*', $_[0] : '-' }

# A record as words: its fields by name, where it has fields.
sub decoded {
    my $r = parse_record($_[0]);
    my %f = %$r;
    if (my $v = delete $f{values}) {
        $f{"values.$_"} = hex_of($v->{$_} // '') for keys %$v;
    }
    $f{content} = hex_of($f{content} // '') if exists $f{content};
    return join ' ', map { "$_=$f{$_}" } sort keys %f;
}

my %command = (
    record  => sub { hex_of(build_record($_[0], $_[1], bytes($_[2]))) },
    begin   => sub { hex_of(build_begin_request_record(@_)) },
    end     => sub { hex_of(build_end_request_record(@_)) },
    unknown => sub { hex_of(build_unknown_type_record($_[0])) },
    pair    => sub { hex_of(build_params({ bytes($_[0]) => bytes($_[1]) })) },
    pairs   => sub {
        my $p = parse_params(bytes($_[0]));
        join ' ', map { hex_of($_) . '=' . hex_of($p->{$_}) } sort keys %$p;
    },
    decode  => sub { decoded(bytes($_[0])) },
);

$| = 1;
while (my $line = <STDIN>) {
    my ($name, @args) = split ' ', $line;
    my $answer = eval { $command{$name}->(@args) };
    print defined $answer ? $answer : 'error', "\n";
}
