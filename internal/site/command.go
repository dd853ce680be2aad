package site

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"gatehouse/internal/config"
	"gatehouse/process"
)

// command is what a backend's processes are made of, as the machine has it.
type command struct {
	program string // absolute
	account
}

// account is a user of the machine.
type account struct {
	home string
	who  *process.User // nil for our own
}

// known are programs and users that have been looked for while an assembly is made:
// thousands of sites may name the same.
type known struct {
	programs map[string]looked[string]
	users    map[string]looked[account]
}

type looked[T any] struct {
	value T
	err   error
}

// remember looks for a name once.
func remember[T any](m *map[string]looked[T], name string, look func() (T, error)) (T, error) {
	if f, ok := (*m)[name]; ok {
		return f.value, f.err
	}
	if *m == nil {
		*m = make(map[string]looked[T])
	}
	v, err := look()
	(*m)[name] = looked[T]{v, err}
	return v, err
}

// lookUp finds the program, the folder and the user of a command; all that is missing
// is told.
func (a *assembly) lookUp(c *config.Backend) (command, error) {
	program, err1 := remember(&a.known.programs, c.Command[0], func() (string, error) { return findProgram("command", c.Command[0]) })
	who, err2 := a.account(c.User)
	return command{program, who}, errors.Join(tell("command", err1), checkDir(c.Dir), tell("user", err2))
}

func (a *assembly) account(name string) (account, error) {
	return remember(&a.known.users, name, func() (account, error) {
		home, who, err := lookUpUser(name)
		return account{home, who}, err
	})
}

// tell makes a lack of its own of an error that several places share.
func tell(key string, err error) error {
	if err == nil {
		return nil
	}
	var l *lack
	if errors.As(err, &l) {
		own := *l
		own.key = key
		return &own
	}
	return &lack{key: key, reason: err.Error(), cause: err}
}

// checkDir says what is wrong with the folder that processes are to start in; "" is none.
func checkDir(dir string) error {
	if dir == "" {
		return nil
	}
	st, err := os.Stat(dir)
	if err == nil && !st.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return folderLack("dir", dir, err)
	}
	return nil
}

// findProgram returns where a program is, by its path or on the PATH.
func findProgram(key, name string) (string, error) {
	path := name
	if !strings.Contains(name, "/") {
		found, err := exec.LookPath(name)
		if err != nil {
			return "", &lack{key: key, reason: fmt.Sprintf("program %q is not found", name), hint: "the PATH is " + os.Getenv("PATH"), cause: err}
		}
		path = found
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if wrong := process.Check(path); wrong != nil {
		return "", &lack{key: key, reason: fmt.Sprintf("program %q: %s", path, wrong.Reason), cause: wrong.Err}
	}
	return path, nil
}
