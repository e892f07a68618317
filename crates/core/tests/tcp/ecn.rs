//! Congestion that the network marks: RFC 3168, and AccECN (RFC 9768).

use crate::support::script;

// --- RFC 3168: the handshake ---

script!(
    nobody_asks_for_ecn_unless_told_to,
    "
    connect
    > S 0:0(0) not-ect
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1 not-ect
    write 10
    > P. 1:11(10) ack 1 not-ect
    info ecn = 0
    "
);

script!(
    listener_agrees_to_what_is_asked,
    "
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > SE. 0:0(0) ack 1 not-ect
    < . 1:1(0) ack 1
    accept
    info ecn = 1
    write 10
    > P. 1:11(10) ack 1 ect0
    "
);

script!(
    listener_with_ecn_off_agrees_to_nothing,
    "
    option ecn 0
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    info ecn = 0
    write 10
    > P. 1:11(10) ack 1 not-ect
    "
);

script!(
    syn_with_one_of_the_two_flags_asks_for_nothing,
    "
    listen 80
    < SE 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    [2] < SW 0:0(0) win 65535 <mss 1460>
    [2] > S. 0:0(0) ack 1
    "
);

script!(
    client_asks_and_uses_what_is_agreed,
    "
    option ecn 1
    connect
    > SEW 0:0(0) not-ect
    < SE. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1 not-ect
    info ecn = 1
    write 10
    > P. 1:11(10) ack 1 ect0
    "
);

script!(
    server_without_ecn_is_taken_as_it_is,
    "
    option ecn 1
    connect
    > SEW 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info ecn = 0
    write 10
    > P. 1:11(10) ack 1 not-ect
    "
);

script!(
    flags_reflected_by_the_server_agree_to_nothing,
    "
    option ecn 1
    connect
    > SEW 0:0(0)
    < SEW. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info ecn = 0
    "
);

script!(
    lost_ecn_syn_goes_again_without_asking,
    "
    option ecn 1
    connect
    > SEW 0:0(0)
    +1s > S 0:0(0)
    < SE. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info ecn = 0
    "
);

// --- RFC 3168: data ---

script!(
    marked_data_is_echoed_until_the_window_was_reduced,
    "
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    info ecn_seen = no
    # The news goes at once, and with everything until the peer says that it slowed down.
    < P. 1:11(10) ack 1 ce
    > E. 1:1(0) ack 11
    < P. 11:21(10) ack 1 ect0
    +40ms > E. 1:1(0) ack 21
    write 10
    > PE. 1:11(10) ack 21 ect0
    < WP. 21:31(10) ack 11 ect0
    +40ms > . 11:11(0) ack 31
    info ecn_seen = yes
    info received_ce = 1
    # Marked again while it says so: the echo begins anew.
    < WP. 31:41(10) ack 11 ce
    > E. 11:11(0) ack 41
    stat ip_in_ce_pkts = 2
    stat ip_in_ect0_pkts = 2
    "
);

script!(
    mark_on_a_pure_acknowledgement_is_nothing,
    "
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    write 10
    > P. 1:11(10) ack 1 ect0
    < . 1:1(0) ack 11 ce
    write 10
    > P. 11:21(10) ack 1 ect0
    info received_ce = 0
    "
);

script!(
    echo_reduces_the_window_once_and_the_next_new_data_says_so,
    "
    option congestion newreno
    option timestamps off
    option loss_probe off
    listen 80
    < SEW 0:0(0) win 65535 <mss 1000,sackOK>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    info cwnd = 10000
    write 20000
    >* 1:10001(10000) ack 1 mss 1000
    < E. 1:1(0) ack 2001
    > W. 10001:11001(1000) ack 1 ect0
    info ssthresh = 5000
    stat tcp_ecn_reductions = 1
    < E. 1:1(0) ack 4001
    > . 11001:12001(1000) ack 1 ect0
    < E. 1:1(0) ack 6001
    > . 12001:13001(1000) ack 1 ect0
    < E. 1:1(0) ack 8001
    < E. 1:1(0) ack 10001
    >* . 13001:15001(2000) ack 1 mss 1000 ect0
    info cwnd = 5000
    # Not again for the same window.
    stat tcp_ecn_reductions = 1
    < . 1:1(0) ack 15001
    >* 15001:20001(5000) ack 1 mss 1000
    < E. 1:1(0) ack 16001
    stat tcp_ecn_reductions = 2
    info ssthresh = 2500
    "
);

