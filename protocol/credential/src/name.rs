/// Characters of the longest name of an operator or a terminal.
pub const NAME_MAX: usize = 32;

/// Whether `text` may name an operator or a terminal: 1 to 32 characters of `a-z 0-9 -`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_is_1_to_32_characters_of_small_letters_digits_and_hyphens() {
        let longest = "a-z0123456789-abcdefghijklmnopqr";
        assert_eq!(longest.len(), 32);
        for name in ["a", "7", "-", "bus-12", longest] {
            assert!(is_name(name), "{name}");
        }
        for other in [
            "",
            "Bus",
            "a b",
            "a_b",
            "a.b",
            "\u{e4}",
            "a\n",
            &[longest, "s"].concat(),
        ] {
            assert!(!is_name(other), "{other:?}");
        }
    }
}
