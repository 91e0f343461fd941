package config_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

// annotatable is a file that heeds every annotation.
const annotatable = `cluster: {name: east, id: 1, zone: z, podCIDRs: [10.10.0.0/16]}
bgp:
  asn: 64512
  peers:
  - {name: tor-a, address: 192.168.0.254, asn: 65000, passwordFile: /k}
  - {name: inner, address: 192.168.0.2, asn: 64512}
clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}]
kubernetes: {nodeAnnotations: [asn, router-id, region, zone, peers]}
`

// annotations has values by their key without its prefix.
func annotations(pairs ...string) map[string]string {
	set := map[string]string{"example.org/asn": "1"}
	for i := 0; i < len(pairs); i += 2 {
		set["underlayd.io/"+pairs[i]] = pairs[i+1]
	}
	return set
}

// sketch is what annotations can change of a configuration.
func sketch(c *config.Config) string {
	said := fmt.Sprintf("AS %d", c.BGP.ASN)
	if c.BGP.RouterID.IsValid() {
		said += " id " + c.BGP.RouterID.String()
	}
	here, _ := c.ForNode(map[string]string{config.ZoneLabel: "l"})
	_, zone := here.PlaceFrom()
	said += " zone " + here.Node.Zone + " by " + zone
	for _, p := range c.BGP.Peers {
		said += fmt.Sprintf(", %s AS %d hops %d", p.Name, p.ASN, p.Hops)
		if by := c.SaidBy("bgp.peers[" + p.Name + "]"); by != "bgp.peers["+p.Name+"]" {
			said += " by " + by
		}
	}
	return said
}

