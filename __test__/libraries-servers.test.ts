// Database clients on a stack against the real servers, over a TUN: pg and PostgreSQL, ioredis and Redis, mysql2 and
// MariaDB.
import { type Certificate, makeCertificate } from './support/certificate';
import { describeTun, Namespace } from './support/netns';
import { Servers } from './support/servers';
import { until } from './support/stacks';

const families = [
  ['IPv4', '198.18.0.1', '198.18.0.2'],
  ['IPv6', 'fd00::1', 'fd00::2'],
] as const;

describeTun('over a TUN', () => {
  let namespace: Namespace;
  let servers: Servers;
  let certificate: Certificate;

  beforeAll(async () => {
    certificate = makeCertificate();
    namespace = await Namespace.start('library-peer.ts');
    servers = new Servers(namespace);
    await Promise.all([servers.postgres(certificate), servers.redis(), servers.mariadb()]);
  }, 90_000);

  afterAll(async () => {
    await servers?.stop();
    await namespace?.stop();
  });

  // Whatever a client did, no connection of it stays.
  afterEach(async () => {
    await until(
      'every connection is closed',
      async () => {
        const stats = await namespace.call<Record<string, number>>('stats');
        return stats.connections === 0;
      },
      20_000,
    );
  });

  describe.each(families)('%s', (_family, host, own) => {
    test.each(['plain', 'TLS'])('pg: queries, %s', async (how) => {
      const ca = how === 'TLS' ? certificate.cert.toString() : undefined;
      expect(await namespace.call('pgQueries', host, ca)).toEqual({
        peer: { address: own, ssl: how === 'TLS' },
        sum: 42,
        large: true,
        rows: 50_000,
        last: 50_000,
        failure: '22012', // division by zero
      });
    });

    test('pg: a pool, whose connections the server ends', async () => {
      expect(await namespace.call('pgPool', host)).toEqual({ answers: true, size: 8, after: 1, codes: ['57P01'] });
    });

    test('ioredis: values, a pipeline, publish and subscribe, and again after the server hung up', async () => {
      const result = await namespace.call<{ counted: number }>('redisCommands', host);
      expect(result).toMatchObject({ same: true, messages: ['a', 'b', 'c'], late: 'late' });
      expect(result.counted % 10_000).toBe(0);
    });

    test('mysql2: queries and prepared statements', async () => {
      expect(await namespace.call('mysqlQueries', host)).toEqual({
        address: own,
        sum: 42,
        rows: 5,
        same: true,
        failure: 'ER_BAD_FIELD_ERROR',
      });
    });
  });
});
