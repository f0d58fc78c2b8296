//! Chat templates: Jinja as Hugging Face transformers sets it up, rendered by minijinja.

mod clock;
mod filters;
mod json;
mod methods;
mod python;
pub mod spans;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value as Json;
use std::fmt;
use std::io::{self, Write};

use crate::error::{Error, Result, Status};
use crate::stack::{bounded, Bounds};

/// A template source is a few kilobytes; a larger one is an attack.
const SOURCE_BYTES_MAX: usize = 4 << 20;
/// Instructions of one render: a base for the template, and a share for each byte of the request, because some
/// templates look at all messages for each message. They bound how often a hostile template acts; what the acts make
/// is bounded by memory.
const FUEL_BASE: u64 = 1_000_000;
const FUEL_PER_BYTE: u64 = 64;
const FUEL_MAX: u64 = 5_000_000;
/// The output may repeat the request a few times, and add to it.
const OUTPUT_BASE_BYTES: usize = 4 << 20;
const OUTPUT_TIMES_REQUEST: usize = 16;
/// A template can nest a list in a list for each ten instructions, and to write or drop such a list recurses, at
/// some 700 bytes a level. Only what is touched is committed.
const STACK_BYTES: usize = 512 << 20;
/// Memory of one render: a base, and a share for each byte of the request, since a list of small numbers becomes values
/// of two dozen bytes each, twice.
const MEMORY_BASE_BYTES: usize = 64 << 20;
const MEMORY_TIMES_REQUEST: usize = 64;
const MEMORY_MAX_BYTES: usize = 1 << 30;
/// Nested macros, includes and blocks.
const RECURSION_MAX: usize = 200;

const NAME: &str = "chat_template";
/// How messages call it.
pub(crate) const WHAT: &str = "the chat template";

/// What compiling a source of so many bytes, or rendering a context of so many, may use.
pub(crate) fn bounds(bytes: usize) -> Bounds {
    let memory_bytes = MEMORY_BASE_BYTES.saturating_add(MEMORY_TIMES_REQUEST.saturating_mul(bytes));
    Bounds { stack_bytes: STACK_BYTES, memory_bytes: memory_bytes.min(MEMORY_MAX_BYTES) }
}

pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// What a template raised by raise_exception.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl ChatTemplate {
    pub fn compile(source: &str) -> Result<ChatTemplate> {
        if source.len() > SOURCE_BYTES_MAX {
            let message =
                format!("the chat template: expected at most {SOURCE_BYTES_MAX} bytes, got {}", source.len());
            return Err(Error::invalid(message));
        }
        bounded(bounds(source.len()), WHAT, || {
            let mut environment = environment()?;
            environment.add_template_owned(NAME, prepare(source)).map_err(|error| {
                let line = error.line().map_or(String::new(), |line| format!("line {line}: "));
                Error::invalid(format!("the chat template does not compile: {line}{}", detail(&error)))
            })?;
            Ok(ChatTemplate { environment })
        })
    }

    /// Renders with a context of JSON text. `unix_time` is what strftime_now() tells; none is now.
    pub fn render(&self, context: &str, unix_time: Option<i64>) -> Result<String> {
        bounded(bounds(context.len()), WHAT, || self.render_here(parse(context)?, context.len(), unix_time))
    }

    fn render_here(&self, context: Json, request_bytes: usize, unix_time: Option<i64>) -> Result<String> {
        let Json::Object(map) = context else {
            return Err(Error::invalid("the template's context: expected a JSON object"));
        };
        let mut environment = self.environment.clone();
        let fuel = FUEL_BASE.saturating_add(FUEL_PER_BYTE.saturating_mul(request_bytes as u64));
        environment.set_fuel(Some(fuel.min(FUEL_MAX)));
        environment.add_function("strftime_now", move |format: &str| {
            clock::strftime(format, unix_time).ok_or_else(|| {
                minijinja::Error::new(ErrorKind::InvalidOperation, "strftime_now: the format is not known")
            })
        });
        let root = Value::from_pairs(map.into_iter().map(|(key, value)| (key, python::from_json(value))));
        let mut output = Limited {
            bytes: Vec::new(),
            limit: OUTPUT_BASE_BYTES.saturating_add(OUTPUT_TIMES_REQUEST.saturating_mul(request_bytes)),
            over: false,
        };
        let template = environment.get_template(NAME).map_err(failure)?;
        let rendered = template.render_captured_to(root, &mut output).map(|_| ());
        if output.over {
            let message = format!("the chat template: its output went over {} bytes", output.limit);
            return Err(Error::new(Status::Limit, message));
        }
        rendered.map_err(failure)?;
        String::from_utf8(output.bytes)
            .map_err(|_| Error::new(Status::Failed, "the chat template: output is not UTF-8"))
    }
}

