//! Positions against their formulas in f64, written here anew with std's functions.

use saccade::ops::relative::t5::Buckets;
use saccade::ops::rotary::frequencies::{RopeParameters, Scaling};
use saccade::ops::{plan, run, Arguments, Input, Output};
use std::f64::consts::TAU;

fn paint(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed * 131).wrapping_mul(2_654_435_761) >> 9) as u16 as f32 / 16384.0 - 2.0).collect()
}

/// Runs all tiles of an operator, the last one first.
fn call(number: u32, integers: &[i64], floats: &[f64], inputs: &[Input<'_>], out: &mut [f32]) {
    let mut all = [0; 32];
    all.iter_mut().zip(integers).for_each(|(to, n)| *to = *n as u32);
    let mut numbers = [0.0; 8];
    numbers[..floats.len()].copy_from_slice(floats);
    let arguments = Arguments { integers: &all, floats: &numbers, inputs };
    let planned = plan(number, &arguments).unwrap();
    let mut scratch = vec![f32::NAN; planned.scratch().unwrap()];
    let mut outputs = [Output::F32(out), Output::Absent];
    for (phase, tiles) in planned.tiles.into_iter().enumerate() {
        for tile in (0..tiles).rev() {
            run(number, &arguments, &mut outputs, &mut scratch, phase, tile..tile + 1).unwrap();
        }
    }
}

fn refused(number: u32, integers: &[i64], floats: &[f64], inputs: &[Input<'_>]) -> bool {
    let mut all = [0; 32];
    all.iter_mut().zip(integers).for_each(|(to, n)| *to = *n as u32);
    let mut numbers = [0.0; 8];
    numbers[..floats.len()].copy_from_slice(floats);
    plan(number, &Arguments { integers: &all, floats: &numbers, inputs }).is_err()
}

fn table(seq: usize, dim: usize, concatenated: bool, offset: i64, base: f64) -> Vec<f32> {
    let mut out = vec![f32::NAN; seq * dim];
    call(40, &[0, 1, seq as i64, dim as i64, concatenated.into(), offset, 0], &[base, 1.0], &[], &mut out);
    out
}

#[test]
fn a_table_of_sines_and_cosines() {
    let (mut other, mut total) = (0, 0);
    for dim in [1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 512] {
        for (seq, offset) in
            [(0, 0), (1, 5), (17, -9), (33, 100_000), (3, i64::from(i32::MAX) - 2), (2, i64::from(i32::MIN))]
        {
            let got = table(seq, dim, false, offset, 10_000.0);
            let halves = table(seq, dim, true, offset, 10_000.0);
            for (at, x) in got.iter().enumerate() {
                let (row, column) = (at / dim, at % dim);
                let pair = column / 2;
                let angle = (offset + row as i64) as f64 * 10_000f64.powf(-((2 * pair) as f64) / dim as f64);
                let want = if column % 2 == 0 { angle.sin() } else { angle.cos() };
                let slack = 0.51 * 2f64.powi(-24) * 2.0 * want.abs() + angle.abs() * 2f64.powi(-53) * 28.0;
                assert!((f64::from(*x) - want).abs() <= slack, "{dim} {at} {x} {want}");
                let half = if column % 2 == 0 { pair } else { dim.div_ceil(2) + pair };
                assert_eq!(halves[row * dim + half].to_bits(), x.to_bits());
                if offset.abs() <= 100_000 {
                    other += usize::from(*x != want as f32);
                    total += 1;
                }
            }
        }
    }
    println!("sinusoidal: {other} of {total} not the nearest f32 up to position 10^5");
    assert!(other * 10_000 <= total);
}

#[test]
fn added_to_a_sequence_in_place_or_not() {
    for (batch, seq, dim) in [(1, 1, 1), (2, 5, 7), (3, 40, 9), (2, 0, 4), (0, 3, 4)] {
        let x = paint(batch * seq * dim, 3);
        let positions = table(seq, dim, false, -4, 500.0);
        for (root, scale) in [(0, 1.0), (0, 0.3), (1, 1.0)] {
            let integers = [1, batch as i64, seq as i64, dim as i64, 0, -4, root];
            let mut apart = vec![f32::NAN; x.len()];
            call(40, &integers, &[500.0, scale], &[Input::F32(&x)], &mut apart);
            let mut place = x.clone();
            call(40, &integers, &[500.0, scale], &[], &mut place);
            assert_eq!(apart, place);
            let scale = if root == 1 { (dim as f64).sqrt() as f32 } else { scale as f32 };
            for (at, y) in apart.iter().enumerate() {
                assert_eq!(*y, x[at] * scale + positions[at % (seq * dim)]);
            }
        }
    }
    let mut nan = [f32::from_bits(0xffff_0001), 1.0];
    call(40, &[1, 1, 1, 2, 0, 0, 0], &[10.0, 1.0], &[], &mut nan);
    assert_eq!(nan[0].to_bits(), 0x7fc0_0000);
}

#[test]
fn wrong_tables_are_refused() {
    assert!(refused(40, &[0, 1, 4, 0, 0, 0, 0], &[10.0, 1.0], &[]));
    assert!(refused(40, &[0, 1, 4, 4, 0, 0, 0], &[0.5, 1.0], &[]));
    assert!(refused(40, &[0, 1, 4, 4, 0, i64::from(i32::MAX) - 2, 0], &[10.0, 1.0], &[]));
    assert!(refused(40, &[1, 1, 4, 4, 0, 0, 0], &[10.0, 1.0], &[Input::F32(&[0.0; 15])]));
    assert!(refused(41, &[1, 1, 1, 4, 6], &[10.0, 1.0, 1.0, 1.0, 1.0], &[]));
    assert!(refused(41, &[1, 1, 1, 4, 3], &[10.0, 1.0, 1.0, 1.0, 1.0], &[]));
    assert!(refused(41, &[1, 1, 1, 4, 4, 0, 0, 1], &[10.0, 1.0, 1.0, 1.0, 1.0], &[Input::Absent, Input::I32(&[0, 1])]));
    assert!(refused(41, &[1, 1, 1, 4, 4, 0, 0, 0, 0, 1], &[10.0, 0.5, 1.0, 1.0, 1.0], &[]));
    assert!(refused(42, &[1, 2, 1], &[], &[Input::F32(&[0.0; 2]), Input::I32(&[2])]));
    assert!(refused(42, &[1, 2, 1], &[], &[Input::F32(&[0.0; 2]), Input::I32(&[-1])]));
}

/// The papers' formulas with std's functions: inverse frequencies and attention factor.
fn papers(p: &RopeParameters<'_>, length: f64) -> (Vec<f64>, f64) {
    let dim = p.rotary_dim as f64;
    let plain = |base: f64| (0..p.rotary_dim / 2).map(|i| 1.0 / base.powf(2.0 * i as f64 / dim)).collect::<Vec<_>>();
    let f = plain(p.base);
    let RopeParameters { factor, max_position, limits: [a, b], .. } = *p;
    let given = |own: f64| if p.attention == 0.0 { own } else { p.attention };
    match p.scaling {
        Scaling::None => (f, 1.0),
        Scaling::Linear => (f.iter().map(|f| f / factor).collect(), 1.0),
        Scaling::Ntk => (plain(p.base * factor.powf(dim / (dim - 2.0))), 1.0),
        Scaling::DynamicNtk => {
            let length = length.max(max_position);
            (plain(p.base * ((factor * length / max_position) - (factor - 1.0)).powf(dim / (dim - 2.0))), 1.0)
        }
        Scaling::Yarn => {
            // Peng et al. 2023, section 3.2, with r(i) = L f_i / 2 pi turned round into the pair that turns n times.
            let pair = |n: f64| dim * (max_position / (n * TAU)).ln() / (2.0 * p.base.ln());
            let round = |x: f64, up: bool| match (p.truncate, up) {
                (false, _) => x,
                (true, true) => x.ceil(),
                (true, false) => x.floor(),
            };
            let low = round(pair(a), false).max(0.0);
            let mut high = round(pair(b), true).min(dim - 1.0);
            if high == low {
                high += 0.001;
            }
            let mix = |(i, f): (usize, &f64)| {
                let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                f / factor * ramp + f * (1.0 - ramp)
            };
            let m = |s: f64| if factor <= 1.0 { 1.0 } else { 0.1 * s * factor.ln() + 1.0 };
            let own = if p.mscale[0] * p.mscale[1] != 0.0 { m(p.mscale[0]) / m(p.mscale[1]) } else { m(1.0) };
            (f.iter().enumerate().map(mix).collect(), given(own))
        }
        Scaling::Llama3 => {
            // Grattafiori et al. 2024 as their published code has it.
            let scaled = |f: &f64| {
                let wave = TAU / f;
                if wave < max_position / b {
                    *f
                } else if wave > max_position / a {
                    f / factor
                } else {
                    let smooth = (max_position / wave - a) / (b - a);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            };
            (f.iter().map(scaled).collect(), 1.0)
        }
        Scaling::LongRope => {
            let half = p.rotary_dim / 2;
            let from = if length > max_position { half } else { 0 };
            let own = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / max_position.ln()).sqrt() };
            let each = f.iter().zip(&p.factors[from..]).map(|(f, x)| f / f64::from(*x)).collect();
            (each, given(own))
        }
    }
}

fn yarn() -> RopeParameters<'static> {
    let (scaling, limits) = (Scaling::Yarn, [32.0, 1.0]);
    RopeParameters { scaling, factor: 4.0, max_position: 4096.0, limits, ..RopeParameters::default() }
}

