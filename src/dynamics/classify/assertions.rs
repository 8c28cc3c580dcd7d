//! Advice for refused assertions: those of a certificate and those of another issuer.

/// Signature or certificate that Entra ID does not accept.
pub(super) const CERTIFICATE: &str = "The certificate is not one of the application's, or has expired. Upload the certificate of client_certificate in \
     Entra ID → App registrations → Certificates & secrets → Certificates, or set client_certificate to one that is \
     listed there, with its key.";

/// Assertion that is not valid yet or not any more.
pub(super) const TIMES: &str = "The assertion is not valid now. Synchronize the clock of the worker's machine; with federated_token, check that the \
     platform renews the token in its file.";

/// Assertion for another application, directory or address.
pub(super) const ELSEWHERE: &str = "The assertion was made for another application or directory. Check client_id, tenant_id, dynamics.authority and \
     proxies in between.";

/// Token of an issuer that the application does not trust.
pub(super) const FEDERATED: &str = "The application does not trust the token of federated_token. Add a federated credential with the token's issuer, \
     subject and audience, capitals included, in Entra ID → App registrations → Certificates & secrets → Federated \
     credentials.";
