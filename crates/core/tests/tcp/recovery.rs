//! Loss recovery: fast retransmit, NewReno's partial acknowledgements, SACK.

use crate::support::script;

script!(
    third_duplicate_ack_retransmits,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1
    < . 1:1(0) ack 1
    nothing
    < . 1:1(0) ack 1
    > . 1:1461(1460) ack 1
    nothing
    < . 1:1(0) ack 14601
    flushed yes
    +1m
"
);

script!(
    two_duplicate_acks_do_not_retransmit,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1
    < . 1:1(0) ack 1
    +100ms < . 1:1(0) ack 14601
    flushed yes
    info retrans = 0
"
);

script!(
    fast_retransmit_halves_the_window,
    "
    option congestion newreno
    @server
    write 14600
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    }
    > . 1:1461(1460) ack 1
    info ssthresh >= 5840
    info ssthresh <= 7300
    < . 1:1(0) ack 14601
    info cwnd <= 7300
"
);

script!(
    segments_with_data_are_no_duplicate_acks,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:11(10) ack 1
    < . 11:21(10) ack 1
    < . 21:31(10) ack 1
    < . 31:41(10) ack 1
    +40ms > . 14601:14601(0) ack 41
    info retrans = 0
"
);

script!(
    window_updates_are_no_duplicate_acks,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1 win 60000
    < . 1:1(0) ack 1 win 61000
    < . 1:1(0) ack 1 win 62000
    < . 1:1(0) ack 1 win 63000
    info retrans = 0
"
);

script!(
    duplicate_acks_with_nothing_out_mean_nothing,
    "
    @server
    repeat 10 {
    < . 1:1(0) ack 1
    }
    nothing
    write 100
    > P. 1:101(100) ack 1
    info cwnd = 14600
"
);

script!(
    partial_ack_retransmits_the_next_hole,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    }
    > . 1:1461(1460) ack 1
    # RFC 6582 3.2: the first hole is closed, the next begins at 5841.
    < . 1:1(0) ack 5841
    > . 5841:7301(1460) ack 1
    nothing
    < . 1:1(0) ack 14601
    flushed yes
"
);

script!(
    several_holes_are_retransmitted_one_per_round_trip,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    }
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 2921
    > . 2921:4381(1460) ack 1
    < . 1:1(0) ack 5841
    > . 5841:7301(1460) ack 1
    < . 1:1(0) ack 8761
    > . 8761:10221(1460) ack 1
    < . 1:1(0) ack 14601
    flushed yes
    info timeouts = 0
    info retrans = 4
"
);

script!(
    further_duplicate_acks_let_new_data_go,
    "
    @server
    write 29200
    >* 1:14601(14600) ack 1
    # RFC 3042: the first two let new data go.
    < . 1:1(0) ack 1
    > . 14601:16061(1460) ack 1
    < . 1:1(0) ack 1
    > . 16061:17521(1460) ack 1
    < . 1:1(0) ack 1
    > . 1:1461(1460) ack 1
    # Each tells that one more has left the network; half of the window must drain first.
    repeat 8 {
    < . 1:1(0) ack 1
    discard
    }
    info unsent < 11680
    info retrans = 1
    info timeouts = 0
"
);

script!(
    lost_retransmission_waits_for_the_timer,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    }
    > . 1:1461(1460) ack 1
    repeat 6 {
    < . 1:1(0) ack 1
    }
    +200ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 14601
    flushed yes
"
);

script!(
    no_second_fast_retransmit_in_one_window,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    # RFC 6582 3.2 step 2: duplicates of what was out before the timeout.
    repeat 5 {
    < . 1:1(0) ack 1
    }
    nothing
    info retrans = 1
"
);

script!(
    sacked_segments_are_not_sent_again,
    "
    @server <mss 1460,sackOK>
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:2921>
    < . 1:1(0) ack 1 <nop,nop,sack 1461:4381>
    < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    > . 1:1461(1460) ack 1
    nothing
    < . 1:1(0) ack 5841
    < . 1:1(0) ack 14601
    flushed yes
    info retrans = 1
"
);

script!(
    one_sack_of_three_segments_is_enough,
    "
    @server <mss 1460,sackOK>
    write 14600
    >* 1:14601(14600) ack 1
    # RFC 6675 4: IsLost by bytes.
    < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 5841
    info retrans = 1
"
);

