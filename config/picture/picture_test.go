package picture_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config/mesh"
	"github.com/underlayd/underlayd/config/picture"
)

var update = flag.Bool("update", false, "rewrite the drawings in testdata")

// draw makes a picture step by step.
type draw struct{ p picture.Picture }

func (d *draw) cluster(name string, asn uint32, nodes int) *draw {
	id := uint32(len(d.p.Clusters) + 1)
	c := picture.Cluster{Name: name, ID: id, PodCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 10*id))}}
	for i := 1; i <= nodes; i++ {
		c.Nodes = append(c.Nodes, picture.Node{ID: fmt.Sprintf("%s/%s-%d", name, name, i), Name: fmt.Sprintf("%s-%d", name, i), ASN: asn,
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 10*id, i))}})
	}
	d.p.Clusters = append(d.p.Clusters, c)
	return d
}

func (d *draw) router(asn uint32, names ...string) *draw {
	for _, name := range names {
		d.p.Routers = append(d.p.Routers, picture.Router{ID: name, Name: name, ASN: asn})
	}
	return d
}

func (d *draw) session(a, b string, internal bool, families ...string) *draw {
	d.p.Sessions = append(d.p.Sessions, picture.Session{A: a, B: b, Internal: internal, Families: families})
	return d
}

// all joins each node of one cluster with each of another, or with routers.
func (d *draw) all(from string, to ...string) *draw {
	for _, c := range d.p.Clusters {
		for _, n := range c.Nodes {
			for _, other := range to {
				if c.Name == from {
					d.session(n.ID, other, false, "ipv4", "ipv6")
				}
			}
		}
	}
	return d
}

func (d *draw) ids(cluster string) (ids []string) {
	for _, c := range d.p.Clusters {
		for _, n := range c.Nodes {
			if c.Name == cluster {
				ids = append(ids, n.ID)
			}
		}
	}
	return ids
}

func (d *draw) link(a, b string) *draw {
	d.p.Links = append(d.p.Links, picture.Link{A: a, AInterface: "eth1", B: b, BInterface: "eth1"})
	return d
}

func pictures() map[string]*picture.Picture {
	leaves := new(draw).cluster("east", 64512, 3).cluster("west", 64513, 3).
		router(65100, "spine-1", "spine-2").router(65001, "leaf-1", "leaf-2").router(65002, "leaf-3", "leaf-4").
		all("east", "leaf-1", "leaf-2").all("west", "leaf-3", "leaf-4")
	for _, leaf := range []string{"leaf-1", "leaf-2", "leaf-3", "leaf-4"} {
		leaves.link(leaf, "spine-1").link(leaf, "spine-2")
	}
	mesh := new(draw).cluster("east", 64512, 3).cluster("west", 64513, 3)
	mesh.all("east", mesh.ids("west")...)
	big := new(draw).cluster("east", 64512, 50).cluster("west", 64513, 50)
	big.all("east", big.ids("west")...)
	reflectors := new(draw).cluster("east", 64512, 5).cluster("west", 64513, 4)
	for _, c := range []string{"east", "west"} {
		ids := reflectors.ids(c)
		reflectors.session(ids[0], ids[1], true, "ipv4", "ipv6")
		for _, client := range ids[2:] {
			reflectors.session(client, ids[0], true, "ipv4", "ipv6").session(client, ids[1], true, "ipv4", "ipv6")
		}
	}
	for _, a := range reflectors.ids("east")[:2] {
		for _, b := range reflectors.ids("west")[:2] {
			reflectors.session(a, b, false, "ipv4")
		}
	}
	hub := new(draw).cluster("north", 64514, 2).cluster("hub", 64512, 2).cluster("south", 64515, 2).cluster("west", 64513, 2)
	for _, spoke := range []string{"north", "south", "west"} {
		hub.all(spoke, hub.ids("hub")...)
	}
	ring := new(draw).cluster("a", 1, 2).cluster("b", 2, 2).cluster("c", 3, 2)
	ring.all("a", ring.ids("b")...).all("b", ring.ids("c")...).all("c", ring.ids("a")...)
	running := new(draw).cluster("east", 64512, 1).router(65001, "tor-a").router(65002, "tor-b").
		session("east/east-1", "tor-a", false, "ipv4").session("east/east-1", "tor-b", false)
	running.p.Sessions[0].State, running.p.Sessions[1].State = "established", "active"
	odd := new(draw).cluster(`<b>&"`, 64512, 4).session(`<b>&"/<b>&"-1`, `<b>&"/<b>&"-4`, true, "ipv4")
	odd.p.Sessions[0].OneSided = true
	odd.p.Clusters[0].Nodes[1].ASN = 4200000000
	return map[string]*picture.Picture{"leaf-spine": &leaves.p, "full-mesh": &mesh.p, "fifty": &big.p, "reflectors": &reflectors.p,
		"hub-spoke": &hub.p, "ring": &ring.p, "running": &running.p, "odd": &odd.p, "empty": {}}
}

func TestDrawings(t *testing.T) {
	for name, p := range pictures() {
		t.Run(name, func(t *testing.T) {
			var svg, again, dot, mermaid bytes.Buffer
			require.NoError(t, p.WriteSVG(&svg))
			require.NoError(t, p.WriteSVG(&again))
			require.Equal(t, svg.String(), again.String(), "the same picture is the same bytes")
			wellFormed(t, svg.Bytes())
			require.NoError(t, p.WriteDOT(&dot))
			require.NoError(t, p.WriteMermaid(&mermaid))
			if name == "fifty" {
				require.Less(t, svg.Len(), 8000, "2500 sessions are drawn as one")
				require.Contains(t, svg.String(), "2500 sessions")
				return
			}
			for ending, out := range map[string][]byte{".svg": svg.Bytes(), ".dot": dot.Bytes(), ".mmd": mermaid.Bytes()} {
				golden(t, filepath.Join("testdata", name+ending), out)
			}
		})
	}
}

// A picture lies beside each topology that users choose from, and is what the topology is now.
func TestThePicturesOfTheTopologies(t *testing.T) {
	files, err := filepath.Glob("../../containerlab/*.clab.yml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	choices, err := os.ReadFile("../../docs/topologies.md")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			m, err := mesh.Load([]string{file}, nil)
			require.NoError(t, err)
			var svg bytes.Buffer
			require.NoError(t, picture.FromMesh(m).WriteSVG(&svg))
			folder := strings.TrimSuffix(file, ".clab.yml")
			golden(t, filepath.Join(folder, "topology.svg"), svg.Bytes())
			require.FileExists(t, filepath.Join(folder, "README.md"))
			require.Contains(t, string(choices), strings.TrimPrefix(folder, "../")+"/topology.svg", "docs/topologies.md says when to choose it")
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "`make pictures` draws it again")
}

func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}
