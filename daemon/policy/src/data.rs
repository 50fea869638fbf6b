// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data of a bundle: `data.json` and `data.yaml` files, nested by their folders, as in OPA.

use serde_json::{Map, Value};

use crate::{
    bundle::{Bundle, MANIFEST, SIGNATURES},
    error::PolicyError,
    manifest::Manifest,
};

/// What a file of a bundle is.
enum Kind {
    Json,
    Yaml,
    /// Data by its form, but not by its name.
    Stray,
    Other,
}

fn kind(name: &str) -> Kind {
    let file = name.rsplit('/').next().unwrap_or(name);
    let ends = |ending: &str| file.to_ascii_lowercase().ends_with(ending);
    match file {
        "data.json" => Kind::Json,
        "data.yaml" | "data.yml" => Kind::Yaml,
        _ if name == MANIFEST || name == SIGNATURES => Kind::Other,
        _ if ends(".json") || ends(".yaml") || ends(".yml") => Kind::Stray,
        _ => Kind::Other,
    }
}

/// All data of the bundle as one document.
pub(crate) fn assemble(bundle: &Bundle, manifest: &Manifest) -> Result<Value, PolicyError> {
    let mut root = Map::new();
    for (name, bytes) in bundle.files() {
        let bad = |reason: String| PolicyError::Data {
            file: name.into(),
            reason,
        };
        let value = match kind(name) {
            Kind::Json => serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?,
            Kind::Yaml => yaml(bytes).map_err(bad)?,
            Kind::Stray => {
                let cure = "only data.json and data.yaml are data: rename it or take it out";
                return Err(bad(cure.into()));
            }
            Kind::Other => continue,
        };
        let folders: Vec<&str> = name.split('/').collect();
        let folders = &folders[..folders.len() - 1];
        let Value::Object(fields) = value else {
            return Err(bad("it must hold an object".into()));
        };
        let mut place = &mut root;
        for folder in folders {
            let next = place
                .entry(*folder)
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(next) = next else {
                return Err(bad(format!(
                    "another file says that {folder:?} is no object"
                )));
            };
            place = next;
        }
        merge(place, fields).map_err(|path| bad(format!("another file has {path} too")))?;
    }
    let mut path = Vec::new();
    check_roots(&root, manifest, &mut path)?;
    Ok(Value::Object(root))
}

/// Merges objects and lets nothing be said twice; the path of what is, otherwise.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) -> Result<(), String> {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (None, value) => drop(into.insert(key, value)),
            (Some(Value::Object(into)), Value::Object(from)) => {
                merge(into, from).map_err(|path| format!("{key}.{path}"))?;
            }
            (Some(_), _) => return Err(key),
        }
    }
    Ok(())
}

/// Every leaf lies in a root. Objects above the roots are the way to them.
fn check_roots<'a>(
    object: &'a Map<String, Value>,
    manifest: &Manifest,
    path: &mut Vec<&'a str>,
) -> Result<(), PolicyError> {
    for (key, value) in object {
        path.push(key);
        if !manifest.owns(path.as_slice()) {
            match value {
                Value::Object(inner) if !inner.is_empty() => check_roots(inner, manifest, path)?,
                _ => return Err(outside(path.as_slice())),
            }
        }
        path.pop();
    }
    Ok(())
}

pub(crate) fn outside<S: AsRef<str>>(path: &[S]) -> PolicyError {
    let parts: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    PolicyError::OutsideRoots {
        path: format!("data.{}", parts.join(".")),
    }
}

pub(crate) fn yaml(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let value = regorus::Value::from_yaml_str(text).map_err(|error| error.to_string())?;
    let json = value.to_json_str().map_err(|error| error.to_string())?;
    serde_json::from_str(&json).map_err(|error| error.to_string())
}

/// Refuses data at the place of a rule, given as `data.tidelock.decision`. A name in brackets
/// ends what is compared: the rule then owns all that is above it.
pub(crate) fn check_shadow(data: &Value, rule: &str) -> Result<(), PolicyError> {
    let plain = rule.split('[').next().unwrap_or(rule);
    let mut place = data;
    for part in plain.split('.').skip(1) {
        match place {
            Value::Object(fields) => match fields.get(part) {
                Some(next) => place = next,
                None => return Ok(()),
            },
            // Data on the way to a rule.
            _ => break,
        }
    }
    Err(PolicyError::Shadowed { path: rule.into() })
}
