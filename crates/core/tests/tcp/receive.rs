//! The receiving side: reassembly, delayed acknowledgements, and the window it offers.

use crate::support::script;

script!(
    data_in_order_is_delivered,
    "
    @server
    < P. 1:101(100) ack 1
    event readable
    queued 100
    read 100
    read none
    +40ms > . 1:1(0) ack 101
"
);

script!(
    data_is_read_in_pieces,
    "
    @server
    < P. 1:101(100) ack 1
    < P. 101:301(200) ack 1
    read 1
    read 149
    peek 150
    read 150
    read none
    +40ms > . 1:1(0) ack 301
"
);

script!(
    peeking_takes_nothing,
    "
    @server
    < P. 1:101(100) ack 1
    peek 100
    peek 100
    queued 100
    read 100
    +40ms > . 1:1(0) ack 101
"
);

script!(
    out_of_order_data_waits_for_the_gap_to_close,
    "
    @server
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 1
    read none
    no-event readable
    info ooo_queue = 1460
    < . 1:1461(1460) ack 1
    > . 1:1(0) ack 2921
    read 2920
    info ooo_queue = 0
"
);

script!(
    every_out_of_order_segment_is_acknowledged_at_once,
    "
    @server
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 1
    < . 2921:4381(1460) ack 1
    > . 1:1(0) ack 1
    < . 5841:7301(1460) ack 1
    > . 1:1(0) ack 1
    +1s
"
);

script!(
    segment_that_fills_part_of_a_gap_is_acknowledged_at_once,
    "
    @server
    < . 2921:4381(1460) ack 1
    > . 1:1(0) ack 1
    < . 1:1461(1460) ack 1
    > . 1:1(0) ack 1461
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 4381
    read 4380
"
);

script!(
    two_gaps_close_one_by_one,
    "
    @server
    < . 11:21(10) ack 1
    > . 1:1(0) ack 1
    < . 31:41(10) ack 1
    > . 1:1(0) ack 1
    < . 1:11(10) ack 1
    > . 1:1(0) ack 21
    read 20
    < . 21:31(10) ack 1
    > . 1:1(0) ack 41
    read 20
"
);

script!(
    segments_in_reverse_order_are_put_right,
    "
    @server
    < . 41:51(10) ack 1
    > . 1:1(0) ack 1
    < . 31:41(10) ack 1
    > . 1:1(0) ack 1
    < . 21:31(10) ack 1
    > . 1:1(0) ack 1
    < . 11:21(10) ack 1
    > . 1:1(0) ack 1
    < . 1:11(10) ack 1
    > . 1:1(0) ack 51
    read 50
"
);

script!(
    duplicate_data_is_acknowledged_and_dropped,
    "
    @server
    < P. 1:101(100) ack 1
    +40ms > . 1:1(0) ack 101
    < P. 1:101(100) ack 1
    > . 1:1(0) ack 101
    read 100
    read none
"
);

script!(
    front_of_an_overlap_is_dropped,
    "
    @server
    < P. 1:101(100) ack 1
    < P. 51:151(100) ack 1
    > . 1:1(0) ack 151
    read 150
    read none
"
);

script!(
    whole_of_a_larger_retransmission_counts_once,
    "
    @server
    < P. 1:101(100) ack 1
    < P. 1:201(200) ack 1
    > . 1:1(0) ack 201
    read 200
    read none
"
);

script!(
    overlaps_out_of_order_are_put_right,
    "
    @server
    < . 51:151(100) ack 1
    > . 1:1(0) ack 1
    < . 101:201(100) ack 1
    > . 1:1(0) ack 1
    < . 21:61(40) ack 1
    > . 1:1(0) ack 1
    info ooo_queue = 180
    < . 1:31(30) ack 1
    > . 1:1(0) ack 201
    read 200
"
);

script!(
    piece_within_what_waits_changes_nothing,
    "
    @server
    < . 11:111(100) ack 1
    > . 1:1(0) ack 1
    < . 31:51(20) ack 1
    > . 1:1(0) ack 1
    info ooo_queue = 100
    < . 1:11(10) ack 1
    > . 1:1(0) ack 111
    read 110
"
);

