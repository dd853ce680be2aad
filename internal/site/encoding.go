package site

import (
	"slices"
	"strconv"
	"strings"

	"gatehouse/cgi"
	"gatehouse/internal/config"
)

// acceptable returns those of the codings that an Accept-Encoding field takes, the best
// first (RFC 9110 section 12.5.3): by the client's weights, and where these are level in the
// order given. "identity" is always understood, and a field that is broken takes no coding.
func acceptable(field string, codings []string) []string {
	weights := make(map[string]int)
	for element := range strings.SplitSeq(field, ",") {
		name, parameter, weighted := strings.Cut(element, ";")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "" {
			continue
		}
		weight := 1000
		if weighted {
			var ok bool
			if weight, ok = parseWeight(parameter); !ok {
				return nil
			}
		}
		if name == "x-gzip" { // RFC 9110 section 8.4.1.3
			name = "gzip"
		}
		weights[name] = weight
	}
	rest, star := weights["*"]
	of := func(name string) int {
		if w, ok := weights[name]; ok || !star {
			return w
		}
		return rest
	}
	var good []string
	for _, c := range codings {
		if of(c) > 0 && of(c) >= weights["identity"] {
			good = append(good, c)
		}
	}
	slices.SortStableFunc(good, func(a, b string) int { return of(b) - of(a) })
	return good
}

// parseWeight reads "q=0.5", in thousandths (RFC 9110 section 12.4.2).
func parseWeight(s string) (int, bool) {
	name, value, ok := strings.Cut(strings.Trim(s, " \t"), "=")
	if !ok || !strings.EqualFold(strings.Trim(name, " \t"), "q") || len(value) > len("0.123") {
		return 0, false
	}
	whole, part, _ := strings.Cut(value, ".")
	n, err := strconv.ParseUint((part + "000")[:3], 10, 16)
	switch {
	case err != nil, whole != "0" && whole != "1", whole == "1" && n > 0:
		return 0, false
	case whole == "1":
		return 1000, true
	}
	return int(n), true
}

// varies says that a response depends on what codings the client takes.
func varies(resp *cgi.Response) {
	const name = "Accept-Encoding"
	for _, f := range resp.Header {
		if !strings.EqualFold(f.Name, "Vary") {
			continue
		}
		for v := range strings.SplitSeq(f.Value, ",") {
			if v = strings.Trim(v, " \t"); v == "*" || strings.EqualFold(v, name) {
				return
			}
		}
	}
	resp.Header = append(slices.Clip(resp.Header), cgi.Field{Name: "Vary", Value: name})
}

// coding is how responses of what was found are to be made smaller.
func (f *Found) coding() *config.Coding {
	switch {
	case f.Route != nil:
		return &f.Route.config.Coding
	case f.site != nil:
		return &f.site.config.Coding
	}
	return &config.Coding{}
}