func TestAnnotationsStandInPlaceOfTheFile(t *testing.T) {
	const (
		plain   = "AS 64512 zone l by label topology.kubernetes.io/zone"
		filed   = ", tor-a AS 65000 hops 1, inner AS 64512 hops 0"
		wrong   = "Node east-1, annotation underlayd.io/"
		asPeers = " by annotation underlayd.io/peers"
	)
	only := func(list string) string {
		return strings.Replace(annotatable, "[asn, router-id, region, zone, peers]", "["+list+"]", 1)
	}
	for _, row := range []struct {
		name, text string
		found      map[string]string
		want       string // or the errors, if it begins with a line with a place
	}{
		{"a Node without any changes nothing", annotatable, nil, plain + filed},
		{"those of others change nothing", annotatable, annotations(), plain + filed},
		{"what is not listed is not heeded", only(""), annotations("asn", "65001", "peers", "]"), plain + filed},
		{"what is listed is, and no more", only("zone"), annotations("asn", "65001", "zone", "n"), "AS 64512 zone n by annotation underlayd.io/zone" + filed},
		{"an AS number makes eBGP of iBGP, as in the file", annotatable, annotations("asn", "65001"),
			"AS 65001 zone l by label topology.kubernetes.io/zone, tor-a AS 65000 hops 1, inner AS 64512 hops 1"},
		{"a router id", annotatable, annotations("router-id", "192.0.2.1"), "AS 64512 id 192.0.2.1 zone l by label topology.kubernetes.io/zone" + filed},
		{"a zone goes before the label", annotatable, annotations("zone", "n"), "AS 64512 zone n by annotation underlayd.io/zone" + filed},
		{"more peers, in YAML", annotatable, annotations("peers", "- name: far\n  address: 192.168.9.1\n  asn: 65009\n"), plain + filed + ", far AS 65009 hops 1" + asPeers},
		{"in JSON", annotatable, annotations("peers", `[{"name":"far","address":"192.168.9.1","asn":65009}]`), plain + filed + ", far AS 65009 hops 1" + asPeers},
		{"a peer of the same name takes the other's place as a whole", annotatable, annotations("peers", "[{name: tor-a, address: 192.168.9.1, asn: 65009, passwordSecret: {name: s}}]"),
			plain + ", inner AS 64512 hops 0, tor-a AS 65009 hops 1" + asPeers},
		{"what they are is seen from the annotation's AS number", annotatable, annotations("asn", "65001", "peers", "[{name: x, address: 192.168.9.1, asn: 65001}]"),
			"AS 65001 zone l by label topology.kubernetes.io/zone, tor-a AS 65000 hops 1, inner AS 64512 hops 1, x AS 65001 hops 0" + asPeers},
		{"none of them", annotatable, annotations("peers", "[]"), plain + filed},

		{"an AS number that is none", annotatable, annotations("asn", "0"), wrong + "asn: bgp.asn: 0: AS 0 is reserved and must not be used (RFC 7607)"},
		{"nothing is no AS number", annotatable, annotations("asn", ""), wrong + `asn: bgp.asn: "": must be a whole number in plain decimal digits`},
		{"a router id that is none", annotatable, annotations("router-id", "::1"), wrong + `router-id: bgp.routerID: ::1: must be auto, or 32 bits written as an IPv4 address (RFC 6286)`},
		{"a place that is none", annotatable, annotations("region", "EU"), wrong + "region: node.region: EU: must be a DNS-1123 label: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit (did you mean eu?)"},
		{"peers that are no list", annotatable, annotations("peers", "{name: a}"), wrong + "peers:1:1: peers: {…}: wants a list, such as [a, b], not a mapping"},
		{"peers that are nothing", annotatable, annotations("peers", " "), wrong + "peers: peers: has no value: write [] for none"},
		{"peers that are no YAML", annotatable, annotations("peers", "[{"), wrong + "peers:1: is not YAML: did not find expected node content"},
		{"a peer without an address", annotatable, annotations("peers", "[{name: a, asn: 1}]"), wrong + "peers:1:2: peers[0].address: is required, or interface in its place"},
		{"a key that there is not", annotatable, annotations("peers", "[{name: a, address: 192.168.9.1, asn: 1, password: x}]"), wrong + "peers:1:42: peers[0].password: unknown key (known here: "},
		{"a peer's address that another one has", annotatable, annotations("peers", "[{name: a, address: 192.168.0.2, asn: 1}]"),
			wrong + "peers:1:21: peers[0].address: 192.168.0.2: is already used by bgp.peers[1].address"},
		{"a file of the host is not named there", annotatable, annotations("peers", "[{name: a, address: 192.168.9.1, asn: 1, passwordFile: /etc/shadow}]"),
			wrong + "peers:1:56: peers[0].passwordFile: /etc/shadow: can't be in an annotation, which must not open files of the host: name a Secret, with passwordSecret"},
		{"a rule between keys that is broken in the file then", strings.Replace(annotatable, "passwordFile: /k", "allowOwnAS: 1", 1), annotations("asn", "65000"),
			"f.yaml:5:67: bgp.peers[0].allowOwnAS: 1: is for eBGP: inside an AS its number is in no path; so it is with " + wrong + "asn"},
		{"the file itself", strings.Replace(annotatable, "64512\n", "0\n", 1), annotations("asn", "65000"), "f.yaml:3:8: bgp.asn: 0: AS 0 is reserved and must not be used (RFC 7607)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := config.ParseAnnotated([]byte(row.text), "f.yaml", onNode(), row.found)
			if strings.HasPrefix(row.want, "AS ") {
				require.NoError(t, err)
				require.Equal(t, row.want, sketch(c))
				require.NoError(t, c.Validate())
				return
			}
			require.Nil(t, c)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), row.want), "%v", err)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestAFlagGoesBeforeAnAnnotation(t *testing.T) {
	o := onNode()
	o.LookupEnv = func(name string) (string, bool) { return "65007", name == "UNDERLAYD_BGP_ASN" }
	found := annotations("asn", "65001", "zone", "n", "peers", "[]")
	text := strings.Replace(annotatable, ", peers]", "]", 1)
	c, err := config.ParseAnnotated([]byte(text), "f.yaml", o, found)
	require.NoError(t, err)
	require.Equal(t, uint32(65007), c.BGP.ASN)
	require.Equal(t, map[string]string{
		"underlayd.io/asn":   "UNDERLAYD_BGP_ASN goes before it",
		"underlayd.io/peers": "kubernetes.nodeAnnotations does not list peers",
	}, c.Unheeded(found))
	require.True(t, c.RestartAnnotations())
	require.False(t, mustParse(t, minimal).RestartAnnotations())
	require.ElementsMatch(t, []string{"underlayd.io/asn", "underlayd.io/router-id", "underlayd.io/region", "underlayd.io/zone", "underlayd.io/peers"}, config.AnnotationKeys())
}

