//! Closing: half-close both ways round, FIN in every order, losses of everything.

use crate::support::script;

script!(
    active_close_completes,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    state FIN-WAIT-1
    flushed no
    < . 1:1(0) ack 2
    state FIN-WAIT-2
    flushed yes
    event flushed
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    state TIME-WAIT
    read eof
"
);

script!(
    passive_close_completes,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    state CLOSE-WAIT
    event readable
    read eof
    close
    > F. 1:1(0) ack 2
    state LAST-ACK
    < . 2:2(0) ack 2
    state CLOSED
    stat connections = 0
    +5m
"
);

script!(
    close_sends_what_is_queued_first,
    "
    @server <mss 1460> win 1460
    write 2920
    > . 1:1461(1460) ack 1
    close
    stale
    < . 1:1(0) ack 1461 win 5000
    > FP. 1461:2921(1460) ack 1
    < . 1:1(0) ack 2922
    state FIN-WAIT-2
"
);

script!(
    fin_rides_on_the_last_data,
    "
    @server
    write 10 more
    shutdown write
    > FP. 1:11(10) ack 1
    < . 1:1(0) ack 12
    state FIN-WAIT-2
"
);

script!(
    fin_with_data_is_taken_whole,
    "
    @server
    < FP. 1:11(10) ack 1
    > . 1:1(0) ack 12
    state CLOSE-WAIT
    read 10
    read eof
"
);

script!(
    half_closed_connection_still_receives,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    < . 1:1461(1460) ack 2
    < P. 1461:2921(1460) ack 2
    > . 2:2(0) ack 2921
    read 2920
    < F. 2921:2921(0) ack 2
    > . 2:2(0) ack 2922
    read eof
    state TIME-WAIT
"
);

script!(
    half_closed_connection_still_sends,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    read eof
    write 5000
    >* 1:5001(5000) ack 2
    < . 2:2(0) ack 5001
    write 100
    > P. 5001:5101(100) ack 2
    < . 2:2(0) ack 5101
    close
    > F. 5101:5101(0) ack 2
    < . 2:2(0) ack 5102
    state CLOSED
    stat connections = 0
"
);

script!(
    simultaneous_close_completes,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 1
    > . 2:2(0) ack 2
    state CLOSING
    < . 2:2(0) ack 2
    state TIME-WAIT
"
);

script!(
    fin_that_acknowledges_our_fin_skips_closing,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    state TIME-WAIT
"
);

script!(
    lost_fin_is_retransmitted,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    +200ms > F. 1:1(0) ack 1
    +400ms > F. 1:1(0) ack 1
    +800ms > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    state FIN-WAIT-2
    +10s
"
);

script!(
    lost_fin_of_last_ack_is_retransmitted,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    close
    > F. 1:1(0) ack 2
    +200ms > F. 1:1(0) ack 2
    +400ms > F. 1:1(0) ack 2
    < . 2:2(0) ack 2
    stat connections = 0
"
);

script!(
    lost_fin_of_closing_is_retransmitted,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 1
    > . 2:2(0) ack 2
    +200ms > F. 1:1(0) ack 2
    < . 2:2(0) ack 2
    state TIME-WAIT
"
);

script!(
    lost_data_before_the_fin_is_retransmitted_with_it,
    "
    @server
    write 1000
    > P. 1:1001(1000) ack 1
    shutdown write
    > F. 1001:1001(0) ack 1
    +200ms > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1001
    > F. 1001:1001(0) ack 1
    < . 1:1(0) ack 1002
    state FIN-WAIT-2
"
);

script!(
    ack_of_data_but_not_of_the_fin_stays_in_fin_wait_1,
    "
    @server
    write 1000
    > P. 1:1001(1000) ack 1
    shutdown write
    > F. 1001:1001(0) ack 1
    < . 1:1(0) ack 1001
    state FIN-WAIT-1
    flushed no
    +200ms > F. 1001:1001(0) ack 1
    < . 1:1(0) ack 1002
    state FIN-WAIT-2
"
);

script!(
    lost_ack_of_the_peers_fin_is_sent_again,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    +200ms < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    state CLOSE-WAIT
    +400ms < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
"
);

script!(
    fin_before_a_gap_waits_for_it,
    "
    @server
    < F. 1461:1461(0) ack 1
    > . 1:1(0) ack 1
    state ESTABLISHED
    read none
    < . 1:1461(1460) ack 1
    > . 1:1(0) ack 1462
    state CLOSE-WAIT
    read 1460
    read eof
"
);

script!(
    fin_with_data_before_a_gap_waits_for_it,
    "
    @server
    < FP. 1461:2921(1460) ack 1
    > . 1:1(0) ack 1
    state ESTABLISHED
    < . 1:1461(1460) ack 1
    > . 1:1(0) ack 2922
    state CLOSE-WAIT
    read 2920
    read eof
"
);

