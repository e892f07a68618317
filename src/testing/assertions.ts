// What tests say of a network: plain functions for node:test, Vitest and the like, and matchers for Jest.
import { AssertionError } from 'node:assert';
import type { ConnectionRecord, Network } from './network';

/** Which connections an assertion is about: those for which all of it holds. */
export interface ConnectionFilter {
  /** The host that connected, or its name. */
  client?: string | { readonly name: string };
  /** The host it connected to, or its name. */
  server?: string | { readonly name: string };
  /** The server's port. */
  port?: number;
}

interface Verdict {
  pass: boolean;
  /** What was expected, after "Expected ". */
  expected: string;
  /** What was found. */
  found: string;
}

function nameOf(end: string | { readonly name: string } | undefined): string | undefined {
  return typeof end === 'string' ? end : end?.name;
}

function select(network: Network, filter: ConnectionFilter): ConnectionRecord[] {
  const [client, server] = [nameOf(filter.client), nameOf(filter.server)];
  return network.connections().filter((connection) => {
    if (client !== undefined && connection.client !== client) return false;
    if (server !== undefined && connection.server !== server) return false;
    return filter.port === undefined || connection.serverPort === filter.port;
  });
}

function describe(filter: ConnectionFilter): string {
  const [client, server] = [nameOf(filter.client), nameOf(filter.server)];
  const parts = [
    client !== undefined && `from ${client}`,
    server !== undefined && `to ${server}`,
    filter.port !== undefined && `port ${filter.port}`,
  ].filter(Boolean);
  return parts.length === 0 ? 'any connection' : `a connection ${parts.join(' ')}`;
}

type Count = (connection: ConnectionRecord) => number;

function counted(network: Network, filter: ConnectionFilter, what: string, count: Count, least = 1): Verdict {
  const connections = select(network, filter);
  const total = connections.reduce((sum, connection) => sum + count(connection), 0);
  return {
    pass: total >= least,
    expected: `at least ${least} ${what} on ${describe(filter)}`,
    found: `${total} on ${connections.length} connection(s)`,
  };
}

const retransmits: Count = ({ sent, received }) => sent.retransmits + received.retransmits;
const resets: Count = ({ sent, received }) => sent.resets + received.resets;

const verdicts = {
  toHaveRetransmitted: (network: Network, filter: ConnectionFilter = {}, least = 1): Verdict =>
    counted(network, filter, 'retransmission(s)', retransmits, least),
  toHaveSentReset: (network: Network, filter: ConnectionFilter = {}): Verdict =>
    counted(network, filter, 'RST(s) sent', resets),
  toHaveEstablished: (network: Network, filter: ConnectionFilter = {}, least = 1): Verdict =>
    counted(network, filter, 'connection(s) ESTABLISHED', ({ established }) => Number(established), least),
  toHaveLeaks: (network: Network): Verdict => {
    const leaks = network.leaks();
    const lines = leaks.map(
      ({ host, kind, local, remote, creator }) =>
        `\n  ${kind} on ${host} ${local ?? ''}${remote === null ? '' : ` to ${remote}`}, made at ${creator || 'an unknown place'}`,
    );
    return {
      pass: leaks.length > 0,
      expected: 'sockets or servers still open',
      found: `${leaks.length} open${lines.join('')}`,
    };
  },
};

function message({ expected, found }: Verdict, network: Network, not: boolean): string {
  return network.explain(`Expected ${not ? 'not ' : ''}${expected}; found ${found}.`);
}

function demand(verdict: Verdict, network: Network, wanted: boolean, by: (...args: never[]) => void): void {
  if (verdict.pass === wanted) return;
  throw new AssertionError({ message: message(verdict, network, !wanted), stackStartFn: by as () => void });
}

/** Throws unless segments were retransmitted: at least `least` of them. */
export function assertRetransmitted(network: Network, filter?: ConnectionFilter, least?: number): void {
  demand(verdicts.toHaveRetransmitted(network, filter, least), network, true, assertRetransmitted);
}

/** Throws if a segment was retransmitted. */
export function assertNotRetransmitted(network: Network, filter?: ConnectionFilter): void {
  demand(verdicts.toHaveRetransmitted(network, filter), network, false, assertNotRetransmitted);
}

/** Throws unless a RST was sent. */
export function assertReset(network: Network, filter?: ConnectionFilter): void {
  demand(verdicts.toHaveSentReset(network, filter), network, true, assertReset);
}

/** Throws if a RST was sent. */
export function assertNoReset(network: Network, filter?: ConnectionFilter): void {
  demand(verdicts.toHaveSentReset(network, filter), network, false, assertNoReset);
}

/** Throws unless connections reached ESTABLISHED at both ends: at least `least` of them. */
export function assertEstablished(network: Network, filter?: ConnectionFilter, least?: number): void {
  demand(verdicts.toHaveEstablished(network, filter, least), network, true, assertEstablished);
}

/** Throws if a connection reached ESTABLISHED at both ends. */
export function assertNotEstablished(network: Network, filter?: ConnectionFilter): void {
  demand(verdicts.toHaveEstablished(network, filter), network, false, assertNotEstablished);
}

/** Throws if sockets or servers are open; names the lines that made them. */
export function assertNoLeaks(network: Network): void {
  demand(verdicts.toHaveLeaks(network), network, false, assertNoLeaks);
}

/** What a Jest matcher gives back. */
export interface MatcherResult {
  pass: boolean;
  message: () => string;
}

function matcher<Args extends unknown[]>(judge: (network: Network, ...args: Args) => Verdict) {
  return (network: Network, ...args: Args): MatcherResult => {
    const verdict = judge(network, ...args);
    return { pass: verdict.pass, message: () => message(verdict, network, verdict.pass) };
  };
}

/**
 * What `matchers` add to `expect`, for its types:
 *
 *     declare global {
 *       namespace jest {
 *         interface Matchers<R> extends NetworkMatchers<R> {}
 *       }
 *     }
 *
 * and in Vitest `declare module 'vitest' { interface Assertion<T> extends NetworkMatchers<T> {} }`.
 */
export interface NetworkMatchers<R = unknown> {
  /** A segment with data, SYN or FIN was sent again. */
  toHaveRetransmitted(filter?: ConnectionFilter): R;
  /** A RST was sent, either way. */
  toHaveSentReset(filter?: ConnectionFilter): R;
  /** A connection reached ESTABLISHED. */
  toHaveEstablished(filter?: ConnectionFilter): R;
  /** Sockets or servers are open. */
  toHaveLeaks(): R;
}

/**
 * Matchers for Jest (and Vitest): `expect.extend(matchers)`, then `expect(network).toHaveRetransmitted({ client })`,
 * `.not.toHaveSentReset()`, `.toHaveEstablished({ server, port })`, `.not.toHaveLeaks()`.
 */
export const matchers = {
  toHaveRetransmitted: matcher(verdicts.toHaveRetransmitted),
  toHaveSentReset: matcher(verdicts.toHaveSentReset),
  toHaveEstablished: matcher(verdicts.toHaveEstablished),
  toHaveLeaks: matcher(verdicts.toHaveLeaks),
};