// TestWhatIsWrongWithAnnotationsChangesNothing follows a file and a Node at the same time.
func TestWhatIsWrongWithAnnotationsChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	write(t, path, annotatable)
	load := func(seen, last map[string]string) (*config.Watcher, config.Update) {
		current, text, err := config.LoadText(path, onNode())
		require.NoError(t, err)
		log, _ := logtest.NewNullLogger()
		w := config.NewWatcher(config.WatcherConfig{Path: path, Overrides: onNode(), Current: current, Text: text, Log: log, Poll: noPoll})
		return w, w.Begin(seen, last)
	}
	good, other, bad := annotations("asn", "65001"), annotations("asn", "65002"), annotations("asn", "x")
	for _, row := range []struct {
		name       string
		seen, last map[string]string
		asn        uint32
		wrong      bool
		keeps      map[string]string
	}{
		{"nothing is known", nil, nil, 64512, false, nil},
		{"as long as nothing is known it is as in the last run", nil, good, 65001, false, good},
		{"what is seen counts more", other, good, 65002, false, other},
		{"unless it is wrong", bad, good, 65001, true, good},
		{"and there is a last run", bad, nil, 64512, true, nil},
		{"what the last run knew may not fit any more", nil, bad, 64512, true, bad},
	} {
		_, u := load(row.seen, row.last)
		require.Equal(t, row.asn, u.Config.BGP.ASN, row.name)
		require.Equal(t, row.wrong, u.Err != nil, row.name)
		require.True(t, maps.Equal(row.keeps, u.Annotations), row.name)
	}

	watcher, _ := load(annotations(), nil)
	w := &watched{t: t, path: path, watcher: watcher}
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(t.Context()) }()
	w.quiet()
	watcher.Annotate(good)
	u := w.update()
	require.NoError(t, u.Err)
	require.Equal(t, uint32(65001), u.Config.BGP.ASN)
	require.Equal(t, good, u.Annotations)
	watcher.Annotate(good)
	w.quiet()
	watcher.Annotate(bad)
	u = w.update()
	require.ErrorContains(t, u.Err, "Node east-1, annotation underlayd.io/asn: bgp.asn: x: must be a whole number")
	require.Equal(t, uint32(65001), u.Config.BGP.ASN)
	write(t, path, strings.Replace(annotatable, "zone: z", "zone: y", 1))
	u = w.update()
	require.ErrorContains(t, u.Err, "annotation underlayd.io/asn", "it is said as long as it is so")
	require.Equal(t, "y", u.Config.Cluster.Zone, "what is right in the file is not held up")
	require.Equal(t, uint32(65001), u.Config.BGP.ASN)
	watcher.Annotate(annotations())
	u = w.update()
	require.NoError(t, u.Err)
	require.Equal(t, uint32(64512), u.Config.BGP.ASN)
	require.NoError(t, os.Remove(path))
	require.Nil(t, w.update().Config)
}

// FuzzAnnotations holds ParseAnnotated to its promises for any text of people, or of others: it does not panic, gives a
// valid Config or errors and not both, opens no file, and every error names the annotation.
func FuzzAnnotations(f *testing.F) {
	for _, text := range []string{"", "65001", "[]", "[{name: a, address: 192.168.9.1, asn: 1}]", "&a [*a]", "- <<: {name: b}", "[{passwordFile: /etc/shadow}]"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, asn, peers string) {
		c, err := config.ParseAnnotated([]byte(annotatable), "f.yaml", onNode(), annotations("asn", asn, "peers", peers, "zone", asn, "router-id", asn))
		if err != nil {
			require.Nil(t, c)
			var all config.Errors
			require.ErrorAs(t, err, &all)
			for _, line := range all {
				require.Contains(t, line.Error(), "Node east-1, annotation underlayd.io/")
			}
			return
		}
		require.NoError(t, c.Validate())
		for _, p := range c.BGP.Peers {
			require.Equal(t, p.Name == "tor-a" && c.SaidBy("bgp.peers[tor-a]") == "bgp.peers[tor-a]", p.PasswordFile != "")
		}
	})
}
