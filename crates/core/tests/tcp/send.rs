//! The sending side without losses: segments, Nagle, windows, zero windows and probes, slow start.

use crate::support::{Family, Isn, Tester, script};

script!(
    written_data_is_sent_at_once,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    flushed no
    < . 1:1(0) ack 101
    flushed yes
    +10s
"
);

script!(
    large_write_is_cut_into_segments,
    "
    @server
    write 5000
    > . 1:1461(1460) ack 1
    > . 1461:2921(1460) ack 1
    > . 2921:4381(1460) ack 1
    > P. 4381:5001(620) ack 1
"
);

script!(
    last_segment_of_a_write_is_pushed,
    "
    @server
    write 2000
    > . 1:1461(1460) ack 1
    > P. 1461:2001(540) ack 1
"
);

script!(
    initial_window_is_ten_segments,
    "
    @server
    write 30000
    >* 1:14601(14600) ack 1
    nothing
    info cwnd = 14600
"
);

script!(
    initial_window_is_one_segment_after_syns_that_were_lost,
    "
    # RFC 5681 §3.1, RFC 6928 §2.
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    +2s > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    write 5840
    > . 1:1461(1460) ack 1
    nothing
    info cwnd = 1460
    info ssthresh = max
    < . 1:1(0) ack 1461
    >* 1461:4381(2920) ack 1
"
);

script!(
    initial_window_is_one_segment_after_syn_acks_that_were_lost,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +1s > S. 0:0(0) ack 1
    +2s > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    write 5840
    > . 1:1461(1460) ack 1
    nothing
"
);

script!(
    initial_window_survives_one_lost_syn,
    "
    # RFC 6928 §2.
    connect
    > S 0:0(0)
    +1s > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460>
    > . 1:1(0) ack 1
    info cwnd = 14600
"
);

script!(
    slow_start_sends_two_for_each_acknowledged,
    "
    @server
    write 60000
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 1461
    >* 14601:17521(2920) ack 1
    < . 1:1(0) ack 4381
    >* 17521:23361(5840) ack 1
    info cwnd = 18980
"
);

script!(
    window_doubles_each_round_trip,
    "
    @server <mss 1460,nop,wscale 7>
    write 200000
    >* 1:14601(14600) ack 1
    +100ms < . 1:1(0) ack 14601
    >* 14601:43801(29200) ack 1
    info cwnd = 29200
    +100ms < . 1:1(0) ack 43801
    >* 43801:102201(58400) ack 1
    info cwnd = 58400
"
);

script!(
    unused_window_does_not_grow,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    write 100
    > P. 101:201(100) ack 1
    < . 1:1(0) ack 201
    info cwnd = 14600
"
);

script!(
    ack_division_does_not_speed_up,
    "
    @server
    write 60000
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 101
    < . 1:1(0) ack 201
    < . 1:1(0) ack 301
    < . 1:1(0) ack 401
    discard
    # RFC 3465: bytes count, not acknowledgements.
    info cwnd <= 15000
"
);

script!(
    nagle_holds_small_data_back_while_some_is_out,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    write 10
    write 10
    nothing
    < . 1:1(0) ack 11
    > P. 11:31(20) ack 1
"
);

script!(
    nagle_lets_full_segments_go,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    write 1500
    > . 11:1471(1460) ack 1
    nothing
    < . 1:1(0) ack 1471
    > P. 1471:1511(40) ack 1
"
);

script!(
    nagle_fills_segments_while_it_waits,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    write 1000
    nothing
    write 460
    > . 11:1471(1460) ack 1
"
);

script!(
    without_nagle_small_data_goes_at_once,
    "
    option nagle off
    @server
    write 10
    > P. 1:11(10) ack 1
    write 10
    > P. 11:21(10) ack 1
    write 10
    > P. 21:31(10) ack 1
"
);

script!(
    switching_nagle_off_lets_held_data_go,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    write 10
    nothing
    set nagle off
    > P. 11:21(10) ack 1
"
);

script!(
    fin_does_not_wait_for_nagle,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    write 10
    shutdown write
    > FP. 11:21(10) ack 1
"
);

script!(
    announced_more_holds_the_partial_segment,
    "
    @server
    write 10 more
    nothing
    write 2000 more
    > . 1:1461(1460) ack 1
    write 10
    > P. 1461:2021(560) ack 1
"
);

// What fills the buffer goes: there is room for more only when it has been acknowledged.
script!(
    announced_more_does_not_hold_what_fills_the_buffer,
    "
    option send_buffer 8192
    @server <mss 1460>
    write 8000 more
    >* 1:7301(7300) ack 1
    nothing
    write 1000 more = 192
    > P. 7301:8193(892) ack 1
"
);

