// ModelInfo: what can be told of a model without loading it. Model: one loaded model, all that a
// request needs of it. Owner: the model pool. Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/batch_invariance_monitor.h"
#include "engine/engine.h"
#include "parse/dialect.h"
#include "service/chat/prompt_rules.h"
#include "service/chat/token_bound.h"
#include "service/models/memory_plan.h"
#include "service/models/model_facts.h"
#include "text/chat_template.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace pippin::service {

class JsonWriter;

/// What lists tell of a model, loaded or not.
struct ModelInfo {
  std::string id;  // as it is served
  std::vector<std::string> aliases;
  std::string architecture;
  int64_t created_unix_s = 0;
  ModelFacts facts;
  int context_tokens_max = 0;  // of a model that is not loaded: what its file and the user allow
  int output_tokens_max = 0;   // of an answer; 0 = what the context leaves
  bool supports_fim = false;   // it knows tokens for filling in the middle

  std::shared_ptr<const text::ChatTemplate> chat_template;     // null if the file has none
  const parse::ToolDialect* tool_dialect = nullptr;            // null: calls are not read
  const parse::ReasoningDialect* reasoning_dialect = nullptr;  // null: it is not known to think
  engine::SamplingParams default_sampling;                     // of every API
  bool penalty_in_file = false;  // its repetition_penalty is the file's, also where it is 1

  bool calls_tools() const { return chat_template != nullptr && tool_dialect != nullptr; }
  bool thinks() const { return chat_template != nullptr && reasoning_dialect != nullptr; }
  /// Returns what it can do, by Ollama's names: "completion", "tools", "thinking", "insert".
  std::vector<std::string_view> capabilities() const;
  /// Writes "tool_parser" and "reasoning_parser", null where there is none. Requires: an object is
  /// open.
  void write_parsers(JsonWriter& json) const;
};

/// Frozen once loaded, but for the engine, which takes submissions from any thread.
struct Model : ModelInfo {
  std::string fingerprint;  // "fp_...": changes with the file or the settings
  std::shared_ptr<const text::Tokenizer> tokenizer;
  TokenBound token_bound;
  std::string bos_text, eos_text;  // what templates call bos_token and eos_token
  std::vector<engine::Token> stop_tokens;
  std::shared_ptr<const text::GrammarVocabulary> grammar_vocabulary;  // prepared ahead
  PromptRules prompt_rules;  // what its conversations are freed of

  MemoryPlan plan;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<engine::BatchInvarianceMonitor>
      monitor;  // of the engine; null: nobody watches it
};

}  // namespace pippin::service
