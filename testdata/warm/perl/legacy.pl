#!/usr/bin/perl
# trial: name=W%26rld&x=1
# trial: x post=name=M%25C3%25BCller type=application/x-www-form-urlencoded
# A script of 1996, without strict, which reads its form by itself.
&ReadParse;
$now = "today";
print &PrintHeader, &page("Hello", *in);
&log_it;
exit;

sub ReadParse {
    local ($i, $key, $val);
    if ($ENV{'REQUEST_METHOD'} eq "POST") { read(STDIN, $in, $ENV{'CONTENT_LENGTH'}) }
    else { $in = $ENV{'QUERY_STRING'} }
    @in = split(/&/, $in);
    foreach $i (0 .. $#in) {
        $in[$i] =~ s/\+/ /g;
        ($key, $val) = split(/=/, $in[$i], 2);
        $val =~ s/%(..)/pack("c", hex($1))/ge;
        $in{$key} .= $val;
    }
}

sub PrintHeader { return "Content-type: text/html\n\n" }

sub page {
    local ($title, *form) = @_;
    local $text = "<title>$title</title>\n";
    $text .= "$_: $form{$_}<br>\n" foreach sort keys %form;
    return $text . "$now\n";
}

sub log_it {
    open(LOG, ">>$ENV{OUT}/log.txt") || die "Cannot log: $!";
    print LOG "$in{'name'} from $ENV{'REMOTE_ADDR'}\n";
    close(LOG);
}
