//! TCP Fast Open (RFC 7413): cookies, data on the SYN, and what happens where the network or the peer does not play along.

use crate::support::script;

// --- as a server ---

script!(
    cookie_is_given_to_who_asks,
    "
    option fast_open queue 8
    listen 80
    < S 0:0(0) win 65535 <mss 1460,FO>
    > S. 0:0(0) ack 1 <mss 1460,FO COOKIE,nop,nop>
    < . 1:1(0) ack 1
    accept
    info syn_data = no
    stat fast_open_cookie_reqd = 1
    stat fast_open_passive = 0
    "
);

script!(
    request_in_the_experimental_option_is_answered_in_kind,
    "
    option fast_open queue 8
    listen 80
    < S 0:0(0) win 65535 <mss 1460,FOEXP>
    > S. 0:0(0) ack 1 <mss 1460,FOEXP COOKIE>
    [2] < S 0:10(10) win 65535 <mss 1460,FOEXP COOKIE>
    [2] > S. 0:0(0) ack 11 <mss 1460>
    "
);

script!(
    data_on_a_syn_is_read_and_answered_before_the_handshake_is_over,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101 <mss 1460>
    acceptable
    accept
    state SYN-RECEIVED
    event connected
    read 100
    info syn_data = yes
    write 300
    > P. 1:301(300) ack 101
    < . 101:101(0) ack 301
    state ESTABLISHED
    event flushed
    stat fast_open_passive = 1
    info bytes_received = 100
    < P. 101:151(50) ack 301
    +40ms > . 301:301(0) ack 151
    read 50
    "
);

script!(
    syn_with_a_cookie_and_no_data_opens_at_once_too,
    "
    option fast_open queue 8
    listen 80
    < S 0:0(0) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 1 <mss 1460>
    accept
    info syn_data = no
    write 10
    > P. 1:11(10) ack 1
    < . 1:1(0) ack 11
    state ESTABLISHED
    "
);

script!(
    wrong_cookie_leaves_the_data_for_later_and_brings_the_right_one,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO 0102030405060708>
    > S. 0:0(0) ack 1 <mss 1460,FO COOKIE,nop,nop>
    accept none
    < P. 1:101(100) ack 1
    accept
    +40ms > . 1:1(0) ack 101
    read 100
    info syn_data = no
    stat fast_open_passive_fail = 1
    stat fast_open_passive = 0
    "
);

script!(
    cookie_of_the_key_before_counts_and_is_replaced,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO OLD-COOKIE>
    > S. 0:0(0) ack 101 <mss 1460,FO COOKIE,nop,nop>
    accept
    read 100
    stat fast_open_passive_alt_key = 1
    "
);

script!(
    listener_without_fast_open_ignores_the_option_and_the_data,
    "
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 1 <mss 1460>
    accept none
    < P. 1:101(100) ack 1
    accept
    +40ms > . 1:1(0) ack 101
    read 100
    stat fast_open_cookie_reqd = 0
    "
);

script!(
    data_without_a_cookie_waits_for_the_handshake,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460>
    > S. 0:0(0) ack 1 <mss 1460>
    accept none
    "
);

script!(
    data_without_a_cookie_is_taken_where_that_is_allowed,
    "
    option fast_open queue 8
    option fast_open accept without-cookie
    listen 80
    < S 0:100(100) win 65535 <mss 1460>
    > S. 0:0(0) ack 101 <mss 1460>
    accept
    read 100
    "
);

script!(
    lost_syn_ack_of_a_fast_open_is_sent_again_alone,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    write 300
    > P. 1:301(300) ack 101
    +1s > S. 0:0(0) ack 101
    +2s > S. 0:0(0) ack 101
    < . 101:101(0) ack 1
    state ESTABLISHED
    # What was sent before goes on its own timer from now on.
    +3s > P. 1:301(300) ack 101
    < . 101:101(0) ack 301
    "
);

