//! What an issuer may issue: the private certificate extension that says so.

/// OID of the critical extended key usage "obol credential issuer".
pub(crate) const CREDENTIAL_ISSUER_EKU: &[u64] = &[1, 3, 6, 1, 4, 1, 59999, 1, 1];
/// OID of the scope extension.
pub(crate) const SCOPE_EXTENSION: &[u64] = &[1, 3, 6, 1, 4, 1, 59999, 1, 2];

/// Longest operator name, in bytes.
const OPERATOR_MAX: usize = 32;
const SEQUENCE: u8 = 0x30;
const UTF8_STRING: u8 = 0x0c;
const INTEGER: u8 = 0x02;

/// The operator whose credentials an issuer signs, and the passenger classes it may put in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    operator: String,
    classes: u32,
}

/// The scope is empty or misspelt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScope {
    /// An operator's name is 1 to 32 of `a-z`, `0-9` and `-`.
    #[error("operator {0:?} is not 1 to 32 of a-z, 0-9 and -")]
    Operator(String),
    /// An issuer without a class could sign nothing.
    #[error("no passenger class given")]
    NoClass,
    /// Classes are numbered 0 to 31.
    #[error("passenger class {0} is not 0 to 31")]
    Class(u8),
    /// The extension is not `SEQUENCE { UTF8String, INTEGER }` in DER.
    #[error("the scope extension is not DER of SEQUENCE {{ UTF8String, INTEGER }}")]
    Encoding,
}

impl Scope {
    /// The scope of `operator` (`[a-z0-9-]{1,32}`) for `classes` (each 0 to 31, at least one).
    ///
    /// # Errors
    /// [`InvalidScope`].
    pub fn new(operator: &str, classes: &[u8]) -> Result<Scope, InvalidScope> {
        let mut mask = 0;
        for class in classes {
            mask |= 1u32
                .checked_shl(u32::from(*class))
                .ok_or(InvalidScope::Class(*class))?;
        }
        Scope::from_mask(operator, mask)
    }

    fn from_mask(operator: &str, classes: u32) -> Result<Scope, InvalidScope> {
        if !is_name(operator) {
            return Err(InvalidScope::Operator(operator.to_owned()));
        }
        if classes == 0 {
            return Err(InvalidScope::NoClass);
        }
        Ok(Scope {
            operator: operator.to_owned(),
            classes,
        })
    }

    /// The operator's name.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// One bit per passenger class, class 0 in the lowest.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// Whether `class` is among them.
    pub fn allows(&self, class: u8) -> bool {
        1u32.checked_shl(u32::from(class))
            .is_some_and(|bit| self.classes & bit != 0)
    }

    /// DER. Every length here fits one byte: an operator is at most 32 bytes.
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let operator = self.operator.as_bytes();
        let integer = integer_octets(self.classes);
        let mut body = vec![UTF8_STRING, operator.len() as u8];
        body.extend_from_slice(operator);
        body.extend_from_slice(&[INTEGER, integer.len() as u8]);
        body.extend_from_slice(&integer);
        [&[SEQUENCE, body.len() as u8], body.as_slice()].concat()
    }

    /// Reads what [`Scope::to_der`] writes and nothing else.
    pub(crate) fn from_der(der: &[u8]) -> Result<Scope, InvalidScope> {
        let body = element(der, SEQUENCE).ok_or(InvalidScope::Encoding)?;
        let operator_len = usize::from(*body.get(1).ok_or(InvalidScope::Encoding)?);
        let (operator, integer) = body
            .split_at_checked(2 + operator_len)
            .ok_or(InvalidScope::Encoding)?;
        let operator = element(operator, UTF8_STRING).ok_or(InvalidScope::Encoding)?;
        let operator = std::str::from_utf8(operator).map_err(|_| InvalidScope::Encoding)?;
        let octets = element(integer, INTEGER).ok_or(InvalidScope::Encoding)?;
        let mask = octets.iter().try_fold(0u64, |mask, octet| {
            (mask <= u64::from(u32::MAX)).then_some(mask << 8 | u64::from(*octet))
        });
        let mask = mask
            .and_then(|mask| u32::try_from(mask).ok())
            .ok_or(InvalidScope::Encoding)?;
        let scope = Scope::from_mask(operator, mask)?;
        if scope.to_der() == der {
            Ok(scope)
        } else {
            Err(InvalidScope::Encoding)
        }
    }
}

/// Names of operators, services and terminals.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=OPERATOR_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// Shortest two's complement octets of a positive integer.
fn integer_octets(value: u32) -> Vec<u8> {
    let octets = u64::from(value).to_be_bytes();
    let first = octets
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(octets.len() - 1);
    let padding = usize::from(octets[first] & 0x80 != 0);
    octets[first - padding..].to_vec()
}

/// The content of `der` if it is exactly one element of `tag` with a one-byte length.
fn element(der: &[u8], tag: u8) -> Option<&[u8]> {
    match der {
        [found, length, content @ ..]
            if *found == tag && usize::from(*length) == content.len() && *length < 0x80 =>
        {
            Some(content)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_and_its_highest_class_stays_positive() {
        for classes in [&[0][..], &[1, 2], &[7], &[31], &[0, 31]] {
            let scope = Scope::new("linea", classes).unwrap();
            assert_eq!(Scope::from_der(&scope.to_der()), Ok(scope.clone()));
            assert!(classes.iter().all(|class| scope.allows(*class)));
            assert!(!scope.allows(30) && !scope.allows(32) && !scope.allows(255));
        }
        let scope = Scope::new("linea", &[7]).unwrap();
        assert_eq!(scope.to_der(), b"\x30\x0b\x0c\x05linea\x02\x02\x00\x80");
    }

    #[test]
    fn a_scope_in_another_encoding_is_refused() {
        let der = Scope::new("linea", &[1]).unwrap().to_der();
        for cut in 0..der.len() {
            assert_eq!(Scope::from_der(&der[..cut]), Err(InvalidScope::Encoding));
        }
        let trailing = [der.as_slice(), &[0]].concat();
        assert_eq!(Scope::from_der(&trailing), Err(InvalidScope::Encoding));
        let padded = b"\x30\x0b\x0c\x05linea\x02\x02\x00\x02";
        assert_eq!(Scope::from_der(padded), Err(InvalidScope::Encoding));
        let huge = b"\x30\x0f\x0c\x05linea\x02\x06\x01\x00\x00\x00\x00\x02";
        assert_eq!(Scope::from_der(huge), Err(InvalidScope::Encoding));
    }

    #[test]
    fn an_empty_or_misspelt_scope_is_refused() {
        assert_eq!(
            Scope::new("Linea", &[1]),
            Err(InvalidScope::Operator("Linea".into()))
        );
        assert_eq!(Scope::new("linea", &[]), Err(InvalidScope::NoClass));
        assert_eq!(Scope::new("linea", &[32]), Err(InvalidScope::Class(32)));
    }

    proptest::proptest! {
        #[test]
        fn any_scope_reads_back(operator in "[a-z0-9-]{1,32}", mask in 1u32..) {
            let scope = Scope::from_mask(&operator, mask).unwrap();
            proptest::prop_assert_eq!(Scope::from_der(&scope.to_der()), Ok(scope));
        }

        #[test]
        fn whatever_reads_as_a_scope_is_its_only_encoding(der: Vec<u8>) {
            if let Ok(scope) = Scope::from_der(&der) {
                proptest::prop_assert_eq!(scope.to_der(), der);
            }
        }
    }
}
