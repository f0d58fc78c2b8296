// Tagged arguments: <parameter=city>Paris</parameter>. The text of a string streams; of a parameter
// that may be something else only the whole tells what it is.
#include <optional>

#include "parse/argument_reader.h"
#include "parse/json_text.h"
#include "parse/schema.h"

namespace pippin::parse {
namespace {

constexpr size_t kKeyBytesMax = 256;
constexpr size_t kSpaceBytesMax = 64;
constexpr size_t kTypedBytesMax = size_t{1} << 20;
constexpr std::string_view kCdata = "<![CDATA[";

// Returns whether text that starts like this may become a value of one of the kinds but string.
bool may_be_typed(std::string_view text, Kinds kinds) {
  const std::string_view word = trim(text);
  if (word.empty()) return true;
  const auto starts_one = [&](std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) {
      if (name.starts_with(word)) return true;
    }
    return false;
  };
  if (kinds.has(Kinds::kObject) && word[0] == '{') return true;
  if (kinds.has(Kinds::kArray) && word[0] == '[') return true;
  if (kinds.has(Kinds::kNull) && starts_one({"null", "None"})) return true;
  if (kinds.has(Kinds::kBoolean) && starts_one({"true", "false", "True", "False"})) return true;
  return kinds.has(Kinds::kNumber) &&
         word.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
}

class TaggedReader final : public ArgumentReader {
 public:
  TaggedReader(const Tags& tags, const ToolSpec* tool)
      : tags_(tags), schema_(tool ? tool->parameters_json : std::string()) {}

  Status read(std::string_view in, bool last, size_t& consumed, std::string& out) override {
    consumed = 0;
    if (!opened_) out += '{';
    opened_ = true;
    for (;;) {
      if (in_value_) {
        if (!read_value(in, last, consumed, out)) return Status::kMore;
        continue;
      }
      Cursor between(in.substr(consumed), last);
      const bool end = read_between(between, out);
      if (between.state() == Cursor::State::kMore) return Status::kMore;
      if (end) return Status::kDone;
      if (!between.reading()) {
        // Only whitespace, and then the text was cut off: more parameters may have been meant.
        return last && trim(in.substr(consumed)).empty() ? Status::kMore : Status::kBroken;
      }
      consumed += between.at();
    }
  }

  bool close(std::string&) override { return false; }

 private:
  // Takes what leads to the next value; returns true at the end of the arguments, which it leaves.
  bool read_between(Cursor& in, std::string& out) {
    in.space();
    if (in.accept_any(tags_.ends) >= 0) {
      out += '}';
      return true;
    }
    in.expect(tags_.key_open);
    const std::string_view key = trim(in.until(tags_.key_close, kKeyBytesMax));
    const std::string_view attributes =
        tags_.attributes ? in.until(tags_.attributes_end, kKeyBytesMax) : std::string_view{};
    if (!tags_.value_open.empty()) {
      in.space();
      in.expect(tags_.value_open);
    }
    if (!in.reading()) return false;
    kinds_ = parameter_kinds(schema_, key);
    for (std::string_view is_text : {"string=\"true\"", "type=\"string\""}) {
      if (attributes.find(is_text) != std::string_view::npos) kinds_ = {Kinds::kString};
    }
    if (any_) out += ", ";
    out += quoted(key) + ": ";
    any_ = in_value_ = at_start_ = true;
    newline_ = streaming_ = cdata_ = false;
    value_.clear();
    return false;
  }

  // Returns false if more text is needed first.
  bool read_value(std::string_view in, bool last, size_t& at, std::string& out) {
    if (at_start_) {
      const std::string_view start = in.substr(at);
      if (start.empty() || (tags_.cdata && !last && kCdata.starts_with(start) && start != kCdata))
        return false;
      cdata_ = tags_.cdata && start.starts_with(kCdata);
      newline_ = !cdata_ && start[0] == '\n';
      at += cdata_ ? kCdata.size() : (newline_ ? 1 : 0);
      at_start_ = false;
    }
    const auto [bytes, end] = find_end(in.substr(at), last);
    std::string_view text = in.substr(at, bytes);
    if (newline_ && text.ends_with('\n')) text.remove_suffix(1);  // it may be the tag's
    take(text, out);
    if (!end) {
      at += text.size();
      return false;
    }
    at += bytes + closing().size();
    finish_value(out);
    in_value_ = false;
    return true;
  }

  struct End {
    size_t bytes;  // of the value, as far as it is certain
    bool found;
  };
  // A value may itself hold the closing tag, as when a model writes XML: only one that the next
  // argument or the end follows is ours.
  End find_end(std::string_view in, bool last) const {
    const std::string close = closing();
    for (size_t at = in.find(close[0]); at != std::string_view::npos;
         at = in.find(close[0], at + 1)) {
      Cursor cursor(in.substr(at), last);
      cursor.expect(close);
      const size_t begin = cursor.at();
      cursor.space();
      if (cursor.at() - begin > kSpaceBytesMax) continue;
      if (!cursor.ended() && !cursor.accept(tags_.key_open) && cursor.accept_any(tags_.ends) < 0) {
        cursor.fail();
      }
      if (cursor.state() == Cursor::State::kMore) return {at, false};
      if (cursor.reading()) return {at, true};
    }
    return {in.size(), false};
  }

  std::string closing() const { return (cdata_ ? "]]>" : "") + std::string(tags_.value_close); }

  void take(std::string_view text, std::string& out) {
    if (streaming_) return append_escaped(out, text);
    value_ += text;
    const bool is_string = kinds_.only(Kinds::kString) ||
                           (kinds_.has(Kinds::kString) && !may_be_typed(value_, kinds_));
    // What is too long to hold comes as a string, whatever its type.
    if (is_string || value_.size() > kTypedBytesMax) stream(out);
  }

  void stream(std::string& out) {
    streaming_ = true;
    out += '"';
    append_escaped(out, value_);
    value_.clear();
  }

  void finish_value(std::string& out) {
    if (!streaming_) {
      const std::optional<std::string> json = to_json(trim(value_));
      if (json && kinds_.has(kind_of(*json)) && kind_of(*json) != Kinds::kString) {
        out += *json;
        return;
      }
      stream(out);
    }
    out += '"';
    value_.clear();
  }

  const Tags& tags_;
  const std::string schema_;
  bool opened_ = false;
  bool any_ = false;
  bool in_value_ = false;
  bool at_start_ = false;  // of a value
  bool newline_ =
      false;  // one follows the opening tag, so that one before the closing tag is no text either
  bool cdata_ = false;
  bool streaming_ = false;  // the value is a string, and its quote is written
  Kinds kinds_;
  std::string value_;
};

}  // namespace

std::unique_ptr<ArgumentReader> tagged_reader(const Tags& tags, const ToolSpec* tool) {
  if (tags.nested) return nested_reader(tags, tool);
  return std::make_unique<TaggedReader>(tags, tool);
}

}  // namespace pippin::parse
