// The server of the benchmark on gVisor's netstack, behind a TUN. Ports 1 to 4 as in server.mjs.
//
//	gvisor NAME ADDRESS/PREFIX
//
// Says "listening" when it does. The TUN is opened without offload: netstack's generic segmentation offload is for
// AF_PACKET sockets.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/link/tun"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: gvisor NAME ADDRESS/PREFIX")
	}
	prefix := netip.MustParsePrefix(os.Args[2])
	fd, err := tun.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	link, err := fdbased.New(&fdbased.Options{FDs: []int{fd}, MTU: 1500})
	if err != nil {
		log.Fatal(err)
	}
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	for _, option := range []tcpip.SettableTransportProtocolOption{
		ptr(tcpip.TCPSACKEnabled(true)),
		ptr(tcpip.CongestionControlOption("cubic")),
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 6 << 20},
		&tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20},
	} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			log.Fatal(err)
		}
	}
	if err := s.CreateNIC(1, link); err != nil {
		log.Fatal(err)
	}
	address := tcpip.AddrFrom4(prefix.Addr().As4())
	own := tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address, PrefixLen: prefix.Bits()},
	}
	if err := s.AddProtocolAddress(1, own, stack.AddressProperties{}); err != nil {
		log.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	for port, serve := range map[uint16]func(net.Conn){1: give, 2: take, 3: echo, 4: oneByte} {
		listener, err := gonet.ListenTCP(s, tcpip.FullAddress{Addr: address, Port: port}, ipv4.ProtocolNumber)
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
	}
	fmt.Println("listening")
	select {}
}

func ptr[T any](value T) *T { return &value }

func give(conn net.Conn) {
	defer conn.Close()
	var request [8]byte
	if _, err := io.ReadFull(conn, request[:]); err != nil {
		return
	}
	chunk := make([]byte, 256<<10)
	for left := binary.BigEndian.Uint64(request[:]); left > 0; {
		part := min(left, uint64(len(chunk)))
		if _, err := conn.Write(chunk[:part]); err != nil {
			return
		}
		left -= part
	}
}

func take(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 256<<10)
	for {
		if _, err := conn.Read(buffer); err != nil {
			break
		}
	}
	conn.Write([]byte("k"))
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func oneByte(conn net.Conn) {
	defer conn.Close()
	conn.Write([]byte("k"))
	io.Copy(io.Discard, conn)
}
