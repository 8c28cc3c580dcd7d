//! Splitting of a webhook's array of several conversations into separate messages.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::decoded::Piece;
use super::field::{self, LONGEST_ID};
use super::frame::Frame;
use super::ids::OrganizationId;
use super::problem::DecodeProblem;
use super::webhook_ids::{NAME, digest, named};
use super::wire::ClosedData;

/// Turns every item into a piece. An item that is not a conversation becomes a piece too, and ends as its own dead letter.
pub(super) fn of(
    frame: &Frame<'_>,
    organization: &OrganizationId,
    items: &[&RawValue],
) -> Result<Vec<Piece>, DecodeProblem> {
    let base = frame.event_id()?;
    // The worker's own notation: ten thousand copies of the publisher's text could be gigabytes.
    let timestamp = frame.timestamp.instant()?.map(|at| at.to_string());
    let mut taken = HashSet::new();
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let mut message_id = piece_id(frame, base.as_deref(), organization, index, item);
            while !taken.insert(message_id.clone()) {
                message_id = fit(format!("{message_id}#{index}"));
            }
            let single = Single {
                event: NAME,
                organization_id: organization.as_str(),
                timestamp: timestamp.clone(),
                data: if item.get().starts_with('[') {
                    OneConversation::Nested([item])
                } else {
                    OneConversation::Item(item)
                },
            };
            let body = serde_json::to_vec(&single)
                .map_err(|error| DecodeProblem::at(format!("data[{index}]"), error.to_string()))?;
            Ok(Piece { message_id, body: body.into() })
        })
        .collect()
}

/// Message that holds exactly one conversation.
#[derive(Serialize)]
struct Single<'a> {
    event: &'static str,
    organization_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    data: OneConversation<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OneConversation<'a> {
    Item(&'a RawValue),
    /// Array in place of a conversation. It stays wrapped, because a bare array would be split again.
    Nested([&'a RawValue; 1]),
}

/// Returns `<id of the array's message>:<conversation>`, with the item's index if the item has no usable conversation id.
fn piece_id(
    frame: &Frame<'_>,
    base: Option<&str>,
    organization: &OrganizationId,
    index: usize,
    item: &RawValue,
) -> String {
    let closed = field::object::<ClosedData<'_>>(item.get(), "").ok().flatten();
    let conversation = closed.and_then(|closed| {
        let id = field::id(closed.conversation_id.0, "").ok()??;
        let own = closed.timestamp.0.and_then(|text| field::time(&text, "").ok());
        Some((id, own.or_else(|| frame.timestamp.instant().ok().flatten())))
    });
    match (base, conversation) {
        (Some(base), Some((id, _))) => fit(format!("{base}:{id}")),
        (Some(base), None) => fit(format!("{base}:#{index}")),
        (None, Some((id, timestamp))) => digest(organization.as_str(), &id, timestamp),
        (None, None) => {
            let place = format!("#{index}");
            named(&[organization.as_str(), NAME, &place, item.get()])
        }
    }
}

/// Shortens an id to AMQP's limit for a message id, 255 bytes.
fn fit(id: String) -> String {
    if id.len() > LONGEST_ID { named(&[&id]) } else { id }
}
