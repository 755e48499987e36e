//! Confirmation tokens: sealed over who asks, for what, at which vCenter and in which state of things; and good once.
//!
//! A token is used up by one atomic claim before the call acts. What has been used is remembered in this process for as long
//! as the token would have been good. The token of another process of the same server, which has the same key, is good where
//! both note their claims in one store (`claims`), and only there.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{self, SecureRandom},
};
use rmcp::model::{CallToolResponse, JsonObject, RequestStateCodec, RequestStateError, SealOptions};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    PATIENCE,
    claims::{Claims, NoClaims},
    sorted,
};
use crate::{
    ToolError,
    caller::{Identity, Owner},
    cx::Call,
    keys::{Root, SigningKey},
};

/// What a token is sealed over, besides what was shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) owner: &'a Owner,
    pub(super) tool: &'a str,
    pub(super) arguments: &'a JsonObject,
    /// Which vCenter Server or host: its `instanceUuid`, or else how it is reached.
    pub(super) server: &'a str,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Void {
    /// It is older than it may be.
    Expired,
    /// No process of this server made it.
    Unknown,
    /// Another process of this server made it, and they have no store of claims.
    Elsewhere,
    /// It was given to another caller, or in another session.
    Foreign,
    /// It was given for another tool or other arguments.
    OtherCall,
    /// It was given for another vCenter Server or host.
    OtherServer,
    /// It has been used.
    Used,
    /// What was shown is no longer what is there.
    Changed,
}

impl Void {
    /// The reason for a program.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::Elsewhere => "elsewhere",
            Self::Foreign => "foreign",
            Self::OtherCall => "other_call",
            Self::OtherServer => "other_server",
            Self::Used => "used",
            Self::Changed => "changed",
        }
    }
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "The confirmation came too late, so it is asked again.",
            Self::Unknown => {
                "This confirmation token was not made by this server, which may have been restarted, so it is asked again."
            }
            Self::Elsewhere => {
                "This confirmation token was made by another process of this server, which may have been restarted. Without a \
                 store of claims (MCP_CLAIMS) nobody knows here whether it was used, so it is asked again."
            }
            Self::Foreign => "This confirmation token was given to another caller or session, so it is asked here.",
            Self::OtherCall => {
                "This confirmation token was given for another tool or other arguments, so it is asked for these."
            }
            Self::OtherServer => "This confirmation token was given for another vCenter or host, so it is asked for this.",
            Self::Used => "This confirmation token has been used already: each is good once, so it is asked again.",
            Self::Changed => "What the user agreed to has changed since it was shown, so it is asked again.",
        })
    }
}

/// The length of a token's number and of each digest in it, in bytes: nobody guesses 64 bits within the token's life.
const PART: usize = 8;

type Part = [u8; PART];

/// What stands in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    process: Part,
    number: Part,
    owner: Part,
    call: Part,
    server: Part,
    state: Part,
}

impl Content {
    fn to_bytes(self) -> Vec<u8> {
        [self.process, self.number, self.owner, self.call, self.server, self.state].concat()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.chunks_exact(PART).filter_map(|part| Part::try_from(part).ok());
        let mut next = || parts.next();
        let content =
            Self { process: next()?, number: next()?, owner: next()?, call: next()?, server: next()?, state: next()? };
        (bytes.len() == 6 * PART).then_some(content)
    }
}

/// Makes tokens, reads them, and remembers which have been used.
pub(crate) struct Tokens {
    /// The process that makes them.
    process: Part,
    current: Keys,
    previous: Option<Keys>,
    random: rand::SystemRandom,
    used: Mutex<HashMap<Part, Used>>,
    claims: Option<Claims>,
}

/// What tokens and cursors are sealed with.
struct Keys {
    codec: RequestStateCodec,
    /// Makes digests that nobody else can make, since anybody can read those in a token.
    digests: hmac::Key,
    cursors: hmac::Key,
}

impl Keys {
    /// Those of processes that note claims in a store, or of others: in a server where some do and some do not, as while its
    /// settings are changed, neither take the tokens of the others, which might be used on both sides.
    fn new(root: &Root, has_claims: bool) -> Result<Self, NoRandomness> {
        let tokens = if has_claims { "claimed tokens" } else { "tokens" };
        let key = |purpose| root.key(purpose).map_err(|_| NoRandomness);
        let digests = |purpose| Ok(hmac::Key::new(hmac::HMAC_SHA256, &key(purpose)?));
        let codec = RequestStateCodec::try_new(key(tokens)?.to_vec()).map_err(|_| NoRandomness)?;
        Ok(Self { codec, digests: digests("digests")?, cursors: digests("cursors")? })
    }

