#!/usr/bin/perl
# own: yes
print "Content-Type: text/plain\n\n";
open my $f, ">", $0 or die $!;
print $f "#!/usr/bin/perl\nprint 'other';\n" x 100;
close $f;
print "goes on\n";
die "as it was";
