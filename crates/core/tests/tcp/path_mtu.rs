//! Path MTU discovery by probing (RFC 4821, RFC 8899): black holes are escaped, and larger segments are found again. What
//! routers report is in `timeouts`.

use crate::support::script;

script!(
    large_segments_that_vanish_become_small,
    "
    @server <mss 1460>
    write 3000
    > . 1:1461(1460) ack 1
    > . 1461:2921(1460) ack 1
    > P. 2921:3001(80) ack 1
    +200ms > . 1:1461(1460) ack 1
    +400ms > . 1:1461(1460) ack 1
    info pmtu >= 1500
    # The third in a row: something of the base size passes.
    +800ms > . 1:{1025(1024)|1221(1220)} ack 1
    info pmtu = {1064|1280}
    info mss = {1024|1220}
    stat tcp_mtup_black_holes = 1
    < . 1:1(0) ack {1025|1221}
    > . {1025:1461(436)|1221:1461(240)} ack 1
    > . {1461:2485(1024)|1461:2681(1220)} ack 1
    discard
    < . 1:1(0) ack 3001
    flushed yes
"
);

script!(
    second_base_follows_the_first,
    "
    @server <mss 1460>
    write 1460
    > P. 1:1461(1460) ack 1
    +200ms > P. 1:1461(1460) ack 1
    +400ms > P. 1:1461(1460) ack 1
    +800ms > . 1:{1025(1024)|1221(1220)} ack 1
    +1.6s > . 1:{1025(1024)|1221(1220)} ack 1
    +3.2s > . 1:{1025(1024)|1221(1220)} ack 1
    +6.4s > . 1:{537(536)|1221(1220)} ack 1
    info pmtu = {576|1280}
    discard
"
);

script!(
    small_segments_that_vanish_say_nothing_of_the_path,
    "
    @server <mss 1460>
    write 500
    > P. 1:501(500) ack 1
    +200ms > P. 1:501(500) ack 1
    +400ms > P. 1:501(500) ack 1
    +800ms > P. 1:501(500) ack 1
    +1.6s > P. 1:501(500) ack 1
    info pmtu >= 1500
    stat tcp_mtup_black_holes = 0
"
);

script!(
    probing_can_be_switched_off,
    "
    option mtu_probing off
    @server <mss 1460>
    write 1460
    > P. 1:1461(1460) ack 1
    +200ms > P. 1:1461(1460) ack 1
    +400ms > P. 1:1461(1460) ack 1
    +800ms > P. 1:1461(1460) ack 1
    +1.6s > P. 1:1461(1460) ack 1
    info pmtu >= 1500
"
);

script!(
    search_begins_at_the_base_when_asked_to,
    "
    option mtu_probing always
    @server <mss 1460>
    info pmtu = {1064|1280}
    write 1000
    > P. 1:1001(1000) ack 1
    < . 1:1(0) ack 1001
    # Probes need data that follows them, and a window for it.
    write 30000
    > . 1001:2461(1460) ack 1
    discard
    info pmtu = {1064|1280}
    < . 1:1(0) ack 2461
    discard
    info pmtu = {1500|1520}
    info mss = 1460
    stat tcp_mtup_success = 1
    < . 1:1(0) ack 31001
    discard
"
);

script!(
    lost_probe_costs_no_window_and_is_tried_three_times,
    "
    option mtu_probing always
    option congestion newreno
    @server <mss 1460,sackOK>
    write 60000
    # The probe is first in line.
    > . 1:1461(1460) ack 1
    discard
    info cwnd >= 10240
    +1ms < . 1:1(0) ack 1 <nop,nop,sack {1461:5557|1461:6341}>
    # Sent again in two pieces; three probes of the size are to fail before less is tried.
    > . 1:{1025(1024)|1221(1220)} ack 1
    > . {1025:1461(436)|1221:1461(240)} ack 1
    discard
    info ssthresh = max
    stat tcp_mtup_fail = 0
    < . 1:1(0) ack {5557|6341}
    discard
    info pmtu = {1064|1280}
    info cwnd >= 10240
"
);