    fn content(&self, process: Part, number: Part, terms: Terms<'_>, state: &Value) -> Content {
        Content {
            process,
            number,
            owner: self.owner_of(terms.owner),
            call: self.call_of(terms.tool, terms.arguments),
            server: digest(&self.digests, json!(terms.server)),
            state: digest(&self.digests, sorted(state)),
        }
    }

    fn owner_of(&self, owner: &Owner) -> Part {
        digest(&self.digests, json!(owner))
    }

    fn call_of(&self, tool: &str, arguments: &JsonObject) -> Part {
        digest(&self.digests, json!([tool, sorted(&Value::Object(arguments.clone()))]))
    }

    fn tag(&self, owner: &Owner, tool: &str, cursor: &str) -> String {
        hex(digest(&self.cursors, json!([owner, tool, cursor])))
    }
}

fn digest(key: &hmac::Key, value: Value) -> Part {
    let mut part = Part::default();
    let digest = hmac::sign(key, value.to_string().as_bytes());
    part.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    part
}

fn hex(part: Part) -> String {
    format!("{:016x}", u64::from_be_bytes(part))
}

struct Used {
    at: Instant,
    call: Part,
    outcome: watch::Receiver<Option<CallToolResponse>>,
}

/// The most tokens that are remembered. More are not used up within their life by people.
const MOST_USED: usize = 4096;

/// There is no good randomness.
#[derive(Debug)]
pub(crate) struct NoRandomness;

/// What comes of using a token.
pub(super) enum Claim {
    /// It is used up by this: the call may act.
    Granted(Claimed),
    /// The same call has used it: its outcome is the answer.
    Replay(Replay),
    Void(Void),
    /// Another process has used it, which alone knows what came of it.
    Elsewhere,
    /// It can't be noted that it is used: nothing may act.
    Unrecorded(NoClaims),
    /// Too many are remembered: nothing may act before some are forgotten.
    Full,
}

/// What is known of the token of a call before the call runs.
pub(crate) enum Recalled {
    /// It has not been used, or is no good for this call: the call runs, and may be asked.
    Nothing,
    /// The same call by the same caller has used it here: its outcome is the answer.
    Here(Replay),
    /// It has been used in another process.
    Elsewhere,
}

impl Tokens {
    /// Tokens that only this process makes and reads.
    #[cfg(test)]
    fn of_this_process() -> Result<Self, NoRandomness> {
        Self::new(None, None)
    }

