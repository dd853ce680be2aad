package main

import (
	"github.com/urfave/cli/v2"

	"gatehouse/internal/config"
)

func warmFlag(group string) cli.Flag {
	return &cli.StringFlag{Name: "warm", Category: group, Value: "auto", Usage: "have Perl and Python scripts run by interpreters that are there already, `WHEN`: true, false, or auto for as soon as those are ready"}
}

// warmMode is what the flag says.
func warmMode(c *cli.Context) (config.WarmMode, error) {
	mode, err := config.ParseWarm(c.String("warm"))
	if err != nil {
		return 0, flagError("warm", c.String("warm"), err)
	}
	return mode, nil
}

// warm sets how all scripts are started.
func (s *served) warm(mode config.WarmMode) {
	s.config.Warm.Mode = mode
	for i := range s.config.Sites {
		site := &s.config.Sites[i]
		site.Warm.Mode = mode
		for j := range site.Routes {
			site.Routes[j].Warm.Mode = mode
		}
	}
}
