//! The arrival time of a chunk of bytes: the network as a pure function of time and chance.
//!
//! As in TCP, a late chunk does not stop later ones from being sent, but they arrive after it. So latency costs time
//! and not throughput, while a lost packet delays everything behind it.

use std::time::Duration;

use tokio::time::Instant;

/// The effect of one direction of a proxy on its bytes. The default is a perfect network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// The travel time of a chunk. A round trip costs this twice when both directions have it.
    pub latency: Duration,
    /// The maximum additional delay, drawn for each chunk. Order is kept.
    pub jitter: Duration,
    /// Lost packets.
    pub loss: Option<Loss>,
    /// Bytes a second.
    pub bandwidth: Option<u64>,
    /// Swallows all bytes. A connection that has lost some stays silent in that direction for ever, as with TCP.
    pub black_hole: bool,
    /// Closes a connection, both ways, when it has passed on this many bytes under these conditions.
    pub cut_after: Option<usize>,
}

/// Packet loss as a stream shows it: sometimes nothing arrives for a while.
///
/// A chunk stands for a packet. A lost chunk is sent again when the retransmission timer has run out, and delays
/// everything behind it until then. Further losses behind a gap cost nothing more: the receiver's acknowledgements
/// report them (SACK), and they are repaired together with the gap. That is harsher than TCP, which repairs most losses
/// that are followed by other packets within about a round trip.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// The probability that a chunk is lost, each time that it is sent; 0 to 1.
    pub chance: f64,
    /// The retransmission timer: at least 200 ms on Linux. It doubles each time that it runs out for the same chunk.
    pub stall: Duration,
}

/// A chunk arrives after this many losses, so that a chance of 1 ends too.
const MOST_LOSSES: u32 = 5;

/// The state of one direction of one connection.
#[derive(Debug)]
pub(super) struct Schedule {
    random: fastrand::Rng,
    /// When the line has sent all its bytes.
    sent: Instant,
    /// When the last chunk arrives.
    arrived: Instant,
    /// When the last gap is closed.
    repaired: Instant,
}

// ===== impl Schedule =====

impl Schedule {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), sent: now, arrived: now, repaired: now }
    }

    /// The arrival time of a chunk of `bytes` bytes that is sent `now`.
    pub(super) fn arrival(&mut self, now: Instant, bytes: usize, conditions: &Conditions) -> Instant {
        let sending = conditions.bandwidth.map_or(0.0, |bandwidth| bytes as f64 / bandwidth as f64);
        self.sent = self.sent.max(now) + Duration::from_secs_f64(sending);
        let jitter = conditions.jitter.mul_f64(self.random.f64());
        if let Some(loss) = conditions.loss
            && now >= self.repaired
        {
            self.repaired = now + self.stall(loss);
        }
        let travelled = self.sent + conditions.latency + jitter;
        self.arrived = self.arrived.max(travelled).max(self.repaired + conditions.latency);
        self.arrived
    }

    /// Forgets all chunks in flight, because they have been delivered early.
    pub(super) fn catch_up(&mut self, now: Instant) {
        (self.sent, self.arrived, self.repaired) = (now, now, now);
    }

    fn stall(&mut self, loss: Loss) -> Duration {
        let losses = (0..MOST_LOSSES).take_while(|_| self.random.f64() < loss.chance);
        losses.map(|nth| loss.stall * 2_u32.pow(nth)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Arrivals of chunks of 1,000 bytes sent at these milliseconds, in milliseconds.
    fn arrivals(conditions: Conditions, sent: impl IntoIterator<Item = u32>) -> Vec<u128> {
        let start = Instant::now();
        let mut schedule = Schedule::new(1, start);
        let arrivals = sent.into_iter().map(|at| schedule.arrival(start + at * MS, 1_000, &conditions));
        arrivals.map(|arrival| (arrival - start).as_millis()).collect()
    }

    #[test]
    fn a_perfect_network_takes_no_time() {
        assert_eq!(arrivals(Conditions::default(), [0, 1, 5]), [0, 1, 5]);
    }

    #[test]
    fn latency_delays_each_chunk_but_not_the_rate() {
        let conditions = Conditions { latency: 100 * MS, ..Conditions::default() };
        assert_eq!(arrivals(conditions, [0, 1, 2]), [100, 101, 102]);
    }

    #[test]
    fn jitter_keeps_the_order() {
        let conditions = Conditions { jitter: 50 * MS, ..Conditions::default() };
        let arrivals = arrivals(conditions, 0..100);
        assert!(arrivals.is_sorted());
        assert!(arrivals.iter().zip(0..).all(|(arrival, sent)| (sent..sent + 150).contains(arrival)));
        assert!(arrivals.iter().zip(0..).any(|(arrival, sent)| *arrival > sent));
    }

    #[test]
    fn bandwidth_sends_one_chunk_after_the_other() {
        let conditions = Conditions { bandwidth: Some(100_000), latency: 5 * MS, ..Conditions::default() };
        assert_eq!(arrivals(conditions, [0, 0, 100]), [15, 25, 115]);
    }

    #[test]
    fn a_loss_delays_later_bytes_and_its_timeout_doubles() {
        let conditions =
            |chance| Conditions { loss: Some(Loss { chance, stall: 200 * MS }), ..Conditions::default() };
        assert_eq!(arrivals(conditions(1.0), [0, 1, 6_199]), [6_200, 6_200, 6_200]);
        assert_eq!(arrivals(conditions(0.0), [0, 1]), [0, 1]);

        let sent = (0..10_000).map(|n| n * 10_000);
        let late = arrivals(conditions(0.05), sent.clone())
            .into_iter()
            .zip(sent)
            .filter(|&(a, s)| a >= u128::from(s) + 200);
        assert!((400..600).contains(&late.count()));
    }

    #[test]
    fn a_seed_says_it_all_and_catching_up_forgets_the_delay() {
        let conditions = Conditions { jitter: 50 * MS, latency: 1_000 * MS, ..Conditions::default() };
        assert_eq!(arrivals(conditions, 0..9), arrivals(conditions, 0..9));

        let start = Instant::now();
        let mut schedule = Schedule::new(1, start);
        schedule.arrival(start, 1, &conditions);
        schedule.catch_up(start);
        assert_eq!(schedule.arrival(start, 1, &Conditions::default()), start);
    }
}