    /// Tokens that all processes with this key read, or only this one; claims are noted here as well as in this store.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new(key: Option<&SigningKey>, claims: Option<Claims>) -> Result<Self, NoRandomness> {
        let random = rand::SystemRandom::new();
        let number = || -> Result<[u8; 32], NoRandomness> {
            let random: rand::Random<[u8; 32]> = rand::generate(&random).map_err(|_| NoRandomness)?;
            Ok(random.expose())
        };
        let of = |secret: &str| Keys::new(&Root::new("mcvsphere confirm 1", secret), claims.is_some());
        let (current, previous) = match key {
            Some(key) => (of(&key.current)?, key.previous.as_deref().map(of).transpose()?),
            None => (of(&BASE64_URL_SAFE_NO_PAD.encode(number()?))?, None),
        };
        let mut process = Part::default();
        random.fill(&mut process).map_err(|_| NoRandomness)?;
        Ok(Self { process, current, previous, random, used: Mutex::default(), claims })
    }

    /// A token for this call in this state of things.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn issue(&self, terms: Terms<'_>, state: &Value) -> Result<String, ToolError> {
        let mut number = Part::default();
        let none = |_| ToolError::new("internal", "the system gives no random numbers, so nothing can be confirmed");
        self.random.fill(&mut number).map_err(none)?;
        let content = self.current.content(self.process, number, terms, state);
        Ok(self.current.codec.seal_with(&content.to_bytes(), &SealOptions::new().ttl(PATIENCE)))
    }

    /// The cursor of a list as its owner is given it: one that is remote can use nobody else's.
    pub(crate) fn seal_cursor(&self, owner: &Owner, tool: &str, cursor: String) -> String {
        match owner.identity {
            Identity::Local => cursor,
            Identity::Remote { .. } => format!("{cursor}.{}", self.current.tag(owner, tool, &cursor)),
        }
    }

    /// The cursor as the list knows it, if it is this owner's.
    pub(crate) fn open_cursor(&self, owner: &Owner, tool: &str, sealed: &str) -> Option<String> {
        match owner.identity {
            Identity::Local => Some(sealed.to_owned()),
            Identity::Remote { .. } => {
                let (cursor, tag) = sealed.rsplit_once('.')?;
                let known = self.keys().any(|keys| tag == keys.tag(owner, tool, cursor));
                known.then(|| cursor.to_owned())
            }
        }
    }

    fn keys(&self) -> impl Iterator<Item = &Keys> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten()
    }

    /// What stands in a token, and what it was sealed with.
    fn read(&self, token: &str) -> Result<(Content, &Keys), Void> {
        for keys in self.keys() {
            match keys.codec.open_with(token, &[]) {
                Ok(bytes) => return Content::of(&bytes).map(|content| (content, keys)).ok_or(Void::Unknown),
                Err(RequestStateError::Expired) => return Err(Void::Expired),
                Err(_) => {}
            }
        }
        Err(Void::Unknown)
    }

    /// Whether the store of claims answers, where there is one.
    pub(crate) async fn check_claims(&self) -> Option<Result<(), NoClaims>> {
        let claims = self.claims.as_ref()?;
        Some(claims.is_claimed(&hex(self.process)).await.map(drop))
    }

    /// What is known of the token that this call brings, where it was given for this call.
    pub(crate) async fn recall(&self, call: &Call) -> Recalled {
        let Some((content, keys)) = call.token().and_then(|token| self.read(token).ok()) else {
            return Recalled::Nothing;
        };
        let owner = keys.owner_of(&call.visit.owner());
        if content.owner != owner || content.call != keys.call_of(call.tool, &call.arguments) {
            return Recalled::Nothing;
        }
        if let Some(used) = self.used().get(&content.number) {
            return Recalled::Here(Replay(used.outcome.clone()));
        }
        // Where the store does not answer, the claim will say so.
        match &self.claims {
            Some(claims) if claims.is_claimed(&hex(content.number)).await == Ok(true) => Recalled::Elsewhere,
            _ => Recalled::Nothing,
        }
    }

    /// Uses a token up for this call, if it is good for it in this state of things.
    pub(super) async fn claim(&self, token: &str, terms: Terms<'_>, state: &Value) -> Claim {
        let (content, keys) = match self.read(token) {
            Ok(read) => read,
            Err(void) => return Claim::Void(void),
        };
        let claimed = match self.claim_here(content, keys.content(content.process, content.number, terms, state)) {
            Ok(claimed) => claimed,
            Err(not) => return not,
        };
        let Some(claims) = &self.claims else {
            return Claim::Granted(claimed);
        };
        let not = match claims.claim(&hex(content.number), &hex(content.owner)).await {
            Ok(true) => return Claim::Granted(claimed),
            Ok(false) => Claim::Elsewhere,
            Err(error) => Claim::Unrecorded(error),
        };
        self.used().remove(&content.number);
        not
    }

    fn claim_here(&self, content: Content, wanted: Content) -> Result<Claimed, Claim> {
        if content.owner != wanted.owner {
            return Err(Claim::Void(Void::Foreign));
        }
        let mut all = self.used();
        all.retain(|_, used| used.at.elapsed() <= PATIENCE);
        match all.get(&content.number) {
            Some(used) if used.call == wanted.call => return Err(Claim::Replay(Replay(used.outcome.clone()))),
            Some(_) => return Err(Claim::Void(Void::Used)),
            None => {}
        }
        let unfit = [
            (content.call != wanted.call, Void::OtherCall),
            (content.server != wanted.server, Void::OtherServer),
            (content.process != self.process && self.claims.is_none(), Void::Elsewhere),
            (content.state != wanted.state, Void::Changed),
        ];
        if let Some((_, void)) = unfit.into_iter().find(|(unfit, _)| *unfit) {
            return Err(Claim::Void(void));
        }
        if all.len() >= MOST_USED {
            return Err(Claim::Full);
        }
        let (sender, outcome) = watch::channel(None);
        all.insert(content.number, Used { at: Instant::now(), call: wanted.call, outcome });
        Ok(Claimed(sender))
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Part, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token that a call has used up: whoever brings it again learns the outcome.
pub(crate) struct Claimed(watch::Sender<Option<CallToolResponse>>);

impl Claimed {
    /// Remembers how the call ended.
    pub(crate) fn ended(self, outcome: &CallToolResponse) {
        self.0.send_replace(Some(outcome.clone()));
    }
}

/// A call that has used a token, as another with the same token sees it.
pub(crate) struct Replay(watch::Receiver<Option<CallToolResponse>>);

impl Replay {
    /// Waits until that call has ended, and gives its answer, marked as told again.
    pub(crate) async fn outcome(mut self) -> CallToolResponse {
        let ended = self.0.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        let Some(mut outcome) = ended else {
            let text = "the call before with this token was cut off, so look what state things are in";
            return ToolError::new("cancelled", text).into_result().into();
        };
        if let CallToolResponse::Complete(result) = &mut outcome
            && let Some(Value::Object(content)) = &mut result.structured_content
        {
            content.insert("replayed".to_owned(), json!(true));
            let text =
                "The call before with this confirmation token has done this already; it is not done again. Its answer:";
            result.content.insert(0, rmcp::model::ContentBlock::text(text));
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::CallToolResult;

    use super::*;
    use crate::caller::SessionKey;

    fn owner(issuer: &str, session: u64) -> Owner {
        let identity = Identity::Remote { issuer: issuer.into(), subject: "1".into() };
        Owner { identity, session: SessionKey::Session(session) }
    }

    fn void(claim: Claim) -> Option<Void> {
        match claim {
            Claim::Void(void) => Some(void),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_token_is_good_for_just_what_it_was_given_for_and_says_what_does_not_fit() {
        let tokens = Tokens::of_this_process().unwrap();
        let (jane, other_session, other_issuer) = (owner("a", 1), owner("a", 2), owner("b", 1));
        let arguments = json!({ "vm": "web-1" }).as_object().unwrap().clone();
        let others = json!({ "vm": "web-2" }).as_object().unwrap().clone();
        let terms = Terms { owner: &jane, tool: "delete_vm", arguments: &arguments, server: "uuid-1" };
        let token = tokens.issue(terms, &json!([1])).unwrap();
        let claim = async |terms, state: i32| void(tokens.claim(&token, terms, &json!([state])).await);
        assert_eq!(claim(Terms { owner: &other_session, ..terms }, 1).await, Some(Void::Foreign));
        assert_eq!(claim(Terms { owner: &other_issuer, ..terms }, 1).await, Some(Void::Foreign));
        assert_eq!(claim(Terms { tool: "reset_vm", ..terms }, 1).await, Some(Void::OtherCall));
        assert_eq!(claim(Terms { arguments: &others, ..terms }, 1).await, Some(Void::OtherCall));
        assert_eq!(claim(Terms { server: "uuid-2", ..terms }, 1).await, Some(Void::OtherServer));
        assert_eq!(claim(terms, 2).await, Some(Void::Changed));
        assert_eq!(void(tokens.claim("rs1.forged", terms, &json!([1])).await), Some(Void::Unknown));
        assert_eq!(
            void(Tokens::of_this_process().unwrap().claim(&token, terms, &json!([1])).await),
            Some(Void::Unknown)
        );
        // None of the tries has used it up.
        assert_eq!(claim(terms, 1).await, None);
        assert_eq!(claim(Terms { tool: "reset_vm", ..terms }, 1).await, Some(Void::Used));
    }

    #[test]
    fn a_cursor_is_its_owners_alone() {
        let tokens = Tokens::of_this_process().unwrap();
        let (jane, other) = (owner("a", 1), owner("b", 1));
        let sealed = tokens.seal_cursor(&jane, "list_vms", "vm-86:cache.01".to_owned());
        assert_eq!(tokens.open_cursor(&jane, "list_vms", &sealed).as_deref(), Some("vm-86:cache.01"));
        assert_eq!(tokens.open_cursor(&other, "list_vms", &sealed), None);
        assert_eq!(tokens.open_cursor(&owner("a", 2), "list_vms", &sealed), None);
        assert_eq!(tokens.open_cursor(&jane, "list_hosts", &sealed), None);
        assert_eq!(tokens.open_cursor(&jane, "list_vms", "vm-86:cache.01"), None);
        // What the user of this process has on one command line they use on the next.
        let local = Owner { identity: Identity::Local, session: SessionKey::Session(1) };
        assert_eq!(tokens.seal_cursor(&local, "list_vms", "a".to_owned()), "a");
    }

    #[tokio::test]
    async fn a_token_is_granted_once_and_then_tells_the_outcome() {
        let tokens = Tokens::of_this_process().unwrap();
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        let token = tokens.issue(terms, &json!([1])).unwrap();
        let Claim::Granted(claimed) = tokens.claim(&token, terms, &json!([1])).await else { panic!("the first") };
        // The state has changed by the act itself.
        let Claim::Replay(replay) = tokens.claim(&token, terms, &json!([2])).await else { panic!("the second") };
        claimed.ended(&CallToolResult::structured(json!({ "changed": true })).into());
        let CallToolResponse::Complete(told) = replay.outcome().await else { panic!("a result") };
        assert_eq!(told.structured_content, Some(json!({ "changed": true, "replayed": true })));
    }

    #[tokio::test]
    async fn nothing_is_granted_where_no_more_can_be_remembered() {
        let tokens = Tokens::of_this_process().unwrap();
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        let claim = async || tokens.claim(&tokens.issue(terms, &Value::Null).unwrap(), terms, &Value::Null).await;
        for _ in 0..MOST_USED {
            assert!(matches!(claim().await, Claim::Granted(_)));
        }
        assert!(matches!(claim().await, Claim::Full));
    }

    /// Two processes with these keys.
    fn two(one: &str, other: (&str, Option<&str>), store: Option<&std::path::Path>) -> (Tokens, Tokens) {
        let of = |current: &str, previous: Option<&str>| {
            let key = SigningKey { current: current.to_owned(), previous: previous.map(str::to_owned) };
            let place = store.map(|path| crate::settings::ClaimsPlace::Directory(path.to_owned()));
            Tokens::new(Some(&key), place.map(|place| Claims::open(place).unwrap())).unwrap()
        };
        (of(one, None), of(other.0, other.1))
    }

    #[tokio::test]
    async fn without_a_store_another_process_says_that_it_is_another() {
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        for (other, wanted) in [
            (("k", None), Some(Void::Elsewhere)),
            (("new", Some("k")), Some(Void::Elsewhere)),
            (("new", None), Some(Void::Unknown)),
        ] {
            let (one, other) = two("k", other, None);
            let token = one.issue(terms, &Value::Null).unwrap();
            assert_eq!(void(other.claim(&token, terms, &Value::Null).await), wanted);
            assert!(matches!(one.claim(&token, terms, &Value::Null).await, Claim::Granted(_)));
        }
    }

    #[tokio::test]
    async fn with_a_store_any_process_grants_it_and_one_of_them_once() {
        let folder = std::env::temp_dir().join(format!("mcvsphere-tokens-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        let (one, other) = two("k", ("new", Some("k")), Some(&folder));
        for _ in 0..100 {
            let token = one.issue(terms, &Value::Null).unwrap();
            let claims = tokio::join!(
                one.claim(&token, terms, &Value::Null),
                other.claim(&token, terms, &Value::Null),
                other.claim(&token, terms, &Value::Null),
            );
            let claims = [claims.0, claims.1, claims.2];
            assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Granted(_))).count(), 1);
            assert!(claims.iter().any(|claim| matches!(claim, Claim::Elsewhere)));
        }
        let token = one.issue(terms, &Value::Null).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        for process in [&one, &other, &one] {
            assert!(matches!(process.claim(&token, terms, &Value::Null).await, Claim::Unrecorded(_)));
        }
    }

    #[tokio::test]
    async fn a_process_with_a_store_and_one_without_take_nothing_of_each_other_but_cursors() {
        let folder = std::env::temp_dir().join(format!("mcvsphere-tokens-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        let (with, _) = two("k", ("k", None), Some(&folder));
        let (without, _) = two("k", ("k", None), None);
        for (one, other) in [(&with, &without), (&without, &with)] {
            let token = one.issue(terms, &Value::Null).unwrap();
            assert_eq!(void(other.claim(&token, terms, &Value::Null).await), Some(Void::Unknown));
            let cursor = one.seal_cursor(&jane, "list_vms", "vm-86".to_owned());
            assert!(other.open_cursor(&jane, "list_vms", &cursor).is_some());
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_cursor_is_good_in_all_processes_with_the_key() {
        let jane = owner("a", 1);
        for (other, good) in [(("k", None), true), (("new", Some("k")), true), (("new", None), false)] {
            let (one, other) = two("k", other, None);
            let sealed = one.seal_cursor(&jane, "list_vms", "vm-86".to_owned());
            assert_eq!(other.open_cursor(&jane, "list_vms", &sealed).is_some(), good);
        }
    }
}
