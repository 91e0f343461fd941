package config

import (
	"strconv"
	"time"
)

func clusterID() kind[uint32] { return number[uint32](1, 1<<32-1) }

// listenPort is a TCP port, or -1.
func listenPort() kind[int] {
	k := number[int](1, 65535)
	parse := k.parse
	k.parse = func(text string) (int, error) {
		if text == "-1" {
			return -1, nil
		}
		return parse(text)
	}
	k.schema = schema{"type": "integer", "minimum": -1, "maximum": 65535, "not": schema{"const": 0}}
	return k
}

// multihop is the TTL of a multihop session; with a TTL of 1 it would not be one.
func multihop() kind[int] {
	return number[int](0, 255).refusing(map[string]string{
		"1": "must be 0 or 2 to 255: a TTL of 1 does not leave the link; write hops: 0 for a plain session",
	})
}

// prefixLimit is a number, 0 for none, or auto.
func prefixLimit() kind[Limit] {
	const highest = 10000000
	numbers := number[int](0, highest)
	return kind[Limit]{
		name: "int", want: "a whole number, or auto", tags: []string{"!!int", "!!str"},
		parse: func(text string) (Limit, error) {
			switch text {
			case "auto":
				return AutoLimit, nil
			case "0":
				return NoLimit, nil
			}
			n, err := numbers.parse(text)
			if err != nil {
				return AutoLimit, broken("must be auto, 0 for no limit, or 1 to %d", highest)
			}
			return Limit(n), nil
		},
		format: func(l Limit) string {
			switch l {
			case AutoLimit:
				return "auto"
			case NoLimit:
				return "0"
			}
			return strconv.Itoa(int(l))
		},
		schema: schema{"anyOf": []schema{{"const": "auto"}, numbers.schema}},
	}
}

// holdTime is what a speaker may offer. RFC 4271, section 4.2, allows 0 (no keepalives at all) and 3 s or
// more; the speaker can't do 0.
func holdTime() kind[time.Duration] {
	return seconds(3*time.Second, 65535*time.Second, "RFC 4271 section 4.2; 0, no keepalives, is not supported")
}
