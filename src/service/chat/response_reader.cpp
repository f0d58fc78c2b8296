#include "service/chat/response_reader.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/log.h"

namespace pippin::service {
namespace {

constexpr int kNotesMax = 4;  // log lines of one answer

std::string new_call_id() {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::random_device random;
  std::string id = "call_";
  for (int i = 0; i < 24; ++i) id += kLetters[random() % kLetters.size()];
  return id;
}

parse::AnswerOptions parser_options(const ResponseTerms& terms) {
  return {terms.tools, terms.reasoning, terms.offered, terms.starts_inside,
          terms.generation_prefix};
}

}  // namespace

ResponseReader::ResponseReader(int choice, const ResponseTerms& terms, const Request& request,
                               std::shared_ptr<const text::Tokenizer> tokenizer)
    : choice_(choice),
      terms_(terms),
      text_(std::move(tokenizer), terms.tools,
            terms.reasoning ? terms.reasoning : terms.shown_reasoning),
      parser_(parser_options(terms)),
      matcher_(request.stop) {}

void ResponseReader::push(Token token, std::optional<ScoredToken> scored, std::vector<Delta>& out) {
  if (ended()) return;
  const std::string text = text_.push(token);
  const size_t begin = decoded_bytes_;
  decoded_bytes_ += text.size();
  if (scored) waiting_.push_back({begin, decoded_bytes_, std::move(*scored)});
  parse::Events events;
  parser_.push(text, events);
  if (parser_.thinking()) ++reasoning_tokens_;
  take(events, out);
}

void ResponseReader::finish(std::vector<Delta>& out) {
  if (ended()) return;
  const std::string rest = text_.flush();
  decoded_bytes_ += rest.size();
  parse::Events events;
  parser_.push(rest, events);
  parser_.finish(events);
  take(events, out);
  if (ended()) return;
  release(matcher_.flush(), out);
  const bool all_is_content = terms_.tools == nullptr && terms_.reasoning == nullptr;
  if (all_is_content && !waiting_.empty()) {
    TextDelta& delta = last_of<TextDelta>(out);
    for (Waiting& waiting : waiting_) delta.tokens.push_back(std::move(waiting.token));
  }
  waiting_.clear();
}

void ResponseReader::take(const parse::Events& events, std::vector<Delta>& out) {
  for (const parse::Event& event : events) {
    if (ended()) return;
    std::visit([&](const auto& it) { take(it, out); }, event);
  }
}

void ResponseReader::take(const parse::ContentText& content, std::vector<Delta>& out) {
  held_.push_back({content.at, content.text.size()});
  release(matcher_.push(content.text), out);
}

// No stop string reaches across thinking or a call.
void ResponseReader::take(const parse::ReasoningText& thinking, std::vector<Delta>& out) {
  release(matcher_.flush(), out);
  last_of<ReasoningDelta>(out).text += thinking.text;
}

void ResponseReader::take(const parse::ToolCallBegin& call, std::vector<Delta>& out) {
  release(matcher_.flush(), out);
  out.push_back({choice_, ToolCallDelta{call.index, new_call_id(), call.name, {}, false}});
}

void ResponseReader::take(const parse::ToolCallArguments& arguments, std::vector<Delta>& out) {
  ToolCallDelta& delta = last_of<ToolCallDelta>(out);
  delta.index = arguments.index;
  delta.arguments += arguments.json;
}

void ResponseReader::take(const parse::ToolCallEnd& end, std::vector<Delta>& out) {
  if (!end.complete) return;
  ToolCallDelta& delta = last_of<ToolCallDelta>(out);
  delta.index = end.index;
  delta.complete = true;
  called_tools_ = true;
  call_ended_it_ = terms_.one_call;
}

void ResponseReader::take(const parse::Malformed& malformed, std::vector<Delta>&) {
  if (++notes_ > kNotesMax) return;
  log::warn("[service] tool_parse_error: dialect {}: {}", malformed.dialect, malformed.what);
}

// Hands on content that is final, with the tokens that begin in it or before.
void ResponseReader::release(std::string text, std::vector<Delta>& out) {
  if (text.empty()) return;
  TextDelta& delta = last_of<TextDelta>(out);
  delta.text += text;
  for (size_t left = text.size(); left > 0;) {
    Stretch& first = held_.front();
    const Stretch released{first.at, std::min(left, first.bytes)};
    move_scored(released, delta.tokens);
    left -= released.bytes;
    first.at += released.bytes;
    first.bytes -= released.bytes;
    if (first.bytes == 0) held_.pop_front();
  }
}

void ResponseReader::move_scored(Stretch released, std::vector<ScoredToken>& to) {
  while (!waiting_.empty() && waiting_.front().begin < released.at + released.bytes) {
    Waiting& waiting = waiting_.front();
    // The first bytes of a character make no text by themselves: they stand where it will.
    const size_t end = std::max(waiting.end, waiting.begin + 1);
    if (end > released.at) to.push_back(std::move(waiting.token));
    waiting_.pop_front();
  }
}

// Returns this choice's last delta if it is of the kind, else a new one.
template <typename Body>
Body& ResponseReader::last_of(std::vector<Delta>& out) const {
  if (!out.empty() && out.back().choice == choice_) {
    if (Body* last = std::get_if<Body>(&out.back().body)) return *last;
  }
  out.push_back({choice_, Body{}});
  return std::get<Body>(out.back().body);
}

}  // namespace pippin::service
