//! What the appendix of RFC 9293 asks by number and no other file here shows, in the order of its table
//! (`docs/rfc-9293.md` has all of it).

use crate::support::script;

// --- PSH and segment sizes ---

script!(
    writes_that_waited_leave_in_the_largest_segments_there_are,
    "
    # SHLD-27, SHLD-28: three writes, each with its end, in two segments.
    option nagle off
    @server <mss 1460> win 0
    write 700
    write 700
    write 700
    < . 1:1(0) ack 1 win 65535
    > P. 1:1461(1460) ack 1
    > P. 1461:2101(640) ack 1
"
);

// --- windows ---

script!(
    windows_above_32767_are_not_negative,
    "
    # MUST-1: 65,535 bytes, unscaled, and all of them used.
    @server
    write 131070
    >* 1:14601(14600) ack 1
    +100ms < . 1:1(0) ack 14601 win 65535
    >* 14601:43801(29200) ack 1
    +100ms < . 1:1(0) ack 43801 win 65535
    >* 43801:102201(58400) ack 1
    info snd_wnd = 65535
    info in_flight = 58400
"
);

script!(
    window_of_the_peer_has_32_bits,
    "
    # REC-1: the largest that can be said.
    @server <mss 1460,nop,wscale 14> win 65535
    info snd_wnd = 1073725440
"
);

script!(
    window_of_ours_has_32_bits,
    "
    # REC-1.
    option recv_buffer 16777216
    @server <mss 1460,nop,wscale 0>
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 2921
    info rcv_wnd >= 16700000
"
);

script!(
    data_within_a_window_that_shrank_is_retransmitted,
    "
    # SHLD-15, SHLD-16.
    option congestion newreno
    @server
    write 8760
    >* 1:8761(8760) ack 1
    < . 1:1(0) ack 1 win 4380
    repeat 3 {
    < . 1:1(0) ack 1 win 4380
    }
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1461 win 2920
    > . 1461:2921(1460) ack 1
    < . 1:1(0) ack 2921 win 2920
    > . 2921:4381(1460) ack 1
    write 1460
    nothing
    < . 1:1(0) ack 8761 win 2920
    > P. 8761:10221(1460) ack 1
"
);

script!(
    data_beyond_a_window_that_shrank_is_not_retransmitted,
    "
    # No use of MAY-7: after a timeout all is lost, and there is room in the congestion window.
    @server
    write 8760
    >* 1:8761(8760) ack 1
    < . 1:1(0) ack 1 win 2920
    +200ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1461 win 1460
    > . 1461:2921(1460) ack 1
    nothing
    info cwnd = 2920
    < . 1:1(0) ack 2921 win 65535
    > . 2921:4381(1460) ack 1
    > . 4381:5841(1460) ack 1
    > . 5841:7301(1460) ack 1
    discard
"
);

script!(
    window_that_shrank_to_nothing_is_no_reason_to_give_up_while_it_is_answered,
    "
    # SHLD-17, MUST-37: what is out lies beyond the window; its first segment is the probe.
    option retries 3
    option rto_max 2s
    @server
    write 2920
    >* 1:2921(2920) ack 1
    < . 1:1(0) ack 1 win 0
    repeat 100 {
    +100ms..2001ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1 win 0
    }
    state ESTABLISHED
    # Nor is it a delivery problem.
    report none
    < . 1:1(0) ack 2921 win 65535
    flushed yes
    +1h
"
);

script!(
    window_that_shrank_to_nothing_does_not_keep_a_peer_alive_that_is_gone,
    "
    # R2 counts from its last answer.
    option retries 3
    option rto_max 2s
    @server
    write 2920
    >* 1:2921(2920) ack 1
    < . 1:1(0) ack 1 win 0
    repeat 10 {
    +100ms..2001ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1 win 0
    }
    repeat 3 {
    +100ms..2001ms > . 1:1461(1460) ack 1
    }
    +1900ms
    state ESTABLISHED
    +110ms
    state CLOSED
    error timed-out
"
);

