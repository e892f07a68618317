// A stand-in for PostgreSQL: as much of protocol 3.0 as a client needs to connect and to ask simple queries.
import type { Net, Server } from 'usernet';

function message(type: string, ...parts: Array<Buffer | string | number>): Buffer {
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'number') {
        const bytes = Buffer.alloc(4);
        bytes.writeInt32BE(part);
        return bytes;
      }
      return typeof part === 'string' ? Buffer.from(`${part}\0`) : part;
    }),
  );
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

const READY = message('Z', Buffer.from('I'));

/** Answers `SELECT <value> AS <name>` with a row of text, and anything else with no rows. */
function answer(sql: string): Buffer {
  const [, value, name] = /^SELECT (\S+) AS (\w+)/i.exec(sql) ?? [];
  if (value === undefined || name === undefined) return Buffer.concat([message('C', 'SELECT 0'), READY]);
  const column = Buffer.concat([
    Buffer.from(`${name}\0`),
    Buffer.alloc(6),
    Buffer.from([0, 0, 0, 25]),
    int16(-1),
    Buffer.alloc(4),
    int16(0),
  ]);
  const cell = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeInt32BE(cell.length);
  return Buffer.concat([
    message('T', int16(1), column),
    message('D', int16(1), length, cell),
    message('C', 'SELECT 1'),
    READY,
  ]);
}

/** A server on a `net`. */
export function fakePostgres(net: Net): Server {
  return net.createServer((socket) => {
    let pending = Buffer.alloc(0);
    let started = false;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const at = started ? 1 : 0;
        if (pending.length < at + 4) return;
        const length = pending.readInt32BE(at);
        if (pending.length < at + length) return;
        const type = started ? String.fromCharCode(pending[0] as number) : 'startup';
        const body = pending.subarray(at + 4, at + length);
        pending = pending.subarray(at + length);
        if (type === 'startup') {
          started = true;
          socket.write(
            Buffer.concat([message('R', 0), message('S', 'server_version', '16.0'), message('K', 1, 2), READY]),
          );
        } else if (type === 'Q') {
          socket.write(answer(body.toString('utf8', 0, body.length - 1)));
        } else if (type === 'X') {
          socket.end();
        }
      }
    });
  });
}
