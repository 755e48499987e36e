//! Tokens of the provider itself.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::json;

use super::{
    super::{Mode, jwt},
    *,
};
use crate::Permission;

async fn world() -> World {
    World::new(|settings| settings.mode = Some(Mode::Direct)).await
}

fn claims(change: Value) -> Value {
    let mut claims = json!({ "sub": "1", "aud": RESOURCE, "preferred_username": "jane", "groups": ["vsphere-admins"] });
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims
}

#[tokio::test]
async fn a_token_of_the_provider_for_this_server_counts_and_the_metadata_names_the_provider() {
    let world = world().await;
    let resource = world.get("/.well-known/oauth-protected-resource").await.json();
    assert_eq!(
        (&resource["resource"], &resource["authorization_servers"]),
        (&json!(RESOURCE), &json!([world.idp.issuer]))
    );
    assert_eq!(world.get("/.well-known/oauth-authorization-server").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/authorize").await.status, StatusCode::NOT_FOUND);
    for change in [json!({}), json!({ "aud": ["other", RESOURCE] }), json!({ "aud": format!("{RESOURCE}/") })] {
        let jane = world.caller(&world.idp.signed(json!({ "typ": "at+jwt" }), claims(change))).await.unwrap();
        assert_eq!((jane.level(), jane.name()), (Some(Permission::VmLifecycle), "jane"));
    }
    // Whoever is in no group of the map is known, and may do nothing.
    let nobody = world.caller(&world.idp.signed(json!({}), claims(json!({ "groups": ["x"] })))).await.unwrap();
    assert_eq!(nobody.level(), None);
    let token = world.idp.signed(json!({}), claims(json!({ "aud": "https://other.example" })));
    assert!(world.refusal(&token).await.contains("OAUTH_AUDIENCE"));
    let allowing = world.restarted(|settings| settings.audiences = ["https://other.example".to_owned()].into());
    allowing.caller(&token).await.unwrap();
}

/// What a provider says of an active token for this server.
fn active(world: &World, change: Value) -> Value {
    let mut said = json!({ "active": true, "iss": world.idp.issuer, "token_type": "Bearer" });
    said.as_object_mut().unwrap().extend(claims(change).as_object().unwrap().clone());
    said
}

#[tokio::test]
async fn an_opaque_token_is_whose_the_provider_says_where_it_may_be_asked() {
    let world = world().await;
    assert_eq!(world.caller("opaque-1").await.unwrap_err(), Refused::Unknown);
    assert_eq!(world.idp.introspections.load(Ordering::Relaxed), 0);
    let world = world.restarted(|settings| settings.introspection = true);
    let ends = world.now.load(Ordering::Relaxed) + 100;
    world.idp.set().introspected = active(&world, json!({ "exp": ends }));
    for _ in 0..3 {
        let jane = world.caller("opaque-1").await.unwrap();
        assert_eq!((jane.level(), jane.name()), (Some(Permission::VmLifecycle), "jane"));
    }
    assert_eq!(world.idp.introspections.load(Ordering::Relaxed), 1, "the answer is used again");

    // A token that was revoked meanwhile ends to count when the answer does.
    world.idp.set().introspected = json!({ "active": false, "sub": "1", "aud": RESOURCE });
    world.caller("opaque-1").await.unwrap();
    world.wait(31);
    assert!(world.refusal("opaque-1").await.contains("not any longer"));
    assert_eq!(world.idp.introspections.load(Ordering::Relaxed), 2);
    assert!(world.refusal("opaque-1").await.contains("not any longer"), "that is used again as well");
    assert_eq!(world.idp.introspections.load(Ordering::Relaxed), 2);

    // One that ends before its answer does.
    let ends = world.now.load(Ordering::Relaxed) + 40 - 60;
    world.idp.set().introspected = active(&world, json!({ "exp": ends }));
    world.wait(31);
    world.caller("opaque-1").await.unwrap();
    world.wait(10);
    assert!(world.refusal("opaque-1").await.contains("has expired"));

    // Tokens of the settings file are nobody's business but this server's.
    let asked = world.idp.introspections.load(Ordering::Relaxed);
    assert_eq!(world.caller("mcv_AAAA").await.unwrap_err(), Refused::Unknown);
    assert_eq!(world.idp.introspections.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn an_active_token_that_is_not_for_this_server_is_refused() {
    let world = world().await.restarted(|settings| settings.introspection = true);
    for (change, why) in [
        (json!({ "aud": "https://other.example" }), "OAUTH_AUDIENCE"),
        (json!({ "aud": null }), "OAUTH_AUDIENCE"),
        (json!({ "iss": "https://other.example" }), "another issuer"),
        (json!({ "typ": "Refresh" }), "no access token"),
        (json!({ "token_use": "refresh_token" }), "no access token"),
        (json!({ "cnf": { "jkt": "x" } }), "bound to a key"),
        (json!({ "sub": "" }), "names no subject"),
        (json!({ "exp": "soon" }), "when it expires"),
        (json!({ "active": "true" }), "not any longer"),
    ] {
        world.idp.set().introspected = active(&world, change.clone());
        let text = world.refusal("opaque-1").await;
        assert!(text.contains(why), "{change}: {text}");
        world.wait(31);
    }
    // The groups may be told at the endpoint for users alone, by somebody who is the same.
    world.idp.set().introspected = active(&world, json!({ "sub": "248289761001", "groups": null }));
    world.idp.set().groups_in = "user";
    assert_eq!(world.caller("opaque-1").await.unwrap().level(), Some(Permission::PowerOps));
    world.wait(31);
    world.idp.set().user_info_subject = Some("another".to_owned());
    assert_eq!(world.caller("opaque-1").await.unwrap().level(), None);
    world.wait(31);
    for trouble in [Trouble::Status(401), Trouble::Status(500), Trouble::NoJson] {
        world.idp.set().trouble = Some(trouble);
        world.idp.set().trouble_at = "introspect";
        assert!(matches!(world.caller("opaque-1").await, Err(Refused::Unavailable(_))), "{trouble:?}");
    }
    world.idp.set().trouble = None;
    world.caller("opaque-1").await.unwrap();
}

#[tokio::test]
async fn threat_1_forged_tokens_are_refused() {
    let world = world().await;
    world.caller(&world.idp.signed(json!({}), claims(json!({})))).await.unwrap();
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = world.now.load(Ordering::Relaxed);
    let payload = part(claims(json!({ "iss": world.idp.issuer, "exp": now + 300 })));
    for alg in ["none", "None", "NONE", ""] {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{payload}.{signature}", part(json!({ "alg": alg, "kid": "k1" })));
            assert!(matches!(world.caller(&token).await, Err(Refused::Invalid(_))), "{alg}");
        }
    }
    // The public key as the secret of HS256.
    let signed = format!("{}.{payload}", part(json!({ "alg": "HS256", "kid": "k1" })));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &world.idp.public_key());
    let forged = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())));
    assert!(world.refusal(&forged).await.contains("choose a signing key"));
    for header in [
        json!({ "crit": ["exp"] }),
        json!({ "alg": "RS256" }),
        json!({ "kid": "enc" }),
        json!({ "kid": "enc", "alg": "RS256" }),
    ] {
        assert!(world.caller(&world.idp.signed(header.clone(), claims(json!({})))).await.is_err(), "{header}");
    }
    let token = world.idp.signed(json!({}), claims(json!({})));
    let mut parts: Vec<&str> = token.split('.').collect();
    let more = part(claims(json!({ "iss": world.idp.issuer, "exp": now + 300, "groups": ["vsphere-super-admins"] })));
    parts[1] = &more;
    assert!(world.refusal(&parts.join(".")).await.contains("not signed by a key"));
    // A key of somebody else under the name of the right one.
    let other = Idp::start(Arc::clone(&world.now)).await;
    let foreign = other.signed(json!({ "kid": "k1" }), claims(json!({ "iss": world.idp.issuer })));
    assert!(world.refusal(&foreign).await.contains("not signed by a key"));
    for text in ["ey.ey.ey", "eyJ.eyJ.", "ey..", &format!("ey{}.a.b", "x".repeat(100_000))] {
        assert!(world.caller(text).await.is_err());
    }
}