fn parse(context: &str) -> Result<Json> {
    serde_json::from_str(context).map_err(|e| Error::invalid(format!("the template's context: {e}")))
}

fn environment() -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(false).build();
    environment.set_syntax(syntax.map_err(failure)?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(|out, _, value| match value.kind() {
        ValueKind::Invalid => Err(minijinja::Error::new(ErrorKind::InvalidOperation, value.to_string())),
        _ => python::write_str(out, value)
            .map_err(|_| minijinja::Error::new(ErrorKind::WriteFailure, "the value cannot be written")),
    });
    environment.add_function(
        "raise_exception",
        |message: &Value| -> std::result::Result<Value, minijinja::Error> {
            let message = python::str_of(message);
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message.clone())
                .with_source(Raised(message)))
        },
    );
    filters::add(&mut environment);
    Ok(environment)
}

/// Brings a source into the form that minijinja reads: line ends as Jinja reads them, the tag `generation`, which
/// transformers adds, as a block that has a scope and does nothing else, and lists that grow as new lists.
fn prepare(source: &str) -> String {
    let source = with_new_lists(&source.replace("\r\n", "\n").replace('\r', "\n"));
    let mut prepared = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at + 2);
        prepared.push_str(before);
        rest = tag;
        let marked = tag.trim_start_matches(['-', '+']);
        let name = marked.trim_start();
        for (theirs, ours) in [("generation", "with"), ("endgeneration", "endwith")] {
            let Some(after) = name.strip_prefix(theirs) else { continue };
            let end = after.trim_start();
            if ["%}", "-%}", "+%}"].iter().any(|close| end.starts_with(close)) {
                prepared.push_str(&tag[..tag.len() - name.len()]);
                prepared.push_str(ours);
                rest = after;
            }
        }
    }
    prepared.push_str(rest);
    prepared
}

/// Writes `{% set x = list.append(y) %}` and `{% set x = list.pop(0) %}`, by which Kimi K2's template counts calls and
/// which change a list in place, as assignments of new lists. Other uses of these methods stay, and fail.
fn with_new_lists(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(end) = rest.find("%}").map(|end| end + 2) else { break };
        let tag = &rest[..end];
        out.push_str(&new_list(tag).unwrap_or_else(|| tag.to_string()));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

fn new_list(tag: &str) -> Option<String> {
    let body = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let (open, body) = body.strip_prefix('-').map_or(("{%", body), |body| ("{%-", body));
    let (close, body) = body.strip_suffix('-').map_or(("%}", body), |body| ("-%}", body));
    let (name, value) = body.trim().strip_prefix("set ")?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    };
    let (list, call) = value.rsplit_once(".append(").or_else(|| value.rsplit_once(".pop("))?;
    let argument = call.strip_suffix(')')?;
    if !is_name(name) || !is_name(list) || !list.contains('.') {
        return None;
    }
    if value.contains(".append(") {
        return Some(format!("{open} set {list} = {list} + [{argument}] {close}"));
    }
    (argument.trim() == "0")
        .then(|| format!("{open} set {name} = {list}[0] -%}}{{%- set {list} = {list}[1:] {close}"))
}

/// Sorts an error of the engine: raised by the template, over a limit, or failed.
fn failure(error: minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref::<Raised>() {
            return Error::new(Status::Raised, message.clone());
        }
        let engine = current.downcast_ref::<minijinja::Error>();
        if engine.is_some_and(|engine| engine.kind() == ErrorKind::OutOfFuel) {
            return Error::new(Status::Limit, "the chat template: it runs too long for this request");
        }
        cause = current.source();
    }
    let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
    Error::new(Status::Failed, format!("the chat template fails{line}: {}", detail(&error)))
}

fn detail(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Bytes up to a limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.over = true;
            return Err(io::Error::other("the output is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
