// An upload over 2G: 50 kbit/s up with a deep queue, 300 ms, some loss. It takes minutes, and every byte arrives.
import * as assert from 'node:assert/strict';
import { withNetwork } from 'usernet/testing';

/** Resolves with how long a megabyte took, virtual s. */
export async function upload2g(): Promise<number> {
  return withNetwork({ seed: 5 }, async (network) => {
    const [phone, server] = [network.host('phone'), network.host('server')];
    network.link(phone, server, {
      delay: 300,
      jitter: 100,
      loss: 0.01,
      queue: 30_000,
      there: { rate: 50_000 },
      back: { rate: 150_000 },
    });
    const sent = Buffer.alloc(1_000_000, 'upload');
    let received = 0;
    server.http
      .createServer((request, response) => {
        request.on('data', (chunk: Buffer) => {
          received += chunk.length;
        });
        request.on('end', () => response.end('thanks'));
      })
      .listen(80);
    const status = await network.run(
      () =>
        new Promise<number | undefined>((resolve, reject) => {
          const request = phone.http.request('http://server/photo', { method: 'PUT' }, (response) => {
            response.resume().on('end', () => resolve(response.statusCode));
          });
          request.on('error', reject);
          request.end(sent);
        }),
    );
    assert.equal(status, 200);
    assert.equal(received, sent.length);
    // 8 Mbit at 50 kbit/s are 160 s, headers and losses not counted.
    assert.ok(network.now > 160_000 && network.now < 900_000, `took ${network.now} ms`);
    return network.now / 1_000;
  });
}