script!(
    every_hole_is_filled_in_one_round_trip,
    "
    @server <mss 1460,sackOK>
    write 14600
    >* 1:14601(14600) ack 1
    # Lost: the first, the fourth, the sixth.
    < . 1:1(0) ack 1 <nop,nop,sack 1461:2921>
    < . 1:1(0) ack 1 <nop,nop,sack 1461:4381>
    < . 1:1(0) ack 1 <nop,nop,sack 5841:7301 1461:4381>
    discard
    < . 1:1(0) ack 1 <nop,nop,sack 8761:10221 5841:7301 1461:4381>
    discard
    < . 1:1(0) ack 1 <nop,nop,sack 8761:11681 5841:7301 1461:4381>
    discard
    < . 1:1(0) ack 1 <nop,nop,sack 8761:13141 5841:7301 1461:4381>
    discard
    < . 1:1(0) ack 1 <nop,nop,sack 8761:14601 5841:7301 1461:4381>
    discard
    info retrans = 3
    info timeouts = 0
    < . 1:1(0) ack 14601
    flushed yes
    +1m
"
);

script!(
    partial_ack_with_sack_goes_on,
    "
    @server <mss 1460,sackOK>
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 5841
    discard
    < . 1:1(0) ack 5841 <nop,nop,sack 7301:11681>
    discard
    info retrans = 2
    < . 1:1(0) ack 14601
    flushed yes
"
);

script!(
    reneging_peer_gets_everything_again,
    "
    @server <mss 1460,sackOK>
    write 5840
    >* 1:5841(5840) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    > . 1:1461(1460) ack 1
    # RFC 2018 8: after a timeout what was SACKed counts as not received.
    +200..400ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1461
    +0..401ms > . 1461:2921(1460) ack 1
    < . 1:1(0) ack 2921
    +0..801ms > . 2921:4381(1460) ack 1
    discard
    < . 1:1(0) ack 5841
    flushed yes
"
);

script!(
    sack_of_what_was_never_sent_is_ignored,
    "
    @server <mss 1460,sackOK>
    write 14600
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 20001:30001>
    < . 1:1(0) ack 1 <nop,nop,sack -5000:-1000>
    < . 1:1(0) ack 1 <nop,nop,sack 5841:1461>
    < . 1:1(0) ack 1 <nop,nop,sack 1461:1461>
    nothing
    info retrans = 0
    < . 1:1(0) ack 14601
    flushed yes
    info timeouts = 0
    state ESTABLISHED
"
);

script!(
    duplicate_sack_below_the_ack_is_harmless,
    "
    @server <mss 1460,sackOK>
    write 2920
    >* 1:2921(2920) ack 1
    < . 1:1(0) ack 2921
    < . 1:1(0) ack 2921 <nop,nop,sack 1:1461>
    nothing
    flushed yes
    info retrans = 0
"
);

script!(
    duplicates_reported_are_no_losses,
    "
    @server <mss 1460,sackOK>
    write 1460
    > P. 1:1461(1460) ack 1
    < . 1:1(0) ack 1461
    write 1460
    > P. 1461:2921(1460) ack 1
    # D-SACKs of what the network duplicated, while the next segment is under way.
    < . 1:1(0) ack 1461 <nop,nop,sack 1:1461>
    < . 1:1(0) ack 1461 <nop,nop,sack 1:1461>
    < . 1:1(0) ack 1461 <nop,nop,sack 1:1461>
    < . 1:1(0) ack 1461 <nop,nop,sack 1:1461>
    nothing
    info retrans = 0
"
);

script!(
    sack_of_part_of_a_segment_is_used_with_care,
    "
    @server <mss 1460,sackOK>
    write 5840
    >* 1:5841(5840) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 100:200>
    < . 1:1(0) ack 1 <nop,nop,sack 100:200 1500:1600>
    < . 1:1(0) ack 1 <nop,nop,sack 100:200 1500:1600 3000:3001>
    discard
    # Whatever was sent again, the stream goes on whole.
    < . 1:1(0) ack 5841
    flushed yes
    write 100
    > P. 5841:5941(100) ack 1
"
);

