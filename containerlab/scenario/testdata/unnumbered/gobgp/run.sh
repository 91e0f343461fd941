#!/bin/sh
# GoBGP takes the neighbour from the kernel's table, once, at the start; underlayd's pings put it there.
until ip -6 neigh show dev eth1 | grep -q '^fe80:.*lladdr'; do sleep 0.1; done
exec gobgpd --config-file /etc/gobgp/gobgpd.toml --log-plain
