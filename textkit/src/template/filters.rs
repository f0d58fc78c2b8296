//! Filters and tests, where Jinja's differ from minijinja's.

use minijinja::formatting::{format, FormatStyle};
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{filters, Environment, Error, ErrorKind, State};

use super::json;
use super::python::{as_float, str_of};

pub fn add(environment: &mut Environment) {
    environment.add_filter("tojson", json::to_json);
    environment.add_filter("string", |value: &Value| str_of(value));
    environment.add_filter("indent", indent);
    environment.add_filter("join", join);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("float", float);
    environment.add_filter("trim", trim);
    environment.add_filter("batch", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        filters::batch(state, value, checked_size(count)?, fill)
    });
    environment.add_filter("slice", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        filters::slice(state, value, checked_size(count)?, fill)
    });
    environment.add_filter("format", |text: &str, args: Rest<Value>| {
        check_widths(text, &args)?;
        format(FormatStyle::Printf, text, &args)
    });
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined)
    });
}

/// A size that one word of a template can ask for.
const SIZE_MAX: usize = 4096;

fn checked_size(size: usize) -> Result<usize, Error> {
    match size <= SIZE_MAX {
        true => Ok(size),
        false => {
            Err(Error::new(ErrorKind::InvalidOperation, format!("expected at most {SIZE_MAX}, got {size}")))
        }
    }
}

/// Refuses a format with a width or precision over SIZE_MAX, in the text or, where the text takes it from there, in
/// the arguments.
pub fn check_widths(text: &str, args: &[Value]) -> Result<(), Error> {
    for digits in text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()) {
        checked_size(digits.parse().unwrap_or(usize::MAX))?;
    }
    let from_arguments = text.contains('*') || text.split(['{', '}']).any(|spec| spec.ends_with([':', '.']));
    for number in args.iter().filter(|arg| from_arguments && arg.is_integer()) {
        checked_size(number.as_usize().unwrap_or(0))?;
    }
    Ok(())
}

/// `text|trim(chars)`: Python's str.strip().
fn trim(value: &Value, chars: Option<&str>) -> String {
    let text = str_of(value);
    let unwanted = |c: char| match chars {
        Some(chars) => chars.contains(c),
        None => c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c),
    };
    text.trim_matches(unwanted).to_string()
}

/// `text|indent(width=4, first=false, blank=false)`; a last newline stays.
fn indent(
    value: &Value,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let width = match width {
        Some(width) => Some(width),
        None => kwargs.get::<Option<Value>>("width")?,
    };
    let margin = match width.as_ref().map(|width| (width.as_str(), width.as_usize())) {
        None => "    ".to_string(),
        Some((Some(text), _)) => text.to_string(),
        Some((None, width)) => " ".repeat(checked_size(width.unwrap_or(usize::MAX))?),
    };
    let first = first.or(kwargs.get("first")?).unwrap_or(false);
    let blank = blank.or(kwargs.get("blank")?).unwrap_or(false);
    kwargs.assert_all_used()?;
    let mut out = String::new();
    for (at, line) in str_of(value).split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if (at == 0 && first) || (at > 0 && (blank || !line.is_empty())) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// `list|join(separator, attribute)`.
fn join(
    value: &Value,
    separator: Option<&str>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    let separator = separator.or(kwargs.get("d")?).unwrap_or("");
    let attribute = attribute.or(kwargs.get("attribute")?);
    kwargs.assert_all_used()?;
    let mut out = String::new();
    for (at, item) in value.try_iter()?.checked().enumerate() {
        let mut item = item?;
        for name in attribute.iter().flat_map(|path| path.split('.')) {
            item = item.get_attr(name)?;
        }
        if at > 0 {
            out.push_str(separator);
        }
        out.push_str(&str_of(&item));
    }
    Ok(out)
}

/// `text|escape`, with the entities of MarkupSafe.
fn escape(value: &Value) -> Value {
    let mut out = String::new();
    for c in str_of(value).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    Value::from_safe_string(out)
}

/// `value|float(default=0.0)`.
fn float(value: &Value, default: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let default = match default {
        Some(default) => default,
        None => kwargs.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(0.0)),
    };
    kwargs.assert_all_used()?;
    let number = match value.as_str() {
        Some(text) => text.trim().replace('_', "").parse::<f64>().ok(),
        None => as_float(value).or_else(|| i64::try_from(value.clone()).ok().map(|whole| whole as f64)),
    };
    Ok(number.map_or(default, Value::from))
}
