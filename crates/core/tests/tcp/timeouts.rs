//! Keep-alive, user timeout, and what the network reports by ICMP.

use crate::support::script;

script!(
    keep_alive_is_off_by_default,
    "
    @server
    +24h
    state ESTABLISHED
"
);

script!(
    idle_connection_is_probed,
    "
    @server
    set keep_alive 10s 5s 3
    +10s > . 0:0(0) ack 1
    < . 1:1(0) ack 1
    +10s > . 0:0(0) ack 1
    < . 1:1(0) ack 1
    +10s > . 0:0(0) ack 1
    < . 1:1(0) ack 1
    state ESTABLISHED
"
);

script!(
    keep_alive_from_the_start,
    "
    option keep_alive 10s 5s 3
    @server
    +10s > . 0:0(0) ack 1
    < . 1:1(0) ack 1
    +10s > . 0:0(0) ack 1
"
);

script!(
    unanswered_keep_alive_gives_up,
    "
    @server
    set keep_alive 10s 5s 3
    +10s > . 0:0(0) ack 1
    +5s > . 0:0(0) ack 1
    +5s > . 0:0(0) ack 1
    +4900ms
    state ESTABLISHED
    +110ms
    discard
    state CLOSED
    error timed-out
    event error
    read timed-out
"
);

script!(
    one_answer_restarts_keep_alive,
    "
    @server
    set keep_alive 10s 5s 2
    +10s > . 0:0(0) ack 1
    +5s > . 0:0(0) ack 1
    +1s < . 1:1(0) ack 1
    +10s > . 0:0(0) ack 1
    +5s > . 0:0(0) ack 1
    +4900ms
    state ESTABLISHED
    +110ms
    discard
    error timed-out
"
);

script!(
    traffic_postpones_keep_alive,
    "
    @server
    set keep_alive 10s 5s 3
    +8s < P. 1:11(10) ack 1
    read 10
    +40ms > . 1:1(0) ack 11
    +9900ms
    +20..100ms > . 0:0(0) ack 11
"
);

script!(
    keep_alive_leaves_data_in_flight_to_its_timer,
    "
    option rto_min 3s
    @server
    set keep_alive 1s 1s 1
    write 10
    > P. 1:11(10) ack 1
    +3s > . 1:11(10) ack 1
    < . 1:1(0) ack 11
    state ESTABLISHED
"
);

script!(
    keep_alive_is_reset_by_a_peer_that_rebooted,
    "
    @server
    set keep_alive 10s 5s 3
    +10s > . 0:0(0) ack 1
    < R 1:1(0)
    error reset
"
);

script!(
    keep_alive_can_be_switched_off,
    "
    @server
    set keep_alive 10s 5s 3
    +10s > . 0:0(0) ack 1
    < . 1:1(0) ack 1
    set keep_alive off
    +1h
    state ESTABLISHED
"
);

script!(
    keep_alive_notices_a_peer_that_is_gone_in_close_wait,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    set keep_alive 10s 5s 1
    +10s > . 0:0(0) ack 2
    +5100ms
    discard
    error timed-out
"
);

script!(
    keep_alive_probe_of_the_peer_is_answered,
    "
    @server
    < . 0:0(0) ack 1
    > . 1:1(0) ack 1
    # The old form, with a byte.
    < . 0:1(1) ack 1
    > . 1:1(0) ack 1
    read none
"
);

script!(
    user_timeout_gives_up,
    "
    @server
    set user_timeout 5s
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    +800ms > . 1:101(100) ack 1
    +1600ms > . 1:101(100) ack 1
    +1900ms
    state ESTABLISHED
    +110ms
    state CLOSED
    error timed-out
"
);

script!(
    user_timeout_counts_from_the_oldest_data,
    "
    @server
    set user_timeout 2s
    write 100
    > P. 1:101(100) ack 1
    +100ms < . 1:1(0) ack 101
    # The time without anything outstanding does not count.
    +5s write 100
    > P. 101:201(100) ack 1
    +200..700ms > . 101:201(100) ack 1
    state ESTABLISHED
    < . 1:1(0) ack 201
    flushed yes
"
);

script!(
    user_timeout_counts_from_the_write_where_the_window_is_closed,
    "
    @server
    set user_timeout 2s
    < . 1:1(0) ack 1 win 0
    # Hours in which there is nothing to send are none in which nothing gets through.
    +3h write 100
    +200ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +400ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +800ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +500ms
    state ESTABLISHED
    +110ms
    state CLOSED
    error timed-out
"
);

