// The process in the namespace that runs database clients on a stack; the servers are the kernel's, see servers.ts.
// IPv4 198.18.0.2 and IPv6 fd00::2 are ours, 198.18.0.1 and fd00::1 the kernel's.

import { execFileSync } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import { Client, Pool } from 'pg';
import { createStack, type Socket, type Stack } from '../../src/index';
import { serveCalls } from './rpc';
import { tun } from './tuns';

let stack: Stack;

async function start(): Promise<void> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  stack = await createStack({
    interfaces: [{ device: tun({ name: 'un0' }), addresses: ['198.18.0.2/24', 'fd00::2/64'] }],
    timeWait: 200, // short, so that a test can wait until no connection is left
  });
  execFileSync('ip', ['address', 'add', '198.18.0.1/24', 'dev', 'un0']);
  execFileSync('ip', ['address', 'add', 'fd00::1/64', 'dev', 'un0', 'nodad']);
}

/** pg asks for a socket and connects it itself. */
const postgres = (host: string, ca?: string) => ({
  host,
  port: 5432,
  user: 'test',
  database: 'test',
  ssl: ca === undefined ? false : { ca, servername: 'localhost' },
  stream: () => new stack.net.Socket(),
});

/** Who asks, as the server sees it; rows, parameters, a large value each way, an error, an end. */
async function pgQueries(host: string, ca?: string): Promise<object> {
  const client = new Client({ ...postgres(host, ca), database: 'postgres' });
  await client.connect();
  const one = async (sql: string, ...values: unknown[]) => (await client.query(sql, values)).rows[0];
  const peer = await one(
    'SELECT host(inet_client_addr()) AS address, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
  );
  const sum = await one('SELECT $1::int + $2::int AS sum', 2, 40);
  const large = 'ü'.repeat(1 << 20);
  const back = await one('SELECT $1::text AS text, octet_length($1::text) AS length', large);
  const rows = await client.query('SELECT n FROM generate_series(1, 50000) AS n');
  const failure = await client.query('SELECT 1/0').catch((error: Error & { code: string }) => error.code);
  await client.end();
  return {
    peer,
    sum: sum.sum,
    large: back.length === 2 << 20 && back.text === large,
    rows: rows.rows.length,
    last: rows.rows.at(-1).n,
    failure,
  };
}

/** A pool under more demand than it has clients, one of which the server ends. */
async function pgPool(host: string): Promise<object> {
  const pool = new Pool({ ...postgres(host), database: 'postgres', max: 8 });
  const errors: string[] = [];
  pool.on('error', (error: Error & { code?: string }) => errors.push(error.code ?? error.message));
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, index) => (await pool.query('SELECT $1::int AS n', [index])).rows[0].n),
  );
  const size = pool.totalCount;
  // Every idle connection dies under the pool, which takes another.
  const removed = new Promise<void>((resolve) => {
    pool.on('remove', () => {
      if (pool.totalCount === 0) resolve();
    });
  });
  const killer = new Client({ ...postgres(host), database: 'postgres' });
  await killer.connect();
  await killer.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND usename = $1',
    ['test'],
  );
  await killer.end();
  await removed;
  const after = (await pool.query('SELECT 1 AS one')).rows[0].one;
  await pool.end();
  return { answers: answers.every((n, index) => n === index), size, after, codes: [...new Set(errors)] };
}

/** ioredis takes a connector: whoever gives it the stream. */
function redis(host: string): Redis {
  let socket: Socket | undefined;
  class Connector {
    connecting = false;
    firstError: Error | undefined;
    async connect(): Promise<Duplex> {
      socket = stack.net.connect({ host, port: 6379 });
      return socket;
    }
    disconnect(): void {
      socket?.end();
    }
    check(): boolean {
      return true;
    }
  }
  return new Redis({ Connector: Connector as never, retryStrategy: () => 10 });
}

/** Values, a pipeline, publish and subscribe, a connection that the server ends. */
async function redisCommands(host: string): Promise<object> {
  const [client, subscriber] = [redis(host), redis(host)];
  const large = Buffer.alloc(4 << 20, 'redis');
  await client.set('large', large);
  const same = (await client.getBuffer('large'))?.equals(large);
  const pipeline = client.pipeline();
  for (let n = 0; n < 10_000; n++) pipeline.incr('counter');
  const counted = (await pipeline.exec())?.at(-1)?.[1];
  const messages: string[] = [];
  await subscriber.subscribe('news');
  const heard = new Promise<void>((resolve) => {
    subscriber.on('message', (_channel: string, text: string) => {
      if (messages.push(text) === 3) resolve();
    });
  });
  for (const text of ['a', 'b', 'c']) await client.publish('news', text);
  await heard;
  // The server ends the subscriber's connection, which connects again and subscribes again.
  const again = new Promise((resolve) => subscriber.once('ready', resolve));
  await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await again;
  const late = new Promise((resolve) => subscriber.once('message', (_channel: string, text: string) => resolve(text)));
  while ((await client.publish('news', 'late')) === 0);
  const result = { same, counted, late: await late, messages: messages.slice(0, 3) };
  await Promise.all([client.quit(), subscriber.quit()]);
  return result;
}

/** mysql2 takes a function that makes the stream. */
async function mysqlQueries(host: string): Promise<object> {
  const connection = await mysql.createConnection({
    user: 'test',
    password: 'secret',
    stream: () => stack.net.connect({ host, port: 3306 }),
  });
  const [[who]] = await connection.query<mysql.RowDataPacket[]>('SELECT SUBSTRING_INDEX(USER(), "@", -1) AS address');
  const [[sum]] = await connection.execute<mysql.RowDataPacket[]>('SELECT ? + ? AS sum', [2, 40]);
  await connection.query('CREATE DATABASE things');
  await connection.query('CREATE TABLE things.thing (id INT PRIMARY KEY, data LONGBLOB)');
  const data = Buffer.alloc(2 << 20, 'mysql');
  for (let id = 0; id < 5; id++) await connection.execute('INSERT INTO things.thing VALUES (?, ?)', [id, data]);
  const [rows] = await connection.query<mysql.RowDataPacket[]>('SELECT * FROM things.thing ORDER BY id');
  const failure = await connection.query('SELECT nonsense').catch((error: Error & { code: string }) => error.code);
  await connection.query('DROP DATABASE things');
  await connection.end();
  return {
    address: who?.address,
    sum: Number(sum?.sum),
    rows: rows.length,
    same: rows.every((row) => (row.data as Buffer).equals(data)),
    failure,
  };
}

serveCalls({ start, pgQueries, pgPool, redisCommands, mysqlQueries, stats: () => stack.stats() }, async () => {
  await stack?.close();
});