script!(
    window_that_shrank_to_nothing_does_not_outlast_the_user_timeout,
    "
    # RFC 5482: as in Linux, answers without progress do not extend it.
    option user_timeout 5s
    @server
    write 1460
    > P. 1:1461(1460) ack 1
    < . 1:1(0) ack 1 win 0
    repeat 4 {
    +100ms..3200ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1 win 0
    }
    +2010ms
    state CLOSED
    error timed-out
"
);

script!(
    window_of_ours_may_stay_closed_for_a_day,
    "
    # MAY-8: probes are answered, and nothing else happens.
    option recv_buffer 4096
    @server
    < . 1:4097(4096) ack 1
    > . 1:1(0) ack 4097 win 0
    repeat 24 {
    +1h < . 4097:4098(1) ack 1
    > . 1:1(0) ack 4097 win 0
    }
    read 4096
    > . 1:1(0) ack 4097 win 4096
"
);

// --- urgent data ---

script!(
    urgent_data_may_be_longer_than_its_pointer_reaches,
    "
    # MUST-31.
    @server
    write 100000 urgent
    > U. 1:1461(1460) ack 1 urg 65535
    > U. 1461:2921(1460) ack 1 urg 65535
    discard
    < . 1:1(0) ack 14601
    discard
    < . 1:1(0) ack 43801
    > U. 43801:45261(1460) ack 1 urg 56200
    discard
"
);

// --- options ---

script!(
    mandatory_options_are_known,
    "
    # MUST-4, MUST-14: end of list, no-operation, MSS.
    @server <nop,nop,nop,nop,mss 1000,eol,eol>
    info mss = 1000
"
);

script!(
    options_are_taken_in_any_segment,
    "
    # MUST-5, MUST-6: one that nobody knows, and timestamps behind it.
    @server <mss 1460,TS val 100 ecr 0>
    < P. 1:11(10) ack 1 <raw fd0611223344,TS val 110 ecr last>
    +40ms > . 1:1(0) ack 11 <nop,nop,TS val .. ecr 110>
    read 10
    < . 11:11(0) ack 1 <raw 4d02,TS val 120 ecr last>
    write 10
    > P. 1:11(10) ack 11 <nop,nop,TS val .. ecr 120>
    < F. 11:11(0) ack 11 <raw fe04abcd,nop,nop,TS val 130 ecr last>
    > . 11:11(0) ack 12 <nop,nop,TS val .. ecr 130>
    read eof
    < R 12:12(0) <raw fe04abcd,nop,nop,TS val 140 ecr last>
    error reset
"
);

script!(
    options_need_no_alignment,
    "
    # MUST-64.
    @server <nop,mss 1000,wscale 3,sackOK,TS val 100 ecr 0>
    info mss = 988
    info snd_wscale = 3
    info sack = yes
    info timestamps = yes
    < P. 1:11(10) ack 1 <TS val 110 ecr last,nop,nop>
    +40ms > . 1:1(0) ack 11 <nop,nop,TS val .. ecr 110>
    write 2964
    >* 1:2965(2964) ack 11 mss 988
    < . 11:11(0) ack 1 <nop,TS val 111 ecr last,nop,nop,nop,sack 989:2965>
    +0..50ms > . 1:989(988) ack 11
"
);

script!(
    mss_says_no_more_than_can_be_received,
    "
    # MUST-67: the largest packet there is, less its headers.
    mtu 65535
    connect
    > S 0:0(0) <mss {65495|65475},sackOK,TS val .. ecr 0,nop,wscale 5>
"
);

script!(
    mss_accounts_for_a_path_that_became_narrower,
    "
    # SHLD-6.
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    write 1460
    > P. 1:1461(1460) ack 1
    < icmp too-big 1300 1
    discard
    [2] connect
    [2] > S 0:0(0) <mss {1260|1240},sackOK,TS val .. ecr 0,nop,wscale 5>
"
);

// --- opening ---

