// One question to one server: over UDP from a port of its own, and over TCP where the answer was cut.
import { randomInt } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Dgram } from '../dgram/bind';
import type { Net } from '../net/bind';
import { type Answer, decodeAnswer, encodeQuery } from './message';

/** What a question is asked over. */
export interface Transport {
  net: Net;
  dgram: Dgram;
}

/** A server's address. */
export interface ServerAddress {
  address: string;
  port: number;
}

/** Addresses of ours, by their family. */
export interface LocalAddresses {
  4?: string;
  6?: string;
}

/** A question as it is asked of a server. */
export interface Question {
  name: string;
  type: string;
  server: ServerAddress;
  /** The address of ours that it comes from; the stack's choice without. */
  local: string | undefined;
  /** ms. */
  timeout: number;
  signal: AbortSignal;
}

/** Wrong datagrams that a query looks at before it gives the server up. */
const MAX_LIES = 64;

const failure = (code: string): Error & { code: string } => Object.assign(new Error(code), { code });

/** Counts what was not believed. */
export interface Counters {
  /** Datagrams to our port that answer no question of ours. */
  ignored: number;
  /** Questions asked over UDP and over TCP. */
  udp: number;
  tcp: number;
}

/** Asks; rejects with a `code`: `ETIMEOUT`, `ECONNREFUSED`, `ECANCELLED`, ... */
export async function ask(on: Transport, question: Question, counters: Counters): Promise<Answer> {
  let answer = await askUdp(on, question, counters, true);
  // Servers older than EDNS (RFC 6891 section 7).
  if (answer.rcode === 'FORMERR' || answer.rcode === 'NOTIMP') answer = await askUdp(on, question, counters, false);
  return answer.truncated ? askTcp(on, question, counters) : answer;
}

/**
 * Ends a question when its time is over, when it is cancelled, and at an error of its socket. Returns what else ends it:
 * lets go of the socket, then settles. Null when it was cancelled before, and has been rejected.
 */
function bounded(
  socket: EventEmitter,
  { timeout, signal }: Question,
  reject: (error: Error) => void,
  close: () => void,
): ((settle: () => void) => void) | null {
  const end = (settle: () => void): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
    socket.removeAllListeners();
    socket.on('error', () => {});
    close();
    settle();
  };
  const cancel = (): void => end(() => reject(failure('ECANCELLED')));
  const timer = setTimeout(() => end(() => reject(failure('ETIMEOUT'))), timeout);
  if (signal.aborted) {
    cancel();
    return null;
  }
  signal.addEventListener('abort', cancel);
  socket.on('error', (error: NodeJS.ErrnoException) => end(() => reject(failure(error.code ?? 'EBADRESP'))));
  return end;
}

function askUdp(on: Transport, question: Question, counters: Counters, edns: boolean): Promise<Answer> {
  const { name, type, server, local } = question;
  const id = randomInt(0x10000);
  const query = encodeQuery(id, name, type, edns);
  counters.udp++;
  return new Promise((resolve, reject) => {
    // A socket, and so a random port (RFC 5452 section 9.2), for each question; connected, so that only the server's
    // datagrams come in, and ICMP errors about ours.
    const socket = on.dgram.createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    let lies = 0;
    const end = bounded(socket, question, reject, () => socket.close());
    if (end === null) return;
    socket.on('message', (data) => {
      const answer = decodeAnswer(data, id, name, type);
      if (answer !== null) {
        end(() => resolve(answer));
        return;
      }
      counters.ignored++;
      // Somebody guesses: a true answer among so many guesses is not to be told from a lucky one.
      if (++lies > MAX_LIES) end(() => reject(failure('EBADRESP')));
    });
    if (local !== undefined) socket.bind(0, local);
    socket.connect(server.port, server.address, () => {
      socket.send(query, (error) => {
        const code = (error as NodeJS.ErrnoException | null)?.code;
        if (code) end(() => reject(failure(code)));
      });
    });
  });
}

function askTcp(on: Transport, question: Question, counters: Counters): Promise<Answer> {
  const { name, type, server, local } = question;
  const id = randomInt(0x10000);
  const query = encodeQuery(id, name, type, true);
  counters.tcp++;
  return new Promise((resolve, reject) => {
    const socket = on.net.connect({ host: server.address, port: server.port, ...(local && { localAddress: local }) });
    let received = Buffer.alloc(0);
    const end = bounded(socket, question, reject, () => socket.destroy());
    if (end === null) return;
    socket.on('close', () => end(() => reject(failure('EBADRESP'))));
    socket.on('data', (chunk: Buffer) => {
      // RFC 1035 section 4.2.2: two bytes of length, then the message: 64 KiB at most.
      received = Buffer.concat([received, chunk]);
      if (received.length < 2) return;
      const length = received.readUInt16BE(0);
      if (received.length < 2 + length) return;
      const answer = decodeAnswer(received.subarray(2, 2 + length), id, name, type);
      if (answer === null) counters.ignored++;
      end(() => (answer === null ? reject(failure('EBADRESP')) : resolve(answer)));
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
  });
}
