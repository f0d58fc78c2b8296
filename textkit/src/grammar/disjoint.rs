//! Whether two schemas can hold for one value. Where no two branches of a `oneOf` can, it is an `anyOf`, which the
//! engine enforces. The proof is sound, not complete: "not disjoint" also means "not seen to be".

use std::cell::Cell;

use serde_json::{Map, Value};

/// Schemas looked at in one proof, as large unions have many pairs.
const FUEL: usize = 200_000;
/// References and properties behind each other.
const DEPTH_MAX: usize = 12;

const NUMBER: u8 = 4;
const STRING: u8 = 8;
const ARRAY: u8 = 16;
const OBJECT: u8 = 32;
const ALL: u8 = 63;

/// Schemas that hold together.
type Together<'a> = Vec<&'a Value>;

pub struct Disjointness<'a> {
    /// What references begin at; none where a part of the schema has a name of its own, which they may be relative to.
    root: Option<&'a Value>,
    /// Before draft 2019-09 a reference stands alone: its neighbours mean nothing.
    lone_references: bool,
    fuel: Cell<usize>,
}

impl<'a> Disjointness<'a> {
    pub fn of(root: &'a Value) -> Disjointness<'a> {
        let draft = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let root = (!has_named_parts(root)).then_some(root);
        Disjointness { root, lone_references: draft.contains("draft-0"), fuel: Cell::new(FUEL) }
    }

    /// Whether a reference of the form "#/a/b" is known to lead nowhere.
    pub fn leads_nowhere(&self, reference: &str) -> bool {
        reference.starts_with("#/") && self.root.is_some_and(|root| resolve(root, reference).is_none())
    }

    /// Returns the first two branches that are not seen to exclude each other, where `around` holds for both.
    pub fn overlap(&self, branches: &'a [Value], around: &[&'a Value]) -> Option<(usize, usize)> {
        let expanded: Vec<Together> = branches
            .iter()
            .map(|branch| {
                let mut all = Vec::new();
                self.expand(branch, 0, &mut all);
                around.iter().for_each(|schema| self.expand(schema, 0, &mut all));
                all
            })
            .collect();
        (0..branches.len())
            .flat_map(|i| (i + 1..branches.len()).map(move |j| (i, j)))
            .find(|&(i, j)| !self.disjoint(&expanded[i], &expanded[j], 0))
    }

    fn spend(&self, amount: usize) -> bool {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(amount));
        left >= amount
    }

    /// Adds a schema, what it refers to, and what it is all of.
    fn expand(&self, schema: &'a Value, depth: usize, out: &mut Together<'a>) {
        if depth > DEPTH_MAX || !self.spend(1) {
            return;
        }
        let reference = text(schema, "$ref");
        let target = reference.and_then(|reference| resolve(self.root?, reference));
        if reference.is_none() || !self.lone_references {
            out.push(schema);
            list(schema, "allOf").iter().for_each(|part| self.expand(part, depth + 1, out));
        }
        if let Some(target) = target {
            self.expand(target, depth + 1, out);
        }
    }

    fn disjoint(&self, a: &Together<'a>, b: &Together<'a>, depth: usize) -> bool {
        if depth > DEPTH_MAX || !self.spend(a.len() + b.len()) {
            return false;
        }
        let shared = self.kinds(a, depth) & self.kinds(b, depth);
        if shared == 0 || self.no_common_value(a, b) {
            return true;
        }
        let excluded = |kind: u8, proof: &dyn Fn() -> bool| shared & kind == 0 || proof();
        if shared & !(NUMBER | STRING | ARRAY | OBJECT) == 0
            && excluded(NUMBER, &|| apart(number_range(a), number_range(b)))
            && excluded(STRING, &|| apart(sizes(a, "Length"), sizes(b, "Length")))
            && excluded(ARRAY, &|| apart(sizes(a, "Items"), sizes(b, "Items")))
            && excluded(OBJECT, &|| self.properties_exclude(a, b, depth))
        {
            return true;
        }
        self.each_branch_excludes(a, b, depth) || self.each_branch_excludes(b, a, depth)
    }

    /// Whether one of the choices in `a` has only branches that exclude `b`.
    fn each_branch_excludes(&self, a: &Together<'a>, b: &Together<'a>, depth: usize) -> bool {
        a.iter().flat_map(|schema| [list(schema, "anyOf"), list(schema, "oneOf")]).any(|branches| {
            !branches.is_empty()
                && branches.iter().all(|branch| {
                    let mut narrowed = a.clone();
                    // The choice is made: its schema must not be asked again.
                    narrowed.retain(|schema| !std::ptr::eq(list(schema, "anyOf"), branches));
                    narrowed.retain(|schema| !std::ptr::eq(list(schema, "oneOf"), branches));
                    self.expand(branch, depth, &mut narrowed);
                    self.disjoint(&narrowed, b, depth + 1)
                })
        })
    }

    /// Whether a property that one of them requires cannot be both's.
    fn properties_exclude(&self, a: &Together<'a>, b: &Together<'a>, depth: usize) -> bool {
        let names = a.iter().chain(b).flat_map(|schema| list(schema, "required"));
        names.filter_map(Value::as_str).any(|name| {
            let (a, b) = (self.property(a, name, depth), self.property(b, name, depth));
            self.disjoint(&a, &b, depth + 1)
        })
    }

    /// What must hold for a property. Patterns are not looked into.
    fn property(&self, schemas: &Together<'a>, name: &str, depth: usize) -> Together<'a> {
        let mut all = Vec::new();
        for schema in schemas {
            let own = schema.get("properties").and_then(|properties| properties.get(name));
            let others = match schema.get("patternProperties") {
                None => schema.get("additionalProperties"),
                Some(_) => None,
            };
            if let Some(property) = own.or(others) {
                self.expand(property, depth, &mut all);
            }
        }
        all
    }

    /// The types that values can have.
    fn kinds(&self, schemas: &Together<'a>, depth: usize) -> u8 {
        let mut kinds = ALL;
        for schema in schemas {
            if **schema == Value::Bool(false) {
                return 0;
            }
            match schema.get("type") {
                Some(Value::String(name)) => kinds &= kind_named(name),
                Some(Value::Array(names)) => {
                    kinds &= names.iter().filter_map(Value::as_str).map(kind_named).fold(0, |a, b| a | b)
                }
                _ => {}
            }
            if let Some(values) = values(schema) {
                kinds &= values.iter().map(kind_of).fold(0, |a, b| a | b);
            }
            for branches in [list(schema, "anyOf"), list(schema, "oneOf")] {
                if branches.is_empty() || depth >= DEPTH_MAX {
                    continue;
                }
                kinds &= branches.iter().fold(0, |kinds, branch| {
                    let mut all = Vec::new();
                    self.expand(branch, depth, &mut all);
                    kinds | self.kinds(&all, depth + 1)
                });
            }
        }
        kinds
    }

    /// Whether both list their values, and none is in both lists.
    fn no_common_value(&self, a: &Together<'a>, b: &Together<'a>) -> bool {
        let listed = |schemas: &Together<'a>| schemas.iter().find_map(|schema| values(schema));
        let (Some(a), Some(b)) = (listed(a), listed(b)) else { return false };
        self.spend(a.len() * b.len()) && a.iter().all(|x| b.iter().all(|y| !same_value(x, y)))
    }
}

