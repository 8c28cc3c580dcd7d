//! Dataverse's own names and words: all that stays readable in quotes, and phrases that customers write too.
//!
//! A list rather than a guess: a name that is missing here is masked, and error code and advice say what is wrong all the same.

use uuid::Uuid;

/// Names of tables, columns, types and rights that the worker's requests and their refusals mention, in lower case. None of them
/// is a person's name.
const NAMES: &str = "
    account accounts activitypointer annotation annotations attribute businessunit case cases contact contacts customer customers
    entity entities incident incidents incidentresolution incidentresolutions liveworkitem note notes organization queue queues
    queueitem queueitems record resolution role savedquery subject systemuser systemusers task team teams user users
    accountid activityid annotationid caseorigincode casetypecode contactid createdby createdon customerid description documentbody
    email emailaddress1 filename firstname fullname incidentid isdisabled isdocument lastname masterid maxlength merged mimetype
    mobilephone modifiedon name notetext objectid objecttypecode ownerid owningbusinessunit parentid parentcustomerid phone
    primarycontactid prioritycode queueid queueitemid regardingobjectid rowversion statecode status statuscode subjectid systemuserid
    target telephone1 ticketnumber title transcript type value workerid
    customerid_account customerid_contact objectid_incident regardingobjectid_incident
    channel code contextvariables customerinfo error id message queueid sessionid workstreamid
    addtoqueue closeincident closeincidentrequest createrequest updaterequest whoami
    application bind boolean byte crm date datetime datetimeoffset decimal double dynamics edm guid int32 int64 json microsoft null
    odata string true false xrm
    access administrative interactive non read write readaccess writeaccess createaccess appendaccess appendtoaccess deleteaccess
    assignaccess shareaccess
    active canceled cancelled inactive resolved 100000 1048576 2195293";

/// Further words of the messages of Dataverse and Entra ID, in lower case.
const WORDS: &str = "
    a aborted about accepted activities added adding administrator again all allowed already an and annotations any appear are
    argument as assertion assigned at attachment attempted be because been being block blocked business but by caller can cannot change
    character characters check child client close column columns concurrent condition conflict consider contains context convert
    could create created creating custom data deactivated declared default defined delete deleted denied detected did disabled
    do does doesn don downloaded duplicate either enabled end exceeded exception execute execution exist existing exists
    expected expects external failed field fields file find follow following for found from generic go group has have help
    http https identified if in index information inner input insert instead internal invalid is isv it its key keys large
    length limit link literal localizedname lock locked match matching maximum may member messages method missing more must
    named navigation no not number object occurred of on one only open operation option or order other out outside over owner
    parameter parent payload perform permission permissions please plug plugin present principal privilege privileges process
    properties property provided query range reached reason records reference refused rejected related reopen represented
    request requests required requires resource returned right rights roles rule s same schema seconds secret secrets secured security see
    segment select server service set should size source specified specify sql state step streams supported system t table
    temporarily than that the there this time timeout to token tokens too transaction try trying unable undeclared unexpected unique
    unknown unsupported update updated updates uploaded use used valid validation values version violated was were when which
    while will window with within without you your";

/// Beginnings of privileges' names.
const PRIVILEGES: &[&str] =
    &["prvCreate", "prvRead", "prvWrite", "prvDelete", "prvAppend", "prvAssign", "prvShare", "prvReparent", "prvAct"];

/// Longest number that is anybody's, in digits.
const SHORT: usize = 4;

/// Returns true for a quoted part that is a name of Dataverse: of listed words, a privilege, a custom table or column, an error code,
/// a GUID, a short number.
pub(super) fn is_own_name(part: &str) -> bool {
    let part = part.trim();
    let words = part.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let all_own =
        || words.clone().all(|word| is_listed(NAMES, word) || is_short(word) || is_code(word) || is_schema(word));
    part.is_ascii() && (all_own() || Uuid::parse_str(part).is_ok())
}

/// Returns true for a word of Dataverse's messages.
pub(super) fn is_own_word(word: &str) -> bool {
    is_own_word_of_letters(word) || is_short(word)
}

/// Returns true for a text whose words are all own ones by this rule.
pub(super) fn is_own_phrase(text: &str, is_own: fn(&str) -> bool) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).all(is_own)
}

/// Returns true for a listed word, and false for a number.
pub(super) fn is_own_word_of_letters(word: &str) -> bool {
    is_listed(NAMES, word) || is_listed(WORDS, word)
}

/// Returns true for a listed number of five or more digits.
pub(super) fn is_own_number(number: &str) -> bool {
    is_listed(NAMES, number)
}

/// Returns true for an error code such as `0x80040237`.
pub(in crate::dynamics) fn is_code(word: &str) -> bool {
    let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    digits.is_some_and(|digits| (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns true for a word of a list, in any case.
pub(super) fn is_listed(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|listed| listed.eq_ignore_ascii_case(word))
}

fn is_short(word: &str) -> bool {
    word.len() <= SHORT && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns true for a privilege, and for a lower-case name with a publisher's prefix, as each custom table and column has
/// (`new_queueid`, `_masterid_value`).
fn is_schema(word: &str) -> bool {
    let is_custom = || {
        let lower = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        lower && word.split_once('_').is_some_and(|(prefix, _)| prefix.len() != 1 && prefix.len() <= 8)
    };
    is_privilege(word) || is_custom()
}

/// Returns true for the name of a privilege.
pub(super) fn is_privilege(word: &str) -> bool {
    PRIVILEGES.iter().any(|privilege| word.starts_with(privilege))
}
