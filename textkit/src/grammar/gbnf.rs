//! GBNF, llama.cpp's grammar notation, to Lark. Rules that cannot reach themselves become terminals, so that the lexer
//! takes them whole; the others stay rules.

use std::collections::HashMap;
use std::fmt::Write;

use crate::error::{Error, Result};

/// Groups in groups, and repetitions of repetitions.
const DEPTH_MAX: usize = 100;

enum Node {
    Literal(String),
    /// The inside of a character class as the regex engine reads it.
    Class(String),
    Any,
    Name(String, usize),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>),
}

struct Rule {
    name: String,
    body: Node,
    line: usize,
}

/// Returns a Lark grammar for the same texts, from the rule `root`.
pub fn to_lark(source: &str) -> Result<String> {
    let rules = Parser::new(source).rules()?;
    let index: HashMap<&str, usize> =
        rules.iter().enumerate().map(|(i, rule)| (rule.name.as_str(), i)).collect();
    if index.len() < rules.len() {
        let mut seen = std::collections::HashSet::new();
        if let Some(again) = rules.iter().find(|rule| !seen.insert(rule.name.as_str())) {
            return Err(at(again.line, &format!("the rule \"{}\" is defined twice", again.name)));
        }
    }
    let Some(&root) = index.get("root") else {
        return Err(Error::invalid("expected a rule named \"root\", found none"));
    };
    let mut names = Vec::new();
    for rule in &rules {
        let mut used = Vec::new();
        collect_names(&rule.body, &mut used);
        let mut ids = Vec::new();
        for (name, line) in used {
            let id = index.get(name).ok_or_else(|| at(line, &format!("no rule is named \"{name}\"")))?;
            ids.push(*id);
        }
        names.push(ids);
    }
    let recursive = recursive_rules(&names);
    let writer = Writer { index: &index, recursive: &recursive };
    let mut lark = format!("start: {}\n", writer.name(root));
    for (id, rule) in rules.iter().enumerate() {
        let _ = write!(lark, "{}: ", writer.name(id));
        writer.write(&rule.body, &mut lark);
        lark.push('\n');
    }
    Ok(lark)
}

fn at(line: usize, message: &str) -> Error {
    Error::invalid(format!("line {line}: {message}"))
}

fn collect_names<'a>(node: &'a Node, names: &mut Vec<(&'a str, usize)>) {
    match node {
        Node::Name(name, line) => names.push((name, *line)),
        Node::Sequence(nodes) | Node::Choice(nodes) => {
            nodes.iter().for_each(|node| collect_names(node, names))
        }
        Node::Repeat(node, ..) => collect_names(node, names),
        Node::Literal(_) | Node::Class(_) | Node::Any => {}
    }
}

/// Which rules are part of a cycle or refer to one: what is left when those are taken away, again and again, that
/// refer to none left.
fn recursive_rules(names: &[Vec<usize>]) -> Vec<bool> {
    let mut users = vec![Vec::new(); names.len()];
    let mut open: Vec<usize> = names.iter().map(Vec::len).collect();
    for (rule, used) in names.iter().enumerate() {
        used.iter().for_each(|&other| users[other].push(rule));
    }
    let mut ready: Vec<usize> = (0..names.len()).filter(|&rule| open[rule] == 0).collect();
    let mut recursive = vec![true; names.len()];
    while let Some(rule) = ready.pop() {
        recursive[rule] = false;
        for &user in &users[rule] {
            open[user] -= 1;
            if open[user] == 0 {
                ready.push(user);
            }
        }
    }
    recursive
}

struct Writer<'a> {
    index: &'a HashMap<&'a str, usize>,
    recursive: &'a [bool],
}

