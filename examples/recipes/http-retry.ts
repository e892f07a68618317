// An HTTP client's retry under 5% loss: TCP mends what is lost, the client retries what takes too long.
import * as assert from 'node:assert/strict';
import { assertRetransmitted, withNetwork } from 'usernet/testing';

/** A hundred requests, each given a second and three tries. */
export async function httpRetry(): Promise<number> {
  return withNetwork({ seed: 2 }, async (network) => {
    const [client, server] = [network.host('client'), network.host('server')];
    network.link(client, server, { delay: 30, loss: 0.05 });
    server.http.createServer((_request, response) => response.end('x'.repeat(10_000))).listen(80);

    const get = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const request = client.http.get('http://server/', { agent: false }, (response) => {
          let length = 0;
          response.on('data', (chunk: Buffer) => {
            length += chunk.length;
          });
          response.on('end', () => {
            clearTimeout(timer);
            resolve(length);
          });
          response.on('error', reject);
        });
        const timer = setTimeout(() => request.destroy(new Error('too slow')), 1_000);
        request.on('error', reject);
      });

    let retries = 0;
    await network.run(async () => {
      for (let i = 0; i < 100; i++) {
        for (let tries = 1; ; tries++) {
          const length = await get().catch((error: Error) => error);
          if (length === 10_000) break;
          assert.ok(tries < 10, `request ${i} failed ${tries} times: ${length}`);
          retries++;
        }
      }
    });
    assertRetransmitted(network, { client, server });
    assert.ok(retries < 50, `${retries} retries`);
    return retries;
  });
}
