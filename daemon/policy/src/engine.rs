// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The interpreter, and what keeps it in bounds.

use std::{num::NonZeroU32, path::Path, sync::Arc, thread, time::Duration};

use regorus::{
    Engine, LimitError, Value,
    unstable::{Module, Ref},
    utils::limits::ExecutionTimerConfig,
};

use crate::{
    bundle::Bundle, data, error::PolicyError, manifest::Manifest, recursion, turns::Turns,
};

/// The most rules of one policy. A chain of rules, each of which needs the next, is walked by
/// recursion: this many fit into [`STACK`].
const MAX_RULES: usize = 1000;
/// The stack of an evaluation, in bytes. Only what is used of it becomes memory.
const STACK: usize = 256 << 20;
/// How many steps go by between two looks at the clock.
const CHECK_INTERVAL: NonZeroU32 = NonZeroU32::MIN;

/// Built-in functions that allocate as much as their arguments say, and one that gives another
/// answer each time: a decision is kept for a while and must follow from its input.
const FORBIDDEN: [(&str, u8); 4] = [
    ("numbers.range", 2),
    ("numbers.range_step", 3),
    ("bits.lsh", 2),
    ("rand.intn", 2),
];

/// How long rules may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For one decision, one test, or one probe at loading.
    pub evaluation: Duration,
}

impl Default for Limits {
    /// A second: a thousand times what a decision takes.
    fn default() -> Self {
        Self {
            evaluation: Duration::from_secs(1),
        }
    }
}

/// A rule and where it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RuleName {
    /// As the interpreter writes it: `data.tidelock.decision`.
    pub(crate) path: String,
    /// The file it is in.
    pub(crate) file: String,
    /// The line, from 1.
    pub(crate) line: u32,
    /// Whether it takes arguments, and so cannot be asked for alone.
    pub(crate) is_function: bool,
}

impl RuleName {
    /// The last part of its name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

/// Rules and data, ready to be asked.
pub(crate) struct Program {
    engine: Engine,
    pub(crate) rules: Vec<RuleName>,
    limits: Limits,
    turns: Turns,
}

/// What else an evaluation has left.
pub(crate) struct Remains {
    /// What the rules printed.
    pub(crate) prints: Vec<String>,
    /// Which lines were evaluated, where that was asked for.
    pub(crate) coverage: regorus::coverage::Report,
}

impl Program {
    /// Compiles a bundle.
    pub(crate) fn compile(
        bundle: &Bundle,
        manifest: &Manifest,
        limits: Limits,
    ) -> Result<Self, PolicyError> {
        let data = data::assemble(bundle, manifest)?;
        on_own_stack(|| {
            let mut engine = parse(bundle, limits)?;
            let packages = engine.get_policy_package_components().map_err(compile)?;
            for package in &packages {
                if !manifest.owns(&package.components) {
                    return Err(data::outside(&package.components));
                }
            }
            recursion::check(engine.get_modules())?;
            let rules = rules(engine.get_modules());
            if rules.len() > MAX_RULES {
                return Err(PolicyError::TooManyRules {
                    rules: rules.len(),
                    limit: MAX_RULES,
                });
            }
            for rule in &rules {
                data::check_shadow(&data, &rule.path)?;
            }
            let text = data.to_string();
            let value = Value::from_json_str(&text).map_err(compile)?;
            engine.add_data(value).map_err(compile)?;
            if !rules
                .iter()
                .any(|rule| rule.path == crate::policy::ENTRYPOINT)
            {
                return Err(PolicyError::NoDecisionRule);
            }
            // Prepares the engine for all its clones.
            engine
                .compile_with_entrypoint(&Arc::from(crate::policy::ENTRYPOINT))
                .map_err(compile)?;
            Ok(Self {
                engine,
                rules,
                limits,
                turns: Turns::of_host(),
            })
        })?
    }

    /// The value of one rule, as JSON, in an interpreter of its own. `None` is undefined.
    pub(crate) fn evaluate(
        &self,
        input: Option<&serde_json::Value>,
        rule: &str,
    ) -> Result<Option<serde_json::Value>, PolicyError> {
        let _turn = self.turns.take();
        on_own_stack(|| self.evaluate_in(&mut self.engine.clone(), input, rule))?
    }

