// SO_REUSEPORT: several listeners on one address and port of a stack. They share a listener of the stack, and each
// connection goes to the one that a hash of its peer's address and port chooses.
import { AsyncResource } from 'node:async_hooks';
import type { ListenerSink, Reactor } from '../reactor';

/** A listener that has others beside it. */
export interface GroupMember extends ListenerSink {
  owner: unknown;
}

const groups = new WeakMap<Reactor, Map<string, PortGroup>>();

function groupsOf(reactor: Reactor): Map<string, PortGroup> {
  let known = groups.get(reactor);
  if (known === undefined) {
    known = new Map();
    groups.set(reactor, known);
  }
  return known;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** The listeners that share a port; the stack's listener lives as long as one of them. */
export class PortGroup extends AsyncResource implements ListenerSink {
  /** Of the stack's listener. */
  readonly id: number;
  readonly #reactor: Reactor;
  readonly #key: string;
  readonly #members: GroupMember[] = [];

  private constructor(reactor: Reactor, id: number, key: string) {
    super('USERNETTCPSERVER', { requireManualDestroy: true });
    this.#reactor = reactor;
    this.id = id;
    this.#key = key;
    reactor.addListener(id, this);
    groupsOf(reactor).set(key, this);
  }

  /**
   * The group on an address and port, or a new one over the stack's listener that `listen` makes; a negative errno where
   * it makes none, as where a listener is there that shares with nobody.
   */
  static join(reactor: Reactor, place: string, port: number, listen: () => number): PortGroup | number {
    const known = port === 0 ? undefined : groupsOf(reactor).get(`${place} ${port}`);
    if (known !== undefined) return known;
    const id = listen();
    if (id < 0) return id;
    return new PortGroup(reactor, id, `${place} ${reactor.native.listenerAddress(id)?.port}`);
  }

  /** Whom the stack's listener is for, as far as one can be named. */
  get owner(): unknown {
    return this.#members[0]?.owner;
  }

  add(member: GroupMember): void {
    this.#members.push(member);
  }

  /** The last to leave closes the stack's listener. */
  remove(member: GroupMember): void {
    this.#members.splice(this.#members.indexOf(member), 1);
    if (this.#members.length > 0) return;
    groupsOf(this.#reactor).delete(this.#key);
    this.#reactor.removeListener(this.id);
    if (!this.#reactor.closed) this.#reactor.native.closeListener(this.id);
    this.emitDestroy();
  }

  onAccept(id: number): void {
    const { length } = this.#members;
    let index = 0;
    if (length > 1) {
      const peer = this.#reactor.native.remoteAddress(id);
      index = peer === null ? 0 : hash(`${peer.address} ${peer.port}`) % length;
    }
    this.#members[index]?.onAccept(id);
  }

  onStackClose(): void {
    for (const member of [...this.#members]) member.onStackClose();
  }
}
