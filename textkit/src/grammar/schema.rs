//! JSON Schemas before they are compiled: what cannot be enforced is refused by its name and place, or, where a
//! schema is only a wish, left out.

use serde_json::{json, Map, Value};

use crate::error::{Error, Result};

/// Whether a schema must be kept to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// What cannot be enforced is an error.
    Strict,
    /// What cannot be enforced is left out.
    Lenient,
}

/// Keywords that assert something which the engine cannot enforce.
const UNSUPPORTED: [&str; 14] = [
    "not",
    "if",
    "contains",
    "uniqueItems",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$dynamicRef",
    "$recursiveRef",
    "nullable",
    "disallow",
];
/// Keywords that mean nothing without one of the above, or to nobody but the engine.
const WITHOUT_EFFECT: [&str; 8] = [
    "then",
    "else",
    "minContains",
    "maxContains",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "x-guidance",
];
/// Formats of the specification that the engine has no rule for. Other names, such as int32, are annotations.
const UNSUPPORTED_FORMATS: [&str; 9] = [
    "uri-reference",
    "iri",
    "iri-reference",
    "idn-email",
    "idn-hostname",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

/// What the libraries of most languages read of a format: no year 0, no leap seconds.
const NARROWED: [(&str, &str); 3] = [
    ("date", "^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-"),
    ("time", "^[0-9]{2}:[0-9]{2}:[0-5]"),
    (
        "date-time",
        "^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}.[0-9]{2}:[0-9]{2}:[0-5]",
    ),
];
/// Between values: a space, or a new line and its indentation. Without a bound small models write blanks for ever.
const WHITESPACE: &str = r"\x20{1,2}|\n[\x20\t]{0,32}";

/// Keywords whose value is a schema, a list of schemas, or an object of schemas.
const ONE: [&str; 3] = ["items", "additionalItems", "additionalProperties"];
const LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const MAPS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Returns the schema as the engine takes it.
pub fn checked(source: &str, strictness: Strictness) -> Result<Value> {
    let mut schema: Value = serde_json::from_str(source)
        .map_err(|error| Error::invalid(format!("the schema is not valid JSON: {error}")))?;
    check(&mut schema, "#", strictness)?;
    if schema == Value::Bool(true) {
        schema = Value::Object(Map::new());
    }
    if let Value::Object(root) = &mut schema {
        let lenient = strictness == Strictness::Lenient;
        root.insert("x-guidance".into(), json!({"whitespace_pattern": WHITESPACE, "coerce_one_of": lenient}));
    }
    Ok(schema)
}

/// The same as text.
pub fn checked_schema(source: &str, strictness: Strictness) -> Result<String> {
    checked(source, strictness).map(|schema| schema.to_string())
}

fn check(schema: &mut Value, path: &str, strictness: Strictness) -> Result<()> {
    let schema = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(schema) => schema,
        _ => return Err(Error::invalid(format!("{path}: expected a schema, got {}", kind(schema)))),
    };
    for keyword in UNSUPPORTED {
        let Some(value) = schema.get(keyword) else { continue };
        if strictness == Strictness::Strict && !allows_all(keyword, value, schema) {
            return Err(refusal(path, keyword, ""));
        }
        schema.remove(keyword);
    }
    for keyword in WITHOUT_EFFECT {
        schema.remove(keyword);
    }
    check_format(schema, path, strictness)?;
    for keyword in ONE.iter().chain(&LISTS).chain(&MAPS) {
        let Some(value) = schema.get_mut(*keyword) else { continue };
        let at = format!("{path}/{keyword}");
        match value {
            Value::Array(items) if LISTS.contains(keyword) => {
                for (i, item) in items.iter_mut().enumerate() {
                    check(item, &format!("{at}/{i}"), strictness)?;
                }
            }
            Value::Object(members) if MAPS.contains(keyword) => {
                for (name, member) in members {
                    check(member, &format!("{at}/{}", escaped(name)), strictness)?;
                }
            }
            value if ONE.contains(keyword) => check(value, &at, strictness)?,
            value => {
                let what = if MAPS.contains(keyword) { "an object" } else { "a list" };
                return Err(Error::invalid(format!("{at}: expected {what}, got {}", kind(value))));
            }
        }
    }
    Ok(())
}

