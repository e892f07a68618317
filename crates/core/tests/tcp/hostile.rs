//! Packets that no honest peer sends: malformed, forged, or from where nothing can come. They are dropped, and the
//! connection goes on.

use crate::support::script;

script!(
    segment_with_a_bad_checksum_is_dropped,
    "
    @server
    < P. 1:11(10) ack 1 bad-checksum
    +1s
    read none
    < P. 1:11(10) ack 1
    read 10
    +40ms > . 1:1(0) ack 11
"
);

script!(
    reset_with_a_bad_checksum_is_dropped,
    "
    @server
    < R 1:1(0) bad-checksum
    state ESTABLISHED
"
);

script!(
    syn_with_a_bad_checksum_is_dropped,
    "
    listen 80
    < S 0:0(0) bad-checksum
    nothing
    stat connections = 0
"
);

script!(
    syn_to_a_closed_port_with_a_bad_checksum_is_not_answered,
    "
    < S 0:0(0) bad-checksum
    nothing
"
);

script!(
    truncated_packets_are_dropped,
    "
    @server
    < P. 1:11(10) ack 1 cut 1
    < P. 1:11(10) ack 1 cut 9
    < P. 1:11(10) ack 1 cut 10
    < P. 1:11(10) ack 1 cut 11
    < P. 1:11(10) ack 1 cut 29
    < P. 1:11(10) ack 1 cut 30
    < P. 1:11(10) ack 1 cut 31
    < P. 1:11(10) ack 1 cut 45
    < P. 1:11(10) ack 1 cut 49
    < P. 1:11(10) ack 1 cut 1000
    +1s
    read none
    state ESTABLISHED
"
);

script!(
    padding_after_the_packet_is_not_data,
    "
    @server
    < P. 1:11(10) ack 1 padded 6
    read 10
    read none
    +40ms > . 1:1(0) ack 11
    < . 11:11(0) ack 1 padded 20
    read none
    +1s
"
);

script!(
    data_offset_below_the_header_is_dropped,
    "
    @server
    < P. 1:11(10) ack 1 offset 0
    < P. 1:11(10) ack 1 offset 4
    +1s
    read none
"
);

script!(
    data_offset_past_the_segment_is_dropped,
    "
    @server
    < P. 1:11(10) ack 1 offset 15
    < . 1:1(0) ack 1 offset 6
    +1s
    read none
    state ESTABLISHED
"
);

script!(
    port_zero_is_dropped,
    "
    listen 80
    < S 0:0(0) port 0
    < S 0:0(0) source-port 0
    < . 0:0(0) ack 5 source-port 0
    nothing
    stat connections = 0
"
);

script!(
    syn_from_ourselves_is_dropped,
    "
    listen 80
    # LAND.
    < S 0:0(0) from self
    < S 0:0(0) from self source-port 80
    nothing
    +10s
    stat connections = 0
"
);

script!(
    segment_from_ourselves_for_a_connection_is_dropped,
    "
    @server
    < R 1:1(0) from self
    < P. 1:11(10) ack 1 from self source-port 80
    +1s
    state ESTABLISHED
"
);

script!(
    syn_to_broadcast_or_multicast_is_dropped,
    "
    listen 80
    < S 0:0(0) to broadcast
    < S 0:0(0) to subnet-broadcast
    < S 0:0(0) to multicast
    nothing
    stat connections = 0
"
);

script!(
    syn_from_broadcast_or_multicast_is_dropped,
    "
    listen 80
    < S 0:0(0) from broadcast
    < S 0:0(0) from subnet-broadcast
    < S 0:0(0) from multicast
    < S 0:0(0) from unspecified
    nothing
    +10s
    stat connections = 0
"
);