impl Writer<'_> {
    /// Lark's rules are lower case, its terminals upper case.
    fn name(&self, id: usize) -> String {
        format!("{}{id}", if self.recursive[id] { "r" } else { "R" })
    }

    fn write(&self, node: &Node, out: &mut String) {
        match node {
            Node::Literal(text) => {
                let _ = write!(out, "{}", serde_json::Value::from(text.as_str()));
            }
            Node::Class(class) => {
                let _ = write!(out, "/[{class}]/");
            }
            Node::Any => out.push_str("/(?s:.)/"),
            Node::Name(name, _) => out.push_str(&self.name(self.index[name.as_str()])),
            Node::Sequence(nodes) if nodes.is_empty() => out.push_str("\"\""),
            Node::Sequence(nodes) => self.join(nodes, " ", out),
            Node::Choice(nodes) => {
                out.push('(');
                self.join(nodes, " | ", out);
                out.push(')');
            }
            Node::Repeat(node, min, max) => {
                out.push('(');
                self.write(node, out);
                out.push(')');
                let _ = match (min, max) {
                    (0, None) => write!(out, "*"),
                    (1, None) => write!(out, "+"),
                    (0, Some(1)) => write!(out, "?"),
                    (min, None) => write!(out, "{{{min},}}"),
                    (min, Some(max)) => write!(out, "{{{min},{max}}}"),
                };
            }
        }
    }

    fn join(&self, nodes: &[Node], by: &str, out: &mut String) {
        for (i, node) in nodes.iter().enumerate() {
            if i > 0 {
                out.push_str(by);
            }
            self.write(node, out);
        }
    }
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Parser<'a> {
        Parser { rest: source.chars().peekable(), line: 1 }
    }

    fn fail<T>(&self, message: &str) -> Result<T> {
        Err(at(self.line, message))
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.rest.peek() == Some(&wanted);
        if found {
            self.next();
        }
        found
    }

    /// Skips blanks and comments, and line ends where they do not end a rule.
    fn space(&mut self, lines: bool) {
        while let Some(&c) = self.rest.peek() {
            match c {
                ' ' | '\t' => {}
                '\r' | '\n' if lines => {}
                '#' => {
                    while self.rest.peek().is_some_and(|&c| c != '\n') {
                        self.next();
                    }
                    continue;
                }
                _ => return,
            }
            self.next();
        }
    }

    fn name(&mut self) -> Result<String> {
        let mut name = String::new();
        while let Some(&c) = self.rest.peek().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            name.push(c);
            self.next();
        }
        match name.is_empty() {
            true => self.fail("expected a name"),
            false => Ok(name),
        }
    }

    fn rules(mut self) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        self.space(true);
        while self.rest.peek().is_some() {
            let line = self.line;
            let name = self.name()?;
            self.space(false);
            for wanted in "::=".chars() {
                if !self.accept(wanted) {
                    return self.fail(&format!("expected \"::=\" behind \"{name}\""));
                }
            }
            self.space(true);
            let body = self.choice(false, 0)?;
            self.space(false);
            if !matches!(self.rest.peek(), None | Some('\n' | '\r')) {
                return self.fail("expected the end of the rule");
            }
            self.space(true);
            rules.push(Rule { name, body, line });
        }
        Ok(rules)
    }

    fn choice(&mut self, nested: bool, depth: usize) -> Result<Node> {
        if depth > DEPTH_MAX {
            return self.fail("groups are nested too deeply");
        }
        let mut choices = vec![self.sequence(nested, depth)?];
        while self.accept('|') {
            self.space(true);
            choices.push(self.sequence(nested, depth)?);
        }
        Ok(if choices.len() == 1 { choices.remove(0) } else { Node::Choice(choices) })
    }

    fn sequence(&mut self, nested: bool, depth: usize) -> Result<Node> {
        let mut items = Vec::new();
        loop {
            self.space(nested);
            let Some(&c) = self.rest.peek() else { break };
            let item = match c {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.next();
                    Node::Any
                }
                '(' => {
                    self.next();
                    let group = self.choice(true, depth + 1)?;
                    self.space(true);
                    if !self.accept(')') {
                        return self.fail("expected \")\"");
                    }
                    group
                }
                '<' | '!' => {
                    return self.fail("tokens by name or number are not supported; write their text")
                }
                c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') => {
                    let line = self.line;
                    Node::Name(self.name()?, line)
                }
                _ => break,
            };
            items.push(self.repeated(item, depth)?);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Sequence(items) })
    }

    fn repeated(&mut self, item: Node, depth: usize) -> Result<Node> {
        let mut item = item;
        for _ in depth..=DEPTH_MAX {
            let (min, max) = match self.rest.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    self.next();
                    let (min, max) = self.bounds()?;
                    if max.is_some_and(|max| max < min) {
                        return self.fail("expected bounds in order");
                    }
                    item = Node::Repeat(Box::new(item), min, max);
                    continue;
                }
                _ => return Ok(item),
            };
            self.next();
            item = Node::Repeat(Box::new(item), min, max);
        }
        self.fail("repetitions are nested too deeply")
    }

    /// What follows `{`.
    fn bounds(&mut self) -> Result<(u32, Option<u32>)> {
        self.space(false);
        let min = self.number()?.unwrap_or(0);
        self.space(false);
        let max = match self.accept(',') {
            false => Some(min),
            true => {
                self.space(false);
                self.number()?
            }
        };
        self.space(false);
        if !self.accept('}') {
            return self.fail("expected \"}\" behind the bounds");
        }
        Ok((min, max))
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let mut digits = String::new();
        while let Some(&c) = self.rest.peek().filter(|c| c.is_ascii_digit()) {
            digits.push(c);
            self.next();
        }
        match digits.is_empty() {
            true => Ok(None),
            false => match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => self.fail("expected a smaller number"),
            },
        }
    }

    fn literal(&mut self) -> Result<Node> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(Node::Literal(text)),
                Some('\\') => text.push(self.escape()?),
                Some(c) if c != '\n' => text.push(c),
                _ => return self.fail("expected the end of the string"),
            }
        }
    }

    fn class(&mut self) -> Result<Node> {
        self.next();
        let mut class = String::from(if self.accept('^') { "^" } else { "" });
        let mut any = false;
        loop {
            match self.next() {
                Some(']') if any => return Ok(Node::Class(class)),
                Some(']') => return self.fail("expected characters in a class"),
                Some('\\') => {
                    let c = self.escape()?;
                    push_class_char(c, &mut class);
                }
                Some('-') if any && self.rest.peek().is_some_and(|&c| c != ']') => class.push('-'),
                Some(c) if c != '\n' => push_class_char(c, &mut class),
                _ => return self.fail("expected the end of the class"),
            }
            any = true;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(c @ ('"' | '[' | ']' | '\\' | '-' | '^' | '/' | '.')) => return Ok(c),
            _ => return self.fail("unknown escape"),
        };
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.next().and_then(|c| c.to_digit(16)) else {
                return self.fail(&format!("expected {digits} hexadecimal digits"));
            };
            code = code * 16 + digit;
        }
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.fail("expected the code of a character"),
        }
    }
}

