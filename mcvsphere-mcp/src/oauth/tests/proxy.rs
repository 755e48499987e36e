//! The login proxy.

use serde_json::json;

use super::*;
use crate::Permission;

async fn world() -> World {
    World::new(|_| {}).await
}

fn token<'t>(tokens: &'t Value, name: &str) -> &'t str {
    tokens[name].as_str().unwrap_or_else(|| panic!("no {name} in {tokens}"))
}

#[tokio::test]
async fn a_client_is_registered_and_logs_a_user_in_and_stays_logged_in() {
    let world = world().await;
    let challenge = world.oauth.challenge(None);
    let metadata = format!("resource_metadata=\"{BASE}/.well-known/oauth-protected-resource/mcp\"");
    assert!(challenge.to_str().unwrap().contains(&metadata), "{challenge:?}");
    let resource = world.get("/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!((&resource["resource"], &resource["authorization_servers"]), (&json!(RESOURCE), &json!([BASE])));
    let server = world.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(server["issuer"], BASE);
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(world.get("/.well-known/openid-configuration").await.json(), server);

    let client = Client::register(&world, Client::REDIRECT).await;
    let tokens = client.log_in(&world).await;
    let jane = world.caller(token(&tokens, "access_token")).await.unwrap();
    assert_eq!((jane.level(), jane.name()), (Some(Permission::PowerOps), "jane"));
    assert_eq!(jane.groups(), ["vsphere-operators"]);

    world.wait(29 * 60);
    world.caller(token(&tokens, "access_token")).await.unwrap();
    world.wait(60);
    assert_eq!(world.refusal(token(&tokens, "access_token")).await, "the access token has expired");
    let answer = client.refresh(&world, token(&tokens, "refresh_token")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    world.caller(token(&answer.json(), "access_token")).await.unwrap();

    // Clients stay registered, and users logged in, when the server starts again.
    let world = world.restarted(|_| {});
    world.caller(token(&answer.json(), "access_token")).await.unwrap();
    assert_eq!(client.refresh(&world, token(&answer.json(), "refresh_token")).await.status, StatusCode::OK);
    client.log_in(&world).await;
}

#[tokio::test]
async fn an_application_with_a_scheme_of_its_own_gets_its_answer_by_a_page() {
    let world = world().await;
    let client = Client::register(&world, "cursor://anysphere.cursor-retrieval/oauth/callback").await;
    let page = Browser::default().log_in(&world, &client.authorize(&[])).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("href=\"cursor://anysphere.cursor-retrieval/oauth/callback?code="), "{}", page.text);
}

#[tokio::test]
async fn groups_are_found_in_each_token_and_in_the_answer_about_the_user() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    for place in ["id", "access", "user"] {
        world.idp.set().groups_in = place;
        let tokens = client.log_in(&world).await;
        let jane = world.caller(token(&tokens, "access_token")).await.unwrap();
        assert_eq!(jane.level(), Some(Permission::PowerOps), "{place}");
        world.idp.set().id_token_at_refresh = place == "id";
        let answer = client.refresh(&world, token(&tokens, "refresh_token")).await;
        assert_eq!(answer.status, StatusCode::OK, "{place}: {}", answer.text);
    }
    // What is said of another user gives nothing.
    world.idp.set().user_info_subject = Some("another".to_owned());
    let page = Browser::default().log_in(&world, &client.authorize(&[])).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_user_without_a_level_is_told_which_groups_give_one_and_the_client_learns_of_it() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    for (groups, text) in [
        (json!({ "groups": ["staff"] }), "vsphere-operators"),
        (json!({}), "vsphere-operators"),
        (json!({ "_claim_names": { "groups": "src1" } }), "app roles"),
    ] {
        world.idp.set().groups = groups;
        let page = Browser::default().log_in(&world, &client.authorize(&[])).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(page.text.contains(text) && page.text.contains("error=access_denied"), "{}", page.text);
    }
}

