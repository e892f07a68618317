//! TIME-WAIT (RFC 9293 §3.6.1, RFC 1337, RFC 6191).

use crate::support::{Family, Isn, Tester, script};

script!(
    time_wait_lasts_a_minute,
    "
    @server
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    state TIME-WAIT
    stat time_wait = 1
    +59s
    stat connections = 1
    +2s
    stat connections = 0
    stat time_wait = 0
"
);

script!(
    application_sees_time_wait_as_closed,
    "
    @server
    shutdown write
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    event closed
    read eof
"
);

script!(
    retransmitted_fin_is_acknowledged_and_restarts_the_wait,
    "
    config time_wait 10s
    @server
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    +8s < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    +8s
    stat connections = 1
    +3s
    stat connections = 0
"
);

script!(
    old_data_in_time_wait_is_acknowledged,
    "
    @server
    < P. 1:11(10) ack 1
    read 10
    close
    > F. 1:1(0) ack 11
    < F. 11:11(0) ack 2
    > . 2:2(0) ack 12
    < P. 1:11(10) ack 1
    > . 2:2(0) ack 12
    state TIME-WAIT
"
);

script!(
    reset_does_not_end_time_wait,
    "
    @server
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    # RFC 1337 3: assassination.
    < R 2:2(0)
    state TIME-WAIT
    < R 1:1(0)
    < R 100:100(0)
    stat connections = 1
    discard
"
);

script!(
    new_syn_reopens_a_connection_in_time_wait,
    "
    @server
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    +1s < S 100000:100000(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 100001
    rebase 100000
    < . 1:1(0) ack 1
    accept
    state ESTABLISHED
    stat time_wait = 0
    stat connections = 1
    < P. 1:11(10) ack 1
    +40ms > . 1:1(0) ack 11
    read 10
"
);

script!(
    reopened_connection_starts_above_the_old_one,
    "
    @server
    write 100000
    discard
    < . 1:1(0) ack 14601
    discard
    < . 1:1(0) ack 43801
    discard
    < . 1:1(0) ack 100001
    discard
    close
    > F. 100001:100001(0) ack 1
    < F. 1:1(0) ack 100002
    > . 100002:100002(0) ack 2
    # No time passes: the clock of RFC 6528 alone would not put it above.
    lawless
    < S 100000:100000(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 100001
    # An old segment of ours, were it acknowledged, is not in the new connection.
    < . 100001:100001(0) ack -1
    > R -1:-1(0)
"
);

script!(
    old_syn_in_time_wait_is_acknowledged,
    "
    @server
    < P. 1:1001(1000) ack 1
    read 1000
    close
    > F. 1:1(0) ack 1001
    < F. 1001:1001(0) ack 2
    > . 2:2(0) ack 1002
    < S 0:0(0) win 65535 <mss 1460>
    > . 2:2(0) ack 1002
    state TIME-WAIT
"
);

script!(
    new_syn_has_to_be_above_what_was_expected,
    "
    # RFC 6191; as in Linux, the number that would have come next is none.
    @server
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    < S 2:2(0) win 65535 <mss 1460>
    > . 2:2(0) ack 2
    state TIME-WAIT
    +1s < S 3:3(0) win 65535 <mss 1460>
    > S. 0:0(0) ack 4
"
);

script!(
    new_syn_without_a_listener_is_not_taken,
    "
    @server
    unlisten
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    # It can open nothing, so it ends nothing either.
    +1s < S 100000:100000(0) win 65535 <mss 1460>
    > . 2:2(0) ack 2
    state TIME-WAIT
"
);

script!(
    new_syn_with_a_newer_timestamp_reopens_below_the_old_sequence,
    "
    @server <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    < P. 1:1001(1000) ack 1 <nop,nop,TS val 101 ecr last>
    read 1000
    discard
    close
    > F. 1:1(0) ack 1001
    < F. 1001:1001(0) ack 2 <nop,nop,TS val 102 ecr last>
    > . 2:2(0) ack 1002
    # RFC 6191 2: the timestamp proves that it is new.
    +1s < S 500:500(0) win 65535 <mss 1460,sackOK,TS val 2000 ecr 0,nop,wscale 7>
    > S. 0:0(0) ack 501
"
);

script!(
    time_wait_is_bounded_in_number,
    "
    config max_time_wait 1
    listen 80
    [1] < S 0:0(0) <mss 1460>
    [1] > S. 0:0(0) ack 1
    [1] < . 1:1(0) ack 1
    [1] accept
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    [2] accept
    [1] close
    [1] > F. 1:1(0) ack 1
    [1] < F. 1:1(0) ack 2
    [1] > . 2:2(0) ack 2
    [2] close
    [2] > F. 1:1(0) ack 1
    [2] < F. 1:1(0) ack 2
    [2] > . 2:2(0) ack 2
    stat time_wait = 1
    stat connections = 1
    [2] state TIME-WAIT
"
);

script!(
    passive_closer_has_no_time_wait,
    "
    @server
    < F. 1:1(0) ack 1
    > . 1:1(0) ack 2
    close
    > F. 1:1(0) ack 2
    < . 2:2(0) ack 2
    stat time_wait = 0
    stat connections = 0
"
);

script!(
    simultaneous_closer_has_time_wait,
    "
    @server
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 1
    > . 2:2(0) ack 2
    < . 2:2(0) ack 2
    state TIME-WAIT
    +61s
    stat connections = 0
"
);

script!(
    new_syn_into_a_full_backlog_does_not_end_time_wait,
    "
    listen 80 backlog 0
    < S 0:0(0) <mss 1460>
    > S. 0:0(0) ack 1
    < . 1:1(0) ack 1
    accept
    [2] < S 0:0(0) <mss 1460>
    [2] > S. 0:0(0) ack 1
    [2] < . 1:1(0) ack 1
    close
    > F. 1:1(0) ack 1
    < F. 1:1(0) ack 2
    > . 2:2(0) ack 2
    +1s < S 100000:100000(0) win 65535 <mss 1460>
    discard
    state TIME-WAIT
    stat time_wait = 1
"
);

/// A port in TIME-WAIT may be used again for the same peer only above the old sequence numbers (RFC 9293 §3.6.1).
#[test]
fn connection_from_a_port_in_time_wait_starts_above_the_old_one() {
    for family in [Family::V4, Family::V6] {
        let mut tester = Tester::new(family, Isn::Natural, true);
        tester.run(
            "@client
            write 14600
            >* 1:14601(14600) ack 1
            < . 1:1(0) ack 14601
            close
            > F. 14601:14601(0) ack 1
            < F. 1:1(0) ack 14602
            > . 14602:14602(0) ack 2
            state TIME-WAIT",
        );
        let old = tester.peer().bases.ours.wrapping_add(14602);
        if tester.connect().is_err() {
            continue;
        }
        tester.run("discard\nstate SYN-SENT");
        let new = tester.peer().bases.ours;
        assert!((new.wrapping_sub(old) as i32) > 0, "{new} is not above {old}");
    }
}
