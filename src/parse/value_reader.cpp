#include "parse/value_reader.h"

#include <array>

#include "parse/cursor.h"
#include "parse/json_text.h"

namespace pippin::parse {
namespace {

constexpr size_t kSpaceBytesMax = 256;

struct Quote {
  std::string_view open, close;
  bool raw;
};
constexpr std::array<Quote, 6> kQuotes = {{
    {"\"\"\"", "\"\"\"", false},
    {"'''", "'''", false},
    {"\"", "\"", false},
    {"'", "'", false},
    {"<|\"|>", "<|\"|>", true},
    {"<escape>", "<escape>", true},
}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_bare(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         c == '+' || c == '-' || c == '.' || static_cast<unsigned char>(c) >= 0x80;
}

size_t digits(std::string_view text, size_t at) {
  while (at < text.size() && is_digit(text[at])) ++at;
  return at;
}

// Returns the word as a JSON scalar, or "". ".5", "5." and "+5" are numbers to most languages.
std::string scalar(std::string_view word) {
  if (word == "true" || word == "false" || word == "null") return std::string(word);
  if (word == "True") return "true";
  if (word == "False") return "false";
  if (word == "None") return "null";
  std::string number;
  size_t at = 0;
  if (word.starts_with('-')) number = "-";
  if (word.starts_with('-') || word.starts_with('+')) at = 1;
  const size_t whole = digits(word, at);
  if (whole - at > 1 && word[at] == '0') return {};
  number += whole > at ? word.substr(at, whole - at) : "0";
  bool any = whole > at;
  at = whole;
  if (at < word.size() && word[at] == '.') {
    const size_t end = digits(word, at + 1);
    any = any || end > at + 1;
    number += end > at + 1 ? word.substr(at, end - at) : ".0";
    at = end;
  }
  if (!any) return {};
  if (at < word.size() && (word[at] == 'e' || word[at] == 'E')) {
    size_t begin = at + 1;
    if (begin < word.size() && (word[begin] == '+' || word[begin] == '-')) ++begin;
    const size_t end = digits(word, begin);
    if (end == begin) return {};
    number += word.substr(at, end - at);
    at = end;
  }
  return at == word.size() ? number : std::string{};
}

}  // namespace

ArgumentReader::Status ValueReader::read(std::string_view in, bool last, size_t& consumed,
                                         std::string& out) {
  consumed = 0;
  while (state_ != State::kDone && state_ != State::kBroken && consumed < in.size()) {
    if (!step(in, last, consumed, out)) return Status::kMore;
  }
  if (state_ == State::kDone) return Status::kDone;
  return state_ == State::kBroken ? Status::kBroken : Status::kMore;
}

bool ValueReader::close(std::string& out) {
  if (stack_.empty() || terminator_.size() > 0) return false;
  if (!held_comma_.empty() || closable_) {
    held_comma_.clear();
    for (; !stack_.empty(); stack_.pop_back()) out += stack_.back();
    return true;
  }
  return false;
}

bool ValueReader::step(std::string_view in, bool last, size_t& at, std::string& out) {
  if (state_ == State::kString) return read_string(in, last, at, out);
  const char c = in[at];
  if (is_space(c)) {
    keep_space(c, out);
    ++at;
    return true;
  }
  switch (state_) {
    case State::kColon:
      if (c != ':') break;
      out += c;
      ++at;
      state_ = State::kValue;
      return true;
    case State::kAfter:
      if (c == ',') {
        held_comma_ = ",";
        state_ = stack_.back() == '}' ? State::kNextKey : State::kNextItem;
        ++at;
        return true;
      }
      [[fallthrough]];
    case State::kItemOrClose:
    case State::kNextItem:
    case State::kKeyOrClose:
    case State::kNextKey:
      if (c == '}' || c == ']' || c == ')') {
        if ((c == '}' ? '}' : ']') != stack_.back()) break;
        close_bracket(stack_.back(), out);
        ++at;
        return true;
      }
      if (state_ == State::kAfter) break;
      return begin(in, last, at, out);
    default:
      return begin(in, last, at, out);
  }
  closable_ = state_ == State::kAfter;
  state_ = State::kBroken;
  return true;
}

// A key or a value starts here.
bool ValueReader::begin(std::string_view in, bool last, size_t& at, std::string& out) {
  const char c = in[at];
  if (c == '"' || c == '\'' || c == '<') return open_string(in, last, at, out);
  if (is_bare(c)) return read_bare(in, last, at, out);
  if (wants_key() || (c != '{' && c != '[' && c != '(') || stack_.size() == kDepthMax) {
    state_ = State::kBroken;
    return true;
  }
  flush_comma(out);
  stack_ += c == '{' ? '}' : ']';
  out += c == '{' ? '{' : '[';
  state_ = c == '{' ? State::kKeyOrClose : State::kItemOrClose;
  ++at;
  return true;
}

bool ValueReader::open_string(std::string_view in, bool last, size_t& at, std::string& out) {
  const std::string_view rest = in.substr(at);
  for (const Quote& quote : kQuotes) {
    if (!last && rest.size() < quote.open.size() && quote.open.starts_with(rest)) return false;
    if (!rest.starts_with(quote.open)) continue;
    key_ = wants_key();
    raw_ = quote.raw;
    terminator_ = quote.close;
    flush_comma(out);
    out += '"';
    at += quote.open.size();
    state_ = State::kString;
    return true;
  }
  state_ = State::kBroken;
  return true;
}

bool ValueReader::read_string(std::string_view in, bool last, size_t& at, std::string& out) {
  size_t run = at;  // the plain text before `at` that is not in `out` yet
  const auto flush = [&] {
    append_escaped(out, in.substr(run, at - run));
    run = at;
  };
  for (; at < in.size(); ++at) {
    const char c = in[at];
    if (c == terminator_[0]) {
      const std::string_view rest = in.substr(at, terminator_.size());
      if (rest == terminator_) {
        flush();
        out += '"';
        at += terminator_.size();
        terminator_ = {};
        state_ = key_ ? State::kColon : State::kAfter;
        if (!key_) after_value();
        return true;
      }
      if (!last && terminator_.starts_with(rest)) break;
    } else if (c == '\\' && !raw_) {
      flush();
      return read_escape(in, last, at, out);
    }
  }
  const bool all = at == in.size();
  flush();
  return all;
}

// At a backslash. What JSON does not know is kept as text: "\d" is a backslash and a d.
bool ValueReader::read_escape(std::string_view in, bool last, size_t& at, std::string& out) {
  if (at + 1 == in.size()) return false;
  const char c = in[at + 1];
  if (std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos) {
    out += in.substr(at, 2);
    at += 2;
    return true;
  }
  if (c == '\'') {
    out += c;
    at += 2;
    return true;
  }
  const size_t wanted = c == 'u' ? 4 : c == 'x' ? 2 : 0;
  size_t hex = 0;
  while (hex < wanted && at + 2 + hex < in.size() && is_hex(in[at + 2 + hex])) ++hex;
  if (hex < wanted && at + 2 + hex == in.size() && !last) return false;
  if (wanted > 0 && hex == wanted) {
    out += c == 'u' ? "\\u" : "\\u00";
    out += in.substr(at + 2, wanted);
    at += 2 + wanted;
    return true;
  }
  out += "\\\\";
  ++at;
  return true;
}

// A bare key, or a number, true, false, null.
bool ValueReader::read_bare(std::string_view in, bool last, size_t& at, std::string& out) {
  size_t end = at;
  while (end < in.size() && is_bare(in[end]) && end - at <= kScalarBytesMax) ++end;
  if (end == in.size() && !last) return false;
  const std::string_view word = in.substr(at, end - at);
  const bool key = wants_key();
  const std::string json = key ? quoted(word) : scalar(word);
  if (json.empty() || word.size() > kScalarBytesMax) {
    state_ = State::kBroken;
    return true;
  }
  flush_comma(out);
  out += json;
  at = end;
  state_ = State::kColon;
  if (!key) after_value();
  return true;
}

void ValueReader::close_bracket(char bracket, std::string& out) {
  held_comma_.clear();
  out += bracket;
  stack_.pop_back();
  after_value();
}

void ValueReader::after_value() { state_ = stack_.empty() ? State::kDone : State::kAfter; }

void ValueReader::keep_space(char c, std::string& out) {
  if (held_comma_.empty()) {
    if (!stack_.empty()) out += c;
  } else if (held_comma_.size() < kSpaceBytesMax) {
    held_comma_ += c;
  }
}

void ValueReader::flush_comma(std::string& out) {
  out += held_comma_;
  held_comma_.clear();
}

}  // namespace pippin::parse