script!(
    recovery_ends_where_it_began,
    "
    option congestion newreno
    @server
    write 29200
    >* 1:14601(14600) ack 1
    # RFC 3042: the first two let new data go.
    < . 1:1(0) ack 1
    > . 14601:16061(1460) ack 1
    < . 1:1(0) ack 1
    > . 16061:17521(1460) ack 1
    < . 1:1(0) ack 1
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 17521
    discard
    info retrans = 1
    info cwnd <= 8760
    state ESTABLISHED
"
);

script!(
    lost_fin_is_found_by_sack_recovery,
    "
    @server <mss 1460,sackOK>
    write 5840
    >* 1:5841(5840) ack 1
    shutdown write
    > F. 5841:5841(0) ack 1
    < . 1:1(0) ack 1461
    < . 1:1(0) ack 1461 <nop,nop,sack 2921:5842>
    > . 1461:2921(1460) ack 1
    < . 1:1(0) ack 5842
    state FIN-WAIT-2
"
);

script!(
    reordering_of_two_is_no_loss,
    "
    # RFC 8985: a quarter of the least round trip is waited, here 10 ms.
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535
    accept
    write 5840
    >* 1:5841(5840) ack 1
    +40ms < . 1:1(0) ack 1 <nop,nop,sack 1461:2921>
    +5ms < . 1:1(0) ack 2921
    < . 1:1(0) ack 5841
    flushed yes
    info retrans = 0
"
);

script!(
    congestion_avoidance_grows_by_one_segment_per_round_trip,
    "
    option congestion newreno
    @server
    write 200000
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    discard
    }
    < . 1:1(0) ack 17521
    discard
    info ssthresh >= 7300
    info ssthresh <= 8760
    info cwnd <= 8760
    # Half a window more: not yet a segment.
    < . 1:1(0) ack 18981
    discard
    info cwnd <= 8760
    < . 1:1(0) ack 30661
    discard
    info cwnd <= 10220
"
);

script!(
    lost_tail_is_probed_before_the_timeout,
    "
    # RFC 8985 §7: two round trips after the last segment, and its SACK shows what else is missing.
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535
    accept
    write 5840
    >* 1:5841(5840) ack 1
    +82ms > P. 4381:5841(1460) ack 1
    +40ms < . 1:1(0) ack 1 <nop,nop,sack 4381:5841>
    > . 1:1461(1460) ack 1
    info timeouts = 0
    stat tcp_loss_probes = 1
"
);

script!(
    lost_retransmission_is_found_without_a_timeout,
    "
    # RFC 8985 §3.2: what was sent after the retransmission arrived, so the retransmission was lost.
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535
    accept
    write 14600
    >* 1:14601(14600) ack 1
    +40ms < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    > . 1:1461(1460) ack 1
    write 2920
    < . 1:1(0) ack 1 <nop,nop,sack 1461:14601>
    >* 14601:17521(2920) ack 1
    +40ms < . 1:1(0) ack 1 <nop,nop,sack 1461:17521>
    > . 1:1461(1460) ack 1
    info timeouts = 0
    info retrans = 2
    stat tcp_lost_retransmit = 1
"
);

script!(
    timeout_that_was_spurious_is_taken_back_when_originals_arrive,
    "
    # RFC 5682: only the first segment was sent again, and yet the second arrives for the first time.
    option loss_probe off
    @server <mss 1460,sackOK>
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    info cwnd = 1460
    < . 1:1(0) ack 2921
    info cwnd >= 14600
    info in_flight = 11680
    stat tcp_undos = 1
    stat tcp_loss_undo = 1
    stat tcp_spurious_rtos = 1
    stat tcp_timeouts = 1
    nothing
"
);

script!(
    timeout_that_was_spurious_is_taken_back_when_an_old_timestamp_is_echoed,
    "
    # RFC 3522 §3.2, without SACK: the acknowledgement answers what was sent 200 ms before the retransmission.
    @server <mss 1460,TS val 1 ecr 0>
    write 14480
    >* 1:14481(14480) ack 1 mss 1448
    +200ms > . 1:1449(1448) ack 1
    info cwnd = 1448
    < . 1:1(0) ack 1449 <nop,nop,TS val 2 ecr last-200>
    info cwnd >= 14480
    info ssthresh = max
    info in_flight = 13032
    stat tcp_loss_undo = 1
    stat tcp_spurious_rtos = 0
    nothing
"
);