#[test]
fn scalings_are_those_of_the_papers() {
    let factors: Vec<f32> = (0..128).map(|i| 1.0 + i as f32 / 8.0).collect();
    let none = RopeParameters::default();
    let trained = RopeParameters { max_position: 4096.0, ..none };
    let long = RopeParameters { scaling: Scaling::LongRope, factor: 32.0, factors: &factors, ..trained };
    let all = [
        none,
        RopeParameters { scaling: Scaling::Linear, factor: 8.0, ..none },
        RopeParameters { scaling: Scaling::Ntk, factor: 4.0, ..none },
        RopeParameters { scaling: Scaling::DynamicNtk, factor: 2.0, ..trained },
        yarn(),
        RopeParameters { factor: 1.0, ..yarn() },
        RopeParameters { attention: 0.7, limits: [8.0, 8.0], ..yarn() },
        RopeParameters { factor: 40.0, truncate: false, mscale: [0.707, 1.3], ..yarn() },
        RopeParameters { scaling: Scaling::Llama3, factor: 8.0, max_position: 8192.0, limits: [1.0, 4.0], ..none },
        long,
        RopeParameters { factor: 1.0, ..long },
        RopeParameters { attention: 1.19, ..long },
    ];
    let mut worst = 0f64;
    for given in all {
        for base in [10_000.0, 500_000.0, 1_000_000.0] {
            for length in [1.0, 4096.0, 4097.0, 131_072.0] {
                let parameters = RopeParameters { rotary_dim: 128, base, ..given };
                parameters.check().unwrap();
                let got = parameters.frequencies(length);
                let (want, factor) = papers(&parameters, length);
                assert!((got.attention_factor() - factor).abs() <= 1e-15 * factor);
                for (i, want) in want.iter().enumerate() {
                    let error = (got.inverse(i) - want).abs() / want;
                    worst = worst.max(error);
                    assert!(error <= 1e-14, "{given:?} {base} {length} {i}");
                }
                let (mut cosines, mut sines) = (vec![0.0; 64], vec![0.0; 64]);
                got.row(100_000, &mut cosines, &mut sines);
                for (i, f) in want.iter().enumerate() {
                    let (sine, cosine) = (100_000.0 * f).sin_cos();
                    assert!((f64::from(cosines[i]) - cosine * factor).abs() <= 6.1e-8 * factor);
                    assert!((f64::from(sines[i]) - sine * factor).abs() <= 6.1e-8 * factor);
                }
            }
        }
    }
    println!("inverse frequencies: {worst:.2e}");
    let wrong = [
        RopeParameters { base: 0.5, ..none },
        RopeParameters { base: f64::NAN, ..none },
        RopeParameters { rotary_dim: 3, ..none },
        RopeParameters { rotary_dim: 0, ..none },
        RopeParameters { factor: 0.9, ..yarn() },
        RopeParameters { limits: [0.0, 1.0], ..yarn() },
        RopeParameters { base: 1.0, ..yarn() },
        RopeParameters { scaling: Scaling::Ntk, rotary_dim: 2, ..none },
        RopeParameters { scaling: Scaling::Llama3, limits: [4.0, 1.0], ..trained },
        RopeParameters { rotary_dim: 126, ..long },
    ];
    for parameters in wrong {
        assert!(parameters.check().is_err(), "{parameters:?}");
    }
}

