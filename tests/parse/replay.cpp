#include "parse/replay.h"

#include "parse/json_check.h"

namespace pippin::parse {
namespace {

class Joiner {
 public:
  Joiner(Replay& result, const std::vector<std::string_view>& pieces) : result_(result) {
    for (std::string_view piece : pieces) answer_ += piece;
  }

  void operator()(const ReasoningText& event) {
    text('R', event.text, event.at, result_.reasoning);
  }
  void operator()(const ContentText& event) { text('C', event.text, event.at, result_.content); }
  void operator()(const ToolCallBegin& event) {
    if (open_) fault("a call begins inside another");
    if (event.index != static_cast<int>(result_.calls.size())) fault("a call's index is wrong");
    if (event.name.empty()) fault("a call without a name");
    result_.calls.push_back({event.name, "", false});
    result_.order += 'T';
    open_ = true;
  }
  void operator()(const ToolCallArguments& event) {
    if (!in_call(event.index)) return fault("arguments outside their call");
    if (event.json.empty()) fault("an empty piece of arguments");
    result_.calls.back().arguments += event.json;
  }
  void operator()(const ToolCallEnd& event) {
    if (!in_call(event.index)) return fault("an end outside its call");
    ReplayedCall& call = result_.calls.back();
    call.complete = event.complete;
    open_ = false;
    const auto json = compact_json(call.arguments);
    if (event.complete && (!json || json->front() != '{'))
      fault("complete arguments are no object");
    if (!event.complete && !starts_json(call.arguments)) fault("arguments are no start of JSON");
    if (json) call.arguments = *json;
  }
  void operator()(const Malformed&) { ++result_.notes; }

  void end() {
    if (open_) fault("a call does not end");
  }

 private:
  bool in_call(int index) const {
    return open_ && index + 1 == static_cast<int>(result_.calls.size());
  }
  void text(char mark, const std::string& piece, size_t at, std::string& all) {
    if (at < end_ || answer_.compare(at, piece.size(), piece) != 0)
      fault("a text stands elsewhere");
    end_ = at + piece.size();
    if (open_) fault("text inside a call");
    if (piece.empty()) fault("an empty piece of text");
    if (result_.order.empty() || result_.order.back() != mark) result_.order += mark;
    all += piece;
  }
  void fault(const char* what) {
    if (result_.fault.empty()) result_.fault = what;
  }

  Replay& result_;
  std::string answer_;
  size_t end_ = 0;  // of the last text
  bool open_ = false;
};

}  // namespace

Replay replay(const AnswerOptions& options, const std::vector<std::string_view>& pieces) {
  Replay result;
  Joiner joiner(result, pieces);
  AnswerParser parser(options);
  Events events;
  for (std::string_view piece : pieces) {
    parser.push(piece, events);
    for (const Event& event : events) std::visit(joiner, event);
    events.clear();
  }
  parser.finish(events);
  for (const Event& event : events) std::visit(joiner, event);
  joiner.end();
  return result;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    all.push_back(text.substr(at, end - at));
    at = end;
  }
  return all;
}

const std::vector<ToolSpec>& example_tools() {
  static const std::vector<ToolSpec> tools = {
      {"get_weather",
       R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"},
           "unit": {"enum": ["celsius", "fahrenheit"]}}, "required": ["city"]})"},
      {"write_file",
       R"({"type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string"}}})"},
      {"search",
       R"({"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "number"},
           "exact": {"type": "boolean"}, "filters": {"$ref": "#/$defs/Filters"},
           "tags": {"type": "array", "items": {"type": "string"}}, "note": {"type": ["string", "null"]},
           "id": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "any": {}},
           "$defs": {"Filters": {"type": "object", "properties": {}}}})"},
      {"ping", ""},
  };
  return tools;
}

std::string describe(const Replay& result) {
  std::string out = "  R " + result.reasoning + "\n  C " + result.content + "\n";
  for (const ReplayedCall& call : result.calls) {
    out += (call.complete ? "  T " : "  T? ") + call.name + " " + call.arguments + "\n";
  }
  out += "  order " + result.order + ", notes " + std::to_string(result.notes) + " " + result.fault;
  return out;
}

}  // namespace pippin::parse
