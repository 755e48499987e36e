//! Users who log in to vCenter themselves, at a simulated vCenter that has several.

use std::time::Duration;

use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt,
    model::{
        CallToolRequestParams, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation,
    },
    service::RequestContext,
};
use serde_json::json;
use vsphere_ops::{
    managed::VirtualMachine,
    vm::{self, VmQuery},
};
use vsphere_sim::{Model, Role, Sim};

use super::{over_http::call, *};
use crate::{
    Server, SettingArgs, Settings,
    backends::Backends,
    http::{HttpServer, tokens},
    oauth::Vcenter,
};

const PATH: &str = "/vcenter/login";

/// A user at the provider, and at vCenter.
struct Person {
    subject: &'static str,
    name: &'static str,
    user: &'static str,
    password: &'static str,
}

/// She may look at everything, and change nothing.
const JANE: Person = Person { subject: "1", name: "jane", user: "jane@vsphere.local", password: "jane's + pässword" };
/// He sees the web servers alone, and may do more with them.
const JOE: Person = Person { subject: "2", name: "joe", user: "joe@vsphere.local", password: "joe's password" };

impl Person {
    fn caller(&self, lab: &Lab) -> Caller {
        Caller::remote(lab.world.idp.issuer.as_str(), self.subject).named(self.name)
    }

    /// They are who sits before the browser.
    fn sits_at(&self, world: &World) {
        let mut knobs = world.idp.set();
        knobs.subject = self.subject.to_owned();
        knobs.name = self.name.to_owned();
        knobs.groups = json!({ "groups": ["vsphere-super-admins"] });
    }
}

fn model() -> Model {
    Model::demo()
        .user(JANE.user, JANE.password, Role::ReadOnly)
        .user(JOE.user, JOE.password, Role::NoAccess)
        .user("nobody@vsphere.local", "secret", Role::NoAccess)
        .permission(JOE.user, "/fra1/vm/prod/web", Role::VirtualMachinePowerUser)
}

struct Lab {
    world: World,
    sim: Sim,
    settings: Settings,
    backends: Backends,
    audit: std::path::PathBuf,
}

fn settings(more: &[(&str, &str)]) -> Settings {
    let set = [
        ("MCP_TRANSPORT", "streamable-http"),
        ("MCP_PORT", "0"),
        ("OAUTH_ENABLED", "true"),
        ("OAUTH_ISSUER_URL", "https://idp.example"),
        ("OAUTH_CLIENT_ID", Idp::CLIENT),
        ("OAUTH_CLIENT_SECRET", Idp::SECRET),
        ("OAUTH_BASE_URL", BASE),
        ("VCENTER_HOST", "vc.example"),
        ("VCENTER_LOGIN", "user"),
        // These must never be used.
        ("VCENTER_USER", Model::USER),
        ("VCENTER_PASSWORD", Model::PASSWORD),
    ];
    let set = [&set[..], more].concat();
    let value = |name: &str| set.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::new(&SettingArgs::default(), value).unwrap()
}

impl Lab {
    async fn new() -> Self {
        Self::with(&[], 10).await
    }

    async fn with(more: &[(&str, &str)], most: usize) -> Self {
        let sim = Sim::start(model()).await.unwrap();
        let mut world = World::new(|_| {}).await;
        let audit = std::env::temp_dir().join(format!("mcvsphere-login-{:016x}.jsonl", fastrand::u64(..)));
        let thumbprint = sim.thumbprint().unwrap().to_string();
        let (url, issuer) = (sim.url(), world.idp.issuer.clone());
        let of_lab = [
            ("MCP_AUDIT_FILE", audit.to_str().unwrap()),
            ("OAUTH_ISSUER_URL", issuer.as_str()),
            ("VCENTER_HOST", url.as_str()),
            ("VCENTER_THUMBPRINT", thumbprint.as_str()),
        ];
        let settings = settings(&[&of_lab, more].concat());
        let backends = Backends::with(&settings, &Arc::default(), most);
        world.oauth = Self::oauth(&settings, &backends, &world.now);
        Self { world, sim, settings, backends, audit }
    }