script!(
    piece_around_what_waits_swallows_it,
    "
    @server
    < . 31:51(20) ack 1
    > . 1:1(0) ack 1
    < . 71:81(10) ack 1
    > . 1:1(0) ack 1
    < . 11:111(100) ack 1
    > . 1:1(0) ack 1
    info ooo_queue = 100
    < . 1:11(10) ack 1
    > . 1:1(0) ack 111
    read 110
"
);

script!(
    segment_across_a_gap_and_what_waits_joins_them,
    "
    @server
    < . 51:101(50) ack 1
    > . 1:1(0) ack 1
    < . 1:201(200) ack 1
    > . 1:1(0) ack 201
    read 200
    info ooo_queue = 0
"
);

script!(
    same_out_of_order_segment_twice_counts_once,
    "
    @server
    < . 11:21(10) ack 1
    > . 1:1(0) ack 1
    < . 11:21(10) ack 1
    > . 1:1(0) ack 1
    info ooo_queue = 10
    < . 1:11(10) ack 1
    > . 1:1(0) ack 21
    read 20
    read none
"
);

script!(
    received_bytes_do_not_change_by_a_later_overlap,
    "
    @server
    < P. 1:101(100) ack 1
    < P. 1:101(100) ack 1 other-data
    > . 1:1(0) ack 101
    read 100
"
);

script!(
    data_past_the_window_is_cut_off,
    "
    option recv_buffer 4096
    @server
    < . 1:2049(2048) ack 1
    < . 2049:5049(3000) ack 1
    > . 1:1(0) ack 4097 win 0
    read 4096
    > . 1:1(0) ack 4097 win 4096
    < P. 4097:5049(952) ack 1
    +40ms > . 1:1(0) ack 5049
    read 952
"
);

script!(
    data_wholly_past_the_window_is_refused,
    "
    option recv_buffer 4096
    @server
    < . 5001:6001(1000) ack 1
    > . 1:1(0) ack 1
    info ooo_queue = 0
"
);

script!(
    single_segment_is_acknowledged_after_the_delay,
    "
    @server
    < P. 1:101(100) ack 1
    +39ms
    +1ms > . 1:1(0) ack 101
    +1s
"
);

script!(
    delay_runs_from_the_first_unacknowledged_segment,
    "
    @server
    < P. 1:101(100) ack 1
    +30ms < P. 101:201(100) ack 1
    +10ms > . 1:1(0) ack 201
    +1s
"
);

script!(
    every_second_full_segment_is_acknowledged_at_once,
    "
    @server
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 2921
    < . 2921:4381(1460) ack 1
    < . 4381:5841(1460) ack 1
    > . 1:1(0) ack 5841
    read 5840
"
);

script!(
    segments_that_the_device_merged_are_acknowledged_at_once,
    "
    @server
    < . 1:2921(2920) ack 1 merged 1460
    > . 1:1(0) ack 2921
    read 2920
"
);

script!(
    acknowledgement_rides_on_data,
    "
    @server
    < P. 1:101(100) ack 1
    +10ms write 10
    > P. 1:11(10) ack 101
    < . 101:101(0) ack 11
    +1s
"
);

script!(
    acknowledgements_of_one_batch_are_one,
    "
    @server
    < . 1:1461(1460) ack 1 held
    < . 1461:2921(1460) ack 1 held
    < . 2921:4381(1460) ack 1 held
    < . 4381:5841(1460) ack 1
    > . 1:1(0) ack 5841
    read 5840
    +1s
"
);

script!(
    delay_is_settable,
    "
    option delayed_ack 100ms
    @server
    < P. 1:101(100) ack 1
    +100ms > . 1:1(0) ack 101
"
);

script!(
    first_acknowledgements_are_not_delayed,
    "
    option quick_acks 2
    @server
    < P. 1:101(100) ack 1
    > . 1:1(0) ack 101
    < P. 101:201(100) ack 1
    > . 1:1(0) ack 201
    < P. 201:301(100) ack 1
    +40ms > . 1:1(0) ack 301
"
);

