//! Addresses, and the rules for those that receive secrets.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::broker_url::{BrokerUrl, check_option};
use super::value::{self, Read};

/// Addresses that secrets may be sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostTrust {
    /// `https` and a host of Microsoft's, since the client secret and customer data are sent there.
    Microsoft,
    /// Any address: `dynamics.allow_insecure`, for the simulator and tests.
    Anyone,
}

/// Domain suffixes of Dynamics environments: worldwide (`crm`, `crm2`, …), US government (GCC High, DoD), China, and
/// the former German cloud.
const ENVIRONMENTS: [&str; 5] =
    [".dynamics.com", ".microsoftdynamics.us", ".appsplatform.us", ".dynamics.cn", ".microsoftdynamics.de"];

/// Token hosts of Entra ID: worldwide (and its older name), US government, China (two names), and the former German
/// cloud.
const AUTHORITIES: [&str; 6] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoftonline.de",
];

/// Reads `environment_url` without its trailing slash.
pub(crate) fn environment(text: &str, trust: HostTrust) -> Read<String> {
    let ours = |host: &str| ENVIRONMENTS.iter().any(|ending| host.len() > ending.len() && host.ends_with(ending));
    let expected = "the environment's address alone, such as https://acme.crm.dynamics.com";
    address(text, trust, false, [expected, "a host such as acme.crm.dynamics.com"], ours)
}

/// Reads `dynamics.authority` without its trailing slash.
pub(crate) fn authority(text: &str, trust: HostTrust) -> Read<String> {
    let ours = |host: &str| AUTHORITIES.contains(&host);
    let expected = "the token service's address, such as https://login.microsoftonline.com";
    // A substitute may have a path; Microsoft's has none, since the worker adds the tenant itself.
    let may_have_path = trust == HostTrust::Anyone;
    address(text, trust, may_have_path, [expected, "login.microsoftonline.com or that of a national cloud"], ours)
}