    fn oauth(settings: &Settings, backends: &Backends, now: &Arc<AtomicU64>) -> OAuth {
        let time = Arc::clone(now);
        let clock: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        let audit = Audit::new(settings.audit_target()).unwrap();
        let vcenter = Vcenter::new(backends.clone(), "vc.example");
        let oauth = settings.oauth().unwrap().unwrap();
        OAuth::with(&oauth, audit, Some(vcenter), clock, Documents::new(is_public)).unwrap()
    }

    fn link(&self, person: &Person) -> String {
        self.backends.link_for(&person.caller(self)).unwrap()
    }

    /// Whether the session of this user is there, as a tool finds it.
    async fn vms(&self, person: &Person) -> Result<Vec<String>, String> {
        let backend = self.backends.of(&person.caller(self), "list_vms");
        let client = backend.client().await.map_err(|error| error.code().to_owned())?;
        let page = vm::list(&client, &VmQuery::default()).await.map_err(|error| error.code().to_owned())?;
        Ok(page.items.into_iter().map(|vm| vm.name).collect())
    }

    /// A whole login.
    async fn log_in(&self, person: &Person) -> Answer {
        person.sits_at(&self.world);
        let mut browser = Browser::default();
        let page = browser.follow(&self.world, &self.link(person)).await;
        browser.submit(&self.world, &form(&page), person.user, person.password, &OWN).await
    }

    /// Waits until the audit has this line.
    async fn audited(&self, event: &str) -> Value {
        loop {
            let lines = std::fs::read_to_string(&self.audit).unwrap_or_default();
            let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            if let Some(line) = lines.rfind(|line| line["event"] == event) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.audit);
    }
}

const OWN: [(&str, &str); 2] = [("origin", BASE), ("sec-fetch-site", "same-origin")];

impl Browser {
    /// Follows a link through the provider.
    async fn follow(&mut self, world: &World, link: &str) -> Answer {
        let answer = self.get(world, link).await;
        match answer.status {
            StatusCode::SEE_OTHER => {
                let back = world.idp.log_in(answer.header(header::LOCATION));
                self.get(world, &back).await
            }
            _ => answer,
        }
    }

    async fn submit(
        &mut self,
        world: &World,
        form: &str,
        user: &str,
        password: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.post(world, PATH, &[("form", form), ("user", user), ("password", password)], headers).await
    }

    async fn post(&mut self, world: &World, path: &str, pairs: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let mut post = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            post = post.header(*name, *value);
        }
        self.send(world, post.body(body.into()).unwrap()).await
    }
}

