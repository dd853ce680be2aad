our $from_part = __FILE__ =~ m{lib/part\.pl$} ? "part" : __FILE__;
sub part { "part called from " . (caller)[0] }
"true value";
