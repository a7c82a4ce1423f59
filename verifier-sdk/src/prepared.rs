//! P-384 verification with precomputed multiples of the generator and of issuer keys.
//!
//! A signature needs u1·G + u2·Q. Both scalars are written with few signed odd digits (wNAF of
//! width 8), and both points come with their multiples 1, 3 … 127, in affine form, for each chunk
//! of the scalar. About 85 mixed additions and 384/chunks doublings are left of some 900. The
//! additions and doublings are `p384`'s own, complete: they have no exceptional cases.
//!
//! Everything here takes variable time, because keys, messages and signatures are public.

mod digits;

use p384::{
    AffinePoint, FieldBytes, ProjectivePoint, Scalar,
    ecdsa::{Signature, VerifyingKey},
    elliptic_curve::{
        BatchNormalize,
        group::Group as _,
        ops::{Invert, Reduce},
        point::AffineCoordinates,
    },
};
use sha2::{Digest, Sha384};

use crate::IssuerKey;
use digits::{DIGITS, Digits};

/// Odd multiples of one chunk: 1, 3 … 127 times its base.
const CHUNK: usize = 64;
/// Multiples that are made affine at a time: bounds the stack while a table is built.
const BATCH: usize = 16;
const _: () = assert!(CHUNK.is_multiple_of(BATCH));

/// A precomputed multiple of a point: the unit of room that tables are built in, 104 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Multiple(AffinePoint);

impl Multiple {
    /// What room is filled with before tables are built in it.
    pub const EMPTY: Self = Self(AffinePoint::IDENTITY);
}

/// How much memory a table takes for how much speed. Measured beside `p384`'s own verification
/// (1.0) on x86-64; the generator takes one table, each prepared key another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableSize {
    /// 26 KiB, 96 doublings: 0.36.
    Chunks4 = 4,
    /// 52 KiB, 48 doublings: 0.26, by its ratio to the sizes beside it in one run.
    Chunks8 = 8,
    /// 104 KiB, 24 doublings: 0.23. For every terminal with an operating system.
    #[default]
    Chunks16 = 16,
    /// 208 KiB, 12 doublings: 0.20.
    Chunks32 = 32,
}

impl TableSize {
    /// Multiples that one table takes.
    #[must_use]
    pub const fn multiples(self) -> usize {
        self as usize * CHUNK
    }

    /// Multiples that the tables of the generator and of `keys` issuer keys take.
    #[must_use]
    pub const fn room_for(self, keys: usize) -> usize {
        self.multiples().saturating_mul(keys.saturating_add(1))
    }

    /// Digits of a scalar, and doublings, that one chunk covers.
    const fn span(self) -> usize {
        DIGITS / self as usize
    }
}

/// Tables of the generator and of issuer keys, in room that somebody else holds. Keys on P-256 are
/// not prepared; a key without a table is verified by `p384`'s own arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    size: TableSize,
    generator: &'a [Multiple],
    keys: &'a [Multiple],
}

impl<'a> Tables<'a> {
    /// Builds tables in `room`: [`TableSize::room_for`] tells how much takes all `keys`; of less
    /// room the first keys that fit get a table. Costs about six verifications a table.
    pub fn build(size: TableSize, keys: &[IssuerKey], room: &'a mut [Multiple]) -> Self {
        let points = keys.iter().filter_map(|key| key.point().on_p384());
        let points = core::iter::once(&AffinePoint::GENERATOR).chain(points);
        let mut built = 0;
        for (table, point) in room.chunks_exact_mut(size.multiples()).zip(points) {
            fill(table, point.into(), size);
            built += table.len();
        }
        Self::laid_out(size, &room[..built])
    }

    /// How many issuer keys have a table.
    #[must_use]
    pub fn table_count(&self) -> usize {
        let tables = self.keys.chunks_exact(self.size.multiples());
        tables
            .filter(|table| table[0].0 != AffinePoint::IDENTITY)
            .count()
    }

    /// Tables as they lie in `room`: the generator's, then those of keys.
    fn laid_out(size: TableSize, room: &'a [Multiple]) -> Self {
        let (generator, keys) = room.split_at(size.multiples().min(room.len()));
        Self {
            size,
            generator,
            keys,
        }
    }

    /// The table of `key`, when it has one: its first multiple is the key itself.
    pub(crate) fn table_of(&self, key: &VerifyingKey) -> Option<KeyTable<'a>> {
        let multiples = self
            .keys
            .chunks_exact(self.size.multiples())
            .find(|table| table[0].0 == *key.as_affine())?;
        Some(KeyTable {
            tables: *self,
            multiples,
        })
    }
}

/// Room for tables and the tables in it, for a host that keeps them over many scans: `[Multiple; N]`,
/// `Vec<Multiple>` or `&mut [Multiple]`.
#[derive(Clone, Debug)]
pub struct TableRoom<R> {
    size: TableSize,
    room: R,
}

impl<R: AsRef<[Multiple]> + AsMut<[Multiple]>> TableRoom<R> {
    /// Room without a table, whatever stood there.
    #[must_use]
    pub fn new(size: TableSize, mut room: R) -> Self {
        room.as_mut().fill(Multiple::EMPTY);
        Self { size, room }
    }

    /// Builds the tables of `keys` as [`Tables::build`] does, in the place of those before.
    pub fn build(&mut self, keys: &[IssuerKey]) {
        let room = self.room.as_mut();
        room.fill(Multiple::EMPTY);
        Tables::build(self.size, keys, room);
    }

    /// The tables that were built last, for [`TrustStore::with_tables`](crate::TrustStore).
    #[must_use]
    pub fn tables(&self) -> Tables<'_> {
        Tables::laid_out(self.size, self.room.as_ref())
    }
}