script!(
    closed_port_is_silent_to_broadcast_and_multicast,
    "
    # RFC 9293 3.9.2.3 MUST-57: no RST for them either.
    < S 0:0(0) to broadcast
    < S 0:0(0) to multicast
    < S 0:0(0) from broadcast
    < S 0:0(0) from multicast
    < S 0:0(0) from unspecified
    < . 0:0(0) ack 5 from multicast
    nothing
"
);

script!(
    loopback_addresses_from_the_wire_are_dropped,
    "
    listen 80
    < S 0:0(0) from loopback
    < S 0:0(0) to loopback
    nothing
    stat connections = 0
"
);

script!(
    packet_for_another_host_is_dropped,
    "
    listen 80
    < S 0:0(0) to other
    < . 0:0(0) ack 1 to other
    nothing
    stat connections = 0
"
);

script!(
    segment_from_another_address_is_not_of_the_connection,
    "
    @server
    < R 1:1(0) source-port 50000
    < R 1:1(0) from other
    state ESTABLISHED
    error none
"
);

script!(
    every_flag_at_once_does_no_harm,
    "
    @server
    < FSRPU. 1:11(10) ack 1 urg 5
    discard
    +10s
    discard
"
);

script!(
    every_flag_at_once_opens_nothing,
    "
    listen 80
    < FSRPU. 0:0(0) ack 1
    < FSRPUEW. 0:0(0) ack 1
    < FPU 0:0(0)
    < - 0:0(0)
    nothing
    stat connections = 0
"
);

script!(
    segment_without_flags_does_no_harm,
    "
    @server
    < - 1:1(0)
    < - 1:101(100)
    +1s
    read none
    state ESTABLISHED
"
);

script!(
    syn_flood_is_bounded,
    "
    config max_connections 8
    listen 80 backlog 4
    [1] < S 0:0(0) <mss 1460>
    discard
    [2] < S 0:0(0) <mss 1460>
    discard
    [3] < S 0:0(0) <mss 1460>
    discard
    [4] < S 0:0(0) <mss 1460>
    discard
    [5] < S 0:0(0) <mss 1460>
    discard
    [6] < S 0:0(0) <mss 1460>
    discard
    [7] < S 0:0(0) <mss 1460>
    discard
    [8] < S 0:0(0) <mss 1460>
    discard
    [9] < S 0:0(0) <mss 1460>
    discard
    [10] < S 0:0(0) <mss 1460>
    discard
    stat connections <= 8
"
);

script!(
    connections_are_bounded_in_number,
    "
    config max_connections 1
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [2] < S 0:0(0) <mss 1460>
    nothing
    stat connections = 1
    [1] < . 1:1(0) ack 1
    [1] accept
    [1] state ESTABLISHED
"
);

script!(
    tiny_segments_out_of_order_are_bounded,
    "
    option recv_buffer 65536
    @server
    # SegmentSmack: one byte each, every second one.
    < . 3:4(1) ack 1 held
    < . 5:6(1) ack 1 held
    < . 7:8(1) ack 1 held
    < . 9:10(1) ack 1 held
    discard
    info ooo_queue <= 65536
    discard
    < . 1:3(2) ack 1
    discard
    read 3
    state ESTABLISHED
"
);

script!(
    optimistic_acks_do_not_move_anything,
    "
    @server
    write 30000
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 20000
    > . 14601:14601(0) ack 1
    info cwnd = 14600
    info send_queue = 30000
"
);

script!(
    ack_far_behind_is_challenged,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    # RFC 5961 5: data injected blindly.
    < P. 1:11(10) ack -2000000000
    > . 101:101(0) ack 1
    read none
"
);

script!(
    window_of_zero_from_the_start_is_survived,
    "
    listen 80
    < S 0:0(0) win 0 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    accept
    write 10
    +200ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 100
    > P. 1:11(10) ack 1
"
);

script!(
    window_of_zero_in_the_syn_ack_is_survived,
    "
    @client <mss 1460> win 0
    write 10
    +200ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 100
    > P. 1:11(10) ack 1
"
);