fn check_format(schema: &mut Map<String, Value>, path: &str, strictness: Strictness) -> Result<()> {
    let Some(format) = schema.get("format") else { return Ok(()) };
    let Some(name) = format.as_str() else {
        return Err(Error::invalid(format!("{path}/format: expected a string, got {}", kind(format))));
    };
    if FORMATS.contains(&name) {
        let narrowed = NARROWED.iter().find(|(format, _)| *format == name);
        if let Some((_, pattern)) = narrowed.filter(|_| !schema.contains_key("pattern")) {
            schema.insert("pattern".into(), Value::from(*pattern));
        }
        return Ok(());
    }
    if strictness == Strictness::Strict && UNSUPPORTED_FORMATS.contains(&name) {
        return Err(refusal(path, "format", &format!(" with the value \"{name}\"")));
    }
    schema.remove("format");
    Ok(())
}

/// Returns whether an unsupported keyword with this value excludes nothing.
fn allows_all(keyword: &str, value: &Value, schema: &Map<String, Value>) -> bool {
    let is_true = |value: &Value| *value == Value::Bool(true) || is_empty_object(value);
    match keyword {
        "uniqueItems" | "nullable" | "not" => *value == Value::Bool(false),
        "if" => ["then", "else"].iter().all(|branch| schema.get(*branch).is_none_or(is_true)),
        "propertyNames" | "unevaluatedItems" | "unevaluatedProperties" => is_true(value),
        "dependentRequired" | "dependentSchemas" | "dependencies" => is_empty_object(value),
        "contains" => {
            schema.get("minContains") == Some(&Value::from(0)) && !schema.contains_key("maxContains")
        }
        _ => false,
    }
}

fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn refusal(path: &str, keyword: &str, with: &str) -> Error {
    Error::invalid(format!("{path}: the schema keyword \"{keyword}\"{with} is not supported"))
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: &str) -> String {
        checked(source, Strictness::Strict).unwrap_err().message
    }

    #[test]
    fn names_the_keyword_and_its_place() {
        let message = refused(r#"{"properties": {"a/b": {"items": {"not": {}}}}}"#);
        assert_eq!(message, "#/properties/a~1b/items: the schema keyword \"not\" is not supported");
        assert!(refused(r#"{"anyOf": [{}, {"format": "iri"}]}"#).starts_with("#/anyOf/1: "));
        assert!(refused(r#"{"$defs": {"x": 3}}"#).contains("expected a schema, got a number"));
        assert!(refused(r#"{"properties": []}"#).contains("expected an object, got a list"));
        assert!(refused("{").contains("not valid JSON"));
    }

    fn kept(source: &str, strictness: Strictness) -> String {
        let mut schema = checked(source, strictness).unwrap();
        schema.as_object_mut().unwrap().remove("x-guidance").unwrap();
        schema.to_string()
    }

    #[test]
    fn drops_what_excludes_nothing() {
        let strict = Strictness::Strict;
        assert_eq!(kept(r#"{"uniqueItems":false,"not":false,"then":{},"format":"int32"}"#, strict), "{}");
        let values = r#"{"const":{"not":1},"default":{"if":2}}"#;
        assert_eq!(kept(values, strict), values);
    }

    #[test]
    fn lenient_leaves_out_what_cannot_be_enforced() {
        let schema = r#"{"type":"array","uniqueItems":true,"items":{"not":{}}}"#;
        assert_eq!(kept(schema, Strictness::Lenient), r#"{"type":"array","items":{}}"#);
    }

    #[test]
    fn a_caller_cannot_set_the_options_of_the_engine() {
        let text = checked_schema(r#"{"x-guidance":{"lenient":true}}"#, Strictness::Strict).unwrap();
        assert!(!text.contains("lenient"), "{text}");
    }
}
