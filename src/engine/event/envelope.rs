//! Parts of a message outside its body.

/// Parts of an AMQP message that decoding uses.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Envelope {
    /// AMQP `content-type`.
    pub content_type: Option<String>,
    /// AMQP `message-id`, which becomes the event's id if the body has none.
    pub message_id: Option<String>,
    /// Application headers whose values are text or numbers, as text.
    pub headers: Vec<(String, String)>,
}

impl Envelope {
    /// Returns the value of a header, by its exact name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
