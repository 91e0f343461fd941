package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// wellKnown are the communities that have names (IANA, BGP Well-known Communities).
func wellKnown() map[string]Community {
	return map[string]Community{
		"graceful-shutdown":   "65535:0",     // RFC 8326
		"blackhole":           "65535:666",   // RFC 7999
		"no-export":           "65535:65281", // RFC 1997
		"no-advertise":        "65535:65282", // RFC 1997
		"no-export-subconfed": "65535:65283", // RFC 1997
		"no-peer":             "65535:65284", // RFC 3765
	}
}

// community is a community by its numbers or, if it is well known, by its name.
func community() kind[Community] {
	names := slices.Sorted(maps.Keys(wellKnown()))
	k := text[Community]("community")
	k.want = "a community, such as 65000:100, 65000:1:2 or no-export"
	k.parse = func(text string) (Community, error) {
		if c, known := wellKnown()[text]; known {
			return c, nil
		}
		parts := strings.Split(text, ":")
		bits := map[int]int{2: 16, 3: 32}[len(parts)]
		if bits == 0 {
			return "", broken("must be two numbers (65000:100), three (65000:1:2) or one of %s%s", strings.Join(names, ", "), didYouMean(text, names))
		}
		for _, part := range parts {
			if n, err := strconv.ParseUint(part, 10, bits); err != nil || strconv.FormatUint(n, 10) != part {
				return "", broken("must have numbers of 0 to %d, in plain decimal digits", uint64(1)<<bits-1)
			}
		}
		return Community(text), nil
	}
	k.format = func(c Community) string {
		for name, numbers := range wellKnown() {
			if numbers == c {
				return name
			}
		}
		return string(c)
	}
	k.schema = schema{"type": "string", "pattern": fmt.Sprintf("^([0-9]+(:[0-9]+){1,2}|%s)$", strings.Join(names, "|"))}
	return k
}
