//! The retransmission timer (RFC 6298) and Karn's rule.

use crate::support::script;

script!(
    lost_data_is_retransmitted_with_backoff,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    +800ms > . 1:101(100) ack 1
    +1600ms > . 1:101(100) ack 1
    +3200ms > . 1:101(100) ack 1
    < . 1:1(0) ack 101
    flushed yes
    +1m
"
);

script!(
    first_timeout_is_one_second_without_a_measurement,
    "
    # The SYN-ACK was retransmitted, so its round trip says nothing (Karn).
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +1s > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    write 100
    > P. 1:101(100) ack 1
    # RFC 6298 5.7: 3 s once the SYN was lost.
    +3s > . 1:101(100) ack 1
"
);

script!(
    timeout_follows_the_round_trip_of_the_handshake,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    info srtt = 100ms
    info rttvar = 50ms
    info rto = 300ms
    write 100
    > P. 1:101(100) ack 1
    +300ms > . 1:101(100) ack 1
"
);

script!(
    timeout_follows_the_round_trip_of_a_passive_handshake,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1
    +200ms < . 1:1(0) ack 1
    accept
    info srtt = 200ms
    write 100
    > P. 1:101(100) ack 1
    +600ms > . 1:101(100) ack 1
"
);

script!(
    round_trips_are_smoothed,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    write 100
    > P. 1:101(100) ack 1
    # RFC 6298 2.3: alpha 1/8, beta 1/4.
    +180ms < . 1:1(0) ack 101
    info srtt = 110ms
    info rttvar = 57500us
    info rto = 340ms
"
);

script!(
    steady_round_trips_bring_the_timeout_down_to_its_least,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    set nagle off
    write 1
    > P. 1:2(1) ack 1
    +100ms < . 1:1(0) ack 2
    write 1
    > P. 2:3(1) ack 1
    +100ms < . 1:1(0) ack 3
    write 1
    > P. 3:4(1) ack 1
    +100ms < . 1:1(0) ack 4
    write 1
    > P. 4:5(1) ack 1
    +100ms < . 1:1(0) ack 5
    info srtt = 100ms
    # Never below round trip and least timeout, as in Linux.
    info rto >= 200ms
    info rto <= 300ms
"
);

script!(
    least_timeout_is_settable,
    "
    option rto_min 1s
    @server
    write 100
    > P. 1:101(100) ack 1
    +1s > . 1:101(100) ack 1
"
);

script!(
    greatest_timeout_is_kept_to,
    "
    option rto_max 1s
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    +800ms > . 1:101(100) ack 1
    +1s > . 1:101(100) ack 1
    +1s > . 1:101(100) ack 1
"
);

script!(
    karn_takes_no_sample_from_a_retransmission,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    write 100
    > P. 1:101(100) ack 1
    +300ms > . 1:101(100) ack 1
    +10ms < . 1:1(0) ack 101
    info srtt = 100ms
"
);

script!(
    karn_keeps_the_backed_off_timeout_until_a_clean_sample,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460>
    > . 1:1(0) ack 1
    write 100
    > P. 1:101(100) ack 1
    +300ms > . 1:101(100) ack 1
    +10ms < . 1:1(0) ack 101
    # RFC 9293 3.8.1 (Karn, RFC 1122 4.2.3.1): the doubled timeout stays for the next segment ..
    write 100
    > P. 101:201(100) ack 1
    info rto = 600ms
    +600ms > . 101:201(100) ack 1
    +10ms < . 1:1(0) ack 201
    # .. until one that was sent once is acknowledged.
    write 100
    > P. 201:301(100) ack 1
    +100ms < . 1:1(0) ack 301
    info rto < 310ms
"
);

script!(
    timestamps_give_a_sample_from_a_retransmission,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr last>
    > . 1:1(0) ack 1
    write 100
    > P. 1:101(100) ack 1
    +300ms > . 1:101(100) ack 1
    +100ms < . 1:1(0) ack 101 <nop,nop,TS val 500 ecr last>
    info srtt = 100ms
    info rto <= 300ms
"
);

