#include "engine/exec/runner.h"

#include <algorithm>
#include <span>
#include <unordered_map>

#include <fmt/format.h>

#include "engine/exec/device_step.h"
#include "engine/exec/sampling/sampler.h"
#include "mlx/ops.h"
#include "models/model.h"

namespace pippin::engine {
namespace {

namespace mx = mlx::core;

constexpr int kBlock = nn::cpu::KvLayer::kBlock;

class ModelRunner final : public Runner {
 public:
  /// The last block of `kv` is the runner's own: padding is written there.
  ModelRunner(nn::Context ctx, std::unique_ptr<models::Model> model, nn::KvCache kv)
      : ctx_(std::move(ctx)), model_(std::move(model)), kv_(std::move(kv)), scratch_block_(kv_.blocks() - 1) {}

  void admit(SequenceId id, const Submission& submission) override {
    sequences_.insert_or_assign(id, Sequence{&submission, std::make_unique<RowSampler>(submission)});
  }

  StepOutput run(const StepPlan& plan) override {
    StepOutput out;
    out.step = plan.step;
    out.rows.resize(plan.rows.size());
    // The one place where MLX may throw: the step's sequences fail, the server lives on.
    try {
      run_step(plan, out);
    } catch (const std::exception& e) {
      for (RowOutput& row : out.rows) {
        row = RowOutput{};
        row.error = fail(Code::kInternal, fmt::format("[runner] step {} failed: {}", plan.step, e.what()));
      }
    }
    for (SequenceId id : plan.released) sequences_.erase(id);
    return out;
  }

 private:
  struct Sequence {
    const Submission* submission = nullptr;
    std::unique_ptr<RowSampler> sampler;
    std::vector<uint32_t> mask;
  };

  // Where a plan row's logits lie among the rows that logits() returns.
  struct LogitSpan { int first = 0, count = 0; };

  void run_step(const StepPlan& plan, StepOutput& out) {
    for (const BlockCopy& copy : plan.copies) kv_.copy_block(copy.from, copy.to);
    if (plan.rows.empty()) return;
    std::vector<LogitSpan> spans;
    const nn::StepBatch batch = make_batch(plan, spans);
    const mx::array hidden = model_->forward(batch, kv_);
    if (batch.logit_tokens.empty()) {
      if (!hidden.is_available()) mx::array(hidden).eval();
      return;
    }
    const mx::array logits = model_->logits(hidden, batch.logit_tokens);
    if (ctx_.backend == nn::Backend::kCuda && all_plain_greedy(plan)) {
      take_largest(plan, spans, logits, out);
    } else {
      mx::array host = nn::host_ready(logits);
      choose_tokens(plan, spans, host, out);
    }
  }

  // Whether every row's next token is just the largest logit, so that the device can pick it and only ids are read back.
  bool all_plain_greedy(const StepPlan& plan) const {
    return std::all_of(plan.rows.begin(), plan.rows.end(), [&](const PlanRow& row) {
      return !row.sample || is_plain_greedy(*sequences_.at(row.sequence).submission);
    });
  }

  void take_largest(const StepPlan& plan, const std::vector<LogitSpan>& spans, const mx::array& logits, StepOutput& out) {
    mx::array best = mx::astype(mx::argmax(logits, -1), mx::int32);
    best.eval();
    for (size_t r = 0; r < plan.rows.size(); ++r) {
      if (!plan.rows[r].sample) continue;
      out.rows[r].sampled = true;
      out.rows[r].token = best.data<int32_t>()[spans[r].first];
      sequences_.at(plan.rows[r].sequence).sampler->accept(out.rows[r].token);
    }
  }

  nn::StepBatch make_batch(const StepPlan& plan, std::vector<LogitSpan>& spans) {
    nn::StepBatch batch;
    for (const PlanRow& row : plan.rows) {
      const int first = static_cast<int>(batch.tokens.size()), count = static_cast<int>(row.tokens.size());
      batch.rows.push_back({first, count, row.start, row.blocks.data()});
      for (int i = 0; i < count; ++i) {
        const int position = row.start + i;
        batch.tokens.push_back(row.tokens[static_cast<size_t>(i)]);
        batch.positions.push_back(position);
        batch.slots.push_back(row.blocks[static_cast<size_t>(position / kBlock)] * kBlock + position % kBlock);
      }
      const bool all = wants_prompt_logprobs(row);
      LogitSpan span{static_cast<int>(batch.logit_tokens.size()), all ? count : row.sample ? 1 : 0};
      for (int i = count - span.count; i < count; ++i) batch.logit_tokens.push_back(first + i);
      spans.push_back(span);
    }
    if (ctx_.backend == nn::Backend::kCuda) send_to_device(batch, scratch_block_);
    return batch;
  }

  bool wants_prompt_logprobs(const PlanRow& row) const {
    return row.generated == 0 && sequences_.at(row.sequence).submission->sampling.prompt_logprobs >= 0;
  }