#[tokio::test]
async fn threat_2_a_token_of_another_kind_issuer_or_audience_is_refused() {
    let world = world().await;
    let slash = format!("{}/", world.idp.issuer);
    for (header, change, reason) in [
        (json!({}), json!({ "iss": "https://evil.example" }), "another issuer"),
        (json!({}), json!({ "iss": slash }), "by a slash"),
        (json!({}), json!({ "iss": null }), "another issuer"),
        (json!({}), json!({ "aud": null }), "audience"),
        (json!({}), json!({ "aud": [] }), "audience"),
        (json!({}), json!({ "aud": "" }), "audience"),
        (json!({}), json!({ "aud": "https://mcp.example" }), "audience"),
        (json!({}), json!({ "aud": "https://mcp.example/mcp2" }), "audience"),
        (json!({}), json!({ "aud": Idp::CLIENT }), "audience"),
        (json!({}), json!({ "sub": null }), "subject"),
        (json!({}), json!({ "nonce": "n" }), "no access token"),
        (json!({}), json!({ "at_hash": "h" }), "no access token"),
        (json!({}), json!({ "typ": "ID" }), "no access token"),
        (json!({}), json!({ "cnf": { "jkt": "x" } }), "bound to a key"),
        (json!({ "typ": "logout+jwt" }), json!({}), "kind"),
    ] {
        let token = world.idp.signed(header, claims(change.clone()));
        let refusal = world.refusal(&token).await;
        assert!(refusal.contains(reason), "{change}: {refusal}");
        assert!(!refusal.contains(&token));
    }
}

