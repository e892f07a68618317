//! TCP options: MSS, window scale, timestamps and PAWS (RFC 7323), SACK permitted, and malformed ones.

use crate::support::script;

script!(
    syn_offers_everything_in_linux_order,
    "
    option recv_buffer 262144
    connect
    > S 0:0(0) win 65535 <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 3>
"
);

script!(
    syn_ack_answers_everything_in_linux_order,
    "
    option recv_buffer 262144
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val .. ecr 100,nop,wscale 3>
"
);

script!(
    syn_ack_answers_only_what_was_offered,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 <mss 1460>
"
);

script!(
    syn_ack_to_a_syn_without_options_offers_the_mss_alone,
    "
    listen 80
    < S 0:0(0) win 65535
    > S. 0:0(0) ack 1 <mss 1460>
"
);

script!(
    syn_ack_with_sack_alone_pads_it,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460,nop,nop,sackOK>
    > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK>
"
);

script!(
    syn_ack_with_scale_alone,
    "
    option recv_buffer 262144
    listen 80
    < S 0:0(0) win 65535 <mss 1460,nop,wscale 7>
    > S. 0:0(0) ack 1 <mss 1460,nop,wscale 3>
"
);

script!(
    syn_ack_with_timestamps_alone,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460,nop,nop,TS val 7 ecr 0>
    > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val .. ecr 7>
"
);

script!(
    options_can_be_switched_off,
    "
    option timestamps off
    option sack off
    option window_scaling off
    connect
    > S 0:0(0) <mss 1460>
"
);

script!(
    timestamps_can_be_switched_off_alone,
    "
    option recv_buffer 262144
    option timestamps off
    connect
    > S 0:0(0) <mss 1460,nop,nop,sackOK,nop,wscale 3>
"
);

script!(
    switched_off_options_are_not_answered,
    "
    option timestamps off
    option sack off
    option window_scaling off
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 1 <mss 1460>
"
);

script!(
    mss_follows_the_mtu,
    "
    mtu {1300|1300}
    connect
    > S 0:0(0) <mss {1260|1240},sackOK,TS val .. ecr 0,nop,wscale 5>
"
);

script!(
    mss_is_on_the_syn_only,
    "
    @server
    write 10
    > P. 1:11(10) ack 1 <>
    < P. 1:11(10) ack 11
    +40ms > . 11:11(0) ack 11 <>
"
);

script!(
    peer_without_mss_gets_the_default,
    "
    @server <sackOK>
    info mss = {536|1220}
    write {1072|2440}
    >* 1:{1073(1072)|2441(2440)} ack 1 mss {536|1220}
"
);

script!(
    active_side_keeps_to_the_default_too,
    "
    @client <sackOK>
    info mss = {536|1220}
    write {536|1220}
    > P. 1:{537(536)|1221(1220)} ack 1
"
);

script!(
    mss_of_zero_counts_as_none,
    "
    @server <mss 0>
    info mss = {536|1220}
"
);

script!(
    peers_small_mss_is_kept_to,
    "
    @server <mss 500>
    write 1200
    > . 1:501(500) ack 1
    > . 501:1001(500) ack 1
    > P. 1001:1201(200) ack 1
"
);

script!(
    tiny_mss_is_raised_to_the_least,
    "
    option nagle off
    @server <mss 1>
    # Linux tcp_min_snd_mss: a peer cannot make every byte a packet.
    info mss >= 8
    info mss <= 48
    write 4
    > P. 1:5(4) ack 1
"
);

script!(
    peers_large_mss_is_capped_by_the_path,
    "
    @server <mss 65535>
    info mss = 1460
    write 2000
    > . 1:1461(1460) ack 1
    > P. 1461:2001(540) ack 1
"
);

script!(
    own_mss_can_be_capped,
    "
    option mss 1000
    listen 80
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 <mss 1000>
    < . 1:1(0) ack 1
    accept
    write 1500
    > . 1:1001(1000) ack 1
    > P. 1001:1501(500) ack 1
"
);

script!(
    timestamps_take_their_room_from_the_segment,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0>
    # RFC 6691 2.
    info mss = 1448
    write 2000
    > . 1:1449(1448) ack 1 <nop,nop,TS val .. ecr 100>
    > P. 1449:2001(552) ack 1 <nop,nop,TS val .. ecr 100>
"
);

