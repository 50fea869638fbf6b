// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Functions that call themselves.
//!
//! Rego forbids them. The interpreter finds rules that need themselves when it comes to them,
//! but follows functions until the stack ends, and the process with it. So calls are followed
//! here, at loading: by name, and a name in another package stands for every function so named.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Module, Query, Ref, Rule, RuleAssign, RuleHead};

use crate::error::PolicyError;

/// What a rule defines.
pub(crate) struct Head<'a> {
    /// Its name in its package, without what stands in brackets.
    pub(crate) name: &'a str,
    /// Whether it takes arguments.
    pub(crate) is_function: bool,
}

pub(crate) fn head(rule: &Rule) -> Head<'_> {
    let (refr, is_function) = match rule {
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } => (refr, false),
            RuleHead::Func { refr, .. } => (refr, true),
        },
        Rule::Default { refr, args, .. } => (refr, !args.is_empty()),
    };
    let text = refr.span().text();
    Head {
        name: text.split('[').next().unwrap_or(text).trim(),
        is_function,
    }
}

/// A function: its package and its name.
type Function<'a> = (&'a str, &'a str);

/// Refuses functions that call themselves, also by way of others.
pub(crate) fn check(modules: &[Ref<Module>]) -> Result<(), PolicyError> {
    let mut calls: BTreeMap<Function<'_>, BTreeSet<&str>> = BTreeMap::new();
    for module in modules {
        let package = module.package.refr.span().text();
        for rule in &module.policy {
            let head = head(rule);
            if head.is_function {
                let called = calls.entry((package, last(head.name))).or_default();
                rule_calls(rule, called);
            }
        }
    }
    let next = |function: &Function<'_>| -> Vec<Function<'_>> {
        let called = calls.get(function).into_iter().flatten();
        called
            .flat_map(|called| {
                let here = !called.contains(['.', '[']);
                let package = function.0;
                calls
                    .keys()
                    .filter(move |(of, name)| *name == last(called) && (!here || *of == package))
                    .copied()
            })
            .collect()
    };
    for start in calls.keys() {
        let mut seen = BTreeSet::new();
        let mut open = next(start);
        while let Some(function) = open.pop() {
            if function == *start {
                return Err(PolicyError::Compile {
                    reason: format!(
                        "the function {} of package {} calls itself, or one so named: \
                         Rego has no recursion",
                        start.1, start.0
                    ),
                });
            }
            if seen.insert(function) {
                open.extend(next(&function));
            }
        }
    }
    Ok(())
}

/// The last part of `data.lib.f` or `data.lib["f"]`.
fn last(path: &str) -> &str {
    let part = path.rsplit(['.', '[']).next().unwrap_or(path);
    part.trim_matches(['"', '`', ']', ' '])
}

fn rule_calls<'a>(rule: &'a Rule, into: &mut BTreeSet<&'a str>) {
    match rule {
        Rule::Spec { head, bodies, .. } => {
            match head {
                RuleHead::Compr { refr, assign, .. } => {
                    expr(refr, into);
                    assigned(assign.as_ref(), into);
                }
                RuleHead::Set { refr, key, .. } => {
                    expr(refr, into);
                    key.iter().for_each(|key| expr(key, into));
                }
                RuleHead::Func { args, assign, .. } => {
                    args.iter().for_each(|arg| expr(arg, into));
                    assigned(assign.as_ref(), into);
                }
            }
            for body in bodies {
                assigned(body.assign.as_ref(), into);
                query(&body.query, into);
            }
        }
        Rule::Default { value, .. } => expr(value, into),
    }
}

fn assigned<'a>(assign: Option<&'a RuleAssign>, into: &mut BTreeSet<&'a str>) {
    if let Some(assign) = assign {
        expr(&assign.value, into);
    }
}

fn query<'a>(query: &'a Query, into: &mut BTreeSet<&'a str>) {
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn {
                key,
                value,
                collection,
                ..
            } => {
                key.iter().for_each(|key| expr(key, into));
                expr(value, into);
                expr(collection, into);
            }
            Literal::Expr { expr: inner, .. } | Literal::NotExpr { expr: inner, .. } => {
                expr(inner, into);
            }
            Literal::Every {
                domain,
                query: inner,
                ..
            } => {
                expr(domain, into);
                self::query(inner, into);
            }
        }
        for with in &statement.with_mods {
            // `with f as g` calls g where f is written.
            into.insert(with.r#as.span().text());
            expr(&with.r#as, into);
        }
    }
}

fn expr<'a>(of: &'a Expr, into: &mut BTreeSet<&'a str>) {
    match of {
        Expr::Call { fcn, params, .. } => {
            into.insert(fcn.span().text());
            params.iter().for_each(|param| expr(param, into));
        }
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => {}
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().for_each(|item| expr(item, into));
        }
        Expr::Object { fields, .. } => {
            for (_, key, value) in fields {
                expr(key, into);
                expr(value, into);
            }
        }
        Expr::ArrayCompr { term, query: q, .. } | Expr::SetCompr { term, query: q, .. } => {
            expr(term, into);
            query(q, into);
        }
        Expr::ObjectCompr {
            key,
            value,
            query: q,
            ..
        } => {
            expr(key, into);
            expr(value, into);
            query(q, into);
        }
        Expr::UnaryExpr { expr: inner, .. } | Expr::RefDot { refr: inner, .. } => {
            expr(inner, into);
        }
        Expr::RefBrack { refr, index, .. } => {
            expr(refr, into);
            expr(index, into);
        }
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => {
            expr(lhs, into);
            expr(rhs, into);
        }
        Expr::Membership {
            key,
            value,
            collection,
            ..
        } => {
            key.iter().for_each(|key| expr(key, into));
            expr(value, into);
            expr(collection, into);
        }
    }
}
