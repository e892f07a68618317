//! SYN cookies (RFC 4987 §3.6): a flood of SYNs takes no memory and shuts nobody out.

use usernet_core::{RxChecksum, RxFrame};
use usernet_wire::tcp::Flags;

use crate::support::{Family, Isn, Segment, Tester, script};

script!(
    cookie_remembers_ecn,
    "
    # RFC 3168 by one bit of the timestamp; an offer of AccECN is answered as one of RFC 3168 (RFC 9768 §3.1.2).
    config syn_cookies always
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0>
    > SE. 0:0(0) ack 1 not-ect
    < . 1:1(0) ack 1 <nop,nop,TS val 2 ecr last>
    accept
    stat syncookies_recv = 1
    info ecn = 1
    write 10
    > P. 1:11(10) ack 1 ect0
    < E. 1:1(0) ack 11 <nop,nop,TS val 2 ecr last>
    write 10
    > PW. 11:21(10) ack 1 ect0
    < P. 1:11(10) ack 21 ce <nop,nop,TS val 2 ecr last>
    > E. 21:21(0) ack 11 not-ect
    "
);

script!(
    cookie_without_timestamps_cannot_remember_ecn,
    "
    config syn_cookies always
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    info ecn = 0
    write 10
    > P. 1:11(10) ack 1 not-ect
    "
);

script!(
    cookie_opens_a_connection_with_every_option,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val .. ecr 100,nop,wscale 5>
    stat connections = 0
    stat syncookies_sent = 1
    +10ms < . 1:1(0) ack 1 win 512 <nop,nop,TS val 110 ecr last>
    accept
    stat syncookies_recv = 1
    state ESTABLISHED
    info snd_wscale = 7
    info sack = yes
    info timestamps = yes
    info peer_mss = 1460
    info snd_wnd = 65536
    write 100
    > P. 1:101(100) ack 1 <nop,nop,TS val .. ecr 110>
    < P. 1:101(100) ack 101 win 512 <nop,nop,TS val 120 ecr last>
    read 100
    +40ms > . 101:101(0) ack 101
    close
    > F. 101:101(0) ack 101
"
);

script!(
    without_timestamps_a_cookie_keeps_the_mss_alone,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) win 65535 <mss 1400,nop,nop,sackOK,nop,wscale 7>
    > S. 0:0(0) ack 1 <mss 1460>
    < . 1:1(0) ack 1 win 65535
    accept
    info peer_mss = 1400
    info sack = no
    info snd_wscale = 99
    info rcv_wscale = 99
    info snd_wnd = 65535
    write 2000
    > . 1:1401(1400) ack 1
    > P. 1401:2001(600) ack 1
    < . 1:1(0) ack 2001
"
);

script!(
    cookie_tells_the_largest_mss_not_above_the_peers,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1350>
    > S. 0:0(0) ack 1 <mss 1460>
    < . 1:1(0) ack 1
    accept
    info peer_mss = 1300
"
);

script!(
    data_behind_a_lost_last_ack_completes_a_cookie,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < P. 1:11(10) ack 1
    accept
    read 10
    +40ms > . 1:1(0) ack 11
"
);

script!(
    cookie_answers_no_syn_that_came_with_other_numbers,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < . 2:2(0) ack 1
    > R 1:1(0)
    < . 1:1(0) ack 2
    > R 2:2(0)
    stat syncookies_failed = 2
    stat connections = 0
    < . 1:1(0) ack 1
    accept
"
);

script!(
    old_cookie_is_refused,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    +2m < . 1:1(0) ack 1
    > R 1:1(0)
    stat syncookies_recv = 0
    stat connections = 0
"
);

script!(
    cookie_of_a_minute_ago_is_taken,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    +1m < . 1:1(0) ack 1
    accept
"
);

script!(
    without_cookies_out_none_is_read,
    "
    listen 80
    < . 1:1(0) ack 1
    > R 1:1(0)
    stat syncookies_failed = 0
"
);

script!(
    reset_that_answers_a_cookie_does_nothing,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < R 1:1(0)
    < R. 1:1(0) ack 1
    stat connections = 0
"
);

