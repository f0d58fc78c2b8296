#include "engine/exec/runner.h"

#include <algorithm>
#include <deque>
#include <new>
#include <optional>
#include <span>
#include <unordered_map>

#include <fmt/format.h>

#include "base/log.h"
#include "engine/core/exception_mapping.h"
#include "engine/exec/grammar_mask_prefetch.h"
#include "engine/exec/pooler.h"
#include "engine/exec/row_inputs.h"
#include "engine/exec/sampling/sampler.h"
#include "mlx/memory.h"
#include "mlx/ops.h"
#include "mlx/stream.h"
#include "mlx/transforms.h"
#include "models/model.h"
#include "nn/backend/backend.h"
#include "nn/ops/linear.h"

namespace pippin::engine {
namespace {

namespace mx = mlx::core;

constexpr int kBlock = nn::kBlockPositions;
// Threads that make masks beside the device, and the masks that may wait: one for each row.
constexpr int kMaskThreadsMax = 4;
constexpr size_t kMasksWaitingMax = 4096;

// Whether the next token is the largest logit, with nothing that edits the logits or asks for more
// than the id.
bool is_plain_greedy(const Submission& submission) {
  const SamplingParams& p = submission.sampling;
  const bool edits = p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f ||
                     p.frequency_penalty != 0.0f || p.dry_multiplier != 0.0f ||
                     !p.logit_bias.empty() || !p.allowed_tokens.empty() ||
                     !p.banned_tokens.empty() || submission.stop.min_tokens > 0;
  return p.temperature == 0.0f && !edits && p.logprobs < 0 && p.prompt_logprobs < 0 &&
         submission.constraint == nullptr && submission.drafter == nullptr;
}

class ModelRunner final : public Runner {
 public:
  /// The last block of each group of `kv` is the runner's own: padding is written there.
  ModelRunner(std::unique_ptr<nn::Backend> backend, std::unique_ptr<models::Model> model,
              std::unique_ptr<nn::KvCache> kv)
      : backend_(std::move(backend)), model_(std::move(model)), kv_(std::move(kv)) {}

  void admit(SequenceId id, const Submission& submission) override {
    Sequence sequence{&submission, std::make_unique<RowSampler>(submission), nullptr};
    if (submission.constraint != nullptr) {
      if (!mask_workers_)
        mask_workers_.emplace(std::clamp(allowed_cpus(), 1, kMaskThreadsMax), kMasksWaitingMax);
      // Log probabilities are the model's own, so that it is asked for every token.
      sequence.constraint = std::make_unique<GrammarMaskPrefetch>(
          submission.constraint, submission.sampling.logprobs < 0, *mask_workers_);
    }
    if (submission.pooling != Pooling::kNone) sequence.pooler.emplace(submission.pooling);
    if (const Result<void> runs = check_runnable(model_->spec().inputs, submission); !runs.ok())
      sequence.refusal = runs.error();
    sequences_.insert_or_assign(id, std::move(sequence));
  }

  StepOutput run(const StepPlan& plan) override {
    enqueue(plan);
    return collect();
  }

  bool can_give_back() const override { return kv_->can_give_back(); }

  void give_back(std::span<const int> in_service) override { kv_->give_back(in_service); }

  bool can_enqueue_async(const StepPlan& plan) const override {
    return !under_way_.empty() && under_way_.back().sampled_ids != nullptr &&
           std::all_of(plan.rows.begin(), plan.rows.end(), [this](const PlanRow& row) {
             return row.sample && !sequences_.at(row.sequence).refusal;
           });
  }

  void enqueue(const StepPlan& plan) override {
    Step& step = under_way_.emplace_back();
    step.plan = &plan;
    step.out.step = plan.step;
    try {
      step.out.rows.resize(plan.rows.size());
    } catch (...) {
      under_way_.pop_back();  // else the next collect() would give this step's output
      throw;
    }
    guarded(step, [&] { start(step); });
  }

  StepOutput collect() override {
    Step& step = under_way_.front();
    if (step.sampled_ids) guarded(step, [&] { take_largest(step); });
    for (SequenceId id : step.plan->released) sequences_.erase(id);
    StepOutput out = std::move(step.out);
    under_way_.pop_front();
    return out;
  }

 private:
  struct Sequence {
    const Submission* submission = nullptr;
    std::unique_ptr<RowSampler> sampler;
    std::unique_ptr<GrammarMaskPrefetch> constraint;  // null without one
    std::optional<Pooler> pooler;                     // where an embedding is wanted
    std::optional<Error> refusal;                     // of what this model does not take
  };