/// Threat 2: one kind of sealed text in the place of another.
#[tokio::test]
async fn threat_2_a_refresh_token_a_code_or_a_foreign_token_is_no_access_token() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let code = client.code(&world).await;
    assert!(world.caller(&code).await.is_err());
    let tokens = client.redeem(&world, &code, &[]).await.json();
    let (access, refresh) = (token(&tokens, "access_token"), token(&tokens, "refresh_token"));
    let id_token = world.idp.signed(json!({}), json!({ "sub": "1", "aud": Idp::CLIENT }));
    for bearer in
        [refresh, &refresh.replace("mcv_refresh_", "mcv_access_"), &client.id, &id_token, "", "x", "mcv_access_"]
    {
        assert!(world.caller(bearer).await.is_err(), "{bearer}");
    }
    let answer = client.refresh(&world, access).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));
    assert_eq!(client.refresh(&world, &access.replace("mcv_access_", "mcv_refresh_")).await.error(), "invalid_grant");
}

#[tokio::test]
async fn threat_8_no_client_reaches_the_provider_without_consent_and_each_login_asks() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let mut browser = Browser::default();
    for _ in 0..2 {
        let page = browser.get(&world, &client.authorize(&[])).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.headers.contains_key(header::LOCATION));
        assert!(
            page.text.contains("Test &lt;b&gt;client&lt;/b&gt;") && page.text.contains("127.0.0.1:7777"),
            "{}",
            page.text
        );
        browser.log_in(&world, &client.authorize(&[])).await.header(header::LOCATION);
    }
    let request = browser.ask(&world, &client.authorize(&[])).await;
    let answer = browser.decide(&world, &request, "deny", &[]).await;
    assert_eq!(query(answer.header(header::LOCATION))["error"], "access_denied");
    // One cookie is enough for any number of logins.
    assert_eq!(browser.cookies.len(), 1);
}

