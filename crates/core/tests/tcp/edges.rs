//! Where features meet: closed windows and FIN, buffers changed under way, timestamps and probes, bursts of frames.

use crate::support::script;

script!(
    fin_alone_waits_for_a_closed_window,
    "
    @server
    < . 1:1(0) ack 1 win 0
    shutdown write
    +200ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +400ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    state FIN-WAIT-2
"
);

script!(
    window_of_one_byte_is_filled_in_the_end,
    "
    @server
    < . 1:1(0) ack 1 win 1
    write 2
    +200..1100ms > . 1:2(1) ack 1
    # What empties the queue is not silly.
    < . 1:1(0) ack 2 win 1
    > . 2:3(1) ack 1
    < . 1:1(0) ack 3 win 65535
    flushed yes
"
);

script!(
    smaller_buffer_does_not_take_back_what_was_offered,
    "
    @server
    < . 1:1461(1460) ack 1
    +40ms > . 1:1(0) ack 1461
    set recv_buffer 4096
    # Still within the window offered before.
    < . 1461:20001(18540) ack 1
    discard
    read 20000
    discard
    < . 20001:21461(1460) ack 1
    discard
    read 1460
    discard
"
);

script!(
    larger_buffer_opens_the_window,
    "
    option recv_buffer 4096
    @server
    < . 1:2049(2048) ack 1
    < . 2049:4097(2048) ack 1
    > . 1:1(0) ack 4097 win 0
    set recv_buffer 65535
    discard
    read 4096
    +0..1ms > . 1:1(0) ack 4097
    discard
    info rcv_wnd >= 4096
"
);

script!(
    probe_with_timestamps_is_answered_with_them,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    # It lies outside the window, so its timestamp is not taken (RFC 7323 5.3 R2).
    < . 0:0(0) ack 1 <nop,nop,TS val 5000 ecr last>
    > . 1:1(0) ack 1 <nop,nop,TS val .. ecr 100>
"
);

script!(
    our_probe_carries_timestamps,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    set keep_alive 10s 5s 3
    +10s > . 0:0(0) ack 1 <nop,nop,TS val .. ecr 100>
    < . 1:1(0) ack 1 <nop,nop,TS val 10100 ecr last>
    +10s > . 0:0(0) ack 1 <nop,nop,TS val .. ecr 10100>
"
);

script!(
    straddling_segment_is_trimmed_on_both_sides,
    "
    option recv_buffer 2048
    @server
    < . 1:1001(1000) ack 1
    +40ms > . 1:1(0) ack 1001
    < . 501:3001(2500) ack 1
    > . 1:1(0) ack 2049 win 0
    read 2048
    discard
"
);

script!(
    fin_past_the_window_does_not_count,
    "
    option recv_buffer 2048
    @server
    < . 1:1025(1024) ack 1
    < F. 1025:3001(1976) ack 1
    > . 1:1(0) ack 2049 win 0
    state ESTABLISHED
    read 2048
    > . 1:1(0) ack 2049 win 2048
    < F. 2049:3001(952) ack 1
    > . 1:1(0) ack 3002
    state CLOSE-WAIT
    read 952
    read eof
"
);

script!(
    fin_fits_a_window_that_its_data_fills,
    "
    option recv_buffer 2048
    @server
    < . 1:1025(1024) ack 1
    < F. 1025:2049(1024) ack 1
    discard
    < F. 2049:2049(0) ack 1
    discard
    read 2048
    discard
    < F. 2049:2049(0) ack 1
    > . 1:1(0) ack 2050
    state CLOSE-WAIT
    read eof
"
);

script!(
    peer_that_acknowledges_byte_by_byte_is_survived,
    "
    @server
    write 5
    > P. 1:6(5) ack 1
    < . 1:1(0) ack 2
    < . 1:1(0) ack 3
    < . 1:1(0) ack 4
    < . 1:1(0) ack 5
    flushed no
    < . 1:1(0) ack 6
    flushed yes
    info cwnd = 14600
"
);

script!(
    acknowledgement_of_data_and_fin_at_once,
    "
    @server
    write 5000
    >* 1:5001(5000) ack 1
    shutdown write
    > F. 5001:5001(0) ack 1
    < . 1:1(0) ack 5002
    state FIN-WAIT-2
    flushed yes
    event flushed
"
);

script!(
    fin_goes_with_the_data_that_fills_the_window,
    "
    @server <mss 1460> win 1000
    write 1000
    > . 1:1001(1000) ack 1
    shutdown write
    nothing
    < . 1:1(0) ack 1001 win 1000
    > F. 1001:1001(0) ack 1
"
);

script!(
    retransmission_joins_small_segments_or_sends_them_one_by_one,
    "
    option nagle off
    @server
    write 10
    > P. 1:11(10) ack 1
    write 10
    > P. 11:21(10) ack 1
    write 10
    > P. 21:31(10) ack 1
    +200ms > . * ack 1
    < . 1:1(0) ack 31
    discard
    flushed yes
    +1m
"
);

