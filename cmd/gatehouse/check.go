package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/urfave/cli/v2"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/site"
)

// defaultFile is the configuration of the commands that are about one and are told none.
const defaultFile = "gatehouse.toml"

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "report what is wrong with a configuration",
		ArgsUsage: "[FILE]",
		Description: "FILE is gatehouse.toml when nothing else is said. All mistakes are reported, one a line, with file, line and column; the exit status is then 1.\n" +
			"The folders, programs and users that it names have to be there, and its addresses free, unless the running gatehouse of the same control\n" +
			"socket has them. Nothing is started, and nothing that runs is disturbed.",
		Flags: []cli.Flag{configFlag()},
		Action: func(c *cli.Context) error {
			file, err := oneFile(c, "check")
			if err != nil {
				return err
			}
			s, err := openFile(file, "")
			if err != nil {
				return missingDefault(c, err)
			}
			if err := check(s.config); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s: %s, no mistakes found\n", file, count(len(s.config.Sites), "site"))
			return err
		},
	}
}

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "the configuration `FILE`"}
}

// oneFile is the configuration that a command is about.
func oneFile(c *cli.Context, command string) (string, error) {
	if c.NArg() > 1 || c.NArg() == 1 && c.IsSet("config") {
		return "", hinted{misused("%s takes one configuration", command), "as in: gatehouse " + command + " /etc/gatehouse/gatehouse.toml"}
	}
	return cmp.Or(c.String("config"), c.Args().First(), defaultFile), nil
}

// missingDefault says what to do where no configuration was named and none is there.
func missingDefault(c *cli.Context, err error) error {
	if errors.Is(err, fs.ErrNotExist) && c.NArg() == 0 && !c.IsSet("config") {
		return hinted{err, "gatehouse init writes one; -c FILE names another"}
	}
	return err
}

// check reports everything that would keep a configuration from being served. What the
// gatehouse that runs with it listens on is not taken.
func check(cfg *config.Config) error {
	c := site.Checking{Options: site.Options{Software: software(), Log: slog.New(slog.DiscardHandler)}}
	if control := cmp.Or(cfg.Control, admin.DefaultSocket()); control != config.NoControl && control != "" {
		c.Held = site.HeldBy(control)
	}
	return site.Check(cfg, c)
}
