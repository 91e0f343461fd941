package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/underlayd/underlayd/config/picture"
	"github.com/underlayd/underlayd/status"
)

func newTopology() *cobra.Command {
	var output string
	var nodes, sockets []string
	cmd := &cobra.Command{
		Use:   "topology [FILE...]",
		Short: "Draw clusters, nodes, routers and sessions: of configuration files, or of running daemons",
		Long: `Draw clusters, nodes, routers and the sessions between them, as SVG, Graphviz' dot, Mermaid or JSON.

With FILEs, of what they say; see lint for what a FILE may be and for --node. A containerlab topology brings routers and
cables along. Without, of what the daemon says that answers on --socket, with the state of each session. Give --socket
several times to draw several daemons that this machine can reach.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var p *picture.Picture
			write, err := drawing(output)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if cmd.Flags().Changed("socket") {
					return usageError{errors.New("--socket draws what runs, and FILE what is written: give one of the two")}
				}
				m, err := loadMesh(args, nodes)
				if err != nil {
					return err
				}
				p = picture.FromMesh(m)
			} else if p, err = running(cmd.Context(), sockets); err != nil {
				return err
			}
			return write(p, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "svg", "output `format`: svg, dot, mermaid or json")
	cmd.Flags().StringArrayVar(&sockets, "socket", []string{status.SocketPath("/run/underlayd")}, "unix `socket` of a daemon; may be repeated")
	bindNodes(cmd, &nodes)
	return cmd
}

func drawing(format string) (func(*picture.Picture, io.Writer) error, error) {
	switch format {
	case "svg":
		return (*picture.Picture).WriteSVG, nil
	case "dot":
		return (*picture.Picture).WriteDOT, nil
	case "mermaid":
		return (*picture.Picture).WriteMermaid, nil
	case "json":
		return (*picture.Picture).WriteJSON, nil
	default:
		return nil, usageError{fmt.Errorf("output format %q: must be svg, dot, mermaid or json", format)}
	}
}

func running(ctx context.Context, sockets []string) (*picture.Picture, error) {
	var all []*status.Snapshot
	var errs []error
	for _, socket := range sockets {
		s, err := status.NewClient(socket).Status(ctx)
		errs = append(errs, err)
		all = append(all, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return fromStatus(all), nil
}

// observed is what daemons say of themselves, on its way to a picture.
type observed struct {
	all    []*status.Snapshot
	p      *picture.Picture
	ids    []string           // of the daemons' nodes
	owners map[netip.Addr]int // whose an address is, as far as a session that is up says so
}

// fromStatus makes the picture of what daemons say of themselves. A session between two of them is one.
func fromStatus(all []*status.Snapshot) *picture.Picture {
	o := &observed{all: all, ids: make([]string, len(all)), owners: map[netip.Addr]int{},
		p: &picture.Picture{Clusters: []picture.Cluster{}, Routers: []picture.Router{}, Sessions: []picture.Session{}}}
	for i, s := range all {
		o.node(i, s)
	}
	routers := o.strangers()
	for i, s := range all {
		for _, one := range s.Sessions {
			drawn := picture.Session{A: o.ids[i], Internal: one.ASN == s.ASN, Families: one.Families, State: one.State}
			other, known := o.owners[one.Address]
			switch {
			case known && other < i && o.tells(other, i, one):
				continue
			case known:
				drawn.B = o.ids[other]
			default:
				drawn.B = routers.add(one)
			}
			o.p.Sessions = append(o.p.Sessions, drawn)
		}
	}
	return o.p
}

func (o *observed) node(i int, s *status.Snapshot) {
	at := slices.IndexFunc(o.p.Clusters, func(c picture.Cluster) bool { return c.Name == s.Cluster.Name })
	if at < 0 {
		at = len(o.p.Clusters)
		o.p.Clusters = append(o.p.Clusters, picture.Cluster{Name: s.Cluster.Name, ID: s.Cluster.ID, Networks: picture.Networks(s.Cluster.Networks)})
	}
	o.ids[i] = s.Cluster.Name + "/" + s.Node
	o.p.Clusters[at].Nodes = append(o.p.Clusters[at].Nodes, picture.Node{ID: o.ids[i], Name: s.Node, ASN: s.ASN, PodCIDRs: s.Advertised})
	for _, one := range s.Sessions {
		if one.LocalAddress.IsValid() && !one.LocalAddress.IsLinkLocalUnicast() {
			o.owners[one.LocalAddress] = i
		}
	}
}

// tells says whether daemon other has the other side of a session of daemon i among its own.
func (o *observed) tells(other, i int, s status.Session) bool {
	return slices.ContainsFunc(o.all[other].Sessions, func(back status.Session) bool {
		who, known := o.owners[back.Address]
		return known && who == i && back.Address.Is4() == s.Address.Is4()
	})
}

// strangers adds the routers: first those with a session that is up, which says who they are.
func (o *observed) strangers() strangers {
	routers := strangers{p: o.p, ids: map[[3]string]string{}}
	for _, up := range []bool{true, false} {
		for _, s := range o.all {
			for _, one := range s.Sessions {
				if _, ours := o.owners[one.Address]; !ours && one.RouterID.IsValid() == up {
					routers.add(one)
				}
			}
		}
	}
	return routers
}

// strangers are the routers that daemons have sessions with. One that several call by different names is known by its
// BGP identifier, which is its own within its AS (RFC 6286).
type strangers struct {
	p   *picture.Picture
	ids map[[3]string]string
}

// add returns the id of a session's other side.
func (r strangers) add(s status.Session) string {
	asn := strconv.FormatUint(uint64(s.ASN), 10)
	byName, byID := [3]string{"name", asn, cmp.Or(s.Peer, s.Address.String())}, [3]string{"id", asn, s.RouterID.String()}
	id := r.ids[byName]
	if s.RouterID.IsValid() {
		id = cmp.Or(r.ids[byID], id)
	}
	if id == "" {
		id = r.p.Stranger(byName[2], s.ASN)
	}
	r.ids[byName] = id
	if s.RouterID.IsValid() {
		r.ids[byID] = id
	}
	return id
}
