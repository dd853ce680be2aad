package config

// Nearest returns the one of names that s is most likely a slip of, or "" when it is
// like none of them. It is what says "did you mean" of a key, for whoever else has names.
func Nearest(s string, names []string) string { return nearest(s, names) }
