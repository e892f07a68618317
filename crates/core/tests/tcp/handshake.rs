//! Opening connections: both ways round, at the same time, with losses, and against a full backlog.

use crate::support::script;

script!(
    passive_open_completes,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    state SYN-RECEIVED
    accept none
    < . 1:1(0) ack 1 win 512
    acceptable
    accept
    state ESTABLISHED
    accept none
    "
);

script!(
    active_open_completes,
    "
    connect
    > S 0:0(0)
    state SYN-SENT
    no-event connected
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    event connected
    state ESTABLISHED
    "
);

script!(
    simultaneous_open_completes,
    "
    connect
    > S 0:0(0)
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    state SYN-RECEIVED
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    discard
    state ESTABLISHED
    event connected
    < P. 1:11(10) ack 1
    +40ms > . 1:1(0) ack 11
    read 10
    "
);

script!(
    simultaneous_open_completes_by_a_bare_ack,
    "
    connect
    > S 0:0(0)
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    state ESTABLISHED
    event connected
    write 10
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11
    "
);

script!(
    simultaneous_open_survives_a_lost_syn_ack,
    "
    connect
    > S 0:0(0)
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +1..3.1s > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    state ESTABLISHED
    "
);

script!(
    lost_syn_is_retransmitted_with_backoff,
    "
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    +2s > S 0:0(0)
    +4s > S 0:0(0)
    +8s > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
    "
);

script!(
    connecting_to_a_silent_peer_times_out,
    "
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    +2s > S 0:0(0)
    +4s > S 0:0(0)
    +8s > S 0:0(0)
    +16s > S 0:0(0)
    +32s > S 0:0(0)
    +64s > S 0:0(0)
    # RFC 9293 §3.8.3 MUST-23: three minutes at least.
    +119s
    error none
    +1.1s
    error timed-out
    event error
    state CLOSED
    read timed-out
    "
);

script!(
    syn_retries_are_settable,
    "
    option syn_retries 1
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    +2.1s
    error timed-out
    "
);

script!(
    retransmitted_syn_has_the_same_options,
    "
    option recv_buffer 262144
    connect
    > S 0:0(0) win 65535 <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 3>
    +1s > S 0:0(0) win 65535 <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 3>
    "
);

script!(
    refused_connection_reports_it,
    "
    connect
    > S 0:0(0)
    < R. 0:0(0) ack 1
    error refused
    event error
    state CLOSED
    read refused
    "
);

script!(
    reset_without_ack_does_not_refuse,
    "
    connect
    > S 0:0(0)
    < R 0:0(0)
    state SYN-SENT
    error none
    +1s > S 0:0(0)
    "
);

script!(
    reset_of_another_syn_does_not_refuse,
    "
    connect
    > S 0:0(0)
    < R. 0:0(0) ack 0
    < R. 0:0(0) ack 2
    state SYN-SENT
    "
);

script!(
    syn_ack_of_another_syn_is_reset,
    "
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 0
    > R 0:0(0)
    < S. 0:0(0) ack 2
    > R 2:2(0)
    state SYN-SENT
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
    "
);

script!(
    old_ack_while_connecting_is_reset,
    "
    connect
    > S 0:0(0)
    < . 77:77(0) ack -100
    > R -100:-100(0)
    state SYN-SENT
    "
);

script!(
    ack_without_syn_does_not_connect,
    "
    connect
    > S 0:0(0)
    < . 1:1(0) ack 1
    state SYN-SENT
    < F. 1:1(0) ack 1
    state SYN-SENT
    < P. 1:11(10) ack 1
    state SYN-SENT
    "
);

script!(
    syn_ack_with_reset_flag_refuses,
    "
    connect
    > S 0:0(0)
    < SR. 0:0(0) ack 1
    error refused
    "
);

script!(
    lost_syn_ack_is_retransmitted_with_backoff,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +1s > S. 0:0(0) ack 1
    +2s > S. 0:0(0) ack 1
    +4s > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    state ESTABLISHED
    +10s
    "
);

script!(
    half_open_connection_is_given_up,
    "
    option synack_retries 2
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +1s > S. 0:0(0) ack 1
    +2s > S. 0:0(0) ack 1
    stat connections = 1
    +4.1s
    stat connections = 0
    accept none
    # The peer that comes too late learns it.
    < . 1:1(0) ack 1
    > R 1:1(0)
    "
);

script!(
    duplicate_syn_is_answered_again,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +100ms < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    stat connections = 1
    < . 1:1(0) ack 1
    accept
    state ESTABLISHED
    "
);

script!(
    lost_third_ack_is_made_up_for_by_data,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < P. 1:11(10) ack 1
    accept
    state ESTABLISHED
    queued 10
    +40ms > . 1:1(0) ack 11
    read 10
    "
);

script!(
    lost_third_ack_is_made_up_for_by_fin,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    accept
    state CLOSE-WAIT
    read eof
    "
);

script!(
    lost_third_ack_is_sent_again_on_retransmitted_syn_ack,
    "
    @client
    +1s < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
    "
);

script!(
    wrong_ack_of_the_syn_ack_is_reset_and_changes_nothing,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 2
    > R 2:2(0)
    < . 1:1(0) ack 0
    > R 0:0(0)
    state SYN-RECEIVED
    < . 1:1(0) ack 1
    accept
    state ESTABLISHED
    "
);