script!(
    a_gap_brings_quick_acknowledgements_back,
    "
    option quick_acks 1
    @server <mss 1460>
    < P. 1:101(100) ack 1
    > . 1:1(0) ack 101
    < P. 201:301(100) ack 1
    > . 1:1(0) ack 101
    < P. 101:201(100) ack 1
    > . 1:1(0) ack 301
    < P. 301:401(100) ack 1
    +40ms > . 1:1(0) ack 401
"
);

script!(
    acknowledgements_of_a_trickle_wait_for_the_next_segment,
    "
    # Segments 35 ms apart on a path of 400 ms: the delay grows towards twice the gap, so that one acknowledgement does for
    # two segments.
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +400ms < . 1:1(0) ack 1 win 65535
    accept
    < P. 1:101(100) ack 1
    +35ms < P. 101:201(100) ack 1
    +5ms > . 1:1(0) ack 201
    info ato = 55ms
    +30ms < P. 201:301(100) ack 1
    +35ms < P. 301:401(100) ack 1
    info ato > 60ms
    nothing
    +22..30ms > . 1:1(0) ack 401
"
);

script!(
    a_trickle_never_waits_longer_than_a_round_trip,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +45ms < . 1:1(0) ack 1 win 65535
    accept
    < P. 1:101(100) ack 1
    +35ms < P. 101:201(100) ack 1
    +5ms > . 1:1(0) ack 201
    +30ms < P. 201:301(100) ack 1
    info ato > 60ms
    +45ms > . 1:1(0) ack 301
"
);

script!(
    an_idle_time_brings_quick_acknowledgements_back,
    "
    # The sender restarts from a small window (RFC 5681 §4.1).
    option quick_acks 2
    @server <mss 1460>
    < P. 1:101(100) ack 1
    > . 1:1(0) ack 101
    < P. 101:201(100) ack 1
    > . 1:1(0) ack 201
    < P. 201:301(100) ack 1
    +40ms > . 1:1(0) ack 301
    +1s < P. 301:401(100) ack 1
    > . 1:1(0) ack 401
    < P. 401:501(100) ack 1
    > . 1:1(0) ack 501
    < P. 501:601(100) ack 1
    +40ms > . 1:1(0) ack 601
"
);

script!(
    partly_duplicate_data_is_reported,
    "
    @server <mss 1460,sackOK>
    < P. 201:301(100) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 201:301>
    < P. 251:401(150) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 251:301 201:401>
    < P. 1:251(250) ack 1
    > . 1:1(0) ack 401 <nop,nop,sack 201:251>
"
);

script!(
    no_delay_acknowledges_every_segment,
    "
    option delayed_ack 0ms
    @server
    < P. 1:101(100) ack 1
    > . 1:1(0) ack 101
    < P. 101:201(100) ack 1
    > . 1:1(0) ack 201
"
);

script!(
    pure_acknowledgements_are_not_acknowledged,
    "
    @server
    < . 1:1(0) ack 1
    < . 1:1(0) ack 1
    < . 1:1(0) ack 1 win 100
    +10s
"
);

script!(
    window_shrinks_with_unread_data,
    "
    option recv_buffer 8192
    @server
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 2921 win 5272
    < . 2921:4381(1460) ack 1
    < . 4381:5841(1460) ack 1
    > . 1:1(0) ack 5841 win 2352
"
);

script!(
    full_buffer_closes_the_window_and_reading_opens_it,
    "
    option recv_buffer 4096
    @server
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 2921 win 1176
    < . 2921:4097(1176) ack 1
    +40ms > . 1:1(0) ack 4097 win 0
    read 4096
    > . 1:1(0) ack 4097 win 4096
"
);

script!(
    window_opens_only_by_much,
    "
    option recv_buffer 4096
    @server
    < . 1:2049(2048) ack 1
    < . 2049:4097(2048) ack 1
    > . 1:1(0) ack 4097 win 0
    # Receiver silly-window avoidance: RFC 9293 3.8.6.2.2.
    read 10
    read 100
    read 500
    nothing
    +1s
    read 2000
    > . 1:1(0) ack 4097
"
);