/// The sealed text in a form.
fn form(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("name=\"form\" value=\"").unwrap_or_else(|| panic!("no form: {}", page.text));
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_user_logs_in_once_in_the_browser_and_calls_with_their_own_rights() {
    let lab = Lab::new().await;
    let world = &lab.world;
    assert_eq!(lab.vms(&JANE).await, Err("login_required".to_owned()));
    JANE.sits_at(world);
    let link = lab.link(&JANE);
    assert!(link.starts_with(&format!("{BASE}{PATH}?link=mcv_link_")), "{link}");
    let mut browser = Browser::default();
    let page = browser.follow(world, &link).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("vc.example") && page.text.contains("<dd>jane</dd>"), "{}", page.text);
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header(header::CACHE_CONTROL), "no-store");
    assert!(!page.text.contains("<script"), "{}", page.text);

    // A wrong password is the form again.
    let wrong = browser.submit(world, &form(&page), JANE.user, "wrong", &OWN).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.text.contains("does not know this user name with this password"), "{}", wrong.text);
    let line = lab.audited("vcenter_login_refused").await;
    assert_eq!((line["who"].as_str(), line["vcenter_user"].as_str()), (Some("jane"), Some(JANE.user)));
    let page = browser.submit(world, &form(&wrong), JANE.user, JANE.password, &OWN).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("VSPHERE.LOCAL\\jane") && page.text.contains("after 30 min"), "{}", page.text);
    let line = lab.audited("vcenter_login").await;
    assert_eq!((line["who"].as_str(), line["outcome"].as_str()), (Some("jane"), Some("ok")));
    assert_eq!((&line["issuer"], &line["subject"]), (&json!(world.idp.issuer), &json!("1")));
    assert_eq!(line["remote"], "192.0.2.7");
    let written = std::fs::read_to_string(&lab.audit).unwrap();
    assert!(!written.contains("pässword") && !written.contains("wrong") && !written.contains("mcv_"), "{written}");

    let vms = lab.vms(&JANE).await.unwrap();
    assert!(vms.len() > 20, "{vms:?}");
    let backend = lab.backends.of(&JANE.caller(&lab), "list_vms");
    let client = backend.client().await.unwrap();
    let vm = client.get::<VirtualMachine>("web-01").await.unwrap();
    assert_eq!(vm.power_off().await.err().unwrap().code(), "permission");
    // Tags, too, are read as this user.
    assert_eq!((lab.sim.sessions(), lab.sim.automation_sessions()), (1, 1));
    client.tags().await.unwrap().of_vms(&client.vms(&["web-01".to_owned()]).await).await.unwrap();
    assert_eq!(lab.sim.automation_sessions(), 1);

    // The user ends it on the page.
    let end = form(&page);
    let foreign =
        browser.post(world, "/vcenter/logout", &[("form", &end)], &[("origin", "https://evil.example")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(lab.sim.sessions(), 1);
    let ended = browser.post(world, "/vcenter/logout", &[("form", &end)], &OWN).await;
    assert_eq!(ended.status, StatusCode::OK, "{}", ended.text);
    assert_eq!((lab.sim.sessions(), lab.sim.automation_sessions()), (0, 0));
    assert_eq!(lab.vms(&JANE).await, Err("login_required".to_owned()));
    assert_eq!(lab.audited("vcenter_logout").await["vcenter_user"], "VSPHERE.LOCAL\\jane");
}

#[tokio::test]
async fn threat_5_each_user_sees_what_vcenter_permits_them_and_no_cache_is_shared() {
    let lab = Lab::new().await;
    for person in [&JANE, &JOE] {
        assert_eq!(lab.log_in(person).await.status, StatusCode::OK);
    }
    let (janes, joes) = (lab.vms(&JANE).await.unwrap(), lab.vms(&JOE).await.unwrap());
    assert!(janes.contains(&"ci-runner-02".to_owned()), "{janes:?}");
    assert!(!joes.is_empty() && joes.iter().all(|vm| vm.starts_with("web-") || vm.starts_with("lb-")), "{joes:?}");
    let [jane, joe] = [&JANE, &JOE].map(|person| lab.backends.of(&person.caller(&lab), "list_vms"));
    assert!(!Arc::ptr_eq(&jane, &joe));
    // From the mirrors, which are as their users see.
    let mut counts = Vec::new();
    for backend in [&jane, &joe] {
        let names = backend.mirrors().names(backend, crate::mirror::Kind::Vms).await.unwrap();
        let names: Vec<_> = names.into_iter().filter(|(_, is_template)| !is_template).collect();
        counts.push(names.len());
        assert_eq!(backend.list_machines(&VmQuery::default()).await.unwrap().items.len(), names.len());
    }
    assert_eq!(counts, [janes.len(), joes.len()]);
    // vCenter's events name who it was.
    let vm = joe.client().await.unwrap().get::<VirtualMachine>("web-01").await.unwrap();
    vm.power_off().await.unwrap().await.unwrap();
    let events = jane.client().await.unwrap().events().last(Duration::from_secs(600)).users(["VSPHERE.LOCAL\\joe"]);
    let events = events.latest(100).await.unwrap();
    assert!(format!("{events:?}").contains("VmPoweredOff"), "{events:?}");
    assert_eq!((lab.sim.calls("Login"), lab.sim.sessions()), (2, 2));
}

#[tokio::test]
async fn threat_9_a_link_opens_the_form_for_its_user_alone() {
    let lab = Lab::new().await;
    let world = &lab.world;
    let link = lab.link(&JANE);
    JOE.sits_at(world);
    let page = Browser::default().follow(world, &link).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("This link is for somebody else") && !page.text.contains("<form"), "{}", page.text);
    let line = lab.audited("vcenter_login_refused").await;
    assert_eq!((line["who"].as_str(), line["outcome"].as_str()), (Some("joe"), Some("the link is for another user")));
    // Another provider has users of the same subject.
    let twin = Caller::remote("https://other.example", JOE.subject);
    let page = Browser::default().follow(world, &lab.backends.link_for(&twin).unwrap()).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);

    // The answer of the provider in another browser than the link was followed in.
    JANE.sits_at(world);
    let mut browser = Browser::default();
    let provider = browser.get(world, &link).await.header(header::LOCATION).to_owned();
    let back = world.idp.log_in(&provider);
    assert_eq!(Browser::default().get(world, &back).await.status, StatusCode::FORBIDDEN);
    let page = browser.get(world, &back).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert_eq!(browser.get(world, &back).await.status, StatusCode::BAD_REQUEST);
    // The form in another browser, too, and as another kind of text.
    let form = form(&page);
    let other = Browser::default().submit(world, &form, JANE.user, JANE.password, &OWN).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let end = browser.post(world, "/vcenter/logout", &[("form", &form)], &OWN).await;
    assert_eq!(end.status, StatusCode::FORBIDDEN);
    assert_eq!(lab.sim.calls("Login"), 0);
}

