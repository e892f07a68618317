// The examples, run as a user would use them: their functions over a link between two stacks, and their command lines.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { call, chat, twoStacks } from '../examples/chat';
import { echoClient, echoServer } from '../examples/echo';
import { httpFileServer, httpGet } from '../examples/http-server';
import { Publisher, Subscriber } from '../examples/multicast';
import { staticServer } from '../examples/static-server';
import { createLink, createStack, type Server, type Socket } from '../src/index';
import { bytes } from './support/bytes';
import { closed, hosts, type Pair, pair, portOf, readAll, until } from './support/stacks';

let net: Pair;
let server: Server;
let port: number;

beforeEach(async () => {
  net = await pair();
});

afterEach(async () => {
  await net.close();
});

async function serve(made: Server): Promise<void> {
  server = made.listen(0);
  port = await portOf(server);
}

describe.each(hosts)('echo over %s', (host) => {
  beforeEach(() => serve(echoServer(net.server.net)));

  test('concurrent clients get their own lines back, in order', async () => {
    const clients = Array.from({ length: 20 }, (_, client) =>
      Array.from({ length: 200 }, (_, line) => `client ${client} line ${line} ${'x'.repeat(line)}`),
    );
    const answers = await Promise.all(clients.map((lines) => echoClient(net.client.net, port, host, lines)));
    expect(answers).toEqual(clients);
    await closed(server);
  });

  test('a client that stops reading is stopped, and nothing is lost once it reads again', async () => {
    const socket = net.client.net.connect({ host, port }) as Socket;
    await once(socket, 'connect');
    const sent = bytes(32 << 20);
    let accepted = 0;
    let stalled = false;
    const writing = (async () => {
      for (let at = 0; at < sent.length; at += 65_536) {
        const chunk = sent.subarray(at, at + 65_536);
        const room = socket.write(chunk);
        accepted = at + chunk.length;
        if (!room) {
          stalled = true;
          await once(socket, 'drain');
          stalled = false;
        }
      }
      socket.end();
    })();
    // Nobody reads: the two receive queues and the two send queues fill, and then nothing moves.
    await until('the writer stalls', () => {
      const { snd_wnd, mss, unsent } = socket.info() as unknown as Record<string, number>;
      return stalled && unsent! > 0 && snd_wnd! < mss!;
    });
    expect(accepted).toBeLessThan(24 << 20);
    const received = await readAll(socket);
    await writing;
    expect(received.equals(sent)).toBe(true);
    await closed(server);
  });
});