  // Where a plan row's logits lie among the rows that logits() returns.
  struct LogitSpan {
    int first = 0, count = 0;
  };

  // Which of forward()'s rows become logits, and which are pooled, row after row of the plan.
  struct HiddenRows {
    std::vector<int32_t> logits, pooled;
    bool pooling = false;  // some row is of a sequence that wants an embedding
  };

  // A step between enqueue() and collect().
  struct Step {
    const StepPlan* plan = nullptr;
    std::vector<LogitSpan> spans;
    std::unique_ptr<nn::SampledIds> sampled_ids;  // where the device samples
    StepOutput out;
  };

  // The one place where MLX may throw: the step's sequences fail, the server lives on.
  template <typename Fn>
  static void guarded(Step& step, Fn&& work) {
    try {
      work();
    } catch (const std::exception& thrown) {
      fail_all(step, error_of_exception("[runner]", thrown));
    }
  }

  static void fail_all(Step& step, const Error& error) {
    step.sampled_ids.reset();
    for (RowOutput& row : step.out.rows) {
      row = RowOutput{};
      row.error = error;
    }
  }

  void start(Step& step) {
    const StepPlan& plan = *step.plan;
    for (const BlockCopy& copy : plan.copies) kv_->copy_block(copy.from, copy.to, copy.group);
    if (plan.rows.empty()) return;
    HiddenRows rows;
    const nn::StepBatch batch = make_batch(step, rows);
    if (batch.tokens.empty()) return;  // all were refused
    const mx::array hidden = model_->forward(batch, *kv_);
    if (batch.logit_tokens.empty() && !hidden.is_available()) mx::array(hidden).eval();
    if (rows.pooling) {
      std::optional<mx::array> pooled;
      if (!rows.pooled.empty()) pooled = nn::gather(*backend_, hidden, rows.pooled);
      pool(step, pooled);
    }
    if (rows.logits.empty()) return;
    const mx::array logits =
        model_->logits(rows.pooled.empty() ? hidden : nn::gather(*backend_, hidden, rows.logits));
    if (backend_->samples_ids() && all_plain_greedy(plan)) {
      step.sampled_ids = backend_->greedy_sample(logits);
    } else {
      mx::array host = nn::host_ready(logits);
      choose_tokens(plan, step.spans, host, step.out);
    }
  }

  // Whether every row's next token is just the largest logit, so that the device can sample it and
  // only ids are read back.
  bool all_plain_greedy(const StepPlan& plan) const {
    return std::all_of(plan.rows.begin(), plan.rows.end(), [&](const PlanRow& row) {
      return !row.sample || is_plain_greedy(*sequences_.at(row.sequence).submission);
    });
  }

  void take_largest(Step& step) {
    const int32_t* best = step.sampled_ids->read();
    for (size_t r = 0; r < step.plan->rows.size(); ++r) {
      const PlanRow& row = step.plan->rows[r];
      if (step.spans[r].count == 0) continue;
      RowOutput& out = step.out.rows[r];
      out.sampled = true;
      out.token = best[step.spans[r].first];
      sequences_.at(row.sequence).sampler->accept(out.token);
    }
  }

  // Hands each row that pools its hidden states, and takes the embeddings of prompts that end.
  // Shapes: hidden [rows.pooled, E]; nothing where no row has a token to pool.
  void pool(Step& step, const std::optional<mx::array>& hidden) {
    std::optional<mx::array> states;
    if (hidden) states = nn::host_ready(model_->final_norm(*hidden));
    const size_t width = states ? static_cast<size_t>(states->shape(1)) : 0;
    const float* next = states ? states->data<float>() : nullptr;
    for (size_t r = 0; r < step.plan->rows.size(); ++r) {
      const PlanRow& row = step.plan->rows[r];
      Sequence& sequence = sequences_.at(row.sequence);
      if (!sequence.pooler || sequence.refusal) continue;
      const auto [first, end] = sequence.pooler->wanted(row);
      const std::span<const float> own(next, static_cast<size_t>(end - first) * width);
      sequence.pooler->add(row, own);
      next += own.size();
      if (row.pool) take_embedding(sequence, step.out.rows[r]);
    }
  }

  static void take_embedding(const Sequence& sequence, RowOutput& out) {
    Result<std::vector<float>> embedding =
        sequence.pooler->take(static_cast<int>(sequence.submission->tokens.size()));
    if (embedding.ok()) {
      out.embedding = std::move(embedding).value();
    } else {
      out.error = embedding.error();
    }
  }

