//! Delivery-rate samples (draft-ietf-ccwg-bbr §4.1, once draft-cheng-iccrg-delivery-rate-estimation): how fast the network
//! delivered what was sent, measured from one acknowledgement to another about a round trip later.

use crate::time::{Duration, Instant};

/// What is kept with every segment in flight: the connection as it was when the segment was sent (P.* in the draft).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Snapshot {
    /// C.delivered, bytes.
    pub(crate) delivered: u64,
    /// C.delivered_time.
    delivered_at: Instant,
    /// C.first_send_time.
    first_sent: Instant,
    /// C.lost, bytes.
    pub(crate) lost: u64,
    /// C.inflight, this segment included, bytes.
    pub(crate) in_flight: u32,
    /// Whether the application, and not the network, limited the rate.
    pub(crate) app_limited: bool,
}

/// The newest segment that an acknowledgement delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    pub(crate) snapshot: Snapshot,
    /// When it was sent last.
    pub(crate) sent_at: Instant,
}

/// A sample (RS.* in the draft): what one acknowledgement says of the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSample {
    /// Bytes a second; 0 when the acknowledgement gives no sample.
    pub(crate) delivery_rate: u64,
    /// Bytes delivered over the interval of the sample.
    pub(crate) delivered: u64,
    /// The interval.
    pub(crate) interval: Duration,
    /// C.delivered when the newest delivered segment was sent; `None` when nothing was delivered.
    pub(crate) prior_delivered: Option<u64>,
    /// C.inflight when the newest delivered segment was sent, bytes.
    pub(crate) tx_in_flight: u32,
    /// Bytes declared lost between its sending and now.
    pub(crate) lost: u64,
    /// Whether it was sent while the application limited the rate.
    pub(crate) app_limited: bool,
    /// Bytes newly delivered, cumulatively or selectively.
    pub(crate) newly_acked: u32,
    /// Bytes newly declared lost.
    pub(crate) newly_lost: u64,
}

/// The connection's part (C.* in the draft).
#[derive(Clone, Debug, Default)]
pub(crate) struct RateSampler {
    /// Bytes delivered so far.
    pub(crate) delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// The application limits the rate until this much is delivered; 0 when it does not.
    app_limited: u64,
    /// Bytes declared lost so far, retransmissions included.
    pub(crate) lost: u64,
    /// C.lost when the sample before was taken.
    lost_before: u64,
    /// The rate that counts, as Linux's `tcpi_delivery_rate` reports it, bytes a second, and whether the application
    /// limited it. A sample that it limited counts only when it is higher.
    shown: (u64, bool),
}

