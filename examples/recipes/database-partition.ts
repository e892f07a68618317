// A database client during a partition: a query hangs until the client's own timeout, then a new connection works.
import * as assert from 'node:assert/strict';
import { withNetwork } from 'usernet/testing';

/** One line out, one line back: as much of a database as a client's timeouts need. */
export async function databasePartition(): Promise<void> {
  return withNetwork({ seed: 1 }, async (network) => {
    const [app, db] = [network.host('app'), network.host('db')];
    network.link(app, db, { delay: 2 });
    db.net
      .createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (question) => socket.write(`row for ${question}`));
      })
      .listen(5432);

    const query = (sql: string, timeout: number): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = app.net.connect({ host: 'db', port: 5432 }, () => socket.write(sql));
        const timer = setTimeout(() => socket.destroy(new Error('query timeout')), timeout);
        socket.on('error', reject).on('data', (row) => {
          clearTimeout(timer);
          socket.end();
          resolve(String(row));
        });
      });

    assert.equal(await network.run(() => query('SELECT 1', 5_000)), 'row for SELECT 1');
    network.partition([app], [db]);
    const before = network.now;
    await assert.rejects(
      network.run(() => query('SELECT 2', 5_000)),
      /query timeout/,
    );
    assert.equal(Math.round(network.now - before), 5_000);
    network.heal();
    assert.equal(await network.run(() => query('SELECT 3', 5_000)), 'row for SELECT 3');
  });
}
