// The package's front door: stacks, devices, and `connect` and `createServer` on the default stack.
import { net } from './default-stack';

export { configureDefaultStack, defaultStack } from './default-stack';
export type { CodedError, SystemError } from './errors';
export type {
  CwndEvent,
  FailureEvent,
  RecoveryEvent,
  RetransmitEvent,
  StackEvents,
  StateEvent,
  TimeoutEvent,
  TraceBase,
  TraceEvent,
  TypedEmitter,
} from './events';
export type { NativeInfo as SocketInfo, NativeStats as StackStats } from './native';
export type {
  Connect,
  ConnectOptions,
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
  type Device,
  type Impairment,
  type InterfaceOptions,
  type LinkDevice,
  type LinkOptions,
  type RouteOptions,
  type StackOptions,
  type TunDevice,
  type TunOptions,
  tun,
} from './options';
export { createLink, createStack, type Interface, Stack } from './stack';
export { net };

/** `net.connect` on the default stack: loopback, until it is given interfaces. */
export const { connect, createConnection, createServer } = net;
