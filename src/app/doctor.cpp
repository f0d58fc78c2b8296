#include "app/doctor.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/doctor_prompts.h"
#include "engine/core/attention_group.h"
#include "engine/core/state_group.h"
#include "service/json.h"
#include "service/models/load.h"
#include "service/models/load_tokenizer.h"
#include "store/checkpoint.h"
#include "text/tokenizer.h"

namespace pippin::app {
namespace {

constexpr int kStepTokens = 512;

std::string percent(const engine::Share& share) {
  return fmt::format("{:5.1f} % ({:.1f} to {:.1f})", share.value * 100, share.low * 100,
                     share.high * 100);
}

void write_share(service::JsonWriter& json, const char* name, const engine::Share& share) {
  json.key(name).begin_object();
  json.key("value").number(share.value).key("low").number(share.low).key("high").number(share.high);
  json.end_object();
}

Result<std::vector<engine::Submission>> prompts_for(const store::Checkpoint& checkpoint, int vocab,
                                                    int tokens) {
  ASSIGN_OR_RETURN(const service::LoadedTokenizer loaded,
                   service::read_tokenizer(checkpoint, vocab));
  return doctor_prompts(*loaded.tokenizer, tokens);
}

}  // namespace

bool InvarianceReport::same() const {
  return std::all_of(agreements.begin(), agreements.end(),
                     [](const engine::Agreement& agreement) { return agreement.same(); });
}

std::string InvarianceReport::to_text() const {
  std::string text = fmt::format(
      "{} on {}{}: {} prompts, {} tokens each, against the same prompts alone.\n"
      "In brackets: 95 % confidence interval of the share.\n\n"
      "  {:<14} {:<34} {}\n",
      model, device, serial ? ", one row a step" : "", prompts, tokens, "way", "same answers",
      "same tokens");
  for (const engine::Agreement& a : agreements) {
    text += fmt::format("  {:<14} {:>3} of {:<3} {:<23}  {:>5} of {:<5} {}\n", a.name, a.exact,
                        a.answers, percent(a.exact_share()), a.agreed, a.tokens,
                        percent(a.token_share()));
    if (!a.note.empty()) text += fmt::format("  {:<14} ({})\n", "", a.note);
    if (!a.same())
      text += fmt::format("  {:<14} first difference: prompt {}, token {}\n", "", a.first_prompt,
                          a.first_token);
  }
  return text + (same()
                     ? "\nAll answers are independent of concurrent requests.\n"
                     : "\nAnswers depend on concurrent requests. `--deterministic` prevents that, "
                       "at the cost of speed.\n");
}

std::string InvarianceReport::to_json() const {
  std::string text;
  service::JsonWriter json(text);
  json.begin_object().field("model", model).field("device", device).field("serial", serial);
  json.field("prompts", prompts).field("tokens_each", tokens).field("same", same());
  json.key("ways").begin_array();
  for (const engine::Agreement& a : agreements) {
    json.begin_object().field("name", a.name).field("answers", a.answers).field("exact", a.exact);
    write_share(json, "exact_share", a.exact_share());
    json.field("tokens", a.tokens).field("agreed", a.agreed);
    write_share(json, "token_share", a.token_share());
    if (!a.same()) json.field("first_prompt", a.first_prompt).field("first_token", a.first_token);
    if (!a.note.empty()) json.field("note", a.note);
    json.end_object();
  }
  json.end_array().end_object();
  return text;
}

Result<InvarianceReport> check_invariance(const InvarianceRequest& request,
                                          const std::function<void(const std::string&)>& progress) {
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, store::Checkpoint::open(request.model));
  ASSIGN_OR_RETURN(const engine::ModelInfo info, engine::inspect_model(checkpoint));
  ASSIGN_OR_RETURN(const std::vector<engine::Submission> prompts,
                   prompts_for(checkpoint, info.vocab, request.tokens));
  const engine::DeviceTraits& device = engine::device_traits(request.runner.device);

  engine::BatchInvarianceOptions options;
  engine::SchedulerOptions& limits = options.scheduler;
  limits.context_tokens_max = info.context_tokens_max;
  // As served, but with room for all prompts.
  const int positions = limits.kv.block_positions;
  const int blocks = engine::batch_invariance_blocks(prompts, positions);
  for (const KvGroupSpec& group : info.kv) {
    if (group.kind == KvKind::kState) {  // one each to run, and one that is kept
      limits.kv.add(group, 2 * static_cast<int>(prompts.size()) + engine::StateGroup::kBlocksMin);
      continue;
    }
    const engine::Sight sight{group.kind, group.window, positions};
    limits.kv.add(group, blocks + sight.blocks_min(kStepTokens));
  }
  limits.rows_max = static_cast<int>(prompts.size());
  limits.step_tokens_max = kStepTokens;
  limits.deterministic = request.deterministic && !device.batch_invariant;
  limits.prefix_cache = !limits.deterministic;
  if (limits.deterministic) options.chunks = {};  // which are fixed, then
  options.progress = progress;
  for (const engine::Submission& prompt : prompts)
    RETURN_IF_ERROR(engine::Scheduler::check(limits, prompt));

  engine::RunnerOptions runner_options = request.runner;
  runner_options.kv = limits.kv;
  ASSIGN_OR_RETURN(const std::unique_ptr<engine::Runner> runner,
                   engine::make_runner(checkpoint, runner_options));
  InvarianceReport report;
  report.model = service::model_id_of(request.model);
  report.device = device.name;
  report.prompts = static_cast<int>(prompts.size());
  report.tokens = request.tokens;
  report.serial = limits.deterministic;
  ASSIGN_OR_RETURN(report.agreements, engine::check_batch_invariance(*runner, options, prompts));
  return report;
}

}  // namespace pippin::app