script!(
    reset_of_a_half_open_connection_frees_it,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < R 1:1(0)
    stat connections = 0
    accept none
    # The listener lives.
    [2] < S 0:0(0) win 65535 <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    "
);

script!(
    reset_elsewhere_in_the_window_does_not_free_a_half_open_connection,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < R 100:100(0)
    > . 1:1(0) ack 1
    < R 100000:100000(0)
    state SYN-RECEIVED
    < . 1:1(0) ack 1
    accept
    "
);

script!(
    full_backlog_drops_the_syn_and_keeps_what_waits,
    "
    # As in Linux, one more than the backlog waits.
    listen 80 backlog 0
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    # Not reset: the peer tries again.
    [2] < S 0:0(0) win 65535 <mss 1460>
    +10ms
    < P. 1:11(10) ack 1
    +40ms > . 1:1(0) ack 11
    accept
    read 10
    +1s [2] < S 0:0(0) win 65535 <mss 1460>
    [2] > S. 0:0(0) ack 1
    "
);

script!(
    backlog_has_room_again_after_accept,
    "
    listen 80 backlog 0
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    [2] < S 0:0(0) win 65535 <mss 1460>
    accept
    +1s [2] < S 0:0(0) win 65535 <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    state ESTABLISHED
    [2] state ESTABLISHED
    "
);

script!(
    handshake_that_completes_into_a_full_backlog_is_finished_after_accept,
    "
    listen 80 backlog 0
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    # No room: the ACK is as if lost, and nobody is reset.
    [2] < . 1:1(0) ack 1
    [2] state SYN-RECEIVED
    [1] accept
    +1..1001ms [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    [2] state ESTABLISHED
    "
);

script!(
    connections_are_accepted_in_order,
    "
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [3] < S 0:0(0) <mss 1460>
    [3] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [3] < . 1:1(0) ack 1
    [1] < . 1:1(0) ack 1
    [2] accept
    [3] accept
    [1] accept
    "
);

script!(
    closing_the_listener_resets_what_waits_and_keeps_what_was_accepted,
    "
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    [1] accept
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    unlisten
    [2] > R. 1:1(0) ack 1
    stat connections = 1
    stat listeners = 0
    [1] < P. 1:11(10) ack 1
    +40ms [1] > . 1:1(0) ack 11
    [1] read 10
    [3] < S 0:0(0) <mss 1460>
    [3] > R. 0:0(0) ack 1
    "
);

script!(
    closed_port_can_be_listened_on_again,
    "
    listen 80
    unlisten
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    "
);

script!(
    data_written_while_connecting_follows_the_handshake,
    "
    connect
    > S 0:0(0)
    write 10
    +10ms < S. 0:0(0) ack 1 <mss 1460>
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11
    "
);

script!(
    shutdown_while_connecting_follows_the_handshake,
    "
    connect
    > S 0:0(0)
    write 10
    shutdown write
    < S. 0:0(0) ack 1 <mss 1460>
    > FP. 1:11(10) ack 1
    state FIN-WAIT-1
    "
);

script!(
    close_while_connecting_forgets_it,
    "
    connect
    > S 0:0(0)
    close
    stale
    stat connections = 0
    < S. 0:0(0) ack 1 <mss 1460>
    > R 1:1(0)
    "
);

script!(
    abort_while_connecting_forgets_it,
    "
    connect
    > S 0:0(0)
    abort
    stale
    stat connections = 0
    +10s
    "
);

script!(
    data_on_a_syn_waits_for_its_retransmission,
    "
    listen 80
    < S 0:10(10) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < P. 1:11(10) ack 1
    accept
    read 10
    +40ms > . 1:1(0) ack 11
    "
);

script!(
    same_connection_cannot_be_made_twice,
    "
    connect
    > S 0:0(0)
    connect address-already-in-use
    "
);

script!(
    two_connections_do_not_mix,
    "
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    [1] accept
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    [2] < P. 1:21(20) ack 1
    +10ms [1] < P. 1:11(10) ack 1
    +30ms [2] > . 1:1(0) ack 21
    +10ms [1] > . 1:1(0) ack 11
    [1] read 10
    [2] read 20
    [2] write 5
    [2] > P. 1:6(5) ack 21
    [1] write 7
    [1] > P. 1:8(7) ack 11
    "
);

script!(
    syn_for_an_established_connection_is_challenged,
    "
    @server
    < S 0:0(0) win 65535 <mss 1460>
    > . 1:1(0) ack 1
    +1s < S 5000:5000(0) win 65535 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
    "
);

script!(
    peer_that_rebooted_gets_its_challenge_and_resets,
    "
    @server
    # RFC 5961 4.2: the peer, now in SYN-SENT, answers the challenge with an exact RST.
    < S 70000:70000(0) win 65535 <mss 1460>
    > . 1:1(0) ack 1
    < R 1:1(0)
    state CLOSED
    error reset
    "
);

script!(
    syn_ack_for_an_established_connection_is_acknowledged,
    "
    @client
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
    "
);

script!(
    initial_window_is_not_scaled,
    "
    option recv_buffer 1048576
    listen 80
    < S 0:0(0) win 65535 <mss 1460,nop,wscale 7>
    > S. 0:0(0) ack 1 win 65535
    "
);

script!(
    small_receive_buffer_shows_in_the_first_window,
    "
    option recv_buffer 4096
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 win 4096
    < . 1:1(0) ack 1
    accept
    info rcv_wnd = 4096
    "
);