impl RateSampler {
    /// A segment is sent, for the first time or again: what to keep with it. `outstanding` says whether anything waits for
    /// an acknowledgement already, `in_flight` counts this segment.
    pub(crate) fn on_sent(&mut self, now: Instant, outstanding: bool, in_flight: u32) -> Snapshot {
        // §4.1.2.2: with nothing under way the interval begins now. As in Linux "nothing" includes what is deemed lost:
        // after a timeout, acknowledgements of the originals may still come and would make the interval far too short.
        if !outstanding {
            self.first_sent = now;
            self.delivered_at = now;
        }
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited != 0,
        }
    }

    /// An acknowledgement delivered `bytes`, `newest` the last sent among them (§4.1.2.3). `min_rtt` is the least seen on
    /// this connection: a shorter interval says nothing.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        bytes: u32,
        newest: Option<Newest>,
        min_rtt: Duration,
    ) -> RateSample {
        let mut sample = RateSample {
            newly_acked: bytes,
            newly_lost: self.lost - self.lost_before,
            ..RateSample::default()
        };
        self.lost_before = self.lost;
        if bytes > 0 {
            self.delivered += u64::from(bytes);
            self.delivered_at = now;
        }
        // What was sent while the application limited the rate has arrived.
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let Some(Newest { snapshot, sent_at }) = newest else { return sample };
        let send_elapsed = sent_at.since(snapshot.first_sent);
        let ack_elapsed = now.since(snapshot.delivered_at);
        self.first_sent = sent_at;
        // The longer of the two: acknowledgements that were held back and came at once would show too high a rate.
        sample.interval = send_elapsed.max(ack_elapsed);
        sample.delivered = self.delivered - snapshot.delivered;
        sample.prior_delivered = Some(snapshot.delivered);
        sample.tx_in_flight = snapshot.in_flight;
        sample.lost = self.lost - snapshot.lost;
        sample.app_limited = snapshot.app_limited;
        if sample.interval >= min_rtt && !sample.interval.is_zero() {
            sample.delivery_rate = rate(sample.delivered, sample.interval);
            if !sample.app_limited || sample.delivery_rate >= self.shown.0 {
                self.shown = (sample.delivery_rate, sample.app_limited);
            }
        }
        sample
    }

    /// The application does not give enough to send: what is in flight now, and all that is sent before it is delivered,
    /// says nothing of what the network could do (§4.1.2.4).
    pub(crate) fn mark_app_limited(&mut self, in_flight: u32) {
        self.app_limited = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// Whether the application limits the rate now.
    pub(crate) fn is_app_limited(&self) -> bool {
        self.app_limited != 0
    }

    /// The rate to show, bytes a second, and whether the application limited it.
    pub(crate) fn shown(&self) -> (u64, bool) {
        self.shown
    }
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64, interval: Duration) -> u64 {
    let nanos = interval.as_nanos().max(1);
    // A division of 128 bits takes as long as the rest of a sample.
    if let (Some(scaled), Ok(nanos)) = (bytes.checked_mul(1_000_000_000), u64::try_from(nanos)) {
        return scaled / nanos;
    }
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// How long `bytes` take at `rate` bytes a second.
pub(crate) fn time_for(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(10);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_steady_flow_shows_its_rate() {
        // 1,000 bytes a millisecond, acknowledged 10 ms later.
        let mut sampler = RateSampler::default();
        let mut sent = Vec::new();
        let mut last = RateSample::default();
        for ms in 0..100 {
            if ms >= 10 {
                let (sent_at, snapshot) = sent[ms as usize - 10];
                last = sampler.on_ack(at(ms), 1000, Some(Newest { snapshot, sent_at }), RTT);
            }
            sent.push((at(ms), sampler.on_sent(at(ms), ms > 0, 10_000)));
        }
        assert_eq!(last.delivery_rate, 1_000_000);
        assert_eq!((last.tx_in_flight, last.app_limited), (10_000, false));
        assert_eq!(sampler.shown(), (1_000_000, false));
    }

    #[test]
    fn acknowledgements_that_come_at_once_do_not_show_more_than_was_sent() {
        let mut sampler = RateSampler::default();
        let sent: Vec<_> =
            (0..20).map(|ms| (at(ms), sampler.on_sent(at(ms), ms > 0, 1000))).collect();
        let mut rates = Vec::new();
        for (sent_at, snapshot) in sent {
            let newest = Some(Newest { snapshot, sent_at });
            rates.push(sampler.on_ack(at(40), 1000, newest, RTT).delivery_rate);
        }
        assert!(rates.iter().all(|rate| *rate <= 1_000_000), "{rates:?}");
    }

    #[test]
    fn an_interval_below_the_least_round_trip_gives_no_sample() {
        let mut sampler = RateSampler::default();
        let snapshot = sampler.on_sent(at(0), false, 1000);
        let sample = sampler.on_ack(at(5), 1000, Some(Newest { snapshot, sent_at: at(0) }), RTT);
        assert_eq!((sample.delivery_rate, sample.newly_acked), (0, 1000));
        assert_eq!(sample.prior_delivered, Some(0), "rounds are counted all the same");
    }

    #[test]
    fn a_limited_application_marks_what_is_sent_until_the_bubble_is_gone() {
        let mut sampler = RateSampler::default();
        let first = sampler.on_sent(at(0), false, 1000);
        sampler.mark_app_limited(1000);
        let second = sampler.on_sent(at(1), true, 2000);
        assert!(!first.app_limited && second.app_limited);
        sampler.on_ack(at(20), 1000, Some(Newest { snapshot: first, sent_at: at(0) }), RTT);
        assert!(sampler.is_app_limited(), "what was in flight then is not passed yet");
        let sample =
            sampler.on_ack(at(21), 1000, Some(Newest { snapshot: second, sent_at: at(1) }), RTT);
        assert!(sample.app_limited && !sampler.is_app_limited());
    }

    #[test]
    fn losses_since_the_sending_are_told() {
        let mut sampler = RateSampler::default();
        let snapshot = sampler.on_sent(at(0), false, 1000);
        sampler.lost += 3000;
        let newest = Some(Newest { snapshot, sent_at: at(0) });
        let sample = sampler.on_ack(at(20), 1000, newest, RTT);
        assert_eq!((sample.lost, sample.newly_lost), (3000, 3000));
        assert_eq!(sampler.on_ack(at(21), 1000, newest, RTT).newly_lost, 0);
    }
}