script!(
    soft_errors_do_not_abort_a_close,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    close
    > F. 101:101(0) ack 1
    < icmp host-unreachable 1
    < icmp net-unreachable 101
    state FIN-WAIT-1
    +200ms > . 1:101(100) ack 1
    < . 1:1(0) ack 102
    state FIN-WAIT-2
    < F. 1:1(0) ack 102
    > . 102:102(0) ack 2
    # Nothing of ours is in flight any more: nothing can be undelivered.
    < icmp host-unreachable 101
    state TIME-WAIT
"
);

script!(
    user_timeout_bounds_connecting,
    "
    option user_timeout 2s
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    +1010ms
    error timed-out
"
);

script!(
    user_timeout_longer_than_the_retries_outlasts_them,
    "
    # tcp(7): it lets a connection survive longer without an answer, too.
    option retries 1
    option user_timeout 5s
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    +800ms > . 1:101(100) ack 1
    +1600ms > . 1:101(100) ack 1
    +2010ms
    error timed-out
"
);

script!(
    soft_errors_do_not_abort,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp net-unreachable 1
    < icmp host-unreachable 1
    < icmp time-exceeded 1
    < icmp source-quench 1
    state ESTABLISHED
    error none
    +200ms > . 1:101(100) ack 1
    < . 1:1(0) ack 101
    flushed yes
"
);

script!(
    soft_errors_while_connecting_do_not_abort,
    "
    connect
    > S 0:0(0)
    < icmp time-exceeded 0
    < icmp source-quench 0
    state SYN-SENT
    +1s > S 0:0(0)
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
"
);

script!(
    unreachable_host_is_told_and_connecting_goes_on,
    "
    connect
    > S 0:0(0)
    # RFC 9293 §3.9.2.2 MUST-56, SHLD-25.
    < icmp host-unreachable 0
    state SYN-SENT
    error none
    event report
    report icmp host-unreachable
    report none
    soft-error host-unreachable
    +1s > S 0:0(0)
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    state ESTABLISHED
    soft-error none
"
);

script!(
    every_soft_error_leaves_connecting_alone,
    "
    connect
    > S 0:0(0)
    < icmp net-unreachable 0
    report icmp network-unreachable
    < icmp host-unreachable 0
    report icmp host-unreachable
    < icmp source-route-failed 0
    < icmp time-exceeded 0
    report icmp host-unreachable
    < icmp parameter-problem 0
    report icmp protocol
    state SYN-SENT
    error none
    +1s > S 0:0(0)
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
"
);

script!(
    connecting_that_is_given_up_says_what_the_network_said,
    "
    option syn_retries 2
    connect
    > S 0:0(0)
    < icmp net-unreachable 0
    +1s > S 0:0(0)
    < icmp host-unreachable 0
    +2s > S 0:0(0)
    +4010ms
    state CLOSED
    event error
    error host-unreachable
    stat tcp_abort_on_timeout = 1
"
);

script!(
    user_timeout_says_what_the_network_said,
    "
    option user_timeout 2s
    connect
    > S 0:0(0)
    < icmp net-unreachable 0
    +1s > S 0:0(0)
    +1010ms
    error network-unreachable
"
);

script!(
    connection_that_is_given_up_says_what_the_network_said_last,
    "
    option retries 2
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp host-unreachable 1
    # What arrives takes back what was said before.
    +10ms < . 1:1(0) ack 101
    soft-error none
    write 100
    > P. 101:201(100) ack 1
    +200..400ms > . 101:201(100) ack 1
    < icmp net-unreachable 101
    soft-error network-unreachable
    +300..900ms > . 101:201(100) ack 1
    +1s
    +1s
    error network-unreachable
"
);

script!(
    soft_errors_end_connecting_where_the_application_wants_it,
    "
    # As in Linux (RFC 5461 4.2).
    option fail_connect_on_soft_error on
    connect
    > S 0:0(0)
    < icmp host-unreachable 0
    state CLOSED
    event error
    no-event report
    error host-unreachable
"
);

script!(
    soft_errors_do_not_abort_even_then,
    "
    option fail_connect_on_soft_error on
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp net-unreachable 1
    state ESTABLISHED
    error none
    soft-error network-unreachable
"
);

