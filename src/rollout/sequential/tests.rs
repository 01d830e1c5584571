use proptest::prelude::*;

use super::*;

fn counts(failures: u32, samples: u32) -> Counts {
    Counts { failures: failures.into(), samples: samples.into() }
}

/// Whether two logarithms are of the same number, but for rounding.
#[track_caller]
fn same(one: f64, other: f64) {
    assert!((one - other).abs() <= 1e-9 * one.abs().max(1.0), "{one} is not {other}");
}

/// The logarithms of the probabilities of 0, 1, .. failures of so many samples.
fn binomial(samples: u32, rate: f64) -> Vec<f64> {
    let mut ways = 0.0;
    (0..=samples)
        .map(|failures| {
            if failures > 0 {
                ways += f64::from(samples - failures + 1).ln() - f64::from(failures).ln();
            }
            ways + f64::from(failures) * rate.ln() + f64::from(samples - failures) * (-rate).ln_1p()
        })
        .collect()
}

/// The evidence that is to be expected of so many samples.
fn expected(samples: u32, rate: f64, evidence: impl Fn(Counts) -> f64) -> f64 {
    let probabilities = (0..).zip(binomial(samples, rate));
    probabilities.map(|(failures, probability)| (probability + evidence(counts(failures, samples))).exp()).sum()
}

#[test]
fn at_the_limit_one_is_to_be_expected_and_within_it_less() {
    for samples in [1, 10, 300, 2_000] {
        for limit in [0.000_01, 0.01, 0.1, 0.5, 0.99] {
            let above = |rate| expected(samples, rate, |counts| counts.beyond(Side::Above, limit));
            let below = |rate| expected(samples, rate, |counts| counts.beyond(Side::Below, limit));
            let share = |rate| expected(samples, rate, |counts| share(counts.failures, counts.samples, limit));
            for one in [above(limit), below(limit), share(limit)] {
                assert!((one - 1.0).abs() < 1e-9, "{samples} samples, {limit}: {one}");
            }
            let (less, more) = (limit * 0.9, limit + 0.1 * (1.0 - limit));
            assert!(above(less) < 1.0 && 1.0 < above(more), "{samples} samples, {limit}");
            assert!(below(more) < 1.0 && 1.0 < below(less), "{samples} samples, {limit}");
        }
    }
}

#[test]
fn of_a_ratio_no_more_than_one_is_to_be_expected_whatever_the_rates_and_the_share_of_traffic() {
    for (new, old) in [(1, 1), (3, 30), (30, 3), (15, 20)] {
        for limit in [0.5, 1.0, 1.5] {
            for rate in [0.01, 0.1, 0.6] {
                for (side, other) in [(Side::Above, 0.9), (Side::Below, 1.1)] {
                    // At the limit, and within it.
                    for times in [1.0, other] {
                        let (of_new, of_old) = (binomial(new, rate * limit * times), binomial(old, rate));
                        let mut sum = 0.0;
                        for (failed, one) in (0..).zip(&of_new) {
                            for (failed_old, other) in (0..).zip(&of_old) {
                                let evidence = ratio(counts(failed, new), counts(failed_old, old), side, limit);
                                sum += (one + other + evidence).exp();
                            }
                        }
                        assert!(sum <= 1.0 + 1e-9, "{new} and {old}, {side:?} {limit} of {rate}: {sum}");
                    }
                }
            }
        }
    }
}

/// The probability that the evidence ever comes to a hundred within so many samples, looked at after each: all paths, no chance.
fn ever(samples: u32, rate: f64, evidence: impl Fn(Counts) -> f64) -> f64 {
    let certain = |failures: usize, samples: u32| {
        let failures = u32::try_from(failures).unwrap();
        evidence(counts(failures, samples)) >= 100_f64.ln()
    };
    // How likely it is to have come so far with so many failures, from `fewest` on.
    let (mut alive, mut fewest, mut found) = (std::collections::VecDeque::from([1.0]), 0, 0.0);
    for samples in 1..=samples {
        alive.push_back(0.0);
        for place in (0..alive.len()).rev() {
            let before = if place > 0 { alive[place - 1] } else { 0.0 };
            alive[place] = alive[place] * (1.0 - rate) + before * rate;
        }
        while alive.back().is_some() && certain(fewest + alive.len() - 1, samples) {
            found += alive.pop_back().unwrap();
        }
        while alive.front().is_some() && certain(fewest, samples) {
            found += alive.pop_front().unwrap();
            fewest += 1;
        }
    }
    found
}

