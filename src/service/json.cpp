#include "service/json.h"

#include <algorithm>
#include <array>
#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <new>

namespace pippin::service {

namespace {

// What a parsed text may take. Numbers in an array grow eightfold and the parser holds them twice;
// a body that is one long string, such as an image, grows little.
constexpr size_t kParsedBytesMin = size_t{64} << 20;
constexpr size_t kParsedBytesFactor = 4;

/// Memory of one parsed text, with an end.
class BoundedMemory final : public boost::json::memory_resource {
 public:
  explicit BoundedMemory(size_t bytes_max) : left_(bytes_max) {}

 private:
  void* do_allocate(size_t bytes, size_t align) override {
    if (bytes > left_) throw std::bad_alloc();
    void* memory = ::operator new(bytes, std::align_val_t(align));
    left_ -= bytes;
    return memory;
  }
  void do_deallocate(void* memory, size_t bytes, size_t align) override {
    left_ += bytes;
    ::operator delete(memory, bytes, std::align_val_t(align));
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  size_t left_;
};

}  // namespace

Result<boost::json::value> parse_json(std::string_view text, JsonLimits limits) try {
  if (text.size() > limits.bytes_max) {
    return fail(Code::kTooLarge, "JSON of at most " + std::to_string(limits.bytes_max) +
                                     " bytes was expected, " + std::to_string(text.size()) +
                                     " came");
  }
  const size_t memory = std::max(kParsedBytesMin, text.size() * kParsedBytesFactor);
  boost::json::parse_options options;
  options.max_depth = limits.depth_max;
  boost::json::parser parser(boost::json::make_shared_resource<BoundedMemory>(memory), options);
  boost::system::error_code error;
  const size_t consumed = parser.write(text.data(), text.size(), error);
  if (error) {
    return fail(Code::kInvalidArgument, "valid JSON was expected, but at byte " +
                                            std::to_string(consumed) +
                                            " there is: " + error.message());
  }
  return parser.release();
} catch (const std::bad_alloc&) {
  return fail(Code::kTooLarge, "the JSON holds too many values");
}

namespace {

// Returns the length of the well-formed UTF-8 character at the start of `text`, or 0 if there is
// none. Source: Unicode 15, table 3-7.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  constexpr char kHex[] = "0123456789abcdef";
  out += "\\u00";
  out += kHex[(c >> 4) & 0xF];
  out += kHex[c & 0xF];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t run = 0;  // start of the bytes that need no change
  size_t at = 0;
  const auto take_run = [&] { out.append(text.substr(run, at - run)); };
  while (at < text.size()) {
    const char c = text[at];
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '"' || c == '\\' || byte == 0x7F) {
      take_run();
      append_escape(out, c);
      run = ++at;
    } else if (byte < 0x80) {
      ++at;
    } else if (const size_t length = utf8_length(text.substr(at)); length > 0) {
      at += length;
    } else {
      take_run();
      out += "\xEF\xBF\xBD";
      run = ++at;
    }
  }
  take_run();
  out += '"';
}

void JsonWriter::separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  out_ += '"';
  out_ += name;
  out_ += "\":";
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::key_text(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  separate();
  append_json_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::integer(int64_t value) { return raw(std::to_string(value)); }
JsonWriter& JsonWriter::integer(uint64_t value) { return raw(std::to_string(value)); }

template <typename Float>
JsonWriter& JsonWriter::decimal(Float value) {
  if (std::isnan(value)) return null();
  if (std::isinf(value)) return raw(value > 0 ? "9999.0" : "-9999.0");
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  std::string_view text(digits.data(), static_cast<size_t>(end.ptr - digits.data()));
  raw(text);
  if (text.find_first_of(".e") == std::string_view::npos) out_ += ".0";
  return *this;
}

JsonWriter& JsonWriter::number(double value) { return decimal(value); }
JsonWriter& JsonWriter::number(float value) { return decimal(value); }

JsonWriter& JsonWriter::boolean(bool value) { return raw(value ? "true" : "false"); }
JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::value(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return null();
    case boost::json::kind::bool_:
      return boolean(value.get_bool());
    case boost::json::kind::int64:
      return integer(value.get_int64());
    case boost::json::kind::uint64:
      return integer(value.get_uint64());
    case boost::json::kind::double_:
      return number(value.get_double());
    case boost::json::kind::string:
      return string(value.get_string());
    case boost::json::kind::array:
      begin_array();
      for (const boost::json::value& item : value.get_array()) this->value(item);
      return end_array();
    case boost::json::kind::object:
      begin_object();
      for (const auto& [name, member] : value.get_object()) key_text(name).value(member);
      return end_object();
  }
  return *this;
}

}  // namespace pippin::service