  nn::StepBatch make_batch(Step& step, HiddenRows& rows) {
    const StepPlan& plan = *step.plan;
    nn::StepBatch batch;
    batch.kv.resize(kv_->plan().groups.size());
    batch.position_components = std::max(1, model_->spec().inputs.position_components);
    for (size_t r = 0; r < plan.rows.size(); ++r) {
      const PlanRow& row = plan.rows[r];
      const Sequence& sequence = sequences_.at(row.sequence);
      LogitSpan& span = step.spans.emplace_back();
      if (sequence.refusal) {
        step.out.rows[r].error = sequence.refusal;
        continue;
      }
      const int first = static_cast<int>(batch.tokens.size()),
                count = static_cast<int>(row.tokens.size());
      batch.tokens.insert(batch.tokens.end(), row.tokens.begin(), row.tokens.end());
      add_positions(batch, row);
      add_media(batch, first, row, *sequence.submission);
      for (size_t g = 0; g < batch.kv.size(); ++g)
        add_places(batch.kv[g], kv_->plan().groups[g].kind, first, row, row.kv[g]);
      const auto want = [&](int begin, int end, std::vector<int32_t>& of) {
        for (int i = begin; i < end; ++i) {
          of.push_back(static_cast<int32_t>(batch.logit_tokens.size()));
          batch.logit_tokens.push_back(first + i);
        }
      };
      if (sequence.pooler) {
        const auto [begin, end] = sequence.pooler->wanted(row);
        want(begin, end, rows.pooled);
        rows.pooling = true;
        continue;
      }
      const bool all = wants_prompt_logprobs(row);
      span = {static_cast<int>(rows.logits.size()), all ? count : row.sample ? 1 + row.drafts : 0};
      want(count - span.count, count, rows.logits);
    }
    if (batch.tokens.empty()) return batch;
    backend_->prepare_step(batch, kv_->plan());
    if (!plan.rows.empty() && plan.rows.front().previous_row >= 0)
      batch.token_ids = previous_tokens(plan, batch.size());
    return batch;
  }

  // Tells where one group keeps a row, whose tokens begin at `first` in the batch.
  static void add_places(nn::AttentionMetadata& kv, KvKind kind, int first, const PlanRow& row,
                         const BlockTable& table) {
    const int count = static_cast<int>(row.tokens.size()), end = row.start + count;
    if (kind == KvKind::kState) {
      CHECK(table.size() == 1, "a row has one state");
      kv.rows.push_back({first, count, row.start, table.data()});
      return;
    }
    CHECK(end <= static_cast<int>(table.size()) * kBlock, "a plan's tables cover its rows");
    kv.rows.push_back({first, count, row.start, table.data()});
    for (int position = row.start; position < end; ++position)
      kv.slots.push_back(table[static_cast<size_t>(position / kBlock)] * kBlock +
                         position % kBlock);
  }

  // The ids that the step before will have sampled, one for each row, without waiting for them.
  // Shapes: [T] int32.
  mx::array previous_tokens(const StepPlan& plan, int64_t padded) const {
    CHECK(under_way_.size() == 2 && under_way_.front().sampled_ids,
          "the step before samples on the device");
    const Step& before = under_way_.front();
    const mx::array& best = before.sampled_ids->tokens();
    std::vector<int32_t> rows;
    for (const PlanRow& row : plan.rows)
      rows.push_back(before.spans[static_cast<size_t>(row.previous_row)].first);
    for (auto i = static_cast<int32_t>(rows.size()); i < padded; ++i)
      rows.push_back(std::min(i, best.shape(0) - 1));
    return nn::gather(*backend_, best, rows);
  }

  bool wants_prompt_logprobs(const PlanRow& row) const {
    return row.generated == 0 &&
           sequences_.at(row.sequence).submission->sampling.prompt_logprobs >= 0;
  }

