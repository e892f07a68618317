// Congestion control by name, what `info()` shows of it, and the events of recovery, over links of virtual time.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createStack, type Socket, type SocketInfo, type TraceEvent } from 'usernet';
import { createNetwork, type Host, type HostOptions, type LinkOptions, type Network } from 'usernet/testing';

const open: Network[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((network) => network.close()));
});

function pair(link: LinkOptions, options: HostOptions = {}): { network: Network; client: Host; server: Host } {
  const network = createNetwork({ seed: 9 });
  open.push(network);
  const [client, server] = [network.host('client', options), network.host('server', options)];
  network.link(client, server, link);
  return { network, client, server };
}

/** Sends `bytes` from client to server; what `info()` shows at the end, and once while it goes on. */
async function upload(client: Host, server: Host, bytes: number, options: object = {}): Promise<SocketInfo[]> {
  const shown: SocketInfo[] = [];
  const listener = server.net.createServer((peer) => {
    let got = 0;
    peer.on('data', (chunk) => {
      got += chunk.length;
      if (shown.length === 0 && got > bytes / 2) shown.push(socket.info()!);
      if (got === bytes) peer.write('k');
    });
  });
  listener.listen(7);
  const socket = client.net.connect({ host: 'server', port: 7, ...options });
  socket.write(Buffer.alloc(bytes, 1));
  await once(socket, 'data');
  shown.push(socket.info()!);
  socket.destroy();
  listener.close();
  return shown;
}

describe('the congestion control', () => {
  test.each(['cubic', 'newreno', 'bbr'] as const)('%s is chosen per socket, and carries data', async (congestion) => {
    const { network, client, server } = pair({ delay: 10, rate: 50e6, loss: 0.005 });
    await network.run(async () => {
      const [during, after] = await upload(client, server, 2_000_000, { congestion });
      expect(during).toMatchObject({ congestion, state: 'ESTABLISHED', paced: congestion === 'bbr' });
      expect(after!.bytes_acked).toBe(2_000_000);
      expect(after!.retrans).toBeGreaterThan(0);
      expect(after!.bytes_retrans).toBeGreaterThan(0);
      expect(after!.min_rtt).toBeGreaterThanOrEqual(20);
      expect(after!.min_rtt).toBeLessThan(25);
    });
  });

  test('is the default of the stack, of a server, and changed under way', async () => {
    const { network, client, server } = pair({ delay: 5 }, { congestion: 'newreno' });
    await network.run(async () => {
      const accepted: Array<string | undefined> = [];
      const listener = server.net.createServer({ congestion: 'bbr' } as object, (socket) => {
        accepted.push((socket as unknown as { info(): SocketInfo | null }).info()?.congestion);
        socket.resume();
      });
      listener.listen(7);
      const socket = client.net.connect({ host: 'server', port: 7 });
      await once(socket, 'connect');
      expect(socket.info()?.congestion).toBe('newreno');
      const { cwnd } = socket.info()!;
      expect(socket.setCongestionControl('bbr')).toBe(socket);
      expect(socket.info()).toMatchObject({ congestion: 'bbr', cwnd, paced: true });
      socket.setCongestionControl('cubic');
      expect(socket.info()).toMatchObject({ congestion: 'cubic', cwnd, paced: false });
      socket.end();
      await once(socket, 'close');
      expect(accepted).toEqual(['bbr']);
      // Before there is a connection the choice is kept for it.
      const other = new client.net.Socket();
      other.setCongestionControl('bbr');
      other.connect({ host: 'server', port: 7 });
      await once(other, 'connect');
      expect(other.info()?.congestion).toBe('bbr');
      other.destroy();
      listener.close();
    });
  });

  test('of an unknown name is refused, naming it and those there are', async () => {
    const message = /Received 'vegas'/;
    const known = /'cubic', 'newreno', 'bbr'/;
    const error = await createStack({ congestion: 'vegas' as never }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(known);
    const stack = await createStack();
    const socket = new stack.net.Socket();
    for (const attempt of [
      () => socket.setCongestionControl('vegas' as never),
      () => new stack.net.Socket({ congestion: 'vegas' } as never),
      () => stack.net.createServer({ congestion: 'vegas' } as never),
      () => stack.net.connect({ port: 7, congestion: 'vegas' } as never),
    ]) {
      expect(attempt).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }));
      expect(attempt).toThrow(message);
    }
    expect(() => socket.setCongestionControl(7 as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
    await stack.close();
  });
});

