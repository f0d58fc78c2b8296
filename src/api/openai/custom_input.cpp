#include "api/openai/custom_input.h"

#include "service/json.h"

namespace pippin::api::openai {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_space(char byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }

int hex_value(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

}  // namespace

std::string CustomInput::push(std::string_view piece) {
  std::string out;
  raw_ += piece;
  for (const char byte : piece) {
    if (state_ == State::kOther || state_ == State::kDone) break;
    step(byte, out);
  }
  return out;
}

void CustomInput::step(char byte, std::string& out) {
  switch (state_) {
    case State::kStart:
      if (byte == '{') {
        state_ = State::kKey;
      } else if (!is_space(byte)) {
        state_ = State::kOther;
      }
      return;
    case State::kKey:
      if (byte == '"') {
        state_ = State::kName;
      } else if (!is_space(byte)) {
        state_ = State::kOther;
      }
      return;
    case State::kName:
      if (byte == '"') {
        state_ = name_ == "input" ? State::kColon : State::kOther;
      } else {
        name_ += byte;
      }
      return;
    case State::kColon:
      if (byte == '"') {
        state_ = State::kText;
      } else if (byte != ':' && !is_space(byte)) {
        state_ = State::kOther;
      }
      return;
    case State::kText:
      return in_text(byte, out);
    case State::kEscape:
      return in_escape(byte, out);
    case State::kCode:
      return in_code(byte, out);
    case State::kDone:
    case State::kOther:
      return;
  }
}

void CustomInput::in_text(char byte, std::string& out) {
  if (byte == '\\') {
    state_ = State::kEscape;
    return;
  }
  end_half(out);
  if (byte == '"') {
    state_ = State::kDone;
  } else {
    out += byte;
  }
}

void CustomInput::in_escape(char byte, std::string& out) {
  constexpr std::string_view kNames = "bfnrt";
  constexpr std::string_view kBytes = "\b\f\n\r\t";
  if (byte == 'u') {
    state_ = State::kCode;
    code_ = 0;
    digits_ = 0;
    return;
  }
  end_half(out);
  const size_t known = kNames.find(byte);
  out += known == std::string_view::npos ? byte : kBytes[known];
  state_ = State::kText;
}

void CustomInput::in_code(char byte, std::string& out) {
  const int digit = hex_value(byte);
  if (digit < 0) {
    // No JSON; the text goes on behind what is wrong.
    end_half(out);
    out += kReplacement;
    state_ = State::kText;
    return in_text(byte, out);
  }
  code_ = code_ * 16 + static_cast<uint32_t>(digit);
  if (++digits_ < 4) return;
  state_ = State::kText;
  const bool low = code_ >= 0xDC00 && code_ < 0xE000;
  if (low && half_ != 0) {
    append_utf8(out, 0x10000 + ((half_ - 0xD800) << 10) + (code_ - 0xDC00));
    half_ = 0;
    return;
  }
  end_half(out);
  if (code_ >= 0xD800 && code_ < 0xDC00) {
    half_ = code_;
  } else if (low) {
    out += kReplacement;
  } else {
    append_utf8(out, code_);
  }
}

void CustomInput::end_half(std::string& out) {
  if (half_ != 0) out += kReplacement;
  half_ = 0;
}

std::string CustomInput::finish() {
  std::string out;
  end_half(out);
  const bool began = state_ == State::kText || state_ == State::kEscape || state_ == State::kCode ||
                     state_ == State::kDone;
  state_ = State::kDone;
  if (began) return out;
  const Result<boost::json::value> parsed = service::parse_json(raw_);
  if (!parsed.ok()) return raw_;
  const boost::json::string* text = parsed->if_string();
  if (const boost::json::object* object = parsed->if_object()) {
    if (object->empty()) return {};
    if (const auto* input = object->if_contains("input")) text = input->if_string();
    if (text == nullptr && object->size() == 1) text = object->begin()->value().if_string();
  }
  return text == nullptr ? raw_ : std::string(text->data(), text->size());
}

}  // namespace pippin::api::openai