  void choose_tokens(const StepPlan& plan, const std::vector<LogitSpan>& spans, mx::array& logits, StepOutput& out) {
    const auto vocab = static_cast<size_t>(logits.shape(1));
    float* values = logits.data<float>();
    const auto choose = [&](int r) {
      const PlanRow& row = plan.rows[static_cast<size_t>(r)];
      const LogitSpan span = spans[static_cast<size_t>(r)];
      if (span.count == 0) return;
      Sequence& sequence = sequences_.at(row.sequence);
      const std::span<float> rows(values + static_cast<size_t>(span.first) * vocab, static_cast<size_t>(span.count) * vocab);
      RowOutput& result = out.rows[static_cast<size_t>(r)];
      if (span.count > 1 || wants_prompt_logprobs(row)) add_prompt_logprobs(row, *sequence.submission, rows, vocab, result);
      if (row.sample) sample(row, sequence, rows.last(vocab), result);
    };
    const int rows = static_cast<int>(plan.rows.size());
    if (ctx_.pool != nullptr && rows > 1) {
      ctx_.pool->run(rows, [&](int r, int) { choose(r); });
    } else {
      for (int r = 0; r < rows; ++r) choose(r);
    }
  }

  // Entry i of a chunk speaks of the token after tokens[i]; the prompt's first token has none, and the last one's is the sampled token's.
  static void add_prompt_logprobs(const PlanRow& row, const Submission& submission, std::span<const float> rows, size_t vocab,
                                  RowOutput& result) {
    for (size_t i = 0; i < row.tokens.size(); ++i) {
      const size_t next = static_cast<size_t>(row.start) + i + 1;
      if (next >= submission.tokens.size()) break;
      result.prompt_logprobs.push_back(
          prompt_logprob(rows.subspan(i * vocab, vocab), submission.tokens[next], submission.sampling.prompt_logprobs));
    }
  }

  static void sample(const PlanRow& row, Sequence& sequence, std::span<float> logits, RowOutput& result) {
    std::vector<PromptLogprobsEvent::Entry> prompt = std::move(result.prompt_logprobs);
    const std::vector<uint32_t>* mask = nullptr;
    if (Constraint* constraint = sequence.submission->constraint.get()) {
      if (!constraint->fill_mask(sequence.mask)) {
        result.error = fail(Code::kInternal, "[runner] the constraint allows no further token");
        return;
      }
      mask = &sequence.mask;
    }
    result = sequence.sampler->sample(logits, row.generated, mask);
    result.prompt_logprobs = std::move(prompt);
    if (!result.sampled) return;
    sequence.sampler->accept(result.token);
    if (sequence.submission->constraint) sequence.submission->constraint->accept(result.token);
  }

  nn::Context ctx_;
  std::unique_ptr<models::Model> model_;
  nn::KvCache kv_;
  int scratch_block_;
  std::unordered_map<SequenceId, Sequence> sequences_;
};

}  // namespace

Result<ModelInfo> inspect_model(const store::GgufFile& file) {
  ASSIGN_OR_RETURN(const models::ModelSpec spec, models::read_spec(file));
  ModelInfo info;
  info.architecture = spec.architecture;
  info.vocab = spec.vocab;
  info.context_tokens_max = spec.context_tokens_max;
  info.kv_block_bytes = spec.kv_block_bytes();
  for (const store::TensorView& tensor : file.tensors()) info.weight_bytes += static_cast<int64_t>(tensor.bytes.size());
  return info;
}

Result<std::unique_ptr<Runner>> make_runner(const store::GgufFile& file, const RunnerOptions& options) try {
  CHECK(options.blocks > 0);
  nn::Context ctx = nn::stock_context(mx::float32);
  if (options.device == DeviceKind::kCuda) {
    ASSIGN_OR_RETURN(ctx, nn::cuda_context());
    if (options.ops == OpsPath::kReference) ctx.backend = nn::Backend::kStock;
  } else if (options.ops == OpsPath::kFast) {
    ASSIGN_OR_RETURN(ctx, nn::cpu_context(options.threads > 0 ? options.threads : allowed_cpus()));
    if (options.exact_activations) ctx.activations = nn::cpu::Activations::kF32;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<models::Model> model, models::load_model(file, ctx, options.progress));
  const models::ModelSpec& spec = model->spec();
  const int blocks = options.blocks + 1;  // one for padding
  if (ctx.backend != nn::Backend::kCpu) {
    nn::KvCache kv = nn::KvCache::for_stock(spec.layers, blocks, ctx.dtype);
    return std::unique_ptr<Runner>(std::make_unique<ModelRunner>(std::move(ctx), std::move(model), std::move(kv)));
  }
  ASSIGN_OR_RETURN(nn::KvCache kv, nn::KvCache::for_cpu(spec.layers, blocks));
  return std::unique_ptr<Runner>(std::make_unique<ModelRunner>(std::move(ctx), std::move(model), std::move(kv)));
} catch (const std::bad_alloc&) {
  return fail(Code::kOutOfMemory, "[runner] not enough memory to load " + file.path());
} catch (const std::exception& e) {
  return fail(Code::kInternal, fmt::format("[runner] loading {} failed: {}", file.path(), e.what()));
}

}  // namespace pippin::engine