fn push_class_char(c: char, class: &mut String) {
    let _ = write!(class, "\\u{{{:X}}}", c as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_rules_become_terminals() {
        let rules = [
            "root ::= \"a\" list # end",
            "list ::= \"[\" (item (\",\" item)*)? \"]\"",
            "item ::= list | num",
            "num ::= [0-9]{1,3}",
        ];
        let lark = to_lark(&rules.join("\n")).unwrap();
        assert_eq!(lark.lines().next(), Some("start: r0"));
        assert!(lark.contains("R3: (/[\\u{30}-\\u{39}]/){1,3}"), "{lark}");
        assert!(lark.contains("r1: \"[\""), "{lark}");
    }

    #[test]
    fn names_the_line_of_a_mistake() {
        let message = |source: &str| to_lark(source).unwrap_err().message;
        assert_eq!(message("root ::= \"a\"\n  | b\n"), "line 2: expected a name");
        assert_eq!(message("root ::= \"a\" |\n  b\n"), "line 2: no rule is named \"b\"");
        assert_eq!(message("a ::= \"b\""), "expected a rule named \"root\", found none");
        assert_eq!(message("root ::= \"a\nb\""), "line 2: expected the end of the string");
        assert_eq!(message("root ::= [a"), "line 1: expected the end of the class");
        assert_eq!(message("root ::= \"a\"\nroot ::= \"b\""), "line 2: the rule \"root\" is defined twice");
        assert!(message(&format!("root ::= {}", "(".repeat(2000))).contains("nested too deeply"));
        for repeated in ["*", "{1}", "?+"] {
            let source = format!("root ::= \"a\"{}", repeated.repeat(32_700));
            assert_eq!(message(&source), "line 1: repetitions are nested too deeply");
        }
        let both = format!("root ::= {}\"a\"{}", "(".repeat(90), ")*".repeat(90));
        assert!(to_lark(&both).is_ok(), "what people write is far from it");
    }
}
