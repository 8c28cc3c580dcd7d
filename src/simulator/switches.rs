//! Switches of an environment that have a name for each position.

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
        /// They are.
        Valid,
        /// AADSTS7000222.
        Expired,
    }
}
switch! {
    /// State of the application registration.
    Application {
        /// It works.
        Enabled,
        /// AADSTS7000112.
        Disabled,
        /// AADSTS700016.
        Unknown,
    }
}
switch! {
    /// State of the application user in Dataverse.
    ApplicationUser {
        /// It works.
        Present,
        /// 401, although the token is fine.
        Missing,
        /// 403 `0x80072560`.
        NotAMember,
        /// 403 `0x80040225`.
        Disabled,
        /// 403 `0x80042f09`.
        NoRoles,
    }
}
switch! {
    /// State of the environment.
    Availability {
        /// It answers.
        Enabled,
        /// 403 `0x8004a104`.
        Disabled,
    }
}
switch! {
    /// Whether an incident needs a customer.
    Customer {
        /// It does not.
        Optional,
        /// 400 `0x80044410` without one.
        Required,
    }
}
switch! {
    /// Whether an incident is resolved by PATCH.
    Resolving {
        /// It is.
        Accepted,
        /// 400, naming `CloseIncidentRequest`.
        Refused,
    }
}
switch! {
    /// How a create with a key that exists is refused.
    DuplicateKey {
        /// 412 with `0x80040237`, as in production.
        PreconditionFailed,
        /// 412 with an empty code, as in the documentation's sample.
        EmptyCode,
        /// 409 with `0x80040237`.
        Conflict,
        /// 400 with an empty code: only the message tells.
        MessageOnly,
    }
}
switch! {
    /// Whether the OData headers are insisted on.
    Headers {
        /// `Accept`, `OData-Version` and `OData-MaxVersion` must be there.
        Strict,
        /// They may be left out, as Dataverse allows.
        Lenient,
    }
}
switch! {
    /// State of the environment's IP firewall.
    Firewall {
        /// It lets every address in.
        Open,
        /// 403 `0x80095ffe` for every request to the Web API.
        Blocking,
    }
}
