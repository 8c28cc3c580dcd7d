//! Check of the credential's end.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;

const CHECK: &str = "credential";
/// Time before its end at which a credential is warned of, as by the alert `HandoffdCredentialExpires`.
const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Judges the end of the credential in this key of the organization's file, if it is known.
pub(super) fn judged(key: &str, expires_at: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(end) = expires_at else {
        let message = match key {
            "federated_token" => "federated_token is renewed by its platform and read anew for each token",
            _ => {
                "the end of client_secret is unknown: Entra ID does not show it to the application; look it up in App \
                 registrations → Certificates & secrets"
            }
        };
        return Finding::skipped(CHECK, message).of_credentials();
    };
    let left = end.duration_since(now);
    let message = format!("{key} ends on {} (in {} days)", end.strftime("%Y-%m-%d"), left.as_hours() / 24);
    let finding = if left > WARNED_BEFORE {
        Finding::passed(CHECK, message)
    } else {
        Finding::warned(
            CHECK,
            message,
            "Create a new certificate, upload it in Entra ID → App registrations → Certificates & secrets → \
             Certificates, then put it with its key where client_certificate is read from. Until then the old one works.",
        )
    };
    finding.of_credentials()
}

#[cfg(test)]
mod tests {
    use super::super::finding::{CheckResult, SetupHalf};
    use super::*;

    #[test]
    fn a_known_end_is_shown_and_warned_of_two_weeks_before() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let end = |text: &str| Some(text.parse().unwrap());
        for (key, expires_at, result, says) in [
            ("client_certificate", end("2026-12-13T12:00:01Z"), CheckResult::Passed, "ends on 2026-12-13 (in 14 days)"),
            ("client_certificate", end("2026-12-13T12:00:00Z"), CheckResult::Warned, "ends on 2026-12-13 (in 14 days)"),
            ("client_secret", None, CheckResult::Skipped, "is unknown"),
            ("federated_token", None, CheckResult::Skipped, "read anew"),
        ] {
            let finding = judged(key, expires_at, now);
            assert_eq!((finding.result, finding.half), (result, SetupHalf::Credentials), "{finding:?}");
            assert!(finding.message.contains(key), "{finding:?}");
            assert!(finding.message.contains(says), "{finding:?}");
            assert_eq!(finding.advice.is_empty(), result != CheckResult::Warned, "{finding:?}");
        }
    }
}