#[test]
fn over_all_paths_there_are_fewer_false_alarms_than_was_promised() {
    for (samples, limit, within) in [(20_000, 0.001, 0.0005), (5_000, 0.01, 0.005), (2_000, 0.5, 0.45)] {
        let above = |rate| ever(samples, rate, |counts| counts.beyond(Side::Above, limit));
        let below = |rate| ever(samples, rate, |counts| counts.beyond(Side::Below, limit));
        let share = ever(samples, limit, |counts| share(counts.failures, counts.samples, limit));
        for one in [above(limit), below(limit), share] {
            assert!((0.001..=0.01).contains(&one), "{samples} samples, {limit}: {one}");
        }
        assert!(above(within) < above(limit) / 10.0, "{samples} samples, {limit}");
    }
    let told =
        format!("{:.2} % within 5,000 samples", 100.0 * ever(5_000, 0.01, |counts| counts.beyond(Side::Above, 0.01)));
    assert!(include_str!("../STATISTICS.md").contains(&told), "STATISTICS.md does not say {told}");
}

/// Counts up to a million, and a limit.
fn any_counts() -> impl Strategy<Value = (Counts, f64)> {
    (0_u32..1_000_000, 0.0..=1.0, 0.000_01..0.999_99)
        .prop_map(|(samples, share, limit)| (counts((f64::from(samples) * share) as u32, samples), limit))
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Above), Just(Side::Below)]
}

proptest! {
    #[test]
    fn evidence_is_a_number_that_grows_with_what_it_is_of(
        (new, limit) in any_counts(), (old, _) in any_counts(), side in any_side(), times in 0.01..100.0,
    ) {
        let one_more = |counts: Counts| Counts { failures: counts.failures + 1.0, samples: counts.samples + 1.0 };
        let one_well = |counts: Counts| Counts { samples: counts.samples + 1.0, ..counts };
        let (more, well) = (one_more(new), one_well(new));
        let both = [
            [new, more, well].map(|new| new.beyond(side, limit)),
            [new, more, well].map(|new| ratio(new, old, side, times)),
        ];
        for [before, failed, went_well] in both {
            prop_assert!(before.is_finite() && failed.is_finite() && went_well.is_finite());
            // But for the rounding of logarithms that are in the hundred thousands.
            let (towards, away) = if side == Side::Above { (failed, went_well) } else { (went_well, failed) };
            prop_assert!(towards >= before - 1e-7 && before >= away - 1e-7, "{towards} {before} {away}");
        }
    }

    #[test]
    fn failures_and_what_went_well_are_alike(
        (new, limit) in any_counts(), (old, _) in any_counts(), side in any_side(), times in 0.01..100.0,
    ) {
        let turned = Counts { failures: new.samples - new.failures, ..new };
        same(new.beyond(side, limit), turned.beyond(side.other(), 1.0 - limit));
        let (all, people) = (new.samples, new.failures);
        same(share(people, all, limit), share(all - people, all, 1.0 - limit));
        same(ratio(new, old, side, times), ratio(old, new, side.other(), 1.0 / times));
    }

    #[test]
    fn a_limit_that_lies_farther_has_less_evidence(
        (new, limit) in any_counts(), (old, _) in any_counts(), times in 0.01..100.0,
    ) {
        prop_assert!(new.beyond(Side::Above, limit) >= new.beyond(Side::Above, limit + 0.1 * (1.0 - limit)) - 1e-7);
        prop_assert!(ratio(new, old, Side::Above, times) >= ratio(new, old, Side::Above, 1.1 * times) - 1e-7);
        // Where what was counted is within the limit, nothing speaks against it.
        let (side, within) = if new.rate() <= limit { (Side::Above, new) } else { (Side::Below, new) };
        prop_assert!(within.beyond(side, limit) <= 1e-7);
        let side = if new.rate() <= times * old.rate() { Side::Above } else { Side::Below };
        prop_assert!(ratio(new, old, side, times) <= 1e-6);
    }

    #[test]
    fn no_counts_break_it(
        [failures, samples, failed, of] in prop::array::uniform4(prop_oneof![Just(0.0), Just(0.5), Just(MOST), 0.0..MOST]),
        limit in prop_oneof![Just(0.0), Just(1.0), Just(f64::MIN_POSITIVE), 0.0..=1.0], side in any_side(),
    ) {
        let (new, old) = (Counts { failures, samples }, Counts { failures: failed, samples: of });
        prop_assert!(!new.beyond(side, limit).is_nan() && !share(failures, samples, limit).is_nan());
        prop_assert!(limit == 0.0 || !ratio(new, old, side, limit).is_nan());
    }
}

#[cfg(feature = "control")]
mod simulation;
