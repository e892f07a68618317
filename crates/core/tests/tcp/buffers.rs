//! Buffers: how large they are, how they grow, and what happens when the stack's memory is used up.

use crate::support::{Family, Isn, Tester, script};

script!(
    default_buffers_are_told_in_the_scale_of_their_largest,
    "
    option recv_buffer default
    option send_buffer default
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val .. ecr 100,nop,wscale 7>
    < . 1:1(0) ack 1 <nop,nop,TS val 100 ecr last>
    accept
    info recv_buffer = 1048576
    info send_buffer = 1048576
"
);

script!(
    receive_buffer_follows_what_is_read_in_a_round_trip,
    "
    option recv_buffer 4096 65536 1000000
    @server <mss 1000,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    write 10
    > P. 1:11(10) ack 1
    # The echo is 50 ms old: the round trip.
    +50ms < . 1:30001(30000) ack 11 win 500 <nop,nop,TS val 1050 ecr last> merged 1000
    discard
    read 30000
    discard
    info recv_buffer > 90000
    info recv_buffer < 200000
    info rcv_rtt = 50ms
"
);

script!(
    receive_buffer_stays_when_the_application_does_not_read,
    "
    option recv_buffer 4096 65536 1000000
    @server <mss 1000,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    write 10
    > P. 1:11(10) ack 1
    +50ms < . 1:30001(30000) ack 11 win 500 <nop,nop,TS val 1050 ecr last> merged 1000
    discard
    +10s info recv_buffer = 65536
"
);

script!(
    receive_buffer_of_a_fixed_size_stays,
    "
    option recv_buffer 65536
    @server <mss 1000,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    write 10
    > P. 1:11(10) ack 1
    +50ms < . 1:30001(30000) ack 11 win 500 <nop,nop,TS val 1050 ecr last> merged 1000
    discard
    read 30000
    discard
    info recv_buffer = 65536
"
);

script!(
    send_buffer_grows_with_the_congestion_window_while_the_application_waits,
    "
    option send_buffer 4096 8192 100000
    @server <mss 1000>
    write 20000 = 8192
    >* 1:8001(8000) mss 1000
    > P. 8001:8193(192) ack 1
    +10ms < . 1:1(0) ack 8001
    # Twice the window of ten segments and what it grew by.
    info send_buffer >= 20000
    info send_buffer <= 40000
    event writable
    room >= 20000
    < . 1:1(0) ack 8193
"
);

script!(
    send_buffer_that_suffices_stays,
    "
    option send_buffer 4096 8192 100000
    @server <mss 1000>
    write 8000
    >* 1:8001(8000) mss 1000
    +10ms < . 1:1(0) ack 8001
    info send_buffer = 8192
"
);

script!(
    send_buffer_of_a_fixed_size_stays,
    "
    option send_buffer 8192
    @server <mss 1000>
    write 20000 = 8192
    >* 1:8001(8000) mss 1000
    > P. 8001:8193(192) ack 1
    +10ms < . 1:1(0) ack 8001
    info send_buffer = 8192
    < . 1:1(0) ack 8193
"
);

script!(
    send_memory_of_all_connections_is_bounded_and_none_starves,
    "
    config max_send_memory 40000
    option send_buffer 1000 30000 100000
    option nagle off
    listen 80
    [1] < S 0:0(0) win 0 <mss 1000>
    [1] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1 win 0
    [1] accept
    [2] < S 0:0(0) <mss 1000>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    [1] write 40000 = 30000
    # Three quarters are in use: nothing grows, what it began with is there.
    [2] write 40000 = 30000
    [2] discard
    [2] room = 0
    stat send_memory = 60000
    # Beyond all of it a connection has its least, once its queue is empty.
    [2] < . 1:1(0) ack 10001
    [2] discard
    [2] room = 0
    [2] < . 1:1(0) ack 20001
    [2] discard
    [2] < . 1:1(0) ack 30001
    [2] event writable
    [2] info send_buffer = 30000
    [2] room >= 1000
    [1] room = 0
"
);

script!(
    short_receive_memory_keeps_windows_at_what_they_began_with,
    "
    config max_receive_memory 80000
    option recv_buffer 4096 60000 1000000
    @server <mss 1000>
    < . 1:30001(30000) ack 1 merged 1000
    discard
    info rcv_wnd <= 35536
    < . 30001:60001(30000) ack 1 merged 1000
    discard
    # Three quarters: the window is what is left of the 60,000.
    info rcv_wnd <= 5536
    read 60000
    discard
    info rcv_wnd >= 59000
"
);

script!(
    data_beyond_used_up_receive_memory_is_dropped_and_comes_again,
    "
    config max_receive_memory 20000
    option recv_buffer 4000 60000 1000000
    @server <mss 1000>
    < . 1:30001(30000) ack 1 merged 1000
    > . 1:1(0) ack 30001
    # A quarter beyond the limit is held: the peer still has a window, but its data exceeds the least.
    < . 30001:31001(1000) ack 1
    > . 1:1(0) ack 30001
    stat tcp_rcvq_drop = 1
    stat receive_memory = 30000
    read 30000
    discard
    < . 30001:31001(1000) ack 1
    read 1000
    discard
    info bytes_received = 31000
    stat receive_memory = 0
"
);

script!(
    out_of_order_data_counts_what_it_costs,
    "
    @server <mss 1000,sackOK>
    < . 11:12(1) ack 1
    discard
    info ooo_queue = 1
    stat receive_memory = 256
    < . 1:11(10) ack 1
    discard
    stat receive_memory = 11
    read 11
    stat receive_memory = 0
"
);

/// A queue holds what is in it: after an exchange, nothing.
#[test]
fn idle_connections_hold_no_memory() {
    let mut tester = Tester::new(Family::V4, Isn::Natural, false);
    tester.config.trace = false;
    tester.run("listen 80");
    for n in 1..=50 {
        tester.run(&format!(
            "[{n}] < S 0:0(0) <mss 1460>
            [{n}] > S. 0:0(0) ack 1
            [{n}] < . 1:1(0) ack 1
            [{n}] accept
            [{n}] < P. 1:1001(1000) ack 1
            [{n}] read 1000
            [{n}] write 1000
            [{n}] > P. 1:1001(1000) ack 1001
            [{n}] < . 1001:1001(0) ack 1001"
        ));
    }
    let stats = tester.stack().0.stats();
    assert_eq!((stats.connections, stats.receive_memory, stats.send_memory), (50, 0, 0));
}
