package main

import (
	"context"
	"errors"
	"time"
)

// limitRows are about a peer that sends more prefixes than it may (bgp.peers[].maxPrefixes).
func limitRows() []row {
	return []row{
		{
			name: "a peer comes near its limit of prefixes", required: "named; no session lost",
			rewrites: true,
			says:     []string{`peer raw: .*\d+ ipv4 prefixes, at most 100 may be sent`}, logs: []string{"comes near its limit"},
			prepare: limited,
			inject: func(ctx context.Context, s *scene) error {
				extra := many("10.20.128.0/28", 85)
				return errors.Join(s.raw.write(announce(nil, nil, extra...)), s.says(ctx, 10*time.Second, "peer raw: .*at most 100"), s.keeps(ctx),
					s.raw.write(withdraw(extra...)))
			},
		},
		{
			name: "a peer exceeds its limit of prefixes", fast: true, required: "its session ends and is parked, its routes go; named; nobody else notices; another limit lets it in at once",
			touches: []string{"raw"}, rewrites: true, lost: unlimited,
			says: []string{"peer raw: .*parked until .* ipv4 prefixes, at most 100"}, logs: []string{"session ended and parked"},
			prepare: limited, inject: exceeds,
		},
	}
}

// limited has the node take 100 prefixes from the raw peer at most.
func limited(_ context.Context, s *scene) error {
	return s.edit("east-1", "config.yaml", "    clusters: [west]\n", "    clusters: [west]\n    maxPrefixes: 100\n")
}

func exceeds(ctx context.Context, s *scene) error {
	if err := s.raw.write(announce(nil, nil, many("10.20.128.0/28", 200)...)); err != nil {
		return err
	}
	parked := func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil && now.session("raw").State == "established" {
			err = errors.New("it is not parked")
		}
		return errors.Join(err, s.routesAre(wanted("raw")))
	}
	err := s.says(ctx, 10*time.Second, "peer raw: .*parked until")
	if err == nil {
		err = s.routes(ctx, time.Second, "raw")
	}
	if err == nil {
		err = s.during(ctx, 3*time.Second, "parked", parked)
	}
	return errors.Join(err, s.edit("east-1", "config.yaml", "maxPrefixes: 100", "maxPrefixes: 1000"), s.sessionIs(ctx, "raw", true, 10*time.Second))
}