script!(
    reset_in_a_simultaneous_open_is_a_refusal,
    "
    # MUST-11: it did not come from LISTEN, so it does not return there.
    connect
    > S 0:0(0)
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    state SYN-RECEIVED
    < R 1:1(0)
    state CLOSED
    error refused
    event error
"
);

script!(
    listening_on_a_port_that_is_taken_is_an_error_and_disturbs_nobody,
    "
    # MUST-41.
    @server
    [2] < S 0:0(0) win 65535 <mss 1460>
    [2] > S. 0:0(0) ack 1
    listen 80 address-already-in-use
    < P. 1:11(10) ack 1
    read 10
    +40ms > . 1:1(0) ack 11
    [2] < . 1:1(0) ack 1
    [2] accept
    [2] state ESTABLISHED
    stat listeners = 1
"
);

script!(
    port_of_a_connection_that_is_being_opened_can_be_listened_on,
    "
    # MUST-42: while one is in SYN-SENT, and while it is in SYN-RECEIVED.
    connect
    > S 0:0(0)
    listen 40001
    [2] < S 0:0(0) win 65535 <mss 1460>
    [2] > S. 0:0(0) ack 1
    unlisten
    [2] > R. 1:1(0) ack 1
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    state SYN-RECEIVED
    listen 40001
    [3] < S 0:0(0) win 65535 <mss 1460>
    [3] > S. 0:0(0) ack 1
    [3] < . 1:1(0) ack 1
    [3] accept
    < . 1:1(0) ack 1
    state ESTABLISHED
    [3] state ESTABLISHED
"
);

// --- closing ---

script!(
    reset_may_carry_data,
    "
    # SHLD-2: the reason, in words.
    @server
    < R. 1:21(20) ack 1
    state CLOSED
    error reset
    read reset
"
);

script!(
    reset_with_data_before_the_handshake_is_over_is_taken,
    "
    # SHLD-2.
    connect
    > S 0:0(0)
    < R. 0:20(20) ack 1
    error refused
"
);

script!(
    end_and_abort_are_told_apart,
    "
    # MUST-12: one peer closes, the other one resets.
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    [1] accept
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    [1] < F. 1:1(0) ack 1
    [1] > . 1:1(0) ack 2
    [2] < R 1:1(0)
    [1] event readable
    [1] error none
    [1] read eof
    [2] event error
    [2] error reset
    [2] read reset
"
);

script!(
    syn_with_an_older_timestamp_does_not_end_time_wait,
    "
    # SHLD-4: RFC 6191 §2, whatever its sequence number; with the same one this decides.
    @server <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2 <nop,nop,TS val 1001 ecr last>
    > . 2:2(0) ack 2
    +1s < S 100000:100000(0) win 65535 <mss 1460,sackOK,TS val 500 ecr 0,nop,wscale 7>
    > . 2:2(0) ack 2
    state TIME-WAIT
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1001 ecr 0,nop,wscale 7>
    > . 2:2(0) ack 2
    state TIME-WAIT
    < S 100000:100000(0) win 65535 <mss 1460,sackOK,TS val 1001 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 100001
"
);

// --- failures ---

script!(
    giving_up_takes_longer_than_a_hundred_seconds,
    "
    # SHLD-11: with 200 ms, the least timeout there is, doubled 15 times, 120 s at most.
    @server
    write 100
    > P. 1:101(100) ack 1
    repeat 15 {
    +199ms..121s > . 1:101(100) ack 1
    }
    info timeouts = 15
    +119s
    state ESTABLISHED
    +1100ms
    state CLOSED
    error timed-out
"
);

// --- keep-alive ---

script!(
    keep_alive_waits_two_hours_where_nobody_says_how_long,
    "
    # MUST-28.
    @server
    set keep_alive default
    +7199s
    +1s > . 0:0(0) ack 1
    +75s > . 0:0(0) ack 1
"
);

// --- acknowledgements ---

script!(
    acknowledgements_wait_less_than_half_a_second_whatever_is_asked_for,
    "
    # MUST-40.
    option delayed_ack 2s
    @server
    < P. 1:101(100) ack 1
    +499ms > . 1:1(0) ack 101
"
);

