// Two stacks in one process on a link that loses, duplicates, reorders and delays, in real time. The grid of 100 seeds runs
// in virtual time in the crates; here are a few seeds through the binding and the streams.

import { pipeline } from 'node:stream/promises';
import { byteStream, digestOf, digestStream } from './support/bytes';
import { hosts, pair, portOf } from './support/stacks';

const LENGTH = 300_000;
const seeds = [1, 2, 3, 4, 5, 6, 7, 8];

jest.setTimeout(120_000);

describe.each(hosts)('5% loss, 5% duplication, 5% reordering and 20 ms of delay, over %s', (host) => {
  test('every byte arrives, both ways at once, with every seed', async () => {
    const transfer = async (seed: number): Promise<object> => {
      const net = await pair({ link: { loss: 0.05, duplicate: 0.05, reorder: 0.05, delay: 20, seed } });
      const server = net.server.net.createServer({ allowHalfOpen: true }, (socket) => {
        void pipeline(byteStream(LENGTH, seed + 1000), socket);
        received = digestStream(socket);
      });
      let received: Promise<object> | undefined;
      server.listen(0);
      const socket = net.client.net.connect({ host, port: await portOf(server), allowHalfOpen: true });
      const [sent] = await Promise.all([digestStream(socket), pipeline(byteStream(LENGTH, seed), socket)]);
      const result = { toServer: await received, toClient: sent };
      await net.close();
      return result;
    };
    const results = await Promise.all(seeds.map(transfer));
    expect(results).toEqual(
      seeds.map((seed) => ({
        toServer: { length: LENGTH, sha256: digestOf(LENGTH, seed) },
        toClient: { length: LENGTH, sha256: digestOf(LENGTH, seed + 1000) },
      })),
    );
  });
});
