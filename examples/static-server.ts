// A static file server straight on createServer, with no http module: one request per connection, GET and HEAD.
//   npx tsx examples/static-server.ts [folder]                over loopback: fetches its own README
//   npx tsx examples/static-server.ts --tun un0 [folder]      curl http://198.18.0.2/

import { pipeline } from 'node:stream/promises';
import type { Server, Socket } from 'usernet';
import { openInside } from './files';
import { type Net, setUp } from './support';

/** Longest request head that is read, bytes. */
const MAX_HEAD = 8192;
/** How long a client may take to send its request, or to take a piece of the answer, ms. */
const PATIENCE = 10_000;

/** Serves the files of `folder`, and nothing outside it. */
export function staticServer(net: Net, folder: string): Server {
  // allowHalfOpen: a client may end its side after the request (nc -N does) and still wants the answer.
  return net.createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.setTimeout(PATIENCE, () => socket.destroy());
    answer(socket, folder).catch(() => socket.destroy());
  });
}

async function answer(socket: Socket, folder: string): Promise<void> {
  const head = await readHead(socket);
  if (head === null) return refuse(socket, '431 Request Header Fields Too Large');
  // RFC 9112 section 3: method SP request-target SP HTTP-version
  const [, method, target] = /^([!#$%&'*+.^_`|~\w-]+) (\S+) HTTP\/1\.[01]$/.exec(head.split('\r\n', 1)[0] ?? '') ?? [];
  if (method === undefined || target === undefined) return refuse(socket, '400 Bad Request');
  if (method !== 'GET' && method !== 'HEAD') return refuse(socket, '405 Method Not Allowed', 'Allow: GET, HEAD\r\n');
  const file = await openInside(folder, target);
  if (file === null) return refuse(socket, '404 Not Found', '', method === 'HEAD');
  try {
    socket.write(
      `HTTP/1.1 200 OK\r\nContent-Length: ${file.size}\r\nContent-Type: ${file.type}\r\n` +
        'X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n',
    );
    if (method === 'HEAD' || file.size === 0) {
      socket.end();
    } else {
      // `end`: no more than was promised, should the file grow meanwhile.
      await pipeline(file.handle.createReadStream({ end: file.size - 1, autoClose: false }), socket);
    }
  } finally {
    await file.handle.close();
  }
  // The rest of what the client sends (a body, a second request) is read and dropped, so that nothing unread makes the
  // close a reset.
  socket.resume();
}

/** The request's head without its empty line; null when it is too long or the client went away before its end. */
async function readHead(socket: Socket): Promise<string | null> {
  let head = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end >= 0 && end <= MAX_HEAD) return head.slice(0, end);
    if (head.length > MAX_HEAD) return null;
  }
  return '';
}

function refuse(socket: Socket, status: string, headers = '', headOnly = false): void {
  const body = `${status}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\n${headers}Content-Length: ${body.length}\r\nContent-Type: text/plain\r\n` +
      `Connection: close\r\n\r\n${headOnly ? '' : body}`,
  );
  socket.resume();
}

async function main(): Promise<void> {
  const { stack, address, rest } = await setUp();
  const server = staticServer(stack.net, rest[0] ?? '.').listen(80);
  if (address !== null) {
    console.log(`serving ${rest[0] ?? '.'} on http://${address}/`);
    return;
  }
  const socket = stack.net.connect({ port: 80, host: '127.0.0.1' });
  socket.end('GET /README.md HTTP/1.1\r\nHost: example\r\n\r\n');
  await pipeline(socket, process.stdout, { end: false });
  server.close();
  await stack.close();
}

if (require.main === module) void main();
