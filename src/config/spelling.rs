//! Which known name was meant.

/// Longer names than this are not compared: the comparison takes the product of both lengths.
const NAME_BYTES_MAX: usize = 64;

/// The known name that differs from `name` least, if it differs in at most a third of its letters.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let known = known.map(|known| (distance(name.as_bytes(), known.as_bytes()), known));
    let near = known.filter(|(distance, known)| distance * 3 <= known.len().max(3));
    near.min().map(|(_, known)| known)
}

/// How many letters must be put in, taken out or replaced to turn one name into the other.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, letter) in from.iter().enumerate() {
        let (mut diagonal, mut left) = (done, done + 1);
        for (above, other) in row.iter_mut().skip(1).zip(to) {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = *above;
            left = replaced.min(*above + 1).min(left + 1);
            *above = left;
        }
    }
    if to.is_empty() {
        from.len()
    } else {
        row.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_least_number_of_edits() {
        for (from, to, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                distance(from.as_bytes(), to.as_bytes()),
                edits,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn only_a_name_that_is_near_is_suggested() {
        let known = || ["listen", "admin_listen"].into_iter();
        assert_eq!(nearest("lisen", known()), Some("listen"));
        assert_eq!(nearest("admin-listen", known()), Some("admin_listen"));
        assert_eq!(nearest("colour", known()), None);
        assert_eq!(nearest(&"l".repeat(1_000_000), known()), None);
    }
}