/// Whether a schema inside this one names itself.
fn has_named_parts(root: &Value) -> bool {
    let source = root.to_string();
    let is_named = |keyword: &str| usize::from(root.get(keyword).is_some_and(Value::is_string));
    source.matches("\"$id\":\"").count() > is_named("$id")
        || source.matches("\"id\":\"").count() > is_named("id")
}

/// Returns what a reference of the form "#/a/b" stands for.
fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    let mut bytes = Vec::new();
    let mut rest = pointer.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = (byte == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    root.pointer(std::str::from_utf8(&bytes).ok()?)
}

fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(schema: &'a Value, keyword: &str) -> Option<&'a str> {
    schema.get(keyword).and_then(Value::as_str)
}

/// The only values that a schema allows, if it lists them.
fn values(schema: &Value) -> Option<&[Value]> {
    match schema.get("const") {
        Some(value) => Some(std::slice::from_ref(value)),
        None => schema.get("enum").and_then(Value::as_array).map(Vec::as_slice),
    }
}

fn kind_named(name: &str) -> u8 {
    match name {
        "null" => 1,
        "boolean" => 2,
        "number" | "integer" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => ALL,
    }
}

fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// Whether values are the same to JSON Schema, which knows no difference of 1 and 1.0.
fn same_value(a: &Value, b: &Value) -> bool {
    let same_member =
        |b: &Map<String, Value>, name: &String, x: &Value| b.get(name).is_some_and(|y| same_value(x, y));
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_value(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(name, x)| same_member(y, name, x))
        }
        _ => a == b,
    }
}

/// The least and the greatest, and whether each may be reached.
type Range = ((f64, bool), (f64, bool));

fn apart(a: Range, b: Range) -> bool {
    let below = |(high, reached): (f64, bool), (low, reached_too): (f64, bool)| {
        high < low || (high == low && !(reached && reached_too))
    };
    below(a.1, b.0) || below(b.1, a.0)
}