script!(
    prohibition_ends_connecting,
    "
    connect
    > S 0:0(0)
    # A decision, not the state of a route.
    < icmp admin-prohibited 0
    error host-unreachable
"
);

script!(
    prohibition_of_a_network_ends_connecting,
    "
    connect
    > S 0:0(0)
    < icmp net-prohibited 0
    error {network|host}-unreachable
"
);

script!(
    prohibition_of_a_host_ends_connecting,
    "
    connect
    > S 0:0(0)
    < icmp host-prohibited 0
    error host-unreachable
"
);

script!(
    soft_errors_in_a_simultaneous_open_are_told,
    "
    connect
    > S 0:0(0)
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < icmp host-unreachable 0
    state SYN-RECEIVED
    report icmp host-unreachable
    < . 1:1(0) ack 1
    state ESTABLISHED
"
);

script!(
    hard_errors_in_a_simultaneous_open_end_it,
    "
    connect
    > S 0:0(0)
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < icmp port-unreachable 0
    error refused
"
);

script!(
    icmp_about_data_is_told,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp host-unreachable 1
    event report
    report icmp host-unreachable
    # RFC 5927 §5.2: a hard one is no more than that to a connection that is open.
    < icmp port-unreachable 1
    event report
    report icmp refused
    report none
    state ESTABLISHED
    # Nor is one told that names what is not in flight.
    < icmp host-unreachable 101
    < icmp host-unreachable 0
    no-event report
    report none
"
);

script!(
    reports_that_nobody_takes_are_the_last_of_each_reason,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp host-unreachable 1
    < icmp net-unreachable 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    +800ms > . 1:101(100) ack 1
    +1600ms > . 1:101(100) ack 1
    report icmp network-unreachable
    report retransmissions 4
    report none
"
);

script!(
    retransmissions_are_told_from_the_third_on,
    "
    # RFC 9293 §3.8.3 SHLD-9, SHLD-10: R1, until R2.
    option retries 5
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    no-event report
    +800ms > . 1:101(100) ack 1
    event report
    report retransmissions 3
    +1600ms > . 1:101(100) ack 1
    report retransmissions 4
    +3200ms > . 1:101(100) ack 1
    report retransmissions 5
    +6410ms
    error timed-out
    report none
"
);

script!(
    retransmissions_of_a_syn_are_told_too,
    "
    # MUST-22.
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    +2s > S 0:0(0)
    no-event report
    +4s > S 0:0(0)
    event report
    report retransmissions 3
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
"
);

script!(
    retransmissions_are_counted_anew_after_progress,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    < . 1:1(0) ack 101
    write 100
    > P. 101:201(100) ack 1
    +700..900ms > . 101:201(100) ack 1
    no-event report
    report none
"
);

script!(
    unreachable_port_refuses_connecting,
    "
    connect
    > S 0:0(0)
    < icmp port-unreachable 0
    error refused
"
);

script!(
    forged_unreachable_does_not_end_connecting,
    "
    connect
    > S 0:0(0)
    # RFC 5927 4.1: the quoted sequence number must be in flight.
    < icmp host-unreachable 1
    < icmp host-unreachable -1
    < icmp port-unreachable 100000
    state SYN-SENT
    error none
    soft-error none
    no-event report
"
);

script!(
    hard_errors_do_not_end_an_established_connection,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    # RFC 5927 5.2: established connections take hard errors for soft ones.
    < icmp port-unreachable 1
    < icmp protocol-unreachable 1
    state ESTABLISHED
    error none
    < . 1:1(0) ack 101
    flushed yes
"
);

script!(
    smaller_path_makes_smaller_segments,
    "
    @server
    write 2920
    >* 1:2921(2920) ack 1
    # RFC 1191, RFC 8201: what was too big is sent again in pieces.
    < icmp too-big 1300 1
    > . 1:{1261(1260)|1241(1240)} ack 1
    > . {1261:1461(200)|1241:1461(220)} ack 1
    > . 1461:{2721(1260)|2701(1240)} ack 1
    > . {2721:2921(200)|2701:2921(220)} ack 1
    info pmtu = 1300
    info mss = {1260|1240}
    < . 1:1(0) ack 2921
    write {1300|1280}
    > . 2921:{4181(1260)|4161(1240)} ack 1
    > P. {4181:4221(40)|4161:4201(40)} ack 1
"
);

