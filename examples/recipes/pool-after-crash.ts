// A connection pool after a server crash and restart: idle connections are stale, and the first use of each tells so.
import * as assert from 'node:assert/strict';
import { assertReset, withNetwork } from 'usernet/testing';

/** Resolves with how many requests met a stale connection and were sent again. */
export async function poolAfterCrash(): Promise<number> {
  return withNetwork({ seed: 6 }, async (network) => {
    const [client, server] = [network.host('client'), network.host('server')];
    network.link(client, server, { delay: 5 });
    const serve = (): void => {
      const http = server.http.createServer((_request, response) => response.end('ok'));
      http.keepAliveTimeout = 600_000;
      http.listen(80);
    };
    serve();
    const agent = client.agent({ keepAlive: true, maxSockets: 4 });
    let stale = 0;
    const get = (): Promise<void> =>
      new Promise((resolve, reject) => {
        const request = client.http.get('http://server/', { agent }, (response) =>
          response.resume().on('end', resolve),
        );
        request.on('error', (error: NodeJS.ErrnoException) => {
          if (!request.reusedSocket || error.code !== 'ECONNRESET') return reject(error);
          stale++;
          get().then(resolve, reject);
        });
      });
    const round = (): Promise<unknown> => network.run(() => Promise.all(Array.from({ length: 4 }, get)));

    await round();
    server.crash();
    await network.advance(1_000);
    server.restart();
    serve();
    await round();
    assert.ok(stale >= 1 && stale <= 4, `${stale} stale`);
    assertReset(network);
    agent.destroy();
    return stale;
  });
}