script!(
    acknowledgement_restarts_the_timer,
    "
    @server
    set nagle off
    write 100
    > P. 1:101(100) ack 1
    +100ms write 100
    > P. 101:201(100) ack 1
    +50ms < . 1:1(0) ack 101
    # RFC 6298 5.3: from now, with what is measured now.
    +200..400ms > . 101:201(100) ack 1
"
);

script!(
    timer_stops_when_all_is_acknowledged,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    +100ms < . 1:1(0) ack 101
    +1m
"
);

script!(
    new_data_does_not_restart_the_timer,
    "
    @server
    set nagle off
    write 100
    > P. 1:101(100) ack 1
    +150ms write 100
    > P. 101:201(100) ack 1
    +50ms > . 1:101(100) ack 1
"
);

script!(
    timeout_sends_one_segment_again,
    "
    option congestion newreno
    @server
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    nothing
    info cwnd = 1460
    info ssthresh = 7300
    info timeouts = 1
    +400ms > . 1:1461(1460) ack 1
"
);

script!(
    second_timeout_of_a_segment_leaves_the_threshold,
    "
    # RFC 5681 §3.1.
    option congestion newreno
    @server
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    info ssthresh = 7300
    +400ms > . 1:1461(1460) ack 1
    info ssthresh = 7300
    info cwnd = 1460
"
);

script!(
    slow_start_follows_a_timeout,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    < . 1:1(0) ack 1461
    >* 1461:4381(2920) ack 1
    < . 1:1(0) ack 4381
    discard
    < . 1:1(0) ack 14601
    flushed yes
    +1m
"
);

script!(
    late_acknowledgement_after_a_timeout_sends_nothing_twice,
    "
    @server
    write 14600
    >* 1:14601(14600) ack 1
    +200ms > . 1:1461(1460) ack 1
    # All had arrived.
    < . 1:1(0) ack 14601
    nothing
    flushed yes
    +1m
"
);

script!(
    silent_peer_is_given_up,
    "
    option retries 3
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    +400ms > . 1:101(100) ack 1
    +800ms > . 1:101(100) ack 1
    +1500ms
    state ESTABLISHED
    +110ms
    state CLOSED
    error timed-out
    event error
    read timed-out
"
);

script!(
    fifteen_retransmissions_are_the_default,
    "
    option rto_max 2s
    @server
    write 100
    > P. 1:101(100) ack 1
    repeat 15 {
    +199ms..2001ms > . 1:101(100) ack 1
    }
    +1900ms
    state ESTABLISHED
    +110ms
    error timed-out
"
);

script!(
    progress_resets_the_count_of_retransmissions,
    "
    option retries 2
    @server
    write 200
    > P. 1:201(200) ack 1
    +200ms > . 1:201(200) ack 1
    +400ms > . 1:201(200) ack 1
    < . 1:1(0) ack 101
    +100..1601ms > . 101:201(100) ack 1
    +100..3201ms > . 101:201(100) ack 1
    < . 1:1(0) ack 201
    flushed yes
"
);

script!(
    duplicate_acknowledgements_do_not_count_as_progress,
    "
    option retries 2
    @server
    write 200
    > P. 1:201(200) ack 1
    +200ms > . 1:201(200) ack 1
    < . 1:1(0) ack 1
    +400ms > . 1:201(200) ack 1
    < . 1:1(0) ack 1
    +810ms
    error timed-out
"
);

script!(
    retransmission_carries_the_newest_acknowledgement,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    < P. 1:11(10) ack 1
    +40ms > . 101:101(0) ack 11
    +160ms > . 1:101(100) ack 11
"
);

script!(
    small_segments_are_retransmitted_in_order,
    "
    option nagle off
    @server
    write 10
    > P. 1:11(10) ack 1
    write 10
    > P. 11:21(10) ack 1
    +200ms > . 1:11(10) ack 1
    < . 1:1(0) ack 11
    > . 11:21(10) ack 1
    < . 1:1(0) ack 21
    flushed yes
"
);

script!(
    counters_tell_retransmissions,
    "
    @server
    write 100
    > P. 1:101(100) ack 1
    +200ms > . 1:101(100) ack 1
    info retrans = 1
    info bytes_retrans = 100
    info bytes_sent = 200
    info timeouts = 1
    < . 1:1(0) ack 101
    info bytes_acked = 100
"
);
