//! Servers, and proxies before them, that quote what they were sent: no secret comes back that way.

use std::error::Error as _;

use vsphere_ops::managed::GuestAuthManager;
use vsphere_ops::types::{GuestAuthentication, ManagedObjectReference, NamePasswordAuthentication, Poly};
use vsphere_ops::{Client, Error};

use crate::support::{Answer, Vcenter, envelope};

/// In need of escaping in XML, JSON and URLs.
const PASSWORD: &str = "p&<ss>w\"o/rd ä";

/// The password as it is, and as XML, HTML, JSON and URLs have it.
const FORMS: [&str; 7] = [
    PASSWORD,
    "p&amp;&lt;ss&gt;w\"o/rd ä",
    "p&amp;&lt;ss&gt;w&quot;o/rd &#228;",
    "p&#38;&#60;ss&#62;w&#34;o/rd &#xE4;",
    "p&<ss>w\\\"o\\/rd \\u00e4",
    "p%26%3Css%3Ew%22o%2Frd%20%C3%A4",
    "p%26%3css%3ew%22o%2frd+%c3%a4",
];

/// All that the error shows of itself.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        shown += &format!("\n{cause}\n{cause:?}");
        source = cause.source();
    }
    shown
}

fn assert_hidden(error: &Error) {
    let shown = shown(error);
    for part in ["p&<ss", "p&amp;", "p&#38;", "p%26", "ss>w", "w\\\"o", "ss&gt;", "rd ä", "rd%20"] {
        assert!(!shown.contains(part), "{part}: {shown}");
    }
}

fn faults_with(text: &str) -> Vec<Answer> {
    let fault =
        |content: String| Answer::Page(500, "text/xml", envelope(&format!("<soapenv:Fault>{content}</soapenv:Fault>")));
    vec![
        fault(format!("<faultcode>c</faultcode><faultstring>bad request: {text}</faultstring>")),
        fault(format!(
            "<faultcode>c</faultcode><faultstring>no</faultstring><detail><InvalidRequestFault \
             xsi:type=\"InvalidRequest\"><faultMessage><key>k</key><message>{text}</message></faultMessage>\
             </InvalidRequestFault></detail>"
        )),
        fault(format!(
            "<faultcode>c</faultcode><faultstring>no</faultstring><detail><OddFault xsi:type=\"Odd\">\
             <request><password>{text}</password></request></OddFault></detail>"
        )),
        fault(format!("<Code><Value>s:Sender</Value></Code><Reason><Text>refused: {text}</Text></Reason>")),
    ]
}

#[tokio::test]
async fn a_page_that_quotes_the_login_does_not_show_the_password() {
    let vcenter = Vcenter::start().await;
    let config = vcenter.config().password(PASSWORD).attempts(1);
    for form in FORMS {
        for answer in [
            Answer::Page(200, "text/html", format!("<html><h1>No</h1><pre>{form}</pre></html>")),
            Answer::Page(403, "text/html", format!("<html>Blocked: {form}</html>")),
            Answer::Page(500, "text/plain", format!("cannot parse {form}, sorry")),
            Answer::Page(502, "application/json", format!("{{\"request\":\"{form}\"}}")),
            // The snippet is cut in the middle of it.
            Answer::Page(400, "text/plain", format!("{} {form}", "x".repeat(155))),
        ] {
            vcenter.always("Login", answer);
            assert_hidden(&Client::connect(config.clone()).await.unwrap_err());
        }
    }
    // The request itself, as a proxy shows it.
    for page in ["<html><body>{request}</body></html>", "{request}"] {
        vcenter.always("Login", Answer::Page(405, "text/html", page.to_owned()));
        assert_hidden(&Client::connect(config.clone()).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_fault_that_quotes_the_login_does_not_show_the_password() {
    let vcenter = Vcenter::start().await;
    let config = vcenter.config().password(PASSWORD).attempts(1);
    // These are forms that may stand in XML.
    for form in &FORMS[1..4] {
        for answer in faults_with(form) {
            vcenter.always("Login", answer);
            assert_hidden(&Client::connect(config.clone()).await.unwrap_err());
        }
    }
    let broken = "<soapenv:Envelope><p&<ss>w\"o/rd";
    vcenter.always("Login", Answer::Page(200, "text/xml", broken.to_owned()));
    let error = Client::connect(config).await.unwrap_err();
    assert!(!shown(&error).contains("ss>w"), "{error}");
}

#[tokio::test]
async fn a_later_answer_does_not_show_the_password_and_the_session() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let session = vcenter.state().sessions.first().unwrap().clone();
    for text in [format!("cookie {session}"), "password secret".to_owned()] {
        vcenter.script("CurrentTime", [Answer::Page(400, "text/plain", text.clone())]);
        let error = client.server_time().await.unwrap_err();
        assert!(error.to_string().contains("***") && !shown(&error).contains(&session), "{error}");
        assert!(!shown(&error).contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_fault_that_quotes_the_password_of_a_guest_does_not_show_it() {
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let manager: GuestAuthManager = client.raw(&ManagedObjectReference::new("GuestAuthManager", "guest-auth"));
    let vm = ManagedObjectReference::new("VirtualMachine", "vm-1");
    let auth = NamePasswordAuthentication { password: PASSWORD.to_owned(), ..Default::default() };
    let auth: Poly<GuestAuthentication> = Poly::new(auth);
    let mut answers = faults_with("p&amp;&lt;ss&gt;w\"o/rd ä");
    answers.push(Answer::Page(500, "text/html", "<pre>{request}</pre>".to_owned()));
    for answer in answers {
        vcenter.script("ValidateCredentialsInGuest", [answer]);
        let error = manager.validate_credentials_in_guest(&vm, &auth).await.unwrap_err();
        assert_hidden(&error.into());
    }
}

#[tokio::test]
async fn the_automation_api_does_not_show_its_password_either() {
    let vcenter = Vcenter::start().await;
    vcenter.state().password = PASSWORD.to_owned();
    let config = vcenter.config().password(PASSWORD).attempts(1);
    // The usual server compares the password as it is.
    let login = envelope("<LoginResponse><returnval><key>k</key></returnval></LoginResponse>");
    vcenter.always("Login", Answer::Page(200, "text/xml", login.clone()));
    let refused = Client::connect(config.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("sets no session cookie"), "{refused}");
    let vcenter = Vcenter::start().await;
    let client = vcenter.connect().await;
    let basic = "cmVhZGVyOnNlY3JldA==";
    for (status, body) in [
        (
            401,
            format!(
                "{{\"error_type\":\"UNAUTHENTICATED\",\"messages\":[{{\"default_message\":\"bad header Basic {basic}\"}}]}}"
            ),
        ),
        (400, "{\"error_type\":\"X\",\"messages\":[{\"default_message\":\"no user reader:secret here\"}]}".to_owned()),
    ] {
        vcenter.script("POST /api/session", [Answer::Page(status, "application/json", body)]);
        let error = client.rest().unwrap().get::<Vec<String>>("/api/cis/tagging/category").await.unwrap_err();
        assert!(!shown(&error).contains(basic) && !shown(&error).contains("secret"), "{error}");
    }
}
