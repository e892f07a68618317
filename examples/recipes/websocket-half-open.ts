// A WebSocket's half-open peer: the client loses power, no FIN comes, only unanswered pings tell.
import * as assert from 'node:assert/strict';
import { assertNoReset, withNetwork } from 'usernet/testing';
import { WebSocket, WebSocketServer } from 'ws';

const HEARTBEAT = 30_000;

/** Resolves with how long after the crash the server noticed, virtual ms. */
export async function websocketHalfOpen(): Promise<number> {
  return withNetwork({ seed: 3 }, async (network) => {
    const [client, server] = [network.host('client'), network.host('server')];
    network.link(client, server, { delay: 40 });
    const http = server.http.createServer().listen(80);
    const sockets = new WebSocketServer({ server: http });
    let noticed = 0;
    sockets.on('connection', (socket) => {
      let alive = true;
      socket.on('pong', () => {
        alive = true;
      });
      const beat = setInterval(() => {
        if (!alive) return socket.terminate();
        alive = false;
        socket.ping();
      }, HEARTBEAT);
      socket.on('close', () => {
        clearInterval(beat);
        noticed = network.now;
      });
    });
    const socket = new WebSocket('ws://server/', { createConnection: client.net.connect as never });
    socket.on('error', () => {});
    await network.until(() => socket.readyState === WebSocket.OPEN);
    await network.advance(10 * 60_000);
    assert.equal(noticed, 0, 'a healthy peer is kept');

    client.crash();
    assertNoReset(network);
    const crashed = network.now;
    await network.until(() => noticed > 0);
    const took = noticed - crashed;
    assert.ok(took > HEARTBEAT - 1_000 && took <= 2 * HEARTBEAT + 100, `noticed after ${took} ms`);
    return took;
  });
}
