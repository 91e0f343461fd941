package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

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

// fromStatus makes the picture of what daemons say of themselves. A session between two of them is one. Whose an address
// is follows from the sessions that are up: the others have none of ours.
func fromStatus(all []*status.Snapshot) *picture.Picture {
	p := &picture.Picture{Clusters: []picture.Cluster{}, Routers: []picture.Router{}, Sessions: []picture.Session{}}
	ids := make([]string, len(all))
	owners := map[netip.Addr]int{}
	for i, s := range all {
		at := slices.IndexFunc(p.Clusters, func(c picture.Cluster) bool { return c.Name == s.Cluster.Name })
		if at < 0 {
			at = len(p.Clusters)
			p.Clusters = append(p.Clusters, picture.Cluster{Name: s.Cluster.Name, ID: s.Cluster.ID})
		}
		ids[i] = s.Cluster.Name + "/" + s.Node
		p.Clusters[at].Nodes = append(p.Clusters[at].Nodes, picture.Node{ID: ids[i], Name: s.Node, ASN: s.ASN, PodCIDRs: s.Advertised})
		for _, one := range s.Sessions {
			if one.LocalAddress.IsValid() && !one.LocalAddress.IsLinkLocalUnicast() {
				owners[one.LocalAddress] = i
			}
		}
	}
	for i, s := range all {
		for _, one := range s.Sessions {
			drawn := picture.Session{A: ids[i], Internal: one.ASN == s.ASN, Families: one.Families, State: one.State}
			other, known := owners[one.Address]
			tells := known && slices.ContainsFunc(all[other].Sessions, func(back status.Session) bool {
				who, known := owners[back.Address]
				return known && who == i && back.Address.Is4() == one.Address.Is4()
			})
			switch {
			case tells && other < i:
				continue
			case known:
				drawn.B = ids[other]
			default:
				drawn.B = p.Stranger(cmp.Or(one.Peer, one.Address.String()), one.ASN)
			}
			p.Sessions = append(p.Sessions, drawn)
		}
	}
	return p
}
