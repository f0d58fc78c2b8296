#include "parse/json_text.h"

#include "parse/value_reader.h"

namespace pippin::parse {
namespace {

constexpr char kHex[] = "0123456789abcdef";

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

unsigned hex_value(std::string_view digits) {
  unsigned value = 0;
  for (char c : digits)
    value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  return value;
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20) {
          out += "\\u00";
          out += kHex[byte >> 4];
          out += kHex[byte & 15];
        } else {
          out += c;
        }
    }
  }
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text);
  out += '"';
  return out;
}

std::string take_value(Cursor& in) {
  ValueReader reader;
  size_t consumed = 0;
  std::string json;
  const auto status = reader.read(in.rest(), in.last(), consumed, json);
  if (status == ArgumentReader::Status::kMore) in.need_more();
  if (status == ArgumentReader::Status::kBroken) in.fail();
  in.advance(consumed);
  return in.reading() ? json : std::string{};
}

std::string take_string(Cursor& in) {
  const char first = in.peek();
  if (first != '"' && first != '\'' && first != '<') in.fail();
  const std::string json = take_value(in);
  return in.reading() ? unquoted(json) : std::string{};
}

std::optional<std::string> to_json(std::string_view text) {
  Cursor in(text, true);
  std::string json = take_value(in);
  in.space();
  if (!in.ended()) return std::nullopt;
  return json;
}

std::string unquoted(std::string_view json) {
  std::string out;
  if (json.size() < 2) return out;
  json = json.substr(1, json.size() - 2);
  for (size_t at = 0; at < json.size(); ++at) {
    if (json[at] != '\\' || at + 1 == json.size()) {
      out += json[at];
      continue;
    }
    const char c = json[++at];
    if (c != 'u' || at + 4 >= json.size()) {
      constexpr std::string_view kNames = "bfnrt", kBytes = "\b\f\n\r\t";
      const size_t known = kNames.find(c);
      out += known == std::string_view::npos ? c : kBytes[known];
      continue;
    }
    unsigned code = hex_value(json.substr(at + 1, 4));
    at += 4;
    const bool pair =
        code >= 0xD800 && code < 0xDC00 && json.substr(at + 1, 2) == "\\u" && at + 6 < json.size();
    if (pair) {
      const unsigned low = hex_value(json.substr(at + 3, 4));
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
      }
    }
    append_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
  }
  return out;
}

void for_each_member(std::string_view json,
                     const std::function<void(std::string_view, std::string_view)>& visit) {
  Cursor in(json, true);
  in.space();
  in.expect("{");
  for (in.space(); in.reading() && !in.accept("}"); in.space()) {
    const std::string key = take_string(in);
    in.space();
    in.expect(":");
    in.space();
    const std::string value = take_value(in);
    if (!in.reading()) return;
    visit(key, value);
    in.space();
    if (!in.accept(",") && in.peek() != '}') in.fail();
  }
}

void for_each_item(std::string_view json, const std::function<void(std::string_view)>& visit) {
  Cursor in(json, true);
  in.space();
  in.expect("[");
  for (in.space(); in.reading() && !in.accept("]"); in.space()) {
    const std::string value = take_value(in);
    if (!in.reading()) return;
    visit(value);
    in.space();
    if (!in.accept(",") && in.peek() != ']') in.fail();
  }
}

std::string member(std::string_view json, std::string_view key) {
  std::string found;
  for_each_member(json, [&](std::string_view name, std::string_view value) {
    if (name == key) found = value;
  });
  return found;
}

}  // namespace pippin::parse