describe('info()', () => {
  test('has what ss -ti shows, by name, and of the right kind', async () => {
    const { network, client, server } = pair({ delay: 10, rate: 20e6, loss: 0.01 });
    await network.run(async () => {
      const [, info] = await upload(client, server, 1_000_000);
      // What ss -ti prints, in its order, under its names or tcp_info's.
      const numbers = [
        'snd_wscale',
        'rcv_wscale',
        'rto',
        'backoff',
        'srtt',
        'rttvar',
        'ato',
        'mss',
        'pmtu',
        'rcv_mss',
        'advmss',
        'cwnd',
        'ssthresh',
        'bytes_sent',
        'bytes_retrans',
        'bytes_acked',
        'bytes_received',
        'segs_out',
        'segs_in',
        'data_segs_out',
        'data_segs_in',
        'last_data_sent',
        'last_data_recv',
        'last_ack_recv',
        'pacing_rate',
        'delivery_rate',
        'delivered',
        'delivered_ce',
        'busy',
        'rwnd_limited',
        'sndbuf_limited',
        'unacked',
        'retrans',
        'retrans_out',
        'lost',
        'sacked',
        'dsack_dups',
        'reordering',
        'reord_seen',
        'rcv_rtt',
        'rcv_ooopack',
        'snd_wnd',
        'rcv_wnd',
        'min_rtt',
        'in_flight',
        'send_queue',
        'unsent',
        'recv_queue',
        'send_buffer',
        'recv_buffer',
      ] as const;
      for (const name of numbers) expect([name, Number.isFinite(info![name])]).toEqual([name, true]);
      expect(info).toMatchObject({
        state: 'ESTABLISHED',
        congestion: 'cubic',
        timestamps: true,
        sack: true,
        ecn: 'off',
        ecn_seen: false,
        ca_state: 'open',
        app_limited: expect.any(Boolean),
        delivery_rate_app_limited: expect.any(Boolean),
        bytes_acked: 1_000_000,
        bytes_received: 1,
        send_queue: 0,
        mss: 1448,
        advmss: 1460,
        pmtu: 1500,
      });
      expect(info!.retrans).toBeGreaterThan(0);
      expect(info!.bytes_sent).toBe(1_000_000 + info!.bytes_retrans);
      expect(info!.min_rtt).toBeGreaterThanOrEqual(20);
      expect(info!.rto).toBeGreaterThanOrEqual(200);
      expect(info!.ssthresh).toBeLessThan(2 ** 32 - 1);
    });
  });

  test('shows rates, queues and what limited the sender', async () => {
    // 10 Mbit/s, 20 ms: the network limits.
    const { network, client, server } = pair({ delay: 10, rate: 10e6 });
    await network.run(async () => {
      const [during, after] = await upload(client, server, 3_000_000);
      expect(during!.delivery_rate).toBeGreaterThan(1.0e6);
      expect(during!.delivery_rate).toBeLessThan(1.3e6);
      expect(during!.pacing_rate).toBeGreaterThan(1.0e6);
      expect(during!).toMatchObject({ app_limited: false, reordering: 3 });
      expect(during!.in_flight).toBe(during!.unacked - during!.sacked - during!.lost + during!.retrans_out);
      expect(during!.send_queue).toBe(during!.unacked + during!.unsent);
      expect(during!.send_buffer).toBeGreaterThanOrEqual(during!.send_queue);
      expect(after!.busy).toBeGreaterThan(2000);
      expect(after!.rwnd_limited).toBeLessThan(after!.busy / 10);
      expect(after!.delivered).toBeGreaterThanOrEqual(3_000_000);
    });
  });

  test('tells when the peer limits', async () => {
    const { network, client, server } = pair({ delay: 10 });
    await network.run(async () => {
      const listener = server.net.createServer((peer) => {
        peer.pause();
        setTimeout(() => peer.resume(), 5_000);
      });
      listener.listen(7);
      const socket = client.net.connect({ host: 'server', port: 7 });
      socket.end(Buffer.alloc(8 << 20));
      await once(socket, 'finish');
      const { busy, rwnd_limited } = socket.info()!;
      expect(busy).toBeGreaterThan(5_000);
      expect(rwnd_limited).toBeGreaterThan(4_000);
      socket.resume();
      listener.close();
      await once(socket, 'close');
    });
  });
});

