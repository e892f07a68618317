// An MTU black hole: small packets pass, large ones vanish without a word (their ICMP is filtered).
import * as assert from 'node:assert/strict';
import { withNetwork } from 'usernet/testing';

/** The handshake succeeds, the transfer stands still until smaller segments are tried (RFC 4821). */
export async function mtuBlackHole(): Promise<void> {
  return withNetwork({ seed: 7 }, async (network) => {
    const [client, server] = [network.host('client'), network.host('server')];
    const link = network.link(client, server, { delay: 10, mtu: 1500 });
    // Narrower than either end knows.
    link.set({ mtu: 1400 });
    let received = 0;
    server.net
      .createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (chunk: Buffer) => {
          received += chunk.length;
        });
      })
      .listen(80);
    const socket = client.net.connect({ host: 'server', port: 80 });
    socket.on('error', () => {});
    await network.until(() => !socket.connecting);
    socket.write('small');
    await network.until(() => received === 5);
    socket.write(Buffer.alloc(50_000));
    await network.advance(1_000);
    assert.equal(received, 5, 'large segments vanish');
    assert.ok((network.drops()['too big'] ?? 0) > 0);
    // After three timeouts in a row.
    await network.until(() => received === 50_005, { limit: 30_000 });
    socket.destroy();
  });
}
