// GET /metrics: the engines' figures in Prometheus' text format, under vLLM's names where the
// meaning is the same. Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text,
// 0.0.4).
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "api/routes.h"
#include "api/shared/model_access.h"
#include "service/models/model_pool.h"
#include "service/process.h"

namespace pippin::api {
namespace {

using engine::EngineMetrics;
using engine::EngineStatus;
using engine::FinishReason;

/// One model at the time of the scrape.
struct Source {
  std::string labels;  // model_name="..."
  EngineStatus status;
  const EngineMetrics& metrics;
  const service::Model& model;
};
using Sources = std::vector<Source>;

std::string label(std::string_view name, std::string_view value) {
  std::string out = fmt::format("{}=\"", name);
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

/// Appends families of samples, one after the other.
class Exposition {
 public:
  explicit Exposition(std::string& out) : out_(out) {}

  void family(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(out_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                   type);
  }
  void sample(std::string_view name, std::string_view labels, double value) {
    fmt::format_to(std::back_inserter(out_), "{}{{{}}} {}\n", name, labels, value);
  }
  void sample(std::string_view name, std::string_view labels, uint64_t value) {
    fmt::format_to(std::back_inserter(out_), "{}{{{}}} {}\n", name, labels, value);
  }

  void histogram(std::string_view name, const std::string& labels, const Histogram& histogram) {
    const std::vector<uint64_t> counts = histogram.counts();
    const std::string bucket = fmt::format("{}_bucket", name);
    uint64_t below = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      below += counts[i];
      const std::string bound = i < histogram.bounds().size()
                                    ? fmt::format("{}", histogram.bounds()[i])
                                    : std::string("+Inf");
      sample(bucket, fmt::format("{},le=\"{}\"", labels, bound), below);
    }
    sample(fmt::format("{}_sum", name), labels, histogram.sum());
    sample(fmt::format("{}_count", name), labels, below);
  }

 private:
  std::string& out_;
};

struct Gauge {
  const char* name;
  const char* help;
  double (*value)(const Source&);
};
constexpr Gauge kGauges[] = {
    {"vllm:num_requests_running", "Sequences that have a row in the steps.",
     [](const Source& s) { return double(s.status.running); }},
    {"vllm:num_requests_waiting", "Sequences that wait for room, the preempted ones among them.",
     [](const Source& s) { return double(s.status.waiting); }},
    {"pippin:num_requests_paused", "Sequences whose reader is behind.",
     [](const Source& s) { return double(s.status.paused); }},
    {"pippin:serial",
     "1 where every step runs one row, so that concurrent requests cannot change an answer.",
     [](const Source& s) {
       return s.metrics.deterministic.load(std::memory_order_relaxed) ? 1.0 : 0.0;
     }},
    {"vllm:kv_cache_usage_perc", "Share of the KV blocks that sequences hold, from 0 to 1.",
     [](const Source& s) {
       double fullest = 0;
       for (const engine::KvGroupStatus& group : s.status.kv)
         fullest = std::max(fullest, double(group.blocks.leased) / std::max(1, group.blocks.total));
       return fullest;
     }},
};

struct Counter {
  const char* name;
  const char* help;
  uint64_t (*value)(const Source&);
};
constexpr Counter kCounters[] = {
    {"vllm:prompt_tokens_total", "Tokens of admitted prompts, cached ones included.",
     [](const Source& s) { return s.status.prompt_tokens; }},
    {"vllm:generation_tokens_total", "Tokens sampled.",
     [](const Source& s) { return s.status.generated_tokens; }},
    {"vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
     [](const Source& s) { return s.status.prefix_queries; }},
    {"vllm:prefix_cache_hits_total", "Prompt tokens found there, so not computed.",
     [](const Source& s) { return s.status.prefix_hits; }},
    {"vllm:num_preemptions_total", "Times that a sequence gave up its blocks, to be recomputed.",
     [](const Source& s) { return s.status.preemptions; }},
    {"pippin:steps_total", "Steps run.", [](const Source& s) { return s.status.steps; }},
    {"pippin:divergence_answers_total",
     "Answers beside concurrent requests that were compared with those of exclusive steps.",
     [](const Source& s) { return s.metrics.invariance_answers.load(std::memory_order_relaxed); }},
    {"pippin:divergence_exact_total", "Of those, answers that were the same.",
     [](const Source& s) { return s.metrics.invariance_exact.load(std::memory_order_relaxed); }},
    {"pippin:divergence_tokens_total", "Tokens that were compared so.",
     [](const Source& s) { return s.metrics.invariance_tokens.load(std::memory_order_relaxed); }},
    {"pippin:divergence_agreed_total", "Of those, tokens that were the same.",
     [](const Source& s) { return s.metrics.invariance_agreed.load(std::memory_order_relaxed); }},
    {"pippin:requests_refused_total", "Submissions that found the queue full.",
     [](const Source& s) { return s.metrics.refused.load(std::memory_order_relaxed); }},
};

struct Distribution {
  const char* name;
  const char* help;
  Histogram EngineMetrics::*histogram;
};
using M = EngineMetrics;
constexpr Distribution kDistributions[] = {
    {"vllm:time_to_first_token_seconds", "From submission to the first token.",
     &M::first_token_seconds},
    {"vllm:inter_token_latency_seconds", "From one token of a sequence to its next.",
     &M::between_tokens_seconds},
    {"vllm:request_time_per_output_token_seconds", "The same, as each sequence's mean.",
     &M::per_token_seconds},
    {"vllm:e2e_request_latency_seconds", "From submission to the end.", &M::request_seconds},
    {"vllm:request_queue_time_seconds", "From submission to the first row in a step.",
     &M::queue_seconds},
    {"vllm:request_prefill_time_seconds", "From the first row to the first token.",
     &M::prefill_seconds},
    {"vllm:request_decode_time_seconds", "From the first token to the last.", &M::decode_seconds},
    {"vllm:request_prompt_tokens", "Tokens of each prompt.", &M::request_prompt_tokens},
    {"vllm:request_generation_tokens", "Tokens of each answer.", &M::request_generated_tokens},
    {"vllm:iteration_tokens_total", "Tokens computed in each step.", &M::step_tokens},
    {"pippin:step_seconds", "How long each step took.", &M::step_seconds},
};

// vLLM's words, and one each for our own reasons.
constexpr std::pair<FinishReason, const char*> kReasons[] = {
    {FinishReason::kStop, "stop"},       {FinishReason::kLength, "length"},
    {FinishReason::kCancelled, "abort"}, {FinishReason::kError, "error"},
    {FinishReason::kTimeout, "timeout"}, {FinishReason::kSlowReader, "slow_reader"},
};

void write_finished(Exposition& out, const Sources& sources) {
  constexpr const char* kName = "vllm:request_success_total";
  out.family(kName, "counter", "Sequences that have ended, by reason.");
  for (const Source& source : sources) {
    for (const auto& [reason, word] : kReasons) {
      out.sample(
          kName, fmt::format("{},finished_reason=\"{}\"", source.labels, word),
          source.metrics.finished[static_cast<size_t>(reason)].load(std::memory_order_relaxed));
    }
  }
}

void write_counts(Exposition& out, const char* name, const std::string& labels,
                  const engine::BlockCounts& counts) {
  for (const auto& [state, blocks] :
       {std::pair{"free", counts.free}, {"cached", counts.cached}, {"leased", counts.leased}}) {
    out.sample(name, fmt::format("{},state=\"{}\"", labels, state), double(blocks));
  }
}

void write_blocks(Exposition& out, const Sources& sources) {
  constexpr const char* kName = "pippin:kv_blocks";
  out.family(kName, "gauge", "KV blocks by what they are: free, cached for reuse, or leased.");
  for (const Source& source : sources)
    write_counts(out, kName, source.labels, source.status.blocks());
  const auto windows_of = [](const Source& source) {
    return source.status.blocks(KvKind::kSliding);
  };
  const auto has_windows = [&](const Source& source) { return windows_of(source).total > 0; };
  if (std::ranges::none_of(sources, has_windows)) return;
  constexpr const char* kWindows = "pippin:kv_window_blocks";
  out.family(kWindows, "gauge", "KV blocks of layers with a sliding window, likewise.");
  for (const Source& source : sources)
    if (has_windows(source)) write_counts(out, kWindows, source.labels, windows_of(source));
}

void write_groups(Exposition& out, const Sources& sources) {
  constexpr const char* kName = "pippin:kv_group_blocks";
  out.family(kName, "gauge",
             "Blocks of each group of layers: of positions, or states, by what they are.");
  for (const Source& source : sources) {
    for (const engine::KvGroupStatus& group : source.status.kv) {
      const std::string labels =
          fmt::format("{},group=\"{}\"", source.labels, kv_kind_name(group.kind));
      write_counts(out, kName, labels, group.blocks);
    }
  }
}

void write_pool(Exposition& out, const service::ModelPool& pool, const RequestContext* caller) {
  const std::vector<service::ModelStatus> models = usable(caller, pool.states());
  constexpr const char* kLoaded = "pippin:model_loaded";
  out.family(kLoaded, "gauge",
             "1 for a model that is loaded, 0 for one that is loaded when asked.");
  for (const service::ModelStatus& model : models)
    out.sample(kLoaded, label("model_name", model.info.id), uint64_t{model.loaded_part >= 1});
  constexpr const char* kLoads = "pippin:model_loads_total";
  out.family(kLoads, "counter", "How often a model has been loaded.");
  for (const service::ModelStatus& model : models)
    out.sample(kLoads, label("model_name", model.info.id), model.loads);
  constexpr const char* kWaiting = "pippin:model_waiting";
  out.family(kWaiting, "gauge", "Requests that wait until their model is loaded.");
  for (const service::ModelStatus& model : models)
    out.sample(kWaiting, label("model_name", model.info.id), static_cast<uint64_t>(model.waiting));
  out.family("pippin:models_memory_budget_bytes", "gauge", "Memory for all models together.");
  out.sample("pippin:models_memory_budget_bytes", "", pool.budget_bytes());
  out.family("pippin:models_memory_used_bytes", "gauge", "Of that, what models take.");
  out.sample("pippin:models_memory_used_bytes", "", pool.used_bytes());
}

void write_about(Exposition& out, const Sources& sources) {
  constexpr const char* kConfig = "vllm:cache_config_info";
  out.family(kConfig, "gauge", "How the KV cache is laid out.");
  for (const Source& source : sources) {
    const engine::EngineOptions& options = source.model.engine->options();
    out.sample(
        kConfig,
        fmt::format("{},block_size=\"{}\",num_gpu_blocks=\"{}\",enable_prefix_caching=\"{}\"",
                    source.labels, options.kv.block_positions, options.kv.blocks(),
                    options.prefix_cache ? "True" : "False"),
        uint64_t{1});
  }
  constexpr const char* kBuild = "pippin:build_info";
  out.family(kBuild, "gauge", "The program's version.");
  out.sample(kBuild, label("version", PIPPIN_VERSION), uint64_t{1});
  const service::Process process = service::this_process();
  out.family("process_start_time_seconds", "gauge", "When the program started, since the epoch.");
  out.sample("process_start_time_seconds", "", process.started_unix_s);
  out.family("process_cpu_seconds_total", "counter", "CPU time taken.");
  out.sample("process_cpu_seconds_total", "", process.cpu_s);
  if (process.resident_bytes == 0) return;
  out.family("process_resident_memory_bytes", "gauge", "Memory in use.");
  out.sample("process_resident_memory_bytes", "", process.resident_bytes);
}

std::string exposition_of(const Sources& sources, const service::ModelPool& pool,
                          const RequestContext* caller) {
  std::string text;
  Exposition out(text);
  for (const Gauge& gauge : kGauges) {
    out.family(gauge.name, "gauge", gauge.help);
    for (const Source& source : sources) out.sample(gauge.name, source.labels, gauge.value(source));
  }
  for (const Counter& counter : kCounters) {
    out.family(counter.name, "counter", counter.help);
    for (const Source& source : sources)
      out.sample(counter.name, source.labels, counter.value(source));
  }
  write_finished(out, sources);
  write_blocks(out, sources);
  write_groups(out, sources);
  for (const Distribution& distribution : kDistributions) {
    out.family(distribution.name, "histogram", distribution.help);
    for (const Source& source : sources)
      out.histogram(distribution.name, source.labels, source.metrics.*distribution.histogram);
  }
  write_pool(out, pool, caller);
  write_about(out, sources);
  return text;
}

}  // namespace

Handler metrics(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    const std::vector<service::ModelLease> models = context.models.lease_all();
    Sources sources;
    const RequestContext* caller = exchange->request().caller.get();
    for (const service::ModelLease& model : models) {
      if (!may_use(caller, *model)) continue;
      sources.push_back({label("model_name", model->id), model->engine->status(),
                         model->engine->metrics(), *model});
    }
    Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = exposition_of(sources, context.models, caller);
    exchange->respond(std::move(response));
  };
}

}  // namespace pippin::api