script!(
    data_written_in_recovery_is_sent_when_it_ends,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    }
    > . 1:1461(1460) ack 1
    write 100
    discard
    < . 1:1(0) ack 14601
    discard
    +1ms
    info unsent = 0
    < . 1:1(0) ack 14701
    flushed yes
"
);

script!(
    new_data_follows_a_timeout_at_the_new_window,
    "
    @server
    write 1460
    > P. 1:1461(1460) ack 1
    +200ms > . 1:1461(1460) ack 1
    info cwnd = 1460
    write 5840
    nothing
    < . 1:1(0) ack 1461
    >* 1461:4381(2920) ack 1
"
);

script!(
    burst_of_everything_is_taken_in_order,
    "
    @server
    < P. 1:11(10) ack 1 held
    < P. 21:31(10) ack 1 held
    < P. 11:21(10) ack 1 held
    < F. 31:31(0) ack 1 held
    < R 32:32(0)
    discard
    read 30
    read reset
"
);

script!(
    fin_and_reset_in_one_burst,
    "
    @server
    < F. 1:1(0) ack 1 held
    < R 2:2(0)
    discard
    state CLOSED
    error reset
"
);

script!(
    reset_right_behind_the_handshake_frees_it,
    "
    listen 80
    < S 0:0(0) <mss 1460> held
    < R 1:1(0)
    discard
    stat connections = 0
    accept none
"
);

script!(
    connection_reset_before_it_is_accepted_does_not_hang_the_listener,
    "
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    < R 1:1(0)
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    # As in Linux it may be accepted, and says so itself.
    accept
    read reset
    [2] accept
    [2] state ESTABLISHED
"
);

script!(
    both_close_with_data_under_way,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    shutdown write
    > F. 101:101(0) ack 1
    < FP. 1:51(50) ack 1
    > . 102:102(0) ack 52
    state CLOSING
    read 50
    read eof
    +160..260ms > . 1:101(100) ack 52
    < . 52:52(0) ack 101
    > F. 101:101(0) ack 52
    < . 52:52(0) ack 102
    state TIME-WAIT
"
);

script!(
    accepted_connection_inherits_the_options,
    "
    option nagle off
    option keep_alive 10s 5s 3
    @server
    write 1
    > P. 1:2(1) ack 1
    write 1
    > P. 2:3(1) ack 1
    < . 1:1(0) ack 3
    +10s > . 2:2(0) ack 1
"
);

script!(
    counters_of_memory_return_to_zero,
    "
    @server
    < . 1001:2001(1000) ack 1
    > . 1:1(0) ack 1
    stat receive_memory >= 1000
    < . 1:1001(1000) ack 1
    > . 1:1(0) ack 2001
    read 2000
    stat receive_memory = 0
"
);

script!(
    aborted_connection_frees_what_waited,
    "
    @server
    < . 1001:2001(1000) ack 1
    > . 1:1(0) ack 1
    < P. 1:501(500) ack 1
    discard
    abort
    > R. 1:1(0) ack 501
    stat receive_memory = 0
    stat connections = 0
"
);

script!(
    receive_memory_of_all_connections_is_bounded,
    "
    config max_receive_memory 2048
    @server
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    discard
    < . 2921:4381(1460) ack 1
    discard
    # Windows do not open any more until something is read.
    info rcv_wnd <= 65535
    read 2920
    discard
    state ESTABLISHED
"
);

script!(
    acknowledgement_from_the_right_edge_is_taken,
    "
    option recv_buffer 2048
    @server
    write 100
    > P. 1:101(100) ack 1
    # The peer filled the window, all of it was lost, and it acknowledges from where it is.
    < . 2049:2049(0) ack 101
    flushed yes
    "
);

script!(
    reordered_segment_does_not_change_the_window,
    "
    @server
    < P. 101:111(10) ack 1 win 6000
    > . 1:1(0) ack 1
    info snd_wnd = 6000
    # Sent before it, arrived after it: RFC 9293 3.10.7.4, SND.WL1.
    < P. 1:11(10) ack 1 win 100
    discard
    info snd_wnd = 6000
    < P. 11:101(90) ack 1 win 50
    discard
    info snd_wnd = 6000
    < . 111:111(0) ack 1 win 7000
    info snd_wnd = 7000
    "
);

script!(
    fin_counts_in_the_window,
    "
    @server <mss 1460> win 1000
    write 1000 more
    shutdown write
    # RFC 9293 3.4: the FIN would be one past it.
    > . 1:1001(1000) ack 1
    nothing
    < . 1:1(0) ack 1001 win 1000
    > F. 1001:1001(0) ack 1
    < . 1:1(0) ack 1002
    state FIN-WAIT-2
    "
);