script!(
    timeout_stands_when_the_retransmission_is_echoed,
    "
    @server <mss 1460,TS val 1 ecr 0>
    write 14480
    >* 1:14481(14480) ack 1 mss 1448
    +200ms > . 1:1449(1448) ack 1
    +10ms < . 1:1(0) ack 1449 <nop,nop,TS val 2 ecr last>
    >* 1449:4345(2896) ack 1 mss 1448
    info ssthresh = 10136
    stat tcp_loss_undo = 0
    stat tcp_slow_start_retrans = 3
"
);

script!(
    recovery_that_was_spurious_is_taken_back_when_an_old_timestamp_is_echoed,
    "
    # RFC 4015: the first segment was late, not lost; its acknowledgement echoes it.
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 1 ecr last>
    accept
    write 14480
    >* 1:14481(14480) ack 1 mss 1448
    +40ms < . 1:1(0) ack 1 <nop,nop,TS val 2 ecr last,nop,nop,sack 1449:5793>
    > . 1:1449(1448) ack 1
    stat tcp_sack_recovery = 1
    stat tcp_fast_retrans = 1
    +1ms < . 1:1(0) ack 5793 <nop,nop,TS val 2 ecr last-40>
    discard
    info ssthresh = max
    stat tcp_partial_undo = 1
    stat tcp_full_undo = 0
"
);

script!(
    spurious_recovery_of_a_whole_window_is_taken_back,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 1 ecr last>
    accept
    write 5792
    >* 1:5793(5792) ack 1 mss 1448
    +40ms < . 1:1(0) ack 1 <nop,nop,TS val 2 ecr last,nop,nop,sack 1449:5793>
    > . 1:1449(1448) ack 1
    +1ms < . 1:1(0) ack 5793 <nop,nop,TS val 2 ecr last-40>
    info ssthresh = max
    stat tcp_full_undo = 1
    stat tcp_undos = 1
"
);

script!(
    recovery_without_sack_is_counted_apart,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    repeat 3 {
    < . 1:1(0) ack 1
    discard
    }
    stat tcp_reno_recovery = 1
    stat tcp_sack_recovery = 0
    stat tcp_fast_retrans = 1
"
);

script!(
    recovery_from_mere_duplicates_is_taken_back,
    "
    # RFC 3708: every retransmission arrived twice.
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK>
    > S. 0:0(0) ack 1
    +40ms < . 1:1(0) ack 1 win 65535
    accept
    write 14600
    >* 1:14601(14600) ack 1
    +40ms < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    > . 1:1461(1460) ack 1
    +1ms < . 1:1(0) ack 5841
    discard
    < . 1:1(0) ack 5841 <nop,nop,sack 1:1461>
    discard
    stat tcp_undos = 1
    stat tcp_dsack_undo = 1
    stat tcp_dsack_recv = 1
    info ssthresh = max
"
);

script!(
    timeout_that_was_spurious_is_found_by_new_data_where_there_is_no_sack,
    "
    # RFC 5682 §2.1: the first acknowledgement lets two new segments go (step 2b), the next shows that nothing was lost (3b).
    option congestion newreno
    @server
    write 20440
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    info cwnd = 1460
    +50ms < . 1:1(0) ack 1461
    >* 14601:17521(2920) ack 1
    +10ms < . 1:1(0) ack 2921
    discard
    info retrans = 1
    info cwnd >= 14600
    info ssthresh = max
    stat tcp_spurious_rtos = 1
    stat tcp_undos = 1
    +10ms < . 1:1(0) ack 17521
    >* 17521:20441(2920) ack 1
    < . 1:1(0) ack 20441
    flushed yes
    info retrans = 1
"
);

script!(
    timeout_that_was_needed_goes_on_where_there_is_no_sack,
    "
    # RFC 5682 §2.1 step 3a: only the new segments arrived.
    option congestion newreno
    @server
    write 20440
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    +50ms < . 1:1(0) ack 1461
    >* 14601:17521(2920) ack 1
    +50ms < . 1:1(0) ack 1461
    > . 1461:2921(1460) ack 1
    nothing
    info cwnd <= 4380
    info ssthresh = 7300
    < . 1:1(0) ack 1461
    nothing
    < . 1:1(0) ack 2921
    discard
    stat tcp_undos = 0
"
);

