// Nested arguments: <city>Paris</city> with a mark before every tag; objects and lists are tags
// within tags. A list's are named item. The text of a string streams; all else comes whole.
#include <optional>
#include <vector>

#include "parse/argument_reader.h"
#include "parse/json_text.h"
#include "parse/schema.h"

namespace pippin::parse {
namespace {

constexpr size_t kKeyBytesMax = 256;
constexpr size_t kDepthMax = 64;
constexpr std::string_view kItem = "item";

class NestedReader final : public ArgumentReader {
 public:
  NestedReader(const Tags& tags, const ToolSpec* tool)
      : tags_(tags), mark_(tags.key_open.substr(0, tags.key_open.size() - 1)) {
    levels_.push_back({{}, tool ? tool->parameters_json : std::string(), Level::kObject});
  }

  Status read(std::string_view in, bool last, size_t& consumed, std::string& out) override {
    consumed = 0;
    if (!opened_) out += '{';
    opened_ = true;
    for (;;) {
      if (in_text_) {
        if (!read_text(in, last, consumed, out)) return Status::kMore;
        continue;
      }
      Cursor tag(in.substr(consumed), last);
      const bool end = read_tag(tag, out);
      if (tag.state() == Cursor::State::kMore) return Status::kMore;
      if (end) return Status::kDone;
      if (!tag.reading())
        return last && trim(in.substr(consumed)).empty() ? Status::kMore : Status::kBroken;
      consumed += tag.at();
    }
  }

  bool close(std::string&) override { return false; }

 private:
  struct Level {
    std::string name;
    std::string schema;
    enum Kind { kUnknown, kObject, kArray } kind = kUnknown;
    bool any = false;  // members so far
  };

  // Takes the next tag, an opening or a closing one; returns true at the end of the arguments.
  bool read_tag(Cursor& in, std::string& out) {
    in.space();
    if (levels_.size() == 1 && in.accept_any(tags_.ends) >= 0) {
      out += '}';
      return true;
    }
    if (levels_.size() > 1 &&
        in.accept(std::string(tags_.value_close) + levels_.back().name + ">")) {
      close_level(out);
      return false;
    }
    in.expect(tags_.key_open);
    const std::string name(trim(in.until(">", kKeyBytesMax)));
    if (!in.reading()) return false;
    if (levels_.size() >= kDepthMax || name.starts_with('/')) {
      in.fail();
      return false;
    }
    open_level(name, out);
    return false;
  }

  void open_level(const std::string& name, std::string& out) {
    Level& parent = levels_.back();
    if (parent.kind == Level::kUnknown) {
      const Kinds kinds = value_kinds(levels_.size() - 1);
      const bool list = name == kItem && (!kinds.has(Kinds::kObject) || kinds.has(Kinds::kArray));
      parent.kind = list ? Level::kArray : Level::kObject;
      out += list ? '[' : '{';
    }
    if (parent.any) out += ", ";
    parent.any = true;
    const bool list = parent.kind == Level::kArray;
    if (!list) out += quoted(name) + ": ";
    levels_.push_back({name, list ? member(parent.schema, "items")
                                  : member(member(parent.schema, "properties"), name)});
    in_text_ = true;
    streaming_ = false;
  }

  void close_level(std::string& out) {
    out += levels_.back().kind == Level::kArray ? ']' : '}';
    levels_.pop_back();
  }

  // What the value of a level may be. The schema of the parent resolves references.
  Kinds value_kinds(size_t level) const {
    const Level& parent = levels_[level == 0 ? 0 : level - 1];
    if (level == 0) return {Kinds::kObject};
    if (parent.kind == Level::kObject) return parameter_kinds(parent.schema, levels_[level].name);
    return parameter_kinds(R"({"properties": {"item": )" +
                               (levels_[level].schema.empty() ? "{}" : levels_[level].schema) +
                               "}}",
                           kItem);
  }

  // Reads a value up to its closing tag, or to the first tag inside it. Returns false if more text
  // is needed first.
  bool read_text(std::string_view in, bool last, size_t& at, std::string& out) {
    const std::string_view rest = in.substr(at);
    const Kinds kinds = value_kinds(levels_.size() - 1);
    const std::string close = std::string(tags_.value_close) + levels_.back().name + ">";
    size_t mark = rest.find(mark_[0]);
    for (; mark != std::string_view::npos; mark = rest.find(mark_[0], mark + 1)) {
      const std::string_view tail = rest.substr(mark);
      if (tail.starts_with(close)) {
        at += mark + close.size();
        finish_text(rest.substr(0, mark), kinds, out);
        return true;
      }
      const bool may_nest =
          !streaming_ && trim(rest.substr(0, mark)).empty() && !kinds.only(Kinds::kString);
      if (may_nest && tail.starts_with(tags_.key_open) && !tail.starts_with(tags_.value_close) &&
          tail.size() > tags_.key_open.size()) {
        at += mark;
        in_text_ = false;  // the level's kind is told by the tag
        return true;
      }
      const bool partial = close.starts_with(tail) || tags_.key_open.starts_with(tail);
      if (!last && partial) break;
    }
    if (!kinds.only(Kinds::kString)) return false;
    const std::string_view certain = rest.substr(0, mark);
    start_string(out);
    append_escaped(out, certain);
    at += certain.size();
    return false;
  }

  void start_string(std::string& out) {
    if (!streaming_) out += '"';
    streaming_ = true;
  }

  void finish_text(std::string_view text, Kinds kinds, std::string& out) {
    const std::optional<std::string> json = streaming_ ? std::nullopt : to_json(trim(text));
    if (json && kind_of(*json) != Kinds::kString && kinds.has(kind_of(*json))) {
      out += *json;
    } else {
      start_string(out);
      append_escaped(out, text);
      out += '"';
    }
    in_text_ = streaming_ = false;
    levels_.pop_back();
  }

  const Tags& tags_;
  const std::string_view mark_;
  std::vector<Level> levels_;
  bool opened_ = false;
  bool in_text_ = false;    // behind an opening tag, before what tells the value's kind
  bool streaming_ = false;  // the value is a string, and its quote is written
};

}  // namespace

std::unique_ptr<ArgumentReader> nested_reader(const Tags& tags, const ToolSpec* tool) {
  return std::make_unique<NestedReader>(tags, tool);
}

}  // namespace pippin::parse
