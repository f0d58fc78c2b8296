//! Methods of Python's str and dict, where those of minijinja-contrib differ or are missing.

use minijinja::value::{from_args, Kwargs, Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::filters::check_widths;

/// Called for methods that minijinja does not know.
pub fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let ours = match (value.as_str(), value.kind()) {
        (Some(text), _) => string_method(text, method, args)?,
        (None, ValueKind::Map) if method == "copy" => Some(value.clone()),
        (None, ValueKind::Seq) if method == "index" => Some(index(value, args)?),
        _ => None,
    };
    match ours {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn fault(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn index(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (wanted,): (&Value,) = from_args(args)?;
    let place = list.try_iter()?.position(|item| item == *wanted);
    place.map(Value::from).ok_or_else(|| fault(format!("{wanted} is not in list")))
}

/// White space for str.strip() and str.split() without arguments.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let result = match method {
        "strip" | "lstrip" | "rstrip" => strip(text, method, args)?,
        "split" | "rsplit" => split(text, method == "rsplit", args)?,
        "partition" | "rpartition" => partition(text, method == "rpartition", args)?,
        "find" | "rfind" | "index" | "rindex" => find(text, method, args)?,
        "replace" => {
            let (old, new, count, kwargs): (&str, &str, Option<i64>, Kwargs) = from_args(args)?;
            let count = match count {
                Some(count) => count,
                None => kwargs.get::<Option<i64>>("count")?.unwrap_or(-1),
            };
            kwargs.assert_all_used()?;
            match usize::try_from(count) {
                Ok(count) => Value::from(text.replacen(old, new, count)),
                Err(_) => Value::from(text.replace(old, new)),
            }
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text),
            };
            let missing = width.min(4096).saturating_sub(text.chars().count());
            Value::from(format!("{sign}{}{digits}", "0".repeat(missing)))
        }
        "isspace" => Value::from(!text.is_empty() && text.chars().all(is_space)),
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.or(kwargs.get("keepends")?).unwrap_or(false);
            lines(text, keep)
        }
        "format" => {
            check_widths(text, args)?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

fn strip(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (given,): (Option<&str>,) = from_args(args)?;
    let unwanted = |c: char| given.map_or_else(|| is_space(c), |chars| chars.contains(c));
    Ok(Value::from(match method {
        "lstrip" => text.trim_start_matches(unwanted),
        "rstrip" => text.trim_end_matches(unwanted),
        _ => text.trim_matches(unwanted),
    }))
}

fn split(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, limit, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => kwargs.get::<Option<&str>>("sep")?,
    };
    let limit = match limit {
        Some(limit) => limit,
        None => kwargs.get::<Option<i64>>("maxsplit")?.unwrap_or(-1),
    };
    kwargs.assert_all_used()?;
    // A negative limit is none.
    let parts = usize::try_from(limit).map_or(usize::MAX, |limit| limit.saturating_add(1));
    let mut pieces: Vec<&str> = match (separator, from_right) {
        (Some(""), _) => return Err(fault("empty separator")),
        (Some(separator), false) => text.splitn(parts, separator).collect(),
        (Some(separator), true) => text.rsplitn(parts, separator).collect(),
        (None, _) => split_at_spaces(text, parts, from_right),
    };
    if from_right {
        pieces.reverse();
    }
    Ok(pieces.into_iter().map(Value::from).collect())
}

/// Splits at runs of white space, into at most `parts`; from the right, the pieces come in that order.
fn split_at_spaces(text: &str, parts: usize, from_right: bool) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest =
        if from_right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) };
    while !rest.is_empty() {
        let cut = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(cut) = cut.filter(|_| pieces.len() + 1 < parts) else {
            pieces.push(if from_right { rest.trim_start_matches(is_space) } else { rest });
            if !from_right && pieces.len() < parts {
                pieces.pop();
                pieces.push(rest.trim_end_matches(is_space));
            }
            break;
        };
        let width = rest[cut..].chars().next().map_or(1, char::len_utf8);
        let (left, right) = (&rest[..cut], &rest[cut + width..]);
        pieces.push(if from_right { right } else { left });
        rest = if from_right { left.trim_end_matches(is_space) } else { right.trim_start_matches(is_space) };
    }
    pieces
}

fn partition(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    if separator.is_empty() {
        return Err(fault("empty separator"));
    }
    let found = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match (found, from_right) {
        (Some((left, right)), _) => [left, separator, right],
        (None, false) => [text, "", ""],
        (None, true) => ["", "", text],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

/// str.find() and its kin: places count characters.
fn find(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let count = text.chars().count() as i64;
    let place = |at: i64| (if at < 0 { at + count } else { at }).clamp(0, count) as usize;
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(count)));
    let found = match start <= end {
        true => {
            let part = &text[byte(start)..byte(end)];
            let found = if method.starts_with('r') { part.rfind(wanted) } else { part.find(wanted) };
            found.map(|at| start + part[..at].chars().count())
        }
        false => None,
    };
    match (found, method.ends_with("index")) {
        (Some(at), _) => Ok(Value::from(at)),
        (None, false) => Ok(Value::from(-1)),
        (None, true) => Err(fault("substring not found")),
    }
}

/// str.splitlines(): all of Unicode's line ends.
fn lines(text: &str, keep: bool) -> Value {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(at) = rest.find(is_end) else {
            found.push(Value::from(rest));
            break;
        };
        let width = match rest[at..].starts_with("\r\n") {
            true => 2,
            false => rest[at..].chars().next().map_or(1, char::len_utf8),
        };
        found.push(Value::from(&rest[..if keep { at + width } else { at }]));
        rest = &rest[at + width..];
    }
    Value::from(found)
}
