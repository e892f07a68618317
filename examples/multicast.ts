// Publish and subscribe over multicast: one datagram reaches every subscriber, and nobody sends it again when it is lost.
// Each subscriber notices by the numbers of the messages what it has missed.
//   npx tsx examples/multicast.ts          three subscribers behind a link that loses a tenth

import { once } from 'node:events';
import { createLink, createStack, type DatagramSocket, type Stack } from 'usernet';

/** Where it happens: an address that nobody has, by which those meet who have joined it (RFC 2365: 239/8 is for sites). */
export interface Topic {
  group: string;
  port: number;
}

/** What a subscriber has seen. */
export interface Report {
  /** Messages that came. */
  received: number;
  /** Numbers that did not, of those between the first and the last. */
  missed: number[];
  /** Messages that came to this host, and that this subscriber was too slow for. */
  dropped: number;
}

/** Sends numbered messages to whoever has joined. */
export class Publisher {
  #number = 0;

  private constructor(
    private readonly socket: DatagramSocket,
    private readonly topic: Topic,
  ) {}

  /** `address` is that of the interface it sends through. */
  static async start(stack: Stack, topic: Topic, address: string): Promise<Publisher> {
    const socket = stack.dgram.createSocket('udp4');
    socket.bind(0);
    await once(socket, 'listening');
    socket.setMulticastInterface(address);
    // As far as the next router: 1 is the default, more needs routers that route multicast.
    socket.setMulticastTTL(1);
    return new Publisher(socket, topic);
  }

  publish(text: string): Promise<void> {
    const message = Buffer.alloc(4 + Buffer.byteLength(text));
    message.writeUInt32BE(this.#number++);
    message.write(text, 4);
    const { group, port } = this.topic;
    return new Promise((resolve, reject) => {
      this.socket.send(message, port, group, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.socket.close();
  }
}

/** Hears what is published, and keeps account of what it did not hear. */
export class Subscriber {
  readonly messages: string[] = [];
  readonly #seen = new Set<number>();

  private constructor(private readonly socket: DatagramSocket) {
    socket.on('message', (message) => {
      this.#seen.add(message.readUInt32BE(0));
      this.messages.push(message.toString('utf8', 4));
    });
  }

  /** `address` is that of the interface it listens on; `recvBufferSize` how much may wait for the program, bytes. */
  static async start(stack: Stack, topic: Topic, address: string, recvBufferSize?: number): Promise<Subscriber> {
    // Several subscribers of one host share the port.
    const socket = stack.dgram.createSocket({
      type: 'udp4',
      reuseAddr: true,
      ...(recvBufferSize && { recvBufferSize }),
    });
    socket.bind(topic.port);
    await once(socket, 'listening');
    socket.addMembership(topic.group, address);
    return new Subscriber(socket);
  }

  get report(): Report {
    const last = Math.max(-1, ...this.#seen);
    const missed = Array.from({ length: last + 1 }, (_, number) => number).filter((number) => !this.#seen.has(number));
    return { received: this.#seen.size, missed, dropped: this.socket.info()?.drops ?? 0 };
  }

  close(): void {
    this.socket.close();
  }
}

async function main(): Promise<void> {
  const topic = { group: '239.1.2.3', port: 5000 };
  const [left, right] = createLink({ loss: 0.1, seed: 1 });
  const here = await createStack({ interfaces: [{ device: left, addresses: ['198.18.0.1/24'] }] });
  const there = await createStack({ interfaces: [{ device: right, addresses: ['198.18.0.2/24'] }] });
  const subscribers = {
    'behind the link': await Subscriber.start(there, topic, '198.18.0.2'),
    'beside it': await Subscriber.start(there, topic, '198.18.0.2'),
    'at the publisher': await Subscriber.start(here, topic, '198.18.0.1'),
  };
  const publisher = await Publisher.start(here, topic, '198.18.0.1');
  for (let i = 0; i < 50; i++) await publisher.publish(`message ${i}`);
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const [name, { report }] of Object.entries(subscribers)) {
    console.log(`${name}: ${report.received} came, missed ${report.missed.join(' ') || 'none'}`);
  }
  await Promise.all([here.close(), there.close()]);
}

if (require.main === module) void main();