test('the trace tells of states, retransmissions, recovery and windows, typed', async () => {
  const { network, client, server } = pair({ delay: 10, rate: 20e6, loss: 0.01 }, { trace: true });
  const events: TraceEvent[] = [];
  client.on('trace', (event) => events.push(event));
  await network.run(async () => {
    await upload(client, server, 1_000_000);
  });
  const of = <T extends TraceEvent['type']>(type: T) =>
    events.filter((event): event is Extract<TraceEvent, { type: T }> => event.type === type);
  expect(of('state').map(({ from, to }) => `${from} ${to}`)).toContain('SYN-SENT ESTABLISHED');
  expect(of('retransmit').length).toBeGreaterThan(0);
  const recovery = of('recovery');
  expect(recovery.some(({ began }) => began)).toBe(true);
  expect(recovery.some(({ began }) => !began)).toBe(true);
  const windows = of('cwnd');
  expect(windows.length).toBeGreaterThan(10);
  for (let at = 1; at < windows.length; at++) {
    const [before, now] = [windows[at - 1]!, windows[at]!];
    expect(now.cwnd !== before.cwnd || now.ssthresh !== before.ssthresh).toBe(true);
  }
  expect(Math.max(...windows.map(({ cwnd }) => cwnd))).toBeGreaterThan(14_600);
});

test('each kind of event has a name of its own, too', async () => {
  const { network, client, server } = pair({ delay: 10, rate: 20e6, loss: 0.02 }, { trace: true });
  const seen = { state: 0, retransmit: 0, recovery: 0, timeout: 0, cwnd: 0 };
  client.on('state', ({ to }) => {
    seen.state += Number(to.length > 0);
  });
  client.on('retransmit', ({ length }) => {
    seen.retransmit += Number(length > 0);
  });
  client.on('recovery', ({ cwnd, ssthresh }) => {
    seen.recovery += Number(cwnd > 0 && ssthresh > 0);
  });
  client.on('timeout', ({ rto }) => {
    seen.timeout += Number(rto > 0);
  });
  client.on('cwnd', ({ cwnd }) => {
    seen.cwnd += Number(cwnd > 0);
  });
  await network.run(async () => {
    await upload(client, server, 1_000_000);
    // Nobody answers any more: the timer runs out.
    network.partition([client], [server]);
    client.net.connect({ host: 'server', port: 7 }).on('error', () => {});
    await sleep(5_000);
  });
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(0);
});

test('counters have the names of nstat, too', async () => {
  const { network, client, server } = pair({ delay: 10, rate: 20e6, loss: 0.01 });
  await network.run(async () => {
    await upload(client, server, 1_000_000);
  });
  const stats = client.stats();
  expect(stats.TcpRetransSegs).toBeGreaterThan(0);
  expect(stats.TcpRetransSegs).toBe(stats.tcp_retrans_segs);
  expect(stats.TcpExtTCPSackRecovery).toBeGreaterThan(0);
  expect(stats.TcpActiveOpens).toBe(1);
});

test('urgent data is read in line, and its mark is told', async () => {
  const { network, client, server } = pair({ delay: 10 }, { trace: true });
  // Nothing here sends urgent data: the network marks it, and mends the checksum.
  const mark = (packet: Buffer) => {
    const tcp = packet.subarray((packet[0]! & 15) * 4);
    tcp[13]! |= 0x20;
    tcp.writeUInt16BE(5, 18);
    let sum = (~tcp.readUInt16BE(16) & 0xffff) + 0x20 + 5;
    sum = (sum & 0xffff) + (sum >> 16);
    tcp.writeUInt16BE(~sum & 0xffff, 16);
    return packet;
  };
  network.rule({ from: client, data: true, nth: 1 }, { alter: mark });
  const events: number[] = [];
  server.on('urgent', ({ left }) => events.push(left));
  await network.run(async () => {
    const listener = server.net.createServer({ pauseOnConnect: true }).listen(80);
    const socket = client.net.connect(80, 'server');
    const [peer] = (await once(listener, 'connection')) as [Socket];
    socket.write('urgent data');
    await sleep(100);
    expect(peer.info()!.urgent).toBe(5);
    const [data] = (await once(peer.resume(), 'data')) as [Buffer];
    expect(data.toString()).toBe('urgent data');
    expect(peer.info()!.urgent).toBeUndefined();
    socket.destroy();
    listener.close();
  });
  expect(events).toEqual([5]);
});
