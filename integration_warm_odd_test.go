package gatehouse_test

import "fmt"

// oddScripts are those that differ in their first line only, and those that would not
// survive in a repository.
func oddScripts() map[string]string {
	odd := map[string]string{}
	for n, line := range pythonLines {
		odd[fmt.Sprintf("python/line%02d.py", n)] = line + "\n" + pythonFlags
	}
	for n, line := range perlLines {
		odd[fmt.Sprintf("perl/line%02d.pl", n)] = line + "\n" + perlFlags
	}
	for n, name := range []string{"$Text::Wrap::columns", "@CGI::only", "$once", "%POSIX::", "$Carp::Verbose", "&HTML::Entities::x"} {
		odd[fmt.Sprintf("perl/once%d.pl", n)] = "#!/usr/bin/perl -w\nprint qq{Content-Type: text/plain\n\n};\nmy $x = \\" + name + ";\nprint ref $x;\n"
	}
	for name, text := range oddTexts {
		odd[name] = text
	}
	return odd
}

// anyHow marks the first lines whose scripts may run cold.
const anyHow = "\n# trial: x how=any"

var pythonLines = []string{
	"#! /usr/bin/python3",
	"#!/usr/bin/python3 -u",
	"#!/usr/bin/python3 -B",
	"#!/usr/bin/python3 -E",
	"#!/usr/bin/python3 -s",
	"#!/usr/bin/python3 -I",
	"#!/usr/bin/python3 -O",
	"#!/usr/bin/python3 -OO",
	"#!/usr/bin/python3 -Wd",
	"#!/usr/bin/python3 -uBs",
	"#!/usr/bin/env python3",
	"#!/usr/bin/env -S python3 -u",
	"#!/usr/bin/python3 -S" + anyHow,
	"#!/usr/bin/python3 -Xutf8" + anyHow,
	"#!/usr/bin/python3 -Xdev" + anyHow,
	"#!/usr/bin/python3 -bb" + anyHow,
	"#!/usr/bin/python3 -v -u" + anyHow,
	"#!/usr/bin/python3 -q" + anyHow,
	"#!/usr/bin/python3 -Q" + anyHow,
	"#!/usr/bin/python3 --no-such-option" + anyHow,
	"#!/usr/bin/python3 -c" + anyHow,
	"#!/usr/bin/env no-such-python3" + anyHow,
	"#!/usr/bin/env -i /usr/bin/python3" + anyHow,
}

const pythonFlags = `"""A docstring that -OO removes."""
import os
import sys
import warnings

print("Content-Type: text/plain\n")
print(sys.flags, __debug__, __doc__, sys.warnoptions, sys._xoptions, sys.argv, sys.orig_argv if hasattr(sys, "orig_argv") else "")
print(sys.path, sys.stdout.write_through, sys.stdout.encoding, sys.dont_write_bytecode, sorted(sys.modules))


def documented():
    """And this one."""
    assert False, "asserted"


print(documented.__doc__)
warnings.warn("deprecated", DeprecationWarning)
print(open("/proc/self/comm").read())
print(open("/proc/self/cmdline", "rb").read().rstrip(b"\0").split(b"\0"))
print(sorted(open("/proc/self/environ", "rb").read().rstrip(b"\0").split(b"\0")) == sorted([k + b"=" + v for k, v in os.environb.items() if k != b"LC_CTYPE"]))
os.write(1, b"unbuffered?\n")
print(str(b"x") == "b'x'")
documented()
`

var perlLines = []string{
	"#! /usr/bin/perl",
	"#!/usr/bin/perl -w",
	"#!/usr/bin/perl -W",
	"#!/usr/bin/perl -X",
	"#!/usr/bin/perl --" + anyHow,
	"#!/usr/bin/env perl",
	"#!/usr/bin/env -S perl -w",
	"#!/usr/bin/perl -T" + anyHow,
	"#!/usr/bin/perl -wT" + anyHow,
	"#!/usr/bin/perl -t" + anyHow,
	"#!/usr/bin/perl -U" + anyHow,
	"#!/usr/bin/perl -s" + anyHow,
	"#!/usr/bin/perl -l" + anyHow,
	"#!/usr/bin/perl -CSD" + anyHow,
	"#!/usr/bin/perl -0777" + anyHow,
	"#!/usr/bin/perl -Mstrict" + anyHow,
	"#!/usr/bin/perl -I/nonexistent" + anyHow,
	"#!/usr/bin/perl -n" + anyHow,
	"#!/usr/bin/perl -c" + anyHow,
	"#!/usr/bin/perl -v" + anyHow,
	"#!/usr/bin/perl -x" + anyHow,
	"#!/usr/bin/perl --no-such" + anyHow,
	"#!/usr/bin/perl -w -l" + anyHow,
	"#!/usr/bin/env -i perl" + anyHow,
}

