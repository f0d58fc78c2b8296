#include "parse/answer_parser.h"

#include <utility>

#include "parse/call_scanner.h"
#include "parse/reasoning_splitter.h"

namespace pippin::parse {

AnswerParser::AnswerParser(AnswerOptions options)
    : splitter_(std::make_unique<ReasoningSplitter>(options.reasoning, options.starts_inside)),
      scanner_(
          std::make_unique<CallScanner>(options.tools, std::move(options.offered), *splitter_)) {
  scanner_->start_behind(options.generation_prefix);
}

AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;
AnswerParser& AnswerParser::operator=(AnswerParser&&) noexcept = default;

void AnswerParser::push(std::string_view piece, Events& events) { scanner_->push(piece, events); }

void AnswerParser::finish(Events& events) { scanner_->finish(events); }

bool AnswerParser::thinking() const { return splitter_->inside() && !scanner_->in_call(); }

bool AnswerParser::in_unmarked_head() const { return scanner_->in_unmarked_head(); }

std::optional<ArgumentsAhead> AnswerParser::arguments_ahead() const {
  return scanner_->arguments_ahead();
}

}  // namespace pippin::parse