script!(
    cookies_are_sent_only_when_the_queue_is_full,
    "
    config max_syn_backlog 2
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    stat syncookies_sent = 0
    [3] < S 0:0(0) <mss 1460>
    [3] > S. 0:0(0) ack 1
    stat syncookies_sent = 1
    stat connections = 2
    [3] < . 1:1(0) ack 1
    [3] accept
    [1] < . 1:1(0) ack 1
    [1] accept
    [4] < S 0:0(0) <mss 1460>
    [4] > S. 0:0(0) ack 1
    stat syncookies_sent = 1
"
);

script!(
    without_cookies_a_full_queue_drops_the_syn,
    "
    config max_syn_backlog 1
    config syn_cookies off
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [2] < S 0:0(0) <mss 1460>
    nothing
    stat listen_drops = 1
    [1] < . 1:1(0) ack 1
    [1] accept
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
"
);

script!(
    cookies_that_are_out_when_the_accept_queue_fills_are_taken,
    "
    config syn_cookies always
    config max_syn_backlog 1
    listen 80 backlog 0
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [3] < S 0:0(0) <mss 1460>
    [3] > S. 0:0(0) ack 1
    [4] < S 0:0(0) <mss 1460>
    [4] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    # The queue is full: it waits, and is asked again.
    [2] < . 1:1(0) ack 1
    [2] > S. 0:0(0) ack 1
    stat listen_overflows = 1
    [4] < . 1:1(0) ack 1
    [4] > S. 0:0(0) ack 1
    # There is room for two of these.
    [3] < . 1:1(0) ack 1
    stat listen_overflows = 3
    # And no more are sent.
    [5] < S 0:0(0) <mss 1460>
    nothing
    stat listen_drops = 1
    [1] accept
    +1s [2] > S. 0:0(0) ack 1
    [4] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    # What was dropped beyond that comes back with data.
    [3] < P. 1:11(10) ack 1
    [3] accept
    [3] read 10
    discard
    [4] < . 1:1(0) ack 1
    [4] accept
"
);

script!(
    syn_that_reopens_time_wait_gets_no_cookie,
    "
    config syn_cookies always
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    +1s < S 100000:100000(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 100001
    stat syncookies_sent = 1
    stat connections = 1
"
);

/// A flood: nothing is kept of it but what the bound allows, and real clients get through in between.
#[test]
fn flood_of_syns_takes_no_memory_and_locks_nobody_out() {
    const FLOOD: u32 = 1_000_000;
    let mut tester = Tester::new(Family::V4, Isn::Natural, false);
    tester.config.trace = false;
    tester.run("listen 80 backlog 16");
    let syn = Segment { flags: Flags::SYN, win: Some(1024), ..Segment::default() };
    let mut frame = tester.frame(&syn, &[2, 4, 5, 0xb4]).unwrap();
    let (now, mut answers) = (tester.now, 0);
    for i in 0..FLOOD {
        // The sender's port and initial sequence number; the device vouches for the checksum.
        frame[20..22].copy_from_slice(&(1024 + (i % 30_000) as u16).to_be_bytes());
        frame[24..28].copy_from_slice(&i.wrapping_mul(2_654_435_761).to_be_bytes());
        let (stack, interface) = tester.stack();
        let mut rx = RxFrame::new(frame.clone());
        rx.checksum = RxChecksum::Trusted;
        stack.handle_frame(now, *interface, rx);
        while stack.poll_transmit(now).is_some() {
            answers += 1;
        }
        if i % 200_000 == 199_999 {
            let n = 10 + i / 200_000;
            tester.run(&format!(
                "[{n}] < S 0:0(0) <mss 1460>
                [{n}] > S. 0:0(0) ack 1
                [{n}] < . 1:1(0) ack 1
                [{n}] accept"
            ));
        }
    }
    let stats = tester.stack().0.stats();
    assert_eq!((answers, stats.listen_drops), (FLOOD, 0), "every SYN is answered");
    assert_eq!(stats.connections, 1024 + 5, "the queue, and the real ones");
    assert_eq!(stats.syncookies_recv, 5);
    // The 1,024 come again every 30,000 SYNs.
    assert_eq!(stats.syncookies_sent, u64::from(FLOOD) - 34 * 1024 + 5);
}
