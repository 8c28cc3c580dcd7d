//! Properties: any answer to any step yields a receipt that the workflow accepts, or a fault.

use handoffd_engine::workflow::ContactFailure;
use handoffd_engine::workflow::samples::receipts;
use proptest::prelude::*;

use super::*;

fn any_step() -> impl Strategy<Value = Step> {
    let customers =
        vec![LinkedCustomer::Nobody, LinkedCustomer::Contact(contact(1)), LinkedCustomer::Placeholder(contact(3))];
    let queues = vec![QueueBinding::NoQueue, QueueBinding::Bound, QueueBinding::Unbound];
    let post = (prop::sample::select(customers), prop::sample::select(queues));
    prop_oneof![
        prop::sample::select(steps()),
        post.prop_map(|(customer, queue)| Step::PostIncident { customer, queue }),
    ]
}

fn any_body() -> impl Strategy<Value = String> {
    let code = prop::sample::select(vec![
        "",
        "0x0",
        "0x80040217",
        "0x80040237",
        "0x80040220",
        "0x80044410",
        "0x80044411",
        "0x80048d19",
        "0x80040333",
        "0x8006088a",
        "0x80072322",
        "0x80040526",
        "0x80040265",
        "nonsense",
    ]);
    let message = prop_oneof![
        Just("An undeclared property 'queueid' which only has property annotations".to_owned()),
        Just("use the CloseIncidentRequest message instead".to_owned()),
        Just("A record with matching key values already exists".to_owned()),
        Just(format!("contact With Id = {} Does Not Exist", contact(1))),
        "\\PC{0,80}",
    ];
    let refusal = (code, message)
        .prop_map(|(code, message)| json!({ "error": { "code": code, "message": message } }).to_string());
    let row = Just(format!(
        r#"{{"incidentid":"{}","contactid":"{}","emailaddress1":"x","value":[]}}"#,
        incident(1),
        contact(1),
    ));
    prop_oneof![refusal, row, Just(String::new()), Just("<html>".to_owned()), "\\PC{0,200}"]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let statuses = prop::sample::select(vec![200u16, 201, 204, 400, 401, 403, 404, 408, 409, 412, 429, 500, 503]);
    let retry_after =
        prop::option::of(prop_oneof!["[0-9]{1,12}", "\\PC{0,20}", Just("Sun, 22 Nov 2026 10:15:00 GMT".to_owned())]);
    (prop_oneof![statuses, any::<u16>()], retry_after, any_body())
        .prop_map(|(status, retry_after, body)| Answer { retry_after, ..answer(status, &body) })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), any::<bool>()).prop_map(|(strict, bind)| {
        settings_with(|it| {
            it.default_queue_id = Some(QUEUE);
            if strict {
                it.contact_failure = ContactFailure::DeadLetter;
            }
            if bind {
                (it.queue_assignment, it.close_with) = (QueueAssignment::Bind, CloseWith::Patch);
            }
        })
    })
}

/// Returns the kind of a receipt without its content.
fn kind(receipt: &Receipt) -> std::mem::Discriminant<Receipt> {
    std::mem::discriminant(receipt)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// `workflow::samples::receipts` lists the receipts that the workflow's own tests consider possible.
    #[test]
    fn any_answer_gives_a_receipt_that_the_step_can_give_or_a_fault(
        step in any_step(), settings in any_settings(), answer in any_answer(),
    ) {
        let possible = receipts(&step, &settings, Fit::Whole);
        for reading in [read_with(&step, &settings, &answer), back(&step, &settings, &answer)] {
            match reading {
                ReplyMeaning::Receipt(receipt) => {
                    prop_assert!(possible.iter().any(|it| kind(it) == kind(&receipt)), "{step:?} gave {receipt:?}");
                }
                ReplyMeaning::Fault(fault) => {
                    prop_assert_eq!(fault.step, step.name());
                    prop_assert!([answer.status, duplicate().status].map(Some).contains(&fault.status), "{fault:?}");
                    prop_assert!(!fault.message.is_empty());
                    prop_assert!(fault.remedy != Remedy::GiveUp || !fault.advice.is_empty());
                    prop_assert!(fault.remedy != Remedy::Hold || !fault.advice.is_empty());
                }
                ReplyMeaning::LookBack(request) => prop_assert_eq!(request.body, None),
            }
        }
    }

    /// Only 200, 201 and 204 confirm a request; an already existing result is reported by an error.
    #[test]
    fn an_unforeseen_status_is_retried(step in any_step(), status in prop::sample::select(vec![202u16, 203, 299, 302, 304, 418, 451, 599])) {
        prop_assert_eq!(remedy(&read_with(&step, &settings(), &answer(status, ""))), Some(Remedy::Retry));
    }
}
