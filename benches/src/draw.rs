//! What a user sends next: one call of several, the likelier the more it weighs.

use fixtures::wallet::Call;

/// Numbers that look drawn at random, the same in each run. Source: Steele et al., "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Evenly from all.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 to 1, 1 left out.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With mean 1, as times between events that know nothing of each other.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}

/// Calls by weight.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    calls: Vec<Call>,
    /// The weights of each call and of those before it, together.
    sums: Vec<f64>,
}

impl Choice {
    /// Always the same.
    pub(crate) fn only(call: Call) -> Self {
        Self::of([(1.0, call)])
    }

    /// Of calls that weigh so much; at least one.
    pub(crate) fn of(weighted: impl IntoIterator<Item = (f64, Call)>) -> Self {
        let (weights, calls): (Vec<f64>, Vec<Call>) = weighted.into_iter().unzip();
        let sums = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect(), calls }
    }

    /// The next call.
    pub(crate) fn draw(&self, random: &mut Random) -> &Call {
        let drawn = random.unit() * self.sums.last().copied().unwrap_or_default();
        &self.calls[self.sums.partition_point(|sum| *sum <= drawn).min(self.calls.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    #[test]
    fn calls_are_drawn_as_often_as_they_weigh() {
        let to = |byte| Call::to(Address::repeat_byte(byte), []);
        let choice = Choice::of([(1.0, to(1)), (0.0, to(2)), (3.0, to(3))]);
        let mut random = Random(1);
        let mut drawn = [0; 4];
        for _ in 0..10_000 {
            drawn[usize::from(choice.draw(&mut random).to.unwrap()[0])] += 1;
        }
        assert!((2_300..2_700).contains(&drawn[1]) && drawn[2] == 0, "{drawn:?}");
    }
}
