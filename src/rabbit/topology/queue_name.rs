//! Names of the organizations' queues.

use handoffd_engine::event::OrganizationId;
use uuid::Uuid;

/// Longest id used unchanged. With the longest prefix that the configuration allows (200 bytes) a name stays below
/// AMQP's 255 bytes.
const LONGEST: usize = 40;
/// Number of characters kept of any other id.
const READABLE: usize = 20;
/// Separator between these characters and the digest. No id that is used unchanged contains it, so no two organizations
/// share a queue.
const MARK: char = '~';

/// Returns the name of an organization's queue: with the id if it is short and plain, otherwise with its first
/// characters, made plain, and a digest.
pub(in crate::rabbit) fn name(prefix: &str, organization: &OrganizationId) -> String {
    let id = organization.as_str();
    if !id.is_empty() && id.len() <= LONGEST && id.chars().all(is_plain) {
        return format!("{prefix}.{id}");
    }
    let readable: String = id.chars().take(READABLE).map(|char| if is_plain(char) { char } else { '-' }).collect();
    // 64 bits of SHA-1: the operator chooses the ids, so nobody constructs a collision.
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).as_u64_pair().0;
    format!("{prefix}.{readable}{MARK}{digest:016x}")
}

fn is_plain(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(id: &str) -> String {
        name("handoffd.organization", &OrganizationId::from(id))
    }

    #[test]
    fn a_plain_id_is_used_unchanged() {
        assert_eq!(of("org_acme"), "handoffd.organization.org_acme");
        assert_eq!(of(&"x".repeat(40)), format!("handoffd.organization.{}", "x".repeat(40)));
    }

    #[test]
    fn any_other_id_has_a_digest() {
        assert_eq!(of("Größe & Söhne\n"), "handoffd.organization.Gr--e---S-hne-~5c56f5c233625a9a");
        let (long, longer) = (of(&"x".repeat(41)), of(&"x".repeat(42)));
        assert!(long.starts_with("handoffd.organization.xxxxxxxxxxxxxxxxxxxx~"), "{long}");
        assert_ne!(long, longer);
        assert_ne!(of(""), of(" "));
        assert_ne!(of("a~0123456789abcdef"), of("a"));
    }

    proptest! {
        #[test]
        fn names_are_short_plain_and_unique(one in ".{0,300}", other in ".{0,300}") {
            let prefix = "p".repeat(200);
            let [first, second] = [&one, &other].map(|id| name(&prefix, &OrganizationId::from(id.as_str())));
            prop_assert!(first.len() <= 255 && first.chars().all(|char| is_plain(char) || char == MARK));
            prop_assert_eq!(one == other, first == second);
        }
    }
}