script!(
    retransmission_is_neither_ect_nor_tells_of_the_reduction,
    "
    option congestion newreno
    option timestamps off
    listen 80
    < SEW 0:0(0) win 65535 <mss 1000>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    write 1000
    > P. 1:1001(1000) ack 1 ect0
    +200ms > . 1:1001(1000) ack 1 not-ect
    < . 1:1(0) ack 1001
    write 1000
    > WP. 1001:2001(1000) ack 1 ect0
    < . 1:1(0) ack 2001
    write 1000
    > P. 2001:3001(1000) ack 1 ect0
    "
);

script!(
    fin_without_data_is_not_ect,
    "
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    shutdown write
    > F. 1:1(0) ack 1 not-ect
    "
);

script!(
    dscp_is_the_applications_and_the_ecn_bits_are_not,
    "
    option traffic_class 187
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 not-ect
    < . 1:1(0) ack 1
    accept
    write 10
    > P. 1:11(10) ack 1 not-ect
    "
);

// --- AccECN: the handshake ---

script!(
    accurate_client_asks_with_three_flags_and_tells_the_mark_of_the_syn_ack,
    "
    option ecn 3
    connect
    > SEWA 0:0(0) not-ect
    < SW. 0:0(0) ack 1 win 65535 <mss 1460>
    > W. 1:1(0) ack 1 not-ect
    info ecn = 2
    write 10
    > PEA. 1:11(10) ack 1 ect0
    "
);

script!(
    marked_syn_ack_counts_as_the_first_mark,
    "
    option ecn 3
    connect
    > SEWA 0:0(0)
    < SA. 0:0(0) ack 1 win 65535 <mss 1460> ce
    > WA. 1:1(0) ack 1
    info received_ce = 1
    write 10
    > PWA. 1:11(10) ack 1 ect0
    "
);

script!(
    accurate_server_tells_the_mark_of_the_syn,
    "
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1 not-ect
    < W. 1:1(0) ack 1
    accept
    info ecn = 2
    [2] < SEWA 0:0(0) win 65535 <mss 1460> ect1
    [2] > SEW. 0:0(0) ack 1
    [3] < SEWA 0:0(0) win 65535 <mss 1460> ect0
    [3] > SA. 0:0(0) ack 1
    [4] < SEWA 0:0(0) win 65535 <mss 1460> ce
    [4] > SWA. 0:0(0) ack 1
    "
);

script!(
    server_of_rfc_3168_is_taken_at_that,
    "
    option ecn 3
    connect
    > SEWA 0:0(0)
    < SE. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info ecn = 1
    "
);

script!(
    three_flags_reflected_agree_to_nothing,
    "
    option ecn 3
    connect
    > SEWA 0:0(0)
    < SEWA. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info ecn = 0
    "
);

script!(
    server_that_knows_no_accurate_ecn_agrees_to_rfc_3168,
    "
    option ecn 2
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    info ecn = 1
    "
);

script!(
    accurate_syn_is_tried_twice,
    "
    option ecn 3
    connect
    > SEWA 0:0(0)
    +1s > SEWA 0:0(0)
    +2s > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info ecn = 0
    "
);

script!(
    passive_accurate_server_asks_for_nothing_itself,
    "
    option ecn 5
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    "
);

// --- AccECN: data ---

