#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "api/routes.h"
#include "api/shared/model_access.h"
#include "api/shared/model_status.h"
#include "service/models/model_pool.h"
#include "service/process.h"

namespace pippin::api {
namespace {

using engine::Phase;
using engine::PrefixMiss;
using engine::SequenceId;
using engine::SequenceStatus;
using service::JsonWriter;
using service::LiveRequests;

/// Rounds to milliseconds: more would only be noise to read.
double seconds(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration);
  return static_cast<double>(ms.count()) / 1000;
}

/// Why a prefix ended, as far as a caller may know: whether another key's holder has sent the same
/// text is told to administrators alone.
PrefixMiss told_to(const RequestContext* caller, PrefixMiss miss) {
  const bool others = authorise(caller, {Action::kAdminister}) == Verdict::kGranted;
  return miss == PrefixMiss::kOtherSalt && !others ? PrefixMiss::kNew : miss;
}

const char* word_of(PrefixMiss miss) {
  switch (miss) {
    case PrefixMiss::kNone:
      return "none";
    case PrefixMiss::kOff:
      return "off";
    case PrefixMiss::kPromptLogprobs:
      return "prompt_logprobs";
    case PrefixMiss::kNew:
      return "new";
    case PrefixMiss::kContinues:
      return "continues";
    case PrefixMiss::kDiffers:
      return "differs";
    case PrefixMiss::kEvicted:
      return "evicted";
    case PrefixMiss::kOtherSalt:
      return "other_salt";
    case PrefixMiss::kPooled:
      return "pooled";
    case PrefixMiss::kNoState:
      return "no_state";
  }
  return "none";
}

const char* word_of(const SequenceStatus& sequence) {
  if (sequence.phase == Phase::kPaused) return "paused";
  if (sequence.phase == Phase::kWaiting) return sequence.admitted_before ? "preempted" : "waiting";
  return sequence.first_token_at ? "decode" : "prefill";
}

// --- Models ---

JsonWriter& write_counts(JsonWriter& json, const engine::BlockCounts& blocks) {
  return json.field("total", blocks.total)
      .field("free", blocks.free)
      .field("cached", blocks.cached)
      .field("leased", blocks.leased);
}

void write_engine(JsonWriter& json, const engine::EngineStatus& status) {
  json.field("running", status.running).field("waiting", status.waiting);
  json.field("paused", status.paused);
  const engine::BlockCounts blocks = status.blocks();
  json.field("blocks_total", blocks.total).field("blocks_free", blocks.free);
  json.field("blocks_cached", blocks.cached).field("blocks_leased", blocks.leased);
  json.key("window_blocks");
  if (const engine::BlockCounts windows = status.blocks(KvKind::kSliding); windows.total > 0) {
    write_counts(json.begin_object(), windows).end_object();
  } else {
    json.null();
  }
  json.key("kv_groups").begin_array();
  for (const engine::KvGroupStatus& group : status.kv) {
    json.begin_object().field("kind", kv_kind_name(group.kind));
    write_counts(json, group.blocks).end_object();
  }
  json.end_array();
  json.field("steps", status.steps).field("preemptions", status.preemptions);
  json.field("prompt_tokens", status.prompt_tokens)
      .field("generated_tokens", status.generated_tokens);
  json.field("prefix_query_tokens", status.prefix_queries)
      .field("prefix_hit_tokens", status.prefix_hits);
}

void write_memory(JsonWriter& json, const service::MemoryPlan& plan) {
  json.key("memory").begin_object().field("budget_bytes", plan.budget_bytes);
  json.field("weights_bytes", plan.weights_bytes).field("scratch_bytes", plan.scratch_bytes);
  json.field("kv_type", plan.kv.type).field("kv_bytes", plan.kv_bytes);
  json.field("kv_tokens", plan.positions());
  json.field("block_bytes", plan.block_bytes(KvKind::kFull))
      .field("block_tokens", plan.kv.block_positions);
  json.field("window_block_bytes", plan.block_bytes(KvKind::kSliding));
  json.key("kv_groups").begin_array();
  for (const KvGroupPlan& group : plan.kv.groups) {
    json.begin_object().field("kind", kv_kind_name(group.kind)).field("layers", group.layers);
    json.field("blocks", group.blocks).field("block_bytes", group.bytes).end_object();
  }
  json.end_array();
  json.end_object();
}

void write_limits(JsonWriter& json, const service::Model& model) {
  const engine::EngineOptions& options = model.engine->options();
  json.key("limits").begin_object().field("context_tokens", options.context_tokens_max);
  json.key("output_tokens");
  if (model.output_tokens_max > 0) {
    json.integer(int64_t{model.output_tokens_max});
  } else {
    json.null();
  }
  json.field("rows", options.rows_max).field("queue", options.queue_max);
  json.field("step_tokens", options.step_tokens_max);
  json.key("step_target_s").number(seconds(options.step_target));
  json.key("slow_reader_s").number(seconds(options.slow_reader_max));
  json.field("prefix_cache", options.prefix_cache).end_object();
}

/// The plan as it is now: with the blocks that are in service.
service::MemoryPlan plan_now(const service::Model& model, const engine::EngineStatus& status) {
  service::MemoryPlan plan = model.plan;
  for (size_t i = 0; i < plan.kv.groups.size() && i < status.kv.size(); ++i)
    plan.kv.groups[i].blocks = status.kv[i].blocks.total;
  plan.kv_bytes = plan.kv.bytes();
  return plan;
}

/// `model`: null if it is not loaded.
void write_model(JsonWriter& json, const service::ModelStatus& status,
                 const service::Model* model) {
  json.begin_object().field("id", status.info.id).field("architecture", status.info.architecture);
  json.field("context_length", status.info.context_tokens_max);
  json.key("status");
  write_status(json, status);
  if (model != nullptr) {
    const engine::EngineStatus engine = model->engine->status();
    const service::MemoryPlan plan = plan_now(*model, engine);
    json.field("weights_bytes", plan.weights_bytes).field("kv_bytes", plan.kv_bytes);
    write_engine(json, engine);
    write_memory(json, plan);
    write_limits(json, *model);
  }
  json.end_object();
}

void write_models(JsonWriter& json, const service::ModelPool& pool,
                  const std::vector<service::ModelLease>& loaded, const RequestContext* caller) {
  json.key("models").begin_array();
  for (const service::ModelStatus& status : usable(caller, pool.states())) {
    const auto found = std::ranges::find_if(
        loaded, [&](const service::ModelLease& model) { return model->id == status.info.id; });
    write_model(json, status, found == loaded.end() ? nullptr : &**found);
  }
  json.end_array().key("memory").begin_object().field("budget_bytes", pool.budget_bytes());
  json.field("used_bytes", pool.used_bytes()).end_object();
}

// --- Requests ---

void write_prefix(JsonWriter& json, const SequenceStatus& sequence,
                  const service::Generation& generation, const RequestContext* caller) {
  json.key("prefix");
  if (!sequence.admitted_before) {
    json.null();  // looked up when there is room for it
    return;
  }
  json.begin_object().field("cached_tokens", sequence.cached_tokens);
  json.field("miss", word_of(told_to(caller, sequence.miss)));
  json.field("first_difference", sequence.first_difference);
  const std::string part = generation.prompt_part(sequence.first_difference);
  json.key("part");
  if (part.empty()) {
    json.null();
  } else {
    json.string(part);
  }
  json.end_object();
}

void write_sequence(JsonWriter& json, const SequenceStatus& sequence,
                    const service::Generation& generation, TimePoint now,
                    const RequestContext* caller) {
  json.begin_object().field("id", sequence.id.value).field("state", word_of(sequence));
  json.key("queue_position");
  if (sequence.queue_position > 0) {
    json.integer(int64_t{sequence.queue_position});
  } else {
    json.null();
  }
  json.field("prompt_tokens", sequence.prompt_tokens);
  json.field("computed_tokens", sequence.computed_tokens);
  json.field("generated_tokens", sequence.generated_tokens);
  json.field("max_tokens", sequence.max_tokens);
  json.field("blocks", sequence.blocks).field("preemptions", sequence.preemptions);
  json.key("first_token_s");
  if (sequence.first_token_at) {
    json.number(seconds(*sequence.first_token_at - sequence.submitted_at));
    const double taken = seconds(now - *sequence.first_token_at);
    json.key("tokens_per_second");
    json.number(taken > 0 ? std::round(10 * (sequence.generated_tokens - 1) / taken) / 10 : 0.0);
  } else {
    json.null().key("tokens_per_second").null();
  }
  write_prefix(json, sequence, generation, caller);
  json.end_object();
}

/// The statuses of a request's sequences that still live, in the order of its choices.
std::vector<SequenceStatus> sequences_of(const LiveRequests::Entry& request,
                                         const std::vector<SequenceStatus>& all) {
  std::vector<SequenceStatus> own;
  for (const SequenceId id : request.generation->sequences()) {
    const auto found = std::lower_bound(
        all.begin(), all.end(), id,
        [](const SequenceStatus& status, SequenceId wanted) { return status.id < wanted; });
    if (found != all.end() && found->id == id) own.push_back(*found);
  }
  return own;
}

/// What a request does: what its first live sequence does. Without one all that is left is to send.
const char* word_of(const LiveRequests::Entry& request, const std::vector<SequenceStatus>& own) {
  if (request.cancelled) return "cancelled";
  return own.empty() ? "sending" : word_of(own.front());
}

void write_request(JsonWriter& json, const LiveRequests::Entry& request,
                   const std::vector<SequenceStatus>& all, TimePoint now,
                   const RequestContext* caller) {
  const std::vector<SequenceStatus> own = sequences_of(request, all);
  int generated = 0;
  for (const SequenceStatus& sequence : own) generated += sequence.generated_tokens;
  json.begin_object().field("id", request.id).field("answer_id", request.answer_id);
  json.field("model", request.generation->model().id).field("state", word_of(request, own));
  json.key("age_s").number(seconds(now - request.began));
  json.field("choices", request.generation->choices());
  json.field("prompt_tokens", own.empty() ? 0 : own.front().prompt_tokens);
  json.field("cached_tokens", own.empty() ? 0 : own.front().cached_tokens);
  json.field("generated_tokens", generated);
  json.key("prompt_rules").begin_array();
  for (const std::string_view rule : request.generation->prompt_rules()) json.string(rule);
  json.end_array().key("sequences").begin_array();
  for (const SequenceStatus& sequence : own)
    write_sequence(json, sequence, *request.generation, now, caller);
  json.end_array().end_object();
}

void write_requests(JsonWriter& json, const LiveRequests& live,
                    const std::vector<service::ModelLease>& models, const RequestContext* caller) {
  const TimePoint now = SystemClock().now();
  const std::vector<LiveRequests::Entry> requests = live.list();
  json.key("requests").begin_array();
  for (const service::ModelLease& model : models) {
    const std::vector<SequenceStatus> all = model->engine->sequences();
    for (const LiveRequests::Entry& request : requests) {
      if (&request.generation->model() == &*model && service::may_see(caller, *request.generation))
        write_request(json, request, all, now, caller);
    }
  }
  json.end_array();
}

}  // namespace

Handler status(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const RequestContext* caller = exchange->request().caller.get();
    const service::Readiness::State state = context.readiness.state();
    const std::vector<service::ModelLease> models = context.models.lease_all();
    const service::Process process = service::this_process();
    Response response;
    JsonWriter json(response.body);
    json.begin_object().field("ready", state.ready);
    if (!state.ready) json.field("reason", state.reason);
    json.field("version", PIPPIN_VERSION);
    json.key("uptime_s").number(std::round(process.uptime_s * 1000) / 1000);
    json.field("pid", int64_t{getpid()}).field("resident_bytes", process.resident_bytes);
    json.key("model");
    const bool tells = !models.empty() && check_model(context, caller, models.front()->id).ok();
    if (!tells) {
      json.null();
    } else {
      json.string(models.front()->id);
    }
    write_models(json, context.models, models, caller);
    write_requests(json, *context.live, models, caller);
    json.end_object();
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api
