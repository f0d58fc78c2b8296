#include "parse/json_check.h"

namespace pippin::parse {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool value(int depth = 0) {
    space();
    if (depth > 80) return false;
    if (at_ == text_.size()) return cut();
    switch (text_[at_]) {
      case '{':
        return bracket('}', depth);
      case '[':
        return bracket(']', depth);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }
  bool done() {
    space();
    return at_ == text_.size();
  }
  bool was_cut() const { return cut_; }
  std::string out;

 private:
  bool cut() {
    cut_ = true;
    return false;
  }
  void space() {
    while (at_ < text_.size() &&
           std::string_view(" \n\t\r").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool take(char c) {
    if (at_ == text_.size()) return cut();
    if (text_[at_] != c) return false;
    out += c;
    ++at_;
    return true;
  }
  bool word(std::string_view name) {
    for (char c : name) {
      if (!take(c)) return false;
    }
    return true;
  }
  bool digits() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') out += text_[at_++];
    if (at_ == text_.size()) cut_ = true;
    return at_ > begin;
  }
  bool number() {
    if (text_[at_] == '-') take('-');
    if (at_ < text_.size() && text_[at_] == '0') {
      take('0');
    } else if (!digits()) {
      return false;
    }
    if (at_ < text_.size() && text_[at_] == '.') {
      take('.');
      if (!digits()) return false;
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      take(text_[at_]);
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) take(text_[at_]);
      if (!digits()) return false;
    }
    return true;
  }
  bool string() {
    take('"');
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (text_[at_] == '\\' && !escape()) return false;
      if (at_ < text_.size() && text_[at_] != '"')
        out += text_[at_++];
      else if (at_ < text_.size() && text_[at_ - 1] == '\\')
        out += text_[at_++];
    }
    return take('"');
  }
  // Takes all of an escape but its last byte.
  bool escape() {
    take('\\');
    if (at_ == text_.size()) return cut();
    if (std::string_view("\"\\/bfnrt").find(text_[at_]) != std::string_view::npos) return true;
    if (text_[at_] != 'u') return false;
    for (int i = 0; i < 4; ++i) {
      out += text_[at_++];
      if (at_ == text_.size()) return cut();
      if (std::string_view("0123456789abcdefABCDEF").find(text_[at_]) == std::string_view::npos)
        return false;
    }
    return true;
  }
  bool bracket(char close, int depth) {
    take(text_[at_]);
    space();
    if (at_ < text_.size() && text_[at_] == close) return take(close);
    for (;;) {
      if (close == '}') {
        space();
        if (at_ == text_.size()) return cut();
        if (text_[at_] != '"' || !string()) return false;
        space();
        if (!take(':')) return false;
      }
      if (!value(depth + 1)) return false;
      space();
      if (at_ < text_.size() && text_[at_] == ',') {
        take(',');
        continue;
      }
      return take(close);
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  bool cut_ = false;
};

}  // namespace

std::optional<std::string> compact_json(std::string_view text) {
  Reader reader(text);
  if (!reader.value() || !reader.done()) return std::nullopt;
  return reader.out;
}

bool starts_json(std::string_view text) {
  Reader reader(text);
  return reader.value() ? reader.done() : reader.was_cut();
}

}  // namespace pippin::parse