script!(
    every_marked_packet_is_counted,
    "
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1
    < W. 1:1(0) ack 1
    accept
    # The first of a row is told at once, then every second.
    < EPA. 1:11(10) ack 1 ce
    > WA. 1:1(0) ack 11
    < EPA. 11:21(10) ack 1 ce
    < EPA. 21:31(10) ack 1 ce
    > . 1:1(0) ack 31
    < EPA. 31:41(10) ack 1 ect0
    +40ms > . 1:1(0) ack 41
    info received_ce = 3
    "
);

script!(
    counter_that_grows_reduces_the_window_once_a_round_trip,
    "
    option ecn 3
    option congestion newreno
    option timestamps off
    option loss_probe off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1000,sackOK>
    > SW. 0:0(0) ack 1
    < W. 1:1(0) ack 1
    accept
    write 20000
    >* EA. 1:10001(10000) ack 1 mss 1000
    # Two of two.
    < WEA. 1:1(0) ack 2001
    > EA. 10001:11001(1000) ack 1 ect0
    info ssthresh = 5000
    info delivered_ce = 2
    < . 1:1(0) ack 3001
    < E. 1:1(0) ack 4001
    discard
    info delivered_ce = 4
    stat tcp_ecn_reductions = 1
    < E. 1:1(0) ack 4001
    info delivered_ce = 4
    "
);

script!(
    counter_that_may_have_gone_round_counts_as_it_can_have,
    "
    option ecn 3
    option loss_probe off
    option timestamps off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1000,sackOK>
    > SW. 0:0(0) ack 1
    < W. 1:1(0) ack 1
    accept
    write 10000
    >* EA. 1:10001(10000) ack 1 mss 1000
    # Ten packets, and a counter one further: nine of them.
    < WA. 1:1(0) ack 10001
    info delivered_ce = 9
    "
);

script!(
    counter_cleared_on_the_way_ends_ect,
    "
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    info ecn = 2
    write 10
    > EPA. 1:11(10) ack 1 not-ect
    < . 1:1(0) ack 11
    info delivered_ce = 0
    "
);

script!(
    fast_open_and_ecn_go_together,
    "
    option fast_open queue 8
    listen 80
    < SEW 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > SE. 0:0(0) ack 101 not-ect
    accept
    read 100
    write 300
    > P. 1:301(300) ack 101 ect0
    < . 101:101(0) ack 301
    info ecn = 1
    "
);

script!(
    echo_for_all_that_was_sent_reduces_the_window_too,
    "
    # RFC 3168 §6.1.2, for exchanges whose every flight is acknowledged at once.
    option congestion newreno
    listen 80
    < SEW 0:0(0) win 65535 <mss 1460>
    > SE. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    write 8760
    >* 1:8761(8760) ack 1
    < E. 1:1(0) ack 8761
    info ssthresh = 4380
    info cwnd = 4380
    stat tcp_ecn_reductions = 1
    write 1000
    > PW. 8761:9761(1000) ack 1 ect0
    # Once for what was sent before.
    < . 1:1(0) ack 9761
    info ssthresh = 4380
    "
);

// --- AccECN: the option (kind 172 = ac: bytes of ECT(0), CE, ECT(1)) ---

script!(
    counters_of_bytes_are_told_when_they_change,
    "
    option ecn 3
    option timestamps off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1 <mss 1460,raw ac0b000001000000000001,nop>
    < W. 1:1(0) ack 1 <raw ac0b000001000000000001,nop>
    accept
    < EPA. 1:101(100) ack 1 ect0
    +40ms > EA. 1:1(0) ack 101 <raw ac0b000065000000000001,nop>
    < EPA. 101:201(100) ack 1 ce
    > WA. 1:1(0) ack 201 <raw ac0b000065000064000001,nop>
    < EPA. 201:301(100) ack 1 ect1
    # ECT(1) is the third.
    +40ms > WA. 1:1(0) ack 301 <raw ac0b000065000064000065,nop>
    < EPA. 301:401(100) ack 1 not-ect
    # All of fewer than three acknowledgements a round trip have them, whatever came (§3.2.3.3).
    +40ms > WA. 1:1(0) ack 401 <raw ac0b000065000064000065,nop>
    "
);

