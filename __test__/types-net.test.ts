// Types: what is Node's and what is ours, assigned to one another where they must be interchangeable. tsc is the test
// (`npm run lint`); at run time the names are compared.
import type * as http from 'node:http';
import type * as https from 'node:https';
import * as realNet from 'node:net';
import type * as tls from 'node:tls';
import type { Dispatcher } from 'undici';
import type { Net, Server, Socket, Stack } from 'usernet';
import * as ourNet from 'usernet/net';

type NodeNet = typeof import('node:net');
type OurNet = typeof import('usernet/net');

/** Compiles where `From` can stand for `To`. */
function takes<To>(_value: () => To): void {}
const some = <T>(): T => undefined as T;

// Everything of `node:net` is in ours, and what is in both is interchangeable: ours for Node's ..
takes<Pick<NodeNet, 'isIP' | 'isIPv4' | 'isIPv6' | 'BlockList' | 'SocketAddress'>>(() => some<OurNet>());
takes<
  Pick<
    NodeNet,
    | 'getDefaultAutoSelectFamily'
    | 'setDefaultAutoSelectFamily'
    | 'getDefaultAutoSelectFamilyAttemptTimeout'
    | 'setDefaultAutoSelectFamilyAttemptTimeout'
  >
>(() => some<OurNet>());
takes<realNet.Socket>(() => some<Socket>());
takes<realNet.Server>(() => some<Server>());
takes<realNet.Socket>(() => some<ReturnType<OurNet['connect']>>());
takes<realNet.Socket>(() => some<ReturnType<OurNet['createConnection']>>());
takes<realNet.Server>(() => some<ReturnType<OurNet['createServer']>>());
takes<new (options?: realNet.SocketConstructorOpts) => realNet.Socket>(() => some<OurNet['Socket']>());
takes<new (listener?: (socket: realNet.Socket) => void) => realNet.Server>(() => some<OurNet['Server']>());
takes<(options: realNet.NetConnectOpts & { port: number }, listener?: () => void) => realNet.Socket>(() =>
  some<OurNet['connect']>(),
);
takes<(port: number, host?: string, listener?: () => void) => realNet.Socket>(() => some<OurNet['connect']>());
takes<(options?: realNet.ServerOpts, listener?: (socket: realNet.Socket) => void) => realNet.Server>(() =>
  some<OurNet['createServer']>(),
);
// .. and Node's for ours.
takes<Pick<OurNet, 'isIP' | 'isIPv4' | 'isIPv6' | 'BlockList' | 'SocketAddress'>>(() => some<NodeNet>());
takes<Parameters<OurNet['createServer']>[0]>(() => some<realNet.ServerOpts>());
takes<ConstructorParameters<OurNet['Socket']>[0]>(() => some<Omit<realNet.SocketConstructorOpts, 'fd'>>());
takes<ourNet.ConnectOptions>(() => some<realNet.TcpNetConnectOpts>());
takes<ourNet.ListenOptions>(() => some<Omit<realNet.ListenOptions, 'path' | 'readableAll' | 'writableAll'>>());
// A stack's `net` and the default one are the same.
takes<Net['connect']>(() => some<OurNet['connect']>());
takes<Stack['net']>(() => some<OurNet['default']>());
// What is on a stack has the libraries' own types.
takes<typeof http>(() => some<Stack['http']>());
takes<typeof https>(() => some<Stack['https']>());
takes<typeof tls>(() => some<Stack['tls']>());
takes<http.Agent & https.Agent>(() => some<ReturnType<Stack['agent']>>());
takes<NonNullable<RequestInit['dispatcher']>>(() => some<ReturnType<Stack['dispatcher']>>());
takes<Dispatcher>(() => some<ReturnType<Stack['dispatcher']>>());

test('every name that node:net has is in usernet/net, with the same kind of value', () => {
  // Node's internals (handles of the kernel, Windows), and Node 24's sockets that the kernel has bound.
  const internal = ['_createServerHandle', '_setSimultaneousAccepts', 'BoundSocket', 'default'];
  const names = Object.keys(realNet).filter((name) => !internal.includes(name));
  const kinds = (module: object): object =>
    Object.fromEntries(names.map((name) => [name, typeof (module as Record<string, unknown>)[name]]));
  expect(kinds(ourNet)).toEqual(kinds(realNet));
  expect(names.length).toBeGreaterThan(15);
});
