//! Bare loop over the same libraries, as a baseline: no store, no outcome, no retry, no order.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::CONCURRENCY;

/// Runs `bare AMQP_URL QUEUE SIMULATOR_URL`.
pub fn main(arguments: &[String]) {
    let [amqp_url, queue, base] = arguments else { panic!("bare AMQP_URL QUEUE SIMULATOR_URL") };
    let runtime = handoffd::app::runtime().expect("the worker's kind of runtime");
    runtime.block_on(run(amqp_url, queue, base));
}

async fn run(amqp_url: &str, queue: &str, base: &str) {
    let dynamics = Arc::new(Dynamics::connect(base).await);
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(256, BasicQosOptions::default()).await.expect("a prefetch");
    let consumer =
        channel.basic_consume(queue.into(), "bare".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut deliveries = consumer.await.expect("a consumer");
    while let Some(delivery) = deliveries.next().await {
        let dynamics = dynamics.clone();
        tokio::spawn(async move {
            let delivery = delivery.expect("a delivery");
            dynamics.carry(&delivery.data).await;
            delivery.ack(BasicAckOptions::default()).await.expect("an ack");
        });
    }
}

/// Client of the simulator, with the worker's limit of concurrent requests.
pub struct Dynamics {
    client: Client,
    base: String,
    token: String,
    places: Semaphore,
}

impl Dynamics {
    pub async fn connect(base: &str) -> Self {
        let client = Client::builder().tcp_nodelay(true).build().expect("a client");
        let token = token(&client, base).await;
        Self { client, base: base.to_owned(), token, places: Semaphore::new(CONCURRENCY) }
    }

    /// Sends the same three requests as a handoff of a new customer, and returns the incident's id.
    pub async fn carry(&self, body: &[u8]) -> Uuid {
        let event: Value = serde_json::from_slice(body).expect("an event");
        let data = &event["data"];
        let email = data["customer"]["email"].as_str().expect("an email");
        let contact = Uuid::new_v5(&Uuid::NAMESPACE_OID, email.as_bytes());
        let found = format!(
            "contacts?$select=contactid&$filter=emailaddress1%20eq%20'{email}'&$orderby=createdon%20asc&$top=1"
        );
        self.send(self.client.get(self.url(&found))).await;
        let new =
            json!({ "contactid": contact, "firstname": "Customer", "lastname": "Number", "emailaddress1": email });
        self.send(self.client.post(self.url("contacts")).body(new.to_string())).await;
        let id = Uuid::new_v5(&contact, event["event_id"].as_str().expect("an id").as_bytes());
        let incident = json!({
            "incidentid": id,
            "title": "Billing - Customer",
            "description": data["transcript"].to_string(),
            "prioritycode": 2,
            "customerid_contact@odata.bind": format!("/contacts({contact})"),
        });
        let request =
            self.client.post(self.url("incidents?$select=incidentid,ticketnumber")).body(incident.to_string());
        self.send(request.header("Prefer", "return=representation")).await;
        id
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/data/v9.2/{path}", self.base)
    }

    async fn send(&self, request: RequestBuilder) {
        let _place = self.places.acquire().await.expect("a place");
        let request = request
            .header("Authorization", &self.token)
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .header("OData-Version", "4.0")
            .header("OData-MaxVersion", "4.0");
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.bytes().await.expect("a body");
    }
}

async fn token(client: &Client, base: &str) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id=22222222-2222-2222-2222-222222222222&client_secret=simulator-secret&scope={base}/.default"
    );
    let url = format!("{base}/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token");
    let request = client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
    let answer = request.send().await.expect("a token").bytes().await.expect("a token");
    let granted: Value = serde_json::from_slice(&answer).expect("a token as JSON");
    format!("Bearer {}", granted["access_token"].as_str().expect("a token"))
}