script!(
    counters_of_bytes_are_not_told_to_who_sends_none,
    "
    # Stripped on the way, or not had (RFC 9768 §3.2.3.2).
    option ecn 3
    option timestamps off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1 <mss 1460,raw ac0b000001000000000001,nop>
    < W. 1:1(0) ack 1
    accept
    < EPA. 1:101(100) ack 1 ce
    > WA. 1:1(0) ack 101 <>
    info received_ce = 1
    info ecn = 2
    "
);

script!(
    syn_ack_goes_again_without_counters_of_bytes,
    "
    # RFC 9768 §3.2.3.2.2
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1 <mss 1460,raw ac0b000001000000000001,nop>
    +1s > SW. 0:0(0) ack 1 <mss 1460>
    "
);

script!(
    client_tells_counters_of_bytes_when_the_server_does,
    "
    option ecn 3
    option timestamps off
    connect
    > SEWA 0:0(0) <mss 1460,nop,nop,sackOK,nop,wscale 5>
    < SW. 0:0(0) ack 1 win 65535 <mss 1460,raw ac0b000001000000000001,nop>
    > W. 1:1(0) ack 1 <raw ac0b000001000000000001,nop>
    < EPA. 1:101(100) ack 1 ect0
    +40ms > EA. 1:1(0) ack 101 <raw ac0b000065000000000001,nop>
    "
);

script!(
    counters_of_bytes_that_were_cleared_are_not_used,
    "
    # RFC 9768 §3.2.3.2.4
    option ecn 3
    option timestamps off
    connect
    > SEWA 0:0(0)
    < SW. 0:0(0) ack 1 win 65535 <mss 1460,raw ac08000000000000>
    > W. 1:1(0) ack 1 <>
    < EPA. 1:101(100) ack 1 ect0
    +40ms > EA. 1:1(0) ack 101 <>
    "
);

script!(
    counters_of_bytes_say_that_the_counter_of_packets_did_not_go_round,
    "
    # Ten packets are acknowledged, the counter says two or ten; the bytes say two. (kind 174: ECT(1) first)
    option ecn 3
    option loss_probe off
    option timestamps off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1000,sackOK>
    > SW. 0:0(0) ack 1
    < W. 1:1(0) ack 1 <raw ae0b000001000000000001>
    accept
    write 10000
    >* EA. 1:10001(10000) ack 1 mss 1000
    < WEA. 1:1(0) ack 10001 <raw ae08000001000fa0>
    info delivered_ce = 2
    "
);

script!(
    sack_blocks_come_before_counters_of_bytes,
    "
    # RFC 9768 §3.2.3.3: where not all fit, unless there is congestion to tell of.
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0>
    > SW. 0:0(0) ack 1
    < W. 1:1(0) ack 1 <nop,nop,TS val 1 ecr last,raw ac0b000001000000000001,nop>
    accept
    < EPA. 101:201(100) ack 1 ect0 <nop,nop,TS val 1 ecr last>
    > EA. 1:1(0) ack 1 <nop,nop,TS val .. ecr 1,raw ac0b000065000000000001,nop,nop,nop,sack 101:201>
    < EPA. 301:401(100) ack 1 ect0 <nop,nop,TS val 1 ecr last>
    > EA. 1:1(0) ack 1 <nop,nop,TS val .. ecr 1,raw ac080000c9000000,nop,nop,sack 301:401 101:201>
    < EPA. 501:601(100) ack 1 ect0 <nop,nop,TS val 1 ecr last>
    > EA. 1:1(0) ack 1 <nop,nop,TS val .. ecr 1,nop,nop,sack 501:601 301:401 101:201>
    < EPA. 701:801(100) ack 1 ce <nop,nop,TS val 1 ecr last>
    > WA. 1:1(0) ack 1 <nop,nop,TS val .. ecr 1,raw ac0800012d000064,nop,nop,sack 701:801 501:601>
    "
);

