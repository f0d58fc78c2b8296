#include "service/chat/constraint_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "service/json.h"

namespace pippin::service {
namespace {

// No mark of a known model is longer.
constexpr size_t kMarkBytesMax = 64;

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

}  // namespace

std::vector<LarkText::Piece> LarkText::pieces(std::string_view text) const {
  const auto mark_at = [&](size_t at) -> std::optional<std::pair<text::Token, size_t>> {
    for (size_t bytes = std::min(kMarkBytesMax, text.size() - at); bytes > 1; --bytes) {
      const auto token = tokenizer_.token_of(text.substr(at, bytes));
      if (token && tokenizer_.is_mark(*token)) return std::pair(*token, bytes);
    }
    return std::nullopt;
  };
  std::vector<Piece> all;
  for (size_t at = 0; at < text.size();) {
    if (const auto mark = mark_at(at)) {
      all.emplace_back(mark->first);
      at += mark->second;
      continue;
    }
    if (all.empty() || !std::holds_alternative<std::string>(all.back())) all.emplace_back("");
    std::get<std::string>(all.back()) += text[at++];
  }
  return all;
}

std::string LarkText::written(const Piece& piece) {
  if (const auto* token = std::get_if<text::Token>(&piece)) return fmt::format("<[{}]>", *token);
  return quoted(std::get<std::string>(piece));
}

bool LarkText::begins_with_mark(std::string_view text) const {
  const std::vector<Piece> all = pieces(text);
  return !all.empty() && std::holds_alternative<text::Token>(all.front());
}

std::string LarkText::literal(std::string_view text) const {
  std::string out;
  for (const Piece& piece : pieces(text)) out += written(piece) + " ";
  return out;
}

std::string LarkText::one_of(const std::vector<std::string>& expressions) const {
  CHECK(!expressions.empty(), "one of nothing");
  if (expressions.size() == 1) return expressions.front();
  std::string out;
  for (const std::string& expression : expressions) {
    out += out.empty() ? "(" : " | ";
    out += expression.empty() ? "\"\"" : expression;
  }
  return out + ") ";
}

std::string LarkText::rule(const std::string& expression) {
  std::string name = fmt::format("r{}", count_++);
  rules_ += fmt::format("{}: {}\n", name, expression.empty() ? "\"\"" : expression);
  return name + " ";
}

std::string LarkText::free_text(const std::vector<std::string>& without) {
  const std::string name = fmt::format("T{}", count_++);
  rules_ += fmt::format("{}: /(?s:.+)/ & {}\n", name, terminal_without(without));
  return name + "? ";
}

std::string LarkText::free_until(const std::vector<std::string>& marks,
                                 const std::vector<std::string>& without) {
  if (begins_with_mark(marks.front())) {
    std::vector<std::string> written;
    for (const std::string& mark : marks) written.push_back(literal(mark));
    return free_text(without) + one_of(written);
  }
  if (marks.size() == 1) return matching_until(terminal_without(without), marks.front());
  std::string any;
  for (const std::string& mark : marks) any += (any.empty() ? "" : "|") + regex_literal(mark);
  const std::string name = fmt::format("r{}", count_++);
  rules_ += fmt::format("{}[suffix=/({})/]: {}\n", name, any, terminal_without(without));
  return name + " ";
}

std::string LarkText::matching_until(const std::string& terminal, std::string_view mark) {
  const std::vector<Piece> all = pieces(mark);
  CHECK(!all.empty(), "a mark has a text");
  std::string rest;
  for (size_t i = 1; i < all.size(); ++i) rest += written(all[i]) + " ";
  const std::string name = fmt::format("r{}", count_++);
  if (std::holds_alternative<text::Token>(all.front())) {
    // The lexer leaves text where a mark stands; a text of no bytes has no lexeme.
    rules_ += fmt::format("{0}: T{1}?\nT{1}: /(?s:.+)/ & {2}\n", name, count_, terminal);
    ++count_;
    return name + " " + written(all.front()) + " " + rest;
  }
  rules_ += fmt::format("{}[suffix={}]: {}\n", name, written(all.front()), terminal);
  return name + " " + rest;
}

std::string LarkText::grammar(const std::string& start) const {
  return fmt::format("start: {}\n{}", start.empty() ? "\"\"" : start, rules_);
}

std::string regex_literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x80 || std::isalnum(byte) != 0 || c == ' ' || c == '_';
    // As a number: escapes of letters have meanings, and some punctuation has no escape.
    out += plain ? std::string(1, c) : fmt::format("\\x{:02X}", byte);
  }
  return out;
}

std::string lark_regex(std::string_view pattern) {
  std::string out = "/";
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      if (pattern[++i] != '/') out += '\\';
      out += pattern[i] == '/' ? "\\/" : std::string(1, pattern[i]);
    } else if (c == '/') {
      out += "\\/";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += c;
    }
  }
  return out + "/";
}

std::string terminal_without(const std::vector<std::string>& texts) {
  std::string any;
  for (const std::string& text : texts) any += (any.empty() ? "" : "|") + regex_literal(text);
  if (any.empty()) return "/(?s:.*)/";
  // The complement alone would hold bytes that are no text, and marks with them.
  return "/(?s:.*)/ & ~/(?s:.*)(" + any + ")(?s:.*)/";
}

}  // namespace pippin::service
