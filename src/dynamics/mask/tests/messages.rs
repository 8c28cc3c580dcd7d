//! Messages of Dataverse: they stay as they are, whatever the customer said.

use super::*;

/// Messages as Dataverse words them, from its documentation, public reports and the simulator.
pub(super) const MESSAGES: &[&str] = &[
    "Entity 'Contact' With Id = 7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11 Does Not Exist",
    "incident With Id = 44444444-4444-4444-4444-444444444444 Does Not Exist",
    "Resource not found for the segment 'oc_liveworkitems'.",
    "Could not find a property named 'emailaddress1' on type 'Microsoft.Dynamics.CRM.contact'.",
    "Could not find an attribute with specified name 'description' on 'incident'.",
    "Invalid property 'statecode' was found in entity 'Microsoft.Dynamics.CRM.incident'. Error code 0x80048d19",
    "Error identified in Payload provided by the user for Entity :'incidents', For more information on this error please follow \
     this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : Microsoft.OData.ODataException: An \
     undeclared property 'queueid' which only has property annotations in the payload but no property value was found in the \
     payload. In OData, only declared navigation properties and declared named streams can be represented as properties \
     without values.",
    "An undeclared property 'cr5a1_queue@odata.bind' which only has property annotations in the payload",
    "The value of 'customerid_contact@odata.bind' must be a string.",
    "A validation error occurred.  The length of the 'description' attribute of the 'incident' entity exceeded the maximum \
     allowed length of '2000'.",
    "A validation error occurred.  The length of the \\u0027notetext\\u0027 attribute of the \\u0027annotation\\u0027 entity \
     exceeded the maximum allowed length of \\u0027100000\\u0027.",
    "A validation error occurred.  The value 7 of 'prioritycode' on record of type 'incident' is outside the valid range. \
     Accepted Values: 1,2,3",
    "1000 is not a valid status code for state code IncidentState.Active on Incident with Id \
     7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11.",
    "5 is not a valid status code on the state code 'statecode' of 'cr_case'",
    "A record with matching key values already exists.",
    "Cannot insert duplicate key.",
    "Entity Key emailaddress1 violated. A record with the same value for emailaddress1 already exists. A duplicate record cannot \
     be created. Select one or more unique values and try again.",
    "You should specify a parent contact or account.",
    "An inactive customer cannot be set as the parent of an object.",
    "The version of the existing record doesn't match the RowVersion property provided.",
    "This case has already been resolved. Close and reopen the case record to see the updates.",
    "This case can't be resolved because it has open child cases or open activities.",
    "Deactivated object cannot be added to queue.",
    "This message can not be used to set the state of incident to Resolved. In order to set state of incident to Resolved, use \
     the CloseIncidentRequest message instead.",
    "Principal user (Id=7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11, type=8, roleCount=1, privilegeCount=42, accessMode='4 \
     Non-interactive') is missing prvCreateIncident privilege (Id=44444444-4444-4444-4444-444444444444) on OTC=112 for entity \
     'incident' (LocalizedName='Case'). Consider adding missed privilege to one of the principal (user/team) roles.",
    "Principal user is missing 'prvAppendToIncident' privilege",
    "Principal user (Id=7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11, type=8, roleCount=2, privilegeCount=590, accessMode='0 Read-Write') \
     does not have WriteAccess right(s) for record with id 44444444-4444-4444-4444-444444444444 of entity incident",
    "Caller user with Id 7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11 does not have read permissions to the attribute emailaddress1 of \
     entity contact, which is secured.",
    "The user with id 7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11 has not been assigned any roles.",
    "The organization is disabled. Please contact your system administrator.",
    "Number of requests exceeded the limit of 6000 over time window of 300 seconds.",
    "Number of concurrent requests exceeded the limit of 52.",
    "Attachment file name contains invalid characters.",
    "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.",
    "SecLib::AccessCheckEx failed. Returned hr = 0x80040220, ObjectID: 7d0ba8ad-8d4f-4d4e-8a8c-0d6a1c1d5a11",
    "An unexpected error occurred from ISV code. (ErrorType = ClientError) Unexpected exception from plug-in (Execute): \
     Contoso.Plugins.ContactGuard: System.InvalidOperationException: Not on Sundays",
    "Cannot convert the literal 'null' to the expected type 'Edm.Guid'.",
    "Generic SQL error.",
    "it's 'a' field of the 'incident' entity, isn't it",
];

/// Sentences of customers and agents that have words and phrases of Dataverse in them.
const CHATTER: &str = "Hello, my order does not exist in the system any more and the value is wrong. I have already been \
     charged, the message said this property is not valid. Please contact your support, they cannot find my account. The record \
     of the payment was found but the amount exceeded the limit of my card. Is there no other user with the same number? I \
     should not be a customer if it is missing. You should specify what is missing, because it has not been resolved. Close it.";

#[test]
fn what_operators_need_stays_readable() {
    let chatty = said(CHATTER);
    for message in MESSAGES {
        let whole = one_line(message);
        for event in [&nobody(), &email(), &chatty] {
            // No person's text is quoted, only the letter `a`.
            let expected = whole.replace("it's 'a' field", "it's '***' field");
            assert_eq!(mask(message, event), expected);
        }
    }
}

#[test]
fn what_is_no_name_of_dataverse_is_masked_in_quotes() {
    for part in [
        "Bob",
        "bob",
        "Bob_Stone",
        "b_stone",
        "prvBob",
        "customer Bob",
        "McDonald",
        "Case of Bob",
        "12345",
        "…",
        "😀",
        "Fall",
        "0x800402371",
        "averylongprefix_x",
        "Ｃase",
        "queueid@bob",
    ] {
        assert_eq!(mask(&format!("The value '{part}' is bad"), &nobody()), "The value '***' is bad", "{part}");
    }
}

/// Words of Dataverse stay only where a customer's text has nothing else in common with the message.
#[test]
fn a_customers_phrase_with_a_word_of_their_own_is_masked_whole() {
    let event = said("my kitten does not exist in the system");
    assert_eq!(mask("incident Does Not Exist", &event), "incident Does Not Exist");
    assert_eq!(mask("no: kitten does not exist in the record", &event), "no: *** record");
}