const perlFlags = `print "Content-Type: text/plain\n\n";
print "$0 $^W $^X @ARGV ${^TAINT} ${^UNICODE} ", ord $/, " ", defined $\ ? ord $\ : "undef", " $,\n";
print "$_ $INC{$_}\n" for sort keys %INC;
print "inc $_\n" for @INC;
my $x;
print "undefined: $x\n";
print "once: $only::once\n";
for my $f (qw(comm cmdline)) { open my $h, "<", "/proc/self/$f" or die; local $/; my $t = <$h>; $t =~ s/\0+\z//; print $t =~ tr/\0/|/r, "\n" }
open my $h, "<", "/proc/self/environ" or die;
my %seen = map { split /=/, $_, 2 } do { local $/; split /\0/, <$h> };
print join(",", grep { !defined $seen{$_} || $seen{$_} ne $ENV{$_} } sort keys %ENV), "|", join(",", grep { !defined $ENV{$_} } sort keys %seen), "\n";
warn "a warning";
print "line ", __LINE__, "\n";
die "the end";
`

var oddTexts = map[string]string{
	"python/empty.py":       "#!/usr/bin/python3",
	"python/comment.py":     "#!/usr/bin/python3\n# nothing\n",
	"python/pass.py":        "#!/usr/bin/python3\npass",
	"python/nonewline.py":   "#!/usr/bin/python3\nprint('Content-Type: text/plain\\n')\nprint(__file__)\nraise ValueError('at the end')",
	"python/crlf.py":        "#!/usr/bin/python3 -u\r\n# the interpreter's name ends in CR where there is no option\r\nprint('x')\r\n# trial: x how=any\r\n",
	"python/crlfbody.py":    "#!/usr/bin/python3\nprint('Content-Type: text/plain\\n')\r\nx = '''a\r\nb'''\r\nprint(repr(x))\r\nraise ValueError('x')\r\n",
	"python/latin1.py":      "#!/usr/bin/python3\n# -*- coding: latin-1 -*-\nprint('Content-Type: text/plain\\n')\nprint(ascii('\xe4'), len('\xe4'))\nraise ValueError('\xe4')  # gr\xfc\xdfe\n",
	"python/utf8.py":        "#!/usr/bin/python3\nprint('Content-Type: text/plain\\n')\ngröße = 'größe €'\nprint(ascii(größe), list(globals())[-1] == 'größe')\nraise ValueError(größe)\n",
	"python/notutf8.py":     "#!/usr/bin/python3\nprint('\xe4')\n",
	"python/badcoding.py":   "#!/usr/bin/python3\n# coding: no-such-coding\nprint('x')\n",
	"python/utf16.py":       "#!/usr/bin/python3\n# coding: utf-16\nprint('x')\n",
	"python/nul.py":         "#!/usr/bin/python3\nprint('x')\n\x00print('y')\n",
	"python/formfeed.py":    "#!/usr/bin/python3\n\x0cprint('Content-Type: text/plain\\n')\n\x0cprint('after')\n",
	"python/future.py":      "#!/usr/bin/python3\nfrom __future__ import annotations, division\nprint('Content-Type: text/plain\\n')\ndef f(x: undefined): pass\nprint(f.__annotations__, annotations)\nimport __future__\nprint(eval('1 / 2'), f.__code__.co_flags & __future__.annotations.compiler_flag != 0)\n",
	"python/tabs.py":        "#!/usr/bin/python3\nif True:\n\tprint('Content-Type: text/plain\\n')\n\tif 1:\n\t\tprint('tabs')\n",
	"python/warns.py":       "#!/usr/bin/python3\nprint('Content-Type: text/plain\\n')\nprint('\\d', 1 is 1)\nassert (1, 'always true')\n",
	"python/await.py":       "#!/usr/bin/python3\nprint('x')\nawait x\nreturn 5\n",
	"python/globals.py":     "#!/usr/bin/python3\nprint('Content-Type: text/plain\\n')\nprint(sorted(globals()))\n__name__ = 'renamed'\nclass C: pass\nprint(C.__module__)\n__file__ = 'elsewhere'\ndef f():\n    raise ValueError('told with the true name')\nf()\n",
	"python/noext":          "#!/usr/bin/python3\nimport sys\nprint('Content-Type: text/plain\\n')\nprint(__file__, sys.argv, sys.path[0])\n",
	"python/with space.py":  "#!/usr/bin/python3\nimport sys\nprint('Content-Type: text/plain\\n')\nprint(__file__, sys.argv)\nraise ValueError('x')\n",
	"python/gr\xfc\xdfe.py": "#!/usr/bin/python3\nimport sys\nprint('Content-Type: text/plain\\n')\nprint(ascii(__file__), ascii(sys.argv))\nraise ValueError('x')\n",

	"perl/empty.pl":       "#!/usr/bin/perl",
	"perl/comment.pl":     "#!/usr/bin/perl\n# nothing\n",
	"perl/nonewline.pl":   "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\ndie 'at the end'",
	"perl/crlf.pl":        "#!/usr/bin/perl -w\r\nprint \"Content-Type: text/plain\\n\\n\";\r\nmy $x = 'a\r\nb';\r\nprint length $x, \"\\n\";\r\nprint <<A;\r\nhere\r\nA\r\n# trial: x how=any\r\n",
	"perl/crlfbody.pl":    "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\r\nmy $x = 'a\r\nb';\r\nprint length $x, \"\\n\";\r\nprint <DATA>;\r\n__DATA__\r\none\r\n",
	"perl/latin1.pl":      "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\nprint length '\xe4', ord '\xe4', \"\\n\";\ndie 'gr\xfc\xdfe';\n",
	"perl/nul.pl":         "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\nprint length \"a\x00b\", \"\\n\";\n",
	"perl/ctrlz.pl":       "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\nprint 'before', \"\\n\";\n\x1a\nprint 'after';\n",
	"perl/ctrld.pl":       "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\nprint 'before', \"\\n\";\n\x04\nprint 'after';\n",
	"perl/innerline.pl":   "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\n#!/usr/bin/perl -w\nprint \"$^W\\n\";\n",
	"perl/unclosed.pl":    "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\";\nif (1) {\nprint 'x';\n",
	"perl/quote.pl":       "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n;\n",
	"perl/heredoc.pl":     "#!/usr/bin/perl\nprint <<END;\nContent-Type: text/plain\n\nnever ended\n",
	"perl/podonly.pl":     "#!/usr/bin/perl\n\n=pod\n\nnothing else\n",
	"perl/enddata.pl":     "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\", <DATA>;\n__END__",
	"perl/package.pl":     "#!/usr/bin/perl\npackage Mine;\nprint \"Content-Type: text/plain\\n\\n\", __PACKAGE__, \" \", <DATA>;\nprint defined *main::DATA{IO} ? 1 : 0;\n__DATA__\nof Mine\n",
	"perl/version.pl":     "#!/usr/bin/perl\nuse v6;\n",
	"perl/modern.pl":      "#!/usr/bin/perl\nuse v5.36;\nprint \"Content-Type: text/plain\\n\\n\";\nsay 'said';\nsub f ($x) { $x + 1 }\nsay f(1);\n$undeclared = 1;\n",
	"perl/noext":          "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n$0\\n\";\ndie;\n",
	"perl/with space.pl":  "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n$0\\n\";\nwarn 'x'; die 'y';\n",
	"perl/gr\xfc\xdfe.pl": "#!/usr/bin/perl\nprint \"Content-Type: text/plain\\n\\n\", length $0, \"\\n\";\nwarn 'x'; die 'y';\n",
	"perl/xoption.pl":     "#!/usr/bin/perl -x\nthis is no Perl\n#!perl -w\nprint \"Content-Type: text/plain\\n\\n$^W \", __LINE__, \"\\n\";\n__END__\n# trial: x how=any\n",
}