#[tokio::test]
async fn threat_9_an_answer_counts_in_its_own_browser_once_and_for_ten_minutes() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let mut attacker = Browser::default();
    let back = world.idp.log_in(&attacker.agree(&world, &client.authorize(&[])).await);
    for mut victim in [Browser::default(), {
        let mut browser = Browser::default();
        browser.ask(&world, &client.authorize(&[])).await;
        browser
    }] {
        let page = victim.get(&world, &back).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(page.text.contains("another browser") && !page.headers.contains_key(header::LOCATION));
    }
    assert_eq!(attacker.get(&world, &back).await.status, StatusCode::SEE_OTHER);
    let again = attacker.get(&world, &back).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.text.contains("This login is over"));

    let mut browser = Browser::default();
    let back = world.idp.log_in(&browser.agree(&world, &client.authorize(&[])).await);
    world.wait(601);
    let late = browser.get(&world, &back).await;
    assert!(late.text.contains("has expired") && late.status == StatusCode::BAD_REQUEST);
    let forged = browser.get(&world, "/auth/callback?code=x&state=mcv_state_AAAA").await;
    assert!(forged.text.contains("not known") && forged.status == StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn threat_10_a_consent_comes_from_the_page_in_this_browser_alone() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let mut browser = Browser::default();
    let page = browser.get(&world, &client.authorize(&[])).await;
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    assert!(
        policy.contains("frame-ancestors 'none'")
            && policy.contains("default-src 'none'")
            && !policy.contains("form-action")
    );
    assert_eq!(page.header(header::X_FRAME_OPTIONS), "DENY");
    assert!(!page.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));

    let request = browser.ask(&world, &client.authorize(&[])).await;
    let foreign = Browser::default().ask(&world, &client.authorize(&[])).await;
    for (request, headers) in [
        ("", &[][..]),
        ("mcv_request_AAAA", &[]),
        (&foreign, &[]),
        (&request, &[("origin", "https://evil.example")]),
        (&request, &[("origin", "null")]),
        (&request, &[("sec-fetch-site", "cross-site")]),
        (&request, &[("sec-fetch-site", "same-site")]),
    ] {
        let answer = browser.decide(&world, request, "allow", headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(Browser::default().decide(&world, &request, "allow", &[]).await.status, StatusCode::FORBIDDEN);
    // A page that was loaded again is good, and so is the one before.
    browser.ask(&world, &client.authorize(&[])).await;
    assert_eq!(browser.decide(&world, &request, "allow", &[("origin", BASE)]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn threat_11_an_answer_is_sent_to_a_registered_address_alone() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let mut browser = Browser::default();
    for redirect in [
        "https://evil.example/cb",
        "http://127.0.0.1.evil.example:7777/cb",
        "http://user@127.0.0.1:7777/cb",
        "http://127.0.0.1:7777/a/../cb",
        "http://127.0.0.1:7777/cb#x",
        "javascript:alert(1)",
        "http://127.0.0.1:7777/%63b",
        "",
    ] {
        let page = browser.get(&world, &client.authorize(&[("redirect_uri", redirect)])).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{redirect}");
        assert!(!page.headers.contains_key(header::LOCATION));
    }
    let other_port = client.authorize(&[("redirect_uri", "http://127.0.0.1:4242/cb")]);
    let answer = browser.log_in(&world, &other_port).await;
    assert!(answer.header(header::LOCATION).starts_with("http://127.0.0.1:4242/cb?code="));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_to_the_client_once_its_address_is_known() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    for (changes, error) in [
        (&[("code_challenge_method", "plain")][..], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("resource", "https://other.example/mcp")], "invalid_target"),
    ] {
        let answer = Browser::default().get(&world, &client.authorize(changes)).await;
        let query = query(answer.header(header::LOCATION));
        assert_eq!((query["error"].as_str(), query["iss"].as_str()), (error, BASE), "{changes:?}");
        assert_eq!(query["state"], "the client's state");
    }
    let slash = format!("{RESOURCE}/");
    Browser::default().ask(&world, &client.authorize(&[("resource", &slash)])).await;
    let twice = format!("{}&client_id=x", client.authorize(&[]));
    assert_eq!(Browser::default().get(&world, &twice).await.status, StatusCode::BAD_REQUEST);
    let unknown = Browser::default().get(&world, &client.authorize(&[("client_id", "mcv_client_AAAA")])).await;
    assert!(unknown.status == StatusCode::BAD_REQUEST && unknown.text.contains("registers again"), "{}", unknown.text);
}

#[tokio::test]
async fn threat_12_a_code_is_good_once_for_its_client_address_and_verifier() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let other = Client::register(&world, "http://127.0.0.1:7777/other").await;
    for changes in [
        &[("client_id", other.id.as_str())][..],
        &[("redirect_uri", "http://127.0.0.1:7777/other")],
        &[("code_verifier", "w".repeat(43).as_str())],
        &[("code_verifier", "v")],
    ] {
        let code = client.code(&world).await;
        let answer = client.redeem(&world, &code, changes).await;
        assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"), "{changes:?}");
        // A try that failed has used it up.
        assert_eq!(client.redeem(&world, &code, &[]).await.error(), "invalid_grant");
    }
    let code = client.code(&world).await;
    assert_eq!(client.redeem(&world, &code, &[("code_verifier", "")]).await.error(), "invalid_request");
    assert_eq!(client.redeem(&world, &code, &[("resource", "https://other.example")]).await.error(), "invalid_target");
    let answer = client.redeem(&world, &code, &[("client_id", "mcv_client_x")]).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::UNAUTHORIZED, "invalid_client"));

    // Whoever brings a code a second time ends the login, as one of the two has stolen it.
    let tokens = client.redeem(&world, &code, &[]).await.json();
    world.caller(token(&tokens, "access_token")).await.unwrap();
    assert_eq!(client.redeem(&world, &code, &[]).await.error(), "invalid_grant");
    assert_eq!(world.refusal(token(&tokens, "access_token")).await, "the access token was revoked");
    assert_eq!(client.refresh(&world, token(&tokens, "refresh_token")).await.error(), "invalid_grant");

    let code = client.code(&world).await;
    world.wait(60);
    assert_eq!(client.redeem(&world, &code, &[]).await.error(), "invalid_grant");
}

