//! A tool is one literal: what clients see of it, who may call it, what it does, and the function that runs it. Its input
//! schema is that of the function's arguments, its output schema that of the function's answer.
//!
//! ```
//! use mcvsphere_mcp::{Content, Cx, Permission, Tool, ToolError, Toolset};
//! use rmcp::model::ContentBlock;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize, schemars::JsonSchema)]
//! struct Ring {
//!     /// Seconds; 1 by default.
//!     seconds: Option<u32>,
//! }
//!
//! async fn ring_bell(args: Ring, _cx: Cx) -> Result<Content, ToolError> {
//!     Ok(Content(vec![ContentBlock::text(format!("It rang for {} s.", args.seconds.unwrap_or(1)))]))
//! }
//!
//! let tool = Tool::adds("ring_bell", Toolset::Vm, Permission::PowerOps, "Ring the bell", ring_bell)
//!     .about("Ring the bell of the data center.")
//!     .needs(&["Global.LogEvent"]);
//! ```

use std::{fmt, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use rmcp::model::{CallToolResponse, JsonObject, MetaObject, ToolAnnotations};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    Permission, Toolset,
    answer::Answers,
    arguments,
    cx::Cx,
    error::Result,
    permission::{Effect, Spec},
    schema::{self, Marks},
};

/// The schema of what a tool takes.
#[derive(Clone)]
enum Input {
    /// That of a type. It is made when somebody asks for it: all of them together would be most of the time that the server
    /// takes to start.
    Of(schema::Make),
    /// This.
    Given(JsonObject),
}

/// Says what a call with these arguments needs and does.
type Judge = fn(&JsonObject) -> (Permission, Effect);

/// Says how the argument of this name of a call with these arguments is shown.
type Show = fn(&str, &JsonObject) -> Option<Value>;

type Run = Arc<dyn Fn(JsonObject, Cx) -> BoxFuture<'static, Result<CallToolResponse>> + Send + Sync>;

/// A tool of the server.
#[derive(Clone)]
pub struct Tool {
    pub(crate) name: &'static str,
    pub(crate) spec: Spec,
    title: &'static str,
    about: &'static str,
    is_destructive: bool,
    is_idempotent: bool,
    input: Input,
    output: fn() -> Option<Value>,
    /// What a call with these arguments needs and does, where that depends on them.
    by_call: Option<Judge>,
    /// How an argument of a call with these arguments is shown, where its secrets depend on the others.
    pub(crate) shown: Option<Show>,
    run: Run,
}

impl Tool {
    /// A tool that looks, and changes nothing.
    pub fn reads<A, R, F>(
        name: &'static str,
        toolset: Toolset,
        title: &'static str,
        run: impl Fn(A, Cx) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 'static,
        R: Answers,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        Self::new(name, Spec::new(toolset, Permission::ReadOnly, Effect::Reads), title, run)
    }

    /// A tool that changes something in vSphere and loses nothing: it only adds, or sets what can be set back.
    pub fn adds<A, R, F>(
        name: &'static str,
        toolset: Toolset,
        permission: Permission,
        title: &'static str,
        run: impl Fn(A, Cx) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 'static,
        R: Answers,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        Self::new(name, Spec::new(toolset, permission, Effect::Vsphere), title, run)
    }

    /// A tool that changes something in vSphere and is destructive as MCP means it: what was before is replaced or lost.
    pub fn changes<A, R, F>(
        name: &'static str,
        toolset: Toolset,
        permission: Permission,
        title: &'static str,
        run: impl Fn(A, Cx) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 'static,
        R: Answers,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        Self { is_destructive: true, ..Self::adds(name, toolset, permission, title, run) }
    }

    fn new<A, R, F>(
        name: &'static str,
        spec: Spec,
        title: &'static str,
        run: impl Fn(A, Cx) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 'static,
        R: Answers,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let run: Run = Arc::new(move |given, cx| match arguments::read::<A>(given) {
            Ok(args) => {
                let answer = run(args, cx);
                async move { answer.await?.into_response() }.boxed()
            }
            Err(error) => std::future::ready(Err(error.in_tool(name))).boxed(),
        });
        Self {
            name,
            spec,
            title,
            about: "",
            is_destructive: false,
            is_idempotent: false,
            input: Input::Of(A::json_schema),
            output: R::schema,
            by_call: None,
            shown: None,
            run,
        }
    }