script!(
    probe_of_the_closed_window_is_answered,
    "
    option recv_buffer 4096
    @server
    < . 1:2049(2048) ack 1
    < . 2049:4097(2048) ack 1
    > . 1:1(0) ack 4097 win 0
    # With a byte of new data ..
    < . 4097:4098(1) ack 1
    > . 1:1(0) ack 4097 win 0
    # .. and as Linux does it, with an old number and none.
    < . 4096:4096(0) ack 1
    > . 1:1(0) ack 4097 win 0
    read 4096
    > . 1:1(0) ack 4097 win 4096
    < . 4097:4098(1) ack 1
    +40ms > . 1:1(0) ack 4098
    read 1
"
);

script!(
    acknowledgements_count_at_a_closed_window,
    "
    option recv_buffer 2048
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1025(1024) ack 1
    < . 1025:2049(1024) ack 1
    discard
    # RFC 9293 3.10.7.4: the ACK of a segment that the window refuses is taken.
    < . 2049:2050(1) ack 101
    discard
    flushed yes
"
);

script!(
    fin_comes_through_a_closed_window,
    "
    option recv_buffer 2048
    @server
    < . 1:1025(1024) ack 1
    < . 1025:2049(1024) ack 1
    discard
    read 2048
    discard
    < F. 2049:2049(0) ack 1
    > . 1:1(0) ack 2050
    read eof
"
);

script!(
    window_is_scaled_after_the_handshake,
    "
    option recv_buffer 262144
    @server <mss 1460,nop,wscale 0>
    info rcv_wscale = 3
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    # (262144 - 2920) / 8, or what was promised before it.
    > . 1:1(0) ack 2921
    info rcv_wnd >= 62615
"
);

script!(
    large_window_takes_much_out_of_order,
    "
    option recv_buffer 262144
    @server <mss 1460,nop,wscale 7>
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 1
    < . 50001:51461(1460) ack 1
    > . 1:1(0) ack 1
    < . 1:1461(1460) ack 1
    > . 1:1(0) ack 2921
    read 2920
    info ooo_queue = 1460
"
);

script!(
    sack_reports_what_waits,
    "
    @server <mss 1460,sackOK>
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 1461:2921>
    < . 2921:4381(1460) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 1461:4381>
    < . 1:1461(1460) ack 1
    > . 1:1(0) ack 4381 <>
"
);

script!(
    sack_reports_the_newest_block_first,
    "
    @server <mss 1460,sackOK>
    < . 11:21(10) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 11:21>
    < . 31:41(10) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 31:41 11:21>
    < . 51:61(10) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 51:61 31:41 11:21>
    < . 71:81(10) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 71:81 51:61 31:41 11:21>
    # The block that grew is the newest.
    < . 21:25(4) ack 1
    > . 1:1(0) ack 1 <nop,nop,sack 11:25 71:81 51:61 31:41>
"
);

script!(
    sack_has_room_for_three_blocks_beside_timestamps,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0>
    < . 11:21(10) ack 1 <nop,nop,TS val 101 ecr last>
    > . 1:1(0) ack 1 <nop,nop,TS val .. ecr 100,nop,nop,sack 11:21>
    < . 31:41(10) ack 1 <nop,nop,TS val 101 ecr last>
    discard
    < . 51:61(10) ack 1 <nop,nop,TS val 101 ecr last>
    discard
    < . 71:81(10) ack 1 <nop,nop,TS val 101 ecr last>
    > . 1:1(0) ack 1 <nop,nop,TS val .. ecr 100,nop,nop,sack 71:81 51:61 31:41>
"
);

script!(
    duplicate_is_reported_first,
    "
    @server <mss 1460,sackOK>
    < P. 1:101(100) ack 1
    +40ms > . 1:1(0) ack 101
    # RFC 2883 4: D-SACK.
    < P. 1:101(100) ack 1
    > . 1:1(0) ack 101 <nop,nop,sack 1:101>
    < P. 101:201(100) ack 1
    +40ms > . 1:1(0) ack 201 <>
"
);

script!(
    no_sack_without_permission,
    "
    @server <mss 1460>
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 1 <>
"
);

script!(
    no_sack_when_switched_off,
    "
    option sack off
    @server <mss 1460,sackOK>
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 1 <>
"
);

script!(
    urgent_data_is_delivered_in_line,
    "
    @server
    < PU. 1:11(10) ack 1 urg 5
    read 10
    +40ms > . 1:1(0) ack 11
    < PU. 11:21(10) ack 1 urg 60000
    read 10
    +40ms > . 1:1(0) ack 21
    < U. 21:21(0) ack 1 urg 0
    state ESTABLISHED
"
);