  void choose_tokens(const StepPlan& plan, const std::vector<LogitSpan>& spans, mx::array& logits,
                     StepOutput& out) {
    const auto vocab = static_cast<size_t>(logits.shape(1));
    float* values = logits.data<float>();
    const auto choose = [&](int r) {
      const PlanRow& row = plan.rows[static_cast<size_t>(r)];
      const LogitSpan span = spans[static_cast<size_t>(r)];
      if (span.count == 0) return;
      Sequence& sequence = sequences_.at(row.sequence);
      const std::span<float> rows(values + static_cast<size_t>(span.first) * vocab,
                                  static_cast<size_t>(span.count) * vocab);
      RowOutput& result = out.rows[static_cast<size_t>(r)];
      if (wants_prompt_logprobs(row))
        add_prompt_logprobs(row, *sequence.submission, rows, vocab, result);
      const auto drafts = static_cast<size_t>(row.drafts);
      if (row.sample) sample(row, sequence, rows.last((1 + drafts) * vocab).first(vocab), result);
      if (drafts > 0 && result.sampled) verify(row, sequence, rows.last(drafts * vocab), result);
    };
    const int rows = static_cast<int>(plan.rows.size());
    if (ThreadPool* const threads = backend_->host_threads(); threads != nullptr && rows > 1) {
      threads->run(rows, [&](int r, int) { choose(r); });
    } else {
      for (int r = 0; r < rows; ++r) choose(r);
    }
  }

  // Entry i of a chunk speaks of the token after tokens[i]; the prompt's first token has none, and
  // the last one's is the sampled token's.
  static void add_prompt_logprobs(const PlanRow& row, const Submission& submission,
                                  std::span<const float> rows, size_t vocab, RowOutput& result) {
    for (size_t i = 0; i < row.tokens.size(); ++i) {
      const size_t next = static_cast<size_t>(row.start) + i + 1;
      if (next >= submission.tokens.size()) break;
      result.prompt_logprobs.push_back(prompt_logprob(rows.subspan(i * vocab, vocab),
                                                      submission.tokens[next],
                                                      submission.sampling.prompt_logprobs));
    }
  }

  static void sample(const PlanRow& row, Sequence& sequence, std::span<float> logits,
                     RowOutput& result) {
    const std::vector<uint32_t>* mask = nullptr;
    if (sequence.constraint != nullptr) {
      if (begin_with_jump_forward(sequence, result)) return;
      if (const Result<const std::vector<uint32_t>*> made = sequence.constraint->mask(); made.ok())
        mask = *made;
      else
        result.error = made.error();
      if (result.error) return;
    }
    std::vector<PromptLogprobsEvent::Entry> prompt = std::move(result.prompt_logprobs);
    result = sequence.sampler->sample(logits, row.generated, mask);
    result.prompt_logprobs = std::move(prompt);
    if (!result.sampled) return;
    sequence.sampler->accept(result.token);
    if (sequence.constraint == nullptr) return;
    GrammarMaskPrefetch::Outlook outlook = sequence.constraint->advance(result.token);
    for (const Token token : outlook.jump_forward) sequence.sampler->accept(token);
    result.jump_forward = std::move(outlook.jump_forward);
    result.complete = outlook.complete;
  }

  // Samples behind the row's own token, as long as each draft is what the model chose.
  static void verify(const PlanRow& row, Sequence& sequence, std::span<float> logits,
                     RowOutput& result) {
    const auto drafts = static_cast<size_t>(row.drafts);
    const size_t vocab = logits.size() / drafts, first = row.tokens.size() - drafts;
    Token chosen = result.token;
    for (size_t i = 0; i < drafts && row.tokens[first + i] == chosen; ++i) {
      RowOutput next = sequence.sampler->sample(logits.subspan(i * vocab, vocab),
                                                row.generated + static_cast<int>(i) + 1, nullptr);
      if (!next.sampled) {
        result.error = std::move(next.error);
        return;
      }
      sequence.sampler->accept(next.token);
      chosen = next.token;
      result.verified.push_back({next.token, next.logprob, std::move(next.top)});
    }
  }

  // Takes the jump-forward tokens that the answer begins with, if any, without asking the model.
  static bool begin_with_jump_forward(Sequence& sequence, RowOutput& result) {
    const GrammarMaskPrefetch::Outlook outlook = sequence.constraint->take_start();
    if (outlook.jump_forward.empty()) return false;
    for (const Token token : outlook.jump_forward) sequence.sampler->accept(token);
    result.sampled = true;
    result.token = outlook.jump_forward.front();
    result.jump_forward.assign(outlook.jump_forward.begin() + 1, outlook.jump_forward.end());
    result.complete = outlook.complete;
    return true;
  }

  // Clears what MLX keeps for the device thread, once all arrays of the model are gone. The next
  // model needs their memory, and streams that outlive their thread break a GPU's teardown.
  struct LastOfThread {
    ~LastOfThread() {
      try {
        mx::clear_cache();
        mx::clear_streams();
      } catch (const std::exception& e) {
        log::warn("[runner] a device thread ends badly: {}", e.what());
      }
    }
  };