script!(
    larger_path_than_ours_is_not_believed,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp too-big 9000 1
    info mss = 1460
    nothing
"
);

script!(
    tiny_path_is_not_believed,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp too-big 68 1
    discard
    info pmtu >= 552
    info mss >= 512
"
);

script!(
    path_error_about_acknowledged_data_is_ignored,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    < icmp too-big 1300 1
    info mss = 1460
    nothing
"
);

script!(
    soft_errors_in_a_half_open_connection_do_not_free_it,
    "
    listen 80
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < icmp host-unreachable 0
    state SYN-RECEIVED
    < . 1:1(0) ack 1
    accept
"
);

script!(
    forged_errors_about_other_sequence_numbers_are_ignored,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < icmp port-unreachable 100000
    < icmp protocol-unreachable -100000
    < icmp too-big 1300 100000
    state ESTABLISHED
    error none
    info mss = 1460
"
);

script!(
    source_quench_is_ignored,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    < icmp source-quench 1
    info cwnd = 14600
    info retrans = 0
"
);

script!(
    user_timeout_is_told_on_the_syn_when_opted_in,
    "
    # RFC 5482 §3: kind 28, seconds.
    option user_timeout 300s
    option user_timeout_option on
    connect
    > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5,raw 1c04012c>
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1 <>
"
);

script!(
    user_timeout_is_told_by_a_server_too_and_again_when_it_changes,
    "
    option user_timeout 20h
    option user_timeout_option on
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    # 72,000 s do not fit: minutes.
    > S. 0:0(0) ack 1 <mss 1460,raw 1c0484b0>
    < . 1:1(0) ack 1
    accept
    set user_timeout 90500ms
    > . 1:1(0) ack 1 <raw 1c04005b>
    set user_timeout 90500ms
    nothing
    set user_timeout_option off
    nothing
"
);

script!(
    user_timeout_is_not_told_unless_opted_in,
    "
    option user_timeout 300s
    listen 80
    < S 0:0(0) win 65535 <mss 1460,raw 1c04000a>
    > S. 0:0(0) ack 1 <mss 1460>
    < . 1:1(0) ack 1
    accept
    info user_timeout = 300s
"
);

script!(
    user_timeout_of_the_peer_is_taken_where_there_is_no_own,
    "
    option user_timeout_option on
    listen 80
    < S 0:0(0) win 65535 <mss 1460,raw 1c04012c>
    > S. 0:0(0) ack 1 <mss 1460>
    < . 1:1(0) ack 1
    accept
    info user_timeout = 300s
    # Zero is reserved; too little and too much have limits.
    < . 1:1(0) ack 1 <raw 1c040000>
    info user_timeout = 300s
    < . 1:1(0) ack 1 <raw 1c048000>
    info user_timeout = 300s
    < . 1:1(0) ack 1 <raw 1c040001>
    info user_timeout = 100s
    < . 1:1(0) ack 1 <raw 1c04ffff>
    info user_timeout = 1h
    < . 1:1(0) ack 1 <raw 1c048002>
    info user_timeout = 120s
    # The application's own counts from then on, and is told.
    set user_timeout 500s
    > . 1:1(0) ack 1 <raw 1c0401f4>
    < . 1:1(0) ack 1 <raw 1c04012c>
    info user_timeout = 500s
"
);

script!(
    user_timeout_of_the_peer_ends_the_connection_in_its_time,
    "
    option user_timeout_option on
    option retries 3
    listen 80
    < S 0:0(0) win 65535 <mss 1460,raw 1c0400c8>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    write 10
    > P. 1:11(10) ack 1
    +200ms > P. 1:11(10) ack 1
    +400ms > P. 1:11(10) ack 1
    +800ms > P. 1:11(10) ack 1
    # Longer than the three retransmissions that would be all: until 200 s are over.
    +1600ms > P. 1:11(10) ack 1
    +3200ms > P. 1:11(10) ack 1
    +6400ms > P. 1:11(10) ack 1
    +12800ms > P. 1:11(10) ack 1
    +25600ms > P. 1:11(10) ack 1
    +51200ms > P. 1:11(10) ack 1
    state ESTABLISHED
    +99s
    state CLOSED
    error timed-out
    stat tcp_abort_on_timeout = 1
"
);