fn number_range(schemas: &Together) -> Range {
    let mut range: Range = ((f64::NEG_INFINITY, true), (f64::INFINITY, true));
    let mut at_least = |low: f64, reached: bool| {
        if low > range.0 .0 || (low == range.0 .0 && !reached) {
            range.0 = (low, reached);
        }
    };
    let number = |schema: &Value, keyword: &str| schema.get(keyword).and_then(Value::as_f64);
    let strict = |schema: &Value, keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    let listed = |schema: &Value| -> Option<Vec<f64>> { values(schema)?.iter().map(Value::as_f64).collect() };
    for schema in schemas {
        // In draft 4 the exclusive bounds are words.
        number(schema, "minimum").map(|low| at_least(low, !strict(schema, "exclusiveMinimum")));
        number(schema, "exclusiveMinimum").map(|low| at_least(low, false));
        listed(schema).map(|all| at_least(all.into_iter().fold(f64::INFINITY, f64::min), true));
    }
    let mut at_most = |high: f64, reached: bool| {
        if high < range.1 .0 || (high == range.1 .0 && !reached) {
            range.1 = (high, reached);
        }
    };
    for schema in schemas {
        number(schema, "maximum").map(|high| at_most(high, !strict(schema, "exclusiveMaximum")));
        number(schema, "exclusiveMaximum").map(|high| at_most(high, false));
        listed(schema).map(|all| at_most(all.into_iter().fold(f64::NEG_INFINITY, f64::max), true));
    }
    range
}

/// The range of minLength and maxLength, or of minItems and maxItems.
fn sizes(schemas: &Together, of: &str) -> Range {
    let bounds = |prefix: &str| {
        let keyword = format!("{prefix}{of}");
        schemas.iter().filter_map(|schema| schema.get(&keyword)?.as_f64()).collect::<Vec<_>>()
    };
    let least = bounds("min").into_iter().fold(0.0, f64::max);
    let most = bounds("max").into_iter().fold(f64::INFINITY, f64::min);
    ((least, true), (most, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn disjoint(schema: Value) -> bool {
        let branches = schema["oneOf"].as_array().unwrap();
        let mut around = schema.clone();
        around.as_object_mut().unwrap().remove("oneOf");
        Disjointness::of(&schema).overlap(branches, &[&around]).is_none()
    }

    #[test]
    fn sees_what_excludes_itself() {
        assert!(disjoint(json!({"oneOf": [{"type": "string"}, {"type": ["integer", "null"]}]})));
        assert!(disjoint(json!({"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}, {"const": 1}]})));
        assert!(disjoint(json!({"type": "integer", "oneOf": [{"maximum": 3}, {"minimum": 4}]})));
        assert!(disjoint(json!({"type": "number", "oneOf": [{"maximum": 3}, {"exclusiveMinimum": 3}]})));
        assert!(disjoint(json!({"oneOf": [{"const": 0}, {"type": "integer", "minimum": 1}]})));
        assert!(disjoint(json!({"type": "string", "oneOf": [{"maxLength": 2}, {"minLength": 3}]})));
        assert!(disjoint(json!({"oneOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"const": 3}]})));
        assert!(disjoint(json!({"oneOf": [{}, false]})));
    }

    #[test]
    fn sees_the_discriminator_of_a_union() {
        let branch = |kind: &str| {
            json!({"type": "object", "required": ["kind"],
                   "properties": {"kind": {"const": kind}, "x": {"type": "string"}}})
        };
        let definitions = json!({"cat": branch("cat"), "dog": branch("dog")});
        let union = json!([{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}]);
        assert!(disjoint(json!({"oneOf": union, "$defs": definitions})));
        // What the branches have in common may stand around them.
        assert!(disjoint(json!({"type": "object", "required": ["k"], "oneOf": [
            {"properties": {"k": {"enum": ["a", "b"]}}}, {"properties": {"k": {"enum": ["c"]}}}]})));
        assert!(disjoint(json!({"type": "object", "oneOf": [
            {"required": ["a"]}, {"properties": {"b": {}}, "additionalProperties": false}]})));
    }

    #[test]
    fn does_not_see_what_is_not_there() {
        assert!(!disjoint(json!({"oneOf": [{"type": "integer"}, {"minimum": 2}]})));
        assert!(!disjoint(json!({"oneOf": [{"type": "integer"}, {"type": "number"}]})));
        assert!(!disjoint(json!({"oneOf": [{"const": 1}, {"const": 1.0}]})));
        assert!(!disjoint(json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]})));
        let kinds = json!([{"properties": {"k": {"const": 1}}}, {"properties": {"k": {"const": 2}}}]);
        assert!(!disjoint(json!({"type": "object", "oneOf": kinds})), "an object without k is both");
        let patterns = json!([{"required": ["a"]}, {"patternProperties": {"a": {}}, "additionalProperties": false}]);
        assert!(!disjoint(json!({"type": "object", "oneOf": patterns})));
        assert!(!disjoint(json!({"type": "number", "oneOf": [{"maximum": 3}, {"minimum": 3}]})));
        let circle = json!({"oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}],
                            "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}});
        assert!(!disjoint(circle));
        let old = json!({"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"any": {}},
                         "oneOf": [{"$ref": "#/$defs/any", "type": "string"}, {"type": "null"}]});
        assert!(!disjoint(old), "beside a reference nothing counts");
        let named = json!({"oneOf": [{"$ref": "#/$defs/x"}, {"type": "null"}],
                           "$defs": {"x": {"type": "string"}, "y": {"$id": "http://y", "$defs": {"x": {}}}}});
        assert!(!disjoint(named), "a reference may be relative to the part's name");
    }
}
