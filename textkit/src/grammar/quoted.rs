//! A Lark grammar for the inside of a JSON string: every text of it as JSON writes it. Each character has one form, so
//! that what the grammar tells apart stays apart. Needed where a tool's argument must match a grammar and the model
//! writes its arguments as JSON.

use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::ParserBuilder;
use std::fmt::Write;

use crate::error::{Error, Result};

/// Groups in groups.
const DEPTH_MAX: u32 = 100;
/// Terminals of Lark's library that hold no character with another form in JSON, or whose pattern follows.
const PLAIN_IMPORTS: [&str; 14] = [
    "DIGIT", "HEXDIGIT", "INT", "SIGNED_INT", "DECIMAL", "FLOAT", "SIGNED_FLOAT", "NUMBER", "SIGNED_NUMBER",
    "LCASE_LETTER", "UCASE_LETTER", "LETTER", "WORD", "CNAME",
];
const QUOTED_IMPORTS: [(&str, &str); 6] = [
    ("ESCAPED_STRING", r#""([^"\\]|\\.)*""#),
    ("WS_INLINE", r"[ \t]+"),
    ("WS", r"[ \t\f\r\n]+"),
    ("CR", r"\r"),
    ("LF", r"\n"),
    ("NEWLINE", r"(\r?\n)+"),
];

/// Returns the grammar of the JSON forms of the texts that `source` matches.
pub fn lark_in_json(source: &str) -> Result<String> {
    let mut writer = Writer { rest: source, line: 1, out: String::with_capacity(2 * source.len()) };
    while !writer.rest.is_empty() {
        writer.step()?;
    }
    Ok(writer.out)
}

struct Writer<'a> {
    rest: &'a str,
    line: usize,
    out: String,
}

impl<'a> Writer<'a> {
    fn refuse<T>(&self, what: &str) -> Result<T> {
        Err(Error::invalid(format!("line {}: {what} is not supported inside a JSON string", self.line)))
    }