describe('static files', () => {
  let outside: string;
  let folder: string;

  beforeAll(() => {
    outside = realpathSync(mkdtempSync(path.join(tmpdir(), 'usernet-files-')));
    folder = path.join(outside, 'public');
    mkdirSync(path.join(folder, 'sub'), { recursive: true });
    mkdirSync(path.join(outside, 'public-not'));
    writeFileSync(path.join(outside, 'secret.txt'), 'secret');
    writeFileSync(path.join(outside, 'public-not', 'secret.txt'), 'secret');
    writeFileSync(path.join(folder, 'a b.txt'), 'spaced');
    writeFileSync(path.join(folder, 'empty'), '');
    writeFileSync(path.join(folder, 'big.bin'), bytes(3 << 20, 7));
    writeFileSync(path.join(folder, 'sub', 'index.html'), '<p>index</p>');
    writeFileSync(path.join(folder, '..dots..'), 'dots');
    symlinkSync('../secret.txt', path.join(folder, 'link-out.txt'));
    symlinkSync('..', path.join(folder, 'up'));
    symlinkSync('a b.txt', path.join(folder, 'link-in.txt'));
    symlinkSync('loop', path.join(folder, 'loop'));
  });

  afterAll(() => rmSync(outside, { recursive: true, force: true }));

  /** Sends a request as it is, ends its side after it where asked to, and splits the answer. */
  async function ask(
    host: string,
    request: string,
    end = false,
  ): Promise<{ status: number; head: string; body: Buffer }> {
    const socket = net.client.net.connect({ host, port, allowHalfOpen: true }) as Socket;
    if (end) socket.end(request, 'latin1');
    else socket.write(request, 'latin1');
    const answer = await readAll(socket);
    socket.end();
    const split = answer.indexOf('\r\n\r\n');
    const head = answer.subarray(0, split).toString('latin1');
    return { status: Number(head.split(' ')[1]), head, body: answer.subarray(split + 4) };
  }

  const get = (host: string, target: string, method = 'GET') =>
    ask(host, `${method} ${target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`);

  const attacks = [
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/%2E%2E%2Fsecret.txt',
    '/sub/../../secret.txt',
    '/sub/..%2f..%2fsecret.txt',
    '/..%5csecret.txt',
    '/..\\secret.txt',
    '/%252e%252e/secret.txt',
    '/../public-not/secret.txt',
    '//../secret.txt',
    '/./.././secret.txt',
    '/secret.txt%00.html',
    '/a%20b.txt%00',
    '/%c0%ae%c0%ae/secret.txt',
    '/%ff',
    '/%',
    '/link-out.txt',
    '/up/secret.txt',
    '/up/public/../secret.txt',
    '/loop',
    '/sub/missing',
    `/${'a'.repeat(2000)}`,
    'http://test/../secret.txt',
    'secret.txt',
    '../secret.txt',
  ];

  describe.each([
    ['createServer', staticServer],
    ['node:http', httpFileServer],
  ] as const)('by %s', (kind, make) => {
    beforeEach(() => serve(make(net.server.net, folder)));

    test.each(hosts)('files come whole, with their length, over %s', async (host) => {
      const big = await get(host, '/big.bin');
      expect(big.status).toBe(200);
      expect(big.head).toMatch(new RegExp(`^content-length: ${3 << 20}$`, 'im'));
      expect(big.body.equals(bytes(3 << 20, 7))).toBe(true);
      expect((await get(host, '/a%20b.txt?query=/../x')).body.toString()).toBe('spaced');
      expect((await get(host, '/empty')).head).toMatch(/^content-length: 0$/im);
      expect((await get(host, '/sub/')).body.toString()).toBe('<p>index</p>');
      expect((await get(host, '/link-in.txt')).body.toString()).toBe('spaced');
      expect((await get(host, '/..dots..')).body.toString()).toBe('dots');
      expect((await get(host, 'http://test/a%20b.txt')).body.toString()).toBe('spaced');
    });

    test('HEAD has the length and no body; other methods are refused', async () => {
      const head = await get(hosts[0], '/a%20b.txt', 'HEAD');
      expect([head.status, head.body.length]).toEqual([200, 0]);
      expect(head.head).toMatch(/^content-length: 6$/im);
      const post = await get(hosts[0], '/a%20b.txt', 'DELETE');
      expect(post.status).toBe(405);
      expect(post.head).toMatch(/^allow: GET, HEAD$/im);
    });

    test.each(attacks)('%j does not leave the folder', async (target) => {
      const answer = await get(hosts[0], target);
      expect([400, 404]).toContain(answer.status);
      expect(answer.body.toString()).not.toContain('secret');
    });

    if (kind === 'createServer') {
      test.each([
        ['garbage', 'hello\r\n\r\n', 400],
        ['a lone end of stream', '', 400],
        ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
        ['a head of 9,000 bytes', `GET / HTTP/1.1\r\nX: ${'x'.repeat(9000)}\r\n\r\n`, 431],
        ['a head that never ends', `GET /${'x'.repeat(20_000)}`, 431],
      ])('%s is answered with an error', async (_name, request, status) => {
        expect((await ask(hosts[1], request, true)).status).toBe(status);
      });

      test('a client that ends its side after the request gets the whole answer', async () => {
        const answer = await ask(hosts[1], 'GET /big.bin HTTP/1.0\r\n\r\n', true);
        expect([answer.status, answer.body.length]).toEqual([200, 3 << 20]);
      });
    }
  });

  test('node:http clients run over a stack too', async () => {
    await serve(httpFileServer(net.server.net, folder));
    const response = await httpGet(net.client.net, { host: hosts[1], port, path: '/a%20b.txt' });
    expect(response.statusCode).toBe(200);
    expect((await readAll(response)).toString()).toBe('spaced');
  });
});

