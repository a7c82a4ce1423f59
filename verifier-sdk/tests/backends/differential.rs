//! Random, mutated and edge signatures before all judges. 20 000 on every run; millions with
//! `make test-long`.

use obol_credential::Algorithm;
use obol_mint::Issuer;
use sha2::{Digest, Sha256};

use crate::judges::with_all_judges;

const ORDER_P384: [u8; 48] = hex_literal::hex!(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"
);
const ORDER_P256: [u8; 32] =
    hex_literal::hex!("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

/// Bytes that are random in kind and the same on every run.
struct Noise {
    seed: [u8; 32],
    counter: u64,
}

impl Noise {
    fn new(seed: &str) -> Self {
        Self {
            seed: Sha256::digest(seed).into(),
            counter: 0,
        }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        Sha256::new_with_prefix(self.seed)
            .chain_update(self.counter.to_le_bytes())
            .finalize()
            .into()
    }

    fn below(&mut self, bound: usize) -> usize {
        let [a, b, c, d, ..] = self.block();
        u32::from_le_bytes([a, b, c, d]) as usize % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend(self.block());
        }
        bytes.truncate(length);
        bytes
    }
}

/// `number + change`, big-endian, modulo 2^bits.
fn plus(number: &[u8], change: i16) -> Vec<u8> {
    let mut carry = change;
    let mut sum: Vec<_> = number.to_vec();
    for byte in sum.iter_mut().rev() {
        let value = i16::from(*byte) + carry;
        *byte = value.rem_euclid(256) as u8;
        carry = value.div_euclid(256);
    }
    sum
}

/// `order - number`, for a number below the order.
fn opposite(order: &[u8], number: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut difference = order.to_vec();
    for (byte, other) in difference.iter_mut().zip(number).rev() {
        let value = i16::from(*byte) - i16::from(*other) - borrow;
        *byte = value.rem_euclid(256) as u8;
        borrow = i16::from(value < 0);
    }
    difference
}

/// Values at the border of what r and s may be.
fn edges(order: &[u8]) -> Vec<Vec<u8>> {
    let zero = vec![0; order.len()];
    let half: Vec<_> = (0..order.len())
        .map(|at| order[at] >> 1 | if at == 0 { 0 } else { order[at - 1] << 7 })
        .collect();
    let small = (0..4).map(|value| plus(&zero, value));
    let near_order = (-2..=2).map(|change| plus(order, change));
    let near_half = (-1..=2).map(|change| plus(&half, change));
    let ones = [vec![0xff; order.len()]];
    small
        .chain(near_order)
        .chain(near_half)
        .chain(ones)
        .collect()
}

/// What a case must come to, where that is known beforehand.
#[derive(Debug, PartialEq)]
enum Known {
    Good,
    Bad,
}

/// A sound signature bent in one of the ways, or left as it is.
fn case(noise: &mut Noise, order: &[u8], sound: &[u8]) -> (Vec<u8>, Known) {
    let half = order.len();
    let edges = edges(order);
    let mut edge = || edges[noise.below(edges.len())].clone();
    let (first, second) = (edge(), edge());
    let (r, s) = sound.split_at(half);
    match noise.below(9) {
        0 => (sound.to_vec(), Known::Good),
        1 => ([r.to_vec(), opposite(order, s)].concat(), Known::Good),
        2 => ([opposite(order, r), s.to_vec()].concat(), Known::Bad),
        3 => ([s, r].concat(), Known::Bad),
        4 => ([first, s.to_vec()].concat(), Known::Bad),
        5 => ([r.to_vec(), first].concat(), Known::Bad),
        6 => ([first, second].concat(), Known::Bad),
        7 => (noise.bytes(half * 2), Known::Bad),
        _ => {
            let mut flipped = sound.to_vec();
            flipped[noise.below(sound.len())] ^= 1 << noise.below(8);
            (flipped, Known::Bad)
        }
    }
}

/// Messages and signatures of one key: making one takes longer than judging it.
fn sound_signatures(noise: &mut Noise, signer: Issuer, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let signed = |_| {
        let length = noise.below(200);
        let message = noise.bytes(length);
        let signature = signer.sign(&message);
        (message, signature)
    };
    (0..count).map(signed).collect()
}

fn compare(seed: &str, algorithm: Algorithm, order: &[u8], cases: usize) {
    let mut noise = Noise::new(seed);
    for secret in [1, 2, 11, 200] {
        let signer = Issuer { algorithm, secret };
        let sound = sound_signatures(&mut noise, signer, cases / 40);
        let judged = with_all_judges(algorithm, &signer.point(), |verdict| {
            for number in 0..cases / 4 {
                let (message, signature) = &sound[number % sound.len()];
                let (bent, known) = case(&mut noise, order, signature);
                let good = known == Known::Good;
                assert_eq!(verdict(message, &bent), good, "{seed} {number}");
            }
        });
        assert_eq!(judged, Ok(()));
    }
}

#[test]
fn all_judges_agree_on_the_first_five_thousand_signatures() {
    compare("first", Algorithm::Esp384, &ORDER_P384, 5_000);
}

#[test]
fn all_judges_agree_on_the_second_five_thousand_signatures() {
    compare("second", Algorithm::Esp384, &ORDER_P384, 5_000);
}

#[test]
fn all_judges_agree_on_the_third_five_thousand_signatures() {
    compare("third", Algorithm::Esp384, &ORDER_P384, 5_000);
}

#[test]
fn all_judges_agree_on_five_thousand_signatures_on_p256() {
    compare("p256", Algorithm::Esp256, &ORDER_P256, 5_000);
}

#[test]
#[ignore = "half an hour: part of make test-long"]
fn all_judges_agree_on_two_millions_of_signatures() {
    compare("millions", Algorithm::Esp384, &ORDER_P384, 1_000_000);
    compare("millions", Algorithm::Esp256, &ORDER_P256, 1_000_000);
}
