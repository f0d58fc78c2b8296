// Model: one loaded model, all that a request needs of it. ModelPool: those that are loaded, by
// name; ModelLease: the right to use one. Owner: main owns the pool, the pool its models. Thread:
// any.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "parse/dialect.h"
#include "service/memory_plan.h"
#include "service/model_facts.h"
#include "service/prompt_rules.h"
#include "text/chat_template.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

namespace pippin::service {

/// Frozen once loaded, but for the engine, which takes submissions from any thread.
struct Model {
  std::string id;  // as it is served
  std::vector<std::string> aliases;
  std::string architecture;
  std::string fingerprint;  // "fp_...": changes with the file or the settings
  int64_t created_unix_s = 0;
  ModelFacts facts;
  int context_tokens_max = 0;
  int output_tokens_max = 0;  // of an answer; 0 = what the context leaves

  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<const text::ChatTemplate> chat_template;  // null if the file has none
  std::string bos_text, eos_text;  // what templates call bos_token and eos_token
  std::vector<engine::Token> stop_tokens;
  std::shared_ptr<const text::GrammarVocabulary> grammar_vocabulary;  // prepared ahead
  const parse::ToolDialect* tool_dialect = nullptr;            // null: calls are not read
  const parse::ReasoningDialect* reasoning_dialect = nullptr;  // null: it is not known to think
  engine::SamplingParams default_sampling;
  PromptRules prompt_rules;  // what its conversations are freed of

  MemoryPlan plan;
  std::unique_ptr<engine::Engine> engine;
};

class ModelPool;

/// Keeps its model loaded while it lives. Movable. Thread: one at a time.
class ModelLease {
 public:
  ModelLease(ModelLease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), model_(other.model_) {}
  ModelLease& operator=(ModelLease&&) = delete;
  ~ModelLease();

  const Model& operator*() const { return *model_; }
  const Model* operator->() const { return model_; }

 private:
  friend class ModelPool;
  ModelLease(ModelPool* pool, const Model* model) : pool_(pool), model_(model) {}

  ModelPool* pool_;
  const Model* model_;
};

class ModelPool {
 public:
  ModelPool() = default;
  /// Requires: no more lease() calls. Waits a few seconds for leases to end; a model still leased
  /// then is left to the process's end.
  ~ModelPool();
  ModelPool(const ModelPool&) = delete;
  ModelPool& operator=(const ModelPool&) = delete;

  /// Takes a loaded model. The first one is also called "default".
  void add(std::unique_ptr<Model> model);

  /// Errors: kNotFound, naming the models there are; kUnavailable when none is loaded yet.
  Result<ModelLease> lease(std::string_view name);
  /// Leases all models, in the order they were added.
  std::vector<ModelLease> lease_all();

 private:
  friend class ModelLease;
  void release();
  ModelLease lease_locked(const Model& model);

  std::mutex mutex_;
  std::condition_variable released_;
  int leases_ = 0;
  std::vector<std::unique_ptr<Model>> models_;
};

}  // namespace pippin::service