    /// What it does, for a model: imperative and short.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// The privileges of vSphere (`VirtualMachine.Interact.PowerOn`) that it takes besides reading properties. `mcvsphere
    /// doctor` says which of them the user lacks.
    #[must_use]
    pub fn needs(mut self, privileges: &[&'static str]) -> Self {
        self.spec.privileges.extend(privileges);
        self
    }

    /// It needs this level, where that is not the one of what it does: one that only looks may show what not everyone
    /// should see.
    #[must_use]
    pub fn level(mut self, permission: Permission) -> Self {
        self.spec.permission = permission;
        self
    }

    /// It asks the user before it acts, unless a call would lose nothing.
    #[must_use]
    pub fn asks(mut self) -> Self {
        self.spec.asks = true;
        self
    }

    /// It may take longer than clients wait. Its caller need not wait for the end (`wait`), and clients that see no progress
    /// are answered before they give up.
    #[must_use]
    pub fn long(mut self) -> Self {
        self.spec.is_long = true;
        self
    }

    /// What a call needs and does depends on its arguments: its level is the least of them, its effect the most.
    #[must_use]
    pub fn by_call(mut self, needs: Judge) -> Self {
        self.spec.by_call = true;
        Self { by_call: Some(needs), ..self }
    }

    /// An argument is shown as this makes it of all arguments, where its secrets depend on the others. `None` where it is shown as it
    /// is marked.
    #[must_use]
    pub fn shown_by(self, shown: Show) -> Self {
        Self { shown: Some(shown), ..self }
    }

    /// What the server needs to know of a call with these arguments, where that depends on them.
    pub(crate) fn judged(&self, arguments: &JsonObject) -> Option<Spec> {
        let (permission, effect) = self.by_call?(arguments);
        Some(Spec { permission, effect, by_call: false, ..self.spec.clone() })
    }

    /// Calling it again with the same arguments changes nothing more.
    #[must_use]
    pub fn idempotent(self) -> Self {
        Self { is_idempotent: true, ..self }
    }

    /// Older names, by which calls are still accepted.
    #[must_use]
    pub fn formerly(mut self, names: &[&'static str]) -> Self {
        self.spec.aliases.extend(names);
        self
    }

    /// It has this effect in place of one on vSphere.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.spec.effect = effect;
        self
    }

    /// It takes arguments of this JSON Schema, where no Rust type says what it takes.
    #[must_use]
    pub fn takes(self, schema: JsonObject) -> Self {
        Self { input: Input::Given(schema), ..self }
    }

    /// What is wrong with it, if anything: such a tool must not be offered.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let reads = self.spec.effect == Effect::Reads;
        if self.about.trim().is_empty() {
            return Some("it has no description");
        }
        // What a call takes that depends on its arguments, its preview says.
        if !reads && !self.spec.by_call && self.spec.only_looks() {
            return Some("it changes something: say which privileges of vSphere that takes");
        }
        if reads && self.spec.asks {
            return Some("it changes nothing, so there is nothing to ask");
        }
        if reads && (self.is_destructive || self.is_idempotent) {
            return Some("it changes nothing, and is neither destructive nor idempotent");
        }
        None
    }

    /// The tool as clients see it, and what its schema says to us alone.
    pub(crate) fn for_clients(&self) -> (rmcp::model::Tool, Marks) {
        let (input, marks) = match &self.input {
            Input::Of(make) => schema::for_clients(&schema::of_input(*make)),
            Input::Given(schema) => schema::for_clients(schema),
        };
        let mut tool = rmcp::model::Tool::new(self.name, self.about, Arc::new(input));
        let mut hints = ToolAnnotations::with_title(self.title);
        let reads = self.spec.effect == Effect::Reads;
        hints.read_only_hint = Some(reads);
        if !reads {
            hints.destructive_hint = Some(self.is_destructive);
            // By MCP it is false where it is not said.
            hints.idempotent_hint = self.is_idempotent.then_some(true);
        }
        // One vSphere is a closed world; MCP takes a tool without this hint as reaching an open one.
        hints.open_world_hint = Some(false);
        tool.annotations = Some(hints);
        let mut meta = MetaObject::new();
        for (key, fact) in [
            ("permission", json!(self.spec.permission)),
            ("toolset", json!(self.spec.toolset)),
            ("effect", json!(self.spec.effect)),
            ("asks", json!(self.spec.asks)),
        ] {
            meta.insert(format!("mcvsphere/{key}"), fact);
        }
        tool.meta = Some(meta);
        (tool, marks)
    }

    /// The schema of what it answers when it has not failed; `None` where it answers no data.
    pub(crate) fn output(&self) -> Option<Value> {
        (self.output)()
    }

    /// Runs a call.
    pub(crate) fn run(&self, arguments: JsonObject, cx: Cx) -> BoxFuture<'static, Result<CallToolResponse>> {
        (self.run)(arguments, cx)
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("spec", &self.spec).finish_non_exhaustive()
    }
}
