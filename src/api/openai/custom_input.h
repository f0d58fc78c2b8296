// CustomInput: a custom tool's plain text, out of the JSON that the model writes for it. Owner: the
// writer of a call. Thread: one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pippin::api::openai {

/// Takes {"input": "..."} in pieces of any size, and gives the text of the string as it comes.
/// Models do not always keep the form: what has another one is given at its end, the only string of
/// an object as that string, anything else as it was written.
class CustomInput {
 public:
  /// Returns the text that this piece completes: whole characters.
  std::string push(std::string_view piece);
  /// Returns what is left, as the arguments have ended.
  std::string finish();

 private:
  enum class State : uint8_t {
    kStart,   // before {
    kKey,     // before the key's first quote
    kName,    // in the key
    kColon,   // between key and value
    kText,    // in the value
    kEscape,  // behind a backslash of the value
    kCode,    // in the four digits of \u
    kDone,    // behind the value
    kOther,   // another form: wait for the end
  };

  void step(char byte, std::string& out);
  void in_text(char byte, std::string& out);
  void in_escape(char byte, std::string& out);
  void in_code(char byte, std::string& out);
  void end_half(std::string& out);

  State state_ = State::kStart;
  std::string raw_;
  std::string name_;
  uint32_t code_ = 0;
  int digits_ = 0;
  uint32_t half_ = 0;  // a high surrogate that waits for its low one; 0: none
};

}  // namespace pippin::api::openai