#[tokio::test]
async fn threat_13_a_refresh_token_is_answered_again_for_a_minute_and_then_no_more() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let other = Client::register(&world, "http://127.0.0.1:7777/other").await;
    let tokens = client.log_in(&world).await;
    let first = token(&tokens, "refresh_token");
    assert_eq!(other.refresh(&world, first).await.error(), "invalid_grant");
    // At once, as clients do that run twice: the provider is asked once.
    let answers =
        tokio::join!(client.refresh(&world, first), client.refresh(&world, first), client.refresh(&world, first));
    let second = answers.0.json();
    assert_eq!((answers.1.json(), answers.2.json()), (second.clone(), second.clone()));
    assert_eq!(world.idp.refreshes.load(Ordering::Relaxed), 1);
    world.wait(60);
    assert_eq!(client.refresh(&world, first).await.json(), second);
    world.wait(1);
    assert_eq!(client.refresh(&world, first).await.error(), "invalid_grant");
    let third = client.refresh(&world, token(&second, "refresh_token")).await.json();
    // One that is two behind is refused within the minute, too.
    assert_eq!(client.refresh(&world, first).await.error(), "invalid_grant");

    world.idp.set().groups = json!({ "groups": ["vsphere-viewers"] });
    let fourth = client.refresh(&world, token(&third, "refresh_token")).await.json();
    let jane = world.caller(token(&fourth, "access_token")).await.unwrap();
    assert_eq!(jane.level(), Some(Permission::ReadOnly));
    world.idp.set().groups = json!({ "groups": ["staff"] });
    let answer = client.refresh(&world, token(&fourth, "refresh_token")).await;
    assert_eq!((answer.status, answer.error().as_str()), (StatusCode::BAD_REQUEST, "invalid_grant"));

    world.idp.set().groups = json!({ "groups": ["vsphere-viewers"] });
    let tokens = client.log_in(&world).await;
    world.idp.set().disabled = true;
    assert_eq!(client.refresh(&world, token(&tokens, "refresh_token")).await.error(), "invalid_grant");
}

#[tokio::test]
async fn threat_14_an_answer_of_another_provider_or_of_another_login_is_none() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    world.idp.set().issuer_in_answers = Some("https://evil.example".to_owned());
    let page = Browser::default().log_in(&world, &client.authorize(&[])).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("somebody else"));
    world.idp.set().issuer_in_answers = None;
    for (change, text) in [
        ((|knobs| knobs.nonce = Some("another".to_owned())) as fn(&mut idp::Knobs), "another login"),
        (|knobs| knobs.audience = Some(json!("another")), "not for OAUTH_CLIENT_ID"),
        (|knobs| knobs.audience = Some(json!([Idp::CLIENT, "another"])), "does not say who asked"),
        (|knobs| knobs.issuer_in_tokens = Some("https://evil.example".to_owned()), "another issuer"),
        (|knobs| knobs.shared_secret = true, "choose a signing key"),
    ] {
        change(&mut world.idp.set());
        let page = Browser::default().log_in(&world, &client.authorize(&[])).await;
        assert_eq!(page.status, StatusCode::BAD_GATEWAY);
        assert!(page.text.contains(text), "{text}: {}", page.text);
        let mut knobs = world.idp.set();
        (knobs.nonce, knobs.audience, knobs.issuer_in_tokens, knobs.shared_secret) = (None, None, None, false);
    }
    client.log_in(&world).await;
}