script!(
    peers_window_is_kept_to,
    "
    @server <mss 1460> win 4380
    write 10000
    >* 1:4381(4380) ack 1
    nothing
    < . 1:1(0) ack 1461 win 4380
    > . 4381:5841(1460) ack 1
    < . 1:1(0) ack 5841 win 4380
    >* 5841:10001(4160) ack 1
"
);

script!(
    window_that_moves_without_acknowledging_lets_more_go,
    "
    @server <mss 1460> win 1460
    write 4380
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1 win 4380
    >* 1461:4381(2920) ack 1
"
);

script!(
    scaled_window_is_understood,
    "
    @server <mss 1460,nop,wscale 2> win 365
    info snd_wnd = 1460
    info snd_wscale = 2
    write 5000
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1461 win 730
    >* 1461:4381(2920) ack 1
"
);

script!(
    window_in_the_syn_is_not_scaled,
    "
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 1460 <mss 1460,nop,wscale 7>
    > . 1:1(0) ack 1
    info snd_wnd = 1460
    write 5000
    > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1461 win 100
    >* 1461:5001(3540) ack 1
"
);

script!(
    window_shrunk_by_the_peer_is_survived,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    # RFC 9293 3.8.6: the right edge moved left, below what is in flight.
    < . 1:1(0) ack 1461 win 1460
    write 1460
    nothing
    < . 1:1(0) ack 14601 win 5840
    > . 14601:16061(1460) ack 1
    < . 1:1(0) ack 16061 win 65535
    flushed yes
"
);

script!(
    old_segment_does_not_change_the_window,
    "
    @server
    < P. 1:11(10) ack 1 win 5000
    < P. 11:21(10) ack 1 win 6000
    info snd_wnd = 6000
    # RFC 9293 3.10.7.4: SND.WL1 and WL2.
    < P. 1:11(10) ack 1 win 100
    discard
    info snd_wnd = 6000
"
);

script!(
    silly_window_is_not_used,
    "
    @server
    write 10
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11 win 100
    write 1000
    nothing
    # RFC 9293 3.8.6.2.1: after a while it is better than nothing.
    +100..1100ms > . 11:111(100) ack 1
    < . 1:1(0) ack 111 win 65535
    > P. 111:1011(900) ack 1
"
);

script!(
    half_of_the_largest_window_is_not_silly,
    "
    @server <mss 1460> win 1000
    write 3000
    > . 1:1001(1000) ack 1
    < . 1:1(0) ack 1001 win 500
    > . 1001:1501(500) ack 1
    < . 1:1(0) ack 1501 win 1000
    > . 1501:2501(1000) ack 1
    < . 1:1(0) ack 2501 win 1000
    > P. 2501:3001(500) ack 1
"
);

script!(
    zero_window_stops_sending,
    "
    @server
    < . 1:1(0) ack 1 win 0
    write 100
    nothing
    +100ms
    < . 1:1(0) ack 1 win 1000
    > P. 1:101(100) ack 1
"
);

script!(
    zero_window_is_probed_with_backoff,
    "
    @server
    < . 1:1(0) ack 1 win 0
    write 100
    +200ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +400ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +800ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +1600ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 1000
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    flushed yes
"
);

script!(
    answered_probes_go_on_for_ever,
    "
    @server
    < . 1:1(0) ack 1 win 0
    write 100
    # RFC 9293 3.8.6.1 MUST-37: hours of it.
    repeat 200 {
    +100ms..121s > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    }
    state ESTABLISHED
    < . 1:1(0) ack 1 win 1000
    > P. 1:101(100) ack 1
"
);

script!(
    unanswered_probes_give_up,
    "
    option retries 3
    @server
    < . 1:1(0) ack 1 win 0
    write 100
    +200ms > . 0:0(0) ack 1
    +400ms > . 0:0(0) ack 1
    +800ms > . 0:0(0) ack 1
    +1610ms
    state CLOSED
    error timed-out
"
);

script!(
    probe_interval_has_a_ceiling,
    "
    option rto_max 1s
    @server
    < . 1:1(0) ack 1 win 0
    write 100
    +200ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +400ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +800ms > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +1s > . 0:0(0) ack 1
    < . 1:1(0) ack 1 win 0
    +1s > . 0:0(0) ack 1
"
);

script!(
    data_in_flight_is_not_probed_but_retransmitted,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 1 win 0
    +200ms > . 1:101(100) ack 1
    < . 1:1(0) ack 101 win 0
    flushed yes
    +1m
"
);