script!(
    fin_in_fin_wait_1_before_a_gap_waits_for_it,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < F. 1461:1461(0) ack 2
    > . 2:2(0) ack 1
    state FIN-WAIT-2
    < . 1:1461(1460) ack 2
    > . 2:2(0) ack 1462
    state TIME-WAIT
    read 1460
    read eof
"
);

script!(
    data_past_the_fin_is_not_delivered,
    "
    @server
    < FP. 1:11(10) ack 1
    > . 1:1(0) ack 12
    < P. 12:22(10) ack 1
    discard
    read 10
    read eof
    state CLOSE-WAIT
"
);

script!(
    second_shutdown_changes_nothing,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    shutdown write
    shutdown write
    state FIN-WAIT-1
"
);

script!(
    close_after_shutdown_changes_nothing_on_the_wire,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    close
    state FIN-WAIT-2
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    state TIME-WAIT
"
);

script!(
    write_after_shutdown_is_a_broken_pipe,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    write 10 = broken-pipe
    < . 1:1(0) ack 2
    write 10 = broken-pipe
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    write 10 = broken-pipe
"
);

script!(
    shutdown_of_both_sends_fin_and_ends_reading,
    "
    @server
    shutdown both
    > F. 1:1(0) ack 1
    read eof
    write 10 = broken-pipe
"
);

script!(
    shutdown_of_reading_sends_nothing,
    "
    @server
    shutdown read
    nothing
    read eof
    state ESTABLISHED
    write 10
    > P. 1:11(10) ack 1
"
);

script!(
    data_after_shutdown_of_reading_is_acknowledged_and_thrown_away,
    "
    @server
    shutdown read
    < P. 1:1461(1460) ack 1
    < P. 1461:2921(1460) ack 1
    > . 1:1(0) ack 2921
    read eof
    stat receive_memory = 0
    < F. 2921:2921(0) ack 1
    > . 1:1(0) ack 2922
    state CLOSE-WAIT
"
);

script!(
    shutdown_of_reading_keeps_the_window_open,
    "
    option recv_buffer 4096
    @server
    shutdown read
    < . 1:2049(2048) ack 1
    < . 2049:4097(2048) ack 1
    discard
    < . 4097:6145(2048) ack 1
    discard
    info bytes_received = 6144
    state ESTABLISHED
"
);

script!(
    close_waits_for_a_closed_window,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11 win 0
    write 10
    close
    # Data and FIN wait for the window; the probe keeps the peer talking.
    +200ms > . 10:10(0) ack 1
    < . 1:1(0) ack 11 win 1000
    > FP. 11:21(10) ack 1
    < . 1:1(0) ack 22 win 1000
    state FIN-WAIT-2
"
);

script!(
    orphan_in_fin_wait_2_is_forgotten_in_time,
    "
    option fin_timeout 10s
    @server
    close
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    state FIN-WAIT-2
    +9s
    stat connections = 1
    +2s
    stat connections = 0
"
);

script!(
    held_socket_stays_in_fin_wait_2,
    "
    option fin_timeout 10s
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    +10m
    state FIN-WAIT-2
    < P. 1:11(10) ack 2
    +40ms > . 2:2(0) ack 11
    read 10
"
);

script!(
    orphan_in_fin_wait_1_gives_up_in_the_end,
    "
    option retries 2
    @server
    close
    > F. 1:1(0) ack 1
    +200ms > F. 1:1(0) ack 1
    +400ms > F. 1:1(0) ack 1
    +810ms
    stat connections = 0
"
);

script!(
    orphan_in_last_ack_gives_up_in_the_end,
    "
    option retries 1
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    close
    > F. 1:1(0) ack 2
    +200ms > F. 1:1(0) ack 2
    +410ms
    stat connections = 0
"
);

script!(
    closed_connection_leaves_nothing,
    "
    config time_wait 1s
    @server
    write 5000
    >* 1:5001(5000) ack 1
    < P. 1:101(100) ack 5001
    read 100
    close
    > F. 5001:5001(0) ack 101
    < F. 101:101(0) ack 5002
    > . 5002:5002(0) ack 102
    +1.1s
    stat connections = 0
    stat time_wait = 0
    stat receive_memory = 0
"
);

script!(
    fin_and_syn_are_not_confused_when_both_wrap,
    "
    @client
    write 3
    > P. 1:4(3) ack 1
    < P. 1:5(4) ack 4
    close
    > R. 4:4(0) ack 5
    stat connections = 0
"
);

script!(
    fin_in_a_retransmitted_overlapping_segment_counts_once,
    "
    @server
    < P. 1:11(10) ack 1
    < FP. 1:21(20) ack 1
    > . 1:1(0) ack 22
    state CLOSE-WAIT
    < FP. 1:21(20) ack 1
    > . 1:1(0) ack 22
    read 20
    read eof
"
);

script!(
    peer_that_closes_its_window_with_our_fin_out_still_finishes,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    shutdown write
    > F. 101:101(0) ack 1
    < . 1:1(0) ack 101 win 0
    +200ms > F. 101:101(0) ack 1
    < . 1:1(0) ack 102 win 0
    state FIN-WAIT-2
"
);