    fn step(&mut self) -> Result<()> {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.take(rest.find('\n').unwrap_or(rest.len()));
            return Ok(());
        }
        match rest.as_bytes()[0] {
            b'"' => self.string(),
            b'/' => self.regex(),
            b'%' => self.directive(),
            b'<' => self.refuse("a token"),
            b'~' => {
                let counted = rest[1..].trim_start().starts_with(|c: char| c.is_ascii_digit());
                if !counted {
                    return self.refuse("what is all but a pattern");
                }
                self.copy(1);
                Ok(())
            }
            _ => {
                self.copy(rest.chars().next().map_or(1, char::len_utf8));
                Ok(())
            }
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn copy(&mut self, bytes: usize) {
        let taken = self.take(bytes);
        self.out.push_str(taken);
    }

    /// Takes what stands between two `mark`s, backslashes and all.
    fn between(&mut self, mark: u8) -> Result<&'a str> {
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        while end < bytes.len() && bytes[end] != mark {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        if end >= bytes.len() {
            return Err(Error::invalid(format!("line {}: a text without an end", self.line)));
        }
        let taken = self.take(end + 1);
        Ok(&taken[1..end])
    }

    fn string(&mut self) -> Result<()> {
        let text = self.literal()?;
        let any_case = self.rest.starts_with('i');
        if any_case {
            self.take(1);
        }
        if let Some(range) = self.rest.trim_start().strip_prefix("..") {
            let range = range.trim_start();
            if !range.starts_with('"') {
                return self.refuse("this range");
            }
            self.take(self.rest.len() - range.len());
            let last = self.literal()?;
            let pattern = format!("[{}-{}]", regex_syntax::escape(&text), regex_syntax::escape(&last));
            return self.pattern(&pattern, "");
        }
        if any_case {
            return self.pattern(&regex_syntax::escape(&text), "i");
        }
        let quoted = json(&text);
        let _ = write!(self.out, "{}", serde_json::Value::from(quoted));
        Ok(())
    }

    fn literal(&mut self) -> Result<String> {
        let line = self.line;
        let inner = self.between(b'"')?.replace("\\x", "\\u00");
        serde_json::from_str(&format!("\"{inner}\""))
            .map_err(|error| Error::invalid(format!("line {line}: a string: {error}")))
    }

    fn regex(&mut self) -> Result<()> {
        let pattern = self.between(b'/')?;
        let flags = self.rest.len() - self.rest.trim_start_matches(|c| "imslux".contains(c)).len();
        let flags = self.take(flags);
        if flags.contains('l') {
            return self.refuse("the flag l of a regular expression");
        }
        self.pattern(pattern, flags)
    }

    fn pattern(&mut self, pattern: &str, flags: &str) -> Result<()> {
        let parsed = ParserBuilder::new()
            .nest_limit(DEPTH_MAX)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .ignore_whitespace(flags.contains('x'))
            .build()
            .parse(pattern);
        let hir = match parsed {
            Ok(hir) => hir,
            Err(error) => {
                return Err(Error::invalid(format!("line {}: the pattern /{pattern}/: {error}", self.line)));
            }
        };
        let mut out = String::from("/");
        self.write(&hir, &mut out)?;
        out.push('/');
        self.out.push_str(if out == "//" { "\"\"" } else { &out });
        Ok(())
    }

    fn write(&self, hir: &Hir, out: &mut String) -> Result<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => json(text).chars().for_each(|c| push_char(c, out)),
                Err(_) => return self.refuse("a pattern of bytes"),
            },
            HirKind::Class(Class::Unicode(class)) => {
                let ranges: Vec<_> = class.ranges().iter().map(|r| (r.start(), r.end())).collect();
                push_class(&ranges, out);
            }
            HirKind::Class(Class::Bytes(class)) if class.is_ascii() => {
                let ranges: Vec<_> =
                    class.ranges().iter().map(|r| (char::from(r.start()), char::from(r.end()))).collect();
                push_class(&ranges, out);
            }
            HirKind::Class(_) => return self.refuse("a pattern of bytes"),
            HirKind::Look(_) => return self.refuse("an anchor in a pattern"),
            HirKind::Repetition(repetition) => {
                self.group(&repetition.sub, out)?;
                let _ = match (repetition.min, repetition.max) {
                    (min, Some(max)) => write!(out, "{{{min},{max}}}"),
                    (min, None) => write!(out, "{{{min},}}"),
                };
            }
            HirKind::Capture(capture) => self.group(&capture.sub, out)?,
            HirKind::Concat(parts) => {
                for part in parts {
                    self.group(part, out)?;
                }
            }
            HirKind::Alternation(parts) => {
                out.push_str("(?:");
                for (i, part) in parts.iter().enumerate() {
                    out.push_str(if i > 0 { "|" } else { "" });
                    self.write(part, out)?;
                }
                out.push(')');
            }
        }
        Ok(())
    }

    fn group(&self, hir: &Hir, out: &mut String) -> Result<()> {
        out.push_str("(?:");
        self.write(hir, out)?;
        out.push(')');
        Ok(())
    }

    /// `%ignore` stays; of `%import`, what has another form in JSON is written out.
    fn directive(&mut self) -> Result<()> {
        if self.rest.starts_with("%ignore") {
            self.copy("%ignore".len());
            return Ok(());
        }
        let Some(import) = self.rest.strip_prefix("%import") else {
            let end = self.rest[1..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(self.rest.len(), |e| e + 1);
            return self.refuse(&self.rest[..end]);
        };
        let line = &import[..import.find('\n').unwrap_or(import.len())];
        let what = line.split("//").next().unwrap_or_default().trim();
        self.take("%import".len() + line.len());
        let (path, alias) = what.split_once("->").map_or((what, None), |(path, alias)| (path.trim(), Some(alias)));
        let names: Vec<&str> = match path.split_once('(') {
            Some((_, names)) => names.trim_end_matches(')').split(',').map(str::trim).collect(),
            None => vec![path.strip_prefix("common.").unwrap_or(path)],
        };
        if !path.starts_with("common") {
            return self.refuse(&format!("the import of \"{path}\""));
        }
        for name in names {
            let shown = alias.map_or(name, str::trim);
            if PLAIN_IMPORTS.contains(&name) {
                let _ = writeln!(self.out, "%import common.{name} -> {shown}");
            } else if let Some((_, pattern)) = QUOTED_IMPORTS.iter().find(|(known, _)| *known == name) {
                let _ = write!(self.out, "{shown}: ");
                self.pattern(pattern, "")?;
                self.out.push('\n');
            } else {
                return self.refuse(&format!("the import of \"{name}\""));
            }
        }
        Ok(())
    }
}

