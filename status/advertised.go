package status

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// KindAdvertisedList is the kind of a list of Advertisements.
const KindAdvertisedList = "AdvertisedList"

// maxAdvertised is how many lists of what peers are told are made at once: the speaker works each of them out of all its routes.
const maxAdvertised = 2

// Advertiser is a Source that tells what its peers are told, too. It is called on the goroutine of a request. Peers are named as
// in the configuration; the advertisements of each come together, in the order of prefixes.
type Advertiser interface {
	Advertised(ctx context.Context, peer string) ([]AdvertisedPeer, iter.Seq2[*Advertisement, error])
}

// AdvertisedHead is the part of a list of Advertisements that comes before its items.
type AdvertisedHead struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Node       string           `json:"node"`
	Time       time.Time        `json:"time"`
	Peers      []AdvertisedPeer `json:"peers"` // that it is about
}

// AdvertisedPeer is a peer that is told something, if its session is established.
type AdvertisedPeer struct {
	Peer    string     `json:"peer"`
	Address netip.Addr `json:"address"`
	State   string     `json:"state"`
}

// Advertisement is one path as one peer is told it: what is in the Adj-RIB-Out (RFC 4271, section 3.2).
type Advertisement struct {
	Peer             string       `json:"peer"`
	Address          netip.Addr   `json:"address"` // of the peer
	Prefix           netip.Prefix `json:"prefix"`
	ID               uint32       `json:"id,omitempty"` // of several paths to one prefix (RFC 7911)
	NextHop          netip.Addr   `json:"nextHop,omitzero"`
	ASPath           []uint32     `json:"asPath,omitempty"`
	LocalPref        uint32       `json:"localPref,omitempty"`
	MED              uint32       `json:"med,omitempty"`
	Communities      []string     `json:"communities,omitempty"`
	LargeCommunities []string     `json:"largeCommunities,omitempty"`
	ClusterList      []netip.Addr `json:"clusterList,omitempty"`
}

// AdvertisedList is the whole, as a program may hold it; the server and the Client stream it.
type AdvertisedList struct {
	AdvertisedHead
	Items []*Advertisement `json:"items"`
}

func (h *AdvertisedHead) fields() map[string]any {
	return map[string]any{"apiVersion": &h.APIVersion, "kind": &h.Kind, "node": &h.Node, "time": &h.Time, "peers": &h.Peers}
}

// ValidateAdvertised tells what is wrong with the filter for what peers are told.
func (f Filter) ValidateAdvertised() error {
	switch {
	case f.State != "" || f.Verdict != "" || f.Cluster != "":
		return errors.New("state, verdict and cluster are of what was learned: they choose nothing of what is advertised")
	case f.After.IsValid() && f.Peer == "":
		return errors.New("after needs a peer: the prefixes of each one are in order")
	}
	return f.Validate()
}

// advertised chooses among what peers are told.
func (f Filter) advertised(all iter.Seq2[*Advertisement, error]) iter.Seq2[*Advertisement, error] {
	return func(yield func(*Advertisement, error) bool) {
		n := 0
		for x, err := range all {
			if err != nil {
				yield(nil, err)
				return
			}
			if f.After.IsValid() && x.Prefix.Compare(f.After) <= 0 || f.Prefix.IsValid() && !x.Prefix.Overlaps(f.Prefix) ||
				f.Family != "" && x.Prefix.Addr().Is4() != (f.Family == "ipv4") {
				continue
			}
			if n++; !yield(x, nil) || n == f.Limit {
				return
			}
		}
	}
}

// tellAdvertised answers with what peers are told.
func (h *handler) tellAdvertised(w http.ResponseWriter, r *http.Request) {
	filter, err := parseFilter(r.URL.Query())
	if err == nil {
		err = filter.ValidateAdvertised()
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "%s", err)
		return
	}
	advertiser, can := h.source.(Advertiser)
	if !can {
		notYet(w)
		return
	}
	s := h.summary(w, r)
	if s == nil {
		return
	}
	if filter.Peer != "" && len(s.peersCalled(filter.Peer)) == 0 {
		noPeer(w, s, filter.Peer)
		return
	}
	select {
	case h.advertising <- struct{}{}:
		defer func() { <-h.advertising }()
	default:
		refuse(w, http.StatusServiceUnavailable, "%d such questions are being answered; try again", maxAdvertised)
		return
	}
	peers, all := advertiser.Advertised(r.Context(), filter.Peer)
	head := AdvertisedHead{APIVersion: APIVersion, Kind: KindAdvertisedList, Node: s.Node, Time: time.Now(), Peers: list(peers)}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, bufferSize)
	if encodeList(out, head, until(r.Context(), h.stop, filter.advertised(all))) == nil {
		_ = out.Flush()
	}
}

// WriteAdvertised writes what peers are told while it arrives. An error is returned after what came before it was written.
func WriteAdvertised(w io.Writer, head AdvertisedHead, all iter.Seq2[*Advertisement, error], o Options) error {
	if o.Format == JSON {
		out := bufio.NewWriterSize(w, bufferSize)
		return errors.Join(encodeList(out, head, all), out.Flush())
	}
	p := newPage(w, o)
	for _, peer := range head.Peers {
		if peer.State != Established {
			p.line("%s is told nothing: its session is %s.", clean(peer.Peer), clean(stateName(peer.State)))
		}
	}
	header := []string{"PEER", "PREFIX", "NEXT HOP", "AS PATH", "LARGE COMMUNITIES"}
	if o.Format == Wide {
		header = append(header, "COMMUNITIES", "LOCAL PREF", "MED", "CLUSTER LIST", "ID")
	}
	t := p.table(header...)
	for x, err := range all {
		if err != nil {
			t.end()
			return errors.Join(err, p.flush())
		}
		cells := []string{x.Peer, x.Prefix.String(), text(x.NextHop), strings.Trim(fmt.Sprint(x.ASPath), "[]"), strings.Join(x.LargeCommunities, ",")}
		if o.Format == Wide {
			cells = append(cells, strings.Join(x.Communities, ","), number(x.LocalPref), number(x.MED), join(x.ClusterList), number(x.ID))
		}
		t.row(cells...)
		if p.err != nil {
			break
		}
	}
	if t.rows == 0 {
		p.line("There is nothing advertised to show.")
	} else {
		t.end()
	}
	return p.flush()
}