#[tokio::test]
async fn threat_9_a_link_is_good_once_and_for_ten_minutes() {
    let lab = Lab::new().await;
    let world = &lab.world;
    JANE.sits_at(world);
    let link = lab.link(&JANE);
    // Whoever else looks at it first, such as a program that previews links, does not use it up.
    assert_eq!(Browser::default().get(world, &link).await.status, StatusCode::SEE_OTHER);
    let mut browser = Browser::default();
    let page = browser.follow(world, &link).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let again = Browser::default().follow(world, &link).await;
    assert!(again.status == StatusCode::BAD_REQUEST && again.text.contains("followed before"), "{}", again.text);
    // The form logs in once.
    let done = browser.submit(world, &form(&page), JANE.user, JANE.password, &OWN).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let twice = browser.submit(world, &form(&page), JANE.user, JANE.password, &OWN).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST, "{}", twice.text);

    let link = lab.link(&JANE);
    let mut browser = Browser::default();
    let provider = browser.get(world, &link).await.header(header::LOCATION).to_owned();
    let next = browser.follow(world, &lab.link(&JANE)).await;
    world.wait(599);
    // A form that is shown again is good for no longer.
    let again = browser.submit(world, &form(&next), JANE.user, "", &OWN).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    world.wait(1);
    let late = browser.submit(world, &form(&again), JANE.user, JANE.password, &OWN).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.text.contains("expired"), "{}", late.text);
    let late = Browser::default().get(world, &link).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.text.contains("expired"), "{}", late.text);
    let late = browser.get(world, &world.idp.log_in(&provider)).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.text.contains("expired"), "{}", late.text);
    let late = browser.submit(world, &form(&next), JANE.user, JANE.password, &OWN).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.text.contains("expired"), "{}", late.text);
    for nothing in ["", "?link=", "?link=mcv_link_AAAA", &format!("?link={}", form(&next))] {
        let page = browser.get(world, &format!("{PATH}{nothing}")).await;
        assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("not valid"), "{}", page.text);
    }
    assert_eq!(lab.sim.calls("Login"), 1);
}