#[tokio::test]
async fn threat_3_a_token_counts_in_its_time_with_a_minute_to_spare() {
    let world = world().await;
    let now = world.now.load(Ordering::Relaxed);
    for (change, counts) in [
        (json!({ "exp": now - 59 }), true),
        (json!({ "exp": now - 60 }), false),
        (json!({ "nbf": now + 60 }), true),
        (json!({ "nbf": now + 61 }), false),
        (json!({ "exp": null }), false),
        (json!({ "exp": "tomorrow" }), false),
        (json!({ "nbf": "yesterday" }), false),
    ] {
        let caller = world.caller(&world.idp.signed(json!({}), claims(change.clone()))).await;
        assert_eq!(caller.is_ok(), counts, "{change}");
    }
}

/// A bearer that is refused is told about by its reason alone, in a header that holds nothing else.
#[tokio::test]
async fn threat_4_a_challenge_holds_no_token_and_no_other_header() {
    let world = world().await;
    let refused = Refused::Invalid("a \"reason\"\r\nset-cookie: x=\u{e9}".to_owned());
    let challenge = world.oauth.challenge(Some(&refused));
    let text = challenge.to_str().unwrap();
    assert!(text.contains("error=\"invalid_token\"") && text.contains("scope=\"openid profile email\""), "{text}");
    assert_eq!(text.matches('"').count(), 8, "{text}");
}

#[tokio::test]
async fn threat_18_unknown_keys_make_no_storm_and_rotated_ones_are_found() {
    let world = world().await;
    let old = world.idp.signed(json!({}), claims(json!({})));
    world.caller(&old).await.unwrap();
    let reads = || world.idp.reads_of_keys.load(Ordering::Relaxed);
    assert_eq!(reads(), 1);
    // The first token with a new key finds it, long before the keys are old.
    world.idp.rotate("k2");
    let new = world.idp.signed(json!({}), claims(json!({})));
    let (one, two) = tokio::join!(world.caller(&new), world.caller(&new));
    one.and(two).unwrap();
    assert_eq!(reads(), 2);
    for number in 0..50 {
        let token = world.idp.signed(json!({ "kid": format!("random-{number}") }), claims(json!({})));
        assert!(matches!(world.caller(&token).await, Err(Refused::Invalid(_))));
    }
    assert_eq!(reads(), 2);
    world.caller(&new).await.unwrap();
    // A key that the provider has withdrawn counts no longer.
    assert!(world.caller(&old).await.is_err());
}

#[tokio::test]
async fn threat_19_what_is_known_of_the_provider_stays_known_while_it_is_down() {
    let world = world().await;
    world.idp.set().trouble = Some(Trouble::Status(500));
    let token = world.idp.signed(json!({}), claims(json!({})));
    assert!(matches!(world.caller(&token).await, Err(Refused::Unavailable(_))));
    assert_eq!(world.get("/.well-known/oauth-protected-resource").await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.idp.set().trouble = None;
    let world = world.restarted(|_| {});
    world.caller(&token).await.unwrap();
    world.idp.set().trouble = Some(Trouble::NoJson);
    world.caller(&token).await.unwrap();
    let unknown = world.idp.signed(json!({ "kid": "new" }), claims(json!({})));
    assert!(matches!(world.caller(&unknown).await, Err(Refused::Invalid(_))));
}

/// A token and a key that OpenSSL has made.
#[test]
fn a_signature_of_rsa_is_checked() {
    let key: Value = serde_json::from_str(include_str!("rsa.jwk.json")).unwrap();
    let token = include_str!("rsa.jwt").trim();
    let check = |key: &Value, token: &str| {
        let keys: Vec<jwt::Key> = jwt::Key::of(key).into_iter().collect();
        jwt::Jwt::read(token)
            .and_then(|jwt| jwt.check(&keys, "https://idp.example", 1_900_000_000))
            .map(|claims| claims["sub"].clone())
    };
    assert_eq!(check(&key, token), Ok(json!("1")));
    for (name, value) in [("use", "enc"), ("alg", "PS256"), ("alg", "RSA-OAEP"), ("kty", "EC"), ("kid", "other")] {
        let mut changed = key.clone();
        changed[name] = value.into();
        assert!(check(&changed, token).is_err(), "{name} {value}");
    }
    let mut changed = token.to_owned();
    let last = changed.len() - 5;
    changed.replace_range(last..=last, if &token[last..=last] == "A" { "B" } else { "A" });
    assert!(check(&key, &changed).is_err());
}
