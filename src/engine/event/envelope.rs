//! What travels beside an event's body.

/// The parts of an AMQP message that decoding looks at.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Envelope {
    /// AMQP `content-type`.
    pub content_type: Option<String>,
    /// AMQP `message-id`: the event's id when its body names none.
    pub message_id: Option<String>,
    /// Application headers whose values are text or numbers, as text.
    pub headers: Vec<(String, String)>,
}

impl Envelope {
    /// The value of a header, by its exact name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