#[tokio::test]
async fn threat_10_a_login_comes_from_our_own_page() {
    let lab = Lab::new().await;
    let world = &lab.world;
    JANE.sits_at(world);
    let mut browser = Browser::default();
    let page = browser.follow(world, &lab.link(&JANE)).await;
    let good = form(&page);
    for (form, headers) in [
        ("", &[][..]),
        ("mcv_form_AAAA", &[]),
        (&good, &[("origin", "https://evil.example")]),
        (&good, &[("origin", "null")]),
        (&good, &[("sec-fetch-site", "cross-site")]),
        (&good, &[("sec-fetch-site", "same-site")]),
    ] {
        let answer = browser.submit(world, form, JANE.user, JANE.password, headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(lab.sim.calls("Login"), 0);
    let query = format!("{PATH}?user=jane&password=secret");
    assert_eq!(browser.get(world, &query).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.submit(world, &good, JANE.user, "", &OWN).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.submit(world, &good, JANE.user, JANE.password, &OWN).await.status, StatusCode::OK);
}

#[tokio::test]
async fn threat_18_three_refused_logins_are_a_pause_for_the_caller_and_for_the_user_name() {
    let lab = Lab::new().await;
    let world = &lab.world;
    JANE.sits_at(world);
    let mut browser = Browser::default();
    let first = form(&browser.follow(world, &lab.link(&JANE)).await);
    // At once, as a program that guesses does.
    let mut others = [browser.clone(), browser.clone(), browser.clone(), browser.clone(), browser.clone()];
    let tries = others.iter_mut().map(|browser| browser.submit(world, &first, JANE.user, "wrong", &OWN));
    let statuses: Vec<StatusCode> =
        futures::future::join_all(tries).await.into_iter().map(|answer| answer.status).collect();
    let refused = statuses.iter().filter(|status| **status == StatusCode::FORBIDDEN).count();
    assert_eq!((refused, lab.sim.calls("Login")), (3, 3), "{statuses:?}");
    // The right password is not tried either, and under no other name.
    for user in [JANE.user, "other"] {
        let paused = browser.submit(world, &first, user, JANE.password, &OWN).await;
        assert!(paused.status == StatusCode::TOO_MANY_REQUESTS && paused.text.contains("5 min"), "{}", paused.text);
    }
    // Nor by another caller under this name, however it is written.
    JOE.sits_at(world);
    let mut joes = Browser::default();
    let page = form(&joes.follow(world, &lab.link(&JOE)).await);
    let answer = joes.submit(world, &page, "VSPHERE.LOCAL\\Jane", JANE.password, &OWN).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text);
    assert_eq!(joes.submit(world, &page, JOE.user, JOE.password, &OWN).await.status, StatusCode::OK);
    assert_eq!(lab.sim.calls("Login"), 4);

    // vCenter counts for 180 seconds.
    world.wait(299);
    assert_eq!(
        browser.submit(world, &first, JANE.user, JANE.password, &OWN).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    world.wait(1);
    assert_eq!(browser.submit(world, &first, JANE.user, JANE.password, &OWN).await.status, StatusCode::OK);
}

#[tokio::test]
async fn threat_16_what_is_typed_is_shown_nowhere_and_written_as_one_line() {
    let lab = Lab::new().await;
    let world = &lab.world;
    JANE.sits_at(world);
    world.idp.set().name = "<script>alert(1)</script>".to_owned();
    let mut browser = Browser::default();
    let page = browser.follow(world, &lab.link(&JANE)).await;
    let evil = "x\"><script>\u{202e}y";
    let answer = browser.submit(world, &form(&page), evil, "hunter2", &OWN).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!answer.text.contains("<script") && !answer.text.contains("hunter2"), "{}", answer.text);
    assert_eq!(lab.audited("vcenter_login_refused").await["vcenter_user"], "x\"><script>\\u{202e}y");
    for user in ["a\nb", &"x".repeat(300)] {
        let answer = browser.submit(world, &form(&page), user, "hunter2", &OWN).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    // Who may see nothing is told so.
    let answer = browser.submit(world, &form(&page), "nobody@vsphere.local", "secret", &OWN).await;
    assert!(answer.text.contains("may see nothing there"), "{}", answer.text);
    assert_eq!(lab.sim.calls("Login"), 2);
}

#[tokio::test]
async fn a_session_that_is_lost_idle_or_of_another_process_is_never_opened_again() {
    let lab = Lab::with(&[("VCENTER_LOGIN_IDLE", "1")], 10).await;
    assert_eq!(lab.log_in(&JANE).await.status, StatusCode::OK);
    // A call that goes on keeps it.
    let backend = lab.backends.of(&JANE.caller(&lab), "list_vms");
    let going_on = backend.in_use();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(lab.sim.sessions(), 1);
    drop((going_on, backend));
    let ended = async {
        while lab.sim.sessions() + lab.sim.automation_sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(lab.vms(&JANE).await, Err("login_required".to_owned()));

    // vCenter was started again.
    let lab = Lab::new().await;
    lab.log_in(&JANE).await;
    lab.sim.end_sessions();
    assert_eq!(lab.vms(&JANE).await, Err("auth".to_owned()));
    assert_eq!(lab.vms(&JANE).await, Err("login_required".to_owned()));
    assert_eq!((lab.sim.calls("Login"), lab.sim.sessions()), (1, 0));

    // This server was started again.
    lab.log_in(&JANE).await;
    lab.backends.close().await;
    assert_eq!((lab.sim.sessions(), lab.sim.automation_sessions()), (0, 0));
    let again = Backends::with(&lab.settings, &Arc::default(), 10);
    assert_eq!(again.of(&JANE.caller(&lab), "list_vms").client().await.err().unwrap().code(), "login_required");
    // A caller whom the provider does not know, such as one with a token of the settings file, has no link and no session.
    for caller in [Caller::remote(tokens::ISSUER, "ci"), Caller::local(crate::Permission::FullAdmin)] {
        assert_eq!(lab.backends.of(&caller, "list_vms").client().await.err().unwrap().code(), "login_required");
        assert_eq!(lab.backends.link_for(&caller), None);
    }
    assert_eq!(lab.sim.calls("Login"), 2);
}

#[tokio::test]
async fn sessions_are_bounded_and_the_longest_idle_makes_room() {
    let lab = Lab::with(&[], 1).await;
    lab.log_in(&JANE).await;
    // The session before makes room for one of the same user.
    assert_eq!(lab.log_in(&JANE).await.status, StatusCode::OK);
    assert_eq!(lab.sim.sessions(), 1);
    let going_on = lab.backends.of(&JANE.caller(&lab), "list_vms").in_use();
    let full = lab.log_in(&JOE).await;
    assert!(full.status == StatusCode::SERVICE_UNAVAILABLE && full.text.contains("Too many users"), "{}", full.text);
    assert_eq!(lab.vms(&JOE).await, Err("login_required".to_owned()));
    drop(going_on);
    assert_eq!(lab.log_in(&JOE).await.status, StatusCode::OK);
    assert_eq!(lab.vms(&JANE).await, Err("login_required".to_owned()));
    lab.vms(&JOE).await.unwrap();
    assert_eq!((lab.sim.sessions(), lab.sim.automation_sessions()), (1, 1));
}

#[tokio::test]
async fn a_tool_shows_the_link_and_works_after_the_login() {
    let mut lab = Lab::new().await;
    // The whole server, which has a clock of its own.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    lab.world.now.store(now, Ordering::Relaxed);
    let server = HttpServer::bind(Server::new(&lab.settings).unwrap(), &lab.settings).await.unwrap();
    lab.world.whole = Some(server.router());
    let world = &lab.world;
    JOE.sits_at(world);
    let client = Client::register(world, Client::REDIRECT).await;
    let tokens = client.log_in(world).await;
    let bearer = tokens["access_token"].as_str().unwrap();
    let power_off = || json!({ "name": "power_off_vm", "arguments": { "vm": "web-01" } });
    let answer = call(world, "/mcp", Some(bearer), "tools/call", power_off()).await.message();
    let content = &answer["result"]["structuredContent"];
    assert_eq!((&answer["result"]["isError"], &content["code"]), (&json!(true), &json!("login_required")), "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    let link = content["login_url"].as_str().unwrap();
    assert!(text.contains("show the user the link") && text.contains(link), "{text}");
    let read = call(world, "/mcp", Some(bearer), "resources/read", json!({ "uri": "esxi://vms" })).await.message();
    assert_eq!(read["error"]["data"]["code"], "login_required", "{read}");
    assert!(read["error"]["data"]["login_url"].as_str().is_some(), "{read}");

    let mut browser = Browser::default();
    let page = browser.follow(world, link).await;
    let done = browser.submit(world, &form(&page), JOE.user, JOE.password, &OWN).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let list = json!({ "name": "list_vms", "arguments": {} });
    let list = call(world, "/mcp", Some(bearer), "tools/call", list).await.message();
    assert_eq!(list["result"]["structuredContent"]["total"], 6, "{list}");
    // His level here is the highest, and vCenter's own permissions hold.
    let refused = json!({ "name": "power_off_vm", "arguments": { "vm": "ci-runner-02" } });
    let refused = call(world, "/mcp", Some(bearer), "tools/call", refused).await.message();
    assert_eq!(refused["result"]["structuredContent"]["code"], "not_found", "{refused}");

    // A client that shows links by itself is asked to, and the call goes on once the user has logged in.
    let answer = call_as(world, bearer, json!({ "elicitation": { "url": {} } }), power_off(), None).await;
    assert!(answer["result"]["structuredContent"]["code"] != "login_required", "{answer}");
    JANE.sits_at(world);
    let tokens = client.log_in(world).await;
    let bearer = tokens["access_token"].as_str().unwrap();
    let can = json!({ "elicitation": { "url": {} } });
    let list = || json!({ "name": "list_vms", "arguments": {} });
    let asked = call_as(world, bearer, can.clone(), list(), None).await;
    let question = &asked["result"]["inputRequests"]["vcenter_login"]["params"];
    assert_eq!(question["mode"], "url", "{asked}");
    let link = question["url"].as_str().unwrap().to_owned();
    let shown = json!({ "vcenter_login": { "action": "accept" } });
    let login = async {
        let mut browser = Browser::default();
        let page = browser.follow(world, &link).await;
        browser.submit(world, &form(&page), JANE.user, JANE.password, &OWN).await
    };
    let (answer, done) = tokio::join!(call_as(world, bearer, can, list(), Some(shown)), login);
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert!(answer["result"]["structuredContent"]["total"].as_u64().unwrap() > 20, "{answer}");
    assert_eq!(lab.sim.calls("Login"), 2);
}

/// A call of a client that can do this, with what it answers to the questions of the round before.
async fn call_as(world: &World, bearer: &str, can: Value, mut params: Value, answers: Option<Value>) -> Value {
    if let Some(answers) = answers {
        params["inputResponses"] = answers;
    }
    over_http::call_with(world, "/mcp", Some(bearer), "tools/call", params, can).await.message()
}

/// A client of the older lifecycle, which shows links.
struct Shows(tokio::sync::mpsc::UnboundedSender<String>, ElicitationAction);

impl ClientHandler for Shows {
    fn get_info(&self) -> ClientConfig {
        let elicitation = json!({ "elicitation": { "url": {} } });
        ClientConfig::new(serde_json::from_value(elicitation).unwrap(), Implementation::new("test", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::UrlElicitationParams { url, .. } = request else { panic!("{request:?}") };
        self.0.send(url).unwrap();
        Ok(ElicitResult::new(self.1.clone()))
    }
}

#[tokio::test]
async fn a_client_that_shows_links_waits_for_the_login() {
    let mut lab = Lab::new().await;
    let server = Server::new(&lab.settings).unwrap();
    lab.backends = server.backends().clone();
    lab.world.oauth = Lab::oauth(&lab.settings, &lab.backends, &lab.world.now);
    JANE.sits_at(&lab.world);
    for action in [ElicitationAction::Decline, ElicitationAction::Accept] {
        let (sender, mut shown) = tokio::sync::mpsc::unbounded_channel();
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let caller = JANE.caller(&lab).with_level(crate::Permission::ReadOnly);
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(caller, theirs).await.unwrap().waiting().await });
        let client = Shows(sender, action.clone()).serve(ours).await.unwrap();
        let called = client.call_tool(CallToolRequestParams::new("list_vms"));
        let login = async {
            let link = shown.recv().await.unwrap();
            if action == ElicitationAction::Accept {
                let mut browser = Browser::default();
                let page = browser.follow(&lab.world, &link).await;
                let done = browser.submit(&lab.world, &form(&page), JANE.user, JANE.password, &OWN).await;
                assert_eq!(done.status, StatusCode::OK, "{}", done.text);
            }
        };
        let (answer, ()) = tokio::join!(called, login);
        let content = answer.unwrap().structured_content.unwrap();
        match action {
            ElicitationAction::Accept => assert!(content["total"].as_u64().unwrap() > 20, "{content}"),
            _ => assert_eq!(content["code"], "declined", "{content}"),
        }
        client.cancel().await.unwrap();
    }
    assert_eq!((lab.sim.calls("Login"), lab.sim.sessions()), (1, 1));
    server.close().await;
    assert_eq!(lab.sim.sessions(), 0);
}

#[test]
fn who_logs_in_where_is_checked_at_the_start() {
    for (more, problem) in [
        (("MCP_TRANSPORT", "stdio"), "user needs MCP_TRANSPORT=streamable-http"),
        (("OAUTH_ENABLED", "false"), "user needs OAUTH_ENABLED"),
        (("OAUTH_MODE", "direct"), "user needs the login proxy"),
        (("OAUTH_BASE_URL", "http://127.0.0.1:8000"), "user needs an https OAUTH_BASE_URL"),
    ] {
        let error = settings(&[more]).check_user_login().unwrap_err().to_string();
        assert!(error.starts_with("VCENTER_LOGIN user") && error.contains(problem), "{error}");
    }
    let good = settings(&[]);
    good.check_user_login().unwrap();
    let warned = good.warnings();
    assert!(warned.iter().any(|(name, text)| *name == "VCENTER_USER" && text.contains("is not used")), "{warned:?}");
}
