//! A change is planted before the n-th request of a confirmed call, for every n until the call ends by itself. Whatever
//! the change is, no other object than the one that the user agreed to may be hit: the call does what was confirmed, or
//! it is refused and nothing is done. What happened is read from the simulator, beside the server under test.

mod device_tools;
mod file_tools;
mod guest_tools;
mod machine_tools;
mod scene;
mod snapshot_tools;

use serde_json::{Value, json};

use scene::{Change, Facts, Scene, Setting};

/// A call to be confirmed, and what it may do.
struct Case {
    tool: &'static str,
    arguments: Value,
    setting: Setting,
    /// The changes that are planted, one at a time.
    changes: &'static [Change],
    /// Whether the call, when it is carried out, may make this fact be so; `None` where the fact is gone.
    may: fn(&Scene, &str, Option<&str>) -> bool,
    /// Whether the call has done what it is for.
    done: fn(&Scene, &Facts) -> bool,
    /// A method that takes no change version: what is planted before this very request the server cannot refuse.
    unguarded: Option<(&'static str, &'static [Change])>,
}

/// In place of a method: all that follows the last look at a datastore. The server looks when it is asked to, and tells what it
/// saw by and by.
const AFTER_THE_LOOK: &str = "SearchDatastore";

/// How a confirmed call ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// With this code.
    Refused(String),
    /// The question was asked again.
    Void,
}

/// Plants each change in each window, and looks at what became of the world. Answers with the outcomes of each change.
async fn in_each_window(case: Case) -> Vec<(Change, Vec<Outcome>)> {
    let mut all = Vec::new();
    for change in case.changes {
        let mut outcomes = Vec::new();
        for skip in 0.. {
            assert!(skip < 200, "{}: the call does not end", case.tool);
            let scene = Scene::new(case.setting).await;
            let plan = scene.call(case.tool, case.arguments.clone()).await.unwrap();
            let mut arguments = case.arguments.clone();
            arguments["confirm"] = plan["plan_token"].clone();
            assert!(arguments["confirm"].is_string(), "{}: {plan:#}", case.tool);

            let begun = scene.proxy.requests().len();
            let seen = scene.plant(skip, *change);
            let answer = scene.call(case.tool, arguments).await;
            let outcome = outcome(&answer);
            let Some(before) = scene.proxy.unplant() else {
                assert_eq!(outcome, Outcome::Done, "{}: {answer:#?}", case.tool);
                let facts = scene.facts().await;
                assert!((case.done)(&scene, &facts), "{}: {answer:#?} {facts:#?}", case.tool);
                break;
            };
            // A call may end while the change is still made, before a request of its aftermath. Where the change fails, this does.
            let seen = seen.await.unwrap();
            let after = scene.facts().await;
            let window = format!("{}: {change:?} before request {skip}, {before}: {answer:#?}", case.tool);
            let requests = scene.proxy.requests();
            let later = requests.iter().skip(begun + skip);
            let looks_later = later.filter(|request| request.starts_with(AFTER_THE_LOOK)).count();
            let unguarded = case.unguarded.is_some_and(|(method, which)| {
                let is_late = match method {
                    AFTER_THE_LOOK => looks_later == 0,
                    method => method == before,
                };
                is_late && which.contains(change)
            });
            for (fact, was, is) in differences(&seen, &after) {
                let allowed = outcome == Outcome::Done && (case.may)(&scene, fact, is);
                assert!(allowed || unguarded, "{fact} was {was:?} and is {is:?}; {window}");
            }
            // What other changes put in its place may look as if nothing had been done.
            if outcome == Outcome::Done && *change == Change::SwapNames {
                assert!((case.done)(&scene, &after), "it was not done: {after:#?}; {window}");
            }
            outcomes.push(outcome);
        }
        all.push((*change, outcomes));
    }
    all
}

fn outcome(answer: &Result<Value, Value>) -> Outcome {
    let code = |error: &Value| error["code"].as_str().unwrap().to_owned();
    match answer {
        Err(error) => Outcome::Refused(code(error)),
        Ok(answer) if answer["confirmation_required"] == true => Outcome::Void,
        Ok(answer) => match &answer["results"][0]["error"] {
            Value::Null => Outcome::Done,
            error => Outcome::Refused(code(error)),
        },
    }
}

fn differences<'a>(before: &'a Facts, after: &'a Facts) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |facts: &'a Facts, key: &String| facts.get(key).map(String::as_str);
    let all = keys.into_iter().map(|key| (key.as_str(), of(before, key), of(after, key)));
    all.filter(|(_, was, is)| was != is).collect()
}

/// Whether the change, planted between the confirmation and the act, was refused in at least one window by the state that
/// the plan was measured in.
fn was_refused_as_changed(outcomes: &[(Change, Vec<Outcome>)], change: Change) -> bool {
    let of = outcomes.iter().find(|(planted, _)| *planted == change);
    of.is_some_and(|(_, outcomes)| outcomes.contains(&Outcome::Refused("changed".to_owned())))
}

fn on(vm: &str) -> Value {
    json!({ "vm": vm })
}