script!(
    urgent_data_is_announced_with_its_mark,
    "
    # RFC 9293 §3.8.5, RFC 6093: told when there is a mark and when it moves on, and how far it is; the data is in line.
    @server
    < P. 1:11(10) ack 1
    no-event urgent
    info urgent = 0
    < PU. 11:21(10) ack 1 urg 5
    event urgent
    info urgent = 15
    read 12
    info urgent = 3
    < PU. 21:31(10) ack 1 urg 0
    no-event urgent
    read 3
    info urgent = 0
    # The mark may lie ahead of the data, and moves on only.
    < PU. 31:41(10) ack 1 urg 100
    event urgent
    < PU. 41:51(10) ack 1 urg 50
    no-event urgent
    info urgent = 115
    < PU. 51:61(10) ack 1 urg 100
    event urgent
    info urgent = 135
    read 45
    info urgent = 90
    discard
"
);

script!(
    urgent_mark_is_taken_at_a_closed_window,
    "
    # RFC 9293 §3.4 MUST-66.
    option recv_buffer 4096
    @server
    < . 1:4097(4096) ack 1
    > . 1:1(0) ack 4097 win 0
    < U. 4097:4098(1) ack 1 urg 1
    > . 1:1(0) ack 4097 win 0
    event urgent
    info urgent = 4097
    < U. 4097:4097(0) ack 1 urg 10
    event urgent
    info urgent = 4106
"
);

script!(
    urgent_data_is_sent_in_line_with_its_mark,
    "
    # RFC 9293 §3.8.5 MUST-30, MUST-31; RFC 6093 §3.1: the pointer names the byte behind it.
    @server
    write 10
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11
    write 2000 urgent
    > U. 11:1471(1460) ack 1 urg 2000
    > PU. 1471:2011(540) ack 1 urg 540
    write 100
    < . 1:1(0) ack 2011
    > P. 2011:2111(100) ack 1 urg 0
"
);

script!(
    times_and_counts_of_a_connection_are_told,
    "
    @server <mss 1460>
    info advmss = 1460
    +1s < P. 1:101(100) ack 1
    +40ms > . 1:1(0) ack 101
    < . 301:401(100) ack 1
    > . 1:1(0) ack 101
    +100ms write 10
    > P. 1:11(10) ack 101
    +200ms
    info last_data_sent = 200ms
    info last_data_recv = 300ms
    info last_ack_recv = 300ms
    info data_segs_in = 2
    info data_segs_out = 1
    info rcv_ooopack = 1
    info rcv_mss = 536
"
);

script!(
    data_without_push_is_delivered_too,
    "
    @server
    < . 1:11(10) ack 1
    event readable
    read 10
    +40ms > . 1:1(0) ack 11
"
);

script!(
    segment_without_ack_is_dropped,
    "
    @server
    < P 1:11(10)
    < - 1:11(10)
    < F 1:1(0)
    +1s
    read none
    state ESTABLISHED
"
);

script!(
    data_with_an_old_ack_is_taken,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    < P. 1:11(10) ack 1
    +40ms > . 101:101(0) ack 11
    read 10
"
);

script!(
    data_with_an_ack_of_unsent_data_is_refused,
    "
    @server
    < P. 1:11(10) ack 1000
    > . 1:1(0) ack 1
    read none
"
);

script!(
    data_with_a_far_too_old_ack_is_refused,
    "
    @server
    # RFC 5961 5.2: older than the largest window ever offered.
    < P. 1:11(10) ack -1000000
    > . 1:1(0) ack 1
    read none
"
);

script!(
    stream_is_delivered_whole_in_any_order,
    "
    @server
    < . 4381:5841(1460) ack 1
    discard
    < . 1461:2921(1460) ack 1
    discard
    < . 7301:8761(1460) ack 1
    discard
    < . 1:1461(1460) ack 1
    discard
    < . 5841:7301(1460) ack 1
    discard
    < . 2921:4381(1460) ack 1
    > . 1:1(0) ack 8761
    read 8760
"
);