/// One key's table beside that of the generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTable<'a> {
    tables: Tables<'a>,
    multiples: &'a [Multiple],
}

impl KeyTable<'_> {
    /// Whether `signature` is the key's over `message` hashed with SHA-384 (FIPS 186-5, 6.4.2).
    pub(crate) fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let z = <Scalar as Reduce<FieldBytes>>::reduce(&Sha384::digest(message));
        let (r, s) = signature.split_scalars();
        let s_inverse = *s.invert_vartime();
        let sum = self.combine(z * s_inverse, *r * s_inverse);
        let x = sum.to_affine().x();
        !bool::from(sum.is_identity()) && <Scalar as Reduce<FieldBytes>>::reduce(&x) == *r
    }

    /// `u1` times the generator and `u2` times the key.
    fn combine(&self, u1: Scalar, u2: Scalar) -> ProjectivePoint {
        let (u1, u2) = (Digits::of(u1), Digits::of(u2));
        let span = self.tables.size.span();
        let mut sum = ProjectivePoint::IDENTITY;
        for at in (0..span).rev() {
            sum = sum.double();
            u1.add_column(&mut sum, self.tables.generator, at, span);
            u2.add_column(&mut sum, self.multiples, at, span);
        }
        sum
    }
}

/// The odd multiples of `point` times 2^(span · c), chunk by chunk.
fn fill(table: &mut [Multiple], point: ProjectivePoint, size: TableSize) {
    let mut base = point;
    for chunk in table.chunks_exact_mut(CHUNK) {
        let twice = base.double();
        let mut next = base;
        for batch in chunk.chunks_exact_mut(BATCH) {
            let points: [_; BATCH] = core::array::from_fn(|_| {
                let this = next;
                next += twice;
                this
            });
            let affine = ProjectivePoint::batch_normalize(&points);
            for (multiple, point) in batch.iter_mut().zip(affine) {
                *multiple = Multiple(point);
            }
        }
        for _ in 0..size.span() {
            base = base.double();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::{vec, vec::Vec};

    use super::*;

    const SIZES: [TableSize; 4] = [
        TableSize::Chunks4,
        TableSize::Chunks8,
        TableSize::Chunks16,
        TableSize::Chunks32,
    ];

    fn power_of_two(exponent: usize) -> Scalar {
        (0..exponent).fold(Scalar::ONE, |power, _| power.double())
    }

    /// Scalars at the seams of digits, chunks and of the order.
    fn edge_scalars() -> Vec<Scalar> {
        let half = Scalar::from(2_u64).invert().expect("two has an inverse");
        let mut scalars = vec![Scalar::ZERO, Scalar::ONE, half, half - Scalar::ONE];
        for exponent in [
            1, 7, 8, 11, 12, 23, 24, 47, 48, 95, 96, 360, 375, 376, 382, 383,
        ] {
            let power = power_of_two(exponent);
            scalars.extend([power, power - Scalar::ONE, power + Scalar::ONE]);
        }
        let opposites: Vec<_> = scalars.iter().map(|scalar| -*scalar).collect();
        scalars.extend(opposites);
        scalars
    }

    /// Compares sums by tables of `size` for `secret` times the generator with plain ones.
    fn compare(size: TableSize, secret: Scalar, factors: &[(Scalar, Scalar)]) {
        let mut multiples = vec![Multiple::EMPTY; size.multiples() * 2];
        let (generator, key) = multiples.split_at_mut(size.multiples());
        fill(generator, ProjectivePoint::GENERATOR, size);
        fill(key, ProjectivePoint::GENERATOR * secret, size);
        let tables = Tables {
            size,
            generator,
            keys: &[],
        };
        let multiples = key;
        let table = KeyTable { tables, multiples };
        for (u1, u2) in factors {
            let plain = ProjectivePoint::GENERATOR * (*u1 + *u2 * secret);
            assert_eq!(table.combine(*u1, *u2), plain, "{size:?} {u1:?} {u2:?}");
        }
    }

    #[test]
    fn the_digits_of_a_scalar_add_up_to_it_and_are_sparse() {
        for scalar in edge_scalars() {
            let Digits(digits) = Digits::of(scalar);
            let value = digits.iter().rev().fold(Scalar::ZERO, |value, digit| {
                let magnitude = Scalar::from(u64::from(digit.unsigned_abs()));
                value.double() + if *digit < 0 { -magnitude } else { magnitude }
            });
            assert_eq!(value, scalar);
            assert!(digits.iter().all(|digit| *digit == 0 || digit % 2 != 0));
            let crowded = digits
                .windows(8)
                .any(|w| w.iter().filter(|d| **d != 0).count() > 1);
            assert!(!crowded, "{scalar:?}");
        }
    }

    #[test]
    fn the_sum_is_that_of_plain_multiplication_in_every_size() {
        let scalars = edge_scalars();
        let pairs = scalars.iter().copied().zip(scalars.iter().copied().rev());
        let pairs: Vec<_> = pairs.collect();
        for size in SIZES {
            compare(size, power_of_two(200) + Scalar::from(77_u64), &pairs);
        }
    }

    /// The key at the generator or opposite to it: the two halves meet, double and cancel.
    #[test]
    fn halves_that_are_equal_or_opposite_are_added_rightly() {
        let factors = [Scalar::ONE, power_of_two(100), -Scalar::from(129_u64)];
        let pairs: Vec<_> = factors
            .into_iter()
            .flat_map(|u| [(u, u), (u, -u), (-u, u)])
            .collect();
        for secret in [Scalar::ONE, -Scalar::ONE, Scalar::from(2_u64)] {
            compare(TableSize::Chunks16, secret, &pairs);
        }
    }
}
