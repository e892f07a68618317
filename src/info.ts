// What `socket.info()` shows: the names of `ss -ti` and of Linux's `struct tcp_info`.

import type { CongestionControl } from './options';

/** A state of RFC 9293 section 3.3.2, as the RFC writes it. */
export type TcpState =
  | 'CLOSED'
  | 'LISTEN'
  | 'SYN-SENT'
  | 'SYN-RECEIVED'
  | 'ESTABLISHED'
  | 'FIN-WAIT-1'
  | 'FIN-WAIT-2'
  | 'CLOSE-WAIT'
  | 'CLOSING'
  | 'LAST-ACK'
  | 'TIME-WAIT';

/**
 * A connection as `ss -ti` shows it. Times are milliseconds with fractions, sizes bytes, rates bytes a second; counters
 * count from the connection's start.
 */
export interface SocketInfo {
  /** State of the connection. */
  state: TcpState;
  /** Smoothed round-trip time (RFC 6298), ms; 0 before the first sample. */
  srtt: number;
  /** Its variation, ms. */
  rttvar: number;
  /** Least round-trip time seen, ms; 0 before the first sample. */
  min_rtt: number;
  /** Retransmission timeout in force, backoff included, ms. */
  rto: number;
  /** Times in a row that the timeout was doubled. */
  backoff: number;
  /** Send MSS: payload of a full segment, options subtracted, bytes. */
  mss: number;
  /** MSS that the peer announced, bytes. */
  peer_mss: number;
  /** Path MTU, bytes. */
  pmtu: number;
  /** Congestion window, bytes. */
  cwnd: number;
  /** Slow start threshold, bytes; 4,294,967,295 until the first loss, and for `bbr`, which has none. */
  ssthresh: number;
  /** The peer's receive window, bytes. */
  snd_wnd: number;
  /** The receive window that the peer was told, bytes. */
  rcv_wnd: number;
  /** The shift of the peer's windows (RFC 7323); missing when windows are not scaled. */
  snd_wscale?: number;
  /** The shift of ours; missing when windows are not scaled. */
  rcv_wscale?: number;
  /** Whether timestamps are in use (RFC 7323). */
  timestamps: boolean;
  /** Whether SACK is in use (RFC 2018). */
  sack: boolean;
  /** Bytes in the network: sent, and neither acknowledged, SACKed nor deemed lost (the pipe of RFC 6675). */
  in_flight: number;
  /** Sequence space sent and not acknowledged, SACKed and lost parts included, bytes. */
  unacked: number;
  /** Bytes the peer holds ahead of a gap, as its SACKs say. */
  sacked: number;
  /** Bytes deemed lost and not acknowledged, sent again or not. */
  lost: number;
  /** Bytes sent again that are in the network. */
  retrans_out: number;
  /** What was written and is not acknowledged, sent or not, bytes. */
  send_queue: number;
  /** Of that, what was not sent, bytes. */
  unsent: number;
  /** What arrived and was not read, bytes. */
  recv_queue: number;
  /** What arrived ahead of a gap, bytes. */
  ooo_queue: number;
  /** How large the send buffer is now, bytes: it grows with the path. */
  send_buffer: number;
  /** How large the receive buffer is now, bytes. */
  recv_buffer: number;
  /** Round-trip time as the receiver sees it, ms; 0 before it is known, and while the receive buffer is of a fixed size. */
  rcv_rtt: number;
  /** Payload sent, retransmissions included, bytes. */
  bytes_sent: number;
  /** Payload that the peer acknowledged, bytes. */
  bytes_acked: number;
  /** Payload received in order, bytes. */
  bytes_received: number;
  /** Payload sent again, bytes. */
  bytes_retrans: number;
  /** Segments sent; one that the device cuts counts as what it is cut into. */
  segs_out: number;
  /** Segments received. */
  segs_in: number;
  /** Of those sent, segments with data. */
  data_segs_out: number;
  /** Of those received, segments with data. */
  data_segs_in: number;
  /** Time since data was sent last (`lastsnd`), ms; the handshake counts. */
  last_data_sent: number;
  /** Time since data came last (`lastrcv`), ms; the handshake counts. */
  last_data_recv: number;
  /** Time since an acknowledgement came last (`lastack`), ms. */
  last_ack_recv: number;
  /** How long an acknowledgement waits for company, as it adapts, ms; 0 before any data came. */
  ato: number;
  /** The largest segment that came lately, bytes. */
  rcv_mss: number;
  /** The MSS that this end announces, bytes. */
  advmss: number;
  /** Segments that arrived ahead of a gap. */
  rcv_ooopack: number;
  /** Segments that the peer says it got twice (D-SACK, RFC 2883). */
  dsack_dups: number;
  /**
   * Bytes to read to get to the end of the peer's urgent data (RFC 6093); absent when there is none. Urgent data is read
   * in line.
   */
  urgent?: number;
  /**
   * How long written data may stay unacknowledged, ms: what was set, or what the peer told (RFC 5482); absent where the
   * number of retransmissions decides.
   */
  user_timeout?: number;
  /**
   * The last soft error since anything was acknowledged (RFC 9293 section 3.9.2.2), such as `EHOSTUNREACH`: what the
   * connection ends with should its time be over before anything is; absent where there is none.
   */
  soft_error?: string;
  /** Segments sent again. */
  retrans: number;
  /** Times the retransmission timer ran out. */
  timeouts: number;
  /** Duplicate acknowledgements received (RFC 5681). */
  dup_acks: number;
  /** How far segments were seen to arrive behind later ones, segments; 3 until more was seen. */
  reordering: number;
  /** Times a segment was seen to. */
  reord_seen: number;
  /** Congestion notification agreed on: none, RFC 3168's, or AccECN (RFC 9768). */
  ecn: 'off' | 'classic' | 'accurate';
  /** Whether a packet of the peer's was ECN-capable. */
  ecn_seen: boolean;
  /** Packets of ours that the network marked, as the peer tells. */
  delivered_ce: number;
  /** Packets of the peer's that arrived marked. */
  received_ce: number;
  /** Whether data on the SYN arrived with it (Fast Open, RFC 7413). */
  syn_data: boolean;
  /** The congestion control in force. */
  congestion: CongestionControl;
  /**
   * What loss recovery is doing: nothing; waiting whether it is reordering; reducing the window for marks (ECN); fast
   * recovery; recovery after a timeout.
   */
  ca_state: 'open' | 'disorder' | 'cwr' | 'recovery' | 'loss';
  /** Bytes delivered, cumulatively or selectively. */
  delivered: number;
  /** The last sample of the delivery rate that counts, bytes a second; 0 before the first. */
  delivery_rate: number;
  /** Whether the application, and not the network, limited that sample. */
  delivery_rate_app_limited: boolean;
  /** Whether the application limits the rate now: it gives less than could be sent. */
  app_limited: boolean;
  /** The rate at which a window is spread, or would be if it were paced, bytes a second; 0 before the first sample. */
  pacing_rate: number;
  /** Whether sending is paced. */
  paced: boolean;
  /** Time with something to send or in the network, ms. */
  busy: number;
  /** Of that, time limited by the peer's receive window, ms. */
  rwnd_limited: number;
  /** Of that, time limited by the size of the send buffer, ms. */
  sndbuf_limited: number;
}
