// ResponseReader: turns one answer's tokens into deltas: decodes them, tells thinking, content and
// calls apart, and applies stop strings to the content. Owner: a Choice. Thread: one.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parse/answer_parser.h"
#include "service/chat/request.h"
#include "service/chat/response_text.h"
#include "service/chat/stop_matcher.h"
#include "text/tokenizer.h"

namespace pippin::service {

/// How the answers to one prompt are read. Without dialects all text is content.
struct ResponseTerms {
  const parse::ToolDialect* tools = nullptr;
  const parse::ReasoningDialect* reasoning = nullptr;
  /// Instead, thinking that is not told apart: its marks belong to the content.
  const parse::ReasoningDialect* shown_reasoning = nullptr;
  std::vector<parse::ToolSpec> offered;
  bool starts_inside = false;               // the prompt ends inside thinking
  std::string_view generation_prefix = {};  // start marker that the prompt ends with
  bool one_call = false;                    // the answer ends behind its first call
};

class ResponseReader {
 public:
  /// The deltas are of choice `choice`. `terms` and `request` are borrowed and outlive the reader.
  ResponseReader(int choice, const ResponseTerms& terms, const Request& request,
                 std::shared_ptr<const text::Tokenizer> tokenizer);

  /// Takes the next token, with its probability where that is asked for. Appends what is certain
  /// now, neighbours of a kind joined. After ended() it takes nothing more.
  void push(Token token, std::optional<ScoredToken> scored, std::vector<Delta>& out);
  /// Appends what was held back, as the answer has ended.
  void finish(std::vector<Delta>& out);

  /// Returns whether the text itself ends the answer: by a stop string, or by the only call.
  bool ended() const { return matcher_.stopped() || call_ended_it_; }
  /// The stop string that was met, or "".
  const std::string& stop() const { return matcher_.met(); }
  bool called_tools() const { return called_tools_; }
  int reasoning_tokens() const { return reasoning_tokens_; }

 private:
  /// A token whose place, in or outside the content, is not known yet.
  struct Waiting {
    size_t begin = 0, end = 0;  // where its text stands in the answer
    ScoredToken token;
  };
  /// Content that the matcher holds back.
  struct Stretch {
    size_t at = 0, bytes = 0;  // where it stands in the answer
  };

  void take(const parse::Events& events, std::vector<Delta>& out);
  void take(const parse::ContentText& content, std::vector<Delta>& out);
  void take(const parse::ReasoningText& thinking, std::vector<Delta>& out);
  void take(const parse::ToolCallBegin& call, std::vector<Delta>& out);
  void take(const parse::ToolCallArguments& arguments, std::vector<Delta>& out);
  void take(const parse::ToolCallEnd& end, std::vector<Delta>& out);
  void take(const parse::Malformed& malformed, std::vector<Delta>& out);
  void release(std::string text, std::vector<Delta>& out);
  void move_scored(Stretch released, std::vector<ScoredToken>& to);
  template <typename Body>
  Body& last_of(std::vector<Delta>& out) const;

  const int choice_;
  const ResponseTerms& terms_;
  ResponseText text_;
  parse::AnswerParser parser_;
  StopMatcher matcher_;
  size_t decoded_bytes_ = 0;
  std::deque<Waiting> waiting_;
  std::deque<Stretch> held_;  // together as long as what the matcher holds
  int reasoning_tokens_ = 0;
  int notes_ = 0;
  bool called_tools_ = false;
  bool call_ended_it_ = false;
};

}  // namespace pippin::service
