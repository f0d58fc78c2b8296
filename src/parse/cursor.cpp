#include "parse/cursor.h"

namespace pippin::parse {

void Cursor::stop(State state) {
  if (reading()) state_ = state;
}

bool Cursor::ended() {
  if (!reading() || at_ < text_.size()) return false;
  if (!last_) stop(State::kMore);
  return last_;
}

char Cursor::peek() {
  if (!reading()) return '\0';
  if (at_ < text_.size()) return text_[at_];
  stop(last_ ? State::kFailed : State::kMore);
  return '\0';
}

bool Cursor::accept(std::string_view literal) {
  if (!reading()) return false;
  const std::string_view rest = text_.substr(at_);
  if (rest.starts_with(literal)) {
    at_ += literal.size();
    return true;
  }
  if (!last_ && literal.starts_with(rest)) stop(State::kMore);
  return false;
}

int Cursor::accept_any(const Texts& literals) {
  if (!reading()) return -1;
  const std::string_view rest = text_.substr(at_);
  int best = -1;
  for (size_t i = 0; i < literals.size(); ++i) {
    const std::string_view literal = literals[i];
    if (rest.starts_with(literal)) {
      if (best < 0 || literal.size() > literals[best].size()) best = static_cast<int>(i);
    } else if (!last_ && literal.starts_with(rest)) {
      stop(State::kMore);
      return -1;
    }
  }
  if (best >= 0) at_ += literals[best].size();
  return best;
}

void Cursor::expect(std::string_view literal) {
  if (!accept(literal)) fail();
}

void Cursor::space() {
  while (reading() && at_ < text_.size() && is_space(text_[at_])) ++at_;
  if (reading() && at_ == text_.size() && !last_) stop(State::kMore);
}

std::string_view Cursor::until(std::string_view end, size_t bytes_max) {
  if (!reading()) return {};
  const size_t found = text_.find(end, at_);
  if (found == std::string_view::npos) {
    const bool over = text_.size() - at_ >= bytes_max + end.size();
    stop(last_ || over ? State::kFailed : State::kMore);
    return {};
  }
  if (found - at_ > bytes_max) {
    fail();
    return {};
  }
  const std::string_view taken = text_.substr(at_, found - at_);
  at_ = found + end.size();
  return taken;
}

std::string_view Cursor::word() {
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
  };
  const size_t begin = at_;
  while (reading() && at_ < text_.size() && is_word(text_[at_])) ++at_;
  if (reading() && at_ == text_.size() && !last_) stop(State::kMore);
  if (at_ == begin) fail();
  return reading() ? text_.substr(begin, at_ - begin) : std::string_view{};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace pippin::parse
