// ValueReader: one JSON value, or what models write in place of one, to JSON, incrementally.
// Thread: one.
#pragma once

#include <string>
#include <string_view>

#include "parse/argument_reader.h"

namespace pippin::parse {

/// Beyond JSON it takes: 'single' and """triple""" quotes, Gemma's <|"|> and <escape>, bare keys,
/// True, False, None, (tuples), raw control characters in strings, unknown escapes, a trailing
/// comma. None of these can be mistaken for JSON, so that one reader serves every dialect.
class ValueReader final : public ArgumentReader {
 public:
  static constexpr size_t kDepthMax = 64;
  static constexpr size_t kScalarBytesMax = 512;

  Status read(std::string_view in, bool last, size_t& consumed, std::string& out) override;
  bool close(std::string& out) override;

 private:
  enum class State {
    kValue,
    kItemOrClose,
    kNextItem,  // behind a comma
    kKeyOrClose,
    kNextKey,  // behind a comma
    kColon,
    kAfter,
    kString,
    kDone,
    kBroken,
  };

  // Each looks at in[at...]; false: more text is needed first.
  bool step(std::string_view in, bool last, size_t& at, std::string& out);
  bool begin(std::string_view in, bool last, size_t& at, std::string& out);
  bool open_string(std::string_view in, bool last, size_t& at, std::string& out);
  bool read_string(std::string_view in, bool last, size_t& at, std::string& out);
  bool read_escape(std::string_view in, bool last, size_t& at, std::string& out);
  bool read_bare(std::string_view in, bool last, size_t& at, std::string& out);
  void close_bracket(char bracket, std::string& out);
  void keep_space(char c, std::string& out);
  void flush_comma(std::string& out);
  void after_value();

  bool wants_key() const { return state_ == State::kKeyOrClose || state_ == State::kNextKey; }

  State state_ = State::kValue;
  std::string stack_;       // of '}' and ']', the innermost last
  std::string held_comma_;  // a comma and the whitespace behind it, dropped if nothing follows
  bool key_ = false;        // the string being read is a key
  bool raw_ = false;        // and knows no escapes
  bool closable_ = false;   // broke behind a value: closing brackets would complete it
  std::string_view terminator_;
};

}  // namespace pippin::parse