test.each(['198.18.0.2', 'fd00::2'])('a chat between two stacks goes both ways, over %s', async (host) => {
  const [left, right] = await twoStacks();
  const [ada, bob] = await call(left, right, host);
  const [adaTypes, bobTypes, adaSees, bobSees] = [
    new PassThrough(),
    new PassThrough(),
    new PassThrough({ encoding: 'utf8' }),
    new PassThrough({ encoding: 'utf8' }),
  ];
  const done = Promise.all([chat(ada, adaTypes, adaSees), chat(bob, bobTypes, bobSees)]);
  for (let round = 0; round < 10; round++) {
    adaTypes.write(`from ada ${round}\n`);
    bobTypes.write(`from bob ${round}\n`);
  }
  const lines = (who: string) => Array.from({ length: 10 }, (_, round) => `from ${who} ${round}\n`).join('');
  const seen = { ada: '', bob: '' };
  adaSees.on('data', (text) => {
    seen.ada += text;
  });
  bobSees.on('data', (text) => {
    seen.bob += text;
  });
  await until('every line arrived', () => seen.ada === lines('bob') && seen.bob === lines('ada'));
  // One leaves; the other can still talk to the end.
  adaTypes.end();
  bobTypes.end('still here\n');
  await done;
  expect(seen.ada).toBe(`${lines('bob')}still here\n`);
  expect(seen.bob).toBe(lines('ada'));
  await Promise.all([left.close(), right.close()]);
});

test('multicast: what a link loses all behind it miss, what a buffer has no room for its subscriber alone', async () => {
  const topic = { group: '239.1.2.3', port: 5000 };
  const [left, right] = createLink({ loss: 0.2, seed: 3 });
  const here = await createStack({ interfaces: [{ device: left, addresses: ['198.18.0.1/24'] }] });
  const there = await createStack({ interfaces: [{ device: right, addresses: ['198.18.0.2/24'] }] });
  const near = await Subscriber.start(here, topic, '198.18.0.1');
  const far = [await Subscriber.start(there, topic, '198.18.0.2'), await Subscriber.start(there, topic, '198.18.0.2')];
  // Room for no message at all: every one that comes is dropped.
  const narrow = await Subscriber.start(there, topic, '198.18.0.2', 1);
  const publisher = await Publisher.start(here, topic, '198.18.0.1');
  for (let i = 0; i < 100; i++) await publisher.publish(`message ${i}`);
  await until('the last message', () => near.report.received === 100);
  expect(near.report).toEqual({ received: 100, missed: [], dropped: 0 });
  expect(near.messages).toEqual(Array.from({ length: 100 }, (_, i) => `message ${i}`));
  const [first, second] = far as [Subscriber, Subscriber];
  await until('what the link has let through', () => first.report.received === narrow.report.dropped);
  expect(first.report.missed.length).toBeGreaterThan(5);
  expect(second.report).toEqual(first.report);
  expect(first.report.dropped).toBe(0);
  expect(narrow.report).toMatchObject({ received: 0, missed: [] });
  // Who leaves hears nothing more.
  first.close();
  const before = second.report.received;
  while (second.report.received === before) {
    await publisher.publish('once more');
    // What was sent can come in only when the event loop turns.
    await new Promise(setImmediate);
  }
  expect(first.messages).not.toContain('once more');
  await Promise.all([here.close(), there.close()]);
});

describe('command lines', () => {
  const root = path.resolve(__dirname, '..');
  const runExample = async (name: string): Promise<string> => {
    const args = ['--import', 'tsx', path.join(root, 'examples', name)];
    return (await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 20_000 })).stdout;
  };

  test('echo', async () => {
    const output = await runExample('echo.ts');
    expect(output.trim().split('\n').sort()).toEqual([
      'ada says hello; ada says bye',
      'bob says hello; bob says bye',
      'eve says hello; eve says bye',
    ]);
  });

  test('static-server', async () => {
    expect(await runExample('static-server.ts')).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*# usernet/);
  });

  test('http-server', async () => {
    expect(await runExample('http-server.ts')).toContain('# usernet');
  });

  test('multicast', async () => {
    // What the link lost, both behind it missed. (Which it is depends on when the group reports pass between.)
    expect(await runExample('multicast.ts')).toMatch(
      /^behind the link: (4\d) came, missed (\d[\d ]*)\nbeside it: \1 came, missed \2\nat the publisher: 50 came, missed none$/m,
    );
  });

  test('chat', async () => {
    expect(await runExample('chat.ts')).toBe(
      'bob sees:  Bob, do you hear me?\nada sees:  I do, over TCP that no kernel knows of.\n',
    );
  });
});
