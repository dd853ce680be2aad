package scripts

import "embed"

// Directory, for its files are read when they are asked for.
//
//go:embed warm
var warm embed.FS

// WarmPython returns the text of the Python fork server: what a python3 runs as
// its main program to become the helper that ARCHITECTURE.md describes.
//
// It is one string for the interpreter to compile. A main program's syntax tree
// is freed when it has ended, which here is between the fork and the script, at
// the price of 400 page faults a request were the tree that of the whole server.
func WarmPython() []byte {
	text := []byte("exec(compile(r'''")
	for _, name := range []string{"load.py", "hide.py", "script.py", "helper.py"} {
		text = append(append(text, warmText("python/"+name)...), "\n\n"...)
	}
	return append(text, "''', __file__, 'exec'))\n"...)
}

// WarmPerl returns the text of the Perl fork server.
func WarmPerl() []byte { return warmText("perl.pl") }

// warmText returns a copy of one of the servers' files, all of which are there.
func warmText(name string) []byte {
	text, err := warm.ReadFile("warm/" + name)
	if err != nil {
		panic(err)
	}
	return text
}
