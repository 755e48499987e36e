//! Confirmation tokens: sealed over who asks, for what, at which vCenter and in which state of things; and good once.
//!
//! A token is used up by one atomic claim before the call acts. What has been used is remembered in this process for as long
//! as the token would have been good, and the token of another process is never honoured: its seal does not fit.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ring::{
    hmac,
    rand::{self, SecureRandom},
};
use rmcp::model::{CallToolResponse, JsonObject, RequestStateCodec, RequestStateError, SealOptions};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{PATIENCE, sorted};
use crate::{
    ToolError,
    caller::{Identity, Owner},
    cx::Call,
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
    /// This process did not make it.
    Unknown,
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
    number: Part,
    owner: Part,
    call: Part,
    server: Part,
    state: Part,
}

impl Content {
    fn to_bytes(self) -> Vec<u8> {
        [self.number, self.owner, self.call, self.server, self.state].concat()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.chunks_exact(PART).filter_map(|part| Part::try_from(part).ok());
        let mut next = || parts.next();
        let content = Self { number: next()?, owner: next()?, call: next()?, server: next()?, state: next()? };
        (bytes.len() == 5 * PART).then_some(content)
    }
}

/// Makes tokens, reads them, and remembers which have been used.
pub(crate) struct Tokens {
    codec: RequestStateCodec,
    random: rand::SystemRandom,
    /// Makes digests that nobody else can make, since anybody can read those in a token.
    digests: hmac::Key,
    used: Mutex<HashMap<Part, Used>>,
}

struct Used {
    at: Instant,
    owner: Part,
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
    /// Too many are remembered: nothing may act before some are forgotten.
    Full,
}

