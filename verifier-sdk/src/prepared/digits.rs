use p384::{ProjectivePoint, Scalar, elliptic_curve::scalar::IsHigh};

use super::{CHUNK, Multiple};

/// Binary places of a scalar.
pub(super) const DIGITS: usize = 384;
const WIDTH: usize = 8;
const LIMBS: usize = DIGITS / 64;

/// A scalar as the sum of digit · 2^place, each digit zero or odd within ±127, of eight places in a
/// row at most one not zero (width-8 wNAF).
pub(super) struct Digits(pub(super) [i8; DIGITS]);

impl Digits {
    pub(super) fn of(scalar: Scalar) -> Self {
        // The half with the top bit clear: then the last carry has a place to go.
        let negative = bool::from(scalar.is_high());
        let limbs = limbs(if negative { -scalar } else { scalar });
        let mut digits = [0_i8; DIGITS];
        let (mut place, mut carry) = (0, 0);
        while place < DIGITS {
            let window = window(&limbs, place) + carry;
            if window % 2 == 0 {
                place += 1;
                continue;
            }
            let digit = if window < 1 << (WIDTH - 1) {
                carry = 0;
                window
            } else {
                carry = 1;
                window - (1 << WIDTH)
            };
            digits[place] = if negative { -digit } else { digit } as i8;
            place += WIDTH;
        }
        debug_assert_eq!(carry, 0, "a scalar below half the order leaves no carry");
        Self(digits)
    }

    /// Adds what the places `at`, `at + span`, `at + 2·span` … say, each from its own chunk.
    pub(super) fn add_column(
        &self,
        sum: &mut ProjectivePoint,
        table: &[Multiple],
        at: usize,
        span: usize,
    ) {
        let places = self.0[at..].iter().step_by(span);
        for (digit, multiples) in places.zip(table.chunks_exact(CHUNK)) {
            let multiple = &multiples[usize::from(digit.unsigned_abs()) / 2].0;
            match digit.signum() {
                1 => *sum += multiple,
                -1 => *sum -= multiple,
                _ => {}
            }
        }
    }
}

/// Little-endian.
fn limbs(scalar: Scalar) -> [u64; LIMBS] {
    let bytes = scalar.to_bytes();
    let mut limbs = [0; LIMBS];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.rchunks_exact(8)) {
        *limb = bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    limbs
}

/// The eight bits from `place` on.
fn window(limbs: &[u64; LIMBS], place: usize) -> i16 {
    let (limb, bit) = (place / 64, place % 64);
    let above = limbs.get(limb + 1).copied().unwrap_or(0);
    let bits = u128::from(limbs[limb]) | u128::from(above) << 64;
    i16::from((bits >> bit) as u8)
}