/// Returns a text as it stands in a JSON string.
fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

fn has_other_form(c: char) -> bool {
    c < ' ' || c == '"' || c == '\\'
}

fn push_char(c: char, out: &mut String) {
    match c.is_ascii_alphanumeric() || c == ' ' || c == '_' || !c.is_ascii() {
        true => out.push(c),
        false => {
            let _ = write!(out, "\\x{{{:X}}}", c as u32);
        }
    }
}

/// Writes a class: the characters that stand for themselves, and the forms of the others.
fn push_class(ranges: &[(char, char)], out: &mut String) {
    let mut plain = String::new();
    let mut others = Vec::new();
    for &(first, last) in ranges {
        let mut from = Some(first);
        let mut add = |from: char, to: char| {
            let _ = write!(plain, "\\x{{{:X}}}-\\x{{{:X}}}", from as u32, to as u32);
        };
        // All others are below 0x80.
        for c in (first..=last.min('\u{7f}')).filter(|&c| has_other_form(c)) {
            others.push(json(&c.to_string()));
            if let Some(start) = from.filter(|&start| start < c) {
                add(start, char::from(c as u8 - 1));
            }
            from = char::from_u32(c as u32 + 1);
        }
        if let Some(start) = from.filter(|&start| start <= last) {
            add(start, last);
        }
    }
    out.push_str("(?:");
    if !plain.is_empty() {
        let _ = write!(out, "[{plain}]");
    }
    for (i, text) in others.iter().enumerate() {
        out.push_str(if i > 0 || !plain.is_empty() { "|" } else { "" });
        text.chars().for_each(|c| push_char(c, out));
    }
    // An empty class matches nothing.
    if plain.is_empty() && others.is_empty() {
        out.push_str("[^\\x{0}-\\x{10FFFF}]");
    }
    out.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(source: &str) -> String {
        lark_in_json(source).unwrap()
    }

    #[test]
    fn texts_and_patterns_take_their_form_in_json() {
        assert_eq!(quoted(r#"start: "a\n\"" LF // note"#), r#"start: "a\\n\\\"" LF "#);
        assert_eq!(quoted(r"T: /a[\n!]/"), r"T: /(?:a)(?:(?:[\x{21}-\x{21}]|\x{5C}n))/");
        assert_eq!(quoted(r#"T: "a".."c" ~ 2..3"#), r"T: /(?:[\x{61}-\x{63}])/ ~ 2..3");
        assert_eq!(quoted("%import common.LF\n"), "LF: /\\x{5C}n/\n\n");
        assert_eq!(quoted("%import common.INT\n"), "%import common.INT -> INT\n\n");
        assert!(quoted("T: /./").contains(r"|\x{5C}\x{22}"));
        assert!(quoted(r#"T: "n\n"i"#).contains(r"\x{5C}n"));
    }

    #[test]
    fn what_has_no_form_is_refused_by_name() {
        for (source, what) in [
            ("start: <tok>", "a token"),
            ("start: ~/a/", "all but"),
            ("start: %json {}", "%json"),
            ("start: /^a/", "an anchor"),
            ("%import x.y\n", "x.y"),
            ("a: b\nstart: /(/", "line 2"),
            ("start: \"a", "without an end"),
            ("start: /a", "without an end"),
            ("start: \"a\\", "without an end"),
        ] {
            let message = lark_in_json(source).unwrap_err().message;
            assert!(message.contains(what), "{message}");
        }
    }
}