    /// As [`Self::evaluate`], with all that can be told of how it came about.
    pub(crate) fn trace(
        &self,
        input: &serde_json::Value,
        rule: &str,
    ) -> Result<(Option<serde_json::Value>, Remains), PolicyError> {
        let _turn = self.turns.take();
        on_own_stack(|| {
            let mut engine = self.engine.clone();
            engine.set_enable_coverage(true);
            let value = self.evaluate_in(&mut engine, Some(input), rule)?;
            let remains = Remains {
                prints: engine.take_prints().map_err(evaluation)?,
                coverage: engine.get_coverage_report().map_err(evaluation)?,
            };
            Ok((value, remains))
        })?
    }

    fn evaluate_in(
        &self,
        engine: &mut Engine,
        input: Option<&serde_json::Value>,
        rule: &str,
    ) -> Result<Option<serde_json::Value>, PolicyError> {
        if let Some(input) = input {
            let text = input.to_string();
            engine.set_input(Value::from_json_str(&text).map_err(evaluation)?);
        }
        let value = engine
            .eval_rule(rule.to_owned())
            .map_err(|error| self.classify(&error))?;
        if value == Value::Undefined {
            return Ok(None);
        }
        let text = value.to_json_str().map_err(evaluation)?;
        let value = serde_json::from_str(&text).map_err(|error| PolicyError::Evaluation {
            reason: error.to_string(),
        })?;
        Ok(Some(value))
    }

    fn classify(&self, error: &Anyhow) -> PolicyError {
        match error.downcast_ref::<LimitError>() {
            Some(LimitError::TimeLimitExceeded { .. }) => PolicyError::TimeLimit {
                limit: self.limits.evaluation,
            },
            _ => PolicyError::Evaluation {
                reason: format!("{error:#}"),
            },
        }
    }
}

/// The interpreter's own errors: text with file, line and column.
type Anyhow = anyhow::Error;

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn compile(error: Anyhow) -> PolicyError {
    PolicyError::Compile {
        reason: format!("{error:#}"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn evaluation(error: Anyhow) -> PolicyError {
    PolicyError::Evaluation {
        reason: format!("{error:#}"),
    }
}

fn parse(bundle: &Bundle, limits: Limits) -> Result<Engine, PolicyError> {
    let mut engine = Engine::new();
    // What cannot be computed is an error, where OPA by default goes on with undefined.
    engine.set_strict_builtin_errors(true);
    // Standard error is not for what rules print.
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: limits.evaluation,
        check_interval: CHECK_INTERVAL,
    });
    for (name, arguments) in FORBIDDEN {
        // What is added is looked up before what is built in.
        let refuse = move |_: Vec<Value>| Err(Anyhow::msg(format!("{name} is not available")));
        engine
            .add_extension(name.into(), arguments, Box::new(refuse))
            .map_err(compile)?;
    }
    for (name, bytes) in bundle.files().filter(|(name, _)| is_rego(name)) {
        let bad = |reason: String| PolicyError::Rego {
            file: name.into(),
            reason,
        };
        let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
        engine
            .add_policy(name.into(), text.into())
            .map_err(|error| bad(format!("{error:#}")))?;
    }
    Ok(engine)
}

/// As OPA tells them: by the ending, in small letters.
fn is_rego(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|ending| ending == "rego")
}

fn rules(modules: &[Ref<Module>]) -> Vec<RuleName> {
    let mut rules: Vec<RuleName> = modules
        .iter()
        .flat_map(|module| {
            let package = module.package.refr.span().text();
            module.policy.iter().map(move |rule| {
                let head = recursion::head(rule);
                RuleName {
                    path: format!("data.{package}.{}", head.name),
                    file: rule.span().source.file().clone(),
                    line: rule.span().line,
                    is_function: head.is_function,
                }
            })
        })
        .collect();
    rules.sort();
    rules
}

/// Runs the interpreter on a thread of its own: on a stack of known size, and if it panics
/// nevertheless, nothing else does.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, PolicyError> {
    let failed = |reason: String| PolicyError::Interpreter { reason };
    thread::scope(|scope| {
        thread::Builder::new()
            .name("policy".into())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| failed(format!("no thread for it: {error}")))?
            .join()
            .map_err(|_| failed("it panicked; the log has where".into()))
    })
}
