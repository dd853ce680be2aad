package main

import (
	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
)

//go:generate sh -c "go run . config --reference > ../../docs/configuration.md"

func configCommand() *cli.Command {
	return &cli.Command{
		Name:      "config",
		Usage:     "show what a configuration comes to, with all defaults",
		ArgsUsage: "[FILE]",
		Description: "FILE is gatehouse.toml when nothing else is said. Every key is shown as it is in force, with a comment that says where its value comes from: a line of a file,\n" +
			"a line that a site or route inherits it from, or the default. The sites of included files are in it. The output is a configuration that means\n" +
			"the same. What only the machine can tell is not looked at: that is for gatehouse check.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "reference", Usage: "write a page about every key, in Markdown, in place of a configuration"},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("reference") {
				if c.NArg() > 0 || c.IsSet("config") {
					return misused("--reference is about no configuration")
				}
				return config.WriteReference(c.App.Writer)
			}
			file, err := oneFile(c, "config")
			if err != nil {
				return err
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			return cfg.WriteEffective(c.App.Writer)
		},
	}
}