#[test]
fn rows_are_turned() {
    let mut worst = 0f64;
    for (batch, seq, heads, head_dim, rotary_dim) in [
        (1, 1, 1, 2, 2),
        (2, 5, 3, 10, 4),
        (2, 40, 2, 64, 64),
        (1, 17, 4, 13, 12),
        (3, 0, 2, 8, 8),
        (2, 3, 1, 130, 130),
    ] {
        for parameters in [RopeParameters::default(), yarn()] {
            let parameters = RopeParameters { rotary_dim, ..parameters };
            for variant in 0..12 {
                let (interleaved, outside, kind) = (variant % 2 == 1, variant / 2 % 2 == 1, variant / 4);
                let x = paint(batch * seq * heads * head_dim, variant);
                let positions: Vec<i32> = (0..if kind == 2 { batch * seq } else { seq })
                    .map(|t| if kind == 0 { t as i32 - 7 } else { (t as i32 * 7919) % 4001 - 300 })
                    .collect();
                let RopeParameters { base, factor, max_position, limits, .. } = parameters;
                let floats = [base, factor, max_position, limits[0], limits[1]];
                let number = parameters.scaling as i64;
                let mut integers = [batch, seq, heads, head_dim, rotary_dim].map(|n| n as i64).to_vec();
                integers.extend([interleaved.into(), outside.into(), kind as i64, -7, number, 0, 1]);
                let listed = if kind == 0 { Input::Absent } else { Input::I32(&positions) };
                let mut y = vec![f32::NAN; x.len()];
                call(41, &integers, &floats, &[Input::F32(&x), listed], &mut y);
                let mut place = x.clone();
                call(41, &integers, &floats, &[Input::Absent, listed], &mut place);
                assert_eq!(y, place);
                let (f, factor) = papers(&parameters, 0.0);
                for (row, (x, y)) in x.chunks(head_dim).zip(y.chunks(head_dim)).enumerate() {
                    let (b, i) =
                        if outside { (row / seq / heads, row % seq) } else { (row / heads / seq, row / heads % seq) };
                    let position = positions[if kind == 2 { b * seq + i } else { i }];
                    for (column, got) in y.iter().enumerate() {
                        if column >= rotary_dim {
                            assert_eq!(got.to_bits(), x[column].to_bits());
                            continue;
                        }
                        let half = rotary_dim / 2;
                        let (pair, second, partner) = if interleaved {
                            (column / 2, column % 2 == 1, column ^ 1)
                        } else {
                            (column % half, column >= half, (column + half) % rotary_dim)
                        };
                        let (sine, cosine) = (f64::from(position) * f[pair]).sin_cos();
                        let own = f64::from(x[column]) * cosine * factor;
                        let other = f64::from(x[partner]) * sine * factor;
                        let want = if second { own + other } else { own - other };
                        let bound = 3.0 * 2f64.powi(-24) * (own.abs() + other.abs()) + 1e-12;
                        let error = (f64::from(*got) - want).abs();
                        assert!(error <= bound, "{error} {bound}");
                        worst = worst.max(error / bound);
                    }
                }
            }
        }
    }
    println!("rotary: largest share of the bound {worst:.3}");
}