impl Tokens {
    /// Tokens that only this process makes and reads.
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        let random = rand::SystemRandom::new();
        let key: rand::Random<[u8; 32]> = rand::generate(&random).map_err(|_| NoRandomness)?;
        let codec = RequestStateCodec::try_new(key.expose().to_vec()).map_err(|_| NoRandomness)?;
        let digests = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| NoRandomness)?;
        Ok(Self { codec, random, digests, used: Mutex::default() })
    }

    /// A token for this call in this state of things.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn issue(&self, terms: Terms<'_>, state: &Value) -> Result<String, ToolError> {
        let mut number = Part::default();
        let none = |_| ToolError::new("internal", "the system gives no random numbers, so nothing can be confirmed");
        self.random.fill(&mut number).map_err(none)?;
        let content = self.content(number, terms, state);
        Ok(self.codec.seal_with(&content.to_bytes(), &SealOptions::new().ttl(PATIENCE)))
    }

    fn content(&self, number: Part, terms: Terms<'_>, state: &Value) -> Content {
        Content {
            number,
            owner: self.digest(json!(terms.owner)),
            call: self.call_of(terms.tool, terms.arguments),
            server: self.digest(json!(terms.server)),
            state: self.digest(sorted(state)),
        }
    }

    fn call_of(&self, tool: &str, arguments: &JsonObject) -> Part {
        self.digest(json!([tool, sorted(&Value::Object(arguments.clone()))]))
    }

    fn digest(&self, value: Value) -> Part {
        let mut part = Part::default();
        let digest = hmac::sign(&self.digests, value.to_string().as_bytes());
        part.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        part
    }

    /// The cursor of a list as its owner is given it: one that is remote can use nobody else's.
    pub(crate) fn seal_cursor(&self, owner: &Owner, tool: &str, cursor: String) -> String {
        match owner.identity {
            Identity::Local => cursor,
            Identity::Remote { .. } => format!("{cursor}.{}", self.tag(owner, tool, &cursor)),
        }
    }

    /// The cursor as the list knows it, if it is this owner's.
    pub(crate) fn open_cursor(&self, owner: &Owner, tool: &str, sealed: &str) -> Option<String> {
        match owner.identity {
            Identity::Local => Some(sealed.to_owned()),
            Identity::Remote { .. } => {
                let (cursor, tag) = sealed.rsplit_once('.')?;
                (tag == self.tag(owner, tool, cursor)).then(|| cursor.to_owned())
            }
        }
    }

    fn tag(&self, owner: &Owner, tool: &str, cursor: &str) -> String {
        format!("{:016x}", u64::from_be_bytes(self.digest(json!(["cursor", owner, tool, cursor]))))
    }

    fn read(&self, token: &str) -> Result<Content, Void> {
        match self.codec.open_with(token, &[]) {
            Ok(bytes) => Content::of(&bytes).ok_or(Void::Unknown),
            Err(RequestStateError::Expired) => Err(Void::Expired),
            Err(_) => Err(Void::Unknown),
        }
    }

    /// The outcome of the same call by the same caller, where that has used the token which this call brings.
    pub(crate) fn recall(&self, call: &Call) -> Option<Replay> {
        let content = self.read(call.token()?).ok()?;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.get(&content.number)?;
        let owner = self.digest(json!(call.visit.owner()));
        let same = used.owner == owner && used.call == self.call_of(call.tool, &call.arguments);
        same.then(|| Replay(used.outcome.clone()))
    }

    /// Uses a token up for this call, if it is good for it in this state of things.
    pub(super) fn claim(&self, token: &str, terms: Terms<'_>, state: &Value) -> Claim {
        let content = match self.read(token) {
            Ok(content) => content,
            Err(void) => return Claim::Void(void),
        };
        let wanted = self.content(content.number, terms, state);
        if content.owner != wanted.owner {
            return Claim::Void(Void::Foreign);
        }
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, used| used.at.elapsed() <= PATIENCE);
        match all.get(&content.number) {
            Some(used) if used.call == wanted.call => return Claim::Replay(Replay(used.outcome.clone())),
            Some(_) => return Claim::Void(Void::Used),
            None => {}
        }
        let unfit = [
            (content.call != wanted.call, Void::OtherCall),
            (content.server != wanted.server, Void::OtherServer),
            (content.state != wanted.state, Void::Changed),
        ];
        if let Some((_, void)) = unfit.into_iter().find(|(unfit, _)| *unfit) {
            return Claim::Void(void);
        }
        if all.len() >= MOST_USED {
            return Claim::Full;
        }
        let (sender, outcome) = watch::channel(None);
        all.insert(content.number, Used { at: Instant::now(), owner: wanted.owner, call: wanted.call, outcome });
        Claim::Granted(Claimed(sender))
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

    #[test]
    fn a_token_is_good_for_just_what_it_was_given_for_and_says_what_does_not_fit() {
        let tokens = Tokens::new().unwrap();
        let (jane, other_session, other_issuer) = (owner("a", 1), owner("a", 2), owner("b", 1));
        let arguments = json!({ "vm": "web-1" }).as_object().unwrap().clone();
        let others = json!({ "vm": "web-2" }).as_object().unwrap().clone();
        let terms = Terms { owner: &jane, tool: "delete_vm", arguments: &arguments, server: "uuid-1" };
        let token = tokens.issue(terms, &json!([1])).unwrap();
        let claim = |terms, state: i32| void(tokens.claim(&token, terms, &json!([state])));
        assert_eq!(claim(Terms { owner: &other_session, ..terms }, 1), Some(Void::Foreign));
        assert_eq!(claim(Terms { owner: &other_issuer, ..terms }, 1), Some(Void::Foreign));
        assert_eq!(claim(Terms { tool: "reset_vm", ..terms }, 1), Some(Void::OtherCall));
        assert_eq!(claim(Terms { arguments: &others, ..terms }, 1), Some(Void::OtherCall));
        assert_eq!(claim(Terms { server: "uuid-2", ..terms }, 1), Some(Void::OtherServer));
        assert_eq!(claim(terms, 2), Some(Void::Changed));
        assert_eq!(void(tokens.claim("rs1.forged", terms, &json!([1]))), Some(Void::Unknown));
        assert_eq!(void(Tokens::new().unwrap().claim(&token, terms, &json!([1]))), Some(Void::Unknown));
        // None of the tries has used it up.
        assert_eq!(claim(terms, 1), None);
        assert_eq!(claim(Terms { tool: "reset_vm", ..terms }, 1), Some(Void::Used));
    }

    #[test]
    fn a_cursor_is_its_owners_alone() {
        let tokens = Tokens::new().unwrap();
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
        let tokens = Tokens::new().unwrap();
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        let token = tokens.issue(terms, &json!([1])).unwrap();
        let Claim::Granted(claimed) = tokens.claim(&token, terms, &json!([1])) else { panic!("the first") };
        // The state has changed by the act itself.
        let Claim::Replay(replay) = tokens.claim(&token, terms, &json!([2])) else { panic!("the second") };
        claimed.ended(&CallToolResult::structured(json!({ "changed": true })).into());
        let CallToolResponse::Complete(told) = replay.outcome().await else { panic!("a result") };
        assert_eq!(told.structured_content, Some(json!({ "changed": true, "replayed": true })));
    }

    #[test]
    fn nothing_is_granted_where_no_more_can_be_remembered() {
        let tokens = Tokens::new().unwrap();
        let jane = owner("a", 1);
        let arguments = JsonObject::new();
        let terms = Terms { owner: &jane, tool: "reset_vm", arguments: &arguments, server: "uuid" };
        let claim = || tokens.claim(&tokens.issue(terms, &Value::Null).unwrap(), terms, &Value::Null);
        for _ in 0..MOST_USED {
            assert!(matches!(claim(), Claim::Granted(_)));
        }
        assert!(matches!(claim(), Claim::Full));
    }
}
