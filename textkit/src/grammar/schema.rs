//! JSON Schemas before they are compiled: what cannot be enforced is refused by its name and place, or, where a
//! schema is only a wish, left out.

use serde_json::{json, Map, Value};

use super::disjoint::Disjointness;
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
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];
/// Keywords whose value is a size.
const SIZES: [&str; 6] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];
/// Up to here every whole number has a form with a point.
const SIZE_MAX: f64 = 9_007_199_254_740_992.0;
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

/// Returns the schema as the engine takes it. Messages call it `place`.
pub fn checked(source: &str, strictness: Strictness, place: &str) -> Result<Value> {
    let original: Value = serde_json::from_str(source)
        .map_err(|error| Error::invalid(format!("Invalid '{place}': no valid JSON: {error}")))?;
    let mut schema = original.clone();
    let checker = Checker { strictness, disjointness: Disjointness::of(&original) };
    checker.check(&mut schema, &original, place, None)?;
    if schema == Value::Bool(true) {
        schema = Value::Object(Map::new());
    }
    if let Value::Object(root) = &mut schema {
        root.insert("x-guidance".into(), json!({"whitespace_pattern": WHITESPACE}));
    }
    Ok(schema)
}

/// The same as text.
pub fn checked_schema(source: &str, strictness: Strictness, place: &str) -> Result<String> {
    checked(source, strictness, place).map(|schema| schema.to_string())
}

/// A schema that holds for the same value, and what holds around it.
struct Around<'a> {
    schema: &'a Value,
    outer: Option<&'a Around<'a>>,
}

struct Checker<'a> {
    strictness: Strictness,
    disjointness: Disjointness<'a>,
}

