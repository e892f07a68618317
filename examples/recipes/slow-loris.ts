// A slow-loris server: one byte a second. A client that bounds only idle time waits for ever; a deadline ends it.
import * as assert from 'node:assert/strict';
import { withNetwork } from 'usernet/testing';

/** Resolves with the bytes that each kind of client had taken before it gave up. */
export async function slowLoris(): Promise<{ idle: number; deadline: number }> {
  return withNetwork({ seed: 4 }, async (network) => {
    const [client, server] = [network.host('client'), network.host('server')];
    network.link(client, server, { delay: 10 });
    server.net
      .createServer((socket) => {
        const drip = setInterval(() => socket.write('.'), 1_000);
        socket.on('error', () => {}).on('close', () => clearInterval(drip));
      })
      .listen(80);

    const read = (bound: (socket: ReturnType<typeof client.net.connect>) => void) => {
      const state = { bytes: 0, over: false };
      const socket = client.net.connect({ host: 'server', port: 80 });
      socket.on('data', (chunk: Buffer) => {
        state.bytes += chunk.length;
      });
      socket
        .on('error', () => {})
        .on('close', () => {
          state.over = true;
        });
      bound(socket);
      return { state, socket };
    };
    const idle = read((socket) => socket.setTimeout(5_000, () => socket.destroy()));
    const deadline = read((socket) => setTimeout(() => socket.destroy(), 30_000));
    await network.advance(3_600_000);
    assert.equal(idle.state.over, false, 'a byte a second is never idle for five');
    assert.equal(deadline.state.over, true);
    assert.ok(idle.state.bytes > 3_590 && deadline.state.bytes <= 30);
    idle.socket.destroy();
    return { idle: idle.state.bytes, deadline: deadline.state.bytes };
  });
}