#[test]
fn given_tables_are_looked_up() {
    let x = paint(2 * 3 * 4, 5);
    let (cosines, sines) = (paint(5 * 2, 1), paint(5 * 2, 2));
    let positions = [4, 0, 2];
    let mut y = vec![0.0; x.len()];
    let integers = [2, 3, 1, 4, 4, 1, 0, 1, 0, 0, 0, 0, 5];
    let inputs = [Input::F32(&x), Input::I32(&positions), Input::Absent, Input::F32(&cosines), Input::F32(&sines)];
    call(41, &integers, &[10.0, 1.0, 1.0, 1.0, 1.0], &inputs, &mut y);
    for (t, (x, y)) in x.chunks(2).zip(y.chunks(2)).enumerate() {
        let at = positions[t / 2 % 3] as usize * 2 + t % 2;
        let (c, s) = (cosines[at], sines[at]);
        assert_eq!(y, [x[0] * c - x[1] * s, x[1] * c + x[0] * s]);
    }
    let far = [4, 5, 2];
    let inputs = [Input::F32(&x), Input::I32(&far), Input::Absent, Input::F32(&cosines), Input::F32(&sines)];
    assert!(refused(41, &integers, &[10.0, 1.0, 1.0, 1.0, 1.0], &inputs));
}