impl<'a> Checker<'a> {
    /// `original` is the schema before anything of it was left out.
    fn check(
        &self,
        schema: &mut Value,
        original: &'a Value,
        place: &str,
        around: Option<&Around<'a>>,
    ) -> Result<()> {
        let schema = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(schema) => schema,
            _ => return Err(wrong(place, "a schema", schema)),
        };
        self.check_values(schema, place)?;
        for keyword in UNSUPPORTED {
            let Some(value) = schema.get(keyword) else { continue };
            if self.strictness == Strictness::Strict && !allows_all(keyword, value, schema) {
                return Err(refusal(place, keyword, ""));
            }
            schema.remove(keyword);
        }
        for keyword in WITHOUT_EFFECT {
            schema.remove(keyword);
        }
        check_format(schema, place, self.strictness)?;
        for keyword in ONE.iter().chain(&LISTS).chain(&MAPS) {
            let Some(value) = schema.get_mut(*keyword) else { continue };
            let at = member(place, keyword);
            let here = Around { schema: original, outer: around };
            // Of the same value, not of a part of it.
            let around = ["allOf", "anyOf", "oneOf"].contains(keyword).then_some(&here);
            let original = &original[*keyword];
            match value {
                Value::Array(items) if LISTS.contains(keyword) => {
                    for (i, item) in items.iter_mut().enumerate() {
                        self.check(item, &original[i], &format!("{at}[{i}]"), around)?;
                    }
                }
                Value::Object(members) if MAPS.contains(keyword) => {
                    for (name, value) in members {
                        self.check(value, &original[name], &member(&at, name), around)?;
                    }
                }
                value if ONE.contains(keyword) => self.check(value, original, &at, around)?,
                value => {
                    let what = if MAPS.contains(keyword) { "an object" } else { "a list" };
                    return Err(wrong(&at, what, value));
                }
            }
        }
        self.choose_one(schema, original, place, around)
    }

    /// Checks the values of keywords that hold no schemas; whole numbers may be written with a point.
    fn check_values(&self, schema: &mut Map<String, Value>, place: &str) -> Result<()> {
        for (keyword, value) in schema.iter_mut() {
            let keyword = keyword.as_str();
            let expected = |what: &str, value: &Value| Err(wrong(&member(place, keyword), what, value));
            match keyword {
                "type" => check_type(value, &member(place, keyword))?,
                "enum" if !value.is_array() => return expected("a list", value),
                "required" => {
                    let Value::Array(names) = value else { return expected("a list of names", value) };
                    if let Some(other) = names.iter().find(|name| !name.is_string()) {
                        return expected("a list of names", other);
                    }
                }
                _ if SIZES.contains(&keyword) => {
                    let number = value.as_f64().filter(|number| number.fract() == 0.0);
                    match number.filter(|number| (0.0..=SIZE_MAX).contains(number)) {
                        Some(number) => *value = Value::from(number as u64),
                        None => return expected("a whole number of 0 or more", value),
                    }
                }
                "multipleOf" if value.as_f64().is_none_or(|number| number <= 0.0) => {
                    return expected("a number above 0", value)
                }
                "minimum" | "maximum" if !value.is_number() => return expected("a number", value),
                // Words in draft 4.
                "exclusiveMinimum" | "exclusiveMaximum" if !value.is_number() && !value.is_boolean() => {
                    return expected("a number", value)
                }
                "pattern" => {
                    let Value::String(pattern) = value else { return expected("a string", value) };
                    check_pattern(pattern, &member(place, keyword))?;
                }
                "$ref" => {
                    let Value::String(reference) = value else { return expected("a string", value) };
                    if self.disjointness.leads_nowhere(reference) {
                        let at = member(place, keyword);
                        return Err(Error::invalid(format!("Invalid '{at}': nothing is at \"{reference}\"")));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Turns a `oneOf` into an `anyOf`: where no two of its branches can hold together, they are the same.
    fn choose_one(
        &self,
        schema: &mut Map<String, Value>,
        original: &'a Value,
        place: &str,
        around: Option<&Around<'a>>,
    ) -> Result<()> {
        let Some(branches) = schema.remove("oneOf") else { return Ok(()) };
        if let (Strictness::Strict, Some(list)) = (self.strictness, original["oneOf"].as_array()) {
            let mut holding = vec![original];
            let mut next = around;
            while let Some(outer) = next {
                holding.push(outer.schema);
                next = outer.outer;
            }
            if let Some((one, other)) = self.disjointness.overlap(list, &holding) {
                let at = member(place, "oneOf");
                return Err(Error::invalid(format!(
                    "Invalid '{at}': its branches {one} and {other} may both match; a \"oneOf\" can be enforced where \
                     no two can, as by a property that each requires with another \"const\". Else use \"anyOf\""
                )));
            }
        }
        let any = json!({ "anyOf": branches });
        match schema.get_mut("allOf").and_then(Value::as_array_mut) {
            Some(all) => all.push(any),
            None => {
                schema.insert("allOf".into(), Value::Array(vec![any]));
            }
        }
        Ok(())
    }
}

fn check_type(value: &Value, at: &str) -> Result<()> {
    let names = match value {
        Value::Array(names) if !names.is_empty() => names.as_slice(),
        single => std::slice::from_ref(single),
    };
    for name in names {
        let Value::String(text) = name else { return Err(wrong(at, "the name of a type", name)) };
        if !TYPES.contains(&text.as_str()) {
            let known = TYPES.join(", ");
            return Err(Error::invalid(format!("Invalid '{at}': expected one of {known}, got \"{text}\"")));
        }
    }
    Ok(())
}

fn check_pattern(pattern: &str, at: &str) -> Result<()> {
    let parsed = regex_syntax::Parser::new().parse(&llguidance::regex_to_lark(pattern, "dw"));
    parsed.map(|_| ()).map_err(|error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Error::invalid(format!("Invalid '{at}': no regular expression that can be enforced: {why}"))
    })
}

fn check_format(schema: &mut Map<String, Value>, place: &str, strictness: Strictness) -> Result<()> {
    let Some(format) = schema.get("format") else { return Ok(()) };
    let Some(name) = format.as_str() else {
        return Err(wrong(&member(place, "format"), "a string", format));
    };
    if FORMATS.contains(&name) {
        let narrowed = NARROWED.iter().find(|(format, _)| *format == name);
        if let Some((_, pattern)) = narrowed.filter(|_| !schema.contains_key("pattern")) {
            schema.insert("pattern".into(), Value::from(*pattern));
        }
        return Ok(());
    }
    if strictness == Strictness::Strict && UNSUPPORTED_FORMATS.contains(&name) {
        return Err(refusal(place, "format", &format!(" with the value \"{name}\"")));
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

fn refusal(place: &str, keyword: &str, with: &str) -> Error {
    let at = member(place, keyword);
    Error::invalid(format!("Invalid '{at}': the schema keyword \"{keyword}\"{with} is not supported"))
}

fn wrong(at: &str, what: &str, value: &Value) -> Error {
    Error::invalid(format!("Invalid '{at}': expected {what}, got {}", kind(value)))
}

/// The place of a member, as APIs name fields: `a.b`, `a["b c"]`.
fn member(place: &str, name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
    match !name.is_empty() && name.chars().all(plain) {
        true => format!("{place}.{name}"),
        false => format!("{place}[{}]", Value::from(name)),
    }
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
        checked(source, Strictness::Strict, "schema").unwrap_err().message
    }

    #[test]
    fn names_the_keyword_and_its_place() {
        let message = refused(r#"{"properties": {"a b": {"items": {"not": {}}}}}"#);
        let place = r#"'schema.properties["a b"].items.not'"#;
        assert_eq!(message, format!("Invalid {place}: the schema keyword \"not\" is not supported"));
        assert!(refused(r#"{"anyOf": [{}, {"format": "iri"}]}"#).starts_with("Invalid 'schema.anyOf[1].format': "));
        assert!(refused(r#"{"$defs": {"x": 3}}"#).contains("'schema.$defs.x': expected a schema, got a number"));
        assert!(refused(r#"{"properties": []}"#).contains("expected an object, got a list"));
        assert!(refused("{").contains("no valid JSON"));
    }

    #[test]
    fn names_the_place_of_a_wrong_value() {
        for (source, place) in [
            (r#"{"properties": {"a": {"type": "strin"}}}"#, "schema.properties.a.type"),
            (r#"{"items": {"type": ["string", 3]}}"#, "schema.items.type"),
            (r#"{"type": []}"#, "schema.type"),
            (r#"{"enum": "a"}"#, "schema.enum"),
            (r#"{"required": ["a", 1]}"#, "schema.required"),
            (r#"{"maxLength": -1}"#, "schema.maxLength"),
            (r#"{"minItems": 1.5}"#, "schema.minItems"),
            (r#"{"minimum": "1"}"#, "schema.minimum"),
            (r#"{"multipleOf": 0}"#, "schema.multipleOf"),
            (r#"{"pattern": "(a"}"#, "schema.pattern"),
            (r#"{"pattern": "a(?=b)"}"#, "schema.pattern"),
            (r##"{"allOf": [{"$ref": "#/$defs/no"}]}"##, "schema.allOf[0].$ref"),
        ] {
            let message = refused(source);
            assert!(message.starts_with(&format!("Invalid '{place}': ")), "{source}: {message}");
            assert!(!message.ends_with(": "), "{message}");
        }
    }

    fn kept(source: &str, strictness: Strictness) -> String {
        let mut schema = checked(source, strictness, "schema").unwrap();
        schema.as_object_mut().unwrap().remove("x-guidance").unwrap();
        schema.to_string()
    }

    #[test]
    fn drops_what_excludes_nothing() {
        let strict = Strictness::Strict;
        assert_eq!(kept(r#"{"uniqueItems":false,"not":false,"then":{},"format":"int32"}"#, strict), "{}");
        assert_eq!(kept(r#"{"minLength":2.0}"#, strict), r#"{"minLength":2}"#);
        let values = r#"{"const":{"not":1,"type":"x"},"default":{"if":2}}"#;
        assert_eq!(kept(values, strict), values);
    }

    #[test]
    fn one_of_is_any_of_where_branches_exclude_each_other() {
        let strict = Strictness::Strict;
        let union = r#"{"allOf":[{"type":["string","null"]}],"oneOf":[{"type":"string"},{"type":"null"}]}"#;
        let same = r#"{"allOf":[{"type":["string","null"]},{"anyOf":[{"type":"string"},{"type":"null"}]}]}"#;
        assert_eq!(kept(union, strict), same);
        // What stands around counts, what stands around a part does not.
        let bounds = r#"{"oneOf":[{"maximum":1},{"minimum":2}]}"#;
        assert!(checked(&format!(r#"{{"type":"number","allOf":[{bounds}]}}"#), strict, "s").is_ok());
        let inside = format!(r#"{{"type":"array","items":{bounds}}}"#);
        assert!(refused(&inside).starts_with("Invalid 'schema.items.oneOf': its branches 0 and 1 may both match"));
        assert!(checked(&inside, Strictness::Lenient, "s").is_ok());
    }

    #[test]
    fn lenient_leaves_out_what_cannot_be_enforced() {
        let schema = r#"{"type":"array","uniqueItems":true,"items":{"not":{}}}"#;
        assert_eq!(kept(schema, Strictness::Lenient), r#"{"type":"array","items":{}}"#);
    }

    #[test]
    fn a_caller_cannot_set_the_options_of_the_engine() {
        let text = checked_schema(r#"{"x-guidance":{"lenient":true}}"#, Strictness::Strict, "s").unwrap();
        assert!(!text.contains("lenient"), "{text}");
    }
}
