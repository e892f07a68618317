//! RST: made for what belongs to nobody, taken only when it must be true (RFC 9293 §3.10.7, RFC 5961 §3).

use crate::support::script;

script!(
    syn_to_a_closed_port_is_reset,
    "
    < S 0:0(0) win 65535 <mss 1460>
    > R. 0:0(0) ack 1 win 0
    stat connections = 0
"
);

script!(
    syn_with_data_to_a_closed_port_is_reset_past_the_data,
    "
    < S 0:10(10) win 65535
    > R. 0:0(0) ack 11
"
);

script!(
    ack_to_a_closed_port_is_reset_with_its_number,
    "
    < . 1:1(0) ack 12345
    > R 12345:12345(0) win 0
"
);

script!(
    syn_ack_to_a_closed_port_is_reset_with_its_number,
    "
    < S. 0:0(0) ack 12345
    > R 12345:12345(0)
"
);

script!(
    data_to_a_closed_port_is_reset,
    "
    < P. 1:1001(1000) ack 500
    > R 500:500(0)
"
);

script!(
    data_without_ack_to_a_closed_port_is_reset_past_the_data,
    "
    < P 1:1001(1000)
    > R. 0:0(0) ack 1001
"
);

script!(
    fin_without_ack_to_a_closed_port_is_reset_past_the_fin,
    "
    < F 5:15(10)
    > R. 0:0(0) ack 16
"
);

script!(
    reset_to_a_closed_port_is_never_answered,
    "
    < R 1:1(0)
    < R. 1:1(0) ack 5
    < SR 1:1(0)
    < RF. 1:1(0) ack 5
    nothing
"
);

script!(
    ack_to_a_listener_is_reset,
    "
    listen 80
    < . 1:1(0) ack 777
    > R 777:777(0)
    < S. 1:1(0) ack 778
    > R 778:778(0)
    stat connections = 0
"
);

script!(
    segments_without_syn_to_a_listener_are_dropped,
    "
    listen 80
    < F 1:1(0)
    < P 1:11(10)
    < - 1:1(0)
    < R 1:1(0)
    stat connections = 0
"
);

script!(
    exact_reset_ends_the_connection,
    "
    @server
    < R 1:1(0)
    state CLOSED
    event error
    error reset
    read reset
"
);

script!(
    exact_reset_with_ack_ends_the_connection,
    "
    @server
    < R. 1:1(0) ack 1
    state CLOSED
    error reset
"
);

script!(
    reset_elsewhere_in_the_window_is_challenged,
    "
    @server
    < R 2:2(0)
    > . 1:1(0) ack 1
    < R 1000:1000(0)
    > . 1:1(0) ack 1
    state ESTABLISHED
    error none
"
);

script!(
    challenged_peer_that_means_it_ends_the_connection,
    "
    @server
    < R 1000:1000(0)
    > . 1:1(0) ack 1
    < R 1:1(0)
    error reset
"
);

script!(
    reset_outside_the_window_is_ignored,
    "
    @server
    < R 0:0(0)
    < R -100:-100(0)
    < R 10000000:10000000(0)
    < R 1000000000:1000000000(0)
    state ESTABLISHED
    error none
"
);

script!(
    reset_at_a_closed_window_is_taken,
    "
    option recv_buffer 2048
    @server
    < . 1:1025(1024) ack 1
    < . 1025:2049(1024) ack 1
    discard
    info rcv_wnd = 0
    < R 2049:2049(0)
    error reset
"
);

script!(
    reset_is_never_answered,
    "
    @server
    < R. 1:1(0) ack 99999
    nothing
    state CLOSED
"
);

script!(
    queued_data_comes_before_the_reset,
    "
    @server
    < P. 1:11(10) ack 1
    < R 11:11(0)
    error reset
    read 10
    read reset
"
);

script!(
    write_after_reset_reports_it,
    "
    @server
    < R 1:1(0)
    write 10 = reset
    write 10 = broken-pipe
"
);

script!(
    error_is_reported_once,
    "
    @server
    < R 1:1(0)
    read reset
    write 10 = broken-pipe
    error reset
    read eof
"
);

script!(
    reset_ends_unacknowledged_data,
    "
    @server
    write 1000
    > P. 1:1001(1000) ack 1
    < R 1:1(0)
    error reset
    +1m
"
);

script!(
    reset_in_close_wait_ends_it,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    < R 2:2(0)
    state CLOSED
    error reset
"
);

script!(
    reset_in_fin_wait_1_ends_it,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < R 1:1(0)
    state CLOSED
    error reset
"
);

script!(
    reset_in_fin_wait_2_ends_it,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    < R 1:1(0)
    state CLOSED
    error reset
"
);

script!(
    reset_in_last_ack_ends_it,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    shutdown write
    > F. 1:1(0) ack 2
    < R 2:2(0)
    state CLOSED
"
);

script!(
    reset_in_closing_ends_it,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 1
    > . 2:2(0) ack 2
    state CLOSING
    < R 2:2(0)
    state CLOSED
"
);

script!(
    challenge_ack_carries_the_truth,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < P. 1:11(10) ack 101
    < S 500:500(0)
    > . 101:101(0) ack 11
"
);

script!(
    challenge_acks_are_limited,
    "
    @server
    # RFC 5961 7: a flood of bad RSTs does not become a flood of ours.
    repeat 5000 {
    < R 1000:1000(0) held
    }
    nothing
    discard
    state ESTABLISHED
    < R 1:1(0)
    error reset
"
);

script!(
    abort_resets,
    "
    @server
    abort
    > R. 1:1(0) ack 1
    stale
    stat connections = 0
"
);

script!(
    abort_throws_the_send_queue_away,
    "
    @server <mss 1460> win 2000
    write 10000
    > . 1:1461(1460) ack 1
    abort
    > R. 1461:1461(0) ack 1
    stat connections = 0
    +1m
"
);

script!(
    abort_of_all_resets_all,
    "
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    [1] accept
    abort all
    [1] > R. 1:1(0) ack 1
    stat connections = 0
    stat listeners = 0
"
);

script!(
    close_with_unread_data_resets,
    "
    @server
    < P. 1:11(10) ack 1
    close
    > R. 1:1(0) ack 11
    stat connections = 0
    stat receive_memory = 0
"
);

script!(
    close_with_some_data_unread_resets,
    "
    @server
    < P. 1:11(10) ack 1
    read 9
    close
    > R. 1:1(0) ack 11
"
);

script!(
    close_after_reading_all_does_not_reset,
    "
    @server
    < P. 1:11(10) ack 1
    read 10
    close
    > F. 1:1(0) ack 11
"
);

script!(
    data_after_close_resets,
    "
    @server
    close
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    state FIN-WAIT-2
    # RFC 1122 4.2.2.13: nobody will read it, and the peer is told.
    < P. 1:11(10) ack 2
    > R 2:2(0)
    stat connections = 0
"
);

script!(
    data_after_close_in_fin_wait_1_resets,
    "
    @server
    close
    > F. 1:1(0) ack 1
    < P. 1:11(10) ack 1
    > R 1:1(0)
    stat connections = 0
"
);

script!(
    data_after_shutdown_of_writing_is_read,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < . 1:1(0) ack 2
    < P. 1:11(10) ack 2
    +40ms > . 2:2(0) ack 11
    read 10
"
);

script!(
    segment_for_an_aborted_connection_is_reset,
    "
    @server
    abort
    > R. 1:1(0) ack 1
    < P. 1:11(10) ack 1
    > R 1:1(0)
"
);