script!(
    duplicate_after_a_timeout_is_no_sign_that_it_was_spurious,
    "
    # RFC 5682 §2.1 step 2a.
    @server
    write 20440
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    +10ms < . 1:1(0) ack 1
    +10ms < . 1:1(0) ack 1461
    >* 1461:4381(2920) ack 1
    < . 1:1(0) ack 2921
    discard
    stat tcp_undos = 0
"
);

script!(
    without_new_data_recovery_goes_on_after_a_timeout,
    "
    # RFC 5682 §2.1 step 2b: there is nothing new to send.
    @server
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    +10ms < . 1:1(0) ack 1461
    >* 1461:4381(2920) ack 1
    < . 1:1(0) ack 14601
    flushed yes
    stat tcp_undos = 0
"
);

script!(
    new_data_goes_before_retransmissions_with_sack_too,
    "
    # RFC 5682 §3.1 step 2b: what was sent again has arrived, of the rest nothing is known.
    option loss_probe off
    @server <mss 1460,sackOK>
    write 20440
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    +10ms < . 1:1(0) ack 1461
    >* 14601:17521(2920) ack 1
    # Step 3a: only what is new arrived.
    +10ms < . 1:1(0) ack 1461 <nop,nop,sack 14601:16061>
    > . 1461:2921(1460) ack 1
    discard
    stat tcp_undos = 0
"
);

script!(
    first_two_duplicate_acks_send_new_data_each,
    "
    # RFC 3042 §2 (limited transmit): one segment each, beyond the congestion window, which stays as it is.
    @server
    write 20440
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1
    > . 14601:16061(1460) ack 1
    nothing
    < . 1:1(0) ack 1
    > . 16061:17521(1460) ack 1
    nothing
    info cwnd = 14600
    info retrans = 0
    < . 1:1(0) ack 1
    > . 1:1461(1460) ack 1
"
);

script!(
    limited_transmit_keeps_to_the_peers_window,
    "
    # RFC 3042 §2: only what the peer's window allows.
    @server <mss 1460> win 14600
    write 20440
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1 win 14600
    < . 1:1(0) ack 1 win 14600
    nothing
    info retrans = 0
"
);

script!(
    recovery_sends_in_proportion_to_what_is_delivered,
    "
    # RFC 9937 §6: from ten segments to five: half of what is delivered goes out again, rounded up.
    option congestion newreno
    @server <mss 1460,sackOK>
    write 43800
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:5841>
    # Three delivered: one and a half segments' worth, of which the fast retransmit goes.
    > . 1:1461(1460) ack 1
    nothing
    info ssthresh = 7300
    < . 1:1(0) ack 1 <nop,nop,sack 1461:7301>
    > . 14601:16061(1460) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:8761>
    nothing
    < . 1:1(0) ack 1 <nop,nop,sack 1461:10221>
    nothing
    # Five are in flight, and stay it: one for one.
    info in_flight = 7300
    < . 1:1(0) ack 1 <nop,nop,sack 1461:11681>
    > . 16061:17521(1460) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:13141>
    > . 17521:18981(1460) ack 1
    < . 1:1(0) ack 1 <nop,nop,sack 1461:14601>
    > . 18981:20441(1460) ack 1
    info in_flight = 7300
    # The end of recovery: the window is ssthresh, and no burst goes out.
    < . 1:1(0) ack 14601
    > . 20441:21901(1460) ack 1
    info cwnd = 7300
    nothing
"
);

script!(
    recovery_with_little_in_flight_sends_one_more_where_all_is_well,
    "
    # RFC 9937 §6, PRR-SSRB: below ssthresh what is delivered goes out again, and one more where SND.UNA moves without a
    # further loss.
    @server <mss 1460,sackOK>
    write 29200
    >* 1:14601(14600) ack 1
    # Seven of ten are lost.
    < . 1:1(0) ack 1 <nop,nop,sack 10221:14601>
    > . 1:1461(1460) ack 1
    > . 1461:2921(1460) ack 1
    > . 2921:4381(1460) ack 1
    nothing
    < . 1:1(0) ack 1461 <nop,nop,sack 10221:14601>
    > . 4381:5841(1460) ack 1
    > . 5841:7301(1460) ack 1
    nothing
"
);
