use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Whether `path` is one that `pattern` stands for: `*` for any run of characters and `?` for one,
/// neither for `/` (specification section 4.5).
#[must_use]
pub fn matches_pattern(pattern: &str, path: &str) -> bool {
    let same_depth = pattern.split('/').count() == path.split('/').count();
    let parts = pattern.split('/').zip(path.split('/'));
    same_depth && parts.into_iter().all(|(pattern, part)| glob(pattern, part))
}

/// One part without `/`. It goes back to the last `*` only, so that no pattern makes it slow.
fn glob(pattern: &str, part: &str) -> bool {
    let (pattern, part): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), part.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < part.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == part[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match &mut star {
                Some((star_at, taken)) => {
                    *taken += 1;
                    (at, seen) = (*star_at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

pub(super) fn is_hash_prefix(prefix: &str, path: &str) -> bool {
    HEXLOWER.encode(&Sha256::digest(path)).starts_with(prefix)
}

/// A role's name as a file name, in the repository and in the client's folder: every byte but
/// letters, digits, `_`, `.`, `-` and `~` as `%XX`, so that no name leaves the folder.
#[must_use]
pub fn quoted(role: &str) -> String {
    let mut name = String::new();
    for byte in role.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                name.push(char::from(byte));
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_but_a_slash() {
        for (pattern, path, matches) in [
            ("denylist/*", "denylist/a.cbor", true),
            ("denylist/*", "denylist/", true),
            ("denylist/*", "denylist/a/b", false),
            ("denylist/*", "fares/a", false),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("a*c?e", "abbcde", true),
            ("a*c?e", "abbcdee", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches_pattern(pattern, path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn a_roles_name_never_leaves_its_folder() {
        assert_eq!(quoted("../root"), "..%2Froot");
        assert_eq!(quoted("a b\u{e9}"), "a%20b%C3%A9");
        assert_eq!(quoted("denylist"), "denylist");
    }
}
