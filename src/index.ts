// The package's front door: stacks, devices, and `connect` and `createServer` on the default stack.
import { dgram, net } from './default-stack';

export {
  type Bridge,
  type BridgeEvents,
  type BridgeOptions,
  type BridgePort,
  type BridgePortOptions,
  type BridgeStation,
  createBridge,
} from './bridge';
export { configureDefaultStack, defaultStack } from './default-stack';
export {
  type PacketDevice,
  type PacketSocketOptions,
  packetSocket,
  type TapDevice,
  type TapDeviceOptions,
  tap,
  type UnixDevice,
  type UnixSocketOptions,
  unixSocket,
} from './devices';
export type { DatagramSocketConstructor, Dgram, MessageListener } from './dgram/bind';
export type { RemoteInfo } from './dgram/handle';
export type { DatagramSocket, DatagramSocketOptions } from './dgram/socket';
export type { DhcpClient, DhcpClientEvents, DhcpClientOptions, DhcpLease } from './dhcp/client';
export type { ClientState as DhcpClientState } from './dhcp/client-machine';
export type { DhcpServer, DhcpServerEvents, DhcpServerOptions, ServerLease } from './dhcp/server';
export type {
  DnsOptions,
  DnsResolver,
  Lookup,
  LookupAddress,
  LookupOptions,
  StackDns,
} from './dns/dns';
export type { RecordType } from './dns/message';
export type { DnsError, ResolverOptions } from './dns/resolver';
export type { DnsServer, DnsServerOptions, Zone, ZoneRecord } from './dns/server';
export type { CodedError, SystemError } from './errors';
export type {
  AddressEvent,
  AddressState,
  CwndEvent,
  ErrorReport,
  ErrorReportEvent,
  FailureEvent,
  IcmpReport,
  InterfaceEvent,
  LinkEvent,
  RecoveryEvent,
  RetransmissionsReport,
  RetransmitEvent,
  StackEvents,
  StateEvent,
  TimeoutEvent,
  TraceBase,
  TraceEvent,
  TypedEmitter,
  UrgentEvent,
} from './events';
export type { Flow, FlowAcceptOptions, FlowHandler, TcpFlow, UdpFlow } from './flows';
export {
  type FramePort,
  type FramePortEvents,
  type FramePortOptions,
  type FramePortStats,
  framePort,
} from './frame-port';
export type { SocketInfo, TcpState } from './info';
export type {
  NativeNeighbor as Neighbor,
  NativeStats as StackStats,
  NativeUdpInfo as DatagramInfo,
} from './native';
export type {
  Connect,
  ConnectOptions,
  KeepAliveOptions,
  ListenOptions,
  Net,
  Server,
  ServerConstructor,
  ServerOptions,
  Socket,
  SocketConstructor,
  SocketOptions,
} from './net/bind';
export {
  type BufferSize,
  type CongestionControl,
  type Device,
  type Impairment,
  type InterfaceOptions,
  type LinkDevice,
  type LinkOptions,
  type Medium,
  type RouteOptions,
  type StackOptions,
  type TunDevice,
  type TunOptions,
  tun,
} from './options';
export type {
  PingOptions,
  PingReply,
  PingStatistics,
  ProbeOptions,
  TracerouteHop,
  TracerouteOptions,
  TraceroutePath,
} from './ping';
export type { RawOptions, RawPacketInfo, RawSocket, RawSocketEvents } from './raw';
export { createLink, createStack, type Interface, type NeighborOptions, type RouteEntry, Stack } from './stack';
export type { Tap, TapEvents, TapFrame, TapOptions } from './tap';
export { dgram, net };

/** `net.connect` on the default stack: loopback, until it is given interfaces. */
export const { connect, createConnection, createServer } = net;
