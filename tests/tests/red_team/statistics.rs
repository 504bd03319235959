//! What a guess that is right so often says about the privacy of what it was made from.

/// Normal distribution function.
pub fn normal(x: f64) -> f64 {
    libm::erfc(-x / std::f64::consts::SQRT_2) / 2.0
}

/// Its inverse.
pub fn quantile(p: f64) -> f64 {
    bisect(-40.0, 40.0, |x| normal(x) < p)
}

/// Where a predicate that holds below some point and not above changes.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if below(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The interval of Clopper and Pearson for a share, of which `found` in `trials` were seen: in
/// one of a thousand tables the true share is outside on either side.
pub fn interval(found: usize, trials: usize) -> (f64, f64) {
    const RISK: f64 = 0.001;
    let at_most = |found: usize, share: f64| -> f64 {
        (0..=found).map(|k| binomial(k, trials, share)).sum::<f64>()
    };
    let low =
        if found == 0 { 0.0 } else { bisect(0.0, 1.0, |p| 1.0 - at_most(found - 1, p) < RISK) };
    let high = if found == trials { 1.0 } else { bisect(0.0, 1.0, |p| at_most(found, p) > RISK) };
    (low, high)
}

fn binomial(k: usize, trials: usize, share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return f64::from(u8::from((share <= 0.0) == (k == 0)));
    }
    let ln_factorial = |n: usize| libm::lgamma(n as f64 + 1.0);
    let ways = ln_factorial(trials) - ln_factorial(k) - ln_factorial(trials - k);
    (ways + k as f64 * share.ln() + (trials - k) as f64 * (-share).ln_1p()).exp()
}

/// What an attack shows of a Gaussian mechanism, from guesses at a threshold that was fixed
/// before: bounds of its mu, by how many standard deviations one person moves a release.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub low: f64,
    pub high: f64,
}

/// Of values seen with a person and without, those above the threshold are guesses that the
/// person is there.
pub fn shown(with: &[f64], without: &[f64], threshold: f64) -> Shown {
    let above = |values: &[f64]| {
        interval(values.iter().filter(|value| **value > threshold).count(), values.len())
    };
    let ((hit_low, hit_high), (false_low, false_high)) = (above(with), above(without));
    Shown {
        low: quantile(hit_low) - quantile(false_high),
        high: quantile(hit_high) - quantile(false_low),
    }
}

/// The epsilon of a Gaussian mechanism of this mu at `delta`, exactly (Balle and Wang 2018).
pub fn epsilon(mu: f64, delta: f64) -> f64 {
    let delta_at = |epsilon: f64| {
        normal(mu / 2.0 - epsilon / mu) - epsilon.exp() * normal(-mu / 2.0 - epsilon / mu)
    };
    bisect(0.0, 200.0, |epsilon| delta_at(epsilon) > delta)
}

#[test]
fn known_numbers() {
    assert!((quantile(0.975) - 1.959_964).abs() < 1e-6);
    // 99.8 percent intervals, as tables have them.
    let (low, high) = interval(0, 100);
    assert!(low == 0.0 && (high - (1.0 - 0.001_f64.powf(0.01))).abs() < 1e-9);
    let (low, high) = interval(50, 100);
    assert!((low - 0.346).abs() < 0.002 && (high - 0.654).abs() < 0.002, "{low} {high}");
    // Gaussian mechanism of sigma 1: delta 1e-5 at epsilon 4.3777.
    assert!((epsilon(1.0, 1e-5) - 4.377).abs() < 0.01, "{}", epsilon(1.0, 1e-5));
}
