// Run by node:test, not by Jest: its mock timers share the clock of a network. Expects tsx to be loaded.
const assert = require('node:assert');
const test = require('node:test');
const { createNetwork } = require('../../src/testing/index.ts');

test('mock timers that are handed over share the clock', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  const network = createNetwork({ seed: 1, timers: t.mock.timers });
  const [client, server] = [network.host('client'), network.host('server')];
  network.link(client, server, { delay: 20 });
  server.net.createServer((socket) => setTimeout(() => socket.end('late'), 10_000)).listen(7);
  let at = 0;
  client.net.connect({ host: 'server', port: 7 }).on('data', () => {
    at = Date.now();
  });
  await network.until(() => at > 0);
  assert.ok(at >= 10_060 && at < 10_100, `the data came at ${at}`);
  await network.close();
});

test('mock timers that are not handed over are refused', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  assert.throws(() => createNetwork(), { code: 'ERR_UNKNOWN_FAKE_TIMERS' });
});