#[tokio::test]
async fn threat_18_bodies_and_parameters_have_limits() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let large = "x".repeat(5 << 20);
    for path in ["/register", "/token", "/revoke", "/consent"] {
        let answer = world.send(Request::post(path).body(large.clone().into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
    let many: String = (0..1000).map(|number| format!("&p{number}=1")).collect();
    assert_eq!(
        Browser::default().get(&world, &format!("{}{many}", client.authorize(&[]))).await.status,
        StatusCode::BAD_REQUEST
    );
    let state = "s".repeat(2000);
    let answer = Browser::default().get(&world, &client.authorize(&[("state", &state)])).await;
    assert!(!query(answer.header(header::LOCATION)).contains_key("state"));
    // What goes through the browser's address bar stays within what proxies pass on.
    let state = "s".repeat(500);
    let provider = Browser::default().agree(&world, &client.authorize(&[("state", &state)])).await;
    assert!(provider.len() < 2048, "{}", provider.len());
    // A user in very many groups costs no more than one in few.
    let names: Vec<String> =
        (0..300).map(|number| format!("group-{number}")).chain(["vsphere-admins".to_owned()]).collect();
    world.idp.set().groups = json!({ "groups": names });
    let tokens = client.log_in(&world).await;
    assert!(token(&tokens, "access_token").len() < 1000);
}

#[tokio::test]
async fn threat_19_a_provider_in_trouble_ends_no_login() {
    let world = world().await;
    // The server starts, and tells who it is, while the provider is down.
    world.idp.set().trouble = Some(Trouble::Status(500));
    assert_eq!(world.get("/.well-known/oauth-authorization-server").await.status, StatusCode::OK);
    let client = Client::register(&world, Client::REDIRECT).await;
    let mut browser = Browser::default();
    let request = browser.ask(&world, &client.authorize(&[])).await;
    let page = browser.decide(&world, &request, "allow", &[]).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);

    world.idp.set().trouble = None;
    let world = world.restarted(|_| {});
    let tokens = client.log_in(&world).await;
    let refresh = token(&tokens, "refresh_token");
    for trouble in
        [Trouble::Status(500), Trouble::Status(503), Trouble::Status(429), Trouble::Status(400), Trouble::NoJson]
    {
        world.idp.set().trouble = Some(trouble);
        world.caller(token(&tokens, "access_token")).await.unwrap();
        let answer = client.refresh(&world, refresh).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{trouble:?} {}", answer.text);
        assert_eq!((answer.header(header::RETRY_AFTER), answer.error().as_str()), ("10", "temporarily_unavailable"));
    }
    // It fails after it has given its next token: that one is not lost.
    world.idp.set().groups_in = "user";
    (world.idp.set().trouble, world.idp.set().trouble_at) = (Some(Trouble::Status(500)), "userinfo");
    assert_eq!(client.refresh(&world, refresh).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.idp.set().trouble = None;
    let answer = client.refresh(&world, refresh).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

#[tokio::test]
async fn a_slow_provider_is_waited_for_where_the_client_goes_away() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let tokens = client.log_in(&world).await;
    (world.idp.set().trouble, world.idp.set().trouble_at) = (Some(Trouble::Slow(300)), "token");
    let refresh = token(&tokens, "refresh_token");
    let gone = tokio::time::timeout(std::time::Duration::from_millis(50), client.refresh(&world, refresh)).await;
    assert!(gone.is_err());
    let answer = client.refresh(&world, refresh).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(world.idp.refreshes.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn threat_20_a_new_signing_key_keeps_logins_with_the_one_before_and_says_so_without() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let tokens = client.log_in(&world).await;
    let (access, refresh) = (token(&tokens, "access_token"), token(&tokens, "refresh_token"));
    let new = "a signing key that is new and long";
    let kept = world.restarted(|settings| {
        settings.signing_key = Some(new.to_owned());
        settings.previous_key = Some(Idp::SECRET.to_owned());
    });
    kept.caller(access).await.unwrap();
    let lost = world.restarted(|settings| settings.signing_key = Some(new.to_owned()));
    assert!(lost.refusal(access).await.contains("before its key was replaced: log in again"));
    assert_eq!(client.refresh(&lost, refresh).await.error(), "invalid_client");
    assert_eq!(client.refresh(&kept, refresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_login_is_over_here_and_at_the_provider() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    let other = Client::register(&world, "http://127.0.0.1:7777/other").await;
    let tokens = client.log_in(&world).await;
    let (access, refresh) = (token(&tokens, "access_token"), token(&tokens, "refresh_token"));
    assert_eq!(world.post("/revoke", &[("token", refresh), ("client_id", &other.id)]).await.status, StatusCode::OK);
    world.caller(access).await.unwrap();
    assert_eq!(world.post("/revoke", &[("token", refresh), ("client_id", &client.id)]).await.status, StatusCode::OK);
    assert_eq!(world.refusal(access).await, "the access token was revoked");
    assert_eq!(client.refresh(&world, refresh).await.error(), "invalid_grant");
    // The provider's own token was sent there, and not the one of this server.
    assert!(world.idp.revoked.lock().unwrap().iter().all(|token| token.starts_with("refresh-")));
    assert_eq!(world.idp.revoked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_refresh_token_a_login_lasts_an_hour_and_a_short_one_ends_before_its_refresh_token() {
    let world = world().await;
    let client = Client::register(&world, Client::REDIRECT).await;
    world.idp.set().gives_refresh_tokens = false;
    let tokens = client.log_in(&world).await;
    assert_eq!((&tokens["expires_in"], tokens.get("refresh_token")), (&json!(3600), None));
    world.idp.set().gives_refresh_tokens = true;
    world.idp.set().refresh_expires_in = Some(1800);
    let mut tokens = client.log_in(&world).await;
    // Each refresh gives another half hour, for as long as the login goes on.
    for _ in 0..4 {
        assert_eq!(tokens["expires_in"], 1200);
        world.wait(1200);
        tokens = client.refresh(&world, token(&tokens, "refresh_token")).await.json();
    }
    // What Keycloak means by 0 is that it does not end.
    world.idp.set().refresh_expires_in = Some(0);
    assert_eq!(client.log_in(&world).await["expires_in"], 1800);
}

#[tokio::test]
async fn programs_in_web_pages_reach_what_is_for_programs_and_not_the_pages() {
    let world = world().await;
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/register",
        "/token",
        "/revoke",
    ] {
        let preflight =
            Request::options(path).header(header::ORIGIN, "https://page.example").body(Body::empty()).unwrap();
        let answer = world.send(preflight).await;
        assert_eq!(
            (answer.status, answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN)),
            (StatusCode::NO_CONTENT, "*"),
            "{path}"
        );
    }
    for path in ["/authorize", "/consent", "/auth/callback"] {
        let answer = world.send(Request::options(path).body(Body::empty()).unwrap()).await;
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
    }
}

#[tokio::test]
async fn the_doctor_says_what_to_register_and_what_is_wrong_with_the_provider() {
    let world = World::new(|settings| settings.issuer.push('/')).await;
    let found = world.oauth.examine().await;
    let of =
        |what: &str| found.iter().find(|(name, ..)| *name == what).unwrap_or_else(|| panic!("no {what}: {found:?}"));
    assert!(of("oauth: redirect URI").2.starts_with("https://mcp.example/auth/callback "));
    assert_eq!(of("oauth: keys").1, Finding::Good);
    let (_, finding, text) = of("oauth: provider");
    assert!(*finding == Finding::Doubtful && text.contains("set it to the former"), "{text}");
    assert!(of("oauth: scopes").2.contains("email"), "{found:?}");
    assert!(of("oauth: groups scope").2.contains("OAUTH_SCOPES"), "{found:?}");

    world.idp.set().trouble = Some(Trouble::Status(500));
    let found = world.restarted(|_| {}).oauth.examine().await;
    assert_eq!(found.last().map(|(what, finding, _)| (*what, *finding)), Some(("oauth: provider", Finding::Bad)));
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named_at_start() {
    let world = world().await;
    for (change, setting) in [
        (
            (|settings| settings.client_secret = Some("short".to_owned())) as fn(&mut OAuthSettings),
            "OAUTH_CLIENT_SECRET",
        ),
        (|settings| settings.signing_key = Some("short".to_owned()), "MCP_SIGNING_KEY"),
        (|settings| settings.client_id = None, "OAUTH_CLIENT_ID"),
        (|settings| settings.issuer = "http://idp.example".to_owned(), "OAUTH_ISSUER_URL"),
        (|settings| settings.base_url = "http://mcp.example".to_owned(), "OAUTH_BASE_URL"),
        (|settings| settings.base_url = "https://mcp.example/path".to_owned(), "OAUTH_BASE_URL"),
        (|settings| settings.scopes = vec!["a\"b".to_owned()], "OAUTH_SCOPES"),
    ] {
        let mut settings = world.oauth.inner.settings.clone();
        change(&mut settings);
        let error = OAuth::new(&settings, Audit::default(), None).err().unwrap();
        assert_eq!(error.setting, setting, "{error}");
        assert!(!error.to_string().contains("short"));
    }
}

#[tokio::test]
async fn what_the_provider_sends_back_is_short_whatever_the_client_asks_for() {
    let world = world().await;
    let redirect = format!("http://127.0.0.1:7777/{}", "r".repeat(900));
    let client = Client::register(&world, &redirect).await;
    let long = "s".repeat(1024);
    let authorize = client.authorize(&[("state", &long)]);
    let mut browser = Browser::default();
    let provider = browser.agree(&world, &authorize).await;
    let state = query(&provider)["state"].clone();
    assert!(state.len() < 2048, "{}", state.len());
    let back = world.idp.log_in(&provider);
    // Nobody else can answer in its place.
    assert_eq!(Browser::default().get(&world, &back).await.status, StatusCode::FORBIDDEN);
    let answer = browser.get(&world, &back).await;
    let query_back = query(answer.header(header::LOCATION));
    assert_eq!(query_back["state"], long);
    let answer = client.redeem(&world, &query_back["code"], &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    // After a restart a long one is not known, and says so.
    let provider = browser.agree(&world, &authorize).await;
    let back = world.idp.log_in(&provider);
    let page = browser.get(&world.restarted(|_| {}), &back).await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("is not known"), "{}", page.text);
}
