// The same files, served by node:http: its server takes our sockets as its connections.
//   npx tsx examples/http-server.ts [folder]                over loopback: fetches its own README
//   npx tsx examples/http-server.ts --tun un0 [folder]      curl http://198.18.0.2/

import http from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Server } from 'usernet';
import { openInside } from './files';
import { type Net, setUp } from './support';

/** Serves the files of `folder` by node:http over `net`. */
export function httpFileServer(net: Net, folder: string): Server {
  const server = http.createServer((request, response) => {
    serve(request, response, folder).catch((error: Error) => response.destroy(error));
  });
  // As node:http's own server does: a client that has ended its side still gets its answer.
  return net.createServer({ allowHalfOpen: true }, (socket) => server.emit('connection', socket));
}

async function serve(request: http.IncomingMessage, response: http.ServerResponse, folder: string): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD' }).end();
    return;
  }
  const file = await openInside(folder, request.url ?? '/');
  if (file === null) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('404 Not Found\n');
    return;
  }
  try {
    response.writeHead(200, { 'Content-Length': file.size, 'Content-Type': file.type });
    if (request.method === 'HEAD' || file.size === 0) response.end();
    else await pipeline(file.handle.createReadStream({ end: file.size - 1, autoClose: false }), response);
  } finally {
    await file.handle.close();
  }
}

/** Fetches a path with node:http's client over `net`. */
export function httpGet(
  net: Net,
  options: { host: string; port: number; path: string; method?: string },
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { host, port } = options;
    http
      // No `agent`: one would connect by itself, over the kernel.
      .request({ ...options, createConnection: () => net.connect({ host, port }) }, resolve)
      .once('error', reject)
      .end();
  });
}

async function main(): Promise<void> {
  const { stack, address, rest } = await setUp();
  const server = httpFileServer(stack.net, rest[0] ?? '.').listen(80);
  if (address !== null) {
    console.log(`serving ${rest[0] ?? '.'} on http://${address}/`);
    return;
  }
  const response = await httpGet(stack.net, { host: '127.0.0.1', port: 80, path: '/README.md' });
  await pipeline(response, process.stdout, { end: false });
  server.close();
  await stack.close();
}

if (require.main === module) void main();
