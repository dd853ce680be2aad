package Shout;
use Filter::Simple;
FILTER { s/\bPRINT\b/print/g };
1;
