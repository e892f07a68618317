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

script!(
    window_that_jumps_about_never_stalls_what_is_left,
    "
    # RFC 9293 §3.8.6: shrunk to nothing and to odd sizes while data is out, and reopened.
    @server
    write 8760
    >* 1:8761(8760) ack 1
    < . 1:1(0) ack 1461 win 0
    < . 1:1(0) ack 1461 win 1
    < . 1:1(0) ack 1461 win 777
    < . 1:1(0) ack 1461 win 0
    write 2920
    nothing
    # Only the first byte's segment is sent again, as the probe.
    +200..700ms > . 1461:2921(1460) ack 1
    < . 1:1(0) ack 2921 win 3
    > . 2921:4381(1460) ack 1
    nothing
    < . 1:1(0) ack 8761 win 0
    nothing
    +100ms..3s > . 8760:8760(0) ack 1
    < . 1:1(0) ack 8761 win 65535
    > . 8761:10221(1460) ack 1
    > P. 10221:11681(1460) ack 1
    < . 1:1(0) ack 11681
    flushed yes
"
);

script!(
    duplicates_that_cannot_be_are_not_believed,
    "
    # RFC 2883 with RFC 8985 §6.2: nothing was sent again, so no duplicate is of our making; the window stays too.
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535
    accept
    write 14600
    >* 1:14601(14600) ack 1
    +40ms < . 1:1(0) ack 1461
    repeat 100 {
    < . 1:1(0) ack 1461 <nop,nop,sack 1:1461>
    }
    info retrans = 0
    info ssthresh = max
    info reordering = 3
    # Loss is found as ever: two segments above the gap, and a quarter of a round trip.
    < . 1:1(0) ack 1461 <nop,nop,sack 2921:5841>
    +10ms > . 1461:2921(1460) ack 1
"
);

script!(
    urgent_pointers_that_lead_nowhere_are_harmless,
    "
    @server
    < U. 1:1(0) ack 1 urg 65535
    info urgent = 65535
    # Back, and to nothing: the mark only moves on (RFC 9293 §3.8.5).
    < U. 1:1(0) ack 1 urg 0
    < U. 1:1(0) ack 1 urg 10
    info urgent = 65535
    < UP. 1:11(10) ack 1 urg 3
    read 10
    discard
    info urgent = 65525
    < F. 11:11(0) ack 1
    > . 1:1(0) ack 12
    read eof
    state CLOSE-WAIT
"
);

script!(
    keepalives_by_the_thousand_get_few_answers,
    "
    # RFC 5961 §7: ten in half a second; then the next half.
    @server
    repeat 10 {
    < . 0:0(0) ack 1
    > . 1:1(0) ack 1
    }
    repeat 500 {
    < . 0:0(0) ack 1
    }
    nothing
    +500ms < . 0:0(0) ack 1
    > . 1:1(0) ack 1
"
);

script!(
    fin_in_front_of_what_waits_is_the_end,
    "
    # A FIN inside of what was sent before it: what lies behind is not delivered.
    @server <mss 1460,sackOK>
    < . 21:31(10) ack 1
    discard
    < F. 11:11(0) ack 1
    discard
    < . 1:11(10) ack 1
    > . 1:1(0) ack 12
    read 10
    read eof
    state CLOSE-WAIT
    < . 21:31(10) ack 1
    discard
    read eof
"
);

script!(
    acknowledgements_of_single_bytes_open_the_window_by_bytes,
    "
    # RFC 3465 §2.3, ACK division: 1,460 of them are worth one segment.
    @server
    write 29200
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 2
    < . 1:1(0) ack 3
    < . 1:1(0) ack 4
    nothing
    info cwnd = 14603
"
);
