//! `TCP_INFO` as the kernel's `struct tcp_info` (include/uapi/linux/tcp.h), for what the stack knows; the rest is zero.

use usernet_core::Duration;
use usernet_core::tcp::{CaState, EcnMode, Info, StateName};

use crate::calls::Kind;
use crate::host::Host;

/// Length of the structure as far as packetdrill knows it, bytes.
const LEN: usize = 280;

/// The kernel's number of a state.
fn state_number(state: StateName) -> u8 {
    match state {
        StateName::Established => 1,
        StateName::SynSent => 2,
        StateName::SynReceived => 3,
        StateName::FinWait1 => 4,
        StateName::FinWait2 => 5,
        StateName::TimeWait => 6,
        StateName::Closed => 7,
        StateName::CloseWait => 8,
        StateName::LastAck => 9,
        StateName::Listen => 10,
        StateName::Closing => 11,
    }
}

impl Host {
    pub(crate) fn tcp_info_bytes(&mut self, fd: i32) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; LEN];
        match self.socket(fd)?.kind {
            Kind::Idle => bytes[0] = state_number(StateName::Closed),
            Kind::Listener(_) => bytes[0] = state_number(StateName::Listen),
            Kind::Stream(id) => {
                let now = self.now();
                let info = self.stack().tcp_info_at(now, id).map_err(|_| libc::EBADF)?;
                let v6 = self.stack().tcp_addrs(id).is_ok_and(|(local, _)| local.is_ipv6());
                let room = info.pmtu.saturating_sub(if v6 { 60 } else { 40 });
                let cap = self.stack().tcp_options(id).ok().and_then(|o| o.max_segment_size);
                fill(&mut bytes, &info, cap.map_or(room, |cap| room.min(cap)));
            }
        }
        Ok(bytes)
    }
}

fn fill(bytes: &mut [u8], info: &Info, advertised: u16) {
    let micros = |d: Duration| u32::try_from(d.as_micros()).unwrap_or(u32::MAX);
    let mss = u32::from(info.mss).max(1);
    let segments = |n: u32| n.div_ceil(mss);
    let lost = info.lost;
    let ca_state = match info.ca_state {
        CaState::Open => 0,
        CaState::Disorder => 1,
        CaState::Cwr => 2,
        CaState::Recovery => 3,
        CaState::Loss => 4,
    };
    bytes[0] = state_number(info.state);
    bytes[1] = ca_state;
    bytes[2] = info.backoff;
    bytes[4] = info.backoff;
    bytes[5] = u8::from(info.timestamps)
        | u8::from(info.sack) << 1
        | u8::from(info.rcv_wscale.is_some()) << 2
        | u8::from(info.ecn != EcnMode::Off) << 3
        | u8::from(info.ecn_seen) << 4
        | u8::from(info.syn_data) << 5;
    bytes[7] = u8::from(info.delivery_rate_app_limited);
    bytes[6] = info.snd_wscale.unwrap_or(0) | info.rcv_wscale.unwrap_or(0) << 4;
    let outstanding = info.send_queue - info.unsent.min(info.send_queue);
    let ssthresh = if info.ssthresh == u32::MAX { 0x7fff_ffff } else { info.ssthresh / mss };
    let millis = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
    // The kernel counts segments delivered, the SYN among them; here bytes are known.
    let delivered = u32::try_from(info.delivered.div_ceil(u64::from(mss))).unwrap_or(u32::MAX);
    let words: [(usize, u32); 34] = [
        (36, segments(info.retrans_out)),
        (44, millis(info.last_data_sent)),
        (52, millis(info.last_data_recv)),
        (56, millis(info.last_ack_recv)),
        (92, micros(info.rcv_rtt)),
        (156, info.data_segs_out as u32),
        (192, delivered + u32::from(info.bytes_acked > 0 || info.segs_in > 1)),
        (196, info.delivered_ce),
        (216, info.dsack_dups as u32),
        (220, info.reord_seen),
        (224, info.rcv_ooopack as u32),
        (8, micros(info.rto)),
        (12, micros(info.ato)),
        (16, mss),
        (20, info.rcv_mss),
        (24, segments(outstanding)),
        (28, segments(info.sacked)),
        (32, segments(lost)),
        (60, u32::from(info.pmtu)),
        (68, micros(info.srtt)),
        (72, micros(info.rttvar)),
        (76, ssthresh),
        (80, info.cwnd / mss),
        (84, u32::from(advertised)),
        (88, info.reordering),
        (96, info.rcv_wnd),
        (100, info.retrans as u32),
        (136, info.segs_out as u32),
        (140, info.segs_in as u32),
        (144, info.unsent),
        (148, micros(info.min_rtt)),
        (152, info.data_segs_in as u32),
        (228, info.snd_wnd),
        (232, info.rcv_wnd),
    ];
    for (at, word) in words {
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    let longs = [
        (104, info.pacing_rate),
        (160, info.delivery_rate),
        (168, info.busy.as_micros() as u64),
        (176, info.rwnd_limited.as_micros() as u64),
        (184, info.sndbuf_limited.as_micros() as u64),
        (120, info.bytes_acked),
        (128, info.bytes_received),
        (200, info.bytes_sent),
        (208, info.bytes_retrans),
    ];
    for (at, long) in longs {
        bytes[at..at + 8].copy_from_slice(&long.to_ne_bytes());
    }
}