  LastOfThread last_;  // first, so that it goes last
  std::unique_ptr<nn::Backend> backend_;
  std::unique_ptr<models::Model> model_;
  std::unique_ptr<nn::KvCache> kv_;
  std::optional<WorkerPool> mask_workers_;  // before the sequences, whose work it does
  std::unordered_map<SequenceId, Sequence> sequences_;
  std::deque<Step> under_way_;
};

}  // namespace

namespace {

// Says whether the kernels of a device read that type of KV.
Result<void> check_kv_type(KvType type, const DeviceTraits& device, OpsPath ops = OpsPath::kFast) {
  const bool fast = ops == OpsPath::kFast;
  if (type == KvType::kF16 || (device.takes_int8_kv && fast)) return {};
  const std::string_view who = fast ? device.name : "the reference backend";
  return fail(Code::kUnsupported,
              fmt::format("[runner] --kv-type {}: {} does not have it yet; take f16",
                          nn::kv_type_name(type), who),
              "--kv-type");
}

nn::WeightForm weight_form(const store::Checkpoint& checkpoint, const DeviceTraits& device) {
  if (!device.has_own_memory) return nn::WeightForm::kDense;
  int64_t dense_bytes = 0;
  for (const store::TensorView& tensor : checkpoint.tensors())
    dense_bytes += nn::kept_bytes(device, nn::WeightForm::kDense, tensor);
  return nn::weight_form(device, dense_bytes, gpu_memory().bytes_total);
}

}  // namespace

Result<ModelInfo> inspect_model(const store::Checkpoint& checkpoint, DeviceKind device,
                                KvType kv_type) {
  const DeviceTraits& traits = device_traits(device);
  RETURN_IF_ERROR(check_kv_type(kv_type, traits));
  ASSIGN_OR_RETURN(const store::ModelConfig config, checkpoint.config());
  ASSIGN_OR_RETURN(const models::ModelSpec spec, models::make_spec(config));
  ModelInfo info;
  info.architecture = spec.architecture;
  info.vocab = spec.vocab;
  info.context_tokens_max = spec.context_tokens_max;
  info.inputs = spec.inputs;
  info.kv = spec.kv_groups(kv_type);
  for (const nn::KvGeometry& layer : spec.layers)
    info.latent_values = std::max(info.latent_values, layer.latent);
  info.kv_type = nn::kept_kv_type(traits, kv_type);
  info.embedding = config.embedding_length;
  info.feed_forward = std::ranges::max(config.feed_forward);
  const nn::WeightForm form = weight_form(checkpoint, traits);
  for (const store::TensorView& tensor : checkpoint.tensors())
    info.weight_bytes += nn::kept_bytes(traits, form, tensor);
  return info;
}

Result<std::unique_ptr<Runner>> make_runner(const store::Checkpoint& checkpoint,
                                            const RunnerOptions& options) try {
  const DeviceTraits& device = device_traits(options.device);
  RETURN_IF_ERROR(check_kv_type(options.kv_type, device, options.ops));
  const nn::BackendOptions backend_options{
      .kind = options.ops == OpsPath::kReference ? nn::BackendKind::kReference : device.backend,
      .threads = options.threads,
      .exact_activations = options.exact_activations,
      .on_gpu = device.has_own_memory,
      .weights = weight_form(checkpoint, device)};
  ASSIGN_OR_RETURN(std::unique_ptr<nn::Backend> backend, nn::make_backend(backend_options));
  ASSIGN_OR_RETURN(std::unique_ptr<models::Model> model,
                   models::load_model(checkpoint, *backend, options.progress));
  if (options.kv.groups.empty() && !model->spec().layers.empty())
    return fail(Code::kInvalidArgument,
                fmt::format("[runner] {}: expected a KV plan with blocks for {} layers, got none",
                            checkpoint.path(), model->spec().layers.size()));
  KvPlan plan = options.kv;
  for (KvGroupPlan& group : plan.groups) ++group.blocks;  // one each for padding
  ASSIGN_OR_RETURN(std::unique_ptr<nn::KvCache> kv,
                   backend->make_kv_cache(model->spec().layers, std::move(plan), options.kv_type));
  return std::unique_ptr<Runner>(
      std::make_unique<ModelRunner>(std::move(backend), std::move(model), std::move(kv)));
} catch (const std::bad_alloc&) {
  return fail(Code::kOutOfMemory, "[runner] not enough memory to load " + checkpoint.path());
} catch (const std::exception& e) {
  return fail(Code::kInternal,
              fmt::format("[runner] loading {} failed: {}", checkpoint.path(), e.what()));
}

}  // namespace pippin::engine
