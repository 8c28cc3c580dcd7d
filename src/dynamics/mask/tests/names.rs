//! Short parts of names and texts, in scripts with and without words.

use super::*;

fn summarized(text: &str) -> Event {
    handoff(|it| it.summary = Some(text.into()))
}

#[test]
fn parts_of_names_are_masked_in_scripts_without_blanks() {
    for (name, part) in [
        ("สมชายใจดี", "สมชาย"),
        ("สมชายใจดี", "ใจดี"),
        ("ສົມຊາຍດີ", "ສົມຊາຍ"),
        ("សុខសាន្តវិចិត្រ", "សុខសាន្ត"),
        ("សុខសាន្តវិចិត្រ", "វិចិត្រ"),
        ("အောင်ဆန်းစုကြည်", "အောင်ဆန်း"),
        ("အောင်ဆန်းစုကြည်", "စုကြည်"),
        ("王芳", "芳"),
        ("王芳", "王"),
        ("王", "王"),
        ("欧阳震华", "震华"),
        ("田中花子", "花"),
        ("さくらももこ", "ももこ"),
        ("さくらももこ", "くら"),
        ("김철수", "철수"),
    ] {
        assert_eq!(mask(&format!("no: {part} here"), &named(name)), "no: *** here", "{part} of {name}");
        let escaped: String = part.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
        assert_eq!(mask(&format!("no: {escaped} here"), &named(name)), "no: *** here", "{part} of {name}");
    }
}

/// Those in the record may be called "customer service" in their language.
#[test]
fn one_ideograph_is_masked_of_the_customers_name_only() {
    let by = |sender: &str| {
        let name = Some("客服".into());
        handoff(|it| it.transcript = vec![Message { timestamp: None, sender: Some(sender.into()), name, text: None }])
    };
    assert_eq!(mask("服务器不可用", &by("agent")), "服务器不可用");
    assert_eq!(mask("客服不可用", &by("agent")), "***不可用");
    assert_eq!(mask("服务器不可用", &by("customer")), "***务器不可用");
}

#[test]
fn short_parts_of_texts_are_masked_in_scripts_without_blanks() {
    for (text, message, expected) in [
        ("顾客欧阳震的订单被扣款两次", "no: 欧阳震 here", "no: *** here"),
        ("顾客欧阳震的订单被扣款两次", "no: 阳震 here", "no: 阳震 here"),
        ("ลูกค้าสมชายใจดีถูกหักเงินสองครั้ง", "no: สมชาย here", "no: *** here"),
        ("ลูกค้าสมชายใจดีถูกหักเงินสองครั้ง", "no: เงิน here", "no: เงิน here"),
        ("អតិថិជនសុខសាន្តវិចិត្រ", "no: សុខសាន្ត here", "no: *** here"),
        ("hello 🦄🚀 there", "no: \\ud83e\\udd84\\ud83d\\ude80 🦄 here", "no: *** *** here"),
        ("hello", "no: \u{1f468}\u{200d}\u{1f469}\u{fe0f} &#x1f984; ✅ here", "no: *** *** *** here"),
    ] {
        assert_eq!(mask(message, &summarized(text)), expected, "{text}");
    }
}

#[test]
fn beginnings_of_a_names_words_are_masked() {
    for part in ["Annabella", "Annabel", "ANNA", "Zimmerq", "zimm", "Annabella Zim"] {
        assert_eq!(mask(&format!("no: {part} here"), &named("Annabella Zimmerquill")), "no: *** here", "{part}");
    }
    let message = "no: Zim, immer, zimm1, zimmerman, Annabelle here";
    let masked = mask(message, &named("Annabella Zimmerquill"));
    assert_eq!(masked, "no: Zim, immer, zimm1, zimmerman, ***e here");
    // The beginning of a name may be a word of Dynamics, the name itself never is.
    assert_eq!(mask("the case of Casey", &named("Casey Fielder")), "the case of ***");
    let email = handoff(|it| it.customer.email = Some("mira.quillwort@zanzibar.example".into()));
    assert_eq!(mask("no: Mira or quillw, the email here", &email), "no: *** or ***, the email here");
}
