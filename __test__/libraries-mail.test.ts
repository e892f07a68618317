// nodemailer and smtp-server between two stacks on a link: plain, STARTTLS, TLS from the start, a pool.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import nodemailer, { type Transporter, type TransportOptions } from 'nodemailer';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { type Certificate, makeCertificate } from './support/certificate';
import { hosts, type Pair, pair, readAll, until } from './support/stacks';

let stacks: Pair;
let certificate: Certificate;

beforeAll(async () => {
  certificate = makeCertificate();
  stacks = await pair({ stack: { timeWait: 100 } });
});

afterAll(() => stacks.close());

afterEach(async () => {
  const { client, server } = stacks;
  await until('no connection is left', () => client.stats().connections === 0 && server.stats().connections === 0);
});

interface Mail {
  from: string | undefined;
  to: string[];
  secure: boolean;
  peer: string;
  text: string;
}

describe.each(hosts)('%s', (host) => {
  const mails: Mail[] = [];
  let server: SMTPServer;
  let port: number;

  async function serve(options: SMTPServerOptions = {}): Promise<void> {
    mails.length = 0;
    server = new SMTPServer({
      ...certificate,
      ...options,
      disableReverseLookup: true,
      onAuth: ({ username, password }, _session, done) => {
        done(password === 'secret' ? null : new Error('no'), { user: username });
      },
      async onData(stream, session, done) {
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          text: String(await readAll(stream)),
          from: (mailFrom || undefined)?.address,
          to: rcptTo.map(({ address }) => address),
          secure: session.secure,
          peer: session.remoteAddress,
        });
        done();
      },
    });
    stacks.server.attach(server.server);
    server.listen(0);
    await once(server.server, 'listening');
    port = (server.server.address() as AddressInfo).port;
  }

  /** A transport asks for a connection, and takes one that is made already. */
  function transport(options: object): Transporter {
    return nodemailer.createTransport({
      host,
      port,
      auth: { user: 'me', pass: 'secret' },
      tls: { ca: certificate.cert, servername: 'localhost' },
      getSocket(_options: object, callback: (error: Error | null, socket?: { connection: unknown }) => void) {
        const connection = stacks.client.net.connect({ host, port });
        connection.once('error', callback);
        connection.once('connect', () => {
          connection.off('error', callback);
          callback(null, { connection });
        });
      },
      ...options,
    } as TransportOptions);
  }

  const closed = (): Promise<void> => new Promise((resolve) => server.close(resolve));
  const attachment = Buffer.alloc(1 << 20, 'attached');
  const message = {
    from: 'me@example.net',
    to: ['you@example.net', 'her@example.net'],
    subject: 'over no kernel',
    text: 'hello\n.\nthere',
    attachments: [{ filename: 'large.bin', content: attachment }],
  };

  test.each([
    ['plain', { disabledCommands: ['STARTTLS'], authMethods: ['LOGIN'], allowInsecureAuth: true }, {}],
    ['STARTTLS', {}, { requireTLS: true }],
    ['TLS', { secure: true }, { secure: true }],
  ])('%s', async (how, serverOptions, clientOptions) => {
    await serve(serverOptions);
    const transporter = transport(clientOptions);
    const info = await transporter.sendMail(message);
    expect(info.accepted).toEqual(['you@example.net', 'her@example.net']);
    expect(mails).toHaveLength(1);
    const { text, ...rest } = mails[0] as Mail;
    expect(rest).toEqual({
      from: 'me@example.net',
      to: ['you@example.net', 'her@example.net'],
      secure: how !== 'plain',
      peer: host.includes(':') ? 'fd00::1' : '198.18.0.1',
    });
    expect(text).toContain('Subject: over no kernel');
    expect(text.replace(/\r\n/g, '')).toContain(attachment.toString('base64'));
    transporter.close();
    await closed();
  });

  test('a pool sends many over few connections; a wrong password is refused', async () => {
    await serve();
    const transporter = transport({ pool: true, maxConnections: 2, requireTLS: true });
    const sent = Array.from({ length: 20 }, (_, n) =>
      transporter.sendMail({ from: 'me@example.net', to: `you${n}@example.net`, text: String(n) }),
    );
    await Promise.all(sent);
    expect(mails.flatMap(({ to }) => to).sort()).toEqual(
      Array.from({ length: 20 }, (_, n) => `you${n}@example.net`).sort(),
    );
    transporter.close();
    const wrong = transport({ auth: { user: 'me', pass: 'guess' } });
    await expect(wrong.sendMail(message)).rejects.toMatchObject({ code: 'EAUTH', responseCode: 535 });
    wrong.close();
    await closed();
  });

  test('nobody listens', async () => {
    await serve();
    await closed();
    const transporter = transport({});
    await expect(transporter.sendMail(message)).rejects.toMatchObject({ code: 'ECONNREFUSED', port });
    transporter.close();
  });
});