/// Reads an address that secrets are sent to, with the expected address, the expected host and the hosts of Microsoft's.
fn address(
    text: &str,
    trust: HostTrust,
    may_have_path: bool,
    [expected, expected_host]: [&str; 2],
    ours: impl Fn(&str) -> bool,
) -> Read<String> {
    let url = Url::parse(text).map_err(|problem| format!("{expected} ({problem})"))?;
    let anyone = trust == HostTrust::Anyone;
    if url.scheme() != "https" && !(anyone && url.scheme() == "http") {
        return Err(format!("https:// (http:// only with dynamics.allow_insecure = true); {expected}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{expected}, without a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{expected}, without a query or fragment"));
    }
    if url.path() != "/" && !may_have_path {
        return Err(format!("{expected}, without the path {}", url.path()));
    }
    let is_ours = matches!(url.host(), Some(Host::Domain(host)) if ours(host)) && url.port().is_none();
    if !is_ours && !anyone {
        return Err(format!("{expected_host} (other hosts and ports only with dynamics.allow_insecure = true)"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Reads `broker.url`: one URL, or several separated by commas. A comma not followed by `amqp://` or `amqps://` belongs
/// to its URL, for example to a password.
pub(crate) fn brokers(text: &str) -> Read<Vec<BrokerUrl>> {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        match urls.last_mut() {
            Some(before) if !begins_url(part) => {
                before.push(',');
                before.push_str(part);
            }
            _ => urls.push(part.to_owned()),
        }
    }
    urls.iter().map(|url| broker(url.trim())).collect()
}

fn begins_url(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("amqp://") || text.starts_with("amqps://")
}

/// Reads one URL. If user, password and host are ambiguous, no part of it is quoted, since any part may be the
/// password.
fn broker(text: &str) -> Read<BrokerUrl> {
    let advice = "percent-encode /, #, ?, @ and % in user, password and virtual host (%2F, %23, %3F, %40, %25)";
    let expected =
        |advice: &str| Err(format!("a URL such as amqp://user:password@host:5672/%2f, or with amqps://; {advice}"));
    let Ok(url) = Url::parse(text) else { return expected(advice) };
    let host = url.host_str().unwrap_or_default();
    let user_and_password = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    let unescaped = |(written, _): (&str, &str)| written.contains(['/', '#', '?', '@']) || has_lone_percent(written);
    match url.scheme() {
        "amqp" | "amqps" if host.is_empty() => expected("add the host"),
        // A URL of another scheme after a comma, or a trailing comma.
        "amqp" | "amqps" if host.contains(',') => expected("begin each of several URLs with amqp:// or amqps://"),
        "amqp" | "amqps"
            if !user_and_password.is_some_and(unescaped)
                && !has_lone_percent(url.path())
                && percent_decode_str(text).decode_utf8().is_ok()
                && url.fragment().is_none() =>
        {
            url.query_pairs().try_for_each(|(name, value)| check_option(&name, &value))?;
            Ok(BrokerUrl::new(text.to_owned()))
        }
        _ => expected(advice),
    }
}

/// Reports whether a `%` begins no escape, as in a text that was not percent-encoded.
fn has_lone_percent(text: &str) -> bool {
    let escape = |rest: &str| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    text.split('%').skip(1).any(|rest| !escape(rest))
}

/// Reads `tracing.otlp_endpoint`.
pub(crate) fn endpoint(value: &toml::Value) -> Read<Url> {
    match Url::parse(value::text(value)?) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("a URL without user and password, because the URL is shown; set OTEL_EXPORTER_OTLP_HEADERS for them"
                .to_owned())
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("an http:// or https:// URL, or \"\" for no export".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker_url::masked;

    #[test]
    fn a_password_that_is_not_percent_encoded_is_refused_and_not_shown() {
        let written = [
            "pa/hidden",
            "1/hidden",
            "pa#hidden",
            "1#hidden",
            "pa?hidden",
            "1?hidden",
            "p@hidden",
            "100%hidden",
            "hidden%",
        ];
        for password in written {
            for url in [format!("amqp://u:{password}@host:5672/%2f"), format!("amqps://{password}:x@[::1]/%2f")] {
                let error = brokers(&url).unwrap_err();
                assert!(
                    error.contains("percent-encode /, #, ?, @ and %") && !error.contains("hidden"),
                    "{url}: {error}"
                );
            }
            assert!(!masked(&format!("amqp://u:{password}@host/")).contains("hidden"), "{password}");
        }
        let encoded = "amqp://us%40er:pa%2F%23%3F%40%25!$&'()*+,;=:@host:5672/%2f";
        assert_eq!(brokers(encoded).unwrap()[0].expose(), encoded);
        assert_eq!(masked("ann@example.com"), "ann@example.com");
        assert!(brokers("hidden:x@host").unwrap_err().find("hidden").is_none());
        assert!(brokers("amqp://u:p@host/100%").is_err());
    }

    #[test]
    fn options_that_the_client_refuses_or_ignores_are_refused() {
        let read = |option: &str| brokers(&format!("amqp://user:hidden@h/%2f?{option}"));
        for option in
            ["heartbeat=0&frame_max=8192", "channel_max=9&auth_mechanism=EXTERNAL", "connection_timeout=5", ""]
        {
            assert!(read(option).is_ok(), "{option}");
        }
        for (option, expected) in [
            ("heartbeat=abc", "the URL's option heartbeat to be a whole number of seconds from 0 to 65535"),
            ("heartbeat=65536", "option heartbeat"),
            ("heartbeat", "option heartbeat"),
            ("frame_max=-1", "option frame_max to be a whole number of bytes"),
            ("channel_max=1.5", "option channel_max"),
            ("connection_timeout=5s", "option connection_timeout to be a whole number of milliseconds"),
            ("heartbeat=5&auth_mechanism=gssapi", "option auth_mechanism to be plain, amqplain, external"),
            ("heartbeet=5", "without the option \"heartbeet\"; known are heartbeat, frame_max"),
            ("heartbeet=5", "; did you mean `heartbeat`?"),
            ("heartbeat=5#x", "percent-encode /, #"),
        ] {
            let error = read(option).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hidden"), "{option}: {error}");
        }
        assert!(brokers("amqp://h/%ff").is_err(), "the client expects UTF-8");
    }

    #[test]
    fn an_ipv6_host_stands_in_brackets() {
        for url in ["amqp://user:pw@[::1]:5672/%2f", "amqps://[2001:db8::7]", "amqp://u:p@[::1]/,amqp://u:p@[::2]:1/"] {
            assert!(brokers(url).is_ok(), "{url}");
        }
        assert!(brokers("amqp://user:hidden@::1:5672/%2f").unwrap_err().find("hidden").is_none());
        assert_eq!(masked("amqp://user:pw@[::1]:5672/%2f"), "amqp://user:***@[::1]:5672/%2f");
    }
}
