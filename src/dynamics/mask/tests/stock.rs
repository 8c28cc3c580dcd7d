//! Messages about a resolution, which holds none of its customer's texts.

use super::messages::MESSAGES;
use super::*;

fn closing(message: &str) -> String {
    mask(message, &resolution(|_| {}))
}

#[test]
fn only_words_of_dynamics_stay_where_the_event_holds_no_texts() {
    for (message, expected) in [
        ("The case of Annabella Zimmerquill can not be closed", "The case of *** can not be closed"),
        ("The case of Ann-Lise O'Zimmer can not be closed", "The case of *** can not be closed"),
        ("The case of Will Case can not be closed", "The case of *** can not be closed"),
        ("The case of ANNABELLA, May can not be closed", "The case of ***, *** can not be closed"),
        ("The case of 'Annabella Zimmerquill' can not be closed", "The case of '***' can not be closed"),
        ("The case of annabella@zimmer.example can not be closed", "The case of *** can not be closed"),
        (
            "The case of anna_zimmer (AnnaZimmer, annaCase) can not be closed",
            "The case of *** (***, ***) can not be closed",
        ),
        ("The case of +1 415 555 0187 can not be closed", "The case of *** can not be closed"),
        ("Summary was: I was charged twice by Zimmwort Ltd", "*** was: *** was *** by ***"),
        ("王芳的案件无法关闭", "***"),
        ("The case of Jo\u{308}rg \\u0416\\u0443k can not be closed", "The case of *** can not be closed"),
        ("cr5a1_zone and new_zone of cranna_zimmer, a_b", "cr5a1_zone and new_zone of ***, ***"),
    ] {
        assert_eq!(closing(message), expected);
    }
}

#[test]
fn stock_messages_stay_readable_where_the_event_holds_no_texts() {
    let others = [
        "This case can't be resolved because it is inactive.",
        "Cannot close the object because there are open activities.",
        "The case has open activities. Close all activities that are associated with the case, then try to close the case again.",
        "The specified user(Id = 1) is either disabled or is not a member of any business unit.",
        "The specified user is disabled. Please contact your system administrator.",
        "Your IP address is blocked. Access from your IP is blocked.",
        "Object reference not set to an instance of an object.",
        "SQL timeout expired. The timeout period elapsed prior to completion of the operation or the server is not responding.",
        "An error has occurred. Try this action again. If the problem continues, check the Microsoft Dynamics 365 Community for \
         solutions or contact your organization's Microsoft Dynamics 365 Administrator. Finally, you can contact Microsoft Support.",
        "Number of concurrent requests exceeded the limit of 52. Too many requests.",
        "Refused by a plug-in. A plug-in does not like it. Out of order. Not now. Busy.",
        "An unexpected error occurred from ISV code. (ErrorType = ClientError) Unexpected exception from plug-in (Execute): \
         System.InvalidOperationException",
        "The attribute _customerid_value of IncidentResolution is mandatory (IncidentState.Active, RowVersion, prvWriteIncident).",
    ];
    // A plug-in's own words are no stock message.
    for message in MESSAGES.iter().filter(|message| !message.contains("Contoso")).chain(&others) {
        let expected = one_line(message).replace("it's 'a' field", "it's '***' field");
        assert_eq!(closing(message), expected);
    }
}
