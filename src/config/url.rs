//! Addresses, and which of them a secret may be sent to.

use url::{Host, Position, Url};

use super::model::{BrokerUrl, Dynamics};

/// Whether an address must be Microsoft's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// `https` and a host of Microsoft's: the client secret and customers' data go there.
    Microsoft,
    /// Any: `dynamics.allow_insecure`, for the simulator and tests.
    Anyone,
}

impl Dynamics {
    /// What `allow_insecure` means for addresses.
    pub fn trust(&self) -> Trust {
        if self.allow_insecure { Trust::Anyone } else { Trust::Microsoft }
    }
}

/// Endings of the names of Dynamics environments: worldwide (`crm`, `crm2`, …), US government (GCC High,
/// DoD), China, and Germany as it was.
const ENVIRONMENTS: [&str; 5] =
    [".dynamics.com", ".microsoftdynamics.us", ".appsplatform.us", ".dynamics.cn", ".microsoftdynamics.de"];

/// Entra ID's token hosts: worldwide (and its older name), US government, China (two names), Germany as it was.
const AUTHORITIES: [&str; 6] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoftonline.de",
];

/// `environment_url`, without its trailing slash.
pub fn environment(text: &str, trust: Trust) -> Result<String, String> {
    let expected = "the environment's address alone, such as https://acme.crm.dynamics.com";
    let url = origin(text, trust, expected)?;
    if url.path() != "/" {
        return Err(format!("{expected}, without the path {}", url.path()));
    }
    let ours = |host: &str| ENVIRONMENTS.iter().any(|ending| host.len() > ending.len() && host.ends_with(ending));
    trusted(&url, trust, ours, "a host such as acme.crm.dynamics.com")?;
    Ok(text_of(&url))
}

/// `dynamics.authority`, without its trailing slash.
pub fn authority(text: &str, trust: Trust) -> Result<String, String> {
    let expected = "the token service's address, such as https://login.microsoftonline.com";
    let url = origin(text, trust, expected)?;
    // A stand-in may live under a path; Microsoft's does not: the worker adds the tenant itself.
    if url.path() != "/" && trust == Trust::Microsoft {
        return Err(format!("{expected}, without the path {}", url.path()));
    }
    let ours = |host: &str| AUTHORITIES.contains(&host);
    trusted(&url, trust, ours, "login.microsoftonline.com or that of a national cloud")?;
    Ok(text_of(&url))
}

/// `broker.url`: one URL, or several that are separated by commas. A comma inside a URL (in a password, say) is one that
/// no `amqp://` follows.
pub fn brokers(text: &str) -> Result<Vec<BrokerUrl>, String> {
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

fn broker(text: &str) -> Result<BrokerUrl, String> {
    let expected = "a URL such as amqp://user:password@host:5672/%2f (or amqps://)";
    let advice = "percent-encode /, #, ? and @ in user, password and virtual host";
    let url = Url::parse(text).map_err(|problem| format!("{expected}: {problem}; {advice}"))?;
    if !matches!(url.scheme(), "amqp" | "amqps") {
        return Err(format!("{expected}, not {}://", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{expected}: it has no host"));
    }
    // A whole URL of another kind after a comma, or a comma at the end.
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(format!("{expected}; of several each begins with amqp:// or amqps://"));
    }
    if url[Position::AfterPort..].contains('@') {
        return Err(format!("{expected}: {advice}"));
    }
    Ok(BrokerUrl::new(text.to_owned()))
}

/// `tracing.otlp_endpoint`
pub fn endpoint(text: &str) -> Result<Option<Url>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("a URL without user and password, which would be shown: OTEL_EXPORTER_OTLP_HEADERS is for those"
                .to_owned())
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
        _ => Err("an http:// or https:// URL, or \"\" for no export".to_owned()),
    }
}

/// A URL with `***` in place of its password; what is no URL comes back as it is.
pub fn masked(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("***")) {
            Ok(()) => url.into(),
            Err(()) => "***".to_owned(),
        },
        _ => text.to_owned(),
    }
}

fn origin(text: &str, trust: Trust, expected: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|problem| format!("{expected}: {problem}"))?;
    let schemes: &[&str] = match trust {
        Trust::Microsoft => &["https"],
        Trust::Anyone => &["https", "http"],
    };
    if !schemes.contains(&url.scheme()) {
        let insecure = "https:// (http:// only with dynamics.allow_insecure = true)";
        return Err(format!("{insecure}, {expected}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{expected}, without a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{expected}, without a query or fragment"));
    }
    Ok(url)
}

fn trusted(url: &Url, trust: Trust, ours: impl Fn(&str) -> bool, expected: &str) -> Result<(), String> {
    if trust == Trust::Anyone {
        return Ok(());
    }
    match url.host() {
        Some(Host::Domain(host)) if ours(host) && url.port().is_none() => Ok(()),
        _ => Err(format!("{expected} (other hosts and ports only with dynamics.allow_insecure = true)")),
    }
}

fn text_of(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
