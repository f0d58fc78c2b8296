// ResponseText: the text of an answer as its parser reads it, token by token. Thread: one.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "parse/dialect.h"
#include "parse/registry.h"
#include "text/tokenizer.h"

namespace pippin::service {

class ResponseText {
 public:
  /// The dialects, null or not, whose control tokens belong to the text. They outlive this object.
  ResponseText(std::shared_ptr<const text::Tokenizer> tokenizer, const parse::ToolDialect* tools,
               const parse::ReasoningDialect* reasoning)
      : tokenizer_(std::move(tokenizer)),
        tools_(tools),
        reasoning_(reasoning),
        decoder_(tokenizer_, true) {}

  /// Returns the text that a token completes. Control tokens have none, but for those that the
  /// dialects are made of.
  std::string push(text::Token token) {
    if (tokenizer_->is_control(token) &&
        !parse::looks_for(tools_, reasoning_, tokenizer_->token_bytes(token, true)))
      return {};
    return decoder_.push(token);
  }
  /// Returns what is held back, as the answer has ended.
  std::string flush() { return decoder_.flush(); }

 private:
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const parse::ToolDialect* const tools_;
  const parse::ReasoningDialect* const reasoning_;
  text::StreamDecoder decoder_;
};

}  // namespace pippin::service
