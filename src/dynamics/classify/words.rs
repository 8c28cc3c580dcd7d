//! Codes of plug-ins, and advice that several rows or callers share.

/// Code for the refusal by a plug-in, with the advice.
pub(super) const PLUGIN_REFUSED: &[&str] = &["0x80040265"];
pub(super) const REFUSED_BY_PLUGIN: &str =
    "A plug-in of the environment refused the record. Check the plug-in's trace log, then replay.";

/// Codes for the crash of a plug-in, with the advice.
pub(super) const PLUGIN_CRASHED: &[&str] = &["0x8004418d", "0x80040224"];
pub(super) const CRASHED: &str = "A plug-in of the environment crashed. Check the plug-in's trace log.";

/// Advice for a row that a user has no access to.
pub(super) const ROW: &str = "The application user or the owner has no access to a row that the record names. Widen its \
                              role's access level to that business unit or correct the organization's file, then replay.";

/// Advice for a refused token request without an error of Entra ID.
pub(super) const NOT_ENTRA: &str = "The token request is refused, but not in the words of Entra ID. Check dynamics.authority and tenant_id, and whether a \
     proxy in between answers with a page of its own.";

/// Advice for any other answer to a token request.
pub(super) const PAGE_FOR_TOKEN: &str =
    "If this persists, check whether dynamics.authority or a proxy in between answers with a page of its own.";

/// Advice for an environment without a table for live work items.
pub(super) const NO_CHATS: &str = "The environment has no such table for live work items. Install Omnichannel, or set \
                                   dynamics.live_work_item_entity_set to the name of its entity set.";

/// Advice for an environment without a table for cases.
pub(super) const NO_CASES: &str =
    "The environment has no such table. Install Dynamics 365 Customer Service in it, or correct environment_url.";