script!(
    mss_in_a_later_segment_is_ignored,
    "
    @server
    < . 1:1(0) ack 1 <mss 100>
    info mss = 1460
"
);

script!(
    scale_above_fourteen_counts_as_fourteen,
    "
    @server <mss 1460,nop,wscale 15> win 1
    info snd_wscale = 14
    info snd_wnd = 16384
"
);

script!(
    scale_of_zero_switches_scaling_on,
    "
    option recv_buffer 262144
    @server <mss 1460,nop,wscale 0>
    info snd_wscale = 0
    info rcv_wscale = 3
    info snd_wnd = 65535
"
);

script!(
    no_scale_from_the_peer_means_none_of_ours,
    "
    option recv_buffer 262144
    @server <mss 1460>
    info rcv_wscale = 99
    info snd_wscale = 99
    < . 1:1461(1460) ack 1
    < . 1461:2921(1460) ack 1
    > . 1:1(0) ack 2921
    info rcv_wnd <= 65535
"
);

script!(
    active_side_uses_scale_only_when_answered,
    "
    option recv_buffer 262144
    @client <mss 1460>
    info rcv_wscale = 99
"
);

script!(
    scale_in_a_later_segment_is_ignored,
    "
    @server <mss 1460>
    < . 1:1(0) ack 1 win 1000 <nop,wscale 7>
    info snd_wnd = 1000
"
);

script!(
    timestamps_are_in_every_segment,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    write 10
    > P. 1:11(10) ack 1 <nop,nop,TS val .. ecr 100>
    < P. 1:11(10) ack 11 <nop,nop,TS val 110 ecr last>
    +40ms > . 11:11(0) ack 11 <nop,nop,TS val .. ecr 110>
    shutdown write
    > F. 11:11(0) ack 11 <nop,nop,TS val .. ecr 110>
"
);

script!(
    our_timestamp_counts_milliseconds,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    write 10
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11 <nop,nop,TS val 101 ecr last>
    +1s write 10
    > P. 11:21(10) ack 1
    # One second later by our clock: the answer to what was sent before it is one second old.
    < . 1:1(0) ack 21 <nop,nop,TS val 102 ecr last-1000>
    state ESTABLISHED
    flushed yes
"
);

script!(
    echo_follows_the_first_unacknowledged_segment,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    # RFC 7323 4.3: a delayed acknowledgement echoes the segment that began the delay.
    < P. 1:11(10) ack 1 <nop,nop,TS val 110 ecr last>
    +10ms < P. 11:21(10) ack 1 <nop,nop,TS val 120 ecr last>
    +30ms > . 1:1(0) ack 21 <nop,nop,TS val .. ecr 110>
"
);

script!(
    echo_does_not_follow_out_of_order_segments,
    "
    @server <mss 1460,TS val 100 ecr 0,nop,wscale 7>
    < P. 11:21(10) ack 1 <nop,nop,TS val 110 ecr last>
    > . 1:1(0) ack 1 <nop,nop,TS val .. ecr 100>
    < P. 1:11(10) ack 1 <nop,nop,TS val 120 ecr last>
    > . 1:1(0) ack 21 <nop,nop,TS val .. ecr 120>
"
);

script!(
    old_timestamp_is_refused,
    "
    @server <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    < P. 1:11(10) ack 1 <nop,nop,TS val 2000 ecr last>
    +40ms > . 1:1(0) ack 11
    # RFC 7323 5.3: PAWS; acknowledged and dropped.
    < P. 11:21(10) ack 1 <nop,nop,TS val 1999 ecr last>
    > . 1:1(0) ack 11 <nop,nop,TS val .. ecr 2000>
    read 10
    read none
    < P. 11:21(10) ack 1 <nop,nop,TS val 2000 ecr last>
    +40ms > . 1:1(0) ack 21
    read 10
"
);

script!(
    reset_with_an_old_timestamp_is_taken,
    "
    @server <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    # RFC 7323 5.2: RST is not subject to PAWS.
    < R 1:1(0) <nop,nop,TS val 5 ecr 0>
    error reset
"
);