// --- what IP is told ---

script!(
    hop_limit_is_on_every_segment,
    "
    # MUST-49: SYN, data, retransmission, acknowledgement, FIN, RST.
    option hop_limit 7
    connect
    > S 0:0(0) ttl 7
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1 ttl 7
    write 10
    > P. 1:11(10) ack 1 ttl 7
    +200ms > . 1:11(10) ack 1 ttl 7
    < P. 1:11(10) ack 11
    read 10
    +40ms > . 11:11(0) ack 11 ttl 7
    set hop_limit 9
    shutdown write
    > F. 11:11(0) ack 11 ttl 9
    abort
    > R. 12:12(0) ack 11 ttl 9
"
);

script!(
    hop_limit_of_a_listener_is_that_of_its_connections,
    "
    # MUST-49.
    option hop_limit 7
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 ttl 7
    < . 1:1(0) ack 1
    accept
    set hop_limit 9
    < P. 1:11(10) ack 1
    close
    > R. 1:1(0) ack 11 ttl 9
"
);

script!(
    differentiated_services_field_is_on_every_segment_and_may_change,
    "
    # MUST-48, SHLD-21, SHLD-22: SYN, data, retransmission, acknowledgement, FIN, RST.
    option traffic_class 184
    connect
    > S 0:0(0) dscp 46
    < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1 dscp 46
    write 10
    > P. 1:11(10) ack 1 dscp 46
    +200ms > . 1:11(10) ack 1 dscp 46
    < P. 1:11(10) ack 11 dscp 10
    read 10
    +40ms > . 11:11(0) ack 11 dscp 46
    set traffic_class 32
    shutdown write
    > F. 11:11(0) ack 11 dscp 8
    abort
    > R. 12:12(0) ack 11 dscp 8
"
);

script!(
    differentiated_services_field_is_on_probes_and_on_answers_to_closed_windows,
    "
    # SHLD-22.
    option traffic_class 184
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 dscp 46
    < . 1:1(0) ack 1 win 0
    accept
    write 10
    +200ms > . 0:0(0) ack 1 dscp 46
    set keep_alive 10s 5s 3
    < . 1:1(0) ack 1 win 100
    > P. 1:11(10) ack 1 dscp 46
    < . 1:1(0) ack 11
    +10s > . 10:10(0) ack 1 dscp 46
"
);

script!(
    hop_limit_is_never_zero,
    "
    # RFC 1122 §3.2.1.7.
    option hop_limit 0
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 ttl 1
    < . 1:1(0) ack 1
    accept
    abort
    > R. 1:1(0) ack 1 ttl 1
"
);

script!(
    segment_that_has_one_hop_left_is_taken,
    "
    # RFC 1122 §3.2.1.7: it has arrived.
    @server
    < P. 1:11(10) ack 1 ttl 1
    < P. 11:21(10) ack 1 ttl 0
    read 20
    +40ms > . 1:1(0) ack 21
"
);

script!(
    ip_options_are_ignored,
    "
    # MUST-50: router alert, record route, timestamp, one that nobody knows.
    @server
    < P. 1:11(10) ack 1 ip-options 94040000
    < P. 11:21(10) ack 1 ip-options 0707040000000000
    < P. 21:31(10) ack 1 ip-options 4408050000000000
    < P. 31:41(10) ack 1 ip-options 99040102
    read 40
    +40ms > . 1:1(0) ack 41
"
);

script!(
    source_routes_open_and_move_nothing,
    "
    # In the place of MUST-51 to MUST-53, SHLD-24 (RFC 7126 §4.3, §4.4): what comes by one is dropped. IPv6 has none.
    listen 80
    {< S 0:0(0) win 65535 ip-options 830708c612000900|nothing}
    stat connections = 0
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    {< P. 1:11(10) ack 1 ip-options 830704c612000900|nothing}
    {< P. 1:11(10) ack 1 ip-options 890704c612000900|nothing}
    read none
    < P. 1:11(10) ack 1
    read 10
    +40ms > . 1:1(0) ack 11
"
);
