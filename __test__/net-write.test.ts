// What is written in strings of every encoding, alone and corked, arrives byte for byte, whether the stack takes it at once
// or the rest has to wait for room.
import { once } from 'node:events';
import { createStack, type Stack } from '../src/index';
import { portOf, readAll } from './support/stacks';

let stack: Stack;
beforeAll(async () => {
  stack = await createStack({ sendBuffer: 16 << 10, recvBuffer: 16 << 10 });
});
afterAll(() => stack.close());

const texts: Array<[string, BufferEncoding]> = [
  ['plain', 'utf8'],
  ['grün, Ω, 漢字, 🜚', 'utf8'],
  ['caf\u00e9', 'latin1'],
  ['\ud800 alone', 'utf8'],
  ['00ff7f80', 'hex'],
  ['AAECAwQ=', 'base64'],
  ['wide ☃', 'utf16le'],
  ['', 'utf8'],
  ['漢'.repeat(5400), 'utf8'],
  ['long '.repeat(4000), 'ascii'],
];

test.each(['never', 'in pairs', 'in rounds'])('strings between buffers, corked %s', async (corked) => {
  const listener = stack.net.createServer().listen(0, '127.0.0.1');
  const accepted = once(listener, 'connection');
  const socket = stack.net.connect(await portOf(listener), '127.0.0.1');
  const [peer] = await accepted;
  const sent: Buffer[] = [];
  let [calls, written] = [0, 0];
  // Nobody reads yet, so that most of it waits in this process, encoded or not.
  for (let round = 0; round < 20; round++) {
    if (corked === 'in rounds') socket.cork();
    for (const [text, encoding] of texts) {
      if (corked === 'in pairs') {
        // A text and a text, and below a text and bytes.
        socket.cork();
        socket.write(`${round}: caf\u00e9\r\n`, 'latin1', () => calls++);
        socket.write(text, encoding, () => calls++);
        socket.uncork();
        sent.push(Buffer.from(`${round}: caf\u00e9\r\n`, 'latin1'), Buffer.from(text, encoding));
        written += 2;
        socket.cork();
      }
      socket.write(text, encoding, () => calls++);
      sent.push(Buffer.from(text, encoding));
      const bytes = Buffer.from(`<${round} ${encoding}>`);
      socket.write(bytes, () => calls++);
      sent.push(bytes);
      written += 2;
      if (corked === 'in pairs') socket.uncork();
    }
    if (corked === 'in rounds') socket.uncork();
    // One at a time for a while, so that some writes find room and are cut.
    if (round < 3) await new Promise(setImmediate);
  }
  socket.end('end', 'latin1');
  sent.push(Buffer.from('end'));
  expect(socket.bytesWritten).toBe(Buffer.concat(sent).length);
  const got = await readAll(peer);
  expect(got.equals(Buffer.concat(sent))).toBe(true);
  expect(calls).toBe(written);
  peer.end();
  await once(socket, 'close');
  listener.close();
});