script!(
    counters_of_bytes_ride_on_data_where_there_is_room,
    "
    # RFC 9768 §3.2.3.3; between beacons a full segment is not made smaller for them.
    option ecn 3
    option nagle off
    option timestamps off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1
    +100ms < W. 1:1(0) ack 1 <raw ac0b000001000000000001,nop>
    accept
    < EPA. 1:101(100) ack 1 ect0
    write 100
    > EPA. 1:101(100) ack 101 <raw ac0b000065000000000001,nop>
    # Told once.
    write 100
    > EPA. 101:201(100) ack 101 <>
    < EPA. 101:201(100) ack 201 ect0
    write 1460
    > EPA. 201:1661(1460) ack 201 <>
    < EPA. 201:301(100) ack 1661 ect0
    # Both hundreds of them.
    +40ms > EA. 1661:1661(0) ack 301 <raw ac0b00012d000000000001,nop>
    "
);

script!(
    counters_of_bytes_go_in_full_each_part_of_a_round_trip_under_full_segments,
    "
    # RFC 9768 §3.2.3.3: three times a round trip at least; a segment of data makes room.
    option ecn 3
    option nagle off
    option timestamps off
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460>
    > SW. 0:0(0) ack 1
    +120ms < W. 1:1(0) ack 1 <raw ac0b000001000000000001,nop>
    accept
    # Nothing came that there was to tell of.
    write 14600
    >* EA. 1:14601(14600) ack 1
    +120ms < EPA. 1:1461(1460) ack 1461 ect0
    write 2908
    > EA. 14601:16049(1448) ack 1461 <raw ac0b0005b5000000000001,nop>
    > EPA. 16049:17509(1460) ack 1461 <>
    +10ms < EPA. 1461:2921(1460) ack 2921 ect0
    write 1460
    > EPA. 17509:18969(1460) ack 2921 <>
    +30ms < EPA. 2921:4381(1460) ack 4381 ect0
    write 2908
    > EA. 18969:20417(1448) ack 4381 <raw ac0b00111d000000000001,nop>
    > EPA. 20417:21877(1460) ack 4381 <>
    # Also where no counter moved: what came was not ECT.
    +40ms < EPA. 4381:5841(1460) ack 5841
    write 1460
    > EA. 21877:23325(1448) ack 5841 <raw ac0b00111d000000000001,nop>
    > EPA. 23325:23337(12) ack 5841 <>
    # Nothing came since: full segments stay full.
    +60ms < EA. 5841:5841(0) ack 23337
    write 1460
    > EPA. 23337:24797(1460) ack 5841 <>
    "
);

script!(
    counters_of_bytes_are_cut_at_the_tail_where_room_is_short,
    "
    # RFC 9768 §3.2.3.3: what changed is told, and no block of SACK is left out for what did not.
    option ecn 3
    listen 80
    < SEWA 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0>
    > SW. 0:0(0) ack 1
    < W. 1:1(0) ack 1 <nop,nop,TS val 1 ecr last,raw ac0b000001000000000001,nop>
    accept
    < EPA. 101:201(100) ack 1 ect1 <nop,nop,TS val 1 ecr last>
    > EA. 1:1(0) ack 1 <nop,nop,TS val .. ecr 1,raw ac0b000001000000000065,nop,nop,nop,sack 101:201>
    # All three are needed, and have no room beside two blocks.
    < EPA. 301:401(100) ack 1 ect1 <nop,nop,TS val 1 ecr last>
    > EA. 1:1(0) ack 1 <nop,nop,TS val .. ecr 1,nop,nop,sack 301:401 101:201>
    "
);