script!(
    repeated_syn_is_answered_by_the_same_syn_ack,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    < S 0:0(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 101
    accept
    read 100
    < . 101:101(0) ack 1
    state ESTABLISHED
    "
);

script!(
    peer_that_never_answers_a_fast_open_is_given_up,
    "
    option fast_open queue 8
    option synack_retries 2
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    read 100
    +1s > S. 0:0(0) ack 101
    +2s > S. 0:0(0) ack 101
    +5s
    state CLOSED
    error timed-out
    "
);

script!(
    reset_leaves_the_data_of_the_syn_to_be_read,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    < R 101:101(0)
    accept
    state CLOSED
    read 100
    read reset
    "
);

script!(
    reset_beside_the_next_sequence_number_is_challenged,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    < R 150:150(0)
    > . 1:1(0) ack 101
    < R 90:90(0)
    state SYN-RECEIVED
    stat challenge_acks = 1
    "
);

script!(
    acknowledgement_of_what_was_not_sent_is_refused,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    < . 101:101(0) ack 2
    > R 2:2(0)
    < . 101:101(0) ack 0
    > R 0:0(0)
    state SYN-RECEIVED
    "
);

script!(
    fin_waits_for_the_end_of_the_handshake,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    read 100
    write 50
    > P. 1:51(50) ack 101
    shutdown write
    write 1 = broken-pipe
    < . 101:101(0) ack 1
    > F. 51:51(0) ack 101
    state FIN-WAIT-1
    < F. 101:101(0) ack 52
    > . 52:52(0) ack 102
    state TIME-WAIT
    "
);

script!(
    fin_of_the_peer_ends_the_handshake,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    < F. 101:101(0) ack 1
    > . 1:1(0) ack 102
    state CLOSE-WAIT
    read 100
    read eof
    "
);

script!(
    close_with_unread_data_of_the_syn_resets,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    accept
    close
    > R. 1:1(0) ack 101
    "
);

script!(
    closed_listener_resets_what_was_opened_fast,
    "
    option fast_open queue 8
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    unlisten
    > R. 1:1(0) ack 101
    "
);

script!(
    beyond_the_cap_handshakes_are_ordinary,
    "
    option fast_open queue 1
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    [2] < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    [2] > S. 0:0(0) ack 1 <mss 1460>
    stat fast_open_listen_overflow = 1
    < . 101:101(0) ack 1
    [3] < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    [3] > S. 0:0(0) ack 101
    "
);

script!(
    resets_count_for_a_minute,
    "
    option fast_open queue 1
    listen 80
    < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 101
    < R 101:101(0)
    +59s [2] < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    [2] > S. 0:0(0) ack 1 <mss 1460>
    [2] < R 1:1(0)
    +2s [3] < S 0:100(100) win 65535 <mss 1460,FO COOKIE>
    [3] > S. 0:0(0) ack 101
    "
);

script!(
    data_beyond_the_window_is_not_taken_from_a_syn,
    "
    option fast_open queue 8
    option recv_buffer 2048
    mtu 4000
    listen 80
    < S 0:3000(3000) win 65535 <mss 1460,FO COOKIE>
    > S. 0:0(0) ack 2049 win 0
    accept
    read 2048
    > . 1:1(0) ack 2049 win 2048
    "
);

// --- as a client ---

script!(
    first_connection_asks_for_a_cookie_and_the_second_sends_data_with_it,
    "
    option fast_open connect
    option timestamps off
    connect
    > S 0:0(0) <mss 1460,nop,nop,sackOK,nop,wscale 5,FO,nop,nop>
    syn-room 0
    < S. 0:0(0) ack 1 win 65535 <mss 1400,FO 0102030405060708>
    > . 1:1(0) ack 1
    [2] connect
    [2] syn-room 1360
    [2] write 100
    [2] > S 0:100(100) <mss 1460,nop,nop,sackOK,nop,wscale 5,FO 0102030405060708,nop,nop>
    [2] < S. 0:0(0) ack 101 win 65535 <mss 1400>
    [2] > . 101:101(0) ack 1
    [2] event connected
    [2] event flushed
    [2] info syn_data = yes
    [2] info bytes_acked = 100
    stat fast_open_active = 1
    stat fast_open_active_fail = 0
    "
);

/// A client that has a cookie for the peer's port 80, its first connection being closed.
macro_rules! with_cookie {
    ($name:ident, $rest:expr) => {
        script!(
            $name,
            concat!(
                "
                option fast_open connect
                connect
                > S 0:0(0)
                < S. 0:0(0) ack 1 win 65535 <mss 1460,FO 0a0b0c0d>
                > . 1:1(0) ack 1
                < R 1:1(0)
                ",
                $rest
            )
        );
    };
}

with_cookie!(
    only_what_fits_goes_with_the_syn,
    "
    [2] connect
    [2] write 3000
    [2] > S 0:1420(1420)
    [2] < S. 0:0(0) ack 1421 win 65535 <mss 1460>
    [2] > . 1421:2881(1460) ack 1
    [2] > P. 2881:3001(120) ack 1
    [2] < . 1:1(0) ack 3001
    [2] event flushed
    "
);

with_cookie!(
    data_that_the_server_left_is_sent_again_at_once,
    "
    [2] connect
    [2] write 1000
    [2] > S 0:1000(1000)
    [2] < S. 0:0(0) ack 1 win 65535 <mss 1460,FO 01010101>
    [2] > P. 1:1001(1000) ack 1
    [2] < . 1:1(0) ack 1001
    [2] info syn_data = no
    stat fast_open_active_fail = 1
    # The cookie that came with the refusal counts from now on.
    [3] connect
    [3] write 10
    [3] > S 0:10(10) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5,raw 220601010101,nop,nop>
    "
);

with_cookie!(
    data_acknowledged_in_part_goes_on_from_there,
    "
    [2] connect
    [2] write 1000
    [2] > S 0:1000(1000)
    [2] < S. 0:0(0) ack 401 win 65535 <mss 1460>
    [2] > P. 401:1001(600) ack 1
    [2] < . 1:1(0) ack 1001
    "
);

with_cookie!(
    acknowledgement_beyond_the_syns_data_is_refused,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    [2] < S. 0:0(0) ack 102 win 65535 <mss 1460>
    [2] > R 102:102(0)
    [2] state SYN-SENT
    [2] < S. 0:0(0) ack 101 win 65535 <mss 1460>
    [2] > . 101:101(0) ack 1
    "
);

with_cookie!(
    lost_syn_with_data_goes_again_as_an_ordinary_one,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    +1s [2] > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5>
    [2] < S. 0:0(0) ack 1 win 65535 <mss 1460>
    [2] > P. 1:101(100) ack 1
    stat fast_open_blackhole = 1
    stat fast_open_active_fail = 1
    "
);

with_cookie!(
    late_answer_to_the_first_syn_still_counts,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    +1s [2] > S 0:0(0)
    [2] < S. 0:0(0) ack 101 win 65535 <mss 1460>
    [2] > . 101:101(0) ack 1
    [2] info bytes_acked = 100
    "
);

with_cookie!(
    path_that_swallows_syns_with_data_is_spared_for_a_minute,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    +1s [2] > S 0:0(0)
    [2] abort
    [3] connect
    [3] write 100
    [3] > S 0:100(100)
    +1s [3] > S 0:0(0)
    [3] abort
    [4] connect
    [4] > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5>
    [4] abort
    +61s [5] connect
    [5] write 100
    [5] > S 0:100(100)
    "
);

with_cookie!(
    syn_waits_a_moment_for_the_first_write_and_then_goes_without,
    "
    [2] connect
    +10ms [2] > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5,raw 22060a0b0c0d,nop,nop>
    [2] write 100
    [2] < S. 0:0(0) ack 1 win 65535 <mss 1460>
    [2] > P. 1:101(100) ack 1
    "
);

with_cookie!(
    shutdown_ends_the_wait_for_a_write,
    "
    [2] connect
    [2] shutdown write
    [2] > S 0:0(0)
    [2] < S. 0:0(0) ack 1 win 65535 <mss 1460>
    [2] > F. 1:1(0) ack 1
    "
);

with_cookie!(
    connection_closed_before_its_syn_leaves_no_trace,
    "
    [2] connect
    [2] close
    +20ms
    "
);

with_cookie!(
    data_on_the_syn_ack_is_taken,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    [2] < S. 0:200(200) ack 101 win 65535 <mss 1460>
    [2] > . 101:101(0) ack 201
    [2] read 200
    "
);

with_cookie!(
    crossing_syns_leave_the_data_to_the_handshake,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    [2] < S 0:50(50) win 65535 <mss 1460,FO 01020304>
    [2] > S. 0:0(0) ack 1
    [2] < S. 0:0(0) ack 101 win 65535 <mss 1460>
    [2] discard
    [2] state ESTABLISHED
    [2] info bytes_acked = 100
    [2] event flushed
    "
);

with_cookie!(
    syn_too_large_for_the_path_goes_again_without_its_data,
    "
    [2] connect
    [2] write 1420
    [2] > S 0:1420(1420)
    [2] < icmp too-big 1300 0
    [2] > S 0:0(0) <mss {1260|1240},sackOK,TS val .. ecr 0,nop,wscale 5>
    [2] < S. 0:0(0) ack 1 win 65535 <mss 1460>
    [2] >* 1:1421(1420) ack 1 mss {1260|1240}
    "
);

with_cookie!(
    refusal_of_a_syn_with_data_is_believed,
    "
    [2] connect
    [2] write 100
    [2] > S 0:100(100)
    [2] < R. 0:0(0) ack 1
    [2] error refused
    "
);

script!(
    cookies_of_bad_length_are_not_kept,
    "
    option fast_open connect
    connect
    > S 0:0(0)
    < S. 0:0(0) ack 1 win 65535 <mss 1460,raw 22050a0b0c>
    > . 1:1(0) ack 1
    [2] connect
    [2] > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5,FO,nop,nop>
    [2] < S. 0:0(0) ack 1 win 65535 <mss 1460,raw 2203aa>
    [2] > . 1:1(0) ack 1
    [3] connect
    [3] > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5,FO,nop,nop>
    [3] < S. 0:0(0) ack 1 win 65535 <mss 1460,FO>
    [3] > . 1:1(0) ack 1
    [4] connect
    [4] > S 0:0(0) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5,FO,nop,nop>
    "
);

script!(
    data_goes_without_a_cookie_where_that_is_asked_for,
    "
    option fast_open connect
    option fast_open connect without-cookie
    connect
    write 100
    > S 0:100(100) <mss 1460,sackOK,TS val .. ecr 0,nop,wscale 5>
    < S. 0:0(0) ack 101 win 65535 <mss 900>
    > . 101:101(0) ack 1
    # The server's MSS is remembered.
    [2] connect
    [2] write 1000
    [2] > S 0:860(860)
    "
);