#[test]
fn lookup_and_head_vectors() {
    let weights = paint(4 * 3, 1);
    let mut y = vec![f32::NAN; 15];
    call(42, &[5, 4, 3], &[], &[Input::F32(&weights), Input::I32(&[3, 0, 1, 1, 3])], &mut y);
    for (row, index) in [3, 0, 1, 1, 3].into_iter().enumerate() {
        assert_eq!(y[row * 3..row * 3 + 3], weights[index * 3..index * 3 + 3]);
    }
    let (b, s, h, d) = (2, 3, 4, 5);
    let (x, v) = (paint(b * s * h * d, 2), paint(h * d, 3));
    let at = |inside: bool, b: usize, i: usize, head: usize| {
        if inside {
            (b * s + i) * h + head
        } else {
            (b * h + head) * s + i
        }
    };
    for (from, to) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut y = vec![f32::NAN; x.len()];
        call(46, &[2, 3, 4, 5, from.into(), to.into()], &[], &[Input::F32(&x), Input::F32(&v)], &mut y);
        for n in 0..b * s * h * d {
            let (b, i, head, c) = (n / d / h / s, n / d / h % s, n / d % h, n % d);
            assert_eq!(y[at(to, b, i, head) * d + c], x[at(from, b, i, head) * d + c] + v[head * d + c]);
        }
    }
}

/// T5's rule with std's logarithm, as its published code has it.
fn bucket(distance: i64, mut n: i64, max_distance: i64, bidirectional: bool) -> i64 {
    let mut first = 0;
    let r = if bidirectional {
        n /= 2;
        first = if distance > 0 { n } else { 0 };
        distance.abs()
    } else {
        -distance.min(0)
    };
    let exact = n / 2;
    if r < exact {
        return first + r;
    }
    let share = (r as f64 / exact as f64).ln() / (max_distance as f64 / exact as f64).ln();
    first + (n - 1).min(exact + (share * (n - exact) as f64 + 1e-9) as i64)
}

