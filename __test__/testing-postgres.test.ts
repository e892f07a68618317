// pg on a simulated host against a real PostgreSQL, which a link leads to: `host.forward()` with `clock: 'real'`.
import { Client, Pool } from 'pg';
import { assertEstablished, assertNoReset, createNetwork, type Host, type Network } from 'usernet/testing';
import { here, Servers } from './support/servers';

// PostgreSQL's Unix sockets, and the way to be a plain user, are those of Linux here.
const describeLinux = process.platform === 'linux' ? describe : describe.skip;

describeLinux('a real PostgreSQL behind a link', () => {
  let servers: Servers;
  let socket: string;
  let network: Network;
  let client: Host;

  beforeAll(async () => {
    servers = new Servers(here);
    socket = await servers.postgresOnSocket();
  }, 90_000);

  afterAll(() => servers?.stop());

  beforeEach(async () => {
    network = createNetwork({ seed: 1, clock: 'real' });
    client = network.host('client');
    const database = network.host('database');
    network.link(client, database, { delay: 10, rate: 100e6, loss: 0.01 });
    await database.forward(5432, { path: socket });
  });

  afterEach(() => network.close());

  const settings = () => ({
    host: 'database',
    port: 5432,
    user: 'test',
    database: 'postgres',
    stream: (() => new client.net.Socket()) as never,
  });

  test('queries, a transaction and 20,000 rows', async () => {
    const db = new Client(settings());
    await db.connect();
    const began = process.hrtime.bigint();
    expect((await db.query('SELECT 40 + $1::int AS sum', [2])).rows).toEqual([{ sum: 42 }]);
    // There and back over the link.
    expect(Number(process.hrtime.bigint() - began) / 1e6).toBeGreaterThanOrEqual(19);
    await db.query('CREATE TEMP TABLE t (n int)');
    await db.query('BEGIN');
    await db.query('INSERT INTO t SELECT generate_series(1, 20000)');
    await db.query('COMMIT');
    const { rows } = await db.query<{ n: number }>('SELECT n FROM t ORDER BY n');
    expect(rows).toHaveLength(20_000);
    expect(rows.at(-1)).toEqual({ n: 20_000 });
    await expect(db.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
    await db.end();
    assertEstablished(network, { client: 'client', server: 'database', port: 5432 });
  });

  test('a pool over a partition that heals', async () => {
    const pool = new Pool({ ...settings(), max: 3 });
    await Promise.all([1, 2, 3].map((n) => pool.query('SELECT $1::int', [n])));
    network.partition([client], [network.hosts.get('database') as Host]);
    let answered = false;
    const late = pool.query('SELECT 7 AS n').then(({ rows }) => {
      answered = true;
      return rows;
    });
    await network.until(() => Number(network.drops().partition) > 0);
    expect(answered).toBe(false);
    network.heal();
    expect(await late).toEqual([{ n: 7 }]);
    await pool.end();
    assertNoReset(network);
  });
});