script!(
    reset_of_ours_carries_a_timestamp,
    "
    # RFC 7323 §3.2.
    @server <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    < P. 1:11(10) ack 1 <nop,nop,TS val 1010 ecr last>
    close
    > R. 1:1(0) ack 11 <nop,nop,TS val .. ecr 1010>
"
);

script!(
    reset_without_timestamp_is_taken,
    "
    @server <mss 1460,sackOK,TS val 1000 ecr 0,nop,wscale 7>
    < R 1:1(0)
    error reset
"
);

script!(
    timestamps_wrap,
    "
    listen 80
    < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 4294967290 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1 <nop,nop,TS val 4294967295 ecr last>
    accept
    < P. 1:11(10) ack 1 <nop,nop,TS val 5 ecr last>
    +40ms > . 1:1(0) ack 11 <nop,nop,TS val .. ecr 5>
    read 10
    < P. 11:21(10) ack 1 <nop,nop,TS val 4294967295 ecr last>
    > . 1:1(0) ack 11 <nop,nop,TS val .. ecr 5>
    read none
"
);

script!(
    old_timestamp_is_trusted_again_after_24_days,
    "
    @server <mss 1460,sackOK,TS val 1000000 ecr 0,nop,wscale 7>
    # RFC 7323 5.5: 25 days later TS.Recent says nothing.
    +600h
    < P. 1:11(10) ack 1 <nop,nop,TS val 5 ecr last>
    +40ms > . 1:1(0) ack 11
    read 10
"
);

script!(
    echo_that_acknowledges_nothing_is_no_measurement,
    "
    # RFC 7323 §4.1.
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr last>
    > . 1:1(0) ack 1
    write 100
    > P. 1:101(100) ack 1
    +250ms < . 1:1(0) ack 1 <nop,nop,TS val 350 ecr last>
    info srtt = 100ms
    < P. 1:11(10) ack 1 <nop,nop,TS val 350 ecr last>
    info srtt = 100ms
    +0..60ms > . * ack 11
    discard
"
);

script!(
    echo_of_a_timestamp_never_sent_does_not_spoil_the_measurement,
    "
    connect
    > S 0:0(0)
    +100ms < S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr last>
    > . 1:1(0) ack 1
    write 100
    > P. 1:101(100) ack 1
    +300ms > . 1:101(100) ack 1
    < . 1:1(0) ack 101 <nop,nop,TS val 101 ecr 12345>
    info srtt < 1s
    state ESTABLISHED
"
);

script!(
    unknown_options_are_skipped,
    "
    listen 80
    < S 0:0(0) win 65535 <raw fd0611223344,mss 1000>
    > S. 0:0(0) ack 1 <mss 1460>
    < . 1:1(0) ack 1 <raw fe08aabbccddeeff>
    accept
    info mss = 1000
"
);

script!(
    options_after_the_end_of_the_list_do_not_count,
    "
    @server <mss 1000,eol,sackOK>
    info mss = 1000
    info sack = no
"
);

script!(
    option_with_bad_length_ends_the_list,
    "
    @server <mss 1000,raw 0300,sackOK>
    info mss = 1000
    info sack = no
    info snd_wscale = 99
"
);

script!(
    option_that_runs_past_the_header_is_ignored,
    "
    @server <mss 1000,raw 08ff0102>
    info mss = 1000
    info timestamps = no
"
);

script!(
    truncated_option_at_the_end_is_ignored,
    "
    @server <mss 1000,nop,nop,nop,raw 02>
    info mss = 1000
    state ESTABLISHED
"
);

script!(
    mss_with_a_wrong_length_counts_as_none,
    "
    @server <raw 0203057800>
    info mss = {536|1220}
"
);

script!(
    data_without_the_timestamp_agreed_on_is_taken,
    "
    # RFC 7323 §3.2 would have it dropped; as in Linux it is not, for what strips options on the way must not stall a
    # connection. It is never aborted for that (MUST NOT).
    @server <mss 1460,TS val 100 ecr 0>
    < P. 1:11(10) ack 1
    read 10
    +40ms > . 1:1(0) ack 11 <nop,nop,TS val .. ecr 100>
    state ESTABLISHED
"
);
