package fib

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// protocolNames are the names of route protocol numbers on this host: those that iproute2 has been told of and those
// that everybody knows.
type protocolNames map[uint8]string

// readProtocolNames reads what iproute2 would; a container has none of these files. The first name of a number counts.
func readProtocolNames() protocolNames {
	names := protocolNames{}
	files := []string{"/etc/iproute2/rt_protos"}
	for _, dir := range []string{"/etc", "/usr/share", "/usr/lib"} {
		more, _ := filepath.Glob(dir + "/iproute2/rt_protos.d/*.conf") // the pattern is good
		files = append(append(files, more...), dir+"/iproute2/rt_protos")
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			names.add(string(b))
		}
	}
	names.add(wellKnownProtocols)
	return names
}

// wellKnownProtocols are those of linux/rtnetlink.h and of FRR's zebra, in the form of iproute2's file.
const wellKnownProtocols = `
1 redirect
2 kernel
3 boot
4 static
8 gated
9 ra
10 mrt
11 zebra
12 bird
13 dnrouted
14 xorp
15 ntk
16 dhcp
17 mrouted
18 keepalived
42 babel
84 ovn
99 openr
186 bgp
187 isis
188 ospf
189 rip
190 ripng
191 nhrp
192 eigrp
193 ldp
194 sharp
195 pbr
196 zstatic
197 openfabric
`

func (n protocolNames) add(file string) {
	for line := range strings.Lines(file) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		number, err := strconv.ParseUint(f[0], 0, 8)
		if _, known := n[uint8(number)]; err == nil && !known {
			n[uint8(number)] = f[1]
		}
	}
}

// text is the number of a protocol with its name, if it has one.
func (n protocolNames) text(protocol uint8) string {
	text := strconv.Itoa(int(protocol))
	if name := n[protocol]; name != "" {
		text += ", " + name
	}
	return text
}