script!(
    window_closed_in_the_middle_is_resumed,
    "
    @server <mss 1460> win 2920
    write 5840
    >* 1:2921(2920) ack 1
    < . 1:1(0) ack 2921 win 0
    +200ms > . 2920:2920(0) ack 1
    < . 1:1(0) ack 2921 win 2920
    >* 2921:5841(2920) ack 1
    < . 1:1(0) ack 5841 win 2920
    flushed yes
"
);

script!(
    lost_window_update_is_made_up_for_by_a_probe,
    "
    @server
    < . 1:1(0) ack 1 win 0
    write 10
    # The update that the peer sent is lost; its answer to the probe carries it.
    +200ms > . 0:0(0) ack 1
    +50ms < . 1:1(0) ack 1 win 65535
    > P. 1:11(10) ack 1
"
);

script!(
    send_queue_is_bounded,
    "
    option send_buffer 4096
    @server <mss 1460> win 1460
    write 10000 = 4096
    > . 1:1461(1460) ack 1
    write 100 = 0
    room = 0
    < . 1:1(0) ack 1461 win 1460
    > . 1461:2921(1460) ack 1
    < . 1:1(0) ack 2921 win 1460
    > P. 2921:4097(1176) ack 1
    event writable
    room = 2920
    write 5000 = 2920
"
);

script!(
    no_writable_event_without_a_short_send,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    no-event writable
"
);

script!(
    ack_of_unsent_data_is_refused,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 102
    > . 101:101(0) ack 1
    < . 1:1(0) ack 1000000
    > . 101:101(0) ack 1
    flushed no
    < . 1:1(0) ack 101
    flushed yes
"
);

script!(
    old_ack_changes_nothing,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 101
    write 100
    > P. 101:201(100) ack 1
    < . 1:1(0) ack 51
    < . 1:1(0) ack 1
    flushed no
    info send_queue = 100
    < . 1:1(0) ack 201
    flushed yes
"
);

script!(
    part_of_a_segment_can_be_acknowledged,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < . 1:1(0) ack 51
    info send_queue = 50
    +200ms > . 51:101(50) ack 1
    < . 1:1(0) ack 101
"
);

script!(
    idle_connection_sends_nothing,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < P. 1:11(10) ack 101
    read 10
    +40ms > . 101:101(0) ack 11
    +24h
    state ESTABLISHED
"
);

script!(
    restart_after_idling_keeps_to_the_initial_window,
    "
    @server <mss 1460,nop,wscale 7>
    write 102200
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 14601
    >* 14601:43801(29200) ack 1
    < . 1:1(0) ack 43801
    >* 43801:102201(58400) ack 1
    < . 1:1(0) ack 102201
    +10s write 100000
    # RFC 5681 4.1.
    >* 102201:116801(14600) ack 1
    nothing
"
);

script!(
    write_of_nothing_sends_nothing,
    "
    @server
    write 0
    nothing
    flushed yes
"
);

script!(
    data_crosses_data,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < P. 1:51(50) ack 1
    < . 51:51(0) ack 101
    +40ms > . 101:101(0) ack 51
    read 50
    flushed yes
"
);

script!(
    traffic_class_and_hop_limit_do_not_disturb,
    "
    option hop_limit 3
    option traffic_class 16
    @server
    write 10
    > P. 1:11(10) ack 1
"
);

script!(
    restart_after_idling_remembers_the_path_as_threshold,
    "
    # RFC 5681 §4.1: the window is the initial one; as in Linux three quarters of the old one are its threshold.
    @server <mss 1460,nop,wscale 7>
    write 102200
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 14601
    >* 14601:43801(29200) ack 1
    < . 1:1(0) ack 43801
    >* 43801:102201(58400) ack 1
    < . 1:1(0) ack 102201
    info cwnd = 116800
    info ssthresh = max
    # Not longer than a timeout: nothing changes.
    +150ms write 1
    > P. 102201:102202(1) ack 1
    < . 1:1(0) ack 102202
    info cwnd = 116800
    +10s write 1
    > P. 102202:102203(1) ack 1
    info cwnd = 14600
    < . 1:1(0) ack 102203
    # What was used less than half does not grow, either.
    info cwnd = 14600
"
);

