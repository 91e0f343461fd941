package containerlab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// Narrator tells what happens, step by step: in bold on a terminal.
type Narrator struct {
	Out   io.Writer
	steps int
}

// Say announces a step.
func (n *Narrator) Say(text string) {
	n.steps++
	bold, plain := "", ""
	if f, is := n.Out.(*os.File); is {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			bold, plain = "\033[1m", "\033[0m"
		}
	}
	fmt.Fprintf(n.Out, "\n%s%d. %s%s\n", bold, n.steps, text, plain)
}

// SeenFrom sends a datagram from one node to an address of another one and returns the source that is seen there.
func SeenFrom(ctx context.Context, from, to *Node, target netip.Addr) (netip.Addr, error) {
	at := netip.AddrPortFrom(target, 7777).String()
	var listener net.PacketConn
	err := to.Do(func() (err error) {
		listener, err = net.ListenPacket("udp", at)
		return err
	})
	if err != nil {
		return netip.Addr{}, err
	}
	defer listener.Close()
	conn, err := from.Dial(ctx, "udp", at)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("who am I?")); err != nil {
		return netip.Addr{}, err
	}
	if err := listener.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return netip.Addr{}, err
	}
	_, source, err := listener.ReadFrom(make([]byte, 64))
	if err != nil {
		return netip.Addr{}, err
	}
	address, err := netip.ParseAddrPort(source.String())
	return address.Addr().Unmap(), err
}