#[test]
fn buckets_of_t5() {
    for (n, max, both) in
        [(32, 128, true), (32, 128, false), (8, 20, true), (2, 5, false), (64, 1000, true), (6, 81, false)]
    {
        let buckets = Buckets { num_buckets: n as usize, max_distance: max as usize, bidirectional: both };
        for distance in -3000..3000 {
            assert_eq!(buckets.of(distance) as i64, bucket(distance, n, max, both), "{n} {max} {both} {distance}");
        }
    }
    let (heads, q, k, n) = (3, 5, 9, 8);
    let weights = paint(n * heads, 1);
    let mut bias = vec![f32::NAN; heads * q * k];
    call(43, &[3, 5, 9, 8, 20, 1, -2], &[], &[Input::F32(&weights)], &mut bias);
    for (at, x) in bias.iter().enumerate() {
        let (head, i, j) = (at / k / q, at / k % q, at % k);
        let bucket = bucket(j as i64 - (i as i64 - 2), n as i64, 20, true) as usize;
        assert_eq!(*x, weights[bucket * heads + head]);
    }
    assert!(refused(43, &[3, 5, 9, 7, 20, 1, 0], &[], &[Input::F32(&paint(21, 0))]));
    assert!(refused(43, &[3, 5, 9, 8, 2, 1, 0], &[], &[Input::F32(&paint(24, 0))]));
}

#[test]
fn scores_and_values_by_distance() {
    let (batch, heads, q, k, dim) = (2, 2, 5, 70, 3);
    for (n, first) in [(1, 0), (7, 3), (130, -40), (69, 4), (4, 60), (4, -90)] {
        for inside in [false, true] {
            let row =
                |b: usize, h: usize, i: usize| if inside { (b * q + i) * heads + h } else { (b * heads + h) * q + i };
            let clip = |i: usize, j: usize| (j as i64 - i as i64 + first).clamp(0, n as i64 - 1) as usize;
            let x = paint(batch * heads * q * n, 1);
            for clipped in [false, true] {
                let mut y = vec![f32::NAN; batch * heads * q * k];
                let integers = [2, 2, 5, 70, n as i64, inside.into(), clipped.into(), first];
                call(44, &integers, &[0.5], &[Input::F32(&x)], &mut y);
                for (at, y) in y.iter().enumerate() {
                    let (b, h, i, j) = (at / k / q / heads, at / k / q % heads, at / k % q, at % k);
                    let outside = clip(i, j) as i64 != j as i64 - i as i64 + first;
                    let want = if outside && !clipped { 0.0 } else { x[row(b, h, i) * n + clip(i, j)] * 0.5 };
                    assert_eq!(*y, want);
                }
            }
            let weights: Vec<f32> = paint(batch * heads * q * k, 4).iter().map(|x| x.abs() / 70.0).collect();
            let (values, attended) = (paint(n * dim, 2), paint(batch * heads * q * dim, 3));
            let mut y = vec![f32::NAN; attended.len()];
            let integers = [2, 2, 5, 70, n as i64, 3, inside.into(), first];
            call(45, &integers, &[], &[Input::F32(&weights), Input::F32(&values), Input::F32(&attended)], &mut y);
            for b in 0..batch {
                for h in 0..heads {
                    for i in 0..q {
                        for d in 0..dim {
                            let terms: Vec<f64> = (0..k)
                                .map(|j| {
                                    let w = weights[((b * heads + h) * q + i) * k + j];
                                    f64::from(w) * f64::from(values[clip(i, j) * dim + d])
                                })
                                .collect();
                            let a = f64::from(attended[row(b, h, i) * dim + d]);
                            let got = f64::from(y[row(b, h, i) * dim + d]);
                            let size = a.abs() + terms.iter().map(|x| x.abs()).sum::<f64>();
                            let bound = 2f64.powi(-24) * (19.0 + 1.0 + 64.0 + 3.0) * size;
                            assert!((got - a - terms.iter().sum::<f64>()).abs() <= bound);
                        }
                    }
                }
            }
        }
    }
    // What no visible key points at never shows.
    let mut y = [f32::NAN];
    let inputs = [Input::F32(&[0.0, 1.0]), Input::F32(&[f32::NAN, 2.0, f32::INFINITY]), Input::F32(&[1.0])];
    call(45, &[1, 1, 1, 2, 3, 1, 0, 0], &[], &inputs, &mut y);
    assert_eq!(y, [3.0]);
}