script!(
    window_that_the_application_leaves_unused_is_kept_and_does_not_grow,
    "
    # RFC 7661 §4.3: neither validated, so it does not grow, nor taken away while the application goes on.
    @server <mss 1460,nop,wscale 7>
    write 43800
    >* 1:14601(14600) ack 1
    < . 1:1(0) ack 14601
    >* 14601:43801(29200) ack 1
    < . 1:1(0) ack 43801
    info cwnd = 58400
    write 1460
    > P. 43801:45261(1460) ack 1
    +100ms < . 1:1(0) ack 45261
    write 14600
    >* 45261:59861(14600) ack 1
    +100ms < . 1:1(0) ack 59861
    write 14600
    >* 59861:74461(14600) ack 1
    +100ms < . 1:1(0) ack 74461
    info cwnd = 58400
"
);

/// A connection whose window has grown to 58,400 bytes and whose application then sends 100 bytes every 20 s, which is less
/// than the timeout, for `minutes`.
fn trickle(congestion: &str, minutes: u32, then: &str) {
    let mut script = format!(
        "option congestion {congestion}
        option rto_min 30s
        @server <mss 1460,nop,wscale 7>
        write 43800
        >* 1:14601(14600) ack 1
        < . 1:1(0) ack 14601
        >* 14601:43801(29200) ack 1
        < . 1:1(0) ack 43801
        info cwnd = 58400\n"
    );
    for n in 0..3 * minutes {
        let from = 43_801 + 100 * n;
        let to = from + 100;
        let step = format!("+20s write 100\n> P. {from}:{to}(100) ack 1\n< . 1:1(0) ack {to}\n");
        script.push_str(&step);
    }
    for (family, isn) in [(Family::V4, Isn::Natural), (Family::V6, Isn::BelowWrap)] {
        Tester::play(family, isn, &format!("{script}{then}"));
    }
}

#[test]
fn window_that_is_unused_for_five_minutes_is_halved() {
    for congestion in ["newreno", "cubic"] {
        trickle(congestion, 5, "info cwnd = 58400\ninfo ssthresh = max");
        trickle(congestion, 6, "info cwnd = 29200\ninfo ssthresh = max");
        // Down to the initial one, as long as that goes on.
        trickle(congestion, 18, "info cwnd = 14600");
    }
}

#[test]
fn window_that_is_used_now_and_then_is_kept() {
    let used = "write 29200
        >* 45301:74501(29200) ack 1
        < . 1:1(0) ack 74501
        +20s write 100
        > P. 74501:74601(100) ack 1
        < . 1:1(0) ack 74601
        info cwnd >= 58400";
    trickle("newreno", 5, used);
}

script!(
    paced_window_is_spread_over_its_round_trip,
    "
    # 14,600 bytes in slow start, twice in a round trip of 100 ms: two segments every 10 ms.
    option pacing on
    option congestion newreno
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +100ms < . 1:1(0) ack 1 win 65535
    accept
    write 14600
    > . 1:1461(1460) ack 1
    > . 1461:2921(1460) ack 1
    info paced = yes
    info pacing_rate = 292000
    +9ms > . 2921:4381(1460) ack 1
    > . 4381:5841(1460) ack 1
    nothing
    +10ms > . 5841:7301(1460) ack 1
    > . 7301:8761(1460) ack 1
    +10ms > . 8761:10221(1460) ack 1
    > . 10221:11681(1460) ack 1
    +10ms > . 11681:13141(1460) ack 1
    > P. 13141:14601(1460) ack 1
    +20ms < . 1:1(0) ack 14601
    flushed yes
"
);

script!(
    paced_connection_saves_no_credit_while_it_is_idle,
    "
    option pacing on
    option congestion newreno
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +100ms < . 1:1(0) ack 1 win 65535
    accept
    +10s write 5840
    > . 1:1461(1460) ack 1
    > . 1461:2921(1460) ack 1
    nothing
    +9ms > . 2921:4381(1460) ack 1
    > P. 4381:5841(1460) ack 1
"
);

script!(
    bbr_paces_from_the_start,
    "
    # draft-ietf-ccwg-bbr §5.6.2: 2.77 initial windows a round trip.
    option congestion bbr
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +100ms < . 1:1(0) ack 1 win 65535
    accept
    write 7300
    > . 1:1461(1460) ack 1
    > . 1461:2921(1460) ack 1
    info paced = yes
    +4..9ms > . 2921:4381(1460) ack 1
    > . 4381:5841(1460) ack 1
    nothing
    +4..9ms > P. 5841:7301(1460) ack 1
"
);

script!(
    unpaced_window_leaves_at_once,
    "
    option congestion newreno
    @server
    write 14600
    >* 1:14601(14600) ack 1
    info paced = no
"
);
