//! Switches with named values.

use serde::{Deserialize, Serialize};

macro_rules! switch {
    ($(#[$doc:meta])* $name:ident { $(#[$first_doc:meta])* $first:ident, $($(#[$other_doc:meta])* $other:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$other_doc])* $other),+
        }
    };
}

switch! {
    /// Validity of the client secrets.
    Secret {
        /// The secrets are valid.
        Valid,
        /// The secrets are expired: AADSTS7000222.
        Expired,
    }
}
switch! {
    /// State of the application registration.
    Application {
        /// The application works.
        Enabled,
        /// The application is disabled: AADSTS7000112.
        Disabled,
        /// The application does not exist: AADSTS700016.
        Unknown,
    }
}
switch! {
    /// State of the application user in Dataverse.
    ApplicationUser {
        /// The user works.
        Present,
        /// The user is missing: 401 with a valid token.
        Missing,
        /// The user is not a member of the organization: 403 `0x80072560`.
        NotAMember,
        /// The user is disabled: 403 `0x80040225`.
        Disabled,
        /// The user has no roles: 403 `0x80042f09`.
        NoRoles,
    }
}
switch! {
    /// State of the environment.
    Availability {
        /// The environment answers.
        Enabled,
        /// The environment is disabled: 403 `0x8004a104`.
        Disabled,
    }
}
switch! {
    /// Requirement that an incident have a customer.
    Customer {
        /// No customer is required.
        Optional,
        /// An incident without a customer gets 400 `0x80044410`.
        Required,
    }
}
switch! {
    /// Acceptance of PATCH to resolve an incident.
    Resolving {
        /// PATCH resolves an incident.
        Accepted,
        /// PATCH gets 400, naming `CloseIncidentRequest`.
        Refused,
    }
}
switch! {
    /// Error for creating a row with a key that already exists.
    DuplicateKey {
        /// 412 with `0x80040237`, as in production.
        PreconditionFailed,
        /// 412 with an empty code, as in the documentation's sample.
        EmptyCode,
        /// 409 with `0x80040237`.
        Conflict,
        /// 400 with an empty code; only the message identifies the error.
        MessageOnly,
    }
}
switch! {
    /// Requirement for the OData headers.
    Headers {
        /// `Accept`, `OData-Version` and `OData-MaxVersion` are required.
        Strict,
        /// The headers are optional, as in Dataverse.
        Lenient,
    }
}
switch! {
    /// State of the environment's IP firewall.
    Firewall {
        /// Every address is allowed.
        Open,
        /// Every request to the Web API gets 403 `0x80095ffe`.
        Blocking,
    }
}
