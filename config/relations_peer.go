package config

import "strconv"

// peerLink checks that one thing is said about where a peer is.
func (r relations) peerLink(i int, p Peer) {
	path := peerPath(i, "interface")
	switch {
	case p.Address.IsValid() && p.Interface != "":
		r.fail(path, p.Interface, "excludes address, which is "+p.Address.String()+
			": the neighbour is found by its link, or its address is given, a link-local one as in fe80::1%"+p.Interface)
	case p.Interface != "" && p.LocalAddress.IsValid():
		r.fail(peerPath(i, "localAddress"), p.LocalAddress.String(),
			"can't be: the session with the neighbour on "+p.Interface+" is between link-local addresses, and the kernel chooses ours")
	}
	for j, other := range r.BGP.Peers {
		if p.Interface != "" && other.Address.Zone() == p.Interface && meet(r.whose(p), r.whose(other)) {
			r.fail(path, p.Interface, "is the link of "+peerPath(j, "address")+", "+other.Address.String()+": a link has one neighbour, or addresses")
		}
	}
}

// peerPassword checks that one thing is said about where a peer's password is.
func (r relations) peerPassword(i int, p Peer) {
	path, value := peerPath(i, "passwordSecret.name"), p.PasswordSecret.Name
	switch {
	case p.PasswordSecret == (SecretKey{}):
	case value == "":
		r.fail(path, "", "is required: the name of the Secret that has the key "+p.PasswordSecret.Key)
	case p.PasswordFile != "":
		r.fail(path, value, "excludes passwordFile, which is "+p.PasswordFile+": the password is in the one or in the other")
	case r.Kubernetes.Enabled == False:
		r.fail(path, value, "needs the Kubernetes API, and kubernetes.enabled is false: without it, put the password into a file and name that with passwordFile")
	}
}

// peerPaths checks what is said of the paths that are exchanged with a peer.
func (r relations) peerPaths(i int, p Peer) {
	if p.ExtendedNextHop == True && p.Address.Is4() {
		r.fail(peerPath(i, "extendedNextHop"), "true", "needs a session over IPv6 (RFC 8950), and the peer's address is "+p.Address.String())
	}
	if p.ASN == 0 || r.BGP.ASN == 0 || !r.BGP.Internal(p) {
		return
	}
	const rule = "is for eBGP: inside an AS its number is in no path"
	if p.AllowOwnAS > 0 {
		r.fail(peerPath(i, "allowOwnAS"), strconv.Itoa(p.AllowOwnAS), rule)
	}
	if p.ASOverride {
		r.fail(peerPath(i, "asOverride"), "true", rule)
	}
	if p.RemovePrivateAS != KeepPrivateAS && p.RemovePrivateAS != "" {
		r.fail(peerPath(i, "removePrivateAS"), string(p.RemovePrivateAS), rule)
	}
}
