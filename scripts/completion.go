package scripts

import "embed"

//go:embed completion
var completion embed.FS

// Shells are those that Completion has a script for.
var Shells = []string{"bash", "zsh", "fish"}

// Completion returns the script that completes gatehouse's command line in a shell, to be
// read by it at its start; nothing for a shell that is not one of Shells. What fits the
// script asks the program itself, with "gatehouse __complete WORD...".
func Completion(shell string) []byte {
	text, err := completion.ReadFile("completion/gatehouse." + shell)
	if err != nil {
		return nil
	}
	return text
}
